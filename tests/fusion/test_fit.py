"""From arrays to a trained network: which rows, and in how much memory."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest

from skmm._data import scaling

PARAMETERS = {"early_stopping": True, "validation_fraction": 0.3, "modality_dropout": 0.2}


def test_rows_scaled_on_demand_give_the_same_fit(data, small, monkeypatch):
    X, y = data
    X = X.copy()
    X.loc[:30, X.columns.str.startswith("text")] = np.nan
    kept = small(**PARAMETERS).fit(X, y)
    monkeypatch.setattr(scaling, "KEPT_BYTES", 0)
    on_demand = small(**PARAMETERS).fit(X, y)
    np.testing.assert_array_equal(on_demand.predict_proba(X), kept.predict_proba(X))
    assert on_demand.modality_weights_ == kept.modality_weights_
    assert on_demand.history_.equals(kept.history_)


def test_memmap_gives_the_fit_of_the_array(data, small, tmp_path):
    X, y = data
    mapped = np.memmap(tmp_path / "x", dtype=np.float32, mode="w+", shape=X.shape)
    mapped[:] = X
    model = small(modalities={"text": 5, "image": 4})
    expected = model.fit(X.to_numpy(), y).predict_proba(X.to_numpy())
    np.testing.assert_array_equal(model.fit(mapped, y).predict_proba(mapped), expected)


LIMITED = """
import resource, sys
import numpy as np, torch
from skmm import MLP, AdamW, FusionClassifier

torch.set_num_threads(1)
path, n_rows = sys.argv[1], int(sys.argv[2])
widths = {"a": 500, "b": 524}
X = np.memmap(path, dtype=np.float32, mode="r", shape=(n_rows, 1024))
y = np.arange(n_rows) % 3
model = FusionClassifier(
    modalities=widths,
    modality_model=MLP((8,)),
    interaction=None,
    solver=AdamW(max_iter=1, batch_size=1024),
    random_state=0,
)
model.fit(X[:300], y[:300])
with open("/proc/self/status") as status:
    used = int(next(line for line in status if line.startswith("VmData")).split()[1]) * 1024
limit = used + X.nbytes // 4
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
model.fit(X, y)
print("fitted", model.n_iter_)
try:
    np.array(X)
except MemoryError:
    print("no room for a copy")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_memmap_is_not_copied_into_memory(tmp_path):
    n_rows = 2**16  # 256 MiB
    mapped = np.memmap(tmp_path / "x", dtype=np.float32, mode="w+", shape=(n_rows, 1024))
    rng = np.random.default_rng(0)
    for start in range(0, n_rows, 1024):
        mapped[start : start + 1024] = rng.standard_normal((1024, 1024), dtype=np.float32)
    del mapped
    command = [sys.executable, "-c", textwrap.dedent(LIMITED), str(tmp_path / "x"), str(n_rows)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["fitted 1", "no room for a copy"]


def test_early_stopping_needs_rows_on_both_sides(data, small):
    X, y = data
    for fraction, n_held_out in [(0.001, 0), (0.9999, 150)]:
        model = small(early_stopping=True, validation_fraction=fraction)
        with pytest.raises(ValueError, match=rf"validation_fraction={fraction}.*\b{n_held_out}\b"):
            model.fit(X, y)


def test_random_state_may_be_a_generator(data, small):
    X, y = data
    first = small(random_state=np.random.RandomState(3)).fit(X, y).predict_proba(X)
    again = small(random_state=np.random.RandomState(3)).fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(first, again)
