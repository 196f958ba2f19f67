"""Grids of modality weights."""

import pytest

from skmm import AdamW, FusionClassifier
from skmm.datasets import make_multimodal_classification
from skmm.model_selection import simplex_grid


def test_grid_on_the_simplex():
    grid = simplex_grid(["a", "b", "c"], 0.25)
    assert len(grid) == 15
    assert len({tuple(point.items()) for point in grid}) == 15
    assert all(sum(point.values()) == pytest.approx(1) for point in grid)
    assert {"a": 0.25, "b": 0.5, "c": 0.25} in grid
    least = simplex_grid(["a", "b", "c"], 0.1, min_weight=0.2)
    assert least == [p for p in simplex_grid(["a", "b", "c"], 0.1) if min(p.values()) >= 0.2]
    assert simplex_grid(["a"], 0.5) == [{"a": 1.0}]
    X, y = make_multimodal_classification(60, modality_names=("a", "b"), random_state=0)
    weights = simplex_grid(["a", "b"], 0.25)[1]
    model = FusionClassifier(solver=AdamW(max_iter=2), modality_weights=weights)
    assert model.fit(X, y).modality_weights_ == {"a": 0.25, "b": 0.75}


@pytest.mark.parametrize(
    ("names", "options", "match"),
    [
        (["a"], {"step": 0.3}, r"step.*\b0\.3\b"),
        (["a"], {"step": 0}, r"step.*\b0\b"),
        ([], {}, "names"),
        (["a", "a"], {}, r"names.*\['a', 'a'\]"),
        (["a", "b"], {"min_weight": 0.6}, r"min_weight=0\.6"),
    ],
)
def test_grids_that_are_none(names, options, match):
    with pytest.raises(ValueError, match=match):
        simplex_grid(names, **options)
