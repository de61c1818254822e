"""Files of one picture: colour map, 16-bit PNG, array, point cloud.

Each function writes one file atomically into a folder and returns what the summary says about it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kdepth.data.image import DEPTH_SCALE, write_depth_png, write_image
from kdepth.files import atomic_path
from kdepth.output import ply
from kdepth.output.result import Result


def write_color(folder: Path, result: Result, color: np.ndarray) -> dict[str, Any]:
    """Writes `<name>_color.png`.

    Args:
        folder: for the file.
        result: what was predicted.
        color: its colour map, uint8 [H, W, 3].
    """
    path = folder / f"{result.name}_color.png"
    write_image(path, color)
    return {"color": path.name}


def write_npy(folder: Path, result: Result) -> dict[str, Any]:
    """Writes `<name>_<quantity>.npy`, float32 [H, W]."""
    path = folder / f"{result.name}_{result.quantity}.npy"
    with atomic_path(path) as temporary:
        np.save(temporary, result.values.astype(np.float32), allow_pickle=False)
    return {"npy": path.name}


def write_png16(folder: Path, result: Result) -> dict[str, Any]:
    """Writes `<name>_<quantity>.png`: steps of metres, of pixels of disparity, or of relative depth."""
    values, unit = result.values, result.prediction.unit
    if result.quantity == "disparity":
        values, unit = values * values.shape[1], "pixels"
    scale = _png_scale(result.prediction.kind, values)
    path = folder / f"{result.name}_{result.quantity}.png"
    write_depth_png(path, values * (scale / DEPTH_SCALE))
    return {"png16": path.name, "png16_scale": scale, "png16_unit": unit}


def write_ply(folder: Path, result: Result, max_depth: float | None = None) -> dict[str, Any]:
    """Writes `<name>_points.ply`, `_relative_points.ply` where the unit is not known.

    Args:
        folder: for the file.
        result: depth, with the camera of the picture.
        max_depth: farther points are left out; None: none are.
    """
    relative = result.prediction.kind == "relative"
    path = folder / f"{result.name}_{'relative_' if relative else ''}points.ply"
    camera = result.camera
    points, colors = ply.point_cloud(result.values, camera, result.image, max_depth)
    comments = (
        "camera frame: x right, y down, z forward",
        "unit: unknown, right up to one factor" if relative else "unit: metre",
        f"camera: {camera.width}x{camera.height}"
        f" fx {camera.fx:g} fy {camera.fy:g} cx {camera.cx:g} cy {camera.cy:g}",
    )
    ply.write(path, points, colors, comments)
    return {"ply": path.name, "points": len(points)}


def _png_scale(kind: str, values: np.ndarray) -> float:
    """Steps of the 16-bit PNG per unit: KITTI's 256 for metres, and for pixels as long as they fit.

    Relative depth may have any range, so it takes the largest power of two that fits.
    """
    if kind == "metric":
        return DEPTH_SCALE
    largest = float(values.max())
    fits = 2.0 ** np.floor(np.log2(65535.0 / largest)) if largest > 0 else DEPTH_SCALE
    return float(min(fits, DEPTH_SCALE) if kind == "disparity" else fits)
