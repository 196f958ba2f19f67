"""CrossModalAligner: what it learns, whom it finds, and what it refuses."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmm import ModalityTransformer
from skmm.alignment import CrossModalAligner

QUICK = {"max_iter": 15, "learning_rate_init": 0.02, "dropout": 0.0, "random_state": 0}


def hide(frame, name, rows):
    """Copy a frame with a modality missing from some rows."""
    holes = frame.copy()
    holes.loc[rows, [c for c in frame if c.startswith(f"{name}__")]] = np.nan
    return holes


@pytest.mark.parametrize("alignment", ["contrastive", "correlation"])
@pytest.mark.parametrize("hidden_layer_sizes", [(), (32,)])
def test_planted_correspondence_is_learned_from_scratch(frame, alignment, hidden_layer_sizes):
    aligner = CrossModalAligner(
        alignment, init="random", hidden_layer_sizes=hidden_layer_sizes, n_components=8, **QUICK
    )
    aligner.set_params(max_iter=60).fit(frame[:160])
    untrained = clone(aligner).set_params(max_iter=1, learning_rate_init=1e-9).fit(frame[:160])
    assert aligner.score(frame[160:]) > 0.35 > 0.15 > untrained.score(frame[160:])
    assert aligner.loss_curve_[-1] < aligner.loss_curve_[0] / 1.5
    pairs = ["alignment__text__image", "alignment__image__text"]
    assert list(aligner.history_) == ["loss", *pairs]
    np.testing.assert_allclose(aligner.history_[pairs].mean(axis=1), aligner.loss_curve_)


def test_canonical_correlations_find_pairs(frame, aligner):
    assert aligner.score(frame[160:]) > 0.6
    assert aligner.n_components_ == len(aligner.correlations_) == 6
    assert aligner.n_iter_ == 1
    assert not hasattr(aligner, "history_")


def test_training_goes_on_from_canonical_correlations(frame):
    start = CrossModalAligner("cca").fit(frame)
    still = CrossModalAligner(max_iter=1, learning_rate_init=1e-12, weight_decay=0).fit(frame)
    np.testing.assert_allclose(still.transform(frame), start.transform(frame), atol=1e-5)
    deep = CrossModalAligner(
        max_iter=1, learning_rate_init=1e-12, weight_decay=0, hidden_layer_sizes=8
    ).fit(frame)
    np.testing.assert_allclose(deep.transform(frame), start.transform(frame), atol=1e-5)


def test_hidden_layers_learn_what_is_not_linear():
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(400, 2))
    text = np.hstack([hidden, rng.normal(0, 0.1, (400, 1))])
    X = np.hstack([text, hidden**2, np.abs(hidden)])  # nothing of them is linear in the text
    linear = CrossModalAligner(modalities={"text": 3, "image": 4}, **QUICK)
    deep = clone(linear).set_params(hidden_layer_sizes=(64,), max_iter=60)
    assert deep.fit(X[:300]).score(X[300:]) > 3 * linear.fit(X[:300]).score(X[300:])


def test_classes_are_brought_together(frame):
    y = np.arange(len(frame)) % 2  # which nothing in the rows tells
    classes = np.repeat(["a", "b", "c"], 80)
    X = frame.copy()
    X["text__0"] += np.repeat([0, 4, 8], 80)
    X["image__0"] += np.repeat([8, 0, 4], 80)
    aligner = CrossModalAligner(n_components=4, **QUICK).set_params(max_iter=60)
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


def test_fits_are_identical_and_leave_torch_alone(frame):
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    first = CrossModalAligner(max_iter=2, random_state=0).fit(frame)
    assert torch.equal(torch.random.get_rng_state(), before)
    again = CrossModalAligner(max_iter=2, random_state=0).fit(frame)
    other = CrossModalAligner(max_iter=2, random_state=1).fit(frame)
    np.testing.assert_array_equal(first.embeddings_, again.embeddings_)
    assert not np.array_equal(first.embeddings_, other.embeddings_)


def test_early_stopping(frame):
    aligner = CrossModalAligner(
        init="random", n_components=4, early_stopping=True, n_iter_no_change=3, **QUICK
    )
    aligner.set_params(max_iter=300, learning_rate_init=0.05).fit(frame)
    losses = aligner.history_["validation_loss"]
    assert aligner.n_iter_ < 300
    assert losses.idxmin() <= len(losses) - 3
    with pytest.raises(ValueError, match="at least 2 rows to train on and 2 to hold out"):
        clone(aligner).fit(frame[:8])


# Missing modalities


def test_rows_serve_the_pairs_that_they_have(three):
    holes = hide(hide(three, "audio", slice(0, 79)), "text", slice(80, 159))
    aligner = CrossModalAligner("cca", regularization=0.1).fit(holes[:200])
    assert aligner.score(three[200:]) > 0.6
    trained = CrossModalAligner(**QUICK).fit(holes[:200])
    assert trained.score(three[200:]) > 0.6
    assert np.isnan(aligner.embeddings_).all(axis=2).sum(axis=0).tolist() == [80, 0, 80]
    # what is missing plays no part: with other numbers of rows the same
    never = hide(three, "audio", slice(0, 239))
    never.loc[200:, three.filter(like="audio").columns] = three.loc[200:]
    apart = hide(hide(never, "text", slice(200, 239)), "image", slice(100, 199))
    with_pairs = CrossModalAligner(**QUICK).fit(apart)
    assert list(with_pairs.history_)[1:] == [
        "alignment__text__image",
        "alignment__image__text",
        "alignment__image__audio",
        "alignment__audio__image",
    ]


def test_missing_in_transform(frame, aligner):
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
    there = ~np.isnan(vectors[:, 0])
    np.testing.assert_allclose(np.linalg.norm(vectors[there], axis=1), 1, atol=1e-6)
    with pytest.raises(ValueError, match=r"Row 3 has NaN in 1 of the 6 columns of modality 'text'"):
        aligner.transform(holes.assign(text__1=[np.nan] * 2 + [0.0, np.nan, 0.0, 0.0]))


def test_refuses_what_has_no_pairs(frame, three):
    lonely = hide(hide(frame, "text", slice(0, 119)), "image", slice(119, 239))
    with pytest.raises(ValueError, match="0 of 240 rows have two modalities; at least 2"):
        CrossModalAligner("cca").fit(lonely)
    with pytest.raises(ValueError, match="minimum of 2 is required"):
        CrossModalAligner("cca").fit(frame[:1])
    with pytest.raises(ValueError, match="0 sample"):
        CrossModalAligner("cca").fit(frame[:0])
    alone = hide(three, "audio", slice(0, 199))
    alone = hide(hide(alone, "text", slice(200, 239)), "image", slice(200, 239))
    with pytest.raises(ValueError, match="'audio' is never there together with another"):
        CrossModalAligner("cca").fit(alone)
    still = frame.assign(**dict.fromkeys(frame.filter(like="text"), 1.0))
    with pytest.raises(ValueError, match="No column of modality 'text' varies"):
        CrossModalAligner("cca").fit(still)


@pytest.mark.parametrize("alignment", ["cosine", "mse", "kl"])
def test_refuses_losses_that_collapse(frame, alignment):
    with pytest.raises(ValueError, match=f'alignment="{alignment}" is least where every row'):
        CrossModalAligner(alignment).fit(frame)


def test_refuses_one_class(frame):
    with pytest.raises(ValueError, match="y contains only one class, 'a'"):
        CrossModalAligner().fit(frame, ["a"] * 240)


# Some of the columns


@pytest.mark.parametrize("name", ["text", "image"])
def test_columns_of_one_modality_are_enough(frame, aligner, name):
    expected = aligner.transform(frame, name)
    own = frame.filter(like=name)
    for X in (own, own.iloc[:, ::-1], own.to_numpy()):
        np.testing.assert_allclose(aligner.transform(X, name), expected, atol=1e-6)
    np.testing.assert_allclose(aligner.transform(own), expected, atol=1e-6)
    bare = CrossModalAligner("cca", modalities={"text": 6, "image": 9}, regularization=0.1)
    bare.fit(frame.to_numpy()[:160])
    np.testing.assert_allclose(bare.transform(own.to_numpy(), name), expected, atol=1e-6)


def test_refuses_other_columns(frame, aligner):
    with pytest.raises(ValueError, match=r"X has 5 of the 6 columns of modality 'text'.*'text__0'"):
        aligner.transform(frame.drop(columns="text__0"))
    with pytest.raises(ValueError, match="X has a column 'other' that CrossModalAligner was not"):
        aligner.transform(frame.filter(like="text").assign(other=0.0))
    with pytest.raises(ValueError, match="X has no columns of modality 'image', only those of"):
        aligner.transform(frame.filter(like="text"), "image")
    with pytest.raises(ValueError, match=r"no modality 'sound'; those of X in fit are \['text'"):
        aligner.transform(frame, "sound")
    with pytest.raises(ValueError, match=r"X has 7 columns\. An array needs the 6 .* or all 15"):
        aligner.transform(np.zeros((2, 7)), "text")


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


def test_neighbours_of_missing_modalities(frame, aligner):
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
    with pytest.raises(ValueError, match=r"from 1 to 8, .*that have the modality 'image'; got 9"):
        aligner.kneighbors(queries, gallery, source="text", target="image", n_neighbors=9)
    with pytest.raises(ValueError, match="There is no modality 'sound'"):
        aligner.kneighbors(queries, source="text", target="sound")


def test_gallery_need_not_be_kept(frame):
    aligner = CrossModalAligner("cca", store_embeddings=False).fit(frame)
    assert len(pickle.dumps(aligner)) < 10_000
    with pytest.raises(ValueError, match="give X_gallery"):
        aligner.kneighbors(frame[:2])
    assert aligner.kneighbors(frame[:2], frame)[1].shape == (2, 5)


# scikit-learn's ways


def test_pickle_gives_the_same(frame):
    aligner = CrossModalAligner(max_iter=2, hidden_layer_sizes=(8,), random_state=0).fit(frame)
    again = pickle.loads(pickle.dumps(aligner))
    np.testing.assert_array_equal(again.transform(frame), aligner.transform(frame))


def test_raw_columns_are_explained():
    X = pd.DataFrame({"name": ["a", "b", "c"], "size": [1.0, 2.0, 3.0]})
    with pytest.raises(ValueError, match=r"make_pipeline\(ModalityTransformer\(\), CrossModal"):
        CrossModalAligner().fit(X)


@pytest.mark.parametrize("query", ["a cat", ["a cat"], [["a cat"]]])
def test_raw_queries_are_explained(aligner, query):
    with pytest.raises(ValueError, match=r"X does not hold them.*Encode raw inputs first"):
        aligner.kneighbors(query, source="text", target="image")


def test_pipeline_in_a_grid_search(frame):
    scaled = [
        (name, StandardScaler(), [c for c in frame if c.startswith(name)])
        for name in ("text", "image")
    ]
    columns = frame.rename(columns=lambda name: name.replace("__", "-"))
    scaled = [(n, s, [c.replace("__", "-") for c in own]) for n, s, own in scaled]
    model = make_pipeline(ModalityTransformer(scaled), CrossModalAligner("cca"))
    grid = {"crossmodalaligner__regularization": [0.1, 1.0]}
    search = GridSearchCV(model, grid, cv=3).fit(columns)
    assert search.best_params_["crossmodalaligner__regularization"] == 0.1
    assert list(search.best_estimator_[-1].modalities_) == ["text", "image"]


def test_one_modality_gives_two_views_or_principal_components(frame):
    X = frame.to_numpy()
    with pytest.warns(UserWarning, match=r"one modality, \['all'\].*nothing to align"):
        aligner = CrossModalAligner(random_state=0, max_iter=3).fit(X)
    assert list(aligner.modalities_) == ["all"]
    assert aligner.score(X) == pytest.approx(1)
    with pytest.warns(UserWarning, match="Name columns modality__feature"):
        assert CrossModalAligner("cca").fit(X).n_components_ == 15
    assert list(aligner.history_) == ["loss", "alignment__all__all"]
