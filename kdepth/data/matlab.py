"""Numbers from MATLAB 5 `.mat` files (what MATLAB's `save` writes unless `-v7.3` is asked for).

Only plain numeric arrays are read, everything else in a file is passed over, and nothing of it is
executed. Files of version 7.3 are HDF5 and are read with h5py (`nyu_labelled.py`).

Source: MathWorks, "MAT-File Format", the level 5 format.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from kdepth.errors import UserError

_HEADER = 128  # bytes: text, version, byte order
_MATRIX, _COMPRESSED = 14, 15
# Types of stored numbers, and classes of arrays; numbers are stored in any type that holds them.
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8"}
_STORED[13] = "u8"
_CLASSES = dict(enumerate(["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"], start=6))
_IS_COMPLEX = 0x0800
_LIMIT = 1 << 26  # bytes that a compressed variable may take: a damaged length must not fill memory


class _Damaged(ValueError):
    """The bytes are not what the format says."""


def read_array(path: Path, name: str) -> np.ndarray:
    """Reads one real numeric array.

    Args:
        path: a MATLAB 5 file.
        name: of the variable.

    Returns:
        The array, in MATLAB's shape and of its type.

    Raises:
        UserError: if the file is missing, truncated, corrupt, of another format, or has no such
            array; the message names it.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such .mat file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    others = []
    try:
        for found, array in _variables(data):
            if found == name and array is not None:
                return array
            others.append(found)
    except (_Damaged, struct.error, zlib.error, ValueError, MemoryError) as error:
        raise UserError(
            f"{path}: truncated, corrupt or not a MATLAB 5 file ({error}); restore or remove it"
        ) from None
    raise UserError(
        f"{path}: has no numeric array `{name}` (it has: {', '.join(map(repr, others)) or 'none'}); "
        "is it a file of this data set?"
    )


def _variables(data: bytes) -> Iterator[tuple[str, np.ndarray | None]]:
    """Yields names and values of a file's variables; None for what is no real numeric array."""
    marks = {b"IM": "<", b"MI": ">"}
    if len(data) < _HEADER or data[126:128] not in marks:
        raise _Damaged("its header is another")
    order = marks[data[126:128]]
    if data[124:126] != struct.pack(order + "H", 0x0100):
        raise _Damaged("its version is another; 7.3 is not read here")
    position = _HEADER
    while position < len(data):
        kind, content, position = _element(data, position, order)
        if kind == _COMPRESSED:
            stream = zlib.decompressobj()
            plain = stream.decompress(content, _LIMIT)
            if not stream.eof:  # its check sum is compared at its end
                raise _Damaged("a compressed variable ends early or is too long")
            kind, content, _ = _element(plain, 0, order)
        if kind == _MATRIX:
            yield _matrix(content, order)


def _element(data: bytes, position: int, order: str) -> tuple[int, bytes, int]:
    """Reads one element: its type, its bytes, and where the next one begins."""
    kind, length = struct.unpack_from(order + "II", data, position)
    if kind >> 16:  # the small form: type and length share four bytes, four of content follow
        kind, length = kind & 0xFFFF, kind >> 16
        begin, end = position + 4, position + 8
        if length > 4:
            raise _Damaged("an element is too long for its form")
    else:
        begin = position + 8
        end = begin + length
        if kind != _COMPRESSED:
            end += -length % 8
    if begin + length > len(data):
        raise _Damaged("it ends early")
    return kind, data[begin : begin + length], end


def _matrix(content: bytes, order: str) -> tuple[str, np.ndarray | None]:
    """Reads an array element: its name, and its values if they are real numbers."""
    _, flags, position = _element(content, 0, order)
    (flags,) = struct.unpack_from(order + "I", flags)
    _, shape, position = _element(content, position, order)
    shape = struct.unpack(f"{order}{len(shape) // 4}i", shape)
    _, name, position = _element(content, position, order)
    name = name.decode("latin-1")
    array_class = _CLASSES.get(flags & 0xFF)
    if array_class is None or flags & _IS_COMPLEX:
        return name, None
    kind, numbers, _ = _element(content, position, order)
    if kind not in _STORED:
        raise _Damaged(f"`{name!r}` has numbers of an unknown type")
    values = np.frombuffer(numbers, np.dtype(order + _STORED[kind]))
    if min(shape, default=0) < 0 or values.size != np.prod(shape, dtype=np.int64):
        raise _Damaged(f"`{name!r}` has another size than it says")
    return name, values.astype(array_class).reshape(shape, order="F")
