"""Garg 2016's Caffe model: the half-width ResNet-50, `train_iter_40000.caffemodel`.

A convolution here has three layers there: the convolution, its batch norm (sums of means and of
variances, and the factor that they are divided by) and the scale and shift. A few layers hold
constants that are built in here; they are compared with what is built in.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kdepth.errors import UserError
from kdepth.prediction import Rig
from kdepth.releases import caffe_file
from kdepth.releases.mapping import Arrays, Ignored, Release, Row

# Baseline and focal length as the release's evaluation has them: f B = 721.5377 * 0.54.
RIGS = {"kitti": Rig(0.54, 721.5377 / 1242)}

BLOCKS = (3, 4, 6, 3)
# A bottleneck's layers; the projection is the first block's alone.
BRANCHES = {
    "proj_shortcut": "project",
    "branch2a": "reduce",
    "branch2b": "conv",
    "branch2c": "expand",
}
SCORES = {
    "score_fr": "score_fr",
    "score_pool4": "score4",
    "score_pool3": "score3",
    "score_pool2": "score2",
    "score_pool1": "score1",
}
SKIPS = {
    "scale_pool4": "skip4",
    "scale_pool3": "skip3",
    "scale_pool2": "skip2",
    "scale_pool1": "skip1",
}
UPS = ("pool5", "pool4", "pool3", "pool2", "all")  # upscore_pool5, scale2x_pool5, ...

_LOSS = "the loss's filters and factors"
IGNORED = (
    Ignored("upscore_*/0", "bilinear up-sampling, which is built in; compared"),
    Ignored("scale2x_*/0", "the factor 2 after it, which is built in; compared"),
    # The solver saves its training network, with the layers of the loss.
    *(Ignored(f"{name}/0", _LOSS) for name in ("v_flow", "normimL", "normimR", "zeros")),
    *(Ignored(f"{name}/0", _LOSS) for name in ("gx_ImL1_RGB", "gy_ImL1_RGB", "gx", "gy")),
    *(Ignored(f"{name}/0", _LOSS) for name in ("gx_hflow", "gy_hflow")),
)


def rows(options: Mapping[str, Any]) -> tuple[Row, ...]:
    """The table."""
    found = [*_convolution("0", "conv_0"), *_convolution("1", "conv_1")]
    for stage, blocks in enumerate(BLOCKS):
        for block in range(blocks):
            for theirs, ours in BRANCHES.items():
                if block == 0 or ours != "project":
                    name = f"stage{stage}_block{block}_{theirs}"
                    found += _convolution(name, f"stage{stage}_{block}_{ours}")
    for theirs, ours in SCORES.items():
        found += _kernel_and_bias(theirs, ours)
    found += [Row(f"{theirs}/0", "depth", f"{ours}/factor") for theirs, ours in SKIPS.items()]
    return tuple(found)


def _kernel_and_bias(theirs: str, ours: str) -> list[Row]:
    return [
        Row(f"{theirs}/0", "depth", f"{ours}/kernel", "conv_oihw"),
        Row(f"{theirs}/1", "depth", f"{ours}/bias"),
    ]


def _convolution(theirs: str, ours: str) -> list[Row]:
    """A convolution with its batch norm, the layers `conv_`, `bn_` and `scale_` of a name."""
    sums, factor = (f"bn_{theirs}/0", f"bn_{theirs}/1"), f"bn_{theirs}/2"
    return [
        *_kernel_and_bias(f"conv_{theirs}", ours),
        Row((sums[0], factor), "depth", f"{ours}_bn/moving_mean", "caffe_average"),
        Row((sums[1], factor), "depth", f"{ours}_bn/moving_variance", "caffe_average", again=True),
        Row(f"scale_{theirs}/0", "depth", f"{ours}_bn/gamma"),
        Row(f"scale_{theirs}/1", "depth", f"{ours}_bn/beta"),
    ]


def _read(path: Path) -> Arrays:
    # Imports Keras, which a list of the sources does not need.
    from kdepth.networks.layers import BILINEAR_TAPS

    arrays = caffe_file.read(path)
    bilinear = np.outer(BILINEAR_TAPS, BILINEAR_TAPS)
    constants = {f"upscore_{name}/0": bilinear for name in UPS}
    constants.update({f"scale2x_{name}/0": np.asarray(2.0) for name in UPS})
    for name, built_in in constants.items():
        if name not in arrays:
            raise UserError(f"{path} (as garg_released) lacks tensor '{name}'")
        found = np.squeeze(arrays[name])
        if found.shape != built_in.shape or not np.allclose(found, built_in, rtol=1e-5, atol=0):
            raise UserError(
                f"{path} (as garg_released): tensor '{name}' is not what the release has there, which"
                " is built in here: another network"
            )
    return arrays


RELEASES = {
    "garg_released": Release(
        source="garg_released",
        paper="garg",
        title="Garg 2016, released half-width ResNet-50",
        files="train_iter_40000.caffemodel",
        licence="BSD for academic use: for any commercial purpose ask its authors",
        trained_on=RIGS,
        published=(("Garg 2016, released ResNet (KITTI)", "eigen_garg2016"),),
        read=_read,
        options=lambda arrays: {"variant": "released"},
        rows=rows,
        ignored=IGNORED,
    )
}
