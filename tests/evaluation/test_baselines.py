from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis.extra import numpy as hnp

from kdepth.errors import UserError
from kdepth.evaluation.baselines import fit, resize_nearest, weighted_median
from kdepth.evaluation.protocols import Protocol

PROTOCOL = Protocol("p")


def abs_rel(value, depths):
    return np.mean(np.abs(value - depths) / depths)


@hypothesis.given(hnp.arrays(np.float32, st.integers(1, 40), elements=st.floats(0.5, 80, width=32)))
def test_weighted_median_minimises_abs_rel(depths):
    best = abs_rel(float(weighted_median(depths.copy())), depths.astype(np.float64))
    # The cost is piecewise linear, so its minimum lies at one of the depths.
    for candidate in depths.astype(np.float64):
        assert best <= abs_rel(candidate, depths.astype(np.float64)) + 1e-6


def test_weighted_median_by_hand():
    # Weights 1, 1/2, 1/4, 1/4: half of the total mass 2 is reached at depth 1.
    assert weighted_median(np.float32([4, 1, 2, 4])) == 1
    assert weighted_median(np.float32([4, np.inf, 2, 4])) == 2
    columns = np.float32([[4, np.inf], [1, np.inf], [2, 9], [4, np.inf]])
    np.testing.assert_array_equal(weighted_median(columns), [1, 9])
    assert np.isnan(weighted_median(np.float32([np.inf, np.inf])))


def test_tiny_maps_by_hand():
    first = np.float32([[2, 4], [8, 0]])
    second = np.float32([[6, 4], [0, 0]])
    found = fit([first, second], PROTOCOL, grid=(2, 2))
    assert found.images == 2
    np.testing.assert_allclose(found.maps["constant mean"], np.full((2, 2), 24 / 5), rtol=1e-6)
    np.testing.assert_allclose(found.maps["row mean"], [[4, 4], [8, 8]])
    # The pixel that nobody measured takes its row's value.
    np.testing.assert_allclose(found.maps["pixel mean"], [[4, 4], [8, 8]])
    # 1/z: 1/2, 1/4, 1/4, 1/6, 1/8 of 31/24; half is 31/48, which 4 reaches.
    np.testing.assert_array_equal(found.maps["constant median"], np.full((2, 2), 4))
    np.testing.assert_array_equal(found.maps["row median"], [[4, 4], [8, 8]])
    np.testing.assert_array_equal(found.maps["pixel median"], [[2, 4], [8, 8]])
    assert list(found.maps) == [
        f"{a} {b}" for b in ("mean", "median") for a in ("constant", "row", "pixel")
    ]


def test_unmeasured_rows_take_the_constant():
    found = fit([np.float32([[5, 5], [0, 0]])], PROTOCOL, grid=(2, 2))
    for values in found.maps.values():
        np.testing.assert_array_equal(values, np.full((2, 2), 5))


def test_each_statistic_is_best_on_its_own_training_set():
    """Finer medians fit the training set better, and each beats the mean of the same kind."""
    rng = np.random.default_rng(0)
    shape = np.linspace(60, 5, 16)[:, None] * np.linspace(0.5, 1.5, 24)
    depths = [(shape * rng.lognormal(0, 0.5, shape.shape)).astype(np.float32) for _ in range(30)]
    found = fit(depths, Protocol("p", max_depth=1000.0), grid=(16, 24))
    cost = {
        name: np.mean([abs_rel(values, d) for d in depths]) for name, values in found.maps.items()
    }
    assert cost["pixel median"] < cost["row median"] < cost["constant median"]
    for kind in ("pixel", "row", "constant"):
        assert cost[f"{kind} median"] < cost[f"{kind} mean"]


def test_only_what_the_protocol_counts_is_fitted():
    depth = np.full((100, 200), 10.0, np.float32)
    depth[:40] = 70  # outside the Garg crop
    depth[50] = 90  # beyond the cap
    found = fit([depth], Protocol("p", crop="garg"), grid=(100, 200))
    assert np.all(found.maps["constant mean"] == 10)


def test_training_images_may_differ_in_size():
    depths = [np.full((10, 20), 4, np.float32), np.full((13, 31), 6, np.float32)]
    found = fit(depths, PROTOCOL, grid=(4, 8))
    assert np.all(found.maps["pixel mean"] == 5)
    assert found.predict(7, 5)["row mean"].shape == (7, 5)


def test_nothing_measured_is_a_users_mistake():
    with pytest.raises(UserError, match="--baseline_split"):
        fit([np.zeros((4, 4), np.float32)], PROTOCOL)
    with pytest.raises(UserError):
        fit([], PROTOCOL)


def test_nearest_takes_the_pixel_under_the_centre():
    values = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(resize_nearest(values, 2, 3), values)
    np.testing.assert_array_equal(resize_nearest(values, 4, 6), values.repeat(2, 0).repeat(2, 1))
    np.testing.assert_array_equal(resize_nearest(np.arange(9)[None], 1, 3)[0], [1, 4, 7])
