"""Learning rates as functions of the step within a stage."""

from __future__ import annotations

import math
from typing import Any

import keras

from kdepth.backend import ops
from kdepth.errors import UserError

SHAPES = ("constant", "step", "cosine")


@keras.saving.register_keras_serializable("kdepth")
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A linear warm-up, then constant, halved in steps, or a half cosine down to zero."""

    def __init__(
        self,
        learning_rate: float,
        shape: str = "constant",
        total_steps: int = 1,
        warmup_steps: int = 0,
        milestones: tuple[float, ...] = (0.6, 0.8),
        factor: float = 0.5,
    ) -> None:
        """Makes the schedule.

        Args:
            learning_rate: the rate after the warm-up.
            shape: "constant", "step" or "cosine".
            total_steps: of the stage.
            warmup_steps: the rate rises linearly during them.
            milestones: with "step", the fractions of `total_steps` at which the rate is multiplied
                by `factor` (Godard 2017: at 3/5 and 4/5, halved).
            factor: with "step".

        Raises:
            UserError: for another shape.
        """
        if shape not in SHAPES:
            raise UserError(f"--schedule must be one of {', '.join(SHAPES)}; received '{shape}'")
        self.learning_rate, self.shape, self.total_steps = learning_rate, shape, total_steps
        self.warmup_steps, self.milestones, self.factor = warmup_steps, tuple(milestones), factor

    def __call__(self, step: Any) -> Any:
        """The rate at a step of the stage (0-based)."""
        step = ops.cast(step, "float32")
        rate = self.learning_rate
        if self.shape == "cosine":
            span = max(1, self.total_steps - self.warmup_steps)
            done = ops.clip((step - self.warmup_steps) / span, 0.0, 1.0)
            rate = rate * 0.5 * (1.0 + ops.cos(math.pi * done))
        elif self.shape == "step":
            for milestone in self.milestones:
                passed = ops.cast(step >= milestone * self.total_steps, "float32")
                rate = rate * (1.0 + (self.factor - 1.0) * passed)
        if self.warmup_steps:
            rate = rate * ops.clip((step + 1.0) / self.warmup_steps, 0.0, 1.0)
        return ops.cast(rate, "float32")

    def get_config(self) -> dict[str, Any]:  # noqa: D102
        names = ("learning_rate", "shape", "total_steps", "warmup_steps", "milestones", "factor")
        return {name: getattr(self, name) for name in names}
