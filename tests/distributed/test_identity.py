"""Digests of transformers, and of rows."""

import joblib
import numpy as np
import pandas as pd
from distributed_tables import fit_transformer, make_table
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skmm.distributed._identity import ROW, identify_rows, identify_transformer, name_partition
from skmm.encoding import TorchEncoder
from skmm.image import ImageDescriptor
from skmm.text import TextCleaner


def test_transformer_is_recognised_after_a_pickle_and_in_a_new_fit(tmp_path):
    X = make_table()
    transformer = fit_transformer(X)
    joblib.dump(transformer, tmp_path / "transformer")
    known = identify_transformer(transformer)
    assert identify_transformer(joblib.load(tmp_path / "transformer")) == known
    assert identify_transformer(fit_transformer(X)) == known
    assert identify_transformer(fit_transformer(X[:-1])) != known
    assert identify_transformer(fit_transformer(X, n_components=2)) != known


def test_what_changes_no_vector_may_change():
    pictures = [np.zeros((8, 8), dtype=np.uint8)]
    known = identify_transformer(ImageDescriptor().fit(pictures))
    same = ImageDescriptor(cache=None, errors="missing", verbose=True)
    assert identify_transformer(same.fit(pictures)) == known
    nested = [make_pipeline(TextCleaner(), FunctionTransformer(), verbose=v) for v in (0, 1)]
    assert identify_transformer(nested[0]) == identify_transformer(nested[1])


def test_weights_and_code_are_part_of_a_transformer():
    import torch

    def make(seed):
        torch.manual_seed(seed)
        module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
        return TorchEncoder(module).fit(np.zeros((1, 2, 2), dtype=np.float32))

    assert identify_transformer(make(0)) == identify_transformer(make(0))
    assert identify_transformer(make(0)) != identify_transformer(make(1))
    functions = [lambda X: X + 1, lambda X: X + 2]
    first, second = (identify_transformer(FunctionTransformer(f)) for f in functions)
    assert first != second


def test_rows_are_recognised_by_key_and_inputs():
    X = pd.DataFrame(
        {
            "text": ["a", "a", None],
            "when": pd.to_datetime(["2026-01-01", "2026-01-02", None]),
            "picture": [np.zeros(3), np.ones(3), b"bytes"],
        },
        index=[1, 2, 3],
    )
    rows = identify_rows(X)
    assert rows.dtype == ROW
    assert len(np.unique(rows)) == 3
    assert (identify_rows(X.copy()) == rows).all()
    for column, value in [("text", "b"), ("when", pd.Timestamp(0)), ("picture", np.ones(4))]:
        changed = X.copy()
        changed[column] = changed[column].astype(object)
        changed.at[1, column] = value
        digests = identify_rows(changed)
        assert digests["inputs"][0] != rows["inputs"][0]
        assert (digests["key"] == rows["key"]).all()
    assert name_partition(rows) != name_partition(rows[::-1].copy())


def test_rows_are_the_same_in_blocks_with_and_without_missing_cells():
    integers = pd.DataFrame({"n": [1, 2], "text": ["a", None], "when": [pd.NaT, None]})
    floats = pd.DataFrame({"n": [1.0, 2.0], "text": ["a", np.nan], "when": [None, pd.NaT]})
    assert (identify_rows(integers) == identify_rows(floats.astype({"when": object}))).all()
    for n in (1.5, 3, None):
        assert (identify_rows(floats.assign(n=n)) != identify_rows(floats)).all()
