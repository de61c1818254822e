"""Pose files: what is written is read again, in every form; what is no pose is one clear line."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdepth.data import pose_files
from kdepth.data.pose_files import FORMS, Trajectory
from kdepth.errors import UserError
from kdepth.geometry import pose

POSE = "1 0 0 0.5 0 1 0 0 0 0 1 2"


@st.composite
def trajectories(draw):
    count = draw(st.integers(1, 6))
    number = st.floats(-1e3, 1e3)
    vectors = [[draw(number) for _ in range(6)] for _ in range(count)]
    frames = draw(st.lists(st.integers(0, 10**6), min_size=count, max_size=count, unique=True))
    frames = np.sort(np.array(frames))
    return Trajectory(
        pose.from_vector(np.array(vectors), "axis_angle"), frames, frames / 8 + 1305031102.0
    )


@pytest.mark.parametrize("form", FORMS)
@given(trajectory=trajectories())
def test_what_is_written_is_read(tmp_path_factory, form, trajectory):
    path = tmp_path_factory.mktemp("poses") / "a.txt"
    pose_files.write(path, trajectory, form)
    found = pose_files.read(path)
    np.testing.assert_allclose(found.poses, trajectory.poses, rtol=0, atol=2e-6)
    if form == "indexed":
        np.testing.assert_array_equal(found.frames, trajectory.frames)
    if form == "tum":
        np.testing.assert_allclose(found.times, trajectory.times, rtol=0, atol=1e-6)
    assert (found.frames is None) == (form != "indexed")
    assert (found.times is None) == (form != "tum")


def test_a_quarter_turn_in_each_form(tmp_path):
    """By hand: the camera stands at (1, 2, 3) and looks along the world's x, its own z."""
    expected = np.array([[0, 0, 1, 1], [0, 1, 0, 2], [-1, 0, 0, 3], [0, 0, 0, 1.0]])
    matrix = "0 0 1 1 0 1 0 2 -1 0 0 3"
    half = np.sqrt(0.5)
    rows = {"kitti": matrix, "indexed": f"7 {matrix}", "tum": f"1.5 1 2 3 0 {half} 0 {half}"}
    for form, row in rows.items():
        path = tmp_path / f"{form}.txt"
        path.write_text(f"# a comment\n\n{row}\n")
        found = pose_files.read(path)
        np.testing.assert_allclose(found.poses, expected[None], atol=1e-12)
    assert pose_files.read(tmp_path / "indexed.txt").frames == [7]
    assert pose_files.read(tmp_path / "tum.txt").times == [1.5]


def test_times_must_be_known_for_tum(tmp_path):
    with pytest.raises(ValueError, match="times"):
        pose_files.write(tmp_path / "a.txt", Trajectory(np.eye(4)[None]), "tum")
    assert not (tmp_path / "a.txt").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("# only a comment\n", "is empty"),
        ("1 2 3\n", "first row has 3 fields"),
        ("frame,x,y\n", "first row has 1 fields"),
        (f"{POSE}\n{POSE} 1\n", "row 2: a pose is 12 numbers"),
        (f"{POSE}\n0 {POSE}\n", "row 2: a pose is 12 numbers"),
        (f"{POSE}\n{POSE.replace('0.5', 'x')}\n", "row 2: not a number"),
        (f"{POSE}\n{POSE.replace('0.5', 'nan')}\n", "row 2: holds a number that is not finite"),
        (POSE.replace("0.5", "1e999"), "row 1: holds a number that is not finite"),
        (POSE.replace("0.5", "1e200"), "row 1: its position"),
        (f"# head\n\n2{POSE}\n", "row 3: not a rigid motion"),
        ("-1 0 0 0 0 1 0 0 0 0 1 0\n", "row 1: not a rigid motion"),
        ("1e300 0 0 0 0 1 0 0 0 0 1 0\n", "row 1: not a rigid motion"),
        (f"-1 {POSE}\n", "row 1: its first number must be a frame's number"),
        (f"0.5 {POSE}\n", "row 1: its first number must be a frame's number"),
        (f"1 {POSE}\n1 {POSE}\n", "row 2: frame numbers must increase"),
        ("0 1 2 3 0 0 0 1\n0 1 2 3 0 0 0 1\n", "row 2: times must increase"),
        ("0 1 2 3 0 0 0 0\n", "row 1: its last four numbers are no unit quaternion"),
        ("0 1 2 3 1e200 0 0 1e200\n", "row 1: its last four numbers are no unit quaternion"),
        ("0 1e13 2 3 0 0 0 1\n", "row 1: its position"),
    ],
)
def test_what_is_no_pose_file(tmp_path, text, words):
    path = tmp_path / "poses.txt"
    path.write_text(text)
    with pytest.raises(UserError, match=words) as error:
        pose_files.read(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "binary.txt").write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")
    for name, words in (
        ("none.txt", "poses file missing"),
        (".", "is a folder"),
        ("binary.txt", "cannot be read"),
    ):
        with pytest.raises(UserError, match=words):
            pose_files.read(tmp_path / name)


@given(data=st.data())
def test_damage_is_found_or_harmless(tmp_path_factory, data):
    """A changed, cut or doubled piece never gives anything but rigid motions or a clear line."""
    path = tmp_path_factory.mktemp("poses") / "a.txt"
    vectors = np.random.default_rng(0).normal(size=(4, 6))
    whole = Trajectory(pose.from_vector(vectors), np.arange(4), np.arange(4) / 10)
    pose_files.write(path, whole, data.draw(st.sampled_from(sorted(FORMS))))
    raw = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(raw) - 1))
    change = data.draw(st.sampled_from(["flip", "cut", "insert"]))
    if change == "flip":
        raw[place] = data.draw(st.integers(0, 255))
    elif change == "cut":
        del raw[place:]
    else:
        raw[place:place] = data.draw(st.binary(min_size=1, max_size=8))
    path.write_bytes(bytes(raw))
    try:
        found = pose_files.read(path)
    except UserError as error:
        assert str(path) in str(error) and "\n" not in str(error)
        return
    rotations = found.poses[:, :3, :3]
    assert np.isfinite(found.poses).all()
    np.testing.assert_allclose(
        rotations @ np.swapaxes(rotations, 1, 2), np.tile(np.eye(3), (len(found), 1, 1)), atol=0.02
    )
