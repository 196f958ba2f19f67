"""Statistics of the target: what has them, and that no row sees its own target."""

import pickle

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

import skmm
from skmm import AdamW, FusionClassifier, ModalityTransformer, TabularEncoder
from skmm.compose._targets import Target, fit_target_statistics

N = 600
N_LEVELS = 120


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, N_LEVELS, N)
    return pd.DataFrame(
        {"kind": [f"k{kind}" for kind in kinds], "n": rng.normal(size=N)}, index=np.arange(N) * 3
    ).astype({"kind": "category"})


@pytest.fixture
def effect(frame):
    """Return what the level says."""
    of_level = np.random.default_rng(1).normal(size=N_LEVELS)
    return of_level[frame["kind"].str[1:].astype(int)]


def names_of_statistics(frame, y):
    names = TabularEncoder().fit(frame, y).get_feature_names_out()
    return [name for name in names if "_target" in name]


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda effect: effect, ["kind_target"]),
        (lambda effect: pd.Series(effect * 100).round().astype(int) * 3, ["kind_target"]),
        (lambda effect: (effect > 0)[:, np.newaxis], ["kind_target"]),
        (lambda effect: np.where(effect > 0, "a", "b").tolist(), ["kind_target"]),
        (
            lambda effect: np.select([effect < -0.5, effect < 0.5], ["a", "b"], "c").astype(object),
            ["kind_target_a", "kind_target_b", "kind_target_c"],
        ),
        (
            lambda effect: pd.Categorical((effect > 0) + 2 * (effect > 1)),
            ["kind_target_0", "kind_target_1", "kind_target_3"],
        ),
    ],
)
def test_targets_that_have_statistics(frame, effect, make, names):
    assert names_of_statistics(frame, make(effect)) == names


@pytest.mark.parametrize(
    "y",
    [
        None,
        np.arange(N) % 21,  # too many classes
        [f"c{i % 21}" for i in range(N)],
        ["rare"] + ["a", "b"] * (N // 2 - 1) + ["a"],
        np.zeros(N, dtype=int),
        np.zeros((N, 2)),  # several targets
        [["a"], ["a", "b"]] * (N // 2),  # labels
        np.where(np.arange(N), 1.0, np.nan),
        np.where(np.arange(N), 1.0, np.inf),
        [None] + ["a", "b"] * (N // 2 - 1) + ["a"],
        np.array([1, "b"] * (N // 2), dtype=object),
        [b"a", b"b"] * (N // 2),
        [f"caption {i}" for i in range(N)],
    ],
    ids=lambda y: "none" if y is None else str(y[:2]),
)
def test_targets_that_have_none(frame, y):
    assert names_of_statistics(frame, y) == []
    np.testing.assert_array_equal(
        TabularEncoder().fit_transform(frame, y), TabularEncoder().fit_transform(frame)
    )


def test_columns_whose_categories_are_all_one_hot_encoded_have_none(frame, effect):
    few = frame.assign(kind=frame["kind"].str[:2])
    assert names_of_statistics(few, effect) == []


def test_other_features_do_not_depend_on_the_target(frame, effect):
    plain = TabularEncoder().fit(frame)
    encoder = TabularEncoder().fit(frame, effect)
    n = len(plain.get_feature_names_out())
    assert encoder.get_feature_names_out()[:n].tolist() == plain.get_feature_names_out().tolist()
    np.testing.assert_array_equal(encoder.transform(frame)[:, :n], plain.transform(frame))
    np.testing.assert_array_equal(
        encoder.fit_transform(frame, effect)[:, :n], plain.transform(frame)
    )


def test_statistics_say_what_the_level_does(frame, effect):
    encoder = TabularEncoder().set_output(transform="pandas")
    found = encoder.fit_transform(frame, effect)["kind_target"]
    assert np.corrcoef(found, effect)[0, 1] > 0.9
    np.testing.assert_allclose([found.mean(), found.std(ddof=0)], [0, 1], atol=1e-5)
    assert np.corrcoef(encoder.transform(frame)["kind_target"], effect)[0, 1] > 0.99


def test_no_row_sees_its_own_target(frame, effect):
    def encode(y):
        target = Target(y, is_continuous=True)
        encoder, encoded = fit_target_statistics(frame[["kind"]].astype(str), target)
        return encoder[1].inverse_transform(encoded)[:, 0]

    changed = effect.copy()
    changed[7] += 1000
    before, after = encode(effect), encode(changed)
    assert after[7] == before[7]
    others = np.setdiff1d(np.flatnonzero(frame["kind"] == frame["kind"].iloc[7]), 7)
    assert (after[others] > before[others] + 10).any()


@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(),
        FusionClassifier(interaction=None, solver=AdamW(max_iter=5), random_state=0),
    ],
    ids=lambda model: type(model).__name__,
)
def test_noise_of_many_levels_does_not_look_predictive(frame, model):
    noise = np.random.default_rng(2).integers(0, 2, N)
    pipeline = make_pipeline(ModalityTransformer(), model)
    assert abs(cross_val_score(pipeline, frame, noise, cv=5).mean() - 0.5) < 0.06


def test_features_of_the_training_rows_do_not_leak(frame):
    noise = np.random.default_rng(2).integers(0, 2, N)
    encoder = ModalityTransformer()
    honest = encoder.fit_transform(frame, noise)["tabular__kind_target"]
    leaking = encoder.transform(frame)["tabular__kind_target"]
    assert abs(np.corrcoef(honest, noise)[0, 1]) < 0.1
    assert np.corrcoef(leaking, noise)[0, 1] > 0.3


def test_telling_levels_help_a_pipeline(frame, effect):
    y = effect > 0
    with_y = make_pipeline(ModalityTransformer(), LogisticRegression())
    assert cross_val_score(with_y, frame, y, cv=5).mean() > 0.85


def test_unseen_and_missing_levels_are_the_mean_and_a_level(frame, effect):
    frame["kind"] = frame["kind"].astype(object).where(np.arange(N) % 5 > 0, None)
    encoder = TabularEncoder().set_output(transform="pandas").fit(frame, effect)
    new = encoder.transform(pd.DataFrame({"kind": ["new", None], "n": 0.0}))["kind_target"]
    mean = encoder.target_encoder_[0].target_mean_
    assert mean == pytest.approx(effect.mean())
    scaler = encoder.target_encoder_[1]
    assert new[0] == pytest.approx(((mean - scaler.mean_) / scaler.scale_).item(), abs=1e-5)
    missing = effect[frame["kind"].isna()].mean()
    assert new[1] * scaler.scale_ + scaler.mean_ == pytest.approx(missing, abs=0.05)


def test_statistics_repeat_and_are_saved(frame, effect):
    encoder = TabularEncoder()
    first = encoder.fit_transform(frame, effect)
    np.testing.assert_array_equal(clone(encoder).fit_transform(frame, effect), first)
    expected = encoder.transform(frame)
    np.testing.assert_array_equal(encoder.fit(frame, effect).transform(frame), expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(encoder)).transform(frame), expected)


def test_all_that_is_fitted_is_saved_by_skops():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "kind": pd.Categorical([f"k{i}" for i in rng.integers(0, 90, N)]),
            "day": pd.date_range("2023-01-01", periods=N, freq="31h"),
            "price": np.exp(2 * rng.normal(size=N)) * (rng.random(N) < 0.8),
            "weight": [f"{i} kg" for i in rng.integers(1, 99, N)],
            "gaps": np.where(rng.random(N) < 0.1, np.nan, 1),
        }
    )
    encoder = ModalityTransformer().fit(frame, rng.normal(size=N))
    parts = {part for _, part, _ in encoder.named_transformers_["tabular"].derived_.values()}
    assert parts >= {"missing", "zero", "log", "count", "year_sin", "day_cos", "weekday_Mon"}
    content = skops.io.dumps(encoder)
    assert {*skops.io.get_untrusted_types(data=content)} <= {*skmm.trusted_types}
    loaded = skops.io.loads(content, trusted=skmm.trusted_types)
    pd.testing.assert_frame_equal(loaded.transform(frame), encoder.transform(frame))
