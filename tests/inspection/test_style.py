"""Names as they are, and all that is drawn visible, in every Display."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.text import Text

from skmm import MLP, AdamW, FusionClassifier
from skmm.datasets import make_multimodal_classification
from skmm.fusion import Late
from skmm.inspection import (
    ContributionsDisplay,
    EmbeddingDisplay,
    FusionPathDisplay,
    LeaderboardDisplay,
    LossTermsDisplay,
    ModalityAblationDisplay,
    ModalityReportDisplay,
    ModalityWeightsDisplay,
)
from skmm.inspection._style import shorten_label

CLASSES = ["$0-$50", "$\\bad{$", "_private", "$_$ \\$"]
MODALITIES = ("_sound", "$a$ \\bad{")


@pytest.fixture(scope="module")
def data():
    X, codes = make_multimodal_classification(
        60, n_classes=4, modality_names=MODALITIES, random_state=0
    )
    return X, np.array(CLASSES)[codes]


@pytest.fixture(scope="module")
def model(data):
    return FusionClassifier(
        Late(per_class=True),
        modality_model=MLP(4),
        solver=AdamW(max_iter=2),
        interaction=None,
        alignment="cosine",
        random_state=0,
    ).fit(*data)


def draw_path(modalities):
    weights = np.random.default_rng(0).dirichlet(np.ones(len(modalities)), 6)
    return FusionPathDisplay(
        weights=weights,
        mean_scores=np.linspace(0.5, 0.6, 6),
        std_scores=np.full(6, 0.05),
        modalities=list(modalities),
        score_name="accuracy",
        learned=(0.55, 0.01),
    ).plot()


def draw_board():
    board = pd.DataFrame(
        {"score": [0.6, 0.5, 0.4], "standard_error": [np.nan, 0.02, 0.02]},
        index=["model", *(f"{name} alone" for name in MODALITIES)],
    )
    return LeaderboardDisplay(board=board, score_name="accuracy").plot()


DISPLAYS = {
    "weights": lambda m, X, y: ModalityWeightsDisplay.from_estimator(
        FusionClassifier(modality_model=MLP(4), solver=AdamW(max_iter=1), random_state=0).fit(X, y)
    ),
    "weights of folds": lambda m, X, y: ModalityWeightsDisplay(
        weights=np.array([[0.2, 0.8], [0.4, 0.6]]), modalities=list(MODALITIES)
    ).plot(),
    "weights of classes": lambda m, X, y: ModalityWeightsDisplay.from_estimator(m),
    "contributions": ContributionsDisplay.from_estimator,
    "contributions of a row": lambda m, X, y: ContributionsDisplay.from_estimator(
        m, X[:1], outputs=CLASSES
    ),
    "embedding": EmbeddingDisplay.from_estimator,
    "loss": lambda m, X, y: LossTermsDisplay.from_estimator(m),
    "ablation": ModalityAblationDisplay.from_estimator,
    "report": lambda m, X, y: ModalityReportDisplay.from_estimator(
        m, X, y, n_repeats=2, emap_samples=10
    ),
    "path": lambda m, X, y: draw_path(MODALITIES),
    "triangle": lambda m, X, y: draw_path([*MODALITIES, "$b$"]),
    "leaderboard": lambda m, X, y: draw_board(),
}
OF_CLASSES = {"weights of classes", "contributions", "contributions of a row", "embedding"}


@pytest.fixture(params=["default", "dark_background"])
def style(request):
    with plt.style.context(request.param):
        yield request.param
    plt.close("all")


@pytest.mark.parametrize("name", DISPLAYS)
def test_names_are_drawn_as_they_are_on_any_background(data, model, name, style):
    figure = DISPLAYS[name](model, *data).figure_
    figure.canvas.draw()  # raises where a name is read as a formula that is none
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    drawn = "\n".join(text.get_text() for text in texts if not text.get_parse_math())
    expected = {*(CLASSES if name in OF_CLASSES else []), *(MODALITIES * (name != "embedding"))}
    assert {part for part in expected if part not in drawn} == set()
    background = to_rgb(figure.get_facecolor())
    lines = [line.get_color() for line in figure.findobj(Line2D) if is_line(line)]
    lines += [c for lines in figure.findobj(LineCollection) for c in lines.get_color()]
    unseen = [
        color
        for color in [
            *lines,
            *(text.get_color() for text in texts if text.get_bbox_patch() is None),
        ]
        if np.abs(np.subtract(to_rgb(color), background)).max() < 0.2
    ]
    assert unseen == []


def is_line(line):
    return line.get_visible() and line.get_linestyle() != "None" and len(line.get_xdata()) > 0


def test_labels_are_one_line_that_can_be_seen():
    assert shorten_label("two\nlines\tof") == "two lines of"
    assert shorten_label("") == "''"
    assert shorten_label("  ") == "'  '"
    assert shorten_label("x" * 40, 10) == "x" * 9 + "…"
    assert shorten_label(5) == "5"
