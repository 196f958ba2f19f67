"""Beam search: against `generate` of transformers on the same models, and against all texts."""

import itertools
import math

import pytest
import torch
from tiny_text_models import N_TOKENS, make_model

from skmm.generation._beam import beam_search
from skmm.generation._network import NO_TOKEN, token_losses
from skmm.generation._pretrained import PretrainedDecoder
from skmm.generation._steppers import join_inputs
from skmm.generation._transformer import SmallTransformer, TransformerSpec

KINDS = ["llama", "gpt2", "t5", "bart"]
N_ROWS, END = 5, 1


@pytest.fixture(params=KINDS)
def decoder(request):
    model = make_model(request.param).requires_grad_(False)
    model.generation_config.eos_token_id = END
    return PretrainedDecoder(model, [])


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(0)
    prefix = torch.randn(N_ROWS, 3, 16, generator=generator)
    source = torch.randint(2, N_TOKENS, (N_ROWS, 6), generator=generator)
    for row, length in enumerate([6, 3, 0, 1, 6]):
        source[row, length:] = NO_TOKEN
    return prefix, source


@pytest.mark.parametrize("n_beams", [1, 4])
def test_texts_are_those_of_generate(decoder, inputs, n_beams):
    joined = join_inputs(decoder.model, *inputs)
    expected = decoder.model.generate(
        inputs_embeds=joined.embedded,
        attention_mask=joined.present,
        max_new_tokens=12,
        num_beams=n_beams,
        num_return_sequences=n_beams,
        do_sample=False,
        length_penalty=1.0,
        early_stopping=False,
        eos_token_id=END,
        pad_token_id=END,
        return_dict_in_generate=True,
        output_scores=True,
    )
    found = beam_search(decoder.open(*inputs), N_ROWS, n_beams, 12, END)
    sequences = expected.sequences[:, 1:] if decoder.is_encoder_decoder else expected.sequences
    tokens = found.tokens.flatten(0, 1)[:, : sequences.shape[1]]
    assert torch.equal(tokens, sequences)
    if n_beams > 1:
        torch.testing.assert_close(found.scores.flatten(), expected.sequences_scores)


def test_likelihood_of_what_was_found_is_that_of_the_given_text(decoder, inputs):
    found = beam_search(decoder.open(*inputs), N_ROWS, 3, 12, END)
    for beam in range(3):
        tokens = found.tokens[:, beam].clone()
        after_end = (tokens == END).cumsum(1) - (tokens == END).long() > 0
        tokens[after_end] = NO_TOKEN
        losses = token_losses(decoder.logits(*inputs, tokens), tokens).sum(1)
        torch.testing.assert_close(found.log_likelihood[:, beam], -losses)
        lengths = (tokens != NO_TOKEN).sum(1)
        torch.testing.assert_close(found.scores[:, beam], -losses / lengths)


@pytest.fixture
def small():
    spec = TransformerSpec(6, 2, 16, 2, 0.0, start=1, never_generated=(0, 1, 3))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = SmallTransformer(spec).double().requires_grad_(False)
        for p in network.parameters():
            p.add_(0.4 * torch.randn(p.shape))
    return network.eval()


def test_many_beams_find_the_best_of_all_texts(small):
    """Of the tokens 2 (the end), 4 and 5 there are 31 texts of up to 4 tokens with their end."""
    prefix = torch.randn(3, 2, 16, generator=torch.Generator().manual_seed(0)).double()
    source = torch.tensor([[4, 5, 4], [5, NO_TOKEN, NO_TOKEN], [NO_TOKEN] * 3])
    texts = [[*middle, 2] for n in range(4) for middle in itertools.product([4, 5], repeat=n)] + [
        [*middle] for middle in itertools.product([4, 5], repeat=4)
    ]
    found = beam_search(small.open(prefix, source), 3, 40, 4, 2)
    for row in range(3):
        scores = {}
        for text in texts:
            target = torch.tensor([text])
            logits = small.logits(prefix[row : row + 1], source[row : row + 1], target)
            scores[tuple(text)] = -float(token_losses(logits, target).sum()) / len(text)
        best = sorted(scores, key=scores.get, reverse=True)
        tokens = found.tokens[row].tolist()
        cut = [tuple(t[: t.index(2) + 1] if 2 in t else t) for t in tokens]
        assert cut[: len(best)] == best
        expected = torch.tensor([scores[text] for text in best], dtype=torch.float64)
        torch.testing.assert_close(found.scores[row, : len(best)], expected)
        assert (found.scores[row, len(best) :] == -math.inf).all()


def test_rows_do_not_depend_on_each_other(small):
    prefix = torch.randn(4, 2, 16, generator=torch.Generator().manual_seed(1)).double()
    source = torch.tensor([[4, 5, 4], [5, -1, -1], [-1, -1, -1], [4, 4, -1]])
    together = beam_search(small.open(prefix, source), 4, 2, 9, 2)
    for row in range(4):
        length = int((source[row] >= 0).sum())
        alone = beam_search(
            small.open(prefix[row : row + 1], source[row : row + 1, :length]), 1, 2, 9, 2
        )
        assert torch.equal(alone.tokens[0], together.tokens[row])
        torch.testing.assert_close(alone.scores[0], together.scores[row], rtol=0, atol=1e-12)


def test_no_more_tokens_than_asked_for(small):
    prefix = torch.zeros(2, 1, 16).double()
    source = torch.empty(2, 0, dtype=torch.int64)
    for length in (1, 3):
        found = beam_search(small.open(prefix, source), 2, 2, length, 2)
        assert found.tokens.shape == (2, 2, length)
        assert not torch.isin(found.tokens, torch.tensor([0, 1, 3])).any()
