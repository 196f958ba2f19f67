"""Pretrained models: loaded once in a process, without a network where they are on disk."""

from __future__ import annotations

import functools
import hashlib
import os
import sys
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, ref

REACH_TIMEOUT = 3  # seconds until a hub that does not answer counts as out of reach


class Backbone(NamedTuple):
    """A model as the encoders use it."""

    model: Any
    digest: str  # of its weights and of what stands between an item and the model
    n_features: int
    preprocess: Callable | None = None


_loaded: dict[Hashable, tuple[Hashable, Backbone]] = {}  # by what they are: version and model
_loading = threading.RLock()
# Encoders share a model, and some of them set it up before each batch.
running = threading.RLock()


def _unlock_in_child() -> None:
    global _loading, running
    _loading, running = threading.RLock(), threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock_in_child)


def load_once(key: Hashable, load: Callable[[], Backbone], *, version: Hashable = None) -> Backbone:
    """Give what ``load`` made of ``key`` in this process, and call it only if nothing has.

    Another version of what was loaded takes its place.
    """
    with _loading:
        if key not in _loaded or _loaded[key][0] != version:
            _loaded[key] = (version, load())
        return _loaded[key][1]


def digest_model(model, *descriptions: str) -> str:
    """Digest the weights of a torch module, and texts that say how items reach it."""
    digest = hashlib.blake2b(digest_size=16)
    for description in descriptions:
        digest.update(description.encode() + b"\0")
    # The state leaves out buffers that a model makes anew, which may be what it computes with.
    state = {**model.state_dict(), **dict(model.named_buffers())}
    for name, tensor in sorted(state.items()):
        if not hasattr(tensor, "detach"):  # the extra state of some modules
            digest.update(f"{name} {tensor!r}".encode())
            continue
        import torch

        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
        digest.update(values.flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


_digests: WeakKeyDictionary[Any, tuple[tuple, str]] = WeakKeyDictionary()


def digest_module(module, *descriptions: str) -> str:
    """Digest a module that a user gave, again only if its weights have changed since."""
    tensors = [*module.parameters(), *module.buffers()]
    if any(tensor.is_inference() for tensor in tensors):  # these count no changes
        return digest_model(module, *descriptions)
    state = (*descriptions, *((ref(tensor), tensor._version) for tensor in tensors))
    known = _digests.get(module)
    if known is None or known[0] != state:
        known = _digests[module] = (state, digest_model(module, *descriptions))
    return known[1]


def describe_files(path: str) -> tuple:
    """Describe a file or those in a folder, so that a model saved again is loaded again."""
    found = [path]
    if os.path.isdir(path):
        found = [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names]
    status = [(file, os.stat(file)) for file in sorted(found)]
    return tuple((file, stat.st_size, stat.st_mtime_ns) for file, stat in status)


def describe_versions(*packages: str) -> str:
    """Name the installed versions of packages."""
    found = []
    for package in packages:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:  # vendored, or in an editable checkout without metadata
            found.append(f"{package} ?")
    return ", ".join(found)


def resolve_name(model: str | os.PathLike, *, estimator: str) -> str:
    """Give a name on the hub as it is, and a folder with its user's home spelt out.

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


# The hub


def load_from_hub(load: Callable[[], Any], *, name: str, estimator: str) -> Any:
    """Call ``load`` without the hub; if the model is not on disk, ask the hub for it.

    Raises
    ------
    OSError
        If the model is neither on disk nor to be had, within a few seconds.
    """
    mend_torchvision()
    try:
        with _offline():
            return load()
    except ImportError:
        raise
    except Exception as e:  # each library has its own way to say that a file is not there
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
    """Give the message of an error, which may name every weight of a model, up to a length."""
    text = str(error)
    return text if len(text) <= 500 else text[:497] + "..."


def _wants_hub(error: BaseException | None) -> bool:
    """Tell whether an error came of a file on the hub, which a folder may name."""
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
    """Tell whether a server answers at all, by the proxies and certificates of huggingface_hub."""
    from huggingface_hub.utils import get_session

    answered = threading.Event()

    def ask() -> None:
        try:
            get_session().head(url, timeout=REACH_TIMEOUT)
        except Exception:  # of whichever library it asks with
            return
        answered.set()  # whatever it says, it is there

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(REACH_TIMEOUT + 0.5)  # looking up a name has no timeout of its own
    return answered.is_set()


# torchvision


@functools.cache
def mend_torchvision() -> None:
    """Let a torchvision that was built for CUDA be imported beside a torch for CPUs.

    Its compiled operators do not load there, and registering what torch should do with two of them
    then fails. Nothing here calls these, so that it is enough to declare them.
    """
    if "torchvision" in sys.modules:
        return
    try:
        import torchvision  # noqa: F401
    except ImportError:
        return
    except RuntimeError as e:
        if "torchvision::nms" not in str(e):
            raise
    else:
        return
    import torch

    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _kept.append(library)  # what it declares goes when it does


_kept: list[Any] = []
