"""How much longer does `import skmm` take than `import sklearn`? The limit is 0.5 s."""

import subprocess
import sys
from statistics import median
from time import perf_counter

N_RUNS = 7


def seconds_to_run(code: str) -> float:
    """Wall time of a fresh interpreter that runs `code`."""
    start = perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return perf_counter() - start


def main() -> None:
    statements = ("pass", "import sklearn", "import skmm")
    seconds_to_run("import skmm")  # fills the file cache
    runs = {statement: [] for statement in statements}
    for _ in range(N_RUNS):  # interleaved, so that a busy moment hits all three
        for statement in statements:
            runs[statement].append(seconds_to_run(statement))
    start, sklearn, skmm = (median(runs[statement]) for statement in statements)
    print(f"import sklearn  {sklearn - start:.3f} s")
    print(f"import skmm     {skmm - start:.3f} s")
    print(
        f"difference      {skmm - sklearn:.3f} s   ratio {(skmm - start) / (sklearn - start):.2f}"
    )


if __name__ == "__main__":
    main()
