"""sc_depth_pl, the PyTorch Lightning code of SC-Depth: one `.ckpt` with both networks.

SC-Depth v3 has v1's networks, so its checkpoints are converted too; v2's have a network of their
own (the rectification) and are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kdepth.networks import torch_file
from kdepth.releases.mapping import Arrays, Ignored, Release, Row
from kdepth.releases.resnet_depth import IGNORED, LAYERS, convolutions, encoder_of, encoder_rows

# By the data set that the checkpoint's settings name.
SIZES = {
    "kitti": (256, 832),
    "ddad": (384, 640),
    "nyu": (256, 320),
    "tum": (256, 320),
    "bonn": (256, 320),
}
DATASET = "hyper_parameters.hparams.dataset_name"

# Three lists: both convolutions of a level, from the coarsest on, and the heads.
DECODER = {
    "upconvs0.0.conv.conv": "upconv4_0",
    "upconvs1.0.conv.conv": "upconv4_1",
    "upconvs0.1.conv.conv": "upconv3_0",
    "upconvs1.1.conv.conv": "upconv3_1",
    "upconvs0.2.conv.conv": "upconv2_0",
    "upconvs1.2.conv.conv": "upconv2_1",
    "upconvs0.3.conv.conv": "upconv1_0",
    "upconvs1.3.conv.conv": "upconv1_1",
    "upconvs0.4.conv.conv": "upconv0_0",
    "upconvs1.4.conv.conv": "upconv0_1",
    "dispconvs.0.conv": "dispconv0",
    "dispconvs.1.conv": "dispconv1",
    "dispconvs.2.conv": "dispconv2",
    "dispconvs.3.conv": "dispconv3",
}
POSE = {
    "conv_squeeze": "squeeze",
    "convs_pose.0": "pose0",
    "convs_pose.1": "pose1",
    "convs_pose.2": "pose2",
}

# What Lightning saves beside the weights; a checkpoint need not have all of it.
LIGHTNING = (
    Ignored("epoch", "the epoch it was saved after"),
    Ignored("global_step", "the step it was saved after"),
    Ignored("pytorch-lightning_version", "Lightning's version"),
    Ignored("hparams_name", "settings of its training"),
    Ignored("hyper_parameters.*", "settings of its training"),
    Ignored("datamodule_hparams_name", "settings of its training"),
    Ignored("datamodule_hyper_parameters.*", "settings of its training"),
    Ignored("callbacks.*", "state of its training"),
    Ignored("loops.*", "state of its training"),
    Ignored("lr_schedulers.*", "state of its training"),
    Ignored("optimizer_states.*", "state of its training"),
)


def rows(options: Mapping[str, Any]) -> tuple[Row, ...]:
    """The table; the depth network's encoder has 18 or 50 layers, the pose network's 18."""
    depth, motion = "state_dict.depth_net.", "state_dict.pose_net."
    return (
        *encoder_rows(f"{depth}encoder.encoder.", "depth", LAYERS[options["encoder"]]),
        *convolutions(f"{depth}decoder.", "depth", DECODER),
        *encoder_rows(f"{motion}encoder.encoder.", "pose", 18),
        *convolutions(f"{motion}decoder.", "pose", POSE),
    )


def _options(arrays: Arrays) -> dict[str, Any]:
    height, image_width = SIZES.get(str(arrays.get(DATASET)), SIZES["kitti"])
    return {
        "height": height,
        "image_width": image_width,
        "variant": "lightning",
        "encoder": encoder_of(arrays, "state_dict.depth_net.encoder.encoder."),
    }


RELEASES = {
    "sc_depth_pl": Release(
        source="sc_depth_pl",
        paper="scdepth",
        title="Bian 2021, sc_depth_pl, SC-Depth v1 (and v3, which has its networks)",
        files="epoch=99-val_loss=0.1411.ckpt and the like",
        licence="GPL-3.0 (the repository's; networks after monodepth2, for non-commercial use only)",
        trained_on={name: None for name in SIZES},
        published=(("sc_depth_pl v1, ResNet-18 (KITTI)", "eigen_scdepth_lightning"),),
        read=torch_file.read,
        options=_options,
        rows=rows,
        ignored=(*IGNORED, *LIGHTNING),
        said_trained_on=lambda arrays: next(
            (n for n in SIZES if n == str(arrays.get(DATASET))), None
        ),
    )
}
