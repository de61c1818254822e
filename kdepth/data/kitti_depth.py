"""KITTI depth: the accumulated lidar of the depth benchmark ("improved ground truth") for KITTI raw.

Download page: "KITTI depth prediction evaluation",
https://www.cvlibs.net/datasets/kitti/eval_depth.php?benchmark=depth_prediction, `data_depth_annotated.zip`:

    train/<drive>_sync/proj_depth/groundtruth/image_02/<10 digits>.png    (image_03; val likewise)

16-bit grey, 256 * metres, 0 = not measured. The first and last five frames of a drive have none. The
archive has no images: they are KITTI raw's. `--data_dir` holds raw's date folders, and the archive
unpacked beside them (`train`, `val`, or `data_depth_annotated` with both), or merged into the drives.

Source: Uhrig, Schneider, Schneider, Franke, Brox, Geiger, "Sparsity invariant CNNs", 3DV 2017.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

from kdepth.data import frames, splits
from kdepth.data.kitti_raw import DEPTH_ARCHIVES, KittiRaw
from kdepth.data.options import Option
from kdepth.errors import UserError

_CAMERAS = ("02", "03")
_PARTS = ("train", "val")


class KittiDepth(KittiRaw):
    """Reader of KITTI depth: KITTI raw's samples that have accumulated ground truth.

    Args:
        data_dir: the folder that holds raw's date folders, and `train` and `val` of the archive.
        on_missing: "stop" or "skip": what a listed image that is not on disk does. Frames without
            ground truth are always tolerated, counted and reported.

    Raises:
        UserError: if the folder is missing or empty, or has no drives or no ground truth.
    """

    name: ClassVar[str] = "kitti_depth"
    options: ClassVar[tuple[Option, ...]] = ()

    def __init__(self, data_dir: str | os.PathLike[str], on_missing: str = "stop") -> None:
        super().__init__(data_dir, depth="groundtruth", on_missing=on_missing)
        if not any(self._annotated(part) for part in (*_PARTS, "all")):
            raise UserError(
                f"{self.root}: no ground truth here; expected "
                "train/<drive>_sync/proj_depth/groundtruth/image_02 (data_depth_annotated.zip) below "
                "--data_dir, beside the date folders of KITTI raw"
            )

    def splits(self) -> list[str]:
        """Returns `train` and `val` if they are there, the lists of KITTI raw, own lists, `all`."""
        return [*(part for part in _PARTS if self._annotated(part)), *super().splits()]

    def _entries(self, split: str) -> list[splits.Entry]:
        """Lists the frames of a split.

        `train` and `val` are the archive's own: both cameras of its drives. `all` is every left
        image with ground truth.
        """
        if split not in (*_PARTS, "all") or not self._annotated(split):
            return frames.entries_of(
                split, self.package_splits, self.root / "splits", [*_PARTS, "all"]
            )
        return [
            splits.Entry(drive.name, frame, right=camera == "03")
            for drive in self._annotated(split)
            for camera in (_CAMERAS if split in _PARTS else _CAMERAS[:1])
            for frame in sorted(self._depth_maps(drive, "groundtruth", camera))
        ]

    def _annotated(self, part: str) -> list[Path]:
        """Returns the drives with ground truth: of `train` or `val`, or all that have images."""
        if part == "all":
            drives = self._drives.values()
            return [drive for drive in drives if self._depth_maps(drive, "groundtruth", "02")]
        folders = [self.root / name for name in DEPTH_ARCHIVES if name.split("/")[-1] == part]
        return [
            folder
            for parent in folders
            for folder in sorted(parent.glob("*_drive_*"))
            if (folder / "proj_depth/groundtruth").is_dir()
        ]
