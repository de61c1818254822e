"""All that is written for one input: files of each picture, and a video of all of them."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from kdepth.errors import UserError
from kdepth.output import files
from kdepth.output.color import Colorizer, ColorSettings
from kdepth.output.mp4 import VideoWriter, side_by_side, video_writer
from kdepth.output.result import Result

KINDS = ("color", "npy", "png16", "ply", "mp4")
LAYOUTS = ("side_by_side", "depth")


@dataclasses.dataclass(frozen=True)
class OutputSettings:
    """What is written, and how.

    Attributes:
        kinds: some of `KINDS`.
        colors: of colour maps and the video.
        layout: of the video: the picture and its depth, or depth alone.
        max_depth: farther points are left out of point clouds; None: none are.
    """

    kinds: tuple[str, ...]
    colors: ColorSettings = ColorSettings()
    layout: str = LAYOUTS[0]
    max_depth: float | None = None

    def __post_init__(self) -> None:
        """Finds kinds that do not exist.

        Raises:
            UserError: if there is such a kind, or none at all.
        """
        unknown = [kind for kind in self.kinds if kind not in KINDS]
        if unknown or not self.kinds:
            raise UserError(f"--outputs={','.join(self.kinds)}: choose some of {', '.join(KINDS)}")


class Outputs:
    """Writes results; use it as a context manager, because a video appears when it ends."""

    def __init__(self, folder: Path, settings: OutputSettings, name: str, rate: float) -> None:
        """Prepares; nothing is written yet.

        Args:
            folder: for the files.
            settings: what, and how.
            name: of the video.
            rate: its frames per second.
        """
        self._folder = folder
        self._settings = settings
        self._name = name
        self._rate = rate
        self._colorize = Colorizer(settings.colors)
        self._open = contextlib.ExitStack()
        self._video: VideoWriter | None = None
        self._video_entry: dict[str, Any] = {}

    def __enter__(self) -> Outputs:
        return self

    def __exit__(self, *error: Any) -> None:
        self._open.__exit__(*error)

    def write(self, result: Result) -> dict[str, Any]:
        """Writes everything for one picture.

        Returns:
            Its quantity, kind, unit and files, for the summary; empty where all goes into the video.

        Raises:
            UserError: if it does not fit into the video.
        """
        settings, folder = self._settings, self._folder
        kinds = settings.kinds
        color = self._colorize(result) if {"color", "mp4"} & set(kinds) else None
        entry: dict[str, Any] = {}
        if "npy" in kinds:
            entry |= files.write_npy(folder, result)
        if "png16" in kinds:
            entry |= files.write_png16(folder, result)
        if "color" in kinds:
            entry |= files.write_color(folder, result, color)
        if "ply" in kinds:
            entry |= files.write_ply(folder, result, settings.max_depth)
        if "mp4" in kinds:
            self._add_to_video(result, color)
        return {**_meaning(result), **entry} if entry else {}

    def video(self) -> dict[str, Any] | None:
        """What the summary says about the video; None without one."""
        return {**self._video_entry, "frames": self._video.count} if self._video else None

    def _add_to_video(self, result: Result, color: np.ndarray) -> None:
        if self._video is None:
            path = self._folder / f"{self._name}_{result.quantity}.mp4"
            self._video = self._open.enter_context(video_writer(path, self._rate))
            self._video_entry = {
                **_meaning(result),
                "mp4": path.name,
                "layout": self._settings.layout,
            }
        beside = self._settings.layout == "side_by_side"
        picture = side_by_side(result.image, color) if beside else color
        self._video.write(picture, result.time)


def _meaning(result: Result) -> dict[str, Any]:
    return {
        "quantity": result.quantity,
        "kind": result.prediction.kind,
        "unit": result.prediction.unit,
    }
