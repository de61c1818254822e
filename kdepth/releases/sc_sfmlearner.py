"""SC-SfMLearner-Release, the code of the IJCV paper: DispResNet and PoseResNet in two `.pth.tar` files.

The depth network's file can be converted alone. Files of 2019 ("NeurIPS version") hold other
networks and are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdepth.networks import torch_file
from kdepth.releases.mapping import Arrays, Fresh, Ignored, Release, Row
from kdepth.releases.resnet_depth import (
    IGNORED,
    LAYERS,
    convolutions,
    encoder_of,
    encoder_rows,
    read_folder,
)

SIZE = {"height": 256, "image_width": 832}  # of KITTI; NYU's models have 256x320
FILES = {
    "dispnet": ("dispnet_model_best.pth.tar", "dispnet_checkpoint.pth.tar"),
    "exp_pose": ("exp_pose_model_best.pth.tar", "exp_pose_checkpoint.pth.tar"),
}

# One list of two convolutions a level, from the coarsest on, and then the heads.
DECODER = {
    "0.conv.conv": "upconv4_0",
    "1.conv.conv": "upconv4_1",
    "2.conv.conv": "upconv3_0",
    "3.conv.conv": "upconv3_1",
    "4.conv.conv": "upconv2_0",
    "5.conv.conv": "upconv2_1",
    "6.conv.conv": "upconv1_0",
    "7.conv.conv": "upconv1_1",
    "8.conv.conv": "upconv0_0",
    "9.conv.conv": "upconv0_1",
    "10.conv": "dispconv0",
    "11.conv": "dispconv1",
    "12.conv": "dispconv2",
    "13.conv": "dispconv3",
}
POSE = {"0": "squeeze", "1": "pose0", "2": "pose1", "3": "pose2"}


def depth_rows(options: Mapping[str, Any]) -> tuple[Row, ...]:
    """The depth network's table; its encoder has 18 or 50 layers."""
    scope = "dispnet/state_dict."
    return (
        *encoder_rows(f"{scope}encoder.encoder.", "depth", LAYERS[options["encoder"]]),
        *convolutions(f"{scope}decoder.decoder.", "depth", DECODER),
    )


def rows(options: Mapping[str, Any]) -> tuple[Row, ...]:
    """The table of both; the pose network's encoder is always ResNet-18."""
    scope = "exp_pose/state_dict."
    return (
        *depth_rows(options),
        *encoder_rows(f"{scope}encoder.encoder.", "pose", 18),
        *convolutions(f"{scope}decoder.net.", "pose", POSE),
    )


def _options(arrays: Arrays) -> dict[str, Any]:
    encoder = encoder_of(arrays, "dispnet/state_dict.encoder.encoder.")
    return {**SIZE, "variant": "release", "encoder": encoder}


def _read_both(path: Path) -> Arrays:
    return read_folder(path, FILES)


def _read_depth(path: Path) -> Arrays:
    return {f"dispnet/{name}": array for name, array in torch_file.read(path).items()}


_SHARED = {
    "paper": "scdepth",
    "licence": "GPL-3.0 (the repository's; networks after monodepth2, for non-commercial use only)",
    "trained_on": {"kitti": None, "nyu": None},
    "published": (
        ("SC-Depth, ResNet-18 (KITTI)", "eigen_scdepth"),
        ("SC-Depth, ResNet-50 (KITTI)", "eigen_scdepth"),
        ("SC-Depth, ResNet-18 (NYU)", "nyu_scdepth"),
        ("SC-Depth, ResNet-50 (NYU)", "nyu_scdepth"),
    ),
    "options": _options,
    "ignored": (*IGNORED, Ignored("*/epoch", "the epoch it was saved after")),
}
RELEASES = {
    "sc_sfmlearner": Release(
        source="sc_sfmlearner",
        title="Bian 2021, SC-SfMLearner-Release, depth and pose networks",
        files="a folder with dispnet_model_best.pth.tar and exp_pose_model_best.pth.tar",
        read=_read_both,
        rows=rows,
        **_SHARED,
    ),
    "sc_sfmlearner_depth": Release(
        source="sc_sfmlearner_depth",
        title="Bian 2021, SC-SfMLearner-Release, depth network alone",
        files="dispnet_model_best.pth.tar",
        read=_read_depth,
        rows=depth_rows,
        fresh=(Fresh("pose", "*", "the file holds the depth network alone"),),
        **_SHARED,
    ),
}
