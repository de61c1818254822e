"""Tiny data sets in KITTI's layouts: random pictures, honest calibration."""

from __future__ import annotations

import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

WIDTH, HEIGHT, FOCAL, BASELINE = 48, 32, 30.0, 0.5
DATE, DRIVE = "2011_09_26", "2011_09_26_drive_0001_sync"
FRAMES = 8

# Velodyne axes (forward, left, up) to camera axes (right, down, forward).
VELO_TO_CAM = "R: 0 -1 0 0 0 -1 1 0 0\nT: 0 0 0\n"


def numbers(values) -> str:
    return " ".join(f"{float(value):.12e}" for value in np.ravel(values))


def projection(shift: float = 0.0) -> np.ndarray:
    """[3, 4] projection of a camera that lies `shift` metres to the right."""
    intrinsics = np.array([[FOCAL, 0, 23.0], [0, FOCAL, 15.5], [0, 0, 1]])
    return intrinsics @ np.array([[1, 0, 0, -shift], [0, 1, 0, 0], [0, 0, 1, 0]])


def picture(seed: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def motion(frame: int) -> np.ndarray:
    """Pose of the left camera at a frame, camera_i -> camera_0: forward, with a gentle turn."""
    angle = 0.02 * frame
    pose = np.eye(4)
    pose[:3, :3] = [
        [np.cos(angle), 0, np.sin(angle)],
        [0, 1, 0],
        [-np.sin(angle), 0, np.cos(angle)],
    ]
    pose[:3, 3] = 0.1 * frame, 0.0, 0.8 * frame
    return pose


@pytest.fixture
def kitti_raw(tmp_path: Path) -> Path:
    """A KITTI raw root with one drive of 8 frames: both cameras, scans, poses."""
    root = tmp_path / "raw"
    calibration = [
        "calib_time: 09-Jan-2012 13:57:47",
        f"S_rect_02: {WIDTH} {HEIGHT}",
        f"S_rect_03: {WIDTH} {HEIGHT}",
        f"R_rect_00: {numbers(np.eye(3))}",
        f"P_rect_02: {numbers(projection())}",
        f"P_rect_03: {numbers(projection(BASELINE))}",
    ]
    write_text(root / DATE / "calib_cam_to_cam.txt", "\n".join(calibration) + "\n")
    write_text(root / DATE / "calib_velo_to_cam.txt", VELO_TO_CAM)
    write_text(root / DATE / "calib_imu_to_velo.txt", "R: 1 0 0 0 1 0 0 0 1\nT: 0 0 0\n")
    drive = root / DATE / DRIVE
    for frame in range(FRAMES):
        save(drive / f"image_02/data/{frame:010d}.png", picture(frame))
        save(drive / f"image_03/data/{frame:010d}.png", picture(100 + frame))
        scan = np.random.default_rng(frame).uniform([4, -3, -2, 0], [20, 3, 2, 1], (200, 4))
        path = drive / f"velodyne_points/data/{frame:010d}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        scan.astype("<f4").tofile(path)
    rows = [numbers(motion(frame)[:3]) for frame in range(FRAMES)]
    write_text(drive / "poses_cam2.txt", "\n".join(rows) + "\n")
    return root


@pytest.fixture
def kitti_odometry(tmp_path: Path) -> Path:
    """A KITTI odometry root: sequence 00 in colour and grey with poses, 09 in grey only."""
    root = tmp_path / "odometry"
    # The reference is the left grey camera; the colour cameras lie 0.1 m beside their grey ones.
    shifts = {"P0": 0.0, "P1": BASELINE, "P2": 0.1, "P3": 0.1 + BASELINE}
    calibration = "".join(f"{key}: {numbers(projection(s))}\n" for key, s in shifts.items())
    for sequence, cameras in (("00", (0, 1, 2, 3)), ("09", (0, 1))):
        write_text(root / "sequences" / sequence / "calib.txt", calibration)
        for camera in cameras:
            for frame in range(4):
                image = picture(1000 * camera + frame)
                image = image if camera > 1 else image[..., 0]
                save(root / f"sequences/{sequence}/image_{camera}/{frame:06d}.png", image)
    rows = [numbers(motion(frame)[:3]) for frame in range(4)]
    write_text(root / "poses/00.txt", "\n".join(rows) + "\n")
    return root


@pytest.fixture
def kitti_stereo(tmp_path: Path) -> Path:
    """A KITTI stereo 2015 root: four pairs with disparity and calibration."""
    root = tmp_path / "stereo"
    for number in range(4):
        name = f"{number:06d}_10.png"
        save(root / "training/image_2" / name, picture(number))
        save(root / "training/image_3" / name, picture(50 + number))
        disparity = np.zeros((HEIGHT, WIDTH), np.uint16)
        disparity[4:20, 10:40] = 256 * 3 + 64 * number
        save(root / "training/disp_noc_0" / name, disparity)
        text = f"P_rect_02: {numbers(projection())}\nP_rect_03: {numbers(projection(BASELINE))}\n"
        write_text(root / f"training/calib_cam_to_cam/{number:06d}.txt", text)
    return root


@pytest.fixture
def layout() -> types.SimpleNamespace:
    """The numbers and helpers with which the data sets of this file are written."""
    return types.SimpleNamespace(
        width=WIDTH,
        height=HEIGHT,
        focal=FOCAL,
        baseline=BASELINE,
        date=DATE,
        drive=DRIVE,
        frames=FRAMES,
        motion=motion,
        numbers=numbers,
        picture=picture,
        save=save,
        write_text=write_text,
    )
