"""How two images differ, pixel by pixel."""

from __future__ import annotations

from typing import Any

from kdepth.backend import ops
from kdepth.losses.numerics import as_floats

# Both as published, whatever the range of the images.
SSIM_C1: float = 0.01**2
SSIM_C2: float = 0.03**2


def l1(image: Any, other: Any) -> Any:
    """Absolute differences: |a - b|, the shape of the images."""
    image, other = as_floats(image, other)
    return ops.abs(image - other)


def l2(image: Any, other: Any) -> Any:
    """Squared differences: (a - b)^2, the shape of the images."""
    image, other = as_floats(image, other)
    return ops.square(image - other)


def ssim_distance(image: Any, other: Any, padding: str = "valid") -> Any:
    """Structural dissimilarity (1 - SSIM) / 2, clipped to [0, 1], over plain 3 x 3 windows.

    Args:
        image: [B, H, W, C].
        other: [B, H, W, C].
        padding: "valid" (Godard 2017) gives a map of the windows that fit; "reflect" (SC-Depth)
            pads one pixel, which keeps the size.

    Returns:
        [B, H - 2, W - 2, C] or [B, H, W, C], float32 (the variances cancel too much for half
        precision).

    Raises:
        ValueError: for another `padding`.

    Source: Wang 2004, eq. 13; Godard 2017, eq. 2.
    """
    image, other = as_floats(image, other)
    if padding == "reflect":
        image, other = (
            ops.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="reflect") for x in (image, other)
        )
    elif padding != "valid":
        raise ValueError(f"`padding` must be 'valid' or 'reflect'; received '{padding}'")
    # One pool over all five maps is faster than five pools, and much faster than slices to derive.
    maps = (image, other, ops.square(image), ops.square(other), image * other)
    means = ops.average_pool(ops.concatenate(maps, -1), 3, strides=1, padding="valid")
    mean_a, mean_b, square_a, square_b, product = ops.split(means, len(maps), axis=-1)
    variance_a = square_a - ops.square(mean_a)
    variance_b = square_b - ops.square(mean_b)
    covariance = product - mean_a * mean_b
    similarity = ((2.0 * mean_a * mean_b + SSIM_C1) * (2.0 * covariance + SSIM_C2)) / (
        (ops.square(mean_a) + ops.square(mean_b) + SSIM_C1) * (variance_a + variance_b + SSIM_C2)
    )
    return ops.clip((1.0 - similarity) / 2.0, 0.0, 1.0)
