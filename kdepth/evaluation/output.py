"""What an evaluation leaves: text on the terminal, files in the system's folder, rows in the table."""

from __future__ import annotations

import contextlib
import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from kdepth.evaluation import bootstrap, compare, per_image
from kdepth.evaluation.by_distance import ErrorByDistance
from kdepth.evaluation.protocol import Protocol
from kdepth.evaluation.scoring import Picture, Scores
from kdepth.files import atomic_path

# Median ratios of truth and prediction beyond which a prediction can hardly be in metres.
_PLAUSIBLE = (0.5, 2.0)


@dataclass(frozen=True)
class Folder:
    """The files of one evaluation.

    Attributes:
        root: the run's folder, or that of predictions from elsewhere.
        protocol: its name begins the files' names.
    """

    root: Path
    protocol: Protocol

    def file(self, suffix: str) -> Path:
        """`evaluation/<protocol><suffix>`."""
        return self.root / "evaluation" / f"{self.protocol.name}{suffix}"

    @property
    def picture(self) -> Path:
        """The picture of a few images."""
        return self.root / "images" / "evaluation.png"


@contextlib.contextmanager
def error_maps(folder: Path, wanted: bool) -> Iterator[Callable[[Picture], None] | None]:
    """Gives `score` a function that writes each image's error map; nothing is left on failure.

    Args:
        folder: gets one PNG for each image; replaced as a whole when all are written.
        wanted: else there is nothing to call.
    """
    if not wanted:
        yield None
        return
    from kdepth.evaluation.pictures import write_error_map

    with atomic_path(folder) as temporary:
        temporary.mkdir()
        yield lambda picture: write_error_map(
            temporary / f"{re.sub(r'[^0-9A-Za-z.+-]+', '_', picture.name)}.png", picture
        )


@dataclass(frozen=True)
class Interval:
    """Means over images and how far they can be trusted.

    Attributes:
        metrics: names.
        mean: [metrics].
        low: [metrics] lower ends.
        high: [metrics] upper ends.
        how: in words.
    """

    metrics: tuple[str, ...]
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    how: str

    def columns(self) -> dict[str, float]:
        """What the results table keeps of it."""
        place = self.metrics.index("abs_rel")
        return {"abs_rel_low": float(self.low[place]), "abs_rel_high": float(self.high[place])}

    def write(self, path: Path) -> None:
        """Writes one row for each metric as CSV."""
        with atomic_path(path) as temporary, open(temporary, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["metric", "mean", "low", "high", "interval"])
            for metric, *ends in zip(self.metrics, self.mean, self.low, self.high):
                writer.writerow([metric, *(repr(float(end)) for end in ends), self.how])


def interval(table: per_image.PerImage, samples: int, seed: int) -> Interval:
    """The bootstrap interval of every metric; see `kdepth.evaluation.bootstrap`."""
    low, high = bootstrap.interval(table.values, samples, seed)
    return Interval(
        metrics=table.metrics,
        mean=table.values.mean(axis=0),
        low=low,
        high=high,
        how=f"{100 * bootstrap.CONFIDENCE:g} %, bootstrap over {len(table.images)} images, "
        f"{samples} draws, seed {seed}",
    )


def summary(name: str, protocol: Protocol, scores: Scores, trusted: Interval | None) -> list[str]:
    """The lines under the table: gain over the baselines, interval, scale."""
    strongest, abs_rel = scores.strongest_baseline()
    gain = 100 * scores.gain()
    lines = [
        f"{name}: abs_rel {scores.mean()['abs_rel']:.4f}, {abs(gain):.1f} % "
        f"{'below' if gain >= 0 else 'ABOVE'} the strongest baseline ({strongest}, {abs_rel:.4f})"
    ]
    if trusted:
        ends = trusted.columns().values()
        lines.append(f"abs_rel lies in {' .. '.join(f'{end:.4f}' for end in ends)} ({trusted.how})")
    middle = float(np.median(scores.ratios))
    if protocol.scaling != "none":
        spread = float(np.std(np.asarray(scores.ratios) / middle))
        lines.append(
            f"median(truth) / median(prediction): {middle:.4g}, deviation {100 * spread:.1f} % "
            "from image to image"
        )
    elif not _PLAUSIBLE[0] < middle < _PLAUSIBLE[1]:
        logging.warning(
            "true depth is %.3g times the predicted one (median): if the prediction is no depth in "
            "metres, --quantity, --rig_baseline, --depth_factor or --scaling say what it is",
            middle,
        )
    return lines


def write_files(
    folder: Folder,
    name: str,
    data: str,
    scores: Scores,
    by_distance: ErrorByDistance,
    trusted: Interval | None,
) -> list[Path]:
    """Writes each image's figures, error by distance, the intervals and the picture.

    Args:
        folder: where.
        name: the system's.
        data: data set and split, for the picture's title.
        scores: of every image.
        by_distance: of every pixel.
        trusted: the intervals; None: there are none.

    Returns:
        The files.
    """
    written = [folder.file(".csv"), folder.file("_by_distance.csv")]
    per_image.write(written[0], name, folder.protocol, scores)
    by_distance.write(written[1])
    if trusted:
        written.append(folder.file("_intervals.csv"))
        trusted.write(written[-1])
    if scores.pictures:
        from kdepth.evaluation.pictures import write_picture

        written.append(folder.picture)
        mean = scores.mean()["abs_rel"]
        title = f"{name} on {data}: abs_rel {mean:.3f} over {len(scores.names)} images"
        write_picture(written[-1], scores.pictures, title)
    return written


def compare_last(
    tables: Sequence[per_image.PerImage], samples: int, seed: int
) -> list[compare.Comparison]:
    """Compares the last of some systems with each of the others; see `kdepth.evaluation.compare`."""
    *others, own = tables
    return [compare.compare(other, own, samples, seed) for other in others]


def print_comparisons(comparisons: Sequence[compare.Comparison], path: str | None) -> None:
    """Prints comparisons, and writes them as CSV where there is a path."""
    for comparison in comparisons:
        print(f"\n{compare.as_text(comparison)}")
    if path:
        compare.write(Path(path), comparisons)
        print(f"wrote {path}")


def print_reports(rows: Sequence[dict[str, Any]], bold: bool) -> None:
    """Prints the table of the system and its baselines."""
    from kdepth.evaluation import formats, table

    for report in formats.reports(table.to_frame(rows)):
        print(formats.terminal(report, bold=bold))
