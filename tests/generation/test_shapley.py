"""Shapley values: known for sums and for products."""

import numpy as np
import pytest

from skmm.generation._shapley import MAX_INPUTS, shapley_values


def test_terms_of_a_sum_are_their_parts():
    present = np.array([[True, True, True], [True, False, True]])
    parts = shapley_values(lambda has: 5 + has @ np.array([1.0, 2.0, -4.0]), present)
    np.testing.assert_allclose(parts, [[1, 2, -4, 5], [1, 0, -4, 5]])


def test_a_product_is_shared():
    present = np.ones((1, 3), dtype=bool)
    parts = shapley_values(lambda has: 6.0 * (has[:, 0] & has[:, 2]), present)
    np.testing.assert_allclose(parts, [[3, 0, 3, 0]], atol=1e-12)


def test_too_many_inputs():
    with pytest.raises(ValueError, match="at most 10"):
        shapley_values(lambda has: has.sum(1), np.ones((1, MAX_INPUTS + 1), dtype=bool))
