from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from kdepth.data import splits
from kdepth.data.kitti_depth import KittiDepth
from kdepth.data.kitti_raw import KittiRaw
from kdepth.data.sample import load_sample
from kdepth.errors import UserError
from tests.data.checks import fuzz
from tests.data.layouts import annotate

KEYS = frozenset({"image", "depth", "intrinsics"})
IMAGE = frozenset({"image"})
OTHER = "2011_09_26_drive_0002_sync"


@pytest.fixture(params=["", "data_depth_annotated/"])
def annotated(kitti_raw, layout, request) -> Path:
    """KITTI raw with two drives; the archive beside it has `train` of one and `val` of the other."""
    shutil.copytree(kitti_raw / layout.date / layout.drive, kitti_raw / layout.date / OTHER)
    for camera in ("02", "03"):
        train = kitti_raw / f"{request.param}train" / layout.drive
        annotate(train, layout, range(2, 6), camera)
        annotate(kitti_raw / f"{request.param}val" / OTHER, layout, [3], camera)
    return kitti_raw


def test_the_archives_own_parts(annotated, layout):
    reader = KittiDepth(annotated)
    assert reader.splits() == ["train", "val", *splits.package_splits(), "all"]
    train, val, both = (reader.records(split, KEYS) for split in ("train", "val", "all"))
    expected = [f"{layout.drive} {camera} {i:010d}" for camera in ("02", "03") for i in range(2, 6)]
    assert [record.name for record in train] == expected
    assert [record.name[-13:] for record in val] == ["02 0000000003", "03 0000000003"]
    assert len(both) == 5 and {record.name.split()[1] for record in both} == {"02"}
    for record, frame in zip(train[:4], range(2, 6)):
        depth = load_sample(record, KEYS)["depth"][..., 0]
        assert depth[12, 7] == 10.5 + frame and depth[0, 0] == 0
        assert record.image.stem == record.depth.path.stem == f"{frame:010d}"


def test_pairs_and_neighbours_come_from_the_raw_drive(annotated):
    keys = frozenset({"image", "stereo", "sources", "depth", "baseline"})
    records = KittiDepth(annotated).records("train", keys)
    assert len(records) == 4  # left views only
    sample = load_sample(records[0], keys)
    assert sample["sources"].shape[0] == 2 and sample["baseline"] == 0.5


def test_merged_into_the_drives(kitti_raw, layout):
    annotate(kitti_raw / layout.date / layout.drive, layout, [1, 2], "02")
    reader = KittiDepth(kitti_raw)
    assert "train" not in reader.splits()
    assert [record.name[-1] for record in reader.records("all", KEYS)] == ["1", "2"]
    with pytest.raises(UserError, match="no split 'train'"):
        reader.records("train", KEYS)


def test_the_652_of_the_benchmark_split(kitti_raw, layout):
    """Whatever is listed and has ground truth comes in the list's order; the list is the field's."""
    entries = splits.read_package_split("eigen_benchmark_test")
    assert len(entries) == 652 and not any(entry.right for entry in entries)
    listed = {entry.drive: [] for entry in entries}
    for entry in entries:
        listed[entry.drive].append(entry.frame)
    # One drive of it, under its real name and numbers.
    source = kitti_raw / layout.date / layout.drive
    for frame in listed[OTHER]:
        target = kitti_raw / layout.date / OTHER / f"image_02/data/{frame:010d}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / "image_02/data/0000000001.png", target)
    annotate(kitti_raw / "val" / OTHER, layout, listed[OTHER], "02")
    with pytest.raises(UserError, match="listed in kitti_depth, split eigen_benchmark_test"):
        KittiDepth(kitti_raw).records("eigen_benchmark_test", KEYS)
    records = KittiDepth(kitti_raw, on_missing="skip").records("eigen_benchmark_test", KEYS)
    assert [int(record.name.split()[-1]) for record in records] == listed[OTHER]
    # KITTI raw's own reader takes the same ground truth.
    raw = KittiRaw(kitti_raw, depth="groundtruth", on_missing="skip")
    assert [r.depth for r in raw.records("eigen_benchmark_test", KEYS)] == [
        r.depth for r in records
    ]


def test_what_a_user_may_break(annotated, layout, caplog):
    for path in annotated.glob(f"**/val/{OTHER}/proj_depth/groundtruth/image_02/*"):
        shutil.move(path, path.with_name("0000000099.png"))
    with pytest.raises(UserError, match="image_02/data/0000000099: listed in kitti_depth"):
        KittiDepth(annotated).records("val", KEYS)
    # A list of frames of which some have no ground truth.
    (annotated / "list.txt").write_text(f"{layout.drive} 02 0-5\n")
    assert len(KittiDepth(annotated).records(str(annotated / "list.txt"), KEYS)) == 4
    assert "2 samples without measured depth" in caplog.text


def test_without_ground_truth_or_images(kitti_raw, tmp_path, layout):
    with pytest.raises(UserError, match="no ground truth here; expected train/<drive>_sync.*data_"):
        KittiDepth(kitti_raw)
    annotate(tmp_path / "only/train" / layout.drive, layout, [1], "02")
    with pytest.raises(UserError, match="no drives here"):
        KittiDepth(tmp_path / "only")


def test_real_maps_as_ground_truth(realdata, tmp_path):
    """The real drive, its projected scans standing in for the archive's maps (same encoding)."""
    drive = "2011_09_26_drive_0013_sync"
    (tmp_path / "2011_09_26").symlink_to(realdata / "kitti_raw/2011_09_26")
    maps = tmp_path / "val" / drive / "proj_depth/groundtruth/image_02"
    maps.mkdir(parents=True)
    scans = realdata / "kitti_raw/2011_09_26" / drive / "proj_depth/velodyne_raw/image_02"
    for frame in range(5, 139):
        (maps / f"{frame:010d}.png").symlink_to(scans / f"{frame:010d}.png")
    reader = KittiDepth(tmp_path)
    assert len(reader.records("val", IMAGE)) == 134
    listed = [e for e in splits.read_package_split("eigen_benchmark_test") if e.drive == drive]
    found = KittiDepth(tmp_path, on_missing="skip").records("eigen_benchmark_test", KEYS)
    assert [int(record.name.split()[-1]) for record in found] == [e.frame for e in listed]
    assert len(found) == 23
    depth = load_sample(found[0], KEYS)["depth"]
    assert depth.shape == (375, 1242, 1) and 2 < np.median(depth[depth > 0]) < 40


def test_damaged_maps(kitti_raw, layout):
    annotate(kitti_raw / "train" / layout.drive, layout, [1, 2], "02")
    name = f"train/{layout.drive}/proj_depth/groundtruth/image_02/0000000001.png"
    fuzz("kitti_depth", kitti_raw, name, KEYS, has_check_sums=True)
