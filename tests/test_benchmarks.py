"""What the results page of the peers says must follow from what was measured."""

import importlib.util
import re
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


page = load(BENCHMARKS / "peers" / "page.py")

FUNCTIONS = {
    "text_functions": '''"""About."""
import os
from functools import cache

import unused


@cache
def load_model():
    """What it loads."""
    return os

    # a comment


def encode_texts(texts):
    return load_model(texts)


def encode_others(texts):
    return 1
'''
}


@pytest.mark.parametrize(
    ("code", "n_lines"),
    [
        ("a = 1\n\n# a comment\nb = 2\n", 2),
        ('def f():\n    """About.\n\n    More.\n    """\n    return 1\n', 2),
        ('text = """a\n\nb"""\n', 2),
        # its own line; import os and cache, @cache, load_model (2 lines) and encode_texts (2)
        ("from text_functions import encode_texts\na = 1\n", 1 + 2 + 3 + 2),
        # import os is there already
        ("import os\nfrom text_functions import encode_texts\na = 1\n", 2 + 1 + 3 + 2),
        ("from elsewhere import encode_texts\n", 1),
    ],
)
def test_lines_of_user_code(code, n_lines):
    script = f"TITLE = 'not counted'\n{page.BEGIN}\n{code}{page.END}\nx = 1\n"
    assert page.count_user_lines(script, FUNCTIONS) == n_lines


def test_lines_without_markers_or_function():
    with pytest.raises(ValueError, match=re.escape(repr(page.BEGIN))):
        page.count_user_lines("a = 1\n", FUNCTIONS)
    script = f"{page.BEGIN}\nfrom text_functions import gone\n{page.END}\n"
    with pytest.raises(ValueError, match="'gone'"):
        page.count_user_lines(script, FUNCTIONS)


def test_every_peer_can_be_counted_and_has_its_pins():
    functions = {path.stem: path.read_text() for path in BENCHMARKS.glob("peers/*_functions.py")}
    scripts = sorted(BENCHMARKS.glob("peers/peer_*.py"))
    assert scripts
    for script in scripts:
        assert page.count_user_lines(script.read_text(), functions) > 5
        name = script.stem.removeprefix("peer_")
        pins = (BENCHMARKS / "peers" / "requirements" / f"{name}.txt").read_text().splitlines()
        assert all("==" in pin for pin in pins if not pin.startswith("#"))


def test_page():
    figures = [
        {"raw": "yes"},
        {"clone": "no: TypeError: a | b"},
        {"per_item": 121.04, "search_seconds": 9.6},
        {"kind": "complete", "data": "emoji", "accuracy": 0.8, "seconds": 2.0},
        {"kind": "complete", "data": "emoji", "accuracy": 0.9, "seconds": 4.0},
        {"kind": "missing", "data": "emoji", "error": "ValueError: <NaN>"},
    ]
    better = [
        {"kind": "complete", "data": "emoji", "accuracy": 0.86, "seconds": 3.0},
        {"kind": "missing", "data": "emoji", "accuracy": 0.5, "seconds": 3.0},
        {"per_item": 121.0, "search_seconds": 8.2},
    ]
    peers = {
        "skmm": {"title": "A", "raw": {"text": "Encoder"}, "lines": 7, "figures": {"all": figures}},
        "b": {"title": "B", "raw": {}, "lines": 9, "figures": {}, "failed": "pip install: gone"},
        "c": {"title": "C", "raw": {}, "lines": 3, "figures": {"all": better}},
        "d": {},  # of which nothing was measured yet
    }
    for name, imputes in [("skmm", "itself"), ("b", "itself"), ("c", "SimpleImputer")]:
        peers[name]["imputes"] = imputes
    notes = (BENCHMARKS / "peers_notes.md").read_text()
    text = page.render({"peers": peers, "machine": "2 cores"}, notes)
    rows = [line for line in text.splitlines() if line.startswith("| A |")]
    takes, costs, accuracy, time, missing, _ = rows
    assert "yes (text: Encoder)" in takes
    assert r"TypeError: a \| b" in takes
    assert "| 7 | 121.0 | 10 |" in costs
    assert "0.850 (sd 0.050, 2 seeds)" in accuracy
    assert "| 3.0 |" in time
    assert "| A | itself | ValueError: &lt;NaN&gt; |" in missing
    assert "| C | SimpleImputer | 0.500 |" in text
    assert "- B: `pip install: gone`" in text
    assert "2 cores" in text
    assert "- lines of user code (skmm 7): C (3)" in text
    assert "- seconds of the grid search (skmm 9.6): C (8.2)" in text
    assert "- emoji, accuracy (skmm 0.85): C (0.86)" in text
    assert "- emoji, fit time (skmm 3): none" in text
    assert "emoji, accuracy with" not in text  # skmm has none here
    with pytest.raises(ValueError, match=r"notes .*table '"):
        page.render({"peers": peers, "machine": ""}, "# No place\n")
