"""Models of sentence-transformers as the backends of `TextEncoder` load them."""

from __future__ import annotations

import copy
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NamedTuple

from .._warnings import warn_user
from ..encoding.cache import digest_file


class Exporting(NamedTuple):
    """A backend that runs a model which was exported for it."""

    package: str
    module: str  # of optimum
    model_class: str
    file: str  # what sentence-transformers looks for, here or in a folder named as the backend
    model_options: dict[str, Any]


EXPORTING = {
    "onnx": Exporting(
        "onnxruntime", "optimum.onnxruntime", "ORTModelForFeatureExtraction", "model.onnx", {}
    ),
    "openvino": Exporting(
        "openvino",
        "optimum.intel.openvino",
        "OVModelForFeatureExtraction",
        "openvino_model.xml",
        # Left alone, it computes in bfloat16 where the processor can, and large models in int8.
        {"ov_config": {"INFERENCE_PRECISION_HINT": "f32"}, "load_in_8bit": False},
    ),
}


def check_backend(backend: str) -> None:
    """Import what a backend runs with.

    Raises
    ------
    ImportError
        If it is not installed, or not made for the installed versions of its dependencies.
    """
    if backend not in EXPORTING:
        return
    exporting = EXPORTING[backend]
    try:
        import_module(exporting.package)
        getattr(import_module(exporting.module), exporting.model_class)
    except (ImportError, AttributeError, RuntimeError) as e:  # what is lazy raises the last two
        raise ImportError(
            f"TextEncoder with backend={backend!r} needs {exporting.module} and "
            f"{exporting.package}: pip install 'sentence-transformers[{backend}]', best in "
            "an environment of its own, as it may take older versions of transformers and "
            f"sentence-transformers. Here, {e}"
        ) from e


def load_whole(library, name: str, *, backend: str, device: str):
    """Load a model, unless the files lack how its tokens are pooled: that would be guessed.

    This is so where only what transformers needs of a model of sentence-transformers is on disk.
    """
    from huggingface_hub import constants

    source = name
    if constants.HF_HUB_OFFLINE and not os.path.exists(name):
        if _find_in_cache(name, "modules.json") is None:
            raise FileNotFoundError(f"no modules.json of {name} in the cache of Hugging Face")
        if backend != "torch":  # by name, these ask the hub for its list of files
            source = _find_folder(name) or name
    if backend == "torch":
        return library.SentenceTransformer(source, device=device)
    with _quiet_export():
        model = library.SentenceTransformer(
            source,
            device=device,
            backend=backend,
            model_kwargs=copy.deepcopy(EXPORTING[backend].model_options),
        )
    _warn_of_export(name, backend)
    return model


def digest_files(name: str) -> list[str]:
    """Compute the digests of the files of a model, in a folder or in the cache, anywhere."""
    root = _find_folder(name)
    if root is None:
        return [name]
    return [
        f"{os.path.relpath(path, root)} {digest_file(path).hex()}" for path in _list_files(root)
    ]


def _find_in_cache(name: str, file: str) -> Any:
    """Return the path of a file of a model on the hub; None if it is not in the cache."""
    from huggingface_hub import try_to_load_from_cache

    folder = os.environ.get("SENTENCE_TRANSFORMERS_HOME")
    names = [name] if "/" in name else [name, f"sentence-transformers/{name}"]
    found = [try_to_load_from_cache(n, file, cache_dir=folder) for n in names]
    return next((path for path in found if path is not None), None)


def _find_folder(name: str) -> str | None:
    """Return the folder that a model is in, in the cache if it is on the hub."""
    if os.path.isdir(name):
        return name
    config = _find_in_cache(name, "config.json")
    return os.path.dirname(config) if isinstance(config, str) else None


def _list_files(root: str) -> list[str]:
    return sorted(os.path.join(folder, n) for folder, _, names in os.walk(root) for n in names)


@contextmanager
def _quiet_export() -> Iterator[None]:
    """Keep an export from reporting how it goes, and from advice for those who hold the model."""
    from torch.jit import TracerWarning  # pyright: ignore[reportPrivateImportUsage] (documented)

    loggers = [logging.getLogger(name) for name in ("sentence_transformers.backend", "optimum")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for category in (TracerWarning, DeprecationWarning, FutureWarning):
                warnings.simplefilter("ignore", category)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _warn_of_export(name: str, backend: str) -> None:
    root, file = _find_folder(name), EXPORTING[backend].file
    if root is None or file in map(os.path.basename, _list_files(root)):
        return
    warn_user(
        f"TextEncoder: {name!r} has no {file}, so the model was exported to a temporary folder, "
        f"and will be again by each process. To do it once: SentenceTransformer({name!r}, "
        f"backend={backend!r}).save_pretrained('new folder'), then TextEncoder('new folder', "
        f"backend={backend!r})."
    )
