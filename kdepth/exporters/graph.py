"""The one graph that every format is made from: a model's `depth_outputs` or `pose_outputs`, traced."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from kdepth.errors import UserError
from kdepth.prediction import SMALLEST_INVERSE
from kdepth.runtime import INPUT_NAME, ModelFacts

Outputs = Callable[[Any], dict[str, Any]]

INPUTS = ("float", "uint8")  # what a file takes: RGB in [0, 1], or raw pixels
LAYOUTS = ("nhwc", "nchw")
OUTPUTS = ("native", "depth")


@dataclasses.dataclass(frozen=True)
class ExportedNetwork:
    """What is exported of a model: one function from images to one map or vector.

    Attributes:
        facts: what a user of the files must know.
        output_shape: of one example.
        outputs: images [B, h, w, C] in [0, 1] -> {facts.output_tensor: [B, *output_shape]}.
        body_and_head: the same in two, see `DepthModel.depth_body_and_head`; None where the paper
            does not say where to cut.
    """

    facts: ModelFacts
    output_shape: tuple[int, ...]
    outputs: Outputs
    body_and_head: tuple[Callable[[Any], list[Any]], Callable[[list[Any]], dict[str, Any]]] | None


def exported_network(model: Any, part: str = "depth", output: str = "native") -> ExportedNetwork:
    """The depth network or the pose network of a `kdepth.papers.base.DepthModel`.

    Neither the loss nor the warp belongs to it.

    Args:
        model: the trained model.
        part: "depth" or "pose".
        output: "native" (what the paper's network predicts) or "depth": metres of a stereo paper
            whose training rig is known, depth up to a factor of a paper that learned from video.

    Raises:
        UserError: if the paper has no such network, or nothing says what its disparity is in metres.
    """
    if output not in OUTPUTS:
        raise UserError(f"--output={output}: choose one of {', '.join(OUTPUTS)}")
    if part == "pose":
        if model.pose_frames is None:
            raise UserError(f"--part=pose: {model.paper} has no pose network, only depth")
        if output != "native":
            raise UserError(f"--output={output}: a pose network predicts no depth")
        facts = ModelFacts.of_model(model, part)
        return ExportedNetwork(facts, (facts.frames - 1, 6), model.pose_outputs, None)
    if part != "depth":
        raise UserError(f"--part={part}: choose depth or pose")
    native = ModelFacts.of_model(model)
    facts, to_output = native, _to_depth(native) if output == "depth" else None
    if to_output is not None:
        facts = dataclasses.replace(native, output_name="depth")

    def named(outputs: dict[str, Any]) -> dict[str, Any]:
        values = outputs[native.output_name]
        return {facts.output_tensor: values if to_output is None else to_output(values)}

    halves = model.depth_body_and_head()
    if halves is not None:
        body, head = halves
        halves = (body, lambda maps: named(head(maps)))
    return ExportedNetwork(
        facts,
        (facts.height, facts.image_width, 1),
        lambda images: named(model.depth_outputs(images)),
        halves,
    )


def _to_depth(facts: ModelFacts) -> Callable[[Any], Any] | None:
    """Disparity or inverse depth as depth, as `Prediction.to_depth` has it; None where it is depth."""
    import tensorflow as tf

    if facts.output_name == "depth":
        return None
    factor = 1.0
    if facts.output_name == "disparity":
        if facts.rig is None:
            raise UserError(
                f"--output=depth: this {facts.paper} model does not know the stereo rig that it was"
                " trained with, so its disparity is no metres; export it as it is (--output=native)"
            )
        factor = facts.rig.focal * facts.rig.baseline
    return lambda values: factor / tf.maximum(values, SMALLEST_INVERSE)


def require_tensorflow_backend() -> None:
    """Exports need the TensorFlow backend of Keras.

    Raises:
        UserError: if Keras runs on another one.
    """
    from kdepth import backend

    if backend.BACKEND != "tensorflow":
        raise UserError(
            "exports are made by the TensorFlow backend of Keras, and this process runs on"
            f" {backend.BACKEND}:"
            " save the weights (`model.save_parts`; a run has them), then export with"
            " KERAS_BACKEND=tensorflow"
        )


def network_function(
    network: ExportedNetwork, batch: int | None, input_type: str = "float", layout: str = "nhwc"
) -> Any:
    """A `tf.function` from `image` to {output: [batch, ...] float32}.

    Args:
        network: what is exported.
        batch: number of images, None for any.
        input_type: one of `INPUTS`; raw pixels are brought to [0, 1] in the graph.
        layout: one of `LAYOUTS`, of images and maps.
    """
    import tensorflow as tf

    name, channels_first = network.facts.output_tensor, layout == "nchw"
    rows, columns, channels = network.facts.input_shape
    shape = (channels, rows, columns) if channels_first else (rows, columns, channels)
    dtype = tf.uint8 if input_type == "uint8" else tf.float32

    @tf.function(
        autograph=False,
        input_signature=[tf.TensorSpec([batch, *shape], dtype, name=INPUT_NAME)],
    )
    def run(image: Any) -> dict[str, Any]:
        if input_type == "uint8":
            image = tf.cast(image, tf.float32) * (1.0 / 255.0)
        if channels_first:
            image = tf.transpose(image, [0, 2, 3, 1])
        output = tf.cast(network.outputs(image)[name], tf.float32)
        output = tf.ensure_shape(output, [batch, *network.output_shape])
        if channels_first and len(network.output_shape) == 3:
            output = tf.transpose(output, [0, 3, 1, 2])
        return {name: output}

    return run


def frozen(function: Any) -> Any:
    """A `tf.function` like another one, with the weights as constants in the graph.

    Keras 3's variables do not survive the TFLite converter: it succeeds and the file returns NaN.
    Constants do.

    Args:
        function: with an input signature or traced for one; takes tensors, returns a dict.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    traced = function if hasattr(function, "graph") else function.get_concrete_function()
    constant = convert_variables_to_constants_v2(traced)
    positional, named = traced.structured_input_signature
    specs = {spec.name: spec for spec in tf.nest.flatten((positional, named))}
    outputs = traced.structured_outputs

    def run(**inputs: Any) -> dict[str, Any]:
        values = tf.nest.flatten(constant(*(inputs[name] for name in specs)))
        shaped = [
            tf.ensure_shape(value, outputs[name].shape)
            for name, value in zip(sorted(outputs), values)
        ]
        return dict(zip(sorted(outputs), shaped))

    return trace(run, specs)


def trace(function: Callable[..., dict[str, Any]], specs: Mapping[str, Any]) -> Any:
    """A concrete function of keyword arguments, whose names a file's signature then has.

    Args:
        function: of keyword arguments.
        specs: their `tf.TensorSpec`s.
    """
    import tensorflow as tf

    return tf.function(function, autograph=False).get_concrete_function(**specs)


def save_with_signature(function: Any, variables: Any, folder: str) -> None:
    """Writes a SavedModel of a traced function that uses `variables` (raw `tf.Variable`s).

    A plain `tf.Module` is saved: Keras models that contain models are refused by Keras 2.15's
    saver, and Keras 3's variable wrappers come back as NaN.
    """
    import tensorflow as tf

    from kdepth.runtime import SIGNATURE

    module = tf.Module()
    module.weights = list(variables)
    module.network = function
    tf.saved_model.save(module, folder, signatures={SIGNATURE: function})
