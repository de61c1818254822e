from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kdepth.losses import smoothness

maps = arrays(np.float32, (2, 4, 5, 1), elements=st.floats(-10, 10, width=32))
images = arrays(np.float32, (2, 4, 5, 3), elements=st.floats(0, 1, width=32))
slopes = st.floats(-3, 3)


def plane(a: float, b: float, c: float) -> np.ndarray:
    y, x = np.mgrid[:6, :7]
    return np.float32(a + b * x + c * y)[None, :, :, None]


@given(slopes, slopes, slopes)
def test_differences_of_a_plane_are_its_slopes(a, b, c):
    values = plane(a, b, c)
    for difference, slope, shape in (
        (smoothness.forward_difference_x, b, (1, 6, 6, 1)),
        (smoothness.forward_difference_y, c, (1, 5, 7, 1)),
        (smoothness.central_difference_x, b, (1, 6, 5, 1)),
        (smoothness.central_difference_y, c, (1, 4, 7, 1)),
    ):
        np.testing.assert_allclose(difference(values), np.full(shape, slope), atol=1e-5)
    along_x, along_y = smoothness.l2_gradient(values)
    np.testing.assert_allclose(along_x, np.full((1, 6, 6, 1), b**2), atol=1e-4)
    np.testing.assert_allclose(along_y, np.full((1, 5, 7, 1), c**2), atol=1e-4)
    for second in smoothness.second_order(values):
        np.testing.assert_allclose(second, np.zeros(second.shape), atol=1e-5)


@given(maps, images)
def test_edge_aware_against_float64(values, image):
    v, i = np.float64(values), np.float64(image)
    found_x, found_y = smoothness.edge_aware(values, image)
    for found, axis in ((found_x, 2), (found_y, 1)):
        weight = np.exp(-np.abs(np.diff(i, axis=axis)).mean(-1, keepdims=True))
        np.testing.assert_allclose(found, np.abs(np.diff(v, axis=axis)) * weight, atol=1e-5)


@given(images, st.floats(0.1, 100))
def test_a_normalised_map_has_no_scale(image, scale):
    depth = np.float32(image[..., :1] + 0.1)
    for a, b in zip(
        smoothness.edge_aware(depth, image, normalise=True),
        smoothness.edge_aware(np.float32(scale) * depth, image, normalise=True),
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_each_example_is_normalised_by_its_own_mean():
    depth = np.random.default_rng(1).uniform(1, 2, (1, 4, 5, 1)).astype(np.float32)
    both = np.concatenate([depth, 7 * depth])
    for found in smoothness.edge_aware(both, np.zeros((2, 4, 5, 3)), normalise=True):
        np.testing.assert_allclose(found[0], found[1], rtol=1e-5)
    found_x, _ = smoothness.edge_aware(depth, np.zeros((1, 4, 5, 3)), normalise=True)
    np.testing.assert_allclose(found_x, np.abs(np.diff(depth, axis=2)) / depth.mean(), rtol=1e-5)


def test_the_image_is_a_constant():
    image = tf.constant(np.random.default_rng(2).uniform(size=(1, 4, 5, 3)).astype(np.float32))
    with tf.GradientTape() as tape:
        tape.watch(image)
        found_x, found_y = smoothness.edge_aware(image[..., :1], image)
        total = tf.reduce_sum(found_x) + tf.reduce_sum(found_y)
    assert not np.any(tape.gradient(total, image)[..., 1:])


@given(maps)
def test_second_order_against_float64(values):
    v = np.float64(values)
    expected = (
        np.diff(v, n=2, axis=2),
        np.diff(np.diff(v, axis=2), axis=1),
        np.diff(np.diff(v, axis=1), axis=2),
        np.diff(v, n=2, axis=1),
    )
    for found, reference in zip(smoothness.second_order(values), expected):
        np.testing.assert_allclose(found, np.abs(reference), atol=1e-4)


def test_golden_smoothness_of_the_released_monodepth(golden):
    """The release sums the horizontal maps' means over scales and views, divided by 2^s."""
    data = np.load(golden / "monodepth_losses.npz", allow_pickle=False)
    total = 0.0
    for s in range(4):
        height, width = 32 >> s, 64 >> s
        right = data["right"].reshape(2, height, 1 << s, width, 1 << s, 3).mean(axis=(2, 4))
        for channel, image in ((0, data[f"left_pyramid{s}"]), (1, right)):
            disparity = data[f"disp{s}"][..., channel : channel + 1]
            total += np.mean(smoothness.edge_aware(disparity, image)[0]) / 2**s
    assert total == pytest.approx(float(data["smooth_loss_unweighted"]), rel=1e-5)


def test_golden_smoothness_of_the_released_sfmlearner(golden):
    data = np.load(golden / "sfmlearner_losses.npz", allow_pickle=False)
    total = sum(
        float(data["smooth_weight"]) / 2**s * np.mean(second)
        for s in range(4)
        for second in smoothness.second_order(data[f"disp{s}"])
    )
    assert total == pytest.approx(float(data["smooth_loss"]), rel=1e-5)


def test_golden_smoothness_of_scdepth(golden):
    """Edge-aware on mean-normalised depth, the means of x and y added, over all three frames."""
    data = np.load(golden / "scdepth_losses.npz", allow_pickle=False)
    total = sum(
        np.mean(along)
        for depth, image in (
            ("target_depth", "target"),
            ("ref_depth0", "ref0"),
            ("ref_depth1", "ref1"),
        )
        for along in smoothness.edge_aware(data[depth], data[image], normalise=True)
    )
    assert total == pytest.approx(float(data["smooth"]), rel=1e-5)
