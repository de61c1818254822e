"""TensorFlow 1's checkpoints: what `Saver` wrote, in either of its formats."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kdepth.errors import UserError, first_line

_SUFFIX = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")


class Checkpoint(Mapping[str, np.ndarray]):
    """The tensors of a checkpoint by name, each read when it is asked for.

    Optimizer states, which are twice as large as the weights, are so never read.
    """

    def __init__(self, reader: Any, path: Path) -> None:
        """Wraps TensorFlow's reader of the checkpoint at `path`."""
        self._reader, self._path = reader, path
        self._shapes = reader.get_variable_to_shape_map()

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._shapes:
            raise KeyError(name)
        try:
            return np.asarray(self._reader.get_tensor(name))
        except Exception as error:  # TensorFlow's own, of several kinds
            raise UserError(
                f"{self._path}: tensor '{name}' cannot be read ({first_line(error)}): the checkpoint"
                " is truncated or damaged"
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)


def read(path: Path) -> Checkpoint:
    """Opens a checkpoint.

    Args:
        path: its prefix (`model_kitti`, `model-190532`), one of its files (`.index`, `.meta`,
            `.data-00000-of-00001`), or a folder that holds one checkpoint.

    Raises:
        UserError: if there is none, or it cannot be read.
    """
    import tensorflow as tf

    prefix = _prefix(Path(path))
    try:
        return Checkpoint(tf.train.load_checkpoint(str(prefix)), prefix)
    except Exception as error:  # TensorFlow's own, of several kinds
        raise UserError(
            f"{prefix} cannot be read as a TensorFlow 1 checkpoint ({first_line(error)}): its .index"
            " and .data files must be complete, beside each other"
        ) from None


def _prefix(path: Path) -> Path:
    if path.is_dir():
        found = sorted({file.with_suffix("") for file in path.glob("*.index")})
        if len(found) != 1:
            names = ", ".join(prefix.name for prefix in found) or "no .index file"
            raise UserError(
                f"{path} must hold one TensorFlow checkpoint; it holds {names}: name one as"
                " --checkpoint=FOLDER/NAME"
            )
        return found[0]
    prefix = path.with_name(_SUFFIX.sub("", path.name))
    shards = sorted(prefix.parent.glob(f"{prefix.name}.data-*"))
    index = prefix.with_name(f"{prefix.name}.index")
    if index.is_file() != bool(shards):
        lacking = f"{prefix.name}.data-*" if index.is_file() else index.name
        raise UserError(
            f"{prefix} is half a checkpoint: {lacking} is missing beside its other files"
        )
    if not shards and not prefix.is_file():  # a file without a suffix is the older format
        raise UserError(f"{prefix} is no TensorFlow checkpoint: there is no {index.name}")
    return prefix
