"""Encode a Ray Dataset by workers that each load the models once."""

from __future__ import annotations

import os
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from .._data.cells import shorten
from .._optional import import_optional
from ._checks import check_counts, check_dataset
from ._identity import identify_rows, identify_transformer, name_partition
from ._partitions import Partitions

if TYPE_CHECKING:
    import ray

ROWS_PER_PARTITION = 4096


def encode(
    dataset: ray.data.Dataset,
    transformer: Any,
    path: str | os.PathLike,
    *,
    key: str,
    keep: Sequence[str] = (),
    n_workers: int | None = None,
    num_cpus: float = 1,
    num_gpus: float = 0,
    rows_per_partition: int = ROWS_PER_PARTITION,
) -> int:
    """Encode the rows of a Ray Dataset into Parquet files, and go on where an earlier run ended.

    Each worker, a Ray actor, loads the models once. ``pd.read_parquet(path)`` gives what
    ``transformer.transform`` does, columns ``modality__feature`` from which `FusionClassifier`
    reads the modalities, with ``key`` as index, followed by the columns to keep; so does
    ``ray.data.read_parquet(path)``, with ``key`` as a column, where there is more than fits in
    memory.

    Parameters
    ----------
    dataset : ray.data.Dataset
        Rows of raw inputs: from Parquet, a folder of images, or anything else that Ray reads.
    transformer : fitted transformer
        Such as a `ModalityTransformer`, fitted on a frame (of some rows, where all are too many)
        with the columns of ``dataset`` that it encodes.
    path : str or path-like
        Folder of the Parquet files, which all machines share, or a URI such as ``"s3://..."``. It
        is made if need be.
    key : str
        Column that tells rows apart, a value for each. Rows that are in ``path`` are not encoded
        again. Ray makes one on request: ``read_parquet(..., include_row_hash=True)`` and
        ``read_images(..., include_paths=True)``.
    keep : sequence of str, default=()
        Columns to write beside the features, such as that of the labels. What may still change is
        better joined later, by the key.
    n_workers : int, default=None
        Number of workers. None: as many as the cluster has room for.
    num_cpus : float, default=1
        Processors of a worker, each of which uses as many threads.
    num_gpus : float, default=0
        GPUs of a worker; a part of one, such as 0.5, where two share it.
    rows_per_partition : int, default=4096
        Rows of a file, at most: what is lost of the work of each worker that is killed.

    Returns
    -------
    int
        The number of rows that this call has added.

    Raises
    ------
    ImportError
        If Ray is not installed (``pip install 'skmm[ray]'``).
    TypeError
        If ``dataset`` is no Ray Dataset, or ``keep`` no list.
    ValueError
        If ``path`` was begun with another transformer, key or columns, or a row that is there has
        other inputs or values to keep now; if a key stands for two rows; or if an item is broken
        and its encoder has ``errors="raise"``. The message names row, key and cause; rows that are
        finished stay so.

    See Also
    --------
    skmm.ModalityTransformer : Encode a table in one process.

    Notes
    -----
    A file is written under another name and then renamed, so that ``path`` can be read at any time.
    It holds digests of its rows' keys and inputs, by which a later run knows them, in whatever
    order and blocks they come and however many machines there are then. A killed driver, worker or
    machine costs the partitions under way. Ray's own `ray.data.checkpoint` is not used: in 2.60 it
    is left out without an error where a dataset is not read from files, and files that are being
    written stand in the folder half finished.

    Beside inputs, key and those that are kept no columns are read. What may differ in a later run
    is what changes no vector: ``cache``, ``batch_size``, ``errors`` and ``device`` of encoders,
    and where their models are.

    Examples
    --------
    >>> import pandas as pd
    >>> import ray
    >>> from skmm import ModalityTransformer
    >>> from skmm.distributed import encode
    >>> X = pd.DataFrame({"id": ["a", "b", "c"], "says": ["Meow!", "Woof!", "Moo!"]})
    >>> transformer = ModalityTransformer().fit(X[["says"]])
    >>> encode(ray.data.from_pandas(X), transformer, "embeddings", key="id")  # doctest: +SKIP
    3
    >>> pd.read_parquet("embeddings")  # doctest: +SKIP
    """
    data = import_optional("ray.data", extra="ray", purpose="skmm.distributed.encode")
    ray = import_optional("ray", extra="ray", purpose="skmm.distributed.encode")
    check_dataset(dataset)
    check_counts(
        rows_per_partition=rows_per_partition, n_workers=1 if n_workers is None else n_workers
    )
    inputs = _find_inputs(transformer, key, keep, dataset.columns() or [])
    partitions = Partitions(path)
    partitions.open(
        {
            "transformer": identify_transformer(transformer),
            "key": key,
            "keep": list(keep),
            "inputs": inputs,
        }
    )
    done = partitions.finished()
    kept = _find_types(dataset, keep)
    results = (
        dataset.select_columns([*dict.fromkeys([key, *inputs, *keep])])
        .repartition(target_num_rows_per_block=rows_per_partition)
        .map_batches(
            _Worker,
            fn_constructor_args=[ray.put(transformer), ray.put(done), path, key, inputs, kept],
            batch_size=rows_per_partition,
            # Not of a fixed size: where machines are lost, what is left must read as well.
            compute=data.ActorPoolStrategy(
                min_size=1, max_size=n_workers, initial_size=n_workers or 1
            ),
            num_cpus=num_cpus,
            num_gpus=num_gpus,
        )
    )
    n_rows = 0
    for report in results.iter_rows():
        if report["error"]:
            error = ValueError(report["error"])
            error.add_note(f"In a worker of skmm.distributed.encode:\n{report['traceback']}")
            raise error
        n_rows += report["n_rows"]
    there = partitions.finished()
    _check_once(partitions, there, key)
    _check_count(len(there), n_rows, path, key)
    return len(there) - len(done)


class _Worker:
    """Encodes batches of rows and writes them, unless they are there."""

    def __init__(self, transformer: ray.ObjectRef, done: ray.ObjectRef, path, key, inputs, kept):
        import ray

        self.transformer, self.done = ray.get([transformer, done])
        self.partitions = Partitions(path)
        self.key, self.inputs, self.kept = key, inputs, kept  # and their types
        self.compared = [*dict.fromkeys([*inputs, *kept])]

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, list]:
        try:
            n_rows, error, where = self._encode(batch), "", ""
        except (TypeError, ValueError) as e:  # of what Ray raises again, only the text is left
            n_rows, error, where = 0, str(e), traceback.format_exc()
        return {"n_rows": [n_rows], "error": [error], "traceback": [where]}

    def _encode(self, batch: dict[str, np.ndarray]) -> int:
        """Encode and write the rows that are new; the number of all."""
        frame = pd.DataFrame({n: v if v.ndim == 1 else list(v) for n, v in batch.items()})
        frame.index = pd.Index(frame[self.key], name=self.key)  # messages name rows by it
        self._check_keys(frame.index)
        rows = identify_rows(frame[self.compared])
        new = ~self._find_done(rows, frame.index)
        name = name_partition(rows[new])
        # A batch comes again if the machine that had it is lost.
        if new.any() and not self.partitions.has(name):
            frame = frame[new]
            encoded = self.transformer.transform(frame[self.inputs])
            if not isinstance(encoded, pd.DataFrame):
                raise TypeError(
                    f"Columns are written by name, and {type(self.transformer).__name__} gives "
                    f"{type(encoded).__name__}, not a pandas frame: call "
                    'set_output(transform="pandas") of it before.'
                )
            for column in self.kept:
                encoded[column] = frame[column]
            self.partitions.write(name, encoded, rows[new], self.kept)
        return len(rows)

    def _check_keys(self, keys: pd.Index) -> None:
        for bad, what in [(keys.isna(), "missing"), (keys.duplicated(), "not the only one")]:
            if bad.any():
                raise ValueError(
                    f"key={self.key!r} must tell rows apart: that of {bad.sum()} of {len(keys)} "
                    f"rows encoded together is {what}, the first being "
                    f"{_show(keys[bad.argmax()])}. Name another column."
                )

    def _find_done(self, rows: np.ndarray, keys: pd.Index) -> np.ndarray:
        """Tell which rows are in ``path``; all that are there must have the same inputs."""
        if len(self.done) == 0:
            return np.zeros(len(rows), dtype=bool)
        place = np.searchsorted(self.done["key"], rows["key"]).clip(max=len(self.done) - 1)
        found = self.done["key"][place] == rows["key"]
        other = found & (self.done["inputs"][place] != rows["inputs"])
        if other.any():
            raise ValueError(
                f"The row with {self.key} {_show(keys[other.argmax()])} was encoded before, from "
                f"other {' or '.join(map(repr, self.compared))}: the dataset has changed, or the "
                "key stands for two rows. Give the path of a new folder, or the dataset as it was."
            )
        return found


def _show(key: Any) -> str:
    return shorten(key.item() if isinstance(key, np.generic) else key)


def _find_inputs(transformer: Any, key: str, keep: Sequence[str], columns: list[str]) -> list[str]:
    """Give the columns that are encoded; see that they, and the others, are there."""
    if isinstance(keep, str):
        raise TypeError(f"keep must be a list of columns, such as [{keep!r}], got {keep!r}.")
    check_is_fitted(transformer)
    seen = getattr(transformer, "feature_names_in_", None)
    if seen is None:
        raise ValueError(
            f"The {type(transformer).__name__} was not fitted on a frame, so that it does not know "
            "the names of the columns to encode. Fit it on a pandas frame."
        )
    inputs = [str(name) for name in seen if name in columns or name not in (key, *keep)]
    missing = [name for name in (key, *keep, *inputs) if name not in columns]
    if missing:
        raise ValueError(f"The dataset has no column {missing[0]!r}; it has {columns}.")
    return inputs


def _find_types(dataset: ray.data.Dataset, names: Sequence[str]) -> dict[str, Any]:
    """Give the types of columns, those of Arrow or, where blocks are of pandas, of numpy."""
    schema = dataset.schema()
    types = dict(zip(schema.names, schema.types, strict=True))
    return {name: types[name] for name in names}


def _check_once(partitions: Partitions, there: np.ndarray, key: str) -> None:
    keys = there["key"]
    again = keys[1:][keys[1:] == keys[:-1]]
    if len(again):
        found = partitions.locate(again[0])
        raise ValueError(
            f"{partitions.path!r} has {len(again)} rows more than once, the first being "
            f"{shorten(next(iter(found.values())))}, in {' and '.join(map(repr, found))}: "
            f"key={key!r} must tell rows apart. If it does, another run was writing too: delete "
            "one of the files, and call encode again."
        )


def _check_count(n_there: int, n_rows: int, path: str | os.PathLike, key: str) -> None:
    if n_there != n_rows:
        raise ValueError(
            f"The dataset has {n_rows} rows, and {os.fspath(path)!r} {n_there}. "
            + (
                "The machines do not share the folder."
                if n_there < n_rows
                else "Rows were taken out of the dataset since: give the path of a new folder, or "
                "the dataset with all rows."
            )
        )
