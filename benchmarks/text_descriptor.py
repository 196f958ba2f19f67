"""How much processor time does `TextDescriptor` take, compared with skrub's StringEncoder?

fit_transform of the 10,000 first reviews of the shared clothing reviews, with as many components
each, in turns; the median of the ratios. Needs skrub, which the extra "bench" installs.

    OMP_NUM_THREADS=1 python benchmarks/text_descriptor.py [n_repeats]
"""

import os
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from skrub import StringEncoder

from skmm.text import TextDescriptor

SHARED = Path(os.environ.get("SKMM_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))


def processor_seconds(encoder, texts):
    start = time.process_time()
    encoder.fit_transform(texts)
    return time.process_time() - start


def main():
    n_repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    reviews = pd.read_parquet(SHARED / "clothing_reviews" / "clothing_reviews.parquet")
    texts = reviews["Review Text"].dropna().head(10_000).reset_index(drop=True)
    for n_components in (30, 256):
        pairs = [
            (
                processor_seconds(TextDescriptor(n_components=n_components), texts),
                processor_seconds(StringEncoder(n_components, random_state=0), texts),
            )
            for _ in range(n_repeats)
        ]
        ours, theirs = np.array(pairs).T
        ratios = ours / theirs
        print(
            f"{len(texts):,} reviews, {n_components} components: {np.median(ours):.1f} s, skrub "
            f"{np.median(theirs):.1f} s, ratio {np.median(ratios):.2f} "
            f"({ratios.min():.2f} to {ratios.max():.2f})"
        )


if __name__ == "__main__":
    main()
