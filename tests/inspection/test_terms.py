import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skmm import MLP, AdamW, FusionClassifier, LateFusionClassifier
from skmm.alignment import CrossModalAligner
from skmm.datasets import make_multimodal_classification
from skmm.inspection import LossTermsDisplay

X, y = make_multimodal_classification(
    90, n_features=(3, 4), modality_names=("text", "image"), random_state=0
)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_each_term_is_a_line():
    model = FusionClassifier(
        modality_model=MLP(4),
        alignment="contrastive",
        alignment_weight=0.1,
        solver=AdamW(max_iter=3, early_stopping=True),
        random_state=0,
    )
    model = make_pipeline(FunctionTransformer(), model).fit(X, y)
    display = LossTermsDisplay.from_estimator(model)
    history = model[-1].history_
    assert list(display.lines_) == list(history)
    for name, line in display.lines_.items():
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
        np.testing.assert_array_equal(line.get_ydata(), history[name])
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert texts == [
        "weighted sum",
        "fused prediction",
        "image alone",
        "text alone",
        "alignment image → text",
        "alignment text → image",
        "rows held out",
    ]
    looks = {(line.get_linestyle(), line.get_marker()) for line in display.lines_.values()}
    assert len(looks) == len(display.lines_)


def test_one_epoch():
    model = FusionClassifier(modality_model=MLP(4), solver=AdamW(max_iter=1), random_state=0)
    display = LossTermsDisplay.from_estimator(model.fit(X, y))
    assert [len(line.get_xdata()) for line in display.lines_.values()] == [1] * 4


def test_aligner():
    aligner = CrossModalAligner(solver=AdamW(max_iter=2), random_state=0).fit(X)
    display = LossTermsDisplay.from_estimator(make_pipeline(FunctionTransformer(), aligner))
    assert list(display.lines_) == list(aligner.history_)
    np.testing.assert_array_equal(display.lines_["loss"].get_ydata(), aligner.loss_curve_)
    with pytest.raises(ValueError, match="alignment='cca'"):
        LossTermsDisplay.from_estimator(CrossModalAligner(alignment="cca").fit(X))


def test_late_fusion_has_no_terms():
    late = LateFusionClassifier(
        [("a", LogisticRegression(), ["text__0"]), ("b", LogisticRegression(), ["image__0"])]
    ).fit(X, y)
    with pytest.raises(ValueError, match=r"LateFusionClassifier .*named_estimators_"):
        LossTermsDisplay.from_estimator(late)


def test_long_names_are_cut():
    names = ["a product description from the web shop", "image"]
    history = {"loss": [1.0], f"modality__{names[0]}": [1.0], f"alignment__{'__'.join(names)}": [1]}
    display = LossTermsDisplay(history=pd.DataFrame(history)).plot()
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert texts == [
        "weighted sum",
        "a product description f… alone",
        "alignment a product descr… → image",
    ]
