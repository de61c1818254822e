"""Does an exported file compute what its model computes? Each is run and compared with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kdepth.exporters.graph import ExportedNetwork
from kdepth.runtime import ModelFacts, Network, open_network, prepare_image

TOLERANCES = {"float32": 1e-4, "float16": 1e-2}


class ParityError(RuntimeError):
    """An exported file does not compute what its model computes; the message is one line."""


@dataclasses.dataclass(frozen=True)
class Parity:
    """How far an artefact is from its model.

    Attributes:
        value: max|a - b| / (max b - min b), the worst of all pictures.
        tolerance: what it had to stay below.
    """

    value: float
    tolerance: float


def parity(values: np.ndarray, reference: np.ndarray) -> float:
    """max|a - b| / (max b - min b) of two arrays.

    Of a constant b (a network that was not trained) it is max|a - b| / max|b|.

    Args:
        values: a, any shape.
        reference: b, of the same shape.

    Returns:
        0 where both are equal, inf where one is not finite.
    """
    values, reference = np.asarray(values, np.float64), np.asarray(reference, np.float64)
    if values.shape != reference.shape:
        raise ValueError(f"`values` must have shape {reference.shape}; received {values.shape}")
    if not (np.isfinite(values).all() and np.isfinite(reference).all()):
        return float("inf")
    largest = float(np.abs(values - reference).max())
    span = float(reference.max() - reference.min())
    if largest == 0.0:
        return 0.0
    scale = span if span > 0.0 else float(np.abs(reference).max())
    return largest / scale if scale > 0.0 else float("inf")


def keras_network(network: ExportedNetwork) -> Network:
    """What Keras computes, as a function of arrays, like those of `kdepth.runtime`."""
    import tensorflow as tf

    def run(images: np.ndarray) -> np.ndarray:
        return np.asarray(network.outputs(tf.constant(images, tf.float32))[network.output_name])

    return run


def verify(
    path: Path, facts: ModelFacts, images: np.ndarray, reference: np.ndarray, precision: str
) -> Parity:
    """Runs an exported file and compares it with its model.

    Args:
        path: the artefact.
        facts: of the model.
        images: float32 [N, h, w, C] in [0, 1], run as one batch.
        reference: the Keras model's output for them, [N, ...].
        precision: "float32" or "float16"; chooses the tolerance.

    Returns:
        How far they are apart.

    Raises:
        ParityError: if that is beyond the tolerance, or a number is not finite.
    """
    tolerance = TOLERANCES[precision]
    if not np.isfinite(reference).all():
        raise ParityError(
            f"the model itself predicts NaN or inf on {_bad(reference)}: nothing was exported"
        )
    values = open_network(path, facts)(images)
    if values.shape != reference.shape:
        raise ParityError(f"{path.name} returns shape {values.shape}, the model {reference.shape}")
    if not np.isfinite(values).all():
        raise ParityError(f"{path.name} returns NaN or inf on {_bad(values)}: nothing was exported")
    worst = max(parity(a, b) for a, b in zip(values, reference))
    if worst > tolerance:
        span = max(float(np.ptp(b)) for b in reference)
        flat = span < 1e-3 * float(np.abs(reference).max())
        hint = (
            f" (its prediction is almost constant, range {span:.1e}: was it trained?)"
            if flat
            else ""
        )
        raise ParityError(
            f"{path.name} differs from the Keras model by {worst:.1e} of the range, more than"
            f" {tolerance:.0e}{hint}:"
            " nothing was exported"
        )
    return Parity(worst, tolerance)


def prepare_pictures(facts: ModelFacts, pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures [H, W, 3] of any sizes, uint8 or float in [0, 1], as one batch [N, h, w, C].

    A pose network gets each picture with those that follow it, after the last one the first.
    """
    images = np.concatenate([prepare_image(facts, picture) for picture in pictures])
    return np.concatenate([np.roll(images, -k, axis=0) for k in range(facts.frames)], axis=-1)


def pattern_pictures(height: int, width: int, count: int = 4, seed: int = 0) -> list[np.ndarray]:
    """Test patterns for where no picture is at hand; the same in every run.

    Smooth light, blocks of any size and grain.

    Returns:
        float32 [height, width, 3] in [0, 1] each.
    """
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j].astype(np.float32)
    pictures = []
    for _ in range(count):
        slope = generator.uniform(-0.5, 0.5, (2, 3)).astype(np.float32)
        picture = 0.5 + (rows[..., None] - 0.5) * slope[0] + (columns[..., None] - 0.5) * slope[1]
        for _ in range(24):
            top, left = generator.integers(0, height), generator.integers(0, width)
            tall, wide = (
                generator.integers(1, 2 + height // 2),
                generator.integers(1, 2 + width // 3),
            )
            picture[top : top + tall, left : left + wide] = generator.uniform(0, 1, 3)
        grain = generator.normal(0, 0.03, picture.shape)
        pictures.append(np.clip(picture + grain, 0, 1).astype(np.float32))
    return pictures


def _bad(values: np.ndarray) -> str:
    finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    return f"{int((~finite).sum())} of {len(values)} pictures"
