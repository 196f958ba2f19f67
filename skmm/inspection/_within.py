"""contributions_within: the contribution of one modality split by columns, or by words."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import chain, islice
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.random import RandomState
from sklearn.base import is_classifier
from sklearn.utils import Bunch, check_random_state
from sklearn.utils._param_validation import Interval, validate_params

from .._progress import progress_bar
from ._attribution import check_splits
from ._coalitions import Coalition, Columns, Game, Words
from ._encoded import EncodedRows
from ._fitted import fusion_step
from ._scores import all_subsets, shapley_values
from ._tables import ignore_rows_without_modality

MAX_ENUMERATED = 8  # units of which all subsets are evaluated
N_BACKGROUND = 20
TOLERANCE = 1e-5  # of the largest contribution: features are float32


@validate_params(
    {
        "modality": [str],
        "n_permutations": [Interval(Integral, 2, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def contributions_within(
    estimator, X, modality, *, background=None, n_permutations=10, random_state=None
):
    """Split the contribution of one modality by the columns of a table, or the words of a text.

    The Shapley values [1]_ of a game for each row and output: a column or word is worth what it
    changes in the modality's contribution, averaged over all orders in which they can come in.
    The other modalities of the row stay as they are.

    Parameters
    ----------
    estimator : estimator
        A fitted Pipeline, or a search over one, that ends in a model with `contributions`:
        `FusionClassifier` or `FusionRegressor` with ``fusion`` "late", "weighted", "gated" or
        "additive", or `LateFusionClassifier`. The model alone can be split by the columns that it
        reads.
    X : DataFrame or array-like of shape (n_samples, n_columns)
        The rows to explain, raw ones of a Pipeline.
    modality : str
        The modality to split: of columns, or a text.
    background : DataFrame or array-like of shape (n_background, n_columns), default=None
        Rows from which a column that is not in takes its values; the result is the mean over all
        of them. None takes at most 20 rows of ``X`` at random. A text has none: words that are not
        in are left out.
    n_permutations : int, default=10
        How many orders are drawn for a row with more than 8 columns or words; each is used in both
        directions. Of fewer all subsets are evaluated.
    random_state : int, RandomState instance or None, default=None
        Determines the orders, and the background.

    Returns
    -------
    Bunch
        The result:

        contributions : DataFrame of shape (n_units, n_outputs)
            What each column or word of each row contributes, indexed by row and unit. The outputs
            are the classes, labels or targets.
        base : DataFrame of shape (n_samples, n_outputs)
            The mean contribution of the modality with the values of the background, or that of a
            text without words. With the sum over the units it is the modality's contribution.
        standard_error : DataFrame of shape (n_units, n_outputs)
            The standard errors of contributions that are estimated; 0 in rows where they are not.
        method : {"additive", "exact", "permutations"}
            "additive" if in each row a unit changes the same whichever others are in; "exact" if
            all subsets were evaluated where that is not so; "permutations" if orders were drawn in
            rows with too many units for that.

    Raises
    ------
    TypeError
        If the estimator is none of modalities.
    ValueError
        If there is no such modality, or it is neither columns nor a text; if the predictions of the
        estimator are no sums; if ``X`` is a single row, and there is no ``background``.

    See Also
    --------
    ContributionsDisplay : Plot the contributions of the modalities.
    modality_report : How much of the score each modality brings.

    Notes
    -----
    The part of an interaction is of no single modality, and is not split.

    Contributions of classes are parts of logits, of which only differences count: subtract the mean
    over the classes.

    Whether a row is additive is measured: in a random order, in its reverse and alone each unit has
    to change the same, up to rounding.

    Words are what blanks separate; in scripts without blanks each character is one. A text that an
    encoder takes for missing, be it the empty one, contributes 0.

    A row with n units takes 3 n evaluations if they are additive. If not, it takes 2^n more of at
    most 8, else ``2 * n * (n_permutations - 1)``, each with every row of the background. Texts from
    which words are left out do not enter the cache of an encoder.

    References
    ----------
    .. [1] E. Strumbelj and I. Kononenko, "Explaining prediction models and individual predictions
       with feature contributions", Knowledge and Information Systems 41, 2014.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from skmm import AdamW, FusionRegressor, ModalityTransformer
    >>> from skmm.inspection import contributions_within
    >>> X = pd.DataFrame({"price": [1.0, 4.0, 2.0, 3.0] * 20, "brand": ["Acme", "Bolt"] * 40})
    >>> X["review"] = ["good", "bad", "good", "plain", "plain"] * 16
    >>> y = X["price"] + 5 * (X["brand"] == "Bolt")
    >>> encoder = ModalityTransformer(overrides={"review": "text"})
    >>> fusion = FusionRegressor(modality_model=Ridge(), interaction=None, solver=AdamW(max_iter=2))
    >>> model = make_pipeline(encoder, fusion).fit(X, y)
    >>> result = contributions_within(model, X[:2], "tabular", background=X[:4])
    >>> result.method
    'additive'
    >>> result.contributions["prediction"] > 0
    row  column
    0    price     False
         brand     False
    1    price      True
         brand      True
    Name: prediction, dtype: bool
    """
    rng = check_random_state(random_state)
    model = fusion_step(estimator, "contributions_within")
    check_splits(model, "modality_report, which takes any model")
    encoded = EncodedRows(estimator, X)
    encoded.check_divisible(modality)
    players = _make_players(encoded, modality, background, rng)
    position = list(model.modalities_).index(modality)
    game = Game(
        players,
        partial(encoded.encode, modality),
        encoded.features,
        encoded.groups[modality],
        lambda features: _read_contributions(model, encoded.finish(features))[:, position],
    )
    with progress_bar(desc=f"contributions within {modality}", leave=False, delay=5) as bar:
        rows = _explain(game, n_permutations, rng, bar)
    with ignore_rows_without_modality():
        outputs = _name_outputs(model, encoded.finish(encoded.features[:1]))
    return _tabulate(rows, players, getattr(encoded.raw, "index", None), outputs)


def _make_players(
    encoded: EncodedRows, modality: str, background: Any, rng: RandomState
) -> Columns | Words:
    cells = encoded.select(modality, encoded.raw)
    if encoded.find_kind(modality) == "words":
        if background is not None:
            raise ValueError(
                f"background acts on columns, and modality {modality!r} is split by its words, "
                "which are left out. Give background=None."
            )
        return Words(cells)
    if background is not None:
        rows = encoded.prepare(background)
        return Columns(cells, encoded.select(modality, rows, "background"))
    if len(cells) == 1:
        raise ValueError(
            "background is needed for a single row, whose columns have to be compared with those "
            "of other rows. Give some rows of the training data."
        )
    n_rows = min(N_BACKGROUND, len(cells))
    return Columns(cells, cells.iloc[np.sort(rng.choice(len(cells), n_rows, replace=False))])


class _Row(NamedTuple):
    """The contributions of the units of one row."""

    contributions: np.ndarray  # (n_units, k)
    standard_error: np.ndarray  # (n_units, k)
    base: np.ndarray  # (k,)
    method: str


def _explain(game: Game, n_permutations: int, rng: RandomState, bar: Any) -> list[_Row]:
    """Compute what is exact if units are additive, and more for the rows where they are not."""
    counts = [len(units) for units in game.players.units]
    bar.total = sum(max(1, 3 * n) for n in counts)
    rows = _try_additive(game, [rng.permutation(n) for n in counts], bar)
    rest = [i for i, row in enumerate(rows) if row.method != "additive"]
    few = [i for i in rest if counts[i] <= MAX_ENUMERATED]
    many = [i for i in rest if counts[i] > MAX_ENUMERATED]
    bar.total += sum(2 ** counts[i] for i in few)
    bar.total += sum(2 * counts[i] * (n_permutations - 1) for i in many)
    for i, contributions in zip(few, _enumerate(game, few, bar), strict=True):
        rows[i] = rows[i]._replace(contributions=contributions, method="exact")
    for i, estimates in zip(many, _sample(game, many, n_permutations - 1, rng, bar), strict=True):
        estimates = np.concatenate([rows[i].contributions[None], estimates])
        error = estimates.std(axis=0, ddof=1) / np.sqrt(len(estimates))
        rows[i] = rows[i]._replace(contributions=estimates.mean(axis=0), standard_error=error)
    return rows


def _try_additive(game: Game, orders: list[np.ndarray], bar: Any) -> list[_Row]:
    """Compare what each unit of a row changes in an order, in its reverse, and alone.

    Order and reverse are not enough: of a majority of three both name the one in the middle.
    """
    walks = (
        chain(_walk(row, order), (Coalition(row, np.arange(len(order)) == unit) for unit in order))
        for row, order in enumerate(orders)
    )
    stream = game.evaluate(chain.from_iterable(walks), bar)
    rows = []
    for order in orders:
        values = _take(stream, max(1, 3 * len(order)))
        estimates = _estimate(order, values)
        alone = np.empty_like(estimates[0])
        alone[order] = values[2 * len(order) :] - values[0] if len(order) else 0
        tolerance = TOLERANCE * np.abs(values).max()
        is_additive = np.allclose(estimates, alone, rtol=0, atol=tolerance)
        mean, method = estimates.mean(axis=0), "additive" if is_additive else "permutations"
        rows.append(_Row(mean, np.zeros_like(mean), values[0], method))
    return rows


def _enumerate(game: Game, rows: list[int], bar: Any) -> Iterator[np.ndarray]:
    """Yield the Shapley values (n_units, k) of rows, by all subsets of their units."""
    counts = {row: len(game.players.units[row]) for row in rows}
    subsets = {n: all_subsets(list(range(n))) for n in set(counts.values())}
    coalitions = (
        Coalition(row, np.isin(np.arange(n), subset))
        for row, n in counts.items()
        for subset in subsets[n]
    )
    stream = game.evaluate(coalitions, bar)
    for n in counts.values():
        values = _take(stream, len(subsets[n]))
        yield shapley_values(dict(zip(subsets[n], values, strict=True)), list(range(n)))


def _sample(
    game: Game, rows: list[int], n_orders: int, rng: RandomState, bar: Any
) -> Iterator[np.ndarray]:
    """Yield estimates (n_orders, n_units, k) for rows, each of an order and its reverse."""
    orders = {
        row: [rng.permutation(len(game.players.units[row])) for _ in range(n_orders)]
        for row in rows
    }
    walks = (_walk(row, order) for row, of_row in orders.items() for order in of_row)
    stream = game.evaluate(chain.from_iterable(walks), bar)
    for of_row in orders.values():
        yield np.stack(
            [_estimate(order, _take(stream, 2 * len(order))).mean(axis=0) for order in of_row]
        )


def _walk(row: int, order: np.ndarray) -> Iterator[Coalition]:
    """Yield the coalitions that grow in an order, and those between in its reverse."""
    ranks, n = np.argsort(order), len(order)
    for size in range(n + 1):
        yield Coalition(row, ranks < size)
    for size in range(1, n):
        yield Coalition(row, ranks >= n - size)


def _estimate(order: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return what each unit changed (2, n_units, k) in an order and its reverse."""
    n = len(order)
    changes = np.empty((2, n, values.shape[1]))
    if n:
        changes[0, order] = np.diff(values[: n + 1], axis=0)
        changes[1, order[::-1]] = np.diff(values[[0, *range(n + 1, 2 * n), n]], axis=0)
    return changes


def _take(stream: Iterator[np.ndarray], n: int) -> np.ndarray:
    return np.stack(list(islice(stream, n)))


def _read_contributions(model: Any, X: Any) -> np.ndarray:
    """Return the contributions (n, m, k) to all outputs, those of several targets side by side."""
    contributions = model.contributions(X)
    if isinstance(contributions, list):
        return np.concatenate(contributions, axis=2)
    return contributions if contributions.ndim == 3 else contributions[:, :, None]


def _name_outputs(model: Any, X: Any) -> pd.Index:
    predicted = model.predict(X)
    if not is_classifier(model):
        several = predicted.ndim == 2
        names = [f"target {i}" for i in range(predicted.shape[1])] if several else ["prediction"]
        return pd.Index(names)
    if isinstance(model.contributions(X), list):
        pairs = [(i, name) for i, classes in enumerate(model.classes_) for name in classes]
        return pd.MultiIndex.from_tuples(pairs, names=["target", "class"])
    if predicted.ndim == 2:
        return pd.Index([f"label {label}" for label in model.classes_])
    return pd.Index(model.classes_, name="class")


def _tabulate(
    rows: list[_Row], players: Columns | Words, index: pd.Index | None, outputs: pd.Index
) -> Bunch:
    labels = pd.RangeIndex(len(rows)) if index is None else index
    if labels.nlevels == 1 and labels.name is None:
        labels = labels.rename("row")
    counts = [len(units) for units in players.units]
    repeated = labels.repeat(counts)
    levels = [repeated.get_level_values(i) for i in range(labels.nlevels)]
    units = pd.MultiIndex.from_arrays(
        [*levels, list(chain.from_iterable(players.units))], names=[*labels.names, players.kind]
    )
    methods = {row.method for row in rows}
    return Bunch(
        contributions=pd.DataFrame(
            np.concatenate([row.contributions for row in rows]), index=units, columns=outputs
        ),
        base=pd.DataFrame(np.stack([row.base for row in rows]), index=labels, columns=outputs),
        standard_error=pd.DataFrame(
            np.concatenate([row.standard_error for row in rows]), index=units, columns=outputs
        ),
        method=next(m for m in ("permutations", "exact", "additive") if m in methods),
    )
