"""leaderboard: a fusion beside each modality alone and other models, on the same folds."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import clone, is_classifier
from sklearn.metrics import accuracy_score, get_scorer
from sklearn.utils import check_consistent_length
from sklearn.utils._indexing import _safe_indexing
from sklearn.utils._param_validation import validate_params
from sklearn.utils.parallel import Parallel, delayed

from .._data.labels import subset_accuracy
from .._progress import progress_bar
from ._baselines import make_alone, make_boosting, make_linear, make_prior
from ._fitted import as_frame_or_array, find_scorer, unwrap
from ._folds import Fold, check_target, encode, split, split_model
from ._tables import ignore_rows_without_modality

MODEL, LINEAR, BOOSTING, PRIOR = "model", "linear", "boosting", "prior"
DROP = "drop"


class Candidate(NamedTuple):
    """An estimator of the board, and what it reads."""

    estimator: Any
    columns: np.ndarray | None  # positions; None is all
    takes_groups: bool = False


@validate_params(
    {
        "cv": ["cv_object"],
        "models": [dict, None],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    },
    prefer_skip_nested_validation=True,
)
def leaderboard(
    model,
    X,
    y,
    *,
    cv=5,
    scoring=None,
    models=None,
    groups=None,
    n_jobs=None,
    verbose=False,
):
    """Compare a fusion with each modality alone, a linear model and boosting, on the same folds.

    All are fitted anew in each fold, to the same features, and scored on the rows that the fold
    holds out. ``model`` is cloned, and never changed.

    Parameters
    ----------
    model : FusionClassifier, FusionRegressor or Pipeline
        Fitted or not. Of a Pipeline that ends in one the steps before encode the columns, fitted
        once in each fold. A fitted search stands for its best estimator.
    X : DataFrame or array-like of shape (n_samples, n_columns)
        What ``model`` is fitted to.
    y : array-like of shape (n_samples,), (n_samples, n_labels) or (n_samples, n_targets)
        What is to be predicted, known in all rows.
    cv : int, splitter or iterable, default=5
        The folds, as in `cross_val_score`. An int is the number of folds, which are stratified by
        class, keep ``groups`` whole, and take rows in their order.
    scoring : str, callable or None, default=None
        As elsewhere in scikit-learn, the higher the better. None is the score of a search, or else
        the estimator's own: accuracy, or R^2.
    models : dict of str to estimator or None, default=None
        More models of the same features, in which a modality that a row lacks is NaN. "linear" and
        "boosting" take the place of those of the board, and the value "drop" leaves them out.
    groups : array-like of shape (n_samples,), default=None
        Group labels, such as speakers: held-out rows are whole groups, also those on which
        ``model`` learns its weights and the linear model its regularisation.
    n_jobs : int or None, default=None
        How many models are fitted at once; None is one unless in a `joblib.parallel_config`.
    verbose : bool, default=False
        Whether to show a progress bar.

    Returns
    -------
    DataFrame of shape (n_models, 4)
        A row for each model, best first: "model"; "NAME alone", ``model`` with the columns of one
        modality, if there are several; "linear", ridge or logistic regression; "boosting",
        `HistGradientBoostingClassifier` or its regressor; "prior", which predicts the same for all
        rows; and those of ``models``. Columns are the mean "score" over folds, its "difference" to
        that of "model", the "standard_error" of that difference, and "fit_time", the mean seconds
        of a fit, without the encoding.

    Raises
    ------
    TypeError
        If ``model`` does not end in a FusionClassifier or FusionRegressor.
    ValueError
        If ``cv`` does not split the rows, a fold trains on one class, y is not known in all rows,
        names of models are taken, or a model cannot be fitted or scored; the message says which,
        and in which fold.

    See Also
    --------
    LeaderboardDisplay : Plot it.
    modality_report : What each modality adds to the score of a fitted model.

    Notes
    -----
    Training rows of different folds overlap, so the scores of folds depend on each other, and the
    variance of their mean is more than their variance over K. The standard error is that of the
    corrected resampled t-test [1]_: with d_k the difference in fold k, s^2 their variance, and
    n_test and n_train the rows of a fold, it is ``sqrt((1 / K + n_test / n_train) s^2)``. It was
    derived for random splits, and is usual for cross-validation too [2]_. It has K - 1 degrees of
    freedom: with 5 folds a difference of 2.8 of them is significant at the level of 5%.

    The linear model reads standardised columns. A missing value is replaced by the mean of its
    column, and a column for each modality says where it is missing. C, or alpha, is chosen in 3
    folds of the training rows: by log-loss, or R^2.

    A row that lacks the one modality that a model reads counts with the prior's prediction, so that
    all scores are of the same rows.

    The best of several settings is too good on the rows it was chosen on. Where a search found the
    settings of ``model``, make the board of other rows than it saw.

    Ctrl-C ends the comparison.

    References
    ----------
    .. [1] C. Nadeau, Y. Bengio, "Inference for the generalization error", Machine Learning 52(3),
       2003.
    .. [2] R. R. Bouckaert, E. Frank, "Evaluating the replicability of significance tests for
       comparing learning algorithms", PAKDD 2004.

    Examples
    --------
    >>> from skmm import AdamW, FusionClassifier
    >>> from skmm.datasets import make_multimodal_classification
    >>> from skmm.inspection import leaderboard
    >>> X, y = make_multimodal_classification(
    ...     200, informativeness=(0.9, 0.0), modality_names=("text", "noise"), random_state=0
    ... )
    >>> model = FusionClassifier(interaction=None, solver=AdamW(max_iter=9), random_state=0)
    >>> board = leaderboard(model, X, y, cv=2, models={"boosting": "drop"})
    >>> sorted(board.index)
    ['linear', 'model', 'noise alone', 'prior', 'text alone']
    >>> bool(board.loc["text alone", "score"] > board.loc["noise alone", "score"])
    True
    """
    check_consistent_length(X, y, groups)
    encoder, fusion = split_model(model)
    scorer = _find_scorer(model, scoring)
    extra = dict(models or {})
    if encoder is None:
        X = as_frame_or_array(X)
    y = check_target(y, is_classifier(fusion))
    groups = None if groups is None else np.asarray(groups)
    splits = split(cv, X, y, groups, is_classifier(fusion))
    modalities: list[str] | None = None
    results = []
    with (
        _warnings_of_fits(),
        ignore_rows_without_modality(),
        progress_bar(desc="leaderboard", verbose=verbose) as bar,
        Parallel(n_jobs=n_jobs, return_as="generator") as parallel,
    ):
        for i, (train, test) in enumerate(splits):
            fold = encode(encoder, fusion, X, y, groups, train, test)
            candidates = _make_candidates(fusion, fold, extra)
            if modalities is None:
                modalities = [*fold.columns]
                bar.total = len(splits) * len(candidates)
            _check_same_modalities(modalities, [*fold.columns], i)
            jobs = (
                delayed(_fit_and_score)(name, candidate, fold, scorer, i)
                for name, candidate in candidates.items()
            )
            for result in parallel(jobs):
                results.append(result)
                bar.update()
    return _summarise(pd.DataFrame(results), splits)


def _find_scorer(model: Any, scoring: str | Callable | None) -> Callable:
    """Return a scorer that measures the same of all models; their own `score` may not.

    That of a search over a linear model's regularisation is the score that it chose by.
    """
    if scoring is None and getattr(model, "scoring", None) is None:
        return _accuracy if is_classifier(unwrap(model)) else get_scorer("r2")
    return find_scorer(model, scoring)


def _accuracy(model: Any, X: Any, y: Any) -> float:
    """Compute the share of rows whose targets are all predicted right."""
    predicted = model.predict(X)
    return accuracy_score(y, predicted) if predicted.ndim == 1 else subset_accuracy(y, predicted)


def _make_candidates(fusion: Any, fold: Fold, extra: Mapping[str, Any]) -> dict[str, Candidate]:
    """Make the models of a fold; all read the columns of modalities, in the same order."""
    blocks, y = fold.columns, np.asarray(fold.y)
    used = np.concatenate([*blocks.values()])
    ends = np.cumsum([len(columns) for columns in blocks.values()])
    candidates = {MODEL: Candidate(fusion, None, takes_groups=True)}
    if len(blocks) > 1:
        for name, columns in blocks.items():
            alone = make_alone(fusion, name, len(columns), y)
            candidates[f"{name} alone"] = Candidate(alone, columns, takes_groups=True)
    if LINEAR not in extra:
        positions = np.split(np.arange(len(used)), ends[:-1])
        candidates[LINEAR] = Candidate(make_linear(fusion, positions, y, fold.groups), used)
    if BOOSTING not in extra:
        candidates[BOOSTING] = Candidate(make_boosting(fusion, y), used)
    candidates[PRIOR] = Candidate(make_prior(fusion, y), used)
    taken = [name for name in extra if name in candidates]
    if taken:
        raise ValueError(
            f"models names {taken[0]!r}, which is a row of the board already, {list(candidates)}. "
            f"Take another name; {LINEAR!r} and {BOOSTING!r} alone can be replaced."
        )
    for name, estimator in extra.items():
        if isinstance(estimator, str) and estimator == DROP and name in (LINEAR, BOOSTING):
            continue
        if not isinstance(name, str) or not hasattr(estimator, "predict"):
            raise ValueError(
                "models must be a dict of names to estimators that predict, or to 'drop' for "
                f"{LINEAR!r} or {BOOSTING!r}; got {name!r}: {estimator!r}."
            )
        candidates[name] = Candidate(estimator, used)
    return candidates


def _fit_and_score(
    name: str, candidate: Candidate, fold: Fold, scorer: Callable, number: int
) -> dict[str, Any]:
    """Fit a model to the training rows of a fold, and score it on the others."""
    X, X_test = fold.X, fold.X_test
    if candidate.columns is not None:
        X, X_test = (_safe_indexing(rows, candidate.columns, axis=1) for rows in (X, X_test))
    groups = {"groups": fold.groups} if candidate.takes_groups else {}
    model = clone(candidate.estimator)
    start = time.perf_counter()
    try:
        model.fit(X, fold.y, **groups)
    except ValueError as e:
        raise ValueError(
            f"Model {name!r} cannot be fitted to the training rows of fold {number}: {e}"
        ) from e
    seconds = time.perf_counter() - start
    try:
        score = float(scorer(model, X_test, fold.y_test))
        if not np.isfinite(score):
            raise ValueError(f"The score is {score}.")
    except ValueError as e:
        raise ValueError(
            f"Model {name!r} cannot be scored on the held-out rows of fold {number}: {e} If these "
            "or the training rows lack a class, take fewer folds, a cv that stratifies, or another "
            "scoring."
        ) from e
    return {"model": name, "fold": number, "score": score, "fit_time": seconds}


@contextmanager
def _warnings_of_fits() -> Iterator[None]:
    """Raise KeyboardInterrupt where a fusion would end training early, with a warning, and go on.

    That a class is too rare for the inner folds of the linear model is of no interest. The fits of
    other threads and processes inherit the filters.
    """
    message = "Training was interrupted"
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=message)
        warnings.filterwarnings("ignore", message="The least populated class in y has only")
        try:
            yield
        except UserWarning as e:
            if not str(e).startswith(message):
                raise
            raise KeyboardInterrupt from e


def _check_same_modalities(first: list[str], names: list[str], number: int) -> None:
    if names != first:
        raise ValueError(
            f"The steps before the fusion make the modalities {names} in fold {number}, and "
            f"{first} in fold 0. Name the columns of each modality in ModalityTransformer."
        )


def _summarise(results: pd.DataFrame, splits: Sequence[tuple]) -> pd.DataFrame:
    """Return the board: means over folds, and the error of the differences to the model."""
    by_model = results.groupby("model", sort=False)
    scores = results.pivot(index="model", columns="fold", values="score")
    differences = scores - scores.loc[MODEL]
    ratio = np.mean([len(test) / len(train) for train, test in splits])
    variance = differences.var(axis=1, ddof=1)
    board = pd.DataFrame(
        {
            "score": by_model["score"].mean(),
            "difference": differences.mean(axis=1),
            "standard_error": np.sqrt((1 / len(splits) + ratio) * variance),
            "fit_time": by_model["fit_time"].mean(),
        }
    )
    board = board.loc[list(by_model.groups)]
    return board.sort_values("score", ascending=False, kind="stable").rename_axis("model")
