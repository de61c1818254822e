"""Videos and cameras through PyAV (FFmpeg): their frames, one after the other, each with its time.

The reader of training data (`video.py`) and `predict` share it. PyAV is imported when something is
opened.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kdepth.errors import UserError

VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".3gp", ".mts")
_NEXT_TRY = 0.005  # seconds until a camera that has no frame yet is asked again


def import_av() -> Any:
    """PyAV.

    Raises:
        UserError: if it is not installed; the message has the pip line.
    """
    try:
        import av
    except ImportError:
        raise UserError(
            "videos and cameras need the package av; pip install 'kdepth[video]' brings it"
        ) from None
    return av


class VideoStream:
    """The first video stream of a file or device. Close it, or use it as a context manager.

    Attributes:
        name: what was opened, for messages.
        rate: frames per second on average; None where the file does not say.
        count: frames, as the file says or by its duration; None where it does not say, and of a
            device.
    """

    def __init__(
        self,
        name: str | Path,
        *,
        hint: str,
        device: str | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        """Opens a file, or a device.

        Args:
            name: of the file, or what the device's driver calls the device.
            hint: the end of every error message: which flag named it, what else could be wrong.
            device: FFmpeg's input format for a device ("v4l2"); None opens a file.
            options: of that format, as FFmpeg names them.

        Raises:
            UserError: if there is no video there, or PyAV is not installed.
        """
        self.name = str(name)
        self._hint = hint
        self._device = device
        self._av = import_av()
        try:
            self._container = self._av.open(
                self.name, format=device, options=dict(options or {}) or None
            )
        except (self._av.FFmpegError, ValueError, OSError) as error:
            raise self._unreadable(error) from None
        if not self._container.streams.video:
            self.close()
            raise self._unreadable("it has no video stream")
        stream = self._container.streams.video[0]
        self.rate = float(stream.average_rate) if stream.average_rate else None
        self.count = None if device else stream.frames or self._count_by_duration()

    def __enter__(self) -> VideoStream:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[tuple[float, np.ndarray]]:
        """Decodes the frames.

        Yields:
            Seconds since the first frame, and the frame, [H, W, 3] uint8 RGB, turned as the file
            says it shall be shown.

        Raises:
            UserError: if the file is damaged, or the device goes away.
        """
        first = None
        try:
            for number, frame in enumerate(self._decoded()):
                seconds = number / (self.rate or 1.0) if frame.time is None else float(frame.time)
                first = seconds if first is None else first
                # A quarter turn to the left for every 90 degrees.
                turned = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
                yield seconds - first, np.ascontiguousarray(turned)
        except (self._av.FFmpegError, IndexError, ValueError, OSError) as error:
            raise self._unreadable(error) from None

    def close(self) -> None:
        """Lets go of the file or device."""
        self._container.close()

    def _decoded(self) -> Iterator[Any]:
        while True:
            try:
                yield from self._container.decode(video=0)
                return
            except BlockingIOError:  # some cameras say so in the place of waiting for a frame
                if not self._device:
                    raise
                time.sleep(_NEXT_TRY)

    def _count_by_duration(self) -> int | None:
        duration = self._container.duration  # microseconds
        return round(duration * 1e-6 * self.rate) if duration and self.rate else None

    def _unreadable(self, reason: object) -> UserError:
        what = "cannot be opened" if self._device else "truncated, corrupt or not a video"
        return UserError(f"{self.name}: {what} ({' '.join(str(reason).split())}); {self._hint}")
