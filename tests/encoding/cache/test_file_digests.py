"""Digests of files, which are read only if they have changed."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from skmm.encoding import EmbeddingCache
from skmm.encoding.cache import FileDigests, digest_file, digest_item


def make_file(path, content=b"content", *, age=3600):
    path.write_bytes(content)
    os.utime(path, (time.time() - age,) * 2)
    return path


@pytest.fixture
def reads(monkeypatch):
    """The paths that were opened, while the test runs."""
    opened = []
    real = open

    def note(path, *args, **kwargs):
        opened.append(path)
        return real(path, *args, **kwargs)

    monkeypatch.setattr("builtins.open", note)
    return opened


@pytest.mark.parametrize("content", [b"", b"content", bytes(3_000_000)])
def test_a_file_is_its_content(tmp_path, content):
    path = make_file(tmp_path / "a", content)
    assert digest_file(path) == digest_item(content) == digest_file(str(path))
    with FileDigests(None).load([path]) as files:
        assert digest_file(path, files) == digest_item(content)


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_known_files_are_not_read(tmp_path, reads, where):
    cache = EmbeddingCache(None if where == "memory" else tmp_path / "cache.sqlite")
    paths = [make_file(tmp_path / f"{i}.bin", b"content %d" % i) for i in range(1500)]
    expected = [digest_item(b"content %d" % i) for i in range(1500)]
    for n_read in (1500, 0):
        reads.clear()
        with FileDigests(cache).load(paths) as files:
            assert [digest_file(path, files) for path in paths] == expected
        assert len(reads) == n_read
    assert len(cache) == 0  # of vectors
    assert cache.size > 0


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_digests_and_vectors_share_the_limit_and_the_order_of_use(tmp_path, reads, where):
    cache = EmbeddingCache(None if where == "memory" else tmp_path / "cache.sqlite")
    paths = [make_file(tmp_path / f"{i}.bin", b"content %d" % i) for i in range(100)]
    keys = [b"%016d" % i for i in range(100)]
    for start in range(0, 100, 10):  # in turns
        cache.put_many(keys[start : start + 10], np.zeros((10, 8)))
        with FileDigests(cache).load(paths[start : start + 10]) as files:
            for path in paths[start : start + 10]:
                digest_file(path, files)
    cache.get_many(keys[:10])
    FileDigests(cache).load(paths[:10])  # both of these are the latest now
    cache.prune(cache.size // 2)
    kept_vectors = [i for i, vector in enumerate(cache.get_many(keys)) if vector is not None]
    reads.clear()
    with FileDigests(cache).load(paths) as files:
        for path in paths:
            digest_file(path, files)
    kept_digests = sorted(set(range(100)) - {paths.index(Path(path)) for path in reads})
    for kept in (kept_vectors, kept_digests):
        assert kept == [*range(10), *range(110 - len(kept), 100)]
        assert 40 <= len(kept) <= 60


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_clearing_forgets_digests(tmp_path, reads, where):
    cache = EmbeddingCache(None if where == "memory" else tmp_path / "cache.sqlite")
    path = make_file(tmp_path / "a.bin")
    for n_read in (1, 0):
        reads.clear()
        with FileDigests(cache).load([path]) as files:
            digest_file(path, files)
        assert len(reads) == n_read
    cache.clear()
    assert cache.size == 0
    with FileDigests(cache).load([path]) as files:
        digest_file(path, files)
    assert len(reads) == 1


def test_a_path_is_known_however_it_is_written(tmp_path, reads, monkeypatch):
    cache = EmbeddingCache()
    path = make_file(tmp_path / "a.bin")
    with FileDigests(cache).load([path]) as files:
        digest_file(path, files)
    monkeypatch.chdir(tmp_path)
    reads.clear()
    for spelling in ("a.bin", "./a.bin", str(path), os.fsencode(path)):
        with FileDigests(cache).load([spelling]) as files:
            assert digest_file(spelling, files) == digest_item(b"content")
    assert reads == []


def touch(path):
    os.utime(path, (time.time() - 1800,) * 2)


def grow(path):
    status = path.stat()
    path.write_bytes(b"content and more")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replace(path):
    """By one of the same size and time of modification, as `cp -p` and archives do."""
    status = path.stat()
    time.sleep(0.05)  # the kernel's clock for files ticks every 1 to 10 ms
    path.write_bytes(b"CONTENT")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("change", [touch, grow, replace])
def test_changed_files_are_read_again(tmp_path, reads, change):
    cache = EmbeddingCache()
    path = make_file(tmp_path / "a.bin")
    for _ in range(2):
        with FileDigests(cache).load([path]) as files:
            digest_file(path, files)
    assert len(reads) == 1
    change(path)
    with FileDigests(cache).load([path]) as files:
        assert digest_file(path, files) == digest_item(path.read_bytes())
    assert len(reads) == 2


@pytest.mark.parametrize("age", [0, -3600], ids=["just now", "in the future"])
def test_what_was_modified_just_now_is_not_trusted(tmp_path, age):
    cache = EmbeddingCache()
    path = make_file(tmp_path / "a.bin", b"before", age=age)
    status = path.stat()
    for content in (b"before", b"after!"):
        path.write_bytes(content)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        with FileDigests(cache).load([path]) as files:
            assert digest_file(path, files) == digest_item(content)
    assert cache.size == 0


def test_what_is_known_is_kept_when_something_goes_wrong(tmp_path, reads):
    cache = EmbeddingCache()
    path = make_file(tmp_path / "a.bin")

    def be_interrupted():
        with FileDigests(cache).load([path]) as files:
            digest_file(path, files)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        be_interrupted()
    with FileDigests(cache).load([path]) as files:
        digest_file(path, files)
    assert len(reads) == 1


def test_unreadable_files(tmp_path):
    path = make_file(tmp_path / "a.bin")
    broken = [tmp_path / "nowhere", tmp_path, path / "b", "x" * 5000]
    with FileDigests(EmbeddingCache()).load([*broken, "null\0character", "\ud800", path]) as files:
        for one in broken:
            with pytest.raises(OSError, match=rf"{Path(one).name}'$"):
                digest_file(one, files)
            with pytest.raises(OSError, match=rf"{Path(one).name}'$"):
                digest_file(one)
        assert digest_file(path, files) == digest_item(b"content")


def test_file_that_goes_away(tmp_path):
    """Between load and digest it is as if it had been encoded before; after that it is gone."""
    cache = EmbeddingCache()
    path = make_file(tmp_path / "a.bin")
    with FileDigests(cache).load([path]) as files:
        digest_file(path, files)
    path.unlink()
    with FileDigests(cache).load([path]) as files, pytest.raises(FileNotFoundError):
        digest_file(path, files)


def test_names_that_do_not_decode(tmp_path, reads):
    cache = EmbeddingCache(tmp_path / "cache.sqlite")
    names = [os.fsencode(tmp_path) + name for name in (b"/\xff.bin", b"/\xfe.bin")]
    try:
        for name in names:
            with open(name, "wb") as file:
                file.write(name)
            os.utime(name, (0, 0))
    except OSError:
        pytest.skip("this file system wants names that decode")
    for n_read in (2, 0):
        reads.clear()
        for spelled in (names, [os.fsdecode(name) for name in names]):
            with FileDigests(cache).load(spelled) as files:
                assert [digest_file(path, files) for path in spelled] == list(
                    map(digest_item, names)
                )
        assert len(reads) == n_read


def test_several_threads_digest_files(tmp_path):
    cache = EmbeddingCache()
    paths = [make_file(tmp_path / f"{i}.bin", b"content %d" % i) for i in range(2500)]
    with FileDigests(cache).load(paths) as files, ThreadPoolExecutor(4) as pool:
        digests = list(pool.map(lambda path: digest_file(path, files), paths))
    assert digests == [digest_item(b"content %d" % i) for i in range(2500)]
    known = FileDigests(cache).load(paths)
    for path in paths:
        path.unlink()  # nothing is left to read: all are known
    assert [digest_file(path, known) for path in paths] == digests
