"""Digests of torch modules: of their weights, and of texts that describe how items reach them."""

from __future__ import annotations

import hashlib
from typing import Any
from weakref import WeakKeyDictionary, ref


def digest_model(model, *descriptions: str) -> str:
    """Compute the digest of the weights of a torch module, and of texts that describe it."""
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
    """Compute the digest of a user's module, again only if its weights have changed since."""
    tensors = [*module.parameters(), *module.buffers()]
    if any(tensor.is_inference() for tensor in tensors):  # these count no changes
        return digest_model(module, *descriptions)
    state = (*descriptions, *((ref(tensor), tensor._version) for tensor in tensors))
    known = _digests.get(module)
    if known is None or known[0] != state:
        known = _digests[module] = (state, digest_model(module, *descriptions))
    return known[1]
