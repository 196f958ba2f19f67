"""Render the page of results."""

import numpy as np
import pandas as pd
from models import SKMM

HEADER = """# Development suite

`{command}` wrote this page: the defaults of `FusionClassifier` and `FusionRegressor` beside other
models, on the same features and {n_folds} folds of training rows. Test rows are never read, so
defaults may be chosen by these figures. At most {max_rows:,} training rows of each table (seed 0).
{machine}; {date}; skmm at {commits}.

Tables are encoded by `ModalityTransformer`, fitted to the training rows of each fold; emoji, mosi,
av_digits and fashion by descriptors, as in `quality.py`. "boosting" is scikit-learn's
HistGradientBoosting, "linear" `RidgeCV` or `LogisticRegressionCV` on standardised, imputed and
clipped columns, "stacking" scikit-learn's, of these two by 3 folds; "skmm, sum alone" has
`interaction=None`. Mean, and standard deviation over folds after "±". Seconds are processor time
of `fit`, one thread; "interaction" is its share in `modality_weights_`.
"""
FIGURES = {
    "log_loss": ("log-loss", 3),
    "calibration_error": ("calibration error", 3),
    "seconds": ("fit, seconds", 1),
    "interaction": ("interaction", 2),
}


def render(known, n_folds, **header) -> str:
    """Return the page, of the models whose ``n_folds`` folds are complete or have failed."""
    tables = {name: select_folds(table, n_folds) for name, table in known.items()}
    tables = {name: models for name, models in tables.items() if models}
    commits = sorted({f["commit"] for models in tables.values() for f in models.get(SKMM, [])})
    parts = [HEADER.format(n_folds=n_folds, commits=", ".join(commits), **header)]
    parts += [render_summary(known, tables)] if tables else []
    parts += [render_table(name, known[name], models) for name, models in tables.items()]
    return "\n".join(parts)


def select_folds(table, n_folds):
    """Return the figures of each fold, by model, of what is complete."""
    keys = [fold_key(fold, n_folds) for fold in range(n_folds)]
    models = table["models"]
    return {
        name: [models[name][key] for key in keys]
        for name in models
        if all(key in models[name] for key in keys)
    }


def fold_key(fold, n_folds):
    return f"{fold + 1} of {n_folds}"


def values_of(folds, figure):
    """Return one value for each fold; NaN where the model failed."""
    return np.array([fold.get(figure, np.nan) for fold in folds], dtype=float)


def render_summary(known, tables):
    """Return mean ranks, and how often each model is first or close to it."""
    classes = {name: table for name, table in tables.items() if not known[name]["is_regression"]}
    ranks = rank_models(tables, "score", sign=1)
    loss_ranks = rank_models(classes, "log_loss", sign=-1).reindex(ranks.index)
    is_first = ranks.eq(ranks.min())
    close = pd.DataFrame({name: find_close(models) for name, models in tables.items()})
    rows = [
        {
            "model": model,
            "mean rank, accuracy or R2": format_number(ranks.loc[model].mean(), 2),
            "mean rank, log-loss": format_number(loss_ranks.loc[model].mean(), 2),
            "first": str(is_first.loc[model].sum()),
            "first or within one standard error": str(close.loc[model].eq(True).sum()),
            "tables": str(ranks.loc[model].notna().sum()),
        }
        for model in ranks.mean(axis=1).sort_values().index
    ]
    text = (
        f"{len(tables)} tables, {len(classes)} of them with classes. Rank 1 is the best mean over "
        "folds; ties share the mean of their ranks, and are all first if they are best; a model "
        "that failed is last. Ranks are among the models that a table was run with. Standard "
        "error: of the differences to the first, fold by fold.\n"
    )
    return f"## All tables\n\n{text}\n{to_markdown(rows)}\n"


def rank_models(tables, figure, sign):
    """Return ranks, models as rows and tables as columns; NaN where a model was not run."""
    means = {
        name: {
            model: np.nan_to_num(sign * values_of(folds, figure).mean(), nan=-np.inf)
            for model, folds in models.items()
        }
        for name, models in tables.items()
    }
    return pd.DataFrame(means).round(9).rank(ascending=False)  # equal but for rounding: a tie


def find_close(models):
    """Return, for each model of a table, whether it is within one standard error of the first."""
    scores = {model: values_of(folds, "score") for model, folds in models.items()}
    first = max(scores.values(), key=lambda values: np.nan_to_num(values.mean(), nan=-np.inf))
    return {model: is_close(first - values) for model, values in scores.items()}


def is_close(differences):
    error = differences.std(ddof=1) / np.sqrt(len(differences)) if len(differences) > 1 else 0.0
    return bool(differences.mean() <= error)


def render_table(name, table, models):
    """Return the rows of one table, the best model first."""
    label = "R2" if table["is_regression"] else "accuracy"
    order = rank_models({name: models}, "score", sign=1)[name].sort_values().index
    rows = drop_empty([describe_model(model, models[model], label) for model in order])
    about = f"{table['n_rows']:,} rows, {table['n_columns']:,} columns. {table['note']}".strip()
    return f"## {name}\n\n{about}\n\n{to_markdown(rows)}\n"


def describe_model(model, folds, label):
    errors = [fold["error"] for fold in folds if "error" in fold]
    row = {"model": model, label: format_values(values_of(folds, "score"), 3)}
    row |= {
        title: format_values(values_of(folds, figure), decimals)
        for figure, (title, decimals) in FIGURES.items()
    }
    return row | {"error": errors[0].replace("|", "\\|")[:120] if errors else ""}


def format_values(values, decimals):
    """Return mean and standard deviation, of the folds that did not fail."""
    values = values[np.isfinite(values)]
    if not len(values):
        return ""
    deviation = f" ± {values.std(ddof=1):.{decimals}f}" if len(values) > 1 else ""
    return f"{values.mean():.{decimals}f}{deviation}"


def format_number(value, decimals):
    return f"{value:.{decimals}f}" if np.isfinite(value) else ""


def drop_empty(rows: list[dict]) -> list[dict]:
    """Return the rows without the columns that are empty in all of them."""
    return [{key: row[key] for key in row if any(r[key] for r in rows)} for row in rows]


def to_markdown(rows: list[dict]) -> str:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(row.values() for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
