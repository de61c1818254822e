"""Renders one drive and writes it as KITTI lays out a drive's folder."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import Image

from kdepth.data.world import motion
from kdepth.data.world.noise import Noise
from kdepth.data.world.raycast import Caster, View
from kdepth.data.world.render import render, scan
from kdepth.data.world.rig import Rig, rig
from kdepth.data.world.scene import Street, lay_out
from kdepth.data.world.settings import BASELINE, FRAME_SECONDS, WorldSettings
from kdepth.data.world.shadows import Shadows
from kdepth.data.world.solids import Geometry, Solids
from kdepth.data.world.textures import Painter
from kdepth.files import atomic_path

DEPTH_FOLDER = "proj_depth/groundtruth/image_02"
FARTHEST = 65535 / 256  # metres; what is farther does not fit a depth PNG and is not measured
_PNG_LEVEL = 1  # noise hardly compresses, and the default level takes three times as long
_AZIMUTHS = np.radians(np.arange(-45.0, 45.01, 0.4))
_ELEVATIONS = np.radians(np.linspace(4.0, -18.0, 32))
_LIDAR_REACH = 120.0


def write_drive(settings: WorldSettings, name: str, root: Path) -> None:
    """Renders a drive into `root/<date>/<name>`; the folder appears when it is complete.

    Args:
        settings: of the world.
        name: one of `settings.drives()`.
        root: the world's folder.
    """
    index, date = settings.drive_index(name), name[:10]
    rng = settings.rng(2, index)
    travelled = motion.distances(rng, settings.frames)
    street = lay_out(rng, float(travelled[-1]), settings.moving)
    noise = Noise(rng)
    poses = motion.camera_poses(street, rng, travelled)
    calibration = rig(settings, date)
    with atomic_path(root / date / name) as folder:
        for part in ("image_02", "image_03", "velodyne_points", "oxts"):
            (folder / part / "data").mkdir(parents=True)
        (folder / DEPTH_FOLDER).mkdir(parents=True)
        for i, pose in enumerate(poses):
            if i == 0 or street.movers:
                scene = scene_at(street, i)
                painter = Painter(street.light, noise, Shadows(scene, street.light.sun))
            for camera, offset in (("image_02", 0.0), ("image_03", BASELINE)):
                image, depth = view_image(settings, calibration, scene, painter, pose, offset)
                _save(folder / camera / "data" / f"{i:010d}.png", image)
                if camera == "image_02":
                    _save(folder / DEPTH_FOLDER / f"{i:010d}.png", encode_depth(depth))
            scan_file = folder / "velodyne_points/data" / f"{i:010d}.bin"
            scan_file.write_bytes(view_scan(calibration, scene, pose).tobytes())
        _write_motion(folder, calibration, poses, index)


def scene_at(street: Street, frame: int) -> Geometry:
    """What there is at a frame: what stands still, and the cars where they are then."""
    if not street.movers:
        return street.solids.freeze(street.ground)
    solids = Solids(**{name: list(values) for name, values in vars(street.solids).items()})
    for mover in street.movers:
        mover.add(solids, mover.start + mover.step * frame)
    return solids.freeze(street.ground)


def view_image(
    settings: WorldSettings,
    calibration: Rig,
    scene: Geometry,
    painter: Painter,
    pose: np.ndarray,
    offset: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Renders what a camera sees.

    Args:
        settings: of the world.
        calibration: of the date.
        scene: what there is.
        painter: of the scene.
        pose: [4, 4] left camera to world.
        offset: metres that the camera is right of the left one.

    Returns:
        [H, W, 3] uint8 RGB, and [H, W] float32 depth in metres, infinite for the sky.
    """
    k = calibration.intrinsics
    origin = pose[:3, :3] @ (offset, 0.0, 0.0) + pose[:3, 3]
    caster = Caster(scene, View(origin, pose[:3, :3], float(k[0, 0])))
    x = (np.arange(settings.width) - k[0, 2]) / k[0, 0]
    y = (np.arange(settings.height) - k[1, 2]) / k[1, 1]
    return render(caster, painter, x, y, settings.supersample)


def view_scan(calibration: Rig, scene: Geometry, pose: np.ndarray) -> np.ndarray:
    """The lidar's scan, cast from where the lidar is: [N, 4] float32 x, y, z, reflectance."""
    lidar = pose @ calibration.left_from_lidar
    axes = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])  # camera-like axes
    caster = Caster(scene, View(lidar[:3, 3], lidar[:3, :3] @ axes, 1.0))
    return scan(caster, _AZIMUTHS, _ELEVATIONS, _LIDAR_REACH)


def encode_depth(depth: np.ndarray) -> np.ndarray:
    """Metres to KITTI's uint16: 256ths of a metre, 0 where there is no depth or it does not fit."""
    seen = depth <= FARTHEST
    metres = np.where(seen, depth, 0.0).astype(np.float64)
    return np.round(metres * 256.0).astype(np.uint16)


def _save(path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(path, compress_level=_PNG_LEVEL)


def _write_motion(folder: Path, calibration: Rig, poses: np.ndarray, index: int) -> None:
    """Writes oxts, time stamps and the exact camera poses."""
    relative = np.linalg.inv(poses[0]) @ poses
    np.savetxt(folder / "poses_cam2.txt", relative[:, :3].reshape(len(poses), 12), fmt="%.12e")
    imu = poses @ calibration.left_from_lidar @ calibration.lidar_from_imu
    for i, record in enumerate(motion.oxts(imu)):
        numbers = [f"{v:.14f}" for v in record[:25]] + [f"{v:.0f}" for v in record[25:]]
        (folder / "oxts/data" / f"{i:010d}.txt").write_text(" ".join(numbers) + "\n")
    start = datetime(2000, 1, 1, 12) + timedelta(minutes=index)
    stamps = [start + timedelta(seconds=FRAME_SECONDS * i) for i in range(len(poses))]
    lines = [f"{stamp:%Y-%m-%d %H:%M:%S}.{stamp.microsecond * 1000:09d}\n" for stamp in stamps]
    for part in ("oxts", "image_02", "image_03", "velodyne_points"):
        (folder / part / "timestamps.txt").write_text("".join(lines))
