"""The released PyTorch and Caffe networks in NumPy and float64: what converted weights have to reproduce.

Weights go by the release's own names; maps are [1, H, W, C].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tests.releases.numpy_layers import conv_valid, elu, nearest_up2, sigmoid

Weights = Mapping[str, np.ndarray]
EPSILON = 1e-5


# -- layers ------------------------------------------------------------------------------------------------------------


def conv(x, kernel, bias=None, stride=1, pad=0, mode="constant"):
    """With a kernel [O, I, h, w]."""
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode=mode)
    found = conv_valid(x, kernel.transpose(2, 3, 1, 0), stride)
    return found if bias is None else found + bias


def batch_norm(x, mean, variance, gamma, beta):
    return (x - mean) / np.sqrt(variance + EPSILON) * gamma + beta


def max_pool(x, size, stride, pad=0):
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)), constant_values=-np.inf)
    return sliding_window_view(x, (size, size), axis=(1, 2))[:, ::stride, ::stride].max((-1, -2))


def relu(x):
    return np.maximum(x, 0)


def bilinear_up2(x):
    """Twice the size, pixel centres at halves, the border continued (align_corners=False)."""
    for axis in (1, 2):
        count = x.shape[axis]
        place = np.clip((np.arange(2 * count) + 0.5) / 2 - 0.5, 0, count - 1)
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, count - 1)
        share = (place - low).reshape([-1 if a == axis else 1 for a in range(4)])
        x = np.take(x, low, axis) * (1 - share) + np.take(x, high, axis) * share
    return x


def deconv(x, kernel, stride, pad):
    """A transposed convolution of a map with one channel and a kernel [1, 1, h, w]."""
    size = kernel.shape[2]
    rows, columns = ((n - 1) * stride + size for n in x.shape[1:3])
    found = np.zeros((1, rows, columns, 1))
    for a in range(size):
        for b in range(size):
            here = (slice(None), slice(a, a + rows - size + 1, stride))
            here += (slice(b, b + columns - size + 1, stride),)
            found[here] += x * kernel[0, 0, a, b]
    return found[:, pad : rows - pad, pad : columns - pad]


# -- PyTorch's networks ------------------------------------------------------------------------------------------------


def torch_conv(weights: Weights, x, name, stride=1, pad=0, mode="constant"):
    return conv(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"), stride, pad, mode)


def torch_norm(weights: Weights, x, name):
    ends = ("running_mean", "running_var", "weight", "bias")
    return batch_norm(x, *(weights[f"{name}.{end}"] for end in ends))


def resnet(weights: Weights, x, scope, layers) -> list:
    """torchvision's ResNet without its classifier: the stem's map and those of the four stages."""
    x = relu(torch_norm(weights, torch_conv(weights, x, f"{scope}conv1", 2, 3), f"{scope}bn1"))
    features = [x]
    x = max_pool(x, 3, 2, 1)
    for stage, count in enumerate({18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}[layers], start=1):
        for index in range(count):
            name = f"{scope}layer{stage}.{index}."
            stride = 2 if stage > 1 and index == 0 else 1
            kinds = ((3, stride), (3, 1)) if layers == 18 else ((1, 1), (3, stride), (1, 1))
            y = x
            for number, (size, step) in enumerate(kinds, start=1):
                y = torch_conv(weights, y, f"{name}conv{number}", step, size // 2)
                y = torch_norm(weights, y, f"{name}bn{number}")
                y = relu(y) if number < len(kinds) else y
            if f"{name}downsample.0.weight" in weights:
                x = torch_conv(weights, x, f"{name}downsample.0", stride)
                x = torch_norm(weights, x, f"{name}downsample.1")
            x = relu(x + y)
        features.append(x)
    return features


def depth_decoder(
    weights: Weights,
    features,
    block: Callable[[int, int], str],
    head: Callable[[int], str],
    up=nearest_up2,
) -> list:
    """Sigmoids of the four scales, the finest first; `block` and `head` name convolutions of a level."""
    x, found = features[-1], {}
    for level in range(4, -1, -1):
        x = elu(torch_conv(weights, x, block(level, 0), 1, 1, "reflect"))
        x = up(x)
        if level:
            x = np.concatenate([x, features[level - 1]], axis=-1)
        x = elu(torch_conv(weights, x, block(level, 1), 1, 1, "reflect"))
        if level < 4:
            found[level] = sigmoid(torch_conv(weights, x, head(level), 1, 1, "reflect"))
    return [found[level] for level in range(4)]


def pose_decoder(weights: Weights, x, names) -> np.ndarray:
    """Six numbers of the last map; `names` of the four convolutions."""
    x = relu(torch_conv(weights, x, names[0]))
    x = relu(torch_conv(weights, x, names[1], 1, 1))
    x = relu(torch_conv(weights, x, names[2], 1, 1))
    return 0.01 * torch_conv(weights, x, names[3]).mean((1, 2))[0]


# -- Garg's Caffe network ----------------------------------------------------------------------------------------------


def garg(weights: Weights, x) -> np.ndarray:
    """h_flow of an image BGR minus mean."""

    def block(x, name, pad=0):
        x = conv(x, weights[f"conv_{name}/0"], weights[f"conv_{name}/1"], 1, pad)
        mean, variance, factor = (weights[f"bn_{name}/{i}"] for i in range(3))
        scale, shift = (weights[f"scale_{name}/{i}"] for i in range(2))
        return batch_norm(x, mean / factor, variance / factor, scale, shift)

    x = max_pool(relu(block(x, "0", 3)), 2, 2)
    x = relu(block(x, "1", 1))
    skips = [x]
    for stage, count in enumerate((3, 4, 6, 3)):
        x = max_pool(x, 2, 2)
        for index in range(count):
            name = f"stage{stage}_block{index}_"
            y = relu(block(x, f"{name}branch2a"))
            y = relu(block(y, f"{name}branch2b", 1))
            y = block(y, f"{name}branch2c")
            x = relu(y + (block(x, f"{name}proj_shortcut") if index == 0 else x))
        skips.append(x)
    x = conv(skips.pop(), weights["score_fr/0"], weights["score_fr/1"])
    for name in ("pool4", "pool3", "pool2", "pool1"):
        finer = f"pool{int(name[4:]) + 1}"
        x = deconv(x, weights[f"upscore_{finer}/0"], 2, 1) * weights[f"scale2x_{finer}/0"]
        skip = skips.pop() * weights[f"scale_{name}/0"]
        x = x + conv(skip, weights[f"score_{name}/0"], weights[f"score_{name}/1"])
    return deconv(x, weights["upscore_all/0"], 2, 1) * weights["scale2x_all/0"]
