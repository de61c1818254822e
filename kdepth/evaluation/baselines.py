"""What a network must beat: the depth that position in the image alone gives away.

Six baselines, fitted on the training set's depth: one constant, one value per row, one value per
pixel, each as the mean and as the 1/z-weighted median. They are scored exactly as the network is
(mask, crop, scaling, clip), and the bar is the strongest of them.

The 1/z-weighted median is the value c that minimises the sum of abs(c - z) / z, so among all
constants (or rows, or pixels) it is the best for abs_rel; the plain median minimises the sum of
abs(c - z) instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from kdepth.errors import UserError
from kdepth.evaluation.protocol import Protocol

# Rows and columns of the grid that training depth is decimated to. Sparse lidar still fills it: 22
# 000 scans are not needed for a smooth statistic, hundreds are enough, and `MAX_IMAGES` of this
# size fit into 210 MB.
GRID = (128, 416)
MAX_IMAGES = 1000
_ROWS_AT_ONCE = 16  # per-pixel sorting works on slices of this many grid rows


@dataclass(frozen=True)
class Baselines:
    """Fitted baselines.

    Attributes:
        maps: name -> [h, w] float32 metres on the fitting grid.
        images: how many training depth maps they were fitted on.
    """

    maps: Mapping[str, np.ndarray]
    images: int

    def predict(self, height: int, width: int) -> dict[str, np.ndarray]:
        """Each baseline for an image of any size, [height, width] float32 metres, nearest."""
        return {name: resize_nearest(values, height, width) for name, values in self.maps.items()}

    def at(self, pixels: np.ndarray, height: int, width: int) -> dict[str, np.ndarray]:
        """The same at some pixels alone, which for a sparse truth are few.

        Args:
            pixels: [N] row * width + column.
            height: of the image.
            width: of the image.

        Returns:
            Each baseline's [N] float32 metres.
        """
        rows, columns = np.divmod(pixels, width)
        cells = {}
        found = {}
        for name, values in self.maps.items():
            if values.shape not in cells:
                grid_rows, grid_columns = _nearest(*values.shape, height, width)
                cells[values.shape] = grid_rows[rows] * values.shape[1] + grid_columns[columns]
            found[name] = values.ravel()[cells[values.shape]]
        return found


def resize_nearest(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Takes for each pixel centre the nearest value; never mixes two depths.

    Args:
        values: [h, w].
        height: rows wanted.
        width: columns wanted.

    Returns:
        [height, width], same dtype.
    """
    rows, columns = _nearest(*values.shape, height, width)
    return values.take(rows, axis=0).take(columns, axis=1)


def _nearest(h: int, w: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The row and the column of an [h, w] map that each row and column of an image takes."""
    rows = ((2 * np.arange(height) + 1) * h) // (2 * height)
    columns = ((2 * np.arange(width) + 1) * w) // (2 * width)
    return rows, columns


def weighted_median(depths: np.ndarray) -> np.ndarray:
    """The 1/z-weighted median along the first axis.

    Args:
        depths: [N, ...] metres, infinite where not measured. Sorted in place.

    Returns:
        [...] float32: one of the depths, minimising sum of abs(c - z) / z over c; NaN where nothing
            was measured.

    Source: the weighted median minimises the weighted sum of absolute deviations; here the weights
    are 1/z, which is 0 for an infinite depth, so unmeasured pixels fall out by themselves.
    """
    depths.sort(axis=0)
    # Behind the last measured one nothing adds to the sum, and of sparse lidar that is most.
    measured = np.isfinite(depths).any(axis=tuple(range(1, depths.ndim)))
    depths = depths[: max(1, np.count_nonzero(measured))]
    mass = np.cumsum(1.0 / depths, axis=0, dtype=np.float64)
    index = np.argmax(mass >= 0.5 * mass[-1], axis=0)
    median = np.take_along_axis(depths, index[None], axis=0)[0]
    return np.where(np.isfinite(median), median, np.nan).astype(np.float32)


def fit(
    depths: Iterable[np.ndarray], protocol: Protocol, grid: tuple[int, int] = GRID
) -> Baselines:
    """Fits all baselines.

    Only pixels that the protocol would score take part (its crop and depth range). A pixel of the
    grid that no training image measured takes its row's value, a row without any the constant.

    Args:
        depths: the training set's depth maps, [H, W] metres, 0 = not measured; sizes may differ.
        protocol: the protocol of the evaluation.
        grid: rows and columns of the fit.

    Returns:
        The six baselines.

    Raises:
        UserError: if no training depth lies inside the protocol's range and crop.
    """
    stack = []
    for depth in depths:
        valid = resize_nearest(protocol.mask(depth), *grid)
        depth = resize_nearest(depth, *grid).astype(np.float32)
        stack.append(np.where(valid, depth, np.float32(np.inf)))
    if not any(np.isfinite(values).any() for values in stack):
        raise UserError(
            f"baselines: none of {len(stack)} training depth maps has a depth that protocol "
            f"{protocol.name} counts; name another training set with --baseline_split"
        )
    values = np.stack(stack)  # [N, h, w]
    stack.clear()
    return Baselines(maps={**_means(values), **_medians(values)}, images=len(values))


def _means(values: np.ndarray) -> dict[str, np.ndarray]:
    measured = np.isfinite(values)
    total = np.where(measured, values, 0).sum(axis=0, dtype=np.float64)  # [h, w]
    count = measured.sum(axis=0)
    return _filled(
        "mean",
        np.array(total.sum() / count.sum()),
        _ratio(total.sum(axis=1), count.sum(axis=1)),
        _ratio(total, count),
    )


def _medians(values: np.ndarray) -> dict[str, np.ndarray]:
    height = values.shape[1]
    flat = values[np.isfinite(values)]
    rows = [weighted_median(values[:, row].flatten()) for row in range(height)]
    pixels = [
        weighted_median(values[:, start : start + _ROWS_AT_ONCE].copy())
        for start in range(0, height, _ROWS_AT_ONCE)
    ]
    return _filled("median", weighted_median(flat), np.stack(rows), np.concatenate(pixels))


def _ratio(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _filled(
    statistic: str, constant: np.ndarray, rows: np.ndarray, pixels: np.ndarray
) -> dict[str, np.ndarray]:
    """The three maps of one statistic, each [h, w]; what is NaN falls back to the coarser one."""
    rows = np.where(np.isnan(rows), constant, rows)[:, None]
    pixels = np.where(np.isnan(pixels), rows, pixels)
    return {
        f"{kind} {statistic}": np.broadcast_to(value, pixels.shape).astype(np.float32)
        for kind, value in (("constant", constant), ("row", rows), ("pixel", pixels))
    }
