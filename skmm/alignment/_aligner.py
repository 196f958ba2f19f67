"""CrossModalAligner: what scikit-learn sees of a shared space of modalities."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from .._data.columns import ModalityColumns, group_columns
from .._data.fitted import FittedMixin
from .._data.rows import number_equal_rows
from .._data.validation import (
    FLOATS,
    check_known,
    find_classes,
    friendlier_errors,
)
from .._html import block_of_modalities, describe_width
from .._hyperparameters import MLP, AdamW
from ._partial_rows import PartialRows, check_queries, read_partial_rows
from ._problem import make_problem
from ._retrieval import (
    mean_direction,
    mean_over_pairs,
    nearest,
    pair_ranks,
    separating_distance,
)
from ._settings import COLLAPSING, resolve_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.random import RandomState

    from ._fitted import FittedAligner


class CrossModalAligner(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, FittedMixin, BaseEstimator
):
    """Map modalities into one space, in which those of the same row are near each other.

    It learns from paired rows, without labels, and finds pictures by a text, texts by a sound and
    so on: nearness is measured by the cosine, and all vectors have length 1.

    The defaults need no choice. Where you have one to make, look at these, in this order:

    1. ``modalities``: which columns belong together, unless their names say it;
    2. ``alignment``: "cca" where fitting has to be quick, and for a first look;
    3. ``regularization``: less where rows are many and columns few;
    4. ``modality_model``: hidden layers, where what modalities have in common is not linear;
    5. ``solver``: how long and with how much regularisation is trained.

    Parameters
    ----------
    alignment : {"contrastive", "correlation", "cca"}, default="contrastive"
        What is learned. "contrastive": each row has to find its own vector of the other modality
        among those of its batch, in both directions [1]_. "correlation": each dimension correlates
        with itself in the other modality, and with no other (Barlow Twins [2]_). "cca": regularised
        canonical correlations [3]_, of more than two modalities the generalised ones named MAXVAR
        [4]_, in closed form. The other losses of `FusionClassifier`, "cosine", "mse" and "kl", are
        least where all rows are mapped to one point, and are an error.
    modalities : None, "prefix" or dict, default=None
        Which columns make up a modality. None reads names of the form ``modality__feature``, and
        takes all columns for one modality where names have no such form. "prefix" insists on
        them. A dict gives columns (names, positions or a slice) for each name, or, for columns
        that stand in order, the number of columns for each name.
    modality_model : {"linear"} or MLP, default="linear"
        The map of each modality. "linear" is ``MLP(hidden_layer_sizes=())``. With hidden layers a
        perceptron is added to a linear map. ``dropout`` is the share of hidden units, and
        ``input_dropout`` that of inputs, that are left out in training; None is ``dropout`` for
        those of the linear map and 0.4 times that for those of the perceptron. ``n_members``,
        ``sharing`` and ``missing`` have to stay at their defaults. With "cca" all maps are linear.
    n_components : int, default=256
        The dimensions of the space. Where it comes from canonical correlations, there are no more
        of them than columns outside of the widest modality.
    regularization : float, default=0.5
        How far covariances within a modality are shrunk towards equal variances without
        correlation, from 0 to 1, for canonical correlations. Without it they fit any rows that are
        fewer than columns.
    init : {"cca", "random"}, default="cca"
        What training starts from. "cca": canonical correlations, each weighted by its root [5]_.
        Of these, time grows with the cube of the number of columns, memory with the square.
    temperature : float or None, default=None
        What cosines are divided by in "contrastive". None learns it, from 0.07.
    solver : {"adamw"} or AdamW, default="adamw"
        How the maps are trained. A row has to find its own among the ``batch_size`` rows of a
        gradient step, at least 2. ``precision`` and ``calibrate`` have to stay at their defaults.
        Not used with "cca".
    store_embeddings : bool, default=True
        Whether to keep the vectors of the training rows, as what `kneighbors` searches unless
        another gallery is given: 4 bytes for each row, modality and component.
    random_state : int, RandomState instance or None, default=None
        Determines the first weights, batches, dropout and the rows held out. On one machine's CPU
        an int makes fits bit-identical, several at once too. torch's own generator is left as it
        was.
    device : str, default="auto"
        The device that torch computes on: "cpu", "cuda", "cuda:1", "mps". "auto" is "cuda" where
        there is one.
    verbose : bool, default=False
        Whether to show a progress bar.

    Attributes
    ----------
    modalities_ : dict of str to list
        The columns of each modality, by name or by position.
    correlations_ : ndarray of shape (`n_components_`,)
        With "cca" or ``init="cca"``: the canonical correlations; of more than two modalities, the
        mean over pairs. They are covariances over shrunk variances, and may be above 1: with
        ``regularization``, and where rows lack modalities, as variances are those of all rows that
        have a modality, and covariances those of rows that have both. Missing otherwise.
    embeddings_ : ndarray of shape (n_samples, n_modalities, `n_components_`), float32
        With ``store_embeddings``: vectors of the training rows, in the order of ``modalities_``;
        NaN where a modality is missing. Missing otherwise.
    network_ : torch.nn.Module
        The map of each modality.
    temperature_ : float
        The temperature, learned or given.
    history_ : DataFrame of shape (`n_iter_`, n_pairs + 1)
        The loss in each epoch, and that of each pair of modalities, of which it is the mean:
        "alignment__NAME__NAME". With early stopping also "validation_loss". Missing with "cca".
    loss_curve_ : list of float
        The loss in each epoch. Missing with "cca".
    n_iter_ : int
        The number of epochs; 1 with "cca".
    n_components_ : int
        The dimensions of the space.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if X has names that are all strings.

    See Also
    --------
    ZeroShotClassifier : Classify pictures with a model that was trained on pairs already.
    skmm.ModalityTransformer : Make the columns from raw text, images and tables.
    recall_at_k : Make a score for ``scoring=``.

    Notes
    -----
    A modality is missing from a row if all of its columns are NaN there. A row serves each pair of
    modalities that it has both of. One with a single modality only helps to scale it and, for
    canonical correlations, to know its covariances.

    With classes as y, "contrastive" brings all rows of a class together (supervised contrastive
    learning [7]_).

    With one modality alone (scikit-learn's checks have no other) there is nothing to align, and a
    warning says so: "cca" gives its principal components, and the others bring two views of a row
    together, which differ by ``dropout`` [6]_.

    References
    ----------
    .. [1] A. Radford et al., "Learning transferable visual models from natural language
       supervision", ICML 2021.
    .. [2] J. Zbontar, L. Jing, I. Misra, Y. LeCun, S. Deny, "Barlow Twins: self-supervised
       learning via redundancy reduction", ICML 2021.
    .. [3] H. D. Vinod, "Canonical ridge and econometrics of joint production", Journal of
       Econometrics 4(2), 1976.
    .. [4] J. R. Kettenring, "Canonical analysis of several sets of variables", Biometrika 58(3),
       1971.
    .. [5] F. R. Bach, M. I. Jordan, "A probabilistic interpretation of canonical correlation
       analysis", University of California, Berkeley, 2005.
    .. [6] T. Gao, X. Yao, D. Chen, "SimCSE: simple contrastive learning of sentence embeddings",
       EMNLP 2021.
    .. [7] P. Khosla et al., "Supervised contrastive learning", NeurIPS 2020.

    Examples
    --------
    Two modalities that have three hidden numbers in common:

    >>> import numpy as np
    >>> import pandas as pd
    >>> from skmm.alignment import CrossModalAligner
    >>> rng = np.random.default_rng(0)
    >>> hidden = rng.normal(size=(300, 3))
    >>> text, image = (hidden @ rng.normal(size=(3, d)) for d in (8, 12))
    >>> X = pd.DataFrame(np.hstack([text, image]) + rng.normal(0, 0.1, (300, 20)))
    >>> X.columns = [f"text__{i}" for i in range(8)] + [f"image__{i}" for i in range(12)]
    >>> aligner = CrossModalAligner(random_state=0).fit(X[:200])
    >>> aligner.score(X[200:]) > 0.7
    True

    Rows of pictures that are nearest to the texts of two other rows, of which only the texts are
    known:

    >>> queries = X[200:202].filter(like="text__")
    >>> distances, rows = aligner.kneighbors(queries, source="text", target="image", n_neighbors=3)
    >>> rows.shape
    (2, 3)
    """

    _fitted: FittedAligner
    n_features_in_: int

    _parameter_constraints: ClassVar[dict] = {
        "alignment": [StrOptions({"contrastive", "correlation", "cca", *COLLAPSING})],
        "modalities": [None, StrOptions({"prefix"}), dict],
        "modality_model": [StrOptions({"linear"}), MLP],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "regularization": [Interval(Real, 0, 1, closed="both")],
        "init": [StrOptions({"cca", "random"})],
        "temperature": [Interval(Real, 0, None, closed="neither"), None],
        "solver": [StrOptions({"adamw"}), AdamW],
        "store_embeddings": ["boolean"],
        "random_state": ["random_state"],
        "device": [str],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        alignment: str = "contrastive",
        *,
        modalities: str | Mapping[str, Any] | None = None,
        modality_model: str | MLP = "linear",
        n_components: int = 256,
        regularization: float = 0.5,
        init: str = "cca",
        temperature: float | None = None,
        solver: str | AdamW = "adamw",
        store_embeddings: bool = True,
        random_state: int | RandomState | None = None,
        device: str = "auto",
        verbose: bool | int = False,
    ):
        self.alignment = alignment
        self.modalities = modalities
        self.modality_model = modality_model
        self.n_components = n_components
        self.regularization = regularization
        self.init = init
        self.temperature = temperature
        self.solver = solver
        self.store_embeddings = store_embeddings
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    @property
    def modalities_(self):
        """The columns of each modality."""
        return self._fitted_attribute("modalities_").columns.named

    @property
    def correlations_(self):
        """The canonical correlations."""
        correlations = self._fitted_attribute("correlations_").correlations
        if correlations is None:
            raise AttributeError('With init="random" no canonical correlations are computed.')
        return correlations

    @property
    def embeddings_(self):
        """The vectors of the training rows."""
        embeddings = self._fitted_attribute("embeddings_").embeddings
        if embeddings is None:
            raise AttributeError("With store_embeddings=False no vectors are kept.")
        return embeddings

    @property
    def network_(self):
        """The map of each modality."""
        return self._fitted_attribute("network_").network

    @property
    def temperature_(self):
        """The temperature, learned or given."""
        return float(self._fitted_attribute("temperature_").network.temperature.detach())

    @property
    def history_(self):
        """The loss in each epoch, and that of each pair of modalities."""
        history = self._fitted_attribute("history_").history
        if history is None:
            raise AttributeError('alignment="cca" is solved in closed form, not in epochs.')
        return history

    @property
    def loss_curve_(self):
        """The loss in each epoch."""
        return self.history_["loss"].tolist()

    @property
    def n_iter_(self):
        """The number of epochs; 1 in closed form."""
        history = self._fitted_attribute("n_iter_").history
        return 1 if history is None else len(history)

    @property
    def n_components_(self):
        """The dimensions of the space."""
        return self._fitted_attribute("n_components_").n_components

    @property
    def _n_features_out(self) -> int:
        return self.n_components_

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Learn the space from rows that have two modalities or more.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features. A modality is missing from a row if all of its columns are NaN there.
        y : array-like of shape (n_samples,), default=None
            Classes, for "contrastive": each row has to find all rows of its class, not only its own
            pair. Ignored otherwise.

        Returns
        -------
        CrossModalAligner
            The estimator itself.

        Raises
        ------
        ValueError
            If fewer than two rows have two modalities, a modality is missing from all of these, or
            parameters contradict each other.
        """
        from ._fit import fit

        settings = resolve_settings(self)
        X, codes = self._read_training_rows(X, y)
        columns = self._group_columns()
        if len(columns.names) == 1:
            warnings.warn(
                f"X has one modality, {columns.names}, and there is nothing to align: each row "
                "finds itself. Name columns modality__feature, or give modalities, such as "
                '{"text": 384, "image": 512} (widths, in the order of the columns).',
                stacklevel=3,
            )
        self._fitted = fit(make_problem(X, codes, columns), settings)
        return self

    def _read_training_rows(self, X, y) -> tuple[np.ndarray, np.ndarray | None]:
        """Validate X, and of y what is used: the number of each row's class."""
        options = {"dtype": FLOATS, "ensure_all_finite": "allow-nan", "ensure_min_samples": 2}
        if y is None or self.alignment != "contrastive":
            with friendlier_errors(X, self):
                return np.asarray(validate_data(self, X, **options)), None
        check_known(y, "y")
        with friendlier_errors(X, self):
            X, y = validate_data(self, X, y, **options)
        classes, codes = find_classes(np.asarray(y))
        if len(classes) < 2:
            raise ValueError(
                f"y contains only one class, {classes.tolist()[0]!r}, and all would be alike: "
                "leave y out to find each row's own pair."
            )
        return np.asarray(X), codes

    def _group_columns(self) -> ModalityColumns:
        """Group the columns of X, which is validated, by modality."""
        names = getattr(self, "feature_names_in_", None)
        groups = group_columns(self.modalities, names, self.n_features_in_)
        labels = np.arange(self.n_features_in_) if names is None else names
        return ModalityColumns(groups, labels.tolist())

    def _read(self, X, modality: str | None = None) -> PartialRows:
        """Validate rows that have all modalities' columns, or those of some of them."""
        check_is_fitted(self)
        self._check_modality(modality)
        with friendlier_errors(X, self):
            return read_partial_rows(self, X, self._fitted.columns, modality)

    def _check_modality(self, name: str | None) -> None:
        names = self._fitted.columns.names
        if name is not None and name not in names:
            raise ValueError(f"There is no modality {name!r}; those of X in fit are {names}.")

    def transform(self, X, modality=None):
        """Map rows into the shared space.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features, as in `fit`. A DataFrame may have the columns of some of the modalities only,
            an array those of ``modality``.
        modality : str, default=None
            The modality to map. None: the mean of the vectors of those that a row has, scaled to
            length 1.

        Returns
        -------
        ndarray of shape (n_samples, `n_components_`), float32
            Vectors of length 1. A row that lacks ``modality``, or has none at all, is NaN.
        """
        return self._embed(X, modality)

    def _embed(self, X, modality: str | None) -> np.ndarray:
        rows = self._read(X, modality)
        return self._fitted.embed(rows, modality, self.device)

    def kneighbors(
        self,
        X_query,
        X_gallery="training",
        *,
        source=None,
        target=None,
        n_neighbors=5,
        max_distance=None,
        return_distance=True,
    ):
        """Find the training rows, or those of a gallery, that are nearest to each query.

        Cosines are compared; by faiss if it is installed (``pip install 'skmm[faiss]'``), else by
        scikit-learn, with the same result. Of rows as near as each other the first comes first.

        Parameters
        ----------
        X_query : array-like of shape (n_queries, n_features)
            Rows whose neighbours are searched. As in `transform`, the columns of ``source`` are
            enough.
        X_gallery : "training" or array-like of shape (n_gallery, n_features), default="training"
            Rows to search: those of `fit`, or others, for which the columns of ``target`` are
            enough.
        source : str, default=None
            The modality of the queries. None: the mean of those that each has.
        target : str, default=None
            The modality of the gallery. None: the mean of those that each row has. Rows that lack
            it are not found.
        n_neighbors : int, default=5
            The number of neighbours of each query.
        max_distance : float, default=None
            Neighbours that are farther are left out, such as those of a query that matches nothing;
            `match_distance` suggests one.
        return_distance : bool, default=True
            Whether to return distances too.

        Returns
        -------
        distances : ndarray of shape (n_queries, n_neighbors)
            One minus the cosine, nearest first. NaN for a query that lacks ``source``, and for
            neighbours beyond ``max_distance``.
        indices : ndarray of shape (n_queries, n_neighbors)
            Numbers of rows of the gallery, from 0; -1 where the distance is NaN.

        Raises
        ------
        ValueError
            If fewer than ``n_neighbors`` rows of the gallery have ``target``, no query has
            ``source``, or one is 0 in all of its columns, as `TextDescriptor` encodes an empty
            text.
        """
        if max_distance is not None and not (
            isinstance(max_distance, Real) and float(max_distance) >= 0
        ):
            raise ValueError(f"max_distance must be a number from 0 on, got {max_distance!r}.")
        rows = self._read(X_query, source)
        check_queries(rows, source)
        queries = self._fitted.embed(rows, source, self.device)
        gallery = self._gallery(X_gallery, target)
        searched = np.flatnonzero(~np.isnan(gallery[:, 0]))
        if not isinstance(n_neighbors, Integral) or not 1 <= n_neighbors <= len(searched):
            of_what = "any modality" if target is None else f"the modality {target!r}"
            raise ValueError(
                f"n_neighbors must be an integer from 1 to {len(searched)}, the number of rows of "
                f"the gallery that have {of_what}; got {n_neighbors!r}."
            )
        known = ~np.isnan(queries[:, 0])
        distances = np.full((len(queries), n_neighbors), np.nan)
        indices = np.full((len(queries), n_neighbors), -1)
        if known.any():
            gallery = gallery if len(searched) == len(gallery) else gallery[searched]
            distances[known], found = nearest(queries[known], gallery, n_neighbors)
            indices[known] = searched[found]
        if max_distance is not None:
            too_far = distances > max_distance
            distances[too_far], indices[too_far] = np.nan, -1
        return (distances, indices) if return_distance else indices

    def _gallery(self, X, target: str | None) -> np.ndarray:
        """Return the vectors (n, q) to search."""
        if not isinstance(X, str):
            return self._embed(X, target)
        if X != "training":
            raise ValueError(f'X_gallery must be "training" or rows to search, got {X!r}.')
        embeddings, names = self._fitted.embeddings, self._fitted.columns.names
        if embeddings is None:
            raise ValueError(
                "With store_embeddings=False the vectors of the training rows are not kept: give "
                "X_gallery."
            )
        self._check_modality(target)
        if target is None:
            of_each = [embeddings[:, i] for i in range(len(names))]
            return mean_direction(of_each).astype(np.float32)
        return embeddings[:, names.index(target)]

    def match_distance(self, X=None, *, source, target):
        """Compute the distance up to which a row that is found is likely to belong to a query.

        It separates pairs from rows that do not belong together: of all distances it is the one at
        which the share of queries whose own pair is within it, less the share of queries whose
        nearest other row is, is greatest (Youden's index), and in the middle between two that
        occur. Of pairs of `fit` the first share is greater than of new ones, and most so where
        rows are few and columns many: give pairs that were held out, if there are some.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), default=None
            Pairs that belong together, at best about as many as rows are searched later, for the
            nearest of many rows that do not belong is nearer. None: those of `fit`.
        source : str
            The modality of the queries.
        target : str
            The modality that is searched.

        Returns
        -------
        float
            The distance, for ``max_distance`` of `kneighbors`. With a warning if the difference of
            the shares is less than a half: such pairs cannot well be told from others.

        Raises
        ------
        ValueError
            If fewer than two rows have both modalities.

        Examples
        --------
        >>> import numpy as np
        >>> from skmm.alignment import CrossModalAligner
        >>> rng = np.random.default_rng(0)
        >>> hidden = rng.normal(size=(300, 20))
        >>> X = np.hstack([hidden, np.tanh(hidden)]) + rng.normal(0, 0.1, (300, 40))
        >>> aligner = CrossModalAligner("cca", modalities={"text": 20, "image": 20}).fit(X[:200])
        >>> limit = aligner.match_distance(source="text", target="image")
        >>> queries = np.vstack([X[200:203, :20], rng.normal(size=(3, 20))])  # three match nothing
        >>> aligner.kneighbors(
        ...     queries,
        ...     X[200:],
        ...     source="text",
        ...     target="image",
        ...     n_neighbors=1,
        ...     max_distance=limit,
        ...     return_distance=False,
        ... ).ravel()
        array([ 0,  1,  2, -1, -1, -1])
        """
        check_is_fitted(self)
        rows = "training" if X is None else X
        vectors = np.stack([self._gallery(rows, name) for name in (source, target)])
        pair = vectors[:, ~np.isnan(vectors[:, :, 0]).any(0)]  # (2, n, q)
        if pair.shape[1] < 2:
            raise ValueError(
                f"{pair.shape[1]} rows have both {source!r} and {target!r}; at least 2 are needed."
            )
        columns = np.arange(self.n_components_)
        equal = [number_equal_rows(of_modality, columns) for of_modality in pair]
        distance, separation = separating_distance(*pair, *equal)
        if separation < 0.5:
            warnings.warn(
                f"Distances from {source!r} to {target!r} hardly tell which rows belong together: "
                f"at best, {distance:.3g}, the share of own pairs within it is only "
                f"{separation:.0%} above that of nearest other rows.",
                stacklevel=2,
            )
        return distance

    def score(self, X, y=None):
        """Return the mean reciprocal rank at which a row's modality finds the row's other one.

        Each modality is searched by each other one, among the rows that have both, and the mean
        over these pairs of modalities is taken. 1 is best; chance is about ``log(n) / n``. Rows
        whose values in a modality are equal, such as several captions of one picture, are one item
        of it: it is ranked once, and right for a query is what stands in a row with any query equal
        to it. So the rank is that of the first right item.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features, as in `fit`.
        y : None
            Ignored: what belongs together is what stands in one row.

        Returns
        -------
        float
            The mean reciprocal rank, averaged over the orders of ties. With one modality alone
            each row finds itself.

        Raises
        ------
        ValueError
            If no row has two modalities.
        """
        return self._mean_over_pairs(X, lambda *pairs: pair_ranks(*pairs).reciprocal().mean())

    def _mean_over_pairs(
        self,
        X,
        measure: Callable,
        source: str | None = None,
        target: str | None = None,
        labels: np.ndarray | None = None,
    ) -> float:
        """Average a measure of how well rows of one modality find those of another one."""
        rows = self._read(X)
        self._check_modality(source)
        self._check_modality(target)
        names = self._fitted.columns.names
        vectors, items = self._fitted.embed_each(rows, self.device), rows.number_items(names)
        return mean_over_pairs(vectors, names, items, measure, source, target, labels)

    def __getstate__(self):
        """Pickle plain data, so that few types need to be trusted, and no GPU be there."""
        state = dict(cast(dict[str, Any], super().__getstate__()))
        if "_fitted" in state:
            state["_fitted"] = self._fitted.to_plain()
        return state

    def __setstate__(self, state):
        state = dict(state)
        if "_fitted" in state:
            from ._fitted import FittedAligner

            state["_fitted"] = FittedAligner.from_plain(state["_fitted"])
        super().__setstate__(state)

    def _sk_visual_block_(self):
        check_is_fitted(self)  # before, scikit-learn catches the error and draws one box
        columns = [*self.modalities_.values()]
        return block_of_modalities([*self.modalities_], [*map(describe_width, columns)], columns)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        # allow_nan stays False: a whole modality may be NaN, a single value may not.
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
