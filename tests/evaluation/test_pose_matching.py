"""Which predicted pose belongs to which true one."""

from __future__ import annotations

import numpy as np
import pytest

from kdepth.data.pose_files import Trajectory
from kdepth.errors import UserError
from kdepth.evaluation.pose_matching import match


def poses(count, first=0.0):
    found = np.tile(np.eye(4), (count, 1, 1))
    found[:, 0, 3] = first + np.arange(count)
    return found


def pair(predicted, truth, **more):
    return match(predicted, truth, ("mine.txt", "truth.txt"), **more)


def test_by_place():
    predicted, truth, frames = pair(Trajectory(poses(4)), Trajectory(poses(4, 10)))
    assert list(frames) == [0, 1, 2, 3] and len(predicted) == len(truth) == 4


def test_by_frame_number():
    mine = Trajectory(poses(3), frames=np.array([2, 4, 9]))
    assert list(pair(mine, Trajectory(poses(10)))[2]) == [2, 4, 9]
    truth = Trajectory(poses(4), frames=np.array([2, 4, 7, 9]))
    assert list(pair(mine, truth)[2]) == [0, 1, 3]


def test_by_nearest_time_each_once():
    truth = Trajectory(poses(5), times=np.array([0.0, 0.1, 0.2, 0.3, 0.4]))
    mine = Trajectory(poses(5, 100), times=np.array([0.095, 0.101, 0.16, 0.29, 7.0]))
    predicted, true, frames = pair(mine, truth)
    # 0.095 and 0.101 are both nearest to 0.1, and 0.16 and 7.0 to nothing.
    assert list(predicted[:, 0, 3]) == [101, 103] and list(true[:, 0, 3]) == [1, 3]
    assert list(frames) == [0, 1]
    assert len(pair(mine, truth, max_time_difference=0.06)[0]) == 3
    alone = Trajectory(poses(1), times=np.array([0.1]))
    with pytest.raises(UserError, match="less than two of its times"):
        pair(mine, alone)


@pytest.mark.parametrize(
    ("mine", "truth", "words"),
    [
        (Trajectory(poses(3)), Trajectory(poses(4)), "mine.txt has 3 poses, but truth.txt has 4"),
        (
            Trajectory(poses(3), times=np.arange(3.0)),
            Trajectory(poses(4)),
            "rows of the one must begin",
        ),
        (
            Trajectory(poses(2), frames=np.array([1, 4])),
            Trajectory(poses(4)),
            "mine.txt: has frame 4, which truth.txt has not",
        ),
        (Trajectory(poses(1)), Trajectory(poses(1)), "needs two poses"),
        (
            Trajectory(poses(2), times=np.arange(2.0)),
            Trajectory(poses(2), times=100 + np.arange(2.0)),
            "within 0.02 s",
        ),
    ],
)
def test_what_does_not_fit(mine, truth, words):
    with pytest.raises(UserError, match=words):
        pair(mine, truth)
