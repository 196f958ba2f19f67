"""What `fit` has made, and the fitted attributes that are read from it."""

from __future__ import annotations

from typing import Any


def read_fitted(estimator: Any, attribute: str, name: str) -> Any:
    """Return an attribute that `fit` sets, from which the public one ``name`` is read.

    Raises
    ------
    AttributeError
        If it is not set; it names the public one.
    """
    if attribute not in estimator.__dict__:
        raise AttributeError(
            f"{type(estimator).__name__!r} object has no attribute {name!r} before fit"
        )
    return estimator.__dict__[attribute]


class FittedMixin:
    """For estimators that hold what is fitted in one attribute, ``_fitted``."""

    def _fitted_attribute(self, name: str) -> Any:
        """Return what is fitted, from which the fitted attribute ``name`` is read."""
        return read_fitted(self, "_fitted", name)

    def __sklearn_is_fitted__(self) -> bool:
        """Return whether a fit came to its end: one that failed has set some attributes too."""
        return hasattr(self, "_fitted")
