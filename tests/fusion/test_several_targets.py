"""FusionClassifier with labels and with several targets of classes."""

import pickle

import numpy as np
import pandas as pd
import pytest
import skops.io
from nested_settings import ENSEMBLE_FUSIONS, EXACT_FUSIONS, SCORE_FUSIONS
from scipy import sparse
from scipy.special import expit, softmax
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_score

import skmm

NAN = np.nan


@pytest.fixture(scope="module", name="X")
def make_rows():
    rng = np.random.default_rng(0)
    columns = ["text__0", "text__1", "image__0", "image__1"]
    return pd.DataFrame(rng.normal(size=(150, 4)), columns=columns)


@pytest.fixture(scope="module")
def labels(X):
    """Three labels: of the text, of the image, and of both."""
    scores = np.c_[X["text__0"], X["image__0"], X["text__1"] + X["image__1"]]
    return (scores > [0, 0.5, -0.5]).astype(int)


@pytest.fixture(scope="module")
def classes(X):
    """Two targets: three classes that the text tells, and two that the image tells."""
    colour = np.array(["blue", "green", "red"])[np.digitize(X["text__0"], [-0.5, 0.5])]
    size = np.array(["L", "S"])[(X["image__0"] > 0).astype(int)]
    return np.c_[colour, size]


@pytest.fixture
def learning(small):
    def make(**parameters):
        given = {"max_iter": 40, "dropout": 0.0, "learning_rate_init": 0.05, "weight_decay": 0.01}
        return small(**{**given, **parameters})

    return make


# Labels


@pytest.mark.parametrize("fusion", ENSEMBLE_FUSIONS)
def test_labels(X, labels, learning, fusion):
    model = learning(fusion=fusion).fit(X, labels)
    proba, predicted = model.predict_proba(X), model.predict(X)
    assert proba.shape == predicted.shape == (150, 3)
    np.testing.assert_array_equal(predicted, proba > 0.5)
    assert predicted.dtype == int
    assert ((predicted == labels).mean(0) > 0.85).all()
    np.testing.assert_array_equal(model.classes_, [0, 1, 2])
    np.testing.assert_allclose(model.class_prior_, labels.mean(0))
    np.testing.assert_allclose(model.predict_log_proba(X), np.log(proba))
    assert model.score(X, labels) == (predicted == labels).all(1).mean()


@pytest.mark.parametrize("fusion", EXACT_FUSIONS)
def test_contributions_and_opinions_of_labels(X, labels, small, fusion):
    model = small(fusion=fusion).fit(X, labels)
    parts = model.contributions(X)
    assert parts.shape == (150, 2, 3)
    np.testing.assert_allclose(expit(parts.sum(1)), model.predict_proba(X))
    alone = X.assign(image__0=NAN, image__1=NAN)
    opinions = model.modality_proba(alone)
    np.testing.assert_allclose(opinions[:, 0], model.predict_proba(alone))
    assert np.isnan(opinions[:, 1]).all()


@pytest.mark.parametrize(
    "container",
    [
        lambda y: y.tolist(),
        lambda y: y.astype(float),
        lambda y: y.astype(bool),
        lambda y: y.astype(object),
        pd.DataFrame,
        sparse.csr_matrix,
        sparse.csc_array,
    ],
)
def test_containers_of_labels(X, labels, small, container):
    expected = small().fit(X, labels)
    model = small().fit(X, container(labels))
    np.testing.assert_array_equal(model.predict_proba(X), expected.predict_proba(X))
    assert model.predict(X).dtype == int
    assert model.score(X, container(labels)) == expected.score(X, labels)


def test_a_row_without_modalities_gets_the_shares_of_the_labels(X, labels, small):
    model = small().fit(X, labels)
    empty = X.copy()
    empty.loc[0] = NAN
    with pytest.warns(UserWarning, match=r"1 of 150 rows.*row 0"):
        proba = model.predict_proba(empty)
    np.testing.assert_allclose(proba[0], labels.mean(0))


def test_labels_that_are_not_known_tell_nothing(X, labels, learning):
    partly = labels.astype(float)
    partly[60:, 1] = NAN
    model = learning().fit(X, partly)
    assert ((model.predict(X) == labels).mean(0) > 0.8).all()
    np.testing.assert_allclose(model.class_prior_[1], labels[:60, 1].mean())
    whole = np.where(np.isnan(partly), -1, partly).astype(int)
    objects = np.where(np.isnan(partly), None, labels.astype(object))
    frame = pd.DataFrame(partly).astype("Int64")
    for other in (whole, objects, frame):
        same = learning().fit(X, other)
        np.testing.assert_array_equal(same.predict_proba(X), model.predict_proba(X))
        assert same.score(X, other) == model.score(X, partly)


def test_a_label_that_all_rows_have(X, labels, small):
    frame = pd.DataFrame(labels, columns=["cat", "dog", "hat"]).assign(hat=1)
    with pytest.warns(UserWarning, match="Label 'hat' is 1"):
        model = small(max_iter=20).fit(X, frame)
    assert (model.predict(X)[:, 2] == 1).all()
    assert np.isfinite(model.predict_log_proba(X)).all()


# Several targets


@pytest.mark.parametrize("fusion", ENSEMBLE_FUSIONS)
def test_classes(X, classes, learning, fusion):
    model = learning(fusion=fusion).fit(X, classes)
    proba, predicted = model.predict_proba(X), model.predict(X)
    assert [p.shape for p in proba] == [(150, 3), (150, 2)]
    assert [c.tolist() for c in model.classes_] == [["blue", "green", "red"], ["L", "S"]]
    assert predicted.shape == (150, 2)
    for i in range(2):
        np.testing.assert_allclose(proba[i].sum(1), 1)
        np.testing.assert_allclose(model.predict_log_proba(X)[i], np.log(proba[i]))
        np.testing.assert_array_equal(predicted[:, i], model.classes_[i][proba[i].argmax(1)])
        assert (predicted[:, i] == classes[:, i]).mean() > 0.85
        shares = [(classes[:, i] == c).mean() for c in model.classes_[i]]
        np.testing.assert_allclose(model.class_prior_[i], shares)
    assert model.score(X, classes) == (predicted == classes).all(1).mean()
    assert len(model.network_.head.log_scale) == 2 if fusion == "late" else True


def test_shapes_are_those_of_scikit_learn(X, classes, small):
    codes = np.c_[np.unique(classes[:, 0], return_inverse=True)[1], classes[:, 1] == "S"]
    ours = small(max_iter=1).fit(X, codes)
    theirs = RandomForestClassifier(5, random_state=0).fit(X, codes)
    assert ours.predict(X).shape == theirs.predict(X).shape
    assert [p.shape for p in ours.predict_proba(X)] == [p.shape for p in theirs.predict_proba(X)]
    for own, other in zip(ours.classes_, theirs.classes_, strict=True):
        np.testing.assert_array_equal(own, other)


@pytest.mark.parametrize("fusion", EXACT_FUSIONS)
def test_contributions_and_opinions_of_classes(X, classes, small, fusion):
    model = small(fusion=fusion).fit(X, classes)
    parts, proba, opinions = model.contributions(X), model.predict_proba(X), model.modality_proba(X)
    assert model.transform(X).shape == (150, 5 if fusion in SCORE_FUSIONS else 8)
    for i, n_classes in enumerate([3, 2]):
        assert parts[i].shape == opinions[i].shape == (150, 2, n_classes)
        np.testing.assert_allclose(softmax(parts[i].sum(1), axis=1), proba[i])
        np.testing.assert_allclose(opinions[i].sum(2), 1)


def test_classes_of_several_kinds(X, classes, small):
    frame = pd.DataFrame({"colour": classes[:, 0], "n": (classes[:, 1] == "S") + 1})
    model = small().fit(X, frame)
    predicted = model.predict(X)
    assert predicted.dtype == object
    assert set(predicted[:, 0]) <= {"blue", "green", "red"}
    assert set(predicted[:, 1]) <= {1, 2}
    assert 0 < model.score(X, frame) < 1


def test_ensembles_of_several_targets(X, classes, labels, small):
    for y in (classes, labels):
        model = small(n_members=3).fit(X, y)
        proba = model.ensemble_proba(X)
        shapes = [p.shape for p in proba] if y is classes else proba.shape
        assert shapes == ([(150, 3, 3), (150, 3, 2)] if y is classes else (150, 3, 3))


def test_classes_that_are_not_known_tell_nothing(X, classes, learning):
    partly = classes.astype(object)
    partly[60:, 1] = None
    model = learning().fit(X, partly)
    assert (model.predict(X)[60:, 1] == classes[60:, 1]).mean() > 0.7
    codes = np.c_[np.unique(classes[:, 0], return_inverse=True)[1], classes[:, 1] == "S"]
    whole = codes.copy()
    whole[60:, 1] = -1
    floats = np.where(whole < 0, NAN, whole)
    for y in (whole, floats):
        same = learning().fit(X, y)
        for own, other in zip(same.predict_proba(X), model.predict_proba(X), strict=True):
            np.testing.assert_array_equal(own, other)
        assert same.score(X, y) == model.score(X, partly)


def test_rows_without_any_known_target_are_left_out(X, classes, small):
    partly = classes.astype(object)
    partly[[3, 50]] = NAN
    with pytest.warns(UserWarning, match=r"2 of 150 .*row 3"):
        model = small().fit(X, partly)
    rest = np.delete(np.arange(150), [3, 50])
    expected = small().fit(X.iloc[rest], classes[rest])
    for own, other in zip(model.predict_proba(X), expected.predict_proba(X), strict=True):
        np.testing.assert_array_equal(own, other)


def test_a_target_of_one_class(X, classes, small):
    frame = pd.DataFrame(classes, columns=["colour", "size"])
    with pytest.raises(ValueError, match=r"target 'size' .*'L'"):
        small().fit(X, frame.assign(size="L"))
    weight = (classes[:, 1] == "S").astype(float)
    with pytest.raises(ValueError, match=r"target 'size' .*'S'"):
        small().fit(X, frame, sample_weight=weight)
    with pytest.raises(ValueError, match="Target 'size'"):
        small().fit(X, frame.assign(size=None))
    signs = np.where(classes == "S", 1, -1)
    signs[:, 0] = np.arange(150) % 3
    with pytest.raises(ValueError, match=r"target 1 .*-1"):
        small().fit(X, signs)


def test_targets_that_hold_no_classes(X, classes, small):
    frame = pd.DataFrame(classes, columns=["colour", "size"])
    with pytest.raises(ValueError, match=r"Target 'size' .*continuous"):
        small().fit(X, frame.assign(size=np.linspace(0, 1, 150)))
    mixed = frame.astype(object)
    mixed.loc[0, "size"] = 5
    with pytest.raises(ValueError, match="Target 'size'"):
        small().fit(X, mixed)
    with pytest.raises(ValueError, match=r"\[150, \d+\]"):
        small().fit(X, classes[1:])
    with pytest.raises(ValueError, match=r"\b1\b.*\b150\b.*\b2\b"):
        small(max_iter=1).fit(X, classes).score(X, classes[:, :1])


# Weights


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("of", ["labels", "classes"])
def test_copies_weights_and_order(X, labels, classes, small, of, early_stopping):
    y = (labels if of == "labels" else classes).astype(object)
    y[::7, 1] = None
    weight = np.random.default_rng(0).integers(0, 3, 150)
    rows = np.random.default_rng(1).permutation(np.repeat(np.arange(150), weight))
    weighted = small(early_stopping=early_stopping).fit(X, y, sample_weight=weight)
    copied = small(early_stopping=early_stopping).fit(X.iloc[rows], y[rows])
    np.testing.assert_array_equal(weighted.predict_proba(X)[0], copied.predict_proba(X)[0])
    assert weighted.modality_weights_ == copied.modality_weights_


def test_class_weight(X, classes, labels, small):
    rows = np.flatnonzero((classes[:, 1] == "S") | (np.arange(150) % 5 == 0))  # few of "L"
    X, y = X.iloc[rows], classes[rows]
    balanced = small(class_weight="balanced").fit(X, y)
    given = [
        {c: len(y) / (len(set(column)) * (column == c).sum()) for c in set(column)}
        for column in y.T
    ]
    by_list = small(class_weight=given).fit(X, y)
    pairs = zip(given, y.T, strict=True)
    by_rows = np.prod([[weights[c] for c in column] for weights, column in pairs], axis=0)
    weighted = small().fit(X, y, sample_weight=by_rows)
    for own, a, b in zip(*(m.predict_proba(X) for m in (balanced, by_list, weighted)), strict=True):
        np.testing.assert_allclose(own, a, atol=1e-6)
        np.testing.assert_allclose(own, b, atol=1e-6)
    plain = small().fit(X, y)
    assert balanced.predict_proba(X)[1][:, 0].mean() > plain.predict_proba(X)[1][:, 0].mean()
    np.testing.assert_array_equal(balanced.class_prior_[1], plain.class_prior_[1])


def test_class_weight_of_labels(X, labels, small):
    plain = small(max_iter=20).fit(X, labels).predict_proba(X).mean(0)
    weights = [{0: 1, 1: 1}, {0: 1, 1: 20}, {0: 1, 1: 1}]
    bold = small(max_iter=20, class_weight=weights).fit(X, labels).predict_proba(X).mean(0)
    assert bold[1] > plain[1] + 0.1


@pytest.mark.parametrize(
    ("class_weight", "match"),
    [
        ({"L": 1}, "class_weight"),
        ([{"L": 1}], "class_weight"),
        ([None, {"L": -1, "S": 1}], "class_weight of target 1"),
        ([None, {"L": 0, "S": 0}], "class_weight of target 1"),
    ],
)
def test_bad_class_weight(X, classes, small, class_weight, match):
    with pytest.raises(ValueError, match=match):
        small(class_weight=class_weight).fit(X, classes)


def test_a_list_of_class_weights_needs_several_targets(X, classes, small):
    with pytest.raises(ValueError, match="class_weight"):
        small(class_weight=[{"L": 1, "S": 2}]).fit(X, classes[:, 1])


def test_task_weight_says_which_target_counts(X, classes, learning):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(classes, columns=["colour", "size"])
    frame["size"] = rng.permutation(frame["size"])  # nothing to learn
    accuracies = []
    for weights in ({"colour": 1000, "size": 1}, {"colour": 1, "size": 1000}):
        model = learning(fusion="weighted", task_weight=weights, max_iter=10).fit(X, frame)
        accuracies.append((model.predict(X)[:, 0] == frame["colour"]).mean())
    assert accuracies[0] > accuracies[1] + 0.1


def test_task_weight_of_labels_and_of_one_target(X, classes, labels, small):
    equal = small(task_weight=[2, 2, 2]).fit(X, labels).predict_proba(X)
    np.testing.assert_array_equal(equal, small().fit(X, labels).predict_proba(X))
    other = small(task_weight=[2, 2, 4]).fit(X, labels).predict_proba(X)
    assert (other != equal).any()
    with pytest.raises(ValueError, match=r"task_weight.*3 targets"):
        small(task_weight=[1, 2]).fit(X, labels)
    with pytest.raises(ValueError, match=r"task_weight.*1 targets"):
        small(task_weight=[1, 2]).fit(X, labels[:, 0])


def test_noise_gets_no_weight(X, labels, classes, learning):
    rng = np.random.default_rng(1)
    noise = pd.DataFrame(rng.normal(size=(150, 10)), columns=[f"noise__{i}" for i in range(10)])
    for y in (labels, classes):
        model = learning(dropout=0.2).fit(X.join(noise), y)
        assert model.modality_weights_["noise"] < 0.1


# Tools


@pytest.mark.filterwarnings("ignore:L-BFGS did not converge")
@pytest.mark.parametrize(
    "parameters",
    [
        {"calibrate": "temperature", "fusion": "weighted"},
        {"calibrate": "temperature", "fusion": "weighted", "early_stopping": True},
        {"fusion": "attention"},
        {"solver": "lbfgs", "dropout": 0.0},
        {"sharing": "parameters"},
        {"alignment": "kl", "alignment_weight": 0.1},
    ],
)
def test_it_goes_with_other_parameters(X, labels, classes, small, parameters):
    X = X.copy()
    X.loc[:9, ["text__0", "text__1"]] = NAN
    for y in (labels, classes):
        model = small(**parameters, max_iter=3).fit(X, y)
        assert np.isfinite(np.hstack(model.predict_proba(X))).all()
        assert np.isfinite(model.history_.to_numpy()).all()


@pytest.mark.parametrize("of", ["labels", "classes"])
def test_saving(X, labels, classes, small, of, tmp_path):
    y = labels if of == "labels" else classes
    model = small().fit(X, y)
    model.save_weights(tmp_path / "weights.safetensors")
    for loaded in (
        pickle.loads(pickle.dumps(model)),
        small().load_weights(tmp_path / "weights.safetensors"),
        skops.io.loads(skops.io.dumps(model), trusted=skmm.trusted_types),
    ):
        np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
        assert loaded.score(X, y) == model.score(X, y)


def test_cross_validation(X, labels, classes, small):
    for y in (labels, classes):
        assert cross_val_score(small(max_iter=2), X, y, cv=3, error_score="raise").shape == (3,)


def test_refitting_with_another_kind_of_y(X, labels, classes, small):
    model = small()
    for y in (labels, classes, classes[:, 0], labels):
        model.fit(X, y)
        expected = small().fit(X, y)
        np.testing.assert_array_equal(model.predict(X), expected.predict(X))


def test_warm_start_needs_the_same_classes(X, labels, classes, small):
    for y, other, match in [
        (labels, labels[:, :2], r"warm_start=True .*\[0, 1, 2\], now \[0, 1\]"),
        (
            classes,
            classes[:, ::-1],
            r"warm_start=True .*\[\['blue', .*'S'\]\], now \[\['L', 'S'\], ",
        ),
        (classes, labels, r"warm_start=True .*\btargets\b.*\blabels\b"),
    ]:
        model = small(warm_start=True, max_iter=2).fit(X, y)
        model.fit(X, y)
        with pytest.raises(ValueError, match=match):
            model.fit(X, other)


def test_partial_fit_is_for_one_column_of_classes(X, labels, classes, small):
    with pytest.raises(ValueError, match=r"partial_fit .*\by\b.*\(n_samples,\)"):
        small().partial_fit(X, labels, classes=[0, 1])
    with pytest.raises(ValueError, match=r"partial_fit .*\by\b.*\(n_samples,\)"):
        small(max_iter=1).fit(X, classes).partial_fit(X, classes[:, 0], classes=["a", "b"])


# Reading


@pytest.mark.parametrize(
    ("y", "several"),
    [
        ([[0, 1], [1, 0]], True),
        (pd.DataFrame({"a": [1, 2], "b": [2, 1]}), True),
        ([0, 1], False),
        ([[0], [1]], False),
    ],
)
@pytest.mark.filterwarnings("ignore:A column-vector y was passed")
def test_has_several_targets(X, small, y, several):
    y = pd.concat([y] * 75, ignore_index=True) if isinstance(y, pd.DataFrame) else y * 75
    assert small(max_iter=1).fit(X, y).predict(X).ndim == 1 + several


def test_read_labels(X, small):
    y = pd.DataFrame({"a": [3, -1, 7] * 50, "b": ["x", None, "y"] * 50})
    with pytest.warns(UserWarning, match=r"50 of 150 .*row 1\b"):
        model = small(max_iter=1).fit(X, y)
    assert [classes.tolist() for classes in model.classes_] == [[3, 7], ["x", "y"]]
    labels = np.array([[0, 1], [1, 1], [-1, 0]] * 50)
    assert small(max_iter=1).fit(X, labels).predict_proba(X).shape == (150, 2)
    for classes in (np.array([[1, 2], [2, 1]] * 75), np.array([["0", "1"], ["1", "0"]] * 75)):
        proba = small(max_iter=1).fit(X, classes).predict_proba(X)
        assert [p.shape for p in proba] == [(150, 2), (150, 2)]


def test_priors_are_of_the_rows_in_which_a_target_is_known(X, small):
    y, weight = np.array([[1, 0], [2, -1], [3, 1], [3, 0]] * 30), [1.0, 2.0, 3.0, 2.0] * 30
    model = small(max_iter=1).fit(X[:120], y, sample_weight=weight)
    np.testing.assert_allclose(model.class_prior_[0], [1 / 8, 2 / 8, 5 / 8])
    np.testing.assert_allclose(model.class_prior_[1], [3 / 6, 3 / 6])
    class_weight = [{1: 1, 2: 10, 3: 1}, {0: 1, 1: 5}]  # rows weigh 1, 10, 5 and 1
    weighted = small(max_iter=1, class_weight=class_weight).fit(X[:120], y)
    expected = small(max_iter=1).fit(X[:120], y, sample_weight=[1.0, 10.0, 5.0, 1.0] * 30)
    np.testing.assert_array_equal(weighted.transform(X), expected.transform(X))


def test_subset_accuracy(X, classes, small):
    model = small(max_iter=1).fit(X, classes)
    y = model.predict(X[:6]).astype(object)
    y[1, 1], y[2] = None, None  # right where known; not known at all
    y[3, 0] = next(c for c in model.classes_[0] if c != y[3, 0])  # wrong
    assert model.score(X[:6], y) == pytest.approx(4 / 5)
    assert model.score(X[:6], y, [1, 1, 9, 4, 1, 1]) == pytest.approx(4 / 8)
