"""Fitted models as folders, without pickles, on disk and on the Hugging Face Hub."""

from __future__ import annotations

import json
import os
from hashlib import blake2b
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from .._data.persistence import damaged
from .._files import replace_file
from .._optional import import_optional
from .._trusted_types import trusted_types
from .._warnings import warn_user
from ._model import unwrap_search

CONFIG, ESTIMATOR, WEIGHTS, CARD = (
    "config.json",
    "estimator.skops",
    "model.safetensors",
    "README.md",
)
FORMAT = 1


def save_pretrained(model, folder, *, card=None):
    """Save a fitted model as a folder that `load_pretrained` reads; no pickle is in it.

    ``model.safetensors`` holds what the fusion has learned, as `save_weights` writes it,
    ``estimator.skops`` its parameters and the fitted steps before it, ``config.json`` versions, and
    ``README.md`` the card. Pretrained models of encoders are named, not copied.

    Parameters
    ----------
    model : estimator
        A fitted model of skmm, or a Pipeline that ends in one. Of a search the best is saved.
    folder : str or path-like
        Where to; made if it does not exist. Files of these names in it are replaced.
    card : huggingface_hub.ModelCard, default=None
        What `model_card` returned.

    Raises
    ------
    ImportError
        If safetensors or skops is not installed (``pip install 'skmm[export]'``).
    TypeError
        If loading would run the code of another package than scikit-learn or skmm; nothing is
        written then.

    Examples
    --------
    >>> import os, tempfile
    >>> from skmm import MLP, AdamW, FusionClassifier
    >>> from skmm.datasets import make_multimodal_classification
    >>> from skmm.export import load_pretrained, save_pretrained
    >>> X, y = make_multimodal_classification(100, random_state=0)
    >>> model = FusionClassifier(modality_model=MLP(8), solver=AdamW(max_iter=5), interaction=None)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_pretrained(model.fit(X, y), folder)
    ...     files = sorted(os.listdir(folder))
    ...     loaded = load_pretrained(folder)
    >>> files
    ['config.json', 'estimator.skops', 'model.safetensors']
    >>> bool((loaded.predict_proba(X) == model.predict_proba(X)).all())
    True
    """
    skops = _import_skops()
    model = unwrap_search(model)
    check_is_fitted(model)
    folder = Path(os.path.expanduser(os.fspath(folder)))
    unfitted, last = _take_out_weights(model)
    content = skops.dumps(unfitted)
    untrusted = sorted({*skops.get_untrusted_types(data=content)} - {*trusted_types})
    if untrusted:
        raise TypeError(
            f"save_pretrained cannot save {type(model).__name__}: loading it would run code of "
            f"{untrusted}. Pickle it, or take models of scikit-learn and skmm in their place."
        )
    folder.mkdir(parents=True, exist_ok=True)
    if last is not None:
        last.save_weights(folder / WEIGHTS)
    else:
        (folder / WEIGHTS).unlink(missing_ok=True)
    replace_file(folder / ESTIMATOR, lambda file: file.write(content))
    config = json.dumps(_describe(model, folder, has_weights=last is not None), indent=2) + "\n"
    replace_file(folder / CONFIG, lambda file: file.write(config.encode()))
    if card is not None:
        replace_file(folder / CARD, lambda file: file.write(str(card).encode()))


def load_pretrained(name, *, revision=None, token=None):
    """Load a model that `save_pretrained` saved, from a folder or the Hugging Face Hub.

    No code of the files is run: types in them are those of scikit-learn and ``skmm.trusted_types``.

    Parameters
    ----------
    name : str or path-like
        A folder; or, if there is none of this name, a repository on the Hub, such as
        "someone/titles-and-photos". With ``HF_HUB_OFFLINE=1`` in the environment it is the copy on
        disk.
    revision : str, default=None
        Branch, tag or commit on the Hub.
    token : str, default=None
        For a private repository; None is the token that is stored.

    Returns
    -------
    estimator
        The fitted model.

    Raises
    ------
    FileNotFoundError
        If a file of the model is missing.
    ValueError
        If a file is damaged, is of another model than ``config.json``, or was written in another
        format. Other versions of skmm or scikit-learn are a warning.

    Examples
    --------
    A folder that `save_pretrained` made:

    >>> from skmm.export import load_pretrained
    >>> load_pretrained("./nothing-here")
    Traceback (most recent call last):
        ...
    FileNotFoundError: ...
    """
    skops = _import_skops()
    folder = _find_folder(name, revision, token)
    config = _read_config(folder)
    try:
        model = skops.loads(_read(folder, ESTIMATOR), trusted=trusted_types)
    except (BadZipFile, KeyError, EOFError) as e:
        raise damaged(folder / ESTIMATOR, e) from e
    if config["has_weights"]:
        last = model
        while isinstance(last, Pipeline):
            last = last[-1]
        last.load_weights(folder / WEIGHTS)
    return model


def push_to_hub(folder, name, *, private=True, message="Upload a model of skmm", token=None):
    """Upload a folder that `save_pretrained` made to the Hugging Face Hub.

    Only the files that `save_pretrained` writes, and ``model.onnx`` of `to_onnx` if it lies there.

    Parameters
    ----------
    folder : str or path-like
        The folder.
    name : str
        The repository, such as "someone/titles-and-photos"; it is made if it does not exist.
    private : bool, default=True
        Whether a repository that is made is private.
    message : str, default="Upload a model of skmm"
        The message of the commit.
    token : str, default=None
        Of an account that may write there; None is the token that is stored.

    Returns
    -------
    str
        The address of the commit.

    Raises
    ------
    FileNotFoundError
        If the folder is none of a model.

    See Also
    --------
    load_pretrained : Load it from there.

    Examples
    --------
    >>> from skmm.export import push_to_hub
    >>> push_to_hub("./nothing-here", "someone/model")
    Traceback (most recent call last):
        ...
    FileNotFoundError: ...
    """
    hub = import_optional("huggingface_hub", extra="export", purpose="skmm.export.push_to_hub")
    folder = Path(os.path.expanduser(os.fspath(folder)))
    for file in (CONFIG, ESTIMATOR):
        _read(folder, file)
    api = hub.HfApi(token=token)
    api.create_repo(name, private=private, exist_ok=True)
    commit = api.upload_folder(
        repo_id=name,
        folder_path=folder,
        commit_message=message,
        allow_patterns=[CONFIG, ESTIMATOR, WEIGHTS, CARD, "model.onnx"],
    )
    return str(commit.commit_url)


def _import_skops() -> Any:
    return import_optional("skops.io", extra="export", purpose="skmm.export of a folder")


def _take_out_weights(model: Any) -> tuple[Any, Any]:
    """Return a model whose last step is not fitted, and that step; None if it has no weights."""
    if isinstance(model, Pipeline):
        unfitted, last = _take_out_weights(unwrap_search(model[-1]))
        *steps, (name, _) = model.steps
        parameters = model.get_params(deep=False)
        return Pipeline(**{**parameters, "steps": [*steps, (name, unfitted)]}), last
    return (clone(model), model) if hasattr(model, "save_weights") else (model, None)


def _describe(model: Any, folder: Path, *, has_weights: bool) -> dict[str, Any]:
    files = [ESTIMATOR, WEIGHTS] if has_weights else [ESTIMATOR]
    return {
        "format": FORMAT,
        "estimator": type(model).__name__,
        "has_weights": has_weights,
        "versions": _find_versions(),
        "digests": {file: _digest(_read(folder, file)) for file in files},
    }


def _find_versions() -> dict[str, str]:
    import sklearn

    from .. import __version__

    return {"skmm": __version__, "scikit-learn": sklearn.__version__}


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=16).hexdigest()


def _read_config(folder: Path) -> dict[str, Any]:
    """Read what the folder says of itself, and compare it with its files and with what is here."""
    path = folder / CONFIG
    try:
        config = json.loads(_read(folder, CONFIG))
    except ValueError as e:
        raise damaged(path, e) from e
    found = config.get("format") if isinstance(config, dict) else None
    if found != FORMAT:
        raise ValueError(
            f"{str(path)!r} was not written by this version of skmm: its format is {found!r}, "
            f"expected {FORMAT}."
        )
    for file, digest in config["digests"].items():
        if _digest(_read(folder, file)) != digest:
            raise ValueError(
                f"{str(folder / file)!r} is damaged, or of another model: it is not the file that "
                f"{CONFIG} beside it was written with."
            )
    other = [
        f"{name} {config['versions'].get(name)} (here is {version})"
        for name, version in _find_versions().items()
        if config["versions"].get(name) != version
    ]
    if other:
        warn_user(
            f"The model in {str(folder)!r} was saved with {' and '.join(other)}, and may predict "
            "otherwise: compare some rows, or install what it was saved with."
        )
    return config


def _find_folder(name: str | os.PathLike, revision: str | None, token: str | None) -> Path:
    """Return a folder on disk: the one of this name, or a copy of that on the Hub."""
    path = os.path.expanduser(os.fspath(name))
    is_path = isinstance(name, os.PathLike) or os.path.isabs(path) or path.startswith(".")
    if is_path or os.path.exists(path):
        return Path(path)
    hub = import_optional("huggingface_hub", extra="export", purpose="skmm.export.load_pretrained")
    files = [CONFIG, ESTIMATOR, WEIGHTS, CARD]
    return Path(hub.snapshot_download(path, revision=revision, token=token, allow_patterns=files))


def _read(folder: Path, file: str) -> bytes:
    try:
        return (folder / file).read_bytes()
    except (FileNotFoundError, NotADirectoryError) as e:
        raise FileNotFoundError(
            f"{str(folder)!r} holds no {file}: it is no folder that save_pretrained made."
        ) from e
