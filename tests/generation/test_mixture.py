"""The likelihood of given texts: weights of retrieval and decoder, learned on unseen rows."""

import numpy as np

from skmm.generation._mixture import draw_contest, learn_likelihood_weights

RNG = np.random.default_rng(0)


def make_terms(*gains):
    """Terms of 80 rows and 10 texts: noise, and a gain of the right text."""
    terms = RNG.normal(size=(3, 80, 10))
    for term, gain in zip(terms, gains, strict=True):
        term[:, 0] += gain
    return terms


def test_a_term_that_says_nothing_has_little_weight():
    weights = learn_likelihood_weights(make_terms(0.0, 2.0, 0.0))
    assert weights.decoder > 1
    assert max(weights.retrieval, weights.prior) < 0.4
    weights = learn_likelihood_weights(make_terms(2.0, 0.0, 0.0))
    assert weights.retrieval > 1
    assert max(weights.decoder, weights.prior) < 0.4


def test_weights_are_not_negative():
    assert min(learn_likelihood_weights(make_terms(1.0, -2.0, -2.0))) == 0


def test_contests_have_the_own_text_first_and_no_equal_one():
    references = [[f"text {i % 30}", f"other {i}"] for i in range(150)]
    contest = draw_contest(references, 0)
    assert len(contest.rows) == len({*contest.rows}) == 100
    assert contest.n_texts == 16
    for row, texts in zip(contest.rows, contest.texts, strict=True):
        assert texts[0] == references[row][0]
        assert len({*texts}) == 16
        assert not {*texts[1:]} & {*references[row]}
    rows, flat = contest.flat
    assert rows[16] == contest.rows[1]
    assert flat[16] == contest.texts[1][0]


def test_without_different_texts_there_is_no_contest():
    assert draw_contest([["same"]] * 5, 0) is None
