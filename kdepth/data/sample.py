"""What a sample is: a record (paths and calibration, no pixels), and how one is loaded.

A data set is a `Reader`: it lists records for a split. Everything that handles pixels is written
once, here and in `pipeline.py`.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar, Protocol, Union

import numpy as np

from kdepth.data.image import DEPTH_SCALE, read_depth_png, read_image, resize_image
from kdepth.errors import UserError
from kdepth.geometry.camera import Camera

# Every key of a sample; docs/data.md has their shapes.
SAMPLE_KEYS = frozenset(
    ["image", "stereo", "sources", "intrinsics", "stereo_intrinsics", "baseline", "depth", "index"]
    + ["T_sources_image"]
)


class ImageSource(Protocol):
    """A view that is not just a picture file; `str()` names it in messages."""

    def load(self) -> np.ndarray:
        """Returns [H, W, 3] uint8 RGB."""


View = Union[Path, ImageSource]


class DepthSource(Protocol):
    """Measured depth of one view."""

    def load(self) -> np.ndarray:
        """Returns [H, W] float32, metres, 0 = not measured."""


@dataclasses.dataclass(frozen=True)
class DepthPng:
    """A 16-bit PNG of `scale` * metres, 0 = not measured; KITTI's scale if nothing else is said."""

    path: Path
    scale: float = DEPTH_SCALE

    def load(self) -> np.ndarray:
        """Returns [H, W] float32, metres, 0 = not measured."""
        return read_depth_png(self.path, self.scale)


@dataclasses.dataclass(frozen=True)
class DisparityPng:
    """Depth from a 16-bit disparity PNG; a `DepthSource`.

    Attributes:
        path: the PNG; 256 * pixels + `zero`, 0 = not measured.
        focal: focal length, pixels.
        baseline: metres.
        zero: the value of no disparity: 0 in KITTI's files, 1 in those of Cityscapes.
    """

    path: Path
    focal: float
    baseline: float
    zero: int = 0

    def load(self) -> np.ndarray:
        """Returns [H, W] float32, metres, 0 = not measured (no disparity is no depth either)."""
        disparity = read_depth_png(self.path) - np.float32(self.zero / DEPTH_SCALE)
        measured = disparity > 0
        depth = self.focal * self.baseline / np.where(measured, disparity, 1)
        return np.where(measured, depth, 0).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Record:
    """One sample: where its files are, and its cameras.

    Attributes:
        name: unique in its data set; used in reports and error lines.
        image: the target view.
        camera: the target's camera at native size.
        stereo: the right view of the rectified pair whose left view is `image`, or None.
        stereo_camera: the right view's camera at native size, or None.
        baseline: distance of the pair's cameras, metres, or None.
        sources: neighbouring frames of the same camera, ordered by offset (-1, +1 or -2, -1, +1,
            +2).
        depth: measured depth of the target, or None.
        depth_size: (height, width) of a depth grid that covers the whole image with other cells
            than pixels (Make3D's laser), or None: depth has the image's size.
        T_sources_image: [S, 4, 4] target camera -> source camera, or None.
    """

    name: str
    image: View
    camera: Camera
    stereo: View | None = None
    stereo_camera: Camera | None = None
    baseline: float | None = None
    sources: tuple[View, ...] = ()
    depth: DepthSource | None = None
    depth_size: tuple[int, int] | None = None
    T_sources_image: np.ndarray | None = None


class Reader(Protocol):
    """One data set: lists its samples."""

    name: ClassVar[str]  # as on the command line
    keys: ClassVar[frozenset[str]]  # what it can give at all
    # A reader may have `options: ClassVar[tuple[Option, ...]]` as well (`options.py`).

    def splits(self) -> list[str]:
        """Returns the names that `records` takes as `split`, beside a path to a list file."""

    def records(
        self, split: str, keys: frozenset[str], offsets: tuple[int, ...] = (-1, 1)
    ) -> list[Record]:
        """Lists the samples of a split; only what `keys` needs is looked up.

        Args:
            split: one of `splits()`, or a path to a list file.
            keys: the sample keys that will be loaded.
            offsets: frame offsets of `sources`.

        Raises:
            UserError: if there is no such split, or if files that it needs are missing.
        """


def load_image(view: View) -> np.ndarray:
    """Loads one view of a record.

    Returns:
        [H, W, 3] uint8 RGB.

    Raises:
        UserError: if the file is missing or damaged.
    """
    return read_image(view) if isinstance(view, Path) else view.load()


def load_sample(
    record: Record, keys: frozenset[str], with_image: bool = True
) -> dict[str, np.ndarray]:
    """Loads a sample at its native size.

    Args:
        record: what to load.
        keys: which of image, stereo, sources, intrinsics, stereo_intrinsics, baseline, depth,
            T_sources_image.
        with_image: load the target image, whether it is in `keys` or not.

    Returns:
        `image` and `stereo` [H, W, 3] uint8, `sources` [S, H, W, 3] uint8, `intrinsics` and
        `stereo_intrinsics` [3, 3] float32, `baseline` float32 metres, `depth` [H, W, 1] float32
        metres (or [*record.depth_size, 1]), `T_sources_image` [S, 4, 4] float32; of these the ones
        in `keys`.

    Raises:
        UserError: if a file is missing, damaged, or of another size than the target image.
    """
    width, height = record.camera.width, record.camera.height
    sample = {}
    if with_image:
        image = sample["image"] = load_image(record.image)
        if image.shape[:2] != (height, width):
            raise UserError(
                f"{record.image}: the image is {image.shape[1]}x{image.shape[0]}, but its "
                f"calibration is for {width}x{height}; use images and calibration of one size"
            )
    if "stereo" in keys:
        sample["stereo"] = load_image(_present(record, record.stereo, "stereo"))
        _check_size(record, record.stereo, sample["stereo"], width, height)
    if "sources" in keys:
        sources = [load_image(view) for view in _present(record, record.sources, "sources")]
        for view, source in zip(record.sources, sources):
            _check_size(record, view, source, width, height)
        sample["sources"] = np.stack(sources)
    if "depth" in keys:
        depth = _present(record, record.depth, "depth").load()
        rows, columns = record.depth_size or (height, width)
        _check_size(record, getattr(record.depth, "path", "depth"), depth, columns, rows)
        sample["depth"] = depth[..., None]
    if "intrinsics" in keys:
        sample["intrinsics"] = record.camera.matrix().astype(np.float32)
    if "stereo_intrinsics" in keys:
        camera = _present(record, record.stereo_camera, "stereo_intrinsics")
        sample["stereo_intrinsics"] = camera.matrix().astype(np.float32)
    if "baseline" in keys:
        sample["baseline"] = np.float32(_present(record, record.baseline, "baseline"))
    if "T_sources_image" in keys:
        poses = _present(record, record.T_sources_image, "T_sources_image")
        sample["T_sources_image"] = poses.astype(np.float32)
    return sample


def resize_sample(
    sample: dict[str, np.ndarray], record: Record, height: int, width: int, method: str
) -> dict[str, np.ndarray]:
    """Brings a native sample to the network's size, its intrinsics included.

    Args:
        sample: from `load_sample`.
        record: the record that it was loaded from.
        height: network input height.
        width: network input width.
        method: of `resize_image`, for the images; depth is always taken nearest.

    Returns:
        The same keys; images are float32 RGB in [0, 1].
    """
    resized = dict(sample)
    for key in ("image", "stereo"):
        if key in sample:
            resized[key] = resize_image(sample[key], height, width, method)
    if "sources" in sample:
        resized["sources"] = np.stack(
            [resize_image(source, height, width, method) for source in sample["sources"]]
        )
    if "depth" in sample:
        resized["depth"] = resize_image(sample["depth"], height, width, "nearest")
    for key, camera in (("intrinsics", record.camera), ("stereo_intrinsics", record.stereo_camera)):
        if key in sample:
            resized[key] = camera.resize(width, height).matrix().astype(np.float32)
    return resized


def _present(record: Record, value, key: str):
    """Returns a record's value; a record without it is a reader's fault, not the user's."""
    if value is None or (key == "sources" and not value):
        raise ValueError(
            f"record {record.name} has no `{key}`: ask its reader's `records` for this key"
        )
    return value


def _check_size(record: Record, path, array: np.ndarray, width: int, height: int) -> None:
    rows, columns = array.shape[:2]
    if (rows, columns) == (height, width):
        return
    raise UserError(
        f"{path}: is {columns}x{rows}, but {record.image} needs {width}x{height}; "
        "both must have one size (are the files of one recording?)"
    )
