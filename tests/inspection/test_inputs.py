import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from clips import number_frames, read_number, write_clip

from skmm.inspection import ContributionsDisplay


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def draw_input(cells):
    """Draw one modality of one row, and return the axes of its raw input."""
    display = ContributionsDisplay(
        contributions=np.zeros((1, 1, 1)),
        predictions=np.zeros((1, 1)),
        members=np.ones((1, 1), dtype=bool),
        modalities=["m"],
        outputs=["prediction"],
        inputs={"m": cells},
    ).plot()
    return display.axes_[0, 0]


def make_cells(*values, names=None):
    series = pd.Series([None] * len(values), index=names, dtype=object)
    for i, value in enumerate(values):
        series.iat[i] = value
    return series


def written(ax):
    (text,) = ax.texts
    return text.get_text()


def test_long_text_is_cut():
    ax = draw_input(make_cells("a word and " * 50 + "$x$"))
    assert written(ax).startswith("a word and")
    assert written(ax).endswith("…")
    assert len(written(ax).splitlines()) == 5


def test_sound_is_a_waveform_of_its_length():
    samples = np.zeros(16_000, dtype=np.float32)
    samples[4_000] = 0.5
    ax = draw_input(make_cells((samples, 8_000)))
    (area,) = ax.collections
    outline = area.get_paths()[0].vertices
    assert ax.get_xlim() == (0, 2)
    assert outline[:, 0][outline[:, 1].argmax()] == pytest.approx(0.5, abs=0.002)
    assert outline[:, 1].max() == pytest.approx(0.5)


@pytest.mark.parametrize("kind", [list, np.array])
def test_video_shows_first_middle_and_last_frame(kind):
    frames = kind([np.full((4, 6, 3), i, dtype=np.uint8) for i in range(5)])
    ax = draw_input(make_cells(frames))
    row = np.asarray(ax.images[0].get_array())[0, :, 0]
    assert row.tolist() == [0] * 6 + [255] + [2] * 6 + [255] + [4] * 6


def test_table_is_a_list_of_cells():
    values = [1.23456, None, "red", *range(7)]
    ax = draw_input(make_cells(*values, names=[f"c{i}" for i in range(10)]))
    lines = written(ax).splitlines()
    assert lines[:3] == ["c0: 1.235", "c1: (missing)", "c2: red"]
    assert lines[-1] == "and 6 more"


def test_features_are_counted():
    ax = draw_input(make_cells(*np.arange(384.0)))
    assert written(ax) == "384 numbers"


def test_missing_and_broken_cells_say_so():
    ax = draw_input(make_cells(None, np.nan))
    assert written(ax) == "(missing)"
    broken = draw_input(make_cells("nowhere/a.png"))
    assert "does" in written(broken)
    assert "not exist" in written(broken).replace("\n", " ")
    odd = draw_input(make_cells(object(), names=["thing"]))
    assert written(odd).startswith("thing: <object")


def test_video_file_is_decoded_where_it_is_looked_at(tmp_path):
    path = tmp_path / "clip.mp4"
    write_clip(path, number_frames(30))
    ax = draw_input(make_cells(str(path)))
    pixels = np.asarray(ax.images[0].get_array())
    numbers = [read_number(pixels[:, start : start + 64]) for start in (0, 66, 132)]
    assert numbers == [5, 15, 25]
