"""Error by distance: where along the depth axis a system is right.

Pixels of all images are pooled into bins of true depth, so unlike the table's figures these are
means over pixels: few images have pixels in every bin.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kdepth.errors import UserError
from kdepth.files import atomic_path

_OUTDOOR = (0.0, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0)
COLUMNS = ("from_m", "to_m", "pixels", "images", "abs_rel", "bias", "rmse", "delta1")


def default_edges(cap: float) -> tuple[float, ...]:
    """Bins up to a protocol's cap: ten equal ones indoors (20 m or less), else finer when near.

    Args:
        cap: metres, may be infinite.
    """
    if cap <= 20:
        return tuple(float(edge) for edge in np.linspace(0, cap, 11))
    return (*(edge for edge in _OUTDOOR if edge < cap), cap)


def parse_edges(texts: Sequence[str]) -> tuple[float, ...]:
    """Edges as a flag gives them.

    Raises:
        UserError: if they are no rising numbers, at least two.
    """
    try:
        edges = tuple(float(text) for text in texts)
    except ValueError:
        edges = ()
    rising = all(near < far for near, far in zip(edges, edges[1:]))
    if len(edges) < 2 or not rising or edges[0] < 0 or any(math.isnan(edge) for edge in edges):
        raise UserError(
            f"--distance_bins={','.join(texts)}: must be at least two rising distances in metres, "
            "for example 0,10,20,40,80"
        )
    return edges


class ErrorByDistance:
    """Sums over the pixels of each bin.

    Args:
        edges: metres, rising; a bin includes its near edge and not its far one. Pixels outside of
            all bins are left out.
    """

    def __init__(self, edges: Sequence[float]) -> None:
        self._edges = np.asarray(edges, np.float64)
        self._sums = np.zeros((6, len(edges) - 1))  # pixels, images, then the four sums

    def add(self, prediction: np.ndarray, truth: np.ndarray) -> None:
        """Adds one image.

        Args:
            prediction: [N] metres, scaled and clipped.
            truth: [N] metres.
        """
        bins = len(self._edges) - 1
        which = np.searchsorted(self._edges, truth, side="right") - 1
        inside = (which >= 0) & (which < bins)
        if not inside.all():
            which, prediction, truth = which[inside], prediction[inside], truth[inside]
        error = prediction - truth
        relative = error / truth
        right = np.maximum(prediction / truth, truth / prediction) < 1.25
        pixels = np.bincount(which, minlength=bins)
        self._sums[0] += pixels
        self._sums[1] += pixels > 0
        for sums, values in zip(self._sums[2:], (np.abs(relative), relative, error**2, right)):
            sums += np.bincount(which, values, minlength=bins)

    def rows(self) -> list[dict[str, float]]:
        """One row for each bin, with `COLUMNS`; the figures are NaN where no pixel is.

        `bias` is the mean of (p - g) / g: positive where the system sees things too far away.
        """
        pixels, images, *sums = self._sums
        with np.errstate(invalid="ignore"):
            abs_rel, bias, square, right = (values / pixels for values in sums)
        columns = (self._edges[:-1], self._edges[1:], pixels.astype(int), images.astype(int))
        return [
            dict(zip(COLUMNS, row))
            for row in zip(
                *(column.tolist() for column in columns),
                *(column.tolist() for column in (abs_rel, bias, np.sqrt(square), right)),
            )
        ]

    def write(self, path: Path) -> None:
        """Writes the rows as CSV; figures of an empty bin stay empty."""
        with atomic_path(path) as temporary, open(temporary, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for row in self.rows():
                values = row.values()
                writer.writerow(
                    ["" if isinstance(v, float) and math.isnan(v) else repr(v) for v in values]
                )
