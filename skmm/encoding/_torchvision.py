"""A torchvision that was built for CUDA, beside a torch for CPUs."""

from __future__ import annotations

import functools
import sys
from typing import Any

_kept: list[Any] = []


@functools.cache
def patch_torchvision() -> None:
    """Make a torchvision that was built for CUDA importable beside a torch for CPUs.

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
