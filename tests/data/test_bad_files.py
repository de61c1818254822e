"""Every file of a data set, damaged in many ways: a sound sample or one clear line."""

from __future__ import annotations

import pytest

from tests.data.checks import fuzz

RAW_KEYS = frozenset(
    ["image", "stereo", "sources", "intrinsics", "baseline", "depth", "T_sources_image"]
)
ODOMETRY_KEYS = RAW_KEYS - {"depth"}
STEREO_KEYS = RAW_KEYS - {"sources", "T_sources_image"}


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
