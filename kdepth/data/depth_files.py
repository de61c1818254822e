"""Depth in files that people write themselves: 16-bit PNG with a scale, NumPy's `.npy`, `.npz`.

All of these are `DepthSource`s; nothing is unpickled.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from kdepth.data.sample import DepthPng, DepthSource
from kdepth.errors import UserError

DEPTH_SUFFIXES = (".npy", ".npz", ".png")  # the first that is there wins
_MOST_PIXELS = 1 << 28
_FARTHEST = 1e5  # metres; a larger depth is no measurement


@dataclasses.dataclass(frozen=True)
class NumpyDepth:
    """A depth map in a `.npy` file, or in a `.npz` as SciPy saves sparse matrices.

    Attributes:
        path: the file.
        scale: values in a metre, for whole numbers; floats are metres.
    """

    path: Path
    scale: float | None = None

    def load(self) -> np.ndarray:
        """Returns [H, W] float32, metres, 0 = not measured (also where the file has NaN or less).

        Raises:
            UserError: if the file is missing, damaged, no map of real numbers, or has impossible
                depths, or whole numbers and no scale is known.
        """
        depth = _read(self.path)
        if depth.ndim == 3 and 1 in (depth.shape[0], depth.shape[2]):
            depth = depth.squeeze(2 if depth.shape[2] == 1 else 0)
        if depth.ndim != 2 or depth.dtype.kind not in "fui" or not depth.size:
            raise UserError(
                f"{self.path}: a depth map must be [height, width] of real numbers, found "
                f"{depth.dtype} {list(depth.shape)}"
            )
        return to_metres(depth, self.path, self.scale)


def to_metres(depth: np.ndarray, name: object, scale: float | None) -> np.ndarray:
    """Turns stored values into metres.

    Args:
        depth: [H, W] real numbers.
        name: where they are from, for messages.
        scale: values in a metre, for whole numbers; floats are metres.

    Returns:
        [H, W] float32, metres, 0 = not measured (where the values are NaN, infinite or not above 0).

    Raises:
        UserError: if they are impossible depths, or whole numbers and no scale is known.
    """
    metres = depth.astype(np.float64)
    if depth.dtype.kind != "f":
        metres /= scale_of(name, scale)
    metres = np.where(np.isfinite(metres) & (metres > 0), metres, 0)
    if metres.max() > _FARTHEST:
        raise UserError(
            f"{name}: holds a depth of {metres.max():g} metres; it is corrupt, or floats "
            "of another unit: they must be metres"
        )
    return metres.astype(np.float32)


def depth_source(path: Path, scale: float | None) -> DepthSource:
    """Returns what loads a depth file.

    Args:
        path: a file with one of `DEPTH_SUFFIXES`.
        scale: values in a metre, for files of whole numbers.

    Raises:
        UserError: if it is a PNG and no scale is known.
    """
    if path.suffix.lower() == ".png":
        return DepthPng(path, scale_of(path, scale))
    return NumpyDepth(path, scale)


def scale_of(path: object, scale: float | None) -> float:
    """Returns the scale of a file of whole numbers.

    Raises:
        UserError: if nobody has said it.
    """
    if scale is None:
        raise UserError(
            f"{path}: holds whole numbers, and nothing says how many make a metre; pass "
            "--reader_option=depth_scale=1000 for millimetres, 256 for KITTI's convention, 5000 "
            "for TUM's"
        )
    return scale


def _read(path: Path) -> np.ndarray:
    try:
        # A header may promise any size; mapping a file finds that it is not there, without memory.
        content = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(content, np.ndarray):
            return np.array(content)
        with content:
            return _dense({name: content[name] for name in content.files})
    except FileNotFoundError:
        raise UserError(f"{path}: no such depth file") from None
    except Exception as error:  # NumPy's parser may fail in any way on damaged bytes
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"{path}: truncated, corrupt or no depth map ({reason})") from None


def _dense(parts: dict[str, Any]) -> np.ndarray:
    """A sparse matrix as SciPy's `save_npz` writes it."""
    kind = parts["format"].item().decode("ascii")
    rows, columns = (int(size) for size in parts["shape"])
    if not 0 < rows * columns <= _MOST_PIXELS:
        raise ValueError(f"a matrix of {rows}x{columns}")
    values = parts["data"]
    if kind == "coo":
        row, column = parts["row"], parts["col"]
    elif kind in ("csr", "csc"):
        outer = np.repeat(np.arange(len(parts["indptr"]) - 1), np.diff(parts["indptr"]))
        row, column = (outer, parts["indices"]) if kind == "csr" else (parts["indices"], outer)
    else:
        raise ValueError(f"a sparse matrix in the form {kind!r}")
    if not len(row) == len(column) == len(values):
        raise ValueError("indices and values do not fit together")
    if len(row) and (min(row.min(), column.min()) < 0):
        raise ValueError("negative indices")
    dense = np.zeros((rows, columns), values.dtype)
    dense[row, column] = values
    return dense
