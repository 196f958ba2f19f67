"""open_encoded: paths here, paths in any fsspec filesystem, bytes, and what is none of them."""

import errno
import os
import re
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import soundfile
import torch
from clips import number_frames, write_clip
from PIL import Image

from skmm.audio import AudioDescriptor, AudioPreprocessor
from skmm.encoding import TorchEncoder
from skmm.encoding.cache import digest_file
from skmm.encoding.readers import BrokenItemError, open_encoded
from skmm.image import ImageDescriptor, ImagePreprocessor
from skmm.video import VideoEncoder


def read(cell, filesystem=None):
    with open_encoded(cell, filesystem) as file:
        return file.read()


@pytest.fixture
def memory():
    filesystem = fsspec.filesystem("memory", skip_instance_cache=True)
    filesystem.store = {}  # that of the class is shared by the whole process
    filesystem.pipe("/sounds/a.bin", b"in memory")
    filesystem.pipe("/sounds/empty.bin", b"")
    return filesystem


def test_paths_and_bytes(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"content")
    for cell in (path, str(path), b"content", bytearray(b"content"), memoryview(b"content")):
        assert read(cell) == b"content"


def test_home_is_found_here_and_not_elsewhere(memory, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    path = tmp_path / "a.bin"
    path.write_bytes(b"content")
    assert read("~/a.bin") == read(Path("~/a.bin")) == b"content"
    assert digest_file("~/a.bin") == digest_file(path)
    for cell, filesystem, cause in [
        ("~/no.bin", None, rf"^'{re.escape(str(tmp_path))}.no\.bin' .*exist$"),
        ("~no\0user/a.bin", None, r"'~no\\x00user/a\.bin' .*null"),
        ("~/a.bin", memory, r"'~/a\.bin' .*MemoryFileSystem .*exist"),
    ]:
        with pytest.raises(BrokenItemError, match=cause):
            read(cell, filesystem)


def test_other_filesystems(memory, tmp_path):
    assert read("/sounds/a.bin", memory) == b"in memory"
    assert read("memory://sounds/a.bin", memory) == b"in memory"
    assert read(b"content", memory) == b"content"
    path = tmp_path / "a.bin"
    path.write_bytes(b"content")
    assert read(path, fsspec.filesystem("file")) == b"content"


def test_broken_items(memory, tmp_path):
    empty = tmp_path / "empty.bin"
    empty.touch()
    for cell, filesystem, cause in [
        (b"", None, "0 bytes"),
        ("", None, r"\bpath\b.*None"),
        (empty, None, r"/empty\.bin': .*0 bytes"),
        (tmp_path, None, rf"{tmp_path.name}' .*directory"),
        (tmp_path / "no.bin", None, r"/no\.bin' .*exist$"),
        ("no.bin", None, rf"'no\.bin' .*exist.*'{re.escape(os.getcwd())}'"),
        ("a\0b", None, r"'a\\x00b' .*null"),
        ("a" * 5000, None, rf"^'a{{100,200}}\.\.\. .*{os.strerror(errno.ENAMETOOLONG)}"),
        ("s3://bucket/a.bin", None, r"'s3://bucket/a\.bin' .*filesystem="),
        ("/sounds/empty.bin", memory, r"'/sounds/empty\.bin': .*0 bytes"),
        ("/no.bin", memory, r"'/no\.bin' .*MemoryFileSystem .*exist"),
        (os.curdir, fsspec.filesystem("file"), r"'\.' .*LocalFileSystem .*directory"),
    ]:
        with pytest.raises(BrokenItemError, match=cause) as caught:
            read(cell, filesystem)
        assert len(str(caught.value)) < 500


def test_what_goes_wrong_while_the_file_is_open(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"content")
    with pytest.raises(BrokenItemError, match=r"/a\.bin': no sound$"), open_encoded(path):
        raise BrokenItemError("no sound")
    with pytest.raises(BrokenItemError, match=r"/a\.bin' .*: disk gone$"), open_encoded(path):
        raise OSError("disk gone")
    with pytest.raises(KeyError), open_encoded(path):
        raise KeyError("a bug stays a bug")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipe_is_refused_before_it_is_opened(tmp_path):
    """Opening one waits for somebody to write into it."""
    pipe = tmp_path / "a.wav"
    os.mkfifo(pipe)
    with pytest.raises(BrokenItemError, match=r"a\.wav'.*pipe"):
        read(pipe)
    with pytest.raises(OSError, match=r"a\.wav'.*pipe"):
        digest_file(pipe)


def test_too_many_open_files_are_no_fault_of_the_item(tmp_path):
    resource = pytest.importorskip("resource")
    path = tmp_path / "a.bin"
    path.write_bytes(b"content")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EMFILE)) as caught:
            read(path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert not isinstance(caught.value, BrokenItemError)


# Dicts of bytes and path, as data sets of Hugging Face hold encoded files


def write_file(modality, path):
    noise = np.random.default_rng(0).integers(0, 256, (2000, 24), dtype=np.uint8)
    if modality == "image":
        Image.fromarray(noise).save(path, "PNG")
    elif modality == "audio":
        soundfile.write(path, noise[:, 0] / 256.0, 2000, format="WAV")
    else:
        write_clip(str(path), number_frames(5))


def average(item):
    return torch.tensor([float(np.mean(np.asarray(item)))])


@pytest.mark.parametrize(
    ("modality", "encoder"),
    [
        ("image", ImageDescriptor()),
        ("image", TorchEncoder(torch.nn.Identity(), preprocess=average, modality="image")),
        ("audio", AudioDescriptor()),
        ("video", VideoEncoder(n_frames=2)),
    ],
)
def test_dicts_are_the_file_that_they_hold(modality, encoder, tmp_path):
    path = tmp_path / "clip.mp4"
    write_file(modality, path)
    content = path.read_bytes()
    dicts = [
        {"bytes": content, "path": None},
        {"bytes": content, "path": "the name that it once had.xyz"},
        {"bytes": None, "path": str(path)},
        {"bytes": None, "path": None},
    ]
    struct = pa.array(dicts)
    columns = [
        dicts,
        [*dicts[:2], {"path": path}, {"bytes": np.nan, "path": None}],
        pd.DataFrame({"item": dicts}),
        pd.Series(struct, dtype=pd.ArrowDtype(struct.type)),
        pl.Series("item", dicts),
    ]
    expected = encoder.fit_transform([content])
    for column in columns:
        vectors = encoder.fit_transform(column)
        np.testing.assert_array_equal(vectors[:3], np.repeat(expected, 3, axis=0))
        assert np.isnan(vectors[3]).all()
    with pytest.raises(ValueError, match=r"row 1: .*no/such\.file"):
        encoder.fit_transform([content, {"bytes": None, "path": "no/such.file"}])
    with pytest.raises(TypeError, match=r"row 1: .*got dict"):
        encoder.fit_transform([content, {"content": content}])


@pytest.mark.parametrize(
    ("modality", "preparer"), [("image", ImagePreprocessor()), ("audio", AudioPreprocessor())]
)
def test_dicts_are_prepared(modality, preparer, tmp_path):
    path = tmp_path / "item"
    write_file(modality, path)
    cells = [path, {"bytes": path.read_bytes(), "path": "a"}, {"path": path}, {"bytes": None}]
    *prepared, missing = preparer.fit_transform(cells)
    assert missing is None
    arrays = [np.asarray(x["array"] if modality == "audio" else x) for x in prepared]
    for array in arrays:
        np.testing.assert_array_equal(array, arrays[0])
