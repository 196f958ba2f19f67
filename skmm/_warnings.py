"""Warnings that point at the line that the user wrote."""

from __future__ import annotations

import sys
import warnings

# Packages between the caller's line and ours; code of skmm runs in tests, too.
_BETWEEN = {"skmm", "sklearn", "joblib", "contextlib"}


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn, at the call that came from outside of skmm and scikit-learn."""
    level, frame = 1, sys._getframe()
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] in _BETWEEN:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
