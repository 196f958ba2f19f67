"""Parameters of CrossModalAligner that cannot be used, and what those at "auto" are."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from skmm import LBFGS, MLP, AdamW
from skmm.alignment import CrossModalAligner


@pytest.mark.parametrize("alignment", ["cosine", "mse", "kl"])
def test_losses_that_collapse_are_an_error(frame, alignment):
    with pytest.raises(ValueError, match=f'alignment="{alignment}"'):
        CrossModalAligner(alignment).fit(frame)


@pytest.mark.parametrize("alignment", ["contrastive", "cca"])
@pytest.mark.parametrize(
    "model",
    ["mlp", {"text": "linear", "image": MLP()}, LogisticRegression(), AdamW(), MLP],
    ids=str,
)
def test_modality_model_is_linear_or_a_perceptron(frame, alignment, model):
    with pytest.raises(ValueError, match=r"'modality_model'.*'linear'.*MLP"):
        CrossModalAligner(alignment, modality_model=model).fit(frame)


@pytest.mark.parametrize(
    ("name", "value", "only"),
    [("n_members", 2, "1"), ("sharing", "layers", "None")],
)
def test_parameters_of_the_perceptron_that_do_not_apply(frame, name, value, only):
    model = MLP((8, 8), **{name: value})
    with pytest.raises(ValueError, match=f"modality_model .*{name}={value!r}.*{name}={only}"):
        CrossModalAligner(modality_model=model).fit(frame)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden_layer_sizes", (8, 0)),
        ("hidden_layer_sizes", [[8]]),
        ("activation", "swish"),
        ("dropout", 1.0),
        ("input_dropout", -0.1),
    ],
)
def test_parameters_of_the_perceptron_are_checked(frame, name, value):
    with pytest.raises(ValueError, match=name):
        CrossModalAligner(modality_model=MLP(**{name: value})).fit(frame)


@pytest.mark.parametrize("solver", ["lbfgs", LBFGS(), "sgd", MLP(), None], ids=str)
def test_solver_is_adamw(frame, solver):
    with pytest.raises(ValueError, match=r"'solver'.*'adamw'.*AdamW"):
        CrossModalAligner(solver=solver).fit(frame)


@pytest.mark.parametrize(
    ("name", "value", "only"),
    [
        ("precision", "bfloat16", "'float32'"),
        ("calibrate", "temperature", "None"),
    ],
)
def test_parameters_of_the_solver_that_do_not_apply(frame, name, value, only):
    with pytest.raises(ValueError, match=f"solver .*{name}={value!r}.*{name}={only}"):
        CrossModalAligner(solver=AdamW(**{name: value})).fit(frame)


@pytest.mark.parametrize(
    ("name", "value"),
    [("batch_size", 1), ("batch_size", 0), ("max_iter", 0), ("learning_rate_init", 0.0)],
)
def test_parameters_of_the_solver_are_checked(frame, name, value):
    with pytest.raises(ValueError, match=name):
        CrossModalAligner(solver=AdamW(**{name: value})).fit(frame)


def test_names_stand_for_objects(frame):
    plain = CrossModalAligner(random_state=0).fit(frame)
    spelled = CrossModalAligner(
        modality_model=MLP(hidden_layer_sizes=(), dropout=0.5),
        solver=AdamW(0.0003, weight_decay=0.1, batch_size=256, max_iter=20),
        random_state=0,
    ).fit(frame)
    np.testing.assert_array_equal(plain.embeddings_, spelled.embeddings_)


def test_dropout_of_inputs(frame):
    def embed(**parameters):
        model = MLP(**{"hidden_layer_sizes": (), **parameters})
        aligner = CrossModalAligner(modality_model=model, init="random", random_state=0)
        return aligner.set_params(n_components=4, solver=AdamW(max_iter=2)).fit(frame).embeddings_

    # None is dropout for a linear map's inputs
    np.testing.assert_array_equal(embed(dropout=0.3), embed(dropout=0.0, input_dropout=0.3))
    assert not np.array_equal(embed(dropout=0.3), embed(dropout=0.3, input_dropout=0.0))
    # and where there are hidden layers, it holds for the inputs of both maps
    deep = {"hidden_layer_sizes": (8,), "dropout": 0.5}
    different = [embed(**deep, input_dropout=rate) for rate in (None, 0.2, 0.5)]
    for i, vectors in enumerate(different):
        assert not any(np.array_equal(vectors, other) for other in different[:i])
