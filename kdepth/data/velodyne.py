"""Velodyne scans and their projection into a camera, number for number as the field does it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from kdepth.errors import UserError

LIDAR_VALUES = ("camera_z", "velodyne_x")
_FARTHEST = 1000.0  # metres; the scanner ends at 120, so a coordinate beyond this is damage


def read_scan(path: Path) -> np.ndarray:
    """Reads a scan.

    Args:
        path: float32 quadruples x, y, z (metres; forward, left, up), reflectance.

    Returns:
        [N, 4] float32.

    Raises:
        UserError: if the file is missing, truncated, empty or holds impossible coordinates; the
            message names it.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such velodyne scan") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    if not data or len(data) % 16:
        raise UserError(
            f"{path}: truncated velodyne scan ({len(data)} bytes, not a multiple of 16); "
            "restore or remove it"
        )
    points = np.frombuffer(data, dtype="<f4").reshape(-1, 4)
    if not (points.min() > -_FARTHEST and points.max() < _FARTHEST):  # true for NaN as well
        raise UserError(
            f"{path}: corrupt velodyne scan (impossible coordinates); restore or remove it"
        )
    return points


def project_scan(
    points: np.ndarray, projection: np.ndarray, width: int, height: int, value: str = "camera_z"
) -> np.ndarray:
    """Projects a scan to a sparse depth map.

    The pixel is round(projection) - 1, as in KITTI's MATLAB kit. Where points share a pixel the
    smallest value stays. The field's code finds such points by row * (width - 1) + column, which
    also pairs the last column of a row with the first column of the next; that is kept, because
    published numbers contain it.

    Args:
        points: [N, 4], x, y, z in metres; what lies behind the scanner is dropped.
        projection: [3, 4], velodyne -> pixels.
        width: of the depth map.
        height: of the depth map.
        value: "camera_z" (depth along the camera's axis) or "velodyne_x" (forward distance from the
            scanner, which the evaluations of monodepth, SfMLearner and monodepth2 use).

    Returns:
        [height, width] float32, metres, 0 = not measured.

    Source: the lidar projection that monodepth, SfMLearner and monodepth2 share.
    """
    if value not in LIDAR_VALUES:
        raise ValueError(f"`value` must be one of {', '.join(LIDAR_VALUES)}, received {value!r}")
    homogeneous = points.take(np.flatnonzero(points[:, 0] >= 0), axis=0).astype(np.float64)
    homogeneous[:, 3] = 1.0  # in the place of the reflectance
    x, y, z = projection @ homogeneous.T
    with np.errstate(divide="ignore", invalid="ignore"):
        columns, rows = np.rint(x / z) - 1, np.rint(y / z) - 1
    inside = np.flatnonzero((columns >= 0) & (rows >= 0) & (columns < width) & (rows < height))
    columns, rows = columns[inside].astype(np.int64), rows[inside].astype(np.int64)
    values = (z if value == "camera_z" else homogeneous[:, 0])[inside]
    values = np.maximum(values, 0).astype(np.float32)

    depth = np.zeros(height * width, np.float32)
    pixels = rows * width + columns
    depth[pixels] = values
    # Sorting all points to find the few that share a pixel would take a quarter of the time.
    shared, numbers = pixels - rows, np.arange(len(pixels))
    first = np.empty(height * width, np.int64)
    first[shared[::-1]] = numbers[::-1]
    leader = first[shared]
    others = np.flatnonzero(leader != numbers)
    leader = leader[others]
    np.minimum.at(values, leader, values[others])
    depth[pixels[leader]] = values[leader]
    return depth.reshape(height, width)


@dataclasses.dataclass(frozen=True)
class VelodyneScan:
    """Depth from a scan (a `DepthSource`).

    Attributes:
        path: the scan.
        projection: [3, 4], velodyne -> pixels.
        width: of the image.
        height: of the image.
        value: "camera_z" or "velodyne_x".
    """

    path: Path
    projection: np.ndarray
    width: int
    height: int
    value: str = "camera_z"

    def load(self) -> np.ndarray:
        """Returns [height, width] float32, metres, 0 = not measured."""
        return project_scan(
            read_scan(self.path), self.projection, self.width, self.height, self.value
        )
