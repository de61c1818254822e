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


BOX = np.full((3, 3), 1 / 9)


def reference(a: np.ndarray, b: np.ndarray, weights: np.ndarray = BOX) -> np.ndarray:
    """SSIM distance in float64, window by window, with variances as mean squared deviations."""

    def mean(x):
        return (x * weights).sum((-2, -1))

    a, b = (sliding_window_view(np.float64(x), weights.shape, axis=(1, 2)) for x in (a, b))
    mean_a, mean_b = mean(a), mean(b)
    away_a, away_b = a - mean_a[..., None, None], b - mean_b[..., None, None]
    covariance = mean(away_a * away_b)
    variances = mean(away_a**2) + mean(away_b**2)
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


def test_ssim_over_wider_windows_and_gaussian_ones():
    rng = np.random.default_rng(2)
    a, b = rng.uniform(-1, 1, size=(2, 1, 14, 15, 2))
    for padding, mode, size, sigma in (
        ("reflect", "reflect", 7, None),
        ("zeros", "constant", 11, 1.5),
    ):
        taps = np.exp(-((np.arange(size) - size // 2) ** 2) / (2 * (sigma or 1e9) ** 2))
        weights = np.outer(taps, taps) / taps.sum() ** 2
        border = ((0, 0), (size // 2,) * 2, (size // 2,) * 2, (0, 0))
        wanted = reference(np.pad(a, border, mode), np.pad(b, border, mode), weights)
        found = photometric.ssim_distance(a, b, padding, size, sigma)
        assert found.shape == a.shape
        np.testing.assert_allclose(found, wanted, atol=1e-9)


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
    with pytest.raises(
        ValueError, match="`padding` must be 'valid', 'reflect' or 'zeros'; received 'same'"
    ):
        photometric.ssim_distance(np.zeros((1, 4, 4, 1)), np.zeros((1, 4, 4, 1)), "same")


def test_pyramid_averages_areas_of_the_full_size():
    image = np.random.default_rng(0).random((2, 13, 16, 3)).astype(np.float32)
    levels = [np.asarray(level) for level in photometric.image_pyramid(image, 3)]
    assert [level.shape[1:3] for level in levels] == [(13, 16), (6, 8), (3, 4)]
    wanted = image[:, :12].reshape(2, 3, 4, 4, 4, 3).mean((2, 4))
    np.testing.assert_allclose(levels[2], wanted, atol=1e-6)
