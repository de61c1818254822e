from __future__ import annotations

import shutil

import numpy as np
import pytest

from kdepth.data.kitti_stereo2015 import KittiStereo2015
from kdepth.data.sample import load_sample
from kdepth.errors import UserError

KEYS = frozenset({"image", "stereo", "depth", "baseline", "intrinsics"})
IMAGE = frozenset({"image"})


def test_depth_from_disparity(kitti_stereo, layout):
    records = KittiStereo2015(kitti_stereo).records("training", KEYS)
    assert [record.name for record in records] == [f"training {i:06d}" for i in range(4)]
    sample = load_sample(records[2], KEYS)
    expected = layout.focal * layout.baseline / 3.5
    np.testing.assert_allclose(sample["depth"][10, 20], expected, rtol=1e-6)
    assert sample["depth"][0, 0] == 0 and np.isfinite(sample["depth"]).all()


def test_splits_and_lists(kitti_stereo, tmp_path):
    shutil.copytree(kitti_stereo / "training/image_2", kitti_stereo / "testing/image_2")
    reader = KittiStereo2015(kitti_stereo)
    assert reader.splits() == ["training", "testing", "all"]
    assert len(reader.records("training", IMAGE)) == 4
    (tmp_path / "list.txt").write_text(
        "training 02+03 1-2\ntraining/image_2/000003_10.png training/image_3/000003_10.png\n"
    )
    names = [record.name for record in reader.records(str(tmp_path / "list.txt"), KEYS)]
    assert names == ["training 000001", "training 000002", "training 000003"]


def test_the_second_frames_are_no_samples(kitti_stereo):
    folder = kitti_stereo / "training/image_2"
    shutil.copy(folder / "000001_10.png", folder / "000001_11.png")
    assert len(KittiStereo2015(kitti_stereo).records("training", IMAGE)) == 4


@pytest.mark.parametrize(("width", "focal"), [(1242, 721.5377), (1226, 707.0912), (1241, 718.856)])
def test_the_width_tells_the_camera(tmp_path, layout, width, focal):
    layout.save(tmp_path / "training/image_2/000000_10.png", layout.picture(0, width, 20))
    (record,) = KittiStereo2015(tmp_path).records("training", IMAGE)
    assert record.camera.fx == focal and record.camera.width == width
    assert record.baseline == 0.5327


def test_the_rig_that_monodepth_s_evaluation_has(realdata):
    """0.54 m in the place of 0.5327 m, whatever the calibration says; a disparity stays one."""
    root = realdata / "kitti_stereo2015"
    (calibrated, *_), (rounded, *_) = (
        KittiStereo2015(root, rig=rig).records("training", KEYS)
        for rig in ("calibrated", "rounded")
    )
    assert (calibrated.baseline, rounded.baseline) == (0.5327, 0.54)
    first, second = calibrated.depth.load(), rounded.depth.load()
    measured = first > 0
    np.testing.assert_allclose(second[measured] / first[measured], 0.54 / 0.5327, rtol=1e-6)
    with pytest.raises(ValueError, match="rig"):
        KittiStereo2015(root, rig="0.54")


def test_the_rounded_rig_reads_no_calibration(kitti_stereo):
    with pytest.raises(UserError, match=r"is 48 pixels wide.*calibrated rig"):
        KittiStereo2015(kitti_stereo, rig="rounded").records("training", IMAGE)


def test_unknown_width_without_calibration(kitti_stereo):
    shutil.rmtree(kitti_stereo / "training/calib_cam_to_cam")
    with pytest.raises(UserError, match=r"000000_10.png: is 48 pixels wide.*calib_cam_to_cam"):
        KittiStereo2015(kitti_stereo).records("training", IMAGE)


def test_what_a_user_may_break(kitti_stereo, caplog):
    (kitti_stereo / "training/disp_noc_0/000001_10.png").unlink()
    assert len(KittiStereo2015(kitti_stereo).records("training", KEYS)) == 3
    assert "1 samples without measured depth" in caplog.text
    (kitti_stereo / "training/calib_cam_to_cam/000002.txt").unlink()
    with pytest.raises(UserError, match="000002.txt: calibration file missing"):
        KittiStereo2015(kitti_stereo).records("training", KEYS)
    (kitti_stereo / "training/image_3/000000_10.png").unlink()
    with pytest.raises(UserError, match="image_3/000000_10"):
        KittiStereo2015(kitti_stereo).records("training", KEYS)
    with pytest.raises(UserError, match="no split 'train'.*all, training"):
        KittiStereo2015(kitti_stereo).records("train", KEYS)
