"""Every finding on data that is wrong on purpose; none on good data. From the embedded world."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from kdepth import cli
from kdepth.data.checkup import examine
from kdepth.data.image import read_image, write_image


@pytest.fixture(scope="session")
def street(tmp_path_factory):
    """An embedded world of one street, as large as the papers' inputs are."""
    from kdepth.data import synthetic
    from kdepth.data.world.settings import WorldSettings

    settings = WorldSettings(
        train_drives=1, test_drives=1, frames=5, height=128, width=416, supersample=1, seed=3
    )
    return synthetic.ensure(tmp_path_factory.mktemp("street"), settings, workers=1)


@pytest.fixture(scope="session")
def good(street, tmp_path_factory):
    """The street as a user's own folder: left, right, depth, intrinsics."""
    from kdepth.data import open_reader

    root = tmp_path_factory.mktemp("own") / "data"
    keys = frozenset(["image", "stereo", "depth", "intrinsics", "baseline"])
    for number, record in enumerate(open_reader("synthetic", street).records("train", keys)):
        for side, view in (("left", record.image), ("right", record.stereo)):
            write_image(root / side / f"{number:03d}.png", read_image(view))
        (root / "depth").mkdir(exist_ok=True)
        np.save(root / "depth" / f"{number:03d}.npy", record.depth.load())
    camera = record.camera
    values = {name: getattr(camera, name) for name in ("fx", "fy", "cx", "cy", "width", "height")}
    (root / "intrinsics.json").write_text(json.dumps({**values, "baseline": record.baseline}))
    return root


@pytest.fixture
def own(good, tmp_path):
    """A copy of the good folder to spoil."""
    return shutil.copytree(good, tmp_path / "own")


def doctor(root, *more) -> int:
    return cli.call("doctor", ["--dataset=folder", f"--data_dir={root}", *more])


def change(folder, function):
    for path in sorted(folder.iterdir()):
        write_image(path, np.ascontiguousarray(function(read_image(path))))


def only(root, capsys, name: str, kind: str, *texts: str) -> None:
    """The doctor says this and nothing else."""
    assert doctor(root) == (kind == "problem")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2, lines
    assert lines[0].startswith(f"{kind}: {name}") and "; " in lines[0]
    for text in texts:
        assert text in lines[0]


def test_good_data_has_no_findings(good, street, capsys):
    assert doctor(good) == 0
    assert capsys.readouterr().out == (
        "nothing wrong was found; looked at: image of 5, intrinsics of 5, stereo of 5, sources of "
        "3, depth of 5 samples\n"
    )
    arguments = ["--dataset=synthetic", f"--data_dir={street}", "--split=train"]
    assert cli.call("doctor", arguments) == 0
    assert "nothing wrong was found" in capsys.readouterr().out


def test_real_drives_have_no_findings(realdata):
    assert examine("kitti_raw", str(realdata / "kitti_raw"), "all").findings == []
    assert examine("kitti_stereo2015", str(realdata / "kitti_stereo2015"), "all").findings == []
    assert examine("kitti_odometry", str(realdata / "kitti_odometry"), "all").findings == []


def test_intrinsics_of_another_size(own, capsys):
    values = json.loads((own / "intrinsics.json").read_text())
    for factor, remedy in ((1.5, "multiply"), (3, "scale them")):
        scaled = {name: factor * values[name] for name in ("fx", "fy", "cx", "cy")}
        (own / "intrinsics.json").write_text(json.dumps({**values, **scaled}))
        assert doctor(own) == 1
        first = capsys.readouterr().out.splitlines()[0]
        assert first.startswith("problem: ") and "principal point" in first
        assert "416x128" in first and remedy in first


def test_a_focal_length_in_millimetres(own, capsys):
    (own / "intrinsics.json").unlink()
    assert doctor(own, "--reader_option=fx=50", "--reader_option=baseline=0.5") == 1
    out = capsys.readouterr().out
    assert out.startswith("problem: intrinsics: fx = 50.0 pixels means a view of 153 degrees")
    assert "millimetres" in out
    assert doctor(own, "--reader_option=fx=4.2", "--reader_option=baseline=0.5") == 1
    assert "4.2 pixels is too short" in capsys.readouterr().out


def test_fx_and_fy_that_differ(own, capsys):
    values = json.loads((own / "intrinsics.json").read_text())
    (own / "intrinsics.json").write_text(json.dumps({**values, "fy": 2 * values["fy"]}))
    only(own, capsys, "intrinsics", "warning", "differ much", "check fy")


def test_no_intrinsics(own, capsys):
    (own / "intrinsics.json").unlink()
    only(own, capsys, "intrinsics", "problem", "its camera is not known")


def test_swapped_views(own, capsys):
    (own / "left").rename(own / "x")
    (own / "right").rename(own / "left")
    (own / "x").rename(own / "right")
    only(own, capsys, "stereo is swapped", "problem", "exchange the left and the right")


def test_unrectified_views(own, capsys):
    change(own / "right", lambda image: np.roll(image, 3, axis=0))
    only(own, capsys, "stereo is not rectified", "problem", "3.0 pixels", "+3.0", "rectify")


def test_both_views_are_one(own, capsys):
    shutil.rmtree(own / "right")
    shutil.copytree(own / "left", own / "right")
    only(own, capsys, "stereo", "problem", "in 5 of 5 sampled pairs", "same picture")


def test_a_distance_of_the_cameras_that_nobody_says(own, capsys):
    values = json.loads((own / "intrinsics.json").read_text())
    del values["baseline"]
    (own / "intrinsics.json").write_text(json.dumps(values))
    only(own, capsys, "stereo", "problem", "distance of the cameras", "baseline=<metres>")


def test_duplicated_frames(own, capsys):
    for side in ("left", "right"):
        shutil.copy(own / side / "002.png", own / side / "003.png")
    shutil.copy(own / "depth/002.npy", own / "depth/003.npy")
    only(own, capsys, "duplicated frames", "warning", "1 of 3 sampled frames", "remove the copies")


def test_a_standing_camera(own, capsys):
    noise = np.random.default_rng(0)
    still = read_image(own / "left/000.png").astype(int)
    for path in sorted((own / "left").iterdir()):
        noisy = np.clip(still + noise.integers(-4, 5, still.shape), 0, 255)
        write_image(path, noisy.astype(np.uint8))
    shutil.rmtree(own / "right")
    (own / "left").rename(own / "images")
    only(own, capsys, "too little motion", "problem", "3 of 3 sampled frames", "step=")


def test_frames_that_have_nothing_in_common(own, capsys):
    shutil.rmtree(own / "right")
    (own / "left").rename(own / "images")
    for number, path in enumerate(sorted((own / "images").iterdir())):
        small = np.random.default_rng(number).integers(0, 256, (32, 104, 3), dtype=np.uint8)
        write_image(path, small.repeat(4, 0).repeat(4, 1))
    only(own, capsys, "too much motion", "problem", "3 of 3", "more frames a second")


def test_frames_that_move_far(own, capsys):
    shutil.rmtree(own / "right")
    (own / "left").rename(own / "images")
    wide = np.concatenate([read_image(p) for p in sorted((own / "images").iterdir())], axis=1)
    for number, path in enumerate(sorted((own / "images").iterdir())):
        write_image(path, np.ascontiguousarray(wide[:, 62 * number : 62 * number + 416]))
    only(own, capsys, "too much motion", "problem", "3 of 3", "eighth of the width")


@pytest.mark.parametrize("factor", [1000, 0.001])
def test_depth_in_another_unit(own, capsys, factor):
    for path in (own / "depth").iterdir():
        np.save(path, (factor * np.minimum(np.load(path), 80)).astype(np.float32))
    only(own, capsys, "depth in the wrong unit", "problem", "typical depth is", "depth_scale")


def test_empty_depth(own, capsys):
    np.save(own / "depth/001.npy", np.zeros((128, 416), np.float32))
    only(own, capsys, "depth", "warning", "1 of 5 sampled depth maps measure nothing")


def test_black_borders(own, capsys):
    def blacken(image):
        image[:12] = 0
        image[:, -10:] = 3
        return image

    change(own / "left", blacken)
    change(own / "right", blacken)
    only(own, capsys, "black borders", "warning", "12 pixels top, 10 pixels right", "crop them")


def test_black_pictures(own, capsys):
    shutil.rmtree(own / "right")
    change(own / "left", np.zeros_like)
    assert doctor(own) == 1
    assert "problem: black pictures" in capsys.readouterr().out


def test_mixed_sizes(own, capsys):
    for name in ("left", "right", "depth"):
        shutil.copytree(own / name, own / "second" / name)
    for side in ("left", "right"):
        change(own / "second" / side, lambda image: image[:, 100:316])
    for path in (own / "second/depth").iterdir():
        np.save(path, np.load(path)[:, 100:316])
    values = json.loads((own / "intrinsics.json").read_text())
    cut = {**values, "cx": values["cx"] - 100, "width": 216}
    (own / "second/intrinsics.json").write_text(json.dumps(cut))
    only(own, capsys, "mixed sizes", "warning", "216x128", "416x128", "crop them")


def test_frames_of_two_sizes_in_one_video(own, capsys):
    shutil.rmtree(own / "right")
    path = own / "left/003.png"
    write_image(path, read_image(path)[:100])
    values = json.loads((own / "intrinsics.json").read_text())
    del values["width"], values["height"]
    (own / "intrinsics.json").write_text(json.dumps(values))
    assert doctor(own) == 1
    out = capsys.readouterr().out
    assert "problem: files" in out and "003.png" in out


def test_a_damaged_file(own, capsys):
    path = own / "left/004.png"
    path.write_bytes(path.read_bytes()[:-40])
    assert doctor(own) == 1
    out = capsys.readouterr().out
    assert "problem: files: 1 of 5 sampled cannot be loaded" in out and "004.png" in out


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--samples=0", "--samples must be at least 1"),
        ("--data_dir=absent", "absent"),
        ("--split=absent", "absent"),
        ("--reader_option=f=3", "no option"),
        ("--dataset=kitty", "--dataset"),
    ],
)
def test_bad_flags(good, capsys, flag, message):
    assert doctor(good, flag) == 2
    captured = capsys.readouterr()
    assert message in captured.err and captured.err.count("\n") == 1 and not captured.out


def test_swapped_real_pairs(realdata, tmp_path):
    sequence = realdata / "kitti_odometry/sequences/06"
    for side, camera in (("left", "image_1"), ("right", "image_0")):
        shutil.copytree(sequence / camera, tmp_path / side)
    report = examine("folder", str(tmp_path), "all", 6, fx=707.1, baseline=0.54)
    assert [finding.name for finding in report.findings] == ["stereo is swapped"]
