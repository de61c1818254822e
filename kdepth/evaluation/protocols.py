"""The protocols that figures are published under, by name.

To add one, add an object to `PROTOCOLS` and a row to the table in docs/evaluation.md; nothing else
changes. `<benchmark>` is how most papers report on it, `<benchmark>_<paper>` one paper's own way.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from kdepth.errors import UserError
from kdepth.evaluation.protocol import Protocol


def _variant(protocol: Protocol, suffix: str, **changes: Any) -> Protocol:
    return dataclasses.replace(protocol, name=f"{protocol.name}_{suffix}", **changes)


def _capped(cap: float, nearest: float = 1e-3) -> dict[str, Any]:
    return {"min_depth": nearest, "max_depth": cap, "clip": (nearest, cap)}


# Eigen 2014's 697 test images against one scan, distance along the lidar's x axis as the released
# evaluations of monodepth, SfMLearner and monodepth2 take it. Papers report the Garg crop with caps
# 80 and 50; some report the Eigen crop.
_EIGEN = Protocol("eigen", ground_truth="velodyne_x", crop="garg", split="eigen_test", images=697)
_EIGENS = (
    _EIGEN,
    *(
        _variant(_EIGEN, f"{crop}_{cap}", crop=crop, **_capped(float(cap)))
        for crop in ("garg", "eigen", "none")
        for cap in (50, 80)
    ),
    # With the depth of the camera frame, which is what the networks predict.
    _variant(_EIGEN, "z", ground_truth="velodyne_z"),
    # The papers' own. Eigen's crop is the region that the network predicts.
    _variant(
        _EIGEN,
        "eigen2014",
        ground_truth="velodyne_z",
        crop="eigen",
        interpolation="nearest",
        max_depth=math.inf,
    ),
    _variant(_EIGEN, "garg2016", max_depth=50.0, clip=(1.0, 50.0)),
    _variant(_EIGEN, "monodepth"),
    _variant(_EIGEN, "sfmlearner", scaling="median", interpolation="same"),
    _variant(_EIGEN, "scdepth", ground_truth="velodyne_z", scaling="median"),
    _variant(
        _EIGEN,
        "scdepth_lightning",
        ground_truth="velodyne_z",
        scaling="median",
        interpolation="same",
        **_capped(80.0, 0.1),
    ),
)

# The truth is not capped in the next three; predictions are clipped to 80 m.
_BENCHMARK = Protocol(
    "eigen_benchmark",
    ground_truth="annotated",
    max_depth=math.inf,
    split="eigen_benchmark_test",
    images=652,
)
_STEREO = Protocol(
    "kitti_stereo2015",
    ground_truth="disparity",
    max_depth=math.inf,
    split="training",
    images=200,
    disparity_error=True,
)
_KITTI = (
    _BENCHMARK,
    _variant(_BENCHMARK, "median", scaling="median"),
    dataclasses.replace(_BENCHMARK, name="kitti_depth", split="", images=0),
    _STEREO,
    # As released: the rig's baseline is 0.54 m for prediction and truth.
    _variant(_STEREO, "monodepth", ground_truth="disparity_rounded"),
    Protocol("lidar", ground_truth="lidar_png", crop="garg"),
)

# The labelled test images; most papers crop what the toolbox's frame leaves.
_NYU = Protocol(
    "nyu",
    ground_truth="kinect_filled",
    crop="nyu",
    interpolation="same",
    split="test",
    images=654,
    **_capped(10.0),
)
_NYUS = (
    _NYU,
    *(_variant(_NYU, c.partition("_")[2], crop=c) for c in ("nyu_matlab", "nyu_densedepth")),
    _variant(_NYU, "none", crop="none"),
    _variant(_NYU, "eigen2014", crop="nyu_matlab", interpolation="nearest"),
    _variant(_NYU, "scdepth", crop="none", scaling="median", interpolation="inverse"),
    _variant(_NYU, "scdepth_lightning", scaling="median", **_capped(10.0, 0.1)),
)

# C1 of Make3D: pixels whose true depth is below 70 m.
_MAKE3D = Protocol(
    "make3d",
    ground_truth="laser_grid",
    interpolation="nearest",
    split="test",
    images=134,
    min_depth=0.0,
    max_depth=70.0,
    clip=(1e-3, 70.0),
)
_CITYSCAPES = Protocol(
    "cityscapes", ground_truth="stereo", view="cityscapes", split="val", images=500
)

PROTOCOLS: Mapping[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol("synthetic", ground_truth="dense", split="test"),
        *_EIGENS,
        *_KITTI,
        *_NYUS,
        _MAKE3D,
        # As monodepth, SfMLearner and monodepth2 cut images and truth; the first takes metres as
        # they are, the video papers add --scaling=median.
        _variant(_MAKE3D, "centre", view="make3d_centre"),
        _CITYSCAPES,
        _variant(_CITYSCAPES, "middle", crop="cityscapes", split="test", images=1525),
    )
}

# Data set and beginning of the split's name -> protocol; the first that fits.
_DEFAULTS = (
    ("synthetic", "", "synthetic"),
    ("kitti_stereo2015", "", "kitti_stereo2015"),
    ("kitti_raw", "eigen_benchmark", "eigen_benchmark"),
    ("kitti_raw", "eigen", "eigen"),
    ("kitti_raw", "", "lidar"),
    ("kitti_depth", "eigen_benchmark", "eigen_benchmark"),
    ("kitti_depth", "", "kitti_depth"),
    ("nyu_labelled", "", "nyu"),
    ("make3d", "", "make3d"),
    ("cityscapes", "", "cityscapes"),
)


def find(name: str) -> Protocol:
    """The protocol of a name.

    Raises:
        UserError: if there is none; the message lists the names.
    """
    if name not in PROTOCOLS:
        raise UserError(f"--protocol={name}: no such protocol; known: {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def default_for(dataset: str, split: str = "") -> Protocol:
    """The protocol of a data set where the user names none.

    Args:
        dataset: the reader's name.
        split: the split's name; only KITTI's choice depends on it.

    Returns:
        A known protocol; for a data set without one of its own, all its measured depth up to 80 m.
    """
    for known, beginning, name in _DEFAULTS:
        if dataset == known and split.startswith(beginning):
            return PROTOCOLS[name]
    return Protocol(name=f"{dataset}_depth")
