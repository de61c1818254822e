"""Camera motion from frame to frame, and the error of snippets, up to one unknown scale each.

A motion is T_{k+1 <- k}, from frame k's camera coordinates to frame k + 1's, as
`DepthModel.predict_pose` returns it; a trajectory holds each camera's place in the first one's frame.
Errors of whole trajectories are in `trajectories.py`. NumPy only.
"""

from __future__ import annotations

import numpy as np

SNIPPET = 5  # frames


def trajectory(motions: np.ndarray) -> np.ndarray:
    """Where each camera is, seen from the first.

    Args:
        motions: [..., N - 1, 4, 4] T_{k+1 <- k}.

    Returns:
        [..., N, 4, 4] camera k -> camera 0; the first is the identity.
    """
    motions = np.asarray(motions, np.float64)
    poses = [np.broadcast_to(np.eye(4), (*motions.shape[:-3], 4, 4))]
    for k in range(motions.shape[-3]):
        poses.append(poses[-1] @ np.linalg.inv(motions[..., k, :, :]))
    return np.stack(poses, axis=-3)


def windows(motions: np.ndarray, frames: int = SNIPPET) -> np.ndarray:
    """All snippets of a sequence; one starts at every frame that has as many after it.

    Args:
        motions: [M, 4, 4] of a sequence of M + 1 frames.
        frames: of a snippet.

    Returns:
        [M - frames + 2, frames - 1, 4, 4]; none if the sequence is shorter than a snippet.
    """
    starts = np.arange(max(len(motions) - frames + 2, 0))
    return motions[starts[:, None] + np.arange(frames - 1)]


def snippet_ate(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Absolute trajectory error of snippets after one scale each is fitted.

    Both start at the origin, so the first frame's error is always 0 and still counts as a frame.

    Args:
        predicted: [..., N, 4, 4] trajectories in any unit.
        truth: [..., N, 4, 4] trajectories in metres.

    Returns:
        [...] sqrt(sum |s p - g|^2) / N metres, with s = sum(g . p) / sum(p . p).

    Source: Zhou 2017's released evaluation (its norm is divided by N, not by sqrt(N)).
    """
    p = predicted[..., :3, 3] - predicted[..., :1, :3, 3]
    g = truth[..., :3, 3] - truth[..., :1, :3, 3]
    square = np.sum(p * p, axis=(-2, -1), keepdims=True)
    match = np.sum(g * p, axis=(-2, -1), keepdims=True)
    scale = match / np.where(square > 0, square, 1.0)
    return np.sqrt(np.sum((scale * p - g) ** 2, axis=(-2, -1))) / p.shape[-2]


def ate(predicted: np.ndarray, truth: np.ndarray, frames: int = SNIPPET) -> tuple[float, float]:
    """Mean and standard deviation of `snippet_ate` over all snippets of a sequence.

    Args:
        predicted: [M, 4, 4] motions of a sequence of M + 1 frames.
        truth: [M, 4, 4] true motions.
        frames: of a snippet; one starts at every frame that has as many after it.

    Returns:
        Metres.

    Raises:
        ValueError: if the sequences differ in length or are shorter than a snippet.
    """
    if len(predicted) != len(truth) or len(truth) < frames - 1:
        raise ValueError(
            f"`predicted` and `truth` must have one length of at least {frames - 1};"
            f" received {len(predicted)} and {len(truth)}"
        )
    errors = snippet_ate(trajectory(windows(predicted, frames)), trajectory(windows(truth, frames)))
    return float(np.mean(errors)), float(np.std(errors))


def forward_speed(motions: np.ndarray) -> np.ndarray:
    """Distance driven along the camera's axis from each frame to the next, [M], in the motions' unit."""
    return np.linalg.inv(np.asarray(motions, np.float64))[..., 2, 3]


def yaw_rate(motions: np.ndarray) -> np.ndarray:
    """Turn to the right from each frame to the next, [M] radians."""
    turned = np.linalg.inv(np.asarray(motions, np.float64))  # the next camera's axes in this one's
    return np.arctan2(turned[..., 0, 2], turned[..., 2, 2])
