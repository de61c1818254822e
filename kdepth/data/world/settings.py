"""What the user may choose about a world, and the names that follow from it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kdepth.errors import UserError

VERSION = 1  # of the rendered bytes; a change of the renderer that changes a byte raises it
DATES = ("2000_01_01", "2000_01_02", "2000_01_03", "2000_01_04")  # one rig calibration each
FOCAL = 0.58  # fx as a fraction of the image width, as KITTI's
BASELINE = 0.54  # metres between the colour cameras
LEFT_OFFSET = 0.06  # metres of camera 2 left of camera 0
FRAME_SECONDS = 0.1


@dataclass(frozen=True)
class WorldSettings:
    """The settings of a world; equal settings give equal bytes.

    Attributes:
        train_drives: how many streets the `train` split has.
        test_drives: how many other streets the `test` split has.
        frames: consecutive frames (10 Hz) of each drive, at most 100.
        height: image rows.
        width: image columns.
        seed: of everything random.
        moving: whether other cars drive. They move between frames, so frame-to-frame geometry then
            holds for the standing world only; stereo pairs are taken at one instant and stay exact.
        supersample: rays per pixel side where a pixel shows an edge (anti-aliasing); 1 turns it
            off.
    """

    train_drives: int = 176
    test_drives: int = 32
    frames: int = 5
    height: int = 128
    width: int = 416
    seed: int = 1
    moving: bool = False
    supersample: int = 2

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            UserError: if a value is outside its range.
        """
        ranges = {
            "train_drives": (1, 4000),
            "test_drives": (1, 4000),
            "frames": (1, 100),
            "height": (16, 2000),
            "width": (32, 4000),
            "seed": (0, 2**31 - 1),
            "supersample": (1, 8),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise UserError(f"`{name}` must be between {low} and {high}, received {value}")

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON values, with the version of the renderer."""
        return {"version": VERSION, **asdict(self)}

    def drives(self) -> dict[str, list[str]]:
        """Split name -> names of its drives, e.g. `2000_01_01_drive_0001_sync`."""
        return {
            "train": [self.drive_name(i) for i in range(self.train_drives)],
            "test": [self.drive_name(self.train_drives + i) for i in range(self.test_drives)],
        }

    def drive_name(self, index: int) -> str:
        """The folder name of the drive with this index; the dates take turns."""
        return f"{DATES[index % len(DATES)]}_drive_{index:04d}_sync"

    def drive_index(self, name: str) -> int:
        """Inverse of `drive_name`."""
        return int(name.split("_drive_")[1][:4])

    def rng(self, *key: int) -> np.random.Generator:
        """A generator that depends on the seed and the key only."""
        return np.random.default_rng([self.seed, *key])
