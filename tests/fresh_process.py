"""Programs in a process that has imported nothing yet."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run(code, *arguments, **environment):
    """Run a program in a fresh process; give what it printed."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("HF_") and not name.lower().endswith("_proxy")
    }
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        env=clean
        | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error::FutureWarning"}
        | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    return process.stdout
