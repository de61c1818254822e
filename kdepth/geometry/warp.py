"""Image warps: the resampler, its border modes, the disparity warp and the inverse warp.

`resampler` is the one place that samples images and the only caller of `tfa.image.resampler`;
everything else here builds coordinates for it. Conventions: pixel centres on integers, coordinates
(x, y), images [B, H, W, C]; see docs/conventions.md.

All of it is computed in float32 (float64 if the image or the depth is float64), whatever the
precision policy.
"""

from __future__ import annotations

import functools
import importlib.util
import warnings
from typing import Any, NamedTuple

from kdepth.backend import BACKEND, KERAS3, ops
from kdepth.errors import UserError
from kdepth.geometry.camera import Camera
from kdepth.losses.numerics import as_floats

if BACKEND == "tensorflow":
    import tensorflow as tf

BORDERS: tuple[str, ...] = ("zeros_fade", "zeros_hard", "edge")
RESAMPLERS: tuple[str, ...] = ("auto", "addons", "own")
Z_POLICIES: tuple[str, ...] = ("eps_1e-10", "eps_1e-7", "clamp_1e-3")

# -- which kernel samples

_chosen = "auto"


class use_resampler:  # lower case: it reads as a function
    """Chooses the kernel of `resampler`, from the call on or, in a `with` statement, until its end.

    A traced function keeps the kernel that was chosen when it was traced.

    Args:
        name: "addons" (`tfa.image.resampler`), "own", or "auto": addons where it can be imported
            (Keras 2.15), else own. XLA has no kernel for the addons op, so code that is compiled by
            XLA uses the own one whatever is chosen.

    Raises:
        UserError: for another name, and for "addons" where it cannot be imported.
    """

    def __init__(self, name: str) -> None:
        global _chosen
        if name not in RESAMPLERS:
            raise UserError(
                f"`resampler` must be one of {', '.join(RESAMPLERS)}; received '{name}'"
            )
        if name == "addons" and not _addons_is_there():
            raise UserError(
                "the resampler 'addons' needs tensorflow-addons, which runs on Keras 2.15 and"
                " Python 3.9 - 3.11 only: pip install kdepth[addons] there, or use 'auto'"
            )
        self._previous, _chosen = _chosen, name

    def __enter__(self) -> use_resampler:
        """Nothing to do: the choice is made by the call."""
        return self

    def __exit__(self, *exception: Any) -> None:
        """Restores the choice that was in force before."""
        global _chosen
        _chosen = self._previous


def resampler_in_use() -> str:
    """The kernel that `resampler` takes here and now: "addons" or "own"."""
    if _chosen == "own" or not _addons_is_there() or _inside_xla():
        return "own"
    return "addons"


@functools.cache
def _addons_is_there() -> bool:
    return not KERAS3 and importlib.util.find_spec("tensorflow_addons") is not None


def _inside_xla() -> bool:
    """Whether the code is being traced into a function that XLA compiles."""
    if BACKEND != "tensorflow" or tf.executing_eagerly():
        return False
    # There is no public way to ask; Keras 2.15 itself asks like this.
    from tensorflow.python.ops import control_flow_util

    return control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())


@functools.cache
def _on_cpu() -> bool:
    return not tf.config.list_logical_devices("GPU")


# -- the resampler


def resampler(image: Any, xy: Any, image_gradient: bool = True) -> Any:
    """Samples images bilinearly at pixel coordinates; the contract of `tfa.image.resampler`.

    A tap outside the image counts as zero: values fade linearly to zero between -1 and 0 and
    between W-1 and W, and are zero beyond. Coordinates that are NaN or infinite sample zero and get
    a zero gradient.

    Args:
        image: [B, H, W, C].
        xy: [B, ..., 2] columns and rows in pixels.
        image_gradient: False where the image is a constant of the loss; saves the gradient's
            scattered sum (half of the backward pass).

    Returns:
        [B, ..., C].

    Source: Jaderberg 2015, Spatial Transformer Networks, eq. 5.
    """
    image, xy = as_floats(image, xy)
    return _resample(image, (xy,), image_gradient)


def _resample(image: Any, where: tuple[Any, ...], image_gradient: bool) -> Any:
    """As `resampler`.

    Args:
        image: [B, H, W, C].
        where: coordinates as one stack [B, ..., 2], or columns and rows apart, [B, ..., 1] each.
            Whoever has them apart should not stack them: to slice a stack again costs as much as
            the sampling, and to derive the slices several times more.
        image_gradient: as in `resampler`.
    """
    if not image_gradient:
        image = ops.stop_gradient(image)
    if resampler_in_use() == "addons":
        return _addons_resampler(image, *where)
    if BACKEND == "tensorflow" and _on_cpu() and not _inside_xla():
        # XLA fuses the taps: several times faster than the plain graph on a CPU, where the networks
        # around it are faster without XLA.
        specs = tuple(tf.TensorSpec(x.shape, x.dtype) for x in (image, *where))
        return _compiled(specs, image_gradient)(image, *where)
    return _own_resampler(image, *where)


def _apart(where: tuple[Any, ...]) -> Any:
    """Columns and rows, [B, ..., 1] each, of the coordinates that `_resample` takes."""
    return where if len(where) == 2 else ops.split(where[0], 2, axis=-1)


def _addons_resampler(image: Any, *where: Any) -> Any:
    with warnings.catch_warnings():
        # Its end of life is known, and nothing that a user of kdepth can act on.
        warnings.filterwarnings("ignore", message=r"\s*TensorFlow Addons", category=UserWarning)
        import tensorflow_addons as tfa
    _, height, width, _ = ops.shape(image)
    x, y = _apart(where)
    # Its kernel casts any coordinate to an integer: only pass on those near the image.
    near = _near(x, y, height, width)
    xy = [ops.where(near, t, ops.full_like(t, -2.0)) for t in (x, y)]
    # Its plain function: the `tf.function` around it is traced for every new shape, and warns.
    sample = tfa.image.resampler.python_function
    return sample(image, ops.concatenate(xy, -1))


def _own_resampler(image: Any, *where: Any) -> Any:
    batch, height, width, channels = ops.shape(image)
    x, y = _apart(where)
    places = ops.shape(x)[:-1]
    x, y = ops.reshape(x, (batch, -1)), ops.reshape(y, (batch, -1))  # [B, P]
    near = _near(x, y, height, width)
    x, y = ops.where(near, x, ops.zeros_like(x)), ops.where(near, y, ops.zeros_like(y))
    left, top = ops.stop_gradient(ops.floor(x)), ops.stop_gradient(ops.floor(y))
    column, row = ops.cast(left, "int32"), ops.cast(top, "int32")
    right_weight, bottom_weight = x - left, y - top

    pixels = ops.reshape(image, (-1, channels))  # [B H W, C]
    first = ops.expand_dims(ops.arange(batch) * (height * width), 1)  # [B, 1] in `pixels`
    result = 0.0
    for down, weight_y in ((0, 1.0 - bottom_weight), (1, bottom_weight)):
        for right, weight_x in ((0, 1.0 - right_weight), (1, right_weight)):
            tap_x, tap_y = column + right, row + down
            counts = near & (tap_x >= 0) & (tap_x < width) & (tap_y >= 0) & (tap_y < height)
            index = first + ops.where(counts, tap_y * width + tap_x, ops.zeros_like(tap_x))
            weight = ops.where(counts, weight_y * weight_x, ops.zeros_like(x))
            result = result + ops.expand_dims(weight, -1) * ops.take(pixels, index, axis=0)
    return ops.reshape(result, (*places, channels))


def _near(x: Any, y: Any, height: Any, width: Any) -> Any:
    """Whether any tap of a coordinate lies inside the image; False for NaN."""
    width, height = ops.cast(width, x.dtype), ops.cast(height, x.dtype)
    return (x > -1.0) & (x < width) & (y > -1.0) & (y < height)


@functools.lru_cache(maxsize=128)
def _compiled(specs: tuple[Any, ...], image_gradient: bool) -> Any:
    """The own resampler as an XLA function of its own, one for all arguments of the same shapes.

    TensorFlow warns where one function is traced for many shapes.
    """

    def own_resampler(image: Any, *where: Any) -> Any:
        # The gradient of a nested function is traced for all of its inputs, needed outside or not.
        return _own_resampler(image if image_gradient else tf.stop_gradient(image), *where)

    function = tf.function(own_resampler, jit_compile=True, autograph=False)
    with tf.init_scope():
        return function.get_concrete_function(*specs)


# -- border modes


def warp(image: Any, xy: Any, border: str = "zeros_fade", image_gradient: bool = True) -> Any:
    """Samples images at pixel coordinates with a rule for the border.

    Args:
        image: [B, H, W, C].
        xy: [B, ..., 2] columns and rows in pixels.
        border: "zeros_fade": fades to zero over one pixel (`resampler`); "zeros_hard": zero unless
            all four taps lie inside, so that the last row and column are always zero (the current
            SfMLearner and Garg's release); "edge": the nearest pixel of the image, with zero
            gradient along the axis that was clamped.
        image_gradient: as in `resampler`.

    Returns:
        [B, ..., C].

    Raises:
        ValueError: for another `border`.
    """
    image, xy = as_floats(image, xy)
    return _warp(image, *ops.split(xy, 2, axis=-1), border, image_gradient)


def _warp(image: Any, x: Any, y: Any, border: str, image_gradient: bool) -> Any:
    """As `warp`, columns and rows apart, [B, ..., 1] each."""
    if border not in BORDERS:
        raise ValueError(f"`border` must be one of {', '.join(BORDERS)}; received '{border}'")
    if border == "zeros_fade":
        return _resample(image, (x, y), image_gradient)
    _, height, width, _ = ops.shape(image)
    last_x, last_y = ops.cast(width - 1, x.dtype), ops.cast(height - 1, y.dtype)
    if border == "zeros_hard":
        inside = (x >= 0.0) & (x < last_x) & (y >= 0.0) & (y < last_y)
        sampled = _resample(image, (x, y), image_gradient)
        return sampled * ops.cast(inside, sampled.dtype)
    return _resample(image, (_clamp(x, last_x), _clamp(y, last_y)), image_gradient)


def _clamp(x: Any, last: Any) -> Any:
    """Clamps to [0, last], without gradient where it clamps.

    Nor does `last` itself get one: its next tap lies outside.
    """
    clamped = ops.stop_gradient(ops.minimum(ops.maximum(x, ops.zeros_like(x)), last))
    return ops.where((x >= 0.0) & (x < last), x, clamped)


def valid_mask(xy: Any, height: Any, width: Any) -> Any:
    """Where coordinates lie inside an image, its outermost pixel centres included.

    Args:
        xy: [..., 2] columns and rows in pixels.
        height: of the image.
        width: of the image.

    Returns:
        [..., 1] ones and zeros in the dtype of `xy`, without gradient; NaN gives 0.
    """
    x, y = xy[..., 0:1], xy[..., 1:2]
    last_x, last_y = ops.cast(width - 1, xy.dtype), ops.cast(height - 1, xy.dtype)
    inside = (x >= 0.0) & (x <= last_x) & (y >= 0.0) & (y <= last_y)
    return ops.stop_gradient(ops.cast(inside, xy.dtype))


# -- where to sample


def pixel_grid(height: Any, width: Any, dtype: str = "float32") -> Any:
    """The pixel centres of an image: [H, W, 2] columns and rows."""
    columns, rows = ops.cast(ops.arange(width), dtype), ops.cast(ops.arange(height), dtype)
    return ops.stack(ops.meshgrid(columns, rows), -1)


def warp_disparity(
    image: Any, disparity: Any, border: str = "zeros_fade", image_gradient: bool = True
) -> Any:
    """Rebuilds one view of a rectified pair: result(x, y) = image(x - disparity(x, y), y).

    With positive disparities of the left view, `image` is the right view and the result the left
    one; the right view from the left one takes the negated disparities of the right view.

    Args:
        image: [B, H, W, C], the other view.
        disparity: [B, H, W, 1] pixels at this width.
        border: as in `warp`.
        image_gradient: as in `resampler`.

    Returns:
        [B, H, W, C].

    Source: Garg 2016, E_recons; Godard 2017, section 3.
    """
    image, disparity = as_floats(image, disparity)
    _, height, width, _ = ops.shape(disparity)
    grid = pixel_grid(height, width, disparity.dtype)
    x = grid[..., 0:1] - disparity  # [B, H, W, 1]
    y = grid[..., 1:2] + ops.zeros_like(disparity)
    return _warp(image, x, y, border, image_gradient)


class InverseWarp(NamedTuple):
    """What `inverse_warp` returns.

    Attributes:
        image: [B, H, W, C], the source as the target camera would have seen it.
        xy: [B, H, W, 2], where each target pixel lies in the source image, pixels.
        computed_depth: [B, H, W, 1], z of the target's points in the source camera's frame, metres.
        valid: [B, H, W, 1], 1 where the point is before the source camera and inside its image; no
            gradient.
    """

    image: Any
    xy: Any
    computed_depth: Any
    valid: Any


def inverse_warp(
    source: Any,
    depth: Any,
    T_source_target: Any,
    intrinsics_target: Any,
    intrinsics_source: Any = None,
    border: str = "zeros_fade",
    z_policy: str = "eps_1e-7",
    image_gradient: bool = True,
) -> InverseWarp:
    """Rebuilds a target view from a source view, the target's depth and the motion between them.

    Args:
        source: [B, H', W', C].
        depth: [B, H, W, 1] z of the target's pixels, metres.
        T_source_target: [B, 4, 4], takes points of the target camera's frame to the source
            camera's.
        intrinsics_target: [B, 3, 3] for the depth's size.
        intrinsics_source: [B, 3, 3] for the source's size; the target's when None.
        border: as in `warp`.
        z_policy: how z of the moved points is kept from dividing by zero: "eps_1e-10" (Zhou 2017),
            "eps_1e-7" (SC-Depth's Lightning code) add that number; "clamp_1e-3" (SC-SfMLearner)
            clamps z from below, the computed depth with it.
        image_gradient: as in `resampler`.

    Returns:
        An `InverseWarp`.

    Raises:
        ValueError: for another `border` or `z_policy`.

    Source: Zhou 2017, eq. 2; Bian 2019 for the computed depth.
    """
    source, depth, motion, intrinsics_target = as_floats(
        source, depth, T_source_target, intrinsics_target
    )
    if intrinsics_source is None:
        intrinsics_source = intrinsics_target
    intrinsics_source = ops.cast(ops.convert_to_tensor(intrinsics_source), depth.dtype)
    _, height, width, _ = ops.shape(depth)
    _, source_height, source_width, _ = ops.shape(source)
    # A camera's entries and the motion's, [B, 1, 1, 1] each, broadcast against [B, H, W, 1] maps.
    target_camera = Camera.from_matrix(intrinsics_target[:, None, None, None], width, height)
    source_camera = Camera.from_matrix(
        intrinsics_source[:, None, None, None], source_width, source_height
    )
    motion = motion[:, None, None, None]

    grid = pixel_grid(height, width, depth.dtype)
    point = target_camera.backproject(grid[..., 0:1], grid[..., 1:2], depth)
    x, y, z = (
        sum(motion[..., row, column] * point[column] for column in range(3)) + motion[..., row, 3]
        for row in range(3)
    )  # [B, H, W, 1] each
    before = ops.stop_gradient(ops.cast(z > 0.0, z.dtype))
    if z_policy == "clamp_1e-3":
        divisor = z = ops.maximum(z, ops.cast(1e-3, z.dtype))
    elif z_policy in Z_POLICIES:
        eps = float(z_policy[len("eps_") :])
        divisor = z + eps
        # z = -eps would make the coordinates infinite, and their zero gradient times infinity NaN.
        divisor = ops.where(ops.abs(divisor) < 0.5 * eps, ops.full_like(divisor, eps), divisor)
    else:
        raise ValueError(
            f"`z_policy` must be one of {', '.join(Z_POLICIES)}; received '{z_policy}'"
        )
    x, y = source_camera.project(x, y, divisor)
    xy = ops.concatenate([x, y], -1)
    return InverseWarp(
        image=_warp(source, x, y, border, image_gradient),
        xy=xy,
        computed_depth=z,
        valid=before * valid_mask(xy, source_height, source_width),
    )
