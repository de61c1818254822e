"""What the KITTI readers share: numbered frames, the choice of a split, what is missing, poses."""

from __future__ import annotations

import collections
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import logging

from kdepth.data import pose_files, splits
from kdepth.data.sample import Record
from kdepth.errors import UserError

IMAGE_SUFFIXES = (
    ".png",
    ".jpg",
    ".jpeg",
)  # the first that is there wins, whatever a list file says


def check_folder(data_dir: str | os.PathLike[str], what: str) -> Path:
    """Returns the data folder as a path.

    Args:
        data_dir: from the user.
        what: the data set, for the message.

    Raises:
        UserError: if it is not a readable folder or is empty.
    """
    path = Path(data_dir).expanduser()
    try:
        empty = next(path.iterdir(), None) is None
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise UserError(
            f"{path}: the data folder of {what} cannot be opened ({reason}); see --data_dir"
        ) from None
    if empty:
        raise UserError(f"{path}: the data folder of {what} is empty; see --data_dir")
    return path


def numbered_files(
    folder: Path, suffixes: Sequence[str] = IMAGE_SUFFIXES, tail: str = ""
) -> dict[int, Path]:
    """Lists files whose name is a number, by that number; an empty dict if there is no such folder.

    Args:
        folder: where to look; one listing serves a whole drive, which is much faster than asking
            for each frame.
        suffixes: accepted file suffixes, the best first.
        tail: what follows the number in the stem (`_10` in KITTI stereo 2015).
    """
    named = named_files(folder, suffixes, tail)
    return {int(name): path for name, path in named.items() if name.isdecimal()}


def named_files(
    folder: Path, suffixes: Sequence[str] = IMAGE_SUFFIXES, tail: str = ""
) -> dict[str, Path]:
    """Lists files by their name without tail and suffix; arguments as of `numbered_files`."""
    found: dict[str, Path] = {}
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return found
    for suffix in reversed(suffixes):
        ending = tail + suffix
        for name in names:
            if name.lower().endswith(ending.lower()):
                found[name[: -len(ending)]] = folder / name
    return found


def walk(root: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Goes through a folder and those below it, as `os.walk`: each once, links followed.

    Yields:
        Folder, names of the folders in it (hidden ones left out; what is removed from the list is
        not entered), names of the files.
    """
    seen = set()
    for path, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(path)
        if real in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield Path(path), folders, names


def doubled_files(folder: Path, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> list[Path]:
    """Lists names that are there with several of the suffixes; `named_files` takes one of them."""
    try:
        files = [Path(name) for name in sorted(os.listdir(folder))]
    except OSError:
        return []
    counts = collections.Counter(file.stem for file in files if file.suffix.lower() in suffixes)
    return [folder / stem for stem, count in counts.items() if count > 1]


def entries_of(
    split: str, package: Sequence[str], folder: Path, others: Sequence[str]
) -> list[splits.Entry]:
    """Reads a split that is a list: the package's, the data set's own, or a user's file.

    Args:
        split: a name or a path.
        package: names of package lists that the data set takes.
        folder: where the data set keeps lists of its own, `<name>.txt`.
        others: further names that the reader understands itself, for the message.

    Raises:
        UserError: if there is no such split; the message lists the ones there are.
    """
    if split in package:
        return splits.read_package_split(split)
    return splits.read_list(list_file(split, folder, [*package, *own_splits(folder), *others]))


def list_file(split: str, folder: Path, names: Sequence[str]) -> Path:
    """Finds the list file of a split: the data set's own, or a user's.

    Args:
        split: a name or a path.
        folder: where the data set keeps lists of its own, `<name>.txt`.
        names: of all splits, for the message.

    Raises:
        UserError: if there is no such split; the message lists the ones there are.
    """
    own = folder / f"{split}.txt"
    if "/" not in split and own.is_file():
        return own
    path = Path(split).expanduser()
    if path.is_file():
        return path
    raise UserError(
        f"no split {split!r} (--split): choose one of {', '.join(names)}, or give the path of a "
        "list file"
    )


def own_splits(folder: Path) -> list[str]:
    """Returns the names of the list files in a data set's own `splits` folder."""
    return sorted(path.stem for path in folder.glob("*.txt"))


class Missing:
    """Counts what a split lists and the disk lacks, and reports it once.

    Args:
        what: data set and split, for the messages.
        on_missing: "stop" makes a missing image an error; "skip" drops its sample.
    """

    def __init__(self, what: str, on_missing: str) -> None:
        self._what = what
        self._stop = on_missing == "stop"
        self._first: dict[str, Path | str] = {}
        self._counts: collections.Counter[str] = collections.Counter()
        self._noted: collections.Counter[str] = collections.Counter()

    def image(self, path: Path) -> None:
        """Notes a missing target or right view: an error unless such samples are to be skipped."""
        if self._stop:
            raise UserError(
                f"{path}: listed in {self._what}, but there is no such .png or .jpg; complete the "
                "data set, use a split of what is there (`all`), or pass --on_bad_sample=skip"
            )
        self.tolerated("images", path)

    def tolerated(self, kind: str, path: Path | str) -> None:
        """Notes what a data set is known to lack here and there; its sample is left out."""
        self._first.setdefault(kind, path)
        self._counts[kind] += 1

    def unreadable(self, path: Path, error: UserError) -> None:
        """Notes a file that had to be read for the list and cannot be: as a missing image.

        Raises:
            UserError: `error`, unless such samples are to be skipped.
        """
        if self._stop:
            raise error
        self.tolerated("a readable file", path)

    def noted(self, kind: str, path: Path | str) -> None:
        """Notes what is odd but does no harm; the sample stays."""
        self._first.setdefault(kind, path)
        self._noted[kind] += 1

    def complete(self, records: Iterable[Record | None]) -> list[Record]:
        """Returns the samples that are whole, and reports what the others lack, as `report` does.

        Args:
            records: in the split's order; None where something is missing, which was noted here.

        Raises:
            UserError: if nothing is left.
        """
        found = [record for record in records if record is not None]
        self.report(len(found))
        return found

    def report(self, found: int) -> None:
        """Logs one line with all kinds.

        Raises:
            UserError: if nothing is left.
        """
        lines = [
            f"{count} samples without {kind} (first: {self._first[kind]})"
            for kind, count in self._counts.items()
        ]
        if not found:
            raise UserError(
                f"{self._what}: no sample is complete: {'; '.join(lines) or 'it lists none'}"
            )
        if lines:
            logging.warning("%s: %d samples; left out: %s", self._what, found, "; ".join(lines))
        for kind, count in self._noted.items():
            logging.warning("%s: %d %s (first: %s)", self._what, count, kind, self._first[kind])


def read_poses(path: Path) -> np.ndarray:
    """Reads a file with one camera pose a row, 12 numbers (3x4, camera_i -> camera_0).

    Returns:
        [N, 4, 4] float64.

    Raises:
        UserError: if the file cannot be read or holds something else than rigid motions (the row is
            named).
    """
    return pose_files.read(path, "kitti").poses


def relative_poses(pose: np.ndarray, sources: Sequence[np.ndarray]) -> np.ndarray:
    """Returns T_source_target [S, 4, 4] from poses camera -> common frame."""
    return np.stack([np.linalg.inv(source) @ pose for source in sources])


def neighbours(images: dict[int, Path], frame: int, offsets: Sequence[int]) -> tuple[Path, ...]:
    """Returns the frames at offsets from a frame; an empty tuple if one of them is missing."""
    found = [images.get(frame + offset) for offset in offsets]
    return tuple(path for path in found if path) if all(found) else ()


class Views(NamedTuple):
    """The pictures of a sample from a recording with two cameras.

    Attributes:
        image: the target.
        stereo: the right view of a left target, if it was asked for.
        sources: the target camera's neighbour frames, if they or the motion to them were.
    """

    image: Path
    stereo: Path | None
    sources: tuple[Path, ...]


def find_views(
    entry: splits.Entry,
    recording: Path,
    folders: tuple[str, str],
    listing: Callable[[str], dict[int, Path]],
    keys: frozenset[str],
    offsets: Sequence[int],
    missing: Missing,
    digits: int,
) -> Views | None:
    """Finds the pictures of one sample; what is not there is noted.

    Args:
        entry: the frame, and whether the right camera's picture is the target.
        recording: its folder.
        folders: of the left and of the right camera, below `recording`.
        listing: such a folder's pictures by frame.
        keys: what the sample shall hold.
        offsets: of the neighbour frames.
        missing: takes the notes.
        digits: of a frame's number in file names, for the notes.

    Returns:
        The pictures; None if one is missing, or both views are asked for of a right target.
    """
    folder, number = folders[int(entry.right)], f"{entry.frame:0{digits}d}"
    if entry.right and "stereo" in keys:
        missing.tolerated("a left view as target", recording / folder / number)
        return None
    images = listing(folder)
    image = images.get(entry.frame)
    if image is None:
        missing.image(recording / folder / number)
        return None
    stereo = None
    if "stereo" in keys:
        stereo = listing(folders[1]).get(entry.frame)
        if stereo is None:
            missing.image(recording / folders[1] / number)
            return None
    sources: tuple[Path, ...] = ()
    if keys & {"sources", "T_sources_image"}:
        sources = neighbours(images, entry.frame, offsets)
        if not sources:
            missing.tolerated("all neighbour frames", image)
            return None
    return Views(image, stereo, sources)
