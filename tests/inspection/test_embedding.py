import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import TSNE
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import LinearSVC

from skmm import MLP, AdamW, FusionClassifier, FusionRegressor, LateFusionClassifier
from skmm.alignment import CrossModalAligner
from skmm.datasets import make_multimodal_classification
from skmm.inspection import EmbeddingDisplay

X, y = make_multimodal_classification(
    60, n_features=(4, 5), n_classes=3, modality_names=("text", "image"), random_state=0
)
SETTINGS = {"modality_model": MLP(4), "solver": AdamW(max_iter=2), "random_state": 0}


@pytest.fixture(scope="module")
def model():
    fusion = FusionClassifier(fusion="weighted", **SETTINGS)
    return make_pipeline(FunctionTransformer(), fusion).fit(X, y)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_points_are_principal_components(model):
    names = np.array(["red", "green", "blue"])[y]
    display = EmbeddingDisplay.from_estimator(model, X, names)
    pca = PCA(2, svd_solver="full")
    np.testing.assert_allclose(display.coordinates, pca.fit_transform(model.transform(X)))
    share = pca.explained_variance_ratio_[0]
    assert display.ax_.get_xlabel() == f"component 1 ({share:.0%})"
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert texts == ["blue", "green", "red"]
    for points, name in zip(display.points_, texts, strict=True):
        np.testing.assert_array_equal(points.get_offsets(), display.coordinates[names == name])
    shapes = {points.get_paths()[0].vertices.tobytes() for points in display.points_}
    assert len(shapes) == 3


def test_numbers_have_a_colour_bar(model):
    numbers = np.linspace(0, 1, 60)
    display = EmbeddingDisplay.from_estimator(model, X, numbers)
    (points,) = display.points_
    np.testing.assert_array_equal(points.get_array(), numbers)
    assert display.ax_.get_legend() is None
    assert len(display.figure_.axes) == 2
    plain = EmbeddingDisplay.from_estimator(model, X)
    assert len(plain.figure_.axes) == 1


def test_other_reducers(model):
    reducer = TSNE(perplexity=5, max_iter=250, random_state=0)
    display = EmbeddingDisplay.from_estimator(model, X[:20], y[:20], reducer=reducer)
    assert display.ax_.get_ylabel() == "TSNE 2"
    assert not hasattr(reducer, "embedding_")
    with pytest.raises(ValueError, match="n_components=2"):
        EmbeddingDisplay.from_estimator(model, X, y, reducer=PCA(3))


def test_subsample_keeps_rows_and_y_together(model):
    whole = EmbeddingDisplay.from_estimator(model, X, y)
    part = EmbeddingDisplay.from_estimator(
        model, X, X.index.to_numpy() / 60, subsample=20, random_state=0
    )
    assert part.coordinates.shape == (20, 2)
    rows = np.round(part.y * 60).astype(int)
    places = (whole.coordinates[rows], part.coordinates)
    before, after = (np.linalg.norm(points - points[0], axis=1) for points in places)
    np.testing.assert_allclose(np.corrcoef(before, after)[0, 1], 1, atol=0.02)


def test_representations_of_one_number_and_of_probabilities():
    regressor = FusionRegressor(**SETTINGS).fit(X, y.astype(float))
    display = EmbeddingDisplay.from_estimator(regressor, X)
    np.testing.assert_array_equal(display.coordinates[:, 0], regressor.transform(X)[:, 0])
    late = LateFusionClassifier(
        [(n, LogisticRegression(), list(X.filter(like=n))) for n in ("text", "image")], cv=2
    ).fit(X, y)
    display = EmbeddingDisplay.from_estimator(late, X, y)
    expected = PCA(2, svd_solver="full").fit_transform(late.predict_proba(X))
    np.testing.assert_allclose(display.coordinates, expected)


def test_bad_input(model):
    with pytest.raises(TypeError, match="transform"):
        EmbeddingDisplay.from_estimator(LinearSVC().fit(X, y), X, y)
    with pytest.raises(ValueError, match=r"\b40\b"):
        EmbeddingDisplay(coordinates=np.zeros((40, 2)), y=np.arange(40).astype(str)).plot()
    with pytest.raises(ValueError, match=r"\by\b.*\(60, 2\)"):
        EmbeddingDisplay.from_estimator(model, X, np.stack([y, y], axis=1))
    with pytest.raises(ValueError, match=r"y .*row 0"):
        EmbeddingDisplay.from_estimator(model, X, [None, *y[1:]])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"y": np.where(np.arange(60) == 3, np.nan, y)}, "y .*row 3"),
        ({"subsample": 0}, "subsample .*0"),
        ({"reducer": "tsne"}, "reducer .*'tsne'"),
    ],
)
def test_bad_options(model, options, match):
    with pytest.raises((TypeError, ValueError), match=match):
        EmbeddingDisplay.from_estimator(model, X, **options)


def test_rows_without_representation_are_named():
    missing = X.copy()
    missing.iloc[7] = np.nan
    aligner = CrossModalAligner("cca").fit(X)
    with pytest.raises(ValueError, match=r"1 of 60 rows .*row 7"):
        EmbeddingDisplay.from_estimator(aligner, missing)
