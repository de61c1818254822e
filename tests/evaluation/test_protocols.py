from __future__ import annotations

import math

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from kdepth.errors import UserError
from kdepth.evaluation.metrics import depth_metrics
from kdepth.evaluation.protocols import PROTOCOLS, Protocol, default_for, find

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


@hypothesis.given(st.floats(0.01, 100.0), st.integers(0, 2**31))
def test_median_scaling_does_not_see_scale(factor, seed):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(1, 79, 50)
    prediction = truth * rng.lognormal(0, 0.3, 50)
    protocol = Protocol("p", scaling="median")

    def scored(p):
        return depth_metrics(np.clip(p * protocol.scale(p, truth), *protocol.clip), truth)

    first, second = scored(prediction), scored(factor * prediction)
    for name in first:
        assert first[name] == pytest.approx(second[name], rel=1e-9, abs=1e-12), name


def test_scale_comes_before_the_clip():
    protocol = Protocol("p", scaling="median")
    truth = np.array([10.0, 10.0, 10.0])
    assert protocol.scale(np.array([1000.0, 1000.0, 2000.0]), truth) == 0.01
    assert protocol.scale(np.zeros(3), truth) == 1.0
    assert protocol.scale(np.full(3, np.inf), truth) == 1.0
    assert Protocol("p").scale(np.array([1000.0]), truth) == 1.0


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
    ):
        assert PROTOCOLS["eigen"].replace(**change).describe() not in texts


def test_replacing_names_the_change():
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


def test_ground_truth_belongs_to_its_data_sets():
    assert PROTOCOLS["eigen"].reader_options("kitti_raw") == {
        "depth": "velodyne",
        "lidar_value": "velodyne_x",
    }
    assert PROTOCOLS["eigen"].reader_options("kitti_stereo2015") == {}
    PROTOCOLS["eigen"].check_dataset("kitti_raw")
    with pytest.raises(UserError, match="kitti_raw"):
        PROTOCOLS["eigen"].check_dataset("kitti_stereo2015")
