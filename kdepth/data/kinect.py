"""The Kinect that recorded NYU Depth v2: its raw depth in metres, seen from its colour camera.

All numbers are those of the data set's toolbox (`camera_params.m`), whose formula it is that turns
raw values into metres. Two things are done more exactly than there. Measured points are moved one
by one instead of undistorting the map of raw values first, so depth is never interpolated; and the
depth that is kept is z of the colour camera, whose image it belongs to, not of the depth camera
(they differ by about a centimetre at the border).

Source: Silberman et al., ECCV 2012; the toolbox of the data set.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from pathlib import Path

import numpy as np

from kdepth.data.image import read_image
from kdepth.errors import UserError
from kdepth.geometry.camera import Camera

WIDTH, HEIGHT = 640, 480
COLOUR_CAMERA = Camera(
    518.85790117450188, 519.46961112127485, 325.58244941119034, 253.73616633400465, WIDTH, HEIGHT
)
DEPTH_CAMERA = Camera(
    582.62448167737955, 582.69103270988637, 313.04475870804731, 238.44389626620386, WIDTH, HEIGHT
)
# Lens distortion k1, k2, p1, p2, k3 (Brown's model).
_COLOUR_LENS = (
    0.20796615318809061,
    -0.58613825163911781,
    7.2231363135888329e-04,
    1.0479627195765181e-03,
    0.49856986684705107,
)
_DEPTH_LENS = (
    -0.099897236553084481,
    0.39065324602765344,
    1.9290592870229277e-03,
    -1.9422022475975055e-03,
    -0.51031725053400578,
)
# Depth camera -> colour camera: x' = inv(R) x - t. The toolbox gives R with its sign turned and t
# with y and z exchanged; the first cancels in the projection, the second is kept as it is (0.4 mm).
_ROTATION = np.array(
    [
        [9.9997798940829263e-01, 5.0518419386157446e-03, 4.3011152014118693e-03],
        [-5.0359919480810989e-03, 9.9998051861143999e-01, -3.6879781309514218e-03],
        [-4.3196624923060242e-03, 3.6662365748484798e-03, 9.9998394948385538e-01],
    ]
)
_SHIFT = np.array([2.5031875059141302e-02, -2.9342312935846411e-04, 6.6238747008330102e-04])
# metres = 351.3 / (1092.5 - raw), used by the toolbox between these raw values and up to 10 m.
_SCALE, _ZERO = 351.3, 1092.5
_LEAST_RAW = 600
_LARGEST_RAW = 2047  # 11 bits; also the mark of "not measured"
_MAX_DEPTH = 10.0
_HEADER = re.compile(rb"P5\s+(?:#[^\n]*\n\s*)*(\d+)\s+(\d+)\s+(\d+)\s")


def read_raw_depth(path: Path) -> np.ndarray:
    """Reads a raw depth map.

    The files are PGM, but with the low byte first, against the format's own rule: the toolbox swaps
    the bytes after reading. Files that somebody has written anew by the rule are recognised,
    because raw values have 11 bits.

    Returns:
        [480, 640] uint16, the Kinect's raw values; 2047 is "not measured".

    Raises:
        UserError: if the file is missing, truncated or no such map.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such depth file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    header = _HEADER.match(data)
    if not header or (int(header[1]), int(header[2])) != (WIDTH, HEIGHT) or int(header[3]) < 256:
        raise UserError(
            f"{path}: no raw depth map; expected a 16-bit PGM of {WIDTH}x{HEIGHT}, restore or "
            "remove it"
        )
    size = len(data) - header.end()
    if size != 2 * WIDTH * HEIGHT:
        raise UserError(
            f"{path}: truncated depth map ({size} bytes of {2 * WIDTH * HEIGHT}); restore or "
            "remove it"
        )
    for order in ("<u2", ">u2"):
        raw = np.frombuffer(data, order, offset=header.end()).reshape(HEIGHT, WIDTH)
        if raw.max() <= _LARGEST_RAW:
            return raw.astype(np.uint16)
    raise UserError(
        f"{path}: corrupt depth map, or no raw one (values above {_LARGEST_RAW}); restore or "
        "remove it"
    )


def raw_to_metres(raw: np.ndarray) -> np.ndarray:
    """Turns raw values into metres along the depth camera's axis.

    Returns:
        float64, 0 = not measured: also nearer than 0.71 m (the toolbox does not use these) and
        farther than 10 m (which it writes as 10 m).
    """
    usable = (raw >= _LEAST_RAW) & (raw < _ZERO)
    metres = _SCALE / np.where(usable, _ZERO - raw.astype(np.float64), 1.0)
    return np.where(usable & (metres <= _MAX_DEPTH), metres, 0.0)


def register(metres: np.ndarray) -> np.ndarray:
    """Moves depth from the depth camera to the undistorted image of the colour camera.

    Args:
        metres: [480, 640], 0 = not measured.

    Returns:
        [480, 640] float32 metres along the colour camera's axis, 0 = not measured; of points that
        meet in a pixel the nearest one.
    """
    rays = _depth_rays()
    measured = metres > 0
    points = rays[:, measured] * metres[measured]
    x, y, z = np.linalg.inv(_ROTATION) @ points - _SHIFT[:, None]
    column, row = (np.rint(value).astype(np.int64) for value in COLOUR_CAMERA.project(x, y, z))
    inside = (column >= 0) & (row >= 0) & (column < WIDTH) & (row < HEIGHT)
    depth = np.full(HEIGHT * WIDTH, np.inf)
    np.minimum.at(depth, (row * WIDTH + column)[inside], z[inside])
    return np.where(np.isfinite(depth), depth, 0).reshape(HEIGHT, WIDTH).astype(np.float32)


def undistort_colour(image: np.ndarray) -> np.ndarray:
    """Frees an image of the colour camera of its lens distortion.

    Args:
        image: [480, 640, 3] uint8.

    Returns:
        [480, 640, 3] uint8, bilinear; black where the camera has not seen.
    """
    column, row, share_x, share_y, seen = _colour_map()
    values = image.astype(np.float32)
    above = values[row, column] * (1 - share_x) + values[row, column + 1] * share_x
    below = values[row + 1, column] * (1 - share_x) + values[row + 1, column + 1] * share_x
    mixed = above * (1 - share_y) + below * share_y
    return np.where(seen, np.rint(mixed), 0).astype(np.uint8)


@dataclasses.dataclass(frozen=True)
class ColourImage:
    """An undistorted frame of the colour camera; an `ImageSource`."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def load(self) -> np.ndarray:
        """Returns [480, 640, 3] uint8 RGB."""
        image = read_image(self.path)
        if image.shape[:2] != (HEIGHT, WIDTH):
            raise UserError(
                f"{self.path}: is {image.shape[1]}x{image.shape[0]}, a raw frame is "
                f"{WIDTH}x{HEIGHT}"
            )
        return undistort_colour(image)


@dataclasses.dataclass(frozen=True)
class RegisteredDepth:
    """A raw depth map as the colour camera sees it; a `DepthSource`."""

    path: Path

    def load(self) -> np.ndarray:
        """Returns [480, 640] float32, metres, 0 = not measured."""
        return register(raw_to_metres(read_raw_depth(self.path)))


def _distort(
    x: np.ndarray, y: np.ndarray, lens: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Where a lens puts a ray (x, y, 1): Brown's model."""
    k1, k2, p1, p2, k3 = lens
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    return (
        x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
        y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
    )


@functools.cache
def _depth_rays() -> np.ndarray:
    """The ray (x, y, 1) of each pixel of the depth camera, [3, 480, 640]."""
    column, row = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    seen_x, seen_y, one = DEPTH_CAMERA.backproject(column, row, np.ones(column.shape))
    x, y = seen_x, seen_y
    for _ in range(50):  # the distortion is small, so this converges
        bent_x, bent_y = _distort(x, y, _DEPTH_LENS)
        x, y = x + (seen_x - bent_x), y + (seen_y - bent_y)
    return np.stack([x, y, one])


@functools.cache
def _colour_map() -> tuple[np.ndarray, ...]:
    """For each undistorted pixel: column and row of its upper left neighbour, shares, whether seen."""
    column, row = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    x, y, _ = COLOUR_CAMERA.backproject(column, row, 1.0)
    x, y = COLOUR_CAMERA.project(*_distort(x, y, _COLOUR_LENS), 1.0)
    seen = (x >= 0) & (y >= 0) & (x <= WIDTH - 1) & (y <= HEIGHT - 1)
    left = np.clip(np.floor(x).astype(np.int64), 0, WIDTH - 2)
    top = np.clip(np.floor(y).astype(np.int64), 0, HEIGHT - 2)
    share_x, share_y = ((a - b).astype(np.float32)[..., None] for a, b in ((x, left), (y, top)))
    return left, top, share_x, share_y, seen[..., None]
