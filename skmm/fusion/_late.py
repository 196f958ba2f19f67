"""LateFusionClassifier: any classifier of scikit-learn as the model of a modality."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from sklearn.base import ClassifierMixin, _fit_context, clone
from sklearn.model_selection import check_cv
from sklearn.pipeline import Pipeline
from sklearn.utils import Bunch, check_array, get_tags
from sklearn.utils._indexing import _get_column_indices, _safe_indexing
from sklearn.utils._param_validation import HasMethods, StrOptions
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    _routing_enabled,
    process_routing,
)
from sklearn.utils.metaestimators import _BaseComposition
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import (
    _check_feature_names,
    _check_n_features,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
)

from .._data.frames import check_no_records
from .._data.pooling import (
    fit_and_predict,
    has_values,
    minimise_log_loss,
    predict_where,
)
from .._data.rows import weigh_rows
from .._data.validation import check_known, find_classes
from .._data.weights import resolve_modality_weights
from .._html import block_of_modalities, name_modality
from .._warnings import warn_user

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sklearn.model_selection import BaseCrossValidator

SPLITTER = "__cv__"  # no name of an estimator may have two underscores in a row


class LateFusionClassifier(ClassifierMixin, _BaseComposition):
    """Average the probabilities of any classifiers, one for each modality, by learned weights.

    The first formula of late fusion, with an estimator of scikit-learn as each f_i::

        P(y | x_1..x_n) = sum_i a_i P_i(y | x_i)

    where a is alpha, ``modality_weights``, over the modalities that a row has, renormalised. To
    learn it, each classifier predicts rows that it was not trained on, and alpha minimises the
    log-loss of the average there (stacked generalisation [1]_ by a linear opinion pool [2]_). Of
    averaged probabilities that loss is convex in alpha, so that there is one best alpha, as long as
    no row lacks a modality; an average of logits would be sharper, but a classifier that is wrong
    and sure could then veto all others.

    Parameters
    ----------
    estimators : list of (str, estimator, columns)
        For each modality its name, a classifier with `predict_proba` or a pipeline that ends in
        one, and its columns as in `ColumnTransformer`: names, positions, a slice or a mask. One
        name as a str gives the classifier a Series, as encoders of raw text and pictures need.
    modality_weights : None, "uniform" or dict, default=None
        The weights alpha. None learns them; a dict gives each modality a weight, not negative;
        they are divided by their sum.
    cv : int, splitter, iterable or None, default=5
        How rows are split to learn alpha; an int is the number of stratified folds. Rows that no
        split tests are not used for that, as those of -1 in a `PredefinedSplit`.
    n_jobs : int or None, default=None
        How many fits run at once; None is one unless in a `joblib.parallel_backend`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    class_prior_ : ndarray of shape (n_classes,)
        The share of each class in the training rows, by ``sample_weight``. It is predicted for rows
        without any modality, or with none whose weight alpha is above 0.
    estimators_ : list of estimator
        The classifiers, each fitted on all rows that have its modality.
    named_estimators_ : Bunch
        The classifiers by name.
    modalities_ : dict of str to list
        The columns of each modality, by name or by position.
    modality_weights_ : dict of str to float
        The weights alpha. They add up to 1.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if X has names that are all strings.

    See Also
    --------
    FusionClassifier : One network for all modalities, trained as a whole.
    sklearn.ensemble.StackingClassifier : A second classifier reads the probabilities.

    Notes
    -----
    A modality is missing from a row if all of its columns are NaN, None or NA there. Its classifier
    neither learns from that row nor predicts it.

    References
    ----------
    .. [1] D. H. Wolpert, "Stacked generalization", Neural Networks 5(2), 1992.
    .. [2] M. Stone, "The opinion pool", Annals of Mathematical Statistics 32(4), 1961.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmm import LateFusionClassifier
    >>> from skmm.datasets import make_multimodal_classification
    >>> X, y = make_multimodal_classification(
    ...     600, informativeness=(0.9, 0.0), modality_names=("text", "noise"), random_state=0
    ... )
    >>> model = LateFusionClassifier(
    ...     [
    ...         (name, LogisticRegression(), [c for c in X if c.startswith(name)])
    ...         for name in ("text", "noise")
    ...     ]
    ... ).fit(X[:400], y[:400])
    >>> model.modality_weights_["text"] > 0.8
    True
    >>> model.score(X[400:], y[400:]) > 0.7
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "estimators": [list, tuple],
        "modality_weights": [None, StrOptions({"uniform"}), dict],
        "cv": ["cv_object"],
        "n_jobs": [None, int],
    }

    def __init__(
        self,
        estimators: list[tuple],
        *,
        modality_weights: str | Mapping[str, float] | None = None,
        cv: int | BaseCrossValidator | Iterable | None = 5,
        n_jobs: int | None = None,
    ):
        self.estimators = estimators
        self.modality_weights = modality_weights
        self.cv = cv
        self.n_jobs = n_jobs

    # What `_BaseComposition` reads and sets the estimators by.
    @property
    def _estimators(self):
        try:
            return [(name, estimator) for name, estimator, _ in self.estimators]
        except (TypeError, ValueError):
            return self.estimators

    @_estimators.setter
    def _estimators(self, value):
        columns = [columns for _, _, columns in self.estimators]
        self.estimators = [
            (name, estimator, selected)
            for (name, estimator), selected in zip(value, columns, strict=True)
        ]

    def get_params(self, deep=True):
        """Get parameters, with ``deep`` also those of the classifiers.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the classifiers and their parameters, as ``name`` and
            ``name__parameter``.

        Returns
        -------
        dict
            Parameters by name.
        """
        return self._get_params("_estimators", deep=deep)

    def set_params(self, **params):
        """Set parameters, also those of the classifiers, or replace a classifier by its name.

        Parameters
        ----------
        **params : dict
            Parameters by name.

        Returns
        -------
        LateFusionClassifier
            The estimator itself.
        """
        self._set_params("_estimators", **params)
        return self

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, **params):
        """Fit each classifier, and learn the modality weights.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_columns)
            Columns, raw ones too if the classifiers read them.
        y : array-like of shape (n_samples,)
            Class labels.
        **params : dict
            ``sample_weight``, for each classifier and for the loss that alpha minimises, and
            ``groups``, for ``cv``. With ``enable_metadata_routing=True`` all of them go where they
            are requested.

        Returns
        -------
        LateFusionClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            If names are not unique, a modality is missing from all rows, or ``y`` has one class.
        TypeError
            If an estimator has no `predict_proba`.
        """
        X = self._read_rows(X, reset=True)
        check_known(y, "y")
        y = column_or_1d(y, warn=True)
        check_consistent_length(X, y)
        self.classes_, codes = find_classes(y)
        names = self._check_estimators()
        weight = params.get("sample_weight")
        weight = (
            np.ones(len(y)) if weight is None else column_or_1d(np.asarray(weight, dtype=float))
        )
        check_consistent_length(y, weight)
        weight, self.class_prior_ = weigh_rows(codes, self.classes_, None, weight)
        self._columns = [columns for _, _, columns in self.estimators]
        self.modalities_ = self._find_columns(X, names)
        empty = [name for name, columns in self.modalities_.items() if not columns]
        if empty:
            raise ValueError(
                f"Modality {empty[0]!r} has no column: X has n_features = {self.n_features_in_}."
            )
        present = self._find_present(X)
        absent = [name for name, has in zip(names, present.T, strict=True) if not has.any()]
        if absent:
            raise ValueError(
                f"Modality {absent[0]!r} is missing (all NaN or None) from every training row. "
                "Leave it out, or check the step that makes it."
            )
        fit_params, split_params = self._route(names, params)
        splits = []
        if self.modality_weights is None and len(names) > 1:
            cv = check_cv(self.cv, y, classifier=True)
            splits = list(cv.split(X, y, **split_params))
        everything = np.arange(len(y))
        jobs = [(everything, None), *splits]
        results = Parallel(n_jobs=self.n_jobs)(
            delayed(fit_and_predict)(
                clone(estimator), X, y, columns, present[:, i], train, test, fit_params[name]
            )
            for train, test in jobs
            for i, (name, estimator, columns) in enumerate(self.estimators)
        )
        self.estimators_ = [fitted for fitted, _ in results[: len(names)]]
        self.named_estimators_ = Bunch(**dict(zip(names, self.estimators_, strict=True)))
        for name, fitted in self.named_estimators_.items():
            if fitted is None:
                raise ValueError(
                    f"Modality {name!r} is in rows of one class alone, and its classifier cannot "
                    "learn from them. Leave it out."
                )
        alpha = resolve_modality_weights(self.modality_weights, names)
        if splits:
            alpha = self._learn_weights(splits, results[len(names) :], codes, weight, names)
        self.modality_weights_ = dict(zip(names, alpha.tolist(), strict=True))
        return self

    def _check_estimators(self) -> list[str]:
        try:
            names = [name for name, _, _ in self.estimators]
        except (TypeError, ValueError) as e:
            raise ValueError(
                f"estimators must be a list of (name, estimator, columns), got {self.estimators!r}."
            ) from e
        if not names:
            raise ValueError("estimators is an empty list: give at least one modality.")
        self._validate_names(names)
        for name, estimator, _ in self.estimators:
            if not HasMethods(["fit", "predict_proba"]).is_satisfied_by(estimator):
                raise TypeError(
                    f"The estimator of modality {name!r} must have fit and predict_proba, and "
                    f"{estimator!r} has not. CalibratedClassifierCV adds predict_proba to a "
                    "classifier that lacks it."
                )
        return names

    def _route(self, names: Sequence[str], params: dict) -> tuple[dict[str, dict], dict]:
        """Return the parameters of each classifier's fit, and those of the splitter."""
        if _routing_enabled():
            routed = process_routing(self, "fit", **params)
            return {name: routed[name].fit for name in names}, routed[SPLITTER].split
        unknown = sorted(params.keys() - {"sample_weight", "groups"})
        if unknown:
            raise TypeError(
                f"fit takes sample_weight and groups, got {unknown}; others are routed where they "
                "are requested with sklearn.set_config(enable_metadata_routing=True)."
            )
        fit_params = {name: value for name, value in params.items() if value is not None}
        for name, estimator, _ in self.estimators:
            if "sample_weight" in fit_params and isinstance(estimator, Pipeline):
                raise ValueError(
                    f"The classifier of modality {name!r} is a Pipeline, whose steps get "
                    "sample_weight only where they ask for it: after "
                    "sklearn.set_config(enable_metadata_routing=True), with "
                    f"{type(estimator[-1]).__name__}().set_fit_request(sample_weight=True)."
                )
        split_params = {"groups": fit_params.pop("groups")} if "groups" in fit_params else {}
        return dict.fromkeys(names, fit_params), split_params

    def get_metadata_routing(self):
        """Return which metadata goes to which classifier, and to the splitter.

        Returns
        -------
        MetadataRouter
            As scikit-learn's user guide on metadata routing describes.
        """
        router = MetadataRouter(owner=self)
        mapping = MethodMapping().add(caller="fit", callee="fit")
        for name, estimator, _ in self.estimators:
            router.add(**{name: estimator}, method_mapping=mapping)
        split = MethodMapping().add(caller="fit", callee="split")
        return router.add(**{SPLITTER: check_cv(self.cv)}, method_mapping=split)

    def _read_rows(self, X, *, reset: bool):
        """Return a frame as it is, and anything else as a checked array."""
        if not hasattr(X, "columns"):
            check_no_records(X, type(self).__name__)
            X = check_array(X, dtype=None, ensure_all_finite=False, estimator=self)
        _check_feature_names(self, X, reset=reset)
        _check_n_features(self, X, reset=reset)
        if len(X) == 0:
            raise ValueError(
                f"Found array with 0 sample(s) (shape={X.shape}) while a minimum of 1 is required."
            )
        return X

    def _find_columns(self, X, names: list[str]) -> dict[str, list]:
        """Find the columns of each modality: their names in a frame, else their positions."""
        labels = getattr(self, "feature_names_in_", np.arange(self.n_features_in_))
        found = {}
        for name, columns in zip(names, self._columns, strict=True):
            try:
                found[name] = labels[_get_column_indices(X, columns)].tolist()
            except ValueError as e:
                raise ValueError(
                    f"Modality {name!r} has the columns {columns!r}, and X, with n_features = "
                    f"{self.n_features_in_}, has not all of them: {e}"
                ) from e
        return found

    def _find_present(self, X) -> np.ndarray:
        """Mark the modalities that each row has (n_samples, n_modalities)."""
        return np.stack([has_values(_safe_indexing(X, c, axis=1)) for c in self._columns], axis=1)

    def _learn_weights(self, splits, results, codes, weight, names) -> np.ndarray:
        proba = np.full((len(codes), len(names), len(self.classes_)), np.nan)
        tests = [test for _, test in splits for _ in names]
        for k, (test, (fitted, values)) in enumerate(zip(tests, results, strict=True)):
            if fitted is not None:
                proba[test, k % len(names)] = self._align_classes(fitted, values)
        proba_true = proba[np.arange(len(codes)), :, codes]  # (n, m), of each row's true class
        is_unknown = np.isnan(proba_true).all(axis=0)
        if is_unknown.any():
            raise ValueError(
                f"Modality {names[is_unknown.argmax()]!r} is in too few rows to be judged "
                "by cv: give modality_weights, or leave it out."
            )
        return minimise_log_loss(proba_true, weight)

    def _align_classes(self, fitted, values: np.ndarray) -> np.ndarray:
        """Order probabilities as ``classes_``; a class that ``fitted`` has not seen gets 0."""
        proba = np.zeros((len(values), len(self.classes_)))
        proba[:, np.searchsorted(self.classes_, fitted.classes_)] = values
        proba[np.isnan(values).any(axis=1)] = np.nan
        return proba

    def modality_proba(self, X):
        """Predict the probability of each class from each modality alone.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_columns)
            Columns, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_modalities, n_classes)
            NaN where a row does not have the modality. In the order of ``modalities_`` and
            ``classes_``.
        """
        check_is_fitted(self)
        X = self._read_rows(X, reset=False)
        present = self._find_present(X)
        proba = [
            self._align_classes(fitted, predict_where(fitted, X, columns, has))
            for fitted, columns, has in zip(self.estimators_, self._columns, present.T, strict=True)
        ]
        return np.stack(proba, axis=1)

    def contributions(self, X):
        """Split the probabilities of each row into one part for each modality.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_columns)
            Columns, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_modalities, n_classes)
            ``a_i P_i``, whose sum over modalities is `predict_proba`; 0 for a modality that the row
            does not have, and for rows without any that counts, whose prediction is
            ``class_prior_``.
        """
        proba = self.modality_proba(X)
        alpha = np.array(list(self.modality_weights_.values()))
        weights = alpha * ~np.isnan(proba[:, :, 0])
        total = weights.sum(axis=1, keepdims=True)
        weights = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
        return weights[:, :, None] * np.nan_to_num(proba)

    def predict_proba(self, X):
        """Predict the probability of each class.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_columns)
            Columns, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities, in the order of ``classes_``. Rows without any modality that counts get
            ``class_prior_``, with a warning.
        """
        proba = self.contributions(X).sum(axis=1)
        empty = ~proba.any(axis=1)
        if empty.any():
            warn_user(
                f"{empty.sum()} of {len(empty)} rows have no modality that counts (the first is "
                f"row {empty.argmax()}); their prediction is the class prior.",
            )
            proba[empty] = self.class_prior_
        return proba

    def predict_log_proba(self, X):
        """Predict the logarithm of the probability of each class.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_columns)
            Columns, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Natural logarithms, in the order of ``classes_``.
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def predict(self, X):
        """Predict the class of each row.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_columns)
            Columns, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples,)
            Class labels.
        """
        proba = self.predict_proba(X)
        return self.classes_[proba.argmax(axis=1)]

    def _sk_visual_block_(self):
        fitted = getattr(self, "named_estimators_", {})
        weights = getattr(self, "modality_weights_", {})
        fitted_columns = getattr(self, "modalities_", {})
        names = [name for name, _, _ in self.estimators]
        columns = [fitted_columns.get(name, selected) for name, _, selected in self.estimators]
        headings = [
            name_modality(name, selected)
            + (f" (weight {weights[name]:.2f})" if name in weights else "")
            for name, selected in zip(names, columns, strict=True)
        ]
        contents = [fitted.get(name, estimator) for name, estimator, _ in self.estimators]
        return block_of_modalities(headings, contents, columns)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        # A whole modality may be NaN; single values are for the classifiers to accept.
        tags.input_tags.allow_nan = all(
            get_tags(estimator).input_tags.allow_nan for _, estimator, _ in self.estimators
        )
        return tags
