import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from skmm import LBFGS, FusionClassifier
from skmm.datasets import make_multimodal_classification
from skmm.inspection import LeaderboardDisplay, leaderboard

LONG = "descriptions of the products on the shelf alone"


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def board():
    return pd.DataFrame(
        {
            "score": [0.9, 0.8, 0.7],
            "difference": [0.1, 0.0, -0.1],
            "standard_error": [0.02, 0.0, 0.03],
            "fit_time": [1.0, 2.0, 3.0],
        },
        index=pd.Index(["boosting", "model", LONG], name="model"),
    )


def test_what_is_drawn(board):
    display = LeaderboardDisplay(board=board, score_name="accuracy").plot()
    assert display.points_.get_xdata().tolist() == [0.9, 0.7]
    assert display.points_.get_ydata().tolist() == [0, 2]
    assert display.model_.get_xdata().tolist() == [0.8]
    assert display.model_.get_ydata().tolist() == [1]
    assert display.line_.get_xdata() == [0.8, 0.8]
    ends = [segment[:, 0] for segment in display.errors_.get_segments()]
    np.testing.assert_allclose(ends, [[0.86, 0.94], [0.64, 0.76]])
    assert display.model_.get_marker() != display.points_.get_marker()
    assert display.ax_.get_xlabel() == "accuracy"
    low, high = display.ax_.get_ylim()
    assert low > high  # the best on top


def test_labels_are_short_and_say_what_is_alone(board):
    ticks = LeaderboardDisplay(board=board).plot().ax_.get_yticklabels()
    assert [tick.get_text() for tick in ticks][:2] == ["boosting", "model"]
    assert ticks[2].get_text().startswith("descriptions")
    assert ticks[2].get_text().endswith("… alone")
    assert len(ticks[2].get_text()) <= 24
    assert [tick.get_fontweight() for tick in ticks] == ["normal", "bold", "normal"]


def test_given_axes(board):
    figure, ax = plt.subplots()
    display = LeaderboardDisplay(board=board).plot(ax)
    assert display.ax_ is ax
    assert display.figure_ is figure


def test_from_estimator():
    X, y = make_multimodal_classification(60, modality_names=("text", "image"), random_state=0)
    model = FusionClassifier(modality_model="linear", solver=LBFGS(), random_state=0)
    settings = {"cv": 2, "scoring": "neg_log_loss", "models": {"boosting": "drop"}}
    display = LeaderboardDisplay.from_estimator(model, X, y, **settings)
    expected = leaderboard(model, X, y, **settings)
    pd.testing.assert_series_equal(display.board["score"], expected["score"])
    assert display.score_name == "neg log loss"
