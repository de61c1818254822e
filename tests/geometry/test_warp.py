from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from kdepth.geometry import pose, warp
from kdepth.geometry.camera import Camera

ROW = np.float32([10, 20, 30, 40]).reshape(1, 1, 4, 1)
CAMERA = Camera(70.0, 80.0, 31.0, 12.5, 64, 32)


@pytest.fixture(scope="module")
def monodepth(golden):
    return np.load(golden / "monodepth_losses.npz", allow_pickle=False)


def pictures(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(size=shape).astype(np.float32)


def intrinsics(camera: Camera = CAMERA, batch: int = 1) -> np.ndarray:
    return np.stack([camera.matrix()] * batch).astype(np.float32)


def tiled(image: np.ndarray, rows: int) -> np.ndarray:
    return np.repeat(image, rows, axis=1)


def mirror(image: np.ndarray) -> np.ndarray:
    return image[:, :, ::-1]


# -- border modes


@pytest.mark.parametrize(
    ("border", "expected"),
    [
        ("zeros_fade", [0, 5, 10, 35, 40, 20, 0, 0]),
        ("zeros_hard", [0, 0, 10, 35, 0, 0, 0, 0]),
        ("edge", [10, 10, 10, 35, 40, 40, 40, 40]),
    ],
)
def test_a_row_beyond_its_ends(border, expected):
    x = np.float32([-1.5, -0.5, 0, 2.5, 3, 3.5, 4.0, 1e9])
    xy = np.stack([x, np.zeros_like(x)], -1)[None]
    # Two equal rows, for `zeros_hard` wants a row below.
    found = warp.warp(tiled(ROW, 2), xy, border)[0, :, 0]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    turned = np.transpose(tiled(ROW, 2), (0, 2, 1, 3))
    np.testing.assert_allclose(
        warp.warp(turned, xy[..., ::-1].copy(), border)[0, :, 0], expected, atol=1e-5
    )


@pytest.mark.parametrize("border", warp.BORDERS)
def test_the_identity_is_exact(border):
    image = pictures(2, 5, 7, 3)
    xy = np.broadcast_to(warp.pixel_grid(5, 7), (2, 5, 7, 2))
    for found in (
        warp.warp(image, xy, border),
        warp.warp_disparity(image, xy[..., :1] * 0, border),
    ):
        expected = image.copy()
        if border == "zeros_hard":
            expected[:, -1] = expected[:, :, -1] = 0.0
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("border", warp.BORDERS)
def test_odd_coordinates_give_finite_values_and_gradients(border):
    values = np.float32([np.nan, np.inf, -np.inf, 1e30, -1e30, -1, 0, 2, 3, 4, 1.5])
    xy = tf.constant(np.stack(np.meshgrid(values, values), -1).reshape(1, -1, 2))
    image = tf.constant(pictures(1, 4, 4, 2))
    with tf.GradientTape() as tape:
        tape.watch([image, xy])
        sampled = warp.warp(image, xy, border)
        total = tf.reduce_sum(tf.square(sampled))
    for tensor in (sampled, *tape.gradient(total, [image, xy])):
        assert np.all(np.isfinite(tensor))
    missing = np.isnan(xy.numpy()).any(-1)
    assert not np.any(sampled.numpy()[missing])


def test_edge_has_no_gradient_where_it_clamps():
    x = tf.constant([[[-3.0, 0.0], [0.0, 0.0], [1.5, 0.0], [3.0, 0.0], [9.0, 0.0], [np.inf, 0.0]]])
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(warp.warp(tiled(ROW, 2), x, "edge"))
    np.testing.assert_allclose(tape.gradient(total, x)[0, :, 0], [0, 10, 10, 0, 0, 0])


def test_an_unknown_border_is_named():
    with pytest.raises(ValueError, match="`border` must be one of zeros_fade"):
        warp.warp(ROW, np.zeros((1, 1, 2), np.float32), "zeros")


def test_valid_mask_includes_the_outermost_pixels():
    values = np.float32([-0.01, 0, 3, 3.01, np.nan, np.inf])
    xy = tf.constant(np.stack([values, np.zeros_like(values)], -1))
    with tf.GradientTape() as tape:
        tape.watch(xy)
        mask = warp.valid_mask(xy, 1, 4)
    assert tape.gradient(mask, xy) is None
    np.testing.assert_array_equal(mask[:, 0], [0, 1, 1, 0, 0, 0])
    np.testing.assert_array_equal(warp.valid_mask(xy[:, ::-1], 4, 1)[:, 0], [0, 1, 1, 0, 0, 0])


def test_pixel_grid_is_columns_then_rows():
    grid = warp.pixel_grid(2, 3)
    np.testing.assert_array_equal(grid[..., 0], [[0, 1, 2], [0, 1, 2]])
    np.testing.assert_array_equal(grid[..., 1], [[0, 0, 0], [1, 1, 1]])


# -- disparity


def test_one_pixel_of_disparity_shifts_by_one_pixel():
    right = pictures(1, 4, 8, 3)
    relative = np.full((1, 4, 8, 1), 1 / 8, np.float32)
    left = warp.warp_disparity(right, relative * 8).numpy()
    np.testing.assert_array_equal(left[:, :, 1:], right[:, :, :-1])
    np.testing.assert_array_equal(left[:, :, 0], np.zeros((1, 4, 3)))
    back = warp.warp_disparity(left, -relative * 8).numpy()
    np.testing.assert_array_equal(back[:, :, :-1], right[:, :, :-1])


def test_mirroring_and_swapping_the_pair_mirrors_the_estimate():
    left, disparity = pictures(2, 5, 16, 3), 4 * pictures(2, 5, 16, 1, seed=1)
    right_estimate = warp.warp_disparity(left, -disparity)
    swapped = warp.warp_disparity(mirror(left).copy(), mirror(disparity).copy())
    np.testing.assert_allclose(mirror(swapped.numpy()), right_estimate, atol=1e-5)


def test_golden_stereo_estimates(monodepth):
    left, right, disp0 = monodepth["left"], monodepth["right"], monodepth["disp0"]
    left_disparity, right_disparity = 64 * disp0[..., :1], 64 * disp0[..., 1:]
    found = {
        "left_est0": warp.warp_disparity(right, left_disparity),
        "right_est0": warp.warp_disparity(left, -right_disparity),
        "right_to_left_disp0": warp.warp_disparity(disp0[..., 1:], left_disparity),
    }
    small = right.reshape(2, 4, 8, 8, 8, 3).mean(axis=(2, 4))
    found["left_est3"] = warp.warp_disparity(small, 8 * monodepth["disp3"][..., :1])
    for name, estimate in found.items():
        np.testing.assert_allclose(estimate, monodepth[name], atol=1e-5, err_msg=name)


# -- a moving camera


@pytest.mark.parametrize("z_policy", warp.Z_POLICIES)
def test_a_camera_at_rest_sees_the_same(z_policy):
    source, depth = pictures(2, 32, 64, 3), 1 + 9 * pictures(2, 32, 64, 1, seed=1)
    motion = np.stack([np.eye(4, dtype=np.float32)] * 2)
    seen = warp.inverse_warp(
        source, depth, motion, intrinsics(batch=2), border="edge", z_policy=z_policy
    )
    np.testing.assert_allclose(seen.image, source, atol=1e-4)
    np.testing.assert_allclose(seen.xy[0], warp.pixel_grid(32, 64), atol=2e-5)
    np.testing.assert_array_equal(seen.computed_depth, depth)
    assert np.all(seen.valid[:, 1:-1, 1:-1] == 1.0)


@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(2, 50))
def test_a_sideways_step_shifts_by_f_t_over_z(step_x, step_y, depth):
    motion = pose.from_vector(np.float32([[step_x, step_y, 0, 0, 0, 0]]))
    depths = np.full((1, 32, 64, 1), depth, np.float32)
    seen = warp.inverse_warp(pictures(1, 32, 64, 1), depths, motion, intrinsics())
    shift = np.array([CAMERA.fx * step_x / depth, CAMERA.fy * step_y / depth])
    np.testing.assert_allclose(
        seen.xy[0] - warp.pixel_grid(32, 64), shift + 0 * seen.xy[0], atol=1e-3
    )


def test_a_step_to_the_right_is_the_stereo_warp():
    """The right camera stands at +baseline, so a point's x is smaller there by the baseline."""
    baseline, right = 0.5, pictures(1, 32, 64, 3)
    disparity = 1 + 4 * pictures(1, 32, 64, 1, seed=1)
    T_right_left = pose.from_vector(np.float32([[-baseline, 0, 0, 0, 0, 0]]))
    seen = warp.inverse_warp(right, CAMERA.fx * baseline / disparity, T_right_left, intrinsics())
    expected = warp.warp_disparity(right, disparity)
    np.testing.assert_allclose(seen.image[:, 1:-1], expected[:, 1:-1], atol=1e-4)


def test_against_matrices_in_float64():
    """x = K_s (R K_t^-1 depth (u, v, 1) + t), another camera and size for the source."""
    rng = np.random.default_rng(2)
    source_camera = Camera(50.0, 55.0, 20.0, 9.0, 40, 20)
    motion = pose.from_vector(rng.uniform(-0.2, 0.2, (2, 6)))
    depth = rng.uniform(2, 5, (2, 32, 64, 1))
    seen = warp.inverse_warp(
        pictures(2, 20, 40, 3), depth, motion, intrinsics(batch=2), intrinsics(source_camera, 2)
    )
    v, u = np.mgrid[:32, :64]
    rays = np.linalg.inv(CAMERA.matrix()) @ np.stack([u, v, np.ones_like(u)]).reshape(3, -1)
    for i in range(2):
        points = motion[i, :3, :3] @ (rays * depth[i].reshape(1, -1)) + motion[i, :3, 3:]
        projected = source_camera.matrix() @ points
        xy = (projected[:2] / projected[2]).T.reshape(32, 64, 2)
        np.testing.assert_allclose(seen.xy[i], xy, atol=1e-4)
        np.testing.assert_allclose(seen.computed_depth[i, ..., 0].numpy().ravel(), points[2])
        inside = (xy >= 0).all(-1) & (xy[..., 0] <= 39) & (xy[..., 1] <= 19)
        np.testing.assert_array_equal(seen.valid[i, ..., 0], inside)


@pytest.mark.parametrize(
    ("z_policy", "depth"), [("eps_1e-7", -1.0), ("eps_1e-10", -1.0), ("clamp_1e-3", 1e-3)]
)
def test_points_behind_the_camera_are_invalid(z_policy, depth):
    motion = pose.from_vector(np.float32([[0, 0, -3, 0, 0, 0]]))
    depths = tf.constant(np.full((1, 32, 64, 1), 2.0, np.float32))
    with tf.GradientTape() as tape:
        tape.watch(depths)
        seen = warp.inverse_warp(
            pictures(1, 32, 64, 3), depths, motion, intrinsics(), z_policy=z_policy
        )
        total = tf.reduce_sum(seen.image) + tf.reduce_sum(seen.computed_depth)
    np.testing.assert_allclose(seen.computed_depth, np.full((1, 32, 64, 1), depth))
    np.testing.assert_array_equal(seen.valid, np.zeros((1, 32, 64, 1)))
    assert np.all(np.isfinite(tape.gradient(total, depths)))


@pytest.mark.parametrize("z_policy", warp.Z_POLICIES)
def test_a_point_in_the_cameras_plane_stays_finite(z_policy):
    motion = tf.constant(pose.from_vector(np.float32([[1, 0, -2, 0, 0, 0]])))
    depths = tf.constant(np.full((1, 32, 64, 1), 2.0, np.float32))
    with tf.GradientTape() as tape:
        tape.watch([depths, motion])
        seen = warp.inverse_warp(
            pictures(1, 32, 64, 3), depths, motion, intrinsics(), z_policy=z_policy
        )
        total = tf.reduce_sum(seen.image)
    assert not np.any(seen.valid)
    for tensor in (seen.image, *tape.gradient(total, [depths, motion])):
        assert np.all(np.isfinite(tensor))


def test_half_precision_is_projected_in_float32():
    depth = tf.cast(1 + pictures(1, 32, 64, 1), tf.float16)
    motion = pose.from_vector(np.float32([[0.1, 0, 0, 0, 0.1, 0]]))
    source = pictures(1, 32, 64, 3)
    half = warp.inverse_warp(source, depth, motion, intrinsics())
    full = warp.inverse_warp(source, tf.cast(depth, tf.float32), motion, intrinsics())
    assert half.image.dtype == half.xy.dtype == half.valid.dtype == tf.float32
    np.testing.assert_array_equal(half.image, full.image)


def test_an_unknown_z_policy_is_named():
    with pytest.raises(ValueError, match="`z_policy` must be one of eps_1e-10"):
        warp.inverse_warp(
            pictures(1, 4, 4, 1), np.ones((1, 4, 4, 1)), np.eye(4)[None], intrinsics(), z_policy="0"
        )


def test_golden_video_warp_of_the_released_sfmlearner(golden):
    data = np.load(golden / "sfmlearner_losses.npz", allow_pickle=False)
    seen = warp.inverse_warp(
        data["sources"][..., :3],
        1.0 / data["disp0"],
        pose.from_vector(data["poses"][:, 0], clip=True),
        data["intrinsics"][:, 0],
        border="zeros_hard",
        z_policy="eps_1e-10",
    )
    # White noise turns the 1e-5 pixels of float32 projection into as much of the colour.
    np.testing.assert_allclose(seen.image, data["warped_scale0_source0"], atol=5e-5)


def test_golden_video_warp_of_scdepth(golden):
    data = np.load(golden / "scdepth_losses.npz", allow_pickle=False)
    motion = pose.from_vector(data["pose0"])
    seen = warp.inverse_warp(
        data["ref0"], data["target_depth"], motion, data["intrinsics"], z_policy="clamp_1e-3"
    )
    np.testing.assert_array_equal(seen.valid, data["valid_ref0"])
    np.testing.assert_allclose(seen.computed_depth, data["computed_depth_ref0"], atol=1e-5)
    np.testing.assert_allclose(seen.image * seen.valid, data["warped_ref0"], atol=1e-4)
    # SC-Depth compares the depth computed with the depth that the reference view predicts there.
    predicted = warp.resampler(data["ref_depth0"], seen.xy) * seen.valid
    spread = np.ptp(data["projected_depth_ref0"])
    expected = data["projected_depth_ref0"] * data["valid_ref0"]
    np.testing.assert_allclose(predicted / spread, expected / spread, atol=1e-5)


# -- Keras 3's other backends

BACKEND_PROGRAM = """
import sys
import numpy as np
from kdepth.backend import BACKEND, ops, to_numpy
from kdepth.geometry import pose, warp

golden = np.load(sys.argv[1], allow_pickle=False)
image, xy = (ops.convert_to_tensor(golden[name]) for name in ("data", "warp"))
upstream = ops.convert_to_tensor(golden["upstream"])
if BACKEND == "jax":
    import jax

    total = lambda image, xy: ops.sum(warp.resampler(image, xy) * upstream)
    gradients = jax.jit(jax.grad(total, argnums=(0, 1)))(image, xy)
else:
    image.requires_grad_(), xy.requires_grad_()
    ops.sum(warp.resampler(image, xy) * upstream).backward()
    gradients = image.grad, xy.grad
found = (warp.resampler(image, xy), *gradients)
for result, name in zip(found, ("output", "grad_data", "grad_warp")):
    np.testing.assert_allclose(to_numpy(result), golden[name], atol=1e-5, err_msg=name)

tensors = [ops.convert_to_tensor(np.float32(x)) for x in (
    np.ones((1, 8, 9, 3)), np.full((1, 8, 9, 1), 2.0), np.zeros((1, 6)),
    [[[9.0, 0.0, 4.0], [0.0, 9.0, 3.0], [0.0, 0.0, 1.0]]],
)]
for border in warp.BORDERS:
    seen = warp.inverse_warp(tensors[0], tensors[1], pose.from_vector(tensors[2]), tensors[3],
                             border=border)
    np.testing.assert_allclose(to_numpy(seen.image)[:, 1:-1, 1:-1], 1.0, atol=1e-5)
    moved = warp.warp_disparity(tensors[0], tensors[1], border)
    assert to_numpy(moved).shape == (1, 8, 9, 3)
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_on_another_backend(backend, run_python, golden):
    from kdepth.backend import KERAS3

    if not KERAS3:
        pytest.skip("Keras 2.15 runs on TensorFlow only")
    pytest.importorskip(backend)
    program = BACKEND_PROGRAM.replace("sys.argv[1]", repr(str(golden / "resampler.npz")))
    run_python(program, KERAS_BACKEND=backend)
