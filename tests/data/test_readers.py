from __future__ import annotations

import subprocess
import sys

import pytest

from kdepth import data
from kdepth.data.readers import reader_class
from kdepth.data.sample import SAMPLE_KEYS
from kdepth.errors import UserError


def test_public_names():
    for name in data.__all__:
        assert getattr(data, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        data.nothing  # noqa: B018


@pytest.mark.parametrize("name", data.READERS)
def test_every_reader_says_what_it_can_give(name):
    reader = reader_class(name)
    assert reader.name == name
    assert {"image", "intrinsics", "index"} <= reader.keys <= SAMPLE_KEYS


def test_a_lacking_key_is_named_before_any_file_is_read(tmp_path):
    message = r"garg needs `depth`, which kitti_odometry does not have; data sets .*kitti_raw"
    with pytest.raises(UserError, match=message):
        data.require_keys("kitti_odometry", {"image", "depth"}, "garg")
    with pytest.raises(UserError, match="`sources`, which kitti_stereo2015 does not have"):
        data.load(
            "kitti_stereo2015",
            data_dir=tmp_path / "absent",
            split="training",
            batch_size=1,
            seed=1,
            sample_keys=frozenset({"sources"}),
            image_size=(8, 8),
        )
    with pytest.raises(ValueError, match="flow"):
        data.require_keys("kitti_raw", {"flow"}, "garg")


def test_no_such_data_set():
    with pytest.raises(UserError, match="no data set 'kitty'.*synthetic, kitti_raw"):
        data.open_reader("kitty", "/")


@pytest.mark.parametrize("name", [name for name in data.READERS if name != "synthetic"])
def test_data_dir_is_needed(name):
    with pytest.raises(UserError, match="--data_dir"):
        data.open_reader(name, None)


@pytest.mark.parametrize("name", data.READERS)
@pytest.mark.parametrize("what", ["absent", "empty", "file", "other"])
def test_a_folder_that_is_not_the_data_set(tmp_path, name, what):
    folder = tmp_path / what
    if what == "file":
        folder.write_text("x")
    elif what != "absent":
        folder.mkdir()
    if what == "other":
        (folder / "notes.txt").write_text("x")
    with pytest.raises(UserError, match="data_dir") as caught:
        data.open_reader(name, folder)
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)


def test_the_embedded_world_has_a_default_place(tmp_run):
    with pytest.raises(UserError, match=str(tmp_run / "cache")):
        data.open_reader("synthetic")


def test_reading_needs_neither_tensorflow_nor_keras():
    code = (
        "import sys; import kdepth.data; from kdepth.data import evaluation_samples, open_reader\n"
        "from kdepth.data.readers import READERS, reader_class\n"
        "[reader_class(name) for name in READERS]\n"
        "print([m for m in ('tensorflow', 'keras', 'jax', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_loading_does_not_need_keras():
    code = "import sys, kdepth.data; kdepth.data.load; print('kdepth.backend' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
