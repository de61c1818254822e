"""NYU Depth v2, the labelled part: 1449 pairs of picture and depth in one `.mat` file.

Download page: "NYU Depth Dataset V2", https://cs.nyu.edu/~silberman/datasets/nyu_depth_v2.html.
The folder holds

    nyu_depth_v2_labeled.mat    "Labeled dataset", MATLAB 7.3, which is HDF5: `images` [480, 640, 3,
                                1449] uint8, `depths` (holes filled) and `rawDepths` (0 = not
                                measured) [480, 640, 1449] single, metres; HDF5 reverses the axes
    splits.mat                  from "Train/Test Split": `trainNdxs` (795), `testNdxs` (654), from 1

Depth is already projected into the colour camera. Pictures have a white border of a few pixels, which
evaluations crop.

Source: Silberman, Hoiem, Kohli, Fergus, "Indoor segmentation and support inference from RGBD images",
ECCV 2012.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from kdepth.data import frames, splits
from kdepth.data.matlab import read_array
from kdepth.data.options import Option
from kdepth.data.sample import Record
from kdepth.errors import UserError
from kdepth.geometry.camera import Camera

DEPTHS = ("filled", "raw")
FILE, SPLITS_FILE = "nyu_depth_v2_labeled.mat", "splits.mat"
# The Kinect's colour camera, `camera_params.m` of the data set's toolbox.
CAMERA = Camera(
    518.85790117450188, 519.46961112127485, 325.58244941119034, 253.73616633400465, 640, 480
)
_FARTHEST = 100.0  # metres; the Kinect ends at 10, so what lies beyond is damage
_VARIABLES = {"filled": "depths", "raw": "rawDepths"}
_SPLITS = {"train": "trainNdxs", "test": "testNdxs"}
_FORM = "a number from 1 to 1449"


@dataclasses.dataclass(frozen=True)
class MatImage:
    """A picture in the file; an `ImageSource`.

    Attributes:
        path: the file.
        index: from 0.
    """

    path: Path
    index: int

    def __str__(self) -> str:
        return f"{self.path}, image {self.index + 1}"

    def load(self) -> np.ndarray:
        """Returns [480, 640, 3] uint8 RGB."""
        return np.ascontiguousarray(_read(self.path, "images", self.index).transpose(2, 1, 0))


@dataclasses.dataclass(frozen=True)
class MatDepth:
    """A depth map in the file; a `DepthSource`.

    Attributes:
        path: the file.
        index: from 0.
        variable: `depths` or `rawDepths`.
    """

    path: Path
    index: int
    variable: str

    def load(self) -> np.ndarray:
        """Returns [480, 640] float32, metres, 0 = not measured."""
        depth = np.ascontiguousarray(_read(self.path, self.variable, self.index).T)
        if not ((depth >= 0) & (depth < _FARTHEST)).all():  # false for NaN as well
            raise UserError(
                f"{self.path}: `{self.variable}` has impossible depths in image {self.index + 1}, so "
                "it is corrupt; restore the file"
            )
        return depth.astype(np.float32)


class NyuLabelled:
    """Reader of the labelled part of NYU Depth v2.

    Args:
        data_dir: the folder that holds `nyu_depth_v2_labeled.mat` and `splits.mat`.
        depth: "filled": `depths`, whose holes the data set's authors filled, which all published
            evaluations use; or "raw": `rawDepths`, with 0 where the Kinect saw nothing.
        on_missing: "stop" or "skip": what a listed number that the file does not have does.

    Raises:
        UserError: if the folder is missing, empty or without the file.
    """

    name: ClassVar[str] = "nyu_labelled"
    keys: ClassVar[frozenset[str]] = frozenset(["image", "intrinsics", "depth", "index"])

    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "depth",
            "Depth with its holes filled, which all published evaluations use, or as measured.",
            "filled",
            choices=DEPTHS,
        ),
    )

    def __init__(
        self,
        data_dir: str | os.PathLike[str],
        depth: str = "filled",
        on_missing: str = "stop",
    ) -> None:
        if depth not in DEPTHS:
            raise ValueError(f"`depth` is one of {DEPTHS}, received {depth!r}")
        self.root = frames.check_folder(data_dir, self.name)
        self._path, self._depth = self.root / FILE, _VARIABLES[depth]
        self._on_missing = on_missing
        if not self._path.is_file():
            raise UserError(f"{self.root}: there is no {FILE}; expected it below --data_dir")

    def splits(self) -> list[str]:
        """Returns `train` (795), `test` (654), `all` (in the file's order), and own lists."""
        return [*_SPLITS, "all", *frames.own_splits(self.root / "splits")]

    def records(
        self, split: str, keys: frozenset[str], offsets: tuple[int, ...] = (-1, 1)
    ) -> list[Record]:
        """Lists the samples of a split; see `Reader.records`.

        The lines of a list file are numbers from 1, as in `splits.mat`. There are no neighbour
        frames, so `offsets` has no effect.
        """
        count = _count(self._path, ["images", *([self._depth] if "depth" in keys else [])])
        if split == "all":
            numbers = range(1, count + 1)
        elif split in _SPLITS:
            numbers = self._official(split)
        else:
            path = frames.list_file(split, self.root / "splits", self.splits())
            numbers = [self._number(name, path) for name in splits.read_names(path, _FORM)]
        missing = frames.Missing(f"{self.name}, split {split}", self._on_missing)
        records = []
        for number in numbers:
            if number > count:
                missing.image(self._path / f"image {number}")
                continue
            depth = MatDepth(self._path, number - 1, self._depth) if "depth" in keys else None
            image = MatImage(self._path, number - 1)
            records.append(Record(f"{number:04d}", image, CAMERA, depth=depth))
        missing.report(len(records))
        return records

    @staticmethod
    def _number(name: str, path: Path) -> int:
        if not (name.isdecimal() and int(name) > 0):
            raise UserError(f"{path}: expected {_FORM} in every line, found {name!r}")
        return int(name)

    @functools.cache  # noqa: B019 (a reader lives as long as its process needs it)
    def _official(self, split: str) -> list[int]:
        path = self.root / SPLITS_FILE
        if not path.is_file():
            raise UserError(
                f"{path}: no such file, and split {split!r} is in it; download `splits.mat` from the "
                "data set's page, or use the split `all`"
            )
        numbers = {name: read_array(path, variable).ravel() for name, variable in _SPLITS.items()}
        both = np.concatenate(list(numbers.values()))
        if not ((both >= 1) & (both == np.round(both))).all() or len(set(both)) != len(both):
            raise UserError(
                f"{path}: not the official split: its numbers must be whole, from 1, each once; "
                "restore the file from the data set's page"
            )
        return [int(number) for number in numbers[split]]


def _count(path: Path, variables: list[str]) -> int:
    """Returns the number of images in the file, after a look at its variables."""
    counts = set()
    with _opened(path) as file:
        for name in variables:
            if name not in file or not hasattr(file[name], "dtype"):
                raise UserError(f"{path}: has no `{name}`; is it {FILE} from the data set's page?")
            data = file[name]
            counts.add(data.shape[0] if data.shape else 0)
            tail, kind = ((3, 640, 480), "u1") if name == "images" else ((640, 480), "f")
            if data.shape[1:] != tail or kind not in (data.dtype.str[1:], data.dtype.kind):
                raise UserError(
                    f"{path}: `{name}` is {data.shape} of {data.dtype}, and not (1449, "
                    f"{', '.join(map(str, tail))}) of {'uint8' if kind == 'u1' else 'float32'}; "
                    "restore the file"
                )
    if len(counts) > 1:
        raise UserError(
            f"{path}: {' and '.join(variables)} have different lengths; restore the file"
        )
    return counts.pop()


def _read(path: Path, variable: str, index: int) -> np.ndarray:
    """Returns one entry of a variable. The file is opened anew: any thread or process may ask."""
    with _opened(path) as file:
        entry = file[variable][index]
    if not entry.any():  # HDF5 gives zeros for a block that a damaged index does not lead to
        raise UserError(
            f"{path}: `{variable}` has only zeros at image {index + 1}, so the file is corrupt; "
            "restore it"
        )
    return entry


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        import h5py
    except ImportError:
        raise UserError(f"{path}: reading it needs h5py: pip install 'kdepth[nyu]'") from None
    try:
        with h5py.File(path, "r") as file:
            yield file
    except UserError:
        raise
    except Exception as error:  # HDF5 may fail in any way on damaged bytes
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{path}: truncated, corrupt or not a MATLAB 7.3 file ({reason}); restore it"
        ) from None
