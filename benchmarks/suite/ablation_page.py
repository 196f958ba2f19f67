"""Render the page of the ablation."""

import numpy as np
from options import OPTIONS
from page import drop_empty, format_number, select_folds, to_markdown, values_of

HEADER = """# Ablation: each default and option switched

`{command}` wrote this page, with figures that runs before it had kept: `FusionClassifier` and
`FusionRegressor` with one option switched, beside the same model without it, the base, on the same
features and {n_folds} folds of training rows. At most {max_rows:,} rows of each table (seed 0).
{machine}; {date}; skmm at {commits}.

A gain is the figure of the option less that of its base, with the sign that makes a positive number
the better one, for log-loss too. In the first table it is the mean over tables, with its standard
error over tables after "±"; "up" and "down" count the tables where it is larger than twice its
standard error over folds, one way or the other (with 3 folds chance alone does that in about one
table of ten, each way). Cost is the ratio of the processor seconds of `fit`, one thread, the median
over tables. "network" is `interaction=None`; its options are compared with it, those of the default
and of other rules with these.
"""
ROUNDING = 1e-6  # no gain is as small
SCORES = {"score": 1, "log_loss": -1}  # the sign that makes more the better


def render(known, all_tables, n_folds, **header) -> str:
    """Return the page, of what has ``n_folds`` folds."""
    tables = {name: select_measured(table, n_folds) for name, table in known.items()}
    commits = {f["commit"] for options in tables.values() for fs in options.values() for f in fs}
    parts = [HEADER.format(n_folds=n_folds, commits=", ".join(sorted(commits)), **header)]
    parts += [render_summary(known, tables), render_left_out(tables, all_tables)]
    parts += [render_table(name, known[name], options) for name, options in tables.items()]
    return "\n".join(parts)


def select_measured(table, n_folds):
    """Return the figures of each fold, by option, but of those that the table has no use for."""
    options = select_folds(table, n_folds)
    return {
        name: options[name]
        for name in OPTIONS
        if name in options and not any("lacks" in fold for fold in options[name])
    }


def find_gains(options, name, figure):
    """Return the gain of an option over its base in each fold; None if one was not measured."""
    base = OPTIONS[name].base
    if name not in options or base not in options:
        return None
    gains = values_of(options[name], figure) - values_of(options[base], figure)
    return None if np.isnan(gains).all() else SCORES[figure] * gains


def standard_error(values):
    return values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan


def find_cost(options, name):
    """Return the seconds of an option, as a multiple of those of its base."""
    seconds, base = (values_of(options[n], "seconds") for n in (name, OPTIONS[name].base))
    return np.nanmean(seconds) / np.nanmean(base)


def describe_change(name):
    return ", ".join(f"{key}={value!r}" for key, value in OPTIONS[name].parameters.items())


def render_summary(known, tables):
    """Return gains over all tables, a row for each option."""
    by_target = [
        {name: tables[name] for name in tables if known[name]["is_regression"] == is_regression}
        for is_regression in (False, True)
    ]
    rows = [
        summarise(name, tables, *by_target)
        for name in OPTIONS
        if any(find_gains(options, name, "score") is not None for options in tables.values())
    ]
    return f"## All tables\n\n{to_markdown(drop_empty(rows))}\n" if rows else ""


def summarise(name, tables, classes, numbers):
    found = [
        options for options in tables.values() if find_gains(options, name, "score") is not None
    ]
    failed = sum(any("error" in fold for fold in options[name]) for options in found)
    return {
        "option": name,
        "switched": f"`{describe_change(name)}`",
        "base": OPTIONS[name].base,
        "accuracy": describe_mean(classes, name, "score"),
        "R2": describe_mean(numbers, name, "score"),
        "up, down": count_clear(tables, name, "score"),
        "log-loss": describe_mean(classes, name, "log_loss"),
        "its up, down": count_clear(classes, name, "log_loss"),
        "cost": format_number(np.median([find_cost(options, name) for options in found]), 2),
        "tables": f"{len(found)}" + (f" ({failed} failed)" if failed else ""),
    }


def collect_gains(tables, name, figure):
    gains = [find_gains(options, name, figure) for options in tables.values()]
    return [values for values in gains if values is not None]


def describe_mean(tables, name, figure):
    """Return the mean gain over tables, and its standard error over tables."""
    return format_gain(np.array([np.nanmean(v) for v in collect_gains(tables, name, figure)]))


def count_clear(tables, name, figure):
    """Return in how many tables the gain is larger than twice its standard error, each way."""
    gains = collect_gains(tables, name, figure)
    return ", ".join(
        str(sum(sign * np.mean(v) > max(2 * standard_error(v), ROUNDING) for v in gains))
        for sign in (1, -1)
    )


def format_gain(values):
    if not len(values):
        return ""
    error = standard_error(values)
    return f"{np.nanmean(values):+.3f}" + (f" ± {error:.3f}" if np.isfinite(error) else "")


def render_left_out(tables, all_tables):
    """Return which tables and options were not run at all."""
    names = [name for name in all_tables if not tables.get(name)]
    options = [name for name in OPTIONS if not any(name in table for table in tables.values())]
    return (
        f"## Not run\n\nTables: {', '.join(names) or 'none'}.\n\n"
        f"Options: {', '.join(options) or 'none'}. The others were run on as many tables as the "
        "first table says; the tables below show which.\n"
    )


def render_table(name, record, options):
    """Return the rows of one table, in the order of the options."""
    if not options:
        return ""
    score = "R2" if record["is_regression"] else "accuracy"
    rows = drop_empty([describe_option(option, options, score) for option in options])
    about = f"{record['n_rows']:,} rows, {record['n_columns']:,} columns. {record['note']}".strip()
    return f"## {name}\n\n{about}\n\n{to_markdown(rows)}\n"


def describe_option(name, options, score):
    folds = options[name]
    errors = [fold["error"] for fold in folds if "error" in fold]
    row = {"option": name, "base": OPTIONS[name].base or ""}
    for figure, title in (("score", score), ("log_loss", "log-loss")):
        gains = find_gains(options, name, figure)
        row[title] = format_number(values_of(folds, figure).mean(), 3)
        row[f"gain in {title}"] = "" if gains is None else format_gain(gains)
    row["fit, seconds"] = format_number(values_of(folds, "seconds").mean(), 1)
    return row | {"error": errors[0].replace("|", "\\|")[:120] if errors else ""}
