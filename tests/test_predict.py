from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kdepth import cli, predict
from kdepth.data.image import read_depth_png, read_image, write_image
from kdepth.data.video_stream import VideoStream
from kdepth.exporters import export_model
from kdepth.output.mp4 import video_writer
from kdepth.prediction import Rig
from kdepth.runtime import ModelFacts
from kdepth.sources import Frame
from kdepth.training.runs import Run
from tests.small_models import small_garg

RIG = Rig(0.54, 0.58)
# Left half of the image 4 % of the width, right half 1 %.
DISPARITY = np.repeat([0.04, 0.01], 4)[None, None, :, None] * np.ones((1, 4, 8, 1))


@pytest.fixture
def street(tmp_path) -> Path:
    """A folder with two pictures of 20 x 40."""
    generator = np.random.default_rng(0)
    for name in ("b.png", "a.jpg"):
        write_image(
            tmp_path / "street" / name, generator.integers(0, 256, (20, 40, 3), dtype=np.uint8)
        )
    return tmp_path / "street"


@pytest.fixture
def network(monkeypatch):
    """Replaces the model by an analytic one; returns a function that chooses it."""

    def use(outputs=DISPARITY, output_name="disparity", kind="metric", rig=RIG):
        facts = ModelFacts("garg", "paper", 4, 8, "area", output_name, kind, rig)
        run = outputs if callable(outputs) else lambda images: outputs
        monkeypatch.setattr(predict, "_open", lambda flags: (facts, run))

    use()
    return use


def call(*arguments: object) -> int:
    return cli.call("predict", [str(argument) for argument in arguments])


def call_on(folder: Path, out: Path, *arguments: str) -> int:
    return call("--model=x.tflite", f"--input={folder}", f"--out={out}", *arguments)


def failure(capsys, status: int) -> str:
    assert status == 2
    lines = [
        line for line in capsys.readouterr().err.splitlines() if line.startswith("kdepth predict:")
    ]
    assert len(lines) == 1
    return lines[0]


def summary(out: Path) -> dict:
    return json.loads((out / "predictions.json").read_text())


def names(folder: Path) -> set:
    return {path.name for path in folder.iterdir()}


# -- what is written -------------------------------------------------------------------------------


def test_without_a_camera_it_is_called_disparity(network, street, tmp_path, capsys):
    out = tmp_path / "out"
    assert call_on(street, out) == 0
    captured = capsys.readouterr()
    assert "no camera is given, so this is disparity, not depth" in captured.err
    assert "2 pictures" in captured.out and "disparity (fraction of the width)" in captured.out
    assert names(out) == {"predictions.json"} | {
        f"{stem}_{what}"
        for stem in "ab"
        for what in ("color.png", "disparity.png", "disparity.npy")
    }
    values = np.load(out / "a_disparity.npy", allow_pickle=False)
    assert values.dtype == np.float32 and values.shape == (20, 40)
    np.testing.assert_allclose(values[:, :16], 0.04, rtol=1e-5)
    np.testing.assert_allclose(values[:, -16:], 0.01, rtol=1e-5)
    # KITTI's convention for disparity: 256 * pixels.
    np.testing.assert_allclose(
        read_depth_png(out / "a_disparity.png"), values * 40, atol=0.5 / 256 + 1e-6
    )
    entry = summary(out)["predictions"][0]
    assert entry["image"].endswith("a.jpg") and (entry["width"], entry["height"]) == (40, 20)
    assert (entry["quantity"], entry["kind"]) == ("disparity", "disparity")
    assert (entry["png16_scale"], entry["png16_unit"]) == (256.0, "pixels")
    assert summary(out)["camera"] is None


@pytest.mark.parametrize(
    ("arguments", "focal", "baseline"),
    [
        (["--fx=30"], 30 / 40, 0.54),
        (["--fx=30", "--baseline=0.2"], 30 / 40, 0.2),
        (["--assume_training_camera"], 0.58, 0.54),
    ],
)
def test_a_camera_gives_metres(network, street, tmp_path, arguments, focal, baseline):
    out = tmp_path / "out"
    assert call_on(street, out, *arguments) == 0
    depth = np.load(out / "b_depth.npy", allow_pickle=False)
    np.testing.assert_allclose(depth[:, :16], focal * baseline / 0.04, rtol=1e-5)
    np.testing.assert_allclose(depth[:, -16:], focal * baseline / 0.01, rtol=1e-5)
    np.testing.assert_allclose(read_depth_png(out / "b_depth.png"), depth, atol=0.5 / 256 + 1e-5)
    entry = summary(out)["predictions"][1]
    assert (entry["quantity"], entry["kind"], entry["unit"]) == ("depth", "metric", "m")
    assert summary(out)["camera"]
    picture = read_image(out / "b_color.png").astype(int).sum(axis=-1)
    assert picture[:, :16].min() > picture[:, -16:].max(), "near is bright"


def test_a_camera_corrects_metres_of_the_training_camera(network, street, tmp_path, capsys):
    network(200.0 * np.ones((1, 4, 8, 1)), "depth", "metric", RIG)
    assert call_on(street, tmp_path / "guessed") == 0
    assert "training camera's field of view" in capsys.readouterr().err
    assert (np.load(tmp_path / "guessed" / "a_depth.npy") == 200.0).all()
    assert summary(tmp_path / "guessed")["camera"] is None
    assert call_on(street, tmp_path / "known", "--fx=30", "--baseline=1.08") == 0
    assert "field of view" not in capsys.readouterr().err
    depth = np.load(tmp_path / "known" / "a_depth.npy")
    np.testing.assert_allclose(depth, 200.0 * (30 / 40) / RIG.focal * 2, rtol=1e-6)
    assert summary(tmp_path / "known")["camera"] == "--fx=30, baseline 1.08 m"


def test_a_home_folder_is_found(network, street, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    line = failure(capsys, call_on(f"~/{street.name}", street))
    assert "is the folder of --input" in line
    assert call_on(street, "~/out") == 0
    assert (tmp_path / "out" / "predictions.json").exists()


def write_calibration(path: Path, text: str | None = None) -> Path:
    rectified = "21.0 0 19.5 1.3 0 21.0 9.5 0.1 0 0 1 0.002"
    path.write_text(
        text or f"calib_time: 09-Jan-2012\nS_rect_02: 40.0 20.0\nP_rect_02: {rectified}\n"
    )
    return path


def test_a_kitti_calibration_gives_metres_at_any_size(network, tmp_path):
    calibration = write_calibration(tmp_path / "calib_cam_to_cam.txt")
    for width, height in ((40, 20), (80, 40)):
        write_image(tmp_path / f"in{width}" / "x.png", np.zeros((height, width, 3), np.uint8))
        out = tmp_path / f"out{width}"
        assert call_on(tmp_path / f"in{width}", out, f"--kitti_calib={calibration}") == 0
        depth = np.load(out / "x_depth.npy")
        assert depth.shape == (height, width)
        np.testing.assert_allclose(depth[:, 0], 21.0 / 40 * 0.54 / 0.04, rtol=1e-5)


def test_a_calibration_of_other_pictures(network, street, tmp_path, capsys):
    cropped = tmp_path / "cropped" / "x.png"
    write_image(cropped, np.zeros((20, 30, 3), np.uint8))
    good = write_calibration(tmp_path / "good.txt")
    line = failure(capsys, call_on(cropped, tmp_path / "out", f"--kitti_calib={good}"))
    assert "is 30x20" in line and "(40x20)" in line and "--fx" in line
    bad = write_calibration(tmp_path / "bad.txt", "S_rect_02: 40 20\n")
    line = failure(capsys, call_on(street, tmp_path / "out", f"--kitti_calib={bad}"))
    assert "bad.txt" in line and "P_rect_02" in line
    assert not (tmp_path / "out").exists()


def test_relative_depth_is_named_so(network, street, tmp_path, capsys):
    network(1.0 / DISPARITY, "depth", "relative", None)
    out = tmp_path / "out"
    assert call_on(street, out, "--fx=30") == 0
    assert "no camera changes" in capsys.readouterr().err
    assert summary(out)["camera"] is None, "no camera was used"
    entry = summary(out)["predictions"][0]
    assert (entry["quantity"], entry["unit"]) == ("relative_depth", "relative")
    depth = np.load(out / "a_relative_depth.npy")
    stored = read_depth_png(out / "a_relative_depth.png") * 256 / entry["png16_scale"]
    np.testing.assert_allclose(stored, depth, atol=0.51 / entry["png16_scale"])
    assert depth.max() * entry["png16_scale"] > 65535 / 2, "the PNG's range is used"


def test_inverse_depth_becomes_depth(network, street, tmp_path):
    network(DISPARITY, "inverse_depth", "relative", None)
    assert call_on(street, tmp_path / "out") == 0
    depth = np.load(tmp_path / "out" / "a_relative_depth.npy")
    np.testing.assert_allclose(depth[:, 0], 25.0, rtol=1e-5)


def test_metric_depth_needs_no_camera(network, street, tmp_path):
    network(200.0 * np.ones((1, 4, 8, 1)), "depth", "metric", None)
    assert call_on(street, tmp_path / "out") == 0
    assert (read_depth_png(tmp_path / "out" / "a_depth.png") == 200.0).all()


def test_large_disparities_are_not_clipped(network, street, tmp_path):
    network(20.0 * DISPARITY)  # 0.8 of 400 pixels: more than KITTI's 256 steps a pixel can hold
    picture = tmp_path / "wide.png"
    write_image(picture, np.zeros((10, 400, 3), np.uint8))
    assert call_on(picture, tmp_path / "out") == 0
    entry = summary(tmp_path / "out")["predictions"][0]
    stored = read_depth_png(tmp_path / "out" / "wide_disparity.png") * 256 / entry["png16_scale"]
    assert entry["png16_scale"] == 128.0 and stored.max() == pytest.approx(320.0, abs=0.01)


def test_a_fixed_colour_range_is_the_same_for_every_picture(network, street, tmp_path):
    levels = iter([1.0, 2.0])
    network(lambda images: next(levels) * DISPARITY)
    options = ["--vmin=0.01", "--vmax=0.08", "--colormap=gray"]
    assert call_on(street, tmp_path / "out", *options) == 0
    left = [read_image(tmp_path / "out" / f"{stem}_color.png")[0, 0, 0] for stem in "ab"]
    np.testing.assert_allclose(left, [255 * 3 / 7, 255], atol=1)


def test_one_file_of_any_suffix(network, street, tmp_path):
    picture = (street / "b.png").rename(street / "picture.dat")
    assert call_on(picture, tmp_path / "out") == 0
    assert "picture_disparity.npy" in names(tmp_path / "out")


# -- bad input -------------------------------------------------------------------------------------


def damage(street: Path) -> None:
    content = (street / "a.jpg").read_bytes()
    (street / "a.jpg").write_bytes(content[: len(content) // 2])


def test_an_unreadable_picture_stops(network, street, tmp_path, capsys):
    damage(street)
    line = failure(capsys, call_on(street, tmp_path / "out"))
    assert "a.jpg" in line and "--on_bad_sample=skip" in line
    assert not (tmp_path / "out").exists()


def test_an_unreadable_picture_is_skipped_and_counted(network, street, tmp_path, capsys):
    damage(street)
    assert call_on(street, tmp_path / "out", "--on_bad_sample=skip") == 0
    captured = capsys.readouterr()
    assert "1 picture in" in captured.out and "1 skipped" in captured.out
    assert "a.jpg" in captured.err
    assert [Path(name).name for name in summary(tmp_path / "out")["skipped"]] == ["a.jpg"]
    assert "b_disparity.npy" in names(tmp_path / "out")


def test_nothing_readable_is_an_error(network, street, tmp_path, capsys):
    damage(street)
    (street / "b.png").write_bytes(b"")
    line = failure(capsys, call_on(street, tmp_path / "out", "--on_bad_sample=skip"))
    assert "none of its 2 pictures" in line
    assert not (tmp_path / "out").exists()


def test_nan_names_the_picture_and_writes_nothing_for_it(network, street, tmp_path, capsys):
    answers = iter([DISPARITY, np.full((1, 4, 8, 1), np.nan)])
    network(lambda images: next(answers))
    line = failure(capsys, call_on(street, tmp_path / "out"))
    assert "b.png" in line and "NaN" in line
    assert {name[0] for name in names(tmp_path / "out")} == {"a"}


def test_a_write_that_fails_leaves_no_half_file(network, street, tmp_path, monkeypatch):
    right = np.save

    def half(path, *arguments, **options):
        right(path, *arguments, **options)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", half)
    assert call_on(street, tmp_path / "out") == 2
    assert names(tmp_path / "out") == set()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fx=30", "--assume_training_camera"], "only one of --fx, --intrinsics, --kitti_calib"),
        (["--fx=-3"], "--fx=-3.0 must be a positive number"),
        (["--fx=nan"], "must be a positive number"),
        (["--baseline=0.5"], "--baseline gives metres only together with"),
        (["--fx=30", "--baseline=0"], "--baseline=0.0 must be a positive"),
        (["--vmin=5", "--vmax=2"], "--vmin=5.0 must be below --vmax=2.0"),
        (["--vmin=-5"], "--vmin must be at least 0"),
        (["--colormap=rainbowest"], "no colour map 'rainbowest'"),
        (["--kitti_calib=nowhere.txt"], "nowhere.txt"),
        (["--run=runs/x"], "give one of --run"),
        (["--fps=5"], "--fps is for mp4 files"),
        (["--max_depth=20"], "--max_depth is for ply files"),
        (["--video_layout=depth"], "--video_layout is for mp4 files"),
        (["--kitti_camera=0"], "--kitti_camera needs --kitti_calib"),
        (["--fx=0.58"], "focal length of 0.58 pixels is too short"),
    ],
)
def test_flags_that_make_no_sense(network, street, tmp_path, capsys, arguments, message):
    assert message in failure(capsys, call_on(street, tmp_path / "out", *arguments))
    assert not (tmp_path / "out").exists()


def test_training_camera_that_is_not_known(network, street, tmp_path, capsys):
    network(rig=None)
    line = failure(capsys, call_on(street, tmp_path / "out", "--assume_training_camera"))
    assert "does not know the camera" in line
    line = failure(capsys, call_on(street, tmp_path / "out", "--fx=30"))
    assert "does not know the baseline" in line
    assert call_on(street, tmp_path / "out", "--fx=30", "--baseline=0.5") == 0


def test_fx_of_pictures_of_different_sizes(network, street, tmp_path, capsys):
    write_image(street / "c.png", np.zeros((10, 20, 3), np.uint8))
    line = failure(capsys, call_on(street, tmp_path / "out", "--fx=30"))
    assert "a.jpg is 40x20" in line and "c.png is 20x10" in line
    assert call_on(street, tmp_path / "out2", "--assume_training_camera") == 0


def test_paths_that_make_no_sense(network, street, tmp_path, capsys):
    assert "--out is required" in failure(capsys, call("--model=x", f"--input={street}"))
    assert "--input is required" in failure(capsys, call("--model=x", "--out=o"))
    assert "no such picture or folder" in failure(capsys, call_on(tmp_path / "no", tmp_path / "o"))
    (tmp_path / "empty").mkdir()
    assert "no pictures directly" in failure(capsys, call_on(tmp_path / "empty", tmp_path / "o"))
    assert "is the folder of --input" in failure(capsys, call_on(street, street))
    (tmp_path / "file").write_text("")
    assert "is a file" in failure(capsys, call_on(street, tmp_path / "file"))
    Image.new("RGB", (4, 4)).save(street / "a.png")
    assert "2 pictures called 'a'" in failure(capsys, call_on(street, tmp_path / "o"))


def test_a_model_that_is_not_there(street, tmp_path, capsys):
    assert "there is no exported model" in failure(capsys, call_on(street, tmp_path / "out"))


# -- point clouds ----------------------------------------------------------------------------------


def points_of(path: Path) -> np.ndarray:
    head, _, body = path.read_bytes().partition(b"end_header\n")
    assert b"element vertex" in head
    fields = [(name, "<f4") for name in "xyz"] + [(name, "u1") for name in ("r", "g", "b")]
    vertices = np.frombuffer(body, fields)
    return np.stack([vertices[name] for name in "xyz"], axis=1)


def test_a_cloud_in_metres(network, street, tmp_path):
    out = tmp_path / "out"
    assert call_on(street, out, "--intrinsics=30,25,19,9", "--outputs=ply") == 0
    assert names(out) == {"predictions.json", "a_points.ply", "b_points.ply"}
    points = points_of(out / "a_points.ply")
    near, far = 30 / 40 * 0.54 / 0.04, 30 / 40 * 0.54 / 0.01
    assert len(points) == 20 * 40
    np.testing.assert_allclose(points[0], [-19 / 30 * near, -9 / 25 * near, near], rtol=1e-5)
    np.testing.assert_allclose(points[-1], [20 / 30 * far, 10 / 25 * far, far], rtol=1e-5)
    assert summary(out)["camera"] == "--intrinsics=30,25,19,9, baseline 0.54 m"


def test_a_camera_file_of_another_size_is_scaled_to_the_pictures(network, street, tmp_path):
    camera = {"fx": 60, "fy": 50, "cx": 38.5, "cy": 18.5, "width": 80, "height": 40}
    (tmp_path / "camera.json").write_text(json.dumps(camera))
    # (cx + 0.5) / 2 - 0.5 = 19: the same camera as above at half its size.
    for arguments in (f"--intrinsics={tmp_path}/camera.json", "--intrinsics=30,25,19,9"):
        assert call_on(street, tmp_path / "out", arguments, "--outputs=ply") == 0
        points = points_of(tmp_path / "out" / "b_points.ply")
        np.testing.assert_allclose(points[0, :2] / points[0, 2], [-19 / 30, -9 / 25], rtol=1e-5)


def test_far_points_are_left_out(network, street, tmp_path):
    network(1.0 / DISPARITY, "depth", "metric", None)  # 25 and 100 m
    for options, share in (([], 0.5), (["--max_depth=200"], 1.0), (["--max_depth=20"], 0.0)):
        assert call_on(street, tmp_path / "out", "--fx=30", "--outputs=ply", *options) == 0
        count = summary(tmp_path / "out")["predictions"][0]["points"]
        assert count == pytest.approx(share * 800, abs=80)  # the step between them is a ramp


def test_a_relative_cloud_is_called_so(network, street, tmp_path):
    network(1.0 / DISPARITY, "depth", "relative", None)
    assert call_on(street, tmp_path / "out", "--fx=30", "--outputs=ply,npy") == 0
    assert {"a_relative_points.ply", "a_relative_depth.npy"} <= names(tmp_path / "out")
    assert len(points_of(tmp_path / "out" / "a_relative_points.ply")) == 800
    assert b"unit: unknown" in (tmp_path / "out" / "a_relative_points.ply").read_bytes()


@pytest.mark.parametrize("output", [("disparity", "metric", RIG), ("depth", "relative", None)])
def test_points_without_a_camera_are_refused(network, street, tmp_path, capsys, output):
    network(DISPARITY, *output)
    line = failure(capsys, call_on(street, tmp_path / "out", "--outputs=ply"))
    assert "points need the camera" in line and "--intrinsics" in line
    assert not (tmp_path / "out").exists()


# -- videos and cameras ----------------------------------------------------------------------------


@pytest.fixture
def drive(tmp_path) -> Path:
    """A video of six frames, 40x20, five a second."""
    with video_writer(tmp_path / "drive.mp4", 5.0) as writer:
        for number in range(6):
            writer.write(np.full((20, 40, 3), 40 * number, np.uint8), number / 5)
    return tmp_path / "drive.mp4"


def frames_of(path: Path) -> list[np.ndarray]:
    with VideoStream(path, hint="") as stream:
        return [frame for _, frame in stream]


def test_a_video_becomes_a_video(network, drive, tmp_path, capsys):
    out = tmp_path / "out"
    assert call_on(drive, out, "--fx=30") == 0
    assert "6 frames in" in capsys.readouterr().out
    assert names(out) == {"predictions.json", "drive_depth.mp4"}
    video = summary(out)["video"]
    assert (video["mp4"], video["frames"], video["unit"]) == ("drive_depth.mp4", 6, "m")
    assert summary(out)["predictions"] == [] and summary(out)["input"] == str(drive)
    frames = frames_of(out / "drive_depth.mp4")
    assert len(frames) == 6 and frames[0].shape == (20, 80, 3)
    for number, frame in enumerate(frames):
        assert abs(frame[:, :36].astype(int).mean() - 40 * number) < 4  # the frame itself
        near, far = frame[:, 42:54].astype(int).sum(-1), frame[:, 66:].astype(int).sum(-1)
        assert near.min() > far.max() + 100


def test_frames_as_files_and_depth_alone(network, drive, tmp_path):
    out = tmp_path / "out"
    options = ["--outputs=npy,mp4", "--video_layout=depth", "--step=2", "--frames=2"]
    assert call_on(drive, out, "--fx=30", *options) == 0
    assert names(out) == {
        *("predictions.json", "drive_depth.mp4"),
        *("drive_000000_depth.npy", "drive_000002_depth.npy"),
    }
    entry = summary(out)["predictions"][1]
    assert (entry["frame"], entry["npy"]) == (2, "drive_000002_depth.npy")
    assert entry["time"] == pytest.approx(0.4)
    assert frames_of(out / "drive_depth.mp4")[0].shape == (20, 40, 3)


def test_colours_of_a_video_do_not_jump(network, drive, tmp_path):
    """The right half comes four times nearer for a moment: the left half keeps its colour."""
    steps = iter([1.0, 1.0, 4.0, 1.0, 1.0, 1.0] * 2)
    right = np.zeros_like(DISPARITY)
    right[:, :, 4:] = 0.01

    network(lambda images: np.where(right > 0, right * next(steps), 0.02))
    levels = {}
    for memory in (0.0, 10.0):
        options = ["--outputs=color", "--colormap=gray", f"--color_memory={memory}"]
        out = tmp_path / f"out{memory}"
        assert call_on(drive, out, "--fx=30", *options) == 0
        pictures = [read_image(out / f"drive_{n:06d}_color.png") for n in range(6)]
        levels[memory] = [int(picture[0, 0, 0]) for picture in pictures]
    assert np.abs(np.diff(levels[0.0])).max() > 100  # what flicker is
    # A fifth of a second of ten: alpha = 0.02, so 2.1 % of 255 and rounding.
    assert np.abs(np.diff(levels[10.0])).max() <= 7


def test_pictures_become_a_video(network, street, tmp_path):
    out = tmp_path / "out"
    assert call_on(street, out, "--fx=30", "--outputs=mp4", "--fps=2") == 0
    assert names(out) == {"predictions.json", "street_depth.mp4"}
    with VideoStream(out / "street_depth.mp4", hint="") as stream:
        assert [time for time, _ in stream] == pytest.approx([0.0, 0.5], abs=1e-3)


def test_pictures_of_two_sizes_are_no_video(network, street, tmp_path, capsys):
    write_image(street / "c.png", np.zeros((10, 20, 3), np.uint8))
    options = ["--outputs=mp4", "--assume_training_camera"]
    line = failure(capsys, call_on(street, tmp_path / "out", *options))
    assert "leave out mp4" in line
    assert not list((tmp_path / "out").iterdir())


class Camera:
    """A device of 40x20 that gives three frames, then a user who presses Ctrl-C."""

    name, unit, live, rate, count = "camera", "frame", True, 30.0, None

    def frames(self, on_bad):
        for number in range(3):
            image = np.full((20, 40, 3), 60 * number, np.uint8)
            yield Frame(f"camera_{number:06d}", Path("/dev/video0"), image, number / 30, number)
        raise KeyboardInterrupt


def test_ctrl_c_ends_a_camera_and_keeps_its_video(network, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(predict, "open_source", lambda *arguments, **options: Camera())
    out = tmp_path / "out"
    assert call_on("camera:0", out, "--fx=30") == 0
    assert "3 frames in" in capsys.readouterr().out
    assert len(frames_of(out / "camera_depth.mp4")) == 3
    assert summary(out)["input"] == "camera:0"


def test_ctrl_c_in_a_video_leaves_nothing(network, drive, tmp_path):
    def interrupted(images):
        raise KeyboardInterrupt

    network(interrupted)
    assert call_on(drive, tmp_path / "out", "--fx=30") == 130
    assert not (tmp_path / "out").exists()


def test_nan_in_a_video_names_the_frame(network, drive, tmp_path, capsys):
    answers = iter([DISPARITY, DISPARITY, np.full((1, 4, 8, 1), np.nan)])
    network(lambda images: next(answers))
    line = failure(capsys, call_on(drive, tmp_path / "out", "--fx=30"))
    assert "drive.mp4, frame 2" in line and "NaN" in line
    assert names(tmp_path / "out") == set()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--outputs=color,jpeg"], "choose some of color, npy, png16, ply, mp4"),
        (["--outputs="], "choose some of"),
        (["--max_depth=0"], "--max_depth=0 must be positive"),
        (["--intrinsics=1,2,x,4"], "no such intrinsics file"),
        (["--intrinsics=-30,30,19,9"], "must be fx,fy,cx,cy in pixels"),
        (["--intrinsics=30,30,190,9"], "principal point (190, 9) lies outside"),
        (["--intrinsics=1,1,19,9"], "focal length of 1 pixels is too short"),
        (["--step=2"], "--step is for a video"),
        (["--device_option=a=b"], "--device_option is for"),
    ],
)
def test_more_flags_that_make_no_sense(network, street, tmp_path, capsys, arguments, message):
    assert message in failure(capsys, call_on(street, tmp_path / "out", *arguments))
    assert not (tmp_path / "out").exists()


def test_progress_without_tqdm_is_a_line_now_and_then(
    network, street, tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr(predict, "_LOG_EVERY", 0.0)
    assert call_on(street, tmp_path / "out", "--fx=30") == 0
    assert re.search(r"^1 of 2 pictures, \d+\.\d/s$", capsys.readouterr().err, re.M)


# -- with real networks ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run folder, and an export of its model in `export/`."""
    model = small_garg()
    run = Run(tmp_path_factory.mktemp("runs") / "tiny")
    run.write_info({"paper": "garg", "state": "finished"})
    model.save_parts(run.weights)
    export_model(model, run.folder / "export", ["tflite"], name="tiny")
    return run.folder


def test_a_run_and_its_export_predict_the_same(run, street, tmp_path):
    sources = [f"--run={run}", f"--model={run / 'export' / 'tiny.tflite'}", "--model="]
    sources[2] += str(run / "export" / "tiny_float16.tflite")
    maps = []
    for index, source in enumerate(sources):
        out = tmp_path / f"out{index}"
        assert call(source, f"--input={street}", f"--out={out}", "--fx=30") == 0
        maps.append(np.load(out / "a_depth.npy"))
        assert summary(out)["paper"] == "garg" and summary(out)["rig"]["baseline"] == 0.54
    assert maps[0].shape == (20, 40) and np.ptp(maps[0]) > 0
    assert np.abs(maps[1] - maps[0]).max() < 1e-4 * np.ptp(maps[0])
    assert np.abs(maps[2] - maps[0]).max() < 5e-2 * np.ptp(maps[0])


def test_real_pictures(run, realdata, tmp_path):
    drive = realdata / "kitti_raw" / "2011_09_26"
    (picture,) = list(drive.rglob("image_02/data/0000000010.*"))
    out = tmp_path / "out"
    arguments = [f"--run={run}", f"--input={picture}", f"--out={out}"]
    arguments += ["--outputs=png16,ply"]
    assert call(*arguments, f"--kitti_calib={drive / 'calib_cam_to_cam.txt'}") == 0
    header = (out / "0000000010_points.ply").read_bytes()[:400]
    assert b"camera: 1242x375 fx 721.538 fy 721.538 cx 609.559 cy 172.854" in header
    (entry,) = summary(out)["predictions"]
    assert (entry["kind"], entry["width"], entry["height"]) == ("metric", 1242, 375)
    assert read_depth_png(out / entry["png16"]).shape == (375, 1242)
