"""ResNet-18 and ResNet-50 as encoders: five maps, from half the image's size to a 32nd of it.

torchvision's layout: the stride of a bottleneck sits in its 3x3 convolution, no convolution has a
bias, strided layers pad zeros alike on all sides, batch norm has epsilon 1e-5 and momentum 0.9
(torch's 0.1). `stride_in_first` moves the stride to the bottleneck's first 1x1, where the original
ResNet and `keras.applications` have it.

Source: He 2016, Deep Residual Learning for Image Recognition, table 1.
"""

from __future__ import annotations

from typing import Any

import keras

from kdepth import backend
from kdepth.networks.layers import every_second

BLOCKS: dict[int, tuple[int, int, int, int]] = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}
STEM_CHANNELS = 64
STAGE_CHANNELS = (64, 128, 256, 512)  # inner ones; a bottleneck of ResNet-50 ends with 4 times them
BN_EPSILON = 1e-5
BN_MOMENTUM = 0.9


def scaled_channels(channels: int, width: float) -> int:
    """The channels of a layer under a channel multiplier; never fewer than 4."""
    return max(4, round(channels * width))


def resnet_features(
    image: Any,
    layers: int = 18,
    width: float = 1.0,
    stride_in_first: bool = False,
    prefix: str = "encoder_",
) -> list[Any]:
    """A ResNet without its classifier, on an image or several that are stacked on channels.

    Args:
        image: Keras tensor [B, H, W, C] with any C; H and W multiples of 32.
        layers: 18 or 50.
        width: channel multiplier.
        stride_in_first: ResNet-50 with the stride in the first 1x1 of a bottleneck, which is what
            the weights of `keras.applications` need.
        prefix: of the layers' names: `encoder_conv1`, `encoder_layer2_0_bn1`, ...

    Returns:
        The maps after the stem, before its pool, [B, H/2, W/2, 64], and after the four stages, [B,
        H/4, W/4, 64 or 256] to [B, H/32, W/32, 512 or 2048].

    Raises:
        ValueError: for another number of `layers`.
    """
    if layers not in BLOCKS:
        raise ValueError(f"`layers` must be 18 or 50; received {layers}")

    def conv_bn(
        x: Any, channels: int, kernel: int, stride: int, conv: str, bn: str, relu: bool = True
    ) -> Any:
        if stride > 1 and kernel == 1:
            x, stride = every_second(x, f"{prefix}{conv}_stride"), 1
        if stride > 1:  # "same" would pad one side only
            x = keras.layers.ZeroPadding2D(kernel // 2, name=f"{prefix}{conv}_pad")(x)
        # torchvision's: He's normal distribution, by the outputs.
        he = keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")
        x = keras.layers.Conv2D(
            scaled_channels(channels, width),
            kernel,
            stride,
            "valid" if stride > 1 else "same",
            use_bias=False,
            kernel_initializer=he,
            name=f"{prefix}{conv}",
        )(x)
        x = keras.layers.BatchNormalization(
            momentum=BN_MOMENTUM,
            epsilon=BN_EPSILON,
            name=f"{prefix}{bn}",
            **backend.synchronized(),
        )(x)
        return keras.layers.ReLU(name=f"{prefix}{bn}_relu")(x) if relu else x

    def basic(x: Any, channels: int, stride: int, name: str) -> Any:
        x = conv_bn(x, channels, 3, stride, f"{name}_conv1", f"{name}_bn1")
        return conv_bn(x, channels, 3, 1, f"{name}_conv2", f"{name}_bn2", relu=False)

    def bottleneck(x: Any, channels: int, stride: int, name: str) -> Any:
        first, second = (stride, 1) if stride_in_first else (1, stride)
        x = conv_bn(x, channels, 1, first, f"{name}_conv1", f"{name}_bn1")
        x = conv_bn(x, channels, 3, second, f"{name}_conv2", f"{name}_bn2")
        return conv_bn(x, 4 * channels, 1, 1, f"{name}_conv3", f"{name}_bn3", relu=False)

    block, expansion = (basic, 1) if layers == 18 else (bottleneck, 4)
    x = conv_bn(image, STEM_CHANNELS, 7, 2, "conv1", "bn1")
    features = [x]
    # Zeros do no harm to a maximum over values that are not negative.
    x = keras.layers.ZeroPadding2D(1, name=f"{prefix}pool_pad")(x)
    x = keras.layers.MaxPool2D(3, 2, name=f"{prefix}pool")(x)
    for stage, (count, channels) in enumerate(zip(BLOCKS[layers], STAGE_CHANNELS), start=1):
        for index in range(count):
            name = f"layer{stage}_{index}"
            stride = 2 if stage > 1 and index == 0 else 1
            shortcut, outer = x, expansion * channels
            if index == 0 and (stride > 1 or expansion > 1):
                shortcut = conv_bn(
                    x,
                    outer,
                    1,
                    stride,
                    f"{name}_downsample_conv",
                    f"{name}_downsample_bn",
                    relu=False,
                )
            x = block(x, channels, stride, name)
            x = keras.layers.Add(name=f"{prefix}{name}_add")([x, shortcut])
            x = keras.layers.ReLU(name=f"{prefix}{name}_relu")(x)
        features.append(x)
    return features


def torchvision_names(layers: int) -> dict[str, str]:
    """{our layer, without its prefix: torchvision's name of it} of all layers that have weights.

    Torchvision's convolutions have a `weight`, its batch norms a `weight`, `bias`, `running_mean` and
    `running_var`; ours are told apart by "bn" in their names.
    """
    convolutions = 2 if layers == 18 else 3
    names = {"conv1": "conv1", "bn1": "bn1"}
    for stage, count in enumerate(BLOCKS[layers], start=1):
        for index in range(count):
            ours, theirs = f"layer{stage}_{index}", f"layer{stage}.{index}"
            for number in range(1, convolutions + 1):
                for kind in ("conv", "bn"):
                    names[f"{ours}_{kind}{number}"] = f"{theirs}.{kind}{number}"
            if index == 0 and (stage > 1 or layers == 50):
                names[f"{ours}_downsample_conv"] = f"{theirs}.downsample.0"
                names[f"{ours}_downsample_bn"] = f"{theirs}.downsample.1"
    return names
