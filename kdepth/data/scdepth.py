"""SC-Depth's prepared layout: scenes of single frames, in both of its releases.

`<scene>/*.jpg` in the order of their names, `<scene>/cam.txt` (3x3, of these pictures), `train.txt`
and `val.txt` with a scene a line. All of it lies in the data folder (SC-SfMLearner-Release) or in
its `training` (sc_depth_pl). Depth, where a scene has it, is `<frame>.npy` beside the picture, or
`<scene>/depth/*` (or `leftDepth/*`) with as many files as there are pictures.

Source: Bian et al., "Unsupervised scale-consistent depth learning from video", IJCV 2021, and its
two released codes.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import ClassVar

from kdepth.data import frames, splits
from kdepth.data.depth_files import DEPTH_SUFFIXES, depth_source
from kdepth.data.image import image_size
from kdepth.data.intrinsics import Intrinsics, read_intrinsics
from kdepth.data.options import Option
from kdepth.data.sample import Record
from kdepth.errors import UserError

_CAMERA = "cam.txt"
_TRAINING = ("training", "Training", ".")
_DEPTH_FOLDERS = ("depth", "leftDepth")


class ScDepth:
    """Reader of SC-Depth's prepared layout.

    Args:
        data_dir: the folder that holds the scenes, or `training` with them.
        skip_frames: a neighbour is so many frames away. The releases use 1 for driving and NYU, 10
            for TUM and BONN.
        depth_scale: values in a metre of 16-bit depth PNGs; the releases' sets have 5000 (NYU) or
            1000 (TUM, BONN).
        on_missing: "stop" or "skip": what a listed scene that is not on disk does.

    Raises:
        UserError: if the folder is missing, empty or has another layout.
    """

    name: ClassVar[str] = "scdepth"
    keys: ClassVar[frozenset[str]] = frozenset(["image", "sources", "intrinsics", "depth", "index"])
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "skip_frames",
            "A neighbour is so many frames away; 10 for slow cameras like TUM's.",
            1,
            kind=int,
            positive=True,
        ),
        Option(
            "depth_scale",
            "Values in a metre of 16-bit depth PNGs: 5000 for the releases' NYU, 1000 for TUM.",
            kind=float,
            positive=True,
        ),
    )

    def __init__(
        self,
        data_dir: str | os.PathLike[str],
        skip_frames: int = 1,
        depth_scale: float | None = None,
        on_missing: str = "stop",
    ) -> None:
        root = frames.check_folder(data_dir, self.name)
        self._skip, self._scale, self._on_missing = skip_frames, depth_scale, on_missing
        for folder in _TRAINING:
            self.root = root / folder
            self._scenes = sorted(path.parent.name for path in self.root.glob(f"*/{_CAMERA}"))
            if self._scenes:
                return
        raise UserError(
            f"{root}: no scenes here; expected <scene>/*.jpg with <scene>/{_CAMERA} in --data_dir "
            "or in its folder training"
        )

    def splits(self) -> list[str]:
        """Returns `train` and `val` if their lists are there, `all`, and every scene's name."""
        listed = [name for name in ("train", "val") if (self.root / f"{name}.txt").is_file()]
        return [*listed, "all", *self._scenes]

    def records(
        self, split: str, keys: frozenset[str], offsets: tuple[int, ...] = (-1, 1)
    ) -> list[Record]:
        """Lists the samples of a split; see `Reader.records`.

        Neighbours are the frames before and after in the folder, as in the releases.
        """
        if split == "all" or split in self._scenes:
            scenes = self._scenes if split == "all" else [split]
        else:
            path = frames.list_file(split, self.root, self.splits())
            # The releases' lists end names with a slash now and then.
            scenes = [name.rstrip("/") for (name,) in splits.read_fields(path, 1, "a scene's name")]
        missing = frames.Missing(f"{self.name}, split {split}", self._on_missing)
        found = [
            record for scene in scenes for record in self._of_scene(scene, keys, offsets, missing)
        ]
        missing.report(len(found))
        return found

    def _of_scene(
        self, scene: str, keys: frozenset[str], offsets: tuple[int, ...], missing: frames.Missing
    ) -> list[Record]:
        pictures = self._pictures(scene)
        if not pictures:
            missing.image(self.root / scene / "*")
            return []
        intrinsics = self._intrinsics(scene)
        for picture in pictures:
            try:
                camera = intrinsics.camera(*image_size(picture))
                break
            except UserError as error:  # skipped like any other when it is loaded
                unreadable = error
        else:
            raise unreadable
        by_place = dict(enumerate(pictures))
        steps = [offset * self._skip for offset in offsets]
        found = []
        for place, picture in by_place.items():
            sources: tuple[Path, ...] = ()
            if "sources" in keys:
                sources = frames.neighbours(by_place, place, steps)
                if not sources:
                    missing.tolerated("all neighbour frames", picture)
                    continue
            depth = None
            if "depth" in keys:
                path = self._depths(scene).get(picture.stem)
                if path is None:
                    missing.tolerated("measured depth", picture)
                    continue
                depth = depth_source(path, self._scale)
            name = f"{scene} {picture.stem}"
            found.append(Record(name, picture, camera, sources=sources, depth=depth))
        return found

    @functools.cache  # noqa: B019 (a reader lives as long as its process needs it)
    def _pictures(self, scene: str) -> list[Path]:
        return [path for _, path in sorted(frames.named_files(self.root / scene).items())]

    @functools.cache  # noqa: B019
    def _depths(self, scene: str) -> dict[str, Path]:
        """Depth files by their picture's name; those in a folder may have names of their own."""
        beside = frames.named_files(self.root / scene, (".npy",))
        if beside:
            return beside
        names = [path.stem for path in self._pictures(scene)]
        for name in _DEPTH_FOLDERS:
            folder = self.root / scene / name
            named = frames.named_files(folder, DEPTH_SUFFIXES)
            if not named:
                continue
            if set(named) & set(names):
                return named
            if len(named) != len(names):
                raise UserError(
                    f"{folder}: its {len(named)} files have other names than the {len(names)} "
                    "pictures, so they can only belong together by their order; there must be as "
                    "many"
                )
            return dict(zip(names, (path for _, path in sorted(named.items()))))
        return {}

    @functools.cache  # noqa: B019
    def _intrinsics(self, scene: str) -> Intrinsics:
        return read_intrinsics(self.root / scene / _CAMERA)
