"""TFRecord files, without TensorFlow: framing of a record, an index of a file, reading by offset.

A file is a chain of records: length (8 bytes, low byte first), its check sum, payload, its check
sum (4 bytes each, CRC-32C in TFRecord's masked form).
"""

from __future__ import annotations

import functools
import struct
from pathlib import Path

import numpy as np

from kdepth.errors import UserError

HEADER, FOOTER = 12, 4  # bytes around a record's payload: its length and two check sums
_POLYNOMIAL = 0x82F63B78  # CRC-32C (Castagnoli), reflected
_BLOCK = 128  # bytes; blocks of a payload are summed side by side


def frame(payload: bytes) -> bytes:
    """Returns a TFRecord: length, its check sum, payload, its check sum."""
    length = struct.pack("<Q", len(payload))
    return b"".join((length, _masked(length), payload, _masked(payload)))


def offsets(path: Path) -> tuple[int, ...]:
    """Finds the records of a file by their headers; payloads are not read.

    Args:
        path: the file.

    Returns:
        Where each record begins, and the end of the last.

    Raises:
        UserError: if the file is missing, truncated, damaged or no TFRecord file.
    """
    found = [0]
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            while found[-1] < size:
                file.seek(found[-1])
                header = file.read(HEADER)
                if len(header) < HEADER:
                    raise _broken(path, "it ends early")
                if _masked(header[:8]) != header[8:]:
                    raise _broken(path, f"there is no record at byte {found[-1]}")
                found.append(found[-1] + HEADER + struct.unpack("<Q", header[:8])[0] + FOOTER)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; restore it") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    if found[-1] > size:
        raise _broken(path, "it ends early")
    return tuple(found)


def read_payload(path: Path, start: int, end: int) -> bytes:
    """Reads a record and checks its sum.

    Args:
        path: the file.
        start: from `offsets`.
        end: the next offset.

    Raises:
        UserError: if the file cannot be read or has changed bytes.
    """
    try:
        with open(path, "rb") as file:
            file.seek(start + HEADER)
            rest = file.read(end - start - HEADER)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    payload, footer = rest[:-FOOTER], rest[-FOOTER:]
    if len(rest) < end - start - HEADER or _masked(payload) != footer:
        raise _broken(path, f"the record at byte {start} has changed bytes")
    return payload


def _broken(path: Path, why: str) -> UserError:
    return UserError(f"{path}: truncated, corrupt or no TFRecord file ({why}); restore it")


def crc32c(data: bytes) -> int:
    """Returns the CRC-32C of bytes, as TFRecord asks for it.

    Blocks are summed side by side by NumPy and then joined: the sum is linear, so a block's share
    moves on by a table.
    """
    if len(data) < _BLOCK:
        register = 0xFFFFFFFF
        table = _table().tolist()
        for byte in data:
            register = table[(register ^ byte) & 255] ^ (register >> 8)
        return register ^ 0xFFFFFFFF
    # A start value of ones is the same as the first four bytes inverted and a start value of
    # zero, with which zeros in front change nothing.
    padded = np.zeros(-(-len(data) // _BLOCK) * _BLOCK, np.uint8)
    padded[-len(data) :] = np.frombuffer(data, np.uint8)
    start = len(padded) - len(data)
    padded[start : start + 4] ^= 255
    columns = np.ascontiguousarray(padded.reshape(-1, _BLOCK).T)
    table = _table()
    sums = np.zeros(columns.shape[1], np.uint32)
    for column in columns:
        sums = table[(sums ^ column) & 255] ^ (sums >> 8)
    first, second, third, fourth = _block_tables()
    register = 0
    for value in sums.tolist():
        moved = first[register & 255] ^ second[register >> 8 & 255]
        register = moved ^ third[register >> 16 & 255] ^ fourth[register >> 24] ^ value
    return register ^ 0xFFFFFFFF


@functools.cache
def _table() -> np.ndarray:
    """What a byte does to a register of zero, [256] uint32."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = (table >> 1) ^ np.where(table & 1, np.uint32(_POLYNOMIAL), np.uint32(0))
    return table


@functools.cache
def _block_tables() -> list[list[int]]:
    """What a block of zeros does to each byte of a register, 4 x 256."""
    states = np.arange(256, dtype=np.uint32) << (8 * np.arange(4, dtype=np.uint32)[:, None])
    for _ in range(_BLOCK):
        states = _table()[states & 255] ^ (states >> 8)
    return states.tolist()


def _masked(data: bytes) -> bytes:
    """A check sum in TFRecord's masked form."""
    value = crc32c(data)
    return struct.pack("<I", ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF)
