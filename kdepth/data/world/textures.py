"""Colours of what the rays hit: grain, sky, light, shadow and haze.

Every texture is anchored to its surface in metres and fades out where a pixel covers more than its
period. Without that far texture would alias: left and right would see different colours at one
point, and nothing could be matched. `materials` draws what is special to each material.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kdepth.data.world import solids as m
from kdepth.data.world.materials import PAINTS, Surface
from kdepth.data.world.noise import Noise
from kdepth.data.world.raycast import Caster, Rays
from kdepth.data.world.shadows import Shadows

_AT_ONCE = 32768  # rays; the temporaries of that many stay in the cache
# How much grain changes brightness, in the order of the materials.
_CONTRAST = np.array([0, 0.42, 0.44, 0.4, 0.38, 0.42, 0.65, 0.3, 0.4, 0.5, 0.4, 0.42], np.float32)
_GRAZING = np.float32(-0.02)  # normal . ray beyond which a face counts as seen edge-on


@dataclass(frozen=True)
class Light:
    """How a scene is lit.

    Attributes:
        sun: [3] unit vector towards the sun.
        direct: strength of the sun.
        ambient: strength of the sky.
        tint: [3] RGB factors of the whole image.
        haze: per metre; exp(-haze z) of a colour is left at depth z.
        horizon: [3] RGB of the sky at the horizon, and of haze.
        zenith: [3] RGB of the sky above.
        clouds: 0 clear to 1 covered.
    """

    sun: np.ndarray
    direct: float
    ambient: float
    tint: np.ndarray
    haze: float
    horizon: np.ndarray
    zenith: np.ndarray
    clouds: float


@dataclass(frozen=True)
class Painter:
    """Colours a scene.

    Attributes:
        light: how the scene is lit.
        noise: of the scene.
        shadows: of the scene.
    """

    light: Light
    noise: Noise
    shadows: Shadows

    def paint(self, caster: Caster, rays: Rays) -> np.ndarray:
        """Colours rays.

        Args:
            caster: the scene and the view.
            rays: what they hit; N rays.

        Returns:
            [3, N] float32 RGB in [0, 1].
        """
        colour = np.empty((3, len(rays.x)), np.float32)
        is_sky = rays.face == m.SKY_FACE
        for paint, chosen in ((self._sky, is_sky), (self._surface, ~is_sky)):
            chosen = np.flatnonzero(chosen)
            for start in range(0, len(chosen), _AT_ONCE):
                i = chosen[start : start + _AT_ONCE]
                colour[:, i] = paint(caster, rays.take(i))
        colour *= _column(self.light.tint)
        return np.clip(colour, 0.0, 1.0, out=colour)

    def _sky(self, caster: Caster, rays: Rays) -> np.ndarray:
        light, noise = self.light, self.noise
        east, north, up = caster.direction(rays.x, rays.y)
        steep = np.clip(up / np.sqrt(east * east + north * north + up * up), 0.0, 1.0)
        u, v = north / (np.abs(east) + 0.1), up / (np.abs(east) + 0.1)
        cloud = 0.5 * noise(u * 3 + 7, v * 9 + 3)
        cloud += 0.3 * noise(u * 8, v * 21) + 0.2 * noise(u * 20, v * 45)
        cover = np.clip(cloud * 1.5 + light.clouds * 1.6 - 0.6, 0.0, 1.0)
        height = np.sqrt(np.minimum(steep * 2.0, 1.0))
        clear = _column(light.horizon) * (1.0 - height) + _column(light.zenith) * height
        white = (0.93 - 0.25 * light.clouds + 0.12 * cloud) * _column((1.0, 1.0, 1.02))
        return clear * (1.0 - cover) + white * cover

    def _surface(self, caster: Caster, rays: Rays) -> np.ndarray:
        scene, light = caster.scene, self.light
        material = scene.materials[rays.face]
        t = 1.0 / rays.w
        u, v, wu, wv, shade = self._coordinates(caster, rays, t)
        grain = self.noise.grain(u, v, wu, wv, rays.face, material)
        colour = scene.colours.T.take(rays.face, axis=1)
        styles = scene.styles.T
        for kind, paint in PAINTS.items():
            i = np.flatnonzero(material == kind)
            if len(i):
                style = styles.take(rays.face[i], axis=1)
                at = Surface(u[i], v[i], wu[i], wv[i], grain[i], style, scene.ground, self.noise)
                colour[:, i] = paint(colour[:, i], at)
        shade *= 1.0 + _CONTRAST[material] * grain
        colour *= shade
        clear = np.exp(np.float32(-light.haze) * t)
        colour *= clear
        colour += _column(light.horizon) * (1.0 - clear)
        return colour

    def _coordinates(self, caster: Caster, rays: Rays, t: np.ndarray) -> tuple[np.ndarray, ...]:
        """Where on their faces the rays hit.

        Returns:
            u and v [N], texture coordinates in metres; wu and wv [N], how much of them a pixel
            covers; [N], the light that falls there.
        """
        scene, view, face, x, y = caster.scene, caster.view, rays.face, rays.x, rays.y
        faces = _Faces(caster, self.light.sun)
        n, a, b = (q.take(face, axis=1) for q in (faces.normals, faces.axes_u, faces.axes_v))
        n_d, a_d, b_d = (q[0] * x + q[1] * y + q[2] for q in (n, a, b))
        u, v = faces.start_u[face] + t * a_d, faces.start_v[face] + t * b_d
        direct, ambient = faces.direct[face], faces.ambient[face]
        i = np.flatnonzero(scene.solid_of_face[face] >= len(scene.spans))
        if len(i):
            n[:, i], direct[i] = self._round(caster, rays.take(i), t[i])
            n_d[i] = n[0, i] * x[i] + n[1, i] * y[i] + n[2, i]
        # From a pixel to the next the point moves by t (e_x - d n_x / n.d) / focal.
        n_d = np.minimum(n_d, _GRAZING)
        pixel = t * (rays.scale / np.float32(view.focal))
        n_x, n_y = n[0] / n_d, n[1] / n_d
        wu = pixel * (np.abs(a[0] - a_d * n_x) + np.abs(a[1] - a_d * n_y))
        wv = pixel * (np.abs(b[0] - b_d * n_x) + np.abs(b[1] - b_d * n_y))
        i = np.flatnonzero(face < m.RESERVED_FACES)
        if len(i):
            east, north, height = caster.point(x[i], y[i], t[i])
            lateral = scene.ground.lateral(east, north)
            u[i], v[i] = east, np.where(face[i] >= m.LEFT_KERB_FACE, height, lateral)
            no_sun, no_sky = self.shadows.at(east, lateral, wu[i])
            direct[i] *= 1.0 - no_sun
            ambient[i] *= 1.0 - 0.75 * no_sky
        light = np.float32(self.light.ambient) * ambient + np.float32(self.light.direct) * direct
        return u, v, wu, wv, light

    def _round(self, caster: Caster, rays: Rays, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Normals [3, N] in camera axes and sunlight [N] on ellipsoids."""
        scene, view = caster.scene, caster.view
        which = scene.solid_of_face[rays.face] - len(scene.spans)
        centres = scene.centres.T.astype(np.float32).take(which, axis=1)
        radii = scene.radii.T.astype(np.float32).take(which, axis=1)
        normal = np.stack(caster.point(rays.x, rays.y, t))
        normal -= centres
        normal /= radii * radii
        normal /= np.sqrt((normal * normal).sum(0))
        direct = 0.25 + 0.75 * np.maximum(self.light.sun.astype(np.float32) @ normal, 0.0)
        direct *= 0.75 + 0.25 * normal[2]
        return view.rotation.T.astype(np.float32) @ normal, direct


class _Faces:
    """The face table as a view sees it, float32; vectors in camera axes, as [3, F]."""

    def __init__(self, caster: Caster, sun: np.ndarray) -> None:
        scene, view, ground = caster.scene, caster.view, caster.scene.ground
        normals, axes_u, axes_v = scene.normals.copy(), scene.axes_u.copy(), scene.axes_v.copy()
        # The ground bends; its footprints and light are those of a plane some metres ahead.
        slope = ground.slope + 2 * ground.curvature * (view.origin[0] + 10.0)
        up = np.array([-slope, -ground.camber, 1.0])
        normals[: m.LEFT_KERB_FACE] = up / np.linalg.norm(up)
        axes_u[: m.LEFT_KERB_FACE] = (1.0, 0.0, slope)
        axes_v[: m.LEFT_KERB_FACE] = (0.0, 1.0, ground.camber)
        rotation = view.rotation
        self.normals, self.axes_u, self.axes_v = (
            np.ascontiguousarray((q @ rotation).T, np.float32) for q in (normals, axes_u, axes_v)
        )
        self.start_u = (scene.axes_u @ view.origin - scene.origins[:, 0]).astype(np.float32)
        self.start_v = (scene.axes_v @ view.origin - scene.origins[:, 1]).astype(np.float32)
        self.direct = np.maximum(normals @ sun, 0.0).astype(np.float32)
        self.ambient = (0.85 + 0.15 * normals[:, 2]).astype(np.float32)


def _column(rgb: object) -> np.ndarray:
    return np.asarray(rgb, np.float32).reshape(3, 1)
