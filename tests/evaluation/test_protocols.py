from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

from kdepth.data.sample import Record
from kdepth.data.splits import read_package_split
from kdepth.errors import UserError
from kdepth.evaluation.crops import CROPS, VIEWS
from kdepth.evaluation.protocols import PROTOCOLS, Protocol, default_for, find
from kdepth.evaluation.scaling import SCALINGS
from kdepth.geometry.camera import Camera

# Integer results of the released evaluations for every image size of KITTI.
WINDOWS = {
    (375, 1242): ((153, 371, 44, 1197), (124, 342, 44, 1197)),
    (370, 1226): ((151, 366, 44, 1181), (122, 337, 44, 1181)),
    (370, 1224): ((151, 366, 43, 1180), (122, 337, 43, 1180)),
    (376, 1241): ((153, 372, 44, 1196), (124, 343, 44, 1196)),
    (374, 1238): ((152, 370, 44, 1193), (124, 341, 44, 1193)),
}


@pytest.mark.parametrize("size", WINDOWS)
def test_crops_are_the_released_integers(size):
    garg, eigen = WINDOWS[size]
    assert Protocol("p", crop="garg").window(*size) == garg
    assert Protocol("p", crop="eigen").window(*size) == eigen
    assert Protocol("p").window(*size) == (0, size[0], 0, size[1])


def test_mask_is_strict_and_cropped():
    truth = np.full((375, 1242), 10.0, np.float32)
    truth[200, 100:105] = [0.0, 1e-3, 79.999, 80.0, 120.0]
    valid = PROTOCOLS["eigen"].mask(truth)
    assert list(valid[200, 99:106]) == [True, False, False, True, False, False, True]
    assert not valid[:153].any() and not valid[371:].any()
    assert not valid[:, :44].any() and not valid[:, 1197:].any()
    assert valid.sum() == (371 - 153) * (1197 - 44) - 4


def test_uncapped_truth_counts_everywhere():
    truth = np.array([[0.0, 5.0, 500.0]], np.float32)
    assert list(PROTOCOLS["kitti_stereo2015"].mask(truth)[0]) == [False, True, True]


def test_descriptions_say_everything_and_differ():
    assert PROTOCOLS["eigen"].describe() == (
        "eigen: one lidar scan, distance along the lidar's x axis; 0.001 < depth < 80 m; "
        "garg crop; no scaling; prediction resized bilinear in inverse depth, "
        "clipped to 0.001..80 m; mean over images"
    )
    texts = [protocol.describe() for protocol in PROTOCOLS.values()]
    assert len(set(texts)) == len(texts)
    assert not any("\n" in text for text in texts)
    for change in (
        {"crop": "eigen"},
        {"cap": 50.0},
        {"scaling": "median"},
        {"interpolation": "same"},
        {"view": "cityscapes"},
        {"ground_truth": "velodyne_z"},
    ):
        assert PROTOCOLS["eigen"].replace(**change).describe() not in texts


def test_replacing_names_the_change():
    assert PROTOCOLS["eigen"].replace(ground_truth="velodyne_z").name == (
        "eigen+ground_truth=velodyne_z"
    )
    changed = PROTOCOLS["eigen"].replace(crop="garg", cap=50.0, scaling="median")
    assert changed.name == "eigen+cap=50+scaling=median"
    assert (changed.max_depth, changed.clip) == (50.0, (1e-3, 50.0))
    assert PROTOCOLS["eigen"].replace(cap=80.0) is PROTOCOLS["eigen"]
    same = PROTOCOLS["eigen_eigen_50"]
    assert (same.crop, same.max_depth, same.clip) == ("eigen", 50.0, (1e-3, 50.0))


@pytest.mark.parametrize(
    "change",
    [
        {"crop": "grag"},
        {"scaling": "mean"},
        {"cap": -1.0},
        {"cap": math.nan},
        {"interpolation": "cubic"},
        {"view": "top"},
        {"ground_truth": "lidar"},
    ],
)
def test_bad_values_are_a_users_mistake(change):
    with pytest.raises(UserError):
        PROTOCOLS["eigen"].replace(**change)


def test_unknown_protocol_lists_the_known():
    with pytest.raises(UserError, match="eigen_garg_50"):
        find("eigne")


def test_defaults_follow_data_and_split():
    assert default_for("synthetic", "test").name == "synthetic"
    assert default_for("kitti_raw", "eigen_test").name == "eigen"
    assert default_for("kitti_raw", "eigen_benchmark_test").name == "eigen_benchmark"
    assert default_for("kitti_raw", "eigen_val").name == "eigen"
    assert default_for("kitti_raw", "my_list.txt").name == "lidar"
    assert default_for("kitti_stereo2015", "all").disparity_error
    assert default_for("something").ground_truth == "any"
    for dataset, split, name in (
        ("kitti_depth", "eigen_benchmark_test", "eigen_benchmark"),
        ("kitti_depth", "val", "kitti_depth"),
        ("nyu_labelled", "test", "nyu"),
        ("make3d", "test", "make3d"),
        ("cityscapes", "val", "cityscapes"),
    ):
        assert default_for(dataset, split) is PROTOCOLS[name]
        PROTOCOLS[name].check_dataset(dataset)


def test_ground_truth_belongs_to_its_data_sets():
    assert PROTOCOLS["eigen"].reader_options("kitti_raw") == {
        "depth": "velodyne",
        "lidar_value": "velodyne_x",
    }
    assert PROTOCOLS["eigen"].reader_options("kitti_stereo2015") == {}
    PROTOCOLS["eigen"].check_dataset("kitti_raw")
    with pytest.raises(UserError, match="kitti_raw"):
        PROTOCOLS["eigen"].check_dataset("kitti_stereo2015")
    with pytest.raises(UserError, match="data sets that have it: nyu_labelled"):
        PROTOCOLS["nyu"].check_dataset("make3d")


def test_what_is_published():
    """Numbers of images, ranges and crops as the papers and their releases have them."""
    facts = {
        "eigen": (697, "garg", (1e-3, 80), "none", "inverse"),
        "eigen_garg_50": (697, "garg", (1e-3, 50), "none", "inverse"),
        "eigen_eigen_80": (697, "eigen", (1e-3, 80), "none", "inverse"),
        "eigen_garg2016": (697, "garg", (1, 50), "none", "inverse"),
        "eigen_sfmlearner": (697, "garg", (1e-3, 80), "median", "same"),
        "eigen_scdepth": (697, "garg", (1e-3, 80), "median", "inverse"),
        "eigen_scdepth_lightning": (697, "garg", (0.1, 80), "median", "same"),
        "eigen_benchmark": (652, "none", (1e-3, 80), "none", "inverse"),
        "kitti_stereo2015": (200, "none", (1e-3, 80), "none", "inverse"),
        "nyu": (654, "nyu", (1e-3, 10), "none", "same"),
        "nyu_matlab": (654, "nyu_matlab", (1e-3, 10), "none", "same"),
        "nyu_scdepth": (654, "none", (1e-3, 10), "median", "inverse"),
        "make3d": (134, "none", (1e-3, 70), "none", "nearest"),
        "make3d_centre": (134, "none", (1e-3, 70), "none", "nearest"),
        "cityscapes": (500, "none", (1e-3, 80), "none", "inverse"),
    }
    for name, expected in facts.items():
        p = PROTOCOLS[name]
        assert (p.images, p.crop, p.clip, p.scaling, p.interpolation) == expected, name
    assert PROTOCOLS["eigen_scdepth"].ground_truth == "velodyne_z"
    assert PROTOCOLS["eigen_sfmlearner"].ground_truth == "velodyne_x"
    assert PROTOCOLS["kitti_stereo2015"].disparity_error
    assert math.isinf(PROTOCOLS["eigen_benchmark"].max_depth)
    for split, name in (("eigen_test", "eigen"), ("eigen_benchmark_test", "eigen_benchmark")):
        assert len(read_package_split(split)) == PROTOCOLS[name].images
        assert PROTOCOLS[name].split == split


def test_every_protocol_is_documented():
    text = (Path(__file__).parents[2] / "docs/evaluation.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    documented = {name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])}
    assert set(PROTOCOLS) <= documented
    assert set(SCALINGS) <= documented and set(CROPS) <= documented


def test_pixel_crops_are_of_one_size():
    assert Protocol("p", crop="nyu").window(480, 640) == (45, 471, 41, 601)
    assert Protocol("p", crop="nyu_matlab").window(480, 640) == (44, 471, 40, 601)
    assert Protocol("p", crop="cityscapes").window(768, 2048) == (256, 768, 192, 1856)
    with pytest.raises(UserError, match="480x640 images, but a depth map is 240x320.*--crop"):
        Protocol("p", crop="nyu").mask(np.ones((240, 320)))


def test_views_cut_image_truth_and_camera_together():
    camera = Camera(fx=2000.0, fy=2000.0, cx=851.5, cy=1135.5, width=1704, height=2272)
    record = Record(name="a", image=Path("a.jpg"), camera=camera)
    native = {
        "image": np.repeat(np.arange(2272)[:, None], 4, 1),
        "depth": np.repeat(np.arange(55)[:, None, None], 305, 1),
    }
    cut, seen = VIEWS["make3d_centre"].cut(native, record)
    assert cut["image"].shape == (852, 4) and cut["image"][[0, -1], 0].tolist() == [710, 1561]
    assert cut["depth"].shape == (21, 305, 1) and cut["depth"][[0, -1], 0, 0].tolist() == [17, 37]
    assert (seen.camera.width, seen.camera.height) == (1704, 852)
    assert (seen.camera.cx, seen.camera.cy) == (851.5, 1135.5 - 710)
    top = VIEWS["cityscapes"].cut_truth(np.zeros((1024, 2048)))
    assert top.shape == (768, 2048)
    whole = np.zeros((5, 7))
    assert VIEWS["whole"].cut_truth(whole).shape == whole.shape
