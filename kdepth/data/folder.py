"""The user's own data: folders of pictures, of stereo pairs, of pictures with depth.

Every folder with pictures is a video, its frames in the order of their names (`frame2` before
`frame10`). A folder may hold its pictures in a folder of their own, `images`, `image`, `rgb` or
`color`; or stereo pairs in two (`PAIRS`), each right view under its left view's name; and depth in
`depth`, under its picture's name. Intrinsics come from the options, a file, or a photo's EXIF.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from absl import logging

from kdepth.data import frames, splits
from kdepth.data.depth_files import DEPTH_SUFFIXES, depth_source
from kdepth.data.image import image_size
from kdepth.data.intrinsics import (
    CAMERA_OPTIONS,
    INTRINSICS_FILES,
    Intrinsics,
    exif_intrinsics,
    given_intrinsics,
    read_intrinsics,
)
from kdepth.data.options import Option
from kdepth.data.sample import Record
from kdepth.errors import UserError
from kdepth.geometry.camera import Camera

PICTURE_FOLDERS = ("images", "image", "rgb", "color")
PAIRS = (
    ("left", "right"),
    ("image_02/data", "image_03/data"),
    ("image_02", "image_03"),
    ("image_2", "image_3"),
    ("image_00", "image_01"),
    ("image_0", "image_1"),
    ("cam0", "cam1"),
)
DEPTH_FOLDER = "depth"
PICTURE_SUFFIXES = (*frames.IMAGE_SUFFIXES, ".bmp", ".webp", ".tif", ".tiff", ".ppm")
_VAL_SHARE = 10  # the last tenth of every video is `val`
_NEEDS_CAMERA = frozenset(["intrinsics", "stereo_intrinsics", "baseline"])

STEP_OPTION = Option("step", "Use every so many frames of a video.", 1, kind=int, positive=True)


@dataclasses.dataclass(frozen=True, eq=False)
class Sequence:
    """Frames that belong together, in their order.

    Attributes:
        name: of its folder, relative to the data folder.
        folder: where its intrinsics are looked for.
        pictures: the frames.
        right: folder of the right views, or None.
        depth: folder of the depth files; it need not exist.
    """

    name: str
    folder: Path
    pictures: tuple[Path, ...]
    right: Path | None
    depth: Path


class Folder:
    """Reader of the user's own pictures.

    Args:
        data_dir: the folder that holds them.
        fx: horizontal focal length, pixels.
        fy: vertical focal length, pixels; None is `fx`.
        cx: column of the principal point, pixels; None is the middle.
        cy: row of the principal point, pixels; None is the middle.
        intrinsics: a file of intrinsics for all pictures.
        baseline: distance of a pair's cameras, metres; also `baseline` of a JSON file.
        depth_scale: values in a metre of depth files with whole numbers.
        step: every so many frames of a video are used.
        on_missing: "stop" or "skip": what a right view, or a listed picture, that is not on disk
            does.

    Raises:
        UserError: if the folder is missing or empty, or holds no pictures.
    """

    name: ClassVar[str] = "folder"
    keys: ClassVar[frozenset[str]] = frozenset(
        ["image", "stereo", "sources", "intrinsics", "stereo_intrinsics", "baseline", "depth"]
        + ["index"]
    )
    options: ClassVar[tuple[Option, ...]] = (
        *CAMERA_OPTIONS,
        Option("baseline", "Metres between the cameras of a pair.", kind=float, positive=True),
        Option(
            "depth_scale",
            "Values in a metre of depth files with whole numbers: 1000 for millimetres.",
            kind=float,
            positive=True,
        ),
        STEP_OPTION,
    )

    def __init__(
        self,
        data_dir: str | os.PathLike[str],
        fx: float | None = None,
        fy: float | None = None,
        cx: float | None = None,
        cy: float | None = None,
        intrinsics: str | os.PathLike[str] | None = None,
        baseline: float | None = None,
        depth_scale: float | None = None,
        step: int = 1,
        on_missing: str = "stop",
    ) -> None:
        self._given = given_intrinsics(fx, fy, cx, cy, intrinsics)
        self._baseline, self._scale = baseline, depth_scale
        self._step, self._on_missing = step, on_missing
        self._sizes: dict[str, tuple[int, int, Path]] = {}
        self.root = self._open(data_dir)
        self._videos = tuple(self._find())
        if not self._videos:
            raise UserError(f"{self.root}: {self._nothing()}; see --data_dir")

    def splits(self) -> list[str]:
        """Returns `train`, `val` (the last tenth of every video), `all`, own lists, videos."""
        named = [video.name for video in self._videos if video.name != "."]
        return [*dict.fromkeys(["train", "val", "all", *self._own_lists(), *named])]

    def records(
        self, split: str, keys: frozenset[str], offsets: tuple[int, ...] = (-1, 1)
    ) -> list[Record]:
        """Lists the samples of a split; see `Reader.records`.

        A list file has the path of a picture a line, relative to the data folder; its suffix does
        not matter.
        """
        missing = frames.Missing(f"{self.name}, split {split}", self._on_missing)
        found = missing.complete(
            self._record(video, place, keys, offsets, missing)
            for video, place in self._chosen(split, missing)
        )
        if "stereo" in keys and any(record.baseline is None for record in found):
            logging.warning(
                "%s: the rig is not known, so disparities will not become metres; "
                "--reader_option=baseline= and fx= (or a file of intrinsics) say it",
                self.root,
            )
        return found

    # -- what is there -----------------------------------------------------------------------------

    def _open(self, data_dir: str | os.PathLike[str]) -> Path:
        return frames.check_folder(data_dir, self.name)

    def _find(self) -> Iterator[Sequence]:
        """Finds all videos at or below the data folder."""
        for folder, folders, _ in frames.walk(self.root):
            # Where a folder's pictures may lie, and their right views.
            places: list[tuple[str, str | None]] = [*PAIRS, (".", None)]
            places += [(name, None) for name in PICTURE_FOLDERS]
            used = {DEPTH_FOLDER, "splits"}
            for left, right in places:
                pictures = _pictures(folder / left)
                if pictures and (right is None or (folder / right).is_dir()):
                    name = folder.relative_to(self.root).as_posix()
                    right_folder = None if right is None else folder / right
                    chosen = tuple(pictures[:: self._step])
                    yield Sequence(name, folder, chosen, right_folder, folder / DEPTH_FOLDER)
                    used |= {view.split("/")[0] for view in (left, right) if view}
                    break
            folders[:] = sorted((name for name in folders if name not in used), key=natural)

    def _nothing(self) -> str:
        return f"no pictures here or in its folders ({', '.join(PICTURE_SUFFIXES)})"

    def _own_lists(self) -> list[str]:
        return frames.own_splits(self.root / "splits")

    def _chosen(self, split: str, missing: frames.Missing) -> Iterator[tuple[Sequence, int]]:
        named = {video.name: video for video in self._videos}
        if split not in self._own_lists() and split in ("all", "train", "val", *named):
            for video in [named[split]] if split in named else self._videos:
                count = len(video.pictures)
                first_val = count - max(1, count // _VAL_SHARE) if count > 1 else count
                start = first_val if split == "val" else 0
                for place in range(start, first_val if split == "train" else count):
                    yield video, place
            return
        path = frames.list_file(split, self.root / "splits", self.splits())
        known = {
            Path(self._name_of(video, picture)).with_suffix("").as_posix(): (video, place)
            for video in self._videos
            for place, picture in enumerate(video.pictures)
        }
        for listed in splits.read_paths(path):
            found = known.get(Path(listed).with_suffix("").as_posix()) or known.get(listed)
            if found is None:
                missing.image(self.root / listed)
            else:
                yield found

    def _name_of(self, video: Sequence, picture: Path) -> str:
        return picture.relative_to(self.root).as_posix()

    # -- one sample --------------------------------------------------------------------------------

    def _record(
        self,
        video: Sequence,
        place: int,
        keys: frozenset[str],
        offsets: tuple[int, ...],
        missing: frames.Missing,
    ) -> Record | None:
        picture = video.pictures[place]
        stereo = None
        if "stereo" in keys:
            if video.right is None:
                missing.tolerated("a right view", picture)
                return None
            stereo = self._by_name(video.right, PICTURE_SUFFIXES).get(picture.stem)
            if stereo is None:
                missing.image(video.right / picture.stem)
                return None
        sources: tuple[Path, ...] = ()
        if "sources" in keys:
            places = [place + offset for offset in offsets]
            if min(places) < 0 or max(places) >= len(video.pictures):
                missing.tolerated("all neighbour frames", picture)
                return None
            sources = tuple(video.pictures[other] for other in places)
        depth = None
        if "depth" in keys:
            path = self._by_name(video.depth, DEPTH_SUFFIXES).get(picture.stem)
            if path is None:
                missing.tolerated("measured depth", picture)
                return None
            depth = depth_source(path, self._scale)
        try:
            size = image_size(picture)
        except UserError as error:
            missing.unreadable(picture, error)
            return None
        camera, baseline = self._camera(video, picture, size, keys)
        return Record(
            name=self._name_of(video, picture),
            image=picture,
            camera=camera,
            stereo=stereo,
            stereo_camera=camera if stereo else None,
            baseline=baseline,
            sources=sources,
            depth=depth,
        )

    def _camera(
        self, video: Sequence, picture: Path, size: tuple[int, int], keys: frozenset[str]
    ) -> tuple[Camera, float | None]:
        """Returns a picture's camera and its rig's baseline, as far as they are known or needed."""
        width, height = size
        intrinsics = self._given or self._in_file(video) or exif_intrinsics(picture)
        if intrinsics is None:
            if keys & _NEEDS_CAMERA:
                raise UserError(
                    f"{picture}: its camera is not known; pass --reader_option=fx=<pixels> (and "
                    f"fy, cx, cy), or put a file {' or '.join(INTRINSICS_FILES)} into its folder "
                    "or above it (docs/own_data.md), or use photos whose EXIF has the focal length"
                )
            # Nothing that was asked for depends on it, and what did would come out as NaN.
            return Camera(math.nan, math.nan, math.nan, math.nan, width, height), None
        if intrinsics.width is None:
            self._check_one_size(intrinsics, width, height, picture)
        baseline = self._baseline or intrinsics.baseline
        if baseline is None and "baseline" in keys:
            raise UserError(
                f"{picture}: the distance of the pair's cameras is not known; pass "
                "--reader_option=baseline=<metres>, or write `baseline` into a JSON file of "
                "intrinsics"
            )
        return intrinsics.camera(width, height), baseline

    @functools.cache  # noqa: B019 (a reader lives as long as its process needs it)
    def _in_file(self, video: Sequence) -> Intrinsics | None:
        """Reads the nearest file of intrinsics, from a video's folder up to the data folder."""
        for folder in (video.folder, *video.folder.parents):
            for name in INTRINSICS_FILES:
                if (folder / name).is_file():
                    return read_intrinsics(folder / name)
            if folder == self.root:
                break
        return None

    @functools.cache  # noqa: B019
    def _by_name(self, folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
        return frames.named_files(folder, suffixes)

    def _check_one_size(
        self, intrinsics: Intrinsics, width: int, height: int, picture: Path
    ) -> None:
        """Pixels without a size can only be those of one size of pictures."""
        first = self._sizes.setdefault(intrinsics.source, (width, height, picture))
        if first[:2] != (width, height):
            raise UserError(
                f"{picture}: is {width}x{height}, but {first[2]} is {first[0]}x{first[1]}, and "
                f"{intrinsics.source} can be right for one of them only; give each folder its own "
                "intrinsics, or write them as JSON with width and height"
            )


_DIGITS = re.compile(r"([0-9]+)")


def natural(name: str) -> list[Any]:
    """Returns a key that sorts `frame2` before `frame10`."""
    return [int(part) if i % 2 else part for i, part in enumerate(_DIGITS.split(name))]


def _pictures(folder: Path) -> list[Path]:
    named = frames.named_files(folder, PICTURE_SUFFIXES)
    return [named[name] for name in sorted(named, key=natural) if not name.startswith(".")]
