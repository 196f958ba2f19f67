"""Train a fusion estimator on workers of Ray Train, each with a share of every batch."""

from __future__ import annotations

import copy
import pickle
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import pandas as pd
from sklearn.base import clone

from .._optional import import_optional
from ..fusion._together import collect, together
from ._checks import check_counts, check_dataset

if TYPE_CHECKING:
    import ray
    from numpy.typing import ArrayLike

FITTED = "estimator.pkl"
NAMED_BY_RAY = "ray_train_run-"


def fit(
    estimator: Any,
    dataset: ray.data.Dataset,
    label: str,
    *,
    classes: ArrayLike | None = None,
    n_epochs: int = 1,
    batch_size: int = 4096,
    scaling_config: ray.train.ScalingConfig | None = None,
    run_config: ray.train.RunConfig | None = None,
) -> Any:
    """Fit a `FusionClassifier` to a Ray Dataset that may be larger than any memory.

    Each worker of Ray Train has a share of every batch and calls
    `FusionClassifier.partial_fit` with it. Together they learn what one process would learn of
    the whole batch: gradients are averaged, and the statistics, losses and modality weights in
    which rows have to do with each other are those of all rows of the batch.

    Parameters
    ----------
    estimator : FusionClassifier
        What is fitted is a clone; its parameters must suit ``partial_fit``.
    dataset : ray.data.Dataset
        Columns of features, ``modality__feature``, and the column of labels, no others: that
        `encode` has written, for example
        ``ray.data.read_parquet(path).drop_columns(["id"]).random_shuffle()``. Rows come in the
        order of the dataset, which should be a random one.
    label : str
        The column of class labels.
    classes : array-like of shape (n_classes,), default=None
        All class labels. None finds them in one more pass over the column.
    n_epochs : int, default=1
        Number of passes over the dataset.
    batch_size : int, default=4096
        Rows in one call of ``partial_fit``, over all workers. A gradient step takes
        ``estimator.batch_size`` of them.
    scaling_config : ray.train.ScalingConfig, default=None
        How many workers, and what each needs, such as
        ``ScalingConfig(num_workers=8, use_gpu=True)``. None: one, on a processor.
    run_config : ray.train.RunConfig, default=None
        Where the run is kept, ``storage_path``, which all machines must be able to reach, and how
        often it is to begin again where a worker fails, as
        ``RunConfig(failure_config=FailureConfig(max_failures=3))``. It goes on from the end of the
        last pass. With a ``name`` it does so in another call too, if the driver died; one that was
        finished is given back. Without, each call is a run of its own.

    Returns
    -------
    FusionClassifier
        The fitted clone.

    Raises
    ------
    ImportError
        If Ray is not installed (``pip install 'skmm[ray]'``).
    ray.train.TrainingFailedError
        If a worker fails; what it raised, such as a ValueError of ``partial_fit``, is its cause.
    ValueError
        If the column is not there, labels are missing, or batches are too small for the workers.

    See Also
    --------
    encode : Make the features.
    skmm.FusionClassifier.partial_fit : What is done with a batch.

    Notes
    -----
    With ``dropout=0`` and ``modality_dropout=0`` what several workers learn differs from what one
    does of the same batches only by rounding (tested to 1e-4, for all ways to fuse and to align).
    With dropout each worker leaves out other units, as it should.

    Ray gives each worker as many rows: of a pass, up to one row less than there are workers is
    left out, and which rows are in a batch depends on their number.

    Examples
    --------
    >>> import ray
    >>> from ray.train import ScalingConfig
    >>> from skmm import FusionClassifier
    >>> from skmm.distributed import fit
    >>> dataset = ray.data.read_parquet("embeddings").drop_columns(["id"])  # doctest: +SKIP
    >>> model = fit(
    ...     FusionClassifier(), dataset, "label", scaling_config=ScalingConfig(num_workers=8)
    ... )  # doctest: +SKIP
    """
    purpose = "skmm.distributed.fit"
    train = import_optional("ray.train", extra="ray", purpose=purpose)
    torch = import_optional("ray.train.torch", extra="ray", purpose=purpose)
    check_dataset(dataset)
    check_counts(batch_size=batch_size)
    scaling_config = scaling_config or train.ScalingConfig(num_workers=1)
    columns = dataset.columns() or []
    _check(estimator, columns, label, batch_size, scaling_config.num_workers)
    if n_epochs < 1:
        raise ValueError(f"n_epochs={n_epochs} must be at least 1.")
    estimator = clone(estimator)
    classes = _sort(dataset.unique(label), label) if classes is None else np.asarray(classes)
    begun_with = {
        "parameters": estimator.get_params(),
        "label": label,
        "classes": classes.tolist(),
        "columns": sorted(columns),
    }
    trainer = torch.TorchTrainer(
        _train,
        train_loop_config={
            "estimator": estimator,
            "label": label,
            "classes": classes,
            "n_epochs": n_epochs,
            "batch_size": batch_size,
            "begun_with": {name: joblib.hash(value) for name, value in begun_with.items()},
        },
        scaling_config=scaling_config,
        run_config=_name(run_config),
        datasets={"train": dataset},
    )
    return _load(trainer.fit().checkpoint)["estimator"]


def _check(estimator, columns: list[str], label: str, batch_size: int, n_workers: int) -> None:
    if not hasattr(estimator, "partial_fit"):
        raise TypeError(
            f"fit needs an estimator that learns batch by batch, and {type(estimator).__name__} "
            "has no partial_fit: take FusionClassifier."
        )
    if label not in columns:
        raise ValueError(f"The dataset has no column {label!r}; it has {columns}.")
    if batch_size < n_workers:
        raise ValueError(
            f"batch_size={batch_size} leaves some of {n_workers} workers without a row: "
            "give each at least one."
        )


def _name(run_config: ray.train.RunConfig | None) -> ray.train.RunConfig | None:
    """Tell runs without a name apart; Ray would go on with the first of a RunConfig used twice."""
    if run_config is None or not (run_config.name or "").startswith(NAMED_BY_RAY):
        return run_config
    run_config = copy.copy(run_config)
    run_config.name += f"-{uuid.uuid4().hex[:8]}"
    return run_config


def _sort(labels: list, label: str) -> np.ndarray:
    """Sort the labels that there are; none may be missing."""
    if pd.isna(np.array(labels, dtype=object)).any():
        raise ValueError(
            f"Column {label!r} has rows without a label. Leave them out: "
            f"dataset.filter(lambda row: pd.notna(row[{label!r}]))."
        )
    return np.sort(labels)


def _check_same(found: dict[str, str], begun_with: dict[str, str]) -> None:
    other = [name for name, digest in begun_with.items() if found.get(name) != digest]
    if other:
        raise ValueError(
            f"The run was begun with other {' and '.join(other)}. Give run_config another name, "
            "or go on with the same as before."
        )


def _train(config: dict[str, Any]) -> None:
    """Train in one of the workers, from where the last one got to."""
    from ray import cloudpickle, train

    checkpoint, n_done = train.get_checkpoint(), 0
    estimator, label, classes = (config[name] for name in ("estimator", "label", "classes"))
    if checkpoint:
        content = _load(checkpoint)
        _check_same(content["begun_with"], config["begun_with"])
        estimator, n_done = content["estimator"], content["n_epochs"]
    context = train.get_context()
    n_rows = config["batch_size"] // context.get_world_size()
    shard = train.get_dataset_shard("train")
    for epoch in range(n_done, config["n_epochs"]):
        batches = iter(shard.iter_batches(batch_size=n_rows, batch_format="pandas"))
        with together():
            # None waits for rows that another does not have.
            while all(collect((batch := next(batches, None)) is not None)):
                y = batch.pop(label)
                estimator.partial_fit(batch, y, classes=classes)
        if not hasattr(estimator, "loss_curve_"):
            raise ValueError(
                f"The dataset has fewer rows than there are workers ({context.get_world_size()})."
            )
        with tempfile.TemporaryDirectory() as folder:
            reached = None
            if context.get_world_rank() == 0:
                content = {
                    "estimator": estimator,
                    "n_epochs": epoch + 1,
                    "begun_with": config["begun_with"],
                }
                # Classes of a notebook, which this process cannot import, and all.
                Path(folder, FITTED).write_bytes(cloudpickle.dumps(content))
                reached = train.Checkpoint.from_directory(folder)
            train.report({"loss": estimator.loss_curve_[-1]}, checkpoint=reached)


def _load(checkpoint: ray.train.Checkpoint) -> dict[str, Any]:
    with checkpoint.as_directory() as folder:
        return pickle.loads(Path(folder, FITTED).read_bytes())
