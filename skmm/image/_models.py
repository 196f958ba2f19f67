"""Models of images, by name or from a folder, with the preprocessing that belongs to them."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

from .._optional import import_optional
from ..encoding.engine import can_reach, load_from_hub, patch_torchvision, resolve_name

# Of open_clip_config.json; the size is that of the model.
_PREPROCESSING = {
    "mean": "image_mean",
    "std": "image_std",
    "interpolation": "image_interpolation",
    "resize_mode": "image_resize_mode",
}


def load_model(
    name: str, pretrained: str | None, *, precision: str, device: str
) -> tuple[Any, Callable]:
    """Load a model, and the transform of a PIL image into its input."""
    patch_torchvision()
    source, _, rest = name.partition(":")
    if source == "timm":
        return _load_timm(rest, precision, device)
    if source == "hf-hub":
        return _load_open_clip(name, None, precision, device)
    folder = _resolve_folder(name)
    if not os.path.isdir(folder):
        return _load_open_clip(name, pretrained, precision, device)
    if os.path.isfile(os.path.join(folder, "open_clip_config.json")):
        return _load_open_clip(f"local-dir:{folder}", None, precision, device)
    if os.path.isfile(os.path.join(folder, "config.json")):
        return _load_timm(f"local-dir:{folder}", precision, device)
    raise FileNotFoundError(
        f"ImageEncoder: the folder {folder!r} holds neither the open_clip_config.json of a model "
        "that open_clip saved nor the config.json of one that timm saved."
    )


def _resolve_folder(name: str) -> str:
    """Return the folder that a name, with or without ``local-dir:``, is the path of."""
    _, prefix, path = name.rpartition("local-dir:")
    return resolve_name(Path(path) if prefix else path, estimator="ImageEncoder")


def describe_transform(transform: Callable) -> str:
    """Describe a transform of torchvision, in any process alike."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(transform))


def _load_open_clip(
    name: str,
    pretrained: str | None,
    precision: str,
    device: str,
) -> tuple[Any, Callable]:
    open_clip = import_optional("open_clip", extra="image", purpose="ImageEncoder")
    options, source = {}, name.removeprefix("local-dir:")
    if ":" not in name:
        pretrained = _check_pretrained(open_clip, name, pretrained)
        if os.path.isfile(pretrained):
            source = pretrained
        if config := find_config(pretrained):
            options = _read_preprocessing(config)
    load = partial(
        open_clip.create_model_from_pretrained,
        name,
        pretrained=pretrained,
        precision={"float32": "fp32", "bfloat16": "bf16"}[precision],
        device=device,
        **options,
    )
    with _quiet_open_clip():
        return load_from_hub(load, name=source, estimator="ImageEncoder")


def load_tokenizer(name: str) -> Callable:
    """Load the tokenizer of a model of open_clip, by the name of the model."""
    patch_torchvision()
    open_clip = import_optional("open_clip", extra="image", purpose="ImageEncoder")
    folder = name if ":" in name else _resolve_folder(name)
    if os.path.isdir(folder):
        name = f"local-dir:{folder}"
    with _quiet_open_clip():
        return load_from_hub(
            partial(open_clip.get_tokenizer, name),
            name=name.removeprefix("local-dir:"),
            estimator="ImageEncoder",
        )


def _check_pretrained(open_clip, name: str, pretrained: str | None) -> str:
    """Return the tag or file of weights; raise ValueError if open_clip does not know it."""
    models = open_clip.list_models()
    if name.replace("/", "-") not in models:
        raise ValueError(
            f"ImageEncoder: open_clip knows no model {name!r}, nor is it a folder"
            f"{_suggest(name, models)} Models on the Hugging Face hub are "
            '"hf-hub:ORGANISATION/NAME", those of timm "timm:NAME".'
        )
    tags = open_clip.list_pretrained_tags_by_model(name.replace("/", "-"))
    if pretrained is not None and (pretrained in tags or os.path.isfile(pretrained)):
        return pretrained
    raise ValueError(
        f"ImageEncoder: pretrained={pretrained!r} is neither a file nor one of the tags of "
        f"{name!r}: {', '.join(tags) or 'it has none'}."
    )


def _suggest(name: str, names: list[str]) -> str:
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    return f"; did you mean {', '.join(map(repr, near))}?" if near else "."


def find_config(pretrained: str | None) -> str | None:
    """Return the path of the config of open_clip beside a file of weights, if both exist."""
    if pretrained is None or not os.path.isfile(pretrained):
        return None
    config = os.path.join(os.path.dirname(pretrained), "open_clip_config.json")
    return config if os.path.isfile(config) else None


def _read_preprocessing(config: str) -> dict[str, Any]:
    """Read how images are prepared, as options of open_clip."""
    with open(config, encoding="utf-8") as file:
        found = json.load(file).get("preprocess_cfg", {})
    return {ours: found[theirs] for theirs, ours in _PREPROCESSING.items() if theirs in found}


def _load_timm(name: str, precision: str, device: str) -> tuple[Any, Callable]:
    timm = import_optional("timm", extra="image", purpose="ImageEncoder")
    import torch

    source = _resolve_folder(name) if name.startswith("local-dir:") else name
    if ":" not in name and not timm.models.is_model_pretrained(name):
        names = timm.list_pretrained()
        if "." not in name:
            names = sorted({name.partition(".")[0] for name in names})
        raise ValueError(
            f"ImageEncoder: timm has no weights of a model {name!r}{_suggest(name, names)} It has "
            "those of timm.list_pretrained(), and models of others are "
            '"timm:hf-hub:ORGANISATION/NAME".'
        )
    if ":" not in name:
        _check_address(timm.get_pretrained_cfg(name), name)
    model = load_from_hub(
        partial(timm.create_model, name, pretrained=True, num_classes=0),
        name=source,
        estimator="ImageEncoder",
    )
    config = timm.data.resolve_model_data_config(model)
    preprocess = timm.data.create_transform(**config, is_training=False)
    return model.to(device, getattr(torch, precision)), preprocess


def _check_address(config, name: str) -> None:
    """Raise OSError if weights that are on no hub are neither on disk nor within reach."""
    import torch

    if config.hf_hub_id or not config.url:
        return
    file = os.path.basename(config.url)
    if os.path.isfile(os.path.join(torch.hub.get_dir(), "checkpoints", file)):
        return
    if not can_reach(config.url):
        raise OSError(
            f"ImageEncoder: the weights of 'timm:{name}' are not on this machine, and {config.url} "
            "cannot be reached. With a network, run this once and they stay in the cache of torch; "
            f"without one, copy {file} into {torch.hub.get_dir()}/checkpoints."
        )


@contextmanager
def _quiet_open_clip() -> Iterator[None]:
    """Keep what open_clip logs on the root logger, which sets logging up if the user has not."""

    def is_foreign(record: logging.LogRecord) -> bool:
        return "open_clip" not in record.pathname

    root, handler = logging.getLogger(), logging.NullHandler()
    root.addFilter(is_foreign)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.removeFilter(is_foreign)
