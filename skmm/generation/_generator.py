"""FusionTextGenerator: what scikit-learn sees of texts that are generated from what was fused."""

from __future__ import annotations

import os
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils import check_consistent_length
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import (
    check_is_fitted,
)

from .._data.columns import ModalityColumns
from .._data.fitted import FittedMixin
from .._data.rows import check_groups
from .._html import block_of_modalities, describe_width
from .._hyperparameters import AdamW
from ._problem import GenerationProblem, InputRows, read_references
from ._reading import read_rows, read_training_rows
from ._scorers import corpus_score
from ._settings import PRIOR, SOURCE, TextTransformer, resolve_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.random import RandomState

    from ._fitted import FittedGenerator


class FusionTextGenerator(FittedMixin, BaseEstimator):
    """Write texts from several modalities: names, captions, translations.

    The texts of similar training rows, and edits of these, are candidates, ranked by the n-grams
    that the modalities predict. With ``decoder`` a network writes texts, too: it reads the fused
    modalities of a row as a prefix [1]_, and may read a source text.

    The defaults need no choice. Where you have one to make, look at these, in this order:

    1. ``transformer``: what encodes raw columns, such as `skmm.ModalityTransformer`;
    2. ``source``: the column of texts to translate, or otherwise read token by token;
    3. ``decoder``: where rows are many, or a pretrained model fits the language;
    4. ``solver``: how long and with how much regularisation it is trained.

    Parameters
    ----------
    transformer : transformer or None, default=None
        Makes the features from X: it is cloned, and fitted in `fit`. None: X holds features.
    source : str, default=None
        A column of X with texts that may be copied, and edited, and that the decoder reads token by
        token, beside what is fused. Without ``transformer`` it is no feature; a ``transformer``
        sees it as any other column.
    decoder : None, "transformer", TextTransformer, str or path-like, default=None
        What writes texts beside the candidates of ``neighbors``. None: nothing does. "transformer"
        is ``TextTransformer()``, a small Transformer that is trained from nothing: of hundreds or
        thousands of rows it takes minutes and hardly improves the texts. Any other string is the
        name, on the Hugging Face hub, or the folder of a causal or sequence-to-sequence model of
        transformers, or the path of a GGUF file.
    modalities : None, "prefix" or dict, default=None
        Which columns make up a modality. None reads names of the form ``modality__feature``, and
        takes all columns for one modality where names have no such form. "prefix" insists on
        them. A dict gives columns (names, positions or a slice) for each name, or, for columns
        that stand in order, the number of columns for each name.
    modality_weights : None, "uniform" or dict of str to float, default=None
        How much each modality counts and, with ``source``, the "source" text: among neighbours, and
        those of the modalities in what is fused. None: they are learned from rows that are left
        out. A dict fixes them.
    modality_dropout : float, default=0.1
        The probability with which each modality of a row, and its source text, is left out in a
        step of training, never all of them.
    prefix_length : int, default=8
        The number of vectors that the decoder reads of what is fused.
    neighbors : int, default=16
        The number of training rows whose texts, and their edits, are candidates. A ``decoder``
        counts beside them as much as rows that are held out show that it helps, if they do. 0: the
        decoder alone.
    finetune : {"lora"} or None, default=None
        How a pretrained decoder is adapted. None: it stays as it is, and the prefix alone is
        trained. "lora" trains two small matrices beside each of its linear maps, too [2]_.
    num_beams : int, default=4
        The number of texts that beam search keeps of each row. It acts after `fit`, too.
    max_new_tokens : int, default=None
        The most tokens of a text that is written. None: half more than the longest in `fit`.
    solver : {"adamw"} or AdamW, default="adamw"
        How prefix and decoder are trained. "adamw" is
        ``AdamW(early_stopping=True, n_iter_no_change=5)``. "auto" is a ``learning_rate_init`` of
        0.002, a ``weight_decay`` of 0.1, 30 epochs and a ``batch_size`` of a tenth of the texts
        but at least 16 and at most 128; of a pretrained decoder 0.0003, 0.01, 10 and 8 to 32.
        ``calibrate`` has to stay at its default.
    checkpoint : path-like, default=None
        A file to which the state of training is written after each epoch of a decoder. A fit with
        the same data and parameters goes on from there; when the fit is done, it is removed.
    random_state : int, RandomState instance or None, default=None
        Determines the first weights, batches, dropout and the rows held out. On one machine's CPU
        an int makes fits bit-identical. torch's own generator is left as it was.
    device : str, default="auto"
        The device that torch computes on: "cpu", "cuda", "cuda:1", "mps". "auto" is "cuda" where
        there is one.
    verbose : bool, default=False
        Whether to show a progress bar.

    Attributes
    ----------
    modality_weights_ : dict of str to float
        How much each modality counts and, with ``source``, "source"; they sum to 1.
    modalities_ : dict of str to list
        The columns of each modality, by name or by position; with ``transformer``, of the features
        that it makes.
    transformer_ : transformer
        The fitted ``transformer``, if there is one.
    history_ : DataFrame of shape (`n_iter_`, 1) or (`n_iter_`, 2)
        The loss in each epoch, in nats for a token; with rows held out also "validation_loss".
        Missing with ``decoder=None``.
    loss_curve_ : list of float
        The loss in each epoch. Missing with ``decoder=None``.
    n_iter_ : int
        The number of epochs; 1 with ``decoder=None``.
    n_features_in_ : int
        Number of features seen in `fit`, without the source; with ``transformer`` of raw columns.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, if X has names that are all strings.

    See Also
    --------
    TextTransformer : The decoder that is trained from nothing.
    chrf : Make a scorer for searches, as `bleu` does.
    skmm.ModalityTransformer : Make the columns from raw text, images and tables.

    Notes
    -----
    A modality is missing from a row if all of its columns are NaN there; the others then have its
    weight. A source text is missing if its cell is None, NaN or blank.

    A text of ``y`` is one string of a row; where rows have several, such as five captions of a
    picture, ``y`` is a list of lists. Each is learned from, and together they weigh as one.

    References
    ----------
    .. [1] R. Mokady, A. Hertz, A. H. Bermano, "ClipCap: CLIP prefix for image captioning",
       arXiv:2111.09734, 2021.
    .. [2] E. J. Hu et al., "LoRA: low-rank adaptation of large language models", ICLR 2022.

    Examples
    --------
    Colours come from one modality, animals from another:

    >>> import numpy as np
    >>> import pandas as pd
    >>> from skmm import AdamW
    >>> from skmm.generation import FusionTextGenerator, TextTransformer
    >>> rng = np.random.default_rng(0)
    >>> colour, animal = rng.integers(0, 3, (2, 240))
    >>> X = pd.DataFrame(np.hstack([np.eye(3)[colour], np.eye(3)[animal]]))
    >>> X.columns = [f"paint__{i}" for i in range(3)] + [f"shape__{i}" for i in range(3)]
    >>> names = np.array([["red", "green", "blue"], ["cat", "dog", "fish"]])
    >>> y = [f"a {names[0, i]} {names[1, j]}" for i, j in zip(colour, animal)]
    >>> decoder = TextTransformer(n_layers=1, width=32, dropout=0.0)
    >>> solver = AdamW(0.01, max_iter=15)
    >>> generator = FusionTextGenerator(decoder=decoder, solver=solver, neighbors=0, random_state=0)
    >>> generator.fit(X[:200], y[:200]).score(X[200:], y[200:]) > 0.9
    True

    Which of two texts is likelier, and what each modality says of them:

    >>> two = X[200:201]
    >>> right, wrong = y[200], "a red fish" if y[200] != "a red fish" else "a blue cat"
    >>> bool(generator.log_likelihood(two, [right]) > generator.log_likelihood(two, [wrong]))
    True
    >>> generator.contributions(two, [right]).columns.tolist()
    ['paint', 'shape', 'prior']
    """

    _fitted: FittedGenerator
    n_features_in_: int

    _parameter_constraints: ClassVar[dict] = {
        "transformer": [None, HasMethods(["fit", "transform"])],
        "source": [None, str],
        "decoder": [None, str, os.PathLike, TextTransformer],
        "modalities": [None, StrOptions({"prefix"}), dict],
        "modality_weights": [None, StrOptions({"uniform"}), dict],
        "modality_dropout": [Interval(Real, 0, 1, closed="left")],
        "prefix_length": [Interval(Integral, 1, None, closed="left")],
        "neighbors": [Interval(Integral, 0, None, closed="left")],
        "finetune": [None, StrOptions({"lora"})],
        "num_beams": [Interval(Integral, 1, None, closed="left")],
        "max_new_tokens": [None, Interval(Integral, 1, None, closed="left")],
        "solver": [StrOptions({"adamw"}), AdamW],
        "checkpoint": [None, str, os.PathLike],
        "random_state": ["random_state"],
        "device": [str],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        transformer: Any = None,
        *,
        source: str | None = None,
        decoder: str | os.PathLike | TextTransformer | None = None,
        modalities: str | Mapping[str, Any] | None = None,
        modality_weights: str | Mapping[str, float] | None = None,
        modality_dropout: float = 0.1,
        prefix_length: int = 8,
        neighbors: int = 16,
        finetune: str | None = None,
        num_beams: int = 4,
        max_new_tokens: int | None = None,
        solver: str | AdamW = "adamw",
        checkpoint: str | os.PathLike | None = None,
        random_state: int | RandomState | None = None,
        device: str = "auto",
        verbose: bool | int = False,
    ):
        self.transformer = transformer
        self.source = source
        self.decoder = decoder
        self.modalities = modalities
        self.modality_weights = modality_weights
        self.modality_dropout = modality_dropout
        self.prefix_length = prefix_length
        self.neighbors = neighbors
        self.finetune = finetune
        self.num_beams = num_beams
        self.max_new_tokens = max_new_tokens
        self.solver = solver
        self.checkpoint = checkpoint
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    @property
    def modalities_(self):
        """The columns of each modality."""
        return self._fitted_attribute("modalities_").columns.named

    @property
    def modality_weights_(self):
        """How much each modality counts."""
        fitted = self._fitted_attribute("modality_weights_")
        names = [*fitted.columns.names, *([SOURCE] if self.source is not None else [])]
        weights = _to_user(fitted.columns, fitted.alpha)
        return dict(zip(names, weights.tolist(), strict=True))

    @property
    def history_(self):
        """The loss in each epoch."""
        history = self._fitted_attribute("history_").history
        if history is None:
            raise AttributeError("With decoder=None nothing is trained in epochs.")
        return history

    @property
    def loss_curve_(self):
        """The loss in each epoch."""
        return self.history_["loss"].tolist()

    @property
    def n_iter_(self):
        """The number of epochs; 1 without a decoder."""
        history = self._fitted_attribute("n_iter_").history
        return 1 if history is None else len(history)

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, groups=None):
        """Learn to write the texts of rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or DataFrame of raw columns
            Features, or with ``transformer`` what it takes. With ``source`` a DataFrame.
        y : array-like of str of shape (n_samples,), or list of list of str
            The text of each row, or its texts.
        groups : array-like of shape (n_samples,), default=None
            Group labels: rows that are held out, to learn weights or for early stopping, are whole
            groups. Give them where new rows are of new groups, such as pictures that have several
            rows each: a picture that was seen would otherwise name the text, and weigh too much.

        Returns
        -------
        FusionTextGenerator
            The estimator itself.

        Raises
        ------
        ValueError
            If a text in y is no string or empty, ``source`` is no column of texts, a modality is
            missing from all rows, parameters contradict each other, or training diverges.
        OSError
            If a pretrained ``decoder``, or its tokenizer, is neither on this machine nor to be
            had.
        """
        from ._fit import fit

        references = read_references(y)
        check_consistent_length(X, references)
        labels = check_groups(groups, len(references))  # before the transformer runs
        rows, columns = read_training_rows(self, X)
        settings = resolve_settings(self, columns)
        self._fitted = fit(GenerationProblem(rows, references, columns, labels), settings)
        return self

    def _read_rows(self, X) -> InputRows:
        """Validate rows to generate texts for, and the parameters that act after `fit`."""
        check_is_fitted(self)
        self._validate_params()
        return read_rows(self, X, self._fitted.columns)

    def predict(self, X, *, n_best=None, return_scores=False):
        """Write the text of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or DataFrame of raw columns
            As in `fit`.
        n_best : int, default=None
            The number of texts of each row, the best first. None: one, without a second axis.
        return_scores : bool, default=False
            Whether to return the scores by which texts are ranked, too.

        Returns
        -------
        texts : ndarray of str of shape (n_samples,) or (n_samples, n_best)
            The texts; "" where fewer than ``n_best`` were found.
        scores : ndarray of shape (n_samples,) or (n_samples, n_best)
            With ``return_scores``: the higher the better, to be compared within a row; -inf where
            no text was found. Of a decoder alone the mean log-likelihood of a token.

        Raises
        ------
        ValueError
            If X is not like that of `fit`, or ``n_best`` is less than 1.
        """
        if n_best is not None and not (isinstance(n_best, Integral) and int(n_best) >= 1):
            raise ValueError(f"n_best must be an integer from 1 on, or None, got {n_best!r}.")
        texts, scores = self._write(X, 1 if n_best is None else int(n_best))
        if n_best is None:
            texts, scores = texts[:, 0], scores[:, 0]
        return (texts, scores) if return_scores else texts

    def _write(self, X, n_best: int) -> tuple[np.ndarray, np.ndarray]:
        """Write the best texts of each row, with their scores (n, n_best) both."""
        rows = self._read_rows(X)
        found = self._fitted.propose(rows, n_best, self.num_beams, self.max_new_tokens, self.device)
        texts = np.full((len(found), n_best), "", dtype=object)
        scores = np.full((len(found), n_best), -np.inf)
        for row, candidates in enumerate(found):
            for rank, (text, score) in enumerate(candidates):
                texts[row, rank], scores[row, rank] = text, score
        return texts, scores

    def log_likelihood(self, X, y):
        """Compute how likely given texts are: which of several fits a row best.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or DataFrame of raw columns
            As in `fit`.
        y : array-like of str of shape (n_samples,)
            A text of each row.

        Returns
        -------
        ndarray of shape (n_samples,)
            The log-likelihood of the text, in nats, to be compared within a row. With
            ``neighbors=0`` that of the decoder, of all texts and their ends. With
            ``decoder=None`` how much likelier it is than for a row of which nothing is known, by
            a regression from the row to the text's character n-grams: about 0 of a text that has
            none of those in `fit`, so that it tells likely texts apart, and not texts from
            nonsense. How much each modality counts is learned where it is hard: among texts that
            one of them takes for likely. With both a sum of these, whose weights make the right
            texts of held-out rows likeliest among others.

        Raises
        ------
        ValueError
            If X is not like that of `fit`, or y holds anything but one text of each row.
        """
        rows, texts = self._read_pairs(X, y)
        return self._fitted.log_likelihood(rows, texts, self.device)

    def contributions(self, X, y):
        """Split `log_likelihood` by modality: by how many nats each made the text likelier.

        The regression behind the candidates is a sum over the modalities, and its parts are the
        terms of that sum. Those of the decoder are Shapley values [1]_: what its log-likelihood
        gains when a modality, or the source text, is added to others, averaged over the orders in
        which they can be added. It runs once for each subset of these; one that is left out is
        missing, and the others have its weight.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or DataFrame of raw columns
            As in `fit`.
        y : array-like of str of shape (n_samples,)
            A text of each row.

        Returns
        -------
        DataFrame of shape (n_samples, n_modalities + 1) or (n_samples, n_modalities + 2)
            Nats of each modality, in the order of ``modalities_``, with ``source`` of "source", and
            of "prior", the log-likelihood before anything of the row is known. The sum of a row is
            its `log_likelihood`. 0 for what a row lacks.

        Raises
        ------
        ValueError
            If X or y are as they may not be in `log_likelihood`, or there are more than 10 inputs.

        References
        ----------
        .. [1] L. S. Shapley, "A value for n-person games", Contributions to the Theory of Games 2,
           1953.
        """
        rows, texts = self._read_pairs(X, y)
        columns = self._fitted.columns
        parts = _to_user(columns, self._fitted.contributions(rows, texts, self.device))
        names = [*columns.names, *([SOURCE] if self.source is not None else []), PRIOR]
        index = X.index if isinstance(X, pd.DataFrame) else None
        return pd.DataFrame(parts, index=index, columns=pd.Index(names))

    def score(self, X, y):
        """Return the character n-gram F-score (chrF) of what is written [1]_.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or DataFrame of raw columns
            As in `fit`.
        y : array-like of str of shape (n_samples,), or list of list of str
            The right text of each row, or several of which each is right.

        Returns
        -------
        float
            The chrF of all texts together, by sacrebleu, from 0 to 1.

        References
        ----------
        .. [1] M. Popović, "chrF: character n-gram F-score for automatic MT evaluation", WMT 2015.
        """
        references = read_references(y)
        check_consistent_length(X, references)
        texts, _ = self._write(X, 1)
        return corpus_score("CHRF", {}, texts[:, 0].tolist(), references)

    def _read_pairs(self, X, y) -> tuple[InputRows, list[str]]:
        """Validate rows, and one text of each."""
        references = read_references(y)
        check_consistent_length(X, references)
        several = next((row for row, texts in enumerate(references) if len(texts) > 1), None)
        if several is not None:
            raise ValueError(
                f"y must hold one text of each row here, and row {several} has "
                f"{len(references[several])}: ask for each of them."
            )
        return self._read_rows(X), [texts[0] for texts in references]

    def __getstate__(self):
        """Pickle plain data, so that few types need to be trusted, and no GPU be there."""
        state = dict(cast(dict[str, Any], super().__getstate__()))
        if "_fitted" in state:
            state["_fitted"] = self._fitted.to_plain()
        return state

    def __setstate__(self, state):
        state = dict(state)
        if "_fitted" in state:
            from ._fitted import FittedGenerator

            state["_fitted"] = FittedGenerator.from_plain(state["_fitted"])
        super().__setstate__(state)

    def _sk_visual_block_(self):
        check_is_fitted(self)  # before, scikit-learn catches the error and draws one box
        weights, contents = self.modality_weights_, []
        for name, columns in self.modalities_.items():
            contents.append(f"{describe_width(columns)}, weight {weights[name]:.2f}")
        return block_of_modalities([*self.modalities_], contents, [*self.modalities_.values()])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


def _to_user(columns: ModalityColumns, values: np.ndarray) -> np.ndarray:
    """Reorder the modalities, which stand before other inputs on the last axis."""
    m = len(columns.names)
    ordered = columns.to_user(values[..., :m], axis=-1)
    return np.concatenate([ordered, values[..., m:]], axis=-1)
