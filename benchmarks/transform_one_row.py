"""How long does `ModalityTransformer().transform` of one row take?

A row of 1,000 numbers, and one of a text and two numbers, compared with a `ColumnTransformer` of
what one would write with scikit-learn: imputer and scaler; TF-IDF of words and of runs of
characters with a truncated SVD. The two are timed in turns.

    OMP_NUM_THREADS=1 python benchmarks/transform_one_row.py [n_repeats]
"""

import sys
import time

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler

from skmm import ModalityTransformer


def make_frames(n_rows=500):
    rng = np.random.default_rng(0)
    wide = pd.DataFrame(rng.normal(size=(n_rows, 1000))).rename(columns="number {}".format)
    words = [f"word{i}" for i in range(1000)]
    mixed = pd.DataFrame(rng.normal(size=(n_rows, 2)), columns=["price", "age"])
    mixed["text"] = [" ".join(rng.choice(words, 20)) for _ in range(n_rows)]
    return {"1,000 numbers": wide, "a text and two numbers": mixed}


def make_plain(frame):
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    steps = [("numbers", numbers, [column for column in frame if column != "text"])]
    if "text" in frame:
        words = TfidfVectorizer(sublinear_tf=True, max_features=50_000)
        runs = TfidfVectorizer(
            sublinear_tf=True, max_features=50_000, analyzer="char_wb", ngram_range=(2, 5)
        )
        svd = TruncatedSVD(len(frame) // 4, random_state=0)
        steps.append(("text", make_pipeline(make_union(words, runs), svd), "text"))
    return ColumnTransformer(steps)


def main():
    n_repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    for name, frame in make_frames().items():
        encoders = ModalityTransformer().fit(frame), make_plain(frame).fit(frame)
        row = frame.iloc[:1]
        milliseconds = np.empty((n_repeats, 2))
        for repeat in range(n_repeats):
            for i, encoder in enumerate(encoders):
                start = time.perf_counter()
                encoder.transform(row)
                milliseconds[repeat, i] = 1e3 * (time.perf_counter() - start)
        ours, plain = np.median(milliseconds, axis=0)
        ratio = np.median(milliseconds[:, 0] / milliseconds[:, 1])
        print(f"{name}: {ours:.1f} ms, ColumnTransformer {plain:.1f} ms, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
