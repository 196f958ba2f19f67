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
from .._torch.processes import data_parallel, gather_over_processes
from ._checks import check_counts, check_dataset

if TYPE_CHECKING:
    import ray
    import ray.train
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
    `FusionClassifier.partial_fit` with it. Together they learn what one process would learn from
    the whole batch: gradients are averaged, and the statistics, losses and modality weights that
    depend on several rows at once are computed from all rows of the batch.

    Parameters
    ----------
    estimator : FusionClassifier
        A clone of it is fitted; its parameters must suit ``partial_fit``.
    dataset : ray.data.Dataset
        Columns of features, ``modality__feature``, and the column of labels, no others; for
        example what `encode` has written,
        ``ray.data.read_parquet(path).drop_columns(["id"]).random_shuffle()``. Rows come in the
        order of the dataset, which should be a random one.
    label : str
        The column of class labels.
    classes : array-like of shape (n_classes,), default=None
        All class labels. None finds them in one more pass over the column.
    n_epochs : int, default=1
        Number of passes over the dataset.
    batch_size : int, default=4096
        Rows in one call of ``partial_fit``, over all workers. A gradient step takes the
        ``batch_size`` of the estimator's solver, `AdamW`, of them.
    scaling_config : ray.train.ScalingConfig, default=None
        How many workers, and what each needs, such as
        ``ScalingConfig(num_workers=8, use_gpu=True)``. None is one worker on a CPU.
    run_config : ray.train.RunConfig, default=None
        Where the run is stored, ``storage_path``, which all machines must be able to reach, and
        how often it restarts where a worker fails, such as
        ``RunConfig(failure_config=FailureConfig(max_failures=3))``. It continues from the end of
        the last pass. With a ``name`` another call continues it too, if the driver died, or
        returns its result, if it was finished. Without a name each call is a new run.

    Returns
    -------
    FusionClassifier
        The fitted clone.

    Raises
    ------
    ImportError
        If Ray is not installed (``pip install 'skmm[ray]'``).
    ray.train.TrainingFailedError
        If a worker fails. Its ``__cause__`` is what the worker raised, such as a ValueError of
        ``partial_fit``, which the traceback shows first.
    ValueError
        If the column is not there, labels are missing, or batches are too small for the workers.

    See Also
    --------
    encode : Make the features.
    skmm.FusionClassifier.partial_fit : What is done with a batch.

    Notes
    -----
    With ``MLP(dropout=0)`` and ``modality_dropout=0`` several workers learn what one learns from
    the same batches, up to rounding (tested to 1e-4, for all fusion rules and alignments). With
    dropout each worker drops different units, as it should.

    Ray gives each worker the same number of rows: each pass leaves out fewer rows than there are
    workers, and the number of workers decides which rows are in a batch.

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
    scaling: Any = scaling_config or train.ScalingConfig(num_workers=1)
    columns = dataset.columns() or []
    _check_arguments(estimator, columns, label, batch_size, scaling.num_workers)
    if n_epochs < 1:
        raise ValueError(f"n_epochs={n_epochs} must be at least 1.")
    estimator = clone(estimator)
    classes = _sort_labels(dataset.unique(label), label) if classes is None else np.asarray(classes)
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
        scaling_config=scaling,
        run_config=_with_new_name(run_config),
        datasets={"train": dataset},
    )
    try:
        result = trainer.fit()
    except train.TrainingFailedError as e:
        raise e from _find_cause(e)
    return _load_checkpoint(result.checkpoint)["estimator"]


def _check_arguments(
    estimator, columns: list[str], label: str, batch_size: int, n_workers: int
) -> None:
    if not hasattr(estimator, "partial_fit"):
        raise TypeError(
            f"fit needs an estimator that learns batch by batch, and {estimator!r} has no "
            "partial_fit: take FusionClassifier with MLP() as modality_model."
        )
    if label not in columns:
        raise ValueError(f"The dataset has no column {label!r}; it has {columns}.")
    if batch_size < n_workers:
        raise ValueError(
            f"batch_size={batch_size} must be at least the number of workers, {n_workers}: each "
            "needs a row."
        )


def _with_new_name(run_config: ray.train.RunConfig | None) -> ray.train.RunConfig | None:
    """Rename a run that Ray named, or a RunConfig used twice would continue its first run."""
    if run_config is None or not (run_config.name or "").startswith(NAMED_BY_RAY):
        return run_config
    renamed = copy.copy(run_config)
    renamed.name = f"{run_config.name}-{uuid.uuid4().hex[:8]}"
    return renamed


def _sort_labels(labels: list, label: str) -> np.ndarray:
    """Sort labels; raise if one is missing."""
    if pd.isna(np.array(labels, dtype=object)).any():
        raise ValueError(
            f"Column {label!r} has rows without a label. Leave them out: "
            f"dataset.filter(lambda row: pd.notna(row[{label!r}]))."
        )
    return np.sort(labels)


def _check_same(found: dict[str, str], begun_with: dict[str, str]) -> None:
    changed = [name for name, digest in begun_with.items() if found.get(name) != digest]
    if changed:
        raise ValueError(
            f"The run was begun with other {' and '.join(changed)}. Give run_config another name, "
            "or continue with the same as before."
        )


def _find_cause(error: ray.train.TrainingFailedError) -> BaseException | None:
    """Return what a worker raised, if it did.

    RuntimeErrors come last: where one worker fails, torch.distributed raises them in the others.
    """
    failures = getattr(error, "worker_failures", {})
    return min(
        (failures[rank] for rank in sorted(failures)),
        key=lambda failure: isinstance(failure, RuntimeError),
        default=getattr(error, "controller_failure", None),
    )


def _train(config: dict[str, Any]) -> None:
    """Train in one of the workers; what it raises can be sent to this process."""
    try:
        _train_epochs(config)
    except Exception as e:
        raise _make_portable(e) from e


def _make_portable(error: Exception) -> Exception:
    """Return an error that can be pickled: one that cannot is lost between processes."""
    from ray import cloudpickle

    try:
        cloudpickle.loads(cloudpickle.dumps(error))  # pyright: ignore[reportPrivateImportUsage]
    except Exception:
        return ValueError(f"{type(error).__name__}: {error}")
    return error


def _train_epochs(config: dict[str, Any]) -> None:
    """Train from the last checkpoint on."""
    from ray import cloudpickle, train

    checkpoint, n_done = train.get_checkpoint(), 0
    estimator, label, classes = (config[name] for name in ("estimator", "label", "classes"))
    if checkpoint:
        content = _load_checkpoint(checkpoint)
        _check_same(content["begun_with"], config["begun_with"])
        estimator, n_done = content["estimator"], content["n_epochs"]
    context = train.get_context()
    n_rows = config["batch_size"] // context.get_world_size()
    shard: Any = train.get_dataset_shard("train")
    for epoch in range(n_done, config["n_epochs"]):
        batches: Any = iter(shard.iter_batches(batch_size=n_rows, batch_format="pandas"))
        with data_parallel():
            # They stop at once: a worker without rows would let the others wait for it.
            while all(gather_over_processes((batch := next(batches, None)) is not None)):
                assert batch is not None
                y = batch.pop(label)
                estimator.partial_fit(batch, y, classes=classes)
        if not hasattr(estimator, "loss_curve_"):
            raise ValueError(
                f"The dataset has fewer rows than there are workers ({context.get_world_size()})."
            )
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = None
            if context.get_world_rank() == 0:
                content = {
                    "estimator": estimator,
                    "n_epochs": epoch + 1,
                    "begun_with": config["begun_with"],
                }
                # With classes that are defined in a notebook, which this process cannot import.
                pickled = cloudpickle.dumps(content)  # pyright: ignore[reportPrivateImportUsage]
                Path(folder, FITTED).write_bytes(pickled)
                checkpoint = train.Checkpoint.from_directory(folder)
            train.report({"loss": estimator.loss_curve_[-1]}, checkpoint=checkpoint)


def _load_checkpoint(checkpoint: ray.train.Checkpoint) -> dict[str, Any]:
    with checkpoint.as_directory() as folder:
        return pickle.loads(Path(folder, FITTED).read_bytes())
