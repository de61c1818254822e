"""NYU Depth v2's raw recordings: scene folders with `r-<time>-<n>.ppm` and `d-<time>-<n>.pgm`.

Images and depths were recorded unsynchronised and are paired here by the nearest time. A depth file
holds the Kinect's 11-bit disparity; it becomes metres, is freed of the lens distortion and is seen
from the colour camera as the data set's toolbox does it (`kinect.py`). Accelerometer files (`a-*`)
are not read.

Source: Silberman, Hoiem, Kohli, Fergus, "Indoor segmentation and support inference from RGBD
images", ECCV 2012; pairing and balancing: Eigen 2014, section 4.1.
"""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path
from typing import ClassVar

import numpy as np

from kdepth.data import frames, splits
from kdepth.data.balance import evenly
from kdepth.data.kinect import COLOUR_CAMERA, ColourImage, RegisteredDepth
from kdepth.data.options import Option
from kdepth.data.sample import Record
from kdepth.data.times import nearest
from kdepth.errors import UserError

_FILE = re.compile(r"(?P<kind>[rd])-(?P<time>\d+\.\d+)-\d+\.(?P<suffix>p[pg]m)")
_KINDS = {"r": "ppm", "d": "pgm"}


class NyuRaw:
    """Reader of NYU Depth v2's raw recordings.

    Args:
        data_dir: the folder that holds the scenes' folders, at any depth.
        balance: every scene gets so many samples: evenly thinned out, or repeated; 0 leaves the
            scenes as they are. Eigen 2014 trained with 1200.
        on_missing: "stop" or "skip": what a listed scene that is not on disk does.

    Raises:
        UserError: if the folder is missing, empty or has another layout.
    """

    name: ClassVar[str] = "nyu_raw"
    keys: ClassVar[frozenset[str]] = frozenset(["image", "depth", "intrinsics", "index"])
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "balance",
            "Every scene gets so many samples, thinned out or repeated evenly (1200 as Eigen "
            "trained); 0 leaves the scenes as they are.",
            0,
            kind=int,
            of_training=True,
        ),
    )

    def __init__(
        self, data_dir: str | os.PathLike[str], balance: int = 0, on_missing: str = "stop"
    ) -> None:
        if balance < 0:
            raise UserError(f"--reader_option=balance={balance}: must be 0 or a number of samples")
        self.root = frames.check_folder(data_dir, self.name)
        self._balance, self._on_missing = balance, on_missing
        self._scenes = {
            folder.relative_to(self.root).as_posix(): folder
            for folder, _, names in frames.walk(self.root)
            if any(_FILE.fullmatch(name) for name in names)
        }
        if not self._scenes:
            raise UserError(
                f"{self.root}: no scenes here; expected <scene>/r-<time>-<number>.ppm and "
                "d-<time>-<number>.pgm below --data_dir"
            )
        self._scenes = dict(sorted(self._scenes.items()))

    def splits(self) -> list[str]:
        """Returns `all`, the folder's own lists and every scene's name."""
        return ["all", *frames.own_splits(self.root / "splits"), *self._scenes]

    def records(
        self, split: str, keys: frozenset[str], offsets: tuple[int, ...] = (-1, 1)
    ) -> list[Record]:
        """Lists the samples of a split; see `Reader.records`.

        A list file has a scene a line, by its folder's name. There are no `sources`, so `offsets`
        has no effect.
        """
        missing = frames.Missing(f"{self.name}, split {split}", self._on_missing)
        found: list[Record] = []
        for scene in self._chosen(split, missing):
            pairs, dropped = self._pairs(scene)
            for image in dropped:
                missing.tolerated(
                    "a depth map of their own (several have this nearest image)", image
                )
            records = [
                Record(
                    name=f"{scene.name} {image.stem[2:]}",
                    image=ColourImage(image),
                    camera=COLOUR_CAMERA,
                    depth=RegisteredDepth(depth) if "depth" in keys else None,
                )
                for image, depth in pairs
            ]
            found += evenly(records, self._balance) if self._balance and records else records
        missing.report(len(found))
        return found

    def _chosen(self, split: str, missing: frames.Missing) -> list[Path]:
        if split == "all":
            return list(self._scenes.values())
        if split in self._scenes:
            return [self._scenes[split]]
        # Archives of one category have a folder of their own, which lists of scenes do not name.
        by_name = {folder.name: folder for folder in self._scenes.values()}
        path = frames.list_file(split, self.root / "splits", self.splits())
        chosen = []
        for (name,) in splits.read_fields(path, 1, "a scene's name"):
            folder = self._scenes.get(name) or by_name.get(name)
            if folder is None:
                missing.image(self.root / name / "r-*")
            else:
                chosen.append(folder)
        return chosen

    @functools.cache  # noqa: B019 (a reader lives as long as its process needs it)
    def _pairs(self, scene: Path) -> tuple[list[tuple[Path, Path]], list[Path]]:
        """Returns (image, depth) pairs of a scene, and the images that were left out."""
        timed: dict[str, list[tuple[float, str]]] = {"r": [], "d": []}
        for name in sorted(os.listdir(scene)):
            match = _FILE.fullmatch(name)
            if match and _KINDS[match["kind"]] == match["suffix"]:
                timed[match["kind"]].append((float(match["time"]), name))
        images, depths = (sorted(timed[kind]) for kind in "rd")
        if not images or not depths:
            return [], [scene / name for _, name in images]
        chosen = nearest([time for time, _ in depths], [time for time, _ in images])
        count = np.bincount(chosen, minlength=len(images))
        pairs = [
            (scene / images[image][1], scene / depth)
            for image, (_, depth) in zip(chosen, depths)
            if count[image] == 1
        ]
        return pairs, [scene / images[i][1] for i in np.flatnonzero(count > 1)]
