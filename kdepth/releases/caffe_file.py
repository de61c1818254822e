"""Caffe's files of weights (`.caffemodel`) as arrays, without Caffe: they are protocol buffers.

A `NetParameter` holds layers, a layer holds blobs of floats. Only names, shapes and numbers are
read, everything else is passed over.

Source: BVLC Caffe, `caffe.proto`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from kdepth.errors import UserError
from kdepth.files import read_bytes
from kdepth.protobuf import BYTES, FIXED32, FIXED64, VARINT, DamagedError, Field, fields, varint

_HDF5 = b"\x89HDF"
# Field numbers.
_NET_LAYER, _NET_OLD_LAYER = 100, 2
_LAYER_NAME, _LAYER_BLOBS = 1, 7
_OLD_LAYER_NAME, _OLD_LAYER_BLOBS = 4, 6  # V1LayerParameter, before 2015
_BLOB_OLD_SHAPE = (1, 2, 3, 4)  # num, channels, height, width
_BLOB_DATA, _BLOB_SHAPE, _BLOB_DOUBLE_DATA = 5, 7, 8
_SHAPE_DIM = 1
_MOST_AXES = 32


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Reads all blobs of a file.

    Args:
        path: a file that Caffe's solver saved, of any age.

    Returns:
        {"layer/0", "layer/1", ...: array}, float32 and read-only, in the order of the layers; layers
        without weights are left out. A convolution's kernel is [out, in, height, width], a
        deconvolution's [in, out, height, width].

    Raises:
        UserError: if the file is missing, cut off, damaged or no such file.
    """
    path = Path(path)
    data = read_bytes(path, "Caffe weights")
    arrays: dict[str, np.ndarray] = {}
    try:
        if data.startswith(_HDF5):
            raise DamagedError("it is HDF5, not a protocol buffer")
        for name, blobs in _layers(memoryview(data)):
            for index, blob in enumerate(blobs):
                if f"{name}/{index}" in arrays:
                    raise DamagedError(f"two layers are called {ascii(name)}")
                arrays[f"{name}/{index}"] = _blob(blob)
        if not arrays:
            raise DamagedError("no layer of it has weights")
    except (DamagedError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: cut off, damaged or no .caffemodel ({str(error)[:160]}); fetch it again"
        ) from None
    return arrays


def _layers(net: memoryview) -> Iterator[tuple[str, list[memoryview]]]:
    """Yields a net's layers: name and blobs."""
    numbers = {
        _NET_LAYER: (_LAYER_NAME, _LAYER_BLOBS),
        _NET_OLD_LAYER: (_OLD_LAYER_NAME, _OLD_LAYER_BLOBS),
    }
    for field in fields(net):
        if field.number in numbers and field.wire == BYTES:
            name_number, blobs_number = numbers[field.number]
            name, blobs = "", []
            for part in fields(field.value):
                if part.wire == BYTES and part.number == name_number:
                    name = bytes(part.value).decode()
                elif part.wire == BYTES and part.number == blobs_number:
                    blobs.append(part.value)
            yield name, blobs


def _blob(message: memoryview) -> np.ndarray:
    shape: list[int] | None = None
    old_shape = [0, 0, 0, 0]
    numbers = {_BLOB_DATA: ("<f4", FIXED32), _BLOB_DOUBLE_DATA: ("<f8", FIXED64)}
    parts: list[np.ndarray] = []
    for field in fields(message):
        if field.number == _BLOB_SHAPE and field.wire == BYTES:
            shape = [size for dim in fields(field.value) for size in _integers(dim)]
        elif field.number in _BLOB_OLD_SHAPE and field.wire == VARINT:
            old_shape[field.number - 1] = field.value
        elif field.number in numbers and field.wire in (BYTES, numbers[field.number][1]):
            dtype = np.dtype(numbers[field.number][0])  # packed, or one number
            if len(field.value) % dtype.itemsize:
                raise DamagedError("a blob's numbers are cut off")
            parts.append(np.frombuffer(field.value, dtype).astype(np.float32, copy=False))
    values = parts[0] if len(parts) == 1 else np.concatenate([*parts, np.zeros(0, np.float32)])
    shape = old_shape if shape is None else shape
    if len(shape) > _MOST_AXES or math.prod(shape) != values.size:
        raise DamagedError(f"a blob of shape {shape[:8]} holds {values.size} numbers")
    values = values.reshape(shape)
    values.flags.writeable = False
    return values


def _integers(dim: Field) -> Iterator[int]:
    """The sizes in a field of a blob's shape, packed or not."""
    if dim.number != _SHAPE_DIM:
        return
    if dim.wire == VARINT:
        yield dim.value
    elif dim.wire == BYTES:
        position = 0
        while position < len(dim.value):
            size, position = varint(dim.value, position)
            yield size
