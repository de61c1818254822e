"""Pictures that a user names (one file, or a folder), and the cameras that took them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Optional

import numpy as np

from kdepth.data.intrinsics import Intrinsics, read_intrinsics
from kdepth.data.kitti_calibration import Calibration, camera_of
from kdepth.errors import UserError
from kdepth.geometry.camera import Camera

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm")
# How much a calibration's aspect ratio may differ from the picture's: sizes are rounded.
ASPECT_TOLERANCE = 0.02

CameraOf = Callable[[Path, int, int], Optional[Camera]]
"""(file, width, height) -> the camera that took the picture."""


def image_files(path: Path) -> list[Path]:
    """The picture at `path`, or the pictures directly in the folder `path`, sorted by name.

    A single file is taken whatever its suffix is; hidden files of a folder are left out.

    Raises:
        UserError: if there is none.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(f"{path}: no such picture or folder")
    files = sorted(
        file
        for file in path.iterdir()
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()
    )
    if not files:
        raise UserError(
            f"{path}: no pictures directly in this folder (looked for {', '.join(SUFFIXES)})"
        )
    return files


def focal_camera(fx: float) -> CameraOf:
    """The same focal length for all pictures, which must then have one size.

    Args:
        fx: pixels.

    Raises:
        UserError: if it is not positive; the returned function, if a picture has another size.
    """
    if not (np.isfinite(fx) and fx > 0):
        raise UserError(f"--fx={fx} must be a positive number of pixels")
    source = f"--fx={fx:g}"
    return _of_one_size(source, Intrinsics(source, fx, fx).camera)


def intrinsics_camera(text: str) -> CameraOf:
    """The camera that a user wrote down.

    Args:
        text: `fx,fy,cx,cy` in pixels of the pictures, which must then have one size, or a file that
            `kdepth.data.intrinsics.read_intrinsics` reads; one that tells width and height is for
            pictures of any size and that shape.

    Raises:
        UserError: if it is neither; the returned function, if it cannot be the picture's camera.
    """
    try:
        fx, fy, cx, cy = (float(number) for number in text.split(","))
    except ValueError:
        known = read_intrinsics(Path(text))
    else:
        if not (np.isfinite([cx, cy]).all() and 0 < fx < np.inf and 0 < fy < np.inf):
            raise UserError(f"--intrinsics={text}: must be fx,fy,cx,cy in pixels")
        known = Intrinsics(f"--intrinsics={text}", fx, fy, cx, cy)
    if known.width is None:
        return _of_one_size(known.source, known.camera)
    return lambda file, width, height: known.camera(width, height)


def training_camera(focal: float) -> CameraOf:
    """A camera with the field of view of the training camera.

    Args:
        focal: fx as a fraction of the width.
    """
    return lambda file, width, height: pinhole(focal * width, width, height)


def kitti_camera(path: Path, index: int) -> CameraOf:
    """The camera of a KITTI `calib_cam_to_cam.txt`, resized with the pictures.

    Args:
        path: the calibration file.
        index: of the camera, 0 to 3.

    Raises:
        UserError: if the file or its matrices are missing; the returned function, if a picture has
            another aspect ratio.
    """
    calibration = Calibration(path)
    columns, rows = calibration.matrix(f"S_rect_{index:02d}", 2)
    calibrated = camera_of(calibration.matrix(f"P_rect_{index:02d}", 3, 4), int(columns), int(rows))

    def camera(file: Path, width: int, height: int) -> Camera:
        aspect = (width / height) / (calibrated.width / calibrated.height)
        if abs(aspect - 1.0) > ASPECT_TOLERANCE:
            raise UserError(
                f"{file} is {width}x{height}, which is not the shape of {path}'s pictures"
                f" ({calibrated.width}x{calibrated.height}): a cropped picture needs --fx"
            )
        return calibrated.resize(width, height)

    return camera


def _of_one_size(source: str, camera_of_size: Callable[[int, int], Camera]) -> CameraOf:
    """Refuses pictures of another size than the first: `source` is in pixels of one size."""
    sizes: dict[tuple[int, int], Path] = {}

    def camera(file: Path, width: int, height: int) -> Camera:
        sizes.setdefault((width, height), file)
        if len(sizes) > 1:
            (first_width, first_height), first = next(iter(sizes.items()))
            raise UserError(
                f"{source} is in pixels of one picture size, but {first} is"
                f" {first_width}x{first_height} and {file} is"
                f" {width}x{height}: predict them apart"
            )
        return camera_of_size(width, height)

    return camera


def pinhole(fx: float, width: int, height: int) -> Camera:
    """A camera of square pixels that looks through the picture's centre; `fx` in pixels."""
    return Camera(fx, fx, (width - 1) / 2, (height - 1) / 2, width, height)
