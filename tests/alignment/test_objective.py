"""The loss of the aligner, and what is remembered of it."""

import numpy as np
import pytest
import torch

from skmm._torch.losses import contrastive, correlation
from skmm._torch.tensors import TrainingTensors
from skmm.alignment._network import AlignmentOutput
from skmm.alignment._objective import AlignmentObjective

LOSSES = {"contrastive": lambda *pair: contrastive(*pair, 0.5), "correlation": correlation}


def make_rows(m=2, n=32):
    ones = torch.ones(n)
    return TrainingTensors(ones[:, None], torch.ones(n, m) > 0, torch.full((n, 1), -1), ones)


@pytest.mark.parametrize("alignment", LOSSES)
def test_loss_is_the_mean_over_ordered_pairs(alignment):
    generator = torch.Generator().manual_seed(0)
    f_0, f_1 = torch.randn(2, 32, 3, generator=generator)
    rows = make_rows()
    rows.present[:5, 0] = rows.present[8:10, 1] = False
    objective = AlignmentObjective(alignment, [(0, 1), (1, 0)], (0, 1), is_supervised=False)
    terms = objective.terms(AlignmentOutput((f_0, f_1), torch.tensor(0.5)), rows)
    both = rows.present.all(1)
    loss = LOSSES[alignment]
    forth, back = loss(f_0, f_1, rows.weight, both), loss(f_1, f_0, rows.weight, both)
    torch.testing.assert_close(terms, torch.stack([forth, back]))
    assert objective.coefficients == [0.5, 0.5]


def test_history_has_a_column_for_each_pair(frame, three, quick):
    for X, names in [(frame, ("text", "image")), (three, ("text", "image", "audio"))]:
        aligner = quick(solver__max_iter=3).fit(X)
        pairs = [f"alignment__{a}__{b}" for a in names for b in names if a != b]
        assert list(aligner.history_) == ["loss", *pairs]
        np.testing.assert_allclose(aligner.history_[pairs].mean(axis=1), aligner.loss_curve_)
        assert aligner.history_.index.name == "epoch"
