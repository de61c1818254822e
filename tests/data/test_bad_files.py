"""Every file of a data set, damaged in many ways: a sound sample or one clear line."""

from __future__ import annotations

import numpy as np
import pytest

from kdepth import data
from kdepth.data.sample import load_sample
from kdepth.errors import UserError

RAW_KEYS = frozenset(
    ["image", "stereo", "sources", "intrinsics", "baseline", "depth", "T_sources_image"]
)
ODOMETRY_KEYS = RAW_KEYS - {"depth"}
STEREO_KEYS = RAW_KEYS - {"sources", "T_sources_image"}


def damaged(content: bytes, rng: np.random.Generator):
    """Yields the file truncated, with bytes changed, cut out or zeroed, and as rubbish."""
    for length in np.unique(np.linspace(0, len(content) - 1, 12).astype(int)):
        yield content[:length]
    for position in rng.integers(0, len(content), 20):
        changed = bytearray(content)
        changed[position] ^= int(rng.integers(1, 256))
        yield bytes(changed)
    for position in rng.integers(0, len(content), 6):
        yield content[:position] + content[position + 7 :]
        yield content[:position] + b"\0" * 9 + content[position + 9 :]
    yield rng.bytes(64)
    yield b"\n" * 10
    yield content + content


def check(dataset: str, root, keys: frozenset[str]) -> None:
    records = data.open_reader(dataset, root).records("all", keys)
    for record in records[:2]:
        for key, value in load_sample(record, keys).items():
            assert np.isfinite(value).all(), key


@pytest.mark.parametrize(
    "name",
    [
        "{date}/calib_cam_to_cam.txt",
        "{date}/calib_velo_to_cam.txt",
        "{date}/{drive}/poses_cam2.txt",
        "{date}/{drive}/image_02/data/0000000001.png",
        "{date}/{drive}/image_03/data/0000000001.png",
        "{date}/{drive}/image_02/data/0000000002.png",
        "{date}/{drive}/velodyne_points/data/0000000001.bin",
    ],
)
def test_kitti_raw(kitti_raw, layout, name):
    fuzz("kitti_raw", kitti_raw, name.format(date=layout.date, drive=layout.drive), RAW_KEYS)


@pytest.mark.parametrize("name", ["sequences/00/calib.txt", "poses/00.txt"])
def test_kitti_odometry(kitti_odometry, name):
    (kitti_odometry / "sequences/09").rename(kitti_odometry / "unused")
    fuzz("kitti_odometry", kitti_odometry, name, ODOMETRY_KEYS)


@pytest.mark.parametrize(
    "name", ["calib_cam_to_cam/000001.txt", "disp_noc_0/000001_10.png", "image_2/000000_10.png"]
)
def test_kitti_stereo2015(kitti_stereo, name):
    fuzz("kitti_stereo2015", kitti_stereo, f"training/{name}", STEREO_KEYS)


def fuzz(dataset: str, root, name: str, keys: frozenset[str]) -> None:
    check(dataset, root, keys)
    path = root / name
    content, refused = path.read_bytes(), 0
    for variant in damaged(content, np.random.default_rng(0)):
        path.write_bytes(variant)
        try:
            check(dataset, root, keys)
        except UserError as error:
            refused += 1
            assert "\n" not in str(error) and str(root) in str(error)
    assert refused >= 5
