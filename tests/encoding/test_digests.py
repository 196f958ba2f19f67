"""What makes two items the same: digests of their content, and what is remembered of files."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from skmm.encoding import EmbeddingCache
from skmm.encoding._digests import FileDigests, digest_file, digest_item

GREY = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4))


def changed(image, *, palette=None, orientation=None, **info):
    image = image.copy()
    if palette is not None:
        image.putpalette(palette)
    if orientation is not None:
        image.getexif()[0x0112] = orientation
    image.info.update(info)
    return image


PALETTE = GREY.convert("P")

# Each differs from each other in one thing, however small.
DIFFERENT = {
    "text": "abc",
    "its bytes": b"abc",
    "upper case": "Abc",
    "composed": "\u00e9",
    "decomposed": "e\u0301",
    "lone surrogate": "\ud800",
    "another lone surrogate": "\ud801",
    "question mark": "?",
    "empty text": "",
    "no bytes": b"",
    "None": None,
    "its name": "None",
    "False": False,
    "zero": 0,
    "float zero": 0.0,
    "array": np.arange(6.0),
    "float32": np.arange(6.0, dtype=np.float32),
    "big endian": np.arange(6.0, dtype=">f8"),
    "row": np.arange(6.0).reshape(1, 6),
    "two rows": np.arange(6.0).reshape(2, 3),
    "transposed": np.arange(6.0).reshape(2, 3).T,
    "reversed": np.arange(6.0)[::-1],
    "no samples": np.zeros((0, 2)),
    "no features": np.zeros((2, 0)),
    "scalar array": np.array(0.0),
    "sound": (np.arange(6.0), 16_000),
    "at another rate": (np.arange(6.0), 8_000),
    "as a list": [np.arange(6.0), 16_000],
    "as a dict": {"array": np.arange(6.0), "sampling_rate": 16_000},
    "other names": {"array": 16_000, "sampling_rate": np.arange(6.0)},
    "empty tuple": (),
    "empty list": [],
    "empty dict": {},
    "nested": ("a", ("b", "c")),
    "nested elsewhere": (("a", "b"), "c"),
    "flat": ("a", "b", "c"),
    "joined": ("ab", "c"),
    "image": GREY,
    "its pixels": np.asarray(GREY),
    "its pixels' bytes": GREY.tobytes(),
    "another shape": Image.frombytes("L", (3, 4), GREY.tobytes()),
    "colour": GREY.convert("RGB"),
    "alpha": GREY.convert("LA"),
    "palette": PALETTE,
    "inverted palette": changed(PALETTE, palette=bytes(range(255, -1, -1)) * 3),
    "transparent colour": changed(PALETTE, transparency=0),
    "transparent colours": changed(PALETTE, transparency=b"\x00\x80"),
    "on its side": changed(GREY, orientation=6),
}


def test_no_two_items_look_alike():
    digests = {name: digest_item(item) for name, item in DIFFERENT.items()}
    assert all(type(digest) is bytes and len(digest) == 16 for digest in digests.values())
    alike = [(a, b) for a, b in combinations(digests, 2) if digests[a] == digests[b]]
    assert alike == []


@pytest.mark.parametrize(
    ("item", "same"),
    [
        ("abc", np.str_("abc")),
        (b"abc", bytearray(b"abc")),
        (b"abc", memoryview(b"a-b-c")[::2]),
        (np.arange(6), np.repeat(np.arange(6), 2)[::2]),
        (np.arange(6).reshape(2, 3), np.asfortranarray(np.arange(6).reshape(2, 3))),
        (np.arange(4).reshape(2, 2), np.matrix("0 1; 2 3")),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (("a", np.int64(3), np.float64(0.5), np.bool_(True)), ("a", 3, 0.5, True)),
        (GREY, GREY.copy()),
        (GREY, changed(GREY, dpi=(300, 300), comment="not seen")),
        (GREY, changed(GREY, orientation=1)),
    ],
)
def test_equal_items_have_equal_digests(item, same):
    assert digest_item(item) == digest_item(same)


def test_digests_stay_the_same_from_version_to_version():
    """Or else nobody finds what is on disk."""
    assert digest_item("a text").hex() == "bbabfebc6b3011df8ca2bb8429a6eb14"
    sound = (np.arange(3, dtype="<i2"), 8000)
    assert digest_item(sound).hex() == "b90445c306ba83b670dc63d7489d7c28"


@pytest.mark.parametrize(
    "item",
    [
        object(),
        {1, 2},
        1j,
        len,
        np.array(["a"]),
        np.array([None]),
        np.array(["2020-01-01"], dtype="datetime64[D]"),
        np.ma.masked_array([1, 2], [True, False]),
        (1, object()),
        {"a": {2}},
    ],
)
def test_what_cannot_be_digested(item):
    with pytest.raises(TypeError, match=r"expected .*, got "):
        digest_item(item)


def test_lazily_opened_image(tmp_path):
    GREY.save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert digest_item(image) == digest_item(GREY)


# Files


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
            with pytest.raises(OSError, match=r"\[Errno"):
                digest_file(one, files)
            with pytest.raises(OSError, match=r"\[Errno"):
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
