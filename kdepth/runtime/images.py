"""Image in, prediction of its size out: the path that exported and Keras models share."""

from __future__ import annotations

import numpy as np

from kdepth.data.image import resize_image
from kdepth.errors import UserError
from kdepth.geometry.camera import Camera
from kdepth.prediction import Prediction, Rig
from kdepth.runtime.facts import ModelFacts
from kdepth.runtime.interpreters import Network


def prepare_image(facts: ModelFacts, image: np.ndarray) -> np.ndarray:
    """An image as the network takes it.

    Args:
        facts: about the network.
        image: [H, W, 3] RGB, uint8 or float in [0, 1].

    Returns:
        float32 [1, h, w, 3] in [0, 1].

    Raises:
        UserError: if it is not such an image.
    """
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise UserError(f"`image` must be RGB [H, W, 3]; received shape {list(image.shape)}")
    if image.dtype != np.uint8 and not np.issubdtype(image.dtype, np.floating):
        raise UserError(f"`image` must be uint8, or float in [0, 1]; received {image.dtype}")
    if image.dtype != np.uint8 and image.max() > 2.0:  # not what resizing overshoots by
        raise UserError(
            f"`image` of floats must lie in [0, 1]; received values up to {image.max():g}:"
            " divide by 255, or give uint8"
        )
    resized = resize_image(image, facts.height, facts.image_width, facts.resize)
    # Bicubic resizing overshoots where floats go in; bytes it clips by itself.
    return np.clip(resized, 0.0, 1.0)[None].astype(np.float32)


def predict_image(
    network: Network,
    facts: ModelFacts,
    image: np.ndarray,
    camera: Camera | None = None,
    rig: Rig | None = None,
) -> Prediction:
    """Image in, prediction of its size out; exported and Keras models alike take this path.

    Args:
        network: runs at the network's size.
        facts: about the network.
        image: [H, W, 3] RGB, uint8 or float in [0, 1].
        camera: the camera that took it, of any size with the same field of view.
        rig: in the place of the recorded training rig.

    Returns:
        A prediction [1, H, W]; metres from a stereo paper where `camera` is given, or where its graph
        ends in metres: then those of the training camera, or of `camera` where that is given.

    Raises:
        UserError: if the network needs both views of a stereo pair, or a camera is given but no
            rig is known.
    """
    if facts.frames != 1:
        raise UserError(
            f"this {facts.paper} model looks at both views of a stereo pair, so it cannot predict"
            " from one picture; `evaluate` scores it on stereo data, and from a script it takes"
            " both views (`predict_depth(..., stereo=)` of a run, `run` of an exported model)"
        )
    rig = facts.rig if rig is None else rig
    if facts.output_name == "disparity" and camera is not None and rig is None:
        raise UserError(
            f"this {facts.paper} model does not know the baseline it was trained with, so a camera"
            " gives no metres: say the baseline too (--baseline, in metres)"
        )
    values = np.asarray(network(prepare_image(facts, image)), np.float32)[..., 0]
    kind = "disparity" if facts.output_name == "disparity" else facts.kind
    prediction = Prediction(**{facts.output_name: values}, kind=kind, unit=facts.unit)
    prediction = prediction.resize(*np.shape(image)[:2])
    if camera is None:
        return prediction
    if facts.output_name == "disparity":
        return prediction.to_depth(camera, rig)
    if facts.holds_camera and np.isfinite(camera.fx):
        # The graph took the training rig for granted; metres go with focal length and baseline.
        wider = camera.fx / camera.width / facts.rig.focal * (rig.baseline / facts.rig.baseline)
        return prediction.with_values(prediction.values * np.float32(wider))
    return prediction
