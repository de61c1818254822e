"""Sums, logarithms and divisions that stay finite, gradients too, where nothing was measured.

A term of a loss is handed on as one numerator and one denominator per example (`Term`), so that one
place can reduce it by a paper's own rule, alike for one replica and for several.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from kdepth.backend import ops


class Term(NamedTuple):
    """A term of a loss before it is reduced.

    Attributes:
        numerator: [B] sums over an example's pixels.
        denominator: [B] what to divide them by, >= 0; 0 where an example has no valid pixel.
    """

    numerator: Any
    denominator: Any


def as_floats(*tensors: Any) -> list[Any]:
    """Tensors of one float dtype, whatever the precision policy: float32, or float64 if any is."""
    tensors = [ops.convert_to_tensor(tensor) for tensor in tensors]
    double = any("float64" in str(tensor.dtype) for tensor in tensors)
    return [ops.cast(tensor, "float64" if double else "float32") for tensor in tensors]


def safe_log(x: Any, mask: Any = None) -> Any:
    """The natural logarithm inside a mask; 0 with zero gradient outside.

    Args:
        x: any shape; must be positive where `mask` is set.
        mask: shape of `x`, set where it is > 0; `x > 0` when None.
    """
    (x,) = as_floats(x)
    inside = x > 0.0 if mask is None else _is_set(mask)
    return ops.log(ops.where(inside, x, ops.ones_like(x)))


def safe_divide(numerator: Any, denominator: Any, mask: Any = None) -> Any:
    """A quotient inside a mask; 0 with zero gradient outside.

    Args:
        numerator: any shape.
        denominator: broadcasts against it; must not be 0 where `mask` is set.
        mask: broadcasts likewise, set where it is > 0; `denominator != 0` when None.
    """
    numerator, denominator = as_floats(numerator, denominator)
    inside = denominator != 0.0 if mask is None else _is_set(mask)
    return ops.where(inside, numerator, ops.zeros_like(numerator)) / ops.where(
        inside, denominator, ops.ones_like(denominator)
    )


def masked_sums(x: Any, mask: Any) -> Term:
    """Sums a map under a mask.

    Args:
        x: [B, ...]. Where `mask` is 0 it may hold anything, NaN included, and gets zero gradient.
        mask: broadcasts to `x`; weights >= 0, usually 0 and 1.

    Returns:
        A `Term`: the sums of x * mask, and of the mask over all elements of `x`.
    """
    x, mask = as_floats(x, mask)
    mask = mask + ops.zeros_like(x)
    inside = ops.where(mask > 0.0, x, ops.zeros_like(x))
    return Term(_sum_per_example(inside * mask), _sum_per_example(mask))


def mean_term(x: Any) -> Term:
    """A map [B, ...] whose mean is wanted: the sums and numbers of its elements per example."""
    (x,) = as_floats(x)
    return Term(_sum_per_example(x), _sum_per_example(ops.ones_like(x)))


def sum_term(x: Any) -> Term:
    """A map [B, ...] whose sum per example is wanted: its sums over 1."""
    (x,) = as_floats(x)
    sums = _sum_per_example(x)
    return Term(sums, ops.ones_like(sums))


def _sum_per_example(x: Any) -> Any:
    return ops.sum(x, axis=tuple(range(1, len(x.shape))))


def _is_set(mask: Any) -> Any:
    mask = ops.convert_to_tensor(mask)
    return mask if "bool" in str(mask.dtype) else mask > 0
