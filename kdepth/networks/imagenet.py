"""ImageNet weights for the ResNet encoders: torchvision's own files, or those of `keras.applications`.

Torchvision's ResNet-18 and ResNet-50 are ours, so their weights go in as they are. That is what the
papers' released code does, though it normalises images otherwise than torchvision.

Keras's ResNet-50 is not torchvision's: the stride sits in a bottleneck's first 1x1 (so the encoder
must be built with `stride_in_first`), convolutions have biases, and images enter as BGR of 0 .. 255
minus the mean. Biases and the difference between the two ways to normalise an image fold into the
batch norm that follows, BGR and the scale into the first kernel. The result is exact, but for the
pixels whose first 7x7 window reaches over the image's border: Keras pads with its mean colour, an
encoder with the image normalised otherwise pads with another one.

Nothing is downloaded unless "download" is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from kdepth.errors import UserError, first_line
from kdepth.networks import torch_file
from kdepth.networks.resnet import BLOCKS, BN_EPSILON, torchvision_names

DOWNLOAD = "download"
FILE = "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
URL = f"https://storage.googleapis.com/tensorflow/keras-applications/resnet/{FILE}"
BGR_MEAN = (103.939, 116.779, 123.68)  # of 0 .. 255, what `keras.applications` subtracts
KERAS_BN_EPSILON = 1.001e-5
KERAS_LAYOUT = "keras_layout"  # Keras's network, without reading weights
TORCHVISION = {18: "resnet18-f37072fd.pth", 50: "resnet50-0676ba61.pth"}
BATCH_NORM_ENDS = ("weight", "bias", "running_mean", "running_var")  # in Keras's order
TORCHVISION_URL = "https://download.pytorch.org/models"


def is_keras(source: str) -> bool:
    """Whether a value of the option `imagenet` means Keras's network, whose stride sits elsewhere."""
    return source in (DOWNLOAD, KERAS_LAYOUT) or Path(source).suffix == ".h5"


def read_torchvision(source: str, layers: int) -> dict[str, list[np.ndarray]]:
    """A ResNet of torchvision, with the weights that its file holds.

    Args:
        source: the path of a `.pth` file, `resnet18-f37072fd.pth` or another of the same network.
        layers: 18 or 50.

    Returns:
        {our layer, without its prefix: its weights in Keras's order and layout}. The classifier is
        left out.

    Raises:
        UserError: if the file cannot be read, or is not that network's.
    """
    if not Path(source).is_file():
        raise UserError(
            f"{source} is no file: imagenet is the path of torchvision's {TORCHVISION[layers]}"
            f" ({TORCHVISION_URL}), or of Keras's .h5 file, or 'download' for Keras's"
        )
    arrays = torch_file.read(source)
    hint = f"it should be torchvision's ResNet-{layers}, {TORCHVISION_URL}/{TORCHVISION[layers]}"
    weights = {}
    for ours, theirs in torchvision_names(layers).items():
        ends = BATCH_NORM_ENDS if "bn" in ours else ("weight",)
        missing = [end for end in ends if f"{theirs}.{end}" not in arrays]
        if missing:
            raise UserError(f"{source} lacks tensor '{theirs}.{missing[0]}': {hint}")
        found = [arrays.pop(f"{theirs}.{end}").astype(np.float32) for end in ends]
        axes = 1 if "bn" in ours else 4
        if any(array.ndim != axes or not np.isfinite(array).all() for array in found):
            raise UserError(f"{source}: '{theirs}' has another shape or no finite values: {hint}")
        weights[ours] = found if "bn" in ours else [found[0].transpose(2, 3, 1, 0)]
    unknown = [
        n for n in arrays if not n.startswith("fc.") and not n.endswith("num_batches_tracked")
    ]
    if unknown:
        raise UserError(f"{source} has an unknown tensor {ascii(unknown[0])[:160]}: {hint}")
    return weights


def load_torchvision(
    part: keras.Model, weights: dict[str, list[np.ndarray]], source: str, prefix: str = "encoder_"
) -> None:
    """Gives torchvision's weights to the encoder that `resnet_features` put into a network.

    An encoder of several images gets the first kernel for each of them, divided by their number, so
    that it says of equal images what the original says of one.

    Args:
        part: the network; its encoder is of width 1.
        weights: what `read_torchvision` returns.
        source: the file, for messages.
        prefix: of the encoder's layers.

    Raises:
        UserError: if a shape differs.
    """
    for name, arrays in weights.items():
        layer = part.get_layer(f"{prefix}{name}")
        if name == "conv1":
            images = int(layer.get_weights()[0].shape[2]) // 3
            arrays = [np.concatenate(arrays * images, axis=2) / images]
        shapes, wanted = ([tuple(a.shape) for a in of] for of in (arrays, layer.get_weights()))
        if shapes != wanted:
            raise UserError(f"{source}: '{name}' has the shapes {shapes}, which should be {wanted}")
        layer.set_weights(arrays)


def read_resnet50(source: str) -> keras.Model:
    """`keras.applications`' ResNet-50 without its classifier, with ImageNet weights.

    Args:
        source: "download", or the path of a "notop" .h5 file.

    Raises:
        UserError: if the weights cannot be downloaded or read.
    """
    if source == DOWNLOAD:
        try:
            return keras.applications.ResNet50(include_top=False, weights="imagenet")
        except Exception as error:  # Keras raises a bare `Exception` where it has no network
            raise UserError(
                f"ImageNet weights could not be downloaded ({first_line(error)}): fetch {URL} elsewhere"
                " and give its path, --option=imagenet=PATH"
            ) from None
    if not Path(source).is_file():
        raise UserError(
            f"{source} is no file: imagenet is 'download' or the path of Keras's {FILE} ({URL})"
        )
    try:
        return keras.applications.ResNet50(include_top=False, weights=source)
    except Exception as error:  # h5py's and Keras's own, of many kinds
        raise UserError(
            f"{source} cannot be read as Keras's ResNet-50 without top ({first_line(error)}): it should be"
            f" {FILE} ({URL})"
        ) from None


def load_resnet50(
    part: keras.Model,
    source: str | keras.Model,
    image_mean: float | Sequence[float],
    image_std: float | Sequence[float],
    prefix: str = "encoder_",
) -> None:
    """Gives ImageNet weights to the encoder that `resnet_features` put into a network.

    Args:
        part: the network; its encoder is ResNet-50 with `stride_in_first`, 3 input channels and
            width 1.
        source: as in `read_resnet50`, or what it returns.
        image_mean: what is subtracted from RGB in [0, 1] before the network: one number, or one for
            each channel.
        image_std: what is divided by afterwards.
        prefix: of the encoder's layers.

    Raises:
        UserError: as `read_resnet50`.
    """
    original = read_resnet50(source) if isinstance(source, (str, Path)) else source
    for name, other in _layer_pairs():
        kernel, bias = original.get_layer(f"{other}_conv").get_weights()
        shift = bias
        if other == "conv1":
            # Theirs is 255 (std x + mean) - BGR_MEAN, of our x.
            std, mean = (np.broadcast_to(np.float64(v), 3) for v in (image_std, image_mean))
            kernel = kernel[:, :, ::-1].astype(np.float64)  # rows of RGB
            constant = 255.0 * mean - np.float64(BGR_MEAN)[::-1]
            shift = bias + np.einsum("yxio,i->o", kernel, constant)
            kernel = kernel * (255.0 * std)[:, None]
        gamma, beta, moving_mean, variance = original.get_layer(f"{other}_bn").get_weights()
        part.get_layer(f"{prefix}{name}").set_weights([kernel.astype(np.float32)])
        batch_norm = part.get_layer(f"{prefix}{_batch_norm_of(name)}")
        mean = (moving_mean - shift).astype(np.float32)
        batch_norm.set_weights([gamma, beta, mean, variance + (KERAS_BN_EPSILON - BN_EPSILON)])


def _layer_pairs() -> list[tuple[str, str]]:
    """Our convolutions' names, and the stems of Keras's."""
    pairs = [("conv1", "conv1")]
    for stage, count in enumerate(BLOCKS[50], start=1):
        for index in range(count):
            ours, theirs = f"layer{stage}_{index}", f"conv{stage + 1}_block{index + 1}"
            if index == 0:
                pairs.append((f"{ours}_downsample_conv", f"{theirs}_0"))
            pairs += [(f"{ours}_conv{n}", f"{theirs}_{n}") for n in (1, 2, 3)]
    return pairs


def _batch_norm_of(convolution: str) -> str:
    head, _, tail = convolution.rpartition("conv")
    return f"{head}bn{tail}"
