"""What does a ray hit first? Exact, in NumPy, for whole images and for lists of rays.

A ray is origin + t (R [x, y, 1]), with x and y the normalised image coordinates, so t is the
camera's z-depth. Depth is kept as its inverse w = 1/t: a plane's w is affine in (x, y), a convex
solid is then the smallest w of the planes that the ray enters against the largest of those it
leaves, and no division is needed. w = 0 is infinity, the sky.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kdepth.data.world.solids import (
    LEFT_KERB_FACE,
    MAX_VERTICES,
    RIGHT_KERB_FACE,
    ROAD_FACE,
    SKY_FACE,
    WALK_FACE,
    Geometry,
)

NEAR = 0.05  # metres; nothing nearer is seen


@dataclass(frozen=True)
class View:
    """A pinhole: where it is and how it looks.

    Attributes:
        origin: [3] world position.
        rotation: [3, 3] camera (x right, y down, z forward) to world.
        focal: pixels per unit of x and y; sizes the footprint of a pixel.
    """

    origin: np.ndarray
    rotation: np.ndarray
    focal: float


@dataclass(frozen=True)
class Rays:
    """N rays that were cast.

    Attributes:
        x: [N] normalised coordinates.
        y: [N]
        w: [N] inverse depths of what they hit.
        face: [N] which faces.
        scale: [N] widths of the rays in pixels.
    """

    x: np.ndarray
    y: np.ndarray
    w: np.ndarray
    face: np.ndarray
    scale: np.ndarray

    def take(self, i: np.ndarray) -> Rays:
        """Some of the rays."""
        return Rays(self.x[i], self.y[i], self.w[i], self.face[i], self.scale[i])


class Caster:
    """A scene prepared for one view: every plane as a linear function of the ray.

    Args:
        scene: what there is.
        view: where the rays start.
    """

    def __init__(self, scene: Geometry, view: View) -> None:
        self.scene, self.view = scene, view
        distance = scene.normals @ view.origin - scene.offsets  # [F]
        distance = np.where(np.abs(distance) < 1e-9, 1e-9, distance)
        self.front = distance > 0.0  # the faces that look at the viewer
        slopes = -(scene.normals @ view.rotation) / distance[:, None]
        self.slopes = slopes.astype(np.float32)  # [F, 3]: w = slopes . (x, y, 1)
        # Ellipsoids in the space where they are unit spheres.
        start = (view.origin - scene.centres) / scene.radii
        axes = view.rotation[None] / scene.radii[:, :, None]  # [E, 3, 3]
        self.round_a = np.einsum("eki,ekj->eij", axes, axes).astype(np.float32)
        self.round_b = np.einsum("ek,eki->ei", start, axes).astype(np.float32)
        self.round_c = (np.sum(start * start, 1) - 1.0).astype(np.float32)

    def rectangles(self) -> tuple[np.ndarray, np.ndarray]:
        """Where each solid can be seen.

        Returns:
            [S + E, 4] smallest and largest x, smallest and largest y in normalised coordinates
            (empty: min > max), and [S + E] the largest inverse depth each can have.
        """
        scene, view = self.scene, self.view
        corners = _cube(scene.centres, scene.radii)
        points = np.concatenate([scene.vertices, corners])
        points = (points - view.origin) @ view.rotation  # [S + E, V, 3]
        z = points[..., 2]
        bounds = np.empty((len(points), 4))
        with np.errstate(divide="ignore", invalid="ignore"):
            xy = points[..., :2] / z[..., None]
        bounds[:, 0::2] = xy.min(1)
        bounds[:, 1::2] = xy.max(1)
        for i in np.flatnonzero((z.min(1) < NEAR) & (z.max(1) >= NEAR)):
            bounds[i, 0::2], bounds[i, 1::2] = _clipped_bounds(points[i])
        bounds[z.max(1) < NEAR] = (1.0, -1.0, 1.0, -1.0)
        return bounds, (1.0 / np.maximum(z.min(1), NEAR)).astype(np.float32)

    def image(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Casts the rays of a whole image.

        Args:
            x: [W] normalised coordinates of the columns, ascending.
            y: [H] of the rows, ascending.

        Returns:
            w [H, W] float32 inverse depth, and face [H, W] int32.
        """
        x, y = x.astype(np.float32), y.astype(np.float32)
        bounds, nearest = self.rectangles()
        columns = np.searchsorted(x, bounds[:, :2])
        rows = np.searchsorted(y, bounds[:, 2:])
        w, face = self.ground(x[None, :], y[:, None])
        for i in np.argsort(-nearest, kind="stable"):
            (c0, c1), (r0, r1) = columns[i], rows[i]
            if c0 >= c1 or r0 >= r1:
                continue
            known = w[r0:r1, c0:c1]
            if known.min() >= nearest[i]:
                continue
            self._solid(i, x[None, c0:c1], y[r0:r1, None], known, face[r0:r1, c0:c1])
        return w, face

    def rays(
        self, x: np.ndarray, y: np.ndarray, candidates: dict[int, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Casts a list of rays against the ground and, each, against its candidates.

        Args:
            x: [N] normalised coordinates.
            y: [N]
            candidates: solid -> indices of the rays that may hit it.

        Returns:
            w [N] float32 and face [N] int32.
        """
        x, y = x.astype(np.float32), y.astype(np.float32)
        w, face = self.ground(x, y)
        for solid, chosen in candidates.items():
            part_w, part_face = w[chosen], face[chosen]
            self._solid(solid, x[chosen], y[chosen], part_w, part_face)
            w[chosen], face[chosen] = part_w, part_face
        return w, face

    def _solid(self, i: int, x: np.ndarray, y: np.ndarray, w: np.ndarray, face: np.ndarray) -> None:
        """Lets solid i overwrite, in place, what lies behind it."""
        spans = self.scene.spans
        if i >= len(spans):
            self._ellipsoid(i - len(spans), x, y, w, face)
            return
        start, stop = spans[i]
        front = self.front[start:stop]
        if not front.any():
            return  # the camera is inside
        slopes = self.slopes[start:stop]
        leave = w
        for a, b, c in slopes[~front]:
            leave = np.maximum(leave, a * x + (b * y + c))
        enter = which = None
        for k in np.flatnonzero(front):
            a, b, c = slopes[k]
            plane = a * x + (b * y + c)
            if enter is None:
                enter, which = plane, start + k
            else:
                which = np.where(plane < enter, start + k, which)
                enter = np.minimum(enter, plane)
        hit = enter > leave
        np.copyto(w, enter, where=hit)
        np.copyto(face, which, where=hit, casting="same_kind")

    def _ellipsoid(
        self, i: int, x: np.ndarray, y: np.ndarray, w: np.ndarray, face: np.ndarray
    ) -> None:
        a, b, c = self.round_a[i], self.round_b[i], self.round_c[i]
        if c <= 0.0:
            return
        square = (a[0, 0] * x * x + 2 * a[0, 2] * x) + (a[1, 1] * y * y + 2 * a[1, 2] * y + a[2, 2])
        square = square + (2 * a[0, 1] * x) * y
        half = b[0] * x + (b[1] * y + b[2])
        root = half * half - square * c
        near = (np.sqrt(np.maximum(root, 0.0)) - half) / c
        hit = (root > 0.0) & (near > w)
        np.copyto(w, near, where=hit)
        np.copyto(face, np.int32(self.scene.round_faces[i]), where=hit)

    def ground(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Casts rays against road, kerb and sidewalk; x and y broadcast against each other."""
        ground, rotation, origin = self.scene.ground, self.view.rotation, self.view.origin
        # The sheet z = z(x, y) along the ray: A0 w^2 + A1 w + A2 = 0 for w = 1 / t.
        tangent = np.array([ground.slope + 2 * ground.curvature * origin[0], ground.camber, -1.0])
        a, b, c = (-(tangent @ rotation)).astype(np.float32)
        linear = a * x + (b * y + c)
        a, b, c = rotation[0].astype(np.float32)
        ahead = a * x + (b * y + c)
        squared = np.float32(-ground.curvature) * ahead * ahead
        height = float(origin[2] - ground.z(origin[0], origin[1]))
        low, high = (
            _largest_root(np.float32(h), linear, squared) for h in (height, height - ground.kerb)
        )
        w = np.zeros(linear.shape, np.float32)
        face = np.full(linear.shape, SKY_FACE, np.int32)
        seen = np.flatnonzero((low > 0.0) & (ahead < np.float32(ground.end - origin[0]) * low))
        shape = linear.shape
        x, y = (np.broadcast_to(q, shape).reshape(-1)[seen] for q in (x, y))
        low, high = low.reshape(-1)[seen], high.reshape(-1)[seen]
        beyond = self._beyond(x, y, high)
        w_seen = np.where(beyond > 0.0, high, low)
        face_seen = np.where(beyond > 0.0, WALK_FACE, ROAD_FACE).astype(np.int32)
        # Rays that pass above the sidewalk's sheet on the road and below it beyond meet the kerb.
        inside = np.flatnonzero(beyond <= 0.0)
        outside = self._beyond(x[inside], y[inside], low[inside])
        kerb = inside[outside > 0.0]
        if len(kerb):
            near, far = 1.0 / high[kerb], 1.0 / low[kerb]
            at_near, at_far = beyond[kerb], outside[outside > 0.0]
            for _ in range(
                4
            ):  # regula falsi; the sides are nearly straight, so it converges at once
                middle = near - at_near * (far - near) / (at_far - at_near)
                value = self._beyond(x[kerb], y[kerb], 1.0 / middle)
                before = value <= 0.0
                near, at_near = np.where(before, middle, near), np.where(before, value, at_near)
                far, at_far = np.where(before, far, middle), np.where(before, at_far, value)
                at_far = np.maximum(at_far, 1e-7)
            w_seen[kerb] = 1.0 / middle
            east, north, _ = self.point(x[kerb], y[kerb], middle)
            on_left = ground.lateral(east, north) > 0.0
            face_seen[kerb] = np.where(on_left, LEFT_KERB_FACE, RIGHT_KERB_FACE)
        w.reshape(-1)[seen], face.reshape(-1)[seen] = w_seen, face_seen
        return w, face

    def _beyond(self, x: np.ndarray, y: np.ndarray, w: np.ndarray) -> np.ndarray:
        """Metres by which rays' points lie outside the kerbs; negative on the road."""
        ground = self.scene.ground
        east, north = self.point(x, y, 1.0 / np.maximum(w, 1e-6))[:2]
        lateral = ground.lateral(east, north)
        return np.maximum(lateral - np.float32(ground.left), -lateral - np.float32(ground.right))

    def direction(self, x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
        """Rays' directions in the world: three arrays, for depth 1."""
        rotation = self.view.rotation.astype(np.float32)
        return [rotation[k, 0] * x + rotation[k, 1] * y + rotation[k, 2] for k in range(3)]

    def point(self, x: np.ndarray, y: np.ndarray, t: np.ndarray) -> list[np.ndarray]:
        """World coordinates (three arrays) of points at depth t along rays."""
        origin = self.view.origin.astype(np.float32)
        return [start + t * along for start, along in zip(origin, self.direction(x, y))]


def _largest_root(a0: np.float32, a1: np.ndarray, a2: np.ndarray) -> np.ndarray:
    """Largest w with a0 w^2 + a1 w + a2 = 0, for a0 > 0; 0 where there is none."""
    root = a1 * a1 - 4 * a0 * a2
    w = (np.sqrt(np.maximum(root, 0.0)) - a1) / (2 * a0)
    return np.where((root >= 0.0) & (w > 0.0), w, np.float32(0.0))


def _cube(centres: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Corners of the boxes around ellipsoids, as many as a convex solid has: [E, V, 3]."""
    signs = np.array([[i & 1, i >> 1 & 1, i >> 2 & 1] for i in range(MAX_VERTICES)]) * 2.0 - 1.0
    return centres[:, None] + radii[:, None] * signs[None]


def _clipped_bounds(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of the part of a convex solid that lies beyond the near plane."""
    inside = points[:, 2] >= NEAR
    a, b = points[inside][:, None], points[~inside][None, :]
    part = (a[..., 2:] - NEAR) / (a[..., 2:] - b[..., 2:])
    cuts = (a + part * (b - a)).reshape(-1, 3)
    seen = np.concatenate([points[inside], cuts])
    xy = seen[:, :2] / seen[:, 2:]
    return xy.min(0), xy.max(0)
