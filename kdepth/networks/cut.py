"""A network in two: what an export keeps in 8 bits, and the last small layers that stay float."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras


def cut(
    network: keras.Model, layers: Sequence[str], output: int = 0
) -> tuple[Callable[[Any], list[Any]], Callable[[list[Any]], Any]]:
    """Splits a functional network before some of its layers; both halves share its weights.

    Args:
        network: to split; it stays as it is.
        layers: names of layers that together separate the input from the output. Each is the first
            of the second half.
        output: which of the network's outputs is wanted.

    Returns:
        (body, head), in inference mode: input -> list of maps, one for each layer; list of maps ->
        the output.
    """
    tensors = [network.get_layer(name).input for name in layers]
    body = keras.Model(network.inputs, tensors, name=f"{network.name}_body")
    head = keras.Model(tensors, network.outputs[output], name=f"{network.name}_head")

    def run_body(inputs: Any) -> list[Any]:
        maps = body(inputs, training=False)
        return list(maps) if isinstance(maps, (list, tuple)) else [maps]

    def run_head(maps: list[Any]) -> Any:
        return head(maps if len(maps) > 1 else maps[0], training=False)

    return run_body, run_head
