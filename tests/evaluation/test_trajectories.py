"""Errors of whole trajectories: golden numbers, by hand, and what must not change them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdepth.evaluation import trajectories
from kdepth.evaluation.trajectories import ALIGNMENTS, METRICS, evaluate
from kdepth.geometry import pose

GOLDEN_NAMES = {
    "t_err": "t_err_percent",
    "r_err": "r_err_deg_per_100m",
    "ate": "ate_m",
    "rpe": "rpe_m",
    "rpe_deg": "rpe_deg",
}


def drive(steps=150, seed=0):
    """[N, 4, 4] poses of a car that drives some 1.5 m a frame, up and down, around bends."""
    rng = np.random.default_rng(seed)
    vectors = np.zeros((steps, 6))
    vectors[:, 2] = rng.uniform(1.0, 2.0, steps)
    vectors[:, 3:] = rng.normal(0, [0.005, 0.03, 0.002], (steps, 3))
    poses = [np.eye(4)]
    for motion in pose.from_vector(vectors):
        poses.append(poses[-1] @ motion)
    return np.stack(poses)


def straight(steps, step=1.0):
    poses = np.tile(np.eye(4), (steps, 1, 1))
    poses[:, 2, 3] = step * np.arange(steps)
    return poses


def rigid(values):
    return pose.from_vector(np.array(values), "axis_angle")


def scaled(poses, scale):
    poses = poses.copy()
    poses[:, :3, 3] *= scale
    return poses


motions = st.lists(st.floats(-3, 3), min_size=6, max_size=6).map(rigid)
scales = st.floats(0.01, 100)
seeds = st.integers(0, 1000)


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_golden_numbers(golden, alignment):
    expected = json.loads((golden / "odometry/expected.json").read_text())[alignment]
    with np.load(golden / "odometry/10.npz") as file:
        truth, predicted = (
            np.concatenate(
                [file[name].reshape(-1, 3, 4), np.tile([[[0, 0, 0, 1.0]]], (1201, 1, 1))], axis=1
            )
            for name in ("truth", "predicted")
        )
    found = evaluate(predicted, truth, alignment).metrics
    assert {GOLDEN_NAMES[name] for name in METRICS} == set(expected)
    for name, value in found.items():
        assert value == pytest.approx(expected[GOLDEN_NAMES[name]], rel=1e-9), name


@pytest.mark.parametrize("alignment", ALIGNMENTS)
@given(seed=seeds)
def test_a_trajectory_against_itself(alignment, seed):
    poses = drive(seed=seed)
    found = evaluate(poses, poses, alignment)
    assert len(found.segments.length) > 0
    for name, value in found.metrics.items():
        # acos loses half of the digits near an angle of zero
        assert value == pytest.approx(0, abs=1e-4 if name in ("r_err", "rpe_deg") else 1e-8), name


@given(seed=seeds, motion=motions, scale=scales)
def test_7dof_removes_any_similarity(seed, motion, scale):
    poses = drive(seed=seed)
    found = evaluate(motion @ scaled(poses, scale), poses, "7dof").metrics
    assert found["ate"] < 1e-6 and found["t_err"] < 1e-6 and found["rpe"] < 1e-8


@given(seed=seeds, motion=motions, scale=scales)
def test_umeyama_finds_any_similarity(seed, motion, scale):
    points = drive(20, seed)[:, :3, 3]
    rotation, translation = motion[:3, :3], motion[:3, 3]
    found = trajectories.umeyama(points, scale * points @ rotation.T + translation)
    assert found[0] == pytest.approx(scale, rel=1e-8)
    np.testing.assert_allclose(found[1], rotation, atol=1e-6)
    np.testing.assert_allclose(found[2], translation, atol=1e-5 * max(scale, 1))


@pytest.mark.parametrize("alignment", ["scale", "7dof", "scale_7dof"])
@given(seed=seeds, scale=scales)
def test_a_wrong_scale_is_removed_where_one_is_fitted(alignment, seed, scale):
    poses = drive(seed=seed)
    found = evaluate(scaled(poses, scale), poses, alignment).metrics
    assert found["ate"] < 1e-6 and found["rpe"] < 1e-8


def test_scale_removes_scale_only():
    poses = drive()
    turned = poses.copy()
    turned[1:] = rigid([0, 0, 0, 0, 0.1, 0]) @ turned[1:]  # the first step turns by 0.1 too much
    by = {name: evaluate(turned, poses, name).metrics["ate"] for name in ALIGNMENTS}
    assert by["scale"] > 5 and by["scale_7dof"] > 5
    assert by["6dof"] < 1e-6 and by["7dof"] < 1e-6
    wrong = evaluate(scaled(poses, 0.5), poses, "6dof").metrics
    assert wrong["ate"] > 5 and wrong["t_err"] > 40


@pytest.mark.parametrize("alignment", ALIGNMENTS)
@given(seed=seeds, motion=motions)
def test_a_rigid_motion_of_the_whole_changes_nothing(alignment, seed, motion):
    """Both start at the same camera, so where the world's origin is does not matter."""
    truth, predicted = drive(seed=seed), drive(seed=seed + 1)
    expected = evaluate(predicted, truth, alignment).metrics
    for one, other in ((motion @ predicted, truth), (predicted, motion @ truth)):
        found = evaluate(one, other, alignment).metrics
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_segments_by_hand():
    """1 m a frame: the end of 100 m is the first frame beyond it, frame 101."""
    found = evaluate(straight(251, 1.02), straight(251))
    assert found.metrics["t_err"] == pytest.approx(
        100 * 0.02 * np.mean([101 / 100] * 15 + [201 / 200] * 5)
    )
    assert found.segments.by_length() == {
        100: (pytest.approx(2.02), 0, 15),
        200: (pytest.approx(2.01), 0, 5),
    }
    assert found.metrics["rpe"] == pytest.approx(0.02)
    assert found.metrics["ate"] == pytest.approx(np.sqrt(np.mean((0.02 * np.arange(251)) ** 2)))


def test_a_constant_turn_by_hand():
    truth = straight(151)
    turning = np.stack([rigid([0, 0, k, 0, 0.001 * k, 0]) for k in range(151)])
    found = evaluate(turning, truth).metrics
    assert found["rpe_deg"] == pytest.approx(np.degrees(0.001), rel=1e-5)
    assert found["r_err"] == pytest.approx(100 * np.degrees(0.001) * 101 / 100, rel=1e-6)


def test_a_short_way_has_no_drift():
    found = evaluate(straight(100, 2.0), straight(100)).metrics
    assert np.isnan(found["t_err"]) and np.isnan(found["r_err"]) and found["rpe"] == 1.0


def test_missing_frames():
    truth, predicted = drive(), drive(seed=1)
    kept = np.delete(np.arange(len(truth)), [3, 50, 120])
    whole = evaluate(predicted, truth)
    found = evaluate(predicted[kept], truth, frames=kept)
    # The subsequences that begin at frames 50 and 120, or end at a missing frame, are gone.
    there = np.isin(whole.segments.first, found.segments.first)
    assert not np.isin([50, 120], found.segments.first).any()
    assert 0 < len(found.segments.first) < len(whole.segments.first) and there.any()
    steps = [np.linalg.inv(p[:-1]) @ p[1:] for p in (truth, predicted)]
    errors = np.linalg.norm((np.linalg.inv(steps[0]) @ steps[1])[:, :3, 3], axis=1)
    both = np.delete(np.arange(len(errors)), [2, 3, 49, 50, 119, 120])
    assert found.metrics["rpe"] == pytest.approx(errors[both].mean())


def test_a_prediction_that_stands_still():
    truth = straight(150)
    still = np.tile(np.eye(4), (150, 1, 1))
    for alignment in ALIGNMENTS:
        found = evaluate(still, truth, alignment).metrics
        assert found["rpe"] == pytest.approx(1.0) and np.isfinite(found["ate"])
    assert evaluate(still, truth, "scale").metrics["t_err"] == pytest.approx(101)


def test_what_does_not_fit():
    poses = straight(10)
    for predicted, truth, more in (
        (poses[:9], poses, {}),
        (poses[:1], poses[:1], {}),
        (poses[:2], poses, {"frames": [3, 2]}),
        (poses[:2], poses, {"frames": [3, 10]}),
        (poses, poses, {"alignment": "5dof"}),
    ):
        with pytest.raises(ValueError, match="must be|needs"):
            evaluate(predicted, truth, **more)
