"""ONNX: any batch size; for ONNX Runtime on servers, desktops and in browsers."""

from __future__ import annotations

from pathlib import Path

from kdepth.errors import UserError
from kdepth.exporters.graph import ExportedNetwork, network_function
from kdepth.files import atomic_path

OPSET = 17
BATCH = "batch"


def write_onnx(network: ExportedNetwork, path: Path) -> None:
    """Writes a network as an ONNX file.

    It takes `image` [batch, H, W, C] float32 RGB in [0, 1] and returns the output by name.

    Args:
        network: from `exported_network`.
        path: the file.

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

    function = network_function(network, batch=None)
    graph, _ = tf2onnx.convert.from_function(
        function, input_signature=list(function.input_signature), opset=OPSET
    )
    for value in (*graph.graph.input, *graph.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = BATCH  # tf2onnx calls it `unk__N`
    onnx.checker.check_model(graph)
    with atomic_path(path) as temporary:
        onnx.save(graph, str(temporary))
