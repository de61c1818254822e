"""SfMLearner's prepared layout, written as its scripts write it: a wall seen by a moving camera."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from PIL import Image

from kdepth import data
from kdepth.data.sample import load_sample, resize_sample
from kdepth.data.sfmlearner import SfMLearner
from kdepth.errors import UserError
from kdepth.geometry.camera import Camera
from tests.data.checks import fuzz, residuals, wall

KEYS = frozenset(["image", "sources", "intrinsics"])
CAMERA = Camera(60.0, 58.0, 36.0, 17.0, 64, 40)
DISTANCE = 4.0


def pose(frame: int) -> np.ndarray:
    """Camera -> world: to the right and forward."""
    result = np.eye(4)
    result[:3, 3] = 0.12 * frame, 0.0, 0.15 * frame
    return result


def write_sample(root, folder: str, frame: int, count: int) -> None:
    offsets = range(-(count // 2), count // 2 + 1)
    views = [wall(CAMERA, pose(frame + offset), DISTANCE)[0] for offset in offsets]
    path = root / folder / f"{frame:010d}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(views, axis=1)).save(path, quality=95, subsampling=0)
    text = f"{CAMERA.fx:f},0.,{CAMERA.cx:f},0.,{CAMERA.fy:f},{CAMERA.cy:f},0.,0.,1."
    path.with_name(f"{frame:010d}_cam.txt").write_text(text)


def prepare(root, count: int):
    for frame in range(4):
        write_sample(root, "2011_09_26_drive_0001_sync_02", frame, count)
    write_sample(root, "06", 7, count)
    lines = [f"2011_09_26_drive_0001_sync_02 {frame:010d}\n" for frame in (2, 0, 1, 3)]
    (root / "train.txt").write_text("".join(lines))
    (root / "val.txt").write_text("06 0000000007\n")
    return root


@pytest.fixture
def prepared(tmp_path):
    return prepare(tmp_path / "prepared", 3)


def test_lists_and_their_order(prepared):
    reader = SfMLearner(prepared)
    assert reader.splits() == ["train", "val", "all"]
    records = reader.records("train", KEYS)
    assert [record.name[-1] for record in records] == ["2", "0", "1", "3"]
    assert records[0].name == "2011_09_26_drive_0001_sync_02 0000000002"
    assert [record.name for record in reader.records("val", KEYS)] == ["06 0000000007"]
    assert len(reader.records("all", KEYS)) == 5
    assert len(reader.records(str(prepared / "val.txt"), KEYS)) == 1


@pytest.mark.parametrize("count", [3, 5])
def test_the_target_is_in_the_middle(tmp_path, count):
    root = prepare(tmp_path / "prepared", count)
    for offsets in [(-1, 1), (-2, -1, 1, 2)][: count // 2]:
        (record,) = SfMLearner(root).records("val", KEYS, offsets)
        sample = load_sample(record, KEYS)
        views = [sample["image"], *sample["sources"]]
        for view, offset in zip(views, (0, *offsets)):
            expected, _ = wall(CAMERA, pose(7 + offset), DISTANCE)
            assert np.abs(view.astype(int) - expected).mean() < 2
        np.testing.assert_allclose(sample["intrinsics"], CAMERA.matrix(), rtol=1e-6)


@pytest.mark.parametrize("size", [(40, 64), (20, 48), (32, 64)])
def test_intrinsics_predict_the_neighbours_at_any_size(prepared, size):
    record = SfMLearner(prepared).records("train", KEYS)[0]
    sample = resize_sample(load_sample(record, KEYS), record, *size, "area")
    camera = Camera.from_matrix(sample["intrinsics"], size[1], size[0])
    depth = np.full(size, DISTANCE - pose(2)[2, 3])
    for source, offset in zip(sample["sources"], (-1, 1)):
        motion = np.linalg.inv(pose(2 + offset)) @ pose(2)
        warped, unwarped = residuals(sample["image"], source, camera, depth, motion)
        assert warped < 0.25 * unwarped


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_intrinsics_follow_crop_and_flip(prepared, flip):
    pytest.importorskip("tensorflow")
    from kdepth.data import augment

    def zoom(sample, seed):
        sample = augment.scale_crop(sample, seed, 1.0, 1.3)
        return augment.flip_sources(sample, seed, flip)

    batches = data.load(
        "sfmlearner",
        data_dir=prepared,
        split="train",
        batch_size=4,
        seed=3,
        sample_keys=KEYS,
        image_size=(32, 64),
        augment=zoom,
    )
    mirror = np.diag([-1.0 if flip else 1.0, 1, 1, 1])
    (batch,) = [{key: value.numpy() for key, value in batch.items()} for batch in batches]
    for i, index in enumerate(batch["index"]):
        frame = (2, 0, 1, 3)[index]
        camera = Camera.from_matrix(batch["intrinsics"][i], 64, 32)
        depth = np.full((32, 64), DISTANCE - pose(frame)[2, 3])
        for source, offset in zip(batch["sources"][i], (-1, 1)):
            motion = mirror @ np.linalg.inv(pose(frame + offset)) @ pose(frame) @ mirror
            warped, unwarped = residuals(batch["image"][i], source, camera, depth, motion)
            assert warped < 0.25 * unwarped


def test_the_number_of_frames_can_be_said(tmp_path):
    root = prepare(tmp_path / "prepared", 5)
    (record,) = SfMLearner(root, sequence_length=5).records("val", KEYS)
    assert record.camera.width == 64
    with pytest.raises(UserError, match=r"0000000007.jpg: is 320 pixels wide, .*row of 3 frames"):
        SfMLearner(root, sequence_length=3).records("val", KEYS)
    with pytest.raises(UserError, match="sequence_length=4: must be odd"):
        SfMLearner(root, sequence_length=4)


def test_a_paper_that_asks_for_more_frames_than_there_are(prepared):
    with pytest.raises(UserError, match=r"holds 3 frames .* asks for offsets -2, -1, \+1, \+2"):
        SfMLearner(prepared).records("train", KEYS, (-2, -1, 1, 2))
    assert SfMLearner(prepared).records("train", frozenset(["image"]), (-2, -1, 1, 2))


def test_intrinsics_of_another_size(prepared):
    path = prepared / "06/0000000007_cam.txt"
    path.write_text("721.5,0.,609.5,0.,721.5,172.8,0.,0.,1.")
    with pytest.raises(UserError, match=r"_cam.txt: the principal point .* outside"):
        SfMLearner(prepared, sequence_length=3).records("val", KEYS)


def test_missing_pictures(prepared, caplog):
    (prepared / "2011_09_26_drive_0001_sync_02/0000000001.jpg").unlink()
    with pytest.raises(UserError, match=r"0000000001: listed in sfmlearner, split train"):
        SfMLearner(prepared).records("train", KEYS)
    with caplog.at_level(logging.WARNING):
        assert len(SfMLearner(prepared, on_missing="skip").records("train", KEYS)) == 3
    assert "1 samples without images" in caplog.text


@pytest.mark.parametrize("name", ["0000000001.jpg", "0000000001_cam.txt"])
def test_unreadable_files_are_skipped_if_asked(prepared, caplog, name):
    (prepared / "2011_09_26_drive_0001_sync_02" / name).write_bytes(b"rubbish")
    with pytest.raises(UserError, match=name):
        SfMLearner(prepared).records("train", KEYS)
    assert len(SfMLearner(prepared, on_missing="skip").records("train", KEYS)) == 3
    assert "1 samples without a readable file" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("only_a_folder\n", "train.txt, line 1: expected `<folder> <frame>`"),
        ("a b\n\nc d e\n", "train.txt, line 3: expected"),
        ("", "train.txt: the split's list file has no entries"),
    ],
)
def test_lists_that_are_none(prepared, text, message):
    (prepared / "train.txt").write_text(text)
    with pytest.raises(UserError, match=message):
        SfMLearner(prepared, on_missing="skip").records("train", KEYS)


def test_no_such_split(prepared):
    with pytest.raises(UserError, match="no split 'test'.*train, val, all"):
        SfMLearner(prepared).records("test", KEYS)


@pytest.mark.parametrize("name", ["06/0000000007.jpg", "06/0000000007_cam.txt"])
def test_damaged_files(prepared, name):
    fuzz("sfmlearner", prepared, name, KEYS)
