"""The cache of vectors: what both kinds promise, in memory and on disk."""

import copy
import os
import pickle
import subprocess
import sys
import textwrap
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone

from skmm.encoding import EmbeddingCache
from skmm.encoding.cache import open_cache

KINDS = ["memory", "disk"]


def make_keys(n, first=0):
    return [b"%016d" % i for i in range(first, first + n)]


def make_vectors(n, n_features=8, seed=0):
    return np.random.default_rng(seed).standard_normal((n, n_features), dtype=np.float32)


@pytest.fixture(params=KINDS)
def make_cache(request, tmp_path):
    """Make caches of one kind; those on disk share a file."""
    path = None if request.param == "memory" else tmp_path / "cache.sqlite"
    return lambda **params: EmbeddingCache(path, **params)


def test_what_was_put_is_found(make_cache):
    cache, keys, vectors = make_cache(), make_keys(3000), make_vectors(3000)
    cache.put_many(keys[:1], vectors[:1])
    cache.put_many(keys[1:], vectors[1:])
    some = [keys[2000], b"a key not stored", keys[5], keys[2000]]
    first, missing, second, again = cache.get_many(some)
    assert missing is None
    for found, row in ((first, 2000), (second, 5), (again, 2000)):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, vectors[row])
    np.testing.assert_array_equal(np.stack(cache.get_many(keys)), vectors)
    assert len(cache) == 3000


def test_vectors_of_any_kind(make_cache):
    cache = make_cache()
    vectors = [
        np.array([np.nan, -np.inf, -0.0]),
        np.frombuffer(b"\x01\x00\xa0\x7f\xff\xff\xff\xff", dtype=np.float32),  # NaNs of two kinds
        np.zeros(0),
        np.arange(100_000),
        np.arange(12.0, dtype=">f4")[::-3],
        [0.5, 1.5],
    ]
    keys = [bytes(16), b"\xff" * 16, *make_keys(4)]
    cache.put_many(keys, vectors)
    for found, vector in zip(cache.get_many(keys), vectors, strict=True):
        expected = np.asarray(vector, dtype=np.float32)
        assert found.dtype == np.float32
        assert found.shape == expected.shape
        assert found.tobytes() == expected.tobytes()


def test_vectors_belong_to_the_cache(make_cache):
    cache, keys, vectors = make_cache(), make_keys(2), make_vectors(2)
    cache.put_many(keys, vectors)
    expected, vectors[:] = vectors.copy(), 0
    found = cache.get_many(keys)
    np.testing.assert_array_equal(np.stack(found), expected)
    with pytest.raises(ValueError, match="read-only"):
        found[0][0] = 1


def test_a_new_vector_takes_the_place_of_the_old(make_cache):
    cache, keys, vectors = make_cache(), make_keys(2), make_vectors(4)
    cache.put_many(keys, vectors[:2])
    size = cache.size
    cache.put_many([keys[0], keys[0]], vectors[2:])
    np.testing.assert_array_equal(np.stack(cache.get_many(keys)), vectors[[3, 1]])
    assert len(cache) == 2
    assert cache.size == size


def test_nothing_to_do(make_cache):
    cache = make_cache()
    assert cache.get_many([]) == []
    cache.put_many([], [])
    cache.put_many([], np.zeros((0, 8)))
    cache.prune()
    cache.clear()
    assert len(cache) == cache.size == 0
    assert cache  # `if cache` asks whether there is one


@pytest.mark.parametrize(
    ("keys", "vectors", "message"),
    [
        (make_keys(2), make_vectors(3), r"\b2 keys, got 3\b"),
        ([b"short"], make_vectors(1), r"keys .*\b16\b.*b'short'"),
        (["x" * 16], make_vectors(1), r"keys .*\b16\b.* 'xxxx"),
        (make_keys(1), np.zeros((1, 2, 3)), r"vectors .*shape \(2, 3\)"),
    ],
)
def test_what_cannot_be_put(make_cache, keys, vectors, message):
    cache = make_cache()
    with pytest.raises(ValueError, match=message):
        cache.put_many(keys, vectors)
    assert len(cache) == 0


@pytest.mark.parametrize("max_size", [-1, 1.5, "1 GiB", True])
def test_invalid_size(make_cache, max_size):
    with pytest.raises(ValueError, match=rf"max_size .*{max_size!r}"):
        make_cache(max_size=max_size)
    with pytest.raises(ValueError, match=rf"max_size .*{max_size!r}"):
        make_cache().prune(max_size=max_size)


def test_least_recently_used_goes_first(make_cache):
    cache, keys, vectors = make_cache(), make_keys(100), make_vectors(100, 64)
    for start in range(0, 100, 10):
        cache.put_many(keys[start : start + 10], vectors[start : start + 10])
    cache.get_many(keys[:20])  # the oldest are in use again
    size = cache.size
    cache.prune(size // 2)
    assert size // 2 - size // 100 <= cache.size <= size // 2
    kept = {
        key for key, vector in zip(keys, cache.get_many(keys), strict=True) if vector is not None
    }
    assert kept == {*keys[:20], *keys[-len(kept) + 20 :]}
    assert len(cache) == len(kept) == 50


def test_size_is_bounded(make_cache):
    cache = make_cache(max_size=200_000)
    used = make_keys(1)
    cache.put_many(used, make_vectors(1, 64))
    for start in range(1, 5001, 50):
        cache.put_many(make_keys(50, start), make_vectors(50, 64))
        assert cache.get_many(used)[0] is not None
        assert cache.size <= 200_000
    assert cache.size > 180_000
    newest = cache.get_many(make_keys(50, start))
    np.testing.assert_array_equal(np.stack(newest), make_vectors(50, 64))


def test_a_limit_smaller_than_a_vector(make_cache):
    cache = make_cache(max_size=10)
    cache.put_many(make_keys(3), make_vectors(3))
    assert cache.get_many(make_keys(3)) == [None] * 3
    assert len(cache) == cache.size == 0


def test_clear(make_cache):
    cache, keys, vectors = make_cache(), make_keys(10), make_vectors(10)
    cache.put_many(keys, vectors)
    cache.clear()
    assert cache.get_many(keys) == [None] * 10
    assert len(cache) == cache.size == 0
    cache.put_many(keys, vectors)
    np.testing.assert_array_equal(np.stack(cache.get_many(keys)), vectors)


def test_threads(make_cache):
    """Eight threads write and read what is theirs and what is everybody's, past the limit."""
    cache = make_cache(max_size=500_000)
    shared, shared_vectors = make_keys(20), make_vectors(20, 32)

    def work(number):
        mine = make_vectors(20, 32, seed=number)
        for step in range(20):
            keys = make_keys(20, 1000 * (number + 1) + 20 * step)
            cache.put_many(keys, mine)
            cache.put_many(shared, shared_vectors)
            for key, found in zip(shared + keys, cache.get_many(shared + keys), strict=True):
                expected = (shared_vectors if key in shared else mine)[int(key) % 20]
                assert found is None or found.tobytes() == expected.tobytes()
        return number

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == list(range(8))
    np.testing.assert_array_equal(np.stack(cache.get_many(shared)), shared_vectors)
    assert 0 < cache.size <= 500_000


def run_python(code, *arguments):
    """Run code in a process of its own, and give what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("kind", KINDS)
def test_fork_while_threads_are_at_it(tmp_path, kind):
    """Children find no lock held and no connection of their parent's, and what was there."""
    code = """
        import glob, os, signal, sys, threading
        import numpy as np
        from skmm.encoding.cache import open_cache

        cache, stop = open_cache(sys.argv[1]), threading.Event()
        keys = [b"%016d" % i for i in range(64)]
        vectors = np.arange(640, dtype=np.float32).reshape(64, 10)
        cache.put_many(keys, vectors)

        def hammer():
            while not stop.is_set():
                cache.put_many(keys, vectors)
                cache.get_many(keys)

        threads = [threading.Thread(target=hammer) for _ in range(3)]
        for thread in threads:
            thread.start()
        statuses = []
        for child in range(20):
            pid = os.fork()
            if not pid:
                signal.alarm(30)  # a deadlock ends here
                files = map(os.path.realpath, glob.glob("/proc/self/fd/*"))
                inherited = [file for file in files if "cache.sqlite" in file]
                new = b"child %010d" % child
                cache.put_many([new], vectors[:1])
                right = np.array_equal(np.stack(cache.get_many([*keys, new])[:64]), vectors)
                os._exit(bool(inherited) or not right)
            statuses.append(os.waitpid(pid, 0)[1])
        stop.set()
        for thread in threads:
            thread.join()
        print(statuses == [0] * 20, len(cache))
    """
    printed = run_python(code, "memory" if kind == "memory" else tmp_path / "cache.sqlite")
    assert printed.split() == ["True", "64" if kind == "memory" else "84"]


# Where a cache stands


@pytest.mark.parametrize(
    ("spec", "file"),
    [
        ("vectors.sqlite", "vectors.sqlite"),
        ("vectors.db", "vectors.db"),
        ("no/such/folder/yet/vectors.sqlite", "no/such/folder/yet/vectors.sqlite"),
        ("vectors", "vectors/embeddings.sqlite"),
        ("folder.d", "folder.d/embeddings.sqlite"),
        (".hidden", ".hidden/embeddings.sqlite"),
        ("file", "file"),
        ("what? 100%#1;.sqlite", "what? 100%#1;.sqlite"),
        (os.fsdecode(b"\xff.sqlite"), os.fsdecode(b"\xff.sqlite")),
    ],
)
def test_the_file_of_a_path(tmp_path, monkeypatch, spec, file):
    monkeypatch.chdir(tmp_path)
    Path("folder.d").mkdir()
    Path("file").touch()
    cache = EmbeddingCache(spec)
    monkeypatch.chdir("folder.d")
    cache.put_many(make_keys(1), make_vectors(1))
    assert cache.path == str(tmp_path / file)
    assert os.path.getsize(tmp_path / file) > 0
    assert repr(cache) == f"EmbeddingCache({cache.path!r}, max_size={10 * 2**30})"
    assert EmbeddingCache(tmp_path / spec).path == EmbeddingCache(cache.path).path == cache.path


def test_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert EmbeddingCache("~/vectors.sqlite").path == str(tmp_path / "vectors.sqlite")


def test_nothing_is_made_before_it_is_used(tmp_path):
    assert EmbeddingCache(tmp_path / "new" / "cache.sqlite")
    assert list(tmp_path.iterdir()) == []


def test_open_cache(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert open_cache(None) is None
    mine = EmbeddingCache(max_size=0)
    assert open_cache(mine) is mine
    assert open_cache("memory") is open_cache("memory")
    assert open_cache("memory").path is None
    on_disk = open_cache("cache.sqlite")
    assert on_disk.path == str(tmp_path / "cache.sqlite")
    assert open_cache(tmp_path / "cache.sqlite") is on_disk
    assert open_cache(tmp_path / "folder") is open_cache(tmp_path / "folder" / "embeddings.sqlite")
    assert open_cache(Path("memory")).path == str(tmp_path / "memory" / "embeddings.sqlite")
    with pytest.raises(TypeError, match=r"cache.*int"):
        open_cache(7)


# Copies and pickles


class Encoder(BaseEstimator):
    def __init__(self, cache=None):
        self.cache = cache


def test_copies_are_the_same_cache(make_cache):
    cache = make_cache()
    assert copy.copy(cache) is copy.deepcopy(cache) is cache
    assert clone(Encoder(cache)).cache is cache


def test_pickles_are_small_and_find_what_was_put(tmp_path):
    cache = EmbeddingCache(tmp_path / "cache.sqlite", max_size=10**7)
    cache.put_many(make_keys(1000), make_vectors(1000))
    pickled = pickle.dumps(cache)
    assert len(pickled) < 300
    other = pickle.loads(pickled)
    assert other is pickle.loads(pickled)
    assert (other.path, other.max_size) == (cache.path, cache.max_size)
    code = """
        import pickle, sys
        cache = pickle.loads(bytes.fromhex(sys.argv[1]))
        print(len(cache), cache.max_size, cache.get_many([b"%016d" % 7])[0].tobytes().hex())
    """
    expected = ["1000", "10000000", make_vectors(1000)[7].tobytes().hex()]
    assert run_python(code, pickled.hex()).split() == expected


def test_pickle_of_memory_becomes_the_process_s_own():
    cache = open_cache("memory")
    key, vector = [b"test of a pickle"], make_vectors(1)
    cache.put_many(key, vector)
    pickled = pickle.dumps(cache)
    assert len(pickled) < 300
    assert pickle.loads(pickled) is cache
    code = """
        import pickle, sys
        from skmm.encoding.cache import open_cache
        cache = pickle.loads(bytes.fromhex(sys.argv[1]))
        print(cache is open_cache("memory"), len(cache))
    """
    assert run_python(code, pickled.hex()).split() == ["True", "0"]
    small = EmbeddingCache(max_size=1000)
    assert pickle.loads(pickle.dumps(small)).max_size == 1000


def test_memory_of_lengths_that_are_gone_is_free_again():
    cache = EmbeddingCache(max_size=100 * 2**20)
    tracemalloc.start()
    for length in (2000, 3000, 4000, 5000):
        keys = make_keys(100 * 2**20 // (4 * length))
        for i in range(0, len(keys), 500):
            vectors = np.full((len(keys[i : i + 500]), length), length, dtype=np.float32)
            cache.put_many(
                [bytes([length // 1000]) + key[1:] for key in keys[i : i + 500]], vectors
            )
    del vectors
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 90 * 2**20 < held < 300 * 2**20
    found = cache.get_many([bytes([5]) + key[1:] for key in keys])
    assert sum(vector is not None for vector in found) > 0.9 * len(keys)
    assert {float(v) for vector in found if vector is not None for v in vector[[0, -1]]} == {5000.0}
