"""The formulas of fusion, recomputed in numpy from the parameters of a trained network."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from nested_settings import nest
from scipy.special import log_softmax
from small_networks import make_network, make_training

from skmm import FusionClassifier
from skmm.datasets import make_multimodal_classification
from skmm.fusion import Late

WEIGHTED = ["late", "weighted", "concat", "gated"]
UNWEIGHTED = ["additive", "attention", "bilinear"]
FUSIONS = WEIGHTED + UNWEIGHTED
EXACT = ["late", "weighted", "additive", "gated"]
NAMES = ["c", "a", "b"]  # not in alphabetical order, and this is not its own inverse


@pytest.fixture(scope="module")
def data():
    X, y = make_multimodal_classification(
        120,
        n_features=(6, 5, 4),
        n_classes=3,
        informativeness=(0.9, 0.7, 0.5),
        missing_rate=0.2,
        modality_names=NAMES,
        random_state=0,
    )
    has_some = X.notna().any(axis=1).to_numpy()
    return X[has_some], y[has_some]


def fit(data, fusion, **parameters):
    return nest(
        FusionClassifier,
        fusion=fusion,
        hidden_layer_sizes=(8, 7),
        **{"max_iter": 5, "batch_size": 40, "random_state": 0, **parameters},
    ).fit(*data)


def weights_of(model):
    """Weights by name, in the order of ``modalities_``, if there are any."""
    weights = getattr(model, "modality_weights_", {})
    assert list(weights) == list(model.modalities_) or model.fusion in UNWEIGHTED
    return weights


def relu(x):
    return np.maximum(x, 0)


def scale(X, X_train, columns):
    """Columns of a modality as the network reads them, by the training rows that have it."""
    block = X_train[columns].to_numpy(dtype=float)
    mean, spread = np.nanmean(block, axis=0), np.nanstd(block, axis=0)
    ratio = np.sqrt(spread / np.median(spread))
    z = (X[columns].to_numpy(dtype=float) - mean) / (spread / ratio.clip(0.5, 2))
    return np.nan_to_num(z)


def recompute(model, X, X_train):
    """Decision = head(sum_i a_i f_i(x_i)), and the parts a_i head(f_i), with numpy alone."""
    fusion = model.fusion if isinstance(model.fusion, str) else "late"
    state = {
        name: value.numpy().astype(float) for name, value in model.network_.state_dict().items()
    }

    def linear(x, name):
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def head(fused):
        if fusion == "late":
            return np.exp(state["head.log_scale"]) * fused + state["head.bias"]
        if fusion == "additive":
            return len(names) * fused + state["head.bias"]
        if fusion == "concat":
            return linear(relu(linear(relu(fused), "head.2")), "head.5")
        return linear(fused, "head.1")

    names = sorted(model.modalities_)
    inputs = {name: scale(X, X_train, model.modalities_[name]) for name in names}
    blocks = [X[model.modalities_[name]].to_numpy(dtype=float) for name in names]
    present = np.stack([~np.isnan(block).all(1) for block in blocks], axis=1)
    alpha = np.ones(len(names))
    if isinstance(model.modality_weights, dict):
        alpha = np.array([model.modality_weights[name] for name in names])
    elif fusion == "gated":
        alpha = state["modality_weights"]
    elif not isinstance(model.fusion, str):  # Late(per_class=True)
        alpha = model.modality_weights_[names].to_numpy().T  # (m, k)
    elif fusion not in UNWEIGHTED:
        alpha = np.array([model.modality_weights_[name] for name in names])
    values = []
    for i, name in enumerate(names):
        z = linear(inputs[name], f"encoders.{i}.1")
        if fusion != "concat":
            z = relu(linear(relu(z), f"encoders.{i}.4"))
        if fusion in ("late", "additive"):
            z = linear(z, f"modality_heads.{i}.1")
        if fusion != "additive":
            z = (z - state["normalizer.mean"][i]) / state["normalizer.rms"][i]
        values.append(z)
    confidence = np.exp(-(~present @ state["missing_penalty"]))
    f = np.stack(values, axis=1) * confidence[:, None, None]  # (n, m, q)
    scores = present * 1.0
    if fusion == "gated":
        seen = (f * present[:, :, None]).reshape(len(X), -1)
        scores = present * np.exp(linear(seen, "gate.score") / f.shape[2] ** 0.5)
    a = np.reshape(alpha, (len(names), -1)) * scores[:, :, None]  # (n, m, 1) or (n, m, k)
    a = a / a.sum(1, keepdims=True)
    if fusion in ("attention", "bilinear"):  # against numpy in _torch/test_fusing.py
        with torch.inference_mode():
            rule = model.network_.fuse.double()
            fused = rule(torch.from_numpy(a[:, :, 0]), torch.from_numpy(f)).numpy()
            rule.float()
    else:
        fused = (a * f).sum(1)
    return head(fused), a * head(f), fused


@pytest.mark.parametrize(
    ("fusion", "weights"),
    [
        *itertools.product(WEIGHTED, [None, "uniform", {"a": 0.2, "b": 0.5, "c": 0.3}]),
        *((fusion, None) for fusion in UNWEIGHTED),
        (Late(per_class=True), None),
    ],
)
def test_decision_is_the_head_of_the_weighted_sum(data, fusion, weights):
    X, _ = data
    model = fit(data, fusion, modality_weights=weights)
    logits, parts, fused = recompute(model, X, X)
    np.testing.assert_allclose(model.predict_log_proba(X), log_softmax(logits, axis=1), atol=1e-5)
    np.testing.assert_allclose(model.transform(X), fused, atol=1e-5)
    if fusion in EXACT or isinstance(fusion, Late):
        np.testing.assert_allclose(parts.sum(1), logits, atol=1e-9)
        order = [sorted(NAMES).index(name) for name in model.modalities_]
        np.testing.assert_allclose(model.contributions(X), parts[:, order], atol=1e-5)


@pytest.mark.parametrize("fusion", EXACT)
def test_contributions_add_up_to_the_logits(data, fusion):
    X, _ = data
    model = fit(data, fusion)
    total = model.contributions(X).sum(axis=1)
    np.testing.assert_allclose(log_softmax(total, axis=1), model.predict_log_proba(X), atol=1e-5)


@pytest.mark.parametrize("fusion", sorted({*FUSIONS} - {*EXACT}))
def test_networks_that_mix_modalities_have_no_contributions(data, fusion):
    model = FusionClassifier(fusion)
    assert not hasattr(model, "contributions")
    with pytest.raises(AttributeError) as caught:
        model.contributions(data[0])
    assert "contributions" in str(caught.value.__cause__)
    assert f'fusion="{fusion}"' in str(caught.value.__cause__)


@pytest.mark.parametrize("fusion", UNWEIGHTED)
def test_fusions_without_weights_have_none_for_rows(data, fusion):
    model = FusionClassifier(fusion)
    assert not hasattr(model, "row_weights")
    with pytest.raises(AttributeError) as caught:
        model.row_weights(data[0])
    assert "row_weights" in str(caught.value.__cause__)
    assert f'fusion="{fusion}"' in str(caught.value.__cause__)


@pytest.mark.parametrize("fusion", ["attention", "bilinear"])
def test_fusions_whose_weights_would_mean_nothing_have_none(data, fusion):
    model = fit(data, "late")
    assert hasattr(model, "modality_weights_")
    model.set_params(fusion=fusion).fit(*data)
    assert not hasattr(model, "modality_weights_")


@pytest.mark.parametrize("fusion", ["late", "weighted", "concat"])
def test_row_weights_are_alpha_over_the_modalities_of_the_row(data, fusion):
    X, _ = data
    model = fit(data, fusion, modality_weights={"a": 0.2, "b": 0.5, "c": 0.3})
    alpha = np.array([0.3, 0.2, 0.5]) * np.stack(
        [X[model.modalities_[name]].notna().all(axis=1) for name in NAMES], axis=1
    )
    np.testing.assert_allclose(model.row_weights(X), alpha / alpha.sum(1, keepdims=True))


@pytest.mark.filterwarnings("ignore:.* training rows have no modality that counts")
@pytest.mark.parametrize("fusion", WEIGHTED)
def test_weight_of_zero_makes_predictions_independent(data, fusion):
    X, _ = data
    model = fit(data, fusion, modality_weights={"a": 1, "b": 2, "c": 0})
    other = X.copy()
    columns = model.modalities_["c"]
    other[columns] = np.where(other[columns].isna(), np.nan, 99.0)
    with_others = X[[*model.modalities_["a"], *model.modalities_["b"]]].notna().any(axis=1)
    expected = model.predict_proba(X[with_others])
    np.testing.assert_array_equal(model.predict_proba(other[with_others]), expected)
    other[columns] = np.nan
    np.testing.assert_array_equal(model.predict_proba(other[with_others]), expected)
    changed = X.assign(**{model.modalities_["b"][0]: X[model.modalities_["b"][0]] + 1})
    assert (model.predict_proba(changed[with_others]) != expected).any()


@pytest.mark.parametrize("fusion", FUSIONS)
def test_order_of_modalities_changes_only_the_order(data, fusion):
    X, y = data
    model = fit(data, fusion)
    names = ["b", "c", "a"]
    permuted = X[[column for name in names for column in model.modalities_[name]]]
    other = fit((permuted, y), fusion)
    assert list(other.modalities_) == names
    assert weights_of(other) == weights_of(model)
    np.testing.assert_array_equal(other.predict_proba(permuted), model.predict_proba(X))
    order = [NAMES.index(name) for name in names]
    np.testing.assert_array_equal(other.modality_proba(permuted), model.modality_proba(X)[:, order])
    np.testing.assert_array_equal(other.transform(permuted), model.transform(X))
    if fusion in EXACT:
        np.testing.assert_array_equal(
            other.contributions(permuted), model.contributions(X)[:, order]
        )


def test_weights_of_each_class_go_with_the_names_of_modalities(data):
    X, y = data
    y = np.array(["x", "y", "z"])[y]
    model = fit((X, y), Late(per_class=True))
    weights = model.modality_weights_
    assert weights.index.tolist() == ["x", "y", "z"]
    assert weights.columns.tolist() == NAMES
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    names = ["b", "c", "a"]
    permuted = X[[column for name in names for column in model.modalities_[name]]]
    other = fit((permuted, y), Late(per_class=True))
    pd.testing.assert_frame_equal(other.modality_weights_, weights[names])
    np.testing.assert_array_equal(other.predict_proba(permuted), model.predict_proba(X))
    # of the modalities that a row has, for each class
    each = model.row_weights(X)
    present = np.stack([X[model.modalities_[name]].notna().all(axis=1) for name in NAMES], axis=1)
    expected = present[:, :, None] * weights.to_numpy().T
    np.testing.assert_allclose(each, expected / expected.sum(1, keepdims=True), atol=1e-6)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_order_of_a_dict_of_modalities_changes_only_the_order(data, fusion):
    X, _ = data
    model = fit(data, fusion)
    columns = {name: model.modalities_[name] for name in ("b", "a", "c")}
    other = fit(data, fusion, modalities=columns)
    assert list(other.modalities_) == ["b", "a", "c"]
    assert weights_of(other) == weights_of(model)
    np.testing.assert_array_equal(other.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(other.modality_proba(X), model.modality_proba(X)[:, [2, 1, 0]])
    assert other.history_.equals(model.history_)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_parameters_go_with_the_names_of_modalities(data, fusion):
    X, y = data
    names = ["b", "c", "a"]
    permuted = X[[column for name in names for column in X if column.startswith(name)]]
    gamma = np.array([[0, 0.1, 0.2], [0.3, 0, 0.4], [0.5, 0.6, 0]])  # in the order c, a, b
    order = [NAMES.index(name) for name in names]
    given = {"modality_loss_weight": {"a": 1.0, "b": 0.0, "c": 0.5}}
    if fusion in WEIGHTED:
        given["modality_weights"] = {"a": 0.2, "b": 0.5, "c": 0.3}
    given["alignment"] = "contrastive"
    model = fit(data, fusion, alignment_weight=gamma, **given)
    other = fit((permuted, y), fusion, alignment_weight=gamma[np.ix_(order, order)], **given)
    np.testing.assert_array_equal(other.predict_proba(permuted), model.predict_proba(X))
    assert other.history_.equals(model.history_)
    for i, j in [("b", "a"), ("a", "b"), ("c", "a")]:
        pair = {(i, j): 0.7, (j, i): 0.0}
        one = fit(data, fusion, alignment="contrastive", alignment_weight=pair)
        assert list(one.history_.filter(like="alignment")) == [f"alignment__{i}__{j}"]


@pytest.mark.parametrize("fusion", FUSIONS)
def test_modality_proba_is_the_prediction_from_that_modality_alone(data, fusion):
    X, _ = data
    model = fit(data, fusion)
    proba = model.modality_proba(X)
    assert proba.shape == (len(X), 3, 3)
    for i, name in enumerate(model.modalities_):
        alone = X.copy()
        alone[[column for column in X if column not in model.modalities_[name]]] = np.nan
        has_it = alone.notna().any(axis=1).to_numpy()
        np.testing.assert_allclose(proba[has_it, i], model.predict_proba(alone[has_it]), atol=1e-6)
        assert np.isnan(proba[~has_it, i]).all()


def test_additive_weights_are_shares_of_the_spread_of_scores(data):
    X, _ = data
    model = fit(data, "additive")
    names = sorted(NAMES)
    spread = []
    for i, name in enumerate(names):
        alone = X[model.modalities_[name]].dropna(how="all").reindex(columns=X.columns)
        f = recompute(model, alone, X)[2]
        np.testing.assert_allclose(model.network_.normalizer.mean[i], f.mean(0), atol=1e-5)
        spread.append((f - f.mean(0)).std())
    expected = dict(zip(names, np.array(spread) / sum(spread), strict=True))
    assert model.modality_weights_ == pytest.approx(expected, rel=1e-4)


def test_additive_fusion_needs_no_cross_fitting(data):
    X, _ = data
    learned, uniform = fit(data, "additive"), fit(data, "additive", modality_weights="uniform")
    np.testing.assert_array_equal(learned.predict_proba(X), uniform.predict_proba(X))


def test_linear_modalities_are_aligned_by_their_scores():
    network = make_network("additive", n_outputs=[4], hidden_layer_sizes=(), modality_heads=False)
    x = torch.randn(5, 5)
    present = torch.tensor([[True, True]] * 4 + [[True, False]])
    output = network(x, present, torch.ones(5))
    f = [x[:, :3] @ network.modality_heads[0][0].weight.T + network.modality_heads[0][0].bias]
    f.append(x[:, 3:] @ network.modality_heads[1][0].weight.T + network.modality_heads[1][0].bias)
    torch.testing.assert_close(output.representations, tuple(f))
    torch.testing.assert_close(output.logits[:4], (f[0] + f[1])[:4])  # the bias is 0 so far
    torch.testing.assert_close(output.logits[4], 2 * f[0][4])


def test_network_knows_no_estimator():
    network = make_network("late", n_outputs=[4], hidden_layer_sizes=()).eval()
    output = network(torch.randn(5, 5), torch.ones(5, 2, dtype=torch.bool), torch.ones(5))
    assert output.logits.shape == (5, 4)
    assert output.modality_values.shape == (5, 2, 4)


def test_rows_of_frames_and_arrays_agree(data):
    X, y = data
    frame = fit(data, "late")
    widths = {name: len(columns) for name, columns in frame.modalities_.items()}
    array = fit((X.to_numpy(), y), "late", modalities=widths)
    np.testing.assert_array_equal(array.predict_proba(X.to_numpy()), frame.predict_proba(X))
    assert isinstance(frame.history_, pd.DataFrame)


# Statistics that evaluation uses


def test_store_statistics_weighs_rows_and_skips_missing_modalities():
    network, rows, *_ = make_training("weighted")
    rows = rows.take(torch.arange(4))
    rows.present[3, 1] = False
    rows = rows._replace(weight=torch.tensor([0.5, 1.5, 1.0, 1.0]))
    with torch.no_grad():
        values = network.eval().values(rows.values)[2].double().numpy()  # (n, m, q)
    network.store_statistics(rows, torch.arange(4))
    for i, weight in enumerate([np.array([0.5, 1.5, 1, 1]), np.array([0.5, 1.5, 1, 0])]):
        mean = np.average(values[:, i], axis=0, weights=weight)
        rms = np.sqrt(np.average((values[:, i] - mean) ** 2, axis=0, weights=weight).mean())
        np.testing.assert_allclose(network.normalizer.mean[i], mean, atol=1e-6)
        np.testing.assert_allclose(network.normalizer.rms[i], rms, rtol=1e-4)


def test_store_statistics_of_a_modality_without_spread():
    network, rows, *_ = make_training("weighted")
    rows.present[:, 1] = False
    network.store_statistics(rows, torch.arange(20))
    assert network.normalizer.rms[1] == 1
    np.testing.assert_array_equal(network.normalizer.mean[1], 0)
    rows.present[7, 1] = True
    network.store_statistics(rows, torch.arange(20))
    assert network.normalizer.rms[1] == 1
    with torch.no_grad():
        values, _ = network.evaluate(rows.values, rows.present)
    np.testing.assert_allclose(values[7, 1], 0, atol=1e-5)
    assert values[:, 1].abs().max() < 10
