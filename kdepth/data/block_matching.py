"""Block matching between two grey pictures, for looking at data; NumPy only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

_RADIUS = 5  # pixels; blocks are 11x11
_FLAT = 1e-3  # variance (grey in [0, 1]) below which a block has nothing to match


class Matches(NamedTuple):
    """Blocks of one picture found in another.

    Attributes:
        x: columns of the blocks' centres, [N] int64.
        y: rows, [N].
        dx: how far each has moved to the right, pixels, [N] float64.
        dy: downwards.
        score: normalised cross-correlation at the best place, [N], at most 1.
    """

    x: np.ndarray
    y: np.ndarray
    dx: np.ndarray
    dy: np.ndarray
    score: np.ndarray

    def where(self, mask: np.ndarray) -> Matches:
        """Returns some of the matches."""
        return Matches(*(field[mask] for field in self))


def match_blocks(
    first: np.ndarray, second: np.ndarray, reach_x: int, reach_y: int, count: int = 48
) -> Matches:
    """Finds the blocks with most texture of one picture in another.

    Args:
        first: [H, W] grey in [0, 1].
        second: [H, W].
        reach_x: largest movement to either side, pixels.
        reach_y: largest movement up or down, pixels.
        count: blocks, spread over the picture.

    Returns:
        The matches, to a fraction of a pixel; empty if there is no texture. What a block shows may
        not be in `second`: see `score`.
    """
    found = []
    for x, y in _textured(first, count):
        block = first[y - _RADIUS : y + _RADIUS + 1, x - _RADIUS : x + _RADIUS + 1]
        top, left = max(y - _RADIUS - reach_y, 0), max(x - _RADIUS - reach_x, 0)
        area = second[top : y + _RADIUS + reach_y + 1, left : x + _RADIUS + reach_x + 1]
        scores = _correlation(area, block)
        row, column = np.unravel_index(np.argmax(scores), scores.shape)
        dx = left + column + _RADIUS - x + _peak(scores[row], column)
        dy = top + row + _RADIUS - y + _peak(scores[:, column], row)
        found.append((x, y, dx, dy, scores[row, column]))
    x, y, dx, dy, score = np.array(found, np.float64).reshape(-1, 5).T
    return Matches(x.astype(np.int64), y.astype(np.int64), dx, dy, score)


def _textured(image: np.ndarray, count: int) -> list[tuple[int, int]]:
    """Centres (x, y) of the best corner in each cell of a grid, those with texture only."""
    height, width = image.shape
    across = max(1, round(np.sqrt(count * width / height)))
    down = max(1, round(count / across))
    gradient_y, gradient_x = np.gradient(image)
    parts = [gradient_x * gradient_x, gradient_y * gradient_y, gradient_x * gradient_y]
    xx, yy, xy = (_box_sum(part) for part in parts)  # about centres from _RADIUS on
    corner = (xx + yy) / 2 - np.sqrt(((xx - yy) / 2) ** 2 + xy**2)  # the smaller eigenvalue
    variance = _box_sum(image**2) / _AREA - (_box_sum(image) / _AREA) ** 2
    corner[variance < _FLAT] = 0
    places = []
    for rows in np.array_split(np.arange(corner.shape[0]), down):
        for columns in np.array_split(np.arange(corner.shape[1]), across):
            if not len(rows) or not len(columns):
                continue
            cell = corner[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            row, column = np.unravel_index(np.argmax(cell), cell.shape)
            if cell[row, column] > 0:
                places.append((columns[0] + column + _RADIUS, rows[0] + row + _RADIUS))
    return places


_AREA = (2 * _RADIUS + 1) ** 2


def _box_sum(image: np.ndarray) -> np.ndarray:
    """Sums over every block that lies within the picture."""
    total = np.pad(image, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    size = 2 * _RADIUS + 1
    return total[size:, size:] - total[:-size, size:] - total[size:, :-size] + total[:-size, :-size]


def _correlation(area: np.ndarray, block: np.ndarray) -> np.ndarray:
    """Normalised cross-correlation of a block with every block of an area."""
    block = block - block.mean()
    windows = sliding_window_view(area, block.shape)
    covariance = np.einsum("ijkl,kl->ij", windows, block)
    variance = np.maximum(_box_sum(area**2) - _box_sum(area) ** 2 / _AREA, _FLAT * _AREA / 4)
    return covariance / np.sqrt(variance * (block**2).sum())


def _peak(scores: np.ndarray, place: int) -> float:
    """Where between its neighbours a maximum really lies, by a parabola; -0.5 to 0.5."""
    if not 0 < place < len(scores) - 1:
        return 0.0
    before, at, after = scores[place - 1 : place + 2]
    bend = before - 2 * at + after
    return 0.0 if bend >= 0 else float(np.clip((before - after) / (2 * bend), -0.5, 0.5))
