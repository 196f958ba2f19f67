"""The folder of Parquet files that `encode` fills: each is written as a whole, or not at all.

A file holds the digests of its rows, so that the files alone say which rows are finished, and no
second record can contradict them.
"""

from __future__ import annotations

import base64
import json
import os
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._optional import import_optional
from ._identity import ROW

if TYPE_CHECKING:
    import pyarrow

DESCRIPTION = "_skmm.json"  # readers of Parquet skip names that start with "_"
UNFINISHED = "_unfinished-"
DIGESTS = b"skmm.rows"
N_READERS = 16
FORMAT = 2


class Partitions:
    """The folder ``path``, in this file system or in one that pyarrow knows ("s3://...")."""

    def __init__(self, path: str | os.PathLike):
        fs = import_optional("pyarrow.fs", extra="ray", purpose="Writing Parquet files")
        path = os.fspath(path)
        uri = path if "://" in path else Path(path).expanduser().absolute().as_posix()
        self.path = path
        self._filesystem, self._root = fs.FileSystem.from_uri(uri)

    def open(self, description: dict[str, Any]) -> None:
        """Create the folder, or check that it has the same ``description``.

        Raises
        ------
        ValueError
            If it holds the rows of another transformer, or files that encode did not write.
        """
        description = {"format": FORMAT, **description}
        self._filesystem.create_dir(self._root, recursive=True)
        names = self._list()
        if DESCRIPTION in names:
            self._compare(json.loads(self._read(DESCRIPTION)), description)
        elif names:
            raise ValueError(
                f"{self.path!r} holds {sorted(names)[0]!r}, and was not begun by encode: give the "
                "path of a new or an empty folder."
            )
        else:
            content = json.dumps(description, indent=1).encode()
            self._write(DESCRIPTION, lambda file: file.write(content))
        for name in names:
            if name.startswith(UNFINISHED):
                self._filesystem.delete_file(f"{self._root}/{name}")

    def _compare(self, found: dict[str, Any], description: dict[str, Any]) -> None:
        for name, value in description.items():
            if found.get(name) == value:
                continue
            if name == "transformer":
                difference = "another transformer (encoders, models, parameters or fitted values)"
            else:
                difference = f"{name} {found.get(name)!r}, and now it is {value!r}"
            raise ValueError(
                f"{self.path!r} was begun with {difference}. Vectors of both would not match: "
                "continue with the same as before, or give the path of a new folder."
            )

    def has(self, name: str) -> bool:
        """Return whether a partition is finished."""
        return bool(self._filesystem.get_file_info(f"{self._root}/{name}").is_file)

    def write(
        self,
        name: str,
        frame: pd.DataFrame,
        rows: np.ndarray,
        types: Mapping[str, Any],
    ) -> None:
        """Write a partition whose rows have the digests ``rows``.

        Columns that are kept, those of ``types``, are of its types where they are known: otherwise
        reading all partitions by the types of the first one may fail.
        """
        import pyarrow
        import pyarrow.parquet

        kept = [name for name in frame if name in types]
        table = pyarrow.Table.from_pandas(frame.drop(columns=kept), preserve_index=True)
        for place, column in enumerate(kept, start=frame.shape[1] - len(kept)):
            values = pyarrow.array(frame[column])
            if isinstance(types[column], pyarrow.DataType):
                values = values.cast(types[column])
            table = table.add_column(place, column, values)
        digests = {DIGESTS: base64.b64encode(rows.tobytes())}
        table = table.replace_schema_metadata({**table.schema.metadata, **digests})
        floats = [name for name in frame.columns if frame[name].dtype.kind == "f"]
        self._write(
            name,
            lambda file: pyarrow.parquet.write_table(
                table,
                file,
                compression="none",  # makes vectors no smaller
                use_dictionary=[name for name in table.column_names if name not in floats],
                write_statistics=False,
            ),
        )

    def finished(self) -> np.ndarray:
        """Return the digests of all finished rows, records of ROW sorted by key."""
        digests = self._read_all(self._read_digests)
        rows = np.concatenate(digests) if digests else np.empty(0, dtype=ROW)
        return rows[np.argsort(rows["key"], kind="stable")]

    def locate(self, digest: int) -> dict[str, Any]:
        """Find the partitions with a row of this digest, and its key in each."""
        import pyarrow.parquet as pq

        def find_key(file: pyarrow.NativeFile) -> list:
            place = np.flatnonzero(self._read_digests(file)["key"] == digest)
            if len(place) == 0:
                return []
            file.seek(0)
            key = pq.read_schema(file).pandas_metadata["index_columns"][0]
            return [pq.read_table(file, columns=[key])[key][int(place[0])].as_py()]

        found = zip(self._names(), self._read_all(find_key), strict=True)
        return {name: keys[0] for name, keys in found if keys}

    def _read_digests(self, file: pyarrow.NativeFile) -> np.ndarray:
        import pyarrow.parquet as pq

        metadata = pq.read_schema(file).metadata
        return np.frombuffer(base64.b64decode(metadata[DIGESTS]), dtype=ROW)

    def _read_all(self, read: Callable[[Any], Any]) -> list:
        def read_one(name: str) -> Any:
            with self._filesystem.open_input_file(f"{self._root}/{name}") as file:
                try:
                    return read(file)
                except Exception as e:  # pyarrow raises many kinds, by what is damaged
                    raise ValueError(
                        f"{name!r} in {self.path!r} is damaged ({e}). Delete it, and its rows are "
                        "encoded again."
                    ) from e

        with ThreadPoolExecutor(N_READERS) as pool:
            return list(pool.map(read_one, self._names()))

    def _names(self) -> list[str]:
        return sorted(name for name in self._list() if name.endswith(".parquet"))

    def _list(self) -> list[str]:
        from pyarrow.fs import FileSelector

        return [info.base_name for info in self._filesystem.get_file_info(FileSelector(self._root))]

    def _read(self, name: str) -> bytes:
        with self._filesystem.open_input_file(f"{self._root}/{name}") as file:
            return file.read()

    def _write(self, name: str, write: Callable[[Any], object]) -> None:
        unfinished = f"{self._root}/{UNFINISHED}{uuid.uuid4().hex}"
        with self._filesystem.open_output_stream(unfinished) as file:
            write(file)
        self._filesystem.move(unfinished, f"{self._root}/{name}")
