from __future__ import annotations

import json
import math

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis.extra import numpy as hnp

from kdepth.errors import UserError
from kdepth.evaluation import metrics, protocols, scaling

DEPTHS = st.floats(0.5, 90.0, allow_nan=False)


@st.composite
def depth_pairs(draw):
    n = draw(st.integers(1, 30))
    return tuple(draw(hnp.arrays(np.float64, n, elements=DEPTHS)) for _ in range(2))


def by_hand(prediction, truth):
    """The formulas of the docstring, one pixel at a time."""
    pairs = [(float(p), float(g)) for p, g in zip(prediction, truth)]
    n = len(pairs)
    logs = [math.log(p) - math.log(g) for p, g in pairs]
    mean_log = sum(logs) / n
    sums = {
        "abs_rel": sum(abs(p - g) / g for p, g in pairs) / n,
        "sq_rel": sum((p - g) ** 2 / g for p, g in pairs) / n,
        "rmse": math.sqrt(sum((p - g) ** 2 for p, g in pairs) / n),
        "rmse_log": math.sqrt(sum(e**2 for e in logs) / n),
        "log10": sum(abs(math.log10(p) - math.log10(g)) for p, g in pairs) / n,
        "silog": math.sqrt(sum((e - mean_log) ** 2 for e in logs) / n),
    }
    for k in (1, 2, 3):
        sums[f"delta{k}"] = sum(max(p / g, g / p) < 1.25**k for p, g in pairs) / n
    return sums


def test_metrics_equal_the_reference_implementation(golden):
    expected = json.loads((golden / "kitti_depth_eval.json").read_text())
    names = [
        name.replace("a1", "delta1").replace("a2", "delta2").replace("a3", "delta3")
        for name in expected["order"]
    ]
    with np.load(golden / "kitti_depth_eval.npz") as arrays:
        prediction, truth = arrays["pred_depth"], arrays["depth_cam2_z"]
    checked = 0
    for key, values in expected["metrics"].items():
        crop, cap, scaled = key.split("_")
        protocol = protocols.PROTOCOLS["eigen_z"].replace(
            crop=crop,
            cap=float(cap.replace("cap", "")),
            scaling="median" if scaled == "median" else "none",
        )
        valid = protocol.mask(truth)
        p = prediction[valid].astype(np.float64)
        g = truth[valid].astype(np.float64)
        p = np.clip(scaling.fit(protocol.scaling, p, g).apply(p), *protocol.clip)
        found = metrics.depth_metrics(p, g)
        np.testing.assert_allclose(
            [found[name] for name in names], values, rtol=1e-6, atol=0, err_msg=key
        )
        checked += 1
    assert checked == 12


@hypothesis.given(depth_pairs())
def test_metrics_equal_plain_loops(pair):
    found = metrics.depth_metrics(*pair)
    assert tuple(found) == metrics.DEPTH_METRICS
    for name, value in by_hand(*pair).items():
        assert found[name] == pytest.approx(value, abs=1e-9, rel=1e-9), name


@hypothesis.given(depth_pairs(), st.floats(0.01, 100.0))
def test_silog_does_not_see_scale(pair, scale):
    prediction, truth = pair
    silog = metrics.depth_metrics(prediction, truth)["silog"]
    assert metrics.depth_metrics(scale * prediction, truth)["silog"] == pytest.approx(
        silog, abs=1e-9
    )


def test_float32_input_is_scored_in_float64():
    truth = np.float32([1.0, 2.0, 3.0])
    prediction = np.float32([1.1, 2.3, 2.9])
    exact = metrics.depth_metrics(prediction.astype(np.float64), truth.astype(np.float64))
    assert metrics.depth_metrics(prediction, truth) == exact


def test_delta_is_strict():
    found = metrics.depth_metrics(np.array([5.0, 4.99]), np.array([4.0, 4.0]))
    assert found["delta1"] == 0.5


def test_d1_needs_both_thresholds():
    truth = np.array([100.0, 100.0, 40.0, 40.0])
    # 4 px but 4 %; 5 px and 5 % (inclusive); 3 px (inclusive) and 7.5 %; 2.9 px
    prediction = np.array([104.0, 105.0, 43.0, 42.9])
    assert metrics.d1_all(prediction, truth) == 50.0


def test_each_image_counts_once():
    rows = [{"abs_rel": 0.1}, {"abs_rel": 0.3}]
    assert metrics.mean_over_images(rows)["abs_rel"] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("bad", "words"), [(np.nan, "predictions with NaN"), (-1.0, "negative predictions")]
)
def test_bad_predictions_are_named(bad, words):
    values = np.ones((1, 2, 3))
    values[0, 1, 1] = bad
    with pytest.raises(UserError, match=f"frame 7: {words} \\(1 of 6"):
        metrics.check_prediction(values, "frame 7")
    metrics.check_prediction(np.array([0.0, np.inf]), "frame 7")


def test_pixels_must_match():
    with pytest.raises(ValueError, match="same pixels"):
        metrics.depth_metrics(np.ones(3), np.ones(2))
    with pytest.raises(ValueError, match="at least one"):
        metrics.depth_metrics(np.ones(0), np.ones(0))
