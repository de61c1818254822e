"""Make3D: photographs and laser grids written in the official layout."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kdepth import data
from kdepth.data import evaluation_samples
from kdepth.data.image import read_image
from kdepth.data.make3d import CAMERA, Make3D
from kdepth.data.sample import load_sample, resize_sample
from kdepth.errors import UserError
from tests.data import matlab5
from tests.data.checks import fuzz
from tests.data.layouts import MAKE3D_SIZE, distances, grid, write_make3d

KEYS = frozenset({"image", "depth", "intrinsics"})
IMAGE = frozenset({"image"})
NAMES = ["10.21op2-p-015t000", "10.21op2-p-046t000", "math4-p-282t0"]
HEIGHT, WIDTH = MAKE3D_SIZE


@pytest.fixture
def make3d(tmp_path) -> Path:
    root = tmp_path / "make3d"
    for seed, name in enumerate(NAMES):
        write_make3d(root, "Test134", "Gridlaserdata", name, distances(seed))
    write_make3d(root, "Train400Img", "Train400Depth", "combined1-p-108t0", distances(7), True)
    return root


def test_the_centre_crop_of_image_scan_and_camera(make3d):
    records = Make3D(make3d).records("test", KEYS)
    assert [record.name for record in records] == [f"img-{name}" for name in NAMES]
    for seed, record in enumerate(records):
        sample = load_sample(record, KEYS)
        # Twice as wide as high, from the middle: rows 89 to 194 of 284.
        assert sample["image"].shape == (106, 213, 3)
        np.testing.assert_array_equal(sample["image"], read_image(record.image.path)[89:195])
        expected = distances(seed)[17:38, :, None]
        np.testing.assert_allclose(sample["depth"], expected, rtol=1e-6)
        camera = CAMERA.resize(WIDTH, HEIGHT).crop(0, 89, 213, 106)
        np.testing.assert_allclose(sample["intrinsics"], camera.matrix(), rtol=1e-6)


def test_the_published_rows_at_full_size(make3d):
    path = make3d / "Test134" / f"img-{NAMES[0]}.jpg"
    Image.open(path).resize((1704, 2272)).save(path)
    record = Make3D(make3d).records("test", KEYS)[0]
    window = record.image.window
    assert (window.y, window.y + window.height, window.width) == (710, 1562, 1704)
    assert record.depth_size == (21, 305) and record.depth.rows == (17, 38)
    assert record.camera.fx == CAMERA.fx and record.camera.cy == CAMERA.cy - 710


def test_the_grid_lies_over_the_image(make3d):
    """The middle of the picture is the middle of the scan, whole or cropped."""
    for crop in ("centre", "none"):
        (record,) = Make3D(make3d, crop=crop).records("train", KEYS)
        native = load_sample(record, KEYS)
        sample = resize_sample(native, record, 11, 20, "area")
        whole_rows = (native["image"][..., 0].astype(float).mean(1)) / 255 * 55
        middle = len(whole_rows) // 2
        assert whole_rows[middle] == pytest.approx(27.5, abs=0.5)
        assert sample["depth"][5, 0, 0] == pytest.approx(1 + 27.25, abs=0.3)
        # Row for row: the depth's own row number is where the picture says that it is.
        of_picture = sample["image"][..., 0].mean(1) * 55
        np.testing.assert_allclose(sample["depth"][:, 0, 0] - 0.75, of_picture, atol=2.6)


def test_no_crop(make3d):
    (record,) = Make3D(make3d, crop="none").records("train", KEYS)
    sample = load_sample(record, KEYS)
    assert sample["image"].shape == (HEIGHT, WIDTH, 3) and sample["depth"].shape == (55, 305, 1)
    np.testing.assert_allclose(sample["depth"][..., 0], distances(7), rtol=1e-6)
    expected = CAMERA.resize(WIDTH, HEIGHT)
    np.testing.assert_allclose(sample["intrinsics"], expected.matrix(), rtol=1e-6)


def test_evaluation_and_training_take_a_grid(make3d):
    samples = list(
        evaluation_samples("make3d", data_dir=make3d, split="test", height=32, width=64, keys=KEYS)
    )
    assert [sample["depth"].shape for sample in samples] == [(21, 305)] * 3
    assert samples[0]["image"].shape == (32, 64, 3) and samples[0]["camera"].height == 106
    pytest.importorskip("tensorflow")
    records = Make3D(make3d).records("all", KEYS)
    dataset = data.load_records(
        records, sample_keys=KEYS, image_size=(32, 64), batch_size=4, seed=1, training=False
    )
    (batch,) = list(dataset)
    assert batch["depth"].shape == (4, 32, 64, 1)


def test_splits_lists_and_other_folder_names(make3d, tmp_path):
    assert Make3D(make3d).splits() == ["train", "test", "all"]
    (tmp_path / "list.txt").write_text(f"Test134/img-{NAMES[2]}.jpg\n{NAMES[0]}\nimg-{NAMES[1]}\n")
    names = [r.name[4:] for r in Make3D(make3d).records(str(tmp_path / "list.txt"), KEYS)]
    assert names == [NAMES[2], NAMES[0], NAMES[1]]
    (make3d / "Test134").rename(make3d / "Test134Img")
    (make3d / "Test134Depth").mkdir()
    (make3d / "Gridlaserdata").rename(make3d / "Test134Depth/Gridlaserdata")
    assert len(Make3D(make3d).records("test", KEYS)) == 3
    (tmp_path / "list.txt").write_text("img-absent\n")
    with pytest.raises(UserError, match="img-absent: listed in make3d"):
        Make3D(make3d).records(str(tmp_path / "list.txt"), KEYS)


def test_missing_scans_are_left_out_and_counted(make3d, caplog):
    (make3d / "Gridlaserdata" / f"depth_sph_corr-{NAMES[1]}.mat").unlink()
    assert len(Make3D(make3d).records("test", KEYS)) == 2
    assert "1 samples without measured depth" in caplog.text
    assert len(Make3D(make3d).records("test", IMAGE)) == 3
    shutil.rmtree(make3d / "Gridlaserdata")
    with pytest.raises(UserError, match="no sample is complete: 3 samples without measured depth"):
        Make3D(make3d).records("test", KEYS)


def test_unreadable_images_can_be_skipped(make3d, caplog):
    path = make3d / "Test134" / f"img-{NAMES[0]}.jpg"
    path.write_bytes(b"no picture")
    with pytest.raises(UserError, match=f"{path.name}: truncated, corrupt or not an image"):
        Make3D(make3d).records("test", KEYS)
    assert len(Make3D(make3d, on_missing="skip").records("test", KEYS)) == 2
    assert "1 samples without a readable image" in caplog.text


def test_images_of_another_shape(make3d):
    path = make3d / "Test134" / f"img-{NAMES[0]}.jpg"
    Image.open(path).transpose(Image.Transpose.ROTATE_90).save(path)
    with pytest.raises(UserError, match="is 284x213, but Make3D's images are 1704x2272"):
        Make3D(make3d).records("test", KEYS)


def test_a_camera_that_was_turned(make3d):
    """The picture stands upright by its EXIF orientation only."""
    path = make3d / "Test134" / f"img-{NAMES[0]}.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(path).transpose(Image.Transpose.ROTATE_90).save(path, exif=exif, quality=95)
    record = Make3D(make3d).records("test", KEYS)[0]
    assert load_sample(record, KEYS)["image"].shape == (106, 213, 3)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((55, 304, 4)), "is .55, 304, 4. of float64, and not .55, 305, 4."),
        (np.zeros((55, 305)), "and not .55, 305, 4."),
        (np.zeros((55, 305, 4), np.uint8), "of uint8, and not"),
        (np.full((55, 305, 4), -1.0), "impossible depths"),
        (np.full((55, 305, 4), 1e9), "impossible depths"),
    ],
)
def test_other_arrays_than_a_scan(make3d, array, message):
    path = make3d / "Gridlaserdata" / f"depth_sph_corr-{NAMES[0]}.mat"
    path.write_bytes(matlab5.file(matlab5.matrix("Position3DGrid", array)))
    record = Make3D(make3d).records("test", KEYS)[0]
    with pytest.raises(UserError, match=f"{NAMES[0]}.mat: .*{message}"):
        load_sample(record, KEYS)


def test_nan_is_not_measured(make3d):
    values = grid(distances(0))
    values[20, 30, 3] = np.nan
    path = make3d / "Gridlaserdata" / f"depth_sph_corr-{NAMES[0]}.mat"
    path.write_bytes(matlab5.file(matlab5.matrix("Position3DGrid", values)))
    depth = load_sample(Make3D(make3d).records("test", KEYS)[0], KEYS)["depth"]
    assert depth[3, 30, 0] == 0 and (depth > 0).sum() == depth.size - 1


@pytest.mark.parametrize(
    ("name", "has_check_sums"),
    [
        ("Train400Depth/depth_sph_corr-combined1-p-108t0.mat", True),
        (f"Gridlaserdata/depth_sph_corr-{NAMES[0]}.mat", False),
        (f"Test134/img-{NAMES[0]}.jpg", False),
    ],
)
def test_damaged_files(make3d, name, has_check_sums):
    fuzz("make3d", make3d, name, KEYS, has_check_sums)
