"""The examples and README's example run, and print what they promise."""

import os
import re
import runpy
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((REPOSITORY / "examples").glob("plot_*.py"))


NEED_SHARED_DATA = ("plot_product_photos", "plot_sentiment", "plot_several_tasks")


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(example, tmp_path, monkeypatch, capsys):
    shared = Path(os.environ.get("SKMM_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
    if example.stem in NEED_SHARED_DATA and not shared.exists():
        pytest.skip(f"no shared data at {shared} (set SKMM_SHARED_DATA)")
    monkeypatch.setenv("SKMM_SHARED_DATA", str(shared))
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


@pytest.mark.parametrize("name", NEED_SHARED_DATA)
def test_example_without_its_data_says_so_and_ends_well(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SKMM_SHARED_DATA", str(tmp_path))
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(REPOSITORY / "examples" / f"{name}.py"), run_name="__main__")
    assert end.value.code is None
    assert f"needs {tmp_path}" in capsys.readouterr().out


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
