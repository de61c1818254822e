"""KITTI raw: `<date>/<date>_drive_<NNNN>_sync/image_02/data/<10 digits>.png` and the like.

The embedded world is written in the same layout and read by the same code.

Source: Geiger, Lenz, Stiller, Urtasun, "Vision meets Robotics: The KITTI Dataset", IJRR 2013.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from kdepth.data import frames, splits
from kdepth.data.kitti_calibration import Calibration, baseline_of, camera_of, camera_shift
from kdepth.data.options import Option
from kdepth.data.sample import DepthPng, DepthSource, Record
from kdepth.data.velodyne import LIDAR_VALUES, VelodyneScan
from kdepth.errors import UserError
from kdepth.geometry.camera import Camera

DEPTHS = ("auto", "groundtruth", "proj_depth_raw", "velodyne")
_DEPTH_FOLDERS = {
    "groundtruth": "proj_depth/groundtruth",
    "proj_depth_raw": "proj_depth/velodyne_raw",
}
# Where KITTI's depth archive lies if it is not merged into the drives.
DEPTH_ARCHIVES = ("train", "val", "data_depth_annotated/train", "data_depth_annotated/val")
_DRIVE = re.compile(r"(\d{4}_\d\d_\d\d)_drive_\d+_\w+")
_EARTH_RADIUS = 6378137.0  # metres, as in KITTI's development kit


class KittiRaw:
    """Reader of KITTI raw.

    Args:
        data_dir: the folder that holds the date folders.
        depth: "groundtruth" (KITTI depth's accumulated PNGs), "proj_depth_raw" (its projected
            scans), "velodyne" (the scans themselves), or "auto": for every drive the first of these
            that it has.
        lidar_value: what a scan's depth is: "camera_z", or "velodyne_x" as in several published
            evaluations.
        on_missing: "stop" or "skip": what a listed image that is not on disk does. Missing scans
            and neighbour frames are always tolerated, counted and reported.

    Raises:
        UserError: if the folder is missing, empty or has another layout.
    """

    name: ClassVar[str] = "kitti_raw"
    keys: ClassVar[frozenset[str]] = frozenset(
        ["image", "stereo", "sources", "intrinsics", "stereo_intrinsics", "baseline", "depth"]
        + ["T_sources_image", "index"]
    )
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "depth",
            "Measured depth: KITTI depth's accumulated PNGs, its projected scans, the scans "
            "themselves, or for every drive the first of these that it has.",
            "auto",
            choices=DEPTHS,
        ),
        Option(
            "lidar_value",
            "What a scan's depth is: along the camera's axis, or along the lidar's x axis as in "
            "several published evaluations.",
            "camera_z",
            choices=LIDAR_VALUES,
        ),
    )
    package_splits: ClassVar[tuple[str, ...]] = tuple(splits.package_splits())

    def __init__(
        self,
        data_dir: str | os.PathLike[str],
        depth: str = "auto",
        lidar_value: str = "camera_z",
        on_missing: str = "stop",
    ) -> None:
        if depth not in DEPTHS or lidar_value not in LIDAR_VALUES:
            raise ValueError(f"`depth` is one of {DEPTHS}, `lidar_value` one of {LIDAR_VALUES}")
        self.root = frames.check_folder(data_dir, self.name)
        self._depth, self._lidar_value, self._on_missing = depth, lidar_value, on_missing
        self._doubled: list[Path] = []  # frames with two suffixes that were not reported yet
        # Below its own date only: the depth archive unpacks to train/<drive> and val/<drive>.
        found = (path for path in sorted(self.root.glob("*/*_drive_*")) if path.is_dir())
        self._drives = {p.name: p for p in found if p.name.startswith(f"{p.parent.name}_drive_")}
        if not self._drives:
            hint = ""
            if any(self.root.glob("*_drive_*")):
                hint = f"; it looks like one date's folder: give its parent, {self.root.parent}"
            raise UserError(
                f"{self.root}: no drives here; expected "
                f"<date>/<date>_drive_<NNNN>_sync/image_02/data below --data_dir{hint}"
            )

    def splits(self) -> list[str]:
        """Returns the split names: the package's lists, the folder's own lists and `all`."""
        return [*self.package_splits, *frames.own_splits(self.root / "splits"), "all"]

    def records(
        self, split: str, keys: frozenset[str], offsets: tuple[int, ...] = (-1, 1)
    ) -> list[Record]:
        """Lists the samples of a split; see `Reader.records`.

        `all` is every frame of the left camera. Where a split lists the right camera as a target
        and `stereo` is asked for, that target is left out: a pair's target is its left view.
        """
        entries = self._entries(split)
        missing = frames.Missing(f"{self.name}, split {split}", self._on_missing)
        found = [self._record(entry, keys, offsets, missing) for entry in entries]
        found = [record for record in found if record is not None]
        while self._doubled:
            missing.noted("frames are there as .png and .jpg; .png is taken", self._doubled.pop(0))
        missing.report(len(found))
        return found

    def _entries(self, split: str) -> list[splits.Entry]:
        if split != "all":
            return frames.entries_of(split, self.package_splits, self.root / "splits", ["all"])
        entries = [
            splits.Entry(name, frame)
            for name, drive in self._drives.items()
            for frame in sorted(self._frames(drive, "image_02/data"))
        ]
        if not entries:
            raise UserError(f"{self.root}: no images in any drive's image_02/data")
        return entries

    def _record(
        self,
        entry: splits.Entry,
        keys: frozenset[str],
        offsets: tuple[int, ...],
        missing: frames.Missing,
    ) -> Record | None:
        drive = self._drives.get(entry.drive) or self.root / self._date(entry.drive) / entry.drive
        views = frames.find_views(
            entry,
            drive,
            ("image_02/data", "image_03/data"),
            functools.partial(self._frames, drive),
            keys,
            offsets,
            missing,
            digits=10,
        )
        if views is None:
            return None
        camera_number = "03" if entry.right else "02"
        rig = self._rig(
            drive.parent, needs_right=entry.right or bool(keys & {"stereo", "baseline"})
        )
        depth = None
        if "depth" in keys:
            depth = self._depth_source(drive, camera_number, entry.frame)
            if depth is None:
                missing.tolerated("measured depth", views.image)
                return None
        poses = None
        if "T_sources_image" in keys:
            wanted = [entry.frame, *(entry.frame + offset for offset in offsets)]
            in_camera = [self._pose(drive, frame, entry.right) for frame in wanted]
            poses = frames.relative_poses(in_camera[0], in_camera[1:])
        return Record(
            name=f"{entry.drive} {camera_number} {entry.frame:010d}",
            image=views.image,
            camera=rig[1] if entry.right else rig[0],
            stereo=views.stereo,
            stereo_camera=None if entry.right else rig[1],
            baseline=rig[2],
            sources=views.sources,
            depth=depth,
            T_sources_image=poses,
        )

    def _date(self, drive: str) -> str:
        match = _DRIVE.fullmatch(drive)
        if not match:
            raise UserError(
                f"{drive!r} in the split is no KITTI raw drive; they are called like "
                "2011_09_26_drive_0001_sync"
            )
        return match[1]

    @functools.cache  # noqa: B019 (a reader lives as long as its process needs it)
    def _frames(self, drive: Path, folder: str) -> dict[int, Path]:
        self._doubled += frames.doubled_files(drive / folder)
        return frames.numbered_files(drive / folder)

    @functools.cache  # noqa: B019
    def _scans(self, drive: Path) -> dict[int, Path]:
        return frames.numbered_files(drive / "velodyne_points/data", (".bin",))

    @functools.cache  # noqa: B019
    def _calibration(self, date: Path) -> Calibration:
        return Calibration(date / "calib_cam_to_cam.txt")

    @functools.cache  # noqa: B019
    def _rig(self, date: Path, needs_right: bool) -> tuple[Camera, Camera | None, float | None]:
        """Returns left camera, right camera, baseline; the last two may be None if not needed."""
        calibration = self._calibration(date)
        left = calibration.projection("P_rect_02")
        camera = camera_of(left, *self._size(calibration, "02"))
        if not needs_right and not calibration.has("P_rect_03"):
            return camera, None, None
        right = calibration.projection("P_rect_03")
        baseline = baseline_of(left, right, calibration.path)
        # Both rectified images have one size, and some writers give it for camera 2 only.
        size = self._size(calibration, "03" if calibration.has("S_rect_03") else "02")
        return camera, camera_of(right, *size), baseline

    @staticmethod
    def _size(calibration: Calibration, camera: str) -> tuple[int, int]:
        size = calibration.matrix(f"S_rect_{camera}", 2)
        if not ((size >= 1) & (size < 1e5)).all():
            raise UserError(f"{calibration.path}: `S_rect_{camera}` is no image size")
        return int(size[0]), int(size[1])

    def _depth_source(self, drive: Path, camera: str, frame: int) -> DepthSource | None:
        kind = self._depth_kind(drive, camera)
        if kind in _DEPTH_FOLDERS:
            path = self._depth_maps(drive, kind, camera).get(frame)
            return path and DepthPng(path)
        scan = self._scans(drive).get(frame)
        if scan is None:
            return None
        width, height = self._size(self._calibration(drive.parent), "02")
        projection = self._lidar_projection(drive.parent, camera)
        return VelodyneScan(scan, projection, width, height, self._lidar_value)

    @functools.cache  # noqa: B019
    def _depth_kind(self, drive: Path, camera: str) -> str:
        """Chooses one kind of depth for a whole drive, so that its frames are comparable."""
        if self._depth != "auto":
            return self._depth
        for kind in _DEPTH_FOLDERS:
            if self._depth_maps(drive, kind, camera):
                return kind
        return "velodyne"

    @functools.cache  # noqa: B019
    def _depth_maps(self, drive: Path, kind: str, camera: str) -> dict[int, Path]:
        # The depth archive unpacks to train/<drive> and val/<drive>; most people merge it into the
        # date folders.
        beside = (self.root / archive / drive.name for archive in DEPTH_ARCHIVES)
        for folder in (drive, *beside):
            maps = frames.numbered_files(
                folder / _DEPTH_FOLDERS[kind] / f"image_{camera}", (".png",)
            )
            if maps:
                return maps
        return {}

    @functools.cache  # noqa: B019
    def _lidar_projection(self, date: Path, camera: str) -> np.ndarray:
        """Returns the 3x4 matrix velodyne -> pixels of a rectified camera."""
        calibration = self._calibration(date)
        to_camera = Calibration(date / "calib_velo_to_cam.txt").rigid()
        rectify = calibration.rotation("R_rect_00")
        return calibration.projection(f"P_rect_{camera}") @ rectify @ to_camera

    def _pose(self, drive: Path, frame: int, right: bool) -> np.ndarray:
        """Returns the pose of a frame's camera in its drive, 4x4, camera_i -> camera_0."""
        path, poses = self._drive_poses(drive)
        if frame not in poses:
            raise UserError(f"{path}: no pose for frame {frame}; it knows {len(poses)} frames")
        if not right:
            return poses[frame]
        shift = np.eye(4)  # left camera -> right camera
        shift[0, 3] = -self._rig(drive.parent, needs_right=True)[2]
        return shift @ poses[frame] @ np.linalg.inv(shift)

    @functools.cache  # noqa: B019
    def _drive_poses(self, drive: Path) -> tuple[Path, dict[int, np.ndarray]]:
        """Returns the left camera's poses by frame: from a poses file, else from oxts."""
        for name in ("poses_cam2.txt", "poses_cam2_from_oxts.txt"):
            if (drive / name).is_file():
                return drive / name, dict(enumerate(frames.read_poses(drive / name)))
        folder = drive / "oxts/data"
        packets = frames.numbered_files(folder, (".txt",))
        if not packets:
            raise UserError(
                f"{folder}: no oxts packets and no poses_cam2.txt: the camera's motion is unknown"
            )
        calibration = self._calibration(drive.parent)
        imu_to_velo = Calibration(drive.parent / "calib_imu_to_velo.txt").rigid()
        velo_to_cam = Calibration(drive.parent / "calib_velo_to_cam.txt").rigid()
        rectify = calibration.rotation("R_rect_00")
        to_camera_2 = camera_shift(calibration.projection("P_rect_02"))
        camera_from_imu = to_camera_2 @ rectify @ velo_to_cam @ imu_to_velo
        imu_poses = oxts_poses([packets[frame] for frame in sorted(packets)])
        to_first = camera_from_imu @ np.linalg.inv(imu_poses[0])
        poses = to_first @ imu_poses @ np.linalg.inv(camera_from_imu)
        return folder, dict(zip(sorted(packets), poses))


class Synthetic(KittiRaw):
    """Reader of the embedded world: KITTI raw's layout, splits of its own (`train`, `test`)."""

    name: ClassVar[str] = "synthetic"
    package_splits: ClassVar[tuple[str, ...]] = ()

    def __init__(self, data_dir: str | os.PathLike[str], **options: str) -> None:
        super().__init__(data_dir, **options)
        if not (self.root / "world.json").is_file():
            raise UserError(
                f"{self.root}: no complete embedded world (world.json is missing); render it with "
                f"`python -m kdepth.synthesize --data_dir={self.root}`"
            )


def oxts_poses(packets: Sequence[Path]) -> np.ndarray:
    """Poses of the inertial unit from GPS/IMU packets.

    Args:
        packets: files with latitude, longitude (degrees), altitude (metres), roll, pitch, yaw
            (radians), ...

    Returns:
        [N, 4, 4] unit_i -> a common metric frame (Mercator, scaled at the first latitude).

    Raises:
        UserError: if a packet cannot be read (it is named).

    Source: the development kit of KITTI raw.
    """
    poses = np.tile(np.eye(4), (len(packets), 1, 1))
    scale = None
    for pose, path in zip(poses, packets):
        try:
            values = [float(field) for field in path.read_text(encoding="utf-8").split()[:6]]
            latitude, longitude, altitude, roll, pitch, yaw = values
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: not an oxts packet ({error}); restore or remove it") from None
        scale = np.cos(np.radians(latitude)) if scale is None else scale
        east = scale * _EARTH_RADIUS * np.radians(longitude)
        north = scale * _EARTH_RADIUS * np.log(np.tan(np.radians(90 + latitude) / 2))
        pose[:3, 3] = east, north, altitude
        pose[:3, :3] = _rotation(yaw, 2) @ _rotation(pitch, 1) @ _rotation(roll, 0)
    return poses


def _rotation(angle: float, axis: int) -> np.ndarray:
    """Returns the 3x3 rotation about a coordinate axis."""
    first, second = (axis + 1) % 3, (axis + 2) % 3
    rotation = np.eye(3)
    rotation[first, first] = rotation[second, second] = np.cos(angle)
    rotation[second, first], rotation[first, second] = np.sin(angle), -np.sin(angle)
    return rotation
