"""TFRecord shards that are written and read by offset, without TensorFlow.

A record of a shard is one encoded picture (PNG or JPEG), or one depth map (float32 rows, zlib). Any
TFRecord reader reads them in order; kdepth goes by (offset, length, CRC-32) from the manifest.
"""

from __future__ import annotations

import dataclasses
import io
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from kdepth.data.image import decode_image
from kdepth.data.tfrecord import FOOTER, HEADER
from kdepth.errors import UserError

ENCODINGS = ("png", "jpeg")


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
        return record[HEADER:-FOOTER]


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


def damaged(shard: Path, what: str) -> UserError:
    """The one error of a shard that is not as it was written."""
    return UserError(
        f"{shard}: the shard {what}; the kdepth.prepare command that made it repairs it, if it is "
        "called again where the original data is"
    )
