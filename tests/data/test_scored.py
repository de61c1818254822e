"""Every data set from its files to its figures: `kdepth.evaluate` under the protocols about it."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kdepth import cli
from kdepth.data import splits
from kdepth.data.tum_rgbd import CAMERAS
from kdepth.evaluation.protocols import PROTOCOLS
from kdepth.evaluation.table import read_rows
from kdepth.geometry.camera import Camera
from tests.data.checks import wall
from tests.data.layouts import (
    annotate,
    distances,
    write_cityscapes,
    write_make3d,
    write_nyu,
    write_nyu_splits,
    write_tum,
)

KITTI_TEST = "2011_09_26_drive_0002_sync"  # of Eigen's test images


@dataclasses.dataclass(frozen=True)
class Written:
    """A data set on disk.

    Attributes:
        root: its folder.
        depth: [N, h, w] metres, the true depth of the images that are scored, everywhere.
        flags: what an evaluation has to say beside data set and folder.
    """

    root: Path
    depth: np.ndarray
    flags: tuple[str, ...] = ()


@pytest.fixture(scope="module")
def make3d(tmp_path_factory) -> Written:
    root = tmp_path_factory.mktemp("make3d")
    for seed in range(2):
        test, train = f"math{seed}-p-282t0", f"combined{seed}-p-108t0"
        write_make3d(root, "Test134", "Gridlaserdata", test, distances(seed))
        write_make3d(root, "Train400Img", "Train400Depth", train, 1.2 * distances(seed))
    return Written(root, np.stack([distances(seed) for seed in range(2)]))


@pytest.fixture(scope="module")
def nyu_labelled(tmp_path_factory) -> Written:
    pytest.importorskip("h5py")
    root = tmp_path_factory.mktemp("nyu")
    slope = np.linspace(0, 0.5, 480)[:, None, None] + np.linspace(0, 0.5, 640)[:, None]
    depth = (slope + np.arange(1, 5)).astype(np.float32)  # [480, 640, N]
    images = np.random.default_rng(0).integers(0, 256, (480, 640, 3, 1), np.uint8)
    write_nyu(root / "nyu_depth_v2_labeled.mat", images.repeat(4, axis=-1), depth, depth)
    write_nyu_splits(root / "splits.mat", train=[1, 3], test=[2, 4])
    return Written(root, depth[..., [1, 3]].transpose(2, 0, 1))


@pytest.fixture(scope="module")
def cityscapes(tmp_path_factory) -> Written:
    root = tmp_path_factory.mktemp("cityscapes")
    for part, city, distance in (("train", "aachen", 6), ("val", "lindau", 8), ("test", "bonn", 8)):
        write_cityscapes(root, part, f"{city}_000000_000019", distance)
    # The bottom quarter is not seen.
    return Written(root, np.full((1, 192, 512), 8.0))


@pytest.fixture
def kitti_depth(kitti_raw, layout) -> Written:
    """One drive of Eigen's test images and one of the training list, annotated."""
    listed = [
        entry.frame
        for entry in splits.read_package_split("eigen_benchmark_test")
        if entry.drive == KITTI_TEST
    ][:3]
    drive = kitti_raw / layout.date / layout.drive
    for frame in listed:
        target = kitti_raw / layout.date / KITTI_TEST / f"image_02/data/{frame:010d}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(drive / "image_02/data/0000000001.png", target)
    annotate(kitti_raw / "val" / KITTI_TEST, layout, listed, "02")
    annotate(kitti_raw / "train" / layout.drive, layout, range(1, 6), "02")
    depth = np.tile(np.array(listed)[:, None, None] + 10.5, (1, layout.height, layout.width))
    return Written(kitti_raw, depth, ("--on_bad_sample=skip",))


@pytest.fixture(scope="module")
def tum_rgbd(tmp_path_factory) -> Written:
    root = tmp_path_factory.mktemp("tum")
    for kinect, distance in ((1, 2.0), (2, 3.0)):
        camera = Camera(*CAMERAS[f"freiburg{kinect}"], 640, 480)
        picture, depth = wall(camera, np.eye(4), distance)
        files = [root / "picture.png", root / "depth.png"]
        for file, array in zip(files, (picture, np.round(depth * 5000).astype(np.uint16))):
            Image.fromarray(array).save(file)
        folder = root / f"rgbd_dataset_freiburg{kinect}_wall"
        write_tum(folder, [files[0]] * 2, [files[1]] * 2, [np.eye(4)] * 2)
    flags = ["split=rgbd_dataset_freiburg1_wall", "baseline_split=rgbd_dataset_freiburg2_wall"]
    return Written(root, np.full((2, 480, 640), 2.0), tuple(f"--{flag}" for flag in flags))


@pytest.fixture(scope="module")
def scdepth(tmp_path_factory) -> Written:
    root = tmp_path_factory.mktemp("scdepth")
    camera = Camera(50.0, 52.0, 28.0, 18.0, 60, 36)
    for scene, distance in (("train", 4.0), ("val", 5.0)):
        (root / f"{scene}_0001").mkdir()
        (root / f"{scene}.txt").write_text(f"{scene}_0001\n")
        np.savetxt(root / f"{scene}_0001/cam.txt", camera.matrix())
        picture, depth = wall(camera, np.eye(4), distance)
        Image.fromarray(picture).save(root / f"{scene}_0001/000000.jpg")
        np.save(root / f"{scene}_0001/000000.npy", depth.astype(np.float32))
    return Written(root, np.full((1, 36, 60), 5.0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Written:
    """Pictures of an unknown camera with depth in millimetres; the last tenth is for tests."""
    root = tmp_path_factory.mktemp("own")
    for name in ("images", "depth"):
        (root / name).mkdir()
    for frame in range(10):
        picture = np.random.default_rng(frame).integers(0, 256, (36, 60, 3), np.uint8)
        Image.fromarray(picture).save(root / f"images/{frame}.png")
        depth = np.full((36, 60), 2000 + 100 * frame, np.uint16)
        depth[:5] = 0
        Image.fromarray(depth).save(root / f"depth/{frame}.png")
    return Written(root, np.full((1, 36, 60), 2.9), ("--reader_option=depth_scale=1000",))


# Data set, its own protocol, and another one that is asked for.
CASES = [
    *[("make3d", "make3d", None), ("make3d", "make3d", "make3d_centre")],
    ("nyu_labelled", "nyu", None),
    *[("nyu_labelled", "nyu", name) for name in PROTOCOLS if name.startswith("nyu_")],
    *[("cityscapes", "cityscapes", None), ("cityscapes", "cityscapes", "cityscapes_middle")],
    ("kitti_depth", "eigen_benchmark", None),
    ("kitti_depth", "eigen_benchmark", "eigen_benchmark_median"),
    *[(name, f"{name}_depth", None) for name in ("tum_rgbd", "scdepth", "folder")],
]


def evaluate(written: Written, dataset: str, protocol: str | None, *flags: str) -> int:
    arguments = [f"--dataset={dataset}", f"--data_dir={written.root}", *written.flags, *flags]
    arguments += [f"--protocol={protocol}"] if protocol else []
    return cli.call("evaluate", ["--bootstrap=0", "--pictures=0", *arguments])


def seen(depth: np.ndarray, protocol: str | None) -> np.ndarray:
    """What of Make3D's grid the central part of the image has."""
    return depth[:, 17:38] if protocol == "make3d_centre" else depth


@pytest.mark.parametrize(("dataset", "default", "protocol"), CASES)
def test_the_truth_has_no_error(dataset, default, protocol, request, tmp_run, capsys):
    written = request.getfixturevalue(dataset)
    # Where the truth tells the images' scale, predictions may be in another unit.
    scaled = protocol is not None and PROTOCOLS[protocol].scaling == "median"
    values = seen(written.depth, protocol) * (0.37 if scaled else 1)
    np.save("truth.npy", values)
    assert evaluate(written, dataset, protocol, "--predictions=truth.npy") == 0
    row, *baselines = read_rows(tmp_run / "runs/results.csv")
    assert row["protocol"] == (protocol or default)
    assert int(row["images"]) == len(values) and len(baselines) == 6
    # A disparity has steps of 1 / 256 pixel.
    limit = 1e-3 if dataset == "cityscapes" else 1e-6
    assert float(row["abs_rel"]) < limit and float(row["rmse"]) < 10 * limit
    if protocol != "eigen_benchmark_median":  # one image's depth is one number there
        assert min(float(baseline["abs_rel"]) for baseline in baselines) > 0.005
    published = PROTOCOLS[row["protocol"]].images if row["protocol"] in PROTOCOLS else 0
    noted = f"protocol {row['protocol']} is about {published}" in capsys.readouterr().err
    assert noted == (published > 0)


@pytest.mark.parametrize("dataset", ["make3d", "cityscapes", "scdepth", "folder"])
def test_another_unit_is_an_error_unless_scaled(dataset, request, tmp_run):
    written = request.getfixturevalue(dataset)
    np.save("factor.npy", 0.37 * written.depth)
    for scaling, error in (("none", 0.63), ("median", 0.0)):
        flags = f"--predictions=factor.npy --scaling={scaling} --results={scaling}.csv".split()
        assert evaluate(written, dataset, None, *flags) == 0
        found = float(read_rows(tmp_run / f"{scaling}.csv")[0]["abs_rel"])
        assert found == pytest.approx(error, abs=2e-3 if dataset == "cityscapes" else 1e-6)


def test_the_same_maps_as_raw_kittis_ground_truth(kitti_depth, tmp_run):
    np.save("truth.npy", kitti_depth.depth)
    flags = ("--predictions=truth.npy", "--baseline_split=all")
    assert evaluate(kitti_depth, "kitti_raw", "eigen_benchmark", *flags) == 0
    row, *_ = read_rows(tmp_run / "runs/results.csv")
    assert float(row["abs_rel"]) == 0 and row["images"] == "3"


@pytest.fixture(scope="module")
def network():
    """A tiny untrained network, whose depth is relative."""
    pytest.importorskip("tensorflow")
    import kdepth

    return kdepth.create("sfmlearner", height=32, image_width=64, width=0.05, seed=1)


@pytest.fixture
def run(network, kitti_raw, tmp_run, monkeypatch) -> str:
    """It as a run that was trained on KITTI raw."""
    import kdepth

    folder = tmp_run / "runs/tiny"
    folder.mkdir(parents=True)
    facts = {"paper": "sfmlearner", "dataset": "kitti_raw", "data_dir": str(kitti_raw)}
    (folder / "run.json").write_text(json.dumps({**facts, "split": "all"}))
    monkeypatch.setattr(kdepth, "load_run", lambda path: network)
    return f"--run={folder}"


@pytest.mark.parametrize(
    ("dataset", "protocol"),
    [
        *[("make3d", "make3d_centre"), ("nyu_labelled", "nyu"), ("cityscapes", "cityscapes")],
        *[(name, None) for name in ("kitti_depth", "tum_rgbd", "scdepth", "folder")],
    ],
)
def test_a_network_that_was_trained_on_other_data(dataset, protocol, request, run, tmp_run):
    """The baselines are what its training data says: KITTI's scans, however the images are cut."""
    written = request.getfixturevalue(dataset)
    flags = [flag for flag in written.flags if "baseline" not in flag]
    written = dataclasses.replace(written, flags=tuple(flags))
    assert evaluate(written, dataset, protocol, run, "--pictures=1", "--error_maps") == 0
    row, *baselines = read_rows(tmp_run / "runs/results.csv")
    assert "scaling=median" in row["protocol"] and row["dataset"] == dataset
    assert int(row["images"]) == len(written.depth) and row["paper"] == "sfmlearner"
    assert 0 <= float(row["abs_rel"]) < 0.9  # a network that says nothing is close to a constant
    assert {baseline["baseline_data"] for baseline in baselines} == {"kitti_raw/all"}
    with Image.open(tmp_run / "runs/tiny/images/evaluation.png") as picture:
        assert picture.width > 500
    maps = list(tmp_run.glob("runs/tiny/evaluation/*_errors/*.png"))
    assert len(maps) == len(written.depth)


def test_what_is_missing_is_said(make3d, tum_rgbd, nyu_labelled, tmp_run, capsys):
    np.save("a.npy", np.ones((2, 6, 8)))
    (tmp_run / "test_only").mkdir()
    for folder in ("Test134", "Gridlaserdata"):
        (tmp_run / "test_only" / folder).symlink_to(make3d.root / folder)
    test_only = Written(tmp_run / "test_only", make3d.depth)
    tum = Written(tum_rgbd.root, tum_rgbd.depth)
    for dataset, written, flags, words in (
        ("make3d", test_only, (), "baselines are fitted on make3d/train, by --baseline_dataset"),
        ("make3d", test_only, (), "no split 'train' (--split): choose one of test, all"),
        ("tum_rgbd", tum, (), "--split is required: tum_rgbd has no test split of its own; it has"),
        ("tum_rgbd", tum, (tum_rgbd.flags[0],), "is for training the baselines? It has all, rgbd"),
        ("make3d", make3d, ("--reader_option=crop=centre",), "make3d is about crop=none"),
        ("make3d", make3d, ("--crop=nyu",), "is of 480x640 images, but a depth map is 55x305"),
        ("nyu_labelled", nyu_labelled, ("--protocol=make3d",), "has no such ground truth"),
    ):
        assert evaluate(written, dataset, None, "--predictions=a.npy", *flags) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("kdepth evaluate: ") and words in error, error
    assert not (tmp_run / "runs").exists()


def test_baselines_without_an_error(tum_rgbd, tmp_run, capsys):
    """Under median scaling a constant is all there is to say about a flat wall."""
    np.save("far.npy", np.stack([np.linspace(1, 2, 480)] * 2)[..., None].repeat(640, axis=-1))
    flags = ("--predictions=far.npy", "--scaling=median", "--gate=0")
    assert evaluate(tum_rgbd, "tum_rgbd", None, *flags) == 1
    assert "inf % ABOVE the strongest baseline" in capsys.readouterr().out
    row, baseline, *_ = read_rows(tmp_run / "runs/results.csv")
    assert float(row["gain_percent"]) == -np.inf and float(baseline["gain_percent"]) == 0
    assert cli.call("results", []) == 0
