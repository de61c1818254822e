from __future__ import annotations

import numpy as np
import pytest

from kdepth.evaluation import bootstrap


def test_equal_seeds_draw_equal_images():
    values = np.random.default_rng(0).normal(size=(40, 2))
    first, second = (bootstrap.means(values, 50, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, bootstrap.means(values, 50, seed=4))
    assert first.shape == (50, 2)


def test_columns_share_their_draws():
    values = np.random.default_rng(0).normal(size=40)
    both = bootstrap.means(np.stack([values, values + 1], 1), 50)
    np.testing.assert_allclose(both[:, 1] - both[:, 0], 1, rtol=1e-12)


def test_the_interval_is_that_of_the_mean():
    """Of 400 normal figures: the mean's deviation is 1 / 20, and 95 % lie within 1.96 of them."""
    values = np.random.default_rng(1).normal(5, 1, 400)
    low, high = bootstrap.interval(values, samples=4000)
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.1 * half)
    narrow = bootstrap.interval(values, samples=4000, confidence=0.5)
    assert low < narrow[0] < narrow[1] < high


def test_it_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(2)
    covered = 0
    for trial in range(200):
        low, high = bootstrap.interval(rng.exponential(1.0, 60), samples=300, seed=trial)
        covered += low < 1 < high
    assert 0.88 < covered / 200 < 0.98


def test_many_images_are_drawn_in_parts(monkeypatch):
    values = np.random.default_rng(0).normal(size=30)
    monkeypatch.setattr(bootstrap, "_AT_ONCE", 100)
    assert bootstrap.means(values, 50).shape == (50,)
    # One image has one mean.
    np.testing.assert_array_equal(bootstrap.means(np.array([[7.0]]), 5), np.full((5, 1), 7.0))
