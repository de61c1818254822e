"""Cityscapes: a rendered wall in the official layout and encoding, at a quarter of the size."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kdepth.data.cityscapes import Cityscapes, read_camera
from kdepth.data.sample import load_sample, resize_sample
from kdepth.errors import UserError
from tests.data.checks import fuzz, residuals, wall
from tests.data.layouts import EXTRINSIC, FULL, INTRINSIC, SMALL, moved, save, write_cityscapes

HEIGHT, WIDTH = 256, 512
PAIR = frozenset({"image", "stereo", "intrinsics", "stereo_intrinsics", "baseline", "depth"})
VIDEO = frozenset({"image", "sources", "intrinsics"})
IMAGE = frozenset({"image"})


@pytest.fixture(scope="module")
def rendered(tmp_path_factory) -> Path:
    """Two images to train on, one to validate; frames 18 - 20 of the first one's video."""
    root = tmp_path_factory.mktemp("cityscapes")
    write_cityscapes(root, "train", "aachen_000000_000019")
    write_cityscapes(root, "train", "aachen_000001_000019", 8.0)
    write_cityscapes(root, "val", "lindau_000000_000019")
    for frame in range(18, 21):
        picture, _ = wall(SMALL, moved(z=0.2 * (frame - 19)), 6.0)
        name = f"aachen/aachen_000000_{frame:06d}_leftImg8bit.png"
        save(root / "leftImg8bit_sequence/train" / name, picture)
    return root


@pytest.fixture
def cityscapes(rendered, tmp_path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(rendered, tmp_path / "cityscapes"))


@pytest.mark.parametrize(("bottom_crop", "kept"), [(0.0, 256), (0.2, 204), (0.25, 192)])
def test_depth_warps_the_right_view_onto_the_left(rendered, bottom_crop, kept):
    records = Cityscapes(rendered, bottom_crop=bottom_crop).records("train", PAIR)
    assert [record.name for record in records] == ["aachen_000000_000019", "aachen_000001_000019"]
    for record, distance in zip(records, (6.0, 8.0)):
        sample = load_sample(record, PAIR)
        assert sample["image"].shape == sample["stereo"].shape == (kept, WIDTH, 3)
        depth = sample["depth"][..., 0]
        assert (depth[:, :64] == 0).all() and depth[0, 100] == 0
        np.testing.assert_allclose(depth[1:, 64:], distance, rtol=1e-3)
        shift = moved(-float(sample["baseline"]))
        arguments = sample["image"] / 255.0, sample["stereo"] / 255.0, record.camera, depth
        warped, unwarped = residuals(*arguments, shift)
        wrong_side, _ = residuals(*arguments, np.linalg.inv(shift))
        assert warped < 0.1 * unwarped and warped < 0.1 * wrong_side


def test_intrinsics_follow_crop_and_resize(rendered):
    (record, _) = Cityscapes(rendered).records("train", PAIR)
    # The crop is below, so the principal point stays.
    assert (record.camera.cx, record.camera.cy) == (SMALL.cx, SMALL.cy)
    assert (record.camera.width, record.camera.height) == (WIDTH, 204)
    assert record.camera.fx == pytest.approx(INTRINSIC["fx"] / 4)
    assert record.baseline == EXTRINSIC["baseline"]
    sample = resize_sample(load_sample(record, PAIR), record, 102, 128, "area")
    expected = record.camera.resize(128, 102)
    np.testing.assert_allclose(sample["intrinsics"], expected.matrix(), rtol=1e-6)
    np.testing.assert_array_equal(sample["stereo_intrinsics"], sample["intrinsics"])
    arguments = sample["image"], sample["stereo"], expected, sample["depth"][..., 0]
    shift = moved(-float(sample["baseline"]))
    warped, unwarped = residuals(*arguments, shift)
    assert warped < 0.2 * unwarped
    # The mirrored pair: left and right change places, the baseline stays positive.
    mirrored = (
        sample["stereo"][:, ::-1],
        sample["image"][:, ::-1],
        record.stereo_camera.resize(128, 102).flip(),
        np.full((102, 128), 6.0),
    )
    warped, unwarped = residuals(*mirrored, shift)
    assert warped < 0.2 * unwarped


def test_the_full_size_is_that_of_the_camera_files(tmp_path):
    write_cityscapes(tmp_path, "test", "bonn_000004_000019")
    for kind in ("leftImg8bit", "disparity"):
        (path,) = (tmp_path / kind).glob("*/*/*.png")
        Image.open(path).resize((2048, 1024), Image.Resampling.NEAREST).save(path)
    (record,) = Cityscapes(tmp_path).records("test", frozenset({"image", "depth"}))
    camera = record.camera
    assert (camera.width, camera.height) == (2048, 819)  # 1024 * 4 // 5, as monodepth crops
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (FULL.fx, FULL.fy, FULL.cx, FULL.cy)
    sample = load_sample(record, frozenset({"image", "depth"}))
    assert sample["image"].shape == (819, 2048, 3) and sample["depth"].shape == (819, 2048, 1)


def test_neighbours_from_the_video(rendered, caplog):
    (record,) = Cityscapes(rendered).records("train", VIDEO)
    assert "1 samples without all neighbour frames in leftImg8bit_sequence" in caplog.text
    sample = load_sample(record, VIDEO)
    depth = np.full(sample["image"].shape[:2], 6.0)
    for source, z in zip(sample["sources"], (0.2, -0.2)):  # the camera moves forward
        arguments = sample["image"] / 255.0, source / 255.0, record.camera, depth
        warped, unwarped = residuals(*arguments, moved(z=z))
        assert warped < 0.1 * unwarped


def test_neighbours_further_away_and_joined_splits(cityscapes):
    with pytest.raises(UserError, match="no sample is complete"):
        Cityscapes(cityscapes, skip_frames=2).records("train", VIDEO)
    folder = cityscapes / "leftImg8bit_sequence/train/aachen"
    for frame in (17, 21):
        shutil.copy(
            folder / "aachen_000000_000019_leftImg8bit.png",
            folder / f"aachen_000000_{frame:06d}_leftImg8bit.png",
        )
    (record,) = Cityscapes(cityscapes, skip_frames=2).records("train", VIDEO)
    assert [source.path.name[14:20] for source in record.sources] == ["000017", "000021"]
    joined = Cityscapes(cityscapes).records("val+train", IMAGE)
    assert [r.name[:6] for r in joined] == ["lindau", "aachen", "aachen"]
    with pytest.raises(UserError, match="train\\+train_extra"):
        Cityscapes(cityscapes).records("train+train_extra", IMAGE)


def test_every_frame_of_the_videos(rendered):
    reader = Cityscapes(rendered)
    assert reader.splits() == ["train", "val", "train_sequence", "all"]
    assert [record.name[-2:] for record in reader.records("train_sequence", IMAGE)] == [
        "18",
        "19",
        "20",
    ]
    (record,) = reader.records("train_sequence", VIDEO)
    assert "leftImg8bit_sequence" in str(record.image) and record.name.endswith("19")
    with pytest.raises(UserError, match="rightImg8bit_sequence/train/aachen/aachen_000000_000018"):
        reader.records("train_sequence", frozenset({"image", "stereo"}))


def test_a_video_frame_takes_the_nearest_camera_of_its_sequence(cityscapes):
    folder = cityscapes / "camera/train/aachen"
    for number, fx in ((15, 1000.0), (24, 3000.0)):
        text = json.dumps({"extrinsic": EXTRINSIC, "intrinsic": {**INTRINSIC, "fx": fx}})
        (folder / f"aachen_000000_{number:06d}_camera.json").write_text(text)
    (folder / "aachen_000000_000019_camera.json").unlink()
    records = Cityscapes(cityscapes).records("train_sequence", IMAGE)
    assert [4 * record.camera.fx for record in records] == [1000.0, 1000.0, 3000.0]


def test_lists_as_monodepth_has_them(rendered, tmp_path):
    lines = [
        "leftImg8bit/val/lindau/lindau_000000_000019_leftImg8bit.jpg rightImg8bit/val/x.jpg",
        "aachen/aachen_000001_000019_leftImg8bit.png",
        "aachen_000000_000020",
    ]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    names = [r.name for r in Cityscapes(rendered).records(str(tmp_path / "list.txt"), IMAGE)]
    assert names == ["lindau_000000_000019", "aachen_000001_000019", "aachen_000000_000020"]
    (tmp_path / "list.txt").write_text("aachen_000007_000019\n")
    with pytest.raises(UserError, match="aachen_000007_000019_leftImg8bit: listed in cityscapes"):
        Cityscapes(rendered).records(str(tmp_path / "list.txt"), IMAGE)
    (tmp_path / "list.txt").write_text("berlin.png\n")
    with pytest.raises(UserError, match="list.txt: expected `<city>_.*found 'berlin'"):
        Cityscapes(rendered).records(str(tmp_path / "list.txt"), IMAGE)
    with pytest.raises(UserError, match="no split 'trian'.*train, val, train_sequence, all"):
        Cityscapes(rendered).records("trian", IMAGE)


def test_what_a_user_may_break(cityscapes, caplog):
    name = "aachen/aachen_000000_000019"
    (cityscapes / f"disparity/train/{name}_disparity.png").unlink()
    assert len(Cityscapes(cityscapes).records("train", PAIR)) == 1
    assert "1 samples without measured depth" in caplog.text
    (cityscapes / f"rightImg8bit/train/{name}_rightImg8bit.png").unlink()
    with pytest.raises(UserError, match="aachen_000000_000019_rightImg8bit: listed in"):
        Cityscapes(cityscapes).records("train", PAIR)
    assert len(Cityscapes(cityscapes, on_missing="skip").records("train", PAIR)) == 1
    (cityscapes / f"camera/train/{name}_camera.json").unlink()
    with pytest.raises(
        UserError, match="000019_camera.json: camera file missing; unpack camera_tr"
    ):
        Cityscapes(cityscapes).records("train", IMAGE)
    image = cityscapes / "leftImg8bit/val/lindau/lindau_000000_000019_leftImg8bit.png"
    save(image, np.zeros((200, 512, 3), np.uint8))
    with pytest.raises(UserError, match="is 512x200, but Cityscapes' images are 2048x1024"):
        Cityscapes(cityscapes).records("val", IMAGE)


def test_one_unreadable_image_does_not_stop_its_city(cityscapes):
    image = cityscapes / "leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png"
    image.write_bytes(b"no picture")
    first, second = Cityscapes(cityscapes).records("train", IMAGE)
    assert load_sample(second, IMAGE)["image"].shape == (204, WIDTH, 3)
    with pytest.raises(UserError, match="aachen_000000_000019_leftImg8bit.png: truncated, corrupt"):
        load_sample(first, IMAGE)


def test_files_of_another_size_or_kind(cityscapes):
    image = cityscapes / "leftImg8bit/train/aachen/aachen_000001_000019_leftImg8bit.png"
    save(image, np.zeros((128, 256, 3), np.uint8))
    records = Cityscapes(cityscapes).records("train", PAIR)
    with pytest.raises(UserError, match="000001_000019_leftImg8bit.png: is 256x128, but the files"):
        load_sample(records[1], PAIR)
    disparity = cityscapes / "disparity/train/aachen/aachen_000000_000019_disparity.png"
    save(disparity, np.zeros((HEIGHT, WIDTH), np.uint8))
    with pytest.raises(UserError, match="must be a 16-bit grey PNG"):
        load_sample(records[0], PAIR)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "[" * 100000,
        json.dumps({"intrinsic": INTRINSIC}),
        json.dumps({"intrinsic": INTRINSIC, "extrinsic": 3}),
        json.dumps({"intrinsic": INTRINSIC, "extrinsic": {"baseline": None}}),
        json.dumps({"intrinsic": INTRINSIC, "extrinsic": {"baseline": -0.2}}),
        json.dumps({"intrinsic": {**INTRINSIC, "fx": 0}, "extrinsic": EXTRINSIC}),
        json.dumps({"intrinsic": {**INTRINSIC, "v0": float("nan")}, "extrinsic": EXTRINSIC}),
    ],
)
def test_a_file_that_is_no_camera(tmp_path, content):
    (tmp_path / "camera.json").write_text(content)
    with pytest.raises(UserError, match=f"{tmp_path}/camera.json: .*camera_trainvaltest.zip"):
        read_camera(tmp_path / "camera.json")


@pytest.mark.parametrize(
    ("name", "has_check_sums"),
    [
        ("camera/train/aachen/aachen_000000_000019_camera.json", False),
        ("disparity/train/aachen/aachen_000000_000019_disparity.png", True),
        ("leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png", True),
        ("rightImg8bit/train/aachen/aachen_000000_000019_rightImg8bit.png", True),
    ],
)
def test_damaged_files(cityscapes, name, has_check_sums):
    fuzz("cityscapes", cityscapes, name, PAIR, has_check_sums)
