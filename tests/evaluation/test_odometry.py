"""Trajectories and their error: by hand, and what must not change it."""

import numpy as np
import pytest

from kdepth.evaluation import odometry
from kdepth.geometry import pose


def drive(steps=8, seed=0):
    """Motions of a car that drives forward and turns a little."""
    rng = np.random.default_rng(seed)
    vectors = np.zeros((steps, 6))
    vectors[:, 2] = -rng.uniform(0.5, 1.5, steps)  # the world comes nearer
    vectors[:, 4] = rng.uniform(-0.05, 0.05, steps)
    return pose.from_vector(vectors)


def test_a_trajectory_is_the_places_of_the_cameras():
    motions = np.tile(np.eye(4), (3, 1, 1))
    motions[:, 2, 3] = -2.0
    places = odometry.trajectory(motions)[:, :3, 3]
    np.testing.assert_allclose(places, [[0, 0, 0], [0, 0, 2], [0, 0, 4], [0, 0, 6]])
    np.testing.assert_allclose(odometry.forward_speed(motions), 2.0)


def test_yaw_is_the_turn_to_the_right():
    """x is right and z forward: a camera that turns right looks along +x."""
    turn = pose.from_vector(np.array([0, 0, 0, 0, 0.1, 0.0]))  # camera 1 -> camera 0
    assert turn[0, 2] > 0  # camera 1's axis, in camera 0
    np.testing.assert_allclose(odometry.yaw_rate(np.linalg.inv(turn)[None]), [0.1])


def test_the_error_is_blind_to_scale_and_divides_by_the_number_of_frames():
    truth = drive()
    scaled = truth.copy()
    scaled[:, :3, 3] *= 0.01
    assert odometry.ate(scaled, truth) == pytest.approx((0.0, 0.0), abs=1e-12)
    g = np.zeros((5, 4, 4)) + np.eye(4)
    p = g.copy()
    g[:, 2, 3] = np.arange(5.0)
    p[:, 2, 3], p[4, 0, 3] = np.arange(5.0), 1.0
    scale = 30.0 / 31.0
    expected = np.sqrt(((scale - 1) ** 2) * 30 + scale**2) / 5
    assert odometry.snippet_ate(p, g) == pytest.approx(expected)


def test_a_camera_that_is_thought_to_stand_has_the_error_of_the_way():
    still = np.tile(np.eye(4), (4, 1, 1))
    moving = still.copy()
    moving[:, 2, 3] = -1.0
    assert odometry.ate(still, moving)[0] == pytest.approx(np.sqrt(1 + 4 + 9 + 16) / 5)


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="one length of at least 4"):
        odometry.ate(drive(8), drive(7))


def test_snippets_of_a_sequence():
    motions = drive(6)
    found = odometry.windows(motions)
    assert found.shape == (3, 4, 4, 4)
    np.testing.assert_array_equal(found[2], motions[2:])
    assert odometry.windows(motions[:3]).shape == (0, 4, 4, 4)


def test_snippets_are_scored_together_as_one_by_one():
    predicted, truth = (odometry.trajectory(odometry.windows(drive(seed=s))) for s in (0, 1))
    together = odometry.snippet_ate(predicted, truth)
    alone = [odometry.snippet_ate(p, g) for p, g in zip(predicted, truth)]
    np.testing.assert_allclose(together, alone)
