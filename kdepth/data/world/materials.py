"""What each material looks like: lane marks, paving, windows, bricks, cars.

A paint takes the base colour [3, N] and where on the surface it is, and returns the colour [3, N],
before grain, light and haze. Lengths are metres. Every line is as soft as the pixel that shows it
is wide.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kdepth.data.world import solids as m
from kdepth.data.world.solids import Ground

_BLACK, _TYRE, _GLASS = (0.05, 0.05, 0.06), (0.04, 0.04, 0.04), (0.10, 0.12, 0.15)


@dataclass(frozen=True)
class Surface:
    """N points on faces of one material.

    Attributes:
        u: [N] along the face.
        v: [N] across it, or up; on the ground, to the left of the road's centre line.
        wu: [N] how much of u a pixel covers.
        wv: [N] how much of v.
        grain: [N] the material's noise.
        style: [6, N] the faces' styles.
        ground: of the scene.
        noise: value noise of two coordinates.
    """

    u: np.ndarray
    v: np.ndarray
    wu: np.ndarray
    wv: np.ndarray
    grain: np.ndarray
    style: np.ndarray
    ground: Ground
    noise: Callable[[np.ndarray, np.ndarray], np.ndarray]


def _step(x: np.ndarray, width: np.ndarray) -> np.ndarray:
    """How much of a pixel of this width around x lies above 0."""
    return np.clip(x / np.maximum(width, 1e-4) + 0.5, 0.0, 1.0)


def _band(
    x: np.ndarray, low: np.ndarray | float, high: np.ndarray | float, width: np.ndarray
) -> np.ndarray:
    """How much of a pixel lies between low and high."""
    return _step(x - low, width) - _step(x - high, width)


def _stripes(
    x: np.ndarray, period: np.ndarray | float, filled: np.ndarray | float, width: np.ndarray
) -> np.ndarray:
    """Periodic bands, centred in each period; their mean where a pixel covers a period."""
    phase = x / period
    away = np.abs(phase - np.floor(phase) - 0.5) * period
    sharp = np.clip((0.5 * filled * period - away) / np.maximum(width, 1e-4) + 0.5, 0.0, 1.0)
    return sharp + np.clip(2.0 * width / period - 0.6, 0.0, 1.0) * (filled - sharp)


def _mix(base: np.ndarray, other: object, part: np.ndarray) -> np.ndarray:
    """Lays `part` of another colour, [3, N] or three numbers, over the base."""
    other = np.asarray(other, np.float32)
    return base + ((other.reshape(3, 1) if other.ndim == 1 else other) - base) * part


def _flat(rgb: object, points: Surface) -> np.ndarray:
    return np.repeat(np.asarray(rgb, np.float32).reshape(3, 1), len(points.u), axis=1)


def _road(base: np.ndarray, at: Surface) -> np.ndarray:
    ground = at.ground
    base = _flat(ground.asphalt, at)
    mended = np.clip(at.noise(at.u * 0.11 + 31, at.v * 0.21 + 9) * 4.0 - 1.6, 0.0, 1.0)
    gutter = _step(at.v - (ground.left - 0.35), at.wv) + _step(0.35 - ground.right - at.v, at.wv)
    base *= (1.0 - 0.28 * mended) * (1.0 + 0.25 * gutter)
    worn = np.clip(0.8 + 0.25 * at.grain, 0.3, 1.0)
    if ground.marks:
        dashes = _band(at.v, -0.08, 0.08, at.wv) * _stripes(at.u, 6.0, 0.5, at.wu)
        base = _mix(base, (0.85, 0.85, 0.82), worn * dashes)
    if ground.marks > 1:
        left = _band(at.v, ground.left - 0.75, ground.left - 0.6, at.wv)
        right = _band(at.v, 0.6 - ground.right, 0.75 - ground.right, at.wv)
        base = _mix(base, (0.82, 0.82, 0.8), worn * (left + right))
    return base


def _walk(base: np.ndarray, at: Surface) -> np.ndarray:
    ground = at.ground
    beyond = np.maximum(at.v - ground.left, -at.v - ground.right)
    seams = 1.0 - np.minimum(
        _stripes(at.u, 1.4, 0.95, at.wu), _stripes(beyond + 0.7, 1.4, 0.95, at.wv)
    )
    paving = _mix(_flat(ground.paving, at), (0.3, 0.29, 0.28), 0.6 * seams)
    paving = _mix(paving, np.float32(ground.paving) * 1.18, _band(beyond, -0.2, 0.18, at.wv))
    verge = _flat(ground.verge, at)
    if ground.grass:
        verge = _mix(
            verge,
            (0.45, 0.40, 0.25),
            np.clip(at.noise(at.u * 0.3, at.v * 0.3 + 50) * 0.7, 0.0, 1.0),
        )
        verge *= 1.0 + 0.4 * at.grain
    return _mix(paving, verge, _step(beyond - ground.walk, at.wv))


def _kerb(base: np.ndarray, at: Surface) -> np.ndarray:
    stone = _flat(np.float32(at.ground.paving) * 0.85, at)
    return _mix(stone, (0.2, 0.2, 0.2), 1.0 - _stripes(at.u, 1.0, 0.96, at.wu))


def _wall(base: np.ndarray, at: Surface) -> np.ndarray:
    spacing, storey, wide, high, length, height = at.style
    spacing = length / np.maximum(np.floor(length / spacing), 1.0)
    storeys = np.maximum(np.floor(height / storey), 1.0)
    below = _step(storeys * storey - at.v, at.wv)  # above the last storey there are no windows
    column, row = np.floor(at.u / spacing), np.floor(at.v / storey)
    wide = np.where(row == 0, np.minimum(wide * 1.4, 0.8), wide)  # shops and doors
    v = at.v - 0.1
    frame = _stripes(at.u, spacing, wide + 0.1, at.wu) * _stripes(v, storey, high + 0.07, at.wv)
    pane = _stripes(at.u, spacing, wide, at.wu) * _stripes(v, storey, high, at.wv)
    pane *= _stripes(at.u + 0.25 * spacing, 0.5 * spacing, 1.0 - 0.08 / spacing, at.wu)
    room = at.noise(column * 7 + length * 10, row * 13)  # constant over a window
    sill = _stripes(at.v + 0.5 * storey, storey, 0.06, at.wv)
    base = base * (1.0 - 0.2 * sill * below)
    base = _mix(base, np.minimum(base * 1.35 + 0.05, 1.0), frame * below)
    glass = (0.13 + 0.08 * room) * np.float32([[0.9], [1.0], [1.15]])
    glass = _mix(glass, (0.7, 0.66, 0.58), 0.6 * np.clip(room * 3.0 - 1.2, 0.0, 1.0))
    base = _mix(base, glass, pane * below)
    return base * (1.0 - 0.25 * _step(0.7 - at.v, at.wv))


def _roof(base: np.ndarray, at: Surface) -> np.ndarray:
    return base * (0.6 + 0.4 * _stripes(at.v, 0.4, 0.75, at.wv))


def _leaf(base: np.ndarray, at: Surface) -> np.ndarray:
    bright = base * np.float32([[1.25], [1.1], [0.6]])
    return _mix(base, bright, np.clip(at.grain * 0.5, 0.0, 1.0)) * (0.9 + 0.1 * at.grain)


def _body(base: np.ndarray, at: Surface) -> np.ndarray:
    length, height = at.style[4], at.style[5]
    side = length > 2.6
    along, width = at.u - 0.5 * length, np.maximum(at.wu, at.wv)
    doors = _band(np.abs(along + 0.1), 0.02, 0.05, at.wu) + _band(along, 0.9, 0.93, at.wu)
    base = base * (1.0 - 0.5 * np.where(side, doors * _step(at.v - 0.35, at.wv), 0.0))
    base *= 1.0 - 0.3 * _band(at.v, 0.52, 0.57, at.wv)
    base = _mix(base, _BLACK, _step(0.32 - at.v, at.wv))
    radius = np.hypot(np.abs(along) - 0.31 * length, at.v - 0.31)
    base = _mix(base, _TYRE, np.where(side, _step(0.37 - radius, width), 0.0))
    base = _mix(base, (0.55, 0.56, 0.58), np.where(side, _step(0.21 - radius, width), 0.0))
    rear = at.style[0]
    lamp = rear * np.float32([[0.75], [0.06], [0.05]]) + (1.0 - rear) * np.float32(
        [[0.95], [0.95], [0.9]]
    )
    lamps = _band(np.abs(along), 0.5, 0.76, at.wu) * _band(at.v, 0.56, 0.74, at.wv)
    base = _mix(base, lamp, np.where(side, 0.0, lamps))
    plate = _step(0.26 - np.abs(along), at.wu) * _band(at.v, 0.38, 0.5, at.wv)
    return _mix(base, (0.85, 0.85, 0.8), np.where(side | (height > 2.0), 0.0, plate))


def _cabin(base: np.ndarray, at: Surface) -> np.ndarray:
    length = at.style[4]
    pillar = np.where(length > 1.75, _step(0.04 - np.abs(at.u - 0.5 * length), at.wu), 0.0)
    glass = (
        _band(at.v, 0.05, 0.48, at.wv) * _band(at.u, 0.12, length - 0.12, at.wu) * (1.0 - pillar)
    )
    reflection = np.float32(_GLASS).reshape(3, 1) * (
        1.0 + 1.6 * np.clip(at.v + 0.4 * at.grain, 0.0, 1.0)
    )
    return _mix(base, reflection, glass)


def _brick(base: np.ndarray, at: Surface) -> np.ndarray:
    row = np.floor(at.v / 0.3)
    across = _stripes(at.u + 0.35 * (row % 2), 0.7, 0.94, at.wu)
    joints = 1.0 - np.minimum(_stripes(at.v, 0.3, 0.88, at.wv), across)
    return _mix(base, (0.55, 0.53, 0.5), 0.5 * joints)


def _plain(base: np.ndarray, at: Surface) -> np.ndarray:
    period = np.maximum(at.style[0], 0.2)
    stripes = np.where(at.style[0] > 0.0, _stripes(at.v, period, 0.5, at.wv), 0.0)
    return _mix(base, at.style[1:4], stripes)


PAINTS: dict[int, Callable[[np.ndarray, Surface], np.ndarray]] = {
    m.ROAD: _road,
    m.WALK: _walk,
    m.KERB: _kerb,
    m.WALL: _wall,
    m.ROOF: _roof,
    m.LEAF: _leaf,
    m.BODY: _body,
    m.CABIN: _cabin,
    m.BRICK: _brick,
    m.PLAIN: _plain,
}
