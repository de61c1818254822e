"""Godard 2017's TensorFlow 1 checkpoints: VGG and ResNet-50, one view or both, either decoder.

The release names no layer: slim numbers them in the order in which the graph makes them, `Conv`,
`Conv_1`, ..., in the encoder and in the decoder. So the tables here are our layers in that order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kdepth.prediction import Rig
from kdepth.releases import tf1_file
from kdepth.releases.mapping import TF1_CONV, Arrays, Ignored, Release, Row, layer, shape_of

SIZE = {"height": 256, "image_width": 512}
# Baseline in metres, focal length as a fraction of the width: KITTI's drives of 2011-09-26, and what
# the authors use for Cityscapes.
RIGS = {"kitti": Rig(0.5327, 721.5377 / 1242), "cityscapes": Rig(0.22, 2262 / 2048)}

ENCODER, DECODER = "model/encoder", "model/decoder"

# model/encoder/Conv, Conv_1, ... Conv_13
VGG = (
    *("conv1", "conv1b", "conv2", "conv2b", "conv3", "conv3b", "conv4", "conv4b"),
    *("conv5", "conv5b", "conv6", "conv6b", "conv7", "conv7b"),
)
# model/encoder/Conv, Conv_1, ... Conv_64: the stem, then 3, 4, 6 and 3 bottlenecks
RESNET50 = (
    "conv1",
    *(
        f"stage{stage}_{block}_{name}"
        for stage, blocks in ((1, 3), (2, 4), (3, 6), (4, 3))
        for block in range(1, blocks + 1)
        for name in ("reduce", "conv", "expand", "project")
    ),
)
# model/decoder/Conv, Conv_1, ...; with ResNet-50 from level 6 on. Transposed convolutions are
# numbered by themselves: Conv2d_transpose, Conv2d_transpose_1, ...
LEVELS = (
    ("upconv7", "iconv7"),
    ("upconv6", "iconv6"),
    ("upconv5", "iconv5"),
    ("upconv4", "iconv4", "disp4_conv"),
    ("upconv3", "iconv3", "disp3_conv"),
    ("upconv2", "iconv2", "disp2_conv"),
    ("upconv1", "iconv1", "disp1_conv"),
)

# The training program saves all that it has.
IGNORED = (
    Ignored("*/Adam", "Adam's first moments"),
    Ignored("*/Adam_1", "Adam's second moments"),
    Ignored("*beta1_power", "Adam's state"),
    Ignored("*beta2_power", "Adam's state"),
    Ignored("Variable", "the step counter, which has no name of its own"),
    Ignored("global_step", "the step counter"),
)


def rows(options: Mapping[str, Any]) -> tuple[Row, ...]:
    """The table for a network with these options."""
    vgg = options["encoder"] == "vgg"
    decoder = [name for level in (LEVELS if vgg else LEVELS[1:]) for name in level]
    transposed: list[str] = []
    if options["decoder"] == "deconv":
        transposed = [name for name in decoder if name.startswith("upconv")]
        decoder = [name for name in decoder if name not in transposed]
    return (
        *_numbered(f"{ENCODER}/Conv", VGG if vgg else RESNET50),
        *_numbered(f"{DECODER}/Conv", decoder),
        # TensorFlow 1 keeps their kernels as [H, W, out, in], as Keras does.
        *_numbered(f"{DECODER}/Conv2d_transpose", transposed),
    )


def _numbered(scope: str, names: Any) -> list[Row]:
    """Rows of layers that slim has numbered: `scope`, `scope_1`, `scope_2`, ..."""
    found: list[Row] = []
    for number, name in enumerate(names):
        found += layer(f"{scope}_{number}" if number else scope, "depth", name, TF1_CONV)
    return found


def _options(arrays: Arrays, encoder: str) -> dict[str, Any]:
    transposed = f"{DECODER}/Conv2d_transpose/weights" in arrays
    channels = shape_of(arrays, f"{ENCODER}/Conv/weights")[2:3]
    return {
        **SIZE,
        "encoder": encoder,
        "decoder": "deconv" if transposed else "upconv",
        "stereo_input": channels == (6,),
        "smoothness": "released",
    }


def _release(encoder: str, title: str, suffix: str, *published: tuple[str, str]) -> Release:
    models = ("kitti", "eigen", "cityscapes", "city2kitti", "city2eigen")
    stereo = ("kitti_stereo",) if encoder == "vgg" else ()
    return Release(
        source=f"monodepth_{encoder}",
        paper="monodepth",
        title=f"Godard 2017, monodepth, {title} encoder",
        files=", ".join(f"model_{name}{suffix}" for name in (*models, *stereo)),
        licence="UCLB ACP-A Licence (UCL Business, Niantic): for non-commercial use only",
        trained_on=RIGS,
        published=published,
        read=tf1_file.read,
        options=lambda arrays: _options(arrays, encoder),
        rows=rows,
        ignored=IGNORED,
    )


RELEASES = {
    "monodepth_vgg": _release(
        "vgg",
        "VGG",
        "",
        ("Godard 2017 (KITTI)", "eigen_garg_80"),
        ("Godard 2017 (KITTI)", "kitti_stereo2015_monodepth"),
        ("Godard 2017 (Cityscapes + KITTI)", "eigen_garg_80"),
    ),
    "monodepth_resnet50": _release(
        "resnet50",
        "ResNet-50",
        "_resnet",
        ("Godard 2017, ResNet-50, pp (Cityscapes + KITTI)", "eigen_garg_80"),
        ("Godard 2017, ResNet-50, pp (Cityscapes + KITTI)", "kitti_stereo2015_monodepth"),
    ),
}
