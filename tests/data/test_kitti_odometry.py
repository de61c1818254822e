from __future__ import annotations

import numpy as np
import pytest

from kdepth.data.kitti_odometry import KittiOdometry
from kdepth.data.sample import load_sample
from kdepth.errors import UserError

STEREO = frozenset({"image", "stereo", "baseline"})
VIDEO = frozenset({"image", "sources", "T_sources_image"})


def test_splits(kitti_odometry):
    reader = KittiOdometry(kitti_odometry, on_missing="skip")
    assert reader.splits() == ["train", "test", "all", "00", "09"]
    assert len(reader.records("all", STEREO)) == 8
    assert {r.name.split()[0] for r in reader.records("train", STEREO)} == {"00"}
    assert {r.name.split()[0] for r in reader.records("test", STEREO)} == {"09"}
    with pytest.raises(UserError, match=r"no split 'val'.*train, test"):
        reader.records("val", STEREO)


def test_a_whole_missing_sequence_stops(kitti_odometry):
    with pytest.raises(UserError, match="sequences/01/image_0"):
        KittiOdometry(kitti_odometry).records("train", STEREO)


@pytest.mark.parametrize(
    ("camera", "folders"),
    [
        ("auto", {"00": ("image_2", "image_3"), "09": ("image_0", "image_1")}),
        ("grey", {"00": ("image_0", "image_1"), "09": ("image_0", "image_1")}),
    ],
)
def test_cameras(kitti_odometry, camera, folders, layout):
    for record in KittiOdometry(kitti_odometry, camera=camera).records("all", STEREO):
        expected = folders[record.name.split()[0]]
        assert (record.image.parent.name, record.stereo.parent.name) == expected
        sample = load_sample(record, STEREO)
        assert sample["image"].shape == (layout.height, layout.width, 3)
        assert sample["baseline"] == pytest.approx(layout.baseline)


def test_colour_where_there_is_none(kitti_odometry):
    with pytest.raises(UserError, match="sequences/09/image_2"):
        KittiOdometry(kitti_odometry, camera="colour").records("09", STEREO)


def test_motion_of_the_camera_that_is_used(kitti_odometry, layout):
    grey = KittiOdometry(kitti_odometry, camera="grey").records("00", VIDEO, offsets=(1,))
    assert [int(record.image.stem) for record in grey] == [0, 1, 2]
    expected = np.linalg.inv(layout.motion(2)) @ layout.motion(1)
    np.testing.assert_allclose(grey[1].T_sources_image[0], expected, atol=1e-9)
    # The colour camera lies 0.1 m to the right, so it turns around another point.
    colour = KittiOdometry(kitti_odometry).records("00", VIDEO, offsets=(1,))
    shift = np.eye(4)
    shift[0, 3] = -0.1
    expected = shift @ expected @ np.linalg.inv(shift)
    np.testing.assert_allclose(colour[1].T_sources_image[0], expected, atol=1e-9)


def test_right_targets_of_a_list(kitti_odometry, tmp_path):
    (tmp_path / "list.txt").write_text("00 1 r\n00 2 l\n")
    reader = KittiOdometry(kitti_odometry)
    records = reader.records(str(tmp_path / "list.txt"), VIDEO)
    assert [record.image.parent.name for record in records] == ["image_3", "image_2"]
    assert len(reader.records(str(tmp_path / "list.txt"), STEREO)) == 1


def test_what_a_user_may_break(kitti_odometry):
    poses = kitti_odometry / "poses/00.txt"
    rows = poses.read_text().splitlines()
    poses.write_text("\n".join(rows[:2]))
    with pytest.raises(UserError, match="00.txt: 2 poses, but there is a frame 2"):
        KittiOdometry(kitti_odometry).records("00", VIDEO)
    poses.unlink()
    with pytest.raises(UserError, match="00.txt: poses file missing"):
        KittiOdometry(kitti_odometry).records("00", VIDEO)
    calibration = kitti_odometry / "sequences/00/calib.txt"
    calibration.write_text(calibration.read_text().replace("P2:", "Q2:"))
    with pytest.raises(UserError, match="calib.txt: needs `P2`"):
        KittiOdometry(kitti_odometry).records("00", STEREO)
    (kitti_odometry / "sequences/00/image_3/000001.png").unlink()
    calibration.write_text(calibration.read_text().replace("Q2:", "P2:"))
    with pytest.raises(UserError, match="00/image_3/000001"):
        KittiOdometry(kitti_odometry).records("00", STEREO)
    with pytest.raises(ValueError, match="infrared"):
        KittiOdometry(kitti_odometry, camera="infrared")
