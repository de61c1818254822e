"""Each image's figures as CSV: what an evaluation leaves, and what two systems are compared by."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kdepth.errors import UserError
from kdepth.evaluation.metrics import ALL_METRICS
from kdepth.evaluation.protocol import Protocol
from kdepth.evaluation.scoring import Scores
from kdepth.files import atomic_path


@dataclass(frozen=True)
class PerImage:
    """The figures of one system, image by image.

    Attributes:
        system: its name.
        protocol: the protocol in full.
        images: names, in the order of the split.
        metrics: names of the columns.
        values: [images, metrics] float64.
    """

    system: str
    protocol: str
    images: tuple[str, ...]
    metrics: tuple[str, ...]
    values: np.ndarray


def of_scores(system: str, protocol: Protocol, scores: Scores) -> PerImage:
    """The figures of an evaluation that was just made."""
    metrics = tuple(scores.system[0])
    values = np.array([[row[metric] for metric in metrics] for row in scores.system])
    return PerImage(system, protocol.describe(), tuple(scores.names), metrics, values)


def write(path: Path, system: str, protocol: Protocol, scores: Scores) -> None:
    """Writes each image's figures, with its strongest baseline's abs_rel beside them.

    Args:
        path: the file; replaced as a whole.
        system: the system's name.
        protocol: how it was scored; every row carries it, so that the file stands for itself.
        scores: from `kdepth.evaluation.scoring.score`.
    """
    name, _ = scores.strongest_baseline()
    table = of_scores(system, protocol, scores)
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["image", "pixels", "median_ratio", *table.metrics, f"abs_rel of {name}"]
            + ["system", "protocol"]
        )
        for image, pixels, ratio, values, baseline in zip(
            scores.names, scores.pixels, scores.ratios, table.values, scores.baselines[name]
        ):
            figures = [ratio, *values.tolist(), baseline["abs_rel"]]
            writer.writerow(
                [image, pixels, *(repr(figure) for figure in figures), system, table.protocol]
            )


def read(path: Path) -> PerImage:
    """Reads what `write` wrote.

    Raises:
        UserError: if there is no such file, or it is not one of these tables or is damaged.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise UserError(
            f"{path}: no such table of figures by image; kdepth.evaluate leaves them as "
            "evaluation/<protocol>.csv in the run's folder"
        ) from None
    except UnicodeDecodeError:
        raise _damaged(path, "it is not text") from None
    try:
        header, *lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    except (csv.Error, ValueError) as error:
        raise _damaged(path, str(error) if text else "it is empty") from None
    metrics = tuple(metric for metric in ALL_METRICS if metric in header)
    missing = {"image", "abs_rel", "system", "protocol"} - set(header)
    if missing:
        raise _damaged(path, f"its header lacks {', '.join(sorted(missing))}")
    if not lines or any(len(line) != len(header) for line in lines):
        raise _damaged(path, "it has no rows, or rows that are cut off")
    rows = [dict(zip(header, line)) for line in lines]
    try:
        values = np.array([[float(row[metric]) for metric in metrics] for row in rows])
    except ValueError as error:
        raise _damaged(path, str(error)) from None
    return PerImage(
        system=_same(path, [row["system"] for row in rows], "system"),
        protocol=_same(path, [row["protocol"] for row in rows], "protocol"),
        images=tuple(row["image"] for row in rows),
        metrics=metrics,
        values=values,
    )


def _same(path: Path, values: Sequence[str], column: str) -> str:
    if len(set(values)) != 1:
        raise _damaged(path, f"its rows are of different {column}s")
    return values[0]


def _damaged(path: Path, why: str) -> UserError:
    return UserError(
        f"{path}: not a table of figures by image, or damaged ({why}); evaluate again to replace it"
    )
