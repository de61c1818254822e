"""Which predicted pose belongs to which true one: by frame number, by time, or by place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from absl import logging

from kdepth.data.pose_files import Trajectory
from kdepth.data.times import nearest
from kdepth.errors import UserError

MAX_TIME_DIFFERENCE = 0.02  # seconds; the TUM RGB-D benchmark's


def match(
    predicted: Trajectory,
    truth: Trajectory,
    names: tuple[str | Path, str | Path],
    max_time_difference: float = MAX_TIME_DIFFERENCE,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs two trajectories.

    If both have times, each predicted pose takes the true one nearest in time, each at most once;
    true poses without a partner are left out. If the prediction has frame numbers, they tell, and
    may have gaps (in the truth, too, or its rows are frames 0 .. N - 1). Else both must be equally
    long.

    Args:
        predicted: the prediction.
        truth: the truth.
        names: of both, for the errors.
        max_time_difference: seconds between partners.

    Returns:
        Predicted poses [M, 4, 4], true poses [N, 4, 4], and the places [M] of the former's partners
        among the latter, as `kdepth.evaluation.trajectories.evaluate` takes them.

    Raises:
        UserError: if the trajectories do not fit, or less than two poses have a partner.
    """
    if predicted.times is not None and truth.times is not None:
        mine, partners = _partners(predicted.times, truth.times, max_time_difference)
        if len(mine) < 2:
            raise UserError(
                f"{names[0]}: less than two of its times lie within {max_time_difference:g} s of one"
                f" in {names[1]}; are both in the same clock's seconds? (--max_time_difference)"
            )
        if len(mine) < len(predicted):
            logging.warning(
                "%s: %d of %d poses have a partner within %g s in %s; the others are left out",
                names[0],
                len(mine),
                len(predicted),
                max_time_difference,
                names[1],
            )
        return predicted.poses[mine], truth.poses[partners], np.arange(len(mine))
    if predicted.frames is not None and truth.times is None:
        frames = np.arange(len(truth)) if truth.frames is None else truth.frames
        partners = np.searchsorted(frames, predicted.frames)
        known = frames[np.minimum(partners, len(frames) - 1)] == predicted.frames
        if not known.all():
            raise UserError(
                f"{names[0]}: has frame {predicted.frames[np.argmin(known)]}, which {names[1]} has not"
            )
    elif len(predicted) == len(truth):
        partners = np.arange(len(truth))
    else:
        raise UserError(
            f"{names[0]} has {len(predicted)} poses, but {names[1]} has {len(truth)}; where frames are"
            " missing, rows of the one must begin with the frame's number, or both with times"
        )
    if len(partners) < 2:
        raise UserError(f"{names[0]}: a trajectory needs two poses or more")
    return predicted.poses, truth.poses, partners


def _partners(
    times: np.ndarray, candidates: np.ndarray, most: float
) -> tuple[np.ndarray, np.ndarray]:
    """Places of times and of their nearest candidates, both increasing and without repeats."""
    partner = nearest(times, candidates)
    difference = np.abs(candidates[partner] - times)
    # Of the times that share a candidate the nearest keeps it.
    order = np.lexsort((difference, partner))
    kept = order[np.concatenate([[True], np.diff(partner[order]) > 0])]
    kept = np.sort(kept[difference[kept] <= most])
    return kept, partner[kept]
