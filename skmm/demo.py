"""The first example of the gallery, from any folder: ``python -m skmm.demo``.

It trains on the names and drawings of 1,898 emoji, compares with logistic regressions, and draws
what decided, into quickstart.png. It needs ``pip install 'skmm[examples]'`` and some minutes, and
no network.
"""

import argparse
import runpy
from pathlib import Path

__all__: list[str] = []


def _find_example() -> Path:
    """Return the script: in a wheel it is part of the package, in the repository it is not."""
    packaged = Path(__file__).with_name("_quickstart.py")
    if packaged.exists():
        return packaged
    return Path(__file__).parents[1] / "examples" / "plot_quickstart.py"


if __name__ == "__main__":
    argparse.ArgumentParser(prog="python -m skmm.demo", description=__doc__).parse_args()
    try:
        runpy.run_path(str(_find_example()), run_name="__main__")
    except ModuleNotFoundError as error:
        raise SystemExit(
            f"The demo needs more than what is installed ({error}): pip install 'skmm[examples]'"
        ) from error
