"""The one graph that every format is made from: a model's `depth_outputs`, traced."""

from __future__ import annotations

from typing import Any

from kdepth.errors import UserError
from kdepth.runtime import INPUT_NAME


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


def depth_function(model: Any, batch: int | None) -> Any:
    """A `tf.function` from float32 `image` [batch, H, W, 3] to {output_name: [batch, H, W, 1]}.

    Only `model.depth_outputs` is traced, so neither the loss nor the warp gets into an export.

    Args:
        model: a `kdepth.papers.base.DepthModel`.
        batch: number of images, None for any.
    """
    import tensorflow as tf

    height, width = model.image_size

    @tf.function(
        autograph=False,
        input_signature=[tf.TensorSpec([batch, height, width, 3], tf.float32, name=INPUT_NAME)],
    )
    def depth(image: Any) -> dict[str, Any]:
        output = tf.cast(model.depth_outputs(image)[model.output_name], tf.float32)
        return {model.output_name: tf.ensure_shape(output, [batch, height, width, 1])}

    return depth


def frozen_function(model: Any, batch: int | None) -> Any:
    """As `depth_function`, with the weights as constants in the graph.

    Keras 3's variables do not survive the TFLite converter: it succeeds and the file returns NaN.
    Constants do.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    traced = depth_function(model, batch).get_concrete_function()
    frozen = convert_variables_to_constants_v2(traced)
    (spec,) = traced.structured_input_signature[0] or traced.structured_input_signature[1].values()

    @tf.function(autograph=False, input_signature=[spec])
    def depth(image: Any) -> dict[str, Any]:
        output = tf.nest.flatten(frozen(image))[0]
        return {model.output_name: tf.ensure_shape(output, [batch, *model.image_size, 1])}

    return depth


def save_with_signature(function: Any, variables: Any, folder: str) -> None:
    """Writes a SavedModel of a `tf.function` that uses `variables` (raw `tf.Variable`s).

    A plain `tf.Module` is saved: Keras models that contain models are refused by Keras 2.15's
    saver, and Keras 3's variable wrappers come back as NaN.
    """
    import tensorflow as tf

    from kdepth.runtime import SIGNATURE

    module = tf.Module()
    module.weights = list(variables)
    module.depth = function
    tf.saved_model.save(module, folder, signatures={SIGNATURE: function.get_concrete_function()})


def operator_names(function: Any) -> set[str]:
    """Names of the operators of a `tf.function` and of the functions that it calls."""
    graph = function.get_concrete_function().graph.as_graph_def()
    nodes = list(graph.node) + [node for inner in graph.library.function for node in inner.node_def]
    return {node.op for node in nodes}
