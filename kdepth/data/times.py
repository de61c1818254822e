"""Which moments of two clocks belong together."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def nearest(times: ArrayLike, among: ArrayLike) -> np.ndarray:
    """Returns for each of some times the place of the nearest of others; of two the earlier one.

    Args:
        times: [N] seconds.
        among: [M] seconds, ascending, at least one.

    Returns:
        [N] int64 places in `among`.
    """
    wanted, known = np.asarray(times), np.asarray(among)
    after = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    before = np.maximum(after - 1, 0)
    return np.where(np.abs(wanted - known[before]) <= np.abs(known[after] - wanted), before, after)
