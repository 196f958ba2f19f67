"""From a problem and settings to what is fitted: where numpy ends and torch begins."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from .._data.columns import ModalityColumns
from .._data.persistence import digest_arrays
from .._data.random_states import open_random_state
from .._data.rows import check_each_is_present, sample_holdout
from .._data.scaling import ColumnScaler
from .._progress import progress_bar
from .._torch.checkpoint import Checkpoint
from .._torch.device import choose_device
from .._torch.generators import Generators, use_generators
from .._torch.loop import EpochLoop, warn_of_interrupt
from .._torch.modes import training_modes
from .._torch.tensors import TrainingTensors
from .._warnings import warn_user
from ._decoder import DecoderSpec, FittedDecoder, build_network
from ._fitted import FittedGenerator, as_extra, make_decoder_rows
from ._fitted_retrieval import FittedRetrieval
from ._mixture import RETRIEVAL_ALONE, draw_contest, learn_likelihood_weights
from ._network import NO_TOKEN, pad_tokens
from ._objective import GenerationObjective
from ._prefix import PrefixSpec
from ._pretrained import (
    PretrainedSpec,
    PretrainedVocabulary,
    load_model,
    load_vocabulary,
)
from ._problem import GenerationProblem
from ._retrieval import fit_retrieval
from ._rows import GenerationRows, RetrievalSettings
from ._settings import GenerationSettings, TextTransformer
from ._transformer import TransformerSpec
from ._vocabulary import Vocabulary
from ._weights import fused_weights, learn_weights

N_HIDDEN = 256  # the width of f_i
PREFIX_DROPOUT = 0.1  # before a pretrained decoder
LENGTH_RATIO = 1.5  # of the longest text that is generated to the longest of the fit
MAX_TARGET = 512  # tokens of a text that are learned from


@training_modes()
def fit(problem: GenerationProblem, settings: GenerationSettings) -> FittedGenerator:
    """Fit a decoder to a problem.

    Raises
    ------
    ValueError
        If a modality is missing from all rows, too few rows can be held out, or training diverges.
    """
    problem = _select_rows(problem)
    checkpoint = None if settings.checkpoint is None else Checkpoint(settings.checkpoint)
    random_state = open_random_state(settings.random_state, checkpoint)
    fitting, held_out = _split_rows(problem, settings, random_state)
    seed = random_state.randint(np.iinfo(np.int32).max)
    rows, columns = problem.rows, problem.columns
    every, weight = np.arange(rows.n_rows), np.ones(rows.n_rows)
    scaler = ColumnScaler.fit(rows.X, every, columns.network_groups, rows.present, weight)
    scaled = rows.scale(columns, scaler)
    retrieval, n_neighbors = None, settings.n_neighbors
    if n_neighbors:
        wanted = RetrievalSettings(n_neighbors, settings.alpha)
        retrieval = _fit_retrieval(problem, scaled, wanted, fitting, seed)
    alpha = _find_weights(problem, scaled, settings, retrieval, fitting, seed)
    fitted = FittedGenerator(columns, scaler, alpha, retrieval=retrieval)
    is_whole = True
    if settings.decoder is not None:
        trained = _fit_decoder(
            problem, settings, fitted, scaled, (fitting, held_out), seed, checkpoint
        )
        fitted.decoder, fitted.history, is_whole = trained
    if retrieval is not None and fitted.decoder is None:
        fitted.likelihood_weights = RETRIEVAL_ALONE
    elif retrieval is not None and held_out is not None:
        unseen = scaled.take(held_out), [problem.references[i] for i in held_out]
        _learn_mixture(fitted, *unseen, settings, seed)
        # What was learned of unseen rows stays; the candidates are those of all rows.
        wanted = RetrievalSettings(n_neighbors, alpha)
        fitted.retrieval = _fit_retrieval(problem, scaled, wanted, every, seed)
        fitted.retrieval.decoder_weight = retrieval.decoder_weight
    if checkpoint and is_whole:  # not before: an interrupt here would cost the epochs
        checkpoint.remove()
    return fitted


def _learn_mixture(
    fitted: FittedGenerator,
    rows: GenerationRows,
    references: list[list[str]],
    settings: GenerationSettings,
    seed: int,
) -> None:
    """Learn how much the decoder counts beside retrieval, on rows that neither has seen."""
    decoder, retrieval = fitted.decoder, fitted.retrieval
    assert decoder is not None
    assert retrieval is not None
    decoder_rows = make_decoder_rows(rows, decoder.vocabulary)
    written = decoder.search(
        decoder_rows, settings.num_beams, settings.max_new_tokens, settings.device
    )
    retrieval.learn_decoder_weight(rows, references, as_extra(written))
    fitted.likelihood_weights = RETRIEVAL_ALONE
    contest = draw_contest(references, seed)
    if contest is not None:
        index, texts = contest.flat
        terms = fitted.likelihood_terms(rows.take(index), texts, settings.device)
        terms = terms.reshape(len(terms), -1, contest.n_texts)
        fitted.likelihood_weights = learn_likelihood_weights(terms)


def _fit_retrieval(
    problem: GenerationProblem,
    scaled: GenerationRows,
    settings: RetrievalSettings,
    index: np.ndarray,
    seed: int,
) -> FittedRetrieval:
    """Fit candidates and their ranking to the rows ``index``."""
    references, groups = problem.select_texts(index)
    return fit_retrieval(
        scaled.take(index), references, np.ones(len(index)), groups, settings, seed
    )


def _find_weights(
    problem: GenerationProblem,
    scaled: GenerationRows,
    settings: GenerationSettings,
    retrieval: FittedRetrieval | None,
    index: np.ndarray,
    seed: int,
) -> np.ndarray:
    """Return alpha: fixed, or learned from rows that were left out."""
    if settings.alpha is not None:
        return settings.alpha
    if retrieval is not None:
        return retrieval.modality_weights
    if len(scaled.blocks) == 1 and scaled.source is None:
        return np.ones(1)
    return learn_weights(scaled.take(index), *problem.select_texts(index), seed)


def _select_rows(problem: GenerationProblem) -> GenerationProblem:
    """Leave out rows that have nothing to generate a text from.

    Raises
    ------
    ValueError
        If a modality is missing from every row.
    """
    rows = problem.rows
    check_each_is_present(rows.present, problem.columns.network_names)
    if rows.source is not None and not any(rows.source):
        raise ValueError("The source text is missing from every training row: leave source out.")
    is_empty = np.logical_not(rows.inputs.any(axis=1))
    if not is_empty.any():
        return problem
    warn_user(
        f"{is_empty.sum()} of {rows.n_rows} training rows have no modality (the first is row "
        f"{is_empty.argmax()}); they are left out.",
    )
    index = np.flatnonzero(~is_empty)
    references, groups = problem.select_texts(index)
    return problem._replace(rows=rows.take(index), references=references, groups=groups)


def _split_rows(
    problem: GenerationProblem, settings: GenerationSettings, random_state: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray | None]:
    """Split rows into those to fit and those to hold out; each with all of its texts."""
    n_rows = problem.rows.n_rows
    if not settings.holds_out:
        return np.arange(n_rows), None
    fraction = max(settings.solver.validation_fraction, 1 / n_rows)  # one row at least
    held_out = sample_holdout(np.zeros(n_rows), fraction, random_state, problem.groups)
    if held_out.all():
        raise ValueError(
            f"Of {n_rows} rows none is left to train on once {held_out.sum()} are held out, to end "
            "training or to learn how much the decoder counts. decoder=None needs none held out, "
            "nor do neighbors=0 and early_stopping=False together."
        )
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


class RepeatedRows:
    """Rows of an array, one for each text: those of a row with several are stored once."""

    def __init__(self, x: np.ndarray, index: np.ndarray):
        self.x, self.index = x, index
        self.shape, self.nbytes = (len(index), x.shape[1]), x.nbytes

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        return self.x[self.index[rows]]


class TextPairs(NamedTuple):
    """A row for each text, of which rows that have several stand here several times."""

    tensors: TrainingTensors
    row: np.ndarray  # (n_texts,) of the problem
    n_source: int  # columns of ``tensors.target`` that hold the source


class TrainedDecoder(NamedTuple):
    """What training has made."""

    decoder: FittedDecoder
    history: pd.DataFrame
    is_whole: bool  # False after an interrupt


def _fit_decoder(
    problem: GenerationProblem,
    settings: GenerationSettings,
    fitted: FittedGenerator,
    scaled: GenerationRows,
    split: tuple[np.ndarray, np.ndarray | None],
    seed: int,
    checkpoint: Checkpoint | None,
) -> TrainedDecoder:
    """Build a network and train it."""
    device = choose_device(settings.device)
    vocabulary = _find_vocabulary(problem, settings.decoder)
    pairs = _make_pairs(scaled, problem.references, vocabulary, device)
    fitting = _find_texts(pairs, split[0], device)
    held_out = None if split[1] is None else _find_texts(pairs, split[1], device)
    if checkpoint:
        checkpoint.identify({**settings.identity, "data": _digest(pairs, fitting, fitted.alpha)})
    spec = _make_spec(fitted.columns, settings, vocabulary, seed, device)
    objective = GenerationObjective(pairs.n_source)
    training = settings.training(len(fitting))
    with use_generators(Generators.seeded(device, seed)):
        alpha = fused_weights(fitted.alpha, len(scaled.blocks))
        network = build_network(spec, alpha, device)
        loop = EpochLoop(network, pairs.tensors, fitting, held_out, objective, training)
        is_whole = _train(loop, checkpoint)
    objective.prepare_evaluation(network, pairs.tensors, fitting)
    longest = int((pairs.tensors.target[:, pairs.n_source :] != NO_TOKEN).sum(1).max())
    max_length = math.ceil(LENGTH_RATIO * longest)
    decoder = FittedDecoder(spec, vocabulary, max_length, network.cpu().eval())
    return TrainedDecoder(decoder, objective.history_frame(loop.history), is_whole)


def _train(loop: EpochLoop, checkpoint: Checkpoint | None) -> bool:
    """Run the epochs; return whether they came to their end, and were not interrupted."""
    n_epochs, verbose = loop.settings.max_iter, loop.settings.verbose
    with progress_bar(desc="generation", total=n_epochs, verbose=verbose) as bar:
        try:
            loop.run(bar, checkpoint)
        except KeyboardInterrupt:
            if not loop.history.terms:
                raise
            warn_of_interrupt(len(loop.history.terms), n_epochs)
            return False
    return True


def _find_vocabulary(
    problem: GenerationProblem, decoder: TextTransformer | str | None
) -> Vocabulary | PretrainedVocabulary:
    """Load the tokenizer of a model, or learn the subwords of all texts and source texts."""
    if isinstance(decoder, str):
        return load_vocabulary(decoder)
    assert decoder is not None
    texts = [text for of_row in problem.references for text in of_row]
    return Vocabulary.learn(texts + (problem.rows.source or []), decoder.vocabulary_size)


def _make_pairs(
    scaled: GenerationRows,
    references: list[list[str]],
    vocabulary: Vocabulary | PretrainedVocabulary,
    device: torch.device,
) -> TextPairs:
    """Pair each text with its row; the texts of a row have the weight of one, together."""
    rows = make_decoder_rows(scaled, vocabulary)
    n_texts = np.array([len(texts) for texts in references])
    row = np.repeat(np.arange(len(n_texts)), n_texts)
    texts = [text for of_row in references for text in of_row]
    source, target = pad_tokens(rows.source), pad_tokens(_encode(texts, vocabulary))
    weight = 1 / n_texts[row]
    tensors = TrainingTensors(
        RepeatedRows(rows.x, row),
        torch.from_numpy(rows.inputs[row]).to(device),
        torch.from_numpy(np.hstack([source[row], target])).to(device),
        torch.from_numpy((weight / weight.mean()).astype(np.float32)).to(device),
    )
    return TextPairs(tensors, row, source.shape[1])


def _encode(texts: list[str], vocabulary: Vocabulary | PretrainedVocabulary) -> list[list[int]]:
    """Encode the texts to learn; of very long ones the beginning."""
    tokens = vocabulary.encode_target(texts)
    is_long = [len(ids) > MAX_TARGET for ids in tokens]
    if any(is_long):
        warn_user(
            f"{sum(is_long)} of {len(texts)} texts in y are longer than {MAX_TARGET} tokens; of "
            "these the beginning is learned."
        )
    return [ids[:MAX_TARGET] for ids in tokens]


def _find_texts(pairs: TextPairs, rows: np.ndarray, device: torch.device) -> torch.Tensor:
    """Return the positions of the texts of some rows."""
    return torch.from_numpy(np.flatnonzero(np.isin(pairs.row, rows))).to(device)


def _make_spec(
    columns: ModalityColumns,
    settings: GenerationSettings,
    vocabulary: Vocabulary | PretrainedVocabulary,
    seed: int,
    device: torch.device,
) -> DecoderSpec:
    """Return what the network is built from."""
    widths = [len(positions) for positions in columns.network_groups.values()]
    length, own = settings.prefix_length, settings.decoder
    if isinstance(own, str):
        loaded = load_model(own, device)
        prefix = PrefixSpec(widths, N_HIDDEN, PREFIX_DROPOUT, length, loaded.width, loaded.scale)
        pretrained = PretrainedSpec(own, settings.finetune, seed, loaded.n_tokens, loaded.digest)
        return DecoderSpec(prefix, None, pretrained)
    assert own is not None
    assert isinstance(vocabulary, Vocabulary)
    return DecoderSpec(
        PrefixSpec(widths, N_HIDDEN, own.dropout, length, own.width, 1.0),
        TransformerSpec(
            vocabulary.n_tokens,
            own.n_layers,
            own.width,
            own.n_heads,
            own.dropout,
            vocabulary.start,
            vocabulary.never_generated,
        ),
        None,
    )


def _digest(pairs: TextPairs, fitting: torch.Tensor, alpha: np.ndarray) -> str:
    """Digest the data of a fit, so that another one is not taken for it."""
    x = pairs.tensors.x
    assert isinstance(x, RepeatedRows)
    tensors = [*pairs.tensors[1:], fitting]
    return digest_arrays([x.x, x.index, alpha, *(tensor.cpu().numpy() for tensor in tensors)])
