"""The state that a fit has reached, in a file that is replaced after each epoch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .._files import replace_file

FORMAT = 3


class Checkpoint:
    """The file ``path``, and what it held when it was opened.

    A fit is a number of loops of epochs. The file holds the state of the one that is under way, and
    the results of those before it. It is data, from which torch makes tensors and nothing else.

    Raises
    ------
    OSError
        If it cannot be written.
    ValueError
        If it exists, but is no checkpoint, or a damaged one.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.identity: dict[str, str] = {}
        self.results: list[dict[str, Any]] = []
        self._found: dict[str, Any] = {}  # nothing, if it is new
        if self.path.exists():
            self._found = self._read()
        self.seed: int | None = self._found.get("seed")  # of all random numbers of the fit
        try:  # to write, before hours have gone into what shall be written
            replace_file(self.path, lambda file: torch.save(self._found, file))
        except (OSError, ValueError) as e:  # ValueError: a path without a name, such as "."
            raise OSError(
                f"checkpoint={os.fspath(path)!r} cannot be written ({e}). Give the path of a file, "
                "new or a checkpoint, in a folder that exists and may be written to."
            ) from e

    def _read(self) -> dict[str, Any]:
        try:
            found = torch.load(self.path, map_location="cpu", weights_only=True)
            known = found == {} or found["format"] == FORMAT
        except OSError:
            return {}  # the error is clearer when it is written
        except Exception as e:  # torch has many ways to say so
            raise ValueError(
                f"checkpoint={str(self.path)!r} is no checkpoint of skmm, or a damaged one "
                f"({type(e).__name__}). Delete it to start anew, or give another path."
            ) from e
        if not known:
            raise ValueError(
                f"checkpoint={str(self.path)!r} comes from another version of skmm. Delete it to "
                "start anew, or give another path."
            )
        return found

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
                    "path."
                )
            self.results = list(self._found["results"])

    def find(self, number: int) -> dict[str, Any] | None:
        """Return the state of loop ``number``, if it was the one under way."""
        return self._found["state"] if self._found.get("loop") == number else None

    def save(self, number: int, state: Mapping[str, Any], generators: Sequence[Tensor]) -> None:
        """Replace the file."""
        content = {
            "format": FORMAT,
            "identity": self.identity,
            "seed": self.seed,
            "loop": number,
            "results": self.results,
            "state": {**state, "generators": list(generators)},
        }
        replace_file(self.path, lambda file: torch.save(content, file))

    def remove(self) -> None:
        """Remove the file, when there is nothing left to continue."""
        self.path.unlink(missing_ok=True)
