"""How predictions are brought to the truth's scale before they are compared.

| `--scaling` | one factor (and shift) for | fitted so that |
|---|---|---|
| none | - | the prediction is metres already |
| median | each image | the medians agree (SfMLearner and all video papers since) |
| median_sequence | each sequence | the factor is the median of its images' median factors |
| scale_shift | each image | sum of (s p + t - g)^2 is least, in depth |
| scale_shift_inverse | each image | the same in inverse depth (affine-invariant networks, MiDaS) |

Everything is fitted on the pixels that are scored and applied before the prediction is clipped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

SCALINGS = {
    "none": "no scaling",
    "median": "per-image median scaling",
    "median_sequence": "per-sequence median scaling (the median of the images' factors)",
    "scale_shift": "per-image least squares scale and shift of depth",
    "scale_shift_inverse": "per-image least squares scale and shift of inverse depth",
}


@dataclass(frozen=True)
class Alignment:
    """What is done to a prediction: depth' = scale * depth + shift, or that of the inverses.

    Attributes:
        scale: factor.
        shift: metres, or 1 / metres where `inverse`.
        inverse: it acts on 1 / depth. What comes out not positive there is infinitely far.
    """

    scale: float = 1.0
    shift: float = 0.0
    inverse: bool = False

    def apply(self, depth: np.ndarray) -> np.ndarray:
        """The aligned depth, of any shape, not yet clipped."""
        if not self.inverse:
            return depth if (self.scale, self.shift) == (1.0, 0.0) else self._line(depth)
        with np.errstate(divide="ignore"):
            return 1.0 / np.maximum(self._line(1.0 / depth), 0.0)

    def _line(self, values: np.ndarray) -> np.ndarray:
        if not self.scale:  # 0 times infinity is no number
            return np.full_like(values, self.shift)
        return self.scale * values + self.shift if self.shift else self.scale * values


def fit(scaling: str, prediction: np.ndarray, truth: np.ndarray) -> Alignment:
    """The alignment of one image.

    Args:
        scaling: a key of `SCALINGS`; for "median_sequence" the image's own factor is given, and
            `of_sequence` makes the sequence's of them.
        prediction: [N] predicted depth of the scored pixels, float64, any unit.
        truth: [N] true depth of the same pixels, metres, float64.

    Returns:
        How the prediction becomes metres. Where nothing can be fitted (a prediction whose median
        is zero or infinite, or that is the same everywhere) it is left as it is, or for a shift
        the factor is 0 and the shift the truth's mean.
    """
    if scaling == "none":
        return Alignment()
    if scaling in ("median", "median_sequence"):
        return Alignment(median_ratio(prediction, truth))
    inverse = scaling == "scale_shift_inverse"
    with np.errstate(divide="ignore"):
        p, g = (1.0 / prediction, 1.0 / truth) if inverse else (prediction, truth)
    finite = np.isfinite(p)
    if not finite.any():
        return Alignment()
    p, g = p[finite], g[finite]
    centred = p - p.mean()
    spread = float(centred @ centred)
    # Float32 noise about a constant must not be blown up to a slope.
    flat = spread <= len(p) * (1e-6 * float(np.abs(p).max())) ** 2
    scale = 0.0 if flat else float(centred @ g) / spread
    return Alignment(scale, float(g.mean()) - scale * float(p.mean()), inverse)


def of_sequence(factors: Iterable[float]) -> Alignment:
    """One alignment for all images of a sequence, from the median factor of each."""
    return Alignment(float(np.median(list(factors))))


def median_ratio(prediction: np.ndarray, truth: np.ndarray) -> float:
    """median(truth) / median(prediction), 1 where the prediction's median is zero or infinite.

    Args:
        prediction: [N] predicted depth.
        truth: [N] true depth of the same pixels, metres.
    """
    middle = float(np.median(prediction))
    return float(np.median(truth)) / middle if 0 < middle < math.inf else 1.0


def sequence_of(name: str) -> str:
    """The sequence that a sample belongs to: its name without the last word or path part."""
    return name.replace("/", " ").rpartition(" ")[0]
