"""AudioDescriptor: one vector for each sound, and what is in it."""

import io
import pickle

import fsspec
import numpy as np
import pandas as pd
import pytest
import soundfile
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import LeaveOneGroupOut, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmm.audio import AudioDescriptor

RATE = 16_000
N_FOLLOWED = 3 * 13 + 4  # cepstrum, two derivatives, spectral statistics
CENTROID = 3 * 13


def encoded(samples, rate=RATE, format="WAV"):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=format)
    return buffer.getvalue()


def describe(*cells, **parameters):
    column = np.empty(len(cells), dtype=object)
    column[:] = cells
    return AudioDescriptor(**{"cache": None, **parameters}).fit_transform(column)


def tone(frequency, seconds=1.0, rate=RATE):
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


@pytest.fixture
def melody():
    """Five tones that rise, over faint noise, as 16-bit samples."""
    noise = np.random.default_rng(0).normal(0, 1e-4, RATE)
    tones = np.concatenate([tone(200 * 2**i, 0.2) for i in range(5)])
    return np.round((tones + noise) * 2**15).astype(np.int16)


def test_one_sound_in_every_form_has_one_vector(melody, tmp_path):
    path = tmp_path / "melody.wav"
    path.write_bytes(encoded(melody))
    stereo = np.stack([melody, melody], axis=1)
    cells = [
        path,
        str(path),
        encoded(melody),
        encoded(melody, format="FLAC"),
        encoded(stereo),
        (melody, RATE),
        (melody / 2**15, float(RATE)),
        (stereo.T, RATE),
        {"array": melody, "sampling_rate": RATE},
        {"bytes": encoded(melody), "path": None},
        melody,
    ]
    vectors = describe(*cells, sampling_rate=RATE)
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()
    np.testing.assert_array_equal(vectors, np.repeat(vectors[:1], len(cells), axis=0))
    elsewhere = describe(str(path), filesystem=fsspec.filesystem("file"))
    np.testing.assert_array_equal(elsewhere, vectors[:1])


def test_the_sampling_rate_of_the_file_does_not_matter():
    sounds = [tone(440) + tone(1500), tone(440, rate=44100) + tone(1500, rate=44100)]
    one, other = describe((sounds[0], RATE), (sounds[1], 44100))
    wrong = describe((sounds[1], RATE))[0]
    assert np.abs(one - other).mean() < 0.05 * np.abs(one - wrong).mean()


def test_segments_follow_the_melody(melody):
    up, down = describe((melody, RATE), (melody[::-1], RATE))
    centroids = [v[: 5 * N_FOLLOWED].reshape(5, -1)[:, CENTROID] for v in (up, down)]
    np.testing.assert_allclose(np.exp(centroids[0]), [200, 400, 800, 1600, 3200], rtol=0.25)
    np.testing.assert_allclose(centroids[0], centroids[1][::-1], atol=0.1)


def test_bands_are_those_of_the_sound():
    n_bands = 40
    vectors = describe(*[(tone(frequency), RATE) for frequency in (300, 1000, 4000)])
    means = vectors[:, -3 - 2 * n_bands : -3 - n_bands]
    loudest = means.argmax(axis=1)
    assert (np.diff(loudest) > 5).all()
    assert (means.max(axis=1) > -3).all()  # decibels below the loudest
    assert (means.min(axis=1) < -60).all()


def test_loudness_moves_nothing_but_the_level(melody):
    loud, quiet = describe((melody / 2**15, RATE), (melody / 2**25, RATE))
    np.testing.assert_allclose(np.delete(quiet, -3), np.delete(loud, -3), rtol=1e-4, atol=1e-4)
    assert loud[-3] - quiet[-3] == pytest.approx(60, abs=0.5)


def test_durations():
    sound = np.concatenate([np.zeros(RATE), tone(440, 2.0), np.zeros(RATE)])
    (vector,) = describe((sound, RATE))
    assert np.exp(vector[-2]) == pytest.approx(4)
    assert np.exp(vector[-1]) == pytest.approx(2, rel=0.05)


def test_silence_at_the_ends_is_left_out(melody):
    silent = np.concatenate([np.zeros(8000), melody, np.zeros(3200)]).astype(np.int16)
    bare, around = describe((melody, RATE), (silent, RATE))
    kept, with_silence = describe((melody, RATE), (silent, RATE), trim_db=None)
    difference = np.abs(bare - around)[:-3].mean()
    assert difference < 0.2 * np.abs(kept - with_silence)[:-3].mean()


@pytest.mark.parametrize("rate", [RATE, 8000, 48000])
@pytest.mark.parametrize("n_samples", [1, 2, 30, 511, 513, 2000])
@pytest.mark.filterwarnings("error")
def test_very_short_sounds(n_samples, rate):
    rng = np.random.default_rng(0)
    vectors = describe(
        (rng.uniform(-1, 1, n_samples), rate),
        (np.zeros(n_samples), rate),
        (np.ones(n_samples), rate),
        encoded(rng.uniform(-1, 1, n_samples), rate),
    )
    assert np.isfinite(vectors).all()
    assert vectors.shape == (4, 384)


def test_vectors_do_not_depend_on_each_other(melody):
    sounds = [(melody[start : start + 3000], RATE) for start in range(0, 9000, 1500)]
    vectors = describe(*sounds)
    np.testing.assert_array_equal(describe(*sounds[::-1]), vectors[::-1])
    np.testing.assert_array_equal(describe(*sounds[:2], *sounds[:2]), vectors[[0, 1, 0, 1]])


def test_missing_and_broken_items(melody, tmp_path):
    vectors = describe(None, (melody, RATE), np.nan, pd.NA)
    assert np.isnan(vectors[[0, 2, 3]]).all()
    assert np.isfinite(vectors[1]).all()
    cut = tmp_path / "cut.wav"
    cut.write_bytes(encoded(melody)[:9000])
    column = pd.Series([(melody, RATE), str(cut)], index=["a", "b"], name="voice")
    match = r"AudioDescriptor: column 'voice', row 1 \(index 'b'\): .*cut\.wav': .*errors="
    with pytest.raises(ValueError, match=match):
        AudioDescriptor().fit_transform(column)
    with pytest.warns(UserWarning, match=r"1 of 2 .*row 1 .*cut\.wav"):
        vectors = AudioDescriptor(errors="missing").fit_transform(column)
    assert np.isnan(vectors).all(axis=1).tolist() == [False, True]
    with pytest.raises(ValueError, match=r"row 0: 1\.0 .*max_seconds=0\.5"):
        describe((melody, RATE), max_seconds=0.5)


@pytest.mark.parametrize("errors", ["raise", "missing"])
def test_what_is_no_sound_is_an_error_always(melody, errors):
    with pytest.raises(TypeError, match=r"row 1: .* got int \(7\)"):
        describe(None, 7, errors=errors)
    with pytest.raises(TypeError, match=r"row 0: .*sampling_rate"):
        describe(melody, errors=errors)
    with pytest.raises(ValueError, match=r"AudioDescriptor .*\[sound\]"):
        AudioDescriptor(errors=errors, sampling_rate=RATE).fit(melody)


def test_parameters(melody):
    options = {"n_segments": 3, "n_mels": 20, "n_mfcc": 5, "target_sampling_rate": 8000}
    descriptor = AudioDescriptor(**options).fit([(melody, RATE)])
    n_features = (3 + 2) * (3 * 5 + 4) + 2 * 20 + 3
    assert descriptor.transform([(melody, RATE)]).shape == (1, n_features)
    assert len(descriptor.get_feature_names_out()) == n_features
    assert len(pickle.dumps(descriptor)) < 1000
    for parameters, match in [
        ({"n_mfcc": 41}, r"n_mfcc=41 .*n_mels=40\b"),
        ({"target_sampling_rate": 10}, r"'target_sampling_rate' .*\b10\b"),
        ({"errors": "ignore"}, "'errors' .*'ignore'"),
        ({"filesystem": "s3"}, "'filesystem' .*'s3'"),
    ]:
        with pytest.raises(ValueError, match=match):
            AudioDescriptor(**parameters).fit([(melody, RATE)])


def test_spoken_digits(shared_data):
    """At least the figures of the shared data's README, with its logistic regression."""
    data = np.load(shared_data("av_digits/av_digits.npz"))
    clips = np.split(data["audio"], data["offsets"][1:-1])
    X = describe(*[(clip, 8000) for clip in clips])
    y, train = data["y"], data["split"] == "train"
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01))
    assert model.fit(X[train], y[train]).score(X[~train], y[~train]) >= 0.977
    speakers = cross_val_score(model, X, y, groups=data["speaker"], cv=LeaveOneGroupOut())
    assert speakers.mean() >= 0.778
