"""Cityscapes: stereo pairs of German cities with disparity, and short videos around them.

Download page: https://www.cityscapes-dataset.com/downloads/ (with a login). The archives unpack side
by side to `<type>/<split>/<city>/<city>_<sequence>_<frame>_<type>.png`, 2048x1024:

    leftImg8bit_trainvaltest.zip    leftImg8bit     the left view
    rightImg8bit_trainvaltest.zip   rightImg8bit    the right view
    disparity_trainvaltest.zip      disparity       16-bit grey, 256 * pixels + 1, 0 = not measured
    camera_trainvaltest.zip         camera          `<city>_<sequence>_<frame>_camera.json`
    leftImg8bit_sequence_trainvaltest.zip           leftImg8bit_sequence: 30 frames around each image

Those of `train_extra` end in `_trainextra.zip`. Cameras exist for the single images only; a frame of
a video takes the one of its own sequence that is nearest. Disparities are measured by semi-global
matching, so depth from them is no independent truth.

Source: Cordts et al., "The Cityscapes dataset for semantic urban scene understanding", CVPR 2016.
"""

from __future__ import annotations

import functools
import json
import os
import re
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from kdepth.data import frames, splits
from kdepth.data.cropped_views import CroppedDepth, CroppedImage, Window
from kdepth.data.image import image_size
from kdepth.data.options import Option
from kdepth.data.sample import DisparityPng, Record
from kdepth.errors import UserError
from kdepth.geometry.camera import Camera

SIZE = (2048, 1024)  # of the images that the camera files speak of
_NO_DISPARITY = 1  # the PNG's value for a disparity of 0
_SEQUENCE = "_sequence"  # ends the names of the video folders, and of their splits here
_PARTS = ("train", "val", "test", "train_extra")
_FORM = "`<city>_<sequence>_<frame>`, for example `aachen_000000_000019`"
_NAME = re.compile(r"(?P<city>.+)_(?P<sequence>\d{6})_(?P<frame>\d{6})")
_TAIL = re.compile(r"_(left|right)Img8bit$")


class Frame(NamedTuple):
    """A frame's place: `<city>_<sequence>_<frame>`."""

    city: str
    sequence: str
    number: int

    def __str__(self) -> str:
        return f"{self.city}_{self.sequence}_{self.number:06d}"


class Cityscapes:
    """Reader of Cityscapes.

    Args:
        data_dir: the folder that holds `leftImg8bit`, `camera` and whatever else is needed.
        bottom_crop: the part of the image's height that is cut off below, where the own car is: 0.2
            as in monodepth, 0.25 as in SfMLearner and SC-Depth, or 0. Cameras and depth follow.
        skip_frames: a neighbour is so many frames of the video away; SfMLearner took 2.
        on_missing: "stop" or "skip": what a listed image that is not on disk does. Missing
            disparities and neighbour frames are always tolerated, counted and reported.

    Raises:
        UserError: if the folder is missing, empty or has another layout.
    """

    name: ClassVar[str] = "cityscapes"
    keys: ClassVar[frozenset[str]] = frozenset(
        ["image", "stereo", "sources", "intrinsics", "stereo_intrinsics", "baseline", "depth"]
        + ["index"]
    )

    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "bottom_crop",
            "Part of the height that is cut off below, where the own car is: 0.2 as in monodepth, "
            "0.25 as in SfMLearner and SC-Depth, or 0.",
            0.2,
            kind=float,
        ),
        Option(
            "skip_frames",
            "A neighbour is so many frames of the video away; SfMLearner took 2.",
            1,
            kind=int,
            positive=True,
        ),
    )

    def __init__(
        self,
        data_dir: str | os.PathLike[str],
        bottom_crop: float = 0.2,
        skip_frames: int = 1,
        on_missing: str = "stop",
    ) -> None:
        if not 0 <= bottom_crop < 1:
            raise UserError(
                f"--reader_option=bottom_crop={bottom_crop}: must be at least 0 and below 1"
            )
        self.root = frames.check_folder(data_dir, self.name)
        self._bottom_crop, self._skip, self._on_missing = bottom_crop, skip_frames, on_missing
        self._parts = [p for p in _PARTS if (self.root / "leftImg8bit" / p).is_dir()]
        videos = (self.root / f"leftImg8bit{_SEQUENCE}" / part for part in _PARTS)
        self._videos = [path.name + _SEQUENCE for path in videos if path.is_dir()]
        if not self._parts + self._videos:
            raise UserError(
                f"{self.root}: no images here; expected leftImg8bit/train/<city> (or val, test, "
                "train_extra) below --data_dir"
            )

    def splits(self) -> list[str]:
        """Returns the parts that are there, `all` single images, own lists.

        `train`, `val`, `test`, `train_extra` are single images; `train_sequence` and so on every
        frame of the videos. A plus joins them: `train+train_extra`.
        """
        own = frames.own_splits(self.root / "splits")
        return [*self._parts, *self._videos, *(["all"] if self._parts else []), *own]

    def records(
        self, split: str, keys: frozenset[str], offsets: tuple[int, ...] = (-1, 1)
    ) -> list[Record]:
        """Lists the samples of a split; see `Reader.records`.

        The lines of a list file name left images, as in monodepth's lists.
        """
        parts = self._parts if split == "all" else split.split("+")
        if set(parts) <= {*self._parts, *self._videos}:
            entries = [(part, frame) for part in parts for frame in self._frames_of(part)]
        else:
            path = frames.list_file(split, self.root / "splits", self.splits())
            names = (_TAIL.sub("", name) for name in splits.read_names(path, _FORM))
            entries = [self._entry(name, path) for name in names]
        missing = frames.Missing(f"{self.name}, split {split}", self._on_missing)
        return missing.complete(
            self._record(part, frame, keys, offsets, missing) for part, frame in entries
        )

    def _frames_of(self, part: str) -> list[Frame]:
        kind, part = _folders("leftImg8bit", part)
        cities = sorted(p.name for p in (self.root / kind / part).iterdir() if p.is_dir())
        return [frame for city in cities for frame in sorted(self._files(kind, part, city))]

    def _entry(self, name: str, path: Path) -> tuple[str, Frame]:
        """Finds the part that has a listed frame: a single image if there is one."""
        match = _NAME.fullmatch(name)
        if not match:
            raise UserError(f"{path}: expected {_FORM} in every line, found {name!r}")
        frame = Frame(match["city"], match["sequence"], int(match["frame"]))
        parts = self._parts + self._videos
        for part in parts:
            if frame in self._files(*_folders("leftImg8bit", part), frame.city):
                return part, frame
        return parts[0], frame

    def _record(
        self,
        part: str,
        frame: Frame,
        keys: frozenset[str],
        offsets: tuple[int, ...],
        missing: frames.Missing,
    ) -> Record | None:
        views = []
        for kind in ("leftImg8bit", "rightImg8bit") if "stereo" in keys else ("leftImg8bit",):
            kind, folder = _folders(kind, part)
            path = self._files(kind, folder, frame.city).get(frame)
            if path is None:
                missing.image(self.root / kind / folder / frame.city / f"{frame}_{_ending(kind)}")
                return None
            views.append(path)
        sources = []
        if "sources" in keys:
            video = self._files(f"leftImg8bit{_SEQUENCE}", folder, frame.city)
            steps = (offset * self._skip for offset in offsets)
            wanted = (frame._replace(number=frame.number + step) for step in steps)
            sources = [video.get(neighbour) for neighbour in wanted]
            if None in sources:
                missing.tolerated(f"all neighbour frames in leftImg8bit{_SEQUENCE}", views[0])
                return None
        camera, baseline = self._camera(folder, frame)
        window = self._window(views[0].parent)
        depth = None
        if "depth" in keys:
            kind, _ = _folders("disparity", part)
            path = self._files(kind, folder, frame.city).get(frame)
            if path is None:
                missing.tolerated("measured depth", views[0])
                return None
            # Disparities are pixels of the full width, whatever the size of a copy is.
            disparity = DisparityPng(path, camera.fx, baseline, _NO_DISPARITY)
            depth = CroppedDepth(disparity, window)
        width, height = window.of_size
        cropped = camera.resize(width, height).crop(0, 0, window.width, window.height)
        left, *right = (CroppedImage(path, window) for path in views)
        return Record(
            name=str(frame),
            image=left,
            camera=cropped,
            stereo=right[0] if right else None,
            stereo_camera=cropped,  # the pairs are rectified to one camera
            baseline=baseline,
            sources=tuple(CroppedImage(path, window) for path in sources),
            depth=depth,
        )

    @functools.cache  # noqa: B019 (a reader lives as long as its process needs it)
    def _files(self, kind: str, part: str, city: str) -> dict[Frame, Path]:
        """Lists a city's files of one kind by their frames."""
        suffixes = (".json",) if kind == "camera" else frames.IMAGE_SUFFIXES
        folder = self.root / kind / part / city
        named = frames.named_files(folder, suffixes, f"_{_ending(kind)}")
        matches = ((_NAME.fullmatch(name), path) for name, path in named.items())
        return {Frame(m["city"], m["sequence"], int(m["frame"])): path for m, path in matches if m}

    @functools.cache  # noqa: B019
    def _window(self, folder: Path) -> Window:
        """Returns what is kept of a city's images; all have the size of the first readable one."""
        for example in sorted(frames.named_files(folder).values()):
            try:
                width, height = image_size(example)
                break
            except UserError as error:
                unreadable = error
        else:
            raise unreadable
        if width * SIZE[1] != height * SIZE[0]:
            raise UserError(
                f"{example}: is {width}x{height}, but Cityscapes' images are {SIZE[0]}x{SIZE[1]}; "
                "give them, or smaller copies of the whole images"
            )
        kept = max(int(height * (1 - self._bottom_crop)), 1)
        return Window(0, 0, width, kept, (width, height))

    def _camera(self, part: str, frame: Frame) -> tuple[Camera, float]:
        """Returns the camera at 2048x1024 and the baseline, metres."""
        files = self._files("camera", part, frame.city)
        numbers = [other.number for other in files if other.sequence == frame.sequence]
        if not numbers:
            raise UserError(
                f"{self.root / 'camera' / part / frame.city / str(frame)}_camera.json: camera file "
                "missing; unpack camera_trainvaltest.zip (camera_trainextra.zip) beside the images"
            )
        nearest = min(numbers, key=lambda number: (abs(number - frame.number), number))
        return self._calibration(files[frame._replace(number=nearest)])

    @functools.cache  # noqa: B019
    def _calibration(self, path: Path) -> tuple[Camera, float]:
        return read_camera(path)


def read_camera(path: Path) -> tuple[Camera, float]:
    """Reads a `_camera.json`.

    Returns:
        The camera of the 2048x1024 images, and the baseline, metres.

    Raises:
        UserError: if the file is missing, damaged or lacks a number; the message names it.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        intrinsic, extrinsic = content["intrinsic"], content["extrinsic"]
        fx, fy, cx, cy = (float(intrinsic[key]) for key in ("fx", "fy", "u0", "v0"))
        baseline = float(extrinsic["baseline"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{path}: not a camera file of Cityscapes ({reason}); restore it from "
            "camera_trainvaltest.zip"
        ) from None
    if not (np.isfinite([fx, fy, cx, cy, baseline]).all() and min(fx, fy, baseline) > 0):
        raise UserError(
            f"{path}: focal lengths and baseline must be positive and finite, found fx={fx:g}, "
            f"fy={fy:g}, baseline={baseline:g}; restore it from camera_trainvaltest.zip"
        )
    return Camera(fx, fy, cx, cy, *SIZE), baseline


def _folders(kind: str, part: str) -> tuple[str, str]:
    """Returns the folders of a kind of file for a split: `train_sequence` is in `<kind>_sequence`."""
    if part.endswith(_SEQUENCE):
        return kind + _SEQUENCE, part[: -len(_SEQUENCE)]
    return kind, part


def _ending(kind: str) -> str:
    """Returns how the names of a folder's files end; videos are named like single images."""
    return kind[: -len(_SEQUENCE)] if kind.endswith(_SEQUENCE) else kind
