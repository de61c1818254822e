from __future__ import annotations

import errno
import os

import numpy as np
import pytest

from kdepth import files
from kdepth.errors import UserError


def test_a_file_appears_when_the_block_is_done(tmp_path):
    target = tmp_path / "new" / "folder" / "a.txt"
    with files.atomic_path(target) as path:
        path.write_text("x")
        assert path.parent == target.parent and path.suffix == ".txt"
        assert not target.exists()
    assert target.read_text() == "x"
    assert os.listdir(target.parent) == ["a.txt"]


def test_writers_that_go_by_the_suffix_write_where_they_should(tmp_path):
    with files.atomic_path(tmp_path / "weights.npz") as path:
        np.savez(path, a=np.arange(3))
    with np.load(tmp_path / "weights.npz", allow_pickle=False) as loaded:
        np.testing.assert_array_equal(loaded["a"], [0, 1, 2])


def test_the_permissions_are_those_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_text("")
    with files.atomic_path(tmp_path / "atomic") as path:
        path.write_text("")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("error", [ValueError("bug"), KeyboardInterrupt(), OSError("io")])
def test_an_error_leaves_the_old_file(tmp_path, error):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(type(error)), files.atomic_path(target) as path:
        path.write_text("new, half")
        raise error
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), files.atomic_path(tmp_path / "a.txt"):
        pass


def test_a_full_disk_is_reported_with_the_final_name(tmp_path):
    target = tmp_path / "a.txt"
    with pytest.raises(OSError) as caught, files.atomic_path(target):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == str(target)


def test_a_folder_takes_the_place_of_a_folder(tmp_path):
    target = tmp_path / "saved_model"
    for content in ("old", "new"):
        with files.atomic_path(target) as path:
            path.mkdir()
            (path / "graph.pb").write_text(content)
    assert (target / "graph.pb").read_text() == "new"
    assert os.listdir(tmp_path) == ["saved_model"]


def test_a_failed_folder_leaves_the_old_one(tmp_path):
    target = tmp_path / "saved_model"
    target.mkdir()
    (target / "graph.pb").write_text("old")
    with pytest.raises(RuntimeError), files.atomic_path(target) as path:
        path.mkdir()
        (path / "graph.pb").write_text("new, half")
        raise RuntimeError
    assert (target / "graph.pb").read_text() == "old"
    assert os.listdir(tmp_path) == ["saved_model"]


def test_leftovers_of_a_killed_writer_are_removed(tmp_path):
    (tmp_path / "kept.npz").write_text("x")
    (tmp_path / ".hidden").write_text("x")
    writer = files.atomic_path(tmp_path / "weights.npz")
    leftover = writer.__enter__()
    leftover.write_text("half")
    files.remove_leftovers(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".hidden", "kept.npz"]
    with pytest.raises(FileNotFoundError):
        writer.__exit__(None, None, None)


def test_leftovers_of_one_name_leave_other_writers_alone(tmp_path):
    with files.atomic_path(tmp_path / "garg_pose.tflite") as other:
        other.write_text("half")
        killed = tmp_path / f".garg{files.MARK}abc"
        killed.mkdir()
        files.remove_leftovers(tmp_path, "garg")
        assert other.exists() and not killed.exists()


def test_a_lock_that_another_process_keeps_is_said(tmp_path, monkeypatch):
    pytest.importorskip("fcntl")
    monkeypatch.setattr(files, "_LOCK_SECONDS", 0.05)
    with files.locked(tmp_path / "a.csv", "--csv"):
        with pytest.raises(UserError, match="a.csv: another process has been writing.*--csv"):
            with files.locked(tmp_path / "a.csv", "--csv"):
                pass
    with files.locked(tmp_path / "a.csv", "--csv"):
        pass
