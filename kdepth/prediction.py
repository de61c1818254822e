"""What leaves the package: a depth map that knows what it is.

Nothing in kdepth hands out a bare array called "depth": a `Prediction` says which quantity it
holds, whether it is metric, relative or a disparity, and in which unit. NumPy only, so the runtime
without TensorFlow uses it too.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
from PIL import Image

from kdepth.errors import UserError
from kdepth.geometry.camera import Camera

QUANTITIES = ("depth", "disparity", "inverse_depth")
KINDS = ("metric", "relative", "disparity")

# Below this a disparity (fraction of the width) or an inverse depth counts as "infinitely far":
# float32 keeps it exact enough.
SMALLEST_INVERSE = 1e-6


def file_name_of(quantity: str, kind: str) -> str:
    """What files and tensors call a quantity: depth up to a factor must not pass for metres."""
    return "relative_depth" if (quantity, kind) == ("depth", "relative") else quantity


class Rig(NamedTuple):
    """The stereo rig a network was trained with: what turns its disparities into metres.

    Attributes:
        baseline: metres between the two cameras.
        focal: horizontal focal length as a fraction of the image width (fx / W).
    """

    baseline: float
    focal: float


@dataclasses.dataclass(frozen=True)
class Prediction:
    """Depth maps of a batch of images.

    Exactly one of the three arrays is given; each is float32 [B, H, W].

    Attributes:
        depth: z along the optical axis, in `unit`.
        disparity: positive fraction of the image width, of the left view.
        inverse_depth: 1 / depth, up to the network's own scale where `kind` is "relative".
        kind: "metric" (metres), "relative" (right up to one unknown factor) or "disparity" (metric
            once the camera is known).
        unit: "m", "1/m", "relative" or "fraction of the width".
    """

    depth: np.ndarray | None = None
    disparity: np.ndarray | None = None
    inverse_depth: np.ndarray | None = None
    kind: str = "relative"
    unit: str = "relative"

    def __post_init__(self) -> None:
        given = [name for name in QUANTITIES if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"exactly one of {QUANTITIES} must be given; received {given}")
        if self.kind not in KINDS:
            raise ValueError(f"`kind` must be one of {KINDS}; received {self.kind!r}")
        if self.values.ndim != 3:
            raise ValueError(f"`{given[0]}` must be [B, H, W]; received shape {self.values.shape}")

    @property
    def quantity(self) -> str:
        """Which of the three arrays is given."""
        return next(name for name in QUANTITIES if getattr(self, name) is not None)

    @property
    def values(self) -> np.ndarray:
        """The array that is given, [B, H, W]."""
        return getattr(self, self.quantity)

    def with_values(self, values: np.ndarray) -> Prediction:
        """The same quantity, kind and unit with other values."""
        return dataclasses.replace(self, **{self.quantity: np.asarray(values, np.float32)})

    def resize(self, height: int, width: int, space: str = "inverse") -> Prediction:
        """Maps at another size.

        Args:
            height: rows wanted.
            width: columns wanted.
            space: what is interpolated bilinearly: "inverse" (inverse depth or disparity, as Godard
                2017 evaluates), "same" (the quantity itself, as Zhou 2017 does with depth) or
                "nearest" (no interpolation, Eigen 2014).

        Returns:
            A prediction of the same quantity, kind and unit. Disparities are fractions of the
            width, so their values stay.
        """
        if space not in ("inverse", "same", "nearest"):
            raise ValueError(f"`space` must be 'inverse', 'same' or 'nearest'; received {space!r}")
        values = self.values.astype(np.float32)
        if values.shape[1:] == (height, width):
            return self
        invert = space == "inverse" and self.quantity == "depth"
        if invert:
            values = 1.0 / np.maximum(values, SMALLEST_INVERSE)
        method = Image.Resampling.NEAREST if space == "nearest" else Image.Resampling.BILINEAR
        resized = np.stack([_resize_map(value, height, width, method) for value in values])
        return self.with_values(1.0 / np.maximum(resized, SMALLEST_INVERSE) if invert else resized)

    def to_depth(self, camera: Camera | None = None, rig: Rig | None = None) -> Prediction:
        """The same maps as depth.

        Args:
            camera: the camera that took the images (any size). Disparities need it to become
                metres.
            rig: the stereo rig of the training data; with a camera its baseline gives metres.

        Returns:
            depth in metres where the camera and the rig are known: fx / W * baseline / disparity;
            else 1 / inverse depth, of the same kind.

        Raises:
            ValueError: if this is a disparity and the camera or the rig is not given.
            UserError: if its camera's focal length is not known (NaN).
        """
        if self.quantity == "depth":
            return self
        inverse = np.maximum(self.values, SMALLEST_INVERSE)
        if self.quantity == "inverse_depth":
            unit = "m" if self.kind == "metric" else self.unit
            return Prediction(depth=1.0 / inverse, kind=self.kind, unit=unit)
        if camera is None or rig is None:
            raise ValueError(
                "a disparity becomes metres only with the camera (`camera=`) and the training rig (`rig=`);"
                f" received camera={camera}, rig={rig}"
            )
        focal = float(camera.fx) / float(camera.width)
        if not np.isfinite(focal):
            raise UserError(
                "a disparity becomes metres only with the camera's focal length, and the data set "
                "does not know it; --reader_option=fx=<pixels> tells it where the data is your own"
            )
        return Prediction(
            depth=np.float32(focal * rig.baseline) / inverse.astype(np.float32),
            kind="metric",
            unit="m",
        )


def _resize_map(
    values: np.ndarray, height: int, width: int, method: Image.Resampling
) -> np.ndarray:
    """One [H, W] map; enlarging is plain bilinear (half-pixel centres, clamped borders)."""
    return np.asarray(Image.fromarray(values).resize((width, height), method))
