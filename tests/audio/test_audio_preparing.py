"""AudioPreprocessor: each option on a signal whose answer is known."""

import io
import pickle

import fsspec
import numpy as np
import pandas as pd
import polars as pl
import pytest
import soundfile
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skmm.audio import AudioPreprocessor

RATE = 8000
TIME = np.arange(2 * RATE) / RATE
HUM = 0.5 * np.sin(2 * np.pi * 50 * TIME)
TONE = 0.25 * np.sin(2 * np.pi * 1000 * TIME)
HISS = 0.1 * np.sin(2 * np.pi * 3500 * TIME)
MIDDLE = slice(RATE // 2, -RATE // 2)  # where filters do not feel the ends


def prepare(samples, rate=RATE, **options):
    (prepared,) = AudioPreprocessor(**options).fit_transform([(samples, rate)])
    assert prepared.keys() == {"array", "sampling_rate"}
    assert prepared["array"].dtype == np.float32
    assert type(prepared["sampling_rate"]) is int
    return prepared["array"]


def amplitude(samples, frequency, rate=RATE):
    """Amplitude of a tone in the middle of a sound of two seconds."""
    time = np.arange(len(samples))[MIDDLE] / rate
    return 2 * abs(np.mean(samples[MIDDLE] * np.exp(-2j * np.pi * frequency * time)))


def encoded(samples, rate=RATE):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


def test_without_options_a_sound_is_its_samples(tmp_path):
    tone = TONE.astype(np.float32)
    path = tmp_path / "tone.wav"
    path.write_bytes(encoded(tone))
    cells = [(tone, RATE), path, encoded(tone), {"array": tone, "sampling_rate": float(RATE)}, tone]
    for prepared in AudioPreprocessor(sampling_rate=RATE).transform(cells):
        np.testing.assert_array_equal(prepared["array"], tone)
        assert prepared["sampling_rate"] == RATE
    (prepared,) = AudioPreprocessor(filesystem=fsspec.filesystem("file")).transform([path])
    np.testing.assert_array_equal(prepared["array"], tone)


def test_prepared_sounds_can_be_prepared_again():
    once = AudioPreprocessor(low_cut=200).transform([(HUM + TONE, RATE)])
    np.testing.assert_array_equal(AudioPreprocessor().transform(once)[0]["array"], once[0]["array"])


def test_mono_and_resampling():
    stereo = np.stack([TONE + HISS, TONE - HISS])
    np.testing.assert_allclose(prepare(stereo), TONE, atol=1e-6)
    (prepared,) = AudioPreprocessor(target_sampling_rate=4000).transform([(TONE + HISS, RATE)])
    assert prepared["sampling_rate"] == 4000
    assert len(prepared["array"]) == len(TONE) // 2
    np.testing.assert_allclose(prepared["array"][100:-100], TONE[::2][100:-100], atol=1e-3)


# Filters


def test_band_pass_leaves_the_tone_of_hum_and_hiss():
    filtered = prepare(HUM + TONE + HISS, low_cut=300, high_cut=2500)
    np.testing.assert_allclose(filtered[MIDDLE], TONE[MIDDLE], atol=1e-3)  # not delayed, either


@pytest.mark.parametrize(
    ("options", "left"),
    [({"low_cut": 300}, (0, 0.25, 0.1)), ({"high_cut": 300}, (0.5, 0, 0)), ({}, (0.5, 0.25, 0.1))],
)
def test_one_cut_alone(options, left):
    filtered = prepare(HUM + TONE + HISS, **options)
    found = [amplitude(filtered, frequency) for frequency in (50, 1000, 3500)]
    np.testing.assert_allclose(found, left, atol=2e-3)


@pytest.mark.parametrize("order", [1, 4, 8])
def test_decibels_of_the_filter(order):
    at_cut = prepare(TONE, low_cut=1000, filter_order=order)
    beyond = prepare(TONE, low_cut=2000, filter_order=order)
    assert amplitude(at_cut, 1000) == pytest.approx(0.25 / 2, rel=1e-3)  # 6 dB
    warped = np.tan(np.pi * 2000 / RATE) / np.tan(np.pi * 1000 / RATE)  # of digital frequencies
    expected = 0.25 / (1 + warped ** (2 * order))
    assert amplitude(beyond, 1000) == pytest.approx(expected, rel=1e-2, abs=1e-7)


def test_cuts_beyond_what_the_sound_holds():
    np.testing.assert_array_equal(prepare(TONE, high_cut=RATE / 2), TONE.astype(np.float32))
    np.testing.assert_array_equal(
        prepare(HUM + TONE, low_cut=300, high_cut=9e9), prepare(HUM + TONE, low_cut=300)
    )
    with pytest.raises(ValueError, match=r"row 0: .* 8000 Hz .*low_cut=4000\b"):
        prepare(TONE, low_cut=4000)


def test_pre_emphasis():
    samples = np.array([0.5, 0.5, 0.25, -1.0])
    np.testing.assert_allclose(prepare(samples, pre_emphasis=0.5), [0.5, 0.25, 0, -1.125])
    emphasized = prepare(HUM + HISS, pre_emphasis=0.97)
    for frequency, before in [(50, 0.5), (3500, 0.1)]:
        gain = abs(1 - 0.97 * np.exp(-2j * np.pi * frequency / RATE))
        assert amplitude(emphasized, frequency) == pytest.approx(before * gain, rel=1e-3)


# Silence and windows


@pytest.fixture
def beep():
    """Two seconds of faint noise, a second of tone, and one of noise."""
    noise = np.random.default_rng(0).normal(0, 1e-4, 4 * RATE)
    noise[2 * RATE : 3 * RATE] += TONE[:RATE]
    return noise


@pytest.mark.parametrize("factor", [1, 1 / 8, 1 / 512])
def test_silence_around_a_beep_is_cut_off(beep, factor):
    trimmed = prepare(beep * factor, trim_db=40)
    assert abs(len(trimmed) - RATE) < 0.1 * RATE
    start = np.argmax(np.correlate(beep * factor, trimmed, mode="valid"))
    assert abs(start - 2 * RATE) < 0.05 * RATE
    np.testing.assert_allclose(trimmed, (beep * factor)[start : start + len(trimmed)], rtol=1e-5)


def test_silence_is_what_is_below_the_decibels(beep):
    assert len(prepare(beep, trim_db=100)) == len(beep)  # the noise is 65 dB below the tone
    faded = np.concatenate([beep / 32, beep])  # a beep of 30 dB less
    assert abs(len(prepare(faded, trim_db=40)) - 5 * RATE) < 0.1 * RATE
    assert abs(len(prepare(faded, trim_db=20)) - 1 * RATE) < 0.1 * RATE


def test_silence_between_beeps_stays(beep):
    twice = np.concatenate([beep, beep])
    assert abs(len(prepare(twice, trim_db=40)) - 5 * RATE) < 0.1 * RATE


def test_nothing_but_silence_stays():
    assert len(prepare(np.zeros(RATE), trim_db=40)) == RATE


def test_hum_does_not_hide_silence(beep):
    hum = 0.5 * np.sin(2 * np.pi * 50 * np.arange(len(beep)) / RATE)
    options = {"low_cut": 300, "filter_order": 8, "trim_db": 40}
    assert abs(len(prepare(beep + hum, **options)) - RATE) < 0.1 * RATE
    assert len(prepare(beep + hum, trim_db=40)) > 3.9 * RATE


@pytest.mark.parametrize(("window", "start"), [("first", 0), ("middle", 1.5), ("last", 3)])
def test_window(beep, window, start):
    kept = prepare(beep, window_seconds=1, window=window)
    np.testing.assert_allclose(kept, beep[int(start * RATE) :][:RATE], atol=1e-7)


def test_loudest_window(beep):
    kept = prepare(beep, window_seconds=1, window="loudest").astype(np.float64)
    starts = np.arange(3 * RATE + 1)
    energies = [np.square(beep[start : start + RATE]).sum() for start in starts]
    np.testing.assert_allclose(kept, beep[np.argmax(energies) :][:RATE], atol=1e-7)
    assert np.square(kept).sum() > 0.9999 * np.square(TONE[:RATE]).sum()


@pytest.mark.parametrize("window", ["first", "middle", "last", "loudest"])
def test_window_longer_than_the_sound(window):
    tone = TONE.astype(np.float32)
    for seconds in (2, 2.5, 1e6):
        np.testing.assert_array_equal(prepare(tone, window_seconds=seconds, window=window), tone)


@pytest.mark.parametrize("n_samples", [1, 2, 3, 40])
@pytest.mark.filterwarnings("error")
def test_shortest_sounds(n_samples):
    for samples in (np.full(n_samples, 0.5), np.zeros(n_samples)):
        prepared = prepare(
            samples,
            target_sampling_rate=4000,
            low_cut=100,
            high_cut=1000,
            pre_emphasis=0.97,
            trim_db=40,
            window_seconds=1e-9,
            window="loudest",
        )
        assert len(prepared) == 1
        assert np.isfinite(prepared).all()


# Columns


def test_columns_of_every_kind(tmp_path):
    sounds = [(TONE, RATE), (HUM, RATE)]
    series = pd.Series(sounds, index=["a", "b"], name="noise")
    for column in (series, series.to_frame()):
        prepared = AudioPreprocessor().fit(column).transform(column)
        assert (prepared.name, prepared.index.to_list()) == ("noise", ["a", "b"])
        np.testing.assert_allclose(prepared["b"]["array"], HUM, atol=1e-6)
    polars = pl.Series(sounds, dtype=pl.Object)
    for column in (sounds, np.stack([TONE, HUM]), polars, polars.to_frame()):
        prepared = AudioPreprocessor(sampling_rate=RATE).fit_transform(column)
        assert (type(prepared), prepared.shape, prepared.dtype) == (np.ndarray, (2,), object)
        np.testing.assert_allclose(prepared[1]["array"], HUM, atol=1e-6)
    for method in (AudioPreprocessor().fit, AudioPreprocessor().transform):
        with pytest.raises(ValueError, match=r"got 2: \['a', 'b'\]"):
            method(pd.DataFrame({"a": sounds, "b": sounds}))
        for sound in (TONE, (TONE, RATE)):
            with pytest.raises(ValueError, match=r"AudioPreprocessor .*\[sound\]"):
                method(sound)


def test_missing_and_repeated_cells(tmp_path):
    path = tmp_path / "tone.wav"
    path.write_bytes(encoded(TONE))
    cells = [None, str(path), np.nan, path, pd.NA]
    prepared = AudioPreprocessor().transform(cells)
    assert prepared[1] is prepared[3]
    assert all(prepared[row] is cells[row] for row in (0, 2, 4))


def test_broken_items(tmp_path):
    cut = tmp_path / "cut.wav"
    cut.write_bytes(encoded(TONE)[:9000])
    column = pd.Series([(TONE, RATE), str(cut), "gone.wav"], index=list("abc"), name="noise")
    match = r"column 'noise', row 1 \(index 'b'\): .*cut\.wav': .*errors="
    with pytest.raises(ValueError, match=match):
        AudioPreprocessor().transform(column)
    with pytest.warns(
        UserWarning, match=r"2 of 3 .* row 1 .*cut\.wav.* row 2 .*gone\.wav"
    ) as caught:
        prepared = AudioPreprocessor(errors="missing").transform(column)
    assert [warning.filename for warning in caught] == [__file__]
    assert prepared.isna().tolist() == [False, True, True]
    with pytest.raises(ValueError, match=r"row 0: 2\.0 .*max_seconds=1\b"):
        AudioPreprocessor(max_seconds=1).transform([(TONE, RATE)])


@pytest.mark.parametrize("errors", ["raise", "missing"])
def test_what_is_no_sound_is_an_error_always(errors):
    with pytest.raises(TypeError, match=r"AudioPreprocessor: row 1: .* got int \(7\)"):
        AudioPreprocessor(errors=errors).transform([None, 7])
    with pytest.raises(TypeError, match=r"row 0: .*sampling_rate"):
        AudioPreprocessor(errors=errors).transform([TONE])


@pytest.mark.parametrize(
    "options",
    [
        {"target_sampling_rate": 0},
        {"low_cut": 0},
        {"high_cut": -1},
        {"filter_order": 0},
        {"pre_emphasis": 1.1},
        {"trim_db": 0},
        {"window_seconds": 0},
        {"window": "random"},
        {"sampling_rate": 0},
        {"filesystem": "s3"},
        {"errors": "ignore"},
        {"max_seconds": None},
    ],
)
def test_parameters_are_checked(options):
    ((name, value),) = options.items()
    for method in (AudioPreprocessor(**options).fit, AudioPreprocessor(**options).transform):
        with pytest.raises(ValueError, match=rf"'{name}' .* {value!r} "):
            method([(TONE, RATE)])


def test_cuts_must_leave_something():
    with pytest.raises(ValueError, match=r"low_cut=300 .*high_cut=300\b"):
        AudioPreprocessor(low_cut=300, high_cut=300).fit([(TONE, RATE)])


# With the rest of scikit-learn


def test_pickle_and_clone():
    preprocessor = AudioPreprocessor(low_cut=300).fit([(TONE, RATE)])
    data = pickle.dumps(preprocessor)
    assert len(data) < 1000
    for other in (pickle.loads(data), clone(preprocessor)):
        assert other.get_params() == preprocessor.get_params()


class Loudness(TransformerMixin, BaseEstimator):
    """The level of prepared sounds, in decibels."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.array([[np.log10(np.square(sound["array"]).mean() + 1e-9)] for sound in X])


def test_grid_search_finds_the_option_that_helps():
    rng = np.random.default_rng(0)
    y = np.arange(24) % 2
    sounds = [  # quiet tones in half of them, under hum of any loudness in all
        (rng.uniform(0.1, 1) * HUM + 0.1 * label * TONE + rng.normal(0, 0.01, len(TIME)), RATE)
        for label in y
    ]
    model = make_pipeline(AudioPreprocessor(high_cut=2000), Loudness(), LogisticRegression())
    options = {"audiopreprocessor__low_cut": [None, 300]}
    search = GridSearchCV(model, options, cv=3, error_score="raise").fit(pd.Series(sounds), y)
    assert search.best_params_["audiopreprocessor__low_cut"] == 300
    without, filtered = search.cv_results_["mean_test_score"]
    assert filtered == 1
    assert without < 0.8
