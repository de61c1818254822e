"""Writes Caffe's files of weights without Caffe, byte for byte as its protocol buffer is, for tests of their reader."""

from __future__ import annotations

import struct
from collections.abc import Iterable

import numpy as np

Layer = tuple[str, str, list[np.ndarray]]  # name, type, blobs


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def field(number: int, content: int | bytes) -> bytes:
    """A field that holds a number, or bytes (a text, a message, packed numbers)."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def blob(array: np.ndarray, form: str = "") -> bytes:
    """A blob; `form` is "old" (four sizes), "double", "unpacked" (a field for each number) or ""."""
    array = np.asarray(array)
    if form == "old":
        sizes = (1,) * (4 - array.ndim) + array.shape
        shape = b"".join(field(number, size) for number, size in enumerate(sizes, start=1))
    else:
        shape = field(7, field(1, b"".join(map(varint, array.shape))))
    if form == "double":
        return field(8, array.astype("<f8").tobytes()) + shape
    numbers = array.astype("<f4").tobytes()
    if form == "unpacked":
        key = varint(5 << 3 | 5)
        return shape + b"".join(key + numbers[i : i + 4] for i in range(0, len(numbers), 4))
    return field(5, numbers) + shape


def layer(name: str, kind: str, blobs: Iterable[np.ndarray], form: str = "") -> bytes:
    """A layer of a net; with `form` "old" as before 2015, where a type is a number."""
    content = [blob(array, form) for array in blobs]
    if form == "old":
        parts = [field(2, b"data"), field(4, name.encode()), field(5, 4)]
        return field(2, b"".join([*parts, *(field(6, c) for c in content)]))
    parts = [field(1, name.encode()), field(2, kind.encode()), field(3, b"data"), field(4, b"top")]
    learning_rates = field(6, varint(3 << 3 | 5) + struct.pack("<f", 1.0))
    parts += [field(7, c) for c in content] + [learning_rates, field(10, 0)]
    return field(100, b"".join(parts))


def net(layers: Iterable[Layer], form: str = "") -> bytes:
    """A whole file."""
    return field(1, b"a net") + b"".join(layer(*each, form) for each in layers)
