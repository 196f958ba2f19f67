"""The folds of a leaderboard."""

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skmm import FusionClassifier, FusionRegressor
from skmm.inspection._folds import encode, split, split_model


class CountingScaler(StandardScaler):
    """A scaler that counts how often it is fitted."""

    n_fits = 0

    def fit(self, X, y=None):
        type(self).n_fits += 1
        return super().fit(X, y)


def test_nested_pipelines_end_in_a_fusion():
    fusion = FusionRegressor(checkpoint="fit.pt", verbose=True)
    model = make_pipeline("passthrough", make_pipeline(StandardScaler(), fusion))
    encoder, last = split_model(model)
    assert [type(step) for _, step in encoder.steps] == [StandardScaler]
    assert isinstance(last, FusionRegressor)
    assert last is not fusion  # a clone, that writes and shows nothing
    assert (last.checkpoint, last.verbose) == (None, False)
    assert (fusion.checkpoint, fusion.verbose) == ("fit.pt", True)
    assert split_model(fusion)[0] is None


def test_groups_stay_together_and_classes_are_spread():
    groups = np.repeat(np.arange(12), 4)
    y = np.tile([0, 0, 1], 16)
    splits = split(3, np.zeros((48, 1)), y, groups, True)
    assert len(splits) == 3
    for train, test in splits:
        assert not set(groups[train]) & set(groups[test])
        assert y[test].mean() == pytest.approx(1 / 3, abs=0.1)
    by_number = split(3, np.zeros((48, 1)), y.astype(float) / 7, groups, False)
    assert all(not set(groups[train]) & set(groups[test]) for train, test in by_number)


def test_folds_that_train_on_one_class_are_named():
    y = np.repeat(["a", "b"], 5)
    with pytest.raises(ValueError, match=r"Fold 0\b.*'a'"):
        split(KFold(2), np.zeros((10, 1)), y[::-1], None, True)
    with pytest.raises(ValueError, match="cv"):
        split([(np.arange(5), np.arange(5, 10))], np.zeros((10, 1)), y, None, True)


def test_encoders_are_fitted_to_the_training_rows_of_a_fold():
    X = pd.DataFrame({"a__0": [0.0, 2.0, 100.0], "b__0": [1.0, 3.0, 100.0]})
    encoder = make_pipeline(
        FunctionTransformer(feature_names_out="one-to-one"), CountingScaler()
    ).set_output(transform="pandas")
    groups = np.array(["x", "y", "z"])
    arguments = encoder, FusionClassifier(), X, np.array([0, 1, 0]), groups
    fold = encode(*arguments, np.array([0, 1]), np.array([2]))
    np.testing.assert_allclose(fold.X, [[-1, -1], [1, 1]])
    np.testing.assert_allclose(fold.X_test, [[99, 98]])  # by the mean and spread of the others
    assert fold.groups.tolist() == ["x", "y"]
    assert (fold.y.tolist(), fold.y_test.tolist()) == ([0, 1], [0])
    assert {name: columns.tolist() for name, columns in fold.columns.items()} == {
        "a": [0],
        "b": [1],
    }
    assert CountingScaler.n_fits == 1
    assert not hasattr(encoder[-1], "mean_")  # it stays as it is
