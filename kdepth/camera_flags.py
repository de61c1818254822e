"""Flags that say which camera took the pictures: what turns disparity into metres, and depth into points."""

from __future__ import annotations

from pathlib import Path

from absl import flags as absl_flags
from absl import logging

from kdepth.errors import UserError
from kdepth.pictures import (
    CameraOf,
    focal_camera,
    intrinsics_camera,
    kitti_camera,
    training_camera,
)
from kdepth.prediction import Rig
from kdepth.runtime import ModelFacts

_CHOICES = ("fx", "intrinsics", "kitti_calib", "assume_training_camera")
_CHOICE = "--fx, --intrinsics, --kitti_calib and --assume_training_camera"


def define_flags(flags: absl_flags.FlagValues) -> None:
    """Defines --fx, --intrinsics, --kitti_calib, --assume_training_camera and --baseline."""
    absl_flags.DEFINE_float(
        "fx", None, "Horizontal focal length in pixels of the input pictures.", flag_values=flags
    )
    absl_flags.DEFINE_string(
        "intrinsics",
        None,
        "fx,fy,cx,cy in pixels of the input pictures, or a file that holds them (with width and"
        " height as JSON for pictures of any size).",
        flag_values=flags,
    )
    absl_flags.DEFINE_string(
        "kitti_calib",
        None,
        "A KITTI calib_cam_to_cam.txt that tells the camera.",
        flag_values=flags,
    )
    absl_flags.DEFINE_integer(
        "kitti_camera", 2, "Which camera of --kitti_calib: 0 to 3.", 0, 3, flag_values=flags
    )
    absl_flags.DEFINE_bool(
        "assume_training_camera",
        False,
        "Assume that the pictures have the field of view of the training camera.",
        flag_values=flags,
    )
    absl_flags.DEFINE_float(
        "baseline", None, "Metres, in the place of the training rig's baseline.", flag_values=flags
    )


def rig_of(flags: absl_flags.FlagValues, facts: ModelFacts) -> Rig | None:
    """The training rig, its baseline overridden by --baseline.

    Raises:
        UserError: if that is not positive.
    """
    if flags.baseline is None:
        return facts.rig
    if not 0 < flags.baseline < float("inf"):
        raise UserError(f"--baseline={flags.baseline} must be a positive number of metres")
    return Rig(flags.baseline, facts.rig.focal if facts.rig else float("nan"))


def camera_of(flags: absl_flags.FlagValues, facts: ModelFacts, wants_points: bool) -> CameraOf:
    """How to find the camera of a picture, from the flags.

    Args:
        flags: of the command.
        facts: about the network: a camera gives metres to disparities alone, or to what a graph made
            of them for the training camera.
        wants_points: whether points are asked for, which always need one.

    Raises:
        UserError: if they contradict each other or make no sense.
    """
    asked = [name for name in _CHOICES if flags[name].value not in (None, "", False)]
    if len(asked) > 1:
        raise UserError(f"give only one of {_CHOICE}")
    if flags["kitti_camera"].present and not flags.kitti_calib:
        raise UserError("--kitti_camera needs --kitti_calib, the file that tells the cameras")
    from_stereo = facts.output_name == "disparity" or facts.holds_camera
    if not from_stereo and (flags.baseline is not None or (asked and not wants_points)):
        logging.warning("%s predicts %s depth, which no camera changes", facts.paper, facts.kind)
    if not from_stereo and not wants_points:
        return no_camera
    if flags.fx is not None:
        return focal_camera(flags.fx)
    if flags.intrinsics:
        return intrinsics_camera(flags.intrinsics)
    if flags.kitti_calib:
        return kitti_camera(Path(flags.kitti_calib), flags.kitti_camera)
    if flags.assume_training_camera:
        if facts.rig is None:
            raise UserError(
                "--assume_training_camera: this model does not know the camera it was trained"
                " with; use --fx"
            )
        _warn_of_field_of_view(facts.rig)
        return training_camera(facts.rig.focal)
    if wants_points:
        raise UserError(f"--outputs=ply: points need the camera; give one of {_CHOICE}")
    if flags.baseline is not None:
        raise UserError(f"--baseline gives metres only together with one of {_CHOICE}")
    if facts.holds_camera:
        _warn_of_field_of_view(facts.rig)
        return no_camera
    logging.warning(
        "no camera is given, so this is disparity, not depth; --fx=<pixels>,"
        " --intrinsics=<fx,fy,cx,cy> or --kitti_calib=<file> gives metres,"
        " --assume_training_camera guesses them"
    )
    return no_camera


def _warn_of_field_of_view(rig: Rig) -> None:
    logging.warning(
        "metres hold if the pictures have the training camera's field of view (fx = %.3f of the"
        " width)",
        rig.focal,
    )


def no_camera(file: Path, width: int, height: int) -> None:
    """The camera of a picture where none is known or needed."""


def describe(flags: absl_flags.FlagValues, rig: Rig | None, camera_of: CameraOf) -> str | None:
    """Where the camera came from that `camera_of` tells, for the summary."""
    if camera_of is no_camera:
        return None
    baseline = f", baseline {rig.baseline:g} m" if rig else ""
    if flags.fx is not None:
        return f"--fx={flags.fx:g}{baseline}"
    if flags.intrinsics:
        return f"--intrinsics={flags.intrinsics}{baseline}"
    if flags.kitti_calib:
        return f"{flags.kitti_calib}, camera {flags.kitti_camera}{baseline}"
    return f"assumed: the training camera{baseline}" if flags.assume_training_camera else None
