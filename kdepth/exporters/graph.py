"""The one graph that every format is made from: a model's `depth_outputs` or `pose_outputs`, traced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kdepth.errors import UserError
from kdepth.runtime import INPUT_NAME


@dataclass(frozen=True)
class ExportedNetwork:
    """What is exported of a model: one function from images to one map or vector.

    Attributes:
        input_shape: rows, columns and channels of what it takes.
        output_name: of what it returns.
        output_shape: of one example.
        outputs: images [B, *input_shape] in [0, 1] -> {output_name: [B, *output_shape]}.
    """

    input_shape: tuple[int, int, int]
    output_name: str
    output_shape: tuple[int, ...]
    outputs: Callable[[Any], dict[str, Any]]


def exported_network(model: Any, part: str = "depth") -> ExportedNetwork:
    """The depth network or the pose network of a `kdepth.papers.base.DepthModel`.

    Neither the loss nor the warp belongs to it.

    Raises:
        UserError: if the paper has no such network.
    """
    height, width = model.image_size
    if part == "depth":
        shape = (height, width, 3 * model.depth_views)
        return ExportedNetwork(shape, model.output_name, (height, width, 1), model.depth_outputs)
    if part != "pose" or model.pose_frames is None:
        having = "depth" if model.pose_frames is None else "depth, pose"
        raise UserError(f"--part={part}: {model.paper} has {having}")
    frames = model.pose_frames
    return ExportedNetwork((height, width, 3 * frames), "pose", (frames - 1, 6), model.pose_outputs)


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


def network_function(network: ExportedNetwork, batch: int | None) -> Any:
    """A `tf.function` from float32 `image` [batch, H, W, C] to {output_name: [batch, ...]}.

    Args:
        network: what is exported.
        batch: number of images, None for any.
    """
    import tensorflow as tf

    @tf.function(
        autograph=False,
        input_signature=[tf.TensorSpec([batch, *network.input_shape], tf.float32, name=INPUT_NAME)],
    )
    def run(image: Any) -> dict[str, Any]:
        output = tf.cast(network.outputs(image)[network.output_name], tf.float32)
        return {network.output_name: tf.ensure_shape(output, [batch, *network.output_shape])}

    return run


def frozen_function(network: ExportedNetwork, batch: int | None) -> Any:
    """As `network_function`, with the weights as constants in the graph.

    Keras 3's variables do not survive the TFLite converter: it succeeds and the file returns NaN.
    Constants do.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    traced = network_function(network, batch).get_concrete_function()
    frozen = convert_variables_to_constants_v2(traced)
    (spec,) = traced.structured_input_signature[0] or traced.structured_input_signature[1].values()

    @tf.function(autograph=False, input_signature=[spec])
    def run(image: Any) -> dict[str, Any]:
        output = tf.nest.flatten(frozen(image))[0]
        return {network.output_name: tf.ensure_shape(output, [batch, *network.output_shape])}

    return run


def save_with_signature(function: Any, variables: Any, folder: str) -> None:
    """Writes a SavedModel of a `tf.function` that uses `variables` (raw `tf.Variable`s).

    A plain `tf.Module` is saved: Keras models that contain models are refused by Keras 2.15's
    saver, and Keras 3's variable wrappers come back as NaN.
    """
    import tensorflow as tf

    from kdepth.runtime import SIGNATURE

    module = tf.Module()
    module.weights = list(variables)
    module.network = function
    tf.saved_model.save(module, folder, signatures={SIGNATURE: function.get_concrete_function()})


def operator_names(function: Any) -> set[str]:
    """Names of the operators of a `tf.function` and of the functions that it calls."""
    graph = function.get_concrete_function().graph.as_graph_def()
    nodes = list(graph.node) + [node for inner in graph.library.function for node in inner.node_def]
    return {node.op for node in nodes}
