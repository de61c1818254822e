from __future__ import annotations

import csv
import math

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from kdepth.errors import UserError
from kdepth.evaluation.by_distance import (
    COLUMNS,
    ErrorByDistance,
    default_edges,
    parse_edges,
)
from kdepth.evaluation.metrics import depth_metrics


def test_bins_by_hand(tmp_path):
    bins = ErrorByDistance((0, 10, 20, 40))
    bins.add(np.array([4.0, 12.0, 90.0]), np.array([5.0, 10.0, 50.0]))  # 10 is of the second bin
    bins.add(np.array([22.0]), np.array([11.0]))
    near, middle, far = bins.rows()
    assert (near["pixels"], near["images"], near["abs_rel"], near["bias"]) == (1, 1, 0.2, -0.2)
    assert (middle["from_m"], middle["to_m"], middle["pixels"], middle["images"]) == (10, 20, 2, 2)
    assert middle["abs_rel"] == pytest.approx((0.2 + 1) / 2)
    assert middle["rmse"] == pytest.approx(math.sqrt((4 + 121) / 2))
    assert (near["delta1"], middle["delta1"], far["pixels"]) == (0.0, 0.5, 0)
    assert math.isnan(far["abs_rel"])
    bins.write(tmp_path / "bins.csv")
    with open(tmp_path / "bins.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert float(rows[1]["abs_rel"]) == middle["abs_rel"] and rows[2]["abs_rel"] == ""


@hypothesis.given(st.integers(0, 2**31), st.lists(st.floats(1, 79), min_size=1, max_size=6))
def test_bins_together_are_the_whole(seed, inner):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.5, 79.5, 300)
    prediction = truth * rng.lognormal(0, 0.3, 300)
    bins = ErrorByDistance(sorted({0.0, *inner, 80.0}))
    for part in range(3):
        bins.add(prediction[part::3], truth[part::3])
    rows = [row for row in bins.rows() if row["pixels"]]
    weights = [row["pixels"] for row in rows]
    expected = depth_metrics(prediction, truth)
    assert sum(weights) == 300
    for name in ("abs_rel", "delta1"):
        found = np.average([row[name] for row in rows], weights=weights)
        assert found == pytest.approx(expected[name], rel=1e-9)
    found = np.sqrt(np.average([row["rmse"] ** 2 for row in rows], weights=weights))
    assert found == pytest.approx(expected["rmse"], rel=1e-9)


def test_edges():
    assert default_edges(80.0)[-3:] == (60.0, 70.0, 80.0)
    assert default_edges(50.0)[-2:] == (40.0, 50.0)
    assert default_edges(10.0) == tuple(float(edge) for edge in range(11))
    assert default_edges(math.inf)[-2:] == (80.0, math.inf)
    assert parse_edges(["0", "5", "inf"]) == (0, 5, math.inf)
    for bad in (["1"], ["2", "1"], ["1", "1"], ["-1", "1"], ["0", "nan"], ["0", "far"]):
        with pytest.raises(UserError, match="--distance_bins"):
            parse_edges(bad)
