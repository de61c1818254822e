"""Random weights under the releases' own names and shapes, as their code makes them; no framework needed."""

from __future__ import annotations

import numpy as np

from tests.golden.weights import torch


def thin(channels: int, width: float) -> int:
    """Channels of a network that was made narrower for a test."""
    return max(4, round(channels * width))


def resnet_shapes(layers: int, images: int = 1, width: float = 1.0) -> dict[str, tuple[int, ...]]:
    """torchvision's ResNet with its classifier, every tensor of its state dict."""
    shapes: dict[str, tuple[int, ...]] = {}

    def conv_bn(conv, bn, inputs, outputs, size):
        shapes[f"{conv}.weight"] = (outputs, inputs, size, size)
        for end in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{bn}.{end}"] = (outputs,)
        shapes[f"{bn}.num_batches_tracked"] = ()

    channels, expansion = thin(64, width), 1 if layers == 18 else 4
    conv_bn("conv1", "bn1", 3 * images, channels, 7)
    for stage, count in enumerate({18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}[layers], start=1):
        inner, outer = thin(32 * 2**stage, width), thin(32 * 2**stage * expansion, width)
        for index in range(count):
            name = f"layer{stage}.{index}."
            sizes = [(channels, inner, 3), (inner, inner, 3)]
            if layers == 50:
                sizes = [(channels, inner, 1), (inner, inner, 3), (inner, outer, 1)]
            for number, size in enumerate(sizes, start=1):
                conv_bn(f"{name}conv{number}", f"{name}bn{number}", *size)
            if index == 0 and (stage > 1 or layers == 50):
                conv_bn(f"{name}downsample.0", f"{name}downsample.1", channels, outer, 1)
            channels = outer
    shapes["fc.weight"], shapes["fc.bias"] = (1000, channels), (1000,)
    return shapes


def decoder_shapes(layers: int, block, head, width: float = 1.0) -> dict[str, tuple[int, ...]]:
    """The depth decoder; `block(level, n)` and `head(level)` name its convolutions."""
    features = (64, 64, 128, 256, 512) if layers == 18 else (64, 256, 512, 1024, 2048)
    features = [thin(count, width) for count in features]
    channels = [thin(count, width) for count in (16, 32, 64, 128, 256)]
    shapes, inputs = {}, features[-1]
    for level in range(4, -1, -1):
        skip = features[level - 1] if level else 0
        for number, count in ((0, inputs), (1, channels[level] + skip)):
            shapes[f"{block(level, number)}.weight"] = (channels[level], count, 3, 3)
            shapes[f"{block(level, number)}.bias"] = (channels[level],)
        inputs = channels[level]
    for level in range(4):
        shapes[f"{head(level)}.weight"] = (1, channels[level], 3, 3)
        shapes[f"{head(level)}.bias"] = (1,)
    return shapes


def pose_shapes(names, width: float = 1.0) -> dict[str, tuple[int, ...]]:
    """The pose decoder; names of its four convolutions."""
    count = thin(256, width)
    sizes = ((count, thin(512, width), 1, 1), *[(count, count, 3, 3)] * 2, (6, count, 1, 1))
    shapes = {}
    for name, size in zip(names, sizes):
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = size, size[:1]
    return shapes


def scoped(scope: str, shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return {f"{scope}{name}": shape for name, shape in shapes.items()}


def zeros(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """A state dict whose values do not matter."""
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}


def draw(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, np.ndarray]:
    """A state dict: arrays by name, counters of steps as integers."""
    return {
        name: np.int64(200_000) if name.endswith("tracked") else torch(name, tuple(shape), seed)
        for name, shape in shapes.items()
    }


def garg_layers(seed: int, width: float = 1.0) -> list[tuple[str, str, list[np.ndarray]]]:
    """Layers of Garg's training network in their order: (name, type, blobs); Caffe's own orders of magnitude."""
    rng = np.random.default_rng(seed)
    found: list[tuple[str, str, list[np.ndarray]]] = [("imL", "ImageData", [])]

    def block(name, inputs, outputs, size):
        kernel = rng.normal(size=(outputs, inputs, size, size)) * (1.5 / (inputs * size**2)) ** 0.5
        # The first convolution sees 0 .. 255.
        kernel /= 60.0 if name == "0" else 1.0
        factor = 999.982  # what Caffe's sums come to with its 0.999
        mean, variance = rng.normal(size=outputs) * 0.1, rng.uniform(0.5, 1.5, outputs)
        found.append((f"conv_{name}", "Convolution", [kernel, rng.normal(size=outputs) * 0.05]))
        sums = [mean * factor, variance * factor, np.array([factor])]
        found.append((f"bn_{name}", "BatchNorm", sums))
        scale = [rng.uniform(0.6, 0.9, outputs), rng.normal(size=outputs) * 0.05]
        found.append((f"scale_{name}", "Scale", scale))
        found.append((f"relu_{name}", "ReLU", []))

    block("0", 3, thin(64, width), 7)
    block("1", thin(64, width), thin(128, width), 3)
    inputs = thin(128, width)
    for stage, count in enumerate((3, 4, 6, 3)):
        inner, outer = thin(32 * 2**stage, width), thin(128 * 2**stage, width)
        for index in range(count):
            name = f"stage{stage}_block{index}_"
            if index == 0:
                block(f"{name}proj_shortcut", inputs, outer, 1)
            block(f"{name}branch2a", inputs, inner, 1)
            block(f"{name}branch2b", inner, inner, 3)
            block(f"{name}branch2c", inner, outer, 1)
            inputs = outer
    taps = np.array([0.25, 0.75, 0.75, 0.25])

    def score(name, channels, bias=0.0):
        kernel = rng.normal(size=(1, channels, 1, 1)) * channels**-0.5
        found.append((name, "Convolution", [kernel, np.array([bias])]))

    def up(name):
        found.append((f"upscore_{name}", "Deconvolution", [np.outer(taps, taps)[None, None]]))
        found.append((f"scale2x_{name}", "Scale", [np.array([2.0])]))

    score("score_fr", thin(1024, width))
    for level, channels in ((4, 512), (3, 256), (2, 128), (1, 128)):
        channels = thin(channels, width)
        up(f"pool{level + 1}")
        # Larger than the release's 0.01 .. 1e-6, so that every skip shows in the output.
        found.append((f"scale_pool{level}", "Scale", [rng.uniform(0.1, 0.3, channels)]))
        score(f"score_pool{level}", channels, 0.25 * level)
        found.append((f"fuse_pool{level}", "Eltwise", []))
    up("all")
    found += [(name, "Scale", [np.array([0.004])]) for name in ("normimL", "normimR")]
    found += [(name, "Scale", [np.array([0.0])]) for name in ("v_flow", "zeros")]
    found.append(("backwarp", "Warping", []))
    found += [
        (f"{name}_ImL1_RGB", "Convolution", [np.zeros((3, 1, 3, 3))]) for name in ("gx", "gy")
    ]
    found += [(name, "Convolution", [np.full((1, 3, 1, 1), -0.33)]) for name in ("gx", "gy")]
    found += [(f"{n}_hflow", "Convolution", [np.zeros((1, 1, 3, 3))]) for n in ("gx", "gy")]
    return found
