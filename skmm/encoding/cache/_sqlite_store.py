"""A cache in one SQLite file, which many processes may read and write at once.

``entries`` is small and holds all that changes when a vector is used; the vectors themselves are
apart, in the order in which they came, and are written once. ``files`` holds the digests of files.
SQLite in WAL mode ensures that a process killed at any moment leaves the file readable, with what
was committed.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from ._stores import Store

APPLICATION_ID = 0x736B6D6D  # "skmm", in the file's header
SCHEMA_VERSION = 2
PAGE_BYTES = 16_384  # vectors of 384 to 768 floats fill it to 85 % or more; 4,096 to 50-75 %
ENTRY_BYTES = 80  # of a row of entries and of its place in the index
FILE_BYTES = 100  # of a row of files, likewise; both are measured
BUSY_SECONDS = 10.0  # how long to wait for another process that writes
N_KEYS = 128  # per query, measured; SQLite's limit is 999 or more
N_USES, USES_SECONDS = 100_000, 60.0  # when the times of use are written
N_EVICTED = 1_000  # per transaction, so that other processes do not wait long

_FLOAT32 = np.dtype("<f4")  # on disk, whatever the machine
_AMONG_KEYS = f"WHERE key IN ({', '.join('?' * N_KEYS)})"
_SELECT_VECTORS = f"SELECT key, vector FROM entries JOIN vectors USING (id) {_AMONG_KEYS}"
_SELECT_DIGESTS = f"SELECT key, digest FROM files {_AMONG_KEYS}"
# Each half comes in order from its index.
_SELECT_OLDEST = f"""
    SELECT used, id, key, n_bytes, 'entries' FROM entries
    UNION ALL SELECT used, 0, key, {FILE_BYTES}, 'files' FROM files
    ORDER BY 1, 2 LIMIT ?
"""
_TABLES = ("entries", "vectors", "files", "totals")
_SCHEMA = (
    """CREATE TABLE entries (
        key BLOB PRIMARY KEY, id INTEGER NOT NULL, used INTEGER NOT NULL, n_bytes INTEGER NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX entries_by_use ON entries (used, id)",
    "CREATE TABLE vectors (id INTEGER PRIMARY KEY, vector BLOB NOT NULL)",
    """CREATE TABLE files (
        key BLOB PRIMARY KEY, digest BLOB NOT NULL, used INTEGER NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX files_by_use ON files (used)",
    "CREATE TABLE totals (n_vectors INTEGER NOT NULL, n_bytes INTEGER NOT NULL)",
    "INSERT INTO totals VALUES (0, 0)",
    """CREATE TRIGGER entry_added AFTER INSERT ON entries BEGIN
        UPDATE totals SET n_vectors = n_vectors + 1, n_bytes = n_bytes + NEW.n_bytes;
    END""",
    """CREATE TRIGGER entry_dropped AFTER DELETE ON entries BEGIN
        DELETE FROM vectors WHERE id = OLD.id;
        UPDATE totals SET n_vectors = n_vectors - 1, n_bytes = n_bytes - OLD.n_bytes;
    END""",
    f"""CREATE TRIGGER file_added AFTER INSERT ON files BEGIN
        UPDATE totals SET n_bytes = n_bytes + {FILE_BYTES};
    END""",
    f"""CREATE TRIGGER file_dropped AFTER DELETE ON files BEGIN
        UPDATE totals SET n_bytes = n_bytes - {FILE_BYTES};
    END""",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)


class SQLiteStore(Store):
    """Vectors and digests of files in an SQLite file.

    It is opened when first used. Raises ValueError if the file is not a cache or is damaged, and
    OSError if it cannot be used for now: read-only, full, locked, gone.
    """

    def __init__(self, path: str, max_size: int):
        super().__init__(max_size)
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._immutable = False
        self._identity: tuple | None = None
        # What was used, by table and key, and when in ns, as far as it is not written yet.
        self._uses: dict[tuple[str, bytes], int] = {}
        self._uses_written = time.monotonic()

    def get_many(self, keys):
        found = self._select(_SELECT_VECTORS, keys, "entries")
        return [np.frombuffer(found[key], dtype=_FLOAT32) if key in found else None for key in keys]

    def get_digests(self, keys):
        found = self._select(_SELECT_DIGESTS, keys, "files")
        return [found.get(key) for key in keys]

    def _select(self, query: str, keys: Sequence[bytes], table: str) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        with self._connected() as connection:
            for start in range(0, len(keys), N_KEYS):
                chunk = list(keys[start : start + N_KEYS])
                # one text, so that SQLite compiles it once
                found.update(connection.execute(query, _pad(chunk)))
            if self._immutable and self._identity != self._identify():
                found.clear()  # no locks guarded what was read
            self._note_uses(connection, table, found)
        return found

    def put_many(self, keys, vectors):
        blobs = {
            key: np.ascontiguousarray(vector, dtype=_FLOAT32).data
            for key, vector in zip(keys, vectors, strict=True)
        }
        now = time.time_ns()
        with self._connected() as connection:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                _delete(connection, "entries", blobs)
                ((last,),) = connection.execute("SELECT coalesce(max(id), 0) FROM vectors")
                connection.executemany(
                    "INSERT INTO vectors VALUES (?, ?)", enumerate(blobs.values(), last + 1)
                )
                connection.executemany(
                    "INSERT INTO entries VALUES (?, ?, ?, ?)",
                    (
                        (key, row, now, _bytes_on_disk(blob.nbytes))
                        for row, (key, blob) in enumerate(blobs.items(), last + 1)
                    ),
                )
            self._evict(connection, self.max_size)

    def put_digests(self, keys, digests):
        now = time.time_ns()
        rows = {key: (key, digest, now) for key, digest in zip(keys, digests, strict=True)}
        with self._connected() as connection:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                _delete(connection, "files", rows)
                connection.executemany("INSERT INTO files VALUES (?, ?, ?)", rows.values())
            self._evict(connection, self.max_size)

    def __len__(self):
        with self._connected() as connection:
            return connection.execute("SELECT n_vectors FROM totals").fetchone()[0]

    @property
    def size(self):
        with self._connected() as connection:
            return _read_size(connection)

    def prune(self, max_size):
        with self._connected() as connection:
            self._evict(connection, max_size)
            _shrink(connection)

    def clear(self):
        with self._connected() as connection:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                for table in _TABLES:  # faster than row by row
                    connection.execute(f"DROP TABLE {table}")
                _create_tables(connection)
            self._uses.clear()
            _shrink(connection)

    def _evict(self, connection: sqlite3.Connection, max_size: int) -> None:
        while _read_size(connection) > max_size:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                self._write_uses(connection)
                excess = _read_size(connection) - max_size  # others may have been at it
                oldest: dict[str, list[bytes]] = {"entries": [], "files": []}
                rows = connection.execute(_SELECT_OLDEST, (N_EVICTED,)).fetchall()
                for _, _, key, n_bytes, table in rows:
                    if excess <= 0:
                        break
                    oldest[table].append(key)
                    excess -= n_bytes
                for table, keys in oldest.items():
                    _delete(connection, table, keys)
            if not any(oldest.values()):
                break

    # Times of use: a write for each read would be slow, so they are gathered and written rarely.

    def _note_uses(self, connection: sqlite3.Connection, table: str, keys: Iterable[bytes]) -> None:
        self._uses.update(dict.fromkeys(((table, key) for key in keys), time.time_ns()))
        late = time.monotonic() - self._uses_written > USES_SECONDS
        if late or len(self._uses) > N_USES:
            self._offer_uses(connection)

    def _offer_uses(self, connection: sqlite3.Connection) -> None:
        """Write the times of use if no other process is writing, or forget them."""
        connection.execute("PRAGMA busy_timeout = 0")
        with suppress(sqlite3.OperationalError), connection:
            connection.execute("BEGIN IMMEDIATE")
            self._write_uses(connection)
        connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000:.0f}")
        self._uses.clear()
        self._uses_written = time.monotonic()

    def _write_uses(self, connection: sqlite3.Connection) -> None:
        uses = sorted(self._uses.items())
        for table in ("entries", "files"):
            connection.executemany(
                f"UPDATE {table} SET used = max(used, ?) WHERE key = ?",
                ((used, key) for (used_table, key), used in uses if used_table == table),
            )
        self._uses.clear()

    # The connection

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """Hold the lock and yield the connection, which any error closes."""
        with self._lock:
            try:
                connection = self._connection
                if connection is None or self._identity != self._identify():
                    self._disconnect()
                    connection = self._connect()
                yield connection
            except BaseException as e:
                # while another program replaces the file, what looks like damage may be none
                same_file = self._connection is None or self._identity == self._identify()
                self._disconnect()
                if isinstance(e, sqlite3.DatabaseError | OSError):
                    raise _explain(e, self._path, same_file) from e
                raise

    def _connect(self) -> sqlite3.Connection:
        os.makedirs(os.path.dirname(self._path), exist_ok=True)
        try:
            connection, self._immutable = _open(self._path, self._path), False
        except sqlite3.OperationalError as e:
            # In a read-only folder SQLite cannot make the files that guard readers from writers.
            # Where no process is writing it needs none, if it is opened as immutable.
            read_only = _primary_code(e) in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
            if not read_only or not os.path.isfile(self._path) or _has_log(self._path):
                raise
            uri = Path(self._path).as_uri() + "?mode=ro&immutable=1"
            connection, self._immutable = _open(self._path, uri), True
        self._connection = connection
        self._identity = self._identify()
        return connection

    def _identify(self) -> tuple | None:
        """Return what differs if another file takes its place, or it changes unguarded."""
        try:
            status = os.stat(self._path)
        except OSError:
            return None
        identity = (status.st_dev, status.st_ino)
        if self._immutable:
            identity += (status.st_size, status.st_mtime_ns, _has_log(self._path))
        return identity

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _prepare_fork(self):
        self._disconnect()

    def close(self):
        with self._lock:
            if self._connection is not None and self._uses:
                with suppress(sqlite3.Error):
                    self._offer_uses(self._connection)
            self._disconnect()

    def __del__(self):
        self.close()


def _open(path: str, database: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        database,
        timeout=BUSY_SECONDS,
        isolation_level=None,  # transactions begin with our own BEGIN
        check_same_thread=False,  # the lock sees to it
        uri=database != path,
    )
    try:
        if not _is_cache(connection, path):
            _create(connection)
        # A killed process loses nothing; a power cut may lose the last vectors, not the file.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA cache_size = -4096")  # KiB
        connection.execute("PRAGMA journal_size_limit = 67108864")
    except BaseException:
        connection.close()
        raise
    return connection


def _is_cache(connection: sqlite3.Connection, path: str) -> bool:
    """Return whether a database is a cache; raise ValueError if it is neither that nor empty."""
    with connection:
        connection.execute("BEGIN")  # all from one moment: another process may be making it
        ((application,),) = connection.execute("PRAGMA application_id")
        ((version,),) = connection.execute("PRAGMA user_version")
        ((n_objects,),) = connection.execute("SELECT count(*) FROM sqlite_master")
    if (application, version) == (APPLICATION_ID, SCHEMA_VERSION):
        return True
    if application == APPLICATION_ID:
        raise _no_cache(
            path,
            f"is a cache in layout {version}, made by another version of skmm; this one reads "
            f"layout {SCHEMA_VERSION}",
        )
    if application or version or n_objects:
        raise _no_cache(path, "is a database of another program")
    return False


def _create(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    _use_log(connection)
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            _create_tables(connection)


def _create_tables(connection: sqlite3.Connection) -> None:
    for statement in _SCHEMA:
        connection.execute(statement)


def _use_log(connection: sqlite3.Connection) -> None:
    """Switch to WAL mode; two processes that try at once fail at once, without a wait."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
            return
        except sqlite3.OperationalError as e:
            if _primary_code(e) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def _read_size(connection: sqlite3.Connection) -> int:
    return connection.execute("SELECT n_bytes FROM totals").fetchone()[0]


def _delete(connection: sqlite3.Connection, table: str, keys: Iterable[bytes]) -> None:
    connection.executemany(f"DELETE FROM {table} WHERE key = ?", ((key,) for key in keys))


def _shrink(connection: sqlite3.Connection) -> None:
    """Return what was freed to the file system."""
    connection.executescript("PRAGMA incremental_vacuum")  # execute would free a single page
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _pad(keys: list[bytes]) -> list[bytes]:
    return keys + keys[-1:] * (N_KEYS - len(keys))


def _bytes_on_disk(n_bytes: int) -> int:
    """Return what a vector takes: a share of a page, as only those larger than one are split."""
    per_page = (PAGE_BYTES - 16) // (n_bytes + 16)
    return ENTRY_BYTES + (PAGE_BYTES // per_page if per_page else n_bytes)


def _has_log(path: str) -> bool:
    return os.path.exists(path + "-wal")


def _primary_code(error: Exception) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _explain(error: sqlite3.DatabaseError | OSError, path: str, same_file: bool) -> Exception:
    damage = {
        sqlite3.SQLITE_NOTADB: "is not an SQLite file",
        sqlite3.SQLITE_CORRUPT: f"is damaged ({error})",
    }.get(_primary_code(error))
    if damage is None or not same_file:
        return OSError(f"{error} ({path!r})")
    return _no_cache(path, damage)


def _no_cache(path: str, why: str) -> ValueError:
    return ValueError(
        f"{path!r} {why}. It was left as it is: give another path for the cache, or delete the "
        "file if nobody needs it."
    )
