"""Data sets in their official layouts, small: what the tests of the readers and evaluations write."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from kdepth.geometry.camera import Camera
from kdepth.geometry.pose import to_quaternion
from tests.data import matlab5
from tests.data.checks import wall

# -- Make3D: an eighth of the size ---------------------------------------------------------------

MAKE3D_SIZE = (284, 213)  # height, width


def distances(seed: int) -> np.ndarray:
    """[55, 305] metres; a row's depth tells the row."""
    columns = np.random.default_rng(seed).uniform(0, 0.5, 305)
    return 1.0 + np.arange(55)[:, None] + columns


def grid(depth: np.ndarray) -> np.ndarray:
    """Position3DGrid: vertical, horizontal, projective depth, depth along the ray; metres."""
    y, x = np.meshgrid(np.linspace(0.47, -0.47, 55), np.linspace(-0.35, 0.35, 305), indexing="ij")
    z = depth / np.sqrt(1 + x**2 + y**2)
    return np.stack([y * z, x * z, z, depth], axis=-1)


def write_make3d(
    root: Path, images: str, scans: str, name: str, depth: np.ndarray, compress: bool = False
) -> None:
    """Writes a photograph, whose rows tell where they are, and its scan [55, 305] in metres."""
    for folder in (images, scans):
        (root / folder).mkdir(parents=True, exist_ok=True)
    # In steps that JPEG keeps.
    height, width = MAKE3D_SIZE
    rows = np.repeat(np.linspace(0, 255, height)[:, None], width, axis=1)
    picture = np.stack([rows, rows, np.full_like(rows, 80)], axis=-1).astype(np.uint8)
    Image.fromarray(picture).save(root / images / f"img-{name}.jpg", quality=95)
    content = matlab5.file(matlab5.matrix("Position3DGrid", grid(depth)), compress=compress)
    (root / scans / f"depth_sph_corr-{name}.mat").write_bytes(content)


# -- NYU Depth v2, labelled ----------------------------------------------------------------------

_TITLE = "MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Sat Feb 16 22:34:04 2013 HDF5 schema 1.00 ."


def write_nyu(
    path: Path, images: np.ndarray, depths: np.ndarray, raw_depths: np.ndarray, **more: np.ndarray
) -> None:
    """Writes MATLAB arrays [480, 640, 3, N] and [480, 640, N] as MATLAB's `save -v7.3` does."""
    import h5py

    with h5py.File(path, "w", userblock_size=512, libver="earliest") as file:
        arrays = {"images": images, "depths": depths, "rawDepths": raw_depths, **more}
        for name, array in arrays.items():
            # MATLAB stores columns first, so HDF5 sees the axes the other way round.
            data = file.create_dataset(
                name, data=array.T, chunks=(1, *array.T.shape[1:]), compression="gzip"
            )
            data.attrs["MATLAB_class"] = np.bytes_(
                {"f4": "single", "u1": "uint8", "f8": "double"}.get(array.dtype.str[1:], "uint16")
            )
    with open(path, "r+b") as file:
        file.write(_TITLE.encode().ljust(116) + b"\0" * 8 + b"\x00\x02IM")


def write_nyu_splits(path: Path, train, test) -> None:
    """Writes `splits.mat` with numbers from 1."""
    columns = {"testNdxs": test, "trainNdxs": train}
    elements = (
        matlab5.matrix(name, np.array(numbers, np.float64)[:, None], stored="u2")
        for name, numbers in columns.items()
    )
    path.write_bytes(matlab5.file(*elements, compress=True))


# -- Cityscapes: a rendered wall at a quarter of the size ----------------------------------------

# As in the data set's files.
INTRINSIC = {"fx": 2262.52, "fy": 2265.3017905988554, "u0": 1096.98, "v0": 513.137}
EXTRINSIC = {"baseline": 0.209313, "pitch": 0.038, "roll": 0.0, "x": 1.7, "y": 0.1, "yaw": -0.0195}
EXTRINSIC["z"] = 1.22
FULL = Camera(*(INTRINSIC[key] for key in ("fx", "fy", "u0", "v0")), 2048, 1024)
SMALL = FULL.resize(512, 256)


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def moved(x: float = 0.0, z: float = 0.0) -> np.ndarray:
    pose = np.eye(4)
    pose[0, 3], pose[2, 3] = x, z
    return pose


def write_cityscapes(root: Path, part: str, name: str, distance: float = 6.0) -> None:
    """Writes a pair, its disparity and its camera file as the archives have them."""
    city = name.split("_")[0]
    left, depth = wall(SMALL, moved(), distance)
    right, _ = wall(SMALL, moved(EXTRINSIC["baseline"]), distance)
    disparity = INTRINSIC["fx"] * EXTRINSIC["baseline"] / depth  # pixels at 2048
    values = np.round(disparity * 256 + 1).astype(np.uint16)
    values[:, :64] = 0  # the matcher sees nothing there
    values[0, 100] = 1  # a disparity of zero: infinitely far
    for kind, array in (("leftImg8bit", left), ("rightImg8bit", right), ("disparity", values)):
        save(root / kind / part / city / f"{name}_{kind}.png", array)
    camera = root / "camera" / part / city / f"{name}_camera.json"
    camera.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"extrinsic": EXTRINSIC, "intrinsic": INTRINSIC}, indent=4)
    camera.write_text(text)


# -- KITTI depth ---------------------------------------------------------------------------------


def annotate(folder: Path, layout, frames, camera: str) -> None:
    """Writes a drive of the archive: 16-bit grey, 256 * metres; the depth is the frame's number."""
    for frame in frames:
        values = np.zeros((layout.height, layout.width), np.uint16)
        values[10:20, 5:40] = 256 * (10 + frame) + 128
        name = f"proj_depth/groundtruth/image_{camera}/{frame:010d}.png"
        layout.save(folder / name, values)


# -- TUM RGB-D -----------------------------------------------------------------------------------

TUM_START = 1305031102.175304  # seconds; real ones are like it
_HEADER = "# {} images\n# file: 'rgbd_dataset_freiburg1_wall.bag'\n# timestamp filename\n"


def write_tum(
    folder: Path, pictures: list[Path], depths: list[Path], poses: list[np.ndarray]
) -> None:
    """Writes a sequence as the official archives have it; the truth runs at 100 Hz, held between."""
    times = [TUM_START + i / 30 for i in range(len(pictures))]
    for kind, files, delay in (("rgb", pictures, 0.0), ("depth", depths, 0.011)):
        (folder / kind).mkdir(parents=True)
        lines = []
        for time, file in zip(times, files):
            name = f"{kind}/{time + delay:.6f}.png"
            shutil.copy(file, folder / name)
            lines.append(f"{time + delay:.6f} {name}\n")
        (folder / f"{kind}.txt").write_text(_HEADER.format(kind) + "".join(lines))
    rows = []
    for i in range(100 * len(pictures) // 30 + 1):
        time = times[0] + i / 100
        pose = poses[int(np.argmin([abs(time - other) for other in times]))]
        numbers = [*pose[:3, 3], *to_quaternion(pose[:3, :3])]
        rows.append(f"{time:.4f} " + " ".join(f"{number:.4f}" for number in numbers) + "\n")
    title = "# ground truth trajectory\n# file: 'rgbd_dataset_freiburg1_wall.bag'\n"
    legend = "# timestamp tx ty tz qx qy qz qw\n"
    (folder / "groundtruth.txt").write_text(title + legend + "".join(rows))
