"""What a file says of itself, and what the JSON beside it says of all files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kdepth.exporters import flatbuffer, int8
from kdepth.exporters.plan import File
from kdepth.runtime import DESCRIPTION_FORMAT, INPUT_NAME, SIGNATURE, ModelFacts
from kdepth.versions import versions


def of_network(
    name: str,
    facts: ModelFacts,
    model: Any,
    run: Mapping[str, Any],
    score: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What is true of every file of an export.

    Args:
        name: of the files.
        facts: about the network.
        model: the Keras model.
        run: about its training.
        score: of the model in an evaluation, with its protocol; None if there was none.
    """
    return {
        "format": DESCRIPTION_FORMAT,
        "name": name,
        **facts.to_dict(),
        "intrinsics": facts.intrinsics,
        "output": {"name": facts.output_tensor, "unit": facts.unit},
        "options": {key: value for key, value in model.options.items() if key != "seed"},
        "weights_sha256": weights_digest(model),
        "run": dict(run),
        "score": None if score is None else dict(score),
        "versions": versions(),
    }


def of_file(path: Path, file: File, facts: ModelFacts, input_type: str) -> dict[str, Any]:
    """What is true of one file, read from it.

    Args:
        path: where it was written.
        file: what it is.
        facts: about the network.
        input_type: "float" or "uint8".
    """
    raw = input_type == "uint8"
    given = {"name": INPUT_NAME, "dtype": "uint8" if raw else "float32", "layout": file.layout}
    given["normalisation"] = "RGB 0..255" if raw else "RGB [0, 1]"
    found: dict[str, Any] = {"name": facts.output_tensor, "dtype": "float32"}
    float_operators = None
    if file.precision in int8.PRECISIONS:
        float_operators = flatbuffer.float_operators(path.read_bytes())
    if file.precision == "int8":
        steps = _quantisation(path)
        found.update(dtype="int8", **steps[facts.output_tensor])
        if not raw:
            given.update(dtype="int8", **steps[INPUT_NAME])
    return {
        "format": file.format,
        "precision": file.precision,
        "input": given,
        "output": found,
        "float_operators": float_operators,
    }


def _quantisation(path: Path) -> dict[str, dict[str, float]]:
    """Scale and zero point of a TFLite file's input and output: value = scale * (q - zero_point)."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(str(path)).get_signature_runner(SIGNATURE)
    tensors = {**runner.get_input_details(), **runner.get_output_details()}
    return {
        name: {"scale": float(scale), "zero_point": int(zero_point)}
        for name, (scale, zero_point) in ((n, t["quantization"]) for n, t in tensors.items())
    }


def is_full_int8(entry: Mapping[str, Any]) -> bool:
    """Whether a file computes in 8 bits alone."""
    return entry["precision"] == "int8" and not entry["float_operators"]


def as_metadata(network: Mapping[str, Any], entry: Mapping[str, Any]) -> tuple[str, str]:
    """What goes into a file: JSON, and one line for tools that show no more.

    Args:
        network: from `of_network`.
        entry: from `of_file`.
    """
    line = (
        f"kdepth {network['paper']} {network['variant']}".strip()
        + f": {network['output']['name']} ({network['output']['unit']}) from"
        f" {entry['input']['normalisation']} {network['height']}x{network['image_width']},"
        f" {'full int8' if is_full_int8(entry) else entry['precision']}"
    )
    return json.dumps({**network, "file": dict(entry)}), line


def weights_digest(model: Any) -> str:
    """sha256 of a model's weights."""
    digest = hashlib.sha256()
    for _, part in sorted(model.parts().items()):
        for value in part.get_weights():
            digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()
