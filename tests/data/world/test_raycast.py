"""Rays against shapes whose distance is known, and against every solid by brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdepth.data.world import solids as m
from kdepth.data.world.drive import encode_depth, scene_at, view_image
from kdepth.data.world.motion import camera_poses, distances, rotation
from kdepth.data.world.noise import Noise
from kdepth.data.world.raycast import Caster, View
from kdepth.data.world.rig import rig
from kdepth.data.world.scene import lay_out
from kdepth.data.world.settings import WorldSettings
from kdepth.data.world.shadows import Shadows
from kdepth.data.world.solids import Ground, Solids, rectangle
from kdepth.data.world.textures import Painter

FORWARD = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])  # camera looks along +x
X, Y = np.linspace(-0.8, 0.8, 81), np.linspace(-0.3, 0.3, 31)


def ground(**changes) -> Ground:
    values = dict(
        slope=0.0, curvature=0.0, camber=0.0, kerb=0.1, amplitude=0.0, frequency=0.05, phase=0.0,
        left=4.0, right=3.0, walk=2.0, marks=0, asphalt=(0.4,) * 3, paving=(0.5,) * 3,
        verge=(0.3,) * 3, grass=False, end=1e6,
    )  # fmt: skip
    return Ground(**{**values, **changes})


def cast(surface: Ground, solids: Solids | None = None, height: float = 1.5, turn=None):
    scene = (solids or Solids()).freeze(surface)
    return Caster(
        scene,
        View(np.array([0.0, 0.0, height]), FORWARD if turn is None else FORWARD @ turn, 100.0),
    )


def depth_of(caster: Caster) -> tuple[np.ndarray, np.ndarray]:
    w, face = caster.image(X, Y)
    with np.errstate(divide="ignore"):
        return 1.0 / w.astype(np.float64), face


def test_flat_road_sidewalk_and_kerbs():
    depth, face = depth_of(cast(ground()))
    x, y = np.meshgrid(X, Y)
    low, high = 1.5 / np.where(y > 1e-9, y, np.inf), 1.4 / np.where(y > 1e-9, y, np.inf)
    assert (face[y < -1e-9] == m.SKY_FACE).all()
    # Away from the very edges, where rounding decides.
    walk = (y > 1e-9) & ((-x * high > 4.001) | (x * high > 3.001))
    road = (y > 1e-9) & (-x * low < 3.999) & (x * low < 2.999)
    assert (face[walk] == m.WALK_FACE).all() and (face[road] == m.ROAD_FACE).all()
    np.testing.assert_allclose(depth[walk], high[walk], rtol=1e-5)
    np.testing.assert_allclose(depth[road], low[road], rtol=1e-5)
    for kerb, edge in ((m.LEFT_KERB_FACE, -4.0), (m.RIGHT_KERB_FACE, 3.0)):
        hit = face == kerb
        assert hit.any()
        np.testing.assert_allclose(depth[hit] * x[hit], edge, atol=1e-3)


@given(
    slope=st.floats(-0.05, 0.05), curvature=st.floats(-1e-3, 1e-3), camber=st.floats(-0.03, 0.03),
    steep=st.floats(0.0, 0.3), yaw=st.floats(-0.2, 0.2), pitch=st.floats(-0.1, 0.1),
)  # fmt: skip
def test_what_hits_the_ground_lies_on_it(slope, curvature, camber, steep, yaw, pitch):
    surface = ground(slope=slope, curvature=curvature, camber=camber, amplitude=steep / 0.05)
    caster = cast(surface, turn=rotation(1, yaw) @ rotation(0, pitch))
    depth, face = depth_of(caster)
    x, y = np.meshgrid(X, Y)
    near = (depth < 100) & (face > 0)
    east, north, up = (q[near] for q in caster.point(x, y, np.where(near, depth, 1.0)))
    gap = up - surface.z(east, north)
    kind, lateral = face[near], surface.lateral(east, north)
    np.testing.assert_allclose(gap[kind == m.ROAD_FACE], 0.0, atol=2e-3)
    np.testing.assert_allclose(gap[kind == m.WALK_FACE], surface.kerb, atol=2e-3)
    road = lateral[kind == m.ROAD_FACE]
    assert (road < 4.0 + 1e-2).all() and (road > -3.0 - 1e-2).all()
    np.testing.assert_allclose(lateral[kind == m.LEFT_KERB_FACE], 4.0, atol=1e-2)
    np.testing.assert_allclose(lateral[kind == m.RIGHT_KERB_FACE], -3.0, atol=1e-2)


def test_box_has_the_depth_of_its_faces():
    solids = Solids()
    solids.prism(rectangle(11.0, 0.0, 0.0, 2.0, 4.0), -1.0, 3.0, m.WALL, (0.5,) * 3)
    depth, face = depth_of(cast(ground(), solids))
    x, y = np.meshgrid(X, Y)
    front = (np.abs(x) < 0.199) & (y < 0.149) & (y > -0.149)
    np.testing.assert_allclose(depth[front], 10.0, rtol=1e-5)
    assert len(set(face[front])) == 1 and face[front][0] >= m.RESERVED_FACES
    assert (face[np.abs(x) > 0.201] < m.RESERVED_FACES).all()


def test_ellipsoid_is_hit_where_its_equation_holds():
    solids = Solids()
    solids.ellipsoid((12.0, 1.0, 1.5), (2.0, 3.0, 1.0), m.LEAF, (0.2, 0.3, 0.1))
    caster = cast(ground(), solids)
    depth, face = depth_of(caster)
    hit = face == m.RESERVED_FACES
    x, y = np.meshgrid(X, Y)
    east, north, up = (q[hit] for q in caster.point(x, y, np.where(hit, depth, 1.0)))
    value = ((east - 12) / 2) ** 2 + ((north - 1) / 3) ** 2 + (up - 1.5) ** 2
    np.testing.assert_allclose(value, 1.0, atol=1e-4)
    assert (east < 12.0).all()
    assert hit.sum() > 50
    angles = np.linspace(0, 2 * np.pi, 2000)  # the outline's width, from its tangents
    outline = np.arctan2(3 * np.sin(angles) + 1, 2 * np.cos(angles) + 12)
    expected = np.tan([-outline.max(), -outline.min()])
    np.testing.assert_allclose([x[hit].min(), x[hit].max()], expected, atol=0.02)


@settings(max_examples=10)
@given(seed=st.integers(0, 10_000), yaw=st.floats(-0.5, 0.5))
def test_images_equal_brute_force(seed, yaw):
    """The rectangles that save tests never hide anything, also close to the camera."""
    rng = np.random.default_rng(seed)
    street = lay_out(rng, 0.0, False)
    scene = street.solids.freeze(street.ground)
    place = street.ground.place(rng.uniform(0.0, 30.0), street.lane)
    origin = np.array([*place[:2], street.ground.z(*place[:2]) + 1.6])
    caster = Caster(scene, View(origin, rotation(2, place[2]) @ FORWARD @ rotation(1, yaw), 100.0))
    w, face = caster.image(X, Y)
    x, y = (q.reshape(-1) for q in np.meshgrid(X, Y))
    everything = np.arange(x.size)
    solids = range(len(scene.spans) + len(scene.centres))
    expected, faces = caster.rays(x, y, {i: everything for i in solids})
    np.testing.assert_allclose(w.reshape(-1), expected, rtol=1e-5, atol=1e-7)
    assert (face.reshape(-1) == faces).mean() > 0.999  # equal depths at shared edges


def test_written_depth_is_the_ray_cast_depth():
    world = WorldSettings(height=32, width=104)
    rng = world.rng(2, 0)
    travelled = distances(rng, world.frames)
    street = lay_out(rng, float(travelled[-1]), False)
    noise = Noise(rng)
    pose = camera_poses(street, rng, travelled)[0]
    scene = scene_at(street, 0)
    painter = Painter(street.light, noise, Shadows(scene, street.light.sun))
    image, depth = view_image(world, rig(world, "2000_01_01"), scene, painter, pose, 0.0)
    written = encode_depth(depth)
    assert image.shape == (32, 104, 3) and image.dtype == np.uint8
    seen = np.isfinite(depth)
    assert written.dtype == np.uint16 and (written[~seen] == 0).all() and seen.any()
    assert np.abs(written[seen] / 256 - depth[seen]).max() <= 1 / 256
    assert (written[seen] > 0).all()


@pytest.mark.parametrize("far", [255.9, 300.0, np.inf])
def test_depth_that_does_not_fit_is_unmeasured(far):
    value = encode_depth(np.array([[far, 1.0]], np.float32))
    assert value[0, 1] == 256 and value[0, 0] == (round(far * 256) if far < 256 else 0)


def test_sun_from_the_left_throws_shadows_to_the_right():
    solids = Solids()
    solids.prism(rectangle(20.0, 0.0, 0.0, 4.0, 1.0), -1.0, 2.0, m.WALL, (0.5,) * 3)
    surface = ground(end=200.0)
    sun = np.array([0.0, 1.0, 1.0]) / np.sqrt(2)
    shadows = Shadows(solids.freeze(surface), sun)
    x = np.full(4, 20.0, np.float32)
    no_sun, no_sky = shadows.at(x, np.array([3.0, 1.5, -1.5, -3.5], np.float32), 0.01 + 0 * x)
    np.testing.assert_allclose(no_sun, [0.0, 0.0, 1.0, 0.0], atol=0.05)
    assert no_sky[2] > 0.0 and no_sky[0] == 0.0
