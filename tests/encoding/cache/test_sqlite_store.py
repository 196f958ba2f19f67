"""The cache on disk in all kinds of trouble: killed, locked, full, read-only, not ours, damaged."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
import warnings
from contextlib import closing, contextmanager

import numpy as np
import pytest

from skmm.encoding import EmbeddingCache
from skmm.encoding.cache import FileDigests, digest_file

N = 200


def make_keys(n, first=0):
    return [b"%016d" % i for i in range(first, first + n)]


def make_vectors(n, first=0):
    return np.arange(first, first + n, dtype=np.float32)[:, None] + np.arange(64) / 64


def fill(path, n=N):
    """Make a cache of n vectors and close it, as the end of a process does."""
    cache = EmbeddingCache(path)
    cache.put_many(make_keys(n), make_vectors(n))
    cache._store.close()
    return cache


def assert_holds(cache, n=N):
    np.testing.assert_array_equal(np.stack(cache.get_many(make_keys(n))), make_vectors(n))


def check_integrity(path):
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        ((n_vectors, n_bytes),) = connection.execute("SELECT count(*), sum(n_bytes) FROM entries")
        ((n_files,),) = connection.execute("SELECT count(*) FROM files")
        totals = [(n_vectors, (n_bytes or 0) + 100 * n_files)]  # 100 bytes are a row of files
        assert connection.execute("SELECT * FROM totals").fetchall() == totals
        orphans = "SELECT count(*) FROM vectors WHERE id NOT IN (SELECT id FROM entries)"
        assert connection.execute(orphans).fetchone() == (0,)


@contextmanager
def one_warning(match):
    """Expect one warning, however often a cache is asked."""
    with pytest.warns(UserWarning, match=match) as seen:
        yield
    assert [str(w.message) for w in seen][1:] == []


def start(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
    )


# One file, many users


def test_vectors_outlive_the_process(tmp_path):
    fill(tmp_path / "cache.sqlite", 2000)
    assert os.listdir(tmp_path) == ["cache.sqlite"]
    cache = EmbeddingCache(tmp_path / "cache.sqlite")
    assert len(cache) == 2000
    assert_holds(cache, 2000)
    check_integrity(cache.path)


def test_size_is_that_of_the_file(tmp_path):
    for n_vectors, n_features in ((20_000, 4), (5000, 100), (2000, 384), (2000, 768), (200, 5000)):
        cache = EmbeddingCache(tmp_path / f"{n_features}.sqlite")
        cache.put_many(make_keys(n_vectors), np.ones((n_vectors, n_features)))
        cache._store.close()
        assert cache.size == pytest.approx(os.path.getsize(cache.path), rel=0.08)


def test_file_stays_within_the_limit(tmp_path):
    path, limit = tmp_path / "cache.sqlite", 2_000_000
    one, other = EmbeddingCache(path, max_size=limit), EmbeddingCache(path, max_size=limit)
    for first in range(0, 20_000, 200):
        cache = one if first % 400 else other
        cache.put_many(make_keys(200, first), make_vectors(200, first))
        assert one.size == other.size <= limit
    one._store.close()
    other._store.close()
    assert 0.85 * limit < os.path.getsize(path) < 1.15 * limit
    check_integrity(path)


def test_cleared_or_pruned_file_is_small(tmp_path):
    cache, other = fill(tmp_path / "cache.sqlite", 5000), EmbeddingCache(tmp_path / "cache.sqlite")
    assert_holds(other, 5000)
    full = os.path.getsize(cache.path)
    cache.prune(cache.size // 2)
    assert os.path.getsize(cache.path) < 0.6 * full
    assert len(other) == len(cache) == 2500
    cache.clear()
    assert os.path.getsize(cache.path) < 150_000
    assert other.get_many(make_keys(5000)) == [None] * 5000
    other.put_many(make_keys(N), make_vectors(N))
    assert_holds(cache)
    check_integrity(cache.path)


def test_file_of_another_layout_is_named_with_the_next_step(tmp_path):
    path = tmp_path / "cache.sqlite"
    NOT_A_CACHE["layout 1"](path)
    with pytest.raises(ValueError, match=r"cache\.sqlite' .*\blayout 1\b.*\blayout 2\b"):
        EmbeddingCache(path).get_many(make_keys(1))


def test_digests_of_files_are_rows_of_a_table(tmp_path):
    cache = EmbeddingCache(tmp_path / "cache.sqlite")
    paths = [tmp_path / f"{i}.bin" for i in range(20)]
    for path in paths:
        path.write_bytes(path.name.encode())
        os.utime(path, (time.time() - 3600,) * 2)
    with FileDigests(cache).load(paths) as files:
        digests = [digest_file(path, files) for path in paths]
    cache._store.close()
    with closing(sqlite3.connect(cache.path)) as connection:
        stored = [digest for (digest,) in connection.execute("SELECT digest FROM files")]
        assert connection.execute("SELECT count(*) FROM vectors").fetchone() == (0,)
    assert sorted(stored) == sorted(digests)
    check_integrity(cache.path)


def test_use_in_one_process_counts_in_another(tmp_path):
    cache = fill(tmp_path / "cache.sqlite")
    cache.get_many(make_keys(20))
    cache._store.close()  # writes the times of use
    other = EmbeddingCache(cache.path)
    other.prune(cache.size // 2)
    kept = [vector is not None for vector in other.get_many(make_keys(N))]
    assert all(kept[:20])
    assert not any(kept[20 : N // 2])


def test_reading_and_writing_go_on_while_another_reads(tmp_path):
    cache = fill(tmp_path / "cache.sqlite")
    with closing(sqlite3.connect(cache.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM entries").fetchall()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            cache.put_many(make_keys(N, N), make_vectors(N, N))
            assert_holds(cache, 2 * N)


@pytest.mark.parametrize("change", ["deleted", "folder deleted", "replaced"])
def test_file_that_goes_away_under_the_cache(tmp_path, change):
    path = tmp_path / "folder" / "cache.sqlite"
    cache = fill(path, 10)
    assert_holds(cache, 10)
    if change == "deleted":
        path.unlink()
    elif change == "folder deleted":
        shutil.rmtree(path.parent)
    else:
        fill(tmp_path / "another.sqlite")
        os.replace(tmp_path / "another.sqlite", path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(cache) == (N if change == "replaced" else 0)
        cache.put_many(make_keys(N), make_vectors(N))
        assert_holds(cache)
    check_integrity(path)


WRITER = """
    import sys
    import numpy as np
    from skmm.encoding import EmbeddingCache

    cache, first, last = EmbeddingCache(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    for start in range(first, last, 16):
        keys = [b"%016d" % i for i in range(start, start + 16)]
        cache.get_many(keys)
        values = np.arange(start, start + 16, dtype=np.float32)[:, None] + np.arange(64) / 64
        cache.put_many(keys, values)
        print(start, flush=True)
"""


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.skipif(sys.platform == "win32", reason="needs kill -9")
def test_kill_9_with_two_processes_writing(tmp_path, seed):
    """What was written is there, the file is sound, and the one that survives goes on."""
    path, chance = tmp_path / "cache.sqlite", random.Random(seed)
    # some of what they write, both write
    writers = [start(WRITER, path, first, 10**6) for first in (0, 160)]
    told = set()
    try:
        for writer in writers:  # both are at it
            told.update(int(writer.stdout.readline()) for _ in range(10))
        for writer in chance.sample(writers, 2):
            time.sleep(chance.uniform(0, 0.2))
            writer.kill()  # SIGKILL
            told.update(map(int, writer.stdout.read().split()))
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
            writer.stdout.close()
    assert len(told) >= 20
    check_integrity(path)
    cache = EmbeddingCache(path)
    for first in told:
        found = cache.get_many(make_keys(16, first))
        np.testing.assert_array_equal(np.stack(found), make_vectors(16, first))
    # of what nobody was told, there may be a batch of each, whole
    assert len(cache) - 16 * len(told) in (0, 16, 32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.put_many(make_keys(16, 10**7), make_vectors(16))


def test_two_processes_make_one_file(tmp_path):
    path = tmp_path / "new" / "cache.sqlite"
    writers = [start(WRITER, path, 0, 800) for _ in range(2)]
    for writer in writers:
        assert len(writer.communicate(timeout=60)[0].split()) == 50
        assert writer.returncode == 0
    assert_holds(EmbeddingCache(path), 800)
    check_integrity(path)


# What is not a cache, or no longer


def make_database(path, statement):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)


NOT_A_CACHE = {
    "text": lambda path: path.write_text("dear diary, " * 1000),
    "short text": lambda path: path.write_text("hello"),
    "zeros": lambda path: path.write_bytes(bytes(10_000)),
    "picture": lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20),
    "cut header": lambda path: path.write_bytes(b"SQLite format 3\0" + bytes(50)),
    "database": lambda path: make_database(path, "CREATE TABLE entries (key, vector)"),
    "marked database": lambda path: make_database(path, "PRAGMA application_id = 77"),
    "layout 1": lambda path: (fill(path), make_database(path, "PRAGMA user_version = 1")),
    "layout 3": lambda path: (fill(path), make_database(path, "PRAGMA user_version = 3")),
}


@pytest.mark.parametrize("kind", NOT_A_CACHE)
def test_what_is_not_a_cache_is_left_alone(tmp_path, kind):
    path = tmp_path / "precious.db"
    NOT_A_CACHE[kind](path)
    before = path.read_bytes()
    cache = EmbeddingCache(path)
    uses = [
        lambda: cache.get_many(make_keys(1)),
        lambda: cache.put_many(make_keys(1), make_vectors(1)),
        lambda: len(cache),
        lambda: cache.size,
        cache.clear,
        cache.prune,
    ]
    for use in uses:
        with pytest.raises(ValueError, match=r"precious\.db'"):
            use()
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["precious.db"]


def test_empty_file_becomes_a_cache(tmp_path):
    path = tmp_path / "cache.sqlite"
    path.touch()
    assert_holds(fill(path))


@pytest.mark.parametrize("damage", ["overwritten", "cut"])
def test_damaged_file(tmp_path, damage):
    path = tmp_path / "cache.sqlite"
    fill(path, 5000)
    content = path.read_bytes()
    if damage == "overwritten":
        content = content[:20_000] + b"\xa5" * (len(content) - 20_000)
    else:
        content = content[: len(content) // 2]
    path.write_bytes(content)
    cache = EmbeddingCache(path)
    with pytest.raises(ValueError, match=r"cache\.sqlite'.*damaged"):
        cache.get_many(make_keys(5000))
    assert path.read_bytes() == content


# What cannot be read or written, for now


@contextmanager
def mounted(folder, size):
    """Mount a file system of its own; skip the test where that is not allowed."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("may not mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def read_only(path):
    """Make a file or a folder read-only, in a way that also stops the superuser."""
    if sys.platform == "win32" or os.geteuid() != 0:
        mode = os.stat(path).st_mode
        os.chmod(path, mode & ~0o222)
        try:
            yield
        finally:
            os.chmod(path, mode)
        return
    bind = ["mount", "--bind", str(path), str(path)]
    if shutil.which("mount") is None or subprocess.run(bind, capture_output=True).returncode:
        pytest.skip("the superuser may write anywhere, and may not mount a file system here")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(path)], check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.mark.parametrize("what", ["file", "folder"])
def test_read_only_cache_serves_what_it_holds(tmp_path, what):
    folder = tmp_path / "folder"
    path = folder / "cache?.sqlite"
    fill(path)
    with read_only(path if what == "file" else folder):
        cache = EmbeddingCache(path)
        with one_warning(r"cache\?\.sqlite"):
            for _ in range(3):
                assert_holds(cache)
                cache.put_many(make_keys(N, N), make_vectors(N, N))
        assert len(cache) == N
        assert cache.size > 0
        with pytest.raises(OSError, match=r"cache\?\.sqlite"):
            cache.clear()
        assert_holds(cache)
    with closing(sqlite3.connect(path)) as connection:  # others write again, and it is seen
        connection.execute("DELETE FROM entries")
        connection.commit()
        assert cache.get_many(make_keys(N)) == [None] * N


def test_read_only_folder_without_a_cache(tmp_path):
    with read_only(tmp_path):
        cache = EmbeddingCache(tmp_path / "cache.sqlite")
        with one_warning("cache cannot be read: .*goes on without it"):
            for _ in range(3):
                assert cache.get_many(make_keys(2)) == [None, None]
                cache.put_many(make_keys(2), make_vectors(2))


@pytest.mark.parametrize("folder", ["/proc/skmm", "a file/folder"])
def test_folder_that_cannot_be_made(tmp_path, folder):
    (tmp_path / "a file").touch()
    cache = EmbeddingCache(tmp_path / folder / "cache.sqlite")
    with one_warning(r"cache cannot be written: .*cache\.sqlite.*goes on without it"):
        for _ in range(3):
            cache.put_many(make_keys(2), make_vectors(2))
            assert cache.get_many(make_keys(2)) == [None, None]


def test_full_disk(tmp_path):
    with mounted(tmp_path, "4m"):
        cache, ballast = EmbeddingCache(tmp_path / "cache.sqlite"), tmp_path / "ballast"
        ballast.write_bytes(bytes(2**21))
        with one_warning(r"cache cannot be written: .*full.*goes on without it"):
            for first in range(0, 100 * N, N):
                cache.put_many(make_keys(N, first), make_vectors(N, first))
        n_written = len(cache)
        assert n_written >= 5 * N
        assert n_written % N == 0
        assert_holds(cache, n_written)
        cache._store.close()
        check_integrity(cache.path)
        again = EmbeddingCache(cache.path)
        assert_holds(again, n_written)
        ballast.unlink()
        again.put_many(make_keys(N, n_written), make_vectors(N, n_written))
        assert_holds(again, n_written + N)
        again.clear()
        assert len(again) == 0
        again._store.close()


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of a process")
def test_file_that_may_not_grow(tmp_path):
    """As with a quota: writing fails in the middle, and what was written stays."""
    code = """
        import resource, signal, sys, warnings
        import numpy as np
        from skmm.encoding import EmbeddingCache

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))
        cache = EmbeddingCache(sys.argv[1])
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            for start in range(0, 20_000, 200):
                keys = [b"%016d" % i for i in range(start, start + 200)]
                values = np.arange(start, start + 200)[:, None] + np.arange(64) / 64
                cache.put_many(keys, values)
                cache.get_many(keys)
        print(len(seen), str(seen[0].message).startswith("The cache cannot be written"))
        print(len(cache))
    """
    printed = start(code, tmp_path / "cache.sqlite").communicate(timeout=60)[0].split()
    assert printed[:2] == ["1", "True"]
    n_written = int(printed[2])
    assert n_written >= N
    assert n_written % N == 0
    assert_holds(EmbeddingCache(tmp_path / "cache.sqlite"), n_written)
    check_integrity(tmp_path / "cache.sqlite")


def test_file_that_is_locked_for_long(tmp_path, monkeypatch):
    monkeypatch.setattr("skmm.encoding.cache._sqlite_store.BUSY_SECONDS", 1.0)
    cache = fill(tmp_path / "cache.sqlite")
    with closing(sqlite3.connect(cache.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        waits = []
        put_many = cache._store.put_many
        monkeypatch.setattr(cache._store, "put_many", lambda *a: (waits.append(1), put_many(*a)))
        with one_warning("cache cannot be written: database is locked .*goes on without it"):
            for _ in range(10):
                cache.put_many(make_keys(N, N), make_vectors(N, N))
                assert_holds(cache)
        assert len(waits) == 1
        other.execute("ROLLBACK")


def test_file_that_is_locked_for_short(tmp_path):
    cache = fill(tmp_path / "cache.sqlite")
    code = """
        import sqlite3, sys, time
        connection = sqlite3.connect(sys.argv[1], isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        print("locked", flush=True)
        time.sleep(0.5)
        connection.execute("COMMIT")
    """
    other = start(code, cache.path)
    assert other.stdout.readline() == "locked\n"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.put_many(make_keys(N, N), make_vectors(N, N))
    other.communicate(timeout=60)
    assert_holds(cache, 2 * N)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer")
def test_interrupted_writes_are_written_whole_or_not_at_all(tmp_path):
    came = []

    def interrupt(*_):
        came.append(True)
        raise KeyboardInterrupt

    def write_on():
        came.clear()
        while not came:  # Python ignores what is raised while it deletes an object
            keys = make_keys(N, len(cache))
            cache.put_many(keys, make_vectors(N, len(cache)))
        raise KeyboardInterrupt

    cache = fill(tmp_path / "cache.sqlite")
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for milliseconds in range(3, 60, 3):
            signal.setitimer(signal.ITIMER_REAL, milliseconds / 1000)
            with pytest.raises(KeyboardInterrupt):
                write_on()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert len(cache) % N == 0
    assert len(cache) > N
    assert_holds(cache, len(cache))
    check_integrity(cache.path)
