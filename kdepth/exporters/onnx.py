"""ONNX: any batch size; for ONNX Runtime on servers, desktops and in browsers."""

from __future__ import annotations

import logging as python_logging
from pathlib import Path

from kdepth.errors import UserError
from kdepth.exporters.graph import ExportedNetwork, network_function
from kdepth.files import atomic_path
from kdepth.runtime import METADATA_NAME

OPSET = 17
OPSETS = (13, 18)  # the lowest that the networks need, the highest that tf2onnx writes
BATCH = "batch"


def write_onnx(
    network: ExportedNetwork,
    path: Path,
    *,
    input_type: str = "float",
    layout: str = "nhwc",
    opset: int = OPSET,
) -> None:
    """Writes a network as an ONNX file.

    It takes `image` [batch, H, W, C] and returns the output by name.

    Args:
        network: from `exported_network`.
        path: the file.
        input_type: "float" (RGB in [0, 1]) or "uint8" (raw RGB).
        layout: "nhwc", or "nchw": [batch, C, H, W] in and [batch, 1, H, W] out.
        opset: version of ONNX's operators.

    Raises:
        UserError: if tf2onnx is not installed.
    """
    try:
        import onnx
        import tf2onnx
    except ImportError as error:
        raise UserError(
            f"ONNX export needs tf2onnx and onnx ({error}): pip install tf2onnx onnx"
        ) from None

    function = network_function(network, None, input_type, layout)
    graph, _ = tf2onnx.convert.from_function(
        function, input_signature=list(function.input_signature), opset=opset
    )
    for value in (*graph.graph.input, *graph.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = BATCH  # tf2onnx calls it `unk__N`
    onnx.checker.check_model(graph)
    with atomic_path(path) as temporary:
        onnx.save(graph, str(temporary))


def write_dynamic(source: Path, path: Path) -> None:
    """Writes an ONNX file with 8-bit weights; activations are quantised as they come.

    Weights are unsigned, because ONNX Runtime's integer convolution on the CPU takes no others.

    Args:
        source: the float32 file.
        path: the file to write.

    Raises:
        UserError: if onnxruntime is not installed.
    """
    try:
        from onnxruntime import quantization
    except ImportError as error:
        raise UserError(
            f"--precisions=dynamic of ONNX needs onnxruntime ({error}): pip install onnxruntime"
        ) from None
    root = python_logging.getLogger()
    level = root.level
    root.setLevel(python_logging.ERROR)  # it recommends a preprocessing that changes nothing here
    try:
        with atomic_path(path) as temporary:
            quantization.quantize_dynamic(
                source,
                temporary,
                op_types_to_quantize=["Conv", "MatMul", "Gemm"],
                weight_type=quantization.QuantType.QUInt8,
            )
    finally:
        root.setLevel(level)


def add_metadata(path: Path, text: str, description: str) -> None:
    """Writes a description into an ONNX file: `metadata_props` and `doc_string`."""
    import onnx

    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, {METADATA_NAME: text})
    model.doc_string = description
    with atomic_path(path) as temporary:
        onnx.save(model, str(temporary))
