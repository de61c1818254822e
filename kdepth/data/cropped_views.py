"""Views that are a part of a file's picture: a road without the own car, the middle of a portrait."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from kdepth.data.image import read_image
from kdepth.errors import UserError


@dataclasses.dataclass(frozen=True)
class Window:
    """A rectangle of pixels.

    Attributes:
        x: column of its top left pixel.
        y: row of its top left pixel.
        width: pixels.
        height: pixels.
        of_size: (width, height) of the whole picture, which it must have on disk.
    """

    x: int
    y: int
    width: int
    height: int
    of_size: tuple[int, int]

    def cut(self, whole: np.ndarray, path: Path) -> np.ndarray:
        """Returns the window's pixels [height, width, ...] of [H, W, ...].

        Raises:
            UserError: if the whole has another size; `path` is named.
        """
        height, width = whole.shape[:2]
        if (width, height) != self.of_size:
            raise UserError(
                f"{path}: is {width}x{height}, but the files beside it are "
                f"{self.of_size[0]}x{self.of_size[1]}; use files of one size"
            )
        return np.ascontiguousarray(
            whole[self.y : self.y + self.height, self.x : self.x + self.width]
        )


@dataclasses.dataclass(frozen=True)
class CroppedImage:
    """A window of a picture; an `ImageSource`.

    Attributes:
        path: the picture.
        window: what of it is the view.
    """

    path: Path
    window: Window

    def __str__(self) -> str:
        return str(self.path)

    def load(self) -> np.ndarray:
        """Returns [height, width, 3] uint8 RGB."""
        return self.window.cut(read_image(self.path), self.path)


@dataclasses.dataclass(frozen=True)
class CroppedDepth:
    """A window of a depth map; a `DepthSource`.

    Attributes:
        whole: a `DepthSource` with a `path`.
        window: what of it belongs to the view.
    """

    whole: Any
    window: Window

    @property
    def path(self) -> Path:
        """The file of the whole map."""
        return self.whole.path

    def load(self) -> np.ndarray:
        """Returns [height, width] float32, metres, 0 = not measured."""
        return self.window.cut(self.whole.load(), self.path)
