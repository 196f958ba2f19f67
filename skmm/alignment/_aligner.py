"""CrossModalAligner: what scikit-learn sees of a shared space of modalities."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from .._html import block_of_modalities, tell_width
from ..fusion._base import FLOATS, KEPT_BYTES
from ..fusion._modalities import ColumnScaler, ScaledRows, find_present, group_columns
from ..fusion._reading import check_known, explaining, find_classes
from ..fusion._rows import take_share
from ._closed_form import LinearMaps, canonical_maps
from ._retrieval import mean_direction, mean_over_pairs, nearest, pair_ranks
from ._tables import Table, read_table

ROWS_AT_ONCE = 8192
COLLAPSING = {"cosine", "mse", "kl"}  # which are least where all rows are one point


class CrossModalAligner(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Map modalities into one space, in which those of the same row are near each other.

    It learns from paired rows, without labels, and finds pictures by a text, texts by a sound and
    so on: what is near is measured by the cosine, and all vectors have length 1.

    Parameters
    ----------
    alignment : {"contrastive", "correlation", "cca"}, default="contrastive"
        What is learned. "contrastive": each row has to find its own vector of the other modality
        among those of its batch, in both directions [1]_. "correlation": each dimension correlates
        with itself in the other modality, and with no other (Barlow Twins [2]_). "cca": regularised
        canonical correlations [3]_, of more than two modalities the generalised ones named MAXVAR
        [4]_, in closed form. The other losses of `FusionClassifier`, "cosine", "mse" and "kl", are
        least where all rows are mapped to one point, and are refused.
    modalities : None, "prefix" or dict, default=None
        Which columns make up a modality. None reads names of the form ``modality__feature``, and
        takes all columns for one modality where names have no such form. "prefix" insists on
        them. A dict gives columns (names, positions or a slice) for each name, or, for columns
        that stand in order, the number of columns for each name.
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
    hidden_layer_sizes : int or array-like of int, default=()
        The layers of a perceptron for each modality, which is added to a linear map. ``()``: the
        map is linear.
    activation : {"identity", "logistic", "tanh", "relu", "gelu"}, default="relu"
        The activation of the hidden layers.
    temperature : float or None, default=None
        What cosines are divided by in "contrastive". None learns it, from 0.07.
    dropout : float, default=0.5
        The share of inputs, and of hidden units, that are left out in training, in [0, 1); of the
        inputs of a perceptron, 0.4 times this share.
    weight_decay : float, default=0.1
        The decoupled L2 penalty of AdamW.
    learning_rate_init : float, default=0.0003
        The largest step size. It is reached after a tenth of the epochs and falls to 0 along a
        cosine.
    batch_size : int, default=256
        Rows in a gradient step, among which a row has to find its own.
    max_iter : int, default=20
        The number of epochs.
    early_stopping : bool, default=False
        Whether to hold out rows, stop when their loss no longer improves, and return to the epoch
        in which it was lowest. If False, it is the training loss that has to improve.
    validation_fraction : float, default=0.1
        The share of rows held out for ``early_stopping``, stratified by class where there is y.
    n_iter_no_change : int, default=10
        Stop after so many epochs without an improvement by ``tol``.
    tol : float, default=1e-4
        By how much the loss must fall to count as an improvement.
    store_embeddings : bool, default=True
        Whether to keep the vectors of the training rows, as what `kneighbors` searches unless
        another gallery is given: 4 bytes for each row, modality and component.
    random_state : int, RandomState instance or None, default=None
        Determines the first weights, batches, dropout and the rows held out. On one machine's CPU
        an int makes fits bit-identical. torch's own generator is left as it was.
    device : str, default="auto"
        Where torch computes: "cpu", "cuda", "cuda:1", "mps". "auto" is "cuda" where there is one.
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
        have a modality, and covariances those of rows that have both.
    embeddings_ : ndarray of shape (n_samples, n_modalities, `n_components_`), float32
        With ``store_embeddings``: vectors of the training rows, in the order of ``modalities_``;
        NaN where a modality is missing.
    network_ : torch.nn.Module
        The map of each modality.
    temperature_ : float
        The temperature, learned or given.
    history_ : DataFrame of shape (`n_iter_`, n_pairs + 1)
        The loss in each epoch, and that of each pair of modalities, of which it is the mean:
        "alignment__NAME__NAME". With early stopping also "validation_loss". Not there with "cca".
    loss_curve_ : list of float
        The loss in each epoch. Not there with "cca".
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
    recall_at_k : A score for ``scoring=``.

    Notes
    -----
    A modality is missing from a row if all of its columns are NaN there. A row serves each pair of
    modalities that it has both of. One with a single modality only helps to scale it and, for
    canonical correlations, to know its covariances.

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

    _parameter_constraints: ClassVar[dict] = {
        "alignment": [StrOptions({"contrastive", "correlation", "cca", *COLLAPSING})],
        "modalities": [None, StrOptions({"prefix"}), dict],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "regularization": [Interval(Real, 0, 1, closed="both")],
        "init": [StrOptions({"cca", "random"})],
        "hidden_layer_sizes": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "activation": [StrOptions({"identity", "logistic", "tanh", "relu", "gelu"})],
        "temperature": [Interval(Real, 0, None, closed="neither"), None],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "store_embeddings": ["boolean"],
        "random_state": ["random_state"],
        "device": [str],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        alignment="contrastive",
        *,
        modalities=None,
        n_components=256,
        regularization=0.5,
        init="cca",
        hidden_layer_sizes=(),
        activation="relu",
        temperature=None,
        dropout=0.5,
        weight_decay=0.1,
        learning_rate_init=0.0003,
        batch_size=256,
        max_iter=20,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        store_embeddings=True,
        random_state=None,
        device="auto",
        verbose=False,
    ):
        self.alignment = alignment
        self.modalities = modalities
        self.n_components = n_components
        self.regularization = regularization
        self.init = init
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.temperature = temperature
        self.dropout = dropout
        self.weight_decay = weight_decay
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.store_embeddings = store_embeddings
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Learn the space from rows that have two modalities or more.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features. A modality is missing from a row if all of its columns are NaN there.
        y : array-like of shape (n_samples,), default=None
            Classes, for "contrastive": each row has to find all rows of its class (supervised
            contrastive learning, Khosla et al. 2020), and no longer itself among them. Ignored
            otherwise.

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
        self._check_parameters()
        X, codes = self._read_training_rows(X, y)
        self._groups = group_columns(
            self.modalities, getattr(self, "feature_names_in_", None), self.n_features_in_
        )
        self.modalities_ = {
            name: self._labels()[columns].tolist() for name, columns in self._groups.items()
        }
        if len(self._groups) == 1:
            warnings.warn(
                f"X has one modality, {list(self.modalities_)}, and there is nothing to align: "
                "each row finds itself. Name columns modality__feature, or give modalities, such "
                'as {"text": 384, "image": 512} (widths, in the order of the columns).',
                stacklevel=2,
            )
        table = Table(X, self._groups, find_present(X, self._groups, self._labels().tolist()))
        paired = self._find_paired(table.present)
        index = np.flatnonzero(table.present.any(1))
        self._scaler = ColumnScaler().fit(
            X, index, self._groups, table.present[index], np.ones(len(index))
        )
        columns = np.concatenate(list(self._groups.values()))
        x = ScaledRows(X, index, columns, self._scaler)
        x = x[:] if x.nbytes <= KEPT_BYTES else x
        codes = None if codes is None else codes[index]
        self._learn(x, table.present[index], codes, paired[index])
        vars(self).pop("embeddings_", None)  # of an earlier fit
        if self.store_embeddings:
            self.embeddings_ = self._embed(table)
        return self

    def _check_parameters(self) -> None:
        if self.alignment in COLLAPSING:
            raise ValueError(
                f'alignment="{self.alignment}" is least where every row is mapped to one point, '
                'and nothing here keeps rows apart. Take "contrastive", "correlation" or "cca"; in '
                "FusionClassifier, where a target keeps them apart, it is a term among others."
            )
        sizes = np.atleast_1d(self.hidden_layer_sizes)
        if len(sizes) and (sizes.ndim > 1 or sizes.dtype.kind not in "iu" or sizes.min() < 1):
            raise ValueError(
                f"hidden_layer_sizes must hold positive integers, got {self.hidden_layer_sizes!r}."
            )

    def _read_training_rows(self, X, y) -> tuple[np.ndarray, np.ndarray | None]:
        """Validate X, and of y what is used: the number of each row's class."""
        options = {"dtype": FLOATS, "ensure_all_finite": "allow-nan", "ensure_min_samples": 2}
        supervised = y is not None and self.alignment == "contrastive"
        if supervised:
            check_known(y, "y")
        with explaining(X, self):
            if not supervised:
                return validate_data(self, X, **options), None
            X, y = validate_data(self, X, y, **options)
        classes, codes = find_classes(y)
        if len(classes) < 2:
            raise ValueError(
                f"y contains only one class, {classes.tolist()[0]!r}, and all would be alike: "
                "leave y out to find each row's own pair."
            )
        return X, codes

    def _labels(self) -> np.ndarray:
        return getattr(self, "feature_names_in_", np.arange(self.n_features_in_))

    def _find_paired(self, present: np.ndarray) -> np.ndarray:
        """Mark the rows to train on, which have modalities to compare."""
        paired = present.sum(1) >= min(2, len(self._groups))
        if paired.sum() < 2:
            raise ValueError(
                f"{paired.sum()} of {len(paired)} rows have two modalities; at least 2 are needed "
                f"to learn from. The modalities are {list(self._groups)}, and one is missing from "
                "a row if all of its columns are NaN there."
            )
        absent = [
            name for name, has in zip(self._groups, present[paired].T, strict=True) if not has.any()
        ]
        if absent:
            raise ValueError(
                f"Modality {absent[0]!r} is never there together with another one, so that nothing "
                "tells where it belongs. Leave its columns out, or check the step that makes them."
            )
        return paired

    def _learn(self, x, present: np.ndarray, codes: np.ndarray | None, paired: np.ndarray) -> None:
        """Set the network and what is known of its training."""
        from ._fitting import Problem, fit_network, history_frame, make_network

        for name in ("correlations_", "history_", "loss_curve_"):  # of an earlier fit
            vars(self).pop(name, None)
        parameters = self.get_params(deep=False)
        widths = [len(columns) for columns in self._groups.values()]
        maps = self._find_maps(x, present, widths)
        self.n_components_ = self.n_components if maps is None else len(maps.correlations)
        if self.alignment == "cca":
            network = make_network(widths, self.n_components_, parameters, maps, linear=True)
            self.n_iter_ = 1
        else:
            random_state = check_random_state(self.random_state)
            fitting, held_out = self._split(np.flatnonzero(paired), codes, random_state)
            problem = Problem(x, present, codes, fitting, held_out, widths)
            seed = random_state.randint(np.iinfo(np.int32).max)
            network, objective, history = fit_network(
                problem, self.n_components_, parameters, maps, seed
            )
            self.history_ = history_frame(history, objective, list(self._groups))
            self.loss_curve_ = self.history_["loss"].tolist()
            self.n_iter_ = len(self.history_)
        self.network_ = network.cpu().eval()
        self.temperature_ = float(network.temperature.detach())

    def _find_maps(self, x, present: np.ndarray, widths: list[int]) -> LinearMaps | None:
        if self.alignment != "cca" and self.init == "random":
            return None
        still = [
            name
            for name, columns in self._groups.items()
            if np.isinf(self._scaler.scale_[columns]).all()
        ]
        if still:
            raise ValueError(
                f"No column of modality {still[0]!r} varies over the rows. Leave them out, or "
                "check the step that makes them."
            )
        most = sum(widths) - max(widths) if len(widths) > 1 else widths[0]
        n_components = min(self.n_components, most)
        maps = canonical_maps(x, present, widths, n_components, self.regularization)
        self.correlations_ = maps.correlations
        return maps

    def _split(self, rows: np.ndarray, codes: np.ndarray | None, random_state):
        """Split the rows to train on into those to fit and those to hold out."""
        if not self.early_stopping:
            return rows, None
        stratum = np.zeros(len(rows), dtype=int) if codes is None else codes[rows]
        taken = take_share(stratum, self.validation_fraction, random_state)
        if min(taken.sum(), (~taken).sum()) < 2:
            raise ValueError(
                f"validation_fraction={self.validation_fraction} of {len(rows)} rows with two "
                f"modalities is {taken.sum()}; early_stopping needs at least 2 rows to train on "
                "and 2 to hold out."
            )
        return rows[~taken], rows[taken]

    def _embed(self, table: Table) -> np.ndarray:
        """Vectors of each modality (n, m, q) in float32; NaN where it is missing."""
        shape = len(table.values), len(self._groups), self.n_components_
        vectors = np.empty(shape, dtype=np.float32)
        for i, name in enumerate(self._groups):
            vectors[:, i] = self._embed_one(table, name)
        return vectors

    def _embed_one(self, table: Table, name: str | None) -> np.ndarray:
        """Vectors (n, q) in float32 of one modality, or of the mean of those present; else NaN."""
        from ._fitting import represent

        names = list(self._groups)
        vectors = np.empty((len(table.values), self.n_components_), dtype=np.float32)
        for start in range(0, len(vectors), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            each = []
            for other in table.groups if name is None else [name]:
                scaled = table.scale(other, rows, self._scaler, self._groups[other])
                i = names.index(other)
                of_one = represent(self.network_, i, scaled, self.device)
                of_one[~table.has(other)[rows]] = np.nan
                each.append(of_one)
            vectors[rows] = each[0] if name is not None else mean_direction(each)
        return vectors

    def _read(self, X, modality: str | None = None) -> Table:
        """Read rows that have all modalities' columns, or those of some of them."""
        check_is_fitted(self)
        if modality is not None and modality not in self.modalities_:
            raise ValueError(
                f"There is no modality {modality!r}; those of X in fit are "
                f"{list(self.modalities_)}."
            )
        with explaining(X, self):
            return read_table(self, X, self._groups, modality)

    def transform(self, X, modality=None):
        """Map rows into the shared space.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features, as in `fit`. A DataFrame may have the columns of some of the modalities only,
            an array those of ``modality``.
        modality : str, default=None
            The modality whose vectors are wanted. None: the mean of those that a row has, scaled
            to length 1.

        Returns
        -------
        ndarray of shape (n_samples, `n_components_`), float32
            Vectors of length 1. A row that lacks ``modality``, or has none at all, is NaN.
        """
        return self._embed_one(self._read(X, modality), modality)

    def kneighbors(
        self,
        X_query,
        X_gallery=None,
        *,
        source=None,
        target=None,
        n_neighbors=5,
        return_distance=True,
    ):
        """Find the rows of a gallery whose one modality is nearest to another one of the queries.

        Cosines are compared; by faiss if it is installed (``pip install 'skmm[faiss]'``), else by
        scikit-learn, with the same result. Of rows as near as each other the first comes first.

        Parameters
        ----------
        X_query : array-like of shape (n_queries, n_features)
            Rows to find neighbours of. As in `transform`, the columns of ``source`` are enough.
        X_gallery : array-like of shape (n_gallery, n_features), default=None
            Rows to search, for which the columns of ``target`` are enough. None: the training rows.
        source : str, default=None
            The modality of the queries. None: the mean of those that each has.
        target : str, default=None
            The modality of the gallery. None: the mean of those that each row has. Rows that lack
            it are not found.
        n_neighbors : int, default=5
            How many neighbours are wanted.
        return_distance : bool, default=True
            Whether to return distances too.

        Returns
        -------
        distances : ndarray of shape (n_queries, n_neighbors)
            One minus the cosine, nearest first. NaN for a query that lacks ``source``.
        indices : ndarray of shape (n_queries, n_neighbors)
            Numbers of rows of the gallery. -1 for a query that lacks ``source``.

        Raises
        ------
        ValueError
            If fewer than ``n_neighbors`` rows of the gallery have ``target``.
        """
        queries = self._embed_one(self._read(X_query, source), source)
        gallery = self._gallery(X_gallery, target)
        there = np.flatnonzero(~np.isnan(gallery[:, 0]))
        if not isinstance(n_neighbors, Integral) or not 1 <= n_neighbors <= len(there):
            of_what = "any modality" if target is None else f"the modality {target!r}"
            raise ValueError(
                f"n_neighbors must be an integer from 1 to {len(there)}, the number of rows of the "
                f"gallery that have {of_what}; got {n_neighbors!r}."
            )
        known = ~np.isnan(queries[:, 0])
        distances = np.full((len(queries), n_neighbors), np.nan)
        indices = np.full((len(queries), n_neighbors), -1)
        if known.any():
            gallery = gallery if len(there) == len(gallery) else gallery[there]
            distances[known], found = nearest(queries[known], gallery, n_neighbors)
            indices[known] = there[found]
        return (distances, indices) if return_distance else indices

    def _gallery(self, X, target: str | None) -> np.ndarray:
        if X is not None:
            return self._embed_one(self._read(X, target), target)
        if not hasattr(self, "embeddings_"):
            raise ValueError(
                "With store_embeddings=False the vectors of the training rows are not kept: give "
                "X_gallery."
            )
        names = list(self.modalities_)
        if target is None:
            each = [self.embeddings_[:, i] for i in range(len(names))]
            return mean_direction(each).astype(np.float32)
        if target not in names:
            raise ValueError(f"There is no modality {target!r}; those of X in fit are {names}.")
        return self.embeddings_[:, names.index(target)]

    def score(self, X, y=None):
        """Give the mean reciprocal rank at which a row's modality finds the row's other one.

        Each modality is looked for with each other one, among the rows that have both; of the
        pairs of modalities the mean is taken. 1 is best; chance is about ``log(n) / n``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features, as in `fit`.
        y : None
            Ignored: what belongs together is what stands in one row.

        Returns
        -------
        float
            The mean reciprocal rank. Where several are as near as the right one, the mean over all
            of their orders. With one modality alone each row finds itself, unless others are equal.

        Raises
        ------
        ValueError
            If no row has two modalities.
        """
        return mean_over_pairs(self, X, lambda a, b, rows: pair_ranks(a, b).reciprocal().mean())

    def _sk_visual_block_(self):
        check_is_fitted(self)  # before, scikit-learn catches the error and draws one box
        columns = [*self.modalities_.values()]
        return block_of_modalities([*self.modalities_], [*map(tell_width, columns)], columns)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        # allow_nan stays False: a whole modality may be NaN, a single value may not.
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    @property
    def _n_features_out(self) -> int:
        return self.n_components_
