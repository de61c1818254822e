"""KITTI stereo 2015: 200 pairs, `training/image_2/<6 digits>_10.png`, `image_3`, `disp_noc_0`.

Source: Menze, Geiger, "Object scene flow for autonomous vehicles", CVPR 2015.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import ClassVar

from kdepth.data import frames, splits
from kdepth.data.image import image_size
from kdepth.data.kitti_calibration import Calibration, baseline_of, camera_of
from kdepth.data.options import Option
from kdepth.data.sample import DisparityPng, Record
from kdepth.errors import UserError
from kdepth.geometry.camera import Camera

# The archive with the images has no calibration, but the image width tells the recording date,
# hence the rectified camera: width -> (focal length, cx, cy) of P_rect_02 of 2011_09_26, 10_03,
# 09_28, 09_29 and 09_30, pixels.
_CAMERAS = {
    1242: (721.5377, 609.5593, 172.8540),
    1241: (718.8560, 607.1928, 185.2157),
    1224: (707.0493, 604.0814, 180.5066),
    1238: (718.3351, 600.3891, 181.5122),
    1226: (707.0912, 601.8873, 183.1104),
}
_BASELINE = 0.5327  # metres, cameras 2 and 3; it differs by less than 1 mm from date to date
_ROUNDED_BASELINE = 0.54  # metres, as monodepth's evaluation has it for truth and prediction
RIGS = ("calibrated", "rounded")
_TAIL = "_10"  # the first frame of each scene; the second, _11, has no disparity of its own


class KittiStereo2015:
    """Reader of KITTI stereo 2015.

    Args:
        data_dir: the folder that holds `training` (and `testing`).
        rig: "calibrated" (the calibration archive's files where they are there), or "rounded": the
            focal length of the image width and a baseline of 0.54 m, as in monodepth's evaluation.
        on_missing: "stop" or "skip": what a listed image that is not on disk does.

    Raises:
        UserError: if the folder is missing, empty or has another layout.
    """

    name: ClassVar[str] = "kitti_stereo2015"
    keys: ClassVar[frozenset[str]] = frozenset(
        ["image", "stereo", "intrinsics", "stereo_intrinsics", "baseline", "depth", "index"]
    )
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "rig",
            "Focal length and baseline from the calibration, or from the image's width and 0.54 m, as "
            "in monodepth's evaluation.",
            "calibrated",
            choices=RIGS,
        ),
    )

    def __init__(
        self,
        data_dir: str | os.PathLike[str],
        on_missing: str = "stop",
        rig: str = "calibrated",
    ) -> None:
        if rig not in RIGS:
            raise ValueError(f"`rig` is one of {RIGS}, received {rig!r}")
        self.root = frames.check_folder(data_dir, self.name)
        self._rounded = rig == "rounded"
        self._on_missing = on_missing
        self._parts = [
            name for name in ("training", "testing") if (self.root / name / "image_2").is_dir()
        ]
        if not self._parts:
            raise UserError(
                f"{self.root}: no stereo pairs here; expected training/image_2 below --data_dir"
            )

    def splits(self) -> list[str]:
        """Returns `training` and `testing` (images only) if there, `all` (both), and own lists."""
        return [*self._parts, "all", *frames.own_splits(self.root / "splits")]

    def records(
        self, split: str, keys: frozenset[str], offsets: tuple[int, ...] = (-1, 1)
    ) -> list[Record]:
        """Lists the samples of a split; see `Reader.records`.

        There are no neighbour frames, so `offsets` has no effect.
        """
        named = {"all": self._parts, **{name: [name] for name in self._parts}}
        if split in named:
            entries = [
                splits.Entry(part, frame)
                for part in named[split]
                for frame in sorted(self._frames(part, "image_2"))
            ]
        else:
            entries = frames.entries_of(split, [], self.root / "splits", list(named))
        missing = frames.Missing(f"{self.name}, split {split}", self._on_missing)
        found = [self._record(entry, keys, missing) for entry in entries]
        found = [record for record in found if record is not None]
        missing.report(len(found))
        return found

    def _record(
        self, entry: splits.Entry, keys: frozenset[str], missing: frames.Missing
    ) -> Record | None:
        part, frame = entry.drive, entry.frame
        name = f"{part} {frame:06d}"
        if entry.right:
            missing.tolerated("a left view as target", name)
            return None
        views = []
        for folder in ("image_2", "image_3") if "stereo" in keys else ("image_2",):
            path = self._frames(part, folder).get(frame)
            if path is None:
                missing.image(self.root / part / folder / f"{frame:06d}{_TAIL}")
                return None
            views.append(path)
        camera, right, baseline = self._rig(part, frame, views[0])
        depth = None
        if "depth" in keys:
            disparity = self._frames(part, "disp_noc_0").get(frame)
            if disparity is None:
                missing.tolerated("measured depth", views[0])
                return None
            depth = DisparityPng(disparity, camera.fx, baseline)
        return Record(
            name=name,
            image=views[0],
            camera=camera,
            stereo=views[1] if len(views) > 1 else None,
            stereo_camera=right,
            baseline=baseline,
            depth=depth,
        )

    @functools.cache  # noqa: B019 (a reader lives as long as its process needs it)
    def _frames(self, part: str, folder: str) -> dict[int, Path]:
        return frames.numbered_files(self.root / part / folder, tail=_TAIL)

    def _rig(self, part: str, frame: int, image: Path) -> tuple[Camera, Camera, float]:
        """Returns left camera, right camera and baseline: from calibration, else by the width."""
        width, height = image_size(image)
        folder = self.root / part / "calib_cam_to_cam"
        if folder.is_dir() and not self._rounded:
            calibration = Calibration(folder / f"{frame:06d}.txt")
            left, right = (calibration.projection(f"P_rect_{number}") for number in ("02", "03"))
            baseline = baseline_of(left, right, calibration.path)
            return camera_of(left, width, height), camera_of(right, width, height), baseline
        if width not in _CAMERAS:
            remedy = (
                "a protocol with the calibrated rig reads the calibration archive's files"
                if self._rounded
                else f"put the calibration archive's files into {folder}"
            )
            raise UserError(f"{image}: is {width} pixels wide, which no KITTI camera is; {remedy}")
        focal, cx, cy = _CAMERAS[width]
        camera = Camera(focal, focal, cx, cy, width, height)
        return camera, camera, _ROUNDED_BASELINE if self._rounded else _BASELINE
