from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from kdepth.evaluation import scaling
from kdepth.evaluation.metrics import depth_metrics
from kdepth.evaluation.scaling import Alignment


def depths(seed, count=200):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(1, 79, count)
    return truth * rng.lognormal(0, 0.3, count), truth


@hypothesis.given(st.floats(0.01, 100.0), st.integers(0, 2**31))
def test_median_scaling_does_not_see_scale(factor, seed):
    prediction, truth = depths(seed)

    def scored(p):
        aligned = scaling.fit("median", p, truth).apply(p)
        return depth_metrics(np.clip(aligned, 1e-3, 80), truth)

    first, second = scored(prediction), scored(factor * prediction)
    for name in first:
        assert first[name] == pytest.approx(second[name], rel=1e-9, abs=1e-12), name


def test_median_by_hand():
    truth = np.full(3, 10.0)
    assert scaling.fit("median", np.array([1e3, 1e3, 2e3]), truth) == Alignment(0.01)
    assert scaling.fit("none", np.array([1e3]), truth) == Alignment()
    for hopeless in (np.zeros(3), np.full(3, np.inf)):
        assert scaling.fit("median", hopeless, truth) == Alignment()


@hypothesis.given(st.floats(0.01, 50.0), st.floats(0.0, 20.0), st.integers(0, 2**31))
def test_least_squares_finds_scale_and_shift(scale, shift, seed):
    _, truth = depths(seed)
    found = scaling.fit("scale_shift", (truth - shift) / scale, truth)
    assert (found.scale, found.shift) == (pytest.approx(scale), pytest.approx(shift, abs=1e-6))
    inverse = scale / truth + shift  # as an affine-invariant network has it, up to its own line
    found = scaling.fit("scale_shift_inverse", 1 / inverse, truth)
    np.testing.assert_allclose(found.apply(1 / inverse), truth, rtol=1e-6)


@pytest.mark.parametrize("name", ["scale_shift", "scale_shift_inverse"])
def test_least_squares_equals_numpy(name):
    prediction, truth = depths(3)
    p, g = (1 / prediction, 1 / truth) if name.endswith("inverse") else (prediction, truth)
    (scale, shift), *_ = np.linalg.lstsq(np.stack([p, np.ones_like(p)], 1), g, rcond=None)
    found = scaling.fit(name, prediction, truth)
    assert (found.scale, found.shift) == (pytest.approx(scale), pytest.approx(shift))


def test_a_flat_prediction_becomes_the_mean():
    truth = np.array([2.0, 4.0, 9.0])
    found = scaling.fit("scale_shift", np.float32([0.1, 0.1, 0.1]).astype(np.float64), truth)
    assert found == Alignment(0.0, 5.0)
    found = scaling.fit("scale_shift_inverse", np.full(3, 7.0), truth)
    # Also where the picture, outside of the scored pixels, is infinitely far or at the camera.
    np.testing.assert_allclose(found.apply(np.array([7.0, 0.0, np.inf])), 1 / np.mean(1 / truth))


def test_infinite_predictions_do_not_spoil_the_fit():
    truth = np.array([2.0, 4.0, 8.0, 60.0])
    found = scaling.fit("scale_shift", np.array([1.0, 2.0, 4.0, np.inf]), truth)
    assert (found.scale, found.shift) == (pytest.approx(2.0), pytest.approx(0.0, abs=1e-12))
    assert scaling.fit("scale_shift", np.full(4, np.inf), truth) == Alignment()
    # A disparity of zero is infinitely far, and so is what the fit makes negative.
    found = Alignment(1.0, -0.2, inverse=True)
    np.testing.assert_array_equal(found.apply(np.array([np.inf, 10.0, 2.5])), [np.inf, np.inf, 5.0])


def test_one_factor_for_a_sequence():
    assert scaling.of_sequence([1.0, 2.0, 30.0]) == Alignment(2.0)
    assert scaling.sequence_of("2011_09_26_drive_0002_sync 02 0000000069") == (
        "2011_09_26_drive_0002_sync 02"
    )
    assert scaling.sequence_of("office/0003.png") == "office"
    assert scaling.sequence_of("000007") == ""
