"""Point clouds: from a depth map and the camera of the same size, as binary PLY files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kdepth.files import atomic_path
from kdepth.geometry.camera import Camera

_VERTEX = np.dtype(
    [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1")]
)
_TYPES = {"f": "float", "u": "uchar"}  # NumPy's kinds as PLY calls them


def point_cloud(
    depth: np.ndarray, camera: Camera, image: np.ndarray, max_depth: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Lifts every pixel with a depth to a point.

    Args:
        depth: [H, W] z along the optical axis; 0 and what is not finite gives no point.
        camera: of an image of exactly this size.
        image: [H, W, 3] uint8 RGB, the points' colours.
        max_depth: farther points are left out; None: none are.

    Returns:
        Points [N, 3] float32 in the camera frame (x right, y down, z forward), in the depth's unit,
        and their colours [N, 3] uint8, row by row.

    Raises:
        ValueError: if the sizes differ.
    """
    if (camera.height, camera.width) != depth.shape or image.shape[:2] != depth.shape:
        raise ValueError(
            f"`depth`, `camera` and `image` must be of one size; received {depth.shape},"
            f" {(camera.height, camera.width)} and {image.shape[:2]}: resize the camera"
        )
    seen = np.isfinite(depth) & (depth > 0)
    if max_depth is not None:
        seen &= depth <= max_depth
    y, x = np.nonzero(seen)
    points = camera.backproject(x, y, depth[seen].astype(np.float64))
    return np.stack(points, axis=1).astype(np.float32), image[seen]


def write(path: Path, points: np.ndarray, colors: np.ndarray, comments: Sequence[str] = ()) -> None:
    """Writes points as a binary little-endian PLY file, atomically.

    Args:
        path: the file.
        points: [N, 3].
        colors: [N, 3] uint8 RGB.
        comments: lines of plain text for its header.
    """
    vertices = np.empty(len(points), _VERTEX)
    for values, names in ((points, "x y z"), (colors, "red green blue")):
        for column, name in enumerate(names.split()):
            vertices[name] = values[:, column]
    header = [
        "ply",
        "format binary_little_endian 1.0",
        *(f"comment {comment}" for comment in comments),
        f"element vertex {len(points)}",
        *(f"property {_TYPES[_VERTEX[name].kind]} {name}" for name in _VERTEX.names),
        "end_header",
    ]
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.write("".join(f"{line}\n" for line in header).encode("ascii"))
        file.write(vertices.tobytes())
