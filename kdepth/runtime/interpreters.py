"""Interpreters of exported files behind one form: a function of arrays."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kdepth import quiet
from kdepth.errors import UserError, first_line
from kdepth.runtime.facts import ModelFacts

INPUT_NAME = "image"
SIGNATURE = "serving_default"
# Format -> the module that runs it, and the extra of `pip install kdepth[...]` that brings it.
LIBRARIES = {
    "tflite": ("ai_edge_litert.interpreter", "runtime"),
    "onnx": ("onnxruntime", "runtime-onnx"),
    "savedmodel": ("tensorflow", "addons" if sys.version_info < (3, 12) else "keras3"),
}

Network = Callable[[np.ndarray], np.ndarray]
"""float32 images [B, h, w, C] in [0, 1] at the network's size -> its output [B, h, w, 1] or [B, N, 6]."""


def open_network(
    path: Path, facts: ModelFacts, threads: int | None = None, xnnpack: bool = True
) -> Network:
    """An exported file as a function of arrays, whatever format it has.

    Args:
        path: the file or folder.
        facts: what it holds.
        threads: of the interpreter; its own choice by default.
        xnnpack: whether LiteRT may use its fast CPU kernels; False takes its plain ones.

    Raises:
        UserError: if it is no such file, has another input or output, or the interpreter is not
            installed.
    """
    if path.name.endswith(".tflite"):
        kind, opener = "tflite", _litert_network
    elif path.name.endswith(".onnx"):
        kind, opener = "onnx", _onnx_network
    else:
        kind, opener = "savedmodel", _savedmodel_network
    interpreter = import_library(kind, path)
    # Where a command asked for quiet, XNNPACK's greeting from C++ is left out too.
    quiet_asked = os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "3"
    try:
        with quiet.native_stderr() if quiet_asked else contextlib.nullcontext():
            network, shape, outputs = opener(interpreter, path, facts, threads, xnnpack)
    except Exception as error:  # each interpreter has its own kinds of error for a damaged file
        raise UserError(f"{path} cannot be opened as a model: {first_line(error)}") from None
    if shape != facts.input_shape or facts.output_tensor not in outputs:
        raise UserError(
            f"{path} takes {list(shape)} and gives {sorted(outputs)}, but its description says"
            f" {list(facts.input_shape)} and '{facts.output_tensor}': export again"
        )
    return network


def import_library(kind: str, path: Path) -> Any:
    """The module that runs files of a format.

    Args:
        kind: a format of `LIBRARIES`.
        path: the file, for the message.

    Raises:
        UserError: if it is not installed.
    """
    module, extra = LIBRARIES[kind]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"{path} needs {module.split('.')[0]} ({error}): pip install kdepth[{extra}]"
        ) from None


def litert_interpreter(litert: Any, path: Path, threads: int | None, xnnpack: bool = True) -> Any:
    """LiteRT's interpreter of a file, its tensors allocated; arguments as of `open_network`.

    Args:
        litert: the module `ai_edge_litert.interpreter`.
        path: the file.
        threads: of the interpreter.
        xnnpack: with False, operators run in TFLite's own kernels.
    """
    kernels = litert.OpResolverType
    interpreter = litert.Interpreter(
        str(path),
        num_threads=threads,
        experimental_op_resolver_type=kernels.AUTO
        if xnnpack
        else kernels.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    return interpreter


def onnx_session(
    onnxruntime: Any, path: Path, threads: int | None, profile_prefix: str = ""
) -> Any:
    """ONNX Runtime's session of a file.

    Args:
        onnxruntime: the module.
        path: the file.
        threads: of the session; its own choice with None.
        profile_prefix: where a profile is written, if any.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; its warnings tell a user nothing
    options.intra_op_num_threads = threads or 0
    if profile_prefix:
        options.enable_profiling = True
        options.profile_file_prefix = profile_prefix
    return onnxruntime.InferenceSession(
        str(path), sess_options=options, providers=["CPUExecutionProvider"]
    )


def as_input(images: np.ndarray, details: Mapping[str, Any]) -> np.ndarray:
    """Images in [0, 1] as an input tensor holds them.

    Args:
        images: float32 [B, h, w, C].
        details: of the tensor: `dtype` and, of a quantised one, `quantization` (scale, zero point).

    Returns:
        The same floats; 8-bit pixels where the tensor is raw uint8; quantised numbers otherwise.
    """
    dtype = np.dtype(details["dtype"])
    if dtype.kind == "f":
        return images.astype(dtype)
    scale, zero_point = details.get("quantization") or (0.0, 0)
    if not scale:  # raw pixels, which the network itself brings to [0, 1]
        scale, zero_point = 1.0 / 255.0, 0
    limits = np.iinfo(dtype)
    return np.clip(np.round(images / scale) + zero_point, limits.min, limits.max).astype(dtype)


def from_output(values: np.ndarray, details: Mapping[str, Any]) -> np.ndarray:
    """What an output tensor stands for, float32; `details` as of `as_input`."""
    if values.dtype.kind == "f":
        return values.astype(np.float32)
    scale, zero_point = details["quantization"]
    return (values.astype(np.float32) - zero_point) * np.float32(scale)


def _litert_network(
    litert: Any, path: Path, facts: ModelFacts, threads: int | None, xnnpack: bool
) -> Any:
    interpreter = litert_interpreter(litert, path, threads, xnnpack)
    run = interpreter.get_signature_runner(SIGNATURE)
    given, found = run.get_input_details()[INPUT_NAME], run.get_output_details()

    def network(images: np.ndarray) -> np.ndarray:  # the file holds a batch of one
        values = [
            run(**{INPUT_NAME: x[None]})[facts.output_tensor] for x in as_input(images, given)
        ]
        return from_output(np.concatenate(values), found[facts.output_tensor])

    return network, tuple(int(size) for size in given["shape"][1:]), set(found)


def _onnx_network(
    onnxruntime: Any, path: Path, facts: ModelFacts, threads: int | None, xnnpack: bool
) -> Any:
    session = onnx_session(onnxruntime, path, threads)
    (image,) = session.get_inputs()
    shape = tuple(image.shape[1:])
    dtype = np.uint8 if image.type == "tensor(uint8)" else np.float32
    channels_first = shape != facts.input_shape and (*shape[1:], shape[0]) == facts.input_shape

    def network(images: np.ndarray) -> np.ndarray:
        images = as_input(images, {"dtype": dtype})
        if channels_first:
            images = np.ascontiguousarray(np.moveaxis(images, -1, 1))
        values = session.run([facts.output_tensor], {INPUT_NAME: images})[0]
        return np.moveaxis(values, 1, -1) if channels_first and values.ndim == 4 else values

    shape = facts.input_shape if channels_first else shape
    return network, shape, {output.name for output in session.get_outputs()}


def _savedmodel_network(
    tf: Any, path: Path, facts: ModelFacts, threads: int | None, xnnpack: bool
) -> Any:
    loaded = tf.saved_model.load(str(path))
    run = loaded.signatures[SIGNATURE]
    spec = run.structured_input_signature[1][INPUT_NAME]
    given = {"dtype": spec.dtype.as_numpy_dtype}

    def network(
        images: np.ndarray, keep: Any = loaded
    ) -> np.ndarray:  # the variables live as long as `keep`
        images = tf.constant(as_input(images, given))
        return run(**{INPUT_NAME: images})[facts.output_tensor].numpy()

    return network, tuple(spec.shape[1:]), set(run.structured_outputs)
