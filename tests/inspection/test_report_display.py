import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.utils import Bunch

from skmm.inspection import ModalityReportDisplay, modality_report


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def make_report(**overall):
    table = pd.DataFrame(
        {
            "alone": [0.8, 0.6],
            "without": [0.6, 0.8],
            "shapley": [0.3, 0.1],
            "permutation": [0.2, -0.05],
            "permutation_std": [0.02, 0.01],
        },
        index=pd.Index(["text", "image"], name="modality"),
    )
    overall = pd.Series({"all": 0.9, "none": 0.5, **overall})
    return Bunch(modalities=table, overall=overall, score_name="accuracy")


def test_what_is_drawn():
    display = ModalityReportDisplay(
        report=make_report(emap_all=0.8, emap=0.75, emap_gap=0.05)
    ).plot()
    assert display.points_["alone"].get_xdata().tolist() == [0.8, 0.6]
    assert display.points_["without"].get_xdata().tolist() == [0.6, 0.8]
    places = {name: line.get_xdata()[0] for name, line in display.lines_.items()}
    assert places == pytest.approx({"all": 0.9, "none": 0.5, "emap": 0.85})
    assert [bar.get_width() for bar in display.bars_["shapley"]] == [0.3, 0.1]
    assert [bar.get_width() for bar in display.bars_["permutation"]] == [0.2, -0.05]
    left, right = display.axes_
    assert [tick.get_text() for tick in left.get_yticklabels()] == ["text", "image"]
    assert left.get_ylim() == right.get_ylim()
    assert len({line.get_linestyle() for line in display.lines_.values()}) == 3


def test_without_emap_and_in_given_axes():
    _, (ax, _) = plt.subplots(1, 2)
    display = ModalityReportDisplay(report=make_report()).plot(ax)
    assert set(display.lines_) == {"all", "none"}
    assert display.ax_ is ax
    assert len(display.figure_.axes) == 4
    with pytest.raises(ValueError, match=r"^ax "):
        ModalityReportDisplay(report=make_report()).plot(display.figure_.add_axes((0, 0, 1, 1)))


def test_from_estimator_reports():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(40, 2)), columns=["text__0", "image__0"])
    y = X["text__0"] > 0
    model = LogisticRegression().fit(X, y)
    settings = {"n_repeats": 2, "emap_samples": 10, "random_state": 0}
    display = ModalityReportDisplay.from_estimator(model, X, y, **settings)
    report = modality_report(model, X, y, **settings)
    pd.testing.assert_frame_equal(display.report.modalities, report.modalities)
