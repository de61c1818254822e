"""Protocols: what exactly is compared. A figure without its protocol means nothing.

A `Protocol` is a frozen object with a name; `PROTOCOLS` holds the known ones; `describe()` states
one in full, and every stored row carries that sentence. To add a protocol, add an object to
`PROTOCOLS`; nothing else changes.

The order of operations is the released evaluations': the prediction is resized to the ground
truth's size (in the space that the protocol names), the mask is taken from the ground truth and the
crop, the scale from the pixels inside the mask, and only then is the prediction clipped.

Crops are fractions of the image, truncated to integers and end-exclusive, as in all released
evaluations. They were chosen for 370x1224 to give [151:367, 44:1180], the rectangle of Garg's mask
file, but truncation yields 366 and 43.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from kdepth.errors import UserError

# Fractions (top, bottom, left, right) of height and width.
CROPS = {
    "none": (0.0, 1.0, 0.0, 1.0),
    "garg": (0.40810811, 0.99189189, 0.03594771, 0.96405229),
    "eigen": (0.3324324, 0.91351351, 0.0359477, 0.96405229),
}
SCALINGS = ("none", "median")
INTERPOLATIONS = ("inverse", "same", "nearest")

_RAW = ("kitti_raw", "synthetic")
# What the ground truth is in words, the data sets that may have it (none: all), and their readers'
# options that give it.
GROUND_TRUTHS = {
    "dense": ("dense exact depth, camera z", _RAW, {"depth": "groundtruth"}),
    "velodyne_x": (
        "one lidar scan, distance along the lidar's x axis",
        _RAW,
        {"depth": "velodyne", "lidar_value": "velodyne_x"},
    ),
    "velodyne_z": (
        "one lidar scan, camera z",
        _RAW,
        {"depth": "velodyne", "lidar_value": "camera_z"},
    ),
    "lidar_png": ("one lidar scan as depth PNG, camera z", _RAW, {"depth": "proj_depth_raw"}),
    "annotated": (
        "annotated depth of the KITTI depth benchmark, camera z",
        _RAW,
        {"depth": "groundtruth"},
    ),
    "disparity": (
        "non-occluded stereo disparity of KITTI 2015, as camera z",
        ("kitti_stereo2015",),
        {},
    ),
    "any": ("the data set's own depth", (), {}),
}


@dataclass(frozen=True)
class Protocol:
    """How predictions are compared with the truth.

    Attributes:
        name: short name, the `--protocol` flag's value.
        ground_truth: a key of `GROUND_TRUTHS`.
        crop: a key of `CROPS`.
        min_depth: metres; only true depths above it count.
        max_depth: metres, the cap; only true depths below it count. Infinite: no cap on the truth.
        clip: metres; predictions are clipped to it after scaling.
        scaling: "none", or "median": each image's prediction is multiplied by median(truth) /
            median(prediction) over the valid pixels, before clipping.
        interpolation: how a prediction reaches the truth's size: bilinear in "inverse" depth,
            bilinear in the "same" space, depth itself, or "nearest".
        split: the split that the protocol is about, "" where any may be scored.
        disparity_error: D1-all is reported too (needs a camera and a baseline).
    """

    name: str
    ground_truth: str = "any"
    crop: str = "none"
    min_depth: float = 1e-3
    max_depth: float = 80.0
    clip: tuple[float, float] = (1e-3, 80.0)
    scaling: str = "none"
    interpolation: str = "inverse"
    split: str = ""
    disparity_error: bool = False

    def __post_init__(self) -> None:
        """Checks every field.

        Raises:
            UserError: if a field has a value that is not known.
        """
        for field, allowed in (
            ("ground_truth", GROUND_TRUTHS),
            ("crop", CROPS),
            ("scaling", SCALINGS),
            ("interpolation", INTERPOLATIONS),
        ):
            if getattr(self, field) not in allowed:
                raise UserError(
                    f"--{field}={getattr(self, field)}: must be one of {', '.join(allowed)}"
                )
        if not 0 < self.min_depth < self.max_depth or not 0 < self.clip[0] < self.clip[1]:
            raise UserError(
                f"protocol {self.name}: depths must satisfy 0 < min < cap, received "
                f"{self.min_depth:g} and {self.max_depth:g}, clipped to {self.clip}"
            )

    def reader_options(self, dataset: str) -> dict[str, str]:
        """Options of a data set's reader that give this ground truth.

        Args:
            dataset: the reader's name; one without the option gives the only depth it has.
        """
        _, datasets, options = GROUND_TRUTHS[self.ground_truth]
        return dict(options) if dataset in datasets else {}

    def check_dataset(self, dataset: str) -> None:
        """Refuses a data set that cannot have this ground truth.

        Raises:
            UserError: naming the data sets that can.
        """
        words, datasets, _ = GROUND_TRUTHS[self.ground_truth]
        if datasets and dataset not in datasets:
            raise UserError(
                f"--protocol={self.name}: {dataset} has no such ground truth ({words}); "
                f"data sets that have it: {', '.join(datasets)}"
            )

    def window(self, height: int, width: int) -> tuple[int, int, int, int]:
        """The crop's rows and columns in an image, (top, bottom, left, right), ends excluded."""
        top, bottom, left, right = CROPS[self.crop]
        return int(top * height), int(bottom * height), int(left * width), int(right * width)

    def mask(self, truth: np.ndarray) -> np.ndarray:
        """Where an image is scored.

        Args:
            truth: [H, W] metres, 0 = not measured.

        Returns:
            [H, W] bool: measured, inside the crop, min_depth < truth < max_depth (both strict).
        """
        top, bottom, left, right = self.window(*truth.shape)
        valid = np.zeros(truth.shape, bool)
        inside = truth[top:bottom, left:right]
        valid[top:bottom, left:right] = (inside > self.min_depth) & (inside < self.max_depth)
        return valid

    def scale(self, prediction: np.ndarray, truth: np.ndarray) -> float:
        """The factor that brings a prediction to the scored scale; it is applied before clipping.

        Args:
            prediction: [N] predicted depth of the valid pixels; metres unless `scaling` says
                otherwise.
            truth: [N] true depth of the same pixels, metres.

        Returns:
            1 for scaling "none".
        """
        if self.scaling == "none":
            return 1.0
        middle = float(np.median(prediction))
        # A median of zero or infinity has no scale; clipping then decides alone.
        return float(np.median(truth)) / middle if 0 < middle < math.inf else 1.0

    def describe(self) -> str:
        """The protocol in full, one line; it is stored with every figure."""
        crop = {"none": "no crop"}.get(self.crop, f"{self.crop} crop")
        cap = "" if math.isinf(self.max_depth) else f" < {self.max_depth:g}"
        scaling = {"none": "no scaling", "median": "per-image median scaling"}[self.scaling]
        resized = {
            "inverse": "bilinear in inverse depth",
            "same": "bilinear in depth",
            "nearest": "nearest",
        }[self.interpolation]
        return (
            f"{self.name}: {GROUND_TRUTHS[self.ground_truth][0]}; "
            f"{self.min_depth:g} < depth{cap} m; {crop}; {scaling}; prediction resized {resized}, "
            f"clipped to {self.clip[0]:g}..{self.clip[1]:g} m; mean over images"
        )

    def replace(
        self,
        crop: str | None = None,
        cap: float | None = None,
        scaling: str | None = None,
        interpolation: str | None = None,
        ground_truth: str | None = None,
    ) -> Protocol:
        """This protocol with some parts changed; the name says which.

        Args:
            crop: a key of `CROPS`.
            cap: metres; the truth's cap and the clip's upper end.
            scaling: one of `SCALINGS`.
            interpolation: one of `INTERPOLATIONS`.
            ground_truth: a key of `GROUND_TRUTHS`.

        Returns:
            `self` where nothing changes.

        Raises:
            UserError: if a value is not known.
        """
        wanted = {
            "crop": crop,
            "max_depth": cap,
            "scaling": scaling,
            "interpolation": interpolation,
            "ground_truth": ground_truth,
        }
        changed = {k: v for k, v in wanted.items() if v is not None and v != getattr(self, k)}
        if not changed:
            return self
        suffix = "".join(
            f"+{'cap' if k == 'max_depth' else k}={v:g}" if k == "max_depth" else f"+{k}={v}"
            for k, v in changed.items()
        )
        clip = (self.clip[0], cap) if "max_depth" in changed else self.clip
        return dataclasses.replace(self, name=self.name + suffix, clip=clip, **changed)


_EIGEN = Protocol("eigen", ground_truth="velodyne_x", crop="garg", split="eigen_test")

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("synthetic", ground_truth="dense", split="test"),
        # Eigen 2014's 697 test images against one scan, distance along the lidar's x axis as the
        # released evaluations take it. Papers report the Garg crop with caps 80 and 50; some report
        # the Eigen crop.
        _EIGEN,
        *(
            dataclasses.replace(
                _EIGEN,
                name=f"eigen_{crop}_{cap}",
                crop=crop,
                max_depth=float(cap),
                clip=(1e-3, float(cap)),
            )
            for crop in ("garg", "eigen", "none")
            for cap in (50, 80)
        ),
        # The same with the depth of the camera frame, which is what the networks predict.
        dataclasses.replace(_EIGEN, name="eigen_z", ground_truth="velodyne_z"),
        Protocol(
            "eigen_benchmark",
            ground_truth="annotated",
            max_depth=math.inf,
            split="eigen_benchmark_test",
        ),
        # monodepth's: the truth is not capped, the prediction is clipped to 80 m.
        Protocol(
            "kitti_stereo2015",
            ground_truth="disparity",
            max_depth=math.inf,
            disparity_error=True,
        ),
        Protocol("lidar", ground_truth="lidar_png", crop="garg"),
    )
}

# Data set and beginning of the split's name -> protocol; the first that fits.
_DEFAULTS = (
    ("synthetic", "", "synthetic"),
    ("kitti_stereo2015", "", "kitti_stereo2015"),
    ("kitti_raw", "eigen_benchmark", "eigen_benchmark"),
    ("kitti_raw", "eigen", "eigen"),
    ("kitti_raw", "", "lidar"),
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
        split: the split's name; only KITTI raw's choice depends on it.

    Returns:
        A known protocol; for a data set without one of its own, all its measured depth up to 80 m.
    """
    for known, beginning, name in _DEFAULTS:
        if dataset == known and split.startswith(beginning):
            return PROTOCOLS[name]
    return Protocol(name=f"{dataset}_depth")
