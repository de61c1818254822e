"""SavedModel: any batch size; for TensorFlow Serving and other TensorFlow programs."""

from __future__ import annotations

from pathlib import Path

from kdepth.exporters.graph import ExportedNetwork, network_function, save_with_signature
from kdepth.runtime import METADATA_FILE


def write_savedmodel(network: ExportedNetwork, folder: Path, input_type: str = "float") -> None:
    """Writes a network as a SavedModel.

    Its signature `serving_default` takes `image` [None, H, W, C] and returns the output by name.

    Args:
        network: from `exported_network`.
        folder: of the SavedModel; must not exist.
        input_type: "float" (RGB in [0, 1]) or "uint8" (raw RGB).
    """
    function = network_function(network, None, input_type).get_concrete_function()
    # What the trace really reads, as TensorFlow's own variables: no Keras wrapper, no loss counter,
    # no other network.
    save_with_signature(function, function.graph.variables, str(folder))


def add_metadata(folder: Path, text: str) -> None:
    """Writes a description into a SavedModel, where TensorFlow keeps what is not its own."""
    path = folder / METADATA_FILE
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
