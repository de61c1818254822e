"""TFLite (LiteRT): one image at a time, for phones and boards."""

from __future__ import annotations

import tempfile
from pathlib import Path

from kdepth import quiet
from kdepth.exporters.graph import ExportedNetwork, frozen_function, save_with_signature
from kdepth.files import atomic_path
from kdepth.runtime import SIGNATURE

PRECISIONS = ("float32", "float16")


def write_tflite(network: ExportedNetwork, path: Path, precision: str = "float32") -> None:
    """Writes a network as a TFLite file.

    Its signature `serving_default` takes `image` [1, H, W, C] float32 RGB in [0, 1] and returns the
    output by name.

    Args:
        network: from `exported_network`.
        path: the file.
        precision: of the stored weights; "float16" halves the file, input and output stay float32.
    """
    import tensorflow as tf

    if precision not in PRECISIONS:
        raise ValueError(f"`precision` must be one of {PRECISIONS}; received {precision!r}")
    # C++ prints a page of statistics whatever the log level.
    with tempfile.TemporaryDirectory() as folder, quiet.native_stderr():
        save_with_signature(frozen_function(network, batch=1), [], folder)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE])
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS
        ]  # what every device has
        if precision == "float16":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.target_spec.supported_types = [tf.float16]
        content = converter.convert()
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
