"""Layers that the papers need and Keras does not have.

Each works on every backend, in float32 and half precision, and exports to TFLite and ONNX with
builtin operators.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from kdepth import backend
from kdepth.backend import ops

# One axis of the bilinear x2 filter, as Caffe's and FCN's "bilinear filler" gives it for a 4x4
# kernel.
BILINEAR_TAPS = (0.25, 0.75, 0.75, 0.25)


class StepDropout(keras.layers.Layer):
    """Inverted dropout whose mask is a pure function of (seed, step, place in the global batch).

    Keras's own dropout draws from a stream that a checkpoint does not restore; this one makes a
    resumed run equal an undisturbed one, and N replicas equal one.
    """

    def __init__(self, rate: float, seed: int, step: Callable[[], Any], **kwargs: Any) -> None:
        """Makes the layer.

        Args:
            rate: share of activations that are dropped.
            seed: of the model; mixed with the layer's name, so layers differ.
            step: gives the saved step counter (a function, so that Keras does not take the counter
                for this layer's weight).
            **kwargs: of `keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self.rate = rate
        self.seed = seed + zlib.crc32(self.name.encode()) % 2**20
        self.step_counter = step

    def call(self, x: Any, training: bool = False) -> Any:  # noqa: D102
        if not training or self.rate == 0.0:
            return x
        drawn = backend.stateless_uniform(ops.shape(x), self.seed, self.step_counter())
        return x * ops.cast(drawn >= self.rate, x.dtype) * (1.0 / (1.0 - self.rate))


class LocalResponseNormalization(keras.layers.Layer):
    """Normalisation across channels: y = x (bias + alpha * sum over 2 * radius + 1 channels of x^2)^-beta.

    Source: Krizhevsky 2012, section 3.3. Caffe divides alpha by the window's size; give it divided.
    """

    def __init__(
        self,
        radius: int = 2,
        bias: float = 1.0,
        alpha: float = 2e-5,
        beta: float = 0.75,
        **kwargs: Any,
    ) -> None:
        """Makes the layer; the defaults are AlexNet's in Caffe (window 5, alpha 1e-4 / 5, k = 1)."""
        super().__init__(**kwargs)
        self.radius, self.bias, self.alpha, self.beta = radius, bias, alpha, beta

    def call(self, x: Any) -> Any:  # noqa: D102
        channels = np.arange(x.shape[-1])
        # The window sum as a product with a banded matrix: one builtin operator everywhere.
        band = (abs(channels[:, None] - channels[None]) <= self.radius).astype("float32")
        wide = ops.cast(x, "float32")
        # A product, because TFLite has an 8-bit kernel for it and none for `square`.
        sums = ops.matmul(wide * wide, ops.convert_to_tensor(band * self.alpha))
        return ops.cast(wide * ops.exp(-self.beta * ops.log(self.bias + sums)), x.dtype)


class NearestUp2(keras.layers.Layer):
    """Doubles rows and columns by repetition: [B, H, W, C] -> [B, 2 H, 2 W, C].

    As `UpSampling2D`, whose nearest form has no gradient under XLA on TensorFlow 2.15.
    """

    def call(self, x: Any) -> Any:  # noqa: D102
        batch, height, width, channels = ops.shape(x)
        x = ops.concatenate([x, x], axis=-1)  # a pixel and its right neighbour
        x = ops.reshape(x, (batch, height, 2 * width, channels))
        x = ops.reshape(x, (batch, height, 1, 2 * width * channels))
        x = ops.concatenate([x, x], axis=2)  # a row and the one below
        return ops.reshape(x, (batch, 2 * height, 2 * width, channels))


class ReflectPad(keras.layers.Layer):
    """Mirrors the map at its border, the border itself not repeated: [B, H, W, C] -> [B, H + 2, W + 2, C].

    By slices: XNNPACK has no kernel for TFLite's MIRROR_PAD, and with TFLite's own one a padded
    convolution took three times as long.
    """

    def call(self, x: Any) -> Any:  # noqa: D102
        x = ops.concatenate([x[:, 1:2], x, x[:, -2:-1]], axis=1)
        return ops.concatenate([x[:, :, 1:2], x, x[:, :, -2:-1]], axis=2)


class EdgePad(keras.layers.Layer):
    """Repeats the outermost rows and columns once: [B, H, W, C] -> [B, H + 2, W + 2, C]."""

    def call(self, x: Any) -> Any:  # noqa: D102
        x = ops.concatenate([x[:, :1], x, x[:, -1:]], axis=1)
        return ops.concatenate([x[:, :, :1], x, x[:, :, -1:]], axis=2)


class BilinearUp2(keras.layers.Layer):
    """Fixed bilinear x2 up-sampling with zeros outside: Caffe's `Deconvolution`, 4x4, stride 2, pad 1, frozen.

    The outermost row and column come out at 0.75 of their value, as in Garg's release.
    """

    def call(self, x: Any) -> Any:  # noqa: D102
        return _double(_double(x, axis=1), axis=2)


def _double(x: Any, axis: int) -> Any:
    zeros = ops.zeros_like(x[:, :1] if axis == 1 else x[:, :, :1])
    body = x[:, :-1] if axis == 1 else x[:, :, :-1]
    tail = x[:, 1:] if axis == 1 else x[:, :, 1:]
    before = ops.concatenate([zeros, body], axis=axis)
    after = ops.concatenate([tail, zeros], axis=axis)
    near, far = BILINEAR_TAPS[1], BILINEAR_TAPS[0]
    pair = ops.stack([near * x + far * before, near * x + far * after], axis=axis + 1)
    shape = list(ops.shape(x))
    shape[axis] = shape[axis] * 2
    return ops.reshape(pair, shape)


class ChannelScale(keras.layers.Layer):
    """One learnable factor per channel, no bias (Caffe's `Scale` layer)."""

    def __init__(self, initial: float, **kwargs: Any) -> None:
        """Makes the layer; `initial` is every factor's first value."""
        super().__init__(**kwargs)
        self.initial = initial

    def build(self, shape: Any) -> None:  # noqa: D102
        self.factor = self.add_weight(
            name="factor", shape=(shape[-1],), initializer=keras.initializers.Constant(self.initial)
        )

    def call(self, x: Any) -> Any:  # noqa: D102
        return x * ops.cast(self.factor, x.dtype)


def bilinear_kernel(shape: tuple[int, ...], dtype: Any = None) -> Any:
    """Initializer of a [4, 4, 1, 1] transposed convolution that up-samples bilinearly by 2."""
    taps = np.asarray(BILINEAR_TAPS, "float32")
    return ops.cast(np.outer(taps, taps).reshape(shape), dtype or "float32")


def ceil_max_pool(x: Any, name: str) -> Any:
    """3x3 max pool of stride 2 with Caffe's rounding-up: ceil((n - 3) / 2) + 1 outputs; for maps that are not negative.

    Where the last window looks over the edge, the map is padded with zeros, which a maximum over
    values >= 0 ignores.
    """
    beyond = [1 - int(n) % 2 for n in x.shape[1:3]]
    if any(beyond):
        x = keras.layers.ZeroPadding2D(((0, beyond[0]), (0, beyond[1])), name=f"{name}_pad")(x)
    return keras.layers.MaxPool2D(3, 2, name=name)(x)


def every_second(x: Any, name: str) -> Any:
    """Every second row and column from the first on: all that a 1x1 convolution of stride 2 sees.

    Such a convolution is written as this and one of stride 1: where maps have few channels, the
    gradient by its weights writes beyond its memory in oneDNN's kernel (TensorFlow 2.15 and 2.21).
    """
    return keras.layers.MaxPool2D(1, 2, name=name)(x)


def learned_up2(x: Any, height: int, width: int, name: str) -> Any:
    """Up-sampling of a one-channel map of disparities in pixels, to a size of 2n or 2n + 1.

    A 4x4 transposed convolution that starts as bilinear interpolation and learns; values are
    doubled, because a pixel of the finer map is half as wide. The map is continued at its border,
    so that the border is not pulled to zero.
    """
    x = EdgePad(name=f"{name}_edge")(x)
    x = keras.layers.Conv2DTranspose(
        1, 4, strides=2, use_bias=False, kernel_initializer=bilinear_kernel, name=name
    )(x)
    # One padded cell is two fine pixels, and the kernel reaches one pixel further.
    bottom, right = int(x.shape[1]) - 3 - height, int(x.shape[2]) - 3 - width
    x = keras.layers.Cropping2D(((3, bottom), (3, right)), name=f"{name}_crop")(x)
    return keras.layers.Rescaling(2.0, name=f"{name}_px")(x)
