"""Where the frames of `predict` come from: pictures, a video file, or a camera.

`open_source` looks at what the user named. Every source gives `Frame`s in order; one that cannot be
read is handed to the caller, who stops or goes on. PyAV is imported for videos and cameras only.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Union

import numpy as np
from absl import logging

from kdepth.data.image import read_image
from kdepth.data.video_stream import VIDEO_SUFFIXES, VideoStream
from kdepth.errors import UserError
from kdepth.pictures import image_files

DEVICE_PREFIX = "camera:"
PICTURE_RATE = 10.0  # frames per second that pictures are shown with in a video
_DEVICE_RATE = 30.0  # of what does not say
_LONGEST_READ = 5.0  # seconds that a camera may take for one frame when it is closed
# sys.platform -> FFmpeg's input format for cameras, the name of camera number {}, its options.
_DEVICES = {
    "linux": ("v4l2", "/dev/video{}", {}),
    # The default rate, 29.97, is one that most of Apple's cameras refuse.
    "darwin": ("avfoundation", "{}", {"framerate": "30"}),
    "win32": ("dshow", "video={}", {}),
}

OnBad = Callable[[str, UserError], None]
"""(what could not be read, why): raises to stop, or returns to go on without it."""


@dataclasses.dataclass(frozen=True)
class Frame:
    """One picture to predict.

    Attributes:
        name: what its results are called.
        file: where it comes from.
        image: [H, W, 3] uint8 RGB.
        time: seconds since the first frame.
        number: of the frame in a video; None of a picture.
    """

    name: str
    file: Path
    image: np.ndarray
    time: float
    number: int | None = None

    @property
    def place(self) -> str:
        """File and frame, for messages."""
        return str(self.file) if self.number is None else f"{self.file}, frame {self.number}"


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Picture files.

    Attributes:
        name: of what is made of all of them.
        files: in order.
        rate: pictures per second if they are shown as a video.
    """

    name: str
    files: Sequence[Path]
    rate: float = PICTURE_RATE

    unit = "picture"
    live = False

    def __post_init__(self) -> None:
        for stem, count in collections.Counter(file.stem for file in self.files).items():
            if count > 1:
                raise UserError(
                    f"{self.files[0].parent} holds {count} pictures called '{stem}': their results"
                    " would collide"
                )

    @property
    def count(self) -> int | None:
        """How many there are."""
        return len(self.files)

    def frames(self, on_bad: OnBad) -> Iterator[Frame]:
        """Reads the pictures; time runs at `rate`."""
        for index, file in enumerate(self.files):
            try:
                image = read_image(file)
            except UserError as error:
                on_bad(str(file), error)
                continue
            yield Frame(file.stem, file, image, index / self.rate)


@dataclasses.dataclass(frozen=True)
class VideoFile:
    """A video file.

    Attributes:
        path: of the file.
        step: every so many-th frame is used.
        rate: used frames per second.
        count: used frames, as the file tells; None where it does not.
    """

    path: Path
    step: int
    rate: float
    count: int | None

    unit = "frame"
    live = False

    @classmethod
    def open(cls, path: Path, step: int = 1) -> VideoFile:
        """Looks at a file.

        Raises:
            UserError: if it is no video, or PyAV is not installed.
        """
        with cls._stream(path) as stream:
            count = stream.count and -(-stream.count // step)
            return cls(path, step, (stream.rate or _DEVICE_RATE) / step, count)

    @property
    def name(self) -> str:
        """The file's name without its suffix."""
        return self.path.stem

    def frames(self, on_bad: OnBad) -> Iterator[Frame]:
        """Decodes the frames; a file that breaks off is used up to there if `on_bad` returns."""
        with self._stream(self.path) as stream:
            numbered = iter(enumerate(stream))
            while True:
                try:
                    number, (time, image) = next(numbered)
                except StopIteration:
                    return
                except UserError as error:
                    on_bad(f"{self.path} after its last readable frame", error)
                    return
                if number % self.step == 0:
                    yield Frame(f"{self.name}_{number:06d}", self.path, image, time, number)

    @staticmethod
    def _stream(path: Path) -> VideoStream:
        return VideoStream(path, hint="see --input")


@dataclasses.dataclass(frozen=True)
class Device:
    """A camera that is connected to this machine.

    Frames that come while one is predicted are dropped, so that results do not lag behind.

    Attributes:
        device: what its driver calls it.
        driver: FFmpeg's input format.
        options: of the driver.
    """

    device: str
    driver: str
    options: dict[str, str]

    name = "camera"
    unit = "frame"
    live = True
    rate = _DEVICE_RATE
    count = None

    @classmethod
    def of_number(cls, text: str, options: dict[str, str]) -> Device:
        """The camera of a number, or of a driver's own name.

        Args:
            text: "0" is the machine's first camera.
            options: win over the driver's usual ones.
        """
        driver, pattern, usual = _DEVICES.get(sys.platform, _DEVICES["linux"])
        named = text.isdigit() or sys.platform == "win32"
        return cls(pattern.format(text) if named else text, driver, {**usual, **options})

    def frames(self, on_bad: OnBad) -> Iterator[Frame]:
        """Gives the newest frame each time that one is asked for, until the camera goes away."""
        hint = f"is a camera connected, and free? see --input={DEVICE_PREFIX}"
        given = 0
        try:
            with (
                VideoStream(
                    self.device, hint=hint, device=self.driver, options=self.options
                ) as stream,
                _Newest(enumerate(stream)) as newest,
            ):
                for number, (time, image) in newest:
                    yield Frame(f"{self.name}_{number:06d}", Path(self.device), image, time, number)
                    given += 1
        except UserError as error:
            if not given:
                raise
            # Unplugged: what was recorded up to now is kept.
            logging.warning("the camera has gone after %d frames: %s", given, error)


Source = Union[Pictures, VideoFile, Device]


def open_source(
    text: str, *, step: int = 1, rate: float | None = None, options: Sequence[str] = ()
) -> Source:
    """What a user names: a picture, a folder of pictures, a video file, or `camera:0`.

    Args:
        text: a path, or `camera:` and a number or a device of this machine.
        step: every so many-th frame of a video.
        rate: pictures per second, where they are shown as a video.
        options: of the camera's driver, each `name=value`.

    Raises:
        UserError: if there is no such thing, or a package that it needs is missing.
    """
    is_device = text.startswith(DEVICE_PREFIX)
    if options and not is_device:
        raise UserError(f"--device_option is for --input={DEVICE_PREFIX}<number>")
    if rate is not None and not 0.01 <= rate <= 1000:
        raise UserError(f"--fps={rate:g} must lie in 0.01 .. 1000")
    if is_device:
        if step != 1 or rate is not None:
            raise UserError(f"--step and --fps are not for --input={DEVICE_PREFIX}<number>")
        pairs = dict(option.partition("=")[::2] for option in options)
        if not all(name and value for name, value in pairs.items()):
            raise UserError(f"--device_option={','.join(options)}: must be name=value")
        if text == DEVICE_PREFIX:
            raise UserError(f"--input={text}: which camera? {DEVICE_PREFIX}0 is the first one")
        return Device.of_number(text[len(DEVICE_PREFIX) :], pairs)
    path = Path(os.path.expanduser(text))
    if path.is_file() and path.suffix.lower() in VIDEO_SUFFIXES:
        if rate is not None:
            raise UserError("--fps is for pictures; a video has a rate of its own")
        return VideoFile.open(path, step)
    if step != 1:
        raise UserError("--step is for a video file; name the pictures that you want")
    return Pictures(path.resolve().stem, image_files(path), rate or PICTURE_RATE)


class _Newest:
    """Reads items in a thread and gives the newest one each time; those in between are dropped."""

    def __init__(self, items: Iterator[Any]) -> None:
        self._items = items
        self._changed = threading.Condition()
        self._waiting: list[Any] = []  # the newest item, until it is taken
        self._error: Exception | None = None
        self._stopped = False  # nobody wants more
        self._ended = False  # there is no more
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> _Newest:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped = True
        # The device must not be closed while it is read; one that hangs must not hold the user.
        self._thread.join(timeout=_LONGEST_READ)

    def __iter__(self) -> Iterator[Any]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ended)
                if not self._waiting:
                    if self._error is not None:
                        raise self._error
                    return
                item = self._waiting.pop()
            yield item

    def _read(self) -> None:
        try:
            for item in self._items:
                if self._stopped:
                    break
                with self._changed:
                    self._waiting[:] = [item]
                    self._changed.notify()
        except Exception as error:  # raised again where the items are taken
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify()
