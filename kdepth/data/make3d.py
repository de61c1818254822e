"""Make3D: photographs of buildings and trees with a coarse laser scan, 400 to train, 134 to test.

Download page: "Make3D: Convert your still image into 3D model", http://make3d.cs.cornell.edu/data.html,
"Make3D Laser+Image data (Dataset 1)". The archives, beside each other in one folder:

    Train400Img.tar.gz    Train400Img/img-<name>.jpg       Test134.tar.gz       Test134/img-<name>.jpg
    Train400Depth.tgz     Train400Depth/                   Test134Depth.tar.gz  Gridlaserdata/
                            depth_sph_corr-<name>.mat                             depth_sph_corr-<name>.mat

Images are 1704x2272 (portrait). A `.mat` file holds `Position3DGrid` [55, 305, 4]: vertical,
horizontal, projective depth, depth; metres. The last one is the distance along the ray, and it is
what the published evaluations call depth; so does this reader. The grid's cells cover the image and
are no pixels.

Source: Saxena, Sun, Ng, "Make3D: Learning 3D scene structure from a single still image", PAMI 2009.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from pathlib import Path
from typing import ClassVar

import numpy as np

from kdepth.data import frames, splits
from kdepth.data.cropped_views import CroppedImage, Window
from kdepth.data.image import image_size
from kdepth.data.matlab import read_array
from kdepth.data.options import Option
from kdepth.data.sample import Record
from kdepth.errors import UserError
from kdepth.geometry.camera import Camera

CROPS = ("centre", "none")
GRID = (55, 305)  # rows, columns of the laser
# The camera of the authors' own code (pixels, images of 1704x2272); the data set says nothing.
CAMERA = Camera(2407.3313, 2400.2092, 833.7210, 1110.7122, 1704, 2272)
_FARTHEST = 1000.0  # metres; the laser ends at about 81, so what lies beyond is damage
# Where the archives, and copies of them that are around, have images and scans.
_FOLDERS = {
    "train": (("Train400Img",), ("Train400Depth",)),
    "test": (
        ("Test134", "Test134Img"),
        ("Gridlaserdata", "Test134Depth/Gridlaserdata", "Test134Depth"),
    ),
}
_FORM = "`img-<name>`, for example `img-10.21op2-p-015t000`"


@dataclasses.dataclass(frozen=True)
class LaserGrid:
    """A laser scan, or some of its rows; a `DepthSource`.

    Attributes:
        path: the `.mat` file.
        rows: first and end (excluded) of the rows that are taken.
    """

    path: Path
    rows: tuple[int, int] = (0, GRID[0])

    def load(self) -> np.ndarray:
        """Returns [rows, 305] float32, metres along the ray, 0 = not measured."""
        grid = read_array(self.path, "Position3DGrid")
        if grid.shape != (*GRID, 4) or not np.issubdtype(grid.dtype, np.floating):
            raise UserError(
                f"{self.path}: `Position3DGrid` is {grid.shape} of {grid.dtype}, and not "
                f"{(*GRID, 4)} of metres; restore or remove the file"
            )
        depth = grid[slice(*self.rows), :, 3]
        measured = np.isfinite(depth)
        if not ((depth >= 0) & (depth < _FARTHEST))[measured].all():
            raise UserError(
                f"{self.path}: impossible depths, so it is corrupt; restore or remove it"
            )
        return np.where(measured, depth, 0).astype(np.float32)


class Make3D:
    """Reader of Make3D.

    Args:
        data_dir: the folder that holds `Test134` and `Gridlaserdata`, or `Train400Img` and
            `Train400Depth`.
        crop: "centre": the middle of the image, twice as wide as high, and the 21 rows of the scan
            that belong to it, as the papers since Godard 2017 score it; or "none".
        on_missing: "stop" or "skip": what a listed image that is not on disk, or no image, does. Missing scans
            are always tolerated, counted and reported.

    Raises:
        UserError: if the folder is missing, empty or has another layout.
    """

    name: ClassVar[str] = "make3d"
    keys: ClassVar[frozenset[str]] = frozenset(["image", "intrinsics", "depth", "index"])

    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "crop",
            "The middle of the image, twice as wide as high, as it is scored since Godard 2017, or "
            "all of it.",
            "centre",
            choices=CROPS,
        ),
    )

    def __init__(
        self, data_dir: str | os.PathLike[str], crop: str = "centre", on_missing: str = "stop"
    ) -> None:
        if crop not in CROPS:
            raise ValueError(f"`crop` is one of {CROPS}, received {crop!r}")
        self.root = frames.check_folder(data_dir, self.name)
        self._crop, self._on_missing = crop, on_missing
        self._parts = [part for part in _FOLDERS if self._images(part)]
        if not self._parts:
            raise UserError(
                f"{self.root}: no images here; expected Test134/img-<name>.jpg (or Train400Img) "
                "below --data_dir"
            )

    def splits(self) -> list[str]:
        """Returns `train` and `test` if there, `all` (both), and own lists."""
        return [*self._parts, "all", *frames.own_splits(self.root / "splits")]

    def records(
        self, split: str, keys: frozenset[str], offsets: tuple[int, ...] = (-1, 1)
    ) -> list[Record]:
        """Lists the samples of a split, in the order of their names; see `Reader.records`.

        There are no neighbour frames, so `offsets` has no effect.
        """
        listed = {part: [(part, name) for name in sorted(self._images(part))] for part in _FOLDERS}
        named = {**{part: listed[part] for part in self._parts}, "all": sum(listed.values(), [])}
        if split in named:
            entries = named[split]
        else:
            path = frames.list_file(split, self.root / "splits", self.splits())
            names = splits.read_names(path, _FORM)
            entries = [(self._part_of(name), name.replace("img-", "", 1)) for name in names]
        missing = frames.Missing(f"{self.name}, split {split}", self._on_missing)
        return missing.complete(self._record(part, name, keys, missing) for part, name in entries)

    def _part_of(self, name: str) -> str:
        name = name.replace("img-", "", 1)
        return next((part for part in self._parts if name in self._images(part)), self._parts[0])

    def _record(
        self, part: str, name: str, keys: frozenset[str], missing: frames.Missing
    ) -> Record | None:
        path = self._images(part).get(name)
        if path is None:
            missing.image(self.root / _FOLDERS[part][0][0] / f"img-{name}")
            return None
        try:
            width, height = image_size(path)
        except UserError:
            if self._on_missing == "stop":
                raise
            missing.tolerated("a readable image", path)
            return None
        if abs(width / height - CAMERA.width / CAMERA.height) > 0.01:
            raise UserError(
                f"{path}: is {width}x{height}, but Make3D's images are {CAMERA.width}x"
                f"{CAMERA.height}; give them, or smaller copies of the whole images"
            )
        top, kept, rows = 0, height, (0, GRID[0])
        if self._crop == "centre":
            kept = width // 2
            top = (height - kept) // 2
            grid_rows = round(GRID[0] * kept / height)
            rows = ((GRID[0] - grid_rows) // 2, (GRID[0] + grid_rows) // 2)
        depth = None
        if "depth" in keys:
            scan = self._scans(part).get(name)
            if scan is None:
                missing.tolerated("measured depth", path)
                return None
            depth = LaserGrid(scan, rows)
        return Record(
            name=f"img-{name}",
            image=CroppedImage(path, Window(0, top, width, kept, (width, height))),
            camera=CAMERA.resize(width, height).crop(0, top, width, kept),
            depth=depth,
            depth_size=(rows[1] - rows[0], GRID[1]),
        )

    @functools.cache  # noqa: B019 (a reader lives as long as its process needs it)
    def _images(self, part: str) -> dict[str, Path]:
        return self._named(_FOLDERS[part][0], "img-", frames.IMAGE_SUFFIXES)

    @functools.cache  # noqa: B019
    def _scans(self, part: str) -> dict[str, Path]:
        return self._named(_FOLDERS[part][1], "depth_sph_corr-", (".mat",))

    def _named(self, folders: tuple[str, ...], head: str, suffixes: tuple[str, ...]) -> dict:
        """Returns the files of the first folder that has any, by their name without the head."""
        for folder in folders:
            files = frames.named_files(self.root / folder, suffixes)
            found = {n[len(head) :]: path for n, path in files.items() if n.startswith(head)}
            if found:
                return found
        return {}
