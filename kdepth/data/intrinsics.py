"""Intrinsics that people write themselves: a 3x3 matrix, four numbers, or JSON; and EXIF.

Every source ends as `Intrinsics`, which become a `Camera` for pictures of a known size. What cannot
be right for that size is refused there: a camera of another resolution is the commonest mistake
with own data.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kdepth.data.options import Option
from kdepth.errors import UserError
from kdepth.geometry.camera import Camera

INTRINSICS_FILES = ("intrinsics.json", "intrinsics.txt", "camera.json", "cam.txt")
CAMERA_OPTIONS = (
    Option("fx", "Horizontal focal length, pixels of the pictures.", kind=float, positive=True),
    Option("fy", "Vertical focal length, pixels; fx by default.", kind=float, positive=True),
    Option("cx", "Column of the principal point; the middle by default.", kind=float),
    Option("cy", "Row of the principal point; the middle by default.", kind=float),
    Option(
        "intrinsics",
        "A file of intrinsics for all pictures; by default the nearest "
        f"{', '.join(INTRINSICS_FILES)} in a video's folder or above it, else EXIF.",
    ),
)

_FORMS = "a 3x3 matrix, `fx fy cx cy`, or JSON with fx, fy, cx, cy (pixels)"
_FOCAL_IN_35MM = 0xA405  # EXIF's FocalLengthIn35mmFilm
_EXIF_IFD = 0x8769
# Of a 36 x 24 mm frame: the equivalent focal length is defined by the diagonal (CIPA DCG-001).
_DIAGONAL_35MM = math.hypot(36.0, 24.0)
_LEAST_FOCAL = 0.1  # of the width; this is a field of view of 157 degrees
_ASPECT_TOLERANCE = 0.02  # widths and heights are rounded when pictures are resized


@dataclasses.dataclass(frozen=True)
class Intrinsics:
    """A camera as somebody wrote it down.

    Attributes:
        source: where it is from, for messages.
        fx: horizontal focal length, pixels.
        fy: vertical focal length, pixels.
        cx: column of the principal point, pixels; None is the middle of the picture.
        cy: row of the principal point, pixels; None is the middle.
        width: of the pictures that these pixels belong to; None if nobody says.
        height: likewise.
        baseline: metres to the right camera of a rectified pair, or None.
    """

    source: str
    fx: float
    fy: float
    cx: float | None = None
    cy: float | None = None
    width: int | None = None
    height: int | None = None
    baseline: float | None = None

    def camera(self, width: int, height: int) -> Camera:
        """Returns the camera of pictures of a size.

        Raises:
            UserError: if the intrinsics cannot be of such pictures.
        """
        own_width, own_height = self.width or width, self.height or height
        aspect = (width / height) / (own_width / own_height)
        if abs(aspect - 1.0) > _ASPECT_TOLERANCE:
            raise UserError(
                f"{self.source}: is for {own_width}x{own_height}, but the pictures are "
                f"{width}x{height}, of another shape: give the intrinsics of the cropped pictures"
            )
        cx = (own_width - 1) / 2 if self.cx is None else self.cx
        cy = (own_height - 1) / 2 if self.cy is None else self.cy
        if self.fx < _LEAST_FOCAL * own_width:
            raise UserError(
                f"{self.source}: a focal length of {self.fx:g} pixels is too short for pictures of "
                f"{own_width}x{own_height}; normalised values must be multiplied by width or height"
            )
        if not (0 <= cx < own_width and 0 <= cy < own_height):
            raise UserError(
                f"{self.source}: the principal point ({cx:g}, {cy:g}) lies outside the pictures of "
                f"{own_width}x{own_height}: the intrinsics are of another size; scale them, or "
                "write them as JSON with their width and height"
            )
        return Camera(self.fx, self.fy, cx, cy, own_width, own_height).resize(width, height)


def read_intrinsics(path: Path) -> Intrinsics:
    """Reads a file of intrinsics.

    Args:
        path: text with nine numbers (a 3x3 matrix by rows) or four (`fx fy cx cy`), separated by
            blanks, commas or lines, `#` for comments; or, by its suffix `.json`, an object with
            `fx`, `fy`, `cx`, `cy` or a 3x3 `K` or `intrinsics`, and optionally `width`, `height`
            (then other sizes are converted) and `baseline` (metres).

    Raises:
        UserError: if it cannot be read, or holds something else.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path}: no such intrinsics file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: the intrinsics file cannot be read: {error}") from None
    try:
        if path.suffix.lower() == ".json":
            return _of_json(path, json.loads(text))
        return _of_numbers(path, [float(number) for number in _fields(text)])
    except (ValueError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path}: no intrinsics; expected {_FORMS}") from None


def given_intrinsics(
    fx: float | None,
    fy: float | None,
    cx: float | None,
    cy: float | None,
    path: str | os.PathLike[str] | None,
) -> Intrinsics | None:
    """Returns the intrinsics that `CAMERA_OPTIONS` give, or None.

    Raises:
        UserError: if they contradict each other, or `fx` is missing.
    """
    numbers: dict[str, Any] = {"fx": fx, "fy": fy, "cx": cx, "cy": cy}
    said = [name for name, value in numbers.items() if value is not None]
    if path is not None and said:
        raise UserError(f"give either --reader_option=intrinsics= or {said[0]}=, not both")
    if path is not None:
        return read_intrinsics(Path(path).expanduser())
    if not said:
        return None
    if fx is None:
        raise UserError(f"--reader_option={said[0]}= needs fx= as well: the focal length in pixels")
    return Intrinsics("--reader_option=fx", fx, fx if fy is None else fy, cx, cy)


def exif_intrinsics(path: Path) -> Intrinsics | None:
    """Reads the focal length from a photo's EXIF, as its equivalent for 35 mm film.

    The equivalence is by the diagonal: focal length in pixels = millimetres * diagonal in pixels /
    43.27 mm. The principal point is taken to be in the middle.

    Args:
        path: of a picture.

    Returns:
        None if the picture does not say, or is no picture.
    """
    try:
        with Image.open(path) as picture:
            value = picture.getexif().get_ifd(_EXIF_IFD).get(_FOCAL_IN_35MM)
            focal = float(value or 0)
            diagonal = math.hypot(*picture.size)
    except Exception:  # EXIF of damaged files fails in any way; reading the picture will tell
        return None
    if not 0 < focal < math.inf:  # 0 means unknown
        return None
    pixels = focal * diagonal / _DIAGONAL_35MM
    return Intrinsics(f"{path} (EXIF)", pixels, pixels)


def _fields(text: str) -> list[str]:
    return " ".join(line.split("#")[0] for line in text.splitlines()).replace(",", " ").split()


def _of_numbers(path: Path, numbers: list[float], **more: Any) -> Intrinsics:
    values = np.array(numbers, np.float64)
    if values.size == 9:
        matrix = values.reshape(3, 3)
        if (matrix[2] != [0, 0, 1]).any() or matrix[1, 0] != 0 or abs(matrix[0, 1]) > 1e-6:
            raise UserError(
                f"{path}: no intrinsics of a camera without skew; expected rows "
                "fx 0 cx, 0 fy cy, 0 0 1"
            )
        values = matrix[[0, 1, 0, 1], [0, 1, 2, 2]]
    if values.size != 4 or not np.isfinite(values).all() or not (values[:2] > 0).all():
        raise UserError(f"{path}: no intrinsics; expected {_FORMS}, focal lengths above 0")
    return Intrinsics(str(path), *(float(value) for value in values), **more)


def _of_json(path: Path, content: Any) -> Intrinsics:
    if not isinstance(content, dict):
        raise ValueError("no object")
    more: dict[str, Any] = {}
    for name, kind in (("width", int), ("height", int), ("baseline", float)):
        value = content.get(name)
        if value is None:
            continue
        if not _is_number(value) or not 0 < value < math.inf or kind(value) != value:
            raise UserError(f"{path}: `{name}` must be a positive number, found {value!r}")
        more[name] = kind(value)
    if ("width" in more) != ("height" in more):
        raise UserError(f"{path}: give both `width` and `height`, or neither")
    matrix = content.get("K", content.get("intrinsics"))
    if matrix is not None:
        numbers = np.array(matrix, np.float64).ravel().tolist()
    else:
        numbers = [content.get(name) for name in ("fx", "fy", "cx", "cy")]
    if not all(_is_number(number) for number in numbers):
        raise ValueError("not numbers")
    return _of_numbers(path, numbers, **more)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
