"""The sound of videos, and of files that libsndfile does not know."""

import sys

import numpy as np
import pytest
from clips import KINDS, number_frames, write_clip

from skmm.encoding.readers import BrokenItemError, check_sound, read_sound, read_windows

RATE = 16_000
TONE = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(2 * RATE) / RATE)
CODECS = {"webm": ("libopus", 48_000), "asf": ("wmav2", 44_100), "flv": ("aac", 44_100)}
MUTE = ("raw.h264", "moving.gif")


def write(path, sound=TONE, **options):
    """Write a clip of two seconds, with a sound of 16 kHz beside it."""
    return write_clip(str(path), number_frames(50), sound=sound, **options)


def find_frequency(samples, rate=RATE):
    middle = samples[rate // 2 : -rate // 2]
    return np.abs(np.fft.rfft(middle)).argmax() * rate / len(middle)


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - set(MUTE)))
def test_sound_of_every_container(kind, tmp_path):
    codec, rate = CODECS.get(KINDS[kind][0], ("aac", RATE))
    if KINDS[kind][0] == "mpeg":
        codec = "mp2"
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(2 * rate) / rate)
    path = write(tmp_path / kind, tone, kind=kind, sound_codec=codec, sound_rate=rate)
    check_sound(path)
    samples, found = read_sound(path, target_sampling_rate=RATE)
    assert found == RATE
    assert samples.dtype == np.float32
    assert len(samples) == pytest.approx(2 * RATE, rel=0.08)  # codecs fill their last frame
    assert find_frequency(samples) == pytest.approx(1000, abs=2)
    assert np.abs(samples[RATE // 2 : RATE]).max() == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_u8", "pcm_s32le", "pcm_f64le", "flac", "mp3"])
def test_sample_formats(codec, tmp_path):
    codec = "libmp3lame" if codec == "mp3" else codec
    path = write(tmp_path / "a.mkv", kind="ffv1.mkv", sound_codec=codec)
    samples = read_sound(path).samples
    if codec == "libmp3lame":
        assert find_frequency(samples) == pytest.approx(1000, abs=2)
    else:
        np.testing.assert_allclose(samples, TONE, atol=2 / 256 if codec == "pcm_u8" else 1e-4)


def test_channels_are_averaged(tmp_path):
    other = 0.25 * np.sin(2 * np.pi * 300 * np.arange(len(TONE)) / RATE)
    for kind, codec in (("ffv1.mkv", "pcm_s16le"), ("h264.mp4", "aac")):
        path = write(tmp_path / kind, np.stack([TONE, other]), kind=kind, sound_codec=codec)
        samples = read_sound(path).samples[: len(TONE)]
        assert np.corrcoef(samples, (TONE + other) / 2)[0, 1] > 0.99
        assert samples.std() == pytest.approx((TONE + other).std() / 2, rel=0.05)


def test_windows_are_the_whole(tmp_path):
    path = write(tmp_path / "a.mp4")
    whole = read_sound(path, target_sampling_rate=8000).samples
    windows = list(read_windows(path, window_seconds=0.3, target_sampling_rate=8000))
    assert {len(window) for window in windows[:-1]} == {2400}
    np.testing.assert_array_equal(np.concatenate(windows), whole)
    content = (tmp_path / "a.mp4").read_bytes()
    np.testing.assert_array_equal(read_sound(content, target_sampling_rate=8000).samples, whole)


def test_no_sound(tmp_path):
    path = write(tmp_path / "mute.mp4", None)
    for read in (check_sound, read_sound):
        with pytest.raises(BrokenItemError, match=r"mute\.mp4"):
            read(path)


@pytest.mark.parametrize("share", [0.4, 0.85])
@pytest.mark.parametrize("kind", ["h264.mp4", "mpeg4.avi", "ffv1.mkv"])
def test_cut_files(kind, share, tmp_path):
    path = tmp_path / f"cut {kind}"
    noise = np.random.default_rng(0).uniform(-1, 1, 4 * RATE)
    options = {"movflags": "faststart"} if kind == "h264.mp4" else None
    write_clip(str(path), number_frames(100), kind=kind, sound=noise, container_options=options)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(BrokenItemError, match=rf"cut {kind}': "):
        read_sound(path)


def test_long_sounds_are_refused_by_their_header(tmp_path):
    path = write(tmp_path / "a.mp4")
    with pytest.raises(BrokenItemError, match=r"a\.mp4': .*max_seconds=1\b"):
        read_sound(path, max_seconds=1)


def test_without_pyav_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    path = write(tmp_path / "a.mp4")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(BrokenItemError, match=r"a\.mp4': .*'skmm\[video\]'"):
        read_sound(path)
