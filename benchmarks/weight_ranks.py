"""Do the learned weights rank modalities as the loss of score without each of them does?

On the training rows of the four shared data sets, three folds and some seeds: the weights that
FusionClassifier learns on two folds, and how much less of the third it gets right when it is fitted
without a modality. Prints both and Spearman's correlation over all; 0.8 is the goal.

Needs the extra `test` and the shared data ($SKMM_SHARED_DATA, or ../shared/data). Five minutes on
two cores.

    python benchmarks/weight_ranks.py [--seeds 2]
"""

import argparse
import itertools
import os
import sys
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from skmm import FusionClassifier

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("SKMM_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
sys.path.insert(0, str(REPOSITORY / "tests"))
import shared_features  # noqa: E402 - found through the path above

SETS = ["emoji", "mosi_utterance", "fashion_small", "av_digits"]


def cross_validate(blocks, data, seeds):
    """Return the mean score on held-out rows, and the mean weights."""
    X, widths = np.hstack(list(blocks.values())), {k: v.shape[1] for k, v in blocks.items()}
    scores, weights = [], []
    for seed, (rows, held_out) in itertools.product(range(seeds), data.folds()):
        model = FusionClassifier(modalities=widths, random_state=seed).fit(X[rows], data.y[rows])
        scores.append(model.score(X[held_out], data.y[held_out]))
        weights.append(list(model.modality_weights_.values()))
    return np.mean(scores), np.mean(weights, axis=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=2)
    seeds = parser.parse_args().seeds
    all_weights, drops = [], []
    for name in SETS:
        data = getattr(shared_features, name)(SHARED / name)
        score, weights = cross_validate(data.blocks, data, seeds)
        print(f"{name}: accuracy {score:.3f}")
        for left_out, weight in zip(data.blocks, weights, strict=True):
            rest = {other: block for other, block in data.blocks.items() if other != left_out}
            drop = score - cross_validate(rest, data, seeds)[0]
            print(f"  {left_out:10} weight {weight:.3f}  accuracy lost without it {drop:+.3f}")
            all_weights.append(weight)
            drops.append(drop)
    print(f"Spearman's correlation over all: {spearmanr(all_weights, drops).statistic:.2f}")


if __name__ == "__main__":
    main()
