"""What stands on and beside the road: cars, trees, lamps, signs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kdepth.data.world import solids as m
from kdepth.data.world.palette import CARS, LEAVES, SIGNS, Colour, near, pick
from kdepth.data.world.solids import Ground, Solids, rectangle

# How near the middle of a parked car may be to the rig's track. Nearer, it would fill the image's
# edge with disparities that no network expects.
_CLEARANCE = 2.95


def car(rng: np.random.Generator) -> Callable[..., None]:
    """Draws a car or a van.

    Args:
        rng: the street's.

    Returns:
        A function (solids, ground, x, lateral, ahead, raised=0.0) that adds it: `ahead` tells
        whether it faces along the street, `raised` how high above the road it stands.
    """
    paint = near(rng, pick(rng, CARS), 0.04)
    van = rng.random() < 0.2
    length, width = rng.uniform(3.7, 4.8), rng.uniform(1.65, 1.85)
    belt, roof = rng.uniform(0.78, 0.95), rng.uniform(1.38, 1.72)
    hatch = rng.uniform(0.02, 0.13)
    if van:
        length, width = rng.uniform(4.8, 6.5), rng.uniform(1.9, 2.1)
        belt, roof = rng.uniform(1.0, 1.2), rng.uniform(1.9, 2.7)
    # The cabin's ends as parts of the length, and how much shorter it is at the top.
    rear, front, slant = (0.02, 0.16, 0.5) if van else (hatch, 0.24, 1.1)

    def add(
        solids: Solids, ground: Ground, x: float, lateral: float, ahead: bool, raised: float = 0.0
    ) -> None:
        cx, cy, angle = ground.place(x, lateral)
        angle += 0.0 if ahead else np.pi
        forward = np.array([np.cos(angle), np.sin(angle)])
        z = float(ground.z(cx, cy)) + raised
        style = (1.0 if ahead else 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        body = rectangle(cx, cy, angle, length, width)
        solids.prism(body, z, z + belt, m.BODY, paint, style=style, roof=m.PLAIN)
        shift = 0.5 * length * (rear - front)
        low = length * (1.0 - rear - front)
        base = rectangle(cx, cy, angle, low, width - 0.06) + forward * shift
        upper = rectangle(cx, cy, angle, low - slant, width - 0.36)
        upper = upper + forward * (shift - 0.1 * slant)
        solids.prism(base, z + belt, z + roof, m.CABIN, paint, roof=m.PLAIN, upper=upper)

    return add


def park(
    rng: np.random.Generator, ground: Ground, solids: Solids, side: int, lane: float, end: float
) -> float:
    """Adds parked cars along a side, or none: at the kerb, or on the sidewalk of a narrow street.

    Args:
        rng: the street's.
        ground: the street's surface.
        solids: what to add to.
        side: 1 for the left side of the street, -1 for the right.
        lane: lateral place of the rig's track.
        end: x up to which to do so.

    Returns:
        Metres of the sidewalk that the cars take.
    """
    if rng.random() < 0.25:
        return 0.0
    edge = ground.left if side > 0 else ground.right
    on_walk = edge - 1.05 - side * lane < _CLEARANCE
    lateral = side * (edge + (0.9 if on_walk else -1.05))
    if abs(lateral - lane) < _CLEARANCE:
        return 0.0
    x, full = rng.uniform(-8.0, 4.0), rng.uniform(0.3, 0.95)
    while x < end - 4.0:
        if rng.random() < full:
            ahead = side < 0 or rng.random() < 0.3
            place = lateral + rng.uniform(-0.12, 0.12)
            car(rng)(solids, ground, x, place, ahead, ground.kerb if on_walk else 0.0)
        x += rng.uniform(5.6, 7.5)
    return 2.0 if on_walk else 0.0


def tree(
    rng: np.random.Generator,
    ground: Ground,
    solids: Solids,
    x: float,
    lateral: float,
    colour: Colour,
) -> None:
    """Adds a tree.

    Args:
        rng: the street's.
        ground: the street's surface.
        solids: what to add to.
        x: along the street.
        lateral: metres left of the centre line.
        colour: of the leaves.
    """
    tx, ty, _ = ground.place(x, lateral)
    z = float(ground.z(tx, ty)) + ground.kerb
    trunk, crown = rng.uniform(2.0, 3.4), rng.uniform(1.2, 2.5)
    bark = near(rng, (0.27, 0.21, 0.15))
    top = z + trunk + crown * 0.5
    solids.pole(tx, ty, rng.uniform(0.10, 0.24), z - 0.2, top, m.BARK, bark)
    for _ in range(int(rng.integers(2, 5))):
        offset = rng.uniform(-0.45, 0.45, 3) * crown
        radii = tuple(crown * rng.uniform(0.55, 0.95, 3))
        centre = (tx + offset[0], ty + offset[1], z + trunk + crown * 0.7 + offset[2] * 0.8)
        solids.ellipsoid(centre, radii, m.LEAF, near(rng, colour, 0.04))


def furnish(
    rng: np.random.Generator, ground: Ground, solids: Solids, side: int, taken: float, end: float
) -> None:
    """Adds street trees, lamps, signs and boxes along a sidewalk.

    Args:
        rng: the street's.
        ground: the street's surface.
        solids: what to add to.
        side: 1 for the left side of the street, -1 for the right.
        taken: metres of the sidewalk that are full of cars.
        end: x up to which to do so.
    """
    edge = (ground.left if side > 0 else ground.right) + taken
    if rng.random() < 0.55:
        colour, spacing = pick(rng, LEAVES), rng.uniform(7.0, 18.0)
        for x in np.arange(rng.uniform(-4.0, 8.0), end, spacing):
            inner = rng.random() < 0.5  # between kerb and walkers, or behind them
            place = edge + rng.uniform(0.6, 1.2) + (0.0 if inner else max(ground.walk - taken, 0.0))
            if rng.random() < 0.8:
                tree(rng, ground, solids, x + rng.uniform(-1.0, 1.0), side * place, colour)
    if rng.random() < 0.75:
        spacing, height = rng.uniform(14.0, 30.0), rng.uniform(4.5, 7.5)
        for x in np.arange(rng.uniform(1.0, 16.0), end, spacing):
            _lamp(ground, solids, x, side, edge, height)
    for _ in range(int(rng.integers(0, 4))):
        place = ground.place(rng.uniform(5.0, 50.0), side * (edge + rng.uniform(0.35, 0.8)))
        z = float(ground.z(*place[:2])) + ground.kerb
        if rng.random() < 0.6:
            solids.pole(*place[:2], 0.05, z - 0.1, z + 2.9, m.PLAIN, (0.5, 0.5, 0.5))
            board = rectangle(place[0] - 0.06, place[1], place[2], 0.04, 0.65)
            style = (0.3, 0.9, 0.9, 0.9, 0.0, 0.0)
            solids.prism(board, z + 2.1, z + 2.75, m.PLAIN, pick(rng, SIGNS), style=style)
        else:
            box = rectangle(*place, rng.uniform(0.5, 1.1), 0.5)
            style = (0.5, 0.3, 0.33, 0.3, 0.0, 0.0)
            colour = near(rng, (0.35, 0.4, 0.36))
            solids.prism(box, z - 0.1, z + rng.uniform(0.8, 1.5), m.PLAIN, colour, style=style)


def _lamp(ground: Ground, solids: Solids, x: float, side: int, edge: float, height: float) -> None:
    px, py, angle = ground.place(x, side * (edge + 0.45))
    z = float(ground.z(px, py)) + ground.kerb
    solids.pole(px, py, 0.09, z - 0.2, z + height, m.PLAIN, (0.34, 0.36, 0.36))
    ax, ay, _ = ground.place(x, side * (edge - 0.5))
    arm = rectangle(ax, ay, angle, 0.35, 1.9)
    solids.prism(arm, z + height - 0.1, z + height + 0.06, m.PLAIN, (0.4, 0.42, 0.42))
