"""Training through all stages of a paper, from wherever the model stands."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from kdepth import backend
from kdepth.papers.base import DepthModel, Stage
from kdepth.training import checkpoints


def fit_stages(
    model: DepthModel,
    data: Any,
    *,
    stages: Sequence[Stage] | None = None,
    optimizer_for: Callable[[Stage, int], Any] | None = None,
    callbacks: Sequence[Any] = (),
    resumed: checkpoints.Checkpoint | None = None,
    verbose: int | str = "auto",
) -> None:
    """Trains the paper's stages one after the other.

    The model's step counter says where to start: stages that lie behind it are skipped, and a stage
    or an epoch that was begun is finished. Each stage starts with a fresh optimizer.

    Args:
        model: a compiled paper (`model.compile(...)`), or one that `optimizer_for` compiles.
        data: from `kdepth.data.load` with this model.
        stages: with the epochs that are wanted; the paper's own by default.
        optimizer_for: maps a stage and its number of steps to a fresh optimizer; by default the
            compiled one is copied, its rate multiplied by the stages' ratio.
        callbacks: Keras callbacks.
        resumed: the checkpoint whose weights the model holds; its optimizer state is restored in
            the stage it belongs to.
        verbose: as in `keras.Model.fit`.
    """
    from kdepth.data.pipeline import steps_per_epoch

    steps = steps_per_epoch(data)
    first = 0
    for stage in model.stages if stages is None else stages:
        done = int(backend.to_numpy(model.step)) - first
        if done < stage.epochs * steps:
            total = stage.epochs * steps
            model.enter_stage(stage.name, optimizer_for(stage, total) if optimizer_for else None)
            if resumed is not None and resumed.stage == stage.name and done:
                checkpoints.restore_optimizer(model, resumed)
            # The dataset shuffles by itself, as a function of the epoch.
            fit = {"callbacks": list(callbacks), "verbose": verbose, "shuffle": False}
            rest = -done % steps
            if rest:  # of an epoch that was begun
                model.fit(
                    data.take(rest), initial_epoch=done // steps, epochs=done // steps + 1, **fit
                )
                done += rest
            if done < total:
                model.fit(data, initial_epoch=done // steps, epochs=stage.epochs, **fit)
        first += stage.epochs * steps


def with_epochs(stages: Sequence[Stage], epochs: Sequence[int] | None) -> tuple[Stage, ...]:
    """The stages with other numbers of epochs (0 leaves a stage out).

    Args:
        stages: a paper's.
        epochs: one number for each stage, or None for the paper's own.

    Raises:
        ValueError: if there are not as many numbers as stages.
    """
    if epochs is None:
        return tuple(stages)
    if len(epochs) != len(stages):
        raise ValueError(f"`epochs` must have {len(stages)} numbers; received {list(epochs)}")
    return tuple(dataclasses.replace(stage, epochs=n) for stage, n in zip(stages, epochs))
