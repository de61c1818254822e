from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdepth.geometry.camera import Camera
from kdepth.output import files, ply
from kdepth.output.result import Result
from kdepth.prediction import Prediction

CAMERA = Camera(50.0, 40.0, 11.0, 7.5, 24, 16)
TYPES = {"float": "<f4", "uchar": "u1"}


def read_ply(path) -> tuple[np.ndarray, list[str]]:
    """An independent reader: the vertices and the comments of a binary PLY file."""
    head, _, body = path.read_bytes().partition(b"end_header\n")
    lines = head.decode("ascii").splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    fields = [line.split()[1:] for line in lines if line.startswith("property")]
    count = next(int(line.split()[2]) for line in lines if line.startswith("element vertex"))
    vertices = np.frombuffer(body, [(name, TYPES[kind]) for kind, name in fields])
    assert len(vertices) == count
    return vertices, [line[8:] for line in lines if line.startswith("comment")]


def picture(camera: Camera) -> np.ndarray:
    shape = (camera.height, camera.width, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@given(st.integers(2, 40), st.integers(2, 30))
def test_a_plane_stays_a_plane_at_every_output_size(width, height):
    """n . X = 5 seen by a camera that was resized with the picture: every point lies on it."""
    camera = CAMERA.resize(width, height)
    normal = np.array([0.3, -0.2, 0.9])
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    rays = np.stack(
        [(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy, np.ones(x.shape)], -1
    )
    depth = (5.0 / (rays @ normal)).astype(np.float32)
    points, _ = ply.point_cloud(depth, camera, picture(camera))
    np.testing.assert_allclose(points @ normal, 5.0, rtol=1e-5)
    # The field of view is the camera's at any size: the picture's left border in its own pixels.
    left = (-0.5 - camera.cx) / camera.fx
    assert left == pytest.approx((-0.5 - CAMERA.cx) / CAMERA.fx)


def test_points_have_the_colours_of_their_pixels_and_nothing_else_is_a_point(tmp_path):
    depth = np.full((16, 24), 3.0, np.float32)
    depth[0], depth[1, 0], depth[1, 1], depth[2] = 0, np.nan, np.inf, 90.0
    image = picture(CAMERA)
    points, colors = ply.point_cloud(depth, CAMERA, image, max_depth=80.0)
    assert len(points) == 13 * 24 + 22
    np.testing.assert_array_equal(colors, np.concatenate([image[1, 2:], *image[3:]]))
    ply.write(tmp_path / "x.ply", points, colors, ["unit: metre"])
    vertices, comments = read_ply(tmp_path / "x.ply")
    np.testing.assert_array_equal(np.stack([vertices[k] for k in "xyz"], 1), points)
    stored = np.stack([vertices[k] for k in ("red", "green", "blue")], 1)
    np.testing.assert_array_equal(stored, colors)
    assert comments == ["unit: metre"]


def test_a_camera_of_another_size_is_refused():
    with pytest.raises(ValueError, match="resize the camera"):
        ply.point_cloud(np.ones((8, 12)), CAMERA, np.zeros((8, 12, 3), np.uint8))


@pytest.mark.parametrize(
    ("kind", "name", "unit"),
    [("metric", "a_points.ply", "metre"), ("relative", "a_relative_points.ply", "unknown")],
)
def test_a_cloud_says_its_unit(tmp_path, kind, name, unit):
    prediction = Prediction(depth=np.full((1, 16, 24), 2.0, np.float32), kind=kind)
    entry = files.write_ply(tmp_path, Result("a", picture(CAMERA), prediction, CAMERA))
    assert entry == {"ply": name, "points": 16 * 24}
    vertices, comments = read_ply(tmp_path / name)
    assert any(unit in comment for comment in comments)
    assert "camera: 24x16 fx 50 fy 40 cx 11 cy 7.5" in comments
    # The pixel below and right of the principal point: x to the right, y down, z forward.
    corner = vertices[-1]
    assert corner["x"] == pytest.approx(2.0 * 12 / 50) and corner["y"] == pytest.approx(
        2 * 7.5 / 40
    )
    assert corner["z"] == 2.0
