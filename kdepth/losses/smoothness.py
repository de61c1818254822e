"""How rough a map of disparity or depth is: penalties per pixel, one map per direction."""

from __future__ import annotations

from typing import Any

from kdepth.backend import ops
from kdepth.losses.numerics import as_floats


def forward_difference_x(x: Any) -> Any:
    """x(column + 1) - x(column): [B, H, W, C] -> [B, H, W - 1, C]."""
    return x[:, :, 1:] - x[:, :, :-1]


def forward_difference_y(x: Any) -> Any:
    """x(row + 1) - x(row): [B, H, W, C] -> [B, H - 1, W, C]."""
    return x[:, 1:] - x[:, :-1]


def central_difference_x(x: Any) -> Any:
    """Half of x(column + 1) - x(column - 1): [B, H, W, C] -> [B, H, W - 2, C]."""
    return 0.5 * (x[:, :, 2:] - x[:, :, :-2])


def central_difference_y(x: Any) -> Any:
    """Half of x(row + 1) - x(row - 1): [B, H, W, C] -> [B, H - 2, W, C]."""
    return 0.5 * (x[:, 2:] - x[:, :-2])


def l2_gradient(values: Any) -> tuple[Any, Any]:
    """Squared forward differences.

    Args:
        values: [B, H, W, C].

    Returns:
        The maps of x, [B, H, W - 1, C], and of y, [B, H - 1, W, C].

    Source: Garg 2016, the smoothness term.
    """
    (values,) = as_floats(values)
    return ops.square(forward_difference_x(values)), ops.square(forward_difference_y(values))


def edge_aware(values: Any, image: Any, normalise: bool = False) -> tuple[Any, Any]:
    """Absolute forward differences, forgiven at edges of the image: |dv| exp(-mean_c |dI_c|).

    Args:
        values: [B, H, W, 1].
        image: [B, H, W, C], a constant: its edges get no gradient.
        normalise: divide each map by its mean first, which makes the penalty blind to scale
            (SC-Depth).

    Returns:
        The maps of x, [B, H, W - 1, 1], and of y, [B, H - 1, W, 1].

    Source: Godard 2017, eq. 3; SC-Depth's release for `normalise`.
    """
    values, image = as_floats(values, image)
    image = ops.stop_gradient(image)
    if normalise:
        values = values / (ops.mean(values, axis=(1, 2), keepdims=True) + 1e-7)
    return tuple(
        ops.abs(difference(values))
        * ops.exp(-ops.mean(ops.abs(difference(image)), axis=-1, keepdims=True))
        for difference in (forward_difference_x, forward_difference_y)
    )


def second_order(values: Any) -> tuple[Any, Any, Any, Any]:
    """Absolute second differences: planes cost nothing.

    Args:
        values: [B, H, W, C].

    Returns:
        The maps of xx, [B, H, W - 2, C]; xy and yx, [B, H - 1, W - 1, C], equal by value; yy, [B, H
        - 2, W, C].

    Source: Zhou 2017, section 3.1 (the smoothness of the released code).
    """
    (values,) = as_floats(values)
    along_x, along_y = forward_difference_x(values), forward_difference_y(values)
    return (
        ops.abs(forward_difference_x(along_x)),
        ops.abs(forward_difference_y(along_x)),
        ops.abs(forward_difference_x(along_y)),
        ops.abs(forward_difference_y(along_y)),
    )
