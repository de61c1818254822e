from __future__ import annotations

import json

import numpy as np
import pytest

from kdepth.data import velodyne
from kdepth.data.kitti_raw import KittiRaw
from kdepth.errors import UserError


@pytest.mark.parametrize("camera", ["02", "03"])
@pytest.mark.parametrize("value", ["camera_z", "velodyne_x"])
def test_projection_equals_the_published_evaluation(golden, tmp_path, camera, value):
    arrays = np.load(golden / "kitti_depth_eval.npz", allow_pickle=False)
    files = json.loads((golden / "kitti_depth_eval.json").read_text())["calibration_files"]
    date = tmp_path / "2011_09_26"
    drive = date / "2011_09_26_drive_0001_sync"
    for folder in ("image_02/data", "image_03/data", "velodyne_points/data"):
        (drive / folder).mkdir(parents=True)
    for name, text in files.items():
        (date / name).write_text(text)
    for folder, suffix in (("image_02", "png"), ("image_03", "png")):
        (drive / folder / "data" / f"0000000000.{suffix}").touch()
    arrays["velodyne"].tofile(drive / "velodyne_points/data/0000000000.bin")
    (tmp_path / "list.txt").write_text(f"{drive.name} {camera} 0\n")

    reader = KittiRaw(tmp_path, lidar_value=value)
    (record,) = reader.records(str(tmp_path / "list.txt"), frozenset({"image", "depth"}))
    depth = record.depth.load()

    form = {"camera_z": "z", "velodyne_x": "velo"}[value]
    expected = arrays[f"depth_cam{camera[1]}_{form}"]
    assert depth.dtype == np.float32 and (expected > 0).sum() > 1000
    np.testing.assert_array_equal(depth, expected)


FRONT = np.array([[10.0, 0, 0, 0], [0, 10, 0, 0], [0, 0, 1, 0]])
TURN = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])


def test_the_nearest_of_two_points_on_a_pixel_stays():
    points = np.array([[20, -10, -10, 0], [5, -2.5, -2.5, 0], [-5, 1, 1, 0]], np.float32)
    depth = velodyne.project_scan(points, FRONT @ TURN, 12, 12)
    assert depth[4, 4] == 5
    assert np.count_nonzero(depth) == 1


def test_no_point_at_all():
    depth = velodyne.project_scan(np.zeros((0, 4), np.float32), FRONT @ TURN, 12, 12)
    assert depth.shape == (12, 12) and not depth.any()


def test_unknown_value():
    with pytest.raises(ValueError, match="distance"):
        velodyne.project_scan(np.zeros((1, 4), np.float32), FRONT, 2, 2, "distance")


def test_damaged_scans(tmp_path):
    path = tmp_path / "scan.bin"
    points = np.random.default_rng(0).uniform(-50, 50, (50, 4)).astype("<f4")
    points.tofile(path)
    np.testing.assert_array_equal(velodyne.read_scan(path), points)
    whole = path.read_bytes()
    for length in (0, 1, 15, 17, 799):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"scan.bin: truncated"):
            velodyne.read_scan(path)
    for bad in (np.nan, np.inf, -1e9):
        points[7, 1] = bad
        points.tofile(path)
        with pytest.raises(UserError, match=r"scan.bin: corrupt"):
            velodyne.read_scan(path)
    with pytest.raises(UserError, match="no such velodyne scan"):
        velodyne.read_scan(tmp_path / "absent.bin")
    with pytest.raises(UserError, match="cannot be read"):
        velodyne.read_scan(tmp_path)
