"""The papers' augmentations: TensorFlow functions on one sample, each with a seed.

They run inside `tf.data`, before batching. A sample is the dict that the pipeline makes: `image`
[H, W, 3] in [0, 1] and, as far as the paper asks for them, `stereo`, `sources` [S, H, W, 3],
`depth` [H, W, 1], `intrinsics` [3, 3], `T_sources_image` [S, 4, 4]. All that belongs together is
changed together. `seed` is an integer tensor [2]; every function draws from a stream of its own, so
one seed serves them all.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from kdepth.geometry import camera

Sample = dict[str, tf.Tensor]

_IMAGES = ("image", "stereo", "sources")
# Streams of the functions below; changing a number changes every augmented sample.
_FLIP, _COLOUR, _JITTER, _ZOOM, _ROTATE, _TRANSLATE = 1, 2, 3, 4, 5, 6
# Mirroring x -> -x on both sides of a 4x4 motion changes these signs.
_MIRRORED_MOTION = np.outer([-1, 1, 1, 1], [-1, 1, 1, 1]).astype(np.float32)


def flip_stereo(sample: Sample, seed: tf.Tensor, probability: float = 0.5) -> Sample:
    """Mirrors a rectified pair and swaps its views, so that the baseline stays positive.

    image = mirror(right), stereo = mirror(left); each camera's intrinsics are the mirrored ones of
    the other. Depth was measured for the left view only, so it is 0 (not measured) where the pair
    is flipped.

    Args:
        sample: with `stereo`, and `stereo_intrinsics` if it has `intrinsics`; without `sources`.
        seed: [2].
        probability: of a flip.
    """
    if "stereo" not in sample or "sources" in sample:
        raise ValueError(
            f"`flip_stereo` needs `stereo` and no `sources`, received {sorted(sample)}"
        )

    def flipped() -> Sample:
        result = dict(sample)
        result["image"] = tf.reverse(sample["stereo"], [1])
        result["stereo"] = tf.reverse(sample["image"], [1])
        if "intrinsics" in sample:
            width = sample["image"].shape[1]
            result["intrinsics"] = camera.flip_matrix(sample["stereo_intrinsics"], width)
            result["stereo_intrinsics"] = camera.flip_matrix(sample["intrinsics"], width)
        if "depth" in sample:
            result["depth"] = tf.zeros_like(sample["depth"])
        return result

    return _sometimes(probability, _draw(seed, _FLIP), flipped, sample)


def flip_sources(sample: Sample, seed: tf.Tensor, probability: float = 0.5) -> Sample:
    """Mirrors all frames of one camera, its intrinsics, depth and motion.

    Args:
        sample: without `stereo`; a single image with depth will do.
        seed: [2].
        probability: of a flip.
    """
    if "stereo" in sample:
        raise ValueError(
            "a sample with `stereo` is flipped by `flip_stereo`: its views must be swapped"
        )

    def flipped() -> Sample:
        result = dict(sample)
        for key in ("image", "sources", "depth"):
            if key in sample:
                result[key] = tf.reverse(sample[key], [sample[key].shape.rank - 2])
        if "intrinsics" in sample:
            result["intrinsics"] = camera.flip_matrix(
                sample["intrinsics"], sample["image"].shape[1]
            )
        if "T_sources_image" in sample:
            result["T_sources_image"] = sample["T_sources_image"] * _MIRRORED_MOTION
        return result

    return _sometimes(probability, _draw(seed, _FLIP), flipped, sample)


def colour_multiply(sample: Sample, seed: tf.Tensor, low: float, high: float) -> Sample:
    """Multiplies each colour channel by U[low, high], the same for all images; clips to [0, 1].

    Source: Eigen 2014 (0.8, 1.2); Garg 2016 (0.9, 1.1).
    """
    factors = _draw(seed, _COLOUR, [3], low, high)
    return _map_images(sample, lambda image: tf.clip_by_value(image * factors, 0.0, 1.0))


def colour_jitter(
    sample: Sample,
    seed: tf.Tensor,
    probability: float = 0.5,
    gamma: tuple[float, float] = (0.8, 1.2),
    brightness: tuple[float, float] = (0.5, 2.0),
    colour: tuple[float, float] = (0.8, 1.2),
) -> Sample:
    """Changes gamma, brightness and the colour channels, the same for all images; clips to [0, 1].

    Source: Godard 2017, section 4 (monodepth).
    """
    draws = _draw(seed, _JITTER, [6])
    exponent = gamma[0] + draws[1] * (gamma[1] - gamma[0])
    factor = brightness[0] + draws[2] * (brightness[1] - brightness[0])
    factors = factor * (colour[0] + draws[3:6] * (colour[1] - colour[0]))

    def jitter(image: tf.Tensor) -> tf.Tensor:
        return tf.clip_by_value(tf.pow(image, exponent) * factors, 0.0, 1.0)

    return _sometimes(probability, draws[0], lambda: _map_images(sample, jitter), sample)


def scale_crop(
    sample: Sample,
    seed: tf.Tensor,
    low: float,
    high: float,
    common: bool = False,
    divide_depth: bool = False,
    method: str = "bilinear",
) -> Sample:
    """Zooms in and crops back to the same size at a random place.

    Intrinsics follow; depth is taken nearest.

    Args:
        sample: any.
        seed: [2].
        low: smallest zoom, at least 1.
        high: largest zoom.
        common: one zoom for both axes; otherwise x and y are drawn independently.
        divide_depth: divide depth by the zoom, as if the camera had moved closer (Eigen 2014);
            needs `common`. The intrinsics then stay those of the camera that moved closer: only the
            crop changes them.
        method: of `tf.image.resize`.

    Source: Eigen 2014 (1, 1.2 or 1.5, common); Garg 2016 (1, 1.6); Zhou 2017 and Bian 2021 (1,
    1.15).
    """
    if not 1.0 <= low <= high:
        raise ValueError(f"the zoom must satisfy 1 <= low <= high, received {low}, {high}")
    if divide_depth and not common:
        raise ValueError("`divide_depth` needs `common`: depth has one zoom")
    height, width = sample["image"].shape[:2]
    zoom_y, zoom_x, at_y, at_x = tf.unstack(_draw(seed, _ZOOM, [4]))
    zoom_y = low + zoom_y * (high - low)
    zoom_x = zoom_y if common else low + zoom_x * (high - low)
    new_height = tf.cast(tf.round(height * zoom_y), tf.int32)
    new_width = tf.cast(tf.round(width * zoom_x), tf.int32)
    y = tf.cast(at_y * tf.cast(new_height - height + 1, tf.float32), tf.int32)
    x = tf.cast(at_x * tf.cast(new_width - width + 1, tf.float32), tf.int32)

    def zoomed(image: tf.Tensor, how: str) -> tf.Tensor:
        resized = tf.image.resize(image, [new_height, new_width], how)
        cropped = resized[..., y : y + height, x : x + width, :]
        return tf.ensure_shape(cropped, image.shape)

    result = _map_images(sample, lambda image: zoomed(image, method))
    if "depth" in sample:
        depth = zoomed(sample["depth"], "nearest")
        result["depth"] = depth / zoom_y if divide_depth else depth
    # The size is a whole number of pixels, so the zoom that really happened is their ratio.
    scale_x = tf.cast(new_width, tf.float32) / width
    scale_y = tf.cast(new_height, tf.float32) / height
    for key in ("intrinsics", "stereo_intrinsics"):
        if key in sample:
            resized = camera.resize_matrix(sample[key], scale_x, scale_y)
            if divide_depth:
                resized = _with_focal_of(resized, sample[key])
            result[key] = camera.crop_matrix(
                resized, tf.cast(x, tf.float32), tf.cast(y, tf.float32)
            )
    return result


def rotate(sample: Sample, seed: tf.Tensor, degrees: float) -> Sample:
    """Turns image and depth about the image's centre by U[-degrees, degrees], as a camera that rolls.

    The image is interpolated and continued by its border; depth is taken nearest, and what comes in
    from outside is 0 (not measured).

    Args:
        sample: `image` and, if wanted, `depth`; nothing that depends on how the camera is held.
        seed: [2].
        degrees: largest angle.

    Source: Eigen 2014, section 3.4 (5 degrees, NYU).
    """
    held = sorted({"stereo", "sources", "intrinsics"} & set(sample))
    if held:
        raise ValueError(f"`rotate` is for an image and its depth; received also {held}")
    height, width = sample["image"].shape[:2]
    angle = _draw(seed, _ROTATE, (), -degrees, degrees) * (np.pi / 180.0)
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    x, y = tf.meshgrid(tf.range(width, dtype=tf.float32), tf.range(height, dtype=tf.float32))
    x, y = x - middle_x, y - middle_y
    from_x = tf.cos(angle) * x + tf.sin(angle) * y + middle_x
    from_y = tf.cos(angle) * y - tf.sin(angle) * x + middle_y
    result = dict(sample)
    result["image"] = _bilinear(sample["image"], from_x, from_y)
    if "depth" in sample:
        nearest_x, nearest_y = tf.floor(from_x + 0.5), tf.floor(from_y + 0.5)
        inside_x = (nearest_x >= 0) & (nearest_x < width)
        inside = (inside_x & (nearest_y >= 0) & (nearest_y < height))[..., None]
        depth = _at(sample["depth"], nearest_x, nearest_y)
        result["depth"] = tf.where(inside, depth, tf.zeros_like(depth))
    return result


def translate(sample: Sample, seed: tf.Tensor, height: int, width: int) -> Sample:
    """Moves a random window of `height` x `width` into the middle of the picture.

    A network that crops the middle then sees a random crop, while sizes stay what they are.
    Intrinsics follow; what comes in from outside the picture, beyond the window, is 0.

    Args:
        sample: any.
        seed: [2].
        height: rows of the window, at most the picture's.
        width: columns of the window.
    """
    full_height, full_width = sample["image"].shape[:2]
    rows, columns = full_height - height, full_width - width
    if rows < 0 or columns < 0:
        raise ValueError(
            f"the window, {height}x{width}, must fit into the picture, {full_height}x{full_width}"
        )
    at_y, at_x = tf.unstack(_draw(seed, _TRANSLATE, [2]))
    # How far the picture moves up and left; by nothing the middle itself is the window.
    y = tf.cast(at_y * (rows + 1), tf.int32) - rows // 2
    x = tf.cast(at_x * (columns + 1), tf.int32) - columns // 2

    def moved(image: tf.Tensor) -> tf.Tensor:
        around = [[0, 0]] * (image.shape.rank - 3) + [[rows, rows], [columns, columns], [0, 0]]
        first_y, first_x = rows + y, columns + x
        shifted = tf.pad(image, around)[
            ..., first_y : first_y + full_height, first_x : first_x + full_width, :
        ]
        return tf.ensure_shape(shifted, image.shape)

    result = _map_images(sample, moved)
    if "depth" in sample:
        result["depth"] = moved(sample["depth"])
    for key in ("intrinsics", "stereo_intrinsics"):
        if key in sample:
            result[key] = camera.crop_matrix(
                sample[key], tf.cast(x, tf.float32), tf.cast(y, tf.float32)
            )
    return result


def _bilinear(image: tf.Tensor, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Samples an image [H, W, C] at [h, w] pixel coordinates; its border goes on outside."""
    height, width = image.shape[:2]
    x, y = tf.clip_by_value(x, 0.0, width - 1.0), tf.clip_by_value(y, 0.0, height - 1.0)
    left, top = tf.floor(x), tf.floor(y)
    share_x, share_y = (x - left)[..., None], (y - top)[..., None]
    above = _at(image, left, top) * (1 - share_x) + _at(image, left + 1, top) * share_x
    below = _at(image, left, top + 1) * (1 - share_x) + _at(image, left + 1, top + 1) * share_x
    return above * (1 - share_y) + below * share_y


def _at(image: tf.Tensor, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Pixels of [H, W, C] at whole coordinates [h, w], the nearest ones for those outside."""
    height, width, channels = image.shape
    column = tf.clip_by_value(tf.cast(x, tf.int32), 0, width - 1)
    row = tf.clip_by_value(tf.cast(y, tf.int32), 0, height - 1)
    return tf.gather(tf.reshape(image, [height * width, channels]), row * width + column)


def _with_focal_of(matrix: tf.Tensor, original: tf.Tensor) -> tf.Tensor:
    """Returns `matrix` with the focal lengths of `original`."""
    focal = np.diag([1.0, 1.0, 0.0]).astype(np.float32)
    return matrix * (1 - focal) + original * focal


def _draw(
    seed: tf.Tensor,
    stream: int,
    shape: tuple[int, ...] | list[int] = (),
    low: float = 0.0,
    high: float = 1.0,
) -> tf.Tensor:
    own = tf.random.experimental.stateless_fold_in(seed, stream)
    return tf.random.stateless_uniform(shape, own, low, high)


def _sometimes(
    probability: float, draw: tf.Tensor, changed: Callable[[], Sample], sample: Sample
) -> Sample:
    return tf.cond(draw < probability, changed, lambda: dict(sample))


def _map_images(sample: Sample, function: Callable[[tf.Tensor], tf.Tensor]) -> Sample:
    return {key: function(value) if key in _IMAGES else value for key, value in sample.items()}
