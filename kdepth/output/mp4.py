"""Videos of pictures, as MP4 files (H.264 where PyAV's FFmpeg has it, else MPEG-4 part 2)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from kdepth.data.video_stream import import_av
from kdepth.errors import UserError
from kdepth.files import atomic_path

# Ticks of a second: whole for 24, 25, 30 and 60 frames per second and for 30000 / 1001, and few
# enough for MPEG-4 part 2.
_TICKS = 30_000
# Quality of H.264, 0 to 51 and smaller is better, at a preset that costs less than a small network;
# and bits for a pixel of the other one.
_H264, _BITS_PER_PIXEL = {"crf": "18", "preset": "veryfast"}, 2.0
_CODECS = ("libx264", "mpeg4")


@contextlib.contextmanager
def video_writer(path: Path, rate: float) -> Iterator[VideoWriter]:
    """Opens an MP4 file, which appears when the block ends without an error.

    Args:
        path: of the file.
        rate: frames per second, about; each picture has its own time.

    Yields:
        Its writer; at least one picture must be written.

    Raises:
        UserError: if PyAV is not installed.
    """
    av = import_av()
    with atomic_path(path) as temporary, av.open(str(temporary), "w") as container:
        writer = VideoWriter(av, container, Fraction(rate).limit_denominator(1001))
        yield writer
        writer.flush()


class VideoWriter:
    """Encodes pictures; `video_writer` opens one.

    Attributes:
        count: pictures so far.
    """

    def __init__(self, av: Any, container: Any, rate: Fraction) -> None:
        """Takes an open container of PyAV."""
        self.count = 0
        self._av = av
        self._container = container
        self._rate = rate
        self._stream: Any = None
        self._size = (0, 0)
        self._last = -1  # ticks

    def write(self, picture: np.ndarray, time: float) -> None:
        """Adds a picture.

        Args:
            picture: [H, W, 3] uint8 RGB, of the first one's size. Odd sizes get one more row or
                column, a copy of the last: the codecs have colours for pairs of pixels.
            time: seconds since the first picture.

        Raises:
            UserError: if it has another size than those before.
        """
        if self._stream is None:
            self._size = picture.shape[:2]
            self._stream = self._new_stream(*self._size)
        if picture.shape[:2] != self._size:
            raise UserError(
                "a video has pictures of one size, but after {}x{} comes {}x{}: leave out mp4".format(
                    *self._size[::-1], *picture.shape[1::-1]
                )
            )
        odd = [(0, size % 2) for size in self._size]
        padded = np.pad(picture, [*odd, (0, 0)], mode="edge")
        frame = self._av.VideoFrame.from_ndarray(padded, format="rgb24")
        # Two frames in one tick would be refused.
        self._last = max(self._last + 1, round(time * _TICKS))
        frame.pts, frame.time_base = self._last, Fraction(1, _TICKS)
        self._container.mux(self._stream.encode(frame))
        self.count += 1

    def flush(self) -> None:
        """Writes what the codec still holds back."""
        if self._stream is not None:
            self._container.mux(self._stream.encode(None))

    def _new_stream(self, height: int, width: int) -> Any:
        codec = next(name for name in _CODECS if name in self._av.codecs_available)
        stream = self._container.add_stream(codec, rate=self._rate)
        stream.height, stream.width = height + height % 2, width + width % 2
        stream.pix_fmt = "yuv420p"  # what every player knows
        stream.codec_context.time_base = Fraction(1, _TICKS)
        if codec == "libx264":
            stream.options = _H264
        else:
            stream.bit_rate = round(_BITS_PER_PIXEL * height * width * self._rate)
        return stream


def side_by_side(image: np.ndarray, color: np.ndarray) -> np.ndarray:
    """The picture, and its depth to the right; both [H, W, 3] uint8."""
    return np.concatenate([image, color], axis=1)
