"""Exported models without TensorFlow: depth of an image from a `.tflite` or `.onnx` file.

```python
model = kdepth.runtime.DepthModel("exports/garg/garg.tflite")  # pip install kdepth[runtime]
prediction = model(image, camera)  # uint8 [H, W, 3] in, a Prediction of the image's size out
```

Every exported file has a description beside it (`garg.json` for `garg.tflite`,
`garg_float16.tflite`, `garg.onnx` and `garg_savedmodel/`): without it nobody could say how to
prepare the image or what the numbers mean, so a file without one is refused, and so is a file whose
sha256 is not the described one. The interpreters are imported when a file is opened; importing this
module needs NumPy and Pillow only.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kdepth import quiet
from kdepth.data.image import resize_image
from kdepth.errors import UserError
from kdepth.geometry import pose
from kdepth.geometry.camera import Camera
from kdepth.prediction import KINDS, QUANTITIES, Prediction, Rig

DESCRIPTION_FORMAT = 1
INPUT_NAME = "image"
SIGNATURE = "serving_default"
SAVEDMODEL_SUFFIX = "_savedmodel"
# What follows the model's name in a file's name; the description is `<name>.json`.
SUFFIXES = ("_float16.tflite", ".tflite", ".onnx", SAVEDMODEL_SUFFIX)

Network = Callable[[np.ndarray], np.ndarray]
"""float32 images [B, h, w, C] in [0, 1] at the network's size -> its output [B, h, w, 1] or [B, N, 6]."""

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
    def unit(self) -> str:
        """Unit of the network's own output."""
        if self.part == "pose":
            return "relative, radians"
        if self.output_name == "disparity":
            return "fraction of the width"
        return "m" if self.kind == "metric" else "relative"


class DepthModel:
    """An exported depth network that takes images of any size.

    Attributes:
        path: the file.
        facts: what it is.
        description: the whole of the JSON beside it.
    """

    def __init__(self, path: str | Path, *, threads: int | None = None) -> None:
        """Opens an exported model.

        Args:
            path: a `.tflite` or `.onnx` file or a `_savedmodel` folder that `kdepth export` wrote.
            threads: of the interpreter; its own choice by default.

        Raises:
            UserError: if the file or its description is missing, damaged or of another tool, or the
                interpreter is not installed.
        """
        self.path = Path(path)
        self.description, self.facts = _open_description(self.path, "depth")
        self._network = open_network(self.path, self.facts, threads)

    def __call__(
        self, image: np.ndarray, camera: Camera | None = None, rig: Rig | None = None
    ) -> Prediction:
        """Depth of one image.

        Args:
            image: [H, W, 3] RGB, uint8 or float in [0, 1].
            camera: the camera that took it; networks that learned from stereo then give metres.
            rig: in the place of the recorded training rig.

        Returns:
            A prediction [1, H, W] of the image's size.

        Raises:
            UserError: if the image has another shape, or metres are asked of a model without a
                known rig.
        """
        return predict_image(self._network, self.facts, image, camera, rig)

    def run(self, images: np.ndarray) -> np.ndarray:
        """The network alone, at its own size.

        Args:
            images: [B, h, w, 3] in [0, 1]; [B, h, w, 6] where `facts.frames` is 2: left and right.

        Returns:
            Its output, float32 [B, h, w, 1].

        Raises:
            UserError: if the images have another size.
        """
        size = self.facts.input_shape
        if images.ndim != 4 or images.shape[1:] != size:
            raise UserError(
                f"{self.path} takes images [B, {size[0]}, {size[1]}, {size[2]}]; received"
                f" {list(images.shape)}"
            )
        return self._network(np.asarray(images, np.float32))


class PoseModel:
    """An exported pose network: camera motion between frames of any size.

    Attributes:
        path: the file.
        facts: what it is.
        description: the whole of the JSON beside it.
    """

    def __init__(self, path: str | Path, *, threads: int | None = None) -> None:
        """Opens an exported pose network; arguments and errors as of `DepthModel`."""
        self.path = Path(path)
        self.description, self.facts = _open_description(self.path, "pose")
        self._network = open_network(self.path, self.facts, threads)

    def __call__(self, frames: Sequence[np.ndarray]) -> np.ndarray:
        """Motion between consecutive frames.

        Args:
            frames: `facts.frames` images [H, W, 3] RGB in time order, uint8 or float in [0, 1].

        Returns:
            [N - 1, 4, 4] float64, T_{k+1 <- k}: takes points of frame k's camera to frame k + 1's.
            Translations are in the units of the paper's relative depth.

        Raises:
            UserError: if there is another number of frames, or one is no image.
        """
        if len(frames) != self.facts.frames:
            raise UserError(
                f"{self.path} takes {self.facts.frames} frames at once; received {len(frames)}"
            )
        stacked = np.concatenate([prepare_image(self.facts, frame) for frame in frames], axis=-1)
        vectors = np.asarray(self._network(stacked), np.float64)
        return pose.consecutive(vectors, self.facts.target)[0]


def _open_description(path: Path, part: str) -> tuple[dict[str, Any], ModelFacts]:
    """The description and facts of an exported file that holds `part`.

    Raises:
        UserError: if the file or its description is missing, damaged or of something else.
    """
    description = read_description(path)
    facts = ModelFacts.from_dict(description, description_path(path))
    if facts.part != part:
        raise UserError(
            f"{path} holds a {facts.part} network, not a {part} network:"
            f" open it with kdepth.runtime.{facts.part.capitalize()}Model"
        )
    if sha256(path) != description["files"][path.name].get("sha256"):
        raise UserError(
            f"{path} is not the file that {description_path(path).name} describes"
            " (sha256 differs): it is truncated or was changed; copy both again or export again"
        )
    return description, facts


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
    return resize_image(image, facts.height, facts.image_width, facts.resize)[None].astype(
        np.float32
    )


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
        A prediction [1, H, W]; metres from a stereo paper where `camera` is given.

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
    if facts.output_name == "disparity" and camera is not None:
        return prediction.to_depth(camera, rig)
    return prediction


# -- files -----------------------------------------------------------------------------------------


def description_path(path: Path) -> Path:
    """Where the description of an exported file is: `garg.json` for `garg_float16.tflite`.

    Raises:
        UserError: if the name is none that an export has.
    """
    for suffix in SUFFIXES:
        if path.name.endswith(suffix) and path.name != suffix:
            return path.with_name(f"{path.name[: -len(suffix)]}.json")
    raise UserError(
        f"{path} is no exported kdepth model: expected a .tflite or .onnx file or a folder"
        f" *{SAVEDMODEL_SUFFIX}"
    )


def read_description(path: Path) -> dict[str, Any]:
    """The description beside an exported file.

    Raises:
        UserError: if the file or its description is missing, or the description is of something
            else.
    """
    beside = description_path(path)
    if not path.exists():
        raise UserError(f"there is no exported model {path}: write one with `kdepth export`")
    try:
        description = json.loads(beside.read_text(encoding="utf-8"))
        described, version = path.name in description["files"], description["format"]
    except FileNotFoundError:
        raise UserError(
            f"{beside} is missing, which says what {path.name} is: keep the two together"
            " (`kdepth export` writes both; models of other tools are not read)"
        ) from None
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise UserError(f"{beside} is not a description of a kdepth model ({error!r})") from None
    if version != DESCRIPTION_FORMAT:
        raise UserError(
            f"{beside} has format {version}; this kdepth reads format {DESCRIPTION_FORMAT}"
        )
    if not described:
        raise UserError(f"{beside} does not describe {path.name}: export again")
    return description


def sha256(path: Path) -> str:
    """Digest of a file, or of a folder's files with their names."""
    digest = hashlib.sha256()
    if path.is_dir():
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            digest.update(f"{file.relative_to(path).as_posix()}\0{sha256(file)}\n".encode())
        return digest.hexdigest()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


# -- interpreters ----------------------------------------------------------------------------------


def open_network(path: Path, facts: ModelFacts, threads: int | None = None) -> Network:
    """An exported file as a function of arrays, whatever format it has.

    Raises:
        UserError: if it is no such file, has another input or output, or the interpreter is not
            installed.
    """
    name = path.name
    if name.endswith(".tflite"):
        module, extra, opener = "ai_edge_litert.interpreter", "runtime", _litert_network
    elif name.endswith(".onnx"):
        module, extra, opener = "onnxruntime", "runtime-onnx", _onnx_network
    else:
        training = "addons" if sys.version_info < (3, 12) else "keras3"
        module, extra, opener = "tensorflow", training, _savedmodel_network
    try:
        interpreter = importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"{path} needs {module.split('.')[0]} ({error}): pip install kdepth[{extra}]"
        ) from None
    # Where a command asked for quiet, XNNPACK's greeting from C++ is left out too.
    quiet_asked = os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "3"
    try:
        with quiet.native_stderr() if quiet_asked else contextlib.nullcontext():
            network, shape, outputs = opener(interpreter, path, facts, threads)
    except Exception as error:  # each interpreter has its own kinds of error for a damaged file
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise UserError(f"{path} cannot be opened as a model: {reason}") from None
    if shape != facts.input_shape or facts.output_name not in outputs:
        raise UserError(
            f"{path} takes {list(shape)} and gives {sorted(outputs)}, but its description says"
            f" {list(facts.input_shape)} and '{facts.output_name}': export again"
        )
    return network


def _litert_network(litert: Any, path: Path, facts: ModelFacts, threads: int | None) -> Any:
    interpreter = litert.Interpreter(str(path), num_threads=threads)
    interpreter.allocate_tensors()
    run = interpreter.get_signature_runner(SIGNATURE)
    shape = run.get_input_details()[INPUT_NAME]["shape"]

    def network(images: np.ndarray) -> np.ndarray:  # the file holds a batch of one
        return np.concatenate(
            [run(**{INPUT_NAME: image[None]})[facts.output_name] for image in images]
        )

    return network, tuple(int(size) for size in shape[1:]), set(run.get_output_details())


def _onnx_network(onnxruntime: Any, path: Path, facts: ModelFacts, threads: int | None) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; its warnings tell a user nothing
    options.intra_op_num_threads = threads or 0
    session = onnxruntime.InferenceSession(
        str(path), sess_options=options, providers=["CPUExecutionProvider"]
    )
    (image,) = session.get_inputs()

    def network(images: np.ndarray) -> np.ndarray:
        return session.run([facts.output_name], {INPUT_NAME: images})[0]

    return network, tuple(image.shape[1:]), {output.name for output in session.get_outputs()}


def _savedmodel_network(tf: Any, path: Path, facts: ModelFacts, threads: int | None) -> Any:
    loaded = tf.saved_model.load(str(path))
    run = loaded.signatures[SIGNATURE]
    shape = run.structured_input_signature[1][INPUT_NAME].shape

    def network(
        images: np.ndarray, keep: Any = loaded
    ) -> np.ndarray:  # the variables live as long as `keep`
        return run(**{INPUT_NAME: tf.constant(images)})[facts.output_name].numpy()

    return network, tuple(shape[1:]), set(run.structured_outputs)
