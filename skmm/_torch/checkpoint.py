"""The state that a fit has reached, in a file that is replaced after each epoch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .._files import remove_unfinished, replace_file

FORMAT = 4
MARK_BYTES = 16


class Checkpoint:
    """The file ``path``, and what it held when it was opened.

    A fit is a number of loops of epochs. The file holds the state of the one that is under way, and
    the results of those before it. It is data, from which torch makes tensors and nothing else,
    then bytes that no other fit writes, and last the digest of all that.

    Raises
    ------
    OSError
        If it cannot be read or written.
    ValueError
        If it exists, but is no checkpoint, or a damaged one.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(os.path.realpath(path))  # so that a link stays one
        self.identity: dict[str, str] = {}
        self.results: list[dict[str, Any]] = []
        self._writer = os.urandom(MARK_BYTES)
        self._mark = b""  # with which the file ends
        try:  # to write, before hours have gone into what shall be written
            self._found: dict[str, Any] = self._read() if self.path.exists() else {}
            if not self._found:
                self._write({})
            remove_unfinished(self.path)
        except OSError as e:
            if _is_gone(e):
                raise self._make_shared_error() from e
            raise OSError(
                f"checkpoint={os.fspath(path)!r} cannot be written ({e}). Give the path of a file, "
                "new or a checkpoint, in a folder that exists and may be written to."
            ) from e
        self.seed: int | None = self._found.get("seed")  # of all random numbers of the fit

    def _read(self) -> dict[str, Any]:
        content = self.path.read_bytes()
        data, self._mark = content[:-MARK_BYTES], content[-MARK_BYTES:]
        is_whole = _digest(data) == self._mark
        try:  # other versions write no digest
            stored = BytesIO(data if is_whole else content)
            found = torch.load(stored, map_location="cpu", weights_only=True)
            is_known = found == {} or found["format"] == FORMAT
        except Exception as e:  # torch has many ways to say so
            raise self._damaged(type(e).__name__) from e
        if not is_known:
            raise ValueError(
                f"checkpoint={str(self.path)!r} comes from another version of skmm. Delete it to "
                "start anew, or give another path."
            )
        if not is_whole:
            raise self._damaged("its digest is another one")
        return found

    def _damaged(self, cause: str) -> ValueError:
        return ValueError(
            f"checkpoint={str(self.path)!r} is no checkpoint of skmm, or a damaged one ({cause}). "
            "Delete it to start anew, or give another path."
        )

    def identify(self, identity: Mapping[str, str]) -> None:
        """Check that the file was written by the fit that is to go on.

        Raises
        ------
        ValueError
            If a value of ``identity``, or the seed, is not the same there; it names which.
        """
        self.identity = {"random_state": str(self.seed), **identity}  # splits depend on it
        if self._found:
            before = self._found["identity"]
            other = [key for key, value in self.identity.items() if before.get(key) != value]
            if other:
                key = other[0]
                values = "" if key == "data" else f" ({before.get(key)}, now {self.identity[key]})"
                raise ValueError(
                    f"checkpoint={str(self.path)!r} belongs to a fit with other {key}{values}. Fit "
                    "with the same to continue it, delete the file to start anew, or give another "
                    "path; in a search, whose fits have one path in common, checkpoint=None."
                )
            self.results = list(self._found["results"])
            self._replace(self._found)

    def find(self, number: int) -> dict[str, Any] | None:
        """Return the state of loop ``number``, if it was the one under way."""
        return self._found["state"] if self._found.get("loop") == number else None

    def save(self, number: int, state: Mapping[str, Any], generators: Sequence[Tensor]) -> None:
        """Replace the file.

        Raises
        ------
        OSError
            If it cannot be written; it stays as it was.
        ValueError
            If another fit has written it in the meantime.
        """
        content = {
            "format": FORMAT,
            "identity": self.identity,
            "seed": self.seed,
            "loop": number,
            "results": self.results,
            "state": {**state, "generators": list(generators)},
        }
        self._replace(content)

    def _replace(self, content: Mapping[str, Any]) -> None:
        if not self._is_as_left():
            raise self._make_shared_error()
        try:
            self._write(content)
        except OSError as e:
            if _is_gone(e):
                raise self._make_shared_error() from e
            raise OSError(
                e.errno,
                f"checkpoint={str(self.path)!r} cannot be written ({e}); it stays as it was, and "
                "the next fit goes on from there.",
            ) from e

    def _make_shared_error(self) -> ValueError:
        return ValueError(
            f"checkpoint={str(self.path)!r} was written by another fit in the meantime. Give each "
            "fit a path of its own; in a search, whose fits have one path in common, "
            "checkpoint=None."
        )

    def _write(self, content: Mapping[str, Any]) -> None:
        buffer = BytesIO()
        torch.save(content, buffer)
        buffer.write(self._writer)
        data = buffer.getbuffer()
        mark = _digest(data)
        replace_file(self.path, lambda file: file.writelines([data, mark]))
        self._mark = mark

    def _is_as_left(self) -> bool:
        """Return whether no other fit has written the file."""
        return not self.path.exists() or self.path.read_bytes()[-MARK_BYTES:] == self._mark

    def remove(self) -> None:
        """Remove the file, when there is nothing left to continue."""
        if self._is_as_left():
            self.path.unlink(missing_ok=True)


def _digest(data: bytes | memoryview) -> bytes:
    return blake2b(data, digest_size=MARK_BYTES).digest()


def _is_gone(error: OSError) -> bool:
    """Return whether another fit has removed the file that was to replace the checkpoint."""
    return isinstance(error, FileNotFoundError) and error.filename2 is not None
