"""TUM RGB-D: a rendered wall in the official layout, and the real sample rewritten into it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kdepth.data.sample import load_sample, resize_sample
from kdepth.data.tum_rgbd import CAMERAS, TumRgbd, associate
from kdepth.errors import UserError
from kdepth.geometry.camera import Camera
from kdepth.geometry.pose import axis_angle, from_parts
from tests.data.checks import fuzz, residuals, wall
from tests.data.layouts import TUM_START, write_tum

SEQUENCE = "rgbd_dataset_freiburg1_wall"
KEYS = frozenset({"image", "sources", "intrinsics", "depth", "T_sources_image"})
IMAGE = frozenset({"image"})
CAMERA = Camera(*CAMERAS["freiburg1"], 640, 480)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory) -> Path:
    """A root with one sequence of four frames, a turning and moving camera before a wall."""
    folder = tmp_path_factory.mktemp("wall")
    pictures, depths, poses = [], [], []
    turn = axis_angle(np.array([0.3, -1.2, 0.9]))  # the world's axes are not the camera's
    for i in range(4):
        pose = from_parts(
            axis_angle(np.array([0.01, 0.02, -0.015]) * i), np.array([0.03, -0.02, 0.05]) * i
        )
        picture, depth = wall(CAMERA, pose, 2.0)
        depth[:, :40] = 0  # the Kinect misses some
        pictures.append(folder / f"{i}.png")
        depths.append(folder / f"d{i}.png")
        poses.append(from_parts(turn, np.array([1.0, 2.0, 3.0])) @ pose)
        Image.fromarray(picture).save(pictures[-1])
        Image.fromarray(np.round(depth * 5000).astype(np.uint16)).save(depths[-1])
    root = folder / "tum"
    write_tum(root / SEQUENCE, pictures, depths, poses)
    return root


@pytest.fixture
def tum(rendered, tmp_path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(rendered, tmp_path / "tum"))


def warp_ratios(records) -> list[float]:
    """How much better depth and poses predict the neighbours than nothing, or the inverse poses."""
    worst = []
    for record in records:
        sample = load_sample(record, KEYS)
        image, depth = sample["image"] / 255.0, sample["depth"][..., 0]
        for source, pose in zip(sample["sources"], sample["T_sources_image"]):
            arguments = (image, source / 255.0, record.camera, depth)
            warped, unwarped = residuals(*arguments, pose)
            backwards, _ = residuals(*arguments, np.linalg.inv(pose))
            worst.append(warped / min(unwarped, backwards))
    return worst


def test_a_rendered_sequence(rendered):
    records = TumRgbd(rendered).records("all", KEYS)
    assert [record.name for record in records] == [f"{SEQUENCE} 000001", f"{SEQUENCE} 000002"]
    assert max(warp_ratios(records)) < 0.1
    depth = load_sample(records[0], KEYS)["depth"][..., 0]
    assert (depth[:, :40] == 0).all() and 1.5 < depth[:, 40:].min() < depth.max() < 2.5


def test_intrinsics_follow_the_size(rendered):
    (record, *_) = TumRgbd(rendered).records(SEQUENCE, KEYS)
    assert record.camera == CAMERA
    sample = resize_sample(load_sample(record, KEYS), record, 120, 160, "area")
    expected = [[517.3 / 4, 0, 319.1 / 4 - 0.5], [0, 516.5 / 4, 255.8 / 4 - 0.5], [0, 0, 1]]
    np.testing.assert_allclose(sample["intrinsics"], expected, rtol=1e-6)
    arguments = (sample["image"], sample["sources"][0], record.camera.resize(160, 120))
    warped, unwarped = residuals(
        *arguments, sample["depth"][..., 0], sample["T_sources_image"][0].astype(float)
    )
    assert warped < 0.2 * unwarped


def test_the_real_sample(realdata, tmp_path):
    """Ten frames of the desk, with the official names, times and pose file."""
    source = realdata / "tum_rgbd"
    truth = json.loads((source / "ground_truth.json").read_text())
    entries = [truth[str(i)] for i in range(1, 11)]
    write_tum(
        tmp_path / "rgbd_dataset_freiburg1_desk",
        [source / entry["rgb"] for entry in entries],
        [source / entry["depth"] for entry in entries],
        [np.array(entry["transformation"]) for entry in entries],
    )
    # The camera moves by about a centimetre from frame to frame, so a part of the gain is grain.
    for offsets, worst, middle in (((-1, 1), 0.95, 0.65), ((-4, 4), 0.8, 0.5)):
        records = TumRgbd(tmp_path).records("all", KEYS, offsets)
        assert len(records) == 10 + offsets[0] - offsets[1]
        ratios = warp_ratios(records)
        assert max(ratios) < worst and np.median(ratios) < middle


@given(
    st.lists(st.integers(0, 400), unique=True, max_size=12),
    st.lists(st.integers(0, 400), unique=True, max_size=12),
)
def test_pairs_are_close_one_to_one_and_the_closest_first(first, second):
    first, second = (np.sort(np.array(times, float)) / 1000 for times in (first, second))
    pairs = associate(first, second)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    used_first, used_second = ({pair[k]: pair for pair in pairs} for k in (0, 1))
    for i, time in enumerate(first):
        for j, other in enumerate(second):
            difference = abs(time - other)
            if (i, j) in pairs:
                assert difference < 0.02
            elif difference < 0.0199:
                # Then one of the two has a partner that is at least as close.
                rivals = [p for p in (used_first.get(i), used_second.get(j)) if p]
                assert min(abs(first[a] - second[b]) for a, b in rivals) <= difference


def test_the_nearest_depth_and_pose_belong_to_a_picture(tum):
    folder = tum / SEQUENCE
    lines = (folder / "depth.txt").read_text().splitlines(keepends=True)
    late = TUM_START + 1 / 30 + 0.0199  # nearer than nothing, farther than what is there
    (folder / "depth.txt").write_text("".join([*lines, f"{late:.6f} depth/none.png\n"]))
    records = TumRgbd(tum).records("all", frozenset({"image", "depth"}))
    stamps = [(float(r.image.stem), float(r.depth.path.stem)) for r in records]
    assert len(stamps) == 4
    np.testing.assert_allclose([b - a for a, b in stamps], 0.011, atol=2e-6)


def test_frames_without_depth_or_pose_are_left_out_and_counted(tum, caplog):
    folder = tum / SEQUENCE
    lines = (folder / "depth.txt").read_text().splitlines(keepends=True)
    (folder / "depth.txt").write_text("".join(lines[:4] + lines[5:]))
    records = TumRgbd(tum).records("all", frozenset({"image", "depth"}))
    assert [record.name[-1] for record in records] == ["0", "2", "3"]
    assert f"1 samples without measured depth (first: {folder}/rgb/" in caplog.text
    rows = (folder / "groundtruth.txt").read_text().splitlines(keepends=True)
    (folder / "groundtruth.txt").write_text("".join(rows[:10]))  # up to the third frame
    keys = frozenset({"image", "sources", "T_sources_image"})
    assert len(TumRgbd(tum).records("all", keys)) == 1
    assert "1 samples without a measured pose" in caplog.text
    assert len(TumRgbd(tum).records("all", frozenset({"image", "sources"}))) == 2


def test_splits_and_lists(tum, tmp_path):
    shutil.copytree(tum / SEQUENCE, tum / "rgbd_dataset_freiburg3_wall")
    reader = TumRgbd(tum)
    assert reader.splits() == ["all", SEQUENCE, "rgbd_dataset_freiburg3_wall"]
    assert len(reader.records("all", IMAGE)) == 8
    (third,) = {record.camera.fx for record in reader.records("rgbd_dataset_freiburg3_wall", IMAGE)}
    assert third == 535.4
    (tmp_path / "list.txt").write_text(f"{SEQUENCE} 2\n{SEQUENCE} 02 0-1\n")
    names = [record.name[-1] for record in reader.records(str(tmp_path / "list.txt"), IMAGE)]
    assert names == ["2", "0", "1"]
    (tmp_path / "list.txt").write_text(f"{SEQUENCE} 9\n")
    with pytest.raises(UserError, match="frame 9: listed in tum_rgbd"):
        reader.records(str(tmp_path / "list.txt"), IMAGE)
    (tmp_path / "list.txt").write_text("other 1\n")
    with pytest.raises(UserError, match="other/rgb: listed in tum_rgbd"):
        reader.records(str(tmp_path / "list.txt"), IMAGE)


def test_jpegs_are_taken_for_the_listed_pngs(tum):
    for path in sorted((tum / SEQUENCE / "rgb").iterdir()):
        Image.open(path).save(path.with_suffix(".jpg"), quality=95)
        path.unlink()
    assert max(warp_ratios(TumRgbd(tum).records("all", KEYS))) < 0.2


def test_what_a_user_may_break(tum):
    folder = tum / SEQUENCE
    with pytest.raises(UserError, match="looks like one sequence: give its parent"):
        TumRgbd(folder)
    (folder / "groundtruth.txt").rename(folder / "gt.txt")
    with pytest.raises(UserError, match="groundtruth.txt: poses file missing"):
        TumRgbd(tum).records("all", KEYS)
    assert len(TumRgbd(tum).records("all", KEYS - {"T_sources_image"})) == 2
    first = min((folder / "rgb").iterdir())
    first.unlink()
    with pytest.raises(UserError, match=f"{first.name}: listed in"):
        TumRgbd(tum).records("all", IMAGE)
    assert len(TumRgbd(tum, on_missing="skip").records("all", IMAGE)) == 3
    folder.rename(tum / "desk")
    with pytest.raises(UserError, match="desk: the name does not tell the camera.*freiburg1"):
        TumRgbd(tum, on_missing="skip").records("all", IMAGE)


def test_other_depth_than_16_bit_grey_is_refused(tum):
    (record, *_) = TumRgbd(tum).records("all", frozenset({"image", "depth"}))
    Image.fromarray(np.zeros((480, 640), np.uint8)).save(record.depth.path)
    with pytest.raises(UserError, match=r"16-bit grey PNG \(5000 \* metres\), not .* mode L"):
        load_sample(record, frozenset({"depth"}))
    Image.fromarray(np.zeros((240, 320), np.uint16)).save(record.depth.path)
    with pytest.raises(UserError, match="is 320x240, but"):
        load_sample(record, frozenset({"depth"}))


@pytest.mark.parametrize(
    ("name", "key"),
    [("rgb.txt", "sources"), ("depth.txt", "depth"), ("groundtruth.txt", "T_sources_image")],
)
def test_damaged_text(tum, name, key):
    fuzz("tum_rgbd", tum, f"{SEQUENCE}/{name}", frozenset({key}))


def test_damaged_depth(tum):
    (record, *_) = TumRgbd(tum).records("all", KEYS)
    name = str(record.depth.path.relative_to(tum))
    fuzz("tum_rgbd", tum, name, frozenset({"image", "depth"}), has_check_sums=True)
