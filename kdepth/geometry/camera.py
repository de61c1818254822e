"""Pinhole cameras that know the size of the image they belong to.

Pixel centres lie on integers (x = 0..W-1, y = 0..H-1), so the image covers [-0.5, W-0.5]. A resize
by s therefore moves the principal point to (cx + 0.5) s - 0.5 and a mirror moves it to W - 1 - cx.
The papers' releases wrote s cx and W - cx; `released=True` gives those.

Only operators and indexing are used: NumPy arrays and the tensors of any backend work, inside
`tf.data` as well.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

# 3x3 masks of a matrix' rows and of the principal point's two entries. They are float32 so that
# NumPy keeps the dtype of the matrix that they meet.
_ROW_X, _ROW_Y, _ROW_1 = (np.float32(np.outer(row, np.ones(3))) for row in np.eye(3))
_CX, _CY = (np.float32(np.outer(row, [0, 0, 1])) for row in np.eye(3)[:2])


@dataclasses.dataclass(frozen=True)
class Camera:
    """A pinhole camera without skew or distortion, and its image size.

    Attributes:
        fx: horizontal focal length, pixels; a number or a tensor (then the other three have its
            shape).
        fy: vertical focal length, pixels.
        cx: column of the principal point, pixels.
        cy: row of the principal point, pixels.
        width: image width, pixels.
        height: image height, pixels.
    """

    fx: Any
    fy: Any
    cx: Any
    cy: Any
    width: int
    height: int

    @classmethod
    def from_matrix(cls, matrix: Any, width: int, height: int) -> Camera:
        """Reads fx, fy, cx and cy from a matrix.

        Args:
            matrix: [..., 3, 3] array or tensor; a [..., 3, 4] projection works as well. Batched
                matrices give fields of shape [...].
            width: image width, pixels.
            height: image height, pixels.

        Returns:
            The camera; its fields are Python floats when `matrix` is a single NumPy matrix.
        """
        fields = [matrix[..., i, j] for i, j in ((0, 0), (1, 1), (0, 2), (1, 2))]
        if isinstance(matrix, np.ndarray) and matrix.ndim == 2:
            fields = [float(field) for field in fields]
        return cls(*fields, width=width, height=height)

    def matrix(self) -> np.ndarray:
        """Returns the intrinsic matrix [3, 3], float64; for cameras whose fields are numbers."""
        return np.array(
            [[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]], dtype=np.float64
        )

    def resize(self, width: int, height: int, released: bool = False) -> Camera:
        """Returns the camera of the image resized to width x height.

        Args:
            width: new width, pixels.
            height: new height, pixels.
            released: scale the principal point without the half-pixel term, as the papers' releases
                do.
        """
        scale_x, scale_y = width / self.width, height / self.height
        half = 0.0 if released else 0.5
        return Camera(
            self.fx * scale_x,
            self.fy * scale_y,
            (self.cx + half) * scale_x - half,
            (self.cy + half) * scale_y - half,
            width,
            height,
        )

    def crop(self, x: Any, y: Any, width: int, height: int) -> Camera:
        """Returns the camera of the crop whose top left pixel is (x, y)."""
        return Camera(self.fx, self.fy, self.cx - x, self.cy - y, width, height)

    def flip(self, released: bool = False) -> Camera:
        """Returns the camera of the mirrored image (left and right swapped).

        Args:
            released: W - cx instead of W - 1 - cx, as the papers' releases do.
        """
        last = self.width if released else self.width - 1
        return dataclasses.replace(self, cx=last - self.cx)

    def backproject(self, x: Any, y: Any, depth: Any) -> tuple[Any, Any, Any]:
        """Lifts pixels to points of the camera frame (x right, y down, z forward).

        Args:
            x: columns, pixels.
            y: rows, pixels.
            depth: z of the points, metres; broadcasts against x and y.

        Returns:
            (X, Y, Z) in metres.
        """
        return (x - self.cx) / self.fx * depth, (y - self.cy) / self.fy * depth, depth

    def project(self, x: Any, y: Any, z: Any) -> tuple[Any, Any]:
        """Projects points (x, y, z) of the camera frame, metres, z != 0, to pixels (x, y)."""
        return self.fx * (x / z) + self.cx, self.fy * (y / z) + self.cy


def resize_matrix(matrix: Any, scale_x: Any, scale_y: Any, released: bool = False) -> Any:
    """Intrinsic matrices of images resized by a factor.

    Args:
        matrix: [..., 3, 3].
        scale_x: new width / old width: a number or a tensor that broadcasts against `matrix`, e.g.
            [B, 1, 1].
        scale_y: new height / old height, likewise.
        released: no half-pixel term in the principal point. For level s of a pyramid the releases'
            matrix is `resize_matrix(K, 0.5**s, 0.5**s, released=True)`.

    Returns:
        [..., 3, 3].
    """
    scaled = matrix * (_ROW_X * scale_x + _ROW_Y * scale_y + _ROW_1)
    if released:
        return scaled
    return scaled + (_CX * (0.5 * scale_x - 0.5) + _CY * (0.5 * scale_y - 0.5))


def crop_matrix(matrix: Any, x: Any, y: Any) -> Any:
    """Intrinsic matrices of crops whose top left pixel is (x, y); shapes as in `resize_matrix`."""
    return matrix - (_CX * x + _CY * y)


def flip_matrix(matrix: Any, width: Any, released: bool = False) -> Any:
    """Intrinsic matrices [..., 3, 3] of mirrored images; `released` as in `Camera.flip`."""
    last = width if released else width - 1
    return matrix * (1 - 2 * _CX) + _CX * last
