import pickle

import numpy as np
import pytest
from generation_shapes import PAIRS, make_shapes, name
from sacrebleu.metrics import CHRF

from skmm.generation import _fitted_retrieval, _regression, _retrieval
from skmm.generation._retrieval import fit_retrieval
from skmm.generation._rows import RetrievalSettings

TEST = np.arange(len(PAIRS)) % 7 == 3
TRAIN_PAIRS = [pair for pair, is_test in zip(PAIRS, TEST, strict=True) if not is_test] * 2
TEST_PAIRS = [pair for pair, is_test in zip(PAIRS, TEST, strict=True) if is_test]
REFERENCES = [[name(pair)] for pair in TRAIN_PAIRS]
NAMES = [name(pair) for pair in TEST_PAIRS]
WEIGHT = np.ones(len(TRAIN_PAIRS))
GROUPS = np.arange(len(TRAIN_PAIRS)) % (len(TRAIN_PAIRS) // 2)  # copies stay together


def fit(rows=None, references=REFERENCES, weight=WEIGHT, groups=GROUPS, seed=0, **settings):
    rows = make_shapes(TRAIN_PAIRS) if rows is None else rows
    return fit_retrieval(rows, references, weight, groups, RetrievalSettings(**settings), seed)


def best(fitted, rows):
    return [found[0].text for found in fitted.propose(rows)]


def score(texts, right=NAMES):
    return CHRF().corpus_score(texts, [right]).score


@pytest.fixture(scope="module")
def fitted():
    return fit()


@pytest.fixture(scope="module")
def queries():
    return make_shapes(TEST_PAIRS, seed=1)


def test_edits_write_names_that_no_training_row_has(fitted, queries):
    seen = {text for group in REFERENCES for text in group}
    assert not seen & set(NAMES)
    texts = best(fitted, queries)
    nearest = max(score([text] * len(NAMES)) for text in seen)
    assert set(texts) & set(NAMES)
    assert score(texts) > max(60, nearest + 20)


def test_noise_has_hardly_a_weight(fitted):
    weights = dict(zip(fitted.space.names, fitted.modality_weights, strict=True))
    assert sum(weights.values()) == pytest.approx(1)
    assert weights["noise"] < 0.1


def test_best_come_first_and_differ(fitted, queries):
    for found in fitted.propose(queries, 5):
        assert len({candidate.text for candidate in found}) == len(found) == 5
        scores = [candidate.score for candidate in found]
        assert scores == sorted(scores, reverse=True)


def test_a_row_gets_the_same_alone_and_among_others(fitted, queries):
    alone = [fitted.propose(queries.take(slice(i, i + 1)), 3)[0] for i in range(queries.n_rows)]
    for one, other in zip(alone, fitted.propose(queries, 3), strict=True):
        assert [c.text for c in one] == [c.text for c in other]
        np.testing.assert_allclose([c.score for c in one], [c.score for c in other], atol=1e-5)


def test_equal_seeds_give_equal_fits_and_pickles_keep_them(fitted, queries):
    again, loaded = fit(), pickle.loads(pickle.dumps(fitted))
    assert fitted.propose(queries, 3) == again.propose(queries, 3) == loaded.propose(queries, 3)


def test_rows_may_lack_modalities_and_source(fitted, queries):
    present = np.zeros_like(queries.present)
    present[0, 0] = present[1, 2] = True
    blocks = {
        key: np.where(present[:, [i]], block, 0).astype(np.float32)
        for i, (key, block) in enumerate(queries.blocks.items())
    }
    rows = queries._replace(blocks=blocks, present=present, source=[""] * queries.n_rows)
    texts = best(fitted, rows)
    assert NAMES[0].split()[0] in texts[0]  # only the colour is known
    assert NAMES[1].split()[1] in texts[1]  # only the shape
    assert all(texts)
    parts = fitted.contributions(rows, NAMES)
    np.testing.assert_array_equal(parts[:, :3][~present], 0)


def test_given_texts_are_ranked(fitted, queries):
    right = fitted.log_scores(queries, NAMES)
    assert (right > fitted.log_scores(queries, NAMES[1:] + NAMES[:1])).all()


def test_contributions_sum_to_the_score_and_name_who_knows(fitted, queries):
    wrong_color = [
        name(("grey" if color != "grey" else "red", shape)) for color, shape in TEST_PAIRS
    ]
    parts = fitted.contributions(queries, NAMES)
    np.testing.assert_allclose(parts.sum(1), fitted.log_scores(queries, NAMES))
    change = (parts - fitted.contributions(queries, wrong_color)).mean(0)
    assert change[0] > 0  # of the colour
    assert abs(change[1]) < 0.2 * change.sum()  # of noise


def test_a_decoder_counts_as_much_as_it_helps(queries):
    fitted = fit(rows=make_shapes(TRAIN_PAIRS, source=False))
    ignorant = queries._replace(present=np.zeros_like(queries.present), source=None)
    right = [[(text, -0.1), ("x", -5.0)] for text in NAMES]
    fitted.learn_decoder_weight(ignorant, [[text] for text in NAMES], right)
    assert fitted.decoder_weight > 0
    texts = [found[0].text for found in fitted.propose(ignorant, 1, right)]
    assert score(texts) > score(best(fitted, ignorant)) + 30
    wrong = [[("zzzz", -0.1)] for _ in NAMES]
    fitted.learn_decoder_weight(queries._replace(source=None), [[text] for text in NAMES], wrong)
    assert fitted.decoder_weight == 0


def test_extra_texts_are_candidates_even_without_neighbors(queries):
    fitted = fit(rows=make_shapes(TRAIN_PAIRS, source=False), n_neighbors=0)
    rows = queries._replace(source=None)
    assert fitted.propose(rows) == [[]] * rows.n_rows
    extra = [[("a", -1.0), ("b", -2.0)]] * rows.n_rows
    assert {c.text for c in fitted.propose(rows, 3, extra)[0]} == {"a", "b"}


def test_rows_without_weight_play_no_part(queries):
    weight = np.where(np.arange(len(TRAIN_PAIRS)) < len(TRAIN_PAIRS) // 2, 1.0, 0.0)
    spoiled = [["zzz"] if not w else text for text, w in zip(REFERENCES, weight, strict=True)]
    assert "zzz" not in fit(references=spoiled, weight=weight).texts.pieces.texts


def test_fewer_landmarks_than_rows_do_nearly_as_well(queries, monkeypatch):
    monkeypatch.setattr(_retrieval, "MAX_LANDMARKS", 40)
    monkeypatch.setattr(_regression, "CHUNK", 7)
    fitted = fit()
    assert fitted.targets.shape[0] == 40
    assert score(best(fitted, queries)) > 60
    assert (
        fitted.log_scores(queries, NAMES) > fitted.log_scores(queries, NAMES[::-1])
    ).mean() > 0.5


def test_chunks_of_queries_change_nothing(fitted, queries, monkeypatch):
    expected = best(fitted, queries)
    monkeypatch.setattr(_fitted_retrieval, "QUERY_CHUNK", 2)
    assert best(fitted, queries) == expected


def test_several_references_are_all_candidates(queries):
    references = [[*group, group[0].upper()] for group in REFERENCES]
    found = fit(references=references, modality_weights=np.full(4, 0.25)).propose(queries, 30)
    assert any(c.text.isupper() for group in found for c in group)


@pytest.mark.parametrize("n_rows", [1, 2, 3])
def test_few_rows_are_enough(n_rows, queries):
    rows = make_shapes(TRAIN_PAIRS).take(slice(0, n_rows))
    fitted = fit(rows, REFERENCES[:n_rows], np.ones(n_rows), None)
    assert len(best(fitted, queries)) == queries.n_rows
    assert np.isfinite(fitted.log_scores(queries, NAMES)).all()


def test_equal_texts_everywhere_are_repeated(queries):
    fitted = fit(references=[["gleich"]] * len(TRAIN_PAIRS))
    assert best(fitted, queries._replace(source=[""] * queries.n_rows)) == ["gleich"] * len(NAMES)


def test_captions_of_twenty_words_are_chosen_not_edited(queries):
    caption = " and then ".join(["{} {} on a table"] * 5)
    references = [[caption.format(*pair, *pair, *pair, *pair, *pair)] for pair in TRAIN_PAIRS]
    fitted = fit(rows=make_shapes(TRAIN_PAIRS, source=False), references=references)
    assert set(best(fitted, queries._replace(source=None))) <= {group[0] for group in references}
