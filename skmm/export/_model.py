"""Parts of fitted models: the steps before what fuses, the encoders among them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline


def unwrap_search(model: Any) -> Any:
    """Return the best estimator of a fitted search, and anything else as it is."""
    return getattr(model, "best_estimator_", model)


def split_steps(model: Any) -> tuple[list[tuple[str, Any]], Any]:
    """Return the steps before the last one, through pipelines in pipelines, and that."""
    steps, last = [], unwrap_search(model)
    while isinstance(last, Pipeline):
        steps += [step for step in last.steps[:-1] if step[1] not in (None, "passthrough")]
        last = unwrap_search(last[-1])
    return steps, last


def iterate_encoders(model: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield the fitted encoders with the modality, or the step, and the columns that each reads."""
    for name, step in split_steps(model)[0]:
        if not isinstance(step, ColumnTransformer):
            yield name, step, "all"
            continue
        for modality, encoder, columns in step.transformers_:
            if not isinstance(encoder, str):
                for part in encoder if isinstance(encoder, Pipeline) else [encoder]:
                    yield modality, part, columns
