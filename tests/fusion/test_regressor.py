"""What FusionRegressor promises: units, losses, several targets, odd values of y."""

import pickle

import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from nested_settings import ENSEMBLE_FUSIONS, EXACT_FUSIONS, FUSIONS, nest
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import r2_score

import skmm
from skmm import LBFGS, FusionClassifier, FusionRegressor
from skmm._data.targets import measure_scale, weighted_median

LOSSES = ["squared_error", "absolute_error", "huber"]
NAN = np.nan


@pytest.fixture(scope="module")
def data():
    """120 rows of "text" (3 columns) and "image" (2), and two targets, not to be changed."""
    rng = np.random.default_rng(0)
    columns = ["text__0", "text__1", "text__2", "image__0", "image__1"]
    X = pd.DataFrame(rng.normal(size=(120, 5)), columns=columns)
    noise = 0.1 * rng.normal(size=(120, 2))
    y = np.c_[3 * X["text__0"] + X["image__0"], X["text__1"] - 2 * X["image__1"]] + noise
    return X, 100 + 20 * y


def small(fusion="late", **parameters):
    defaults = {"hidden_layer_sizes": (8,), "max_iter": 5, "batch_size": 40, "random_state": 0}
    defaults["dropout"] = 0.0
    return nest(FusionRegressor, fusion=fusion, **{**defaults, **parameters})


def learning(fusion="late", **parameters):
    given = {"max_iter": 60, "learning_rate_init": 0.05, "weight_decay": 0.01, **parameters}
    return small(fusion, **given)


# What comes out


@pytest.mark.parametrize(
    ("fusion", "loss"),
    [
        *((fusion, "squared_error") for fusion in FUSIONS),
        *(("weighted", loss) for loss in ("absolute_error", "huber")),
    ],
)
def test_it_learns(data, fusion, loss):
    X, y = data
    model = learning(fusion, loss=loss).fit(X[:90], y[:90, 0])
    predicted = model.predict(X[90:])
    assert predicted.shape == (30,)
    assert predicted.dtype == float
    assert model.score(X[90:], y[90:, 0]) > 0.75
    assert model.score(X[90:], y[90:, 0]) == pytest.approx(r2_score(y[90:, 0], predicted))


@pytest.mark.parametrize("n_targets", [1, 2])
@pytest.mark.parametrize("fusion", EXACT_FUSIONS)
def test_contributions_and_intercept_add_up_to_the_prediction(data, fusion, n_targets):
    X, y = data
    X = X.copy()
    X.loc[:9, ["text__0", "text__1", "text__2"]] = NAN
    X.loc[10:19, ["image__0", "image__1"]] = NAN
    model = small(fusion).fit(X, y[:, 0] if n_targets == 1 else y)
    X.loc[0] = NAN
    parts = model.contributions(X)
    assert parts.shape == ((120, 2) if n_targets == 1 else (120, 2, 2))
    with pytest.warns(UserWarning, match=r"1 of 120 .*row 0\b"):
        predicted = model.predict(X)
    np.testing.assert_allclose(parts.sum(1) + model.intercept_, predicted, rtol=1e-12)
    assert (parts[10:20, 1] == 0).all()
    assert (parts[20:, 1] != 0).all()
    np.testing.assert_array_equal(predicted[0], model.intercept_)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_modality_predict_is_the_prediction_from_that_modality_alone(data, fusion):
    X, y = data
    model = small(fusion).fit(X, y)
    alone = X.assign(image__0=NAN, image__1=NAN)
    opinions = model.modality_predict(alone)
    assert opinions.shape == (120, 2, 2)
    np.testing.assert_allclose(opinions[:, 0], model.predict(alone), rtol=1e-9)
    assert np.isnan(opinions[:, 1]).all()
    assert np.isfinite(model.modality_predict(X)).all()
    assert small(fusion).fit(X, y[:, 0]).modality_predict(X).shape == (120, 2)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_what_mixes_modalities_has_no_contributions(fusion):
    assert hasattr(small(fusion), "contributions") == (fusion in EXACT_FUSIONS)


def test_columns_of_noise_get_no_weight(data):
    X, y = data
    rng = np.random.default_rng(1)
    noise = pd.DataFrame(rng.normal(size=(120, 10)), columns=[f"noise__{i}" for i in range(10)])
    model = learning(max_iter=30).fit(X.join(noise), y)
    assert model.modality_weights_["noise"] < 0.1
    assert sum(model.modality_weights_.values()) == pytest.approx(1)


@pytest.mark.parametrize("loss", LOSSES)
def test_units_of_y_do_not_matter(data, loss):
    X, y = data
    expected = small(loss=loss).fit(X, y[:, 0]).predict(X)
    for factor, shift in [(1e9, 0), (1e-9, 0), (1e300, 0), (1.0, 1e9)]:
        model = small(loss=loss).fit(X, factor * y[:, 0] + shift)
        # Rounded at 1e9, an error near 0 may change its sign, and with it its gradient.
        atol = 0.5 if shift and loss == "absolute_error" else 1e-3
        np.testing.assert_allclose((model.predict(X) - shift) / factor, expected, atol=atol)


def test_history_and_attributes(data):
    X, y = data
    model = small(alignment="mse", alignment_weight=0.1).fit(X, y)
    terms = ["alignment__image__text", "alignment__text__image"]
    assert list(model.history_) == ["loss", "fused", "modality__image", "modality__text", *terms]
    assert model.loss_curve_ == model.history_["loss"].tolist()
    assert model.n_iter_ == 5
    assert model.transform(X).shape == (120, 2)
    assert model.get_feature_names_out().tolist() == ["fusionregressor0", "fusionregressor1"]


def test_the_first_loss_is_that_of_the_mean(data):
    X, y = data
    # y is scaled to variance 1, and half the square is taken
    model = small("weighted", max_iter=1, learning_rate_init=1e-9).fit(X, y[:, 0])
    assert model.history_["modality__text"][0] == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize("n_targets", [1, 2])
def test_saving(data, n_targets, tmp_path):
    X, y = data
    model = small().fit(X, y[:, 0] if n_targets == 1 else pd.DataFrame(y, columns=["a", "b"]))
    model.save_weights(tmp_path / "weights.safetensors")
    for loaded in (
        pickle.loads(pickle.dumps(model)),
        small().load_weights(tmp_path / "weights.safetensors"),
        skops.io.loads(skops.io.dumps(model), trusted=skmm.trusted_types),
    ):
        np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
        np.testing.assert_array_equal(loaded.contributions(X), model.contributions(X))
        np.testing.assert_array_equal(loaded.intercept_, model.intercept_)


# Weights


@pytest.mark.parametrize(("fusion", "loss"), [("late", "squared_error"), ("concat", "huber")])
def test_weight_of_two_is_a_copy_and_of_zero_a_removal(data, fusion, loss):
    X, y = data
    y = y.copy()
    y[::7, 1] = NAN
    weight = np.random.default_rng(0).integers(0, 3, len(y))
    rows = np.random.default_rng(1).permutation(np.repeat(np.arange(len(y)), weight))
    weighted = small(fusion, loss=loss).fit(X, y, sample_weight=weight)
    copied = small(fusion, loss=loss).fit(X.iloc[rows], y[rows])
    np.testing.assert_array_equal(weighted.predict(X), copied.predict(X))
    np.testing.assert_array_equal(weighted.intercept_, copied.intercept_)


def test_intercept_is_the_weighted_mean_or_median(data):
    X, y = data
    weight = np.random.default_rng(0).uniform(size=120)
    mean = small(max_iter=1).fit(X, y, sample_weight=weight).intercept_
    np.testing.assert_allclose(mean, np.average(y, axis=0, weights=weight))
    assert isinstance(small(max_iter=1).fit(X, y[:, 0]).intercept_, float)
    for loss in ("absolute_error", "huber"):
        median = small(max_iter=1, loss=loss).fit(X, y).intercept_
        np.testing.assert_allclose(median, np.median(y, axis=0))


@pytest.mark.parametrize(
    ("weight", "match"),
    [(np.zeros(120), "sample_weight|Sample weights"), (-np.ones(120), "sample_weight .*row 0")],
)
def test_bad_sample_weight(data, weight, match):
    X, y = data
    with pytest.raises(ValueError, match=match):
        small().fit(X, y[:, 0], sample_weight=weight)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_order_of_rows_does_not_matter(data, early_stopping):
    X, y = data
    order = np.random.default_rng(0).permutation(120)
    model = small(early_stopping=early_stopping).fit(X, y)
    shuffled = small(early_stopping=early_stopping).fit(X.iloc[order], y[order])
    np.testing.assert_array_equal(shuffled.predict(X), model.predict(X))


def test_early_stopping_watches_rows_it_does_not_train_on(data):
    X, y = data
    model = learning(early_stopping=True, max_iter=200, n_iter_no_change=5).fit(X, y)
    losses = model.history_["validation_loss"]
    assert len(losses) < 200
    assert len(losses) - 1 - losses.idxmin() >= 5
    assert model.score(X, y) > 0.8


# Several targets


def test_task_weight_says_which_target_counts(data):
    X, y = data
    rng = np.random.default_rng(0)
    hard = np.c_[y[:, 0], rng.permutation(y[:, 1])]  # nothing to learn of the second
    scores = []
    for task_weight in ([1000, 1], [1, 1000]):
        model = learning("weighted", task_weight=task_weight, max_iter=15).fit(X, hard)
        scores.append(r2_score(y[:, 0], model.predict(X)[:, 0]))
    assert scores[0] > scores[1] + 0.1


def test_task_weight_by_name_and_of_equals(data):
    X, y = data
    frame = pd.DataFrame(y, columns=["price", "size"])
    by_name = small(task_weight={"size": 1, "price": 3}).fit(X, frame).predict(X)
    by_order = small(task_weight=[0.75, 0.25]).fit(X, y).predict(X)
    np.testing.assert_array_equal(by_name, by_order)
    equal, plain = small(task_weight=[2, 2]).fit(X, y), small().fit(X, y)
    np.testing.assert_array_equal(equal.predict(X), plain.predict(X))
    assert (by_name != plain.predict(X)).any()


@pytest.mark.parametrize(
    ("task_weight", "match"),
    [
        ({"price": 1}, "task_weight.*'size'"),
        ({"price": 1, "size": 1, "age": 1}, "task_weight.*'age'"),
        ([1, 2, 3], r"task_weight.*\['price', 'size'\].*\(3,\)"),
        ([1, 0], "task_weight"),
        ([1, -1], "task_weight"),
        ([1, NAN], "task_weight"),
        ([1, np.inf], "task_weight"),
    ],
)
def test_bad_task_weight(data, task_weight, match):
    X, y = data
    with pytest.raises(ValueError, match=match):
        small(task_weight=task_weight).fit(X, pd.DataFrame(y, columns=["price", "size"]))


def test_values_that_are_not_known_tell_nothing(data):
    X, y = data
    y = y.copy()
    y[40:, 1] = NAN
    model = learning().fit(X, y)
    complete = data[1]
    assert r2_score(complete[40:, 0], model.predict(X[40:])[:, 0]) > 0.85
    assert r2_score(complete[40:, 1], model.predict(X[40:])[:, 1]) > 0.5  # from 40 rows
    np.testing.assert_allclose(model.intercept_[1], y[:40, 1].mean())
    known = r2_score(y[:40, 1], model.predict(X[:40])[:, 1])
    both = (r2_score(y[:, 0], model.predict(X)[:, 0]) + known) / 2
    assert model.score(X, y) == pytest.approx(both)


def test_rows_without_any_known_target_are_left_out(data):
    X, y = data
    y = y.copy()
    y[[3, 50]] = NAN
    with pytest.warns(UserWarning, match=r"2 of 120 .*row 3"):
        model = small().fit(X, y)
    rest = np.delete(np.arange(120), [3, 50])
    expected = small().fit(X.iloc[rest], y[rest])
    np.testing.assert_array_equal(model.predict(X), expected.predict(X))


def test_a_target_that_is_never_known(data):
    X, y = data
    frame = pd.DataFrame(y, columns=["price", "size"]).assign(size=NAN)
    with pytest.raises(ValueError, match="Target 'size'"):
        small().fit(X, frame)
    frame.loc[0, "size"] = 1.0
    with pytest.raises(ValueError, match=r"Target 'size' .*sample_weight"):
        small().fit(X, frame, sample_weight=np.r_[0.0, np.ones(119)])
    X = X.copy()
    X.loc[0] = NAN
    with (
        pytest.warns(UserWarning, match=r"1 of 120 .*row 0"),
        pytest.raises(ValueError, match=r"Target 'size' .*modality"),
    ):
        small().fit(X, frame)


def test_a_target_with_a_single_known_value(data):
    X, y = data
    y = y.copy()
    y[1:, 1] = NAN
    model = small().fit(X, y)
    np.testing.assert_array_equal(model.predict(X)[:, 1], y[0, 1])


def test_a_target_of_which_nothing_is_known_has_no_part_in_the_score(data):
    X, y = data
    model = small().fit(X, y)
    half = np.where([True, False], y, NAN)
    assert model.score(X, half) == pytest.approx(r2_score(y[:, 0], model.predict(X)[:, 0]))


def test_warm_start_needs_as_many_targets(data):
    X, y = data
    model = small(warm_start=True, max_iter=2).fit(X, y)
    first = model.predict(X)
    assert (model.fit(X, y).predict(X) != first).any()
    with pytest.raises(ValueError, match=r"warm_start=True .*\b2\b.*\b1\b"):
        model.fit(X, y[:, 0])


# Odd values of y


@pytest.mark.parametrize("value", [0.0, 0.1, 1e9, -1e-9])
@pytest.mark.parametrize("loss", LOSSES)
def test_constant_y(data, value, loss):
    X, y = data
    model = small(loss=loss).fit(X, np.full(120, value))
    np.testing.assert_array_equal(model.predict(X), value)
    together = small(loss=loss, max_iter=2).fit(X, np.c_[y, np.full(120, value)])
    np.testing.assert_array_equal(together.predict(X)[:, 2], value)
    assert (together.predict(X)[:, 0] != model.predict(X)).all()


@pytest.mark.parametrize("shape", ["one", "several"])
def test_infinite_or_unknown_y(data, shape):
    X, y = data
    y = y.copy() if shape == "several" else y[:, 0].copy()
    y[5] = np.inf
    with pytest.raises(ValueError, match=r"\by\b.*infinity"):
        small().fit(X, y)
    y = data[1][:, 0].copy()
    y[5] = NAN
    with pytest.raises(ValueError, match=r"\by\b.*NaN.*row 5\b"):
        small().fit(X, y)


def test_y_of_three_axes_and_of_another_length(data):
    X, y = data
    with pytest.raises(ValueError, match=r"\b3\b"):
        small().fit(X, np.ones((120, 2, 2)))
    with pytest.raises(ValueError, match=r"\[120, \d+\]"):
        small().fit(X, y[1:])
    with pytest.raises(ValueError, match=r"\by is None"):
        small().fit(X, None)
    with pytest.raises(ValueError, match=r"\b120\b.*\b1\b.*\b120\b.*\b2\b"):
        small(max_iter=1).fit(X, y).score(X, y[:, 0])


def test_a_column_is_one_target(data):
    X, y = data
    flat = small().fit(X, y[:, 0])
    with pytest.warns(DataConversionWarning, match=r"\by\b.*\(n_samples, ?\)"):
        column = small().fit(X, y[:, :1])
    np.testing.assert_array_equal(column.predict(X), flat.predict(X))


def test_integers_and_lists(data):
    X, y = data
    whole = np.round(y[:, 0]).astype(int)
    model = small().fit(X, whole)
    for other in (whole.astype(float), whole.tolist(), pd.Series(whole, index=X.index[::-1])):
        np.testing.assert_array_equal(small().fit(X, other).predict(X), model.predict(X))
    assert model.predict(X).dtype == float


@pytest.mark.parametrize("fusion", ["late", "weighted", "additive", "concat"])
def test_one_row_and_two(fusion):
    X = np.array([[0.0, 1.0], [1.0, 0.0]])
    model = small(fusion, modalities={"a": 1, "b": 1}, max_iter=100).fit(X[:1], [7.0])
    np.testing.assert_array_equal(model.predict(X), 7.0)
    low, high = model.fit(X, [7.0, 9.0]).predict(X)
    assert 6.5 < low < 8 < high < 9.5


def test_outliers_do_not_set_the_scale(data):
    X, y = data
    y = y[:, 0].copy()
    y[:3] = [1e7, -1e6, 1e8]
    for loss in ("absolute_error", "huber"):
        model = learning(loss=loss).fit(X, y)
        assert r2_score(y[3:], model.predict(X)[3:]) > 0.8


# Far from the training rows


@pytest.fixture(scope="module")
def far():
    """Training rows whose columns add up to y, and new rows that are extreme in all of them."""
    rng = np.random.default_rng(1)
    columns = [f"{name}__{i}" for name in ("text", "image", "table") for i in range(5)]
    X = pd.DataFrame(rng.normal(size=(120, 15)), columns=columns)
    y = 50 + X.sum(axis=1).to_numpy()
    new = pd.concat([X[:3], X[:1] * 0 + 1e6, X[:1] * 0 - 1e6, X[3:6]], ignore_index=True)
    return X, np.c_[y, -2 * y], new


@pytest.mark.parametrize("fusion", FUSIONS)
def test_predictions_stay_near_what_y_has_been(far, fusion, tmp_path):
    X, y, new = far
    members = {"n_members": 2} if fusion in ENSEMBLE_FUSIONS else {}
    model = learning(fusion, max_iter=15, **members).fit(X, y)
    predicted = model.predict(new)
    reach = np.ptp(y, axis=0)
    assert (predicted >= y.min(axis=0) - reach - 1e-9).all()
    assert (predicted <= y.max(axis=0) + reach + 1e-9).all()
    alone = np.concatenate([model.predict(new[i : i + 1]) for i in range(len(new))])
    np.testing.assert_allclose(alone, predicted, rtol=1e-12)
    model.save_weights(tmp_path / "weights")
    for copy in (
        pickle.loads(pickle.dumps(model)),
        clone(model).load_weights(tmp_path / "weights"),
    ):
        np.testing.assert_array_equal(copy.predict(new), predicted)
    mean = model.ensemble_predict(new).mean(axis=1)
    np.testing.assert_allclose(mean[[0, 1, 2]], predicted[[0, 1, 2]])  # the others are clipped
    if fusion in EXACT_FUSIONS:
        total = model.contributions(new).sum(axis=1) + model.intercept_
        np.testing.assert_allclose(total, predicted)


def test_a_prediction_is_clipped_and_its_contributions_with_it(far):
    X, y, new = far
    settings = {"modality_model": "linear", "modality_loss_weight": 0, "interaction": None}
    model = FusionRegressor("additive", solver=LBFGS(weight_decay=0), **settings).fit(X, y[:, 0])
    low, high = y[:, 0].min(), y[:, 0].max()
    predicted, parts = model.predict(new), model.contributions(new)
    # a column is clipped to about 7.5, fifteen of them add up to 110, and y has a range of 20
    assert predicted[3:5] == pytest.approx([2 * high - low, 2 * low - high])
    np.testing.assert_allclose(parts.sum(axis=1) + model.intercept_, predicted)
    assert (parts[3] > 0).all()
    assert (parts[4] < 0).all()
    ordinary = [0, 1, 2, 5, 6, 7]
    np.testing.assert_allclose(predicted[ordinary], y[[*range(6)], 0], rtol=1e-3)
    for values in model.modality_predict(new).T:
        assert 2 * low - high - 1e-9 <= values.min() <= values.max() <= 2 * high - low + 1e-9


@pytest.mark.parametrize("n_members", [1, 2])
def test_rows_without_a_finite_output_get_the_mean(far, n_members):
    X, y, _ = far
    model = small("additive", n_members=n_members).fit(X, y[:, 0])
    with torch.no_grad():
        model.network_.head.bias.fill_(torch.inf)
    with pytest.warns(UserWarning, match=r"3 of 3 rows.*finite.*row 0.*mean") as record:
        predicted = model.predict(X[:3])
    assert record[0].filename == __file__
    np.testing.assert_array_equal(predicted, model.intercept_)
    np.testing.assert_array_equal(model.contributions(X[:3]), 0)


def test_products_of_many_modalities_can_be_learned():
    """With unbounded factors the loss grows with each epoch."""
    rng = np.random.default_rng(0)
    columns = [f"{name}__{i}" for name in "abcdef" for i in range(4)]
    X = pd.DataFrame(rng.standard_t(3, size=(300, 24)), columns=columns)
    y = X.iloc[:, ::4].sum(axis=1)
    model = small("bilinear", hidden_layer_sizes=(32,), dropout=0.3, max_iter=40)
    model.set_params(solver__learning_rate_init=0.02).fit(X[:200], y[:200])
    assert model.score(X[:200], y[:200]) > 0.8
    assert model.score(X[200:], y[200:]) > 0.5


# The scale


def test_scale_of_each_loss():
    y = np.array([[1.0], [2.0], [3.0], [4.0], [NAN], [100.0]])
    ones = np.ones(6)
    known = y[[0, 1, 2, 3, 5]]
    mean = measure_scale(y, ones, ["y"], robust=False)
    assert mean.centre == pytest.approx(known.mean())
    assert mean.spread == pytest.approx(known.std())
    median = measure_scale(y, ones, ["y"], robust=True)
    assert median.centre == pytest.approx(3)
    assert median.spread == pytest.approx(1.4826)  # deviations 2, 1, 0, 1, 97
    # more than half of the values are equal: the mean deviation, 97 / 5
    equal = measure_scale(np.array([[3.0]] * 4 + [[100.0]]), np.ones(5), ["y"], robust=True)
    assert equal.spread == pytest.approx(97 / 5)


def test_weighted_median_is_that_of_copies():
    rng = np.random.default_rng(0)
    for _ in range(50):
        values, weight = rng.normal(size=6), rng.integers(1, 5, 6)
        expected = np.median(np.repeat(values, weight))
        assert weighted_median(values, weight / weight.sum()) == pytest.approx(expected)


def test_parameters_are_those_of_the_classifier():
    classifier, regressor = FusionClassifier().get_params(), FusionRegressor().get_params()
    assert regressor.pop("loss") == "squared_error"
    assert classifier.pop("class_weight") is None
    assert regressor == classifier
    assert len(regressor) <= 17
