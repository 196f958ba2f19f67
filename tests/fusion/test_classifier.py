"""What FusionClassifier promises about training, missing modalities, weights of rows, and input."""

import _thread
import pickle
import threading
import time

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone

from skmm import FusionClassifier
from skmm.datasets import make_multimodal_classification


@pytest.fixture(scope="module")
def data():
    return make_multimodal_classification(
        150, n_features=(5, 4), n_classes=3, modality_names=("text", "image"), random_state=0
    )


def small(**parameters):
    return FusionClassifier(
        **{"hidden_layer_sizes": (8,), "max_iter": 5, "random_state": 0, **parameters}
    )


def assert_same(a, b, X):
    np.testing.assert_array_equal(a.predict_proba(X), b.predict_proba(X))
    assert a.modality_weights_ == b.modality_weights_


# Training


@pytest.mark.parametrize("fusion", ["late", "weighted", "concat"])
@pytest.mark.parametrize("alignment", ["contrastive", "cosine"])
def test_history_terms_times_weights_are_the_loss(data, fusion, alignment):
    model = small(
        fusion=fusion,
        modality_loss_weight={"text": 0.2, "image": 0.7},
        alignment=alignment,
        alignment_weight={("text", "image"): 0.5, ("image", "text"): 0.1},
    ).fit(*data)
    history = model.history_
    assert list(history) == [
        "loss",
        "fused",
        "modality__image",
        "modality__text",
        "alignment__image__text",
        "alignment__text__image",
    ]
    weights = [1, 0.7, 0.2, 0.1, 0.5]
    np.testing.assert_allclose(history["loss"], history.iloc[:, 1:] @ weights)
    assert model.loss_curve_ == history["loss"].tolist()
    assert model.n_iter_ == len(history) == 5
    assert (history.iloc[-1] < history.iloc[0]).sum() >= 4  # it learns


def test_alignment_brings_representations_together(data):
    apart = small(max_iter=30, fusion="weighted").fit(*data)
    drawn = small(max_iter=30, fusion="weighted", alignment="cosine", alignment_weight=2.0).fit(
        *data
    )
    assert "alignment__image__text" not in apart.history_
    together = drawn.history_["alignment__image__text"]
    assert together.iloc[-1] < 0.5 * together.iloc[0]


def test_fits_are_identical_and_leave_torch_alone(data):
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    model = small(modality_dropout=0.3).fit(*data)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert_same(model, small(modality_dropout=0.3).fit(*data), data[0])
    other = small(random_state=1).fit(*data)
    assert (other.predict_proba(data[0]) != model.predict_proba(data[0])).any()


def test_early_stopping_returns_to_the_best_epoch(data):
    X, y = data
    model = small(
        early_stopping=True, max_iter=200, n_iter_no_change=5, learning_rate_init=0.05
    ).fit(X, y)
    losses = model.history_["validation_loss"].dropna()
    assert model.n_iter_ < 200
    best = losses.idxmin()
    assert losses.index[-1] - best >= 5
    # trained to just that epoch, the network is what was restored: the held-out loss is the same
    assert losses.min() < losses.iloc[-1]


def test_stops_when_the_training_loss_stalls():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 4)), rng.integers(0, 2, 200)
    model = small(modalities={"a": 2, "b": 2}, max_iter=500, n_iter_no_change=3, tol=0.01).fit(X, y)
    assert model.n_iter_ < 500


def test_one_epoch(data):
    assert small(max_iter=1).fit(*data).n_iter_ == 1


def test_interrupt_keeps_what_was_learned():
    X, y = make_multimodal_classification(2000, n_features=(50, 50), random_state=0)
    model = FusionClassifier(
        "weighted",
        modality_weights="uniform",
        max_iter=100_000,
        n_iter_no_change=100_000,
        random_state=0,
    )

    def interrupt():
        time.sleep(2)
        _thread.interrupt_main()

    threading.Thread(target=interrupt).start()
    with pytest.warns(UserWarning, match="interrupted after"):
        model.fit(X, y)
    assert 0 < model.n_iter_ < 100_000
    assert model.score(X, y) > 0.7


def test_divergence_is_an_error(data):
    with pytest.raises(ValueError, match="Lower learning_rate_init"):
        small(learning_rate_init=1e30, max_iter=50).fit(*data)


def test_unknown_device(data):
    with pytest.raises(ValueError, match=r"device='nope' cannot be used.*\"cpu\" always can"):
        small(device="nope").fit(*data)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_what_the_cpu_gives(data):
    X, y = data
    on_gpu = small(device="cuda", dropout=0.0).fit(X, y)
    on_cpu = small(device="cpu", dropout=0.0).fit(X, y)
    np.testing.assert_allclose(on_gpu.predict_proba(X), on_cpu.predict_proba(X), atol=1e-3)
    loaded = pickle.loads(pickle.dumps(on_gpu))
    assert next(loaded.network_.parameters()).device.type == "cpu"


def test_verbose_shows_a_bar(data, capsys):
    small(verbose=True).fit(*data)  # 3 folds x 2 epochs, and 5
    assert "11/11" in capsys.readouterr().err
    small().fit(*data)
    assert capsys.readouterr().err == ""


def test_pickle_is_small_and_predicts_the_same(data):
    X, _ = data
    model = small().fit(*data)
    stored = pickle.dumps(model)
    assert len(stored) < 50_000
    assert_same(pickle.loads(stored), model, X)


# Weights of rows and classes


def test_weight_of_two_is_a_copy_and_of_zero_a_removal(data):
    X, y = data
    weight = np.random.default_rng(0).integers(0, 3, len(y))
    weighted = small().fit(X, y, sample_weight=weight)
    rows = np.repeat(np.arange(len(y)), weight)
    assert_same(weighted, small().fit(X.iloc[rows], y[rows]), X)


def test_order_of_rows_does_not_matter(data):
    X, y = data
    order = np.random.default_rng(0).permutation(len(y))
    assert_same(small().fit(X.iloc[order], y[order]), small().fit(X, y), X)


def test_class_weight(data):
    X, y = data
    rows = np.flatnonzero((y != 2) | (np.arange(len(y)) % 5 == 0))  # few of class 2
    X, y = X.iloc[rows], y[rows]
    counts = np.bincount(y)
    balanced = small(class_weight="balanced").fit(X, y)
    given = small(class_weight=dict(enumerate(len(y) / (3 * counts)))).fit(X, y)
    assert_same(balanced, given, X)
    plain = small().fit(X, y)
    assert balanced.predict_proba(X)[:, 2].mean() > plain.predict_proba(X)[:, 2].mean()


@pytest.mark.parametrize(
    ("weight", "match"),
    [
        (np.zeros(150), "zero for every row|at least one non-zero"),
        (np.r_[-1.0, np.ones(149)], "negative in row 0"),
    ],
)
def test_bad_sample_weight(data, weight, match):
    with pytest.raises(ValueError, match=match):
        small().fit(*data, sample_weight=weight)


# Missing modalities


def test_row_without_modalities_gets_the_prior(data):
    X, y = data
    model = small().fit(X, y)
    X = X.iloc[:4].copy()
    X.iloc[2] = np.nan
    with pytest.warns(UserWarning, match="1 of 4 rows have no modality that counts .* row 2"):
        proba = model.predict_proba(X)
    np.testing.assert_allclose(proba[2], np.bincount(y) / len(y))
    with pytest.warns(UserWarning, match="row 2"):
        assert model.predict(X)[2] == model.classes_[np.bincount(y).argmax()]
    np.testing.assert_array_equal(model.contributions(X)[2], 0)


def test_training_row_without_modalities_is_left_out(data):
    X, y = data
    nothing = X.iloc[:3] * np.nan
    with pytest.warns(UserWarning, match="3 of 153 training rows .* row 150"):
        model = small().fit(pd.concat([X, nothing]), np.r_[y, y[:3]])
    np.testing.assert_array_equal(model.predict_proba(X), small().fit(X, y).predict_proba(X))


def test_modality_missing_everywhere(data):
    X, y = data
    X = X.copy()
    X.loc[:, X.columns.str.startswith("image")] = np.nan
    with pytest.raises(ValueError, match=r"'image' is missing .* from every training row"):
        small().fit(X, y)
    model = small().fit(*data)
    np.testing.assert_allclose(model.predict_proba(X), model.modality_proba(X)[:, 0])


def test_partly_missing_modality(data):
    X, y = data
    X = X.copy()
    X.iloc[7, 6] = np.nan
    with pytest.raises(
        ValueError, match=r"Row 7 has NaN in 1 of the 4 columns of modality 'image'"
    ):
        small().fit(X, y)


def test_modality_dropout_prepares_for_missing_ones():
    X, y = make_multimodal_classification(
        600, informativeness=(0.9, 0.5), modality_names=("good", "poor"), random_state=0
    )
    X_test = X[400:].copy()
    X_test.loc[:, X_test.columns.str.startswith("good")] = np.nan
    parameters = {"fusion": "concat", "max_iter": 40, "hidden_layer_sizes": (32,)}
    losses = []
    for rate in (0.0, 0.5):
        model = small(modality_dropout=rate, **parameters).fit(X[:400], y[:400])
        log_proba = model.predict_log_proba(X_test)
        losses.append(-log_proba[np.arange(len(X_test)), y[400:]].mean())
    assert losses[1] < losses[0]


# Input


@pytest.mark.parametrize("labels", [["x", "y", "z"], [5, 9, -3], [True, False]])
def test_labels(data, labels):
    X, y = data
    y = np.array(labels)[y % len(labels)]
    model = small().fit(X, y)
    np.testing.assert_array_equal(model.classes_, np.unique(y))
    assert set(model.predict(X)) <= set(labels)


def test_float32_and_float64_agree(data):
    X, y = data
    single, double = small().fit(X.astype("f4"), y), small().fit(X.astype("f8"), y)
    np.testing.assert_allclose(single.predict_proba(X), double.predict_proba(X), atol=1e-3)


def test_large_offsets_are_not_lost():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 1))
    X = np.hstack([1.7e9 + x, rng.normal(size=(300, 2))])  # seconds since 1970
    model = small(modalities={"time": 1, "noise": 2}, max_iter=40).fit(X, (x[:, 0] > 0).astype(int))
    assert model.score(X, x[:, 0] > 0) > 0.9


def test_constant_columns_and_narrow_modalities():
    rng = np.random.default_rng(0)
    X = np.c_[np.ones(50), rng.normal(size=50), np.full(50, 3.0)]
    y = (X[:, 1] > 0).astype(int)
    model = small(modalities={"constant": [0, 2], "narrow": [1]}, max_iter=30).fit(X, y)
    assert model.score(X, y) > 0.9
    X[:, 0] = 1e6  # what was constant in training stays without effect
    assert model.score(X, y) > 0.9


def test_two_rows():
    model = small(modalities={"a": 1, "b": 1}).fit([[0.0, 1.0], [1.0, 0.0]], ["n", "p"])
    assert model.predict([[0.0, 1.0], [1.0, 0.0]]).shape == (2,)


def test_linear_late_fusion(data):
    assert small(hidden_layer_sizes=(), max_iter=40).fit(*data).score(*data) > 0.6


def test_set_output_and_feature_names(data):
    X, y = data
    model = small().set_output(transform="pandas").fit(X, y)
    assert list(model.transform(X)) == [f"fusionclassifier{i}" for i in range(3)]
    assert small(fusion="weighted").fit(X, y).transform(X).shape == (len(X), 8)


def test_nothing_is_written_to_parameters(data):
    model = small(modality_weights={"text": 2, "image": 2})
    before = clone(model).get_params()
    model.fit(*data)
    assert model.get_params() == before
    assert model.modality_weights_ == {"text": 0.5, "image": 0.5}


BAD_PARAMETERS = [
    ({"modality_weights": {"text": 1, "sound": 1}}, r"'sound'.*\['text', 'image'\]"),
    ({"modality_weights": {"text": 1}}, r"no value for \['image'\]"),
    ({"modality_weights": {"text": 1, "image": -1}}, "not negative"),
    ({"modality_weights": {"text": 0, "image": 0}}, "weight of 0"),
    ({"modality_weights": {"text": 1, "image": np.inf}}, "finite"),
    ({"modality_loss_weight": {"text": 1, "sound": 1}}, "'sound'"),
    ({"modality_loss_weight": -1.0}, "modality_loss_weight"),
    ({"alignment_weight": np.zeros((3, 3))}, r"shape \(2, 2\).*got shape \(3, 3\)"),
    ({"alignment_weight": np.eye(2)}, "diagonal"),
    ({"alignment_weight": [[0, -1], [1, 0]]}, "not negative"),
    ({"alignment_weight": {"text": 1}}, "pairs"),
    ({"alignment_weight": {("text", "text"): 1}}, "pairs"),
    ({"alignment_weight": {("text", "sound"): 1}}, "'sound'"),
    (
        {"hidden_layer_sizes": (), "fusion": "weighted"},
        r'hidden_layer_sizes=\(\).*fusion="weighted"',
    ),
    ({"hidden_layer_sizes": (), "fusion": "concat"}, r'hidden_layer_sizes=\(\).*fusion="concat"'),
    ({"hidden_layer_sizes": (), "alignment_weight": 1.0}, "alignment_weight"),
    ({"hidden_layer_sizes": (8, 0)}, "positive integers"),
    ({"modalities": {"a": 3, "b": 3}}, "add up to the 9 columns"),
    ({"modalities": {"a": [0, 1], "b": [1, 2]}}, "two modalities"),
    ({"modalities": {"a": ["text__0"], "b": ["nope"]}}, "'nope'"),
    ({"modalities": {"a": [0], "b": [99]}}, r"modalities\['b'\]"),
    ({"modalities": {}}, "at least one modality"),
    ({"fusion": "late", "dropout": 1.0}, "dropout"),
]


@pytest.mark.parametrize(("parameters", "match"), BAD_PARAMETERS)
def test_bad_parameters(data, parameters, match):
    with pytest.raises(ValueError, match=match):
        small(**parameters).fit(*data)


def test_modalities_from_names_positions_and_slices(data):
    X, y = data
    by_prefix = small(modalities="prefix").fit(X, y)
    texts, images = list(X.columns[:5]), list(X.columns[5:])
    by_slice = small(modalities={"text": slice(0, 5), "image": slice(5, None)}).fit(X, y)
    by_name = small(modalities={"text": texts, "image": images}).fit(X, y)
    by_position = small(modalities={"text": range(5), "image": [5, 6, 7, -1]}).fit(X.to_numpy(), y)
    for other in (by_slice, by_name):
        assert other.modalities_ == by_prefix.modalities_ == {"text": texts, "image": images}
        assert_same(other, by_prefix, X)
    assert by_position.modalities_ == {"text": [0, 1, 2, 3, 4], "image": [5, 6, 7, 8]}
    part = small(modalities={"text": texts[:2]}).fit(X, y)  # the other columns are left out
    changed = X.assign(**{images[0]: 7.0})
    np.testing.assert_array_equal(part.predict_proba(changed), part.predict_proba(X))


def test_names_without_prefix(data):
    X, y = data
    with pytest.raises(ValueError, match=r"1 have no such prefix.*'image__3x'|'price'"):
        small().fit(X.rename(columns={"image__3": "price"}), y)
    with pytest.raises(ValueError, match="no column names"):
        small(modalities="prefix").fit(X.to_numpy(), y)
    plain = small().fit(X.rename(columns=lambda name: name.replace("__", "-")), y)
    assert list(plain.modalities_) == ["all"]


@pytest.mark.parametrize(
    ("rows", "match"), [(slice(0, 0), "0 sample"), (slice(0, 1), "only one class")]
)
def test_too_few_rows(data, rows, match):
    X, y = data
    with pytest.raises(ValueError, match=match):
        small().fit(X[rows], y[rows])


def test_bad_data(data):
    X, y = data
    with pytest.raises(ValueError, match="only one class with weight: 'a'"):
        small().fit(X, ["a"] * len(y))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        small().fit(X, y[:-1])
    with pytest.raises(ValueError, match="infinity"):
        small().fit(X.assign(text__0=np.inf), y)
    with pytest.raises(ValueError, match="Unknown label type"):
        small().fit(X, np.linspace(0, 1, len(y)))
    model = small().fit(X, y)
    with pytest.raises(ValueError, match="infinity"):
        model.predict(X.assign(text__0=np.inf))
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(X.rename(columns={"text__0": "text__x"}))
    with pytest.raises(ValueError, match="same order as they were in fit"):
        model.predict(X[X.columns[::-1]])
    with pytest.raises(ValueError, match="8 features"):
        model.predict(X.to_numpy()[:, :-1])
