"""SavedModel: any batch size; for TensorFlow Serving and other TensorFlow programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kdepth.exporters.graph import depth_function, save_with_signature


def write_savedmodel(model: Any, folder: Path) -> None:
    """Writes a model's depth network as a SavedModel.

    Its signature `serving_default` takes `image` [None, H, W, 3] float32 RGB in [0, 1] and returns
    the output by name.

    Args:
        model: a `kdepth.papers.base.DepthModel`.
        folder: of the SavedModel; must not exist.
    """
    function = depth_function(model, batch=None)
    # What the trace really reads, as TensorFlow's own variables: no Keras wrapper, no loss counter,
    # no pose network.
    variables = function.get_concrete_function().graph.variables
    save_with_signature(function, variables, str(folder))
