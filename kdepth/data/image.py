"""Pictures and depth maps on disk, and the one way to resize them; NumPy and Pillow only.

Training, evaluation, `predict` and the runtime all read and resize through this file, so that a
network sees the same numbers everywhere.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import zlib
from pathlib import Path
from typing import Union

import numpy as np
from PIL import ExifTags, Image, ImageOps

from kdepth.errors import UserError
from kdepth.files import atomic_path

PathLike = Union[str, "os.PathLike[str]"]

RESIZE_METHODS = ("area", "bilinear", "bicubic", "nearest")
DEPTH_SCALE = (
    256.0  # KITTI's depth and disparity PNGs: value = 256 * metres (or pixels), 0 = not measured
)

# A JPEG's markers, but for those that have no segment and occur within scans.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TURNED = range(5, 9)  # EXIF orientations that swap width and height
_PILLOW_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def read_image(path: PathLike) -> np.ndarray:
    """Reads a picture as 8-bit RGB.

    Grey becomes RGB, alpha is dropped, 16-bit grey is scaled to 8 bits, an EXIF orientation is
    applied.

    Args:
        path: any file that Pillow reads.

    Returns:
        [H, W, 3] uint8.

    Raises:
        UserError: if the file is missing, truncated, corrupt or not a picture; the message names
            it.
    """
    return decode_image(_read_bytes(path), path)


def decode_image(data: bytes, name: object) -> np.ndarray:
    """Reads a picture that is in memory; as `read_image`.

    Args:
        data: the bytes of a picture file.
        name: where they come from, for messages.

    Returns:
        [H, W, 3] uint8.

    Raises:
        UserError: if they are truncated, corrupt or no picture.
    """
    picture = _open_picture(data, name)
    if picture.mode.startswith("I"):
        values = np.clip(np.asarray(picture), 0, 65535)
        grey = np.round(values * (255.0 / 65535.0)).astype(np.uint8)
        return np.ascontiguousarray(np.broadcast_to(grey[..., None], (*grey.shape, 3)))
    return np.array(picture if picture.mode == "RGB" else picture.convert("RGB"))


def image_size(path: PathLike) -> tuple[int, int]:
    """Returns (width, height) of a picture as `read_image` gives it, without decoding it.

    Raises:
        UserError: if the file is missing or not a picture.
    """
    try:
        with Image.open(path) as picture:
            # A PNG that has not shown EXIF yet would be decoded to its end to look for it.
            asked = picture.format != "PNG" or "exif" in picture.info
            return picture.size[::-1] if asked and _is_turned(picture) else picture.size
    except FileNotFoundError:
        raise UserError(f"{path}: no such image file") from None
    except Exception as error:  # a decoder may fail in any way on a damaged header
        raise _bad_image(path, error) from None


def read_depth_png(path: PathLike, scale: float = DEPTH_SCALE) -> np.ndarray:
    """Reads a 16-bit PNG whose values are `scale` times the depth; 0 = not measured.

    Args:
        path: the PNG.
        scale: values in a metre (or in a pixel of disparity); 256 is KITTI's.

    Returns:
        [H, W] float32: metres for a depth map, pixels for a disparity map.

    Raises:
        UserError: if the file is missing, truncated, corrupt or not a 16-bit grey PNG; the message
            names it.
    """
    return decode_depth_png(_read_bytes(path), path, scale)


def decode_depth_png(data: bytes, name: object, scale: float = DEPTH_SCALE) -> np.ndarray:
    """Reads a depth PNG that is in memory; as `read_depth_png`.

    Args:
        data: the bytes of the file.
        name: where they come from, for messages.
        scale: values in a metre.

    Returns:
        [H, W] float32.

    Raises:
        UserError: if they are truncated, corrupt or no 16-bit grey PNG.
    """
    picture = _open_picture(data, name)
    if not picture.mode.startswith("I"):
        raise UserError(
            f"{name}: a depth map must be a 16-bit grey PNG ({scale:g} * metres), not an image of "
            f"mode {picture.mode}"
        )
    return np.asarray(picture).astype(np.float32) / np.float32(scale)


def write_depth_png(path: PathLike, depth: np.ndarray) -> None:
    """Writes a depth map as a 16-bit PNG in KITTI's convention, atomically.

    Args:
        path: the PNG to write.
        depth: [H, W] metres. What is not finite or not positive becomes 0 (not measured); the
            format ends at 255.996 m, and what lies beyond is written as that.
    """
    depth = np.asarray(depth, dtype=np.float64)
    scaled = np.where(np.isfinite(depth) & (depth > 0), depth, 0.0) * DEPTH_SCALE
    values = np.clip(np.round(scaled), 0, 65535).astype(np.uint16)
    _save(path, Image.fromarray(values), "PNG")


def write_image(path: PathLike, image: np.ndarray) -> None:
    """Writes a uint8 picture atomically; the suffix chooses the format.

    Args:
        path: the file to write.
        image: [H, W, 3] RGB or [H, W] grey.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8:
        raise ValueError(f"`image` must be uint8, received {image.dtype}")
    suffix = Path(path).suffix.lower()
    Image.preinit()  # the usual formats; `registered_extensions` imports them all, a tenth of a second
    picture_format = Image.EXTENSION.get(suffix) or Image.registered_extensions().get(suffix)
    if picture_format is None:
        raise UserError(f"{path}: cannot tell a picture format from {suffix!r}; use .png or .jpg")
    _save(path, Image.fromarray(image), picture_format)


def resize_image(image: np.ndarray, height: int, width: int, method: str = "area") -> np.ndarray:
    """Resizes a picture; pixel centres lie on integers, so the image's borders map onto each other.

    Args:
        image: [H, W, C] or [H, W]; uint8, or floats.
        height: new height, pixels.
        width: new width, pixels.
        method: "area" (every output pixel is the exact mean over the box that it covers),
            "bilinear" or "bicubic" (Pillow's, antialiased when shrinking), "nearest" (the only one
            that may be used for depth).

    Returns:
        [height, width, C] or [height, width] float32. uint8 comes out in [0, 1]; floats keep their
        range.
    """
    if method not in RESIZE_METHODS:
        raise ValueError(
            f"`method` must be one of {', '.join(RESIZE_METHODS)}, received {method!r}"
        )
    image = np.asarray(image)
    to_unit = np.float32(1.0 / 255.0) if image.dtype == np.uint8 else np.float32(1.0)
    if image.shape[:2] == (height, width):
        resized = image
    elif method == "nearest":
        rows = _nearest_index(image.shape[0], height)
        columns = _nearest_index(image.shape[1], width)
        resized = image[rows[:, None], columns]
    elif method == "area":
        resized = _box_mean(_box_mean(image, height, axis=0), width, axis=1)
    else:
        resized = _pillow_resize(image, height, width, _PILLOW_FILTERS[method])
    return resized.astype(np.float32) * to_unit


def _nearest_index(size: int, new_size: int) -> np.ndarray:
    return np.minimum(((np.arange(new_size) + 0.5) * (size / new_size)).astype(np.int64), size - 1)


def _box_mean(image: np.ndarray, new_size: int, axis: int) -> np.ndarray:
    """Mean over boxes of size / new_size pixels along an axis; border pixels count in part."""
    size = image.shape[axis]
    edges = np.arange(new_size + 1) * (size / new_size)
    first = edges[:-1].astype(np.int64)
    shape = [1] * image.ndim
    shape[axis] = new_size
    mean = np.float32(0)
    for offset in range(int(np.ceil(size / new_size)) + 1):
        index = first + offset
        covered = np.minimum(edges[1:], index + 1) - np.maximum(edges[:-1], index)
        weight = (np.maximum(covered, 0) * (new_size / size)).astype(np.float32).reshape(shape)
        mean = mean + weight * np.take(image, np.minimum(index, size - 1), axis=axis)
    return mean


def _pillow_resize(
    image: np.ndarray, height: int, width: int, resampling: Image.Resampling
) -> np.ndarray:
    if image.dtype == np.uint8:
        return np.asarray(Image.fromarray(image).resize((width, height), resampling))
    channels = image.reshape(*image.shape[:2], -1).astype(np.float32)
    resized = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(channels[..., c])).resize(
                (width, height), resampling
            )
        )
        for c in range(channels.shape[-1])
    ]
    return np.stack(resized, axis=-1).reshape(height, width, *image.shape[2:])


def _is_turned(picture: Image.Image) -> bool:
    """Whether EXIF says that rows are columns; EXIF that makes no sense says nothing."""
    try:
        return picture.getexif().get(ExifTags.Base.Orientation, 1) in _TURNED
    except Exception:  # Pillow raises many kinds, SyntaxError among them
        return False


def _read_bytes(path: PathLike) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such image file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None


def _open_picture(data: bytes, name: object) -> Image.Image:
    try:
        _check_whole(data)
        picture = Image.open(io.BytesIO(data))
        picture.load()
    except Exception as error:  # a decoder may fail in any way on damaged bytes
        raise _bad_image(name, error) from None
    with contextlib.suppress(Exception):  # EXIF that makes no sense turns nothing
        ImageOps.exif_transpose(picture, in_place=True)
    return picture


def _bad_image(path: object, error: Exception) -> UserError:
    reason = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, Image.UnidentifiedImageError):
        reason = "not a picture in a known format"
    return UserError(f"{path}: truncated, corrupt or not an image ({reason}); restore or remove it")


def _check_whole(data: bytes) -> None:
    """Finds damage that Pillow lets pass: a PNG's check sums, a JPEG's end marker.

    Pillow reads IDAT chunks without checking them, and a changed byte in there is a wrong depth,
    not an error.
    """
    if data.startswith(_PNG_SIGNATURE):
        position = len(_PNG_SIGNATURE)
        kind = b""
        while kind != b"IEND":
            length = int.from_bytes(data[position : position + 4], "big")
            end = position + 8 + length
            kind = data[position + 4 : position + 8]
            if end + 4 > len(data):
                raise ValueError("the PNG ends early")
            checked = zlib.crc32(memoryview(data)[position + 4 : end])
            if checked != int.from_bytes(data[end : end + 4], "big"):
                raise ValueError("a PNG check sum does not match")
            position = end + 4
    elif data.startswith(b"\xff\xd8"):
        if not _has_jpeg_end(data):
            raise ValueError("the JPEG ends early")


def _has_jpeg_end(data: bytes) -> bool:
    """Whether a JPEG's own end marker is there; phones append films and further pictures to it."""
    position = 2
    while marker := _JPEG_MARKER.search(data, position):
        if marker.group() == b"\xff\xd9":
            return True
        # A segment says its length; a scan goes on behind its header, up to the next marker.
        position = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
    return False


def _save(path: PathLike, picture: Image.Image, picture_format: str) -> None:
    with atomic_path(Path(path)) as temporary:
        # A quality of 95 keeps JPEG pictures free of visible blocks; PNG ignores it.
        picture.save(
            temporary,
            format=picture_format,
            **({"quality": 95} if picture_format == "JPEG" else {}),
        )
