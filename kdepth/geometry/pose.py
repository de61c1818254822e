"""Rigid motions as 4x4 matrices, in the parametrisations of all five papers.

`T_to_from` takes points of the frame `from` to the frame `to`: X_to = T_to_from X_from, so T_c_a =
T_c_b T_b_a. A pose vector is (tx, ty, tz, rx, ry, rz), metres and radians. NumPy arrays (then the
result is one) and the tensors of any backend work; leading axes are free.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

ROTATIONS: tuple[str, ...] = ("euler_xyz", "axis_angle")

# -- rotations


def euler_xyz(angles: Any, clip: bool = False) -> Any:
    """Rotation about the fixed axes z, then y, then x: R = Rx(rx) Ry(ry) Rz(rz).

    Args:
        angles: [..., 3] rx, ry, rz in radians, right-handed.
        clip: limit the angles to [-pi, pi] first (Zhou's released code).

    Returns:
        [..., 3, 3].

    Source: Zhou 2017 and SC-Depth, released code.
    """
    angles, n = _with_namespace(angles)
    if clip:
        angles = n.clip(angles, -np.pi, np.pi)
    sine, cosine = n.sin(angles), n.cos(angles)
    sx, sy, sz = (sine[..., i : i + 1] for i in range(3))
    cx, cy, cz = (cosine[..., i : i + 1] for i in range(3))
    return _matrix(
        n,
        (cy * cz, -cy * sz, sy),
        (sx * sy * cz + cx * sz, cx * cz - sx * sy * sz, -sx * cy),
        (sx * sz - cx * sy * cz, cx * sy * sz + sx * cz, cx * cy),
    )


def axis_angle(vector: Any) -> Any:
    """Rotation about an axis by the vector's length (Rodrigues), with finite gradients at zero.

    Args:
        vector: [..., 3] axis times angle in radians.

    Returns:
        [..., 3, 3].
    """
    vector, n = _with_namespace(vector)
    square = n.sum(vector * vector, axis=-1, keepdims=True)
    small = square < 1e-8
    angle = n.sqrt(n.where(small, n.ones_like(square), square))
    # sin a / a and (1 - cos a) / a^2; the latter as half-angle sine, which does not cancel.
    sinc = n.where(small, 1.0 - square / 6.0, n.sin(angle) / angle)
    versine = n.where(small, 0.5 - square / 24.0, 0.5 * (n.sin(0.5 * angle) / (0.5 * angle)) ** 2)
    x, y, z = (vector[..., i : i + 1] for i in range(3))
    return _matrix(
        n,
        (1.0 - versine * (y * y + z * z), versine * x * y - sinc * z, versine * x * z + sinc * y),
        (versine * x * y + sinc * z, 1.0 - versine * (x * x + z * z), versine * y * z - sinc * x),
        (versine * x * z - sinc * y, versine * y * z + sinc * x, 1.0 - versine * (x * x + y * y)),
    )


def quaternion(q: Any) -> Any:
    """Rotation of a quaternion of any length but zero.

    Args:
        q: [..., 4] x, y, z, w.

    Returns:
        [..., 3, 3].
    """
    q, n = _with_namespace(q)
    x, y, z, w = (q[..., i : i + 1] for i in range(4))
    s = 2.0 / n.sum(q * q, axis=-1, keepdims=True)
    return _matrix(
        n,
        (1.0 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w)),
        (s * (x * y + z * w), 1.0 - s * (x * x + z * z), s * (y * z - x * w)),
        (s * (x * z - y * w), s * (y * z + x * w), 1.0 - s * (x * x + y * y)),
    )


def to_euler_xyz(rotation: Any) -> Any:
    """The angles [..., 3] of rotations [..., 3, 3]: the inverse of `euler_xyz`.

    ry lies in [-pi/2, pi/2]. At its ends rx and rz are not defined apart, and what is returned need
    not give the rotation back.
    """
    rotation, n = _with_namespace(rotation)
    r = functools.partial(_entry, rotation)
    return n.concatenate(
        [
            n.arctan2(-r(1, 2), r(2, 2)),
            n.arctan2(r(0, 2), n.sqrt(r(1, 2) * r(1, 2) + r(2, 2) * r(2, 2))),
            n.arctan2(-r(0, 1), r(0, 0)),
        ],
        -1,
    )


def to_quaternion(rotation: Any) -> Any:
    """The unit quaternions [..., 4] (x, y, z, w >= 0) of rotations [..., 3, 3]."""
    rotation, n = _with_namespace(rotation)
    r = functools.partial(_entry, rotation)
    xx, yy, zz = r(0, 0), r(1, 1), r(2, 2)
    xy, xz, yz = r(0, 1) + r(1, 0), r(0, 2) + r(2, 0), r(1, 2) + r(2, 1)
    wx, wy, wz = r(2, 1) - r(1, 2), r(0, 2) - r(2, 0), r(1, 0) - r(0, 1)
    # 4 q_i q for i = x, y, z, w: take the one of the largest |q_i|, which does not cancel.
    choices = (
        (1.0 + xx - yy - zz, xy, xz, wx),
        (xy, 1.0 - xx + yy - zz, yz, wy),
        (xz, yz, 1.0 - xx - yy + zz, wz),
        (wx, wy, wz, 1.0 + xx + yy + zz),
    )
    best, q = choices[3][3], n.concatenate(choices[3], -1)
    for i in range(3):
        better = choices[i][i] > best
        best = n.where(better, choices[i][i], best)
        q = n.where(better, n.concatenate(choices[i], -1), q)
    q = q / n.sqrt(n.sum(q * q, axis=-1, keepdims=True))
    return n.where(q[..., 3:] < 0.0, -q, q)


def to_axis_angle(rotation: Any) -> Any:
    """The vectors [..., 3], no longer than pi, of rotations [..., 3, 3]: inverts `axis_angle`."""
    q = to_quaternion(rotation)
    q, n = _with_namespace(q)
    axis, w = q[..., :3], q[..., 3:]
    square = n.sum(axis * axis, axis=-1, keepdims=True)
    small = square < 1e-12
    sine = n.sqrt(n.where(small, n.ones_like(square), square))
    return axis * n.where(small, 2.0 * n.ones_like(w), 2.0 * n.arctan2(sine, w) / sine)


# -- motions


def from_parts(rotation: Any, translation: Any) -> Any:
    """The matrix [..., 4, 4] of a rotation [..., 3, 3] and a translation [..., 3], metres."""
    rotation, n = _with_namespace(rotation)
    translation, _ = _with_namespace(translation)
    last = n.concatenate([n.zeros_like(translation), n.ones_like(translation[..., :1])], -1)
    upper = n.concatenate([rotation, translation[..., None]], -1)
    return n.concatenate([upper, last[..., None, :]], -2)


def from_vector(vector: Any, rotation: str = "euler_xyz", clip: bool = False) -> Any:
    """The matrix of a pose vector.

    Args:
        vector: [..., 6] tx, ty, tz, rx, ry, rz.
        rotation: what the last three are: "euler_xyz" or "axis_angle".
        clip: as in `euler_xyz`.

    Returns:
        [..., 4, 4].

    Raises:
        ValueError: for another `rotation`.
    """
    vector, _ = _with_namespace(vector)
    _check(rotation)
    angles = vector[..., 3:]
    matrix = euler_xyz(angles, clip) if rotation == "euler_xyz" else axis_angle(angles)
    return from_parts(matrix, vector[..., :3])


def to_vector(matrix: Any, rotation: str = "euler_xyz") -> Any:
    """The pose vector [..., 6] of a matrix [..., 4, 4]: the inverse of `from_vector`."""
    matrix, n = _with_namespace(matrix)
    _check(rotation)
    to_angles = to_euler_xyz if rotation == "euler_xyz" else to_axis_angle
    return n.concatenate([matrix[..., :3, 3], to_angles(matrix[..., :3, :3])], -1)


def invert(matrix: Any) -> Any:
    """T_from_to of T_to_from, both [..., 4, 4]; for rigid motions only."""
    matrix, n = _with_namespace(matrix)
    transposed = n.stack([matrix[..., :3, i] for i in range(3)], -2)
    return from_parts(transposed, -(transposed @ matrix[..., :3, 3:])[..., 0])


def compose(*matrices: Any) -> Any:
    """The product T_d_c T_c_b T_b_a ... of motions [..., 4, 4]: the rightmost is applied first."""
    return functools.reduce(lambda left, right: left @ right, matrices)


def consecutive(vectors: Any, target: int) -> Any:
    """Motions between consecutive frames, from motions that all start at one of them.

    Args:
        vectors: [..., N - 1, 6] pose vectors from the target frame to each of the others, in time
            order.
        target: the target's place among the N frames.

    Returns:
        [..., N - 1, 4, 4]: T_{k+1 <- k}, from frame k's coordinates to the next one's.
    """
    vectors, n = _with_namespace(vectors)
    still = n.zeros_like(vectors[..., :1, :])
    from_target = from_vector(
        n.concatenate([vectors[..., :target, :], still, vectors[..., target:, :]], -2)
    )
    return from_target[..., 1:, :, :] @ invert(from_target[..., :-1, :, :])


# -- NumPy or tensors


def _with_namespace(x: Any) -> tuple[Any, Any]:
    """`x` and the functions for it: NumPy for arrays, numbers, lists; `keras.ops` for tensors."""
    if isinstance(x, (np.ndarray, np.generic, float, int, list, tuple)):
        x = np.asarray(x)
        return x if np.issubdtype(x.dtype, np.floating) else x.astype(np.float64), np
    from kdepth.backend import ops

    return x, ops


def _entry(matrix: Any, row: int, column: int) -> Any:
    """One entry, [..., 1]: an axis is kept, because older NumPy widens scalars to float64."""
    return matrix[..., row, column : column + 1]


def _matrix(namespace: Any, *rows: Any) -> Any:
    """[..., n, m] from n rows of m entries [..., 1]."""
    return namespace.stack([namespace.concatenate(row, -1) for row in rows], -2)


def _check(rotation: str) -> None:
    if rotation not in ROTATIONS:
        raise ValueError(f"`rotation` must be one of {', '.join(ROTATIONS)}; received '{rotation}'")
