"""What SC-SfMLearner, sc_depth_pl and monodepth2 share: PyTorch ResNets, and what their files hold beside weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kdepth.errors import UserError
from kdepth.networks import torch_file
from kdepth.releases.mapping import (
    TORCH_BATCH_NORM,
    TORCH_CONV,
    TORCH_CONV_NO_BIAS,
    Arrays,
    Ignored,
    Row,
    layer,
)

LAYERS = {"resnet18": 18, "resnet50": 50}

# Of every ResNet that torchvision builds.
IGNORED = (
    Ignored("*encoder.fc.*", "torchvision's classifier, which depth does not use"),
    Ignored("*.num_batches_tracked", "how many steps batch norm had seen"),
)


def encoder_rows(scope: str, part: str, layers: int) -> tuple[Row, ...]:
    """The rows of a ResNet.

    Args:
        scope: what the release calls it, with the last dot.
        part: our network.
        layers: 18 or 50.
    """
    # Imports Keras, which a list of the sources does not need.
    from kdepth.networks.resnet import torchvision_names

    return tuple(
        row
        for ours, theirs in torchvision_names(layers).items()
        for row in layer(
            f"{scope}{theirs}",
            part,
            f"encoder_{ours}",
            TORCH_BATCH_NORM if "bn" in ours else TORCH_CONV_NO_BIAS,
            ".",
        )
    )


def convolutions(scope: str, part: str, names: dict[str, str]) -> tuple[Row, ...]:
    """The rows of convolutions with biases.

    Args:
        scope: what all their names begin with.
        part: our network.
        names: {the release's name: ours}.
    """
    return tuple(
        row
        for theirs, ours in names.items()
        for row in layer(f"{scope}{theirs}", part, ours, TORCH_CONV, ".")
    )


def encoder_of(arrays: Arrays, scope: str) -> str:
    """Our name of the encoder: a block of ResNet-50 has a third convolution."""
    return "resnet50" if f"{scope}layer1.0.conv3.weight" in arrays else "resnet18"


def read_folder(folder: Path, files: dict[str, tuple[str, ...]]) -> dict[str, np.ndarray]:
    """Reads several files of a folder; "name/" goes before the names of each one's tensors.

    Args:
        folder: holds them.
        files: {name: what the file may be called}.

    Raises:
        UserError: if a file is not there, or not as it should be.
    """
    if not folder.is_dir():
        wanted = " and ".join(names[0] for names in files.values())
        raise UserError(f"{folder} is no folder; --checkpoint is the one that holds {wanted}")
    arrays = {}
    for prefix, names in files.items():
        path = next((folder / name for name in names if (folder / name).is_file()), None)
        if path is None:
            raise UserError(f"{folder} holds no {' or '.join(names)}")
        for name, array in torch_file.read(path).items():
            arrays[f"{prefix}/{name}"] = array
    return arrays
