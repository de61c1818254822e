from __future__ import annotations

import shutil

import numpy as np
import pytest

from kdepth.data import image
from kdepth.data.kitti_raw import KittiRaw, Synthetic, oxts_poses
from kdepth.data.sample import DepthPng, load_sample
from kdepth.data.velodyne import VelodyneScan
from kdepth.errors import UserError

IMAGE = frozenset({"image"})
STEREO = frozenset({"image", "stereo"})
VIDEO = frozenset({"image", "sources", "T_sources_image"})
DEPTH = frozenset({"image", "depth"})


def listed(tmp_path, text: str) -> str:
    path = tmp_path / "list.txt"
    path.write_text(text)
    return str(path)


def test_all_is_every_left_frame(kitti_raw, layout):
    records = KittiRaw(kitti_raw).records("all", STEREO)
    assert [record.image.stem for record in records] == [f"{i:010d}" for i in range(layout.frames)]
    record = records[3]
    assert record.stereo == kitti_raw / layout.date / layout.drive / "image_03/data/0000000003.png"
    assert record.camera.matrix()[0].tolist() == [layout.focal, 0, 23.0]
    assert (record.camera.width, record.camera.height) == (layout.width, layout.height)
    assert record.baseline == pytest.approx(layout.baseline)
    assert record.depth is None and record.sources == ()
    assert len({record.name for record in records}) == len(records)


def test_a_users_list_and_its_order(kitti_raw, tmp_path, layout):
    split = listed(tmp_path, f"{layout.drive} 02+03 5,2\n{layout.drive} 03 1\n")
    records = KittiRaw(kitti_raw).records(split, IMAGE)
    assert [record.name.split()[1:] for record in records] == [
        ["02", "0000000005"],
        ["02", "0000000002"],
        ["03", "0000000001"],
    ]


def test_lists_in_the_data_folder(kitti_raw, layout):
    (kitti_raw / "splits").mkdir()
    (kitti_raw / "splits" / "mine.txt").write_text(f"{layout.drive} 02 4\n")
    reader = KittiRaw(kitti_raw)
    assert "mine" in reader.splits() and "eigen_train" in reader.splits()
    assert len(reader.records("mine", IMAGE)) == 1


def test_jpeg_is_taken_whatever_the_list_says(kitti_raw, tmp_path, layout):
    folder = kitti_raw / layout.date / layout.drive / "image_02/data"
    pixels = image.read_image(folder / "0000000002.png")
    (folder / "0000000002.png").unlink()
    image.write_image(folder / "0000000002.jpg", pixels)
    path = f"{layout.date}/{layout.drive}/image_02/data/0000000002.png x"
    (record,) = KittiRaw(kitti_raw).records(listed(tmp_path, path), IMAGE)
    assert record.image.suffix == ".jpg"


def test_jpeg_beside_png_is_reported_once(kitti_raw, layout, caplog):
    folder = kitti_raw / layout.date / layout.drive / "image_02/data"
    for frame in (2, 3):
        image.write_image(folder / f"{frame:010d}.jpg", layout.picture(7))
    (folder / "0000000005.png").rename(folder / "0000000005.PNG")
    reader = KittiRaw(kitti_raw)
    records = reader.records("all", VIDEO)
    assert {record.image.suffix for record in records} == {".png", ".PNG"}
    (line,) = [r.getMessage() for r in caplog.records if "as .png and .jpg" in r.getMessage()]
    assert "2 frames" in line and "0000000002" in line
    reader.records("all", IMAGE)
    assert sum("as .png and .jpg" in r.getMessage() for r in caplog.records) == 1


def test_a_drive_without_scans_beside_one_with_scans(kitti_raw, layout, tmp_path, caplog):
    whole = kitti_raw / layout.date / layout.drive
    other = whole.with_name("2011_09_26_drive_0058_sync")
    shutil.copytree(whole, other)
    shutil.rmtree(other / "velodyne_points")
    split = listed(tmp_path, f"{other.name} 02 0-7\n{layout.drive} 02 0-7\n")
    records = KittiRaw(kitti_raw).records(split, DEPTH)
    assert {record.name.split()[0] for record in records} == {layout.drive}
    (line,) = [r.getMessage() for r in caplog.records if "measured depth" in r.getMessage()]
    assert "8 samples; left out: 8 samples without measured depth" in line and "0058" in line
    assert len(KittiRaw(kitti_raw).records(split, VIDEO)) == 12  # its images are as good as any


def test_no_such_split(kitti_raw):
    with pytest.raises(UserError, match=r"no split 'eigen'.*eigen_test.*all.*list file"):
        KittiRaw(kitti_raw).records("eigen", IMAGE)


def test_a_drive_name_that_is_none(kitti_raw, tmp_path):
    with pytest.raises(UserError, match="'00' in the split is no KITTI raw drive"):
        KittiRaw(kitti_raw).records(listed(tmp_path, "00 02 1\n"), IMAGE)


def test_one_date_folder_instead_of_the_root(kitti_raw, layout):
    with pytest.raises(UserError, match=f"give its parent, {kitti_raw}"):
        KittiRaw(kitti_raw / layout.date)


@pytest.mark.parametrize("folder", ["image_02", "image_03"])
def test_missing_images_stop_or_are_left_out(kitti_raw, caplog, layout, tmp_path, folder):
    missing = kitti_raw / layout.date / layout.drive / folder / "data/0000000003.png"
    missing.unlink()
    split = listed(tmp_path, f"{layout.drive} 02+03 0-7\n")
    with pytest.raises(UserError, match=rf"{folder}/data/0000000003.*--on_bad_sample=skip"):
        KittiRaw(kitti_raw).records(split, STEREO)
    records = KittiRaw(kitti_raw, on_missing="skip").records(split, STEREO)
    assert len(records) == 7
    assert [r for r in caplog.records if "1 samples without images" in r.getMessage()]


def test_a_package_split_without_its_drives_names_the_first_frame(kitti_raw):
    with pytest.raises(UserError, match="2011_09_26_drive_0002_sync/image_02/data/0000000069"):
        KittiRaw(kitti_raw).records("eigen_test", IMAGE)
    with pytest.raises(UserError, match="no sample is complete"):
        KittiRaw(kitti_raw, on_missing="skip").records("eigen_test", IMAGE)


def test_neighbours_by_frame_number_not_by_list(kitti_raw, layout, caplog, tmp_path):
    drive = kitti_raw / layout.date / layout.drive
    (drive / "image_02/data/0000000004.png").unlink()
    split = listed(tmp_path, f"{layout.drive} 02 0-3,5-7\n")
    records = KittiRaw(kitti_raw).records(split, VIDEO)
    assert [int(record.image.stem) for record in records] == [1, 2, 6]
    assert [int(path.stem) for path in records[2].sources] == [5, 7]
    assert len([r for r in caplog.records if "4 samples without all neighbour" in r.message]) == 1
    four = KittiRaw(kitti_raw).records("all", VIDEO, offsets=(-2, -1, 1))
    assert [[int(path.stem) for path in record.sources] for record in four] == [[0, 1, 3]]


def test_camera_motion_from_the_poses_file(kitti_raw, layout):
    record = KittiRaw(kitti_raw).records("all", VIDEO)[2]
    frame = int(record.image.stem)
    for pose, other in zip(record.T_sources_image, (frame - 1, frame + 1)):
        expected = np.linalg.inv(layout.motion(other)) @ layout.motion(frame)
        np.testing.assert_allclose(pose, expected, atol=1e-9)


def test_the_right_camera_moves_on_its_own_path(kitti_raw, tmp_path, layout):
    split = listed(tmp_path, f"{layout.drive} 03 3\n")
    (record,) = KittiRaw(kitti_raw).records(split, VIDEO, offsets=(1,))
    left_to_right = np.eye(4)
    left_to_right[0, 3] = -layout.baseline
    expected = (
        left_to_right
        @ np.linalg.inv(layout.motion(4))
        @ layout.motion(3)
        @ np.linalg.inv(left_to_right)
    )
    np.testing.assert_allclose(record.T_sources_image[0], expected, atol=1e-9)


def test_camera_motion_from_oxts(kitti_raw, layout):
    drive = kitti_raw / layout.date / layout.drive
    (drive / "poses_cam2.txt").unlink()
    with pytest.raises(UserError, match="no oxts packets"):
        KittiRaw(kitti_raw).records("all", VIDEO)
    metres = 180 / np.pi / 6378137.0  # degrees
    for frame in range(layout.frames):
        # Due east at 1 m a frame on the equator, heading east (yaw 0 is east).
        text = f"0.0 {frame * metres:.15f} 100.0 0 0 0 0 0 0"
        layout.write_text(drive / f"oxts/data/{frame:010d}.txt", text)
    record = KittiRaw(kitti_raw).records("all", VIDEO)[0]
    forward, backward = record.T_sources_image
    np.testing.assert_allclose(forward[:3, 3], [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(backward[:3, 3], [0, 0, -1], atol=1e-6)
    np.testing.assert_allclose(forward[:3, :3], np.eye(3), atol=1e-9)


def test_damaged_oxts_packets(tmp_path):
    for content in (b"", b"1 2 3", b"a b c d e f", b"\xff\xfe"):
        (tmp_path / "packet.txt").write_bytes(content)
        with pytest.raises(UserError, match="packet.txt: not an oxts packet"):
            oxts_poses([tmp_path / "packet.txt"])


@pytest.mark.parametrize(
    "row", ["1 2 3", "a " * 12, "1 0 0 0 0 1 0 0 0 0 2 0", "nan " * 12, "-1 0 0 0 0 1 0 0 0 0 1 0"]
)
def test_damaged_poses(kitti_raw, layout, row):
    path = kitti_raw / layout.date / layout.drive / "poses_cam2.txt"
    rows = path.read_text().splitlines()
    path.write_text("\n".join([*rows[:2], row, *rows[3:]]))
    with pytest.raises(UserError, match=r"poses_cam2.txt, row 3"):
        KittiRaw(kitti_raw).records("all", VIDEO)


def test_too_few_poses(kitti_raw, layout):
    path = kitti_raw / layout.date / layout.drive / "poses_cam2.txt"
    path.write_text("\n".join(path.read_text().splitlines()[:4]))
    with pytest.raises(UserError, match=r"poses_cam2.txt: no pose for frame 4"):
        KittiRaw(kitti_raw).records("all", VIDEO)


def test_a_target_of_the_right_camera_has_no_stereo_partner(kitti_raw, tmp_path, layout, caplog):
    split = listed(tmp_path, f"{layout.drive} 02 1,2\n{layout.drive} 03 1,2,3\n")
    reader = KittiRaw(kitti_raw)
    assert len(reader.records(split, IMAGE)) == 5
    assert len(reader.records(split, STEREO)) == 2
    assert "3 samples without a left view as target" in caplog.text
    depth = reader.records(split, DEPTH)[3].depth
    assert depth.projection[0, 3] == pytest.approx(-layout.focal * layout.baseline)


def test_depth_is_chosen_for_a_whole_drive(kitti_raw, layout, caplog):
    drive = kitti_raw / layout.date / layout.drive
    kinds = {"velodyne_raw": 7.0, "groundtruth": 9.0}
    assert isinstance(KittiRaw(kitti_raw).records("all", DEPTH)[0].depth, VelodyneScan)
    for folder, metres in kinds.items():
        for frame in range(2, 6):
            path = drive / f"proj_depth/{folder}/image_02/{frame:010d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image.write_depth_png(path, np.full((layout.height, layout.width), metres))
        records = KittiRaw(kitti_raw).records("all", DEPTH)
        assert [int(record.image.stem) for record in records] == [2, 3, 4, 5]
        assert load_sample(records[0], DEPTH)["depth"].max() == metres
    assert "4 samples without measured depth" in caplog.text
    (record, *_) = KittiRaw(kitti_raw, depth="proj_depth_raw").records("all", DEPTH)
    assert load_sample(record, DEPTH)["depth"].max() == 7.0
    assert len(KittiRaw(kitti_raw, depth="velodyne").records("all", DEPTH)) == layout.frames


def test_depth_archive_beside_the_dates(kitti_raw, layout):
    path = kitti_raw / "val" / layout.drive / "proj_depth/groundtruth/image_02/0000000004.png"
    path.parent.mkdir(parents=True)
    image.write_depth_png(path, np.ones((layout.height, layout.width)))
    (record,) = KittiRaw(kitti_raw).records("all", DEPTH)
    assert record.depth == DepthPng(path)


def test_missing_scans_are_tolerated(kitti_raw, layout, caplog):
    folder = kitti_raw / layout.date / layout.drive / "velodyne_points/data"
    for frame in (1, 5):
        (folder / f"{frame:010d}.bin").unlink()
    assert len(KittiRaw(kitti_raw).records("all", DEPTH)) == layout.frames - 2
    assert "2 samples without measured depth" in caplog.text
    shutil.rmtree(folder)
    with pytest.raises(UserError, match="no sample is complete"):
        KittiRaw(kitti_raw).records("all", DEPTH)


@pytest.mark.parametrize(
    ("file", "key", "keys"),
    [
        ("calib_cam_to_cam.txt", "P_rect_02", IMAGE),
        ("calib_cam_to_cam.txt", "S_rect_02", IMAGE),
        ("calib_cam_to_cam.txt", "P_rect_03", STEREO),
        ("calib_cam_to_cam.txt", "R_rect_00", DEPTH),
        ("calib_velo_to_cam.txt", "R", DEPTH),
        ("calib_velo_to_cam.txt", "T", DEPTH),
    ],
)
def test_calibration_without_the_needed_matrix(kitti_raw, layout, file, key, keys):
    path = kitti_raw / layout.date / file
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if not line.startswith(f"{key}:")))
    with pytest.raises(UserError, match=f"{file}: needs `{key}`"):
        KittiRaw(kitti_raw).records("all", keys)
    path.unlink()
    with pytest.raises(UserError, match=f"{file}: calibration file missing"):
        KittiRaw(kitti_raw).records("all", keys)


def test_one_camera_is_enough_where_no_pair_is_asked_for(kitti_raw, layout):
    path = kitti_raw / layout.date / "calib_cam_to_cam.txt"
    text = path.read_text()
    path.write_text("\n".join(t for t in text.splitlines() if not t.startswith("P_rect_03")))
    record = KittiRaw(kitti_raw).records("all", IMAGE)[0]
    assert record.baseline is None and record.stereo_camera is None


def test_options_are_checked(kitti_raw):
    with pytest.raises(ValueError, match="lidar"):
        KittiRaw(kitti_raw, depth="lidar")


def test_embedded_world_reader(kitti_raw, layout):
    with pytest.raises(UserError, match=r"world.json is missing.*kdepth.synthesize"):
        Synthetic(kitti_raw)
    (kitti_raw / "world.json").write_text("{}")
    layout.write_text(kitti_raw / "splits/test.txt", f"{layout.drive} 02+03 2-4\n")
    reader = Synthetic(kitti_raw)
    assert reader.splits() == ["test", "all"]
    assert len(reader.records("test", STEREO | DEPTH)) == 3
    with pytest.raises(UserError, match="choose one of test, all"):
        reader.records("eigen_test", IMAGE)
