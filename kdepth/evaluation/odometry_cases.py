"""What an evaluation of camera motion compares: predicted and true trajectories, sequence by sequence."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from kdepth.data import pose_files, sequences
from kdepth.data.pose_files import Trajectory
from kdepth.errors import UserError
from kdepth.evaluation import egomotion, odometry, pose_matching


@dataclasses.dataclass(frozen=True)
class Case:
    """One sequence: a prediction beside the truth.

    Attributes:
        sequence: its name.
        predicted: [M, 4, 4] camera k -> world, in any unit.
        truth: [N, 4, 4] likewise, metres.
        frames: [M] places in `truth` that the predicted poses belong to.
        snippets: [S, 5, 4, 4] where the network looks at five frames at once: every snippet as it
            predicts it, seen from its first camera. None: snippets are parts of the trajectory.
    """

    sequence: str
    predicted: np.ndarray
    truth: np.ndarray
    frames: np.ndarray
    snippets: np.ndarray | None = None

    def snippet_errors(self) -> tuple[np.ndarray, np.ndarray]:
        """5-frame ATE, [S] metres: of the prediction, and of a camera that goes straight ahead.

        Snippets are taken from all runs of five consecutive frames that the prediction has.
        """
        size = odometry.SNIPPET
        span = self.frames[size - 1 :] - self.frames[: 1 - size]
        places = np.flatnonzero(span == size - 1)[:, None] + np.arange(size)
        truth = _from_first(self.truth[self.frames[places]])
        predicted = self.snippets
        if predicted is None:
            predicted = _from_first(self.predicted[places])
        ahead = np.tile(np.eye(4), (size, 1, 1))
        ahead[:, 2, 3] = np.arange(size)
        straight = np.broadcast_to(ahead, truth.shape)
        return odometry.snippet_ate(predicted, truth), odometry.snippet_ate(straight, truth)


def from_files(
    predictions: Path,
    truths: Path | Sequence[sequences.Sequence],
    max_time_difference: float = pose_matching.MAX_TIME_DIFFERENCE,
) -> list[Case]:
    """Pairs pose files with the truth.

    Args:
        predictions: a pose file, or a folder of them, `<sequence>.txt`.
        truths: a pose file or a folder of them, with equal names; or sequences of a data set.
        max_time_difference: see `kdepth.evaluation.pose_matching.match`.

    Raises:
        UserError: if a file is missing, damaged, or does not fit its partner.
    """
    if predictions.is_dir():
        files = sorted(predictions.glob("*.txt"))
        if not files:
            raise UserError(f"{predictions}: no pose files (<sequence>.txt) in this folder")
    else:
        files = [predictions]
    cases = []
    for file in files:
        name, source, truth = _truth(file, predictions.is_dir(), truths)
        predicted = pose_files.read(file)
        parts = pose_matching.match(predicted, truth, (file, source), max_time_difference)
        cases.append(Case(name, *parts))
    return cases


def from_network(
    network: egomotion.PoseNetwork,
    found: Sequence[sequences.Sequence],
    progress: Callable[[int], None] = lambda done: None,
) -> list[Case]:
    """Predicts sequences whose motion is known.

    Args:
        network: predicts the motions.
        found: sequences with `motions`.
        progress: called with the number of frames that were done.
    """
    cases = []
    for sequence in found:
        windows = egomotion.predict_windows(network, sequence.images, progress)
        predicted = odometry.trajectory(egomotion.chain(windows, network.target))
        own = odometry.trajectory(windows) if network.frames == odometry.SNIPPET else None
        truth = odometry.trajectory(sequence.motions)
        cases.append(Case(sequence.name, predicted, truth, np.arange(len(truth)), own))
    return cases


def _truth(
    file: Path, many: bool, truths: Path | Sequence[sequences.Sequence]
) -> tuple[str, str | Path, Trajectory]:
    """Name, origin and trajectory of the truth for a file of predictions."""
    if isinstance(truths, Path):
        if many and not truths.is_dir():
            raise UserError(
                f"--true_poses={truths}: --predictions is a folder of pose files, so this must be"
                " one, too"
            )
        source = truths / file.name if truths.is_dir() else truths
        return source.stem, source, pose_files.read(source)
    by_name = {sequence.name: sequence for sequence in truths}
    if not many and len(by_name) == 1:
        (name,) = by_name
    elif file.stem in by_name:
        name = file.stem
    else:
        raise UserError(
            f"{file}: there is no sequence '{file.stem}' in the split; it has {', '.join(by_name)}"
        )
    motions = by_name[name].motions
    return name, f"sequence {name}", Trajectory(odometry.trajectory(motions))


def _from_first(poses: np.ndarray) -> np.ndarray:
    """Poses [..., N, 4, 4] as seen from each snippet's first camera."""
    return np.linalg.inv(poses[..., :1, :, :]) @ poses
