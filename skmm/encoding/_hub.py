"""Models on the Hugging Face hub: from disk if they are there, so that no network is needed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ._torchvision import patch_torchvision

REACH_TIMEOUT = 3  # seconds until a hub that does not answer counts as out of reach


def resolve_name(model: str | os.PathLike, *, estimator: str) -> str:
    """Return a name on the hub as it is, and a folder with its ``~`` expanded.

    Raises
    ------
    FileNotFoundError
        If it can only be a folder, and there is none.
    """
    name = os.path.expanduser(os.fspath(model))
    only_path = isinstance(model, os.PathLike) or os.path.isabs(name) or name.startswith(".")
    if only_path and not os.path.isdir(name):
        where = "" if os.path.isabs(name) else f" (relative to {os.getcwd()!r})"
        raise FileNotFoundError(
            f"{estimator}: there is no folder {name!r}{where} to load a model from."
        )
    return name


def load_from_hub(load: Callable[[], Any], *, name: str, estimator: str) -> Any:
    """Call ``load`` without the hub; if the model is not on disk, ask the hub for it.

    Raises
    ------
    OSError
        If the model is neither on disk nor to be had, within a few seconds.
    """
    patch_torchvision()
    try:
        with _offline():
            return load()
    except ImportError:
        raise
    except Exception as e:  # libraries raise different errors where a file is missing
        not_on_disk = e
    if os.path.exists(name) and not _wants_hub(not_on_disk):
        raise OSError(
            f"{estimator}: the model in {name!r} does not load: {_shorten(not_on_disk)}"
        ) from not_on_disk
    refused = None
    if _is_offline():
        refused = "HF_HUB_OFFLINE is set"
    elif not can_reach(_endpoint()):
        refused = f"{_endpoint()} cannot be reached"
    if refused is not None:
        if not isinstance(not_on_disk, OSError) and not _wants_hub(not_on_disk):
            refused += f" (what was found here does not load: {_shorten(not_on_disk)})"
        raise OSError(_explain(name, estimator, refused)) from not_on_disk
    try:
        return load()
    except ImportError:
        raise
    except Exception as e:
        raise OSError(
            _explain(name, estimator, f"{_endpoint()} did not give it: {_shorten(e)}")
        ) from e


def _explain(name: str, estimator: str, cause: str) -> str:
    if os.path.exists(name):
        return (
            f"{estimator}: the model in {name!r} needs files of another model that are not on this "
            f"machine, and {cause}. With a network, run this once and they stay in the cache of "
            "Hugging Face ($HF_HOME)."
        )
    return (
        f"{estimator}: the model {name!r} is not on this machine, and {cause}. Check the name; "
        "with a network, run this once and the model stays in the cache of Hugging Face "
        "($HF_HOME); without one, copy the model's folder here and pass its path."
    )


def _shorten(error: Exception) -> str:
    """Return the message of an error, cut short: it may name every weight of a model."""
    text = str(error)
    return text if len(text) <= 500 else text[:497] + "..."


def _wants_hub(error: BaseException | None) -> bool:
    """Return whether an error came of a file on the hub, which a folder may name."""
    from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

    while error is not None:
        if isinstance(error, LocalEntryNotFoundError | OfflineModeIsEnabled):
            return True
        error = error.__cause__ or error.__context__
    return False


def _endpoint() -> str:
    from huggingface_hub import constants

    return constants.ENDPOINT


def _is_offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


@contextmanager
def _offline() -> Iterator[None]:
    """Keep huggingface_hub, and what loads through it, from any request."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def can_reach(url: str) -> bool:
    """Return whether a server answers, by the proxies and certificates of huggingface_hub."""
    from huggingface_hub.utils import get_session

    answered = threading.Event()

    def request() -> None:
        try:
            get_session().head(url, timeout=REACH_TIMEOUT)
        except Exception:  # of any library of HTTP
            return
        answered.set()  # with any status

    thread = threading.Thread(target=request, daemon=True)
    thread.start()
    thread.join(REACH_TIMEOUT + 0.5)  # looking up a name has no timeout
    return answered.is_set()
