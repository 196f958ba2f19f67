"""The formulas of fusion, recomputed in numpy from the parameters of a trained network."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import log_softmax

from skmm import FusionClassifier
from skmm.datasets import make_multimodal_classification
from skmm.fusion._network import Dropout, FusionNetwork, ModalityNormalizer

WEIGHTED = ["late", "weighted", "concat", "gated"]
UNWEIGHTED = ["additive", "attention", "bilinear"]
FUSIONS = WEIGHTED + UNWEIGHTED
EXACT = ["late", "weighted", "additive", "gated"]
NAMES = ["b", "a", "c"]  # not in alphabetical order


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
    there = X.notna().any(axis=1).to_numpy()
    return X[there], y[there]


def fit(data, fusion, **parameters):
    return FusionClassifier(
        fusion,
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


def recompute(model, X):
    """Decision = head(sum_i a_i f_i(x_i)), and the parts a_i head(f_i), with numpy alone."""
    state = {
        name: value.numpy().astype(float) for name, value in model.network_.state_dict().items()
    }

    def linear(x, name):
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def head(fused):
        if model.fusion == "late":
            return np.exp(state["head.log_scale"]) * fused + state["head.bias"]
        if model.fusion == "additive":
            return len(names) * fused + state["head.bias"]
        if model.fusion == "concat":
            return linear(relu(linear(relu(fused), "head.2")), "head.5")
        return linear(fused, "head.1")

    names = sorted(model.modalities_)
    blocks = [X[model.modalities_[name]].to_numpy(dtype=float) for name in names]
    present = np.stack([~np.isnan(block).all(1) for block in blocks], axis=1)
    alpha = np.ones(len(names))
    if isinstance(model.modality_weights, dict):
        alpha = np.array([model.modality_weights[name] for name in names])
    elif model.fusion == "gated":
        alpha = state["modality_weights"]
    elif model.modality_weights == "per_class":
        alpha = model.modality_weights_[names].to_numpy().T  # (m, k)
    elif model.fusion not in UNWEIGHTED:
        alpha = np.array([model.modality_weights_[name] for name in names])
    values = []
    for i, (name, block) in enumerate(zip(names, blocks, strict=True)):
        columns = [list(X.columns).index(column) for column in model.modalities_[name]]
        z = (block - model._scaler.mean_[columns]) / model._scaler.scale_[columns]
        z = linear(np.nan_to_num(z), f"encoders.{i}.1")
        if model.fusion != "concat":
            z = relu(linear(relu(z), f"encoders.{i}.4"))
        if model.fusion in ("late", "additive"):
            z = linear(z, f"modality_heads.{i}")
        if model.fusion != "additive":
            z = (z - state["normalizer.mean"][i]) / state["normalizer.rms"][i]
        values.append(z)
    confidence = np.exp(-(~present @ state["absence_costs"]))
    f = np.stack(values, axis=1) * confidence[:, None, None]  # (n, m, q)
    odds = present * 1.0
    if model.fusion == "gated":
        seen = (f * present[:, :, None]).reshape(len(X), -1)
        odds = present * np.exp(linear(seen, "gate.score") / f.shape[2] ** 0.5)
    a = np.reshape(alpha, (len(names), -1)) * odds[:, :, None]  # (n, m, 1) or (n, m, k)
    a = a / a.sum(1, keepdims=True)
    if model.fusion in ("attention", "bilinear"):  # against numpy in test_rules.py
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
        ("late", "per_class"),
    ],
)
def test_decision_is_the_head_of_the_weighted_sum(data, fusion, weights):
    X, _ = data
    model = fit(data, fusion, modality_weights=weights)
    logits, parts, fused = recompute(model, X)
    np.testing.assert_allclose(model.predict_log_proba(X), log_softmax(logits, axis=1), atol=1e-5)
    np.testing.assert_allclose(model.transform(X), fused, atol=1e-5)
    if fusion in EXACT:
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
    assert "needs fusion to be one of" in str(caught.value.__cause__)
    assert f'fusion="{fusion}"' in str(caught.value.__cause__)


@pytest.mark.parametrize("fusion", UNWEIGHTED)
def test_fusions_without_weights_have_none_for_rows(data, fusion):
    model = FusionClassifier(fusion)
    assert not hasattr(model, "row_weights")
    with pytest.raises(AttributeError) as caught:
        model.row_weights(data[0])
    assert "needs fusion to be one of" in str(caught.value.__cause__)
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
    alpha = np.array([0.5, 0.2, 0.3]) * np.stack(
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
    names = ["c", "b", "a"]
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
    model = fit((X, y), "late", modality_weights="per_class")
    weights = model.modality_weights_
    assert weights.index.tolist() == ["x", "y", "z"]
    assert weights.columns.tolist() == NAMES
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    names = ["c", "b", "a"]
    permuted = X[[column for name in names for column in model.modalities_[name]]]
    other = fit((permuted, y), "late", modality_weights="per_class")
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
    columns = {name: model.modalities_[name] for name in ("a", "c", "b")}
    other = fit(data, fusion, modalities=columns)
    assert list(other.modalities_) == ["a", "c", "b"]
    assert weights_of(other) == weights_of(model)
    np.testing.assert_array_equal(other.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(other.modality_proba(X), model.modality_proba(X)[:, [1, 2, 0]])
    assert other.history_.equals(model.history_)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_parameters_go_with_the_names_of_modalities(data, fusion):
    X, y = data
    names = ["c", "b", "a"]
    permuted = X[[column for name in names for column in X if column.startswith(name)]]
    gamma = np.array([[0, 0.1, 0.2], [0.3, 0, 0.4], [0.5, 0.6, 0]])  # in the order b, a, c
    order = [NAMES.index(name) for name in names]
    given = {"modality_loss_weight": {"a": 1.0, "b": 0.0, "c": 0.5}}
    if fusion in WEIGHTED:
        given["modality_weights"] = {"a": 0.2, "b": 0.5, "c": 0.3}
    model = fit(data, fusion, alignment_weight=gamma, **given)
    other = fit((permuted, y), fusion, alignment_weight=gamma[np.ix_(order, order)], **given)
    np.testing.assert_array_equal(other.predict_proba(permuted), model.predict_proba(X))
    assert other.history_.equals(model.history_)
    for i, j in [("b", "a"), ("a", "b"), ("c", "a")]:
        one = fit(data, fusion, alignment_weight={(i, j): 0.7, (j, i): 0.0})
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
        there = alone.notna().any(axis=1).to_numpy()
        np.testing.assert_allclose(proba[there, i], model.predict_proba(alone[there]), atol=1e-6)
        assert np.isnan(proba[~there, i]).all()


def test_additive_weights_are_shares_of_the_spread_of_scores(data):
    X, _ = data
    model = fit(data, "additive")
    names = sorted(NAMES)
    spread = []
    for i, name in enumerate(names):
        alone = X[model.modalities_[name]].dropna(how="all").reindex(columns=X.columns)
        f = recompute(model, alone)[2]
        np.testing.assert_allclose(model.network_.normalizer.mean[i], f.mean(0), atol=1e-5)
        spread.append((f - f.mean(0)).std())
    expected = dict(zip(names, np.array(spread) / sum(spread), strict=True))
    assert model.modality_weights_ == pytest.approx(expected, rel=1e-4)


def test_additive_fusion_needs_no_cross_fitting(data):
    X, _ = data
    learned, uniform = fit(data, "additive"), fit(data, "additive", modality_weights="uniform")
    np.testing.assert_array_equal(learned.predict_proba(X), uniform.predict_proba(X))


def test_linear_modalities_are_aligned_by_their_scores():
    network = FusionNetwork(
        [3, 2],
        [4],
        torch.tensor([0.5, 0.5]),
        fusion="additive",
        hidden_layer_sizes=(),
        activation="relu",
        dropout=0.5,
        modality_heads=False,
    )
    x = torch.randn(5, 5)
    present = torch.tensor([[True, True]] * 4 + [[True, False]])
    output = network(x, present, torch.ones(5))
    f = [x[:, :3] @ network.modality_heads[0].weight.T + network.modality_heads[0].bias]
    f.append(x[:, 3:] @ network.modality_heads[1].weight.T + network.modality_heads[1].bias)
    torch.testing.assert_close(output.representations, tuple(f))
    torch.testing.assert_close(output.logits[:4], (f[0] + f[1])[:4])  # the bias is 0 so far
    torch.testing.assert_close(output.logits[4], 2 * f[0][4])


def test_normalizer_uses_the_rows_that_are_present():
    normalizer = ModalityNormalizer(2, 1).train()
    values = torch.tensor([[[1.0], [5.0]], [[3.0], [7.0]], [[100.0], [9.0]]])  # (n, m, q)
    weights = torch.tensor([[1.0, 1.0], [1.0, 1.0], [0.0, 2.0]])
    normalised = normalizer(values, weights)
    # Two rows more, of mean 0 and variance 1, as stored at first.
    # modality 0: mean (1 + 3 + 2 * 0) / 4 = 1, variance (0 + 4 + 2 * (1 + 1)) / 4 = 2
    assert normalised[:2, 0, 0].tolist() == pytest.approx([0, 2 / 2**0.5], abs=1e-5)
    # modality 1, its rows' weights times 3/4: mean (.75 * 30 + 2 * 0) / 5 = 4.5,
    # variance (.75 * (.25 + 6.25 + 2 * 20.25) + 2 * (1 + 20.25)) / 5 = 15.55
    assert normalised[:, 1, 0].tolist() == pytest.approx(
        [0.5 / 15.55**0.5, 2.5 / 15.55**0.5, 4.5 / 15.55**0.5], abs=1e-5
    )
    assert normalizer.mean.flatten().tolist() == pytest.approx([0.1, 0.45])
    assert normalizer.rms[0].item() == pytest.approx(1 + 0.1 * (2**0.5 - 1))


def test_normalizer_lets_the_only_row_of_a_modality_speak():
    normalizer = ModalityNormalizer(1, 2).train()
    normalizer.store(torch.tensor([[4.0, 4.0]]), torch.tensor([4.0]))
    values = torch.tensor([[[6.0, 7.0]], [[0.0, 0.0]]])
    out = normalizer(values, torch.tensor([[1.0], [0.0]]))[0, 0]
    # mean (6 + 2 * 4) / 3, (7 + 2 * 4) / 3; variance of the three, averaged over both values
    mean = torch.tensor([14 / 3, 5.0])
    variance = (((values[0, 0] - mean) ** 2).mean() + 2 * (4 + ((4 - mean) ** 2).mean())) / 3
    torch.testing.assert_close(out, (values[0, 0] - mean) / variance.sqrt())
    nothing = normalizer(values, torch.zeros(2, 1))
    assert torch.isfinite(nothing).all()


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.5])
def test_dropout_keeps_the_mean_and_drops_its_share(rate):
    torch.manual_seed(0)
    values = torch.ones(1000, 333)
    dropped = Dropout(rate).train()(values)
    assert (dropped == 0).float().mean().item() == pytest.approx(rate, abs=0.005)
    assert dropped.mean().item() == pytest.approx(1, abs=0.01)
    torch.testing.assert_close(Dropout(rate).eval()(values), values)


def test_network_knows_no_estimator():
    network = FusionNetwork(
        [3, 2],
        [4],
        torch.tensor([0.5, 0.5]),
        fusion="late",
        hidden_layer_sizes=(),
        activation="relu",
        dropout=0.5,
        modality_heads=True,
    ).eval()
    output = network(torch.randn(5, 5), torch.ones(5, 2, dtype=torch.bool), torch.ones(5))
    assert output.logits.shape == (5, 4)
    assert output.parts.shape == (5, 2, 4)


def test_rows_of_frames_and_arrays_agree(data):
    X, y = data
    frame = fit(data, "late")
    widths = {name: len(columns) for name, columns in frame.modalities_.items()}
    array = FusionClassifier(
        modalities=widths, hidden_layer_sizes=(8, 7), max_iter=5, batch_size=40, random_state=0
    ).fit(X.to_numpy(), y)
    np.testing.assert_array_equal(array.predict_proba(X.to_numpy()), frame.predict_proba(X))
    assert isinstance(frame.history_, pd.DataFrame)
