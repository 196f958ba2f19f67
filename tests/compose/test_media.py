"""Columns of files and of what files became as text: known by name and content, or refused."""

import base64
import io
import pickle
import re
import warnings
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
import soundfile
from clips import number_frames, write_clip
from PIL import Image, features

from skmm import ModalityTransformer
from skmm.compose import infer_column, infer_modalities

N = 6
RATE = 16_000
NOISE = np.random.default_rng(0).uniform(-0.1, 0.1, RATE)


def infer(cells):
    """Return what is inferred of a column, silently."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = infer_modalities(pd.DataFrame({"c": cells}))
    return found["modality"].iloc[0]


def write_image(format="PNG"):
    buffer = io.BytesIO()
    Image.new("RGB", (30, 20), (200, 30, 90)).save(buffer, format)
    return buffer.getvalue()


def write_sound(format):
    """Write a sound in a format of libsndfile, or of (container, codec, rate) of FFmpeg."""
    buffer = io.BytesIO()
    if isinstance(format, str):
        soundfile.write(buffer, NOISE, RATE, format=format)
        return buffer.getvalue()
    container_format, codec, rate = format
    with av.open(buffer, "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        samples = NOISE[None].astype("f4")
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


def write_video(kind):
    return write_clip(io.BytesIO(), number_frames(12), kind=kind).getvalue()


def save(content, suffix, folder):
    """Save the same content in several files; return their paths."""
    paths = [folder / f"item {i}{suffix}" for i in range(N)]
    for path in paths:
        path.write_bytes(content)
    return [str(path) for path in paths]


# Names


@pytest.mark.parametrize(
    ("name", "modality"),
    [
        ("https://cdn.shop.example/{}.jpg", "image"),
        ("https://cdn.shop.example/{}.jpg?v=15&width=300", "image"),
        ("//cdn.shop.example/files/{}.JPG?v=15", "image"),
        ("https://example.com/{}.mp3#t=30", "audio"),
        ("https://example.com/get?file={}.mp4", "video"),
        ("photo/{}.jpg ", "image"),
        ("\tphoto/{}.jpg\n", "image"),
        ("my photos/cat {}.jpg", "image"),
        ("IMG 00{}.jpg", "image"),
        ("WhatsApp Image 2020-01-0{} at 10.00.00.jpeg", "image"),
        ("0{} - The Long And Winding Road.mp3", "audio"),
        ("book {}.m4b", "audio"),
        ("{}.webm", "video"),
        ("{}.weba", "audio"),
        ("{}.ogv", "video"),
        ("{}.mka", "audio"),
    ],
)
def test_names_of_files_that_are_not_here(name, modality):
    assert infer([name.format(i) for i in range(N)]) == modality


@pytest.mark.parametrize(
    "text",
    [
        "see https://example.com/{}.jpg for details",
        "my cat, see https://example.com/{}.jpg",
        "cat: https://example.com/{}.jpg?v=15",
        "I saved it as cat{}.jpg",
        "Have you seen cat{}.jpg?",
        "data: the new oil, part {}",
        "b'quoted' is number {}",
        "<p>number {} at 0x7f</p> of them",
        "word{}",
        "dQw4w9WgXc{}",
        "www.site{}.com.au",
    ],
)
def test_honest_texts_stay_texts_silently(text):
    assert infer([text.format(i) for i in range(N)]) == "text"


# Files


@pytest.mark.parametrize(
    ("suffix", "format"),
    [(".jp2", "JPEG2000"), (".xyz", "PNG"), ("", "TGA"), (".pcx", "PCX"), (".heic", "AVIF")],
)
def test_image_files_of_any_name(suffix, format, tmp_path):
    if format == "AVIF" and not features.check("avif"):
        pytest.skip("Pillow before 11.3 has no AVIF")
    content = write_image(format)
    assert infer(save(content, suffix, tmp_path)) == infer([content] * 3) == "image"


@pytest.mark.parametrize(
    ("suffix", "format"),
    [
        (".caf", "CAF"),
        (".au", "AU"),
        (".w64", "W64"),
        (".aifc", "AIFF"),
        (".amr", ("amr", "libopencore_amrnb", 8000)),
        (".aac", ("adts", "aac", RATE)),
        (".m4a", ("mp4", "aac", RATE)),  # whose brand is isom, as that of videos is
        (".m4b", ("mp4", "aac", RATE)),
        (".mp4", ("mp4", "aac", RATE)),
        ("", ("mp4", "aac", RATE)),
        (".3gp", ("3gp", "aac", RATE)),
        (".mka", ("matroska", "libopus", 48_000)),
        (".weba", ("webm", "libopus", 48_000)),
        (".ogg", ("ogg", "libopus", 48_000)),
        (".ts", ("mpegts", "aac", RATE)),
    ],
)
def test_sound_files_of_any_name(suffix, format, tmp_path):
    content = write_sound(format)
    assert infer(save(content, suffix, tmp_path)) == infer([content] * 3) == "audio"


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [
        (".ts", "h264.ts"),
        (".dat", "mpeg2.mpg"),
        ("", "ffv1.mkv"),
        (".mp4", "h264.mp4"),
        (".webm", "vp9.webm"),
        (".wmv", "wmv2.wmv"),
    ],
)
def test_video_files_of_any_name(suffix, kind, tmp_path):
    content = write_video(kind)
    assert infer(save(content, suffix, tmp_path)) == infer([content] * 3) == "video"


def test_the_suffix_decides_where_a_file_may_be_both(tmp_path):
    header = b"\0\0\0 ftypisom" + bytes(40)  # with nothing that FFmpeg could look into
    for suffix, modality in {".m4a": "audio", ".m4b": "audio", ".mp4": "video"}.items():
        assert infer(save(header, suffix, tmp_path)) == modality
    with_cover = write_video("h264.mp4")
    assert infer(save(with_cover, ".m4a", tmp_path)) == "audio"


def test_files_that_no_decoder_knows(tmp_path):
    for suffix, content in {".txt": b"some text\n" * 9, ".pdf": b"%PDF-1.7", ".dat": b""}.items():
        paths = save(content, suffix, tmp_path)
        with pytest.raises(ValueError, match=r"'c' .*paths of files that are no image"):
            infer_modalities(pd.DataFrame({"c": paths}))
    assert infer([*paths[:1], *(f"a text of number {i}" for i in range(N))]) == "text"


def test_dicts_of_bytes_and_path(tmp_path):
    content = write_image()
    here = save(content, "", tmp_path)
    cells = [
        {"bytes": content, "path": None},
        {"bytes": content, "path": "once.mp3"},
        {"bytes": None, "path": here[0]},
        {"bytes": None, "path": None},
        None,
    ]
    found = infer_modalities(pd.DataFrame({"c": cells}))
    assert found[["modality", "n_missing"]].iloc[0].to_list() == ["image", 2]
    assert len(ModalityTransformer().fit_transform(pd.DataFrame({"c": cells})).dropna()) == 3
    sound = write_sound("WAV")
    assert infer([{"bytes": sound, "path": "a.wav"}] * 3) == "audio"
    assert infer([{"bytes": None, "path": "a.mp4"}, {"bytes": write_video("h264.mp4")}]) == "video"
    assert infer_column(pd.Series([{"bytes": None, "path": None}])).modality is None


# What clearly is no text

IMAGE = write_image()


@pytest.mark.parametrize(
    ("cell", "named"),
    [
        ("data:image/png;base64,iVBORw0KGgo", "data URIs.*b64decode"),
        ("data:audio/wav;codecs=1;base64,UklGR", "data URIs.*b64decode"),
        ("data:;base64,iVBORw0KGgo", "data URIs.*b64decode"),
        (IMAGE.decode("latin-1"), "NUL characters.*read files as bytes"),
        (IMAGE.decode(errors="replace"), "NUL characters.*read files as bytes"),
        (base64.b64encode(IMAGE).decode(), "base64.*b64decode"),
        (base64.urlsafe_b64encode(write_image("JPEG")).decode(), "base64.*b64decode"),
        (base64.encodebytes(IMAGE).decode(), "base64.*b64decode"),
        (base64.b64encode(write_sound("WAV")).decode(), "base64.*b64decode"),
        (str(IMAGE), "bytes as text.*literal_eval"),
        (str(bytearray(IMAGE)), "bytes as text.*literal_eval"),
        (str({"bytes": IMAGE, "path": None}), "bytes as text.*literal_eval"),
        (str({"path": "a.png", "bytes": IMAGE}), "bytes as text.*literal_eval"),
        (str(Image.new("RGB", (3, 3))), "names of objects"),
        (str(memoryview(IMAGE)), "names of objects"),
        (IMAGE.hex(), "bytes as hexadecimal.*fromhex"),
        ("0x" + IMAGE.hex().upper(), "bytes as hexadecimal.*fromhex"),
        ("\\x" + IMAGE.hex(), "bytes as hexadecimal.*fromhex"),
        ("'a/cat.png'", "paths in quotes.*literal_eval"),
        ("['cat.png']", "paths in quotes.*literal_eval"),
        ("['cat.png', 'dog.png', 'x']", "paths in quotes.*literal_eval"),
        ('("cat.mp3", )', "paths in quotes.*literal_eval"),
    ],
    ids=lambda value: re.sub("0x[0-9a-f]+", "", value[:25]),
)
def test_files_that_became_text(cell, named):
    frame = pd.DataFrame({"n": range(N), "c": [cell] * N})
    for use in (infer_modalities, ModalityTransformer().fit):
        with pytest.raises(ValueError, match=rf"(?s)Column 'c' fits no modality.*{named}"):
            use(frame)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda i: f"https://shop.example/product/{i}", "URLs.*nothing is fetched"),
        (lambda i: f"https://img.example/{i}?format=jpg&name=large", "URLs.*nothing is fetched"),
        (lambda i: f"www.shop.example/product/{i}", "URLs.*nothing is fetched"),
        (lambda i: f"https://a.example/{i}.jpg https://b.example/{i}.jpg", "URLs.*nothing is"),
        (lambda i: f"scans/{i}.nii.gz", "names of files that no encoder reads.*read what"),
        (lambda i: f"notes {i}.txt".replace(" ", "_"), "names of files that no encoder reads"),
        (lambda i: " ".join(map(str, range(i, i + 48))), r"vectors as text.*float, cell\.split"),
        (lambda i: f"{48 + i / 7:.4f}, {i / 9:.4f}", "vectors as text"),
        (lambda i: f"tensor([0.1, {i}.2], device=cpu)", "vectors as text"),
        (lambda i: base64.b64encode(np.random.default_rng(i).bytes(60)).decode(), "base64"),
        (lambda i: str(pickle.dumps(np.arange(i))), "bytes as text"),
        (lambda i: str([i / 7, -1e-5, 3]), r"vectors as text.*json\.loads"),
        (lambda i: str(np.array([i / 7, -1e-5, 3])), "vectors as text"),
    ],
    ids=[
        "page",
        "image without a suffix",
        "page without a scheme",
        "two pictures",
        "scans",
        "notes",
        "pixels",
        "places",
        "tensors",
        "base64",
        "pickles",
        "lists",
        "arrays",
    ],
)
def test_strings_that_are_no_text_count_as_text_with_a_warning(make, named):
    cells = [make(i) for i in range(N)]
    with pytest.warns(UserWarning, match=rf"Column 'c' holds .*{named}"):
        found = infer_modalities(pd.DataFrame({"c": cells}))
    assert found["modality"].iloc[0] == "text"
    if len(cells[0]) <= 60:
        assert infer(cells[:2] * 50) == "tabular"  # categories, whatever they are called


def test_what_the_encoders_say_of_such_cells(tmp_path):
    Path(tmp_path / "cat.png").write_bytes(IMAGE)
    columns = {
        "https://cdn.example/1.jpg?v=15": "is a URL.*download",
        f"file://{tmp_path}/cat.png": r"is a URL; its path is urllib\.parse",
        f"{tmp_path}/cat.png ": "does not exist; without the blanks around it, it does",
    }
    for cell, named in columns.items():
        with pytest.raises(ValueError, match=rf"row 0: .*{named}"):
            ModalityTransformer().fit(pd.DataFrame({"c": [cell, cell]}))


@pytest.mark.parametrize(
    "text", ["'It is a cat', she said", "[1, 2]", "deadbeef" * 4, "'cat'", '"Jaws", 1975', "('a',)",
     "06 12 34 56 78", "192.168.10.1", "12.5 x 3.25", "node.js", "see www.a.example", "data: none",
     "read report.txt first"]
)  # fmt: skip
def test_quoted_texts_and_digits_are_texts(text):
    cells = [f"{text} {i}" if i % 9 == 0 else text for i in range(N)]
    assert infer(cells) in ("text", "tabular")
