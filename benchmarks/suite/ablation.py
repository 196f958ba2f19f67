"""What does each default and each option do? Switch one at a time, on the tables of the suite.

Options stand on the same features and folds of training rows as in run.py, each compared with the
same model without it. Writes results/ablation.md. Data and packages are those of run.py. Figures
are kept in results/ablation.json after each fit, so that a run that was stopped continues where it
was; delete it after a change of skmm.

    python benchmarks/suite/ablation.py [--only emoji ...] [--options calibrate ...] [--folds 3]
"""

import torch
from ablation_page import render
from measure import fit_and_score
from models import make_skmm
from options import OPTIONS, find_traits, merge_parameters
from run import RESULTS, describe_run, make_parser, read_store, run_tables, write_store
from tables import make_tables
from threadpoolctl import threadpool_limits

STORE = RESULTS / "ablation.json"
PAGE = RESULTS / "ablation.md"


def parse_arguments():
    parser = make_parser()
    parser.add_argument("--options", nargs="+", choices=list(OPTIONS), default=list(OPTIONS))
    return parser.parse_args()


def with_bases(names):
    """Return the options and what each is compared with, in the order of `OPTIONS`."""
    wanted = {*names, *(OPTIONS[name].base for name in names)}
    return [name for name in OPTIONS if name in wanted]


def measure_option(name, table, features, train, test):
    """Return the figures of one option on one fold, or what the table lacks for it."""
    lacks = [need for need in OPTIONS[name].needs if need not in find_traits(table, features)]
    if lacks:
        return {"lacks": lacks[0]}
    groups = None if table.groups is None else table.groups[train]
    model = make_skmm(table.is_regression, **merge_parameters(name))
    return fit_and_score(model, table, features, train, test, groups=groups)


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(1)
    known, n_folds = read_store(STORE), arguments.folds

    def save():
        write_store(STORE, known)
        PAGE.write_text(render(known, list(make_tables()), n_folds, **describe_run("ablation.py")))

    tables = {name: make_tables(arguments.packages)[name] for name in arguments.only}
    options = with_bases(arguments.options)
    run_tables(tables, known, options, n_folds, save, measure=measure_option)
    save()


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
