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
from ._blocks import to_arrow, to_frame
from ._checks import check_counts, check_dataset
from ._identity import identify_rows, identify_transformer, name_partition
from ._partitions import Partitions

if TYPE_CHECKING:
    import pyarrow
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
    """Encode the rows of a Ray Dataset into Parquet files, and continue an earlier run.

    Each worker, a Ray actor, loads the models once. ``pd.read_parquet(path)`` returns what
    ``transformer.transform`` does, columns ``modality__feature`` from which `FusionClassifier`
    reads the modalities, with ``key`` as index, followed by the columns to keep. So does
    ``ray.data.read_parquet(path)``, with ``key`` as a column, for more than fits in memory.

    Parameters
    ----------
    dataset : ray.data.Dataset
        Rows of raw inputs: from Parquet, a folder of images, or anything else that Ray reads.
    transformer : fitted transformer
        Such as a `ModalityTransformer`, fitted on a frame (of some rows, where all are too many)
        with the columns of ``dataset`` that it encodes.
    path : str or path-like
        Folder of the Parquet files, which all machines share, or a URI such as ``"s3://..."``. It
        is created if it does not exist.
    key : str
        Column that identifies rows: each has a value that no other row has. Rows that are in
        ``path`` are not encoded again. Ray makes such a column on request:
        ``read_parquet(..., include_row_hash=True)`` and ``read_images(..., include_paths=True)``.
    keep : sequence of str, default=()
        Columns to write beside the features, such as the labels; categories become their values.
        Columns that may still change are better joined later, by the key.
    n_workers : int, default=None
        Number of workers. None is as many as the cluster has resources for.
    num_cpus : float, default=1
        Processors of a worker, each of which uses as many threads.
    num_gpus : float, default=0
        GPUs of a worker; a fraction, such as 0.5, where two workers share one.
    rows_per_partition : int, default=4096
        Rows of a file, at most; a worker that is killed loses the work on one file.

    Returns
    -------
    int
        The number of rows that this call has added.

    Raises
    ------
    ImportError
        If Ray is not installed (``pip install 'skmm[ray]'``).
    TypeError
        If ``dataset`` is not a Ray Dataset, or ``keep`` not a list.
    ValueError
        If ``path`` was begun with another transformer, key or columns, or a row in it had other
        inputs or values to keep; if two rows have one key, or keys or values to keep are of a kind
        that cannot be written; or if an item is broken and its encoder has ``errors="raise"``. The
        message names row, key and cause; rows that are finished stay finished.

    See Also
    --------
    skmm.ModalityTransformer : Encode a table in one process.

    Notes
    -----
    A file is written under another name and then renamed, so that ``path`` can be read at any time.
    It holds digests of its rows' keys and inputs, by which a later run recognises them, whatever
    their order, their blocks and the number of machines. A killed driver, worker or machine loses
    the partitions in progress. Ray's own `ray.data.checkpoint` is not used: in 2.60 it is skipped
    without an error where a dataset is not read from files, and files in progress are in the
    folder half finished.

    Only the inputs, the key and the columns to keep are read. A later run may differ in what
    changes no vector: ``cache``, ``batch_size``, ``errors`` and ``device`` of encoders, and the
    location of their models.

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
            batch_format=None,  # Ray's NumPy batches give missing cells of a category another one
            # Not of a fixed size: where machines are lost, the others must read as well.
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
    finished = partitions.finished()
    _check_unique(partitions, finished, key)
    _check_count(len(finished), n_rows, path)
    return len(finished) - len(done)


class _Worker:
    """Encodes batches of rows and writes them, unless they are written already."""

    def __init__(self, transformer: ray.ObjectRef, done: ray.ObjectRef, path, key, inputs, kept):
        import ray

        self.transformer, self.done = ray.get([transformer, done])
        self.partitions = Partitions(path)
        self.key, self.inputs, self.kept = key, inputs, kept  # and their types
        self.compared = [*dict.fromkeys([*inputs, *kept])]

    def __call__(self, batch: pyarrow.Table | pd.DataFrame) -> dict[str, list]:
        try:
            n_rows, error, trace = self._encode(batch), "", ""
        except (TypeError, ValueError) as e:  # Ray would keep only the text of what is raised
            n_rows, error, trace = 0, str(e), traceback.format_exc()
        return {"n_rows": [n_rows], "error": [error], "traceback": [trace]}

    def _encode(self, batch: pyarrow.Table | pd.DataFrame) -> int:
        """Encode and write the rows that are new; return the number of all rows."""
        frame = to_frame(batch)
        self._check_keys(frame[self.key])
        # Messages name rows by their key.
        frame.index = pd.Index(np.asarray(frame[self.key]), name=self.key)
        kept = {name: to_arrow(batch[name], frame[name]) for name in self.kept}
        rows = identify_rows(frame[self.compared])
        new = ~self._find_done(rows, frame.index)
        name = name_partition(rows[new])
        # Ray repeats a batch if the machine that had it is lost.
        if new.any() and not self.partitions.has(name):
            frame = frame[new]
            encoded = self.transformer.transform(frame[self.inputs])
            if not isinstance(encoded, pd.DataFrame):
                raise TypeError(
                    f"Columns are written by name, and {type(self.transformer).__name__} returns "
                    f"{type(encoded).__name__}, not a pandas frame: call its "
                    'set_output(transform="pandas") before.'
                )
            for name_kept, values in kept.items():
                encoded[name_kept] = pd.arrays.ArrowExtensionArray(values.filter(new))
            self.partitions.write(name, encoded, rows[new], self.kept)
        return len(rows)

    def _check_keys(self, keys: pd.Series) -> None:
        whole = np.array([pd.api.types.is_scalar(key) for key in keys], dtype=bool)
        checks = {
            "no single value": lambda: ~whole,
            "missing": lambda: keys.isna().to_numpy(),
            "a duplicate": lambda: keys.duplicated().to_numpy(),
        }
        for problem, find in checks.items():
            wrong = find()
            if wrong.any():
                raise ValueError(
                    f"key={self.key!r} must identify rows: that of {wrong.sum()} of {len(keys)} "
                    f"rows encoded together is {problem}, the first being "
                    f"{_shorten_key(keys.iloc[wrong.argmax()])}. Name another column."
                )

    def _find_done(self, rows: np.ndarray, keys: pd.Index) -> np.ndarray:
        """Mark the rows that are in ``path``; raise if the inputs of one have changed."""
        if len(self.done) == 0:
            return np.zeros(len(rows), dtype=bool)
        place = np.searchsorted(self.done["key"], rows["key"]).clip(max=len(self.done) - 1)
        is_done = self.done["key"][place] == rows["key"]
        changed = is_done & (self.done["inputs"][place] != rows["inputs"])
        if changed.any():
            raise ValueError(
                f"The row with {self.key} {_shorten_key(keys[changed.argmax()])} was encoded "
                f"before, from other {' or '.join(map(repr, self.compared))}: the dataset has "
                "changed, or two rows have this key. Give the path of a new folder, or the dataset "
                "as it was."
            )
        return is_done


def _shorten_key(key: Any) -> str:
    return shorten(key.item() if isinstance(key, np.generic) else key)


def _find_inputs(transformer: Any, key: str, keep: Sequence[str], columns: list[str]) -> list[str]:
    """Return the columns that are encoded; raise if one of them, or another one, is missing."""
    if isinstance(keep, str):
        raise TypeError(f"keep must be a list of columns, such as [{keep!r}], got {keep!r}.")
    check_is_fitted(transformer)
    fitted_names = getattr(transformer, "feature_names_in_", None)
    if fitted_names is None:
        raise ValueError(
            f"The {type(transformer).__name__} was not fitted on a frame, so that it does not know "
            "the names of the columns to encode. Fit it on a pandas frame."
        )
    inputs = [str(name) for name in fitted_names if name in columns or name not in (key, *keep)]
    missing = [name for name in (key, *keep, *inputs) if name not in columns]
    if missing:
        raise ValueError(f"The dataset has no column {missing[0]!r}; it has {columns}.")
    return inputs


def _find_types(dataset: ray.data.Dataset, names: Sequence[str]) -> dict[str, Any]:
    """Return the types in which columns are written, None where blocks do not say them."""
    import pyarrow

    schema: Any = dataset.schema()  # known, for the columns were found in it
    types = dict(zip(schema.base_schema.names, schema.base_schema.types, strict=True))
    found: dict[str, Any] = {}
    for name in names:
        known = types[name]
        if not isinstance(known, pyarrow.DataType) or isinstance(known, pyarrow.BaseExtensionType):
            found[name] = None
        else:
            found[name] = known.value_type if pyarrow.types.is_dictionary(known) else known
    return found


def _check_unique(partitions: Partitions, finished: np.ndarray, key: str) -> None:
    keys = finished["key"]
    repeated = keys[1:][keys[1:] == keys[:-1]]
    if len(repeated):
        found = partitions.locate(repeated[0])
        raise ValueError(
            f"{partitions.path!r} has {len(repeated)} rows more than once, the first being "
            f"{shorten(next(iter(found.values())))}, in {' and '.join(map(repr, found))}: "
            f"key={key!r} must identify rows. If it does, another run was writing too: delete "
            "one of the files, and call encode again."
        )


def _check_count(n_finished: int, n_rows: int, path: str | os.PathLike) -> None:
    if n_finished != n_rows:
        raise ValueError(
            f"The dataset has {n_rows} rows, and {os.fspath(path)!r} {n_finished}. "
            + (
                "The machines do not share the folder."
                if n_finished < n_rows
                else "Rows were removed from the dataset since: give the path of a new folder, or "
                "the dataset with all rows."
            )
        )
