"""Is one system better than another? A paired comparison on the figures of each image.

Both systems were scored on the same images, and what is hard for one is hard for the other. So the
difference is taken image by image and its mean is bootstrapped over images: the interval is that of
the difference, usually much narrower than the two systems' own intervals suggest.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kdepth.errors import UserError
from kdepth.evaluation import bootstrap
from kdepth.evaluation.metrics import HIGHER_IS_BETTER
from kdepth.evaluation.per_image import PerImage
from kdepth.files import atomic_path

COLUMNS = (
    "metric",
    "first",
    "second",
    "difference",
    "low",
    "high",
    "second_better_on_percent",
    "verdict",
)


@dataclass(frozen=True)
class Comparison:
    """The difference of two systems in every metric that both have.

    Attributes:
        first: name of the system that is subtracted.
        second: name of the system that it is subtracted from.
        protocol: both were scored by it, in full.
        images: how many.
        rows: one for each metric, with `COLUMNS`.
        how: how the intervals were made, in words.
    """

    first: str
    second: str
    protocol: str
    images: int
    rows: tuple[dict[str, object], ...]
    how: str


def compare(
    first: PerImage, second: PerImage, samples: int = bootstrap.SAMPLES, seed: int = 0
) -> Comparison:
    """Compares two systems; differences are second - first.

    Args:
        first: one system's figures.
        second: the other's, of the same images under the same protocol; the order may differ.
        samples: bootstrap draws.
        seed: of the draws.

    Raises:
        UserError: if protocols or images differ.
    """
    check_protocol(first, second.protocol)
    place = {image: number for number, image in enumerate(second.images)}
    different = set(first.images) ^ set(second.images)
    if different or len(place) != len(second.images) or len(first.images) != len(second.images):
        raise UserError(
            f"--compare: {first.system} and {second.system} were scored on different images "
            f"({len(first.images)} and {len(second.images)}, {len(different)} of them in one table "
            f"only, first {min(different, default='one that is there twice')!r})"
        )
    metrics = [metric for metric in first.metrics if metric in second.metrics]
    order = [place[image] for image in first.images]
    one = first.values[:, [first.metrics.index(metric) for metric in metrics]]
    two = second.values[order][:, [second.metrics.index(metric) for metric in metrics]]
    difference = two - one
    low, high = bootstrap.interval(difference, samples, seed)
    rows = []
    for k, metric in enumerate(metrics):
        sign = -1.0 if metric in HIGHER_IS_BETTER else 1.0
        clear = low[k] > 0 or high[k] < 0
        better = second.system if sign * difference[:, k].mean() < 0 else first.system
        values = (
            metric,
            float(one[:, k].mean()),
            float(two[:, k].mean()),
            float(difference[:, k].mean()),
            float(low[k]),
            float(high[k]),
            100.0 * float(np.mean(sign * difference[:, k] < 0)),
            f"{better} is better" if clear else "no clear difference",
        )
        rows.append(dict(zip(COLUMNS, values)))
    return Comparison(
        first=first.system,
        second=second.system,
        protocol=first.protocol,
        images=len(first.images),
        rows=tuple(rows),
        how=f"paired bootstrap over images, {samples} draws, seed {seed}, "
        f"{100 * bootstrap.CONFIDENCE:g} % interval",
    )


def check_protocol(figures: PerImage, protocol: str) -> None:
    """Refuses figures of another protocol.

    Args:
        figures: of one system.
        protocol: the other system's, in full.

    Raises:
        UserError: if they differ.
    """
    if figures.protocol != protocol:
        raise UserError(
            f"--compare: {figures.system} was scored by another protocol, so it does not compare "
            f"({figures.protocol!r}, not {protocol!r})"
        )


def as_text(comparison: Comparison) -> str:
    """The comparison as a table for the terminal."""
    import tabulate

    first, second = comparison.first, comparison.second
    header = ["metric", first, second, "difference", "interval", f"{second} better on"]
    rows = [
        [
            row["metric"],
            f"{row['first']:.4f}",
            f"{row['second']:.4f}",
            f"{row['difference']:+.4f}",
            f"{row['low']:+.4f} .. {row['high']:+.4f}",
            f"{row['second_better_on_percent']:.0f} %",
            row["verdict"],
        ]
        for row in comparison.rows
    ]
    align = ("left", "right", "right", "right", "right", "right", "left")
    table = tabulate.tabulate(rows, [*header, ""], "simple", disable_numparse=True, colalign=align)
    return (
        f"{table}\n\ndifference: {comparison.second} - {comparison.first}, on "
        f"{comparison.images} images; {comparison.how}.\nProtocol {comparison.protocol}."
    )


def write(path: Path, comparisons: Sequence[Comparison]) -> None:
    """Writes comparisons as CSV, the systems' names, the protocol and the draws in each row."""
    about = ("first_system", "second_system", "images", "interval", "protocol")
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, *about])
        for one in comparisons:
            common = (one.first, one.second, one.images, one.how, one.protocol)
            writer.writerows([*row.values(), *common] for row in one.rows)
