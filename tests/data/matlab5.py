"""Writes MATLAB 5 files as MATLAB itself does, byte for byte, for the tests of their readers."""

from __future__ import annotations

import struct
import zlib

import numpy as np

TITLE = b"MATLAB 5.0 MAT-file, Platform: PCWIN, Created on: Tue Nov 15 19:51:30 2005"
# Types of stored numbers and classes of arrays.
_STORED = {
    "i1": 1,
    "u1": 2,
    "i2": 3,
    "u2": 4,
    "i4": 5,
    "u4": 6,
    "f4": 7,
    "f8": 9,
    "i8": 12,
    "u8": 13,
}
_CLASSES = {"f8": 6, "f4": 7, "i1": 8, "u1": 9, "i2": 10, "u2": 11, "i4": 12, "u4": 13, "i8": 14}
_CLASSES["u8"] = 15


def element(kind: int, content: bytes, order: str = "<") -> bytes:
    """A data element; the small form where the content fits into four bytes."""
    if 0 < len(content) <= 4:
        tag = (len(content) << 16) | kind
        return struct.pack(order + "I", tag) + content.ljust(4, b"\0")
    return struct.pack(order + "II", kind, len(content)) + content + b"\0" * (-len(content) % 8)


def matrix(name: str, array: np.ndarray, stored: str | None = None, order: str = "<") -> bytes:
    """An array element; `stored` is the type of its numbers, if smaller than the array's own."""
    kind = array.dtype.str[1:]
    flags = struct.pack(order + "II", _CLASSES[kind], 0)
    shape = struct.pack(f"{order}{array.ndim}i", *array.shape)
    numbers = array.astype(order + (stored or kind)).tobytes(order="F")
    parts = [(6, flags), (5, shape), (1, name.encode()), (_STORED[stored or kind], numbers)]
    return element(14, b"".join(element(*part, order) for part in parts), order)


def file(*elements: bytes, compress: bool = False, order: str = "<") -> bytes:
    """A whole file."""
    if compress:  # compressed elements are not padded
        packed = [zlib.compress(content) for content in elements]
        elements = tuple(struct.pack(order + "II", 15, len(p)) + p for p in packed)
    mark = b"IM" if order == "<" else b"MI"
    header = TITLE.ljust(116) + b"\0" * 8 + struct.pack(order + "H", 0x0100) + mark
    return header + b"".join(elements)
