import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skmm import MLP, AdamW, FusionClassifier, FusionRegressor, LateFusionClassifier
from skmm.datasets import make_multimodal_classification
from skmm.fusion import Attention, Late
from skmm.inspection import ModalityWeightsDisplay

FIXED = {"text": 0.7, "image": 0.3}
SETTINGS = {
    "modality_model": MLP(4),
    "interaction": None,
    "solver": AdamW(max_iter=2),
    "random_state": 0,
}


@pytest.fixture(scope="module")
def data():
    return make_multimodal_classification(
        90, n_features=(3, 4), modality_names=("text", "image"), random_state=0
    )


def tiny(**parameters):
    return FusionClassifier(**SETTINGS, **parameters)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_bars_are_the_weights(data):
    model = tiny(modality_weights=FIXED).fit(*data)
    display = ModalityWeightsDisplay.from_estimator(model)
    assert display.modalities == ["text", "image"]
    np.testing.assert_allclose(display.weights, [[0.7, 0.3]], atol=1e-6)
    np.testing.assert_allclose([bar.get_width() for bar in display.bars_], [0.7, 0.3], atol=1e-6)
    assert [tick.get_text() for tick in display.ax_.get_yticklabels()] == ["text", "image"]
    assert {text.get_text() for text in display.ax_.texts} == {"0.70", "0.30"}
    assert display.dots_ is None
    top, bottom = (bar.get_y() for bar in display.bars_)
    low, high = display.ax_.get_ylim()
    assert (bottom - top) * (high - low) < 0  # the first is on top
    assert display.bars_[0].get_hatch() != display.bars_[1].get_hatch()


def test_axes_may_be_given(data):
    _, ax = plt.subplots()
    display = ModalityWeightsDisplay(weights=np.array([[1.0]]), modalities=["text"])
    assert display.plot(ax) is display
    assert display.ax_ is ax
    assert display.figure_ is ax.figure


def test_several_fits_are_a_mean_with_its_spread():
    weights = np.array([[0.6, 0.4], [0.8, 0.2]])
    display = ModalityWeightsDisplay(weights=weights, modalities=["text", "image"]).plot()
    np.testing.assert_allclose([bar.get_width() for bar in display.bars_], [0.7, 0.3])
    assert {text.get_text() for text in display.ax_.texts} == {"0.70 ± 0.10", "0.30 ± 0.10"}
    np.testing.assert_allclose(display.dots_.get_xdata(), [0.6, 0.8, 0.4, 0.2])
    (segments,) = (container.get_segments() for container in display.bars_.errorbar[2])
    np.testing.assert_allclose(segments[0][:, 0], [0.6, 0.8])


def test_estimators_of_cross_validation_and_searches(data):
    X, y = data
    pipeline = make_pipeline(FunctionTransformer(), tiny())
    results = cross_validate(pipeline, X, y, cv=2, return_estimator=True)
    display = ModalityWeightsDisplay.from_cv_results(results)
    expected = [[*model[-1].modality_weights_.values()] for model in results["estimator"]]
    np.testing.assert_array_equal(display.weights, expected)
    search = GridSearchCV(pipeline, {"fusionclassifier__modality_weights": [FIXED]}, cv=2)
    found = ModalityWeightsDisplay.from_estimator(search.fit(X, y))
    np.testing.assert_allclose(found.weights, [[0.7, 0.3]], atol=1e-6)


def test_ensembles_and_lists(data):
    X, y = data
    models = [tiny(modality_weights={"text": w, "image": 1 - w}).fit(X, y) for w in (0.25, 0.75)]
    expected = [[0.25, 0.75], [0.75, 0.25]]
    display = ModalityWeightsDisplay.from_estimator(models)
    np.testing.assert_allclose(display.weights, expected, atol=1e-6)
    ensemble = VotingClassifier([(str(i), model) for i, model in enumerate(models)]).fit(X, y)
    display = ModalityWeightsDisplay.from_estimator(ensemble)
    np.testing.assert_allclose(display.weights, expected, atol=1e-6)


def test_modalities_are_matched_by_name(data):
    X, y = data
    reordered = X[[*X.columns[3:], *X.columns[:3]]]
    models = [tiny(modality_weights=FIXED).fit(Z, y) for Z in (X, reordered)]
    models.append(tiny().fit(X.filter(like="image"), y))
    display = ModalityWeightsDisplay.from_estimator(models)
    np.testing.assert_allclose(display.weights, [[0.7, 0.3], [0.7, 0.3], [np.nan, 1]], atol=1e-6)
    np.testing.assert_allclose(
        [bar.get_width() for bar in display.bars_], [0.7, (0.3 + 0.3 + 1) / 3], atol=1e-6
    )


def test_other_estimators_that_have_weights(data):
    X, y = data
    late = LateFusionClassifier(
        [(name, LogisticRegression(), list(X.filter(like=name))) for name in FIXED],
        modality_weights=FIXED,
    ).fit(X, y)
    np.testing.assert_allclose(ModalityWeightsDisplay.from_estimator(late).weights, [[0.7, 0.3]])
    regressor = FusionRegressor(modality_weights=FIXED, **SETTINGS)
    display = ModalityWeightsDisplay.from_estimator(regressor.fit(X, y.astype(float)))
    np.testing.assert_allclose(display.weights, [[0.7, 0.3]], atol=1e-6)


def test_weights_of_classes_are_stacked(data):
    X, y = data
    model = tiny(fusion=Late(per_class=True)).fit(X, np.array(["no", "yes"])[y])
    display = ModalityWeightsDisplay.from_estimator(model)
    assert display.weights.shape == (1, 2, 2)
    frame = model.modality_weights_
    assert display.classes.tolist() == ["no", "yes"]
    widths = [[bar.get_width() for bar in bars] for bars in display.bars_]
    np.testing.assert_allclose(widths, frame[["text", "image"]].to_numpy().T)
    ends = [bar.get_x() + bar.get_width() for bar in display.bars_[1]]
    np.testing.assert_allclose(ends, 1, atol=1e-6)
    assert [t.get_text() for t in display.ax_.get_legend().get_texts()] == ["text", "image"]


def test_bad_input(data):
    X, y = data
    for fusion in ("attention", Attention(n_heads=2)):
        with pytest.raises(ValueError, match=re.escape(f"fusion={fusion!r}")):
            ModalityWeightsDisplay.from_estimator(tiny(fusion=fusion).fit(X, y))
    with pytest.raises(TypeError, match="LogisticRegression"):
        ModalityWeightsDisplay.from_estimator(LogisticRegression().fit(X, y))
    with pytest.raises(NotFittedError):
        ModalityWeightsDisplay.from_estimator(tiny())
    with pytest.raises(ValueError, match="return_estimator"):
        ModalityWeightsDisplay.from_cv_results({"test_score": [1.0]})
    with pytest.raises(ValueError, match=r"^estimator .*\[\]"):
        ModalityWeightsDisplay.from_estimator([])
    per_class = tiny(fusion=Late(per_class=True)).fit(X, y)
    with pytest.raises(ValueError, match=r"per_class=True"):
        ModalityWeightsDisplay.from_estimator([per_class, tiny().fit(X, y)])
    search = GridSearchCV(tiny(), {"solver__max_iter": [1]}, cv=2, refit=False).fit(X, y)
    with pytest.raises(ValueError, match="refit"):
        ModalityWeightsDisplay.from_estimator(search)


def test_long_names_of_modalities_leave_room_for_bars():
    display = ModalityWeightsDisplay(
        weights=np.full((1, 6, 3), 1 / 6),
        modalities=["a product description from the web", *(f"modality {i}" for i in range(5))],
        classes=np.array(list("abc")),
    ).plot()
    display.figure_.draw_without_rendering()
    legend = display.ax_.get_legend().get_window_extent()
    assert legend.x0 >= 0
    assert legend.x1 <= display.figure_.bbox.x1
    assert display.ax_.get_position().height > 0.3
