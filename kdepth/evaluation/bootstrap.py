"""How far a mean over images can be trusted: bootstrap over the images.

Images are drawn with replacement, as many as there are, again and again; the interval holds the
middle share of the means. Neighbouring frames of a drive resemble each other, which the draw does
not know, so intervals over video frames are too narrow rather than too wide.

Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13 (percentile
intervals).
"""

from __future__ import annotations

import numpy as np

SAMPLES = 1000
CONFIDENCE = 0.95
_AT_ONCE = 4_000_000  # counts held in memory: draws * images


def means(values: np.ndarray, samples: int = SAMPLES, seed: int = 0) -> np.ndarray:
    """Means of resampled images.

    Args:
        values: [N, ...] each image's figures; all figures of an image are drawn together, so that
            differences between columns keep their pairs.
        samples: how often to draw.
        seed: equal seeds draw equal images.

    Returns:
        [samples, ...] float64.
    """
    values = np.asarray(values, np.float64)
    count = len(values)
    flat = values.reshape(count, -1)
    rng = np.random.default_rng(seed)
    found = []
    step = max(1, _AT_ONCE // count)
    for start in range(0, samples, step):
        draws = min(step, samples - start)
        # How often each image is drawn, which is all that a mean sees of a draw.
        counts = rng.multinomial(count, np.full(count, 1.0 / count), size=draws)
        found.append(counts @ flat / count)
    return np.concatenate(found).reshape(samples, *values.shape[1:])


def interval(
    values: np.ndarray,
    samples: int = SAMPLES,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> tuple[np.ndarray, np.ndarray]:
    """Confidence interval of the mean over images.

    Args:
        values: [N, ...] each image's figures.
        samples: how often to draw.
        seed: of the draws.
        confidence: share of the draws inside, between 0 and 1.

    Returns:
        Lower and upper ends, each [...].
    """
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(means(values, samples, seed), [tail, 100.0 - tail], axis=0)
    return low, high
