"""By theme: input that FusionClassifier cannot use, and what its errors name."""

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from skmm.fusion import LBFGS, MLP, AdamW, Attention, Bilinear, Late

BAD_PARAMETERS = [
    ({"modality_weights": {"text": 1, "sound": 1}}, r"modality_weights .*'sound'"),
    ({"modality_weights": {"text": 1}}, r"modality_weights .*'image'"),
    ({"modality_weights": {"text": 1, "image": -1}}, "modality_weights .*-1"),
    ({"modality_weights": {"text": 0, "image": 0}}, "modality_weights=.*0"),
    ({"modality_weights": {"text": 1, "image": np.inf}}, "modality_weights .*inf"),
    ({"modality_weights": {"text": 1, "image": "1"}}, r"modality_weights\['image'\]"),
    ({"modality_weights": "equal"}, "'modality_weights' parameter"),
    ({"modality_weights": "per_class"}, "'modality_weights' parameter"),
    ({"modality_weights": [0.5, 0.5]}, "'modality_weights' parameter"),
    ({"modality_loss_weight": {"text": 1, "sound": 1}}, "modality_loss_weight .*'sound'"),
    ({"modality_loss_weight": -1.0}, "'modality_loss_weight' parameter"),
    ({"alignment": "mean"}, "'alignment' parameter"),
    ({"alignment_weight": np.zeros((3, 3))}, r"alignment_weight .*\(2, 2\).*\(3, 3\)"),
    ({"alignment_weight": np.eye(2)}, "alignment_weight .*diagonal"),
    ({"alignment_weight": [[0, -1], [1, 0]]}, "alignment_weight .*-1"),
    ({"alignment_weight": np.inf}, r"'alignment_weight' parameter .*\[0.0, inf\).*inf"),
    ({"alignment_weight": np.nan}, r"'alignment_weight' parameter .*\[0.0, inf\).*nan"),
    ({"alignment_weight": [[0, np.inf], [1, 0]]}, "alignment_weight .*inf"),
    ({"alignment_weight": {("text", "image"): np.nan}}, "alignment_weight .*nan"),
    ({"alignment_weight": {("text", "image"): "0.5"}}, r"alignment_weight\[\('text', 'image'\)\]"),
    ({"alignment_weight": [["a", "b"], ["c", "d"]]}, "alignment_weight .*matrix"),
    ({"alignment_weight": {"text": 1}}, "alignment_weight .*pairs.*'text'"),
    ({"alignment_weight": {("text", "text"): 1}}, r"alignment_weight .*\('text', 'text'\)"),
    ({"alignment_weight": {("text", "sound"): 1}}, r"alignment_weight .*'sound'"),
    ({"alignment_weight": -1.0}, "'alignment_weight' parameter"),
    ({"hidden_layer_sizes": (), "fusion": "weighted"}, r'_sizes=\(\).*fusion="weighted"'),
    ({"hidden_layer_sizes": (), "fusion": "concat"}, r'_sizes=\(\).*fusion="concat"'),
    ({"modality_model": "linear", "fusion": "gated"}, r'_sizes=\(\).*fusion="gated"'),
    ({"hidden_layer_sizes": (8, 0)}, "hidden_layer_sizes"),
    ({"hidden_layer_sizes": (8.5,)}, "hidden_layer_sizes"),
    ({"hidden_layer_sizes": [[8, 8]]}, "hidden_layer_sizes"),
    ({"hidden_layer_sizes": 0}, "'hidden_layer_sizes' parameter of MLP"),
    ({"modalities": {"a": 3, "b": 3}}, "modalities=.*9 columns"),
    ({"modalities": {"a": [0, 1], "b": [1, 2]}}, "modalities .*'text__1'"),
    ({"modalities": {"a": ["text__0"], "b": ["nope"]}}, r"modalities\['b'\].*'nope'"),
    ({"modalities": {"a": [0], "b": [99]}}, r"modalities\['b'\]"),
    ({"modalities": {}}, "modalities"),
    ({"modalities": "names"}, "'modalities' parameter"),
    ({"fusion": "early"}, "'fusion' parameter"),
    ({"fusion": Attention}, "'fusion' parameter"),
    ({"fusion": Attention(n_heads=0)}, "'n_heads' parameter of Attention"),
    ({"fusion": Bilinear(rank=0)}, "'rank' parameter of Bilinear"),
    ({"fusion": Late(per_class="yes")}, "'per_class' parameter of Late"),
    ({"interaction": "trees"}, "'interaction' parameter"),
    ({"modality_model": "tree"}, "modality_model.*'tree'"),
    ({"modality_model": MLP}, "modality_model"),
    ({"modality_model": {"text": "mlp", "image": "tree"}}, "modality_model of 'image'.*'tree'"),
    ({"activation": "selu"}, "'activation' parameter of MLP"),
    ({"dropout": 1.0}, "'dropout' parameter of MLP"),
    ({"input_dropout": 1.0}, "'input_dropout' parameter of MLP"),
    ({"n_members": 0}, "'n_members' parameter of MLP"),
    ({"sharing": "heads"}, "'sharing' parameter of MLP"),
    ({"modality_dropout": 1.0}, "'modality_dropout' parameter"),
    ({"solver": "sgd"}, "'solver' parameter"),
    ({"solver": AdamW}, "'solver' parameter"),
    ({"learning_rate_init": 0.0}, "'learning_rate_init' parameter of AdamW"),
    ({"batch_size": 0}, "'batch_size' parameter of AdamW"),
    ({"max_iter": 0}, "'max_iter' parameter of AdamW"),
    ({"validation_fraction": 1.0}, "'validation_fraction' parameter of AdamW"),
    ({"solver": LBFGS(weight_decay=-1)}, "'weight_decay' parameter of LBFGS"),
    ({"class_weight": {0: 1, 9: 2}}, r"class_weight .*\[9\]"),
    ({"class_weight": {0: -1, 1: 1, 2: 1}}, "class_weight .*-1"),
    ({"class_weight": "even"}, "'class_weight' parameter"),
]


@pytest.mark.parametrize(("parameters", "match"), BAD_PARAMETERS, ids=lambda value: str(value)[:40])
def test_bad_parameters(data, small, parameters, match):
    with pytest.raises(ValueError, match=match):
        small(**parameters).fit(*data)


def test_a_fit_that_failed_is_none(data, small):
    X, y = data
    model = small(modality_weights={"sound": 1.0})
    with pytest.raises(ValueError, match="'sound'"):
        model.fit(X, y)
    with pytest.raises(NotFittedError):
        model.predict(X)


def test_columns_with_and_without_prefix(data, small):
    X, y = data
    with pytest.raises(ValueError, match="'price'"):
        small().fit(X.rename(columns={"image__3": "price"}), y)
    with pytest.raises(ValueError, match='modalities="prefix"'):
        small(modalities="prefix").fit(X.to_numpy(), y)


@pytest.mark.parametrize(
    ("rows", "match"), [(slice(0, 0), r"shape=\(0, 9\)"), (slice(0, 1), r"\by\b.*\b2\b")]
)
def test_too_few_rows(data, small, rows, match):
    X, y = data
    with pytest.raises(ValueError, match=match):
        small().fit(X[rows], y[rows])


def test_bad_labels(data, small):
    X, y = data
    with pytest.raises(ValueError, match=r"\by\b.*sample_weight .*'a'"):
        small().fit(X, ["a"] * len(y))
    with pytest.raises(ValueError, match=r"\[150, \d+\]"):
        small().fit(X, y[:-1])
    with pytest.raises(ValueError, match="continuous"):
        small().fit(X, np.linspace(0, 1, len(y)))
    with pytest.raises(ValueError, match=r"\by\b.*NaN"):
        small().fit(X, np.where(y == 0, np.nan, y))


def test_infinite_values(data, small):
    X, y = data
    for value in (np.inf, -np.inf):
        with pytest.raises(ValueError, match=r"\bX\b.*infinity"):
            small().fit(X.assign(text__0=value), y)
    model = small().fit(X, y)
    with pytest.raises(ValueError, match="infinity"):
        model.predict(X.assign(text__0=np.inf))


def test_other_columns_at_prediction(data, small):
    X, y = data
    model = small().fit(X, y)
    with pytest.raises(ValueError, match=r"(?s)unseen.*text__x"):
        model.predict(X.rename(columns={"text__0": "text__x"}))
    with pytest.raises(ValueError, match=r"(?s)missing.*text__0"):
        model.predict(X.drop(columns="text__0"))
    with pytest.raises(ValueError, match="order"):
        model.predict(X[X.columns[::-1]])
    with (
        pytest.warns(UserWarning, match=r"^X .*FusionClassifier"),
        pytest.raises(ValueError, match=r"\b8\b.*FusionClassifier .*\b9\b"),
    ):
        model.predict(X.to_numpy()[:, :-1])
    with pytest.raises(ValueError, match=r"shape=\(0, 9\)"):
        model.predict(X[:0])


def test_words_instead_of_numbers(data, small):
    X, y = data
    with pytest.raises(ValueError, match="'text__0'"):
        small().fit(X.astype(object).assign(text__0="word"), y)
