"""TextEncoder(finetune=...): tuned to y, out of fold."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags
from switched_torch import switched
from tiny_text_encoders import WIDTH, draw_texts, save_encoder_model

from skmm import FusionClassifier, ModalityTransformer
from skmm.encoding import EmbeddingCache, LoRA
from skmm.encoding.engine import patch_torchvision
from skmm.text import TextEncoder

patch_torchvision()
from sentence_transformers import SentenceTransformer  # noqa: E402

QUICK = {"rank": 4, "max_iter": 3, "random_state": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_encoder_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def model(folder):
    return SentenceTransformer(folder, device="cpu")


def make(folder, **options):
    cache = options.pop("cache", None)
    return TextEncoder(folder, cache=cache, finetune=LoRA(**{**QUICK, **options}))


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("truncate_dim", 4, "truncate_dim=None, and truncate_dim is 4 now"),
        ("normalize", True, "normalize=False, and normalize is True now"),
        ("prompt", "x: ", "prompt=None, and prompt is 'x: ' now"),
        ("precision", "bfloat16", "precision='float32', and precision is 'bfloat16' now"),
    ],
)
def test_adapters_are_for_the_parameters_that_they_were_trained_with(folder, name, value, match):
    texts, y = draw_texts(20)
    encoder = make(folder, max_iter=1).fit(texts, y)
    before = encoder.transform(texts)
    given = encoder.get_params()[name]
    with pytest.raises(ValueError, match=match):
        encoder.set_params(**{name: value}).transform(texts)
    encoder.set_params(**{name: given}, batch_size=3)
    np.testing.assert_allclose(encoder.transform(texts), before, atol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weight_that_is_no_number_is_named(folder, value):
    texts, y = draw_texts(20)
    weight = np.ones(20)
    weight[7] = value
    with pytest.raises(ValueError, match=f"sample_weight must be finite, and is {value} in row 7"):
        make(folder).fit(texts, y, sample_weight=weight)


def test_learns_what_the_frozen_vectors_do_not_tell(folder):
    texts, y = draw_texts(300)
    new, y_new = draw_texts(200, seed=1)
    frozen = TextEncoder(folder, cache=None)
    linear = LogisticRegression(max_iter=1000).fit(frozen.fit_transform(texts), y)
    tuned = make(folder, max_iter=10, n_layers=3, learning_rate_init=0.01)
    seen = tuned.fit_transform(texts, y)
    unseen = tuned.transform(new)
    assert seen.dtype == unseen.dtype == np.float32
    assert seen.shape == (300, 2)
    before = linear.score(frozen.transform(new), y_new)
    assert (unseen.argmax(1) == y_new).mean() > before + 0.05
    assert (seen.argmax(1) == y).mean() > before


def test_features_of_training_rows_are_out_of_fold(folder):
    """Each row has the features of one model alone, and of the model that has not seen it."""
    texts, y = draw_texts(60)
    encoder = make(folder, learning_rate_init=0.03, max_iter=6)
    seen = encoder.fit_transform(texts, y)
    folds = encoder._tuned["folds"]
    by_fold = []
    for number, arrays in enumerate(folds):
        single = copy.copy(encoder)
        single._tuned = {**encoder._tuned, "folds": [arrays], "digest": str(number)}
        by_fold.append(single.transform(texts))
    is_of_fold = np.stack([np.isclose(features, seen, atol=1e-5).all(1) for features in by_fold])
    np.testing.assert_array_equal(is_of_fold.sum(0), 1)
    np.testing.assert_array_equal(is_of_fold.sum(1), 20)
    np.testing.assert_allclose(encoder.transform(texts), np.mean(by_fold, axis=0), atol=1e-5)


def test_noise_gets_no_weight(folder):
    """Texts that say nothing of y do not count, though their encoder was tuned to y."""
    random = np.random.default_rng(0)
    y = random.integers(0, 2, 300)
    X = pd.DataFrame({"says": draw_texts(300)[0], "size": y + random.normal(size=300)})
    encoders = [("text", make(folder), "says"), ("tabular", "passthrough", ["size"])]
    pipeline = make_pipeline(ModalityTransformer(encoders), FusionClassifier(random_state=0))
    weights = pipeline.fit(X, y)[-1].modality_weights_
    assert weights["text"] < 0.10


def test_lower_layers_see_each_distinct_text_once_in_a_search(model):
    texts, y = draw_texts(40)
    X = pd.DataFrame({"says": texts + texts[:8]})
    y = [*y, *y[:8]]
    n_seen = 0

    def count(layer, inputs):
        nonlocal n_seen
        n_seen += len(inputs[0])

    settings = LoRA(n_layers=2, **{**QUICK, "max_iter": 1})
    encoder = TextEncoder(model, cache=EmbeddingCache(), finetune=settings)
    encoders = [("text", encoder, "says")]
    pipeline = make_pipeline(ModalityTransformer(encoders), LogisticRegression())
    grid = {"modalitytransformer__text__finetune__learning_rate_init": [1e-4, 1e-3, 1e-2]}
    handle = model[0].auto_model.encoder.layer[0].register_forward_pre_hook(count)
    try:
        search = GridSearchCV(pipeline, grid, cv=3, error_score="raise").fit(X, y)
        search.predict(X)
    finally:
        handle.remove()
    assert len(search.cv_results_["params"]) == 3
    assert n_seen == len(set(texts))


@pytest.mark.slow
def test_search_with_processes_chooses_whether_to_tune(folder, tmp_path):
    texts, y = draw_texts(60)
    encoder = TextEncoder(folder, cache=tmp_path / "cache.sqlite")
    pipeline = make_pipeline(encoder, LogisticRegression())
    grid = {"textencoder__finetune": [None, "lora"]}
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2, error_score="raise").fit(texts, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_params_["textencoder__finetune"] in (None, "lora")


def test_one_random_state_gives_one_result(folder):
    texts, y = draw_texts(40)
    encoder = make(folder, dropout=0.2)
    state = torch.random.get_rng_state()
    first = encoder.fit_transform(texts, y)
    torch.testing.assert_close(torch.random.get_rng_state(), state, rtol=0, atol=0)
    again = clone(encoder)
    np.testing.assert_array_equal(again.fit_transform(texts, y), first)
    np.testing.assert_array_equal(again.transform(texts), encoder.transform(texts))
    other = clone(encoder).set_params(finetune__random_state=1).fit_transform(texts, y)
    assert np.abs(other - first).max() > 1e-3


def test_fit_and_fit_transform_learn_the_same(folder):
    texts, y = draw_texts(40)
    fitted, other = make(folder), make(folder)
    other.fit_transform(texts, y)
    np.testing.assert_array_equal(fitted.fit(texts, y).transform(texts), other.transform(texts))
    assert fitted.history_.equals(other.history_)
    assert list(fitted.history_) == ["loss", "validation_loss"]
    assert fitted.history_.index.names == ["fold", "epoch"]


def test_model_stays_as_it_is(model):
    texts, y = draw_texts(40)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    trainable = [p.requires_grad for p in model.parameters()]
    encoder = TextEncoder(model, cache=None, finetune=LoRA(**QUICK)).fit(texts, y)
    encoder.transform(texts)
    assert [p.requires_grad for p in model.parameters()] == trainable
    assert model.state_dict().keys() == before.keys()
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)
    assert all(p.grad is None for p in model.parameters())


def test_pickles_carry_adapters_and_no_model(folder):
    import skops.io

    import skmm

    texts, y = draw_texts(40)
    encoder = make(folder).fit(texts, y)
    expected = encoder.transform(texts)
    pickled = pickle.dumps(encoder)
    assert len(pickled) < 200_000  # the model has 490,000 numbers of words alone
    copies = [pickle.loads(pickled)]
    copies.append(skops.io.loads(skops.io.dumps(encoder), trusted=skmm.trusted_types))
    for again in copies:
        np.testing.assert_array_equal(again.transform(texts), expected)


def test_another_base_model_is_an_error(folder, tmp_path):
    texts, y = draw_texts(40)
    encoder = make(folder).fit(texts, y)
    encoder.model = save_encoder_model(tmp_path, kind="mpnet")
    with pytest.raises(ValueError, match=r"^TextEncoder was fitted with another version"):
        encoder.transform(texts)


def test_vectors_of_two_tunings_are_not_mixed_in_a_cache(folder):
    texts, y = draw_texts(40)
    cache = EmbeddingCache()
    first = make(folder, cache=cache).fit(texts, y)
    second = make(folder, cache=cache, random_state=1).fit(texts, y)
    frozen = TextEncoder(folder, cache=cache).fit_transform(texts)
    assert frozen.shape == (40, WIDTH)
    for encoder in (first, second):
        expected = clone(encoder).set_params(cache=None).fit(texts, y).transform(texts)
        for _ in range(2):  # from the model, and from the cache
            np.testing.assert_allclose(encoder.transform(texts), expected, atol=1e-5)


Y = {
    "strings": (lambda y: np.where(y, "yes", "no"), 2),
    "booleans": (lambda y: y, 2),
    "labels": (lambda y: np.stack([y, ~y, y], axis=1).astype(int), 3),
    "labels, some unknown": (lambda y: np.where(np.eye(len(y), 3), np.nan, y[:, None]), 3),
    "targets": (
        lambda y: pd.DataFrame({"a": np.where(y, "x", "y"), "b": np.arange(len(y)) % 3}),
        5,
    ),
    "numbers": (lambda y: y + np.linspace(0, 0.5, len(y)), 20),
    "few numbers": (lambda y: y * 0.5, 2),
    "many integers": (lambda y: np.arange(len(y)) * 3, 20),
    "several numbers": (lambda y: np.stack([y * 0.5, np.linspace(0, 1, len(y))], axis=1), 22),
}


@pytest.mark.parametrize("kind", Y)
def test_kinds_of_targets(folder, kind):
    texts, y = draw_texts(40)
    target, n_features = Y[kind]
    encoder = make(folder, max_iter=1)
    features = encoder.fit_transform(texts, target(y))
    assert features.shape == (40, n_features)
    assert np.isfinite(features).all()
    assert len(encoder.get_feature_names_out()) == n_features
    assert encoder.transform(["a red cat"]).shape == (1, n_features)


def test_bins_of_numbers_come_from_all_rows(folder):
    texts, _ = draw_texts(30)
    features = make(folder, max_iter=1, n_bins=5).fit_transform(texts, np.linspace(0, 1, 30))
    np.testing.assert_allclose(np.exp(features).sum(1), 1, atol=1e-4)
    assert features.shape == (30, 5)


def test_missing_texts_and_rows_without_weight_take_no_part(folder):
    texts, y = draw_texts(40)
    y = y.astype(object)
    weight = np.ones(46)
    weight[40:43] = 0
    more = [*texts, "odd", "words", "here", None, np.nan, pd.NA]
    y_more = [*y, "odd", "odd", "odd", True, True, True]
    y_more = [str(value) for value in y_more]
    encoder = make(folder)
    features = encoder.fit_transform(more, y_more, sample_weight=weight)
    assert np.isnan(features[43:]).all()
    assert np.isfinite(features[:43]).all()
    # No model has seen the targets of these: they are as new rows.
    np.testing.assert_allclose(features[40:43], encoder.transform(more[40:43]), atol=1e-5)


def test_weights_count(folder):
    texts, y = draw_texts(60)
    plain = make(folder).fit(texts, y)
    weighted = make(folder).fit(texts, y, sample_weight=np.where(y, 5.0, 1.0))
    odds = [np.subtract(*e.transform(texts).T[::-1]).mean() for e in (plain, weighted)]
    assert odds[1] > odds[0] + 0.5
    same = make(folder).fit(texts, y, sample_weight=np.full(60, 3.0))
    np.testing.assert_allclose(same.transform(texts), plain.transform(texts), atol=1e-5)


def test_groups_and_weights_reach_the_encoder_of_a_column(folder):
    """Rows of a group are in one fold: their features are of one model."""
    texts, y = draw_texts(40)
    groups, weight = np.repeat(np.arange(10), 4), np.where(y, 2.0, 1.0)
    alone = make(folder, max_iter=1)
    expected = alone.fit_transform(texts, y, groups=groups, sample_weight=weight)
    without = clone(alone).fit_transform(texts, y)
    assert np.abs(expected - without).max() > 1e-4
    with config_context(enable_metadata_routing=True):
        encoder = clone(alone).set_fit_request(groups=True, sample_weight=True)
        model = ModalityTransformer([("text", encoder, "says")])
        X = pd.DataFrame({"says": texts})
        found = model.fit_transform(X, y, groups=groups, sample_weight=weight)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y": None}, "y is None"),
        ({"y": ["a"] * 12}, "at least 2 classes"),
        ({"y": [1.5] * 12}, "at least 2 classes"),
        ({"y": ["a", "b"]}, "y must have a value for each of 12 rows"),
        ({"y": ["a", "b"] * 6, "groups": ["g"] * 12}, "groups holds one group only"),
        ({"y": ["a", "b"] * 6, "sample_weight": [-1] * 12}, "sample_weight is negative in row 0"),
        ({"y": ["a", "b"] * 6, "sample_weight": [1]}, "sample_weight"),
        ({"y": ["a", None] * 6}, "y contains NaN or None"),
    ],
)
def test_what_cannot_be_tuned_to(folder, arguments, message):
    texts = draw_texts(12)[0]
    for method in ("fit", "fit_transform"):
        with pytest.raises(ValueError, match=message):
            getattr(make(folder), method)(texts, **arguments)


@pytest.mark.parametrize("n_rows", [2, 3, 10])
def test_few_rows(folder, n_rows):
    texts, y = draw_texts(n_rows)[0], np.arange(n_rows) % 2
    features = make(folder).fit_transform(texts, y)
    assert np.isfinite(features).all()
    assert features.shape == (n_rows, 2)


def test_one_row_is_too_few(folder):
    with pytest.raises(ValueError, match="at least 2 rows"):
        make(folder).fit(["red", None, None], ["a", "b", "a"])


def test_frames_have_names(folder):
    texts, y = draw_texts(12)
    encoder = make(folder, max_iter=1).set_output(transform="pandas")
    column = pd.Series(texts, index=np.arange(12) + 5)
    frame = encoder.fit_transform(column, y)
    assert list(frame) == list(encoder.get_feature_names_out()) == ["0", "1"]
    pd.testing.assert_index_equal(frame.index, column.index)
    assert get_tags(encoder).target_tags.required
    assert not get_tags(TextEncoder(folder)).target_tags.required


def test_frozen_again_after_a_fit_without_finetune(folder):
    texts, y = draw_texts(12)
    encoder = make(folder, max_iter=1).fit(texts, y).set_params(finetune=None)
    frozen = TextEncoder(folder, cache=None).fit_transform(texts)
    np.testing.assert_array_equal(encoder.fit_transform(texts, y), frozen)
    assert not hasattr(encoder, "history_")


@pytest.mark.parametrize("options", [{"normalize": True}, {"truncate_dim": 5}, {"prompt": "a: "}])
def test_options_of_vectors_hold_for_tuned_ones(folder, options):
    """The head reads what `encode` of the model gives, as the check of the first batch asserts."""
    texts, y = draw_texts(12)
    encoder = TextEncoder(folder, cache=None, finetune=LoRA(**QUICK), **options).fit(texts, y)
    assert encoder._tuned["n_features"] == options.get("truncate_dim", WIDTH)
    frozen = TextEncoder(folder, cache=None, **options).fit_transform(texts)
    ready = encoder._get_ready()
    vectors = ready._call(ready._backbone.model, ready._tokenize(texts)).detach().numpy()
    np.testing.assert_allclose(vectors, frozen, atol=1e-5)


def test_bfloat16_gives_nearly_the_same(folder):
    texts, y = draw_texts(40)
    exact = make(folder).fit(texts, y).transform(texts)
    encoder = TextEncoder(folder, cache=None, precision="bfloat16", finetune=LoRA(**QUICK))
    features = encoder.fit(texts, y).transform(texts)
    assert np.abs(features - exact).mean() < 0.1
    assert {array.dtype for array in encoder._tuned["folds"][0].values()} == {np.dtype("f4")}


@pytest.mark.parametrize("name", ["float64", "meta", "no_grad", "inference_mode", "autocast"])
def test_what_is_switched_in_torch_does_not_matter(folder, name):
    texts, y = draw_texts(12)
    expected = make(folder, max_iter=1).fit_transform(texts, y)
    with switched(name):
        encoder = make(folder, max_iter=1)
        np.testing.assert_allclose(encoder.fit_transform(texts, y), expected, atol=1e-5)
        assert encoder.transform(texts).dtype == np.float32


def test_unfitted_encoder_says_so(folder):
    with pytest.raises(NotFittedError):
        make(folder).transform(["red"])


def test_names_of_layers_that_are_not_there(folder):
    texts, y = draw_texts(12)
    with pytest.raises(ValueError, match=r"\['q_proj'\].*'dense', 'key', 'query', 'value'"):
        make(folder, target_modules=["query", "q_proj"]).fit(texts, y)


def test_only_named_layers_are_tuned(folder):
    texts, y = draw_texts(12)
    encoder = make(folder, target_modules=["query"], n_layers=2).fit(texts, y)
    names = [name for name in encoder._tuned["folds"][0] if "lora" in name]
    assert len(names) == 4
    assert all(".query." in name and (".1." in name or ".2." in name) for name in names)


def test_model_without_layers():
    from pathlib import Path

    from minilm import MINILM
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(MINILM, "tokenizer.json")))
    static = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=12)])
    with pytest.raises(ValueError, match=r"finetune needs a model .*SentenceTransformer consists"):
        TextEncoder(static, finetune="lora").fit(["a", "b"], [0, 1])


def test_other_backends_are_not_tuned(folder):
    with pytest.raises(ValueError, match=r"finetune='lora' is for backend='torch'"):
        TextEncoder(folder, backend="onnx", finetune="lora").fit(["a", "b"], [0, 1])
