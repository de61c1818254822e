"""Held-out photometric error: does the predicted disparity explain the other view?

It needs a stereo pair and no ground truth, so it is what can be measured where nobody measured
depth. It is no depth
metric: textureless surfaces cost nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PhotometricError:
    """Mean absolute differences over the same pixels, in units of the images' range.

    Attributes:
        warped: of the left view and the right view warped by the disparity.
        unwarped: of the left view and the right view as it is.
        in_view: share of the pixels whose match lies inside the right view; the other pixels are
            left out of both means.
    """

    warped: float
    unwarped: float
    in_view: float


def photometric_error(
    left: np.ndarray, right: np.ndarray, disparity: np.ndarray
) -> PhotometricError:
    """Compares a left view with the right view, warped and unwarped.

    Args:
        left: [H, W, 3] float, any range.
        right: [H, W, 3] float, the right view of the rectified pair.
        disparity: [H, W] positive fraction of the width, for the left view.

    Returns:
        Both means; NaN where no pixel's match is in view.
    """
    width = left.shape[1]
    x = np.arange(width) - np.asarray(disparity, np.float64) * width  # the match's column, [H, W]
    in_view = (x >= 0) & (x <= width - 1)
    x0 = np.clip(np.floor(x).astype(np.int64), 0, max(width - 2, 0))
    weight = (x - x0)[..., None]
    rows = np.arange(left.shape[0])[:, None]
    right = np.asarray(right, np.float64)
    matched = right[rows, x0] * (1 - weight) + right[rows, np.minimum(x0 + 1, width - 1)] * weight
    if not in_view.any():
        return PhotometricError(warped=np.nan, unwarped=np.nan, in_view=0.0)
    return PhotometricError(
        warped=float(np.mean(np.abs(left - matched)[in_view])),
        unwarped=float(np.mean(np.abs(left - right)[in_view])),
        in_view=float(np.mean(in_view)),
    )
