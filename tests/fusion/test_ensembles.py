"""Several networks trained at once and averaged."""

import numpy as np
import pytest
import torch
from nested_settings import ENSEMBLE_FUSIONS, EXACT_FUSIONS, FUSIONS, WEIGHTED_FUSIONS, nest
from scipy.special import log_softmax

from skmm import MLP, FusionClassifier, FusionRegressor
from skmm.datasets import make_multimodal_classification


def find_member_layers(network):
    """Find the layers that hold a matrix for each member."""
    return [
        m
        for m in network.modules()
        if getattr(m, "weight", None) is not None and m.weight.ndim == 3
    ]


@pytest.mark.parametrize("fusion", ENSEMBLE_FUSIONS)
def test_each_member_is_a_network_of_its_own(data, small, fusion):
    ensemble = small(fusion=fusion, n_members=3, max_iter=1).fit(*data).network_
    torch.manual_seed(0)
    x, present, weight = torch.randn(6, 9), torch.ones(6, 2, dtype=torch.bool), torch.ones(6)
    copies = [torch.cat([values] * 3) for values in (x, present, weight)]
    first, second, third = ensemble.members(ensemble(*copies).logits)
    alone = ensemble.first_member()
    assert not find_member_layers(alone)
    torch.testing.assert_close(alone(x, present, weight).logits, first)
    assert not torch.allclose(first, second)
    for layer in find_member_layers(ensemble):  # move each member up by one
        with torch.no_grad():
            layer.weight.copy_(layer.weight.roll(-1, 0))
            layer.bias.copy_(layer.bias.roll(-1, 0))
    torch.testing.assert_close(ensemble.first_member()(x, present, weight).logits, second)
    assert not torch.allclose(second, third)


def test_what_modalities_share_the_first_member_shares_too(data, small):
    model = small(n_members=3, sharing="representation", max_iter=1).fit(*data)
    alone = model.network_.first_member()
    assert alone.modality_heads[0] is alone.modality_heads[1]


def test_first_weights_are_drawn_as_those_of_a_single_network(data, small):
    untrained = {"max_iter": 1, "learning_rate_init": 1e-12, "weight_decay": 0.0}
    ensemble = small(n_members=200, hidden_layer_sizes=(20, 10), **untrained).fit(*data).network_
    layer = next(m for m in find_member_layers(ensemble) if m.weight.shape == (200, 20, 10))
    weight, reference = layer.weight.detach(), torch.nn.Linear(20, 10).weight.detach()
    assert weight.abs().max() <= 20**-0.5
    assert float(weight.std()) == pytest.approx(float(reference.std()), rel=0.15)


@pytest.mark.parametrize("fusion", ENSEMBLE_FUSIONS)
def test_prediction_is_the_mean_of_the_members(data, small, fusion):
    X, y = data
    model = small(fusion=fusion, n_members=3, alignment="contrastive", alignment_weight=0.1).fit(
        X, y
    )
    X = X.copy()
    X.iloc[:5, :5] = np.nan
    proba = model.ensemble_proba(X)
    assert proba.shape == (150, 3, 3)
    np.testing.assert_allclose(proba.sum(2), 1)
    assert np.abs(proba[:, 0] - proba[:, 1]).max() > 1e-3
    mean = log_softmax(np.log(proba).mean(1), axis=1)
    np.testing.assert_allclose(model.predict_log_proba(X), mean, atol=1e-6)
    if fusion in EXACT_FUSIONS:
        total = model.contributions(X).sum(1)
        np.testing.assert_allclose(log_softmax(total, axis=1), mean, atol=1e-5)
    assert model.transform(X).shape[0] == 150
    if fusion in WEIGHTED_FUSIONS:
        np.testing.assert_allclose(model.row_weights(X).sum(1), 1, atol=1e-6)


def test_one_member_is_its_own_ensemble(data, small):
    X, y = data
    model = small().fit(X, y)
    np.testing.assert_array_equal(model.ensemble_proba(X)[:, 0], model.predict_proba(X))


def test_members_are_aligned_apart(data, small):
    """The rows of a batch are told apart, not those of all members: that is log(4) harder."""
    X, y = data
    settings = {"alignment": "contrastive", "modality_weights": "uniform"}
    settings |= {"batch_size": 150, "max_iter": 1}
    single = small(**settings).fit(X, y).history_
    several = small(**settings, n_members=4).fit(X, y).history_
    for column in single.filter(like="alignment"):
        assert several[column][0] == pytest.approx(single[column][0], abs=0.7)


def test_members_disagree_more_where_rows_are_unlike_training():
    X, y = make_multimodal_classification(
        400, n_classes=2, informativeness=(0.8, 0.8), random_state=0
    )
    model = FusionClassifier(modality_model=MLP((32,), n_members=4), random_state=0)
    model.fit(X[:300], y[:300])
    known = model.ensemble_proba(X[:300])[:, :, 0].std(1).mean()
    noise = 5 * np.random.default_rng(0).normal(size=X[300:].shape)
    assert model.ensemble_proba(X[300:] + noise)[:, :, 0].std(1).mean() > known


def test_lbfgs_trains_members_too(data, small):
    X, y = data
    model = small(n_members=2, solver="lbfgs", dropout=0, max_iter=20, tol=1)
    assert model.fit(X, y).score(X, y) > 0.5


def test_members_of_a_regressor():
    X = np.random.default_rng(0).normal(size=(80, 4))
    y = np.stack([X[:, 0], X[:, 2] - X[:, 1]], axis=1)
    for target, shape in [(y[:, 0], (80, 3)), (y, (80, 3, 2))]:
        model = nest(
            FusionRegressor, n_members=3, modalities={"a": 2, "b": 2}, max_iter=3, random_state=0
        ).fit(X, target)
        each = model.ensemble_predict(X)
        assert each.shape == shape
        np.testing.assert_allclose(each.mean(1), model.predict(X), atol=1e-6)
        assert each.std(1).max() > 1e-3


@pytest.mark.parametrize("fusion", sorted({*FUSIONS} - {*ENSEMBLE_FUSIONS}))
def test_rules_without_ensembles(data, small, fusion):
    with pytest.raises(ValueError, match=f'fusion="{fusion}".*n_members=2'):
        small(fusion=fusion, n_members=2).fit(*data)
