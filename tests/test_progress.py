"""Progress bars: that they reach their end, and that a fit without a stderr shows none."""

import io
import re
import sys

import numpy as np
import pytest
from fresh_process import run

from skmm.alignment import CrossModalAligner
from skmm.image import ImageDescriptor, ImagePreprocessor


def last_counts(text, name):
    """Return the last count and total that the bar of a name has shown."""
    shown = [line for line in re.split(r"[\r\n]+", text) if line.startswith(f"{name}:")]
    return tuple(map(int, re.findall(r"(\d+)/(\d+) \[", shown[-1])[-1]))


@pytest.mark.parametrize(
    ("parameters", "n_epochs"),
    [
        ({"max_iter": 8, "n_iter_no_change": 1, "tol": 10.0}, 8),  # each of the four loops stalls
        ({"max_iter": 4, "modality_weights": "uniform", "fusion": "weighted"}, 4),
        ({"max_iter": 4, "n_members": 2}, 10),
        ({"max_iter": 4, "early_stopping": True, "tol": 10.0, "n_iter_no_change": 2}, None),
        ({"max_iter": 4, "solver": "lbfgs", "dropout": 0.0, "tol": 10.0}, 4),
    ],
)
def test_bar_counts_to_its_total(data, small, capsys, parameters, n_epochs):
    small(**parameters, verbose=True).fit(*data)
    count, total = last_counts(capsys.readouterr().err, "fusion")
    assert count == total
    assert n_epochs in (None, total)


def test_bar_of_the_interaction_counts_to_its_total(data, small, capsys):
    small(interaction="auto", max_iter=2, verbose=True).fit(*data)
    count, total = last_counts(capsys.readouterr().err, "interaction")
    assert 0 < count == total


def fit_fusion(small, X, y):
    return small(verbose=True).fit(X, y).predict_proba(X)


def fit_aligner(small, X, y):
    aligner = CrossModalAligner(n_components=2, alignment="contrastive", random_state=0)
    return aligner.set_params(verbose=True).fit(X).transform(X)


def encode_images(small, X, y):
    images = [np.full((8, 8), 9 * i, np.uint8) for i in range(3)]
    prepared = ImagePreprocessor(size=4, verbose=True).transform(images)
    return ImageDescriptor(cache=None, verbose=True).fit_transform(prepared)


@pytest.mark.parametrize("compute", [fit_fusion, fit_aligner, encode_images])
@pytest.mark.parametrize("is_closed", [False, True], ids=["none", "closed"])
def test_no_stderr(data, small, monkeypatch, compute, is_closed):
    expected = compute(small, *data)
    stderr = None
    if is_closed:
        stderr = io.StringIO()
        stderr.close()
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setattr(sys, "stdout", stderr)
    np.testing.assert_array_equal(compute(small, *data), expected)


def test_notebook_without_ipywidgets():
    code = """
    import sys, types, warnings
    warnings.simplefilter("error")
    shell = types.SimpleNamespace(config={"IPKernelApp": {}})
    sys.modules["IPython"] = types.SimpleNamespace(get_ipython=lambda: shell)
    sys.modules["ipywidgets"] = None
    from skmm._progress import progress_bar
    with progress_bar(desc="here", total=2) as bar:
        bar.update(2)
    print(type(bar).__module__)
    """
    assert run(code) == "tqdm.std\n"


@pytest.mark.parametrize(("value", "is_shown"), [("1", False), ("", True)])
def test_the_setting_of_tqdm_holds(value, is_shown):
    code = """
        import io, sys
        sys.stderr = io.StringIO()
        from skmm._progress import progress_bar
        for _ in progress_bar(range(3), desc="encoding"):
            pass
        print("encoding" in sys.stderr.getvalue())
    """
    assert run(code, TQDM_DISABLE=value).strip() == str(is_shown)
