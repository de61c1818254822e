"""Exported models as objects that take images of any size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kdepth.errors import UserError
from kdepth.geometry import pose
from kdepth.geometry.camera import Camera
from kdepth.prediction import Prediction, Rig
from kdepth.runtime.facts import ModelFacts
from kdepth.runtime.files import checked_sha256, description_path, read_description
from kdepth.runtime.images import predict_image, prepare_image
from kdepth.runtime.interpreters import open_network


class DepthModel:
    """An exported depth network that takes images of any size.

    Attributes:
        path: the file.
        facts: what it is.
        description: the whole of the JSON beside it, or of what the file says itself.
        sha256: the file's digest.
    """

    def __init__(
        self, path: str | Path, *, threads: int | None = None, xnnpack: bool = True
    ) -> None:
        """Opens an exported model.

        Args:
            path: a `.tflite` or `.onnx` file or a `_savedmodel` folder that `kdepth export` wrote.
            threads: of the interpreter; its own choice by default.
            xnnpack: whether LiteRT may use its fast CPU kernels; False takes its plain ones.

        Raises:
            UserError: if the file or its description is missing, damaged or of another tool, or the
                interpreter is not installed.
        """
        self.path = Path(path)
        self.description, self.facts, self.sha256 = _of_part(self.path, "depth")
        self._network = open_network(self.path, self.facts, threads, xnnpack)

    def __call__(
        self, image: np.ndarray, camera: Camera | None = None, rig: Rig | None = None
    ) -> Prediction:
        """Depth of one image.

        Args:
            image: [H, W, 3] RGB, uint8 or float in [0, 1].
            camera: the camera that took it; networks that learned from stereo then give metres.
            rig: in the place of the recorded training rig.

        Returns:
            A prediction [1, H, W] of the image's size.

        Raises:
            UserError: if the image has another shape, or metres are asked of a model without a
                known rig.
        """
        return predict_image(self._network, self.facts, image, camera, rig)

    def run(self, images: np.ndarray) -> np.ndarray:
        """The network alone, at its own size.

        Args:
            images: [B, h, w, 3] in [0, 1]; [B, h, w, 6] where `facts.frames` is 2: left and right.

        Returns:
            Its output, float32 [B, h, w, 1].

        Raises:
            UserError: if the images have another size.
        """
        size = self.facts.input_shape
        if images.ndim != 4 or images.shape[1:] != size:
            raise UserError(
                f"{self.path} takes images [B, {size[0]}, {size[1]}, {size[2]}]; received"
                f" {list(images.shape)}"
            )
        return self._network(np.asarray(images, np.float32))


class PoseModel:
    """An exported pose network: camera motion between frames of any size.

    Attributes:
        path: the file.
        facts: what it is.
        description: the whole of the JSON beside it, or of what the file says itself.
        sha256: the file's digest.
    """

    def __init__(
        self, path: str | Path, *, threads: int | None = None, xnnpack: bool = True
    ) -> None:
        """Opens an exported pose network; arguments and errors as of `DepthModel`."""
        self.path = Path(path)
        self.description, self.facts, self.sha256 = _of_part(self.path, "pose")
        self._network = open_network(self.path, self.facts, threads, xnnpack)

    def __call__(self, frames: Sequence[np.ndarray]) -> np.ndarray:
        """Motion between consecutive frames.

        Args:
            frames: `facts.frames` images [H, W, 3] RGB in time order, uint8 or float in [0, 1].

        Returns:
            [N - 1, 4, 4] float64, T_{k+1 <- k}: takes points of frame k's camera to frame k + 1's.
            Translations are in the units of the paper's relative depth.

        Raises:
            UserError: if there is another number of frames, or one is no image.
        """
        if len(frames) != self.facts.frames:
            raise UserError(
                f"{self.path} takes {self.facts.frames} frames at once; received {len(frames)}"
            )
        stacked = np.concatenate([prepare_image(self.facts, frame) for frame in frames], axis=-1)
        vectors = np.asarray(self._network(stacked), np.float64)
        return pose.consecutive(vectors, self.facts.target)[0]


class Described(NamedTuple):
    """What is known of an exported file before it is opened.

    Attributes:
        description: the whole of the JSON beside it, or of what the file says itself.
        facts: what it holds.
        sha256: its digest, which is the one that the JSON names.
    """

    description: dict[str, Any]
    facts: ModelFacts
    sha256: str


def described(path: Path) -> Described:
    """What is known of an exported file, checked against its digest.

    Raises:
        UserError: if the file or its description is missing, damaged or of something else.
    """
    description = read_description(path)
    beside = description_path(path)
    facts = ModelFacts.from_dict(description, beside if beside.exists() else path)
    return Described(description, facts, checked_sha256(path, description))


def _of_part(path: Path, part: str) -> Described:
    """As `described`, of a file that holds `part`."""
    found = described(path)
    if found.facts.part != part:
        raise UserError(
            f"{path} holds a {found.facts.part} network, not a {part} network:"
            f" open it with kdepth.runtime.{found.facts.part.capitalize()}Model"
        )
    return found
