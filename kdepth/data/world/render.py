"""One view of a scene: colours with anti-aliased edges, exact depth at pixel centres; lidar."""

from __future__ import annotations

import numpy as np

from kdepth.data.world.raycast import Caster, Rays
from kdepth.data.world.solids import RESERVED_FACES
from kdepth.data.world.textures import Painter


def render(
    caster: Caster, painter: Painter, x: np.ndarray, y: np.ndarray, supersample: int
) -> tuple[np.ndarray, np.ndarray]:
    """Renders an image and its depth.

    Pixels inside a face get one ray (the textures band-limit themselves). Pixels at an edge get a
    grid of rays; each is cast only against what the 3x3 pixels around hit.

    Args:
        caster: scene and view.
        painter: of the scene.
        x: [W] normalised coordinates of the columns' centres.
        y: [H] of the rows' centres.
        supersample: rays per pixel side at edges.

    Returns:
        image [H, W, 3] uint8 RGB, depth [H, W] float32 metres at the pixel centres (infinite for
        the sky).
    """
    w, face = caster.image(x, y)
    height, width = w.shape
    edge = _edges(face) if supersample > 1 else np.zeros_like(face, bool)
    inner, border = np.flatnonzero(~edge), np.flatnonzero(edge)
    rows, columns = np.divmod(np.arange(height * width), width)
    x, y = x.astype(np.float32), y.astype(np.float32)
    count = supersample**2  # rays of each border pixel
    step = (np.arange(supersample) + 0.5) / supersample - 0.5
    step = (step / caster.view.focal).astype(np.float32)
    sub_x = (x[columns[border], None] + np.tile(step, supersample)).reshape(-1)
    sub_y = (y[rows[border], None] + np.repeat(step, supersample)).reshape(-1)
    sub_w, sub_face = caster.rays(sub_x, sub_y, _candidates(caster, face, border, count))
    scale = np.ones(len(inner) + len(sub_x), np.float32)
    scale[len(inner) :] /= supersample
    rays = Rays(
        np.concatenate([x[columns[inner]], sub_x]),
        np.concatenate([y[rows[inner]], sub_y]),
        np.concatenate([w.take(inner), sub_w]),
        np.concatenate([face.take(inner), sub_face]),
        scale,
    )
    colour = painter.paint(caster, rays)
    image = np.empty((3, height * width), np.float32)
    image[:, inner] = colour[:, : len(inner)]
    image[:, border] = colour[:, len(inner) :].reshape(3, len(border), count).mean(2)
    pixels = np.ascontiguousarray(np.round(image * 255.0).astype(np.uint8).T)
    with np.errstate(divide="ignore"):
        depth = np.float32(1.0) / w
    return pixels.reshape(height, width, 3), depth


def _edges(face: np.ndarray) -> np.ndarray:
    """Pixels whose face differs from a neighbour's."""
    edge = np.zeros(face.shape, bool)
    across, down = face[:, 1:] != face[:, :-1], face[1:] != face[:-1]
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    edge[1:] |= down
    edge[:-1] |= down
    return edge


def _candidates(
    caster: Caster, face: np.ndarray, border: np.ndarray, rays: int
) -> dict[int, np.ndarray]:
    """Solid -> indices of the rays of border pixels that may hit it."""
    solid = np.pad(caster.scene.solid_of_face[face], 1, constant_values=-1)
    rows, columns = np.divmod(border, face.shape[1])
    around = np.stack([solid[rows + i, columns + j] for i in range(3) for j in range(3)])
    around.sort(axis=0)  # [9, border]
    fresh = around >= 0
    fresh[1:] &= around[1:] != around[:-1]
    pixel = np.broadcast_to(np.arange(len(border)), around.shape)[fresh]
    solid = around[fresh]
    order = np.argsort(solid, kind="stable")
    pixel = pixel[order]
    names, starts = np.unique(solid[order], return_index=True)
    inside = np.arange(rays)
    return {
        int(name): (part[:, None] * rays + inside).reshape(-1)
        for name, part in zip(names, np.split(pixel, starts[1:]))
    }


def scan(caster: Caster, azimuths: np.ndarray, elevations: np.ndarray, reach: float) -> np.ndarray:
    """Casts a lidar's rays over the front half-space.

    Args:
        caster: scene and a view at the lidar, whose camera axes are the lidar's (right, down,
            forward).
        azimuths: [A] radians, to the right, less than 80 degrees from the front, ascending.
        elevations: [B] radians, upwards, descending.
        reach: metres beyond which nothing comes back.

    Returns:
        [N, 4] float32: x forward, y left, z up, reflectance in [0, 1].
    """
    x = np.tan(azimuths)
    y = -np.tan(elevations)[:, None] / np.cos(azimuths)[None, :]  # [B, A]
    bounds, nearest = caster.rectangles()
    columns = np.searchsorted(x, bounds[:, :2])
    first = np.searchsorted(y.max(1), bounds[:, 2])
    last = np.searchsorted(y.min(1), bounds[:, 3])
    rays = np.arange(y.size).reshape(y.shape)
    candidates = {}
    for i in np.argsort(-nearest, kind="stable"):
        chosen = rays[first[i] : last[i], slice(*columns[i])]
        if chosen.size:
            candidates[int(i)] = chosen.reshape(-1)
    x, y = np.broadcast_to(x, y.shape).reshape(-1), y.reshape(-1)
    w, face = caster.rays(x, y, candidates)
    hit = np.flatnonzero(w > 0.0)
    t = 1.0 / w[hit].astype(np.float64)
    points = t[:, None] * np.stack([np.ones(len(hit)), -x[hit], -y[hit]], 1)
    brightness = caster.scene.colours.mean(1)
    brightness[:RESERVED_FACES] = 0.3
    near = np.linalg.norm(points, axis=1) < reach
    return np.column_stack([points, brightness[face[hit]]])[near].astype(np.float32)
