"""Encoded files as items: opened by path, in any filesystem, or in bytes."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any, BinaryIO

from ..._data.cells import Column, is_missing, shorten

URL = re.compile(r"^[a-zA-Z][a-zA-Z0-9+.-]+://")
ENCODED_TYPES = (str, os.PathLike, bytes, bytearray, memoryview)


class BrokenItemError(ValueError):
    """An item of the right type that cannot be read; the message is the cause."""


@contextmanager
def open_encoded(cell: Any, filesystem=None) -> Iterator[BinaryIO]:
    """Open a cell of ENCODED_TYPES, a path or the bytes of a file, as a binary file to seek in.

    Parameters
    ----------
    cell : str, PathLike, bytes, bytearray or memoryview
        The path, or the content of the file.
    filesystem : fsspec filesystem or None, default=None
        Where paths lead; None is this computer, where ``~`` is the user's home.

    Yields
    ------
    file
        It is not empty. A BrokenItemError or an OSError that is raised while it is open becomes a
        BrokenItemError that names the path.

    Raises
    ------
    BrokenItemError
        If there is no such file, it is empty, or it cannot be read.
    """
    if not isinstance(cell, str | os.PathLike):
        if len(cell) == 0:
            raise BrokenItemError("expected the content of a file, got 0 bytes")
        yield BytesIO(cell)
        return
    path = os.fsdecode(expand_home(cell) if filesystem is None else cell)
    name = shorten(path, 200)
    with _open_local(path, name) if filesystem is None else _open_in(filesystem, path) as file:
        try:
            if not file.read(1):
                raise BrokenItemError("the file holds 0 bytes")
            file.seek(0)
            yield file
        except BrokenItemError as e:
            raise BrokenItemError(f"{name}: {e}") from e
        except OSError as e:
            raise BrokenItemError(f"{name} cannot be read: {e.strerror or e}") from e


def unwrap(cell: Any) -> Any:
    """Return the bytes, or else the path, of a dict that holds nothing else of an item.

    That is how data sets of Hugging Face hold encoded files. Where both are missing, so is the
    item.
    """
    if isinstance(cell, dict) and "array" not in cell and not {"bytes", "path"}.isdisjoint(cell):
        encoded = cell.get("bytes")
        return cell.get("path") if is_missing(encoded) else encoded
    return cell


def unwrap_cells(column: Column) -> Column:
    """Unwrap the cells of a column.

    A path is looked up in the cache by its file; in a dict it would be by its name.
    """
    return column._replace(cells=[unwrap(cell) for cell in column.cells])


def expand_home(path: str | os.PathLike) -> str | bytes:
    """Replace the ``~`` that a path may start with by the home of the user."""
    try:
        return os.path.expanduser(path)
    except ValueError:  # what no name of a user can hold; opening it raises what is wrong
        return os.fspath(path)


def _open_local(path: str, name: str) -> BinaryIO:
    if path.lower().startswith("file://"):
        raise BrokenItemError(
            f"{name} is a URL; its path is urllib.parse.unquote(urllib.parse.urlsplit(url).path)"
        )
    if URL.match(path):
        raise BrokenItemError(
            f"{name} is a URL, and skmm fetches nothing unless told how: download the file and "
            "give its path, or pass filesystem="
        )
    if path.startswith("data:") and "," in path:
        raise BrokenItemError(
            f"{name} is a data URI: pass its bytes, base64.b64decode(uri.partition(',')[2])"
        )
    if path == "":
        raise BrokenItemError("the path is empty; None marks a missing item")
    if os.path.isdir(path):
        raise BrokenItemError(f"{name} is a directory, not a file")
    if os.path.exists(path) and not os.path.isfile(path):
        raise BrokenItemError(f"{name} is a pipe or a device, not a file")
    try:
        return open(path, "rb")
    except FileNotFoundError as e:
        where = "" if os.path.isabs(path) else f" (relative to {os.getcwd()!r})"
        hint = "; without the blanks around it, it does" if os.path.exists(path.strip()) else ""
        raise BrokenItemError(f"{name} does not exist{where}{hint}") from e
    except OSError as e:
        if e.errno in (errno.EMFILE, errno.ENFILE):  # no fault of the item
            raise
        raise BrokenItemError(f"{name} cannot be read: {e.strerror or e}") from e
    except ValueError as e:  # a null character in the path
        raise BrokenItemError(f"{name} cannot be read: {e}") from e


def _open_in(filesystem, path: str) -> BinaryIO:
    name = f"{shorten(path, 200)} in {type(filesystem).__name__}"
    try:
        return filesystem.open(path, "rb")
    except FileNotFoundError as e:
        raise BrokenItemError(f"{name} does not exist") from e
    except Exception as e:  # filesystems raise different errors
        raise BrokenItemError(f"{name} cannot be read: {e}") from e
