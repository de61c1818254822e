"""KITTI odometry: `sequences/<NN>/image_2/<6 digits>.png`, `calib.txt`, and `poses/<NN>.txt`.

Source: Geiger, Lenz, Urtasun, "Are we ready for autonomous driving? The KITTI vision benchmark
suite", CVPR 2012.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import ClassVar

import numpy as np

from kdepth.data import frames, splits
from kdepth.data.image import image_size
from kdepth.data.kitti_calibration import Calibration, baseline_of, camera_of, camera_shift
from kdepth.data.options import Option
from kdepth.data.sample import Record
from kdepth.errors import UserError
from kdepth.geometry.camera import Camera

CAMERAS = ("auto", "colour", "grey")
# SfMLearner's and SC-Depth's use of the benchmark: poses of these sequences are published.
SPLITS = {
    "train": tuple(f"{number:02d}" for number in range(9)),
    "test": ("09", "10"),
}
# The same recordings in KITTI raw, from the benchmark's development kit (08 begins at frame 1100).
RAW_DRIVES = {
    "00": "2011_10_03_drive_0027_sync",
    "01": "2011_10_03_drive_0042_sync",
    "02": "2011_10_03_drive_0034_sync",
    "03": "2011_09_26_drive_0067_sync",
    "04": "2011_09_30_drive_0016_sync",
    "05": "2011_09_30_drive_0018_sync",
    "06": "2011_09_30_drive_0020_sync",
    "07": "2011_09_30_drive_0027_sync",
    "08": "2011_09_30_drive_0028_sync",
    "09": "2011_09_30_drive_0033_sync",
    "10": "2011_09_30_drive_0034_sync",
}


class KittiOdometry:
    """Reader of KITTI odometry.

    Args:
        data_dir: the folder that holds `sequences` (and `poses`, which only the camera's motion
            needs).
        camera: "colour" (image_2, image_3), "grey" (image_0, image_1), or "auto": for every
            sequence colour if it is there.
        on_missing: "stop" or "skip": what a listed image that is not on disk does.

    Raises:
        UserError: if the folder is missing, empty or has another layout.
    """

    name: ClassVar[str] = "kitti_odometry"
    keys: ClassVar[frozenset[str]] = frozenset(
        [
            "image",
            "stereo",
            "sources",
            "intrinsics",
            "stereo_intrinsics",
            "baseline",
            "T_sources_image",
            "index",
        ]
    )

    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "camera",
            "The colour or the grey cameras, or for every sequence colour if it is there.",
            "auto",
            choices=CAMERAS,
        ),
    )

    def __init__(
        self, data_dir: str | os.PathLike[str], camera: str = "auto", on_missing: str = "stop"
    ) -> None:
        if camera not in CAMERAS:
            raise ValueError(f"`camera` is one of {CAMERAS}, received {camera!r}")
        self.root = frames.check_folder(data_dir, self.name)
        self._camera, self._on_missing = camera, on_missing
        self._sequences = {
            path.name: path for path in sorted(self.root.glob("sequences/*")) if path.is_dir()
        }
        if not self._sequences:
            raise UserError(
                f"{self.root}: no sequences here; expected sequences/<NN>/image_2 (or image_0) "
                "below --data_dir"
            )

    def splits(self) -> list[str]:
        """Returns `train` (00 - 08), `test` (09, 10), `all`, own lists, every sequence's name."""
        return [*SPLITS, "all", *frames.own_splits(self.root / "splits"), *self._sequences]

    def records(
        self, split: str, keys: frozenset[str], offsets: tuple[int, ...] = (-1, 1)
    ) -> list[Record]:
        """Lists the samples of a split; see `Reader.records`.

        Targets of the named splits are left views.
        """
        named = {"all": list(self._sequences), **{name: [name] for name in self._sequences}}
        named.update({name: list(members) for name, members in SPLITS.items()})
        missing = frames.Missing(f"{self.name}, split {split}", self._on_missing)
        if split in named:
            entries = []
            for sequence in named[split]:
                images = self._frames(sequence, self._folders(sequence)[0])
                if not images:
                    missing.image(self.root / "sequences" / sequence / self._folders(sequence)[0])
                entries += [splits.Entry(sequence, frame) for frame in sorted(images)]
        else:
            entries = frames.entries_of(split, [], self.root / "splits", list(named))
        return missing.complete(self._record(entry, keys, offsets, missing) for entry in entries)

    def _record(
        self,
        entry: splits.Entry,
        keys: frozenset[str],
        offsets: tuple[int, ...],
        missing: frames.Missing,
    ) -> Record | None:
        folders = self._folders(entry.drive)
        views = frames.find_views(
            entry,
            self.root / "sequences" / entry.drive,
            folders,
            functools.partial(self._frames, entry.drive),
            keys,
            offsets,
            missing,
            digits=6,
        )
        if views is None:
            return None
        poses = None
        if "T_sources_image" in keys:
            in_camera = [self._pose(entry, entry.frame + offset) for offset in (0, *offsets)]
            poses = frames.relative_poses(in_camera[0], in_camera[1:])
        left, right, baseline = self._rig(entry.drive)
        return Record(
            name=f"{entry.drive} {folders[int(entry.right)]} {entry.frame:06d}",
            image=views.image,
            camera=right if entry.right else left,
            stereo=views.stereo,
            stereo_camera=None if entry.right else right,
            baseline=baseline,
            sources=views.sources,
            T_sources_image=poses,
        )

    @functools.cache  # noqa: B019 (a reader lives as long as its process needs it)
    def _folders(self, sequence: str) -> tuple[str, str]:
        colour = self._camera == "colour"
        if self._camera == "auto":
            colour = (self.root / "sequences" / sequence / "image_2").is_dir()
        return ("image_2", "image_3") if colour else ("image_0", "image_1")

    @functools.cache  # noqa: B019
    def _frames(self, sequence: str, folder: str) -> dict[int, Path]:
        return frames.numbered_files(self.root / "sequences" / sequence / folder)

    @functools.cache  # noqa: B019
    def _calibration(self, sequence: str) -> Calibration:
        return Calibration(self.root / "sequences" / sequence / "calib.txt")

    def _projection(self, sequence: str, folder: str) -> np.ndarray:
        return self._calibration(sequence).projection(f"P{folder[-1]}")

    @functools.cache  # noqa: B019
    def _rig(self, sequence: str) -> tuple[Camera, Camera, float]:
        left_folder, right_folder = self._folders(sequence)
        left = self._projection(sequence, left_folder)
        right = self._projection(sequence, right_folder)
        # calib.txt does not say the image size; all frames of a sequence have the first one's.
        images = self._frames(sequence, left_folder) or self._frames(sequence, right_folder)
        size = image_size(images[min(images)])
        baseline = baseline_of(left, right, self._calibration(sequence).path)
        return camera_of(left, *size), camera_of(right, *size), baseline

    @functools.cache  # noqa: B019
    def _poses(self, sequence: str) -> np.ndarray:
        return frames.read_poses(self.root / "poses" / f"{sequence}.txt")

    def _pose(self, entry: splits.Entry, frame: int) -> np.ndarray:
        """Returns the pose of the target camera at a frame, 4x4, camera_i -> camera_0."""
        poses = self._poses(entry.drive)
        if frame >= len(poses):
            path = self.root / "poses" / f"{entry.drive}.txt"
            raise UserError(f"{path}: {len(poses)} poses, but there is a frame {frame}")
        # The file's poses are the left grey camera's.
        folder = self._folders(entry.drive)[int(entry.right)]
        shift = camera_shift(self._projection(entry.drive, folder))
        return shift @ poses[frame] @ np.linalg.inv(shift)
