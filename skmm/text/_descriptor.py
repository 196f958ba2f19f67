"""TextDescriptor: texts by their words, without a pretrained model."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from .._data.cells import as_column, is_missing, shorten
from .._data.columns import number_features
from ..encoding.engine import check_texts, set_column_tags
from ._counting import TOKENS, compute_tfidf, count_tokens, learn_vocabulary, segment_texts

if TYPE_CHECKING:
    from numpy.random import RandomState

FITTED_CHARACTERS = 10_000_000
CHUNK_CHARACTERS = 1_000_000
MOST_COMPONENTS, FEWEST_COMPONENTS = 256, 10  # of "auto"
LEAST_SINGULAR_VALUE = 1e-4  # of the largest; below are rounding errors


class TextDescriptor(TransformerMixin, BaseEstimator):
    """Describe texts by their words and parts of words, without a pretrained model.

    TF-IDF of words and TF-IDF of runs of 2 to 5 characters within words, reduced by a truncated
    singular value decomposition (latent semantic analysis [1]_). In scripts without blanks
    (Chinese, Japanese, Thai, Lao, Khmer, Burmese) each character and each pair of characters
    counts as a word, and the runs are of 1 to 5 characters.

    Parameters
    ----------
    n_components : int or "auto", default="auto"
        Number of features; fewer where the training texts do not allow so many. "auto" is 256, but
        at most a quarter of the number of distinct training texts: with more, each of them has a
        direction to itself, which is of little use for new ones.
    min_df : int, default=1
        Words and runs in fewer texts than this are ignored.
    max_features : int, default=50_000
        The most frequent words, and the most frequent runs, that are kept.
    random_state : int, RandomState instance or None, default=0
        Determines the decomposition.

    Attributes
    ----------
    vocabularies_ : dict of str to dict
        The columns of the words ("words") and of the runs of characters ("runs") that are counted.
    idf_ : dict of str to ndarray
        The inverse document frequencies of the words and of the runs.
    svd_ : TruncatedSVD
        The decomposition.
    n_components_ : int
        Number of features: the components whose singular value is more than a rounding error.
    n_features_in_ : int
        1, the column.

    See Also
    --------
    skmm.ModalityTransformer : Apply it to a column of a frame.

    Notes
    -----
    Missing texts (None, NaN, pd.NA) become a row of NaN. An empty text is not missing; it has
    zeros.

    What is a script without blanks is decided character by character: in "iPhone手机" one word is
    Latin, and the two characters are Chinese. A character includes its combining marks, such as the
    vowel signs of Thai. Texts that have such characters are normalized (NFKC), which makes
    full-width letters and punctuation, and half-width kana, equal to the usual ones.

    Of more than ten million characters, `fit` learns from a random sample of texts that has so
    many, and memory stays bounded.

    References
    ----------
    .. [1] S. Deerwester et al., "Indexing by latent semantic analysis", Journal of the American
       Society for Information Science 41(6), 1990.

    Examples
    --------
    >>> from skmm.text import TextDescriptor
    >>> texts = ["a red apple", "a green apple", None, "a fast train"]
    >>> TextDescriptor(n_components=2).fit_transform(texts).shape
    (4, 2)
    """

    _parameter_constraints: ClassVar[dict] = {
        "n_components": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "min_df": [Interval(Integral, 1, None, closed="left")],
        "max_features": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        n_components: int | str = "auto",
        min_df: int = 1,
        max_features: int = 50_000,
        random_state: int | RandomState | None = 0,
    ):
        self.n_components = n_components
        self.min_df = min_df
        self.max_features = max_features
        self.random_state = random_state

    def fit(self, X, y=None):
        """Learn the vocabulary and the decomposition from the texts that are present.

        Parameters
        ----------
        X : Series, frame of one column, list or array of str
            The column.
        y : None
            Ignored.

        Returns
        -------
        TextDescriptor
            The fitted estimator.
        """
        self.fit_transform(X, y)
        return self

    # scikit-learn's mixin takes parameters of fit, of which there are none.
    @_fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X, y=None):  # pyright: ignore[reportIncompatibleMethodOverride]
        """Learn from the texts and describe them.

        Parameters
        ----------
        X : Series, frame of one column, list or array of str
            The column.
        y : None
            Ignored.

        Returns
        -------
        ndarray of shape (n_samples, n_features), float32
            NaN in the rows of missing texts.

        Raises
        ------
        TypeError
            If a cell is not a text; the message names the row.
        ValueError
            If all texts are missing, or none has any word or run of characters.
        """
        texts, present = self._read(X)
        self.n_features_in_ = 1
        if not texts:
            raise ValueError(
                f"TextDescriptor found nothing to count: all {len(present)} texts are missing. "
                "Drop the column, or fit on rows that have texts."
            )
        random_state = check_random_state(self.random_state)
        sample = _sample(texts, random_state)
        blocks = self._learn_tokens(sample)
        if sum(block.shape[1] for block in blocks) < 2:  # as TruncatedSVD needs
            raise ValueError(
                f"TextDescriptor found nothing to count in {len(texts)} texts, the first being "
                f"{shorten(texts[0])}. Is it the right column? If it is, lower min_df="
                f"{self.min_df} or raise max_features={self.max_features}."
            )
        counts: Any = sparse.hstack(blocks, format="csr")
        counts.sort_indices()  # as transform has them: the same sums, to the last bit
        n_components = min(self._choose_n_components(sample), *counts.shape)
        with np.errstate(invalid="ignore"):  # its shares of a variance that is 0 if texts are equal
            self.svd_ = TruncatedSVD(n_components, random_state=random_state).fit(counts)
        singular_values = self.svd_.singular_values_
        kept = singular_values > LEAST_SINGULAR_VALUE * singular_values[0]
        self.n_components_ = max(1, int(kept.sum()))
        described = self._reduce(counts) if sample is texts else self._transform_texts(texts)
        return _scatter(described, present)

    def transform(self, X):
        """Describe texts.

        Parameters
        ----------
        X : Series, frame of one column, list or array of str
            The column.

        Returns
        -------
        ndarray of shape (n_samples, n_features), float32
            NaN in the rows of missing texts.

        Raises
        ------
        TypeError
            If a cell is not a text; the message names the row.
        """
        check_is_fitted(self)
        texts, present = self._read(X)
        if not texts:
            return _scatter(np.empty((0, self.n_components_)), present)
        return _scatter(self._transform_texts(texts), present)

    def get_feature_names_out(self, input_features=None):
        """Name the features.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        ndarray of str
            ``"0"`` to ``"n_features - 1"``.
        """
        check_is_fitted(self)
        return number_features(self.n_components_)

    def _read(self, X) -> tuple[list[str], np.ndarray]:
        column = as_column(X, estimator="TextDescriptor")
        present = np.array([not is_missing(cell) for cell in column.cells])
        rows = np.flatnonzero(present).tolist()
        check_texts(column, rows, estimator="TextDescriptor")
        return [column.cells[row] for row in rows], present

    def _choose_n_components(self, texts: list[str]) -> int:
        if not isinstance(self.n_components, str):
            return self.n_components
        return min(MOST_COMPONENTS, max(FEWEST_COMPONENTS, len(set(texts)) // 4))

    def _learn_tokens(self, texts: list[str]) -> list[sparse.csr_matrix]:
        """Set the vocabularies and their weights, and return TF-IDF of words and of runs."""
        self.vocabularies_, self.idf_, blocks = {}, {}, []
        segmented = segment_texts(texts)
        for name, list_tokens in TOKENS.items():
            vocabulary, counts = learn_vocabulary(
                segmented, list_tokens, min_df=self.min_df, max_features=self.max_features
            )
            if vocabulary:  # in texts such as "?!" there are no words
                self.vocabularies_[name] = vocabulary
                self.idf_[name] = TfidfTransformer().fit(counts).idf_
                blocks.append(compute_tfidf(counts, self.idf_[name]))
        return blocks

    def _transform_texts(self, texts: list[str]) -> np.ndarray:
        """Transform texts in chunks, whose counts take little memory."""
        chunk_of = np.cumsum([len(text) for text in texts]) // CHUNK_CHARACTERS
        bounds = np.flatnonzero(np.diff(chunk_of)) + 1
        described = []
        for chunk in np.split(np.array(texts, dtype=object), bounds):
            segmented = segment_texts(chunk.tolist())
            blocks = [
                compute_tfidf(count_tokens(segmented, TOKENS[name], vocabulary), self.idf_[name])
                for name, vocabulary in self.vocabularies_.items()
            ]
            counts: Any = sparse.hstack(blocks, format="csr")
            described.append(self._reduce(counts))
        return np.concatenate(described)

    def _reduce(self, counts: sparse.csr_matrix) -> np.ndarray:
        return np.asarray(counts @ self.svd_.components_.T)[:, : self.n_components_]

    def __sklearn_tags__(self):
        return set_column_tags(super().__sklearn_tags__())


def _sample(texts: list[str], random_state: np.random.RandomState) -> list[str]:
    """Return all texts, or a random sample if they are very long together."""
    lengths = np.array([len(text) for text in texts])
    if lengths.sum() <= FITTED_CHARACTERS:
        return texts
    order = random_state.permutation(len(texts))
    n_sampled = max(1, np.searchsorted(lengths[order].cumsum(), FITTED_CHARACTERS, side="right"))
    return [texts[i] for i in np.sort(order[:n_sampled])]


def _scatter(values: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Return the values of the rows that are present, and NaN in the other rows."""
    scattered = np.full((len(present), values.shape[1]), np.nan, dtype=np.float32)
    scattered[present] = values
    return scattered
