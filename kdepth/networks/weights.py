"""Weights of a network as plain arrays, keyed by layer path: portable over stacks and backends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kdepth import backend
from kdepth.errors import UserError


def part_weights(part: keras.Model) -> dict[str, np.ndarray]:
    """{variable's path: array} of a network, trainable or not.

    Raises:
        ValueError: if two variables share a path (a layer without a name of its own).
    """
    arrays = {backend.variable_path(v): np.asarray(backend.to_numpy(v)) for v in part.weights}
    if len(arrays) != len(part.weights):
        raise ValueError(f"two variables of '{part.name}' share a name: every layer needs its own")
    return arrays


def set_part_weights(part: keras.Model, arrays: Mapping[str, np.ndarray], source: Path) -> None:
    """Sets a network's variables from {path: array}.

    Raises:
        UserError: if names or shapes differ, with the first difference.
    """
    variables = {backend.variable_path(v): v for v in part.weights}
    for path in sorted(set(variables) ^ set(arrays)):
        where = "lacks" if path in variables else "has an unknown"
        raise UserError(
            f"{source} {where} variable '{path}': it belongs to another model or variant"
        )
    for path, variable in variables.items():
        if tuple(arrays[path].shape) != tuple(variable.shape):
            raise UserError(
                f"{source}: '{path}' has shape {tuple(arrays[path].shape)}, this model needs {tuple(variable.shape)}:"
                " another width, size or variant"
            )
    for path, variable in variables.items():
        variable.assign(arrays[path])


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an `.npz` file.

    Raises:
        UserError: if the file is missing, truncated or not an archive of plain arrays.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise UserError(f"{path} is missing: the run holds no such weights") from None
    except Exception as error:  # zipfile, zlib, NumPy and OS errors: all mean the same to a user
        raise UserError(
            f"{path} cannot be read as weights ({error}): it is truncated or corrupt"
        ) from None


def read_model_facts(folder: Path) -> dict[str, Any]:
    """`model.json` of a weights folder.

    Raises:
        UserError: if it is missing or not what `save_parts` writes.
    """
    path = Path(folder) / "model.json"
    try:
        facts = json.loads(path.read_text())
        return {"paper": str(facts["paper"]), "options": dict(facts["options"]), **facts}
    except FileNotFoundError:
        raise UserError(f"{path} is missing: this folder holds no kdepth weights") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a kdepth model description ({error})") from None
