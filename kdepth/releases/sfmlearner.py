"""Zhou 2017's TensorFlow 1 checkpoints: depth, motion and, where it was trained, explainability.

Two states of the code wrote them. The CVPR version has batch norm in every layer but the
predictions; it never ran the updates of the moving averages, which its files hold at 0 and 1, and
always normalised by the batch. `image_statistics` does that for a batch of one. From 2017-08-24 on
there is no batch norm, and no explainability unless its weight is above 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kdepth.releases import tf1_file
from kdepth.releases.mapping import (
    TF1_BATCH_NORM,
    TF1_CONV,
    TF1_CONV_BATCH_NORM,
    Arrays,
    Ignored,
    Release,
    Row,
    layer,
    shape_of,
)

SIZE = {"height": 128, "image_width": 416}

# The release's layer, our part and our layer.
NORMALISED = (
    *((f"depth_net/cnv{n}{b}", "depth", f"cnv{n}{b}") for n in range(1, 8) for b in ("", "b")),
    *((f"depth_net/upcnv{n}", "depth", f"upcnv{n}") for n in range(1, 8)),
    *((f"depth_net/icnv{n}", "depth", f"icnv{n}") for n in range(1, 8)),
    *((f"pose_exp_net/cnv{n}", "pose", f"cnv{n}") for n in range(1, 6)),
    ("pose_exp_net/pose/cnv6", "pose", "pose_cnv6"),
    ("pose_exp_net/pose/cnv7", "pose", "pose_cnv7"),
)
PREDICTIONS = (
    *((f"depth_net/disp{n}", "depth", f"disp{n}") for n in range(1, 5)),
    ("pose_exp_net/pose/pred", "pose", "pose_pred"),
)
NORMALISED_MASKS = tuple(
    (f"pose_exp_net/exp/upcnv{n}", "pose", f"exp_upcnv{n}") for n in range(1, 6)
)
MASKS = tuple((f"pose_exp_net/exp/mask{n}", "pose", f"mask{n}") for n in range(1, 5))


def rows(options: Mapping[str, Any]) -> tuple[Row, ...]:
    """The table for networks with these options."""
    masks = options["explain_weight"] > 0
    found: list[Row] = []
    for scope, part, name in (*NORMALISED, *(NORMALISED_MASKS if masks else ())):
        if options["batch_norm"]:
            found += layer(scope, part, name, TF1_CONV_BATCH_NORM)
            found += layer(scope, part, f"{name}_bn", TF1_BATCH_NORM)
        else:
            found += layer(scope, part, name, TF1_CONV)
    for scope, part, name in (*PREDICTIONS, *(MASKS if masks else ())):
        found += layer(scope, part, name, TF1_CONV)
    return tuple(found)


def _options(arrays: Arrays) -> dict[str, Any]:
    batch_norm = "depth_net/cnv1/BatchNorm/beta" in arrays
    masks = "pose_exp_net/exp/mask1/weights" in arrays
    outputs = shape_of(arrays, "pose_exp_net/pose/pred/weights")[-1:]
    return {
        **SIZE,
        "sequence": 5 if outputs == (24,) else 3,  # 6 numbers for each source frame
        "explain_weight": 0.2 if masks else 0.0,
        "batch_norm": batch_norm,
        "image_statistics": batch_norm,
        "border": "zeros_fade" if batch_norm else "zeros_hard",
        "released_intrinsics": True,
    }


RELEASES = {
    "sfmlearner": Release(
        source="sfmlearner",
        paper="sfmlearner",
        title="Zhou 2017, SfMLearner, depth and motion",
        files="model-190532 (depth, 3 frames), model-100280 (motion, 5 frames)",
        licence="MIT License",
        trained_on={"kitti": None, "cityscapes": None},
        published=(
            ("Zhou 2017, released model of 2017-08 (KITTI)", "eigen_sfmlearner"),
            ("Zhou 2017, updated model (KITTI)", "odometry_5frame"),
        ),
        read=tf1_file.read,
        options=_options,
        rows=rows,
        ignored=(Ignored("global_step", "the step counter"),),
    ),
}
