"""Errors of a whole trajectory, as KITTI's odometry benchmark and the visual odometry field take them.

All poses are camera k -> world, [N, 4, 4]. Both trajectories are moved so that they start at the
same camera; then the prediction may be aligned further (`ALIGNMENTS`), which has to be stated
beside every figure. Float64, NumPy only. Change a formula only together with the golden numbers in
`tests/golden/odometry`.

| name | unit | what it is |
|---|---|---|
| t_err | % | drift of position over subsequences of 100, 200, ... 800 m, by their length; mean |
| r_err | deg / 100 m | drift of rotation over the same subsequences; mean |
| ate | m | root mean square distance of positions over the whole trajectory |
| rpe | m | error of position from a frame to the next; mean |
| rpe_deg | deg | error of rotation from a frame to the next; mean |

Sources: Geiger, Lenz, Urtasun, CVPR 2012 (t_err, r_err; here every 10th frame starts a subsequence);
Sturm et al., IROS 2012 (ATE, RPE; there as root mean squares); Umeyama, PAMI 1991.
"""

from __future__ import annotations

import dataclasses

import numpy as np

METRICS = ("t_err", "r_err", "ate", "rpe", "rpe_deg")

ALIGNMENTS = {
    "none": "none beyond the common start",
    "scale": "one scale by least squares on the positions seen from the start",
    "6dof": "rotation and translation (Umeyama, without scale)",
    "7dof": "scale, rotation and translation (Umeyama)",
    "scale_7dof": "only the scale of the 7dof alignment",
}
"""Alignment -> what is fitted, of the predicted positions onto the true ones."""

LENGTHS = tuple(range(100, 801, 100))  # metres
STEP = 10  # frames between the starts of subsequences


@dataclasses.dataclass(frozen=True)
class Segments:
    """Errors of the subsequences of one trajectory, [S] each.

    Attributes:
        first: frame that a subsequence starts at.
        length: its nominal length, metres.
        translation: error of position at its end over `length`.
        rotation: error of rotation at its end over `length`, radians / metre.
    """

    first: np.ndarray
    length: np.ndarray
    translation: np.ndarray
    rotation: np.ndarray

    def by_length(self) -> dict[int, tuple[float, float, int]]:
        """Length in metres -> (t_err in %, r_err in deg / 100 m, number of subsequences)."""
        found = {}
        for length in np.unique(self.length):
            chosen = self.length == length
            found[int(length)] = (
                100 * float(self.translation[chosen].mean()),
                100 * float(np.degrees(self.rotation[chosen].mean())),
                int(chosen.sum()),
            )
        return found


@dataclasses.dataclass(frozen=True)
class TrajectoryErrors:
    """How far a predicted trajectory is from the true one.

    Attributes:
        alignment: one of `ALIGNMENTS`.
        metrics: `METRICS` by name; NaN where the trajectory is too short for it (t_err and r_err
            need 100 m, RPE two consecutive frames).
        segments: the subsequences behind t_err and r_err.
        predicted: [M, 4, 4] the aligned prediction, seen from the first common camera.
        truth: [N, 4, 4] the whole true trajectory, likewise.
    """

    alignment: str
    metrics: dict[str, float]
    segments: Segments
    predicted: np.ndarray
    truth: np.ndarray


def evaluate(
    predicted: np.ndarray,
    truth: np.ndarray,
    alignment: str = "none",
    frames: np.ndarray | None = None,
) -> TrajectoryErrors:
    """Compares two trajectories.

    Args:
        predicted: [M, 4, 4] in any unit.
        truth: [N, 4, 4] in metres.
        alignment: one of `ALIGNMENTS`.
        frames: [M] increasing places in `truth` that the predicted poses belong to; None: M = N,
            and each belongs to the one at its own place.

    Returns:
        All errors. Where frames are missing in the prediction, a subsequence counts if its first
        and last frame are there, and RPE takes the pairs of neighbours that are.

    Raises:
        ValueError: if lengths and frames do not fit, there are less than two poses, or there is no
            such alignment.
    """
    if alignment not in ALIGNMENTS:
        raise ValueError(
            f"`alignment` must be one of {', '.join(ALIGNMENTS)}; received {alignment}"
        )
    frames = np.arange(len(truth)) if frames is None else np.asarray(frames)
    if len(predicted) != len(frames) or len(frames) < 2 or (np.diff(frames) < 1).any():
        raise ValueError(
            f"`predicted` needs two poses or more, one for each of `frames` (or of `truth`), in"
            f" increasing order; received {len(predicted)} poses for {len(frames)} frames"
        )
    if frames[0] < 0 or frames[-1] >= len(truth):
        raise ValueError(f"`frames` must be places in `truth`, 0 .. {len(truth) - 1}")
    truth = np.linalg.inv(truth[frames[0]]) @ np.asarray(truth, np.float64)
    predicted = np.linalg.inv(predicted[0]) @ np.asarray(predicted, np.float64)
    predicted = align(predicted, truth[frames], alignment)
    segments = _segments(predicted, truth, frames)
    rpe = _relative_errors(predicted, truth, frames)
    distance = np.linalg.norm(predicted[:, :3, 3] - truth[frames][:, :3, 3], axis=1)
    metrics = {
        "t_err": 100 * _mean(segments.translation),
        "r_err": 100 * float(np.degrees(_mean(segments.rotation))),
        "ate": float(np.sqrt(np.mean(distance**2))),
        "rpe": _mean(rpe[0]),
        "rpe_deg": float(np.degrees(_mean(rpe[1]))),
    }
    return TrajectoryErrors(alignment, metrics, segments, predicted, truth)


def align(predicted: np.ndarray, truth: np.ndarray, alignment: str) -> np.ndarray:
    """Brings a predicted trajectory onto the true one.

    Args:
        predicted: [N, 4, 4] poses that start at the identity.
        truth: [N, 4, 4] likewise.
        alignment: one of `ALIGNMENTS`.

    Returns:
        [N, 4, 4] aligned poses. A scale acts on positions alone, so the poses stay rigid motions.
    """
    aligned = predicted.copy()
    p, g = predicted[:, :3, 3], truth[:, :3, 3]
    if alignment == "scale":
        aligned[:, :3, 3] *= least_squares_scale(p, g)
    elif alignment != "none":
        scale, rotation, translation = umeyama(p, g, with_scale=alignment != "6dof")
        aligned[:, :3, 3] *= scale
        if alignment != "scale_7dof":
            motion = np.eye(4)
            motion[:3, :3], motion[:3, 3] = rotation, translation
            aligned = motion @ aligned
    return aligned


def least_squares_scale(predicted: np.ndarray, truth: np.ndarray) -> float:
    """The s that minimises sum |s p - g|^2 over positions [N, 3]; 1 if all p are zero."""
    square = float(np.sum(predicted * predicted))
    return float(np.sum(truth * predicted)) / square if square > 0 else 1.0


def umeyama(
    source: np.ndarray, target: np.ndarray, with_scale: bool = True
) -> tuple[float, np.ndarray, np.ndarray]:
    """The similarity that minimises sum |s R x + t - y|^2.

    Args:
        source: [N, 3] points x.
        target: [N, 3] points y.
        with_scale: fit s too; else it is 1.

    Returns:
        s, R [3, 3], t [3]. Where all x are one point, s is 1.

    Source: Umeyama, "Least-squares estimation of transformation parameters between two point
    patterns", PAMI 1991.
    """
    source_mean, target_mean = source.mean(0), target.mean(0)
    x, y = source - source_mean, target - target_mean
    u, singular, vt = np.linalg.svd(y.T @ x / len(x))
    signs = np.ones(3)
    if np.linalg.det(u) * np.linalg.det(vt) < 0:
        signs[2] = -1.0  # a reflection would fit better, but is no motion
    rotation = (u * signs) @ vt
    variance = float(np.mean(np.sum(x * x, axis=1)))
    scale = float(singular @ signs) / variance if with_scale and variance > 0 else 1.0
    return scale, rotation, target_mean - scale * rotation @ source_mean


def path_length(poses: np.ndarray) -> np.ndarray:
    """Distance driven up to each pose, [N], from poses [N, 4, 4]."""
    steps = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
    return np.concatenate([[0.0], np.cumsum(steps)])


def rotation_angle(motions: np.ndarray) -> np.ndarray:
    """Angle of the rotations of motions [..., 4, 4], radians."""
    trace = np.trace(motions[..., :3, :3], axis1=-2, axis2=-1)
    return np.arccos(np.clip((trace - 1) / 2, -1.0, 1.0))


def _segments(predicted: np.ndarray, truth: np.ndarray, frames: np.ndarray) -> Segments:
    """Errors over KITTI's subsequences; the true path tells where one ends."""
    driven = path_length(truth)
    place = np.full(len(truth), -1)
    place[frames] = np.arange(len(frames))
    starts = np.arange(0, len(truth), STEP)
    first = np.repeat(starts, len(LENGTHS))
    length = np.tile(np.asarray(LENGTHS, np.float64), len(starts))
    # The first frame that lies farther than the length, strictly.
    last = np.searchsorted(driven, driven[first] + length, side="right")
    there = last < len(truth)
    there &= (place[first] >= 0) & (place[np.minimum(last, len(truth) - 1)] >= 0)
    first, last, length = first[there], last[there], length[there]
    true_motion = np.linalg.inv(truth[first]) @ truth[last]
    motion = np.linalg.inv(predicted[place[first]]) @ predicted[place[last]]
    error = np.linalg.inv(motion) @ true_motion
    return Segments(
        first=first,
        length=length,
        translation=np.linalg.norm(error[:, :3, 3], axis=1) / length,
        rotation=rotation_angle(error) / length,
    )


def _relative_errors(
    predicted: np.ndarray, truth: np.ndarray, frames: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Distance and angle of every predicted step's error, where both frames are there."""
    i = np.flatnonzero(np.diff(frames) == 1)
    true_step = np.linalg.inv(truth[frames[i]]) @ truth[frames[i + 1]]
    step = np.linalg.inv(predicted[i]) @ predicted[i + 1]
    error = np.linalg.inv(true_step) @ step
    return np.linalg.norm(error[:, :3, 3], axis=1), rotation_angle(error)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
