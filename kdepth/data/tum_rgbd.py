"""TUM RGB-D: `rgbd_dataset_freiburg<1-3>_<name>/` with `rgb.txt`, `depth.txt`, `groundtruth.txt`.

Download page: "RGB-D SLAM Dataset and Benchmark", https://cvg.cit.tum.de/data/datasets/rgbd-dataset.
A sequence's `.tgz` unpacks to one folder: `rgb/<time>.png` (640x480), `depth/<time>.png` (16-bit
grey, 5000 * metres, 0 = not measured, registered to the colour camera), and text files whose lines
are `time file`, or `time tx ty tz qx qy qz qw` (colour camera -> world, metres); `#` is a comment.

Source: Sturm, Engelhard, Endres, Burgard, Cremers, "A benchmark for the evaluation of RGB-D SLAM
systems", IROS 2012.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
from pathlib import Path
from typing import ClassVar

import numpy as np

from kdepth.data import frames, pose_files, splits
from kdepth.data.sample import DepthPng, Record
from kdepth.data.times import nearest
from kdepth.errors import UserError
from kdepth.geometry.camera import Camera

DEPTH_SCALE = 5000.0  # values in a metre
MAX_DIFFERENCE = 0.02  # seconds between a picture and what belongs to it, as in associate.py
# The calibrations of the colour cameras on the data set's page: fx, fy, cx, cy, pixels. The lens
# distortion that it lists for the first two stays in the pictures.
CAMERAS = {
    "freiburg1": (517.3, 516.5, 318.6, 255.3),
    "freiburg2": (520.9, 521.0, 325.1, 249.7),
    "freiburg3": (535.4, 539.2, 320.1, 247.6),
}
_SIZE = (640, 480)


class TumRgbd:
    """Reader of TUM RGB-D.

    A sample is a line of `rgb.txt`; the depth map and the poses nearest in time belong to it.

    Args:
        data_dir: the folder that holds the sequences' folders.
        on_missing: "stop" or "skip": what a listed image that is not on disk does. Pictures without
            a depth map or a pose within 0.02 s are always tolerated, counted and reported.

    Raises:
        UserError: if the folder is missing, empty or has another layout.
    """

    name: ClassVar[str] = "tum_rgbd"
    keys: ClassVar[frozenset[str]] = frozenset(
        ["image", "sources", "intrinsics", "depth", "T_sources_image", "index"]
    )

    def __init__(self, data_dir: str | os.PathLike[str], on_missing: str = "stop") -> None:
        self.root = frames.check_folder(data_dir, self.name)
        self._on_missing = on_missing
        self._sequences = {path.parent.name: path.parent for path in self.root.glob("*/rgb.txt")}
        if not self._sequences:
            hint = ""
            if (self.root / "rgb.txt").is_file():
                hint = f"; it looks like one sequence: give its parent, {self.root.parent}"
            raise UserError(
                f"{self.root}: no sequences here; expected rgbd_dataset_freiburg1_<name>/rgb.txt "
                f"below --data_dir{hint}"
            )

    def splits(self) -> list[str]:
        """Returns `all`, own lists, and every sequence's name."""
        return ["all", *frames.own_splits(self.root / "splits"), *sorted(self._sequences)]

    def records(
        self, split: str, keys: frozenset[str], offsets: tuple[int, ...] = (-1, 1)
    ) -> list[Record]:
        """Lists the samples of a split; see `Reader.records`.

        A frame number in a list file is a place in the sequence's `rgb.txt`, from 0.
        """
        named = {"all": sorted(self._sequences), **{name: [name] for name in self._sequences}}
        if split in named:
            entries = [
                splits.Entry(sequence, frame)
                for sequence in named[split]
                for frame in range(len(self._pictures(sequence).files))
            ]
        else:
            entries = frames.entries_of(split, [], self.root / "splits", list(named))
        missing = frames.Missing(f"{self.name}, split {split}", self._on_missing)
        return missing.complete(self._record(entry, keys, offsets, missing) for entry in entries)

    def _record(
        self,
        entry: splits.Entry,
        keys: frozenset[str],
        offsets: tuple[int, ...],
        missing: frames.Missing,
    ) -> Record | None:
        sequence, frame = entry.drive, entry.frame
        name = f"{sequence} {frame:06d}"
        if sequence not in self._sequences:
            missing.image(self.root / sequence / "rgb")
            return None
        pictures = self._pictures(sequence).files
        if frame not in pictures:
            missing.image(self.root / sequence / "rgb" / f"frame {frame}")
            return None
        wanted = [frame]
        if keys & {"sources", "T_sources_image"}:
            if not frames.neighbours(pictures, frame, offsets):
                missing.tolerated("all neighbour frames", pictures[frame])
                return None
            wanted += [frame + offset for offset in offsets]
        paths = [self._on_disk(pictures[i]) for i in wanted]
        if None in paths:
            missing.image(pictures[wanted[paths.index(None)]])
            return None
        depth = None
        if "depth" in keys:
            path = self._depths(sequence).get(frame)
            if path is None or not self._on_disk(path):
                missing.tolerated("measured depth", paths[0])
                return None
            depth = DepthPng(path, DEPTH_SCALE)
        poses = None
        if "T_sources_image" in keys:
            in_world = [self._poses(sequence).get(i) for i in wanted]
            if any(pose is None for pose in in_world):
                missing.tolerated("a measured pose", paths[0])
                return None
            poses = frames.relative_poses(in_world[0], in_world[1:])
        return Record(
            name=name,
            image=paths[0],
            camera=self._camera(sequence),
            sources=tuple(paths[1:]),
            depth=depth,
            T_sources_image=poses,
        )

    def _on_disk(self, path: Path) -> Path | None:
        """Returns the file that a list names, whatever its suffix; one listing serves a folder."""
        return self._listing(path.parent).get(path.stem)

    @functools.cache  # noqa: B019 (a reader lives as long as its process needs it)
    def _listing(self, folder: Path) -> dict[str, Path]:
        return frames.named_files(folder)

    def _camera(self, sequence: str) -> Camera:
        kinect = re.search("freiburg[1-3]", sequence)
        if not kinect:
            raise UserError(
                f"{self._sequences[sequence]}: the name does not tell the camera; call the folder "
                f"as the archive does, with one of {', '.join(CAMERAS)} in its name"
            )
        return Camera(*CAMERAS[kinect[0]], *_SIZE)

    @functools.cache  # noqa: B019
    def _pictures(self, sequence: str) -> TimedFiles:
        return read_files(self._sequences[sequence] / "rgb.txt")

    @functools.cache  # noqa: B019
    def _depths(self, sequence: str) -> dict[int, Path]:
        """Returns the depth map of every picture that has one, by the picture's number."""
        depths = read_files(self._sequences[sequence] / "depth.txt")
        pairs = associate(self._pictures(sequence).times, depths.times)
        return {picture: depths.files[depth] for picture, depth in pairs}

    @functools.cache  # noqa: B019
    def _poses(self, sequence: str) -> dict[int, np.ndarray]:
        """Returns the pose (colour camera -> world, 4x4) of every picture that has one."""
        path = self._sequences[sequence] / "groundtruth.txt"
        truth = pose_files.read(path, "tum")
        pictures = self._pictures(sequence).times
        chosen = nearest(pictures, truth.times)
        close = np.abs(truth.times[chosen] - pictures) < MAX_DIFFERENCE
        return {int(i): truth.poses[chosen[i]] for i in np.flatnonzero(close)}


@dataclasses.dataclass(frozen=True)
class TimedFiles:
    """A list of files with their times.

    Attributes:
        times: [N] float64 seconds, ascending.
        files: N paths by their place in the list, as it names them.
    """

    times: np.ndarray
    files: dict[int, Path]


def read_files(path: Path) -> TimedFiles:
    """Reads `rgb.txt` or `depth.txt`.

    Raises:
        UserError: if the file is missing, empty or has a line that is not `time file` (named).
    """
    timed = []
    for number, fields in _lines(path):
        try:
            time, name = float(fields[0]), fields[1]
        except (ValueError, IndexError):
            time, name = np.nan, ""
        if not np.isfinite(time) or len(fields) != 2 or "\0" in name:
            raise UserError(
                f"{path}, line {number}: expected `time file`; restore the file from the archive"
            )
        timed.append((time, path.parent / name))
    timed.sort()
    return TimedFiles(np.array([time for time, _ in timed]), dict(enumerate(f for _, f in timed)))


def associate(
    first: np.ndarray, second: np.ndarray, max_difference: float = MAX_DIFFERENCE
) -> list[tuple[int, int]]:
    """Pairs two lists of times one to one, the closest pairs first.

    Args:
        first: [N] seconds, ascending.
        second: [M] seconds, ascending.
        max_difference: seconds; a pair must be closer.

    Returns:
        Indices (into first, into second), ascending.

    Source: `associate.py` of the data set's tools.
    """
    begins = np.searchsorted(second, first - max_difference)
    ends = np.searchsorted(second, first + max_difference)
    candidates = sorted(
        (abs(first[i] - second[j]), i, j)
        for i in range(len(first))
        for j in range(begins[i], ends[i])
    )
    free_first, free_second, pairs = set(range(len(first))), set(range(len(second))), []
    for difference, i, j in candidates:
        if difference < max_difference and i in free_first and j in free_second:
            free_first.remove(i)
            free_second.remove(j)
            pairs.append((i, j))
    return sorted(pairs)


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """Returns the fields of a text file's lines with the lines' numbers, without comments."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; restore it from the sequence's archive") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); restore it from the archive") from None
    numbered = [(n, line.split("#")[0].split()) for n, line in enumerate(text.split("\n"), start=1)]
    found = [(number, fields) for number, fields in numbered if fields]
    if not found:
        raise UserError(f"{path}: has no entries; restore it from the sequence's archive")
    return found
