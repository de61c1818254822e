"""What can be scored: a network with its facts, or predictions from a file."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kdepth.errors import UserError
from kdepth.evaluation.predictions import FilePredictions
from kdepth.evaluation.scoring import Predictor, Sample
from kdepth.prediction import Prediction, Rig
from kdepth.runtime import ModelFacts

# Size at which predictions from files see images: they do not look at them.
_ANY_SIZE = (8, 8)


@dataclass(frozen=True)
class System:
    """What is scored.

    Attributes:
        name: the table's first column.
        predict: from samples to predictions.
        kind: "metric", "relative" or "disparity".
        size: rows and columns of its input.
        resize: method that brings images there.
        rig: the stereo rig that its disparities stand for, where it knows one.
        stereo: whether it looks at the right view too.
        row: facts for the results table.
    """

    name: str
    predict: Predictor
    kind: str
    size: tuple[int, int] = _ANY_SIZE
    resize: str = "area"
    rig: Rig | None = None
    stereo: bool = False
    row: dict[str, Any] = field(default_factory=dict)


def from_network(
    name: str,
    facts: ModelFacts,
    network: Callable[[np.ndarray], np.ndarray],
    rig_baseline: float | None = None,
) -> System:
    """A depth network.

    Args:
        name: for the table.
        facts: about the network.
        network: images float32 [B, h, w, 3] in [0, 1] -> its raw output [B, h, w] or [B, h, w, 1];
            where the facts say two frames, [B, h, w, 6]: left and right views.
        rig_baseline: metres, in the place of the training rig's.

    Returns:
        The system; a disparity stays one until a sample's camera turns it into metres.

    Raises:
        UserError: if the baseline is not positive.
    """
    kind = "disparity" if facts.output_name == "disparity" else facts.kind
    views = ("image", "stereo")[: facts.frames]

    def predict(samples: Sequence[Sample]) -> list[Prediction]:
        images = [np.concatenate([sample[view] for view in views], -1) for sample in samples]
        values = np.asarray(network(np.stack(images)), np.float32)
        values = values.reshape(len(samples), 1, *values.shape[1:3])
        return [Prediction(**{facts.output_name: v}, kind=kind, unit=facts.unit) for v in values]

    return System(
        name=name,
        predict=predict,
        kind=facts.kind,
        size=(facts.height, facts.image_width),
        resize=facts.resize,
        rig=_rig(rig_baseline, facts.rig),
        stereo="stereo" in views,
        row={
            "paper": facts.paper,
            "variant": facts.variant,
            "height": facts.height,
            "image_width": facts.image_width,
        },
    )


def from_file(
    name: str, path: Path, quantity: str, count: int, rig_baseline: float | None = None
) -> System:
    """Stored predictions of any system.

    Args:
        name: for the table.
        path: see `kdepth.evaluation.predictions`.
        quantity: "depth", "disparity" or "inverse_depth".
        count: images in the split.
        rig_baseline: metres that disparities stand for; None: the data set's own.

    Raises:
        UserError: if the file does not fit, or the baseline is not positive.
    """
    return System(
        name=name,
        predict=FilePredictions(path, quantity, count),
        kind="disparity" if quantity == "disparity" else "metric",
        rig=_rig(rig_baseline, None),
    )


def _rig(baseline: float | None, known: Rig | None) -> Rig | None:
    if baseline is None:
        return known
    if not baseline > 0:
        raise UserError(f"--rig_baseline={baseline:g}: must be a positive number of metres")
    return Rig(baseline, known.focal if known else math.nan)
