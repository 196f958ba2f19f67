"""Columns that only name the row are told, and nothing else is."""

import uuid
import warnings

import numpy as np
import pandas as pd
import pytest

from skmm import infer_modalities

N = 60
RNG = np.random.default_rng(0)
NAMES = {
    "row numbers": np.arange(N),
    "row numbers, shuffled, from 1": RNG.permutation(N) + 1,
    "with gaps": np.arange(N) * 5 + 7,
    "floats, for one is missing": [None, *range(N)],
    "codes": [f"A-{i:05d}" for i in RNG.permutation(10**5)[:N]],
    "codes of several lengths": [f"item{i}" for i in range(N)],
    "UUIDs": [str(uuid.UUID(int=int(i))) for i in RNG.integers(2**62, size=N)],
}
OTHERS = {
    "numbers": RNG.permutation(10**5)[:N],
    "numbers that repeat": np.arange(N) // 2,
    "fractions": np.arange(N) / 2,
    "few rows": [None] * (N - 5) + list(range(5)),
    "words": [f"word{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(N)],
    "phrases": [f"the number {i}" for i in range(N)],
    "amounts": [f"${i}.50" for i in RNG.permutation(10**4)[:N]],
}


@pytest.mark.parametrize("name", NAMES)
def test_what_names_the_row_is_told(name):
    frame = pd.DataFrame(
        {"key": pd.Series(NAMES[name]), "price": RNG.normal(size=len(NAMES[name]))}
    )
    with pytest.warns(UserWarning, match=r"'key' .*drop\(columns=\['key'\]\)"):
        assert infer_modalities(frame).loc["key", "kind"] == "identifiers, each of one row"


@pytest.mark.parametrize("name", OTHERS)
def test_other_columns_are_not(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        infer_modalities(pd.DataFrame({"key": pd.Series(OTHERS[name])}))
