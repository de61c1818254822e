"""TFLite (LiteRT): one image at a time, for phones and boards."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kdepth import quiet
from kdepth.exporters import flatbuffer
from kdepth.exporters.graph import ExportedNetwork, frozen, network_function, save_with_signature
from kdepth.files import atomic_path
from kdepth.runtime import SIGNATURE

PRECISIONS = ("float32", "float16", "dynamic")


def write_tflite(
    network: ExportedNetwork, path: Path, precision: str = "float32", input_type: str = "float"
) -> None:
    """Writes a network as a TFLite file.

    Its signature `serving_default` takes `image` [1, H, W, C] and returns the output by name,
    float32.

    Args:
        network: from `exported_network`.
        path: the file.
        precision: of the stored weights: "float16" halves the file, "dynamic" (8 bits; activations
            are quantised as they come) quarters it.
        input_type: "float" (RGB in [0, 1]) or "uint8" (raw RGB).
    """
    import tensorflow as tf

    if precision not in PRECISIONS:
        raise ValueError(f"`precision` must be one of {PRECISIONS}; received {precision!r}")

    def configure(converter: Any) -> None:
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]

    content = convert(frozen(network_function(network, 1, input_type)), configure)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def convert(function: Any, configure: Callable[[Any], None]) -> bytes:
    """The TFLite file of a frozen concrete function.

    Args:
        function: from `graph.frozen`.
        configure: sets the converter's options.
    """
    import tensorflow as tf

    # C++ prints a page of statistics whatever the log level.
    with tempfile.TemporaryDirectory() as folder, quiet.native_stderr():
        save_with_signature(function, [], folder)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE])
        # What every device has.
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        configure(converter)
        return converter.convert()


def add_metadata(path: Path, text: str, description: str) -> None:
    """Writes a description into a TFLite file."""
    content = flatbuffer.with_metadata(path.read_bytes(), text, description)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
