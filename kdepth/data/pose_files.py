"""Camera trajectories on disk, in the three forms that the field writes.

| form | a row | from |
|---|---|---|
| `kitti` | 12 numbers: the 3x4 matrix camera -> world, row by row; row k is frame k | KITTI odometry |
| `indexed` | the frame's number, then the same 12 numbers; frames may be missing | KITTI VO tools |
| `tum` | time tx ty tz qx qy qz qw: seconds, metres, unit quaternion | TUM RGB-D, SLAM systems |

The form is told by the count of numbers in a row. Lines that begin with `#` are comments.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from kdepth.data.kitti_calibration import is_rotation
from kdepth.errors import UserError
from kdepth.files import atomic_path
from kdepth.geometry import pose

FORMS = {"kitti": 12, "indexed": 13, "tum": 8}
"""Form -> numbers in a row."""

_ROW = {
    "kitti": "12 numbers (3x4)",
    "indexed": "the frame's number and 12 numbers (3x4)",
    "tum": "8 numbers (time tx ty tz qx qy qz qw)",
}
# Squares of what is farther away would not be finite; no trajectory on earth is that long.
_FARTHEST = 1e12
_QUATERNION_TOLERANCE = 1e-2


@dataclasses.dataclass(frozen=True)
class Trajectory:
    """Where a camera was.

    Attributes:
        poses: [N, 4, 4] float64, camera k -> world (any frame that all poses share).
        frames: [N] int64, increasing frame numbers, where the file has them.
        times: [N] float64 seconds, increasing, where the file has them.
    """

    poses: np.ndarray
    frames: np.ndarray | None = None
    times: np.ndarray | None = None

    def __len__(self) -> int:
        """Number of poses."""
        return len(self.poses)


def read(path: Path, form: str | None = None) -> Trajectory:
    """Reads a pose file.

    Args:
        path: the file.
        form: one of `FORMS`; None tells it from the first row.

    Returns:
        The trajectory, with frame numbers or times where the form has them.

    Raises:
        UserError: if the file is missing, empty, no text, or holds a row that is no pose of this
            form; the row is named.
    """
    rows = _rows(path)
    if not rows:
        raise UserError(f"{path}: the poses file is empty")
    form = form or _form_of(path, len(rows[0][1]))
    values = np.empty((len(rows), FORMS[form]))
    for index, (line, fields) in enumerate(rows):
        if len(fields) != FORMS[form]:
            raise UserError(
                f"{path}, row {line}: a pose is {_ROW[form]}, found {len(fields)} fields"
            )
        try:
            values[index] = [float(field) for field in fields]
        except ValueError:
            raise UserError(f"{path}, row {line}: not a number in {' '.join(fields)!r}") from None
    lines = [line for line, _ in rows]
    _check(path, lines, np.isfinite(values).all(1), "holds a number that is not finite")
    if form == "tum":
        poses = _from_quaternions(path, lines, values)
        _check_increasing(path, lines, values[:, 0], "times")
        return Trajectory(poses, times=values[:, 0])
    poses = np.tile(np.eye(4), (len(values), 1, 1))
    poses[:, :3] = values[:, -12:].reshape(-1, 3, 4)
    _check_positions(path, lines, poses)
    with np.errstate(over="ignore", invalid="ignore"):  # absurd numbers are no rotation either
        rigid = np.array([is_rotation(rotation) for rotation in poses[:, :3, :3]])
    _check(path, lines, rigid, "not a rigid motion (its 3x3 part is no rotation)")
    if form == "kitti":
        return Trajectory(poses)
    numbers = values[:, 0]
    whole = (numbers >= 0) & (numbers < 2**53) & (numbers == np.floor(numbers))
    _check(path, lines, whole, "its first number must be a frame's number, 0 or more")
    _check_increasing(path, lines, numbers, "frame numbers")
    return Trajectory(poses, frames=numbers.astype(np.int64))


def write(path: Path, trajectory: Trajectory, form: str = "kitti", comment: str = "") -> None:
    """Writes a pose file, atomically.

    Args:
        path: the file; folders are made.
        trajectory: what to write. `tum` needs its times; `indexed` counts frames from 0 where their
            numbers are not given, and `kitti` has no place for numbers.
        form: one of `FORMS`.
        comment: a line of its own at the top of a `tum` file; the others have no place for it.

    Raises:
        ValueError: if the form is `tum` and the times are not known.
    """
    matrices = trajectory.poses[:, :3].reshape(-1, 12)
    if form == "tum":
        if trajectory.times is None:
            raise ValueError("`trajectory.times` must be known for the form tum")
        quaternions = pose.to_quaternion(trajectory.poses[:, :3, :3])
        values = np.concatenate([trajectory.poses[:, :3, 3], quaternions], axis=1)
        heads = [f"{time:.6f} " for time in trajectory.times]
    elif form == "indexed":
        frames = np.arange(len(trajectory)) if trajectory.frames is None else trajectory.frames
        values, heads = matrices, [f"{frame:d} " for frame in frames]
    else:
        values, heads = matrices, [""] * len(matrices)
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        if form == "tum":
            file.write(f"# {comment}\n" if comment else "")
            file.write("# timestamp tx ty tz qx qy qz qw\n")
        for head, row in zip(heads, values):
            file.write(head + " ".join(f"{value:.9e}" for value in row) + "\n")


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """(line number, fields) of the lines that hold something."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: poses file missing") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder, not a poses file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: the poses file cannot be read: {error}") from None
    lines = enumerate(text.splitlines(), start=1)
    return [(n, line.split()) for n, line in lines if line.strip() and line.lstrip()[0] != "#"]


def _form_of(path: Path, count: int) -> str:
    for form, numbers in FORMS.items():
        if count == numbers:
            return form
    raise UserError(
        f"{path}: not a poses file: its first row has {count} fields; a row is "
        f"{_ROW['kitti']}, {_ROW['indexed']}, or {_ROW['tum']}"
    )


def _from_quaternions(path: Path, lines: list[int], values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        unit = np.abs(np.linalg.norm(values[:, 4:], axis=1) - 1) < _QUATERNION_TOLERANCE
    _check(path, lines, unit, "its last four numbers are no unit quaternion")
    poses = pose.from_parts(pose.quaternion(values[:, 4:]), values[:, 1:4])
    _check_positions(path, lines, poses)
    return poses


def _check_positions(path: Path, lines: list[int], poses: np.ndarray) -> None:
    near = (np.abs(poses[:, :3, 3]) < _FARTHEST).all(1)
    _check(path, lines, near, f"its position is more than {_FARTHEST:g} m away")


def _check_increasing(path: Path, lines: list[int], values: np.ndarray, what: str) -> None:
    increasing = np.concatenate([[True], np.diff(values) > 0])
    _check(path, lines, increasing, f"{what} must increase from row to row")


def _check(path: Path, lines: list[int], good: np.ndarray, why: str) -> None:
    if not good.all():
        raise UserError(f"{path}, row {lines[int(np.argmin(good))]}: {why}")
