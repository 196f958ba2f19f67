"""Pretrained models, each loaded once in a process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple


class Backbone(NamedTuple):
    """A model as the encoders use it."""

    model: Any
    digest: str  # of its weights and of the preprocessing of items
    n_features: int
    preprocess: Callable | None = None


_loaded: dict[Hashable, tuple[Hashable, Backbone]] = {}  # by what they are: version and model
_loading = threading.RLock()
_running = threading.RLock()


def lock_models() -> AbstractContextManager:
    """Return the lock to hold where a shared model is set up for a batch, and encodes it."""
    return _running


def _unlock_in_child() -> None:
    global _loading, _running
    _loading, _running = threading.RLock(), threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock_in_child)


def load_once(key: Hashable, load: Callable[[], Backbone], *, version: Hashable = None) -> Backbone:
    """Return the model of ``key`` in this process, which ``load`` makes if there is none.

    Another version of it takes its place.
    """
    from .._torch.modes import model_modes

    with _loading:
        if key not in _loaded or _loaded[key][0] != version:
            with model_modes():
                _loaded[key] = (version, load())
        return _loaded[key][1]


def describe_files(path: str) -> tuple:
    """Describe a file or those in a folder, so that a model saved again is loaded again."""
    found = [path]
    if os.path.isdir(path):
        found = [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names]
    status = [(file, os.stat(file)) for file in sorted(found)]
    return tuple((file, stat.st_size, stat.st_mtime_ns) for file, stat in status)


@cache  # metadata are parsed anew in each look-up, and what is imported stays what it is
def describe_versions(*packages: str) -> str:
    """Name the installed versions of packages."""
    found = []
    for package in packages:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:  # vendored, or in an editable checkout without metadata
            found.append(f"{package} ?")
    return ", ".join(found)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers from reporting how it loads weights."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
