"""Protocol Buffers' wire format, as far as reading a message's fields takes; no schema is needed.

Source: Protocol Buffers, "Encoding".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types
LONGEST_VARINT = 10  # bytes


class DamagedError(ValueError):
    """The bytes are not what the format says."""


class Field(NamedTuple):
    """A field of a message.

    Attributes:
        number: which of the message's fields.
        wire: its wire type.
        value: an int of a varint, else a `memoryview` of its bytes.
    """

    number: int
    wire: int
    value: Any


def fields(message: memoryview) -> Iterator[Field]:
    """Yields a message's fields in their order.

    Raises:
        DamagedError: if the bytes are no message, or cut off.
    """
    position = 0
    while position < len(message):
        key, position = varint(message, position)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            value, position = varint(message, position)
            yield Field(number, wire, value)
            continue
        if wire == BYTES:
            length, position = varint(message, position)
        elif wire in (FIXED32, FIXED64):
            length = 4 if wire == FIXED32 else 8
        else:
            raise DamagedError(f"a field has the type {wire}")
        end = position + length
        if number == 0 or end > len(message):
            raise DamagedError("a field reaches beyond the end")
        yield Field(number, wire, message[position:end])
        position = end


def varint(message: memoryview, position: int) -> tuple[int, int]:
    """Reads a number of seven bits a byte, low ones first, and where it ends.

    Raises:
        DamagedError: if it is cut off or too long.
    """
    value = 0
    for shift in range(0, 7 * LONGEST_VARINT, 7):
        if position >= len(message):
            raise DamagedError("a number is cut off")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, position
    raise DamagedError("a number has more than ten bytes")
