"""The recording car: cameras, lidar, IMU, and their calibration files in KITTI's format."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kdepth.data.world.motion import rotation
from kdepth.data.world.settings import BASELINE, DATES, FOCAL, LEFT_OFFSET, WorldSettings

# Axes: camera x right, y down, z forward; lidar and IMU x forward, y left, z up.
_CAMERA_FROM_LIDAR_AXES = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
_LIDAR_IN_CAMERA = np.array([-0.004, -0.076, -0.272])
_IMU_IN_LIDAR = np.array([-0.809, 0.320, -0.800])


@dataclass(frozen=True)
class Rig:
    """A date's calibration.

    Attributes:
        intrinsics: [3, 3] of every rectified camera, pixels.
        rectification: [3, 3] unrectified to rectified camera 0 (`R_rect_00`).
        camera_from_lidar: [4, 4] lidar to unrectified camera 0.
        lidar_from_imu: [4, 4] IMU to lidar.
    """

    intrinsics: np.ndarray
    rectification: np.ndarray
    camera_from_lidar: np.ndarray
    lidar_from_imu: np.ndarray

    @property
    def left_from_lidar(self) -> np.ndarray:
        """[4, 4] lidar to the rectified left colour camera."""
        left = np.eye(4)
        left[:3, :3] = self.rectification
        left[0, 3] = LEFT_OFFSET
        return left @ self.camera_from_lidar


def rig(settings: WorldSettings, date: str) -> Rig:
    """The calibration of a date; focal length and baseline are the same for all."""
    rng = settings.rng(1, DATES.index(date))
    width, height = settings.width, settings.height
    intrinsics = np.array(
        [
            [FOCAL * width, 0.0, (0.5 + rng.uniform(-0.015, 0.015)) * width - 0.5],
            [0.0, FOCAL * width, (0.47 + rng.uniform(-0.02, 0.02)) * height - 0.5],
            [0.0, 0.0, 1.0],
        ]
    )
    small = rng.uniform(-0.01, 0.01, 9)
    rectification = rotation(0, small[0]) @ rotation(1, small[1]) @ rotation(2, small[2])
    camera_from_lidar, lidar_from_imu = np.eye(4), np.eye(4)
    tilt = rotation(0, small[3]) @ rotation(1, small[4]) @ rotation(2, small[5])
    camera_from_lidar[:3, :3] = rectification.T @ tilt @ _CAMERA_FROM_LIDAR_AXES
    camera_from_lidar[:3, 3] = _LIDAR_IN_CAMERA
    lidar_from_imu[:3, :3] = rotation(0, small[6]) @ rotation(1, small[7]) @ rotation(2, small[8])
    lidar_from_imu[:3, 3] = _IMU_IN_LIDAR
    # What is read back from the files is what the world is rendered with, to the last digit.
    return Rig(
        *(_as_written(q) for q in (intrinsics, rectification, camera_from_lidar, lidar_from_imu))
    )


def calibration_files(settings: WorldSettings, date: str) -> dict[str, str]:
    """File name -> text of a date's three calibration files."""
    one = rig(settings, date)
    k, identity, no_shift = one.intrinsics, np.eye(3), np.zeros(3)
    lines = ["calib_time: 01-Jan-2000 12:00:00", "corner_dist: 9.950000e-02"]
    # Metres to the right of camera 0: two grey cameras, then the two colour ones.
    for camera, offset in enumerate((0.0, BASELINE, -LEFT_OFFSET, BASELINE - LEFT_OFFSET)):
        projection = np.column_stack([k, no_shift])
        projection[0, 3] = -k[0, 0] * offset
        shift = np.array([-offset, 0.0, 0.0])
        for name, values in (
            ("S", (settings.width, settings.height)),
            ("K", k),
            ("D", np.zeros(5)),
            ("R", identity),
            ("T", one.rectification.T @ shift),
            ("S_rect", (settings.width, settings.height)),
            ("R_rect", one.rectification),
            ("P_rect", projection),
        ):
            lines.append(f"{name}_{camera:02d}: {_numbers(values)}")
    cameras = "\n".join(lines) + "\n"
    return {
        "calib_cam_to_cam.txt": cameras,
        "calib_velo_to_cam.txt": _rigid(one.camera_from_lidar)
        + "delta_f: 0.0 0.0\ndelta_c: 0.0 0.0\n",
        "calib_imu_to_velo.txt": _rigid(one.lidar_from_imu),
    }


def _rigid(transform: np.ndarray) -> str:
    rows = f"R: {_numbers(transform[:3, :3])}\nT: {_numbers(transform[:3, 3])}\n"
    return f"calib_time: 01-Jan-2000 12:00:00\n{rows}"


def _numbers(values: object) -> str:
    return " ".join(f"{v:.12e}" for v in np.asarray(values, np.float64).reshape(-1))


def _as_written(values: np.ndarray) -> np.ndarray:
    return np.array([float(f"{v:.12e}") for v in values.reshape(-1)]).reshape(values.shape)
