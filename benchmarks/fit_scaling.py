"""How do the time and memory of FusionClassifier.fit grow with rows and with modalities?

Each fit in a separate process, 3 modalities of 256 columns in float32 (or 2 to 16 of 64), few
epochs, since time is linear in them. Memory is the most beyond that of a first tiny fit, X
included; for a file that is mapped into memory, what is neither shared nor the file's.

    python benchmarks/fit_scaling.py [largest number of rows, default 1_000_000]
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch

from skmm import AdamW, FusionClassifier

EPOCHS, WIDTH, NARROW = 2, 256, 64
MODALITIES = (2, 4, 8, 16)
ROWS_OF_MODALITIES = 20_000
MIB = 2**20


def resident(kind: str) -> int:
    """Return the bytes in memory of this process: "VmRSS" all, "RssAnon" those of no file."""
    with open("/proc/self/status") as status:
        return int(next(line for line in status if line.startswith(kind)).split()[1]) * 1024


class Peak(threading.Thread):
    """The most memory in use, read every few milliseconds; to copy all of X takes longer."""

    def __init__(self):
        super().__init__(daemon=True)
        self.most, self.done = 0, threading.Event()

    def run(self):
        while not self.done.wait(0.005):
            self.most = max(self.most, resident("RssAnon"))

    def stop(self) -> int:
        self.done.set()
        self.join()
        return self.most


def fill(X, random_state=0):
    """Draw X in blocks; y follows a column of each of the first two modalities."""
    rng = np.random.default_rng(random_state)
    y = np.empty(len(X), dtype=np.int64)
    for start in range(0, len(X), 8192):
        block = X[start : start + 8192]
        block[:] = rng.standard_normal(block.shape, dtype=np.float32)
        y[start : start + len(block)] = block[:, 0] + block[:, -1] > 0
    return y


def measure(n_rows: int, n_modalities: int, width: int, path: str) -> None:
    torch.set_num_threads(1)
    model = FusionClassifier(
        modalities={f"m{i:02}": width for i in range(n_modalities)},
        solver=AdamW(max_iter=EPOCHS, n_iter_no_change=EPOCHS, batch_size=256),
        random_state=0,
        device="cpu",
    )
    tiny = np.zeros((600, n_modalities * width), dtype=np.float32)
    model.fit(tiny, fill(tiny))
    shape = n_rows, n_modalities * width
    before = resident("RssAnon")
    if path:
        y = fill(np.memmap(path, dtype=np.float32, mode="w+", shape=shape))
        X = np.memmap(path, dtype=np.float32, mode="r", shape=shape)
    else:
        X = np.empty(shape, dtype=np.float32)
        y = fill(X)
    peak = Peak()
    peak.start()
    start = time.perf_counter()
    model.fit(X, y)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "memory": peak.stop() - before, "data": X.nbytes}))


def run(n_rows: int, n_modalities: int, width: int, path: str = "") -> dict:
    command = [sys.executable, __file__, "measure", *map(str, (n_rows, n_modalities, width)), path]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result = json.loads(done.stdout)
    print(
        f"{n_rows:9,} rows, {n_modalities:2} x {width}: {result['seconds']:7.2f} s, "
        f"{result['memory'] / MIB:6.0f} MiB of memory, {result['memory'] / result['data']:5.2f} x "
        f"data ({result['data'] / MIB:,.0f} MiB{' in a file' if path else ''})",
        flush=True,
    )
    return result


def slope(sizes, results) -> float:
    seconds = [result["seconds"] for result in results]
    return np.polyfit(np.log(sizes), np.log(seconds), 1)[0]


def main() -> None:
    largest = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    sizes = [n for n in (1_000, 10_000, 100_000, 300_000, 1_000_000) if n <= largest]
    results = [run(n, 3, WIDTH) for n in sizes]
    print(f"log-log slope of time against rows: {slope(sizes, results):.2f} (goal: at most 1.05)")
    print(f"the same from {sizes[1]:,} rows: {slope(sizes[1:], results[1:]):.2f}")
    ratio = results[-1]["memory"] / results[-1]["data"]
    print(f"memory / data with {sizes[-1]:,} rows: {ratio:.2f} (goal: at most 1.2)")
    with tempfile.TemporaryDirectory(dir=".", prefix=".fit_scaling-") as folder:
        n_rows = min(700_000, largest)  # 2 GiB
        result = run(n_rows, 3, WIDTH, str(Path(folder, "x")))
    print(f"memory / data in a file: {result['memory'] / result['data']:.2f} (goal: at most 0.25)")
    results = [run(ROWS_OF_MODALITIES, n, NARROW) for n in MODALITIES]
    print(f"log-log slope of time against modalities: {slope(MODALITIES, results):.2f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        measure(*map(int, sys.argv[2:5]), sys.argv[5])
    else:
        main()
