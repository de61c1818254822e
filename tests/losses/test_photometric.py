from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.lib.stride_tricks import sliding_window_view

from kdepth.losses import photometric

images = arrays(np.float32, (1, 5, 6, 2), elements=st.floats(-2, 3, width=32))


def reference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """SSIM distance in float64, window by window, with variances as mean squared deviations."""
    a, b = (sliding_window_view(np.float64(x), (3, 3), axis=(1, 2)) for x in (a, b))
    mean_a, mean_b = a.mean((-2, -1)), b.mean((-2, -1))
    away_a, away_b = a - mean_a[..., None, None], b - mean_b[..., None, None]
    covariance = (away_a * away_b).mean((-2, -1))
    variances = (away_a**2).mean((-2, -1)) + (away_b**2).mean((-2, -1))
    similarity = (2 * mean_a * mean_b + 1e-4) * (2 * covariance + 9e-4)
    similarity /= (mean_a**2 + mean_b**2 + 1e-4) * (variances + 9e-4)
    return np.clip((1 - similarity) / 2, 0, 1)


@given(images, images)
def test_ssim_against_float64(a, b):
    found = photometric.ssim_distance(np.float64(a), np.float64(b))
    assert found.shape == (1, 3, 4, 2)
    np.testing.assert_allclose(found, reference(a, b), atol=1e-9)


def test_ssim_with_reflection_keeps_the_size():
    rng = np.random.default_rng(1)
    a, b = rng.uniform(size=(2, 2, 6, 7, 3)).astype(np.float32)
    padding = ((0, 0), (1, 1), (1, 1), (0, 0))
    expected = reference(np.pad(a, padding, "reflect"), np.pad(b, padding, "reflect"))
    found = photometric.ssim_distance(a, b, "reflect")
    assert found.shape == a.shape
    np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_allclose(photometric.ssim_distance(a, b), expected[:, 1:-1, 1:-1], atol=1e-4)


@given(images, images)
def test_ssim_is_symmetric_bounded_and_zero_for_equals(a, b):
    distance = photometric.ssim_distance(np.float64(a), np.float64(b)).numpy()
    assert np.all((distance >= 0.0) & (distance <= 1.0))
    np.testing.assert_allclose(
        distance, photometric.ssim_distance(np.float64(b), np.float64(a)), atol=1e-12
    )
    np.testing.assert_allclose(photometric.ssim_distance(a, a), np.zeros((1, 3, 4, 2)), atol=1e-6)


def test_golden_ssim_of_the_released_monodepth(golden):
    data = np.load(golden / "monodepth_losses.npz", allow_pickle=False)
    found = photometric.ssim_distance(data["left_est0"], data["left"])
    np.testing.assert_allclose(found, data["ssim_left0"], atol=1e-5)


def test_ssim_gradient_is_the_finite_difference():
    rng = np.random.default_rng(2)
    a, b, direction = rng.uniform(size=(3, 1, 5, 5, 1))
    x = tf.constant(a)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(photometric.ssim_distance(x, b))
    step = 1e-6 * direction
    slope = (reference(a + step, b).sum() - reference(a - step, b).sum()) / 2e-6
    assert np.sum(tape.gradient(total, x) * direction) == pytest.approx(slope, rel=1e-6)


def test_flat_images_have_finite_gradients():
    x = tf.zeros((1, 5, 5, 3))
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(photometric.ssim_distance(x, tf.ones_like(x)))
    assert np.all(np.isfinite(tape.gradient(total, x)))


@given(images, images)
def test_l1_and_l2(a, b):
    a, b = np.float64(a), np.float64(b)  # TensorFlow flushes float32's denormal numbers to zero
    np.testing.assert_array_equal(photometric.l1(a, b), np.abs(a - b))
    np.testing.assert_array_equal(photometric.l2(a, b), np.square(a - b))


def test_half_precision_is_compared_in_float32():
    rng = np.random.default_rng(3)
    a, b = rng.uniform(size=(2, 1, 6, 6, 3)).astype(np.float16)
    for distance in (photometric.l1, photometric.l2, photometric.ssim_distance):
        assert distance(tf.constant(a), tf.constant(b)).dtype == tf.float32
    np.testing.assert_allclose(
        photometric.ssim_distance(tf.constant(a), tf.constant(b)), reference(a, b), atol=1e-4
    )


def test_an_unknown_padding_is_named():
    with pytest.raises(ValueError, match="`padding` must be 'valid' or 'reflect'; received 'same'"):
        photometric.ssim_distance(np.zeros((1, 4, 4, 1)), np.zeros((1, 4, 4, 1)), "same")
