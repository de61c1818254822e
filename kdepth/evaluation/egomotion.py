"""Camera motion through whole sequences, predicted by the pose network of a video paper.

A pose network looks at windows of two, three or five consecutive frames, as its paper trained it.
Windows start at every frame. A sequence's trajectory is chained from one motion of each window: the
one that the network predicts directly, from its target frame to the next. Neither Keras nor
TensorFlow is imported here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from kdepth.data.image import read_image, resize_image
from kdepth.errors import UserError

BATCH = 8  # windows that go through the network together


@dataclasses.dataclass(frozen=True)
class PoseNetwork:
    """A pose network and what it takes.

    Attributes:
        paper: its name.
        variant: of the paper.
        frames: it looks at together.
        target: place among them of the frame that its vectors start from.
        height: rows of its input.
        image_width: columns of its input.
        resize: method of `kdepth.data.image.resize_image` that brings frames there.
        run: [B, frames, height, width, 3] RGB in [0, 1], in time order -> [B, frames - 1, 4, 4]
            T_{k+1 <- k}.
    """

    paper: str
    variant: str
    frames: int
    target: int
    height: int
    image_width: int
    resize: str
    run: Callable[[np.ndarray], np.ndarray]

    @classmethod
    def of_model(cls, model: Any) -> PoseNetwork:
        """The pose network of a `kdepth.papers.base.DepthModel`.

        Raises:
            UserError: if the paper has none.
        """
        if model.pose_frames is None:
            raise UserError(
                f"{model.paper} has no pose network, so it knows no camera motion; papers that learn"
                " from video have one: sfmlearner, scdepth"
            )
        return cls(
            paper=model.paper,
            variant=model.variant,
            frames=model.pose_frames,
            target=model.pose_target,
            height=model.image_size[0],
            image_width=model.image_size[1],
            resize=model.resize,
            run=model.predict_pose,
        )

    @classmethod
    def of_export(cls, path: Path) -> PoseNetwork:
        """An exported pose network.

        Raises:
            UserError: if the file is missing or holds something else.
        """
        from kdepth.runtime import PoseModel

        model = PoseModel(path)
        return cls(
            paper=model.facts.paper,
            variant=model.facts.variant,
            frames=model.facts.frames,
            target=model.facts.target,
            height=model.facts.height,
            image_width=model.facts.image_width,
            resize=model.facts.resize,
            run=lambda windows: np.stack([model(list(window)) for window in windows]),
        )


def open_network(run: str | None, model: str | None = None) -> PoseNetwork:
    """The pose network of a run, or an exported one.

    Args:
        run: the run's folder; not looked at where `model` is given.
        model: an exported pose network.

    Raises:
        UserError: if there is no such thing.
    """
    if model:
        return PoseNetwork.of_export(Path(model))
    import kdepth

    return PoseNetwork.of_model(kdepth.load_run(Path(run)))


def predict_windows(
    network: PoseNetwork,
    images: Iterable[Path],
    progress: Callable[[int], None] = lambda done: None,
) -> np.ndarray:
    """Predicts the motions in all windows of a sequence.

    Args:
        network: looks at the frames.
        images: N files in time order; each is read once, and few are held.
        progress: called with the number of frames that were done.

    Returns:
        [N - frames + 1, frames - 1, 4, 4] float64 T_{k+1 <- k} for k in each window.

    Raises:
        UserError: if there are less frames than a window has, a file cannot be read, sizes differ,
            or a prediction is not finite.
    """
    found = []
    done = 0
    windows = _windows(network, images)
    while batch := list(islice(windows, BATCH)):
        motions = np.asarray(network.run(np.stack(batch)), np.float64)
        if not np.isfinite(motions).all():
            raise UserError(
                f"the pose network of this {network.paper} predicts NaN or inf; train it again"
            )
        found.append(motions)
        now = sum(map(len, found)) + (network.frames - 1)
        progress(now - done)
        done = now
    if not found:
        raise UserError(
            f"this {network.paper} looks at {network.frames} frames together, and the sequence has"
            " less"
        )
    return np.concatenate(found)


def chain(windows: np.ndarray, target: int) -> np.ndarray:
    """One motion for each pair of neighbours, out of overlapping windows.

    Args:
        windows: [W, F - 1, 4, 4] motions in windows of F frames that start at frames 0 .. W - 1.
        target: place in the window of the frame that the network's vectors start from.

    Returns:
        [W + F - 2, 4, 4]: of each window the motion that starts at its target (ends at it, if it is
        the last frame); at the sequence's ends, what the first and the last window have.
    """
    place = min(target, windows.shape[1] - 1)
    return np.concatenate([windows[0, :place], windows[:, place], windows[-1, place + 1 :]])


def _windows(network: PoseNetwork, images: Iterable[Path]) -> Iterator[np.ndarray]:
    held: list[np.ndarray] = []
    first: tuple[Path, tuple[int, ...]] | None = None
    for path in images:
        image = read_image(path)
        first = first or (path, image.shape)
        if image.shape != first[1]:
            raise UserError(
                f"{path} is {image.shape[1]}x{image.shape[0]}, but {first[0]} is "
                f"{first[1][1]}x{first[1][0]}; the frames of a sequence have one size"
            )
        held.append(resize_image(image, network.height, network.image_width, network.resize))
        if len(held) == network.frames:
            yield np.stack(held)
            del held[0]
