"""KITTI's calibration files: `key: numbers` lines, named errors, cameras and baselines."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kdepth.errors import UserError
from kdepth.geometry.camera import Camera


class Calibration:
    """The matrices of one calibration file.

    Args:
        path: a text file with lines `key: number number ...`; lines that hold other things (dates)
            are skipped.

    Raises:
        UserError: if the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            raise UserError(
                f"{path}: calibration file missing; copy it from the data set's calibration archive"
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: the calibration file cannot be read: {error}") from None
        self._values: dict[str, np.ndarray] = {}
        for line in lines:
            key, _, numbers = line.partition(":")
            try:
                self._values[key.strip()] = np.array([float(n) for n in numbers.split()])
            except ValueError:
                continue

    def matrix(self, key: str, *shape: int) -> np.ndarray:
        """Returns the numbers of `key`, float64, in a shape.

        Raises:
            UserError: if the key is missing or has another count of numbers.
        """
        values = self._values.get(key)
        if values is None or values.size != np.prod(shape) or not np.isfinite(values).all():
            found = "missing" if values is None else f"{values.size} numbers, or not finite"
            raise UserError(
                f"{self.path}: needs `{key}` with {np.prod(shape)} numbers ({found}); "
                "restore the file from the data set's calibration archive"
            )
        return values.reshape(shape)

    def has(self, key: str) -> bool:
        """Tells whether the file has a key."""
        return key in self._values

    def projection(self, key: str) -> np.ndarray:
        """Returns the rectified projection [3, 4] of `key`.

        Raises:
            UserError: if it is missing or no projection.
        """
        projection = self.matrix(key, 3, 4)
        if not (projection[[0, 1], [0, 1]] > 0).all() or (projection[2, :3] != [0, 0, 1]).any():
            raise UserError(
                f"{self.path}: `{key}` is no projection of a rectified camera; restore the file "
                "from the data set's calibration archive"
            )
        return projection

    def rotation(self, key: str) -> np.ndarray:
        """Returns the rotation of `key` as a 4x4 transform.

        Raises:
            UserError: if it is missing or no rotation.
        """
        transform = np.eye(4)
        transform[:3, :3] = self.matrix(key, 3, 3)
        if not is_rotation(transform[:3, :3]):
            raise UserError(
                f"{self.path}: `{key}` is no rotation; restore the file from the data set's "
                "calibration archive"
            )
        return transform

    def rigid(self) -> np.ndarray:
        """Returns the 4x4 transform of the keys `R` and `T`."""
        transform = self.rotation("R")
        transform[:3, 3] = self.matrix("T", 3)
        return transform


def is_rotation(matrix: np.ndarray) -> bool:
    """Tells whether a 3x3 matrix is a rotation, as exactly as files give it."""
    return np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-2) and np.linalg.det(matrix) > 0


def camera_of(projection: np.ndarray, width: int, height: int) -> Camera:
    """Returns the camera of a rectified 3x4 projection."""
    return Camera.from_matrix(projection[:, :3], width, height)


def camera_shift(projection: np.ndarray) -> np.ndarray:
    """Returns the 4x4 transform: rectified reference camera -> camera of a 3x4 projection.

    All rectified cameras look the same way, so it is a translation: projection = K [I | t].
    """
    transform = np.eye(4)
    transform[:3, 3] = np.linalg.solve(projection[:, :3], projection[:, 3])
    return transform


def baseline_of(left: np.ndarray, right: np.ndarray, path: Path) -> float:
    """Returns the distance of two rectified cameras, metres.

    Args:
        left: 3x4 projection of the left camera.
        right: 3x4 projection of the right camera.
        path: their calibration file, for the error.

    Raises:
        UserError: if the right camera does not lie to the right of the left one.
    """
    baseline = float(camera_shift(left)[0, 3] - camera_shift(right)[0, 3])
    if not baseline > 0:
        raise UserError(
            f"{path}: the right camera lies {-baseline:.3f} m left of the left one; "
            "are the projections swapped?"
        )
    return baseline
