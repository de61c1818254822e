"""TFLite files in 8 bits: all of the network, or all but its last small layers.

The range of every map is measured on calibration images, here and not by TensorFlow's calibrator:
that one reads a map after an operator further on was allowed to write into the same memory, so an
image in [0, 1] that is multiplied by 255 counts as one in [0, 255] and keeps one bit of its eight.

TensorFlow keeps an operator that has no 8-bit kernel in float and says nothing;
`flatbuffer.float_operators` finds those.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import numpy as np

from kdepth import quiet
from kdepth.errors import UserError
from kdepth.exporters import flatbuffer
from kdepth.exporters.graph import ExportedNetwork, frozen, network_function, trace
from kdepth.exporters.tflite import convert
from kdepth.files import atomic_path
from kdepth.runtime import INPUT_NAME

PRECISIONS = ("int8", "int8_float_io", "int8_float_head")


class Int8Files:
    """The 8-bit files of a network, from one set of calibration images.

    Attributes:
        network: from `exported_network`.
        images: calibration images, float32 [N, h, w, C] in [0, 1].
        input_type: "float" or "uint8". Raw pixels are the input's 8-bit numbers themselves, but for
            an offset of 128.
    """

    def __init__(self, network: ExportedNetwork, images: np.ndarray, input_type: str) -> None:
        """See the class."""
        self.network, self.input_type = network, input_type
        self.images = np.clip(images, 0.0, 1.0)
        # The input's range is [0, 1] whatever the pictures are, so that its steps are the 1/255 of
        # a pixel.
        self.images[0, 0, 0], self.images[0, 0, 1] = 0.0, 1.0

    def write(self, path: Path, precision: str) -> None:
        """Writes one file.

        Args:
            path: the file.
            precision: "int8" (8 bits in and out), "int8_float_io" (float in, or raw pixels, and
                float out) or "int8_float_head" (likewise; the last layers compute in float).

        Raises:
            UserError: if the paper does not say where its head begins.
        """
        import tensorflow as tf

        raw = tf.uint8 if self.input_type == "uint8" else None
        if precision == "int8":
            content = _with_types(self._whole, raw or tf.int8, tf.int8)
        elif precision == "int8_float_io":
            content = _with_types(self._whole, raw or tf.float32, tf.float32)
        else:
            body, head = self._body_and_head()
            content = flatbuffer.join(_with_types(body, raw or tf.float32, tf.float32), head)
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)

    @functools.cached_property
    def _whole(self) -> bytes:
        return self._calibrated(frozen(network_function(self.network, 1)))

    def _body_and_head(self) -> tuple[bytes, bytes]:
        import tensorflow as tf

        network = self.network
        if network.body_and_head is None:
            raise UserError(
                f"--precisions=int8_float_head: {network.facts.paper} does not say which of its layers"
                " are the head (DepthModel.depth_body_and_head); choose int8_float_io"
            )
        body, head = network.body_and_head

        def body_outputs(**inputs: Any) -> dict[str, Any]:
            return {f"map_{i:02d}": x for i, x in enumerate(body(inputs[INPUT_NAME]))}

        def head_outputs(**maps: Any) -> dict[str, Any]:
            name = network.facts.output_tensor
            output = head([maps[key] for key in sorted(maps)])[name]
            return {name: tf.ensure_shape(output, [1, *network.output_shape])}

        image = tf.TensorSpec([1, *network.facts.input_shape], tf.float32, name=INPUT_NAME)
        first = trace(body_outputs, {INPUT_NAME: image})
        specs = {
            name: tf.TensorSpec([1, *x.shape[1:]], tf.float32, name=name)
            for name, x in first.structured_outputs.items()
        }
        second = frozen(trace(head_outputs, specs))
        return self._calibrated(frozen(first)), convert(second, lambda converter: None)

    def _calibrated(self, function: Any) -> bytes:
        """An 8-bit file with float input and output."""
        from tensorflow.lite.python.convert import mlir_quantize

        content = with_ranges(convert(function, lambda converter: None), self.images)
        # TensorFlow leaves ELU float, and the convolutions after it, though TFLite has an 8-bit ELU.
        # So another operator of the same form takes its place for as long.
        free = "LEAKY_RELU" not in flatbuffer.float_operators(content)
        if free:
            content = flatbuffer.change_operator(content, "ELU", "LEAKY_RELU")
        with quiet.native_stderr():
            content = mlir_quantize(content)
        return flatbuffer.change_operator(content, "LEAKY_RELU", "ELU") if free else content


def with_ranges(content: bytes, images: np.ndarray) -> bytes:
    """A float TFLite file whose maps say which values they took.

    Args:
        content: the file.
        images: [N, h, w, C], what it is run on, one by one.
    """
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    model = flatbuffer.parse(content)
    (graph,) = model.subgraphs
    interpreter = Interpreter(
        model_content=content,
        num_threads=os.cpu_count(),
        # No map may take the memory of another one, and none may hide in a fused kernel.
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    made = [*graph.inputs, *(index for operator in graph.operators for index in operator.outputs)]
    maps = [int(i) for i in made if graph.tensors[i].type == schema.TensorType.FLOAT32]
    lowest, highest = dict.fromkeys(maps, np.inf), dict.fromkeys(maps, -np.inf)
    for image in images:
        interpreter.set_tensor(int(graph.inputs[0]), image[None])
        interpreter.invoke()
        for index in maps:
            values = interpreter.get_tensor(index)
            lowest[index] = min(lowest[index], float(values.min()))
            highest[index] = max(highest[index], float(values.max()))
    for index in maps:
        # A map that never changes has a range too.
        high = max(highest[index], lowest[index] + 1e-6)
        graph.tensors[index].quantization = schema.QuantizationParametersT(
            min=[lowest[index]], max=[high]
        )
    return flatbuffer.pack(model)


def _with_types(content: bytes, input_type: Any, output_type: Any) -> bytes:
    """A file whose float input and output became 8-bit ones, where asked for."""
    import tensorflow as tf
    from tensorflow.lite.python.util import modify_model_io_type

    if input_type == output_type == tf.float32:
        return content
    return modify_model_io_type(content, input_type, output_type)
