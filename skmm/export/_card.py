"""model_card: what a fitted model is, how good it is, and with what it was made."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import is_classifier, is_regressor
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted

from .._optional import import_optional
from ._measures import measure_classes, measure_numbers
from ._model import iterate_encoders, split_steps

PACKAGES = ["numpy", "scipy", "pandas", "scikit-learn", "torch"]
OF_ENCODERS = {  # modules, where they are loaded, and their packages
    "transformers": "transformers",
    "sentence_transformers": "sentence-transformers",
    "open_clip": "open_clip_torch",
    "timm": "timm",
    "spacy": "spacy",
    "skimage": "scikit-image",
    "librosa": "librosa",
    "av": "av",
}
UNKNOWN = "not known: see its source"
N_COLUMNS = 6  # of a modality that are named


def model_card(model, X, y, *, name=None, description=None, license=None, scoring=None):
    """Write a model card: what a fitted model is, and how good it is on rows that you give.

    The columns of each modality, its weight, and the score with it alone and without it; accuracy
    and log-loss, with the expected calibration error and a table of reliability, or the errors of
    numbers; the encoders with the licences of their models, where these are known; versions.

    Parameters
    ----------
    model : estimator
        A fitted model of skmm, or a Pipeline or search that ends in one.
    X : DataFrame or array-like of shape (n_samples, n_columns)
        What it predicts from: rows that it was not trained on, of 10 modalities at most.
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
        Their targets.
    name : str, default=None
        The headline; None is the class of the model.
    description : str, default=None
        Markdown that follows it: data, intended uses and limits, which only you know [1]_.
    license : str, default=None
        The licence of the model, as the Hub names it, such as "bsd-3-clause".
    scoring : str, callable or None, default=None
        The score by modality, as elsewhere in scikit-learn; None is that of the model.

    Returns
    -------
    huggingface_hub.ModelCard
        ``str(card)`` is Markdown with a header in YAML; ``card.save(path)`` writes it.

    Raises
    ------
    ImportError
        If huggingface_hub is not installed (``pip install 'skmm[export]'``).
    TypeError
        If the model is of another kind.
    ValueError
        If the modalities are more than 10, or y and X differ in length.

    See Also
    --------
    skmm.export.save_pretrained : Save the model beside its card.

    References
    ----------
    .. [1] M. Mitchell et al., "Model cards for model reporting", FAT* 2019.

    Examples
    --------
    >>> from skmm import MLP, AdamW, FusionClassifier, model_card
    >>> from skmm.datasets import make_multimodal_classification
    >>> X, y = make_multimodal_classification(300, random_state=0)
    >>> model = FusionClassifier(modality_model=MLP(8), solver=AdamW(max_iter=9), interaction=None)
    >>> card = model_card(model.fit(X[:200], y[:200]), X[200:], y[200:], name="Demonstration")
    >>> [line for line in str(card).splitlines() if line.startswith("## ")]
    ['## Modalities', '## Scores', '## Calibration', '## Encoders', '## Versions', '## Use']
    """
    hub = import_optional("huggingface_hub", extra="export", purpose="skmm.model_card")
    check_is_fitted(model)
    check_consistent_length(X, y)
    _, fusion = split_steps(model)
    if not hasattr(fusion, "modalities_") or not (is_classifier(model) or is_regressor(model)):
        raise TypeError(
            "model_card needs a classifier or regressor of skmm, or a Pipeline or search that ends "
            f"in one, got {type(fusion).__name__}."
        )
    title = name or type(fusion).__name__
    data = hub.ModelCardData(
        library_name="skmm", license=license, model_name=title, tags=["skmm", "multimodal"]
    )
    sections = [
        f"# {title}",
        *([description.strip()] if description else []),
        f"```\n{model!r}\n```",
        *_describe_modalities(model, fusion),
        *_describe_scores(model, X, y, scoring),
        *_describe_encoders(model, hub),
        *_describe_versions(),
        *_describe_use(model),
    ]
    return hub.ModelCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(sections) + "\n")


def _describe_modalities(model: Any, fusion: Any) -> list[str]:
    """Describe the columns and the weight of each modality."""
    weights = _read_weights(fusion)
    raw = {name: columns for name, _, columns in iterate_encoders(model)}
    rows = [
        [name, _list_columns(raw.get(name, columns)), len(columns), _show_weight(weights, name)]
        for name, columns in fusion.modalities_.items()
    ]
    others = [name for name in weights if name not in fusion.modalities_]  # the interaction
    rows += [[name, "all", "", _show_weight(weights, name)] for name in others]
    header = ["modality", "columns", "features", "weight"]
    return ["## Modalities", _make_table(header, rows)]


def _read_weights(fusion: Any) -> dict[str, float]:
    weights = getattr(fusion, "modality_weights_", None)  # some rules have none
    if weights is None:
        return {}
    return weights.mean().to_dict() if isinstance(weights, pd.DataFrame) else dict(weights)


def _show_weight(weights: dict[str, float], name: str) -> str:
    return f"{weights[name]:.3f}" if name in weights else "none"


def _list_columns(columns: Any) -> str:
    if isinstance(columns, str | slice):
        return str(columns)
    columns = [str(column) for column in np.asarray(columns).tolist()]
    more = f" and {len(columns) - N_COLUMNS} more" if len(columns) > N_COLUMNS else ""
    return ", ".join(columns[:N_COLUMNS]) + more


def _describe_scores(model: Any, X: Any, y: Any, scoring: Any) -> list[str]:
    """Describe scores of all targets and of each, by modality, and the calibration."""
    from ..inspection import modality_report

    report = modality_report(
        model, X, y, scoring=scoring, n_repeats=1, emap_samples=0, random_state=0
    )
    rows = [["all", report.overall["all"]], ["none", report.overall["none"]]]
    for name, measured in report.modalities.iterrows():
        rows += [[f"{name} alone", measured["alone"]], [f"without {name}", measured["without"]]]
    said = (
        f"On {len(X)} rows that were given for this card; the score ({report.score_name}) with "
        f"modalities that are missing, filled with {report.missing}."
    )
    table = _make_table(["modalities", report.score_name], rows)
    return ["## Scores", said, table, *_describe_targets(model, X, y)]


def _describe_targets(model: Any, X: Any, y: Any) -> list[str]:
    if not is_classifier(model):
        header = ["target", "rows", "mean absolute error", "root mean square error"]
        return [_make_table(header, measure_numbers(model, X, y))]
    measured = measure_classes(model, X, y)
    header = ["target", "rows", "accuracy", "log-loss", "expected calibration error"]
    parts = [_make_table(header, [m[:5] for m in measured]), "## Calibration"]
    parts.append(
        "Rows by the probability of the class that is predicted, in 15 equal bins. Of a calibrated "
        "model it is the accuracy."
    )
    for target in measured:
        if len(measured) > 1:
            parts.append(f"Target {target.name}:")
        parts.append(_make_table(target.bins.columns, target.bins.itertuples(index=False)))
    return parts


def _describe_encoders(model: Any, hub: Any) -> list[str]:
    rows = []
    for name, encoder, _ in iterate_encoders(model):
        pretrained = getattr(encoder, "model", None)
        if pretrained is None:
            rows.append([name, type(encoder).__name__, "none", "that of its package"])
            continue
        is_named = isinstance(pretrained, str | os.PathLike)
        shown = os.fspath(pretrained) if is_named else f"a {type(pretrained).__name__}"
        license = _find_license(pretrained, hub) if is_named else UNKNOWN
        rows.append([name, type(encoder).__name__, shown, license])
    if not rows:
        return ["## Encoders", "None: the model reads features."]
    header = ["modality", "encoder", "pretrained model", "licence"]
    return ["## Encoders", _make_table(header, rows)]


def _find_license(model: str | os.PathLike, hub: Any) -> str:
    """Read the licence in the card of a pretrained model, if that is on disk."""
    name = os.path.expanduser(os.fspath(model))
    card: Any = Path(name, "README.md")
    for repository in (name, f"sentence-transformers/{name}"):
        if not Path(card).is_file() and not os.path.isabs(name):
            try:
                card = hub.try_to_load_from_cache(repository, "README.md") or card
            except ValueError:  # no name of a repository
                continue
    if not isinstance(card, str | Path) or not Path(card).is_file():
        return UNKNOWN
    try:
        return str(hub.ModelCard.load(card).data.get("license") or UNKNOWN)
    except ValueError:  # a header that is no YAML
        return UNKNOWN


def _describe_versions() -> list[str]:
    from .. import __version__

    names = [
        *PACKAGES,
        *(package for module, package in OF_ENCODERS.items() if module in sys.modules),
    ]
    rows = [["Python", platform.python_version()], ["skmm", __version__]]
    rows += [[name, importlib.metadata.version(name)] for name in names]
    return ["## Versions", _make_table(["package", "version"], rows)]


def _describe_use(model: Any) -> list[str]:
    predict = "predict_proba" if is_classifier(model) else "predict"
    code = [
        "from skmm.export import load_pretrained",
        "",
        'model = load_pretrained("...")  # this folder, or its name on the Hub',
        f"model.{predict}(X)",
    ]
    return ["## Use", "```python\n" + "\n".join(code) + "\n```"]


def _make_table(header: Iterable[Any], rows: Iterable[Sequence[Any]]) -> str:
    """Make a table in Markdown; numbers get four digits."""
    header = list(header)
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(_show_cell, line)) + " |" for line in lines)


def _show_cell(value: Any) -> str:
    if isinstance(value, float | np.floating):
        return f"{value:.4g}"
    return str(value).replace("|", "\\|").replace("\n", " ")
