"""Files that are replaced as a whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO


def replace_file(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file beside ``path``, flush it to disk, and rename it to ``path``.

    If the process is killed meanwhile, or writing fails, ``path`` is the old file or the new one. A
    symbolic link stays, and the file that it names is replaced.

    Raises
    ------
    OSError
        If there is no room, or the like, or ``path`` is a device or a pipe. Its ``filename`` is
        set.
    """
    path = Path(os.path.realpath(path))
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "It is no regular file, and is not replaced by one", str(path))
    writer = f"{os.getpid()}-{threading.get_ident()}"  # two may write to one path at once
    temporary = path.with_name(f".{path.name}.{writer}.tmp")
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as e:
        temporary.unlink(missing_ok=True)
        if isinstance(e, OSError) and e.filename in (None, str(temporary)):
            e.filename = str(path)
        raise
    if os.name == "posix":  # the name of the file is stored in the folder, which is flushed apart
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def remove_unfinished(path: Path) -> None:
    """Remove what processes that were killed have left of `replace_file` beside ``path``."""
    unfinished = re.compile(rf"\.{re.escape(path.name)}\.\d+-\d+\.tmp")
    for file in path.parent.iterdir():
        if unfinished.fullmatch(file.name):
            with suppress(OSError):
                file.unlink()
