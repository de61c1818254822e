"""The user's own pictures: a wall seen by a moving stereo rig, written as people write it."""

from __future__ import annotations

import json
import logging
import math

import numpy as np
import pytest
from PIL import Image

from kdepth import data
from kdepth.data.folder import PAIRS, PICTURE_FOLDERS, Folder
from kdepth.data.sample import load_sample, resize_sample
from kdepth.errors import UserError
from kdepth.geometry.camera import Camera
from kdepth.prediction import Prediction, Rig
from tests.data.checks import fuzz, residuals, wall

IMAGE = frozenset(["image"])
VIDEO = frozenset(["image", "sources", "intrinsics"])
STEREO = frozenset(["image", "stereo"])
RIG = STEREO | {"intrinsics", "stereo_intrinsics", "baseline"}
DEPTH = frozenset(["image", "depth"])
CAMERA = Camera(50.0, 52.0, 35.0, 16.0, 60, 36)
FLAGS = {"fx": 50.0, "fy": 52.0, "cx": 35.0, "cy": 16.0}
BASELINE, DISTANCE = 0.4, 4.0


def pose(frame: int, right: bool = False) -> np.ndarray:
    result = np.eye(4)
    result[:3, 3] = 0.1 * frame + BASELINE * right, 0.02 * frame, 0.12 * frame
    return result


def write(path, frame: int = 0, right: bool = False, camera: Camera = CAMERA) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture, _ = wall(camera, pose(frame, right), DISTANCE)
    Image.fromarray(picture).save(path)


def depth_of(frame: int) -> np.ndarray:
    return wall(CAMERA, pose(frame), DISTANCE)[1]


@pytest.fixture
def video(tmp_path):
    """Twelve frames whose names sort in another order than their numbers."""
    for frame in range(12):
        write(tmp_path / f"clip/frame{frame}.png", frame)
    return tmp_path / "clip"


@pytest.fixture
def pairs(tmp_path):
    for frame in range(4):
        write(tmp_path / f"rig/left/{frame:03d}.png", frame)
        write(tmp_path / f"rig/right/{frame:03d}.png", frame, right=True)
    camera = {**FLAGS, "baseline": BASELINE}
    (tmp_path / "rig/camera.json").write_text(json.dumps(camera))
    return tmp_path / "rig"


# --- what is a video, and its order ---


def test_frames_go_by_their_numbers(video):
    reader = Folder(video, **FLAGS)
    records = reader.records("all", VIDEO)
    assert [record.name for record in records] == [f"frame{i}.png" for i in range(1, 11)]
    assert [path.name for path in records[8].sources] == ["frame8.png", "frame10.png"]
    wide = Folder(video, step=4, **FLAGS).records("all", VIDEO)
    assert [[path.stem for path in r.sources] for r in wide] == [["frame0", "frame8"]]


@pytest.mark.parametrize("size", [(36, 60), (20, 48)])
def test_flags_predict_the_neighbours(video, size):
    record = Folder(video, **FLAGS).records("all", VIDEO)[4]
    sample = resize_sample(load_sample(record, VIDEO), record, *size, "area")
    camera = Camera.from_matrix(sample["intrinsics"], size[1], size[0])
    depth = np.full(size, depth_of(5)[0, 0])
    for source, offset in zip(sample["sources"], (-1, 1)):
        motion = np.linalg.inv(pose(5 + offset)) @ pose(5)
        warped, unwarped = residuals(sample["image"], source, camera, depth, motion)
        assert warped < 0.25 * unwarped


def test_sub_folders_are_videos_of_their_own(tmp_path, caplog):
    for name in ("one", "two/inner", ".hidden", "two10", "two9"):
        for frame in range(3):
            write(tmp_path / name / f"{frame}.jpg", frame)
    write(tmp_path / "single/only.jpg")
    (tmp_path / "one/notes.txt").write_text("no picture")
    reader = Folder(tmp_path, **FLAGS)
    assert reader.splits() == [
        *("train", "val", "all", "one", "single", "two/inner", "two9", "two10")
    ]
    with caplog.at_level(logging.WARNING):
        records = reader.records("all", VIDEO)
    assert [record.name for record in records] == [
        *("one/1.jpg", "two/inner/1.jpg", "two9/1.jpg", "two10/1.jpg")
    ]
    assert "9 samples without all neighbour frames" in caplog.text
    assert len(reader.records("two/inner", IMAGE)) == 3


def test_linked_folders_are_entered_once(video, tmp_path):
    root = tmp_path / "own"
    root.mkdir()
    (root / "linked").symlink_to(video)
    (video / "back").symlink_to(root)
    assert len(Folder(root).records("all", IMAGE)) == 12


def test_half_a_pair_is_a_folder_of_pictures(tmp_path):
    for frame in range(3):
        write(tmp_path / f"left/{frame}.png", frame)
    assert [r.name for r in Folder(tmp_path).records("all", IMAGE)] == [
        f"left/{frame}.png" for frame in range(3)
    ]
    with pytest.raises(UserError, match="3 samples without a right view"):
        Folder(tmp_path).records("all", STEREO)


def test_the_last_tenth_of_every_video_is_kept_for_validation(tmp_path):
    for name, count in (("long", 25), ("short", 3), ("photo", 1)):
        for frame in range(count):
            write(tmp_path / name / f"{frame}.png")
    reader = Folder(tmp_path)
    train, val = ([r.name for r in reader.records(split, IMAGE)] for split in ("train", "val"))
    assert val == ["long/23.png", "long/24.png", "short/2.png"]
    assert sorted(train + val) == sorted(r.name for r in reader.records("all", IMAGE))


def test_own_lists(video):
    (video / "splits").mkdir()
    (video / "splits/val.txt").write_text("# the best\nframe3.png\nframe1.jpg\n")
    reader = Folder(video, **FLAGS)
    records = reader.records("val", VIDEO)
    assert [record.name for record in records] == ["frame3.png", "frame1.png"]
    assert [path.stem for path in records[0].sources] == ["frame2", "frame4"]
    (video / "mine.txt").write_text("frame3\nframe99.png\n")
    with pytest.raises(UserError, match=r"frame99.png: listed in folder, split .*mine.txt"):
        reader.records(str(video / "mine.txt"), IMAGE)
    skipping = Folder(video, on_missing="skip").records(str(video / "mine.txt"), IMAGE)
    assert len(skipping) == 1
    with pytest.raises(UserError, match="no split 'test'.*train, val, all"):
        reader.records("test", IMAGE)


# --- stereo ---


@pytest.mark.parametrize("names", PAIRS)
def test_names_of_pairs(tmp_path, names):
    for frame in range(2):
        write(tmp_path / f"a/{names[0]}/{frame}.png", frame)
        write(tmp_path / f"a/{names[1]}/{frame}.jpg", frame, right=True)
    records = Folder(tmp_path, baseline=BASELINE, **FLAGS).records("all", RIG)
    assert [record.image for record in records] == [
        tmp_path / f"a/{names[0]}/{frame}.png" for frame in range(2)
    ]
    assert records[1].stereo == tmp_path / f"a/{names[1]}/1.jpg"
    assert records[0].baseline == BASELINE


@pytest.mark.parametrize("size", [(36, 60), (24, 50)])
def test_the_rig_predicts_the_right_view(pairs, size):
    record = Folder(pairs).records("all", RIG)[2]
    sample = resize_sample(load_sample(record, RIG), record, *size, "area")
    camera = Camera.from_matrix(sample["intrinsics"], size[1], size[0])
    shift = np.eye(4)
    shift[0, 3] = -sample["baseline"]
    depth = np.full(size, depth_of(2)[0, 0])
    warped, unwarped = residuals(sample["image"], sample["stereo"], camera, depth, shift)
    assert warped < 0.25 * unwarped


def test_a_mirrored_pair_keeps_its_geometry(pairs):
    pytest.importorskip("tensorflow")
    from kdepth.data import augment

    batches = data.load(
        "folder",
        data_dir=pairs,
        split="all",
        batch_size=4,
        seed=1,
        sample_keys=STEREO | {"intrinsics", "baseline"},
        image_size=(36, 60),
        augment=lambda sample, seed: augment.flip_stereo(sample, seed, 1.0),
    )
    (batch,) = [{key: value.numpy() for key, value in batch.items()} for batch in batches]
    np.testing.assert_allclose(batch["intrinsics"][:, 0, 2], 59 - CAMERA.cx)
    shift = np.eye(4)
    shift[0, 3] = -BASELINE
    for i, frame in enumerate(batch["index"]):
        camera = Camera.from_matrix(batch["intrinsics"][i], 60, 36)
        depth = np.full((36, 60), depth_of(frame)[0, 0])
        warped, unwarped = residuals(batch["image"][i], batch["stereo"][i], camera, depth, shift)
        assert warped < 0.25 * unwarped


def test_missing_right_views(pairs, caplog):
    (pairs / "right/002.png").unlink()
    with pytest.raises(UserError, match=r"right/002: listed in folder.*--on_bad_sample=skip"):
        Folder(pairs).records("all", STEREO)
    assert len(Folder(pairs, on_missing="skip").records("all", STEREO)) == 3
    write(pairs / "mono/1.png")
    with caplog.at_level(logging.WARNING):
        assert len(Folder(pairs, on_missing="skip").records("all", STEREO)) == 3
    assert "1 samples without a right view" in caplog.text


def test_a_rig_that_nobody_knows(pairs, caplog):
    (pairs / "camera.json").unlink()
    with pytest.raises(UserError, match=r"000.png: its camera is not known.*fx=<pixels>"):
        Folder(pairs).records("all", RIG)
    with pytest.raises(UserError, match=r"distance of the pair's cameras.*baseline=<metres>"):
        Folder(pairs, fx=50.0).records("all", RIG)
    with caplog.at_level(logging.WARNING):
        (record, *_) = Folder(pairs, baseline=BASELINE).records("all", STEREO)
    assert "the rig is not known, so disparities will not become metres" in caplog.text
    assert record.baseline is None and math.isnan(record.camera.fx)
    assert load_sample(record, STEREO)["stereo"].shape == (36, 60, 3)


# --- depth ---


@pytest.mark.parametrize("inner", ["", *PICTURE_FOLDERS])
@pytest.mark.parametrize("kind", ["png", "npy"])
def test_depth_beside_pictures_is_theirs(tmp_path, inner, kind):
    for frame in range(3):
        write(tmp_path / "room" / inner / f"{frame:02d}.png", frame)
        path = tmp_path / f"room/depth/{frame:02d}.{kind}"
        path.parent.mkdir(exist_ok=True)
        if kind == "npy":
            np.save(path, depth_of(frame))
        else:
            Image.fromarray(np.round(depth_of(frame) * 1000).astype(np.uint16)).save(path)
    keys = VIDEO | DEPTH
    records = Folder(tmp_path, depth_scale=1000, **FLAGS).records("all", keys)
    assert [record.image.stem for record in records] == ["01"]
    sample = load_sample(records[0], keys)
    np.testing.assert_allclose(sample["depth"][..., 0], depth_of(1), atol=6e-4)
    for source, offset in zip(sample["sources"], (-1, 1)):
        motion = np.linalg.inv(pose(1 + offset)) @ pose(1)
        depth = sample["depth"][..., 0]
        warped, unwarped = residuals(sample["image"], source, CAMERA, depth, motion)
        assert warped < 0.25 * unwarped


def test_depth_without_a_scale_and_frames_without_depth(video, caplog):
    (video / "depth").mkdir()
    for frame in (1, 2):
        Image.fromarray(np.full((36, 60), 3000, np.uint16)).save(video / f"depth/frame{frame}.png")
    with pytest.raises(UserError, match=r"depth/frame1.png: .*depth_scale=1000"):
        Folder(video).records("all", DEPTH)
    with caplog.at_level(logging.WARNING):
        assert len(Folder(video, depth_scale=1000).records("all", DEPTH)) == 2
    assert "10 samples without measured depth" in caplog.text


def test_depth_needs_no_camera_and_what_needs_one_says_so(video):
    (video / "depth").mkdir()
    np.save(video / "depth/frame1.npy", depth_of(1))
    (record,) = Folder(video).records("all", DEPTH)
    assert load_sample(record, DEPTH)["depth"].shape == (36, 60, 1)
    disparity = Prediction(disparity=np.full((1, 4, 6), 0.1, np.float32))
    with pytest.raises(UserError, match="focal length, and the data set does not know it"):
        disparity.to_depth(record.camera, Rig(0.5, 0.6))


# --- cameras ---


def test_the_nearest_file_wins_and_options_win_over_all(tmp_path):
    for name in ("a", "b/c"):
        for frame in range(3):
            write(tmp_path / name / f"{frame}.png", frame)
    (tmp_path / "intrinsics.txt").write_text("40 40 30 18")
    (tmp_path / "b/cam.txt").write_text("45 0 30 0 45 18 0 0 1")

    def focal(**options):
        records = Folder(tmp_path, **options).records("all", VIDEO)
        return {record.name: record.camera.fx for record in records}

    assert focal() == {"a/1.png": 40, "b/c/1.png": 45}
    assert focal(fx=60.0) == {"a/1.png": 60, "b/c/1.png": 60}
    (tmp_path / "mine.json").write_text(json.dumps({"K": CAMERA.matrix().tolist()}))
    assert focal(intrinsics=tmp_path / "mine.json") == {"a/1.png": 50, "b/c/1.png": 50}
    record = Folder(tmp_path, fx=60.0).records("a", VIDEO)[0]
    assert record.camera == Camera(60.0, 60.0, 29.5, 17.5, 60, 36)


def test_exif_is_the_last_resort(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # held on its side: 60x36 on disk is a picture of 36x60
    exif.get_ifd(0x8769)[0xA405] = 26
    for frame in range(3):
        picture = Image.fromarray(wall(CAMERA, pose(frame), DISTANCE)[0])
        picture.save(tmp_path / f"{frame}.jpg", exif=exif)
    (record,) = Folder(tmp_path).records("all", VIDEO)
    focal = 26 * math.hypot(60, 36) / math.hypot(36, 24)
    assert record.camera.fx == record.camera.fy == pytest.approx(focal)
    assert (record.camera.width, record.camera.height) == (36, 60)
    assert load_sample(record, VIDEO)["sources"].shape == (2, 60, 36, 3)
    (tmp_path / "cam.txt").write_text("40 40 17 29")
    assert Folder(tmp_path).records("all", VIDEO)[0].camera.fx == 40


def test_one_camera_in_pixels_for_pictures_of_two_sizes(tmp_path):
    for frame in range(2):
        write(tmp_path / f"a/{frame}.png", frame)
        write(tmp_path / f"b/{frame}.png", frame, camera=CAMERA.resize(120, 72))
    keys = frozenset(["image", "intrinsics"])
    with pytest.raises(UserError, match=r"b/0.png: is 120x72, but .*a/0.png is 60x36"):
        Folder(tmp_path, **FLAGS).records("all", keys)
    (tmp_path / "camera.json").write_text(json.dumps({**FLAGS, "width": 60, "height": 36}))
    records = Folder(tmp_path).records("all", keys)
    assert [record.camera for record in records[::2]] == [CAMERA, CAMERA.resize(120, 72)]


def test_sizes_that_change_within_a_video(video):
    write(video / "frame4.png", 4, camera=CAMERA.resize(120, 72))
    (video / "camera.json").write_text(json.dumps({**FLAGS, "width": 60, "height": 36}))
    record = Folder(video).records("all", VIDEO)[2]
    with pytest.raises(UserError, match=r"frame4.png: is 120x72, .*frame3.png.* 60x36"):
        load_sample(record, VIDEO)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fy": 50.0}, "fy= needs fx="),
        ({"fx": 50.0, "intrinsics": "cam.txt"}, "either .*intrinsics= or fx="),
        ({"intrinsics": "/nowhere/cam.txt"}, "/nowhere/cam.txt: no such intrinsics file"),
    ],
)
def test_options_that_contradict(video, options, message):
    with pytest.raises(UserError, match=message):
        Folder(video, **options)


def test_a_focal_length_of_another_size(video):
    with pytest.raises(UserError, match="--reader_option=fx: a focal length of 0.8 pixels"):
        Folder(video, fx=0.8).records("all", VIDEO)


def test_pictures_that_are_none(video, caplog):
    (video / "frame0.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match="frame0.png: "):
        Folder(video).records("all", IMAGE)
    assert len(Folder(video, on_missing="skip").records("all", IMAGE)) == 11
    assert "1 samples without a readable file" in caplog.text


@pytest.mark.parametrize("name", ["left/000.png", "right/000.png", "camera.json"])
def test_damaged_files(pairs, name):
    fuzz("folder", pairs, name, RIG, has_check_sums=name.endswith("png"))


def test_damaged_depth(video):
    (video / "depth").mkdir()
    np.save(video / "depth/frame1.npy", depth_of(1))
    fuzz("folder", video, "depth/frame1.npy", DEPTH)
