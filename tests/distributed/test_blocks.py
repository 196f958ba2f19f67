"""Blocks of a dataset as frames, and back."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from distributed_tables import make_block

from skmm.distributed._blocks import to_arrow, to_frame


def test_missing_cells_of_blocks_stay_missing():
    block = make_block()
    frame = to_frame(block)
    missing = [True, False, False] * 2
    assert frame["id"].tolist() == block["id"].to_pylist()
    for name in frame.columns.drop(["id", "nothing"]):
        assert frame[name].isna().tolist() == missing
        values = to_arrow(block[name], frame[name])
        assert values.to_pylist() == block[name].to_pylist()
        assert not pa.types.is_dictionary(values.type)
    assert frame["kind"].dropna().tolist() == ["ant", "bee"] * 2
    assert frame["nothing"].isna().all()
    assert to_arrow(block["large"], frame["large"]).to_pylist()[1] == 2**60 + 1
    kinds = frame["kind"].astype("category")
    assert to_arrow(kinds, kinds).to_pylist() == [None, "ant", "bee"] * 2


def test_values_that_parquet_has_no_type_for_are_named():
    for cells in ([np.ones((2, 2)), None], [object(), object()], [1, "a"]):
        column = pd.Series(cells, name="other", dtype=object)
        with pytest.raises(ValueError, match=r"'other' of keep"):
            to_arrow(column, column)
    vectors = pd.Series([np.ones(2), None], name="vector", dtype=object)
    assert to_arrow(vectors, vectors).to_pylist() == [[1.0, 1.0], None]
