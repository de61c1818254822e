"""Values of a `tf.train.Example`, read from its bytes without TensorFlow.

The message is a map from names to lists of strings, floats or whole numbers, in Protocol Buffers'
wire format. Lists of numbers must be packed, as TensorFlow and tensorflow-datasets write them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Union

import numpy as np

_VARINT, _EIGHT, _DELIMITED, _FOUR = 0, 1, 2, 5  # wire types
_LONGEST_VARINT = 10  # bytes

Values = Union[list[bytes], np.ndarray]


def values(example: bytes, name: str) -> Values:
    """Returns what an example holds under a name.

    Args:
        example: the serialized message.
        name: of the feature.

    Returns:
        A list of bytes, [N] float32, or [N] int64.

    Raises:
        ValueError: if the bytes are no such message, or it has no such feature.
    """
    for features in _contents(memoryview(example), 1):
        for entry in _contents(features, 1):
            if b"".join(_contents(entry, 1)) == name.encode():
                for feature in _contents(entry, 2):
                    for kind, listed in _fields(feature):
                        return _listed(kind, list(_contents(listed, 1)))
    raise ValueError(f"there is no feature {name!r}")


def _listed(kind: int, parts: list[memoryview]) -> Values:
    if kind == 1:
        return [bytes(part) for part in parts]
    joined = b"".join(parts)
    return np.frombuffer(joined, "<f4") if kind == 2 else _integers(joined)


def _contents(message: memoryview, number: int) -> Iterator[memoryview]:
    """What a message has in the field of a number."""
    return (content for field, content in _fields(message) if field == number)


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """A message's fields that have a length, with their numbers; others are passed over."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        kind = tag & 7
        if kind == _DELIMITED:
            size, place = _varint(message, place)
            end = place + size
        elif kind == _VARINT:
            _, end = _varint(message, place)
        elif kind in (_EIGHT, _FOUR):
            end = place + (8 if kind == _EIGHT else 4)
        else:
            raise ValueError("no tf.train.Example")
        if end > len(message):
            raise ValueError("no tf.train.Example, or cut off")
        if kind == _DELIMITED:
            yield tag >> 3, message[place:end]
        place = end


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """A number of 7 bits a byte, low ones first, and where it ends."""
    value = 0
    for shift, octet in enumerate(message[place : place + _LONGEST_VARINT]):
        value |= (octet & 127) << (7 * shift)
        if octet < 128:
            return value, place + shift + 1
    raise ValueError("no tf.train.Example, or cut off")


def _integers(data: bytes) -> np.ndarray:
    """Packed varints, all at once: [N] int64."""
    octets = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(octets < 128) + 1
    if not len(octets):
        return np.zeros(0, np.int64)
    if not len(ends) or ends[-1] != len(octets):
        raise ValueError("no tf.train.Example, or cut off")
    starts = np.concatenate([[0], ends[:-1]])
    if (ends - starts).max() > _LONGEST_VARINT:
        raise ValueError("no tf.train.Example")
    places = np.arange(len(octets)) - np.repeat(starts, ends - starts)
    shifted = (octets & 127).astype(np.uint64) << (7 * places).astype(np.uint64)
    return np.add.reduceat(shifted, starts).view(np.int64)
