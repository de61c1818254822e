"""Frame lists: the field's standard splits (`splits/*.txt`) and a user's own list files.

A list file has one entry a line; `#` starts a comment. The package's own form is compact:

    <drive> <cameras> <frames>      2011_09_26_drive_0001_sync 02+03 0-5,7,9-12
    <drive> <frame>                 2011_09_26_drive_0002_sync 0000000069

Cameras: `02` the left, `03` the right one as target, `02+03` a stereo pair (target: the left view).
The lists that came with monodepth (`.../image_02/data/N.jpg .../image_03/data/N.jpg`) and
monodepth2 (`<drive> <frame> l`) are understood as well.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from kdepth.data.balance import evenly
from kdepth.errors import UserError

_FOLDER = Path(__file__).parent / "splits"
_STATIC = "static_frames"  # no split: frames during which the car stands
_BALANCED = "eigen_balanced_train"
_DRIVES = 28  # Eigen 2014: drives for training
_DRIVE_IMAGES = 800  # images of a drive that are used at most
_BALANCED_ENTRIES = 40000  # and entries of the list that is drawn from them
_FORM = "`<drive> <cameras> <frames>`, for example `2011_09_26_drive_0001_sync 02+03 0-5,7`"
_RIGHT_CAMERA = {"02+03": False, "02": False, "03": True, "l": False, "r": True}
_SUFFIX = re.compile(r"\.(png|jpe?g|mat)$", re.IGNORECASE)
_LISTED_PATH = re.compile(
    r"(?P<drive>[^/]+)/image_0?(?P<camera>\d)/(?:data/)?(?P<frame>\d+)(_10)?\.\w+"
)


@dataclasses.dataclass(frozen=True)
class Entry:
    """One target frame of a split.

    Attributes:
        drive: the recording: a drive folder's name, an odometry sequence, or `training`.
        frame: frame number.
        right: the target is the right camera's view.
    """

    drive: str
    frame: int
    right: bool = False


def package_splits() -> list[str]:
    """Returns the names of the frame lists that come with kdepth (all are of KITTI raw)."""
    files = {path.stem for path in _FOLDER.glob("*.txt")} - {_STATIC}
    return sorted([*files, _BALANCED])


def read_package_split(name: str) -> list[Entry]:
    """Reads one of `package_splits()`."""
    return _eigen_balanced() if name == _BALANCED else read_list(_FOLDER / f"{name}.txt")


def _eigen_balanced() -> list[Entry]:
    """A list like the one that Eigen 2014 trained with, made of those that are known.

    The 28 drives of `eigen_train` (it has 33, the paper 28) that move most, without their static
    frames, both cameras as images of their own, at most 800 of a drive; then evened to about 40,000
    entries, as many from every drive.
    """
    static = {(entry.drive, entry.frame) for entry in read_list(_FOLDER / f"{_STATIC}.txt")}
    drives: dict[str, list[Entry]] = {}
    for entry in read_package_split("eigen_train"):
        images = drives.setdefault(entry.drive, [])
        if (entry.drive, entry.frame) not in static:
            images += [entry, dataclasses.replace(entry, right=True)]
    moving = sorted(drives.values(), key=len, reverse=True)[:_DRIVES]
    chosen = [evenly(images, min(len(images), _DRIVE_IMAGES)) for images in moving]
    return [entry for images in chosen for entry in evenly(images, _BALANCED_ENTRIES // _DRIVES)]


def read_list(path: Path) -> list[Entry]:
    """Reads a list file.

    Args:
        path: a text file in one of the forms above.

    Returns:
        The entries, in the file's order.

    Raises:
        UserError: if the file is missing, empty or holds a line that is not understood (named by
            its number).
    """
    entries = []
    for number, fields in _lines(path, _FORM):
        parsed = _parse(fields)
        if parsed is None:
            found = " ".join(fields)
            raise UserError(f"{path}, line {number}: expected {_FORM}, found {found!r}")
        entries.extend(parsed)
    return entries


def read_names(path: Path, form: str) -> list[str]:
    """Reads the list file of a data set whose samples have names, not drives and frame numbers.

    Args:
        path: a text file; the first field of a line names a sample, or is the path of its image.
        form: of a line, for the message.

    Returns:
        The names, without folders and suffix, in the file's order.

    Raises:
        UserError: if the file is missing or empty.
    """
    return [_SUFFIX.sub("", fields[0].rsplit("/", 1)[-1]) for _, fields in _lines(path, form)]


def read_fields(path: Path, count: int, form: str) -> list[list[str]]:
    """Reads a list file whose lines have a number of fields.

    Args:
        path: a text file.
        count: fields of a line.
        form: of a line, for the message.

    Raises:
        UserError: if the file is missing or empty, or a line has another count (it is named).
    """
    found = []
    for number, fields in _lines(path, form):
        if len(fields) != count:
            raise UserError(
                f"{path}, line {number}: expected {form}, found {' '.join(fields)[:80]!r}"
            )
        found.append(fields)
    return found


def read_paths(path: Path) -> list[str]:
    """Reads a list file with the path of a picture a line; blanks may be part of it.

    Raises:
        UserError: if the file is missing or empty.
    """
    return [" ".join(fields) for _, fields in _lines(path, "the path of a picture")]


def _lines(path: Path, form: str) -> list[tuple[int, list[str]]]:
    """Returns the fields of a list file's lines with the lines' numbers."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: the split's list file cannot be read: {error}") from None
    numbered = [(number, line.split("#")[0].split()) for number, line in enumerate(lines, start=1)]
    found = [(number, fields) for number, fields in numbered if fields]
    if not found:
        raise UserError(f"{path}: the split's list file has no entries; a line is {form}")
    return found


def _parse(fields: list[str]) -> list[Entry] | None:
    """Reads one line's fields; None if they follow none of the forms."""
    listed = _LISTED_PATH.search(fields[0])
    if listed:
        return [Entry(listed["drive"], int(listed["frame"]), listed["camera"] in "13")]
    drive = fields[0].rsplit("/", 1)[-1]
    if len(fields) == 2 and fields[1].isdecimal():
        return [Entry(drive, int(fields[1]))]
    if len(fields) == 3 and fields[2] in ("l", "r") and fields[1].isdecimal():
        return [Entry(drive, int(fields[1]), _RIGHT_CAMERA[fields[2]])]
    if len(fields) == 3 and fields[1] in _RIGHT_CAMERA:
        frames = _parse_ranges(fields[2])
        return frames and [Entry(drive, frame, _RIGHT_CAMERA[fields[1]]) for frame in frames]
    return None


def _parse_ranges(text: str) -> list[int] | None:
    """Reads `0-5,7` as frame numbers."""
    frames = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        last = last or first
        if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
            return None
        frames.extend(range(int(first), int(last) + 1))
    return frames
