"""The examples and README's example run, and print what they promise."""

import re
import runpy
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((REPOSITORY / "examples").glob("plot_*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(example, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    try:
        runpy.run_path(str(example), run_name="__main__")
    finally:
        plt.close("all")
    assert len(example.read_text().splitlines()) < 100
    if example.stem == "plot_quickstart":
        printed = capsys.readouterr().out
        accuracy = dict(re.findall(r"^(.+?)  +(0\.\d{3})$", printed, re.MULTILINE))
        fused = float(next(v for k, v in accuracy.items() if k.startswith("skmm, learned")))
        others = [float(v) for k, v in accuracy.items() if k.startswith("logistic")]
        assert len(others) == 3
        assert fused > max(others)
        assert (tmp_path / "quickstart.png").stat().st_size > 10_000


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_brings_its_data(example):
    assert not re.search(r"environ|shared|sys\.exit", example.read_text())


def test_readme_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 2
    namespace = {}
    for block in blocks:
        assert len(block.splitlines()) <= 20
        exec(compile(block, "README.md", "exec"), namespace)
    assert namespace["accuracy"] > 0.75
    assert set(namespace["weights"]) == {"text", "image", "interaction"}
    assert namespace["search_accuracy"] > 0.82
    assert (tmp_path / "embeddings.sqlite").exists()
