"""A video file, or a folder of them: frames are decoded once and kept as pictures.

Training reads frames in random order, and a video can only be decoded from one of its rare key
frames on; so the frames that are used are written to a cache folder when the reader is opened, and
read like any folder of pictures from then on.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from absl import logging

from kdepth.data.folder import STEP_OPTION, Folder, Sequence, natural
from kdepth.data.image import write_image
from kdepth.data.intrinsics import CAMERA_OPTIONS, Intrinsics, read_intrinsics
from kdepth.data.options import Option
from kdepth.data.video_stream import VIDEO_SUFFIXES, VideoStream
from kdepth.errors import UserError
from kdepth.files import atomic_path, cache_dir

_BESIDE = (".json", ".txt")  # <video>.json is the file of its intrinsics
_BROKEN = "broken.txt"  # among decoded frames: why there are no more of them
_LOG_EVERY = 1000  # frames


class Video(Folder):
    """Reader of video files.

    Args:
        data_dir: a video file, or a folder that holds some.
        frames_dir: where decoded frames are kept; `kdepth/video` in `$XDG_CACHE_HOME` or `~/.cache`
            by default.
        on_missing: "stop", or "skip": a video that breaks off is used up to there.
        **options: as `Folder`'s; `step` chooses the frames that are decoded.

    Raises:
        UserError: if there are no videos, one of them cannot be decoded, or the package that
            decodes them is not installed.
    """

    name: ClassVar[str] = "video"
    keys: ClassVar[frozenset[str]] = frozenset(["image", "sources", "intrinsics", "index"])
    options: ClassVar[tuple[Option, ...]] = (
        *CAMERA_OPTIONS,
        STEP_OPTION,
        Option("frames_dir", "Folder for the decoded frames; kdepth/video in the cache otherwise."),
    )

    def __init__(
        self,
        data_dir: str | os.PathLike[str],
        frames_dir: str | os.PathLike[str] | None = None,
        on_missing: str = "stop",
        **options: Any,
    ) -> None:
        self._frames_dir = Path(frames_dir or cache_dir("video")).expanduser()
        self._single: Path | None = None
        super().__init__(data_dir, on_missing=on_missing, **options)

    def _open(self, data_dir: str | os.PathLike[str]) -> Path:
        path = Path(data_dir).expanduser()
        if path.is_file():
            self._single = path
            return path.parent
        return super()._open(path)

    def _find(self) -> Iterator[Sequence]:
        files = [self._single] if self._single else []
        if not files:
            files = [
                path
                for path in sorted(self.root.iterdir(), key=lambda path: natural(path.name))
                if path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".")
            ]
        stems = [path.stem for path in files]
        for path in files:
            folder = self._decoded(path)
            pictures = sorted(folder.glob("*.jpg"))
            name = path.stem if stems.count(path.stem) == 1 else path.name
            yield Sequence(name, path, tuple(pictures), None, folder / "depth")

    def _nothing(self) -> str:
        return f"no video files here ({', '.join(VIDEO_SUFFIXES)})"

    def _name_of(self, video: Sequence, picture: Path) -> str:
        return f"{video.name}/{picture.name}"

    @functools.cache  # noqa: B019 (a reader lives as long as its process needs it)
    def _in_file(self, video: Sequence) -> Intrinsics | None:
        for suffix in _BESIDE:
            if video.folder.with_suffix(suffix).is_file():
                return read_intrinsics(video.folder.with_suffix(suffix))
        return super()._in_file(video)

    def _decoded(self, path: Path) -> Path:
        """Returns the folder with the frames of a video, which are decoded if they are not there."""
        facts = path.stat()
        identity = f"{path.resolve()} {facts.st_size} {facts.st_mtime_ns} {self._step}"
        digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
        folder = self._frames_dir / f"{path.stem}-{digest}"
        if not folder.is_dir():
            logging.info("decoding %s to %s", path, folder)
            with atomic_path(folder) as temporary:
                temporary.mkdir()
                self._decode(path, temporary)
        if (folder / _BROKEN).is_file():
            reason = (folder / _BROKEN).read_text(encoding="utf-8")
            if self._on_missing == "stop":
                raise UserError(reason)
            logging.warning("%s; its frames up to there are used", reason)
        return folder

    def _decode(self, path: Path, folder: Path) -> None:
        written = 0
        try:
            for number, frame in enumerate(decoded_frames(path)):
                if number % self._step:
                    continue
                write_image(folder / f"{number:06d}.jpg", frame)
                written += 1
                if written % _LOG_EVERY == 0:
                    logging.info("%s: %d frames", path, written)
        except UserError as error:
            if not written or self._on_missing == "stop":
                raise
            (folder / _BROKEN).write_text(str(error), encoding="utf-8")
        if not written:
            raise UserError(f"{path}: holds no frames; see --data_dir")


def decoded_frames(path: Path) -> Iterator[np.ndarray]:
    """Decodes the first video stream of a file, frame by frame.

    Args:
        path: a file that FFmpeg reads.

    Yields:
        [H, W, 3] uint8 RGB, turned as the file says it shall be shown.

    Raises:
        UserError: if the file is no video or is damaged, or PyAV is not installed.
    """
    with VideoStream(path, hint="see --data_dir") as stream:
        for _, frame in stream:
            yield frame
