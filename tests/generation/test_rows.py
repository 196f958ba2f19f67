import numpy as np
import pytest

from skmm.generation._rows import GenerationRows


@pytest.fixture
def rows():
    blocks = {"image": np.eye(3, dtype=np.float32), "text": np.ones((3, 2), np.float32)}
    present = np.array([[True, True], [True, False], [False, True]])
    return GenerationRows(blocks, present, ["a", "", "b"])


@pytest.mark.parametrize("index", [np.array([2, 0]), np.array([True, False, True]), slice(1, None)])
def test_take_keeps_all_of_a_row_together(rows, index):
    taken = rows.take(index)
    assert taken.n_rows == 2
    np.testing.assert_array_equal(taken.blocks["image"], rows.blocks["image"][index])
    np.testing.assert_array_equal(taken.present, rows.present[index])
    assert taken.source == np.array(rows.source)[index].tolist()


def test_rows_without_source_stay_without(rows):
    assert rows._replace(source=None).take(slice(0, 1)).source is None
