from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from kdepth.geometry import camera as camera_module
from kdepth.geometry.camera import Camera, crop_matrix, flip_matrix, resize_matrix

sizes = st.integers(2, 2000)
cameras = st.builds(
    Camera,
    fx=st.floats(10, 3000),
    fy=st.floats(10, 3000),
    cx=st.floats(-50, 2000),
    cy=st.floats(-50, 2000),
    width=sizes,
    height=sizes,
)
KITTI = Camera(721.5377, 721.5377, 609.5593, 172.854, 1242, 375)


def assert_same(a: Camera, b: Camera) -> None:
    assert (a.width, a.height) == (b.width, b.height)
    np.testing.assert_allclose(a.matrix(), b.matrix(), rtol=1e-9, atol=1e-9)


@given(cameras)
def test_flipping_twice_changes_nothing(camera):
    assert_same(camera.flip().flip(), camera)


@given(cameras, sizes, sizes, st.booleans())
def test_resizing_back_changes_nothing(camera, width, height, released):
    there = camera.resize(width, height, released)
    assert (there.width, there.height) == (width, height)
    assert_same(there.resize(camera.width, camera.height, released), camera)


@given(cameras, sizes, sizes, st.floats(-1, 1), st.floats(-1, 1), st.floats(0.1, 100))
def test_a_point_stays_on_its_place_of_the_picture(camera, width, height, x, y, z):
    column, row = camera.project(x, y, z)
    resized = camera.resize(width, height).project(x, y, z)
    # Pixel c covers [c - 0.5, c + 0.5], so the share of the width left of c is (c + 0.5) / W.
    assert (resized[0] + 0.5) / width == pytest.approx((column + 0.5) / camera.width, abs=1e-9)
    assert (resized[1] + 0.5) / height == pytest.approx((row + 0.5) / camera.height, abs=1e-9)
    mirrored = camera.flip().project(-x, y, z)
    assert mirrored == pytest.approx((camera.width - 1 - column, row), abs=1e-6)
    assert camera.crop(7, 9, 20, 20).project(x, y, z) == pytest.approx((column - 7, row - 9))


@given(cameras, st.floats(-100, 3000), st.floats(-100, 3000), st.floats(0.01, 200))
def test_projection_undoes_backprojection(camera, x, y, depth):
    point = camera.backproject(x, y, depth)
    assert point[2] == depth
    assert camera.project(*point) == pytest.approx((x, y), abs=1e-6)


def test_forms_of_the_releases():
    half = KITTI.resize(621, 187, released=True)
    assert half.cx == pytest.approx(KITTI.cx / 2)
    assert half.cy == pytest.approx(KITTI.cy * 187 / 375)
    assert KITTI.flip(released=True).cx == pytest.approx(1242 - KITTI.cx)
    assert KITTI.flip().cx == pytest.approx(1241 - KITTI.cx)
    level = resize_matrix(KITTI.matrix(), 0.5**3, 0.5**3, released=True)
    np.testing.assert_allclose(level[:2], KITTI.matrix()[:2] / 8)
    np.testing.assert_allclose(
        flip_matrix(KITTI.matrix(), 1242, released=True), KITTI.flip(released=True).matrix()
    )


def test_a_matrix_gives_the_camera_back():
    assert Camera.from_matrix(KITTI.matrix(), 1242, 375) == KITTI
    projection = np.concatenate([KITTI.matrix(), np.array([[44.9], [0.2], [0.003]])], axis=1)
    assert Camera.from_matrix(projection, 1242, 375) == KITTI


def test_a_batch_of_matrices_gives_fields_of_its_shape():
    batch = np.stack([KITTI.matrix(), KITTI.flip().matrix()])
    camera = Camera.from_matrix(batch, 1242, 375)
    np.testing.assert_array_equal(camera.cx, [KITTI.cx, KITTI.flip().cx])
    x, y, _ = camera.backproject(100.0, 50.0, np.array([2.0, 3.0]))
    assert x.shape == y.shape == (2,)


@pytest.mark.parametrize("kind", ["numpy32", "numpy64", "tensor", "traced"])
def test_matrix_functions_agree_with_the_camera(kind):
    dtype = np.float64 if kind == "numpy64" else np.float32
    matrices = np.stack([KITTI.matrix(), KITTI.flip().matrix()]).astype(dtype)
    scale_x = np.array([[[0.25]], [[0.5]]], dtype)

    def chain(matrix, scale_x):
        return flip_matrix(crop_matrix(resize_matrix(matrix, scale_x, 0.4), 3, 5), 300)

    if kind == "tensor":
        result = chain(tf.constant(matrices), tf.constant(scale_x))
    elif kind == "traced":
        data = tf.data.Dataset.from_tensors((matrices, scale_x)).map(chain)
        result = next(iter(data))
    else:
        result = chain(matrices, scale_x)
        assert result.dtype == dtype
    for i, start in enumerate((KITTI, KITTI.flip())):
        scaled = Camera(start.fx, start.fy, start.cx, start.cy, 1000, 1000)
        scaled = scaled.resize(int(1000 * scale_x[i, 0, 0]), 400)
        expected = scaled.crop(3, 5, 300, 300).flip()
        np.testing.assert_allclose(result[i], expected.matrix(), rtol=1e-6)


def test_the_module_needs_no_framework(run_python):
    run_python(
        "import sys; import kdepth.geometry.camera, kdepth.geometry.pose;"
        "assert not {'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules)"
    )
    assert camera_module.np is np
