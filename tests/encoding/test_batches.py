"""What threads read, put together."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from skmm.encoding import TorchEncoder
from skmm.encoding.engine import Batch, TensorBatch


def numbers(*values):
    return [torch.tensor([float(value), -float(value)]) for value in values]


def fill(batch, items):
    for place, item in enumerate(items):
        batch.fill(place, lambda cell: cell, item)


def test_items_come_in_order_and_are_let_go():
    batch = Batch()
    for place in (2, 0, 1):
        batch.put(place, f"item {place}")
    assert batch.take([0, 2]) == ["item 0", "item 2"]
    batch.put(0, "another")
    assert batch.take([0]) == ["another"]
    summed = Batch(sum)
    fill(summed, [1, 2, 3])
    assert summed.take([0, 2]) == 4


def test_tensors_are_stacked_where_they_stay():
    batch = TensorBatch(4)
    fill(batch, numbers(1, 2, 3, 4))
    first = batch.take([0, 1, 2, 3])
    assert torch.equal(first, torch.stack(numbers(1, 2, 3, 4)))
    fill(batch, numbers(5, 6))
    second = batch.take([0, 1])
    assert torch.equal(second, torch.stack(numbers(5, 6)))
    assert second.data_ptr() == first.data_ptr()


@pytest.mark.parametrize("good", [[1, 2, 3], [0, 1, 2], [0, 3], [2]])
def test_broken_items_leave_no_holes(good):
    batch = TensorBatch(4)
    items = numbers(1, 2, 3, 4)
    for place in good:
        batch.put(place, items[place])
    assert torch.equal(batch.take(good), torch.stack([items[place] for place in good]))


@pytest.mark.parametrize(
    "odd",
    [
        torch.zeros(3),
        torch.zeros(2, dtype=torch.int64),
        torch.zeros(2).to_sparse(),
        torch.nn.Parameter(torch.zeros(2)),
        np.zeros(2),
        "text",
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_items_that_do_not_fit_make_it_a_list(odd, place):
    items = numbers(1, 2)
    items.insert(place, odd)
    batch = TensorBatch(3)
    fill(batch, items)
    taken = batch.take([0, 1, 2])
    assert isinstance(taken, list)
    assert [type(item) for item in taken] == [type(item) for item in items]
    assert [repr(item) for item in taken] == [repr(item) for item in items]
    fill(batch, numbers(1, 2, 3))  # an odd one in one batch is nothing to the next
    assert torch.equal(batch.take([0, 1, 2]), torch.stack(numbers(1, 2, 3)))


def test_many_threads():
    batch = TensorBatch(256)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda i: batch.put(i, numbers(i)[0]), range(256)))
    assert torch.equal(batch.take(list(range(256))), torch.stack(numbers(*range(256))))


class Doubled(torch.nn.Module):
    """Writes into what it is given, and gives a view of it."""

    def forward(self, batch):
        return batch.mul_(2).view(len(batch), -1)


def test_modules_that_write_into_the_batch_and_give_it_back():
    encoder = TorchEncoder(
        Doubled(), preprocess=lambda number: torch.tensor([number, 1.0]), batch_size=3, cache=None
    )
    cells = [np.float64(i) for i in range(10)]
    vectors = encoder.fit_transform(cells)
    np.testing.assert_array_equal(vectors, [[2 * i, 2] for i in range(10)])
