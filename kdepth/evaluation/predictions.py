"""Predictions of any system, read from files and scored by the same protocols as a run.

Formats: a `.npy` array [N, h, w] or [N, h, w, 1], a `.npz` with one such array, or a folder of
16-bit depth PNGs (KITTI's convention, metres = value / 256, 0 = no prediction), sorted by name. The
order is the split's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from kdepth.data.image import read_depth_png
from kdepth.errors import UserError
from kdepth.prediction import QUANTITIES, Prediction

_KINDS = {"depth": "metric", "disparity": "disparity", "inverse_depth": "metric"}


class FilePredictions:
    """A predictor (see `kdepth.evaluation.scoring`) that hands out stored maps by index."""

    def __init__(self, path: Path, quantity: str, count: int) -> None:
        """Opens the predictions.

        Args:
            path: a .npy or .npz file, or a folder of PNGs.
            quantity: one of `kdepth.prediction.QUANTITIES`; disparities are fractions of the image
                width.
            count: images in the split.

        Raises:
            UserError: if there is no such file, it is damaged, or has another number of maps or
                another shape.
        """
        if quantity not in QUANTITIES:
            raise UserError(f"--quantity={quantity}: must be one of {', '.join(QUANTITIES)}")
        self._quantity = quantity
        self._path = path
        self._maps = _open_folder(path, quantity) if path.is_dir() else _open_array(path)
        if len(self._maps) != count:
            raise UserError(
                f"{path}: {len(self._maps)} predictions for {count} images of the split; "
                "there must be one for each, in the split's order"
            )

    def __call__(self, samples: Sequence[dict[str, Any]]) -> list[Prediction]:
        """The stored predictions of some samples."""
        return [self._predict(sample) for sample in samples]

    def _predict(self, sample: dict[str, Any]) -> Prediction:
        values = self._maps[sample["index"]]
        if isinstance(values, Path):
            path, values = values, read_depth_png(values)
            if not values.all():
                raise UserError(
                    f"{path}: has pixels without a prediction (value 0); predictions must be dense"
                )
        rows, columns = np.shape(sample["depth"])[:2]
        if (values.shape[0] > values.shape[1]) != (rows > columns) and rows != columns:
            raise UserError(
                f"{self._path}: predictions are {values.shape[0]}x{values.shape[1]}, but "
                f"{sample['name']} is {rows}x{columns}; arrays are [N, height, width]"
            )
        return Prediction(
            **{self._quantity: np.asarray(values, np.float32)[None]},
            kind=_KINDS[self._quantity],
            unit="fraction of the width" if self._quantity == "disparity" else "m",
        )


def _open_array(path: Path) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False, mmap_mode="r" if path.suffix == ".npy" else None)
        if isinstance(array, np.lib.npyio.NpzFile):
            with array as archive:
                if len(archive.files) != 1:
                    raise UserError(
                        f"{path}: must hold one array, but has {', '.join(archive.files)}"
                    )
                array = archive[archive.files[0]]
    except FileNotFoundError:
        raise UserError(f"{path}: no such file or folder; check --predictions") from None
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path}: cannot be read as .npy or .npz ({error})") from None
    if array.ndim == 4 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim != 3 or array.dtype.kind not in "fiu" or 0 in array.shape[1:]:
        raise UserError(
            f"{path}: predictions must be numbers [N, height, width]; "
            f"received {array.dtype} {list(array.shape)}"
        )
    return array


def _open_folder(path: Path, quantity: str) -> list[Path]:
    if quantity != "depth":
        raise UserError(
            f"--quantity={quantity}: the PNGs in {path} hold depth; use .npy for other quantities"
        )
    files = sorted(path.glob("*.png"))
    if not files:
        raise UserError(f"{path}: no .png in this folder; check --predictions")
    return files
