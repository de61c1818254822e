"""Data: readers of data sets, and the pipeline that turns them into batches.

`load` makes the `tf.data.Dataset` that `model.fit` takes; `evaluation_samples` gives samples one by
one. A new data set is a reader (see `sample.Reader`) and one line in `readers.READERS`. Nothing
here imports Keras, and TensorFlow is imported by `pipeline` and `augment` only, so evaluation and
the runtime can read images without it.
"""

from __future__ import annotations

import importlib
from typing import Any

# Public name -> the module that defines it (PEP 562).
_NAMES = {
    "READERS": "readers",
    "open_reader": "readers",
    "lasting_options": "options",
    "parse_options": "options",
    "require_keys": "readers",
    "evaluation_samples": "one_by_one",
    "info": "pipeline",
    "load": "pipeline",
    "load_records": "pipeline",
    "pending_error": "decode",
    "steps_per_epoch": "pipeline",
    "user_errors": "decode",
}

__all__ = [*_NAMES]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'kdepth.data' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"kdepth.data.{_NAMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
