"""Examples of tensorflow-datasets' shards: one by one, by their place in a file.

Shards are TFRecord files of `tf.train.Example`s. A file's records are found by their headers when
the first of them is loaded.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kdepth.data import tf_example, tfrecord
from kdepth.data.depth_files import scale_of, to_metres
from kdepth.data.image import decode_depth_png, decode_image
from kdepth.errors import UserError

IMAGE, DEPTH = "image", "depth"  # the features that are read
ENCODINGS = ("none", "bytes", "zlib")  # of tensors


@dataclasses.dataclass(frozen=True)
class Feature:
    """How an example holds a picture or a map.

    Attributes:
        kind: "image" (the bytes of a PNG or JPEG file) or "tensor".
        shape: of the array.
        dtype: of its values.
        encoding: of a tensor: "none" (a list of numbers), "bytes" or "zlib".
    """

    kind: str
    shape: tuple[int, ...]
    dtype: str
    encoding: str = "none"

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Feature:
        """Reads a feature of `features.json`.

        Raises:
            ValueError: if it is neither a picture nor a tensor, or has no fixed shape.
        """
        kind = next((kind for kind in ("image", "tensor") if kind in content), None)
        if kind is None:
            raise ValueError(f"{content['pythonClassName'].split('.')[-1]} is not read")
        said = content[kind]
        shape = tuple(int(size) for size in said["shape"]["dimensions"])
        if min(shape) < 1 or not 2 <= len(shape) <= 3:
            raise ValueError("only pictures and maps of one size are read")
        return cls(kind, shape, str(np.dtype(said["dtype"])), said.get("encoding") or "none")

    def array(self, found: tf_example.Values) -> np.ndarray:
        """Decodes a tensor.

        Raises:
            ValueError: if the values do not fit.
        """
        if self.encoding != "none":
            (data,) = found
            if self.encoding == "zlib":
                most = math.prod(self.shape) * np.dtype(self.dtype).itemsize
                data = zlib.decompressobj().decompress(data, most + 1)
            found = np.frombuffer(data, np.dtype(self.dtype).newbyteorder("<"))
        return np.asarray(found).reshape(self.shape)


@dataclasses.dataclass(frozen=True)
class Shard:
    """A file of examples.

    Attributes:
        path: the file.
        count: of its examples, as the builder's description says.
    """

    path: Path
    count: int

    def values(self, place: int, name: str) -> tf_example.Values:
        """Returns what an example holds under a name.

        Raises:
            UserError: if the file is missing or damaged.
        """
        state = _state(self.path)
        offsets = _offsets(self.path, state)
        if len(offsets) - 1 != self.count:
            raise UserError(
                f"{self.path}: has {len(offsets) - 1} examples instead of {self.count}; restore it"
            )
        payload = _payload(self.path, offsets[place], offsets[place + 1], state)
        try:
            return tf_example.values(payload, name)
        except ValueError as error:
            raise UserError(f"{self.path}, example {place}: {error}; restore it") from None


@dataclasses.dataclass(frozen=True)
class TfdsImage:
    """A picture in a shard; an `ImageSource`."""

    shard: Shard
    place: int
    feature: Feature

    def __str__(self) -> str:
        return f"{self.shard.path}, example {self.place}"

    def load(self) -> np.ndarray:
        """Returns [H, W, 3] uint8 RGB."""
        found = self.shard.values(self.place, IMAGE)
        if not (isinstance(found, list) and len(found) == 1):
            raise UserError(f"{self}: `{IMAGE}` is no picture; restore the file")
        return decode_image(found[0], self)


@dataclasses.dataclass(frozen=True)
class TfdsDepth:
    """A depth map in a shard; a `DepthSource`.

    Attributes:
        shard: the file.
        place: of the example in it, from 0.
        feature: how it is held.
        scale: values in a metre, for whole numbers; floats are metres.
    """

    shard: Shard
    place: int
    feature: Feature
    scale: float | None = None

    def __str__(self) -> str:
        return f"{self.shard.path}, example {self.place}"

    @property
    def path(self) -> Path:
        """The shard."""
        return self.shard.path

    def load(self) -> np.ndarray:
        """Returns [H, W] float32, metres, 0 = not measured."""
        found = self.shard.values(self.place, DEPTH)
        try:
            if self.feature.kind == "image":
                (data,) = found
                return decode_depth_png(data, self, scale_of(self, self.scale))
            values = self.feature.array(found).reshape(self.feature.shape[:2])
            return to_metres(values, self, self.scale)
        except UserError:
            raise
        except (ValueError, TypeError, zlib.error) as error:
            raise UserError(f"{self}: `{DEPTH}` is damaged ({error}); restore the file") from None


def _state(path: Path) -> tuple[int, int] | None:
    """What changes when a file is written anew; None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


@functools.lru_cache(maxsize=4096)
def _offsets(path: Path, state: tuple[int, int] | None) -> tuple[int, ...]:
    return tfrecord.offsets(path)


# A picture and its depth lie in one record, and are loaded one after the other by a few threads.
@functools.lru_cache(maxsize=8)
def _payload(path: Path, start: int, end: int, state: tuple[int, int] | None) -> bytes:
    return tfrecord.read_payload(path, start, end)
