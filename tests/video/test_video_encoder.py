"""VideoEncoder: one vector for each video, from its frames and its sound."""

import pickle
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from clips import number_frames, read_number, write_clip
from PIL import Image
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from torch.nn.modules.module import register_module_forward_hook

from skmm import AdamW, FusionClassifier, ModalityTransformer
from skmm.audio import AudioDescriptor, AudioPreprocessor
from skmm.encoding import EmbeddingCache, TorchEncoder
from skmm.image import ImageDescriptor, ImageEncoder, ImagePreprocessor
from skmm.video import VideoEncoder

RATE = 16_000


class TellNumber(torch.nn.Module):
    """Return the number in the bars of a frame, and 1."""

    def forward(self, numbers):
        return torch.stack([numbers, torch.ones_like(numbers)], dim=1)


def read(picture):
    return torch.tensor(float(read_number(np.asarray(picture))))


def numbers(**parameters):
    """Make an encoder of videos whose image encoder tells the number of a frame."""
    images = TorchEncoder(TellNumber(), preprocess=read, modality="image", cache=None)
    return VideoEncoder(images, **{"cache": None, **parameters})


def tone(frequency, seconds=1.0):
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * RATE)) / RATE)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Return the paths of a clip with sound, one without, one that is broken, and a long one."""
    folder = tmp_path_factory.mktemp("clips")
    write_clip(str(folder / "sound.mp4"), number_frames(25), sound=tone(440))
    write_clip(str(folder / "silent.mp4"), number_frames(50))
    (folder / "broken.mp4").write_bytes((folder / "sound.mp4").read_bytes()[:3000])
    return folder


def test_mean_of_frames(clips):
    vectors = numbers(n_frames=5).fit_transform([clips / "silent.mp4", None, number_frames(4)])
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors[0], [np.mean([5, 15, 25, 35, 45]), 1])
    assert np.isnan(vectors[1]).all()
    np.testing.assert_allclose(vectors[2], [np.mean([0, 1, 2, 2, 3]), 1])


def test_statistics_of_frames(clips):
    encoder = numbers(n_frames=5, pooling="statistics")
    vectors = encoder.fit_transform([clips / "silent.mp4", number_frames(4), number_frames(1)])
    taken = np.array([5, 15, 25, 35, 45])
    # the line through them rises by 10 from one to the next: by 50 in all of the video
    expected = [taken.mean(), 1, taken.std(), 0, 50, 0]
    np.testing.assert_allclose(vectors[0], expected, rtol=1e-6)
    taken = np.array([0, 1, 2, 2, 3])
    change = 5 * np.polyfit(np.arange(5), taken, 1)[0]
    np.testing.assert_allclose(vectors[1], [taken.mean(), 1, taken.std(), 0, change, 0], rtol=1e-6)
    np.testing.assert_array_equal(vectors[2], [0, 1, 0, 0, 0, 0])
    one = numbers(n_frames=1, pooling="statistics").fit_transform([clips / "silent.mp4"])
    np.testing.assert_array_equal(one, [[25, 1, 0, 0, 0, 0]])


def test_frames_a_second(clips):
    vectors = numbers(fps=2).fit_transform([clips / "silent.mp4"])
    np.testing.assert_allclose(vectors, [[np.mean([6, 18, 31, 43]), 1]])


def test_many_frames_go_to_the_encoder_in_batches(clips):
    images = TorchEncoder(TellNumber(), preprocess=read, modality="image", batch_size=7)
    vectors = VideoEncoder(images, n_frames=50, cache=None).fit_transform([clips / "silent.mp4"])
    np.testing.assert_allclose(vectors, [[24.5, 1]])


def test_forms_of_one_video_have_one_vector(tmp_path):
    frames = number_frames(20)
    path = write_clip(str(tmp_path / "clip.mkv"), frames, kind="ffv1.mkv")
    forms = [
        path,
        tmp_path / "clip.mkv",
        Path(path).read_bytes(),
        memoryview(Path(path).read_bytes()),
        frames,
        [Image.fromarray(frame) for frame in frames],
        np.stack(frames),
        np.stack(frames).astype(float) / 255,
    ]
    column = np.empty(len(forms), dtype=object)
    column[:] = forms
    for pooling in ("mean", "statistics"):
        vectors = VideoEncoder(pooling=pooling, cache=None).fit_transform(column)
        np.testing.assert_array_equal(vectors, vectors[[0]].repeat(len(forms), axis=0))
    batch = np.stack([np.stack(frames)] * 2)  # (n, T, H, W, 3)
    np.testing.assert_array_equal(
        VideoEncoder().fit_transform(batch)[0], VideoEncoder(cache=None).fit_transform([frames])[0]
    )


def test_motion_can_be_told():
    rng = np.random.default_rng(0)

    def film(direction):
        frames = np.zeros((12, 32, 32, 3), dtype=np.uint8)
        row, size = rng.integers(0, 20), rng.integers(5, 10)
        for i in range(12):
            column = 2 * i if direction else 22 - 2 * i
            frames[i, row : row + size, column : column + size] = rng.integers(100, 255)
        return frames

    y = np.arange(40) % 2
    X = np.empty(40, dtype=object)
    X[:] = [film(direction) for direction in y]
    scores = {}
    for pooling in ("mean", "statistics"):
        model = make_pipeline(VideoEncoder(pooling=pooling), LogisticRegression(C=100))
        scores[pooling] = model.fit(X[:20], y[:20]).score(X[20:], y[20:])
    assert scores["statistics"] == 1.0
    assert scores["mean"] < 0.8  # where it moves is where it was, backwards


# Sound


def test_sound_comes_after_the_frames(clips):
    path = clips / "sound.mp4"
    encoder = VideoEncoder(audio_encoder=AudioDescriptor(n_segments=2), cache=None).fit([path])
    vectors = encoder.transform([path])
    seen = VideoEncoder().fit_transform([path])
    heard = AudioDescriptor(n_segments=2).fit_transform([path])
    np.testing.assert_array_equal(vectors, np.hstack([seen, heard]))
    names = encoder.get_feature_names_out()
    assert list(names) == [str(i) for i in range(vectors.shape[1])]


class Loudness(torch.nn.Module):
    def forward(self, sounds):
        return sounds.abs().amax(dim=1, keepdim=True)


def test_any_encoder_of_sounds(clips):
    paths = [clips / "sound.mp4", clips / "silent.mp4"]
    sounds = TorchEncoder(Loudness(), modality="audio", target_sampling_rate=8000)
    encoder = numbers(audio_encoder=sounds, n_frames=1, errors="missing")
    with pytest.warns(UserWarning, match=r"1 of 2 .*row 1: .*silent\.mp4"):
        vectors = encoder.fit_transform(paths)
    np.testing.assert_allclose(vectors, [[12, 1, 0.5], [np.nan] * 3], rtol=0.1)
    prepared = make_pipeline(AudioPreprocessor(high_cut=1000), AudioDescriptor())
    vectors = VideoEncoder(audio_encoder=prepared, cache=None).fit_transform(paths[:1])
    np.testing.assert_array_equal(vectors[:, 352:], prepared.fit_transform(paths[:1]))


def test_no_sound(clips):
    paths = [clips / "sound.mp4", clips / "silent.mp4", number_frames(3)]
    encoder = VideoEncoder(audio_encoder=AudioDescriptor())
    with pytest.raises(ValueError, match=r"row 1: '.*silent\.mp4': "):
        encoder.fit_transform(paths)
    encoder.set_params(errors="missing")
    with pytest.warns(UserWarning, match=r"2 of 3 .*silent\.mp4.*row 2: .*audio_encoder"):
        vectors = encoder.fit_transform(paths)
    assert np.isnan(vectors).all(axis=1).tolist() == [False, True, True]


def test_frames_and_sound_are_modalities_of_one_column(clips):
    X = pd.DataFrame({"clip": [str(clips / "sound.mp4"), str(clips / "silent.mp4")] * 6})
    encoder = ModalityTransformer(
        [
            ("frames", VideoEncoder(), "clip"),
            ("sound", AudioDescriptor(errors="missing"), "clip"),
        ]
    )
    with pytest.warns(UserWarning, match=r"AudioDescriptor: 6 of 12 .*row 1: .*silent\.mp4"):
        features = encoder.fit_transform(X)
    assert features.filter(regex="^frames__").notna().all(axis=None)
    assert features.filter(regex="^sound__").isna().all(axis=1).tolist() == [False, True] * 6
    fusion = FusionClassifier(solver=AdamW(max_iter=3)).fit(features, [0, 1] * 6)
    assert set(fusion.modality_weights_) == {"frames", "sound", "interaction"}


# Errors


def test_broken_videos(clips):
    column = pd.Series(
        [str(clips / "silent.mp4"), str(clips / "broken.mp4"), None, "gone.mp4"],
        index=list("abcd"),
        name="clip",
    )
    with pytest.raises(
        ValueError, match=r"VideoEncoder: column 'clip', row 1 \(index 'b'\): '.*bro"
    ):
        VideoEncoder().fit(column).transform(column[:3])
    with pytest.warns(UserWarning, match=r"2 of 4 .*row 1 .*broken\.mp4.*row 3 .*gone\.mp4"):
        vectors = VideoEncoder(errors="missing").fit_transform(column)
    assert np.isnan(vectors).all(axis=1).tolist() == [False, True, True, True]


def test_errors_that_come_late(tmp_path):
    """Frames beyond the first are read when it is their turn."""
    path = write_clip(str(tmp_path / "a.avi"), number_frames(40), kind="mjpeg.avi")
    content = bytearray(Path(path).read_bytes())
    starts = [i for i in range(len(content) - 4) if content[i : i + 4] == b"00dc"][1:]
    content[starts[30] + 8 : starts[31]] = bytes(starts[31] - starts[30] - 8)
    cells = [bytes(content), number_frames(40)]
    with pytest.raises(ValueError, match=r"row 0: .*\b1\.2\d seconds"):
        numbers(n_frames=40).fit(cells[1:]).transform(cells)
    with pytest.warns(UserWarning, match=r"1 of 2 .*row 0: .*\b1\.2\d seconds"):
        vectors = numbers(n_frames=40, errors="missing").fit_transform(cells)
    np.testing.assert_array_equal(vectors, [[np.nan, np.nan], [19.5, 1]])
    np.testing.assert_array_equal(  # what is broken is not looked at
        numbers(fps=5).fit_transform(cells[:1]), [[np.mean([2, 7, 12, 17, 22, 27, 32, 37]), 1]]
    )


def test_broken_frames_of_a_list():
    frames = [np.full((8, 8, 3), 7.0), np.zeros((8, 8, 3))]
    with pytest.raises(ValueError, match=r"row 0: .*frames.*\[0, 1\].*\b7\b"):
        VideoEncoder().fit_transform([frames])
    with pytest.raises(TypeError, match=r"row 1: .* got int"):
        VideoEncoder(errors="missing").fit_transform([None, 3])


def test_one_video_is_no_column():
    frames = np.zeros((5, 8, 8, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match=r"VideoEncoder .*shape \(5, 8, 8, 3\) .*\[video\]"):
        VideoEncoder().fit(frames)
    with pytest.raises(TypeError, match=r"row 0: .*shape \(8, 8, 3\) .*\[video\]"):
        VideoEncoder().fit_transform(list(frames))


def test_parameters_that_do_not_fit():
    with pytest.raises(ValueError, match=r"n_frames=3 .*fps=2\b"):
        VideoEncoder(n_frames=3, fps=2).fit([None])
    with pytest.raises(TypeError, match=r"(?s)image_encoder .*ImageDescriptor\(\).*PCA"):
        VideoEncoder(make_pipeline(AudioPreprocessor(), ImageDescriptor(), PCA())).fit([None])
    for wrong in (AudioDescriptor(), TorchEncoder(TellNumber(), modality="text")):
        with pytest.raises(TypeError, match=rf"(?s)image_encoder .* got {type(wrong).__name__}"):
            VideoEncoder(wrong).fit([None])
    with pytest.raises(TypeError, match=r"audio_encoder .*AudioDescriptor.* got ImageDescriptor"):
        VideoEncoder(None, ImageDescriptor()).fit([None])
    with pytest.raises(ValueError, match=r"image_encoder has finetune='lora'"):
        VideoEncoder(ImageEncoder(finetune="lora")).fit([None])
    with pytest.raises(ValueError, match=r"'n_frames' .*\b0\b"):
        VideoEncoder(n_frames=0).fit([None])


def test_an_encoder_that_needs_a_frame_in_fit(clips):
    with pytest.raises(ValueError, match=r"row 0: '.*broken\.mp4'"):
        numbers().fit([clips / "broken.mp4", clips / "silent.mp4"])
    encoder = numbers(errors="missing")
    assert encoder.fit([None, clips / "broken.mp4", clips / "silent.mp4"])._n_features_out == 2
    with pytest.raises(ValueError, match=r"(?s)TorchEncoder.* of 2 videos"):
        encoder.fit([None, clips / "broken.mp4"])


# Parameters, and what a vector depends on


def test_nested_parameters_and_clones(clips):
    images = ImageDescriptor(n_bins=2)
    model = Pipeline([("video", VideoEncoder(images, AudioDescriptor()))])
    parameters = model.get_params()
    assert parameters["video__image_encoder__n_bins"] == 2
    assert parameters["video__audio_encoder__n_mels"] == 40
    model.set_params(video__image_encoder__orientations=4)
    model.fit([clips / "sound.mp4"])
    assert not hasattr(images, "n_features_in_")
    assert images.cache == "memory"
    assert model["video"].image_encoder_ is not images
    copied = clone(model)
    assert copied["video"].image_encoder is not images
    assert copied.get_params()["video__image_encoder__orientations"] == 4
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(model)).transform([clips / "sound.mp4"]),
        model.transform([clips / "sound.mp4"]),
    )


def test_pipelines_prepare_frames(clips):
    images = make_pipeline(ImagePreprocessor(mode="L"), ImageDescriptor())
    frames = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    vectors = VideoEncoder(images, n_frames=5).fit_transform([frames])
    np.testing.assert_allclose(vectors[0], images.fit_transform(frames).mean(axis=0), rtol=1e-6)


@pytest.mark.parametrize(
    "changed",
    [
        {"n_frames": 4},
        {"fps": 3.0, "n_frames": None},
        {"pooling": "statistics"},
        {"image_encoder__n_bins": 2},
        {"image_encoder": make_pipeline(ImagePreprocessor(contrast="clahe"), ImageDescriptor())},
        {"audio_encoder": AudioDescriptor()},
        {"audio_encoder": AudioDescriptor(n_segments=3)},
    ],
    ids=str,
)
def test_the_key_holds_what_changes_a_vector(changed, clips):
    cache = EmbeddingCache()
    path = [clips / "sound.mp4"]
    encoder = VideoEncoder(ImageDescriptor(), n_frames=5, cache=cache)
    first = encoder.fit_transform(path)
    assert len(cache) == 1
    other = clone(encoder).set_params(**changed)
    found = other.fit_transform(path)
    assert len(cache) == 2
    np.testing.assert_array_equal(found, other.set_params(cache=None).fit_transform(path))
    np.testing.assert_array_equal(encoder.transform(path), first)
    neutral = {"max_pixels": 10**6, "verbose": False, "errors": "missing"}
    clone(encoder).set_params(**neutral, image_encoder__cache=None).fit_transform(path)
    assert len(cache) == 2


def test_weights_of_the_image_encoder_are_part_of_the_key(clips):
    cache = EmbeddingCache()
    for n in range(2):
        torch.manual_seed(n)
        module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))
        encoder = VideoEncoder(
            TorchEncoder(module, preprocess=shrink, modality="image"), cache=cache
        )
        encoder.fit_transform([clips / "silent.mp4"])
    assert len(cache) == 2 * 2  # and that of the frame that fit looks at
    torch.nn.init.zeros_(module[1].weight)
    with pytest.raises(ValueError, match=r"TorchEncoder .* module"):
        encoder.transform([clips / "silent.mp4"])


def shrink(picture):
    return np.asarray(picture.resize((2, 2)), dtype=np.float32)


def test_a_grid_search_encodes_each_video_once():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"clip": [rng.integers(0, 256, (6, 16, 16, 3), np.uint8) for _ in range(20)]})
    y = np.arange(20) % 2
    images = TorchEncoder(TellNumber(), preprocess=read, modality="image")
    encoder = VideoEncoder(images, n_frames=3, cache=EmbeddingCache())
    model = Pipeline(
        [
            ("modalities", ModalityTransformer([("video", encoder, "clip")])),
            ("classifier", LogisticRegression()),
        ]
    )
    n_frames = []

    def count(module, arguments, output):
        if isinstance(module, TellNumber):
            n_frames.append(len(output))

    with register_module_forward_hook(count):
        GridSearchCV(model, {"classifier__C": np.logspace(-3, 3, 24)}, cv=5).fit(X, y)
    # Each fit looks at a frame of the first row, to know how many features there are.
    assert sum(n_frames) == 20 * 3 + 2


def test_a_cache_on_disk_is_shared_by_runs(clips, tmp_path):
    code = (
        "from skmm.video import VideoEncoder; import sys;"
        "print(VideoEncoder(cache=sys.argv[1]).fit_transform(sys.argv[2:]).sum())"
    )
    arguments = [str(tmp_path / "cache.sqlite"), str(clips / "silent.mp4")]
    found = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    cache = EmbeddingCache(arguments[0])
    assert len(cache) == 1
    vectors = VideoEncoder(cache=cache).fit_transform(arguments[1:])
    assert float(found.stdout) == pytest.approx(vectors.sum())
    assert len(cache) == 1


# Much


def keep(picture):
    return np.array(picture)


class MeanColour(torch.nn.Module):
    def forward(self, frames):
        return frames.float().mean(dim=(1, 2))


def test_memory_is_bounded_for_a_long_video(tmp_path):
    def film(n_frames):
        for second in range(n_frames):
            yield np.full((192, 256, 3), second % 256, dtype=np.uint8)

    peaks = []
    for n_frames in (40, 1200):
        path = write_clip(
            str(tmp_path / f"{n_frames}.mp4"),
            film(n_frames),
            rate=1,
            gop=60,
            options={"preset": "ultrafast"},
        )
        images = TorchEncoder(MeanColour(), preprocess=keep, modality="image", batch_size=16)
        encoder = VideoEncoder(images, fps=1, cache=None).fit([path])
        tracemalloc.start()
        encoder.transform([path])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 2e6  # where 1200 frames are 177 MB
