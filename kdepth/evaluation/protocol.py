"""What a protocol is. A figure without its protocol means nothing.

A `Protocol` is a frozen object with a name; `describe()` states one in full, and every stored row
carries that sentence. The known ones are in `kdepth.evaluation.protocols`.

The order of operations is the released evaluations': image and truth are cut to the protocol's
view, the prediction is resized to the ground truth's size (in the space that the protocol names),
the mask is taken from the ground truth and the crop, the scale from the pixels inside the mask, and
only then is the prediction clipped.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kdepth.errors import UserError
from kdepth.evaluation.crops import CROPS, VIEWS
from kdepth.evaluation.scaling import SCALINGS

INTERPOLATIONS = {
    "inverse": "bilinear in inverse depth",
    "same": "bilinear in depth",
    "nearest": "nearest",
}


@dataclass(frozen=True)
class GroundTruth:
    """What is taken for the truth.

    Attributes:
        words: in the protocol's sentence.
        readers: data sets that may have it -> their readers' options that give it; empty: any.
    """

    words: str
    readers: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)


def _raw(**options: str) -> dict[str, dict[str, str]]:
    """KITTI raw and what is written in its layout."""
    return {"kitti_raw": options, "synthetic": options}


GROUND_TRUTHS: Mapping[str, GroundTruth] = {
    "dense": GroundTruth("dense exact depth, camera z", _raw(depth="groundtruth")),
    "velodyne_x": GroundTruth(
        "one lidar scan, distance along the lidar's x axis",
        _raw(depth="velodyne", lidar_value="velodyne_x"),
    ),
    "velodyne_z": GroundTruth(
        "one lidar scan, camera z", _raw(depth="velodyne", lidar_value="camera_z")
    ),
    "lidar_png": GroundTruth("one lidar scan as depth PNG, camera z", _raw(depth="proj_depth_raw")),
    "annotated": GroundTruth(
        "annotated depth of the KITTI depth benchmark, camera z",
        {**_raw(depth="groundtruth"), "kitti_depth": {}},
    ),
    "disparity": GroundTruth(
        "non-occluded stereo disparity of KITTI 2015, as camera z", {"kitti_stereo2015": {}}
    ),
    "disparity_rounded": GroundTruth(
        "non-occluded stereo disparity of KITTI 2015, as camera z of a rig of 0.54 m",
        {"kitti_stereo2015": {"rig": "rounded"}},
    ),
    "stereo": GroundTruth(
        "stereo disparity (SGM), as camera z", {"cityscapes": {"bottom_crop": 0.0}}
    ),
    "laser_grid": GroundTruth("55x305 laser grid, its depth channel", {"make3d": {"crop": "none"}}),
    "kinect_filled": GroundTruth(
        "Kinect depth with its holes filled, z", {"nyu_labelled": {"depth": "filled"}}
    ),
    "any": GroundTruth("the data set's own depth"),
}


@dataclass(frozen=True)
class Protocol:
    """How predictions are compared with the truth.

    Attributes:
        name: short name, the `--protocol` flag's value.
        ground_truth: a key of `GROUND_TRUTHS`.
        view: a key of `VIEWS`: what part of the image the system sees.
        crop: a key of `CROPS`: what part of the view counts.
        min_depth: metres; only true depths above it count.
        max_depth: metres, the cap; only true depths below it count. Infinite: no cap on the truth.
        clip: metres; predictions are clipped to it after scaling.
        scaling: a key of `kdepth.evaluation.scaling.SCALINGS`, before clipping.
        interpolation: how a prediction reaches the truth's size: bilinear in "inverse" depth,
            bilinear in the "same" space, depth itself, or "nearest".
        split: the split that the protocol is about, "" where any may be scored.
        images: of that split, as published; 0 where there is no such number.
        disparity_error: D1-all is reported too (needs a camera and a baseline).
    """

    name: str
    ground_truth: str = "any"
    view: str = "whole"
    crop: str = "none"
    min_depth: float = 1e-3
    max_depth: float = 80.0
    clip: tuple[float, float] = (1e-3, 80.0)
    scaling: str = "none"
    interpolation: str = "inverse"
    split: str = ""
    images: int = 0
    disparity_error: bool = False

    def __post_init__(self) -> None:
        """Checks every field.

        Raises:
            UserError: if a field has a value that is not known.
        """
        for field, allowed in (
            ("ground_truth", GROUND_TRUTHS),
            ("view", VIEWS),
            ("crop", CROPS),
            ("scaling", SCALINGS),
            ("interpolation", INTERPOLATIONS),
        ):
            if getattr(self, field) not in allowed:
                raise UserError(
                    f"--{field}={getattr(self, field)}: must be one of {', '.join(allowed)}"
                )
        if not 0 <= self.min_depth < self.max_depth or not 0 < self.clip[0] < self.clip[1]:
            raise UserError(
                f"protocol {self.name}: depths must satisfy 0 < min < cap, received "
                f"{self.min_depth:g} and {self.max_depth:g}, clipped to {self.clip}"
            )

    def reader_options(self, dataset: str) -> dict[str, Any]:
        """Options of a data set's reader that give this ground truth.

        Args:
            dataset: the reader's name; one without the option gives the only depth it has.
        """
        return dict(GROUND_TRUTHS[self.ground_truth].readers.get(dataset, {}))

    def check_dataset(self, dataset: str) -> None:
        """Refuses a data set that cannot have this ground truth.

        Raises:
            UserError: naming the data sets that can.
        """
        truth = GROUND_TRUTHS[self.ground_truth]
        if truth.readers and dataset not in truth.readers:
            raise UserError(
                f"--protocol={self.name}: {dataset} has no such ground truth ({truth.words}); "
                f"data sets that have it: {', '.join(truth.readers)}"
            )

    def for_training(self, dataset: str) -> Protocol:
        """What of the protocol holds for depth that is learned from.

        View and crops in pixels are parts of the images that are scored: another data set's are
        taken whole.
        """
        truth = GROUND_TRUTHS[self.ground_truth]
        if not truth.readers or dataset in truth.readers:
            return self
        crop = self.crop if CROPS[self.crop].size is None else "none"
        return dataclasses.replace(self, view="whole", crop=crop)

    def window(self, height: int, width: int) -> tuple[int, int, int, int]:
        """The crop's rows and columns in the view, (top, bottom, left, right), ends excluded.

        Raises:
            UserError: if the crop is of images of another size.
        """
        return CROPS[self.crop].window(height, width)

    def mask(self, truth: np.ndarray) -> np.ndarray:
        """Where an image is scored.

        Args:
            truth: [H, W] metres, 0 = not measured; already cut to the view.

        Returns:
            [H, W] bool: measured, inside the crop, min_depth < truth < max_depth (both strict).

        Raises:
            UserError: if the crop is of images of another size.
        """
        top, bottom, left, right = self.window(*truth.shape)
        valid = np.zeros(truth.shape, bool)
        inside = truth[top:bottom, left:right]
        valid[top:bottom, left:right] = (inside > self.min_depth) & (inside < self.max_depth)
        return valid

    def describe(self) -> str:
        """The protocol in full, one line; it is stored with every figure."""
        cap = "" if math.isinf(self.max_depth) else f" < {self.max_depth:g}"
        view = VIEWS[self.view].words
        return (
            f"{self.name}: {GROUND_TRUTHS[self.ground_truth].words}; {view + '; ' if view else ''}"
            f"{self.min_depth:g} < depth{cap} m; {CROPS[self.crop].words}; "
            f"{SCALINGS[self.scaling]}; prediction resized {INTERPOLATIONS[self.interpolation]}, "
            f"clipped to {self.clip[0]:g}..{self.clip[1]:g} m; mean over images"
        )

    def replace(self, cap: float | None = None, **parts: str | None) -> Protocol:
        """This protocol with some parts changed; the name says which.

        Args:
            cap: metres; the truth's cap and the clip's upper end.
            **parts: `ground_truth`, `view`, `crop`, `scaling`, `interpolation`: keys of their
                tables; None leaves a part as it is.

        Returns:
            `self` where nothing changes.

        Raises:
            UserError: if a value is not known.
        """
        changed: dict[str, Any] = {
            k: v for k, v in parts.items() if v is not None and v != getattr(self, k)
        }
        name = self.name
        if cap is not None and cap != self.max_depth:
            name += f"+cap={cap:g}"
            changed.update(max_depth=cap, clip=(self.clip[0], cap))
        name += "".join(f"+{k}={v}" for k, v in changed.items() if k in parts)
        return dataclasses.replace(self, name=name, **changed) if changed else self
