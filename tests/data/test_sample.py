from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PIL import Image

from kdepth.data.image import read_image, resize_image, write_depth_png
from kdepth.data.sample import DepthPng, Record, load_sample, resize_sample
from kdepth.errors import UserError
from kdepth.geometry.camera import Camera

CAMERA = Camera(30.0, 31.0, 23.0, 15.5, 48, 32)
OTHER = dataclasses.replace(CAMERA, cx=20.0)
ALL = frozenset(
    ["image", "stereo", "sources", "intrinsics", "stereo_intrinsics", "baseline", "depth"]
    + ["T_sources_image"]
)


@pytest.fixture
def record(tmp_path) -> Record:
    rng = np.random.default_rng(0)
    for name in ("left", "right", "before", "after"):
        pixels = rng.integers(0, 256, (32, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    write_depth_png(tmp_path / "depth.png", rng.uniform(1, 80, (32, 48)))
    return Record(
        name="one",
        image=tmp_path / "left.png",
        camera=CAMERA,
        stereo=tmp_path / "right.png",
        stereo_camera=OTHER,
        baseline=0.5,
        sources=(tmp_path / "before.png", tmp_path / "after.png"),
        depth=DepthPng(tmp_path / "depth.png"),
        T_sources_image=np.stack([np.eye(4), 2 * np.eye(4)]),
    )


def test_native_shapes_and_types(record):
    sample = load_sample(record, ALL)
    shapes = {key: (value.shape, value.dtype.name) for key, value in sample.items()}
    assert shapes == {
        "image": ((32, 48, 3), "uint8"),
        "stereo": ((32, 48, 3), "uint8"),
        "sources": ((2, 32, 48, 3), "uint8"),
        "depth": ((32, 48, 1), "float32"),
        "intrinsics": ((3, 3), "float32"),
        "stereo_intrinsics": ((3, 3), "float32"),
        "baseline": ((), "float32"),
        "T_sources_image": ((2, 4, 4), "float32"),
    }
    np.testing.assert_array_equal(sample["sources"][1], read_image(record.sources[1]))


def test_only_the_keys_that_are_asked_for_are_read(record):
    record = dataclasses.replace(record, stereo=record.image.with_name("absent.png"))
    assert set(load_sample(record, frozenset({"image", "baseline"}))) == {"image", "baseline"}


def test_resized_sample(record):
    native = load_sample(record, ALL)
    sample = resize_sample(native, record, 16, 36, "area")
    assert sample["sources"].shape == (2, 16, 36, 3)
    expected = resize_image(read_image(record.stereo), 16, 36, "area")
    np.testing.assert_array_equal(sample["stereo"], expected)
    assert 0 <= sample["image"].min() and sample["image"].max() <= 1
    assert sample["image"].dtype == np.float32
    np.testing.assert_allclose(
        sample["intrinsics"],
        [[30 * 0.75, 0, 23.5 * 0.75 - 0.5], [0, 15.5, 7.5], [0, 0, 1]],
    )
    assert sample["stereo_intrinsics"][0, 2] == np.float32(20.5 * 0.75 - 0.5)
    assert set(np.unique(sample["depth"])) <= set(np.unique(native["depth"]))


@pytest.mark.parametrize("name", ["right", "before", "depth", "left"])
def test_one_size_for_all(record, name):
    path = record.image.with_name(f"{name}.png")
    if name == "depth":
        write_depth_png(path, np.ones((16, 48)))
    else:
        Image.fromarray(np.zeros((16, 48, 3), np.uint8)).save(path)
    with pytest.raises(UserError, match=rf"{name}.png.* 48x16.*48x32"):
        load_sample(record, ALL)


def test_a_record_without_what_is_asked_is_a_bug_not_a_mistake(record):
    bare = Record(name="bare", image=record.image, camera=CAMERA)
    for key in ALL - {"image", "intrinsics"}:
        with pytest.raises(ValueError, match=f"bare has no `{key}`") as caught:
            load_sample(bare, frozenset({key}))
        assert not isinstance(caught.value, UserError)
