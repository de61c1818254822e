"""Checkpoints for exact resume: everything that a training step reads, in one file that is never half written.

A checkpoint is an `.npz` of plain arrays: the weights of all parts, the optimizer's variables, the
step counter and the running means, with a JSON header. It is written beside its place, flushed to
the disk and renamed. It belongs to one stack (optimizers differ); what crosses stacks is
`DepthModel.save_parts`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from kdepth import backend
from kdepth.errors import UserError
from kdepth.files import atomic_path
from kdepth.networks.weights import part_weights, read_arrays, set_part_weights
from kdepth.papers.base import DepthModel

KEPT = 2  # the newest two: should one be unreadable, the one before it remains
_HEADER = "header"
_NAME = re.compile(r"step-(\d{9})\.npz")


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read.

    Attributes:
        path: its file.
        stage: the stage that was being trained.
        step: the global step.
        arrays: everything else, by key.
    """

    path: Path
    stage: str
    step: int
    arrays: Mapping[str, np.ndarray]


def save(model: DepthModel, folder: str | Path, mid_epoch: bool = False) -> Path:
    """Writes a checkpoint of the model at its current step and drops all but the newest two.

    Args:
        model: a compiled paper.
        folder: of the checkpoints.
        mid_epoch: whether the running means belong to an epoch that goes on.

    Returns:
        The file.

    Raises:
        OSError: if it cannot be written; older checkpoints are untouched.
    """
    folder = Path(folder)
    step = int(backend.to_numpy(model.step))
    header = {
        "paper": model.paper,
        "options": dict(model.options),
        "stage": model.stage.name,
        "step": step,
        "mid_epoch": mid_epoch,
        "keras": "3" if backend.KERAS3 else "2",
    }
    arrays = {_HEADER: np.frombuffer(json.dumps(header).encode(), np.uint8)}
    for name, part in model.parts().items():
        arrays.update({f"weights/{name}/{key}": value for key, value in part_weights(part).items()})
    for prefix, variables in _others(model).items():
        for index, variable in enumerate(variables):
            arrays[f"{prefix}/{index}"] = np.asarray(backend.to_numpy(variable))
    path = folder / f"step-{step:09d}.npz"
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)
        file.flush()
        os.fsync(file.fileno())
    for old in _files(folder)[:-KEPT]:
        old.unlink()
    return path


def latest(folder: str | Path) -> Checkpoint | None:
    """The newest checkpoint that can be read, or None where there is none.

    Raises:
        UserError: if there are checkpoints and none can be read.
    """
    files = _files(Path(folder))
    for path in reversed(files):
        try:
            arrays = read_arrays(path)
            header = json.loads(bytes(arrays.pop(_HEADER)))
            return Checkpoint(
                path, str(header["stage"]), int(header["step"]), {**arrays, "facts": header}
            )
        except (UserError, KeyError, ValueError) as error:
            logging.warning("%s cannot be read (%s); trying the one before it", path, error)
    if files:
        raise UserError(
            f"none of the {len(files)} checkpoints in {folder} can be read: remove them to start anew"
        )
    return None


def exist(folder: str | Path) -> bool:
    """Whether there are checkpoints to go on from."""
    return bool(_files(Path(folder)))


def restore_weights(model: DepthModel, checkpoint: Checkpoint) -> None:
    """Sets the model's weights and step counter.

    Raises:
        UserError: if the checkpoint is of another model, variant, width, size or stack.
    """
    facts = checkpoint.arrays["facts"]
    if facts["paper"] != model.paper:
        raise UserError(f"{checkpoint.path} is of '{facts['paper']}', not of '{model.paper}'")
    if (facts["keras"] == "3") != backend.KERAS3:
        raise UserError(
            f"{checkpoint.path} was written by Keras {facts['keras']}: exact resume needs the same stack;"
            " the run's weights/ folder is portable"
        )
    for name, part in model.parts().items():
        prefix = f"weights/{name}/"
        mine = {k[len(prefix) :]: v for k, v in checkpoint.arrays.items() if k.startswith(prefix)}
        set_part_weights(part, mine, checkpoint.path)
    model.step.assign(checkpoint.step)


def restore_optimizer(model: DepthModel, checkpoint: Checkpoint) -> None:
    """Sets the variables of the model's optimizer; the stage must have been entered.

    Raises:
        UserError: if the optimizer is of another kind.
    """
    model.build_optimizer()
    variables = backend.optimizer_variables(model.optimizer)
    _assign(checkpoint, "optimizer", variables)


def restore_metrics(model: DepthModel, checkpoint: Checkpoint) -> None:
    """Sets the running means, so that a resumed epoch logs what an undisturbed one would have logged."""
    _assign(checkpoint, "metrics", _metric_variables(model))


def _assign(checkpoint: Checkpoint, prefix: str, variables: list[Any]) -> None:
    saved = [key for key in checkpoint.arrays if key.startswith(f"{prefix}/")]
    shapes = [tuple(v.shape) for v in variables]
    if len(saved) != len(variables) or shapes != [
        checkpoint.arrays[f"{prefix}/{i}"].shape for i in range(len(variables))
    ]:
        raise UserError(
            f"{checkpoint.path} holds another {prefix} state ({len(saved)} variables, not {len(variables)}):"
            " it was trained with other settings"
        )
    for index, variable in enumerate(variables):
        variable.assign(checkpoint.arrays[f"{prefix}/{index}"])


def _others(model: DepthModel) -> dict[str, list[Any]]:
    model.build_optimizer()
    return {
        "optimizer": backend.optimizer_variables(model.optimizer),
        "metrics": _metric_variables(model),
    }


def _metric_variables(model: DepthModel) -> list[Any]:
    return [v for mean in model.metrics for v in mean.variables]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step-*.npz") if _NAME.fullmatch(path.name))
