"""read_sound and read_windows: every form of a sound, and every way in which one can be broken."""

import io
import os
import re
import tracemalloc

import fsspec
import numpy as np
import pytest
import soundfile

from skmm.encoding.readers import BrokenItemError, check_not_one_sound, read_sound, read_windows

RATE = 8000
NOISE = np.random.default_rng(0).integers(-(2**15), 2**15, 3 * RATE).astype(np.int16)
TONE = np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE).astype(np.float32) / 2


def encoded(samples, rate=RATE, format="WAV", subtype=None):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=format, subtype=subtype)
    return buffer.getvalue()


def read(cell, **options):
    samples, rate = read_sound(cell, **options)
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    return samples, rate


# Forms


@pytest.mark.parametrize("format", ["WAV", "FLAC", "AIFF", "AU", "RF64", "W64"])
def test_one_sound_in_every_form(format, tmp_path):
    path = tmp_path / "noise"
    path.write_bytes(encoded(NOISE, format=format))
    memory = fsspec.filesystem("memory")
    memory.pipe("/noise", path.read_bytes())
    for cell, options in [
        (path, {}),
        (str(path), {}),
        (path.read_bytes(), {}),
        (memoryview(path.read_bytes()), {}),
        ("/noise", {"filesystem": memory}),
        ({"path": str(path), "bytes": None}, {}),
        ({"path": "a name only.wav", "bytes": path.read_bytes()}, {}),
        ((NOISE, RATE), {}),
        ((NOISE / 2**15, np.float64(RATE)), {}),
        (((NOISE / 2**15).tolist(), RATE), {}),
        ({"array": NOISE, "sampling_rate": np.int64(RATE), "path": None}, {}),
        (NOISE, {"sampling_rate": RATE}),
    ]:
        samples, rate = read(cell, **options)
        assert rate == RATE
        np.testing.assert_array_equal(samples, NOISE / np.float32(2**15))
    memory.rm("/noise")


@pytest.mark.parametrize(
    ("format", "subtype"), [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None), ("WAV", "ULAW")]
)
def test_lossy_formats(format, subtype, tmp_path):
    path = tmp_path / "tone"
    path.write_bytes(encoded(TONE, format=format, subtype=subtype))
    for cell in (path, path.read_bytes()):
        samples, _ = read(cell, target_sampling_rate=RATE)
        assert len(samples) == len(TONE)
        np.testing.assert_allclose(samples[500:-500], TONE[500:-500], atol=0.08)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", ">i2", "<f8", "f2"])
def test_arrays_fill_the_range_of_their_type(dtype):
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        low, middle, high = -1.0, 0.0, 0.5
    else:
        info = np.iinfo(dtype)
        low, high = info.min, (3 * info.max + info.min) // 4 + 1
        middle = (info.min + info.max + 1) // 2
    samples, _ = read((np.array([low, middle, high], dtype=dtype), RATE))
    np.testing.assert_array_equal(samples, [-1, 0, 0.5])


def test_channels_become_their_mean():
    stereo = np.stack([NOISE, NOISE[::-1]], axis=1)
    expected = stereo.astype(np.float64).mean(axis=1) / 2**15
    sounds = [
        read(cell)[0]
        for cell in [encoded(stereo), (stereo, RATE), (stereo.T, RATE), (stereo / 2**15, RATE)]
    ]
    np.testing.assert_allclose(sounds[0], expected, atol=1e-6)
    for samples in sounds[1:]:
        np.testing.assert_array_equal(samples, sounds[0])
    for shape in [(1, 5), (5, 1)]:
        np.testing.assert_array_equal(read((np.ones(shape), RATE))[0], np.ones(5))


def test_the_array_is_not_changed():
    samples = np.linspace(-1, 1, 100, dtype=np.float32)
    before = samples.copy()
    read((samples, RATE), target_sampling_rate=4000)[0][:] = 9
    read((samples, RATE))[0][:] = 9
    np.testing.assert_array_equal(samples, before)


# Sampling rates


@pytest.mark.parametrize("rate", [4000, 11025, 44100, 48000])
def test_resampling_keeps_the_tone_and_no_more(rate):
    time = np.arange(2 * rate) / rate
    tones = 0.5 * np.sin(2 * np.pi * 440 * time)
    if rate > 2 * 5000:
        tones += 0.5 * np.sin(2 * np.pi * 5000 * time)  # above what 8000 Hz can hold
    samples, resampled_rate = read((tones, rate), target_sampling_rate=RATE)
    assert resampled_rate == RATE
    assert len(samples) == 2 * RATE
    np.testing.assert_allclose(samples[200:-200], TONE[200:-200], atol=1e-3)


@pytest.mark.parametrize("n_samples", [1, 2, 3])
@pytest.mark.parametrize("rate", [4000, RATE, 192_000])
def test_shortest_sounds(n_samples, rate):
    samples, _ = read((np.full(n_samples, 0.5), rate), target_sampling_rate=RATE)
    assert len(samples) >= 1
    assert np.isfinite(samples).all()


# Windows


@pytest.mark.parametrize(("rate", "target"), [(RATE, RATE), (44100, 16000), (RATE, 22050)])
@pytest.mark.parametrize("window_seconds", [0.25, 1.0, 100.0])
def test_windows_are_the_sound(rate, target, window_seconds):
    samples = np.random.default_rng(0).uniform(-1, 1, 10 * rate + 17)  # of several blocks
    for cell in ((samples, rate), encoded(samples, rate, subtype="DOUBLE")):
        whole, _ = read(cell, target_sampling_rate=target)
        options = {"window_seconds": window_seconds, "target_sampling_rate": target}
        windows = list(read_windows(cell, **options))
        np.testing.assert_array_equal(np.concatenate(windows), whole)
        assert {len(window) for window in windows[:-1]} <= {round(window_seconds * target)}
        assert 0 < len(windows[-1]) <= round(window_seconds * target)


@pytest.mark.parametrize("format", ["WAV", "FLAC", "OGG", "MP3"])
def test_windows_of_a_long_file_take_little_memory(format, tmp_path):
    path = tmp_path / "long"
    minute = np.random.default_rng(0).normal(0, 0.1, (60 * 16_000, 2)).astype(np.float32)
    with soundfile.SoundFile(path, "w", 16_000, 2, format=format) as file:
        for _ in range(5):
            file.write(minute)
    list(read_windows(encoded(TONE), window_seconds=1, target_sampling_rate=16_000))  # imports
    tracemalloc.start()
    n_samples = 0
    for window in read_windows(path, window_seconds=10, target_sampling_rate=8000):
        n_samples += len(window)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert abs(n_samples - 300 * 8000) < 100
    assert peak < 6e6  # the decoded sound is of 38 MB


def test_mp3_is_decoded_without_a_word(tmp_path, capfd):
    noise = np.cumsum(np.random.default_rng(0).normal(size=40 * RATE))
    content = encoded(noise / np.abs(noise).max() / 2, format="MP3")
    expected, _ = soundfile.read(io.BytesIO(content), dtype="float32")
    capfd.readouterr()
    samples, _ = read(content)
    np.testing.assert_allclose(samples, expected, atol=1e-6)
    assert capfd.readouterr().err == ""


def test_file_is_closed_when_windows_are_left(tmp_path):
    path = tmp_path / "noise.wav"
    path.write_bytes(encoded(NOISE))
    filesystem = fsspec.filesystem("file")
    opened = []

    class Recording:
        def open(self, path, mode):
            opened.append(filesystem.open(path, mode))
            return opened[-1]

    windows = read_windows(
        str(path), window_seconds=0.1, target_sampling_rate=RATE, filesystem=Recording()
    )
    next(windows)
    assert not opened[0].closed
    windows.close()
    assert opened[0].closed


# What is broken


def streamed():
    """A WAV file as a pipe leaves it: the lengths in its header are the largest numbers."""
    content = bytearray(encoded(NOISE))
    content[4:8] = content[40:44] = b"\xff\xff\xff\xff"
    return bytes(content)


def test_streamed_file_is_whole():
    np.testing.assert_array_equal(read(streamed())[0], NOISE / np.float32(2**15))


def test_file_with_a_tail_is_whole():
    content = encoded(NOISE) + b"LIST\x10\0\0\0"  # a chunk of text that was cut off
    assert len(read(content)[0]) == len(NOISE)


@pytest.mark.parametrize(
    ("format", "subtype"),
    [
        ("WAV", "PCM_16"),
        ("WAV", "FLOAT"),
        ("WAVEX", "PCM_24"),
        ("RF64", "PCM_16"),
        ("W64", "PCM_16"),
        ("AIFF", "PCM_16"),
        ("AU", "PCM_16"),
        ("FLAC", "PCM_16"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("MP3", None),
    ],
)
@pytest.mark.parametrize("share", [0.6, 0.9])
def test_cut_files(format, subtype, share, tmp_path):
    content = encoded(NOISE, format=format, subtype=subtype)
    path = tmp_path / "cut.wav"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(BrokenItemError, match=r"/cut\.wav': .*: ."):
        read(path)
    with pytest.raises(BrokenItemError, match=r"/cut\.wav': .*: ."):
        list(read_windows(path, window_seconds=1, target_sampling_rate=RATE))


@pytest.mark.parametrize(
    ("cell", "cause"),
    [
        ("gone.wav", rf"'gone\.wav' .*'{re.escape(os.getcwd())}'"),
        ("https://example.org/cat.wav", r"'https://.*cat\.wav' .*filesystem="),
        (b"", "0 bytes"),
        (
            b"no sound at all " * 10,
            r"libsndfile .*FFmpeg .*\bm4a\b",
        ),
        (encoded(NOISE)[:20], "sound .*decode: "),
        (encoded(NOISE)[:44], rf"\b{len(encoded(NOISE)) - 44} .*\b0\b"),
        (encoded(np.zeros(0)), "0 samples"),
        (encoded(np.array([0, np.nan]), subtype="FLOAT"), "finite"),
        ((np.array([0, np.inf]), RATE), "finite"),
        ((np.array([0.0, 30_000]), RATE), r"-1 to 1, got 30000\b"),
        ((np.zeros(0), RATE), r"shape \(0,\)"),
        (([], RATE), r"shape \(0,\)"),
        (([[1.0], [1.0, 2.0]], RATE), "samples .*array.*shape"),
        ((np.array([0, 1]), RATE), "got int64"),
        ((np.array([True]), RATE), "got bool"),
        ((np.array(["a"]), RATE), "got <U1"),
        ((np.zeros((9, 10)), RATE), r"\b8 channels .*shape \(9, 10\)"),
        ((np.zeros((2, 2)), RATE), r"shape \(2, 2\)"),
        ((np.zeros((2, 3, 4)), RATE), r"shape \(2, 3, 4\)"),
        ((np.array(0.5), RATE), r"shape \(\)"),
        ((NOISE, 0), r"sampling rate .* 0 Hz, got 0\b"),
        ((NOISE, -8000.0), "sampling rate .* 0 Hz, got -8000"),
        ((NOISE, np.nan), "sampling rate .* 0 Hz, got nan"),
        ((NOISE, 0.001), r"0\.001 Hz .* 8000 Hz"),
        ((NOISE, 1e12), r"1000000000000 Hz .* 8000 Hz"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_broken_items(cell, cause):
    with pytest.raises(BrokenItemError, match=cause) as caught:
        read(cell, target_sampling_rate=RATE)
    assert len(str(caught.value)) < 500
    with pytest.raises(BrokenItemError, match=cause):
        list(read_windows(cell, window_seconds=1, target_sampling_rate=RATE))


@pytest.mark.parametrize(
    ("cell", "cause"),
    [
        (7, "got int"),
        (0.5, "got float"),
        (np.float32(0.5), "got float32"),
        ((RATE, NOISE), r"got \(int, ndarray\)"),
        ((NOISE, RATE, 1), r"got \(ndarray, int, int\)"),
        ((NOISE, "8000"), "sampling rate .* got str"),
        ({"array": NOISE}, "sampling rate .* got NoneType"),
        ({"samples": NOISE}, "got dict"),
        ({"bytes": None, "path": None}, "got NoneType"),
        (NOISE, "sampling_rate"),
        ([0.0, 0.5], "sampling_rate"),
    ],
)
def test_wrong_types(cell, cause):
    with pytest.raises(TypeError, match=cause):
        read(cell)


def test_limit():
    for cell in (encoded(NOISE), encoded(NOISE, format="FLAC"), (NOISE, RATE), streamed()):
        with pytest.raises(BrokenItemError, match=r"max_seconds=2\.9"):
            read(cell, max_seconds=2.9)
        assert len(read(cell, max_seconds=3)[0]) == len(NOISE)


def test_limit_holds_before_a_bomb_is_decoded(tmp_path):
    path = tmp_path / "hours.flac"  # a few kB that decode to 230 MB
    with soundfile.SoundFile(path, "w", RATE, 1, format="FLAC") as file:
        for _ in range(60):
            file.write(np.zeros(2 * 60 * RATE, dtype=np.int16))
    tracemalloc.start()
    with pytest.raises(BrokenItemError, match=r"hours\.flac': 7200\.0 .*max_seconds=600\b"):
        read(path, max_seconds=600)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5e6


def test_one_sound_is_no_column():
    for sound in (NOISE, NOISE / 2.0**15, (NOISE, RATE)):
        with pytest.raises(ValueError, match=r"^X .*\[sound\]"):
            check_not_one_sound(sound, estimator="X")
    for column in ([NOISE], NOISE.reshape(2, -1), [(NOISE, RATE)], [(NOISE, RATE)] * 2):
        check_not_one_sound(column, estimator="X")
