"""One predicted picture, as the writers take it."""

from __future__ import annotations

import dataclasses

import numpy as np

from kdepth.geometry.camera import Camera
from kdepth.prediction import Prediction, file_name_of


@dataclasses.dataclass(frozen=True)
class Result:
    """A picture, what was predicted for it, and the camera that took it.

    Attributes:
        name: of the result's files.
        image: [H, W, 3] uint8 RGB.
        prediction: depth or disparity, [1, H, W].
        camera: of this image, at its size; None if it is not known.
        time: seconds since the first frame.
    """

    name: str
    image: np.ndarray
    prediction: Prediction
    camera: Camera | None = None
    time: float = 0.0

    @property
    def values(self) -> np.ndarray:
        """The map, [H, W] float32."""
        return self.prediction.values[0]

    @property
    def quantity(self) -> str:
        """How the files are called: "depth" (metres), "relative_depth" or "disparity"."""
        return file_name_of(self.prediction.quantity, self.prediction.kind)
