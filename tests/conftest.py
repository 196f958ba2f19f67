"""What every test relies on: one thread per process, no window, the shared data."""

import os
from pathlib import Path

import pytest

# Before numpy and torch load, and inherited by joblib's processes: with two test processes on
# two cores, more threads only wait for each other.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import torch  # noqa: E402 (reads the variables above)

torch.set_num_threads(1)

_REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data():
    """Give a function that maps a path inside the shared data to a path, or skips the test.

    The folder is $SKMM_SHARED_DATA, or ../shared/data beside the repository.
    """
    folder = Path(os.environ.get("SKMM_SHARED_DATA", _REPOSITORY.parent / "shared" / "data"))

    def locate(name: str) -> Path:
        path = folder / name
        if not path.exists():
            pytest.skip(f"no shared data at {path} (set SKMM_SHARED_DATA)")
        return path

    return locate
