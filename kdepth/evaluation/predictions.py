"""Predictions of any system, read from files and scored by the same protocols as a run.

Formats: a `.npy` array [N, h, w], [N, h, w, 1] or [N, 1, h, w], a `.npz` with one such array, or a
folder of 16-bit PNGs in KITTI's convention (metres, or pixels of disparity, = value / 256, 0 = no
prediction), sorted by name. The order is the split's: monodepth, monodepth2 and SfMLearner publish
their stacks like that. Nothing is unpickled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kdepth.data.image import read_depth_png
from kdepth.errors import UserError
from kdepth.prediction import QUANTITIES, Prediction

# What a file may hold, and what that is to a `Prediction`.
PIXELS = "disparity_pixels"
FILE_QUANTITIES = (*QUANTITIES, PIXELS)
_KINDS = {"depth": "metric", "disparity": "disparity", "inverse_depth": "metric"}


class FilePredictions:
    """A predictor (see `kdepth.evaluation.scoring`) that hands out stored maps by index."""

    def __init__(self, path: Path, quantity: str, count: int, factor: float = 1.0) -> None:
        """Opens the predictions.

        Args:
            path: a .npy or .npz file, or a folder of PNGs.
            quantity: one of `FILE_QUANTITIES`; disparities are fractions of the image width, or
                pixels of the stored map's own width.
            count: images in the split.
            factor: depths are multiplied by it, disparities and inverse depths divided.

        Raises:
            UserError: if there is no such file, it is damaged, or has another number of maps or
                another shape, or the factor is not positive.
        """
        if quantity not in FILE_QUANTITIES:
            raise UserError(f"--quantity={quantity}: must be one of {', '.join(FILE_QUANTITIES)}")
        if not 0 < factor < math.inf:
            raise UserError(f"--depth_factor={factor:g}: must be a positive number")
        self._pixels = quantity == PIXELS
        self._quantity = "disparity" if self._pixels else quantity
        self._factor = factor
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
        rows, columns = sample["camera"].height, sample["camera"].width
        # The other way round is common: networks with a wide input see upright images too.
        if values.shape[0] > values.shape[1] and rows < columns:
            raise UserError(
                f"{self._path}: predictions are {values.shape[0]}x{values.shape[1]}, but "
                f"{sample['name']} is {rows}x{columns}; arrays are [N, height, width]"
            )
        values = np.asarray(values, np.float32)[None]
        factor = self._factor if self._quantity == "depth" else 1.0 / self._factor
        if self._pixels:
            factor /= values.shape[2]
        return Prediction(
            **{self._quantity: values if factor == 1.0 else values * np.float32(factor)},
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
                        f"{path}: must hold one array, but has "
                        f"{', '.join(archive.files) or 'none'}; save the predictions alone"
                    )
                array = archive[archive.files[0]]
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{path}: no such file or folder; check --predictions") from None
    except Exception as error:  # zip and NumPy's header parser fail in many ways on damaged bytes
        objects = "ickle" in str(error) or "Python objects" in str(error)
        why = "it holds pickled Python objects" if objects else error
        raise UserError(
            f"{path}: cannot be read as .npy or .npz ({why}); save one array of numbers "
            "[N, height, width] with numpy.save"
        ) from None
    if array.ndim == 4 and 1 in (array.shape[1], array.shape[3]):
        array = array[..., 0] if array.shape[3] == 1 else array[:, 0]
    if array.ndim != 3 or array.dtype.kind not in "fiu" or 0 in array.shape[1:]:
        raise UserError(
            f"{path}: predictions must be numbers [N, height, width]; "
            f"received {array.dtype} {list(array.shape)}"
        )
    return array


def _open_folder(path: Path, quantity: str) -> list[Path]:
    if quantity not in ("depth", PIXELS):
        raise UserError(
            f"--quantity={quantity}: the PNGs in {path} hold depth, or disparity in pixels "
            f"(--quantity={PIXELS}); use .npy for other quantities"
        )
    files = sorted(file for file in path.glob("*.png") if not file.name.startswith("."))
    if not files:
        raise UserError(f"{path}: no .png in this folder; check --predictions")
    return files
