"""How the rig moves: its path, its wobble, and the same motion as KITTI's oxts records."""

from __future__ import annotations

import numpy as np

from kdepth.data.world.scene import Street
from kdepth.data.world.settings import FRAME_SECONDS

_EARTH = 6378137.0  # metres, as KITTI's development kit has it
_LATITUDE, _LONGITUDE, _ALTITUDE = 49.0, 8.4, 115.0  # of the world's origin
_GRAVITY = 9.81
# Largest pitch, yaw and roll (radians) and sideways drift (metres) of each of two waves.
_WOBBLE = np.array([[0.006], [0.007], [0.007], [0.12]])


def distances(rng: np.random.Generator, frames: int) -> np.ndarray:
    """Metres along the street at each frame.

    Steady, speeding up, braking to a stop, or starting from one.

    Args:
        rng: the drive's generator.
        frames: how many.

    Returns:
        [frames] ascending, starting at 0.
    """
    i = np.arange(frames)
    kind = rng.choice(["cruise", "stop", "start"], p=[0.84, 0.09, 0.07])
    if kind == "cruise":
        trend = rng.uniform(-0.02, 0.02) * i
        step = rng.uniform(0.5, 1.3) + trend + 0.05 * np.sin(0.15 * i + rng.uniform(0.0, 6.0))
        step = np.clip(step, 0.15, 1.5)
    else:
        brake = rng.uniform(0.04, 0.07)  # metres per frame, each frame
        moment = rng.integers(3, max(frames - 2, 4))  # standing from, or until, here
        step = np.maximum(0.0, brake * ((moment - i) if kind == "stop" else (i - moment)))
        step = np.minimum(step, 1.2)
    return np.concatenate([[0.0], np.cumsum(step[:-1])])


def camera_poses(street: Street, rng: np.random.Generator, travelled: np.ndarray) -> np.ndarray:
    """Where the left colour camera is.

    Args:
        street: the street.
        rng: the drive's generator.
        travelled: [N] metres, from `distances`.

    Returns:
        [N, 4, 4] camera (x right, y down, z forward) to world.
    """
    ground = street.ground
    # Per metre travelled, not per second: nothing wobbles while the car stands.
    waves = 2 * np.pi * rng.uniform(0.03, 0.12, (4, 2))
    phases = rng.uniform(0.0, 2 * np.pi, (4, 2))
    sizes = rng.uniform(0.2, 1.0, (4, 2)) * _WOBBLE
    poses = np.zeros((len(travelled), 4, 4))
    for i, x in enumerate(travelled):
        pitch, yaw, roll, drift = (sizes * np.sin(waves * x + phases)).sum(1)
        px, py, angle = ground.place(x, street.lane + drift)
        uphill = ground.slope + 2 * ground.curvature * px
        east, north = np.cos(angle), np.sin(angle)
        forward = np.array([east, north, uphill * east + ground.camber * north])
        forward /= np.linalg.norm(forward)
        down = np.array([uphill, ground.camber, -1.0])
        down -= forward * (forward @ down)
        down /= np.linalg.norm(down)
        level = np.column_stack([np.cross(down, forward), down, forward])
        pitch, yaw, roll = np.add(street.rig_angles, (pitch, yaw, roll))
        turn = rotation(1, yaw) @ rotation(0, pitch) @ rotation(2, roll)
        poses[i, :3, :3] = level @ turn
        poses[i, :3, 3] = (px, py, float(ground.z(px, py)) + street.rig_height)
        poses[i, 3, 3] = 1.0
    return poses


def rotation(axis: int, angle: float) -> np.ndarray:
    """[3, 3] rotation about a coordinate axis."""
    c, s = np.cos(angle), np.sin(angle)
    matrix = np.eye(3)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix[i, i], matrix[i, j], matrix[j, i], matrix[j, j] = c, -s, s, c
    return matrix


def oxts(imu_poses: np.ndarray) -> np.ndarray:
    """KITTI's 30 numbers for each frame.

    Poses derived from them the standard way are `imu_poses`, relative to the first.

    Args:
        imu_poses: [N, 4, 4] IMU (x forward, y left, z up) to world.

    Returns:
        [N, 30]: lat, lon, alt, roll, pitch, yaw, vn, ve, vf, vl, vu, ax, ay, az, af, al, au, wx,
        wy, wz, wf, wl, wu, pos_accuracy, vel_accuracy, navstat, numsats, posmode, velmode, orimode.
    """
    turns, places = imu_poses[:, :3, :3], imu_poses[:, :3, 3]
    roll = np.arctan2(turns[:, 2, 1], turns[:, 2, 2])
    pitch = np.arctan2(-turns[:, 2, 0], np.hypot(turns[:, 2, 1], turns[:, 2, 2]))
    yaw = np.arctan2(turns[:, 1, 0], turns[:, 0, 0])
    velocity = _rate(places)
    acceleration = _rate(velocity)
    level = np.stack([rotation(2, -angle) for angle in yaw])  # world to axes ahead, left, up
    ahead, level_acceleration = (
        np.einsum("nij,nj->ni", level, q) for q in (velocity, acceleration)
    )
    felt = np.einsum("nji,nj->ni", turns, acceleration + (0.0, 0.0, _GRAVITY))
    spin = _spin(turns)
    level_spin = np.einsum("nij,nj->ni", level, np.einsum("nij,nj->ni", turns, spin))
    # Mercator, whose scale KITTI's development kit takes from the first frame's latitude.
    origin = np.log(np.tan(np.radians(90.0 + _LATITUDE) / 2))
    scale = np.cos(np.radians(_LATITUDE))
    for _ in range(20):  # the first frame's own latitude depends on the scale that follows from it
        north = places[0, 1] / (scale * _EARTH) + origin
        scale = np.cos(2 * np.arctan(np.exp(north)) - np.pi / 2)
    latitude = np.degrees(
        2 * np.arctan(np.exp(places[:, 1] / (scale * _EARTH) + origin)) - np.pi / 2
    )
    longitude = _LONGITUDE + np.degrees(places[:, 0] / (scale * _EARTH))
    status = np.tile([0.05, 0.02, 4.0, 10.0, 4.0, 4.0, 0.0], (len(yaw), 1))
    columns = [latitude, longitude, places[:, 2] + _ALTITUDE, roll, pitch, yaw]
    columns += [velocity[:, 1], velocity[:, 0], ahead, felt, level_acceleration]
    return np.column_stack([*columns, spin, level_spin, status])


def _rate(values: np.ndarray) -> np.ndarray:
    """Change per second of [N, ...] values, one frame apart."""
    return np.gradient(values, FRAME_SECONDS, axis=0) if len(values) > 1 else np.zeros_like(values)


def _spin(turns: np.ndarray) -> np.ndarray:
    """[N, 3] angular velocity in the body's axes."""
    rate = _rate(turns)
    cross = np.einsum("nji,njk->nik", turns, rate)
    return (
        np.stack(
            [
                cross[:, 2, 1] - cross[:, 1, 2],
                cross[:, 0, 2] - cross[:, 2, 0],
                cross[:, 1, 0] - cross[:, 0, 1],
            ],
            1,
        )
        / 2
    )
