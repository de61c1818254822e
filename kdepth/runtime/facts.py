"""What must be known about a network to use it, as its description holds it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdepth.data.image import RESIZE_METHODS
from kdepth.errors import UserError
from kdepth.prediction import KINDS, QUANTITIES, Rig, file_name_of

PARTS = ("depth", "pose")


@dataclasses.dataclass(frozen=True)
class ModelFacts:
    """What must be known about a depth network, or a pose network, to use it.

    Attributes:
        paper: its name on kdepth's command line.
        variant: of the paper.
        height: rows of the network's input.
        image_width: columns of the network's input.
        resize: method of `kdepth.data.image.resize_image` that brings an image to that size.
        output_name: "disparity" (fraction of the width), "inverse_depth" or "depth"; "pose" of a
            pose network.
        kind: "metric", "relative" or "disparity": what a prediction is once the camera is known.
        rig: the stereo rig of the training data, where there was one.
        part: "depth" or "pose".
        frames: how many frames a pose network looks at together, stacked on channels in time order;
            of a depth network 1, or 2 if it looks at both views of a stereo pair, left and right.
        target: place among them of the frame that its vectors start from.
    """

    paper: str
    variant: str
    height: int
    image_width: int
    resize: str
    output_name: str
    kind: str
    rig: Rig | None = None
    part: str = "depth"
    frames: int = 1
    target: int = 0

    @classmethod
    def of_model(cls, model: Any, part: str = "depth") -> ModelFacts:
        """Facts of a `kdepth.papers.base.DepthModel`, or of its pose network."""
        height, image_width = model.image_size
        is_pose = part == "pose"
        return cls(
            paper=model.paper,
            variant=model.variant,
            height=height,
            image_width=image_width,
            resize=model.resize,
            output_name="pose" if is_pose else model.output_name,
            kind=model.kind,
            rig=model.rig,
            part=part,
            frames=model.pose_frames if is_pose else model.depth_views,
            target=model.pose_target if is_pose else 0,
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str | Path) -> ModelFacts:
        """Facts of a description that was read from `source`.

        Raises:
            UserError: if one is missing or makes no sense.
        """
        try:
            rig = values["rig"]
            facts = cls(
                paper=str(values["paper"]),
                variant=str(values["variant"]),
                height=int(values["height"]),
                image_width=int(values["image_width"]),
                resize=str(values["resize"]),
                output_name=str(values["output_name"]),
                kind=str(values["kind"]),
                rig=None if rig is None else Rig(float(rig["baseline"]), float(rig["focal"])),
                part=str(values.get("part", "depth")),
                frames=int(values.get("frames", 1)),
                target=int(values.get("target", 0)),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{source} is not a description of a kdepth model ({error!r})"
            ) from None
        if facts.resize not in RESIZE_METHODS:
            raise UserError(f"{source} names an unknown way to resize: '{facts.resize}'")
        outputs = ("pose",) if facts.part == "pose" else QUANTITIES
        if (
            facts.output_name not in outputs
            or facts.kind not in KINDS
            or facts.part not in PARTS
            or not 0 <= facts.target < max(facts.frames, 1)
        ):
            raise UserError(
                f"{source} names an output of unknown meaning: '{facts.output_name}',"
                f" '{facts.kind}'"
            )
        return facts

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values for JSON."""
        return {**dataclasses.asdict(self), "rig": None if self.rig is None else self.rig._asdict()}

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Rows, columns and channels of the network's input."""
        return self.height, self.image_width, 3 * self.frames

    @property
    def output_tensor(self) -> str:
        """What a file calls its output."""
        return file_name_of(self.output_name, self.kind)

    @property
    def holds_camera(self) -> bool:
        """Whether the graph turns disparity into metres, for the rig of the training data."""
        return self.output_name == "depth" and self.kind == "metric" and self.rig is not None

    @property
    def intrinsics(self) -> str:
        """What the output takes for granted about the camera, in words."""
        if self.part == "pose" or self.kind == "relative":
            return "none: the output is right up to one unknown factor"
        if self.output_name == "disparity":
            told = "" if self.rig is None else f"; baseline {self.rig.baseline:g} m"
            return f"none: depth = fx / width * baseline / disparity{told}"
        if self.rig is not None:
            return f"the training camera's field of view: fx = {self.rig.focal:.4g} of the width"
        return "the training camera's field of view"

    @property
    def unit(self) -> str:
        """Unit of the network's own output."""
        if self.part == "pose":
            return "relative, radians"
        if self.output_name == "disparity":
            return "fraction of the width"
        if self.kind == "relative":
            return "relative"
        return "1/m" if self.output_name == "inverse_depth" else "m"
