"""FusionTextGenerator as scikit-learn and users see it."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sacrebleu
import skops.io
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import skmm
from skmm import AdamW
from skmm.generation import FusionTextGenerator, TextTransformer


def test_names_of_unseen_rows(fitted, unseen):
    texts = fitted.predict(unseen.X)
    assert texts.dtype == object
    assert np.mean(texts == unseen.y) > 0.9


def test_score_is_chrf(fitted, unseen):
    y = unseen.y[::-1]  # wrong for most rows, so that the score is neither 0 nor 1
    expected = sacrebleu.corpus_chrf(list(fitted.predict(unseen.X)), [list(y)]).score / 100
    assert fitted.score(unseen.X, y) == pytest.approx(expected)
    assert 0.1 < expected < 0.9


def test_one_of_several_references_is_enough(fitted, unseen):
    texts = [[wrong, right] for wrong, right in zip(unseen.y[::-1], unseen.y, strict=True)]
    assert fitted.score(unseen.X, texts) == pytest.approx(fitted.score(unseen.X, unseen.y))
    texts[0] = texts[0][1:]  # rows may have different numbers of them
    assert fitted.score(unseen.X, texts) == pytest.approx(fitted.score(unseen.X, unseen.y))


def test_several_texts_with_their_scores(fitted, unseen):
    texts, scores = fitted.predict(unseen.X, n_best=3, return_scores=True)
    assert texts.shape == scores.shape == (40, 3)
    assert (np.diff(scores, axis=1) <= 0).all()
    assert all(len({*row}) == 3 for row in texts)
    first, best = fitted.predict(unseen.X, return_scores=True)
    np.testing.assert_array_equal(texts[:, 0], first)
    np.testing.assert_allclose(scores[:, 0], best)
    for wrong in (0, -1, 1.5, "2"):
        with pytest.raises(ValueError, match="n_best"):
            fitted.predict(unseen.X, n_best=wrong)


def test_texts_do_not_depend_on_the_rows_beside(fitted, unseen):
    X, texts = unseen.X[:12], fitted.predict(unseen.X, n_best=2)[:12]
    alone = np.concatenate([fitted.predict(X[i : i + 1], n_best=2) for i in range(12)])
    np.testing.assert_array_equal(alone, texts)
    likelihood = fitted.log_likelihood(unseen.X, unseen.y)[:12]
    alone = [fitted.log_likelihood(X[i : i + 1], unseen.y[i : i + 1])[0] for i in range(12)]
    np.testing.assert_allclose(alone, likelihood, rtol=1e-10)


def test_likelihood_ranks_texts(fitted, unseen):
    right = fitted.log_likelihood(unseen.X, unseen.y)
    assert (right < 0).all()
    others = [f"a {colour} dog" for colour in ("red", "green")]
    for other in others:
        differs = unseen.y != other
        wrong = fitted.log_likelihood(unseen.X, [other] * 40)
        assert (right > wrong)[differs].mean() > 0.95


def test_likelihoods_of_all_texts_sum_to_less_than_one(quick, training):
    model = quick(solver=AdamW(max_iter=1)).fit(training.X, training.y)
    row = training.X[:1]
    texts = sorted({*training.y})
    total = np.exp(model.log_likelihood(pd.concat([row] * len(texts)), texts)).sum()
    assert 0 < total < 1


def test_contributions_sum_to_the_likelihood(fitted, unseen):
    parts = fitted.contributions(unseen.X, unseen.y)
    assert parts.columns.tolist() == ["paint", "shape", "noise", "prior"]
    assert parts.index.equals(unseen.X.index)
    np.testing.assert_allclose(parts.sum(axis=1), fitted.log_likelihood(unseen.X, unseen.y))
    means = parts.mean()
    assert min(means["paint"], means["shape"]) > 0.5
    assert abs(means["noise"]) < 0.3 * min(means["paint"], means["shape"])


def test_contributions_of_what_is_missing_are_zero(fitted, unseen):
    parts = fitted.contributions(unseen.without("paint"), unseen.y)
    assert (parts["paint"] == 0).all()
    np.testing.assert_allclose(
        parts.sum(axis=1), fitted.log_likelihood(unseen.without("paint"), unseen.y)
    )
    nothing = fitted.contributions(unseen.without("paint", "shape", "noise"), unseen.y)
    assert (nothing[["paint", "shape", "noise"]] == 0).all(axis=None)
    np.testing.assert_allclose(nothing["prior"], parts["prior"])


def test_contributions_say_which_modality_a_word_comes_from(fitted, unseen):
    """With a wrong colour it is the paint that speaks against the text, not the shape."""
    colours = ["red", "green", "grün-blau", "dark grey"]
    wrong = [
        y.replace(colours[i], colours[(i + 1) % 4])
        for y, i in zip(unseen.y, unseen.colour, strict=True)
    ]
    change = fitted.contributions(unseen.X, wrong) - fitted.contributions(unseen.X, unseen.y)
    assert change["paint"].mean() < -2
    assert abs(change["shape"].mean()) < 0.5 * abs(change["paint"].mean())


def test_a_missing_modality(quick, training, unseen):
    X = training.X.copy()
    X.loc[::3, X.columns.str.startswith("paint")] = np.nan
    model = quick(modality_dropout=0.3).fit(X, training.y)
    assert np.mean(model.predict(unseen.X) == unseen.y) > 0.8
    animals = [text.split()[-1] for text in unseen.y]
    texts = model.predict(unseen.without("paint"))
    assert np.mean([t.split()[-1] == a for t, a in zip(texts, animals, strict=True)]) > 0.8


def test_values_of_a_missing_modality_are_not_read(fitted, unseen):
    holes = unseen.without("paint")
    fused = fitted.modality_weights_
    assert fused["paint"] > 0
    np.testing.assert_array_equal(fitted.predict(holes), fitted.predict(holes.copy()))
    with pytest.raises(ValueError, match="paint__1"):
        fitted.predict(unseen.X.assign(paint__1=np.nan))


def test_the_source_text_is_read(quick, training, unseen):
    model = quick(source="word", solver=AdamW(0.01, max_iter=30, batch_size=32))
    model.fit(training.with_source(), training.y)
    assert np.mean(model.predict(unseen.with_source()) == unseen.y) > 0.8
    parts = model.contributions(unseen.with_source(), unseen.y)
    assert parts.columns.tolist() == ["shape", "noise", "source", "prior"]
    assert parts["source"].mean() > 0.5
    no_source = unseen.with_source().assign(word=[None, ""] * 20)
    assert (model.contributions(no_source, unseen.y)["source"] == 0).all()


def test_raw_columns_through_a_transformer(quick, training, unseen):
    raw = training.with_source()
    raw.columns = [name.replace("__", " ") for name in raw]
    numbers = [column for column in raw if column != "word"]

    def name_features(frame):
        kept = frame[numbers]
        return kept.set_axis([f"all__{i}" for i in range(kept.shape[1])], axis=1)

    transformer = FunctionTransformer(name_features)
    model = quick(transformer=transformer, source="word").fit(raw, training.y)
    assert model.modalities_ == {"all": [f"all__{i}" for i in range(8)]}
    assert model.transformer_ is not transformer
    assert model.n_features_in_ == 9
    assert model.feature_names_in_.tolist() == raw.columns.tolist()
    assert not hasattr(transformer, "n_features_in_")
    new = unseen.with_source().set_axis(raw.columns, axis=1)
    assert model.score(new, unseen.y) > 0.5


def test_modality_transformer_reads_raw_columns(quick):
    raw = pd.DataFrame({"says": ["meow", "woof", "moo", "oink"] * 15, "size": [1.0, 2, 3, 4] * 15})
    y = ["cat", "dog", "cow", "pig"] * 15
    model = quick(
        transformer=skmm.ModalityTransformer(overrides={"says": "text"}), source="says"
    ).fit(raw, y)
    assert {*model.modalities_} == {"text", "tabular"}
    assert model.predict(raw[:4]).tolist() == y[:4]


def test_weights_of_modalities(quick, training):
    fixed = {"paint": 3.0, "shape": 1.0, "noise": 0.0}
    model = quick(modality_weights=fixed).fit(training.X, training.y)
    assert model.modality_weights_ == {"paint": 0.75, "shape": 0.25, "noise": 0.0}
    uniform = quick(modality_weights="uniform").fit(training.X, training.y)
    assert [*uniform.modality_weights_.values()] == [pytest.approx(1 / 3)] * 3
    parts = model.contributions(training.X, training.y)
    assert np.abs(parts["noise"]).max() < 1e-9  # what has no weight says nothing
    with pytest.raises(ValueError, match="modality_weights"):
        quick(modality_weights={"paint": 1.0}).fit(training.X, training.y)


def test_order_of_modalities_does_not_matter(quick, training, unseen):
    model = quick(solver=AdamW(0.01, max_iter=2)).fit(training.X, training.y)
    order = [*training.X.columns[::-1]]
    other = quick(solver=AdamW(0.01, max_iter=2)).fit(training.X[order], training.y)
    a = model.contributions(unseen.X, unseen.y)
    b = other.contributions(unseen.X[order], unseen.y)
    assert b.columns.tolist() == ["noise", "shape", "paint", "prior"]
    assert a.columns.tolist() == ["paint", "shape", "noise", "prior"]


# Fits


def test_fits_are_identical_and_leave_torch_alone(quick, training, unseen):
    model = quick(solver=AdamW(0.01, max_iter=2))
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    first = clone(model).fit(training.X, training.y)
    assert torch.equal(torch.random.get_rng_state(), before)
    again = clone(model).fit(training.X, training.y)
    np.testing.assert_array_equal(first.loss_curve_, again.loss_curve_)
    np.testing.assert_array_equal(
        first.log_likelihood(unseen.X, unseen.y), again.log_likelihood(unseen.X, unseen.y)
    )
    other = clone(model).set_params(random_state=1).fit(training.X, training.y)
    assert first.loss_curve_ != other.loss_curve_


def test_early_stopping(quick, training):
    solver = AdamW(0.05, max_iter=200, early_stopping=True, n_iter_no_change=2, tol=0.01)
    model = quick(solver=solver).fit(training.X, training.y)
    assert model.n_iter_ < 200
    assert list(model.history_) == ["loss", "validation_loss"]
    assert model.loss_curve_ == model.history_["loss"].tolist()
    with pytest.raises(ValueError, match=r"1 rows .*decoder=None"):
        quick(solver=solver).fit(training.X[:1], training.y[:1])


def test_several_references_are_learned(quick, training, unseen):
    short = [text.removeprefix("a ") for text in training.y]
    both = [list(pair) for pair in zip(training.y, short, strict=True)]
    model = quick().fit(training.X, both)
    texts = model.predict(unseen.X, n_best=2)
    expected = [{y, y.removeprefix("a ")} for y in unseen.y]
    assert np.mean([{*row} == two for row, two in zip(texts, expected, strict=True)]) > 0.7


def test_max_new_tokens_and_num_beams_act_after_fit(fitted, unseen):
    model = pickle.loads(pickle.dumps(fitted))
    model.set_params(max_new_tokens=2)
    lengths = np.array([*map(len, model.predict(unseen.X))])
    assert (lengths < [*map(len, unseen.y)]).all()
    model.set_params(max_new_tokens=None, num_beams=1)
    assert np.mean(model.predict(unseen.X) == unseen.y) > 0.9
    model.set_params(num_beams=0)
    with pytest.raises(ValueError, match="num_beams"):
        model.predict(unseen.X)


def test_an_interrupt_leaves_what_was_learned(quick, training, unseen, interrupt):
    interrupt(2)
    with pytest.warns(UserWarning, match=r"after \d of 14"):
        model = quick(verbose=True).fit(training.X, training.y)
    assert 2 <= model.n_iter_ <= 9  # the bar is not drawn after each epoch
    assert model.predict(unseen.X).shape == (40,)


def test_a_checkpoint_is_continued(quick, training, unseen, tmp_path, interrupt):
    path = tmp_path / "state"
    whole = quick(solver=AdamW(0.01, max_iter=4)).fit(training.X, training.y)
    model = quick(solver=AdamW(0.01, max_iter=4), checkpoint=path)
    interrupt(3)
    with pytest.warns(UserWarning, match="of 4 epochs"):
        clone(model).set_params(verbose=True).fit(training.X, training.y)
    assert path.exists()
    with pytest.raises(ValueError, match="other data"):
        model.fit(training.X, training.y[::-1])
    with pytest.raises(ValueError, match="prefix_length"):
        clone(model).set_params(prefix_length=3).fit(training.X, training.y)
    model.fit(training.X, training.y)
    assert not path.exists()
    np.testing.assert_array_equal(model.loss_curve_, whole.loss_curve_)
    np.testing.assert_array_equal(
        model.log_likelihood(unseen.X, unseen.y), whole.log_likelihood(unseen.X, unseen.y)
    )


def test_a_fit_without_epochs_leaves_no_checkpoint(training, tmp_path):
    model = FusionTextGenerator(neighbors=2, checkpoint=tmp_path / "state")
    model.fit(training.X[:40], training.y[:40])
    assert not any(tmp_path.iterdir())


# Saving and scikit-learn's tools


def test_copies_write_the_same(fitted, unseen, tmp_path):
    expected = fitted.predict(unseen.X, n_best=2, return_scores=True)
    skops.io.dump(fitted, tmp_path / "model.skops")
    loaded = skops.io.load(tmp_path / "model.skops", trusted=skmm.trusted_types)
    for copy in (pickle.loads(pickle.dumps(fitted)), loaded):
        for value, wanted in zip(
            copy.predict(unseen.X, n_best=2, return_scores=True), expected, strict=True
        ):
            np.testing.assert_array_equal(value, wanted)
        pd.testing.assert_frame_equal(copy.history_, fitted.history_)
        assert copy.modality_weights_ == fitted.modality_weights_
    for value in (b"torch", b"tokenizers"):
        assert value not in pickle.dumps(fitted)


def test_a_transformer_is_saved_with_it(quick, training, unseen):
    model = quick(transformer=StandardScaler().set_output(transform="pandas"))
    model.fit(training.X, training.y)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict(unseen.X), model.predict(unseen.X))


def test_search_and_cross_validation(quick, training):
    X, y = training.X[:90], training.y[:90]
    model = quick(solver=AdamW(0.01, max_iter=3))
    grid = {"decoder__n_layers": [1, 2], "prefix_length": [2]}
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(X, y)
    assert search.best_params_["prefix_length"] == 2
    assert (search.cv_results_["mean_test_score"] > 0).all()
    texts = cross_val_predict(model, X, y, cv=2)
    assert texts.shape == (90,)
    assert all(isinstance(text, str) for text in texts)


def test_in_a_pipeline(quick, training, unseen):
    scaler = StandardScaler().set_output(transform="pandas")
    model = make_pipeline(scaler, quick()).fit(training.X, training.y)
    assert model.score(unseen.X, unseen.y) > 0.8


def test_its_diagram_shows_weights(fitted):
    assert "5 columns, weight" in fitted._repr_html_()
    assert "columns, weight" not in FusionTextGenerator()._repr_html_()


# Bad input


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([1.0] * 20, "FusionRegressor"),
        (["a"] * 19 + [b"b"], "row 19"),
        (["a"] * 3 + [""] + ["a"] * 16, "empty text in row 3"),
        (["a"] * 3 + [" \n"] + ["a"] * 16, "empty text in row 3"),
        (["a"] * 3 + ["ab\ud83d"] + ["a"] * 16, r"'\\ud83d'.*y in row 3, character 2"),
        (["a", None] * 10, "None in row 1"),
        ([["a"], []] * 10, "no text in row 1"),
        ([["a", 5]] * 20, "row 0"),
        ("abc", "a text for each row"),
        (None, "requires y"),
        (["a"] * 19, "inconsistent numbers of samples"),
        (pd.Series(["a", np.nan] * 10, index=[*range(6, 26)]), r"row 1 \(index 7\)"),
    ],
)
def test_texts_that_are_none(quick, training, y, message):
    with pytest.raises(ValueError, match=message):
        quick().fit(training.X[:20], y)


def test_source_columns_that_are_none(quick, training):
    X, y = training.with_source(), training.y
    with pytest.raises(ValueError, match=r"source='words' is not a column of X; it has 'shape__0'"):
        quick(source="words").fit(X, y)
    with pytest.raises(
        ValueError, match=r"source='shape__0' must be a column of texts, got .*row 0"
    ):
        quick(source="shape__0").fit(X, y)
    with pytest.raises(ValueError, match="DataFrame"):
        quick(source="word").fit(X.to_numpy(), y)
    with pytest.raises(ValueError, match="'word'"):  # a text is no feature
        quick().fit(X, y)
    words = pd.Series(["a", "b", *["\udc00"] * (len(X) - 2)], dtype=object)
    with pytest.raises(ValueError, match=r"'\\udc00'.*column 'word', row 2, character 0"):
        quick(source="word").fit(X.assign(word=words), y)
    with pytest.raises(ValueError, match="no column beside"):
        quick(source="word").fit(X[["word"]], y)


def test_modalities_that_are_none(quick, training):
    with pytest.raises(ValueError, match="'paint' is missing"):
        quick().fit(training.without("paint"), training.y)
    renamed = training.X.rename(columns=lambda name: name.replace("paint", "prior"))
    with pytest.raises(ValueError, match="'prior'"):
        quick().fit(renamed, training.y)


def test_rows_without_anything_are_left_out(quick, training):
    X = training.X.copy()
    X.iloc[4] = np.nan
    with pytest.warns(UserWarning, match="row 4"):
        quick(solver=AdamW(max_iter=1)).fit(X, training.y)


def test_parameters_that_do_not_go_together(quick, training):
    for parameters, message in [
        ({"decoder": None, "neighbors": 0}, "nothing writes"),
        ({"finetune": "lora"}, "finetune"),
        ({"decoder": TextTransformer(width=30, n_heads=4)}, "n_heads"),
        ({"decoder": TextTransformer(dropout=1.0)}, "dropout"),
        ({"solver": AdamW(calibrate="temperature")}, "calibrate"),
        ({"num_beams": 0}, "num_beams"),
        ({"neighbors": -1}, "neighbors"),
        ({"device": "abacus"}, "abacus"),
    ]:
        with pytest.raises(ValueError, match=message):
            quick(**parameters).fit(training.X, training.y)


def test_likelihood_needs_one_text_of_each_row(fitted, unseen):
    with pytest.raises(ValueError, match="row 1 has 2"):
        fitted.log_likelihood(unseen.X[:2], [["a"], ["a", "b"]])
    with pytest.raises(ValueError, match="inconsistent"):
        fitted.log_likelihood(unseen.X, ["a"])


def test_before_fit(unseen):
    model = FusionTextGenerator()
    for call in (model.predict, lambda X: model.log_likelihood(X, unseen.y)):
        with pytest.raises(NotFittedError):
            call(unseen.X)
    for name in ("modality_weights_", "history_", "modalities_"):
        assert not hasattr(model, name)


# Candidates of neighbours, and the decoder beside them


@pytest.fixture(scope="module")
def small_training(training):
    return training.X[:120], training.y[:120]


@pytest.fixture(scope="module")
def candidates(small_training):
    model = FusionTextGenerator(neighbors=4, random_state=0)
    return model.fit(*small_training)


@pytest.fixture(scope="module")
def both(quick, small_training):
    return quick(neighbors=4, solver=AdamW(0.01, max_iter=20, batch_size=16)).fit(*small_training)


@pytest.mark.parametrize("name", ["candidates", "both"])
def test_candidates_name_unseen_rows(request, name, unseen, tmp_path):
    model = request.getfixturevalue(name)
    texts, scores = model.predict(unseen.X, n_best=2, return_scores=True)
    assert np.mean(texts[:, 0] == unseen.y) > 0.8
    assert (np.diff(scores, axis=1) <= 0).all()
    weights = model.modality_weights_
    assert weights["noise"] < 0.05 < 0.2 < min(weights["paint"], weights["shape"])
    likelihood = model.log_likelihood(unseen.X, unseen.y)
    wrong = np.roll(unseen.y, 1)
    differs = wrong != unseen.y
    assert (likelihood > model.log_likelihood(unseen.X, wrong))[differs].mean() > 0.9
    parts = model.contributions(unseen.X, unseen.y)
    np.testing.assert_allclose(parts.sum(axis=1), likelihood)
    assert abs(parts["noise"].mean()) < 0.1 * min(parts["paint"].mean(), parts["shape"].mean())
    skops.io.dump(model, tmp_path / "model.skops")
    loaded = skops.io.load(tmp_path / "model.skops", trusted=skmm.trusted_types)
    for copy in (pickle.loads(pickle.dumps(model)), loaded):
        np.testing.assert_array_equal(copy.predict(unseen.X, n_best=2), texts)
        np.testing.assert_array_equal(copy.log_likelihood(unseen.X, unseen.y), likelihood)


def test_without_a_decoder_nothing_is_trained(candidates):
    assert candidates.n_iter_ == 1
    for name in ("history_", "loss_curve_"):
        with pytest.raises(AttributeError, match="decoder=None"):
            getattr(candidates, name)


def test_candidates_without_a_modality(candidates, unseen):
    animals = [text.split()[-1] for text in unseen.y]
    texts = candidates.predict(unseen.without("paint"))
    assert np.mean([t.split()[-1] == a for t, a in zip(texts, animals, strict=True)]) > 0.8


def test_a_row_without_anything_gets_a_typical_text(candidates, both, small_training, unseen):
    """Of all training texts the one that is nearest to the others, whole, with the best chrF."""
    nothing = unseen.without("paint", "shape", "noise")[:2]
    seen = [*small_training[1]]
    nearness = {
        text: np.mean([sacrebleu.sentence_chrf(text, [other]).score for other in seen])
        for text in set(seen)
    }
    assert candidates.predict(nothing).tolist() == [max(nearness, key=nearness.get)] * 2
    assert {*both.predict(nothing)} <= {*seen}


def test_two_likely_texts_do_not_become_one():
    """X says nothing of y, and chrF would reward both in one."""
    rng = np.random.default_rng(0)
    X, names = rng.normal(size=(120, 4)), ["red cat", "blue dog", "green fish", "grey bird"]
    y = [names[i] for i in rng.integers(0, 4, 120)]
    model = FusionTextGenerator(neighbors=8, random_state=0).fit(X[:100], y[:100])
    assert max(map(len, model.predict(X[100:]))) <= max(map(len, names))


def test_candidates_do_not_depend_on_the_rows_beside(candidates, unseen):
    X, y = unseen.X, unseen.y
    alone = [candidates.log_likelihood(X[i : i + 1], y[i : i + 1])[0] for i in range(len(y))]
    np.testing.assert_allclose(alone, candidates.log_likelihood(X, y), rtol=1e-9, atol=1e-9)


def test_frames_of_polars_with_a_source(training, unseen):
    polars = pytest.importorskip("polars")
    model = FusionTextGenerator(source="word", neighbors=2, random_state=0)
    X, new = training.with_source(), unseen.with_source().assign(word=[None, *unseen.words[1:]])
    expected = clone(model).fit(X[:60], training.y[:60]).predict(new)
    model.fit(polars.from_pandas(X[:60]), training.y[:60].tolist())
    np.testing.assert_array_equal(model.predict(polars.from_pandas(new)), expected)


def test_weights_are_fixed_for_candidates_too(small_training, unseen):
    weights = {"paint": 0.0, "shape": 1.0, "noise": 0.0}
    model = FusionTextGenerator(neighbors=4, modality_weights=weights)
    model.fit(*small_training)
    assert model.modality_weights_ == weights
    np.testing.assert_array_equal(
        model.predict(unseen.X), model.predict(unseen.X.assign(paint__0=9.0, paint__1=-9.0))
    )


def test_the_source_text_is_copied():
    """Texts of words that no training row has, which only the source tells."""
    rng = np.random.default_rng(0)
    words = [
        "".join(rng.choice([*"bdfgklmnprst"], 3) + rng.choice([*"aeiou"], 3)) for _ in range(130)
    ]
    X = pd.DataFrame({"size": rng.normal(size=130), "word": words})
    y = [f"the {word}" for word in words]
    model = FusionTextGenerator(neighbors=4, source="word", random_state=0)
    texts = model.fit(X[:120], y[:120]).predict(X[120:])
    assert np.mean(texts == y[120:]) > 0.6
    assert model.modality_weights_["source"] > 0.5


def with_photos_of_items(names, seed, n_rows_of_item=4):
    """Return X with pictures that are equal in rows of one item, but say nothing of new items."""
    item = np.arange(len(names.X)) // n_rows_of_item
    photos = np.random.default_rng(seed).normal(size=(item.max() + 1, 6))[item]
    columns = [f"photo__{i}" for i in range(6)]
    return pd.concat([names.X, pd.DataFrame(photos, columns=columns)], axis=1), item


@pytest.mark.parametrize("parameters", [{"decoder": None, "neighbors": 8}, {"neighbors": 0}])
def test_rows_of_a_group_are_held_out_together(quick, training, parameters):
    X, item = with_photos_of_items(training, seed=3)
    y = [training.y[4 * i] for i in item]  # rows of one item have one name
    X.loc[:, X.columns.str.startswith(("paint", "shape"))] += np.random.default_rng(0).normal(
        0, 0.7, (len(X), 10)
    )
    generator = quick(solver=AdamW(0.01, max_iter=1), **parameters)
    by_row, by_group = (
        clone(generator).fit(X, y, groups=groups).modality_weights_["photo"]
        for groups in (None, item)
    )
    assert by_row > 0.3
    assert by_group < 0.1


@pytest.mark.parametrize("groups", [[1, 2, 3], np.ones(260)], ids=["too few", "one"])
def test_unusable_groups_are_named(quick, training, groups):
    with pytest.raises(ValueError, match="groups"):
        quick().fit(training.X, training.y, groups=groups)


@pytest.mark.parametrize("n_rows", [2, 3, 5])
def test_a_few_rows_are_enough(quick, training, n_rows):
    X, y = training.X[:n_rows], training.y[:n_rows]
    generator = quick(neighbors=4, solver=AdamW(0.01, max_iter=2)).fit(X, y)
    assert all(isinstance(text, str) for text in generator.predict(X))


@pytest.mark.parametrize("blank", [None, "", "  "])
def test_a_source_that_no_row_has_is_an_error(quick, training, blank):
    X = training.X.assign(word=blank)
    with pytest.raises(ValueError, match="source"):
        quick(source="word").fit(X, training.y)


def test_several_columns_of_the_name_of_the_source_are_an_error(quick, training):
    X = training.with_source()
    with pytest.raises(ValueError, match="'word'"):
        quick(source="word").fit(pd.concat([X, X[["word"]]], axis=1), training.y)


def test_unusable_groups_are_named_before_anything_is_encoded(quick, training):
    def refuse(X):
        raise RuntimeError("encoded")

    with pytest.raises(ValueError, match="groups"):
        quick(transformer=FunctionTransformer(refuse)).fit(training.X, training.y, groups=[1, 2])
