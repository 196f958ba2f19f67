"""The sound of videos, and of files that libsndfile does not know."""

import io
import re
import struct
import sys

import av
import numpy as np
import pytest
import soundfile
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
    if KINDS[kind][0] in ("mpeg", "vob"):
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


# MP3s, whose length only a Xing header holds

TAG = b"ID3\x03\0\0\0\0\x40\0" + bytes(8192)  # with room for the cover of an album
QUIET_NOISE = np.random.default_rng(0).normal(scale=0.3, size=4 * 44_100)
QUIET_NOISE[:88_200] /= 1000


def write_mp3(folder, sound, name="a.mp3", xing=False, quality=None):
    """Write samples at 44.1 kHz, in frames of as many bytes, or of a quality."""
    path = str(folder / name)
    options = {"write_xing": str(int(xing)), "id3v2_version": "0"} if name == "a.mp3" else {}
    with av.open(path, "w", options=options) as container:
        stream = container.add_stream("libmp3lame", rate=44_100, layout="mono")
        if quality is not None:
            stream.codec_context.qscale = True
            stream.codec_context.global_quality = quality * 118  # FF_QP2LAMBDA
        frame = av.AudioFrame.from_ndarray(sound[None].astype("f4"), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 44_100, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return (folder / name).read_bytes()


def in_wav(folder):
    """Return an MP3 in a WAV with a chunk, such as one of tags, behind its samples."""
    content = write_mp3(folder, QUIET_NOISE, "a.wav") + b"id3 " + struct.pack("<I", 9000)
    content += bytes(9000)
    return content[:4] + struct.pack("<I", len(content) - 8) + content[8:]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda mp3, folder: TAG + mp3,
        lambda mp3, folder: TAG + TAG + mp3,
        lambda mp3, folder: b"ID3\4\0\x10\0\0\1\0" + bytes(128) + b"3DI\4\0\x10\0\0\1\0" + mp3,
        lambda mp3, folder: mp3 + b"TAG" + bytes(125),
        lambda mp3, folder: mp3 + b"APETAGEX" + bytes(20_000),
        lambda mp3, folder: in_wav(folder),
    ],
    ids=["ID3v2", "two of them", "with a footer", "ID3v1", "APE", "in WAV"],
)
def test_an_estimated_length_is_no_promise(wrap, tmp_path):
    mp3 = write_mp3(tmp_path, QUIET_NOISE)
    expected = read_sound(mp3).samples
    assert len(QUIET_NOISE) <= len(expected) <= len(QUIET_NOISE) + 3 * 1152
    samples = read_sound(wrap(mp3, tmp_path), max_seconds=4.1).samples
    np.testing.assert_allclose(samples, expected, atol=1e-5)


@pytest.mark.parametrize("sound", [QUIET_NOISE, QUIET_NOISE[::-1]], ids=["up", "down"])
def test_mp3_of_variable_bit_rate_is_read_to_its_end(sound, tmp_path):
    """The estimate is that all is as the first frame, and libsndfile reads no more than that."""
    samples = read_sound(write_mp3(tmp_path, sound, quality=2)).samples
    assert len(sound) <= len(samples) <= len(sound) + 3 * 1152
    first, last = samples[:50_000].std(), samples[-50_000:].std()
    assert (last > 20 * first) if sound is QUIET_NOISE else (first > 20 * last)


@pytest.mark.parametrize("tag", [b"", TAG, TAG + TAG])
def test_what_a_xing_header_promises(tag, tmp_path):
    mp3 = write_mp3(tmp_path, QUIET_NOISE, xing=True)
    assert len(read_sound(tag + mp3).samples) == len(QUIET_NOISE)
    with pytest.raises(BrokenItemError, match=r"cut short.*promises 176400 samples"):
        read_sound(tag + mp3[: len(mp3) * 9 // 10])
    frames_only = re.sub(b"(Xing|Info)\0\0\0\x0f", b"\\1\0\0\0\1", mp3, count=1)
    assert len(read_sound(tag + frames_only).samples) >= len(QUIET_NOISE)
    with pytest.raises(BrokenItemError, match="cut short"):
        read_sound(tag + frames_only[: len(mp3) * 9 // 10])


def test_sounds_that_are_joined_are_read_to_the_end_or_refused(tmp_path):
    mp3 = write_mp3(tmp_path, QUIET_NOISE, xing=True)
    samples = read_sound(mp3 + mp3).samples
    assert len(samples) == pytest.approx(2 * len(QUIET_NOISE), abs=5 * 1152)
    assert samples[-80_000:].std() > 0.1
    with pytest.raises(BrokenItemError, match="FFmpeg"):
        read_sound(mp3 + TAG + mp3)
    m4a = write_clip(io.BytesIO(), number_frames(50), sound=TONE).getvalue()
    with pytest.raises(BrokenItemError, match=r"joined.*not read the last.*ffmpeg -f concat"):
        read_sound(m4a + m4a)
    first, second = io.BytesIO(), io.BytesIO()
    for file in (first, second):  # each with a number of its own
        soundfile.write(file, TONE, RATE, format="OGG")
    with pytest.raises(BrokenItemError, match=r"joined.*ffmpeg -i"):
        read_sound(first.getvalue() + second.getvalue())
    transport_stream = write_clip(io.BytesIO(), number_frames(50), kind="h264.ts", sound=TONE)
    transport_stream = transport_stream.getvalue()
    assert len(read_sound(2 * transport_stream).samples) == 2 * len(
        read_sound(transport_stream).samples
    )


def test_another_program_behind_a_long_video_is_broken():
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (480, 640, 3), dtype=np.uint8) for _ in range(20)]
    large = {"b": "90000000", "qmin": "1", "qmax": "1"}
    pids = {"mpegts_pmt_start_pid": "0x200", "mpegts_start_pid": "0x300"}
    long, other, silent = (
        write_clip(io.BytesIO(), frames, kind="mpeg2.ts", sound=sound, **options).getvalue()
        for frames, sound, options in [
            (noise, TONE, {"options": large}),
            (noise[:1], TONE, {"container_options": pids}),
            (noise[:1], None, {"container_options": pids}),
        ]
    )
    assert len(long) > 6e6
    n_samples = len(read_sound(long).samples)
    with pytest.raises(BrokenItemError, match=r"joined.*streams .*ffmpeg -f concat"):
        read_sound(long + other)
    assert len(read_sound(long + silent).samples) == n_samples


def test_without_pyav_no_mp3_is_read_in_half(tmp_path, monkeypatch):
    mp3 = write_mp3(tmp_path, QUIET_NOISE)
    falling = write_mp3(tmp_path, QUIET_NOISE[::-1], quality=2)
    joined = 2 * write_mp3(tmp_path, QUIET_NOISE, xing=True)
    monkeypatch.setitem(sys.modules, "av", None)
    assert len(read_sound(TAG + mp3).samples) >= len(QUIET_NOISE)
    for content in (falling, joined):
        with pytest.raises(BrokenItemError, match=r"MP3.*'skmm\[video\]'"):
            read_sound(content)
