"""Versions of what a result depends on; runs and exported models carry them."""

from __future__ import annotations

import importlib.metadata
import platform

import kdepth

_PACKAGES = (
    "numpy",
    "tensorflow",
    "keras",
    "tensorflow-addons",
    "jax",
    "torch",
    "ai-edge-litert",
    "onnx",
    "onnxruntime",
    "tf2onnx",
)


def versions() -> dict[str, str]:
    """Name -> version of Python, kdepth and the packages that are installed."""
    found = {"python": platform.python_version(), "kdepth": kdepth.__version__}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
