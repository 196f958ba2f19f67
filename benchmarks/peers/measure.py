"""Measure one thing of one peer; run by bench.py in the peer's environment.

Each figure is a line of JSON on standard output: those before a crash or a time limit count.

    python benchmarks/peers/measure.py PEER (abilities | search | DATA_SET) [--seeds 5]
"""

import argparse
import importlib
import json
import os
import pickle
import resource
import sys
import warnings
from pathlib import Path

import numpy as np

DATA = Path(os.environ["PEERS_DATA"])
MISSING_SHARE = 0.6  # of the rows
ENOUGH = 120  # processor seconds, after which no other seed is begun; as peers_notes.md says


def report(**figures):
    print("FIGURES " + json.dumps(figures), flush=True)


def patch_torch_extensions():
    """Make PyPI's torchvision and torchaudio, built for CUDA, importable with a torch for CPUs.

    What they compiled does not load there; nothing that is measured calls it.
    """
    try:
        import torch
    except ImportError:
        return
    if torch.version.cuda is None:
        patch_torchaudio()
        patch_torchvision(torch)


def patch_torchaudio():
    """Import it as if its extension had not been built, which it allows for."""
    glob = Path.glob  # with which it looks for its extension
    Path.glob = lambda folder, pattern: [] if "torchaudio" in pattern else glob(folder, pattern)
    try:
        import torchaudio  # noqa: F401
    except ImportError:
        pass
    finally:
        Path.glob = glob


def patch_torchvision(torch):
    """Declare the two operators that it wants to extend at its import."""
    try:
        import torchvision  # noqa: F401
    except ImportError:
        pass
    except RuntimeError as e:
        if "torchvision::nms" not in str(e):
            raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        torch.library.kept_by_the_benchmark = library  # what it declares goes when it does


def explain(error):
    """Describe an error in one line."""
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return text if len(text) <= 120 else text[:117] + "..."


def attempt(check):
    """Return the result of a check, or its error, as the cell of a table."""
    try:
        return check()
    except Exception as e:
        return f"no: {explain(e)}"


def read_table():
    import pandas as pd

    table = pd.read_csv(DATA / "table.csv")
    return table[["text", "image", "audio"]], table["digit"].to_numpy()


def prepare(peer, table):
    return peer.prepare(table) if hasattr(peer, "prepare") else table


def fit(peer, table, y):
    if hasattr(peer, "fit"):
        return peer.fit(table, y)
    return peer.make_model().fit(prepare(peer, table), y)


def predict(peer, model, table):
    if hasattr(peer, "predict"):
        return np.asarray(peer.predict(model, table))
    return np.asarray(model.predict(prepare(peer, table)))


def measure_abilities(peer):
    """Fit a table of raw columns; clone, search and pickle what was fitted."""
    from sklearn.base import clone
    from sklearn.model_selection import GridSearchCV

    table, y = read_table()
    train, test = np.arange(len(y)) % 3 > 0, np.arange(len(y)) % 3 == 0
    fitted = []

    def fits():
        fitted.append(fit(peer, table[train], y[train]))
        predicted = predict(peer, fitted[0], table[test])
        assert predicted.shape == (test.sum(),), predicted.shape
        assert set(predicted) <= set(y), set(predicted)
        return "yes"

    def fits_partly():
        fitted.append(peer.fit_partly(table[train], y[train]))
        return f"{peer.PART}: {'yes' if len(predict(peer, fitted[0], table[test])) else 'no'}"

    def make_estimator():
        """Return what scikit-learn gets: where the user writes fit, the object that was fitted."""
        return peer.unwrap(fitted[0]) if hasattr(peer, "unwrap") else peer.make_model()

    def clones():
        copy = clone(make_estimator())
        copy.fit(prepare(peer, table[train]), y[train]).predict(prepare(peer, table[test]))
        return "yes"

    def searches():
        name, values = next(iter(peer.GRID.items()))
        search = GridSearchCV(make_estimator(), {name: values[:2]}, cv=2, error_score="raise")
        search.fit(prepare(peer, table), y).predict(prepare(peer, table[test]))
        return "yes"

    def pickles():
        stored = pickle.dumps(fitted[0])
        again = predict(peer, pickle.loads(stored), table[test])
        assert (again == predict(peer, fitted[0], table[test])).all(), "predicts otherwise"
        return f"yes, {len(stored) / 1e6:,.1f} MB"

    raw = attempt(fits)
    if not fitted and hasattr(peer, "fit_partly"):
        raw += f"; {attempt(fits_partly)}"
    report(raw=raw)
    without = "not tried, for it did not fit"
    tried = fitted or not hasattr(peer, "unwrap")
    report(clone=attempt(clones) if tried else without)
    report(search=attempt(searches) if tried else without)
    report(pickle=attempt(pickles) if fitted else without)


def count_encoded():
    """Count, in what this returns, items that reach an encoder's model."""
    import librosa
    import timm.models
    from sentence_transformers import SentenceTransformer

    counts = {"text": 0, "image": 0, "audio": 0}

    def counting(owner, name, modality, size):
        original = getattr(owner, name)

        def counted(*args, **kwargs):
            counts[modality] += size(*args, **kwargs)
            return original(*args, **kwargs)

        setattr(owner, name, counted)

    counting(SentenceTransformer, "forward", "text", lambda self, x, **_: len(x["input_ids"]))
    counting(timm.models.EfficientNet, "forward", "image", lambda self, x: len(x))
    for owner, name in ((librosa, "stft"), (librosa.feature, "mfcc")):  # a sound takes one of them
        counting(owner, name, "audio", lambda *_, **__: 1)
    return counts


def measure_search(peer):
    """Search 24 candidates in 5 folds; count what is encoded for one distinct item."""
    from sklearn.model_selection import GridSearchCV

    table, y = read_table()
    counts = count_encoded()
    before = cpu_seconds()
    search = GridSearchCV(peer.make_model(), peer.GRID, cv=5, error_score="raise")
    search.fit(prepare(peer, table), y)
    seconds = cpu_seconds() - before
    assert len(search.cv_results_["params"]) == 24
    n_distinct = sum(table[column].nunique() for column in table)
    report(encoded={**counts}, per_item=sum(counts.values()) / n_distinct, search_seconds=seconds)


def cpu_seconds():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def measure_data_set(peer, name, n_seeds):
    """For each seed, fit on training rows and test once; also with a modality missing in rows."""
    data = np.load(DATA / f"{name}.npz")
    X, y, train = data["X"], data["y"], data["train"]
    widths = dict(zip(data["names"].tolist(), data["widths"].tolist(), strict=True))
    few = np.concatenate([np.flatnonzero(train & (y == label))[:6] for label in np.unique(y)])
    attempt(lambda: peer.make_for_arrays(widths, 0).fit(X[few], y[few]))  # loads what it needs

    def run(X, seed, kind):
        before = cpu_seconds()
        try:
            model = peer.make_for_arrays(widths, seed)
            model.fit(X[train], y[train])
            seconds = cpu_seconds() - before
            accuracy = float((np.asarray(model.predict(X[~train])) == y[~train]).mean())
        except Exception as e:
            report(kind=kind, data=name, error=explain(e))
            return False
        report(kind=kind, data=name, accuracy=accuracy, seconds=seconds)
        return True

    lacking = X.copy()
    start = list(widths).index(data["lacks"].item())
    columns = slice(sum(list(widths.values())[:start]), sum(list(widths.values())[: start + 1]))
    rows = np.random.default_rng(0).permutation(len(X))[: round(MISSING_SHARE * len(X))]
    lacking[rows, columns] = np.nan
    begin, takes_missing = cpu_seconds(), True
    for seed in range(n_seeds if peer.SEEDED else 1):
        if not run(X, seed, "complete"):
            return
        if takes_missing:
            takes_missing = run(lacking, seed, "missing")
        if cpu_seconds() - begin > ENOUGH:
            return


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("peer")
    parser.add_argument("what")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    patch_torch_extensions()
    peer = importlib.import_module(f"peer_{arguments.peer}")
    if arguments.what == "abilities":
        measure_abilities(peer)
    elif arguments.what == "search":
        measure_search(peer)
    else:
        measure_data_set(peer, arguments.what, arguments.seeds)


if __name__ == "__main__":
    main()
