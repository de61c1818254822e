"""SfMLearner's prepared layout: the frames of a sample side by side in one picture.

`<folder>/<frame>.jpg` holds 3 or 5 frames from left to right in time, the target in the middle;
`<folder>/<frame>_cam.txt` nine numbers, the intrinsics of one frame; `train.txt` and `val.txt` list
"<folder> <frame>". Sets that were prepared for SfMLearner or for its followers work as they are.

Source: Zhou, Brown, Snavely, Lowe, "Unsupervised learning of depth and ego-motion from video",
CVPR 2017, and its released code.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import ClassVar

from kdepth.data import frames, splits
from kdepth.data.cropped_views import CroppedImage, Window
from kdepth.data.image import image_size
from kdepth.data.intrinsics import read_intrinsics
from kdepth.data.options import Option
from kdepth.data.sample import Record
from kdepth.errors import UserError

_CAMERA = "_cam.txt"
_FORM = "`<folder> <frame>`"


class SfMLearner:
    """Reader of SfMLearner's prepared layout.

    Args:
        data_dir: the folder that holds `train.txt` and the folders of pictures.
        sequence_length: frames in a picture, an odd number; None tells it from the intrinsics: the
            principal point lies near the middle of a frame.
        on_missing: "stop" or "skip": what a listed picture that is not on disk does.

    Raises:
        UserError: if the folder is missing, empty or has another layout.
    """

    name: ClassVar[str] = "sfmlearner"
    keys: ClassVar[frozenset[str]] = frozenset(["image", "sources", "intrinsics", "index"])
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "sequence_length",
            "Frames side by side in a picture, 3 or 5; by default the intrinsics tell.",
            kind=int,
            positive=True,
        ),
    )

    def __init__(
        self,
        data_dir: str | os.PathLike[str],
        sequence_length: int | None = None,
        on_missing: str = "stop",
    ) -> None:
        if sequence_length is not None and sequence_length % 2 == 0:
            raise UserError(
                f"--reader_option=sequence_length={sequence_length}: must be odd, the target is "
                "in the middle"
            )
        self.root = frames.check_folder(data_dir, self.name)
        self._count, self._on_missing = sequence_length, on_missing
        if not self._listed() and next(self.root.glob(f"*/*{_CAMERA}"), None) is None:
            raise UserError(
                f"{self.root}: no prepared set here; expected train.txt and "
                f"<folder>/<frame>.jpg with <frame>{_CAMERA} below --data_dir"
            )

    def splits(self) -> list[str]:
        """Returns `train` and `val` if their lists are there, and `all`."""
        return [*self._listed(), "all"]

    def records(
        self, split: str, keys: frozenset[str], offsets: tuple[int, ...] = (-1, 1)
    ) -> list[Record]:
        """Lists the samples of a split; see `Reader.records`.

        Of 5 frames a paper that asks for 3 gets the inner ones.
        """
        if split == "all":
            tails = sorted(self.root.glob(f"*/*{_CAMERA}"))
            entries = [[path.parent.name, path.name[: -len(_CAMERA)]] for path in tails]
        else:
            path = frames.list_file(split, self.root, self.splits())
            entries = splits.read_fields(path, 2, _FORM)
        missing = frames.Missing(f"{self.name}, split {split}", self._on_missing)
        wanted = (0, *offsets) if "sources" in keys else (0,)
        return missing.complete(
            self._record(folder, frame, wanted, missing) for folder, frame in entries
        )

    def _record(
        self, folder: str, frame: str, wanted: tuple[int, ...], missing: frames.Missing
    ) -> Record | None:
        picture = self._pictures(folder).get(frame)
        if picture is None:
            missing.image(self.root / folder / frame)
            return None
        try:
            intrinsics = read_intrinsics(self.root / folder / f"{frame}{_CAMERA}")
            width, height = image_size(picture)
        except UserError as error:
            missing.unreadable(picture, error)
            return None
        count = self._count or _nearest_odd(width / (2 * max(intrinsics.cx, 0.5)))
        middle = count // 2
        if width % count:
            raise UserError(
                f"{picture}: is {width} pixels wide, which is no row of {count} frames of one "
                "size; see --reader_option=sequence_length"
            )
        if max(map(abs, wanted)) > middle:
            raise UserError(
                f"{picture}: holds {count} frames (intrinsics: cx {intrinsics.cx:g}), the paper "
                f"asks for offsets {', '.join(f'{o:+d}' for o in wanted[1:])}; if it holds more, "
                "see --reader_option=sequence_length"
            )
        part = width // count
        target, *sources = (
            CroppedImage(
                picture, Window((middle + offset) * part, 0, part, height, (width, height))
            )
            for offset in wanted
        )
        return Record(
            name=f"{folder} {frame}",
            image=target,
            camera=intrinsics.camera(part, height),
            sources=tuple(sources),
        )

    def _listed(self) -> list[str]:
        return [name for name in ("train", "val") if (self.root / f"{name}.txt").is_file()]

    @functools.cache  # noqa: B019 (a reader lives as long as its process needs it)
    def _pictures(self, folder: str) -> dict[str, Path]:
        return frames.named_files(self.root / folder)


def _nearest_odd(value: float) -> int:
    return max(3, 2 * round((value - 1) / 2) + 1)
