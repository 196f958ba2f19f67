import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from skmm._data.fitted import FittedMixin


class Mean(FittedMixin, BaseEstimator):
    @property
    def mean_(self):
        return self._fitted_attribute("mean_")

    def fit(self, X):
        self.n_features_in_ = 1  # set before what may fail
        self._fitted = sum(X) / len(X)
        return self


def test_fitted_attributes_come_with_fit():
    model = Mean()
    with pytest.raises(AttributeError, match=r"'Mean' object has no attribute 'mean_' before fit"):
        _ = model.mean_
    assert model.fit([1, 3]).mean_ == 2
    assert not hasattr(clone(model), "mean_")


def test_a_fit_that_failed_is_none():
    model = Mean()
    with pytest.raises(ZeroDivisionError):
        model.fit([])
    with pytest.raises(NotFittedError):
        check_is_fitted(model)
    check_is_fitted(model.fit([1]))
