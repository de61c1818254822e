"""The scale-invariant error between logarithms of depth, over what was measured.

Three published forms of the error are here; they are equal, and a test says so. Training uses the
one that costs no more than two sums, `scale_invariant`, with a factor before its second part.
"""

from __future__ import annotations

from typing import Any

from kdepth.backend import ops
from kdepth.losses.numerics import Term, as_floats, safe_log


def measured(depth: Any, drop_extremes: bool = False) -> Any:
    """Where depth was measured.

    Args:
        depth: [B, H, W, 1] metres; not measured where it is 0, negative or not finite.
        drop_extremes: also drop each image's nearest and farthest measured value, at all pixels that
            have it: there a sensor that saturates says nothing.

    Returns:
        [B, H, W, 1] of bool.

    Source: Eigen 2014, section 4.1 (NYU) for `drop_extremes`.
    """
    (depth,) = as_floats(depth)
    valid = ops.logical_and(ops.isfinite(depth), depth > 0.0)
    if not drop_extremes:
        return valid
    axes = (1, 2, 3)
    nothing = ops.zeros_like(depth)
    farthest = ops.max(ops.where(valid, depth, nothing), axis=axes, keepdims=True)
    nearest = ops.min(ops.where(valid, depth, nothing + farthest), axis=axes, keepdims=True)
    return ops.logical_and(valid, ops.logical_and(depth > nearest, depth < farthest))


def log_difference(log_depth: Any, depth: Any, mask: Any) -> Any:
    """The difference d = log y - log y* inside a mask; 0 with zero gradient outside, whatever stands there.

    Args:
        log_depth: [B, H, W, 1] predicted, natural logarithm of metres.
        depth: [B, H, W, 1] metres, positive where `mask` is set.
        mask: [B, H, W, 1] of bool.
    """
    log_depth, depth = as_floats(log_depth, depth)
    return ops.where(mask, log_depth, ops.zeros_like(log_depth)) - safe_log(depth, mask)


def scale_invariant(difference: Any, mask: Any, balance: float = 0.5) -> Term:
    """The training loss, n sum d^2 - balance (sum d)^2 over n^2, which is what eq. 4 says.

    Reduced as "mean_of_ratios" it is the mean of the images' losses; as "ratio_of_sums" it is the
    released code's rule, which weighs an image by the square of its number of pixels.

    Args:
        difference: [B, H, W, 1] from `log_difference`.
        mask: [B, H, W, 1] of bool.
        balance: the paper's lambda. 0: the plain squared error of logarithms; 1: blind to a common
            factor of the prediction.

    Source: Eigen 2014, eq. 4; with balance 1, eq. 3.
    """
    squares, total, count = _sums(difference, mask)
    return Term(count * squares - balance * ops.square(total), ops.square(count))


def aligned_error(difference: Any, mask: Any) -> Term:
    """Errors sum (d + alpha)^2 over n with alpha = -mean d: the error at the best common factor.

    Args:
        difference: [B, H, W, 1] from `log_difference`.
        mask: [B, H, W, 1] of bool.

    Source: Eigen 2014, eq. 1.
    """
    (difference,) = as_floats(difference)
    _, total, count = _sums(difference, mask)
    alpha = -total / ops.maximum(count, ops.ones_like(count))
    aligned = difference + ops.reshape(alpha, (-1, 1, 1, 1))
    return Term(_sums(aligned, mask)[0], count)


def pairwise_error(difference: Any, mask: Any) -> Term:
    """Errors sum_ij (d_i - d_j)^2 over 2 n^2: how wrong the ratios between pixels' depths are.

    Memory grows with the square of the number of pixels: a reference for small maps.

    Args:
        difference: [B, H, W, 1] from `log_difference`.
        mask: [B, H, W, 1] of bool.

    Source: Eigen 2014, eq. 2.
    """
    (difference,) = as_floats(difference)
    count = _sums(difference, mask)[2]
    pixels = int(difference.shape[1]) * int(difference.shape[2])
    flat = ops.reshape(difference, (-1, pixels))
    inside = ops.reshape(ops.cast(mask, difference.dtype), (-1, pixels))
    pairs = ops.square(flat[:, :, None] - flat[:, None, :]) * inside[:, :, None] * inside[:, None]
    return Term(ops.sum(pairs, axis=(1, 2)), 2.0 * ops.square(count))


def _sums(difference: Any, mask: Any) -> tuple[Any, Any, Any]:
    """Sums over the mask of d^2, of d, and of 1: [B] each."""
    (difference,) = as_floats(difference)
    inside = ops.where(mask, difference, ops.zeros_like(difference))
    count = ops.sum(ops.cast(mask, difference.dtype), axis=(1, 2, 3))
    return ops.sum(ops.square(inside), axis=(1, 2, 3)), ops.sum(inside, axis=(1, 2, 3)), count
