"""Parameters that contradict each other: the error names both. And when alpha is learned."""

import numpy as np
import pytest
from nested_settings import nest

from skmm import FusionClassifier, FusionRegressor
from skmm.fusion import LBFGS, MLP, AdamW, Late

WEIGHTS = {"text": 0.5, "image": 0.5}

CONTRADICTIONS = [
    {"fusion": "weighted", "hidden_layer_sizes": ()},
    {"fusion": "concat", "hidden_layer_sizes": ()},
    {"fusion": "gated", "hidden_layer_sizes": ()},
    {"fusion": "additive", "modality_weights": WEIGHTS},
    {"fusion": "attention", "modality_weights": WEIGHTS},
    {"fusion": "attention", "modality_weights": "uniform"},
    {"fusion": "bilinear", "modality_weights": WEIGHTS},
    {"sharing": "layers", "fusion": "concat"},
    {"sharing": "representation", "fusion": "attention"},
    {"sharing": "representation", "fusion": "bilinear"},
    {"sharing": "layers", "hidden_layer_sizes": (8,)},
    {"sharing": "parameters", "hidden_layer_sizes": ()},
    {"sharing": "representation", "hidden_layer_sizes": ()},
    {"sharing": "representation", "fusion": "weighted", "modality_loss_weight": 0},
    {"alignment": "kl", "modality_loss_weight": 0, "fusion": "weighted"},
    {"solver": "lbfgs", "modality_dropout": 0.1, "dropout": 0.0},
    {"solver": "lbfgs", "dropout": 0.1, "input_dropout": 0.0},
    {"solver": "lbfgs", "dropout": 0.0, "input_dropout": 0.1},
    {"n_members": 2, "fusion": "attention"},
]


@pytest.mark.parametrize("parameters", CONTRADICTIONS, ids=str)
def test_contradictions_name_both_parameters(data, small, parameters):
    named = list(parameters)
    if parameters.get("solver") == "lbfgs":  # the perceptron drops inputs, unless it is 0 too
        zero = [name for name, value in parameters.items() if value == 0]
        named = [name for name in named if name not in zero]
    both = "".join(rf"(?=.*\b{name}\b)" for name in named)  # in any order
    with pytest.raises(ValueError, match=both):
        small(**parameters).fit(*data)


def test_weights_of_each_class_are_learned_or_none(data, small):
    for weights in (WEIGHTS, "uniform"):
        with pytest.raises(ValueError, match=r"Late\(per_class=True\).*modality_weights"):
            small(fusion=Late(per_class=True), modality_weights=weights).fit(*data)


def test_predictions_that_are_taught_may_be_aligned(data, small):
    model = small(alignment="kl", modality_loss_weight=0)
    for fusion in ("late", "additive"):  # which teach the scores of each modality
        model.set_params(fusion=fusion).fit(*data)
    one = {"text": 0.0, "image": 0.3}
    model.set_params(fusion="weighted", modality_loss_weight=one, alignment_weight=0).fit(*data)
    with pytest.raises(ValueError, match='alignment="kl"'):
        model.set_params(alignment_weight=0.1).fit(*data)


def test_no_alignment_is_what_alignment_says(data, small):
    X, y = data
    model = small(alignment_weight=3.0).fit(X, y)
    expected = small(alignment="contrastive", alignment_weight=0).fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(model.predict_proba(X), expected)
    assert not any(column.startswith("alignment") for column in model.history_)


def test_numbers_have_no_probabilities(data):
    X, _ = data
    y = X.to_numpy()[:, 0]
    with pytest.raises(ValueError, match=r"'alignment' .*FusionRegressor.*'kl'"):
        FusionRegressor(alignment="kl").fit(X, y)
    for solver in (AdamW(calibrate="temperature"), LBFGS(calibrate="temperature")):
        with pytest.raises(ValueError, match=r"calibrate.*numbers"):
            FusionRegressor(solver=solver, modality_model=MLP(dropout=0)).fit(X, y)


def test_weights_of_each_class_need_one_column_of_classes(data, small):
    X, y = data
    model = small(fusion=Late(per_class=True), max_iter=1)
    model.fit(X, y)
    labels = np.c_[y == 0, y == 1].astype(int)
    for targets in (np.c_[y, y], labels):
        with pytest.raises(ValueError, match=r"Late\(per_class=True\).*\by\b"):
            model.fit(X, targets)
    with pytest.raises(ValueError, match=r"Late\(per_class=True\).*\by\b"):
        FusionRegressor(Late(per_class=True)).fit(X, y)


@pytest.mark.parametrize(
    ("fusion", "modality_weights", "is_learned"),
    [
        ("late", None, True),
        (Late(), None, True),
        (Late(per_class=True), None, True),
        ("late", "uniform", False),
        ("weighted", WEIGHTS, False),
        ("gated", None, True),
        ("additive", None, False),
        ("attention", None, False),
    ],
)
def test_when_weights_are_learned(data, small, fusion, modality_weights, is_learned):
    model = small(fusion=fusion, modality_weights=modality_weights).fit(*data)
    alpha = model.network_.modality_weights.numpy()
    np.testing.assert_allclose(alpha.sum(0), 1, rtol=1e-6)
    assert (np.abs(alpha - 0.5).max() > 1e-3) == is_learned


# Models of the modalities


@pytest.mark.parametrize(
    ("models", "parameters", "match"),
    [
        ((MLP((8,), n_members=2), MLP((8,))), {}, "n_members"),
        ((MLP((8,), sharing="parameters"), MLP((8,))), {}, "sharing"),
        ((MLP((8,)), MLP((9,))), {"fusion": "weighted"}, r"\(8,\).*\(9,\)"),
        ((MLP((8,)), MLP((9,))), {"fusion": "concat"}, r"\(8,\).*\(9,\)"),
        ((MLP((9, 8)), MLP((8,))), {"fusion": "concat"}, r'fusion="concat".*\(8,\).*\(9, 8\)'),
        ((MLP((8,)), MLP((9,))), {"alignment": "contrastive"}, r"\(8,\).*\(9,\)"),
        ((MLP((8,)), MLP(())), {"fusion": "weighted"}, r'_sizes=\(\).*fusion="weighted"'),
        ((MLP((8,), sharing="layers"), MLP((9,), sharing="layers")), {}, 'sharing="layers"'),
        (
            (MLP((8,), sharing="parameters"), MLP((8,), dropout=0.1, sharing="parameters")),
            {},
            'sharing="parameters"',
        ),
        ((MLP((8,), dropout=0), MLP((8,))), {"solver": "lbfgs"}, r'solver="lbfgs".*dropout'),
    ],
)
def test_perceptrons_that_do_not_go_together(data, small, models, parameters, match):
    models = dict(zip(("text", "image"), models, strict=True))
    with pytest.raises(ValueError, match=match):
        small(modality_model=models, **parameters).fit(*data)


def test_one_hidden_layer_less_is_enough_to_fuse_scores(data, small):
    X, y = data
    models = {"text": MLP((16, 8), dropout=0.1), "image": MLP((), dropout=0)}
    for fusion in ("late", "additive"):
        model = small(fusion=fusion, modality_model=models, max_iter=20).fit(X, y)
        assert model.score(X, y) > 0.6


def test_names_in_a_dict_of_models(data, small):
    for models, match in [
        ({"text": "mlp"}, "modality_model.*'image'"),
        ({"text": "mlp", "image": "mlp", "sound": "mlp"}, "modality_model.*'sound'"),
        ({"text": "mlp", "sound": "mlp"}, "modality_model.*'image'.*'sound'"),
        ({}, "modality_model.*'text'"),
    ]:
        with pytest.raises(ValueError, match=match):
            small(modality_model=models).fit(*data)


# "auto"


def test_auto_is_a_number(data, small):
    X, y = data[0][:45], data[1][:45]
    named = {"learning_rate_init": 0.005, "weight_decay": 0.5, "batch_size": 16, "max_iter": 40}
    auto = small(**dict.fromkeys(named, "auto")).fit(X, y)
    plain = nest(FusionClassifier, hidden_layer_sizes=(8,), random_state=0).fit(X, y)
    given = small(**named).fit(X, y)
    for model in (plain, given):
        np.testing.assert_array_equal(model.predict_proba(X), auto.predict_proba(X))
    assert auto.n_iter_ == 40
    lbfgs = {"solver": "lbfgs", "dropout": 0.0, "max_iter": 5, "tol": 10.0}
    auto = small(**lbfgs).fit(X, y)
    given = small(**lbfgs, weight_decay=0.5).fit(X, y)
    np.testing.assert_array_equal(given.predict_proba(X), auto.predict_proba(X))
