"""The two long parts of an evaluation, each with its progress bar: fitting baselines, and scoring."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from kdepth.evaluation import baselines, scoring
from kdepth.evaluation.baselines import Baselines
from kdepth.evaluation.by_distance import ErrorByDistance
from kdepth.evaluation.protocol import Protocol
from kdepth.evaluation.sources import Source
from kdepth.evaluation.systems import System


def fit_baselines(train: Source, protocol: Protocol) -> Baselines:
    """Fits the baselines on training depth: reading hundreds of scans takes a while.

    Args:
        train: where the depth is.
        protocol: of the evaluation.

    Raises:
        UserError: if the depth is missing, damaged, or none of it counts.
    """
    protocol = protocol.for_training(train.dataset)
    depths, count = train.depths(protocol, baselines.MAX_IMAGES)
    with _bar(count, "map", "fitting baselines") as bar:

        def counted() -> Any:
            for depth in depths:
                yield depth
                bar.update()

        return baselines.fit(counted(), protocol)


def score(
    system: System,
    test: Source,
    protocol: Protocol,
    fitted: Baselines,
    *,
    number: int,
    pictures: int = 0,
    photometric: bool = False,
    by_distance: ErrorByDistance | None = None,
    each: Callable[[scoring.Picture], None] | None = None,
) -> scoring.Scores:
    """Scores a system on a split; a protocol that scales by sequence takes a pass before it.

    Args:
        system: what is scored.
        test: on what.
        protocol: how.
        fitted: the baselines.
        number: of images, from the first on.
        pictures: how many of them to keep, evenly spread.
        photometric: measure the held-out photometric error too.
        by_distance: see `kdepth.evaluation.scoring.score`.
        each: likewise.

    Returns:
        The scores.

    Raises:
        UserError: if data or predictions are missing or damaged, or nothing could be scored.
    """
    wanted = min(pictures, number)
    chosen = [(2 * i + 1) * number // (2 * wanted) for i in range(wanted)]
    looks = system.looks or photometric

    def samples(images: Collection[int]) -> Iterator[scoring.Sample]:
        return test.samples(
            protocol,
            height=system.size[0],
            width=system.size[1],
            resize=system.resize,
            limit=number,
            stereo=photometric or system.stereo,
            images=None if looks else images,
        )

    alignments = None
    if protocol.scaling == "median_sequence":
        with _bar(number, "image", "fitting scales") as bar:
            alignments = scoring.sequence_alignments(
                samples(()),
                system.predict,
                protocol,
                fitted,
                rig=system.rig,
                progress=lambda done: bar.update(),
            )
    with _bar(number, "image", "scoring") as bar:
        return scoring.score(
            samples(chosen),
            system.predict,
            protocol,
            fitted,
            rig=system.rig,
            alignments=alignments,
            pictures=chosen,
            by_distance=by_distance,
            each=each,
            progress=lambda done: bar.update(),
        )


def _bar(total: int, unit: str, description: str) -> Any:
    from tqdm import tqdm

    return tqdm(
        total=total, desc=description, unit=unit, dynamic_ncols=True, mininterval=0.5, leave=False
    )
