from __future__ import annotations

import numpy as np
import pytest

from kdepth.data.kitti_calibration import Calibration, baseline_of, camera_of, camera_shift
from kdepth.errors import UserError

# P_rect_02 and P_rect_03 of 2011_09_26.
LEFT = np.array(
    [
        [721.5377, 0, 609.5593, 44.85728],
        [0, 721.5377, 172.854, 0.2163791],
        [0, 0, 1, 0.002745884],
    ]
)
RIGHT = np.array(
    [
        [721.5377, 0, 609.5593, -339.5242],
        [0, 721.5377, 172.854, 2.199936],
        [0, 0, 1, 0.002729905],
    ]
)


def test_values_and_text_lines(tmp_path):
    path = tmp_path / "calib.txt"
    path.write_text("calib_time: 09-Jan-2012 13:57:47\nR: 1 0 0 0 1 0 0 0 1\nT: 1 -2e-1 3\n\n")
    calibration = Calibration(path)
    assert calibration.has("T") and not calibration.has("calib_time")
    expected = [[1, 0, 0, 1], [0, 1, 0, -0.2], [0, 0, 1, 3], [0, 0, 0, 1]]
    np.testing.assert_array_equal(calibration.rigid(), expected)


def test_baseline_of_the_colour_cameras():
    assert baseline_of(LEFT, RIGHT, None) == pytest.approx(0.5327, abs=1e-4)


def test_a_shift_is_what_the_projection_adds():
    camera = camera_of(LEFT, 1242, 375)
    points = np.random.default_rng(0).uniform([-5, -2, 4, 1], [5, 2, 40, 1], (20, 4)).T
    points[3] = 1
    x, y, z = (camera_shift(LEFT) @ points)[:3]
    u, v, w = LEFT @ points
    np.testing.assert_allclose(camera.project(x, y, z), (u / w, v / w))


def test_swapped_cameras(tmp_path):
    with pytest.raises(UserError, match="calib.txt.*swapped"):
        baseline_of(RIGHT, LEFT, tmp_path / "calib.txt")


@pytest.mark.parametrize(
    "line", ["", "P_rect_02: 1 2 3", "P_rect_02:", "P_rect_02: a b c", "P_rect_02: " + "nan " * 12]
)
def test_file_and_key_are_named(tmp_path, line):
    path = tmp_path / "calib_cam_to_cam.txt"
    path.write_text(f"S_rect_02: 10 10\n{line}\n")
    with pytest.raises(
        UserError, match=r"calib_cam_to_cam.txt: needs `P_rect_02` with 12"
    ) as error:
        Calibration(path).matrix("P_rect_02", 3, 4)
    assert "\n" not in str(error.value)


def test_missing_and_binary_files(tmp_path):
    with pytest.raises(UserError, match="absent.txt: calibration file missing"):
        Calibration(tmp_path / "absent.txt")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="binary.txt"):
        Calibration(tmp_path / "binary.txt")
