"""What an item is, in 16 bytes: digests of its content.

Each kind of item has its own BLAKE2 (the argument ``person``), and containers are digests of their
parts' digests, so that no two items of different kind or structure look alike.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import numpy as np

N_BYTES = 16
_ORIENTATION = 0x0112  # the EXIF tag


def digest_item(item: Any) -> bytes:
    """Compute the digest, 16 bytes, of the content of an item.

    A str is a text, bytes are the content of a file. Arrays of numbers, PIL images, and tuples,
    lists and dicts of all these and of numbers are digested too.

    Raises
    ------
    TypeError
        If it is anything else.
    """
    if isinstance(item, str):
        return hash_parts(b"text", item.encode("utf-8", "surrogatepass"))
    if isinstance(item, bytes | bytearray):
        return hash_parts(b"bytes", item)
    if isinstance(item, memoryview):
        return hash_parts(b"bytes", item.tobytes())  # it may have gaps
    if isinstance(item, np.ndarray):
        return _digest_array(item)
    if isinstance(item, tuple):
        return hash_parts(b"tuple", *map(digest_item, item))
    if isinstance(item, list):
        return hash_parts(b"list", *map(digest_item, item))
    if isinstance(item, dict):
        pairs = sorted((digest_item(key), digest_item(value)) for key, value in item.items())
        return hash_parts(b"dict", *(digest for pair in pairs for digest in pair))
    if item is None or isinstance(item, bool | np.bool_):
        return hash_parts(b"constant", str(item).encode())
    if isinstance(item, int | np.integer):
        return hash_parts(b"integer", str(int(item)).encode())
    if isinstance(item, float | np.floating):
        return hash_parts(b"float", float(item).hex().encode())

    from PIL import Image

    if isinstance(item, Image.Image):
        return _digest_image(item)
    raise TypeError(
        "expected a str, bytes, an array of numbers, a PIL image, or a tuple, list or dict of "
        f"these, got {type(item).__name__}. For the content of a path use digest_file."
    )


def hash_parts(kind: bytes, *parts) -> bytes:
    """Compute the digest of parts, which is another one for each kind of item."""
    digest = blake2b(digest_size=N_BYTES, person=kind)
    for part in parts:
        digest.update(part)
    return digest.digest()


def _digest_array(array: np.ndarray) -> bytes:
    if array.dtype.kind not in "biufc" or isinstance(array, np.ma.MaskedArray):
        raise TypeError(
            f"expected an array of numbers, got {type(array).__name__} of {array.dtype}."
        )
    header = f"{array.dtype.str}{array.shape}".encode()  # its bracket ends it
    return hash_parts(b"array", header, np.ascontiguousarray(array).reshape(-1))


def _digest_image(image) -> bytes:
    """Compute the digest of all that shows: two images may differ in their palette alone."""
    image.load()  # some of what follows is known only then
    palette = image.getpalette("RGBA")
    shown = (
        image.mode,
        image.size,
        None if palette is None else bytes(palette),
        repr(image.info.get("transparency")),
        repr(image.getexif().get(_ORIENTATION, 1)),
        image.tobytes(),
    )
    return hash_parts(b"image", *map(digest_item, shown))
