"""The releases' layers in NumPy and float64, from their definitions: a second opinion on ours."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def pad(x, before, after, value=0.0):
    """Adds rows and columns on both sides of [B, H, W, C]."""
    sides = [(0, 0), (before[0], after[0]), (before[1], after[1]), (0, 0)]
    return np.pad(x, sides, constant_values=value)


def conv_valid(x, kernel, stride):
    """y[i, j, o] = sum of x[s i + a, s j + b, c] kernel[a, b, c, o]."""
    windows = sliding_window_view(x, kernel.shape[:2], axis=(1, 2))[:, ::stride, ::stride]
    return np.tensordot(windows, kernel, [(4, 5, 3), (0, 1, 2)])


def conv_around(x, kernel, stride):
    """floor((k - 1) / 2) zeros on every side, then VALID: monodepth's."""
    ring = [(kernel.shape[0] - 1) // 2] * 2
    return conv_valid(pad(x, ring, ring), kernel, stride)


def conv_same(x, kernel, stride):
    """TensorFlow's SAME: ceil(n / s) outputs, the odd zero at the end."""
    before, after = [], []
    for n in x.shape[1:3]:
        total = max((-(-n // stride) - 1) * stride + kernel.shape[0] - n, 0)
        before.append(total // 2)
        after.append(total - total // 2)
    return conv_valid(pad(x, before, after), kernel, stride)


def transposed_same(x, kernel):
    """Stride 2, SAME: every input adds its multiple of kernel[a, b, o, c] at 2 i + a, then 2 n are kept."""
    batch, height, width, _ = x.shape
    size = kernel.shape[0]
    full = np.zeros((batch, 2 * height + size - 2, 2 * width + size - 2, kernel.shape[2]))
    for a in range(size):
        for b in range(size):
            here = x @ kernel[a, b].T
            full[:, a : a + 2 * height : 2, b : b + 2 * width : 2] += here
    first = (size - 2) // 2
    return full[:, first : first + 2 * height, first : first + 2 * width]


def max_pool_around(x):
    """3x3 of stride 2 after a ring of zeros, which take part."""
    windows = sliding_window_view(pad(x, (1, 1), (1, 1)), (3, 3), axis=(1, 2))
    return windows[:, ::2, ::2].max((-2, -1))


def nearest_up2(x):
    """Every pixel four times."""
    return x.repeat(2, axis=1).repeat(2, axis=2)


def resize_nearest(x, height, width):
    """TensorFlow 1's: floor(i in / out)."""
    rows = np.arange(height) * x.shape[1] // height
    columns = np.arange(width) * x.shape[2] // width
    return x[:, rows][:, :, columns]


def bilinear_up2(x):
    """TensorFlow 1's `resize_bilinear` to twice the size: out(i) = in(i / 2)."""
    for axis in (1, 2):
        place = np.arange(2 * x.shape[axis]) / 2
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, x.shape[axis] - 1)
        share = (place - low).reshape([-1 if a == axis else 1 for a in range(4)])
        x = np.take(x, low, axis) * (1 - share) + np.take(x, high, axis) * share
    return x


def batch_norm(x, beta, epsilon=1e-3):
    """slim's with the batch's own statistics, without a scale."""
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    return (x - mean) / np.sqrt(variance + epsilon) + beta


def elu(x):
    """x, or exp(x) - 1 below 0."""
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def sigmoid(x):
    """1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-x))
