"""kdepth: the classic papers on learning depth from images, as Keras models.

This file holds the public names and nothing else. They are looked up when first used (PEP 562),
so that `import kdepth` is quick and needs neither TensorFlow nor Keras. The papers' classes come
from their table in `kdepth.papers`; any other new name is one line in `_NAMES`.
"""

from __future__ import annotations

import importlib
from typing import Any

from kdepth.papers import PAPERS

__version__ = "0.1.0"

# Public name -> the module that defines it.
_NAMES = {
    **{name: module for module, name in (target.split(":") for target in PAPERS.values())},
    "create": "kdepth.papers",
    "list_papers": "kdepth.papers",
    "load_run": "kdepth.training.runs",
    "export_model": "kdepth.exporters",
    "Camera": "kdepth.geometry.camera",
    "Prediction": "kdepth.prediction",
}
# Public modules; `from kdepth import data` and `kdepth.data` both work.
_MODULES = ("data", "runtime")

__all__ = [*_NAMES, *_MODULES, "__version__"]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        value = getattr(importlib.import_module(_NAMES[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(f"kdepth.{name}")
    else:
        raise AttributeError(f"module 'kdepth' has no attribute {name!r}")
    globals()[name] = value  # found at once the next time
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
