"""CrossModalAligner: what it learns, and which rows it finds."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmm import AdamW, ModalityTransformer
from skmm.alignment import CrossModalAligner
from skmm.text import TextDescriptor


@pytest.mark.parametrize("alignment", ["contrastive", "correlation"])
@pytest.mark.parametrize("hidden_layer_sizes", [(), (32,)])
def test_planted_correspondence_is_learned_from_scratch(
    frame, quick, alignment, hidden_layer_sizes
):
    aligner = quick(alignment, init="random", n_components=8, solver__max_iter=60)
    aligner.set_params(modality_model__hidden_layer_sizes=hidden_layer_sizes).fit(frame[:160])
    untrained = clone(aligner).set_params(solver=AdamW(1e-9, max_iter=1)).fit(frame[:160])
    assert aligner.score(frame[160:]) > 0.35 > 0.15 > untrained.score(frame[160:])
    assert aligner.loss_curve_[-1] < aligner.loss_curve_[0] / 1.5


def test_canonical_correlations_find_pairs(frame, aligner):
    assert aligner.score(frame[160:]) > 0.6
    assert aligner.n_components_ == len(aligner.correlations_) == 6


def test_hidden_layers_learn_what_is_not_linear(quick):
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(400, 2))
    text = np.hstack([hidden, rng.normal(0, 0.1, (400, 1))])
    X = np.hstack([text, hidden**2, np.abs(hidden)])  # nothing of them is linear in the text
    linear = quick(modalities={"text": 3, "image": 4})
    deep = clone(linear)
    deep.set_params(modality_model__hidden_layer_sizes=(64,), solver__max_iter=60)
    assert deep.fit(X[:300]).score(X[300:]) > 3 * linear.fit(X[:300]).score(X[300:])


def test_classes_are_brought_together(frame, quick):
    y = np.arange(len(frame)) % 2  # which does not depend on the rows
    classes = np.repeat(["a", "b", "c"], 80)
    X = frame.copy()
    X["text__0"] += np.repeat([0, 4, 8], 80)
    X["image__0"] += np.repeat([8, 0, 4], 80)
    aligner = quick(n_components=4, solver__max_iter=60)
    with_y, without = clone(aligner).fit(X, classes), clone(aligner).fit(X)

    def spread(model):
        cosines = model.transform(X, "text") @ model.transform(X, "image").T
        same = classes[:, None] == classes
        return cosines[same].mean() - cosines[~same].mean()

    assert spread(with_y) > 0.4 > 0.2 > spread(without)
    assert not np.allclose(clone(aligner).fit(X, y).transform(X), with_y.transform(X))
    for alignment in ("cca", "correlation"):
        model = clone(aligner).set_params(alignment=alignment)
        np.testing.assert_array_equal(
            model.fit(X, classes).transform(X), clone(model).fit(X).transform(X)
        )


# Missing modalities


def test_rows_serve_the_pairs_that_they_have(three, quick, hide):
    holes = hide(hide(three, "audio", slice(0, 79)), "text", slice(80, 159))
    aligner = CrossModalAligner("cca", regularization=0.1).fit(holes[:200])
    assert aligner.score(three[200:]) > 0.6
    trained = quick().fit(holes[:200])
    assert trained.score(three[200:]) > 0.6
    assert np.isnan(aligner.embeddings_).all(axis=2).sum(axis=0).tolist() == [80, 0, 80]
    # what is missing plays no part: with other numbers of rows the same
    never = hide(three, "audio", slice(0, 239))
    never.loc[200:, three.filter(like="audio").columns] = three.loc[200:]
    apart = hide(hide(never, "text", slice(200, 239)), "image", slice(100, 199))
    with_pairs = quick().fit(apart)
    assert list(with_pairs.history_)[1:] == [
        "alignment__text__image",
        "alignment__image__text",
        "alignment__image__audio",
        "alignment__audio__image",
    ]


def test_missing_in_transform(frame, aligner, hide):
    holes = hide(hide(frame[:6], "text", [0, 1]), "image", [1, 2])
    vectors = aligner.transform(holes)
    text, image = (aligner.transform(holes, name) for name in ("text", "image"))
    np.testing.assert_array_equal(np.isnan(text).all(1), [True, True] + [False] * 4)
    np.testing.assert_array_equal(np.isnan(image).all(1), [False, True, True] + [False] * 3)
    np.testing.assert_array_equal(np.isnan(vectors).all(1), [False, True] + [False] * 4)
    np.testing.assert_allclose(vectors[0], image[0], atol=1e-6)
    np.testing.assert_allclose(vectors[2], text[2], atol=1e-6)
    mean = text[3:] + image[3:]
    np.testing.assert_allclose(
        vectors[3:], mean / np.linalg.norm(mean, axis=1, keepdims=True), atol=1e-6
    )
    known = ~np.isnan(vectors[:, 0])
    np.testing.assert_allclose(np.linalg.norm(vectors[known], axis=1), 1, atol=1e-6)


def test_frames_have_names(frame, aligner):
    shown = clone(aligner).fit(frame).set_output(transform="pandas").transform(frame[10:12], "text")
    assert list(shown) == [f"crossmodalaligner{i}" for i in range(6)]
    assert shown.index.tolist() == [10, 11]
    assert (shown.dtypes == np.float32).all()


# Neighbours


def test_neighbours_are_those_of_greatest_cosine(frame, aligner):
    distances, rows = aligner.kneighbors(
        frame[160:170].filter(like="text"), source="text", target="image", n_neighbors=4
    )
    cosines = aligner.transform(frame[160:170], "text") @ aligner.transform(frame[:160], "image").T
    np.testing.assert_array_equal(rows, np.argsort(-cosines, axis=1)[:, :4])
    np.testing.assert_allclose(distances, 1 - np.sort(cosines)[:, ::-1][:, :4], atol=1e-6)
    same = aligner.kneighbors(frame[160:200], frame[160:200], source="text", target="image")[1]
    assert np.mean(same[:, 0] == np.arange(40)) > 0.6
    mean = aligner.kneighbors(frame[:5], n_neighbors=1, return_distance=False)
    np.testing.assert_array_equal(mean[:, 0], np.arange(5))


def test_neighbours_of_missing_modalities(frame, aligner, hide):
    queries, gallery = (
        hide(frame[160:164], "text", [161]),
        hide(frame[160:170], "image", [160, 163]),
    )
    distances, rows = aligner.kneighbors(
        queries, gallery, source="text", target="image", n_neighbors=8
    )
    assert np.isnan(distances[1]).all()
    assert (rows[1] == -1).all()
    for row in rows[[0, 2, 3]]:
        assert sorted(row) == [1, 2, 4, 5, 6, 7, 8, 9]
    with pytest.raises(ValueError, match=r"n_neighbors .* 1 to 8, .*'image'; got 9"):
        aligner.kneighbors(queries, gallery, source="text", target="image", n_neighbors=9)
    with pytest.raises(ValueError, match="'sound'"):
        aligner.kneighbors(queries, source="text", target="sound")


def make_many(n, seed=0):
    """Rows of 12 hidden numbers, so that few of other rows are near."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(n, 12))
    blocks = [hidden @ rng.normal(size=(12, width)) for width in (20, 30)]
    X = pd.DataFrame(np.hstack(blocks) + rng.normal(0, 0.3, (n, 50)))
    return X.set_axis(
        [f"text__{i}" for i in range(20)] + [f"image__{i}" for i in range(30)], axis=1
    )


@pytest.fixture(scope="module")
def many():
    """300 rows with much in common, of which the aligner saw the first 200."""
    X = make_many(300)
    return CrossModalAligner("cca", regularization=0.1).fit(X[:200]), X


@pytest.mark.parametrize("held_out", [False, True])
def test_queries_that_match_nothing_are_told(many, held_out):
    aligner, X = many
    names = {"source": "text", "target": "image"}
    limit = aligner.match_distance(X[200:250] if held_out else None, **names)
    gallery = X[250:]
    options = {**names, "n_neighbors": 3, "max_distance": limit}
    distances, rows = aligner.kneighbors(gallery, gallery, **options)
    assert np.mean(rows[:, 0] == np.arange(50)) >= 0.9
    np.testing.assert_array_equal(rows == -1, np.isnan(distances))
    assert np.nanmax(distances) <= limit
    others = {
        "columns of different rows": gallery.apply(
            lambda column: np.random.default_rng(ord(column.name[-1])).permutation(column)
        ),
        "rows of other texts": make_many(100, seed=5)[50:],
        "rows whose pairs are not in the gallery": X[200:250],
    }
    for queries in others.values():
        assert np.mean(aligner.kneighbors(queries, gallery, **options)[1] == -1) > 0.9
    everything = aligner.kneighbors(gallery, gallery, **{**options, "max_distance": None})
    near = everything[0] <= limit
    np.testing.assert_array_equal(rows[near], everything[1][near])
    assert (rows[~near] == -1).all()


def test_match_distance_is_where_shares_differ_most(many):
    aligner, X = many
    a, b = (aligner.transform(X[200:], name) for name in ("text", "image"))
    distances = 1 - a @ b.T
    own = distances.diagonal()
    other = (distances + 9 * np.eye(100)).min(1)
    found = aligner.match_distance(X[200:], source="text", target="image")
    shares = [(own <= d).mean() - (other <= d).mean() for d in [found, *own, *other]]
    assert shares[0] == max(shares)
    copies = pd.concat([X[200:], X[200:]])  # whose pairs are right as well
    assert aligner.match_distance(copies, source="text", target="image") == pytest.approx(found)


def test_match_distance_that_tells_little(frame, aligner, hide):
    shuffled = frame[160:].copy()
    shuffled.iloc[:, :6] = shuffled.iloc[::-1, :6].to_numpy()
    with pytest.warns(UserWarning, match="'text' to 'image'"):
        aligner.match_distance(shuffled, source="text", target="image")
    with pytest.raises(ValueError, match=r"1 rows .*'text'.*'image'"):
        aligner.match_distance(
            hide(frame[160:163], "text", [160, 161]), source="text", target="image"
        )


def test_queries_with_nothing_to_search_by(frame, aligner, hide):
    names = {"source": "text", "target": "image"}
    queries = frame[160:164].copy()
    queries.iloc[2, :6] = 0.0
    for source in ("text", None):
        only = queries.filter(like="text")
        with pytest.raises(ValueError, match=r"Row 2 of X_query .*'text'"):
            aligner.kneighbors(only, source=source, target="image")
    with pytest.raises(ValueError, match=r"X_query .*'text'.*None"):
        aligner.kneighbors(hide(frame[160:162], "text", [160, 161]), **names)
    with pytest.raises(ValueError, match=r"X_gallery .*'test'"):
        aligner.kneighbors(frame[:3], "test", **names)


@pytest.mark.parametrize("says", ["", "  ", "\n", "zzz", None])
def test_an_empty_text_finds_nothing(says):
    things = pd.DataFrame(
        {
            "says": ["red apple", "green apple", "red car", "green car"] * 5,
            "hue": [0, 120, 0, 120] * 5,
            "wheels": [0, 0, 4, 4] * 5,
        }
    )
    encoders = [("text", TextDescriptor(), "says"), ("looks", StandardScaler(), ["hue", "wheels"])]
    search = make_pipeline(ModalityTransformer(encoders), CrossModalAligner("cca")).fit(things)
    query = pd.DataFrame({"says": [says]}).reindex(columns=things.columns)
    with pytest.raises(ValueError, match=r"X_query .*'text'"):
        search[-1].kneighbors(search[0].transform(query), source="text", target="looks")


# scikit-learn's ways


def test_raw_columns_are_explained():
    X = pd.DataFrame({"name": ["a", "b", "c"], "size": [1.0, 2.0, 3.0]})
    with pytest.raises(ValueError, match=r"'name'.*ModalityTransformer\(\), CrossModalAligner"):
        CrossModalAligner().fit(X)


@pytest.mark.parametrize("query", ["a cat", ["a cat"], [["a cat"]]])
def test_raw_queries_are_explained(aligner, query):
    with pytest.raises(ValueError, match=r"^CrossModalAligner .*\bX\b"):
        aligner.kneighbors(query, source="text", target="image")


def test_pipeline_in_a_grid_search(frame):
    scaled = [
        (name, StandardScaler(), [c for c in frame if c.startswith(name)])
        for name in ("text", "image")
    ]
    columns = frame.rename(columns=lambda name: name.replace("__", "-"))
    scaled = [(n, s, [c.replace("__", "-") for c in names]) for n, s, names in scaled]
    model = make_pipeline(ModalityTransformer(scaled), CrossModalAligner("cca"))
    grid = {"crossmodalaligner__regularization": [0.1, 1.0]}
    search = GridSearchCV(model, grid, cv=3).fit(columns)
    assert search.best_params_["crossmodalaligner__regularization"] == 0.1
    assert list(search.best_estimator_[-1].modalities_) == ["text", "image"]


def test_one_modality_gives_two_views_or_principal_components(frame):
    X = frame.to_numpy()
    with pytest.warns(UserWarning, match=r"\['all'\]"):
        aligner = CrossModalAligner(solver=AdamW(max_iter=3), random_state=0).fit(X)
    assert list(aligner.modalities_) == ["all"]
    assert aligner.score(X) == pytest.approx(1)
    with pytest.warns(UserWarning, match="modality__feature"):
        assert CrossModalAligner("cca").fit(X).n_components_ == 15
    assert list(aligner.history_) == ["loss", "alignment__all__all"]
