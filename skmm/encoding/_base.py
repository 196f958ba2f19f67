"""The base of the encoders that look at one cell at a time."""

from __future__ import annotations

import copy
import os
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from hashlib import blake2b
from typing import Any, ClassVar, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .._data.cells import Column, as_column
from .._data.columns import number_features
from .._warnings import warn_user
from ._batches import Batch
from ._columns import set_column_tags
from ._run import Run
from .cache import EmbeddingCache, FileDigests, digest_file, digest_item, open_cache
from .readers import BrokenItemError, expand_home


class EncodedBatch(NamedTuple):
    """The vectors of a batch, and the items that are broken, as encoding it has shown."""

    vectors: np.ndarray  # (n, n_features), float32; finite but for broken items
    broken: dict[int, BrokenItemError]  # by place in the batch


def find_not_finite(arrays: Iterable[np.ndarray]) -> dict[int, BrokenItemError]:
    """Return an error for each item whose array is not finite, by place."""
    return {
        place: BrokenItemError("the model gives values that are not finite for it")
        for place, array in enumerate(arrays)
        if not np.isfinite(array).all()
    }


class CellEncoder(TransformerMixin, BaseEstimator):
    """Encode each cell of a column on its own: distinct items, then the cache, then batches.

    A subclass has the parameters ``errors``, ``verbose`` and ``cache``, ``batch_size`` if the size
    of a batch matters, ``filesystem`` if cells may be paths in one, and defines in the hooks below
    how an item is read and encoded.
    """

    cache: str | os.PathLike | EmbeddingCache | None
    errors: str
    verbose: bool

    # The parameters that change no vector; all others are part of the key of a vector.
    _neutral: ClassVar[frozenset] = frozenset(
        {"batch_size", "cache", "errors", "filesystem", "verbose"}
    )
    # The parameters that a clone shares with its original: their state is what matters.
    _by_reference: ClassVar[tuple[str, ...]] = ("cache", "filesystem")
    # Of the method, and of what the readers return: raised when an item gets another vector.
    _version: ClassVar[int] = 2
    _n_readers: ClassVar[int] = min(8, os.cpu_count() or 1)  # threads; 0 where reading is free
    _has_files: ClassVar[bool] = True  # whether a cell that is a str is a path

    def _check_cell(self, cell: Any) -> None:
        """Raise TypeError or BrokenItemError if a glance shows that a cell cannot be read."""

    @abstractmethod
    def _read(self, cell: Any) -> Any:
        """Read a cell that is not missing, or raise BrokenItemError; runs in several threads."""

    def _reading(self) -> AbstractContextManager:
        """Return the context to enter around the threads in which `_read` runs."""
        return nullcontext()

    def _make_batch(self) -> Batch:
        """Return a batch, which collates the items that `_read` returns."""
        return Batch()

    def _encode(self, items: Any) -> np.ndarray:
        """Compute the vectors (n, n_features) of collated items, a list or a tensor."""
        return np.stack(items)

    def _encode_batch(self, items: Any) -> EncodedBatch:
        """Encode collated items; one whose vector is not finite is broken, for NaN is missing."""
        vectors = np.asarray(self._encode(items), dtype=np.float32)
        return EncodedBatch(vectors, find_not_finite(vectors))

    def _cost(self, cell: Any) -> float:
        """Return how long a cell takes to encode, so that a batch holds items of one length."""
        return 0.0

    def _costs(self, cells: list[Any]) -> list[float]:
        """Return `_cost` of each cell."""
        return [self._cost(cell) for cell in cells]

    def _describe_method(self) -> str:
        """Describe what changes the vectors, apart from the parameters: weights, versions."""
        return ""

    def _name_method(self) -> str:
        """Name the version of what changes the vectors, apart from parameters and weights."""
        return f"method {self._version}, {self._describe_method()}"

    @property
    def _n_at_once(self) -> int:
        """How many items are encoded at once, while as many are read."""
        return getattr(self, "batch_size", 64)

    @property
    @abstractmethod
    def _n_features_out(self) -> int:
        """The length of each vector."""

    def fit(self, X, y=None):
        """Check the parameters and that ``X`` is a column; nothing is learned.

        Parameters
        ----------
        X : Series, frame of one column, list or array with samples first
            The column.
        y : None
            Ignored.

        Returns
        -------
        CellEncoder
            The estimator itself.
        """
        self._validate_params()
        self._read_column(X)
        self.n_features_in_ = 1
        self.method_ = self._name_method()
        return self

    def transform(self, X):
        """Encode each distinct item once, unless its vector is in the cache.

        Parameters
        ----------
        X : Series, frame of one column, list or array with samples first
            The column.

        Returns
        -------
        ndarray of shape (n_samples, n_features), float32
            NaN in the rows of missing items.

        Raises
        ------
        TypeError
            If a cell is of no accepted type.
        ValueError
            If an item is broken and ``errors="raise"``; the message names row, path and cause.
        """
        check_is_fitted(self)
        column = self._read_column(X)
        self._warn_of_other_method()
        with self._reading(), self._start_run(column) as run:
            encoder = self._get_ready()
            encoder._encode_rows(run, run.find_distinct())
        run.warn_of_broken()
        return run.collect_vectors(encoder._n_features_out)

    def _warn_of_other_method(self) -> None:
        now = self._name_method()
        fitted = getattr(self, "method_", now)
        if fitted != now:
            warn_user(
                f"{type(self).__name__} was fitted with {fitted}; this is {now}. Vectors may "
                "differ from those that the next steps learned from: fit again, or bring back "
                "what it was fitted with."
            )

    def _start_run(self, column: Column) -> Run:
        return Run(
            column,
            type(self).__name__,
            is_path=self._is_path,
            errors=self.errors,
            verbose=bool(self.verbose),
            n_readers=self._n_readers,
        )

    def _get_ready(self) -> CellEncoder:
        """Return what encodes one column: the encoder, or a copy of it that holds a model."""
        return self

    def _encode_rows(self, run: Run, rows: list[int]) -> None:
        cache = open_cache(self.cache)
        keys: dict[int, bytes] = {}
        if cache is not None:
            # What is in memory is checked before it is digested, for that may decode it.
            run.check(self._check_cell, [row for row in rows if not self._is_path(run.cells[row])])
            keys = self._find_keys(run, rows, cache)
            rows = run.merge_equal(rows, keys)
            run.look_up(cache, keys)
        rows = [row for row in rows if row not in run.found]
        run.check(self._check_cell, rows)  # all, before a model has spent hours on the first ones
        rows = [row for row in rows if row not in run.broken.reasons]
        # Longest first: what does not fit into memory shows at once.
        costs = dict(zip(rows, self._costs([run.cells[row] for row in rows]), strict=True))
        rows.sort(key=lambda row: (-costs[row], row))
        with run.make_bar(len(rows)) as bar:
            for batch, vectors in self._encode_batches(run, rows):
                run.store(batch, vectors)
                kept = [
                    place
                    for place, row in enumerate(batch)
                    if row in keys and self._is_as_digested(run, row)
                ]
                if cache is not None and kept:
                    cache.put_many([keys[batch[place]] for place in kept], vectors[kept])
                bar.update(len(batch))

    def _read_column(self, X) -> Column:
        return as_column(X, estimator=type(self).__name__)

    def _is_path(self, cell: Any) -> bool:
        return self._has_files and isinstance(cell, str | os.PathLike)

    def _find_keys(self, run: Run, rows: list[int], cache: EmbeddingCache) -> dict[int, bytes]:
        """Compute the key of each item that can be read; `_read` finds out why others cannot."""
        fingerprint = self._fingerprint()
        rows = [row for row in rows if row not in run.broken.reasons]
        if getattr(self, "filesystem", None) is not None:
            known = FileDigests(None)
        else:
            paths = [run.cells[row] for row in rows if self._is_path(run.cells[row])]
            known = FileDigests(cache).load(paths)
        with known as files:
            digests = run.digest(partial(self._digest, files=files), rows)
        return {
            row: blake2b(fingerprint + digest, digest_size=16).digest()
            for row, digest in digests.items()
        }

    def _digest(self, cell: Any, files: FileDigests) -> bytes | None:
        filesystem = getattr(self, "filesystem", None)
        try:
            if not self._is_path(cell):
                return digest_item(cell)
            if filesystem is None:
                return digest_file(cell, files)
            # It has an identity by where it is, its size and its tag or time; no need to read it.
            return f"{type(filesystem).__name__} {filesystem.ukey(os.fspath(cell))}".encode()
        except Exception:  # of any decoder or filesystem; `_read` finds out why
            return None

    def _is_as_digested(self, run: Run, row: int) -> bool:
        """Return whether an item has not changed since the run began, as a file might."""
        cell = run.cells[row]
        if not self._is_path(cell) or getattr(self, "filesystem", None) is not None:
            return True
        try:
            return os.stat(expand_home(cell)).st_ctime_ns < run.started
        except OSError:
            return False

    def _fingerprint(self) -> bytes:
        """Compute the digest of all that changes a vector, apart from the item."""
        parameters = self.get_params(deep=False).items()
        described = (
            type(self).__module__,
            type(self).__qualname__,
            self._version,
            self._describe_method(),
            sorted((name, repr(value)) for name, value in parameters if name not in self._neutral),
        )
        return blake2b(repr(described).encode(), digest_size=16).digest()

    def _encode_batches(self, run: Run, rows: list[int]) -> Iterator[tuple[list[int], np.ndarray]]:
        """Yield the rows of each batch that could be encoded, and their vectors."""
        for batch, items in run.read_batches(self._read, self._make_batch, rows, self._n_at_once):
            try:
                vectors, broken = self._encode_batch(items)
            except RuntimeError as e:
                if "out of memory" in str(e):
                    e.add_note(
                        f"{run.name} had {len(batch)} items at once; a smaller batch_size "
                        "needs less memory."
                    )
                raise
            del items  # not to be held while the next ones are read
            for place, error in broken.items():
                run.broken.add(batch[place], error)
            good = [place for place in range(len(batch)) if place not in broken]
            yield [batch[place] for place in good], vectors[good]

    def get_feature_names_out(self, input_features=None):
        """Name the features.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        ndarray of str
            ``"0"`` to ``"n_features - 1"``.
        """
        check_is_fitted(self)
        return number_features(self._n_features_out)

    def __sklearn_clone__(self):
        shared = {name: getattr(self, name) for name in self._by_reference if hasattr(self, name)}
        bare = copy.copy(self)
        for name in shared:
            setattr(bare, name, None)
        cloned: Any = super(CellEncoder, bare).__sklearn_clone__()
        return cloned.set_params(**shared)

    def __sklearn_is_fitted__(self) -> bool:
        return True  # nothing is learned

    def __sklearn_tags__(self):
        tags = set_column_tags(super().__sklearn_tags__())
        tags.requires_fit = False
        return tags
