"""Whole evaluations of files in the official layouts, without the command around them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from kdepth.evaluation import systems, with_progress
from kdepth.evaluation.protocols import PROTOCOLS
from kdepth.evaluation.sources import Source
from tests.data.layouts import write_make3d


@pytest.fixture
def kitti(golden, tmp_path):
    """The golden scan, calibration and prediction as KITTI raw and a stack of one."""
    files = json.loads((golden / "kitti_depth_eval.json").read_text())["calibration_files"]
    date = tmp_path / "kitti" / "2011_09_26"
    drive = date / "2011_09_26_drive_0001_sync"
    (drive / "velodyne_points/data").mkdir(parents=True)
    with np.load(golden / "kitti_depth_eval.npz") as arrays:
        arrays["velodyne"].tofile(drive / "velodyne_points/data/0000000000.bin")
        np.save(tmp_path / "stack.npy", arrays["pred_depth"][None])
    for name, text in files.items():
        (date / name).write_text(text)
    # Predictions are scored without looking at the images: this one cannot be read.
    (drive / "image_02/data").mkdir(parents=True)
    (drive / "image_02/data/0000000000.png").touch()
    (tmp_path / "list.txt").write_text(f"{drive.name} 02 0\n")
    return tmp_path


def test_golden_figures_from_scan_to_mean(golden, kitti):
    """Reader, projection, crop, cap, scaling, clip and metrics together."""
    expected = json.loads((golden / "kitti_depth_eval.json").read_text())
    names = [
        f"delta{name[1]}" if name in ("a1", "a2", "a3") else name for name in expected["order"]
    ]
    source = Source("kitti_raw", kitti / "kitti", str(kitti / "list.txt"))
    system = systems.from_file("stack", kitti / "stack.npy", "depth", 1)
    assert len(expected["metrics"]) == 12
    for key, values in expected["metrics"].items():
        crop, cap, scaled = key.split("_")
        protocol = PROTOCOLS[f"eigen_{crop}_{cap[3:]}"].replace(
            ground_truth="velodyne_z", scaling="median" if scaled == "median" else "none"
        )
        scores = with_progress.score(
            system, source, protocol, with_progress.fit_baselines(source, protocol), number=1
        )
        found = [scores.mean()[name] for name in names]
        np.testing.assert_allclose(found, values, rtol=1e-6, err_msg=key)


def test_a_view_cuts_image_and_truth(tmp_path):
    depth = np.repeat(np.linspace(60, 80, 55)[:, None], 305, 1)
    write_make3d(tmp_path, "Test134", "Gridlaserdata", "math-p-1t0", depth)
    image = np.zeros((2272, 1704, 3), np.uint8)
    image[710:1562] = 255
    Image.fromarray(image).save(tmp_path / "Test134/img-math-p-1t0.jpg", quality=95)
    np.save(tmp_path / "a.npy", np.full((1, 85, 170), 66.0, np.float32))
    source = Source("make3d", tmp_path, "test")
    protocol = PROTOCOLS["make3d_centre"]
    (sample,) = source.samples(protocol, height=85, width=170, resize="area")
    assert sample["image"].shape == (85, 170, 3) and sample["image"].min() > 0.9
    assert sample["depth"].shape == (21, 305) and sample["camera"].height == 852
    system = systems.from_file("a", tmp_path / "a.npy", "depth", 1)
    fitted = with_progress.fit_baselines(source, protocol)
    scores = with_progress.score(system, source, protocol, fitted, number=1, pictures=1)
    truth = np.linspace(60, 80, 55)[17:38]
    truth = truth[truth < 70]
    assert scores.pixels == [len(truth) * 305]
    assert scores.mean()["abs_rel"] == pytest.approx(np.mean(np.abs(66 - truth) / truth), rel=1e-5)
    assert scores.pictures[0].image.shape == (852, 1704, 3)
    (picture,) = with_progress.score(
        system, source, PROTOCOLS["make3d"], fitted, number=1, pictures=1
    ).pictures
    assert picture.image.shape == (2272, 1704, 3) and picture.truth.shape == (55, 305)
