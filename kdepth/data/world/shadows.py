"""Shadows on the ground: the sun's, and the darkness under and beside things that stand on it.

Baked once per scene into maps over (x, metres left of the road's centre line), kept at three
resolutions, so that a far pixel that covers metres of road reads a shadow that is blurred as much.
"""

from __future__ import annotations

import numpy as np

from kdepth.data.world.solids import Geometry, Ground

_CELL = 0.2  # metres
_FIRST = -12.0  # x of the first row of cells
_SHORT = 100.0  # metres before the end of the ground where the maps end
_LATERAL = np.arange(-20.0, 20.0, _CELL)
_BLURS = ((1, 1), (6, 2), (30, 5))  # cells along the road and across it; each level blurs that much
_HEIGHT_OF_CONTACT = 0.5  # metres above the ground that count as touching it


class Shadows:
    """Shadow maps of a scene.

    Args:
        scene: what there is.
        sun: [3] unit vector towards the sun.
    """

    def __init__(self, scene: Geometry, sun: np.ndarray) -> None:
        cells = _cells(scene.ground)
        dark = np.zeros(cells[0].shape, bool)
        touched = np.zeros(cells[0].shape, bool)
        for i in range(len(scene.spans)):
            _cast(scene, i, cells, sun, np.inf, dark)
            _cast(scene, i, cells, np.array([0.0, 0.0, 1.0]), _HEIGHT_OF_CONTACT, touched)
        for i in range(len(scene.centres)):
            _cast_round(scene, i, cells, sun, dark)
        contact = _blur(_blur(touched.astype(np.float32), 5, 5), 3, 3)
        both = np.stack([_blur(dark.astype(np.float32), 2, 2), contact])
        self.levels = [np.stack([_blur(layer, *size) for layer in both], -1) for size in _BLURS]

    def at(
        self, x: np.ndarray, lateral: np.ndarray, width: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Looks the maps up.

        Args:
            x: [N] world x.
            lateral: [N] metres left of the centre line.
            width: [N] metres along the road that the pixel covers.

        Returns:
            [N] how much of the sun and [N] of the sky is hidden, 0 to 1.
        """
        rows = (x - np.float32(_FIRST)) / np.float32(_CELL)
        columns = (lateral - np.float32(_LATERAL[0])) / np.float32(_CELL)
        result = np.zeros((len(x), 2), np.float32)
        height, across = self.levels[0].shape[:2]
        known = (rows > 0) & (rows < height - 1.001) & (columns > 0) & (columns < across - 1.001)
        # Mixed between two levels, so that no line shows where one hands over to the next.
        step = np.log(np.maximum(width, 1e-3) / np.float32(1.5 * _CELL)) / np.float32(np.log(5.0))
        step = np.clip(step, 0.0, len(_BLURS) - 1.0)
        for level, table in enumerate(self.levels):
            share = 1.0 - np.abs(step - level)
            i = np.flatnonzero(known & (share > 0.0))
            r, c = rows[i].astype(np.int32), columns[i].astype(np.int32)
            fr, fc = (rows[i] - r)[:, None], (columns[i] - c)[:, None]
            top = table[r, c] * (1.0 - fc) + table[r, c + 1] * fc
            bottom = table[r + 1, c] * (1.0 - fc) + table[r + 1, c + 1] * fc
            result[i] += share[i, None] * (top * (1.0 - fr) + bottom * fr)
        return result[:, 0], result[:, 1]


def _cells(ground: Ground) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """World coordinates of the map's cells, each [X, lateral] float32."""
    x = np.arange(_FIRST, ground.end - _SHORT, _CELL)[:, None]
    heading = ground.heading(x)
    y = ground.centre(x) + _LATERAL[None, :] * np.sqrt(1.0 + heading * heading)
    x = np.broadcast_to(x, y.shape)
    beyond = (_LATERAL > ground.left) | (_LATERAL < -ground.right)
    z = ground.z(x, y) + np.where(beyond, ground.kerb, 0.0) + 0.01
    return x.astype(np.float32), y.astype(np.float32), z.astype(np.float32)


def _window(
    vertices: np.ndarray, cells: tuple, direction: np.ndarray
) -> tuple[slice, slice] | None:
    """Part of the map that the shadow of a convex hull may reach."""
    x, y, z = cells
    floor = float(z.min()) - 0.5
    fall = (vertices[:, 2] - floor).clip(0.0, None) / direction[2]
    reach = np.concatenate([vertices[:, :2], vertices[:, :2] - fall[:, None] * direction[:2]])
    r0, r1 = np.searchsorted(x[:, 0], (reach[:, 0].min(), reach[:, 0].max()))
    if r0 >= r1:
        return None
    row_low, row_high = y[r0:r1].min(0), y[r0:r1].max(0)
    inside = np.flatnonzero((row_high >= reach[:, 1].min()) & (row_low <= reach[:, 1].max()))
    return (slice(r0, r1), slice(inside[0], inside[-1] + 1)) if len(inside) else None


def _cast(
    scene: Geometry, i: int, cells: tuple, direction: np.ndarray, reach: float, dark: np.ndarray
) -> None:
    """Marks the cells from which convex solid i is met along `direction` within `reach` metres."""
    window = _window(scene.vertices[i], cells, direction)
    if window is None:
        return
    x, y, z = (q[window] for q in cells)
    start, stop = scene.spans[i]
    normals, offsets = scene.normals[start:stop], scene.offsets[start:stop]
    low, high = np.zeros(x.shape, np.float32), np.full(x.shape, np.float32(min(reach, 1e4)))
    for normal, offset, along in zip(
        normals.astype(np.float32), offsets.astype(np.float32), normals @ direction
    ):
        height = normal[0] * x + normal[1] * y + (normal[2] * z - offset)
        if along > 1e-6:
            np.minimum(high, height * np.float32(-1.0 / along), out=high)
        elif along < -1e-6:
            np.maximum(low, height * np.float32(-1.0 / along), out=low)
        else:
            high[height > 0.0] = -1.0
    dark[window] |= low < high


def _cast_round(
    scene: Geometry, i: int, cells: tuple, direction: np.ndarray, dark: np.ndarray
) -> None:
    """Marks the cells from which ellipsoid i is met along `direction`."""
    centre, radii = scene.centres[i], scene.radii[i]
    corners = centre + radii * (
        np.array([[k & 1, k >> 1 & 1, k >> 2 & 1] for k in range(8)]) * 2.0 - 1.0
    )
    window = _window(corners, cells, direction)
    if window is None:
        return
    start = [((q[window] - c) / r).astype(np.float32) for q, c, r in zip(cells, centre, radii)]
    step = (direction / radii).astype(np.float32)
    a = float(step @ step)
    b = sum(s * q for s, q in zip(step, start))
    c = sum(q * q for q in start) - 1.0
    dark[window] |= (b * b > a * c) & (b < 0.0)


def _blur(layer: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Box mean over a window of 2 n - 1 cells along each axis, by running sums."""
    for axis, size in ((0, rows), (1, columns)):
        if size > 1:
            padded = np.pad(
                layer, [(size, size - 1) if k == axis else (0, 0) for k in range(2)], mode="edge"
            )
            total = np.cumsum(padded, axis=axis, dtype=np.float64)
            width, count = 2 * size - 1, layer.shape[axis]
            ends = np.arange(count) + width
            layer = ((total.take(ends, axis) - total.take(ends - width, axis)) / width).astype(
                np.float32
            )
    return layer
