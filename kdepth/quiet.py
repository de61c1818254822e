"""Keeps the libraries' start-up noise away from people who run a command.

TensorFlow greets with a page of notices and Addons with its end-of-life warning, none of which a
user can act on. `silence` hides them; a `TF_CPP_MIN_LOG_LEVEL` below 3 in the environment shows
everything again.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import logging
import os
import sys
import tempfile
import types
import warnings
from collections.abc import Iterator, Sequence

_LEVEL = "TF_CPP_MIN_LOG_LEVEL"


def wanted() -> bool:
    """Whether the libraries shall be quiet: yes, unless the user asked TensorFlow to speak."""
    return os.environ.get(_LEVEL, "3") == "3"


def silence() -> None:
    """Hides start-up notices and library warnings; call it before TensorFlow is imported."""
    os.environ.setdefault(_LEVEL, "3")
    if not wanted():
        return
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=UserWarning, module="tensorflow_addons")
    hooked = any(isinstance(finder, _QuietImport) for finder in sys.meta_path)
    if "tensorflow" not in sys.modules and not hooked:
        sys.meta_path.insert(0, _QuietImport())


@contextlib.contextmanager
def native_stderr() -> Iterator[None]:
    """Swallows what C++ code writes to the standard error; gives it back if the block raises."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as swallowed:
        original = os.dup(2)
        os.dup2(swallowed.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(original, 2)
            swallowed.seek(0)
            os.write(2, swallowed.read())
            raise
        finally:
            os.dup2(original, 2)
            os.close(original)


class _QuietImport(importlib.abc.MetaPathFinder):
    """Wraps the one import of tensorflow, whose first notices come before any log level is read."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: types.ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: types.ModuleType) -> None:
                with native_stderr():
                    execute(module)

            spec.loader.exec_module = exec_module
        return spec
