"""How two images differ, pixel by pixel."""

from __future__ import annotations

from typing import Any

import numpy as np

from kdepth.backend import ops
from kdepth.losses.numerics import as_floats

# Both as published, whatever the range of the images.
SSIM_C1: float = 0.01**2
SSIM_C2: float = 0.03**2


def image_pyramid(images: Any, levels: int) -> list[Any]:
    """Images at full, half, quarter, ... size, each averaged over areas of the full-size ones.

    Args:
        images: [B, H, W, C].
        levels: how many.

    Returns:
        [B, H // 2^s, W // 2^s, C] for s = 0 .. levels - 1; what does not fill a cell is left out.
    """
    (images,) = as_floats(images)
    return [
        ops.average_pool(images, 2**s, strides=2**s, padding="valid") if s else images
        for s in range(levels)
    ]


def l1(image: Any, other: Any) -> Any:
    """Absolute differences: |a - b|, the shape of the images."""
    image, other = as_floats(image, other)
    return ops.abs(image - other)


def l2(image: Any, other: Any) -> Any:
    """Squared differences: (a - b)^2, the shape of the images."""
    image, other = as_floats(image, other)
    return ops.square(image - other)


def ssim_distance(
    image: Any, other: Any, padding: str = "valid", size: int = 3, sigma: float | None = None
) -> Any:
    """Structural dissimilarity (1 - SSIM) / 2, clipped to [0, 1], over size x size windows.

    Args:
        image: [B, H, W, C].
        other: [B, H, W, C].
        padding: "valid" (Godard 2017) gives a map of the windows that fit; "reflect" (SC-Depth) and
            "zeros" (its NeurIPS code) pad the images, which keeps their size.
        size: of the windows, odd.
        sigma: of a Gaussian that weights the pixels of a window; None weights them alike.

    Returns:
        [B, H - size + 1, W - size + 1, C] or [B, H, W, C], float32 (the variances cancel too much
        for half precision).

    Raises:
        ValueError: for another `padding`.

    Source: Wang 2004, eq. 13; Godard 2017, eq. 2.
    """
    image, other = as_floats(image, other)
    if padding in ("reflect", "zeros"):
        border = [[0, 0], [size // 2] * 2, [size // 2] * 2, [0, 0]]
        mode = "reflect" if padding == "reflect" else "constant"
        image, other = (ops.pad(x, border, mode=mode) for x in (image, other))
    elif padding != "valid":
        raise ValueError(f"`padding` must be 'valid', 'reflect' or 'zeros'; received '{padding}'")
    # Stacked maps are averaged faster than single ones, and much faster than slices to derive. What
    # depends on `other` alone stays apart: it is often a constant, whose gradient costs nothing.
    squares = ops.square(image) + ops.square(other)
    mean_a, mean_squares, product = _window_means((image, squares, image * other), size, sigma)
    (mean_b,) = _window_means((other,), size, sigma)
    variances = mean_squares - (ops.square(mean_a) + ops.square(mean_b))
    covariance = product - mean_a * mean_b
    similarity = ((2.0 * mean_a * mean_b + SSIM_C1) * (2.0 * covariance + SSIM_C2)) / (
        (ops.square(mean_a) + ops.square(mean_b) + SSIM_C1) * (variances + SSIM_C2)
    )
    return ops.clip((1.0 - similarity) / 2.0, 0.0, 1.0)


def _window_means(maps: tuple[Any, ...], size: int, sigma: float | None) -> list[Any]:
    """Each map's weighted means over windows of size x size pixels."""
    stacked = ops.concatenate(maps, -1)
    if sigma is None:
        means = ops.average_pool(stacked, size, strides=1, padding="valid")
    else:
        weights = np.exp(-((np.arange(size) - size // 2) ** 2) / (2.0 * sigma**2))
        kernel = np.outer(weights, weights) / weights.sum() ** 2
        kernel = np.tile(kernel[..., None, None], (1, 1, int(stacked.shape[-1]), 1))
        means = ops.depthwise_conv(stacked, ops.cast(kernel, stacked.dtype))
    return ops.split(means, len(maps), axis=-1)
