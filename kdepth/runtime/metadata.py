"""What an exported file says about itself, read without running it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kdepth.errors import UserError

# The name of the entry: of TFLite's metadata, of ONNX's metadata_props; a SavedModel has a file.
METADATA_NAME = "kdepth"
METADATA_FILE = Path("assets.extra") / "kdepth.json"


def read_metadata(path: Path) -> dict[str, Any] | None:
    """The description inside an exported file; its own entry of the JSON's `files` is `file`.

    Args:
        path: a `.tflite` or `.onnx` file or a SavedModel's folder.

    Returns:
        None if it holds none, is of another tool or damaged.

    Raises:
        UserError: if the package that reads such files is not installed.
    """
    try:
        if path.is_dir():
            text: Any = (path / METADATA_FILE).read_bytes()
        elif path.suffix == ".tflite":
            text = _of_tflite(path)
        else:
            text = _of_onnx(path)
        found = json.loads(text)
    except ImportError as error:
        extra = "runtime" if path.suffix == ".tflite" else "runtime-onnx"
        raise UserError(
            f"{path} has no description beside it, and the one inside needs {error.name}:"
            f" pip install kdepth[{extra}]"
        ) from None
    except Exception:  # each reader has its own kinds of error for a damaged file
        return None
    return found if isinstance(found, dict) and isinstance(found.get("file"), dict) else None


def _of_tflite(path: Path) -> bytes:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(path.read_bytes(), 0)
    for index in range(model.MetadataLength()):
        entry = model.Metadata(index)
        if entry.Name() == METADATA_NAME.encode():
            return model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
    raise KeyError(METADATA_NAME)


def _of_onnx(path: Path) -> str:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        str(path), sess_options=options, providers=["CPUExecutionProvider"]
    )
    return session.get_modelmeta().custom_metadata_map[METADATA_NAME]
