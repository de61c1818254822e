from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from kdepth.evaluation.photometric import photometric_error


@hypothesis.given(st.integers(0, 9), st.integers(0, 2**31))
def test_true_disparity_explains_the_left_view(pixels, seed):
    right = np.random.default_rng(seed).random((5, 20, 3))
    left = np.roll(right, pixels, axis=1)  # left(x) = right(x - pixels)
    error = photometric_error(left, right, np.full((5, 20), pixels / 20))
    assert error.warped == pytest.approx(0, abs=1e-12)
    assert error.in_view == pytest.approx((20 - pixels) / 20)
    inside = np.abs(left - right)[:, pixels:]
    assert error.unwarped == pytest.approx(inside.mean())


def test_fractions_are_interpolated():
    right = np.zeros((1, 4, 3))
    right[0, 1] = 1.0
    left = np.zeros((1, 4, 3))
    disparity = np.array([[0.5, 0.25, 0.125, 0.5]])  # samples at -2, 0, 1.5, 1
    error = photometric_error(left, right, disparity)
    assert error.in_view == 0.75
    assert error.warped == pytest.approx((0 + 0.5 + 1) / 3)
    assert error.unwarped == pytest.approx(1 / 3)


def test_nothing_in_view():
    error = photometric_error(np.ones((2, 3, 3)), np.zeros((2, 3, 3)), np.full((2, 3), 1.5))
    assert error.in_view == 0 and np.isnan(error.warped) and np.isnan(error.unwarped)
