"""A rehearsal of a training run: one batch, one step, nothing written."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kdepth.data.pipeline import info
from kdepth.papers.base import DepthModel, Stage
from kdepth.training.callbacks import StopOnNaN


class _Losses(keras.callbacks.Callback):
    """Keeps what the last step logged."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, float] = {}

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self.found = {name: float(value) for name, value in (logs or {}).items()}


def rehearse(
    model: DepthModel,
    data: Any,
    stages: Sequence[Stage],
    optimizer_for: Callable[[Stage, int], Any],
) -> list[str]:
    """Takes one step of the last stage, the one that needs all networks and the most memory.

    Args:
        model: a compiled paper; its weights change.
        data: from `kdepth.data.load` with this model.
        stages: with the epochs that are wanted.
        optimizer_for: maps a stage and its number of steps to a fresh optimizer.

    Returns:
        Lines that say what was read, what was learned from it and how long the run would be.

    Raises:
        UserError: if a sample cannot be read or a loss is not finite.
    """
    facts = info(data)
    steps = facts.steps_per_epoch
    kept = "kept in memory" if facts.cached else "read anew in every epoch"
    lines = [f"data: {len(facts.records)} samples, {kept}; {steps} steps an epoch"]
    batch = next(iter(data.take(1)))
    lines += [f"batch: {key} {_describe(np.asarray(batch[key]))}" for key in sorted(batch)]
    losses = _Losses()
    watched = [StopOnNaN(lambda index: facts.records[index].name), losses]
    trained = [stage for stage in stages if stage.epochs]
    for stage in trained[-1:]:  # none, where all epochs are 0
        model.enter_stage(stage.name, optimizer_for(stage, stage.epochs * steps))
        start = time.monotonic()
        model.fit(data.take(1), epochs=1, callbacks=watched, verbose=0, shuffle=False)
        terms = ", ".join(f"{name} {value:.4g}" for name, value in losses.found.items())
        lines.append(f"step of stage {stage.name}: {terms} ({time.monotonic() - start:.1f} s)")
    height, width = model.image_size
    count = sum(math.prod(weight.shape) for weight in model.weights)
    lines.insert(0, f"model: {model.paper}, images of {height}x{width}, {count:,} weights")
    planned = ", ".join(f"{stage.epochs} epochs of {stage.name}" for stage in trained)
    total = sum(stage.epochs for stage in trained) * steps
    lines.append(f"training would take {total:,} steps: {planned}")
    return lines


def _describe(values: np.ndarray) -> str:
    shape = "x".join(map(str, values.shape))
    return f"{shape}, {values.min():.4g} to {values.max():.4g}"
