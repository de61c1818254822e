"""Values of a `tf.train.Example`, read from its bytes without TensorFlow.

The message is a map from names to lists of strings, floats or whole numbers. Lists of numbers must
be packed, as TensorFlow and tensorflow-datasets write them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Union

import numpy as np

from kdepth.protobuf import BYTES, LONGEST_VARINT, fields

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
                    for listed in fields(feature):
                        if listed.wire == BYTES:
                            return _listed(listed.number, list(_contents(listed.value, 1)))
    raise ValueError(f"there is no feature {name!r}")


def _listed(kind: int, parts: list[memoryview]) -> Values:
    if kind == 1:
        return [bytes(part) for part in parts]
    joined = b"".join(parts)
    return np.frombuffer(joined, "<f4") if kind == 2 else _integers(joined)


def _contents(message: memoryview, number: int) -> Iterator[memoryview]:
    """What a message has in the field of a number."""
    return (f.value for f in fields(message) if f.number == number and f.wire == BYTES)


def _integers(data: bytes) -> np.ndarray:
    """Packed varints, all at once: [N] int64."""
    octets = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(octets < 128) + 1
    if not len(octets):
        return np.zeros(0, np.int64)
    if not len(ends) or ends[-1] != len(octets):
        raise ValueError("no tf.train.Example, or cut off")
    starts = np.concatenate([[0], ends[:-1]])
    if (ends - starts).max() > LONGEST_VARINT:
        raise ValueError("no tf.train.Example")
    places = np.arange(len(octets)) - np.repeat(starts, ends - starts)
    shifted = (octets & 127).astype(np.uint64) << (7 * places).astype(np.uint64)
    return np.add.reduceat(shifted, starts).view(np.int64)
