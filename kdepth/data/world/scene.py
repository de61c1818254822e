"""Lays out one street: its ground, what stands on it, its light, and where the rig drives.

Every number is drawn anew for each street, so that a place in the image does not give its depth
away: the height, pitch and yaw of the rig, crests and dips, the street's width and bends, how far
back the houses stand, cars that wait in the lane ahead, and how the street ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kdepth.data.world import buildings, roadside
from kdepth.data.world.solids import Ground, Solids
from kdepth.data.world.textures import Light

_AHEAD = 165.0  # metres of street that are laid out beyond where the rig stops


@dataclass(frozen=True)
class Mover:
    """A car that drives along the street.

    Attributes:
        start: x at frame 0.
        step: metres in x per frame; negative for oncoming cars.
        add: adds the car to solids (first argument), at an x (second).
    """

    start: float
    step: float
    add: Callable[[Solids, float], None]


@dataclass(frozen=True)
class Street:
    """A street and the rig's place in it.

    Attributes:
        ground: the surface.
        solids: what stands still.
        movers: cars that drive; empty unless asked for.
        light: how it is lit.
        lane: metres left of the road's centre line where the rig drives.
        rig_height: metres of the cameras above the road.
        rig_angles: pitch, yaw and roll of the cameras relative to the road, radians.
    """

    ground: Ground
    solids: Solids
    movers: tuple[Mover, ...]
    light: Light
    lane: float
    rig_height: float
    rig_angles: tuple[float, float, float]


def lay_out(rng: np.random.Generator, travel: float, moving: bool) -> Street:
    """Draws a street.

    Args:
        rng: the street's generator.
        travel: metres that the rig will drive; nothing stands in its way.
        moving: whether some cars drive.

    Returns:
        The street.
    """
    ground = _ground(rng, travel)
    # In the right half, at least 1.9 m from the kerb.
    lane = float(np.clip(rng.uniform(-0.5, 0.1) * ground.right, 1.9 - ground.right, 0.6))
    solids = Solids()
    is_open = rng.random() < 0.5
    end = travel + (_AHEAD if is_open else rng.uniform(55.0, 130.0))
    for side in (1, -1):
        buildings.row(rng, ground, solids, side, end)
        taken = roadside.park(rng, ground, solids, side, lane, min(end, travel + 85.0))
        roadside.furnish(rng, ground, solids, side, taken, min(end, travel + 95.0))
    if not is_open:
        buildings.close(rng, ground, solids, end)
    buildings.backdrop(rng, ground, solids, travel)
    movers = _traffic(rng, ground, solids, lane, travel, end, moving)
    pitch, yaw, roll = np.radians(rng.uniform((-3.0, -3.0, -1.2), (3.0, 3.0, 1.2)))
    return Street(
        ground=ground,
        solids=solids,
        movers=movers,
        light=_light(rng),
        lane=lane,
        rig_height=rng.uniform(1.35, 1.95),
        rig_angles=(float(pitch), float(yaw), float(roll)),
    )


def _ground(rng: np.random.Generator, travel: float) -> Ground:
    bends = ((0.0, 0.0), (0.02, 0.16), (0.16, 0.34))  # straight, gentle, winding
    steepest = rng.uniform(*bends[rng.choice(3, p=[0.15, 0.6, 0.25])])
    frequency = 2 * np.pi / rng.uniform(110.0, 260.0)
    profiles = ((0.0, 0.0), (-7e-4, 0.0), (0.0, 4e-4))  # even, crest, dip
    curvature = rng.uniform(*profiles[rng.choice(3, p=[0.25, 0.4, 0.35])])
    curvature *= _AHEAD / (_AHEAD + travel)  # a long drive must not end on a wall
    half = rng.uniform(2.9, 5.4)
    asphalt = rng.uniform(0.26, 0.46) + rng.uniform(-0.02, 0.02, 3)
    paving = rng.uniform(0.42, 0.66) * np.array([1.0, 0.97, 0.93]) + rng.uniform(-0.03, 0.03, 3)
    grass = rng.uniform(0.8, 1.2) * np.array([0.24, 0.33, 0.13]) + rng.uniform(-0.03, 0.03, 3)
    has_grass = bool(rng.random() < 0.8)
    return Ground(
        slope=rng.uniform(-0.04, 0.04),
        curvature=curvature,
        camber=rng.uniform(-0.02, 0.02),
        kerb=rng.uniform(0.06, 0.18),
        amplitude=steepest / frequency,
        frequency=frequency,
        phase=rng.uniform(0.0, 2 * np.pi),
        left=half * rng.uniform(0.9, 1.3),
        right=half * rng.uniform(0.9, 1.1),
        walk=rng.uniform(1.0, 3.2),
        marks=int(rng.integers(0, 3)),
        asphalt=tuple(asphalt),
        paving=tuple(paving),
        verge=tuple(grass if has_grass else paving),
        grass=has_grass,
        end=travel + _AHEAD + 35.0,
    )


def _light(rng: np.random.Generator) -> Light:
    clouds = rng.uniform(0.0, 1.0)
    azimuth, elevation = rng.uniform(0.0, 2 * np.pi), np.radians(rng.uniform(22.0, 62.0))
    level, up = np.cos(elevation), np.sin(elevation)
    warm = rng.uniform(-1.0, 1.0)
    blue, grey = np.array([0.30, 0.48, 0.78]), np.array([0.62, 0.66, 0.72])
    return Light(
        sun=np.array([level * np.cos(azimuth), level * np.sin(azimuth), up]),
        direct=float(0.95 - 0.70 * clouds),
        ambient=float(0.58 + 0.32 * clouds),
        tint=rng.uniform(0.80, 1.15) * np.array([1.0 + 0.06 * warm, 1.0, 1.0 - 0.07 * warm]),
        haze=float(np.exp(rng.uniform(np.log(0.0012), np.log(0.010)))),
        horizon=np.array([0.80, 0.83, 0.86]) * rng.uniform(0.9, 1.1),
        zenith=blue * (1.0 - clouds) + grey * clouds,
        clouds=float(clouds),
    )


def _traffic(
    rng: np.random.Generator,
    ground: Ground,
    solids: Solids,
    lane: float,
    travel: float,
    end: float,
    moving: bool,
) -> tuple[Mover, ...]:
    """Adds cars on the road, waiting in the lane ahead or in the other lane, or lets them drive."""
    movers = []
    cars = []  # x, lateral, faces ahead, metres per frame if they drive
    other = min(lane + rng.uniform(3.0, 3.6), ground.left - 1.3)
    if rng.random() < 0.35:
        x = travel + 5.0 + np.exp(rng.uniform(np.log(3.0), np.log(45.0)))
        for _ in range(int(rng.integers(1, 3))):
            cars.append((x, lane + rng.uniform(-0.3, 0.3), True, rng.uniform(0.6, 1.4)))
            x += rng.uniform(6.5, 16.0)
    if rng.random() < 0.4 and other - lane > 2.7:
        x = rng.uniform(6.0, 45.0)
        step = -rng.uniform(0.5, 1.4)  # one for all, so that none runs into the next
        for _ in range(int(rng.integers(1, 4))):
            cars.append((x, other, False, step))
            x += rng.uniform(6.5, 20.0)
    for x, lateral, ahead, step in cars:
        add = roadside.car(rng)
        if x > end - 5.0:
            continue
        # A car ahead that is nearer than the rig needs to stop stays where it is.
        if moving and (not ahead or x > travel + 12.0):
            movers.append(Mover(x, step, _on_lane(add, ground, lateral, ahead)))
        else:
            add(solids, ground, x, lateral, ahead)
    return tuple(movers)


def _on_lane(
    add: Callable[..., None], ground: Ground, lateral: float, ahead: bool
) -> Callable[[Solids, float], None]:
    return lambda solids, x: add(solids, ground, x, lateral, ahead)
