"""TFRecord shards that are written and read by offset, without TensorFlow.

A record of a shard is one encoded picture (PNG or JPEG), or one depth map (float32 rows, zlib). Any
TFRecord reader reads them in order; kdepth goes by (offset, length, CRC-32) from the manifest.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from kdepth.data.image import decode_image
from kdepth.errors import UserError

ENCODINGS = ("png", "jpeg")
_HEADER, _FOOTER = 12, 4  # bytes around a record's payload: its length and two check sums
_POLYNOMIAL = 0x82F63B78  # CRC-32C (Castagnoli), reflected
_BLOCK = 128  # bytes; blocks of a payload are summed side by side


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a record lies.

    Attributes:
        shard: the file.
        offset: of the record's first byte.
        length: bytes of the whole record.
        checksum: CRC-32 of the whole record.
    """

    shard: Path
    offset: int
    length: int
    checksum: int

    def read(self) -> bytes:
        """Returns the record's payload.

        Raises:
            UserError: if the shard is missing, truncated or changed; the message names it.
        """
        try:
            with open(self.shard, "rb") as file:
                file.seek(self.offset)
                record = file.read(self.length)
        except FileNotFoundError:
            raise damaged(self.shard, "is missing") from None
        except OSError as error:
            raise UserError(f"{self.shard}: cannot be read: {error.strerror}") from None
        if len(record) < self.length:
            raise damaged(self.shard, "ends early")
        if zlib.crc32(record) != self.checksum:
            raise damaged(self.shard, f"has changed bytes from {self.offset} on")
        return record[_HEADER:-_FOOTER]


@dataclasses.dataclass(frozen=True)
class ShardImage:
    """A picture in a shard; an `ImageSource`."""

    place: Place

    def __str__(self) -> str:
        return f"{self.place.shard} (picture at byte {self.place.offset})"

    def load(self) -> np.ndarray:
        """Returns [H, W, 3] uint8 RGB."""
        return decode_image(self.place.read(), self)


@dataclasses.dataclass(frozen=True)
class ShardDepth:
    """A depth map in a shard; a `DepthSource`.

    Attributes:
        place: where it lies.
        height: rows.
        width: columns.
    """

    place: Place
    height: int
    width: int

    @property
    def path(self) -> Path:
        """The shard."""
        return self.place.shard

    def load(self) -> np.ndarray:
        """Returns [height, width] float32, metres, 0 = not measured."""
        rows = np.frombuffer(zlib.decompress(self.place.read()), "<f4")
        return rows.reshape(self.height, self.width).astype(np.float32)


def encode_image(image: np.ndarray, encoding: str, quality: int) -> bytes:
    """Encodes a picture.

    Args:
        image: [H, W, 3] uint8 RGB.
        encoding: "png" (lossless) or "jpeg" (colour at full resolution).
        quality: of JPEG, 1 to 100.
    """
    stream = io.BytesIO()
    # PNG's quickest level: 1.7 times as fast as the default for a twentieth more bytes.
    options = {"compress_level": 1} if encoding == "png" else {"quality": quality, "subsampling": 0}
    Image.fromarray(image).save(stream, encoding, **options)
    return stream.getvalue()


def encode_depth(depth: np.ndarray) -> bytes:
    """Encodes a depth map [H, W] exactly."""
    return zlib.compress(np.ascontiguousarray(depth, "<f4").tobytes(), 1)


def frame(payload: bytes) -> bytes:
    """Returns a TFRecord: length, its check sum, payload, its check sum."""
    length = struct.pack("<Q", len(payload))
    return b"".join((length, _masked(length), payload, _masked(payload)))


def damaged(shard: Path, what: str) -> UserError:
    """The one error of a shard that is not as it was written."""
    return UserError(
        f"{shard}: the shard {what}; the kdepth.prepare command that made it repairs it, if it is "
        "called again where the original data is"
    )


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
