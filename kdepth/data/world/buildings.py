"""Houses, what bounds their yards, copses, and what stands in the distance."""

from __future__ import annotations

import numpy as np

from kdepth.data.world import solids as m
from kdepth.data.world.palette import BRICKS, LEAVES, PLASTER, ROOFS, Colour, near, pick
from kdepth.data.world.roadside import tree
from kdepth.data.world.solids import Ground, Solids, rectangle

_BEHIND = -14.0  # x where the street begins; the rig starts at 0
_KINDS = ("terrace", "detached", "blocks", "park")
# By kind: ranges of the metres from the sidewalk, along the street, and to the next one.
_SETBACK = {
    "terrace": (0.2, 3.0),
    "detached": (2.5, 9.0),
    "blocks": (1.0, 10.0),
    "park": (3.0, 5.0),
}
_LENGTH = {"terrace": (6, 11), "detached": (8, 14), "blocks": (14, 30), "park": (8, 20)}
_GAP = {"terrace": (4.0, 10.0), "detached": (2.5, 9.0), "blocks": (3.0, 12.0), "park": (1.0, 9.0)}
_STOREYS = {"terrace": (2, 5), "detached": (1, 3), "blocks": (3, 8)}


def row(rng: np.random.Generator, ground: Ground, solids: Solids, side: int, end: float) -> None:
    """Adds one row of buildings, with gaps, yards and what bounds them.

    Args:
        rng: the street's.
        ground: the street's surface.
        solids: what to add to.
        side: 1 for the left side of the street, -1 for the right.
        end: x where the street ends.
    """
    kind = str(rng.choice(_KINDS, p=[0.3, 0.35, 0.2, 0.15]))
    edge = (ground.left if side > 0 else ground.right) + ground.walk
    setback = rng.uniform(*_SETBACK[kind])
    fence = str(rng.choice(["none", "hedge", "wall"], p=[0.35, 0.4, 0.25]))
    fence_height = rng.uniform(0.7, 2.0)
    x = _BEHIND - rng.uniform(0.0, 8.0)
    while x < end:
        length, gap = rng.uniform(*_LENGTH[kind]), rng.uniform(*_GAP[kind])
        if kind == "terrace" and rng.random() < 0.85:
            gap = 0.0
        middle = x + length / 2
        # Where the street bends towards them, the ends of a straight front come nearer to it.
        bow = length**2 / 8 * abs(float(ground.bend(middle)))
        if kind == "park":
            _copse(rng, ground, solids, middle, side * (edge + rng.uniform(3.0, 14.0)))
        else:
            back = setback + rng.uniform(-0.3, 0.3) * min(setback, 4.0) + bow
            _house(rng, ground, solids, kind, middle, edge + back, length, side)
        if fence != "none" and setback > 1.5 and x + length > 1.0:
            place = ground.place(middle, side * (edge + 0.4 + bow))
            footprint = rectangle(*place, length - 0.6, 0.5)
            low, high = _base(ground, footprint)
            if fence == "hedge":
                material, colour = m.LEAF, near(rng, LEAVES[0])
            else:
                material, colour = m.BRICK, near(rng, pick(rng, BRICKS))
            solids.prism(footprint, low - 0.2, high + fence_height, material, colour)
        x += length + gap


def close(rng: np.random.Generator, ground: Ground, solids: Solids, end: float) -> None:
    """Adds buildings across the end of the street.

    Args:
        rng: the street's.
        ground: the street's surface.
        solids: what to add to.
        end: x where the street ends.
    """
    lateral = -45.0
    while lateral < 45.0:
        length = rng.uniform(8.0, 22.0)
        x, y, angle = ground.place(end + 10.0, lateral + length / 2)
        footprint = rectangle(x, y, angle - np.pi / 2, length, 8.0)
        low, high = _base(ground, footprint)
        top = high + rng.uniform(2.8, 3.3) * rng.integers(2, 6) + 0.4
        colour = near(rng, pick(rng, PLASTER + BRICKS))
        _block(rng, solids, footprint, low - 1.0, top, colour)
        lateral += length + (0.0 if rng.random() < 0.7 else rng.uniform(2.0, 8.0))


def backdrop(rng: np.random.Generator, ground: Ground, solids: Solids, travel: float) -> None:
    """Adds woods and other streets, which are seen through gaps.

    Args:
        rng: the street's.
        ground: the street's surface.
        solids: what to add to.
        travel: metres that the rig drives.
    """
    for _ in range(14 + int(travel / 10.0)):
        x, y = rng.uniform(60.0, travel + 185.0), rng.choice([-1, 1]) * rng.uniform(28.0, 90.0)
        size = rng.uniform(4.0, 11.0)
        centre = (x, y, float(ground.z(x, y)) + size * 0.3)
        radii = (size * 1.3, size * 1.5, size)
        solids.ellipsoid(centre, radii, m.LEAF, near(rng, pick(rng, LEAVES)))
    for _ in range(8 + int(travel / 15.0)):
        x, y = rng.uniform(10.0, travel + 115.0), rng.choice([-1, 1]) * rng.uniform(30.0, 60.0)
        footprint = rectangle(x, y, rng.uniform(-0.2, 0.2), rng.uniform(10.0, 25.0), 10.0)
        z = float(ground.z(x, y))
        colour = near(rng, pick(rng, PLASTER))
        _block(rng, solids, footprint, z - 3.0, z + rng.uniform(5.0, 14.0), colour)


def _block(
    rng: np.random.Generator,
    solids: Solids,
    footprint: np.ndarray,
    low: float,
    top: float,
    colour: Colour,
) -> None:
    """Adds a building with a flat roof."""
    roof, windows = near(rng, pick(rng, ROOFS)), _windows(rng)
    solids.prism(footprint, low, top, m.WALL, colour, roof=m.ROOF, roof_colour=roof, style=windows)


def _house(
    rng: np.random.Generator,
    ground: Ground,
    solids: Solids,
    kind: str,
    x: float,
    front: float,
    length: float,
    side: int,
) -> None:
    depth = rng.uniform(7.0, 12.0)
    hx, hy, angle = ground.place(x, side * (front + depth / 2))
    facing = angle + (np.pi if side < 0 else 0.0)  # the footprint's first side faces the street
    footprint = rectangle(hx, hy, facing, length, depth)
    low, high = _base(ground, footprint)
    windows = _windows(rng)
    top = high + rng.integers(*_STOREYS[kind]) * windows[1] + rng.uniform(0.2, 0.8)
    colour = near(rng, pick(rng, BRICKS if rng.random() < 0.35 else PLASTER))
    roof = near(rng, pick(rng, ROOFS))
    solids.prism(
        footprint, low - 0.3, top, m.WALL, colour, roof=m.ROOF, roof_colour=roof, style=windows
    )
    if kind != "blocks" and rng.random() < 0.85:
        over = 0.0 if kind == "terrace" else 0.6
        eaves = rectangle(hx, hy, facing, length + over, depth + 0.8)
        solids.gable(eaves, top, rng.uniform(1.8, 4.0), roof, colour)
    if kind == "detached" and rng.random() < 0.3:  # a porch
        bx, by, _ = ground.place(x, side * (front - 0.7))
        porch = rectangle(bx, by, angle, rng.uniform(1.5, 3.0), 1.4)
        paint = near(rng, colour)
        solids.prism(porch, low - 0.3, high + 2.5, m.BRICK, paint, roof=m.ROOF, roof_colour=roof)


def _windows(rng: np.random.Generator) -> tuple[float, ...]:
    """A wall's style: metres from window to window and storey to storey, parts that are window."""
    return (
        rng.uniform(2.0, 3.6), rng.uniform(2.7, 3.4), rng.uniform(0.32, 0.62),
        rng.uniform(0.40, 0.62), 0.0, 0.0,
    )  # fmt: skip


def _copse(
    rng: np.random.Generator, ground: Ground, solids: Solids, x: float, lateral: float
) -> None:
    colour = near(rng, pick(rng, LEAVES))
    if rng.random() < 0.6:
        tree(rng, ground, solids, x, lateral, colour)
    for _ in range(int(rng.integers(1, 4))):
        bx, by, _ = ground.place(x + rng.uniform(-4, 4), lateral + rng.uniform(-1.5, 3.0))
        size = rng.uniform(0.5, 1.8)
        centre = (bx, by, float(ground.z(bx, by)) + size * 0.5)
        radii = tuple(size * rng.uniform(0.7, 1.4, 3))
        solids.ellipsoid(centre, radii, m.LEAF, near(rng, colour, 0.05))


def _base(ground: Ground, footprint: np.ndarray) -> tuple[float, float]:
    """Lowest and highest ground (the sidewalk's sheet) under a footprint's corners."""
    z = ground.z(footprint[:, 0], footprint[:, 1]) + ground.kerb
    return float(z.min()), float(z.max())
