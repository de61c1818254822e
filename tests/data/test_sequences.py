"""Whole sequences: frames in order, whatever the list's order; gaps are said."""

from __future__ import annotations

import numpy as np
import pytest

from kdepth.data import sequences
from kdepth.errors import UserError


def test_a_sequence_of_a_data_set(kitti_odometry, layout):
    (found,) = sequences.of_split("kitti_odometry", kitti_odometry, "00")
    assert found.name == "00" and found.camera.width == layout.width
    assert [path.stem for path in found.images] == [f"{frame:06d}" for frame in range(4)]
    assert {path.parent.name for path in found.images} == {"image_2"}
    # The colour camera lies 0.1 m beside the one whose poses are given.
    shift = np.eye(4)
    shift[0, 3] = -0.1
    for frame, motion in enumerate(found.motions):
        grey = np.linalg.inv(layout.motion(frame + 1)) @ layout.motion(frame)
        np.testing.assert_allclose(motion, shift @ grey @ np.linalg.inv(shift), atol=1e-9)


def test_a_readers_options(kitti_odometry, layout):
    (found,) = sequences.of_split("kitti_odometry", kitti_odometry, "00", camera="grey")
    assert {path.parent.name for path in found.images} == {"image_0"}
    for frame, motion in enumerate(found.motions):
        expected = np.linalg.inv(layout.motion(frame + 1)) @ layout.motion(frame)
        np.testing.assert_allclose(motion, expected, atol=1e-9)


def test_own_pictures_are_called_by_their_folders(tmp_path, layout):
    """A name becomes that of a file, and pictures may have blanks in theirs."""
    root = tmp_path / "own"
    for folder in (".", "day one/left side", "night"):
        for number in range(3):
            layout.save(root / folder / f"shot {number}.png", layout.picture(number))
    found = sequences.of_split("folder", root, "all", motions=False)
    assert [sequence.name for sequence in found] == ["own", "day one_left side", "night"]
    assert all(len(sequence.images) == 3 for sequence in found)


def test_motions_are_needed_only_where_asked_for(kitti_odometry):
    (found,) = sequences.of_split("kitti_odometry", kitti_odometry, "09", motions=False)
    assert len(found.images) == 4 and found.motions is None
    with pytest.raises(UserError, match="09.txt: poses file missing"):
        sequences.of_split("kitti_odometry", kitti_odometry, "09")


def test_gaps_part_a_recording_and_are_said(kitti_raw, layout, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(
        sequences.logging, "warning", lambda text, *values: said.append(text % values)
    )
    (kitti_raw / layout.date / layout.drive / "image_02/data/0000000004.png").unlink()
    (tmp_path / "list.txt").write_text(f"{layout.drive} 02 6,5,2,0-1,3\n")
    found = sequences.of_split("kitti_raw", kitti_raw, str(tmp_path / "list.txt"))
    names = {sequence.name: [int(path.stem) for path in sequence.images] for sequence in found}
    assert names == {
        f"{layout.drive}_0000000000": [0, 1, 2, 3],
        f"{layout.drive}_0000000005": [5, 6, 7],
    }
    assert sum("a sequence of its own" in line for line in said) == 2


def test_data_without_video(kitti_stereo):
    with pytest.raises(UserError, match="a trajectory needs `"):
        sequences.of_split("kitti_stereo2015", kitti_stereo, "training")


def test_a_folder_counts_by_number(tmp_path, layout):
    for name in ("10.png", "9.png", "1.png"):
        layout.save(tmp_path / "frames" / name, layout.picture(0))
    found = sequences.of_folder(tmp_path / "frames")
    assert [path.name for path in found.images] == ["1.png", "9.png", "10.png"]
    assert found.name == "frames" and found.camera is None
    (tmp_path / "frames/9.png").unlink()
    (tmp_path / "frames/1.png").unlink()
    with pytest.raises(UserError, match="two frames or more"):
        sequences.of_folder(tmp_path / "frames")
