"""SavedModel: any batch size; for TensorFlow Serving and other TensorFlow programs."""

from __future__ import annotations

from pathlib import Path

from kdepth.exporters.graph import ExportedNetwork, network_function, save_with_signature


def write_savedmodel(network: ExportedNetwork, folder: Path) -> None:
    """Writes a network as a SavedModel.

    Its signature `serving_default` takes `image` [None, H, W, C] float32 RGB in [0, 1] and returns
    the output by name.

    Args:
        network: from `exported_network`.
        folder: of the SavedModel; must not exist.
    """
    function = network_function(network, batch=None)
    # What the trace really reads, as TensorFlow's own variables: no Keras wrapper, no loss counter,
    # no other network.
    variables = function.get_concrete_function().graph.variables
    save_with_signature(function, variables, str(folder))
