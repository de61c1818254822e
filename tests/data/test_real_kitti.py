"""The readers on real samples: what they say about geometry must hold in the pictures."""

from __future__ import annotations

import numpy as np
import pytest

from kdepth import data
from kdepth.data.image import read_depth_png, read_image
from kdepth.data.kitti_raw import KittiRaw
from kdepth.data.sample import load_sample
from tests.data.checks import residuals

DRIVE = "2011_09_26_drive_0013_sync"


@pytest.fixture(scope="module")
def raw(realdata) -> KittiRaw:
    return KittiRaw(realdata / "kitti_raw")


@pytest.mark.parametrize("frame", [20, 70, 120])
def test_lidar_depth_and_motion_predict_the_neighbour_frames(raw, tmp_path, frame):
    (tmp_path / "list.txt").write_text(f"{DRIVE} 02 {frame}\n")
    keys = frozenset({"image", "sources", "depth", "T_sources_image"})
    (record,) = raw.records(str(tmp_path / "list.txt"), keys)
    sample = load_sample(record, keys)
    image = sample["image"] / 255.0
    for source, pose in zip(sample["sources"], sample["T_sources_image"]):
        warped, unwarped = residuals(
            image, source / 255.0, record.camera, sample["depth"][..., 0], pose
        )
        backwards, _ = residuals(
            image, source / 255.0, record.camera, sample["depth"][..., 0], np.linalg.inv(pose)
        )
        assert warped < 0.6 * unwarped and warped < 0.6 * backwards


@pytest.mark.parametrize("frame", [10, 70])
def test_scans_equal_the_projected_maps(realdata, raw, tmp_path, frame):
    (tmp_path / "list.txt").write_text(f"{DRIVE} 02 {frame}\n")
    keys = frozenset({"image", "depth"})
    reader = KittiRaw(realdata / "kitti_raw", depth="velodyne")
    (scan,) = reader.records(str(tmp_path / "list.txt"), keys)
    (png,) = raw.records(str(tmp_path / "list.txt"), keys)
    scanned, mapped = scan.depth.load(), png.depth.load()
    # The maps were rounded to pixels in another way, so points may lie one pixel apart.
    assert abs((scanned > 0).sum() / (mapped > 0).sum() - 1) < 0.05
    assert 15000 < (scanned > 0).sum()
    measured = scanned > 0
    shifted = [np.roll(mapped, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    nearest = np.min([np.abs(scanned - s)[measured] for s in shifted], axis=0)
    assert np.median(nearest) < 0.01


def test_oxts_give_the_published_poses(realdata, tmp_path):
    source = realdata / "kitti_raw" / "2011_09_26"
    target = tmp_path / "2011_09_26"
    (target / DRIVE).mkdir(parents=True)
    for name in ("calib_cam_to_cam.txt", "calib_velo_to_cam.txt", "calib_imu_to_velo.txt"):
        (target / name).symlink_to(source / name)
    for name in ("image_02", "oxts"):
        (target / DRIVE / name).symlink_to(source / DRIVE / name)
    keys = frozenset({"image", "sources", "T_sources_image"})
    from_oxts = KittiRaw(tmp_path).records("all", keys)
    from_file = KittiRaw(realdata / "kitti_raw").records("all", keys)
    assert len(from_oxts) == len(from_file) == 142
    for one, other in zip(from_oxts, from_file):
        np.testing.assert_allclose(one.T_sources_image, other.T_sources_image, atol=2e-4)
    forward = np.mean([record.T_sources_image[0][2, 3] for record in from_file])
    assert forward == pytest.approx(173 / 143, rel=0.05)


def test_stereo_2015_disparity_warps_right_onto_left(realdata):
    keys = frozenset({"image", "stereo", "depth", "baseline"})
    reader = data.open_reader("kitti_stereo2015", realdata / "kitti_stereo2015")
    records = reader.records("training", keys)
    assert len(records) == 15
    ratios = []
    for record in records:
        sample = load_sample(record, keys)
        shift = np.eye(4)
        shift[0, 3] = -record.baseline
        warped, unwarped = residuals(
            sample["image"] / 255.0,
            sample["stereo"] / 255.0,
            record.camera,
            sample["depth"][..., 0],
            shift,
        )
        ratios.append(warped / unwarped)
    assert np.max(ratios) < 0.7 and np.median(ratios) < 0.4


def test_stereo_2015_depth_agrees_with_the_lidar_of_its_drive(realdata, raw, tmp_path):
    # 000018 - 000021 are frames 10, 20, 40 and 70 of drive 0013.
    (tmp_path / "list.txt").write_text(f"{DRIVE} 02 10,20,40,70\n")
    lidar = raw.records(str(tmp_path / "list.txt"), frozenset({"image", "depth"}))
    reader = data.open_reader("kitti_stereo2015", realdata / "kitti_stereo2015")
    stereo = reader.records("training", frozenset({"image", "depth"}))[-4:]
    for one, other in zip(stereo, lidar):
        difference = read_image(one.image).astype(int) - read_image(other.image)
        assert np.abs(difference).mean() < 8
        first, second = one.depth.load(), other.depth.load()
        both = (first > 0) & (second > 0) & (first < 30)
        assert both.sum() > 3000
        assert np.median(np.abs(first[both] / second[both] - 1)) < 0.03


def test_odometry_greys_and_their_rig(realdata):
    keys = frozenset({"image", "stereo", "baseline", "intrinsics"})
    reader = data.open_reader("kitti_odometry", realdata / "kitti_odometry")
    records = reader.records("06", keys)
    assert len(records) == 51
    sample = load_sample(records[0], keys)
    assert sample["image"].shape == sample["stereo"].shape == (370, 1226, 3)
    assert (sample["image"][..., 0] == sample["image"][..., 2]).all()
    assert sample["baseline"] == pytest.approx(0.5371, abs=1e-4)
    video = reader.records("06", frozenset({"image", "sources", "T_sources_image"}))
    forward = np.stack([record.T_sources_image[0][:3, 3] for record in video])
    assert len(video) == 49 and (forward[:, 2] > 0.5).all()
    # The left view lies to the left: its content is shifted to the right, on every pair.
    for record in records[::10]:
        left, right = (
            read_image(p).mean(-1)[200:340, 100:-100] for p in (record.image, record.stereo)
        )
        errors = [
            np.abs(left[:, 64:-64] - np.roll(right, d, 1)[:, 64:-64]).mean() for d in (-20, 20)
        ]
        assert errors[1] < errors[0]


def matched_disparity(left: np.ndarray, right: np.ndarray, most: int = 96) -> np.ndarray:
    """Whole pixels by comparing 11x11 blocks, 0 where the match back from the right disagrees."""

    def box(values):
        padded = np.pad(values, ((6, 5), (6, 5)), mode="edge").cumsum(0).cumsum(1)
        return padded[11:, 11:] - padded[:-11, 11:] - padded[11:, :-11] + padded[:-11, :-11]

    costs = np.full((most, *left.shape), np.inf, np.float32)
    for d in range(1, most):
        difference = np.abs(left[:, d:] - right[:, :-d])
        costs[d, :, d:] = box(difference)
    found = costs.argmin(0)
    rows, columns = np.indices(left.shape)
    mirrored = np.full((most, *left.shape), np.inf, np.float32)
    for d in range(1, most):
        mirrored[d, :, :-d] = costs[d, :, d:]
    back = mirrored.argmin(0)[rows, np.maximum(columns - found, 0)]
    return np.where(np.abs(found - back) <= 1, found, 0)


@pytest.mark.parametrize("frame", [5, 25])
def test_odometry_poses_predict_the_neighbour_frames(realdata, frame):
    """Depth comes from matching the stereo pair, so only the poses can be wrong."""
    keys = frozenset({"image", "stereo", "baseline", "sources", "T_sources_image"})
    reader = data.open_reader("kitti_odometry", realdata / "kitti_odometry")
    record = reader.records("06", keys)[frame]
    sample = load_sample(record, keys)
    left, right = (sample[key].mean(-1) for key in ("image", "stereo"))
    disparity = np.zeros(left.shape, int)
    disparity[150:350] = matched_disparity(left[150:350], right[150:350])  # the road and its sides
    textured = np.abs(np.gradient(left, axis=1)) > 8
    measured = (disparity > 4) & textured
    assert measured.sum() > 10000
    depth = np.where(measured, record.camera.fx * record.baseline / np.maximum(disparity, 1), 0)
    image = sample["image"] / 255.0
    for source, pose in zip(sample["sources"], sample["T_sources_image"]):
        warped, unwarped = residuals(image, source / 255.0, record.camera, depth, pose)
        backwards, _ = residuals(image, source / 255.0, record.camera, depth, np.linalg.inv(pose))
        assert warped < 0.7 * unwarped and warped < 0.7 * backwards


def test_the_pipeline_takes_them_together(realdata):
    keys = frozenset({"image", "stereo", "intrinsics"})
    records = [
        *data.open_reader("kitti_stereo2015", realdata / "kitti_stereo2015").records("all", keys)[
            :11
        ],
        *data.open_reader("kitti_odometry", realdata / "kitti_odometry").records("06", keys)[:5],
    ]
    dataset = data.load_records(
        records, sample_keys=keys, image_size=(64, 208), batch_size=16, seed=1, training=False
    )
    (batch,) = list(dataset)
    assert batch["image"].shape == (16, 64, 208, 3)
    focal = batch["intrinsics"].numpy()[:, 0, 0] / 208
    np.testing.assert_allclose(focal[0], 721.5377 / 1242, rtol=1e-6)
    np.testing.assert_allclose(focal[-1], 707.0912 / 1226, rtol=1e-6)


def test_depth_maps_are_on_disk_as_the_readme_says(realdata):
    path = realdata / "kitti_raw/2011_09_26" / DRIVE / "proj_depth/velodyne_raw/image_02"
    depth = read_depth_png(path / "0000000000.png")
    assert depth.shape == (375, 1242) and 70 < depth.max() < 130
