"""Does an exported file compute what its model computes? Each is run and compared with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kdepth.exporters.graph import ExportedNetwork
from kdepth.runtime import ModelFacts, Network, open_network, predict_image, prepare_image

# Of the worst pixel. 8 bits lose a few hundredths there; a range that was measured wrongly, a half, as
# does a network that was wired wrongly.
TOLERANCES = {
    "float32": 1e-4,
    "float16": 1e-2,
    "dynamic": 0.05,
    "int8": 0.2,
    "int8_float_io": 0.2,
    "int8_float_head": 0.1,
}


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


@dataclasses.dataclass(frozen=True)
class Reference:
    """What Keras makes of pictures.

    Attributes:
        pictures: [H, W, 3] of any sizes, uint8 or float in [0, 1].
        values: of each picture, its map at the picture's size; of a network that looks at several
            images at once its own output.
    """

    pictures: Sequence[np.ndarray]
    values: Sequence[np.ndarray]

    @classmethod
    def of(
        cls, network: ExportedNetwork, pictures: Sequence[np.ndarray], input_type: str = "float"
    ) -> Reference:
        """Runs the Keras model.

        Args:
            network: from `exported_network`.
            pictures: see the attribute.
            input_type: of the files that shall be compared: those of raw pixels see 8 bits, and so
                does Keras then.

        Raises:
            ParityError: if it predicts NaN or inf.
        """
        values = whole_path(keras_network(network, input_type), network.facts, pictures)
        if bad := _bad(values):
            raise ParityError(
                f"the model itself predicts NaN or inf on {bad}: nothing was exported"
            )
        return cls(pictures, values)


def keras_network(network: ExportedNetwork, input_type: str = "float") -> Network:
    """What Keras computes, as a function of arrays, like those of `kdepth.runtime`."""
    import tensorflow as tf

    def run(images: np.ndarray) -> np.ndarray:
        if input_type == "uint8":
            images = np.round(images * 255.0) / 255.0
        outputs = network.outputs(tf.constant(images, tf.float32))
        return np.asarray(outputs[network.facts.output_tensor])

    return run


def whole_path(
    network: Network, facts: ModelFacts, pictures: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """What a user gets of each picture: resized, run, resized back; see `Reference.values`."""
    if facts.part == "depth" and facts.frames == 1:
        return [predict_image(network, facts, picture).values for picture in pictures]
    return [network(images[None]) for images in prepare_pictures(facts, pictures)]


def verify(path: Path, facts: ModelFacts, reference: Reference, precision: str) -> Parity:
    """Runs an exported file and compares it with its model.

    Args:
        path: the artefact.
        facts: of the model.
        reference: what Keras makes of the pictures.
        precision: one of `TOLERANCES`; chooses the tolerance.

    Returns:
        How far they are apart.

    Raises:
        ParityError: if that is beyond the tolerance, or a number is not finite.
    """
    tolerance = TOLERANCES[precision]
    worst = measure(path, facts, reference)
    if worst > tolerance:
        raise ParityError(
            f"{path.name} differs from the Keras model by {worst:.1e} of the range, more than"
            f" {tolerance:.0e}{_hint(reference, precision)}: nothing was exported"
        )
    return Parity(worst, tolerance)


def measure(path: Path, facts: ModelFacts, reference: Reference) -> float:
    """How far an exported file is from its model: `parity` of the worst picture.

    Raises:
        ParityError: if a number is not finite or the shape is another.
    """
    values = whole_path(open_network(path, facts), facts, reference.pictures)
    for a, b in zip(values, reference.values):
        if a.shape != b.shape:
            raise ParityError(f"{path.name} returns shape {a.shape}, the model {b.shape}")
    if bad := _bad(values):
        raise ParityError(f"{path.name} returns NaN or inf on {bad}: nothing was exported")
    return max(parity(a, b) for a, b in zip(values, reference.values))


def _hint(reference: Reference, precision: str) -> str:
    span = max(float(np.ptp(b)) for b in reference.values)
    if span < 1e-3 * max(float(np.abs(b).max()) for b in reference.values):
        return f" (its prediction is almost constant, range {span:.1e}: was it trained?)"
    if precision in ("int8", "int8_float_io"):
        return " (int8_float_head keeps the last layers in float)"
    return ""


def prepare_pictures(facts: ModelFacts, pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures [H, W, 3] of any sizes, uint8 or float in [0, 1], as one batch [N, h, w, C].

    A network that looks at several frames at once takes pictures that hold them all on channels, or
    gets each single picture with those that follow it, after the last one the first.
    """
    images = [
        np.concatenate(
            [prepare_image(facts, p[..., k : k + 3]) for k in range(0, p.shape[-1], 3)], axis=-1
        )
        for p in pictures
    ]
    batch = np.concatenate(images)
    if batch.shape[-1] == 3 * facts.frames:
        return batch
    return np.concatenate([np.roll(batch, -k, axis=0) for k in range(facts.frames)], axis=-1)


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


def _bad(values: Sequence[np.ndarray]) -> str:
    """How many pictures' values are not all finite, in words; "" if none."""
    bad = sum(not np.isfinite(value).all() for value in values)
    return f"{bad} of {len(values)} pictures" if bad else ""
