"""modality_report: what each modality adds to the score of any fitted model."""

from __future__ import annotations

from html import escape
from numbers import Integral

import numpy as np
import pandas as pd
from sklearn.utils import Bunch, check_consistent_length, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from ._fitted import find_scorer, name_score, split_pipeline
from ._scores import (
    all_subsets,
    emap_scores,
    permutation_drops,
    prepare_missing,
    score_subsets,
    shapley_values,
)


class _Report(Bunch):
    """A Bunch that is printed as tables."""

    def __repr__(self) -> str:
        header, overall, modalities = self._describe()
        numbers = {"float_format": "{:.4g}".format}
        return "\n\n".join(
            [header, overall.to_string(index=False, **numbers), modalities.to_string(**numbers)]
        )

    def _repr_html_(self) -> str:
        header, overall, modalities = self._describe()
        numbers = {"float_format": "{:.4g}".format}
        return "\n".join(
            [
                f"<p>{escape(header)}</p>",
                overall.to_html(index=False, **numbers),
                modalities.to_html(**numbers),
            ]
        )

    def _describe(self) -> tuple[str, pd.DataFrame, pd.DataFrame]:
        header = f"{self.score_name}; a modality that is removed is filled with {self.missing}"
        return header, self.overall.to_frame().T, self.modalities


@validate_params(
    {
        "modalities": [dict, None],
        "missing": [StrOptions({"auto", "nan", "mean"})],
        "n_repeats": [Interval(Integral, 1, None, closed="left")],
        "emap_samples": [Interval(Integral, 0, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def modality_report(
    estimator,
    X,
    y,
    *,
    scoring=None,
    modalities=None,
    missing="auto",
    n_repeats=5,
    emap_samples=200,
    random_state=None,
):
    """Measure what each modality adds to the score of a fitted model, without fitting again.

    Parameters
    ----------
    estimator : estimator
        A fitted one: of skmm, a Pipeline or search that ends in one, a Pipeline with a
        `ColumnTransformer`, or any other.
    X : DataFrame or array-like of shape (n_samples, n_columns)
        What it predicts from; best rows that it was not trained on.
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
        What is to be predicted.
    scoring : str, callable or None, default=None
        As elsewhere in scikit-learn. None is the score of a search, or else the estimator's own:
        accuracy, or R^2.
    modalities : dict or None, default=None
        The columns of X (names, positions or a slice) for each name. None finds them: of skmm's
        models and of a `ColumnTransformer` those that they were fitted with, otherwise from columns
        named ``modality__feature``.
    missing : {"auto", "nan", "mean"}, default="auto"
        What the columns of a modality that is removed are filled with: NaN, or the mean of each
        column in X. "auto" is NaN where the estimator takes it, as skmm's do.
    n_repeats : int, default=5
        How many times each modality is permuted.
    emap_samples : int, default=200
        How many rows, chosen at random, EMAP pairs with each other: it takes the square of that
        many predictions, for three and more modalities times their number. 0 skips EMAP.
    random_state : int, RandomState instance or None, default=None
        Determines permutations and the rows for EMAP.

    Returns
    -------
    Bunch
        The measurements, which print as tables:

        modalities : DataFrame of shape (n_modalities, 5)
            The score with each modality "alone" and "without" it; its "shapley" value; by how much
            the score falls when the modality is permuted ("permutation", a mean over
            ``n_repeats``, and "permutation_std").
        overall : Series
            The score with "all" modalities and with "none"; on the rows of EMAP that of the model
            ("emap_all") and of the additive function nearest to it ("emap"), and "emap_gap", by
            how much the first is higher: how much of the score needs modalities to interact.
        subsets : DataFrame of shape (2 ** n_modalities, n_modalities + 1)
            Which modalities were present, and the "score".
        score_name : str
            What the score is called.
        missing : str
            What the columns of a removed modality were filled with, "nan" or "mean".

    Raises
    ------
    ValueError
        If the modalities cannot be found, or are more than 10.
    TypeError
        If EMAP finds neither `decision_function` nor `predict_proba`.

    See Also
    --------
    ModalityReportDisplay : Plot it.
    sklearn.inspection.permutation_importance : The same of single columns.

    Notes
    -----
    The Shapley values [1]_ are exact: the model predicts all rows with each subset of the
    modalities, and a value is what a modality adds to the score, averaged over all orders in which
    modalities can come in. They add up to the score with all modalities less that with none.

    In a permutation the columns of a modality stay together, and come from another row. Where two
    modalities carry the same information, a model may lose little without either of them, and both
    numbers are small; the Shapley values share that information between them.

    EMAP, the empirical multimodally-additive projection [2]_, replaces the output of the model by
    ``sum_m mean_j f(x_i^m, x_j^others) - (n_modalities - 1) mean f``, of two modalities the sum of
    one function for each that is nearest to it. With more, the others all come from row j, and the
    output of a model that is a sum stays as it is, too. Outputs are logits or `decision_function`,
    otherwise probabilities, and the predictions of regressors. A score that needs probabilities
    gets the softmax of `decision_function` for "emap_all" too, which may differ from the model's
    `predict_proba` (an `SVC` fits the two apart). A gap near 0 says that a sum of the modalities
    is enough, even if the model could do more.

    Modalities that X lacks are missing in every measurement.

    References
    ----------
    .. [1] L. S. Shapley, "A value for n-person games", Contributions to the Theory of Games 2,
       1953.
    .. [2] J. Hessel and L. Lee, "Does my multimodal model learn cross-modal interactions? It's
       harder to tell than you might think!", EMNLP 2020.

    Examples
    --------
    >>> from skmm import MLP, AdamW, FusionClassifier
    >>> from skmm.datasets import make_multimodal_classification
    >>> from skmm.inspection import modality_report
    >>> X, y = make_multimodal_classification(
    ...     400, informativeness=(0.9, 0.0), modality_names=("text", "noise"), random_state=0
    ... )
    >>> model = FusionClassifier(modality_model=MLP(8), solver=AdamW(max_iter=9), random_state=0)
    >>> report = modality_report(model.fit(X[:200], y[:200]), X[200:], y[200:], emap_samples=50)
    >>> report.modalities["shapley"].idxmax()
    'text'
    >>> shares = report.modalities["shapley"].sum()
    >>> bool(abs(shares - (report.overall["all"] - report.overall["none"])) < 1e-9)
    True
    """
    check_consistent_length(X, y)
    rng = check_random_state(random_state)
    scorer = find_scorer(estimator, scoring)
    model, table = split_pipeline(estimator, X, modalities)
    names = table.names
    subsets = all_subsets(names)
    missing = prepare_missing(model, table, missing)
    scores = dict(
        zip(subsets, score_subsets(model, table, y, scorer, subsets).tolist(), strict=True)
    )
    drops = permutation_drops(model, table, y, scorer, n_repeats, rng)
    by_modality = pd.DataFrame(
        {
            "alone": [scores[name,] for name in names],
            "without": [scores[tuple(n for n in names if n != name)] for name in names],
            "shapley": shapley_values(scores, names),
            "permutation": drops.mean(axis=1),
            "permutation_std": drops.std(axis=1),
        },
        index=pd.Index(names, name="modality"),
    )
    overall = {"all": scores[tuple(names)], "none": scores[()]}
    if emap_samples:
        n_rows = min(emap_samples, len(table))
        rows = np.sort(rng.choice(len(table), n_rows, replace=False))
        model_score, additive = emap_scores(model, table, y, scorer, rows)
        overall |= {"emap_all": model_score, "emap": additive, "emap_gap": model_score - additive}
    by_subset = pd.DataFrame({name: [name in subset for subset in subsets] for name in names})
    return _Report(
        modalities=by_modality,
        overall=pd.Series(overall, name="score"),
        subsets=by_subset.assign(score=list(scores.values())),
        score_name=name_score(estimator, scoring),
        missing=missing,
    )
