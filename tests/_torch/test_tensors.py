"""The rows that a network is trained on, as tensors."""

import numpy as np
import torch

from skmm._torch.tensors import TrainingTensors, put_on_device, tile, to_float64


class Lazy:
    """Rows that are made when they are asked for."""

    def __init__(self, values):
        self.values, self.asked = values, []
        self.shape, self.nbytes = values.shape, values.nbytes

    def __len__(self):
        return len(self.values)

    def __getitem__(self, rows):
        self.asked.append(np.asarray(rows).tolist())
        return self.values[rows]


def make_rows(x):
    n = len(x)
    present = torch.ones(n, 2, dtype=torch.bool)
    return TrainingTensors(x, present, torch.arange(n)[:, None], torch.linspace(1, 2, n))


def test_rows_are_taken_from_memory_or_made():
    values = np.arange(12, dtype=np.float32).reshape(6, 2)
    index, lazy = torch.tensor([4, 1]), Lazy(values)
    kept = make_rows(torch.from_numpy(values)).take(index)
    made = make_rows(lazy).take(index)
    for rows in (kept, made):
        assert rows.values.tolist() == [[8, 9], [2, 3]]
        assert rows.target.tolist() == [[4], [1]]
        assert rows.weight.tolist() == make_rows(values).weight[index].tolist()
    assert lazy.asked == [[4, 1]]


def test_taken_rows_are_copies():
    x = torch.zeros(3, 2)
    make_rows(x).take(torch.tensor([0])).values.fill_(1)
    assert not x.any()


def test_members_of_an_ensemble_have_all_rows_one_after_the_other():
    rows = make_rows(torch.tensor([[1.0], [2.0]])).tile(2)
    assert rows.values.tolist() == [[1], [2], [1], [2]]
    assert rows.target.tolist() == [[0], [1], [0], [1]]
    one = torch.ones(2)
    assert tile(one, 1) is one


def test_lazy_rows_stay_where_they_are_on_a_cpu():
    values, cpu = np.ones((2, 3), dtype=np.float32), torch.device("cpu")
    lazy = Lazy(values)
    assert put_on_device(lazy, cpu) is lazy
    assert not lazy.asked
    assert torch.equal(put_on_device(values, cpu), torch.ones(2, 3))


def test_float64_where_the_device_has_it():
    assert to_float64(torch.ones(1)).dtype == torch.float64
    assert to_float64(torch.ones(1, device="meta")).dtype == torch.float32
