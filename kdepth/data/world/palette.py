"""The colours that streets are painted with, RGB in [0, 1]."""

from __future__ import annotations

import numpy as np

Colour = tuple[float, float, float]

PLASTER = (
    (0.78, 0.72, 0.60),
    (0.82, 0.80, 0.76),
    (0.70, 0.58, 0.46),
    (0.62, 0.66, 0.70),
    (0.80, 0.65, 0.50),
    (0.58, 0.42, 0.36),
)
BRICKS = ((0.55, 0.28, 0.22), (0.48, 0.33, 0.26), (0.62, 0.45, 0.34), (0.40, 0.36, 0.34))
ROOFS = ((0.42, 0.20, 0.16), (0.28, 0.27, 0.29), (0.36, 0.28, 0.22), (0.50, 0.28, 0.20))
LEAVES = (
    (0.16, 0.30, 0.10),
    (0.22, 0.34, 0.12),
    (0.13, 0.24, 0.10),
    (0.30, 0.34, 0.12),
    (0.34, 0.26, 0.10),
)
CARS = (
    (0.75, 0.76, 0.78),
    (0.16, 0.16, 0.18),
    (0.45, 0.47, 0.50),
    (0.55, 0.08, 0.08),
    (0.10, 0.18, 0.42),
    (0.85, 0.85, 0.83),
    (0.12, 0.30, 0.20),
    (0.62, 0.52, 0.30),
    (0.25, 0.40, 0.55),
)
SIGNS = ((0.75, 0.12, 0.1), (0.12, 0.25, 0.6), (0.85, 0.8, 0.2), (0.85, 0.85, 0.85))


def pick(rng: np.random.Generator, palette: tuple[Colour, ...]) -> Colour:
    """One of the colours."""
    return palette[int(rng.integers(len(palette)))]


def near(rng: np.random.Generator, colour: Colour, spread: float = 0.07) -> Colour:
    """A colour like this one.

    Args:
        rng: the street's.
        colour: RGB.
        spread: how far brightness (twice this) and hue (half this) may go.

    Returns:
        RGB.
    """
    shade = rng.uniform(1.0 - 2.0 * spread, 1.0 + 2.0 * spread)
    hue = rng.uniform(-0.5 * spread, 0.5 * spread, 3)
    red, green, blue = np.clip(np.multiply(colour, shade) + hue, 0.02, 0.95)
    return float(red), float(green), float(blue)
