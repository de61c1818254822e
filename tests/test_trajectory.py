"""`kdepth.trajectory`: pose files and TUM RGB-D folders from a run."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import kdepth
from kdepth import cli
from kdepth.data import pose_files, sequences
from kdepth.data.image import write_image
from kdepth.evaluation import odometry
from kdepth.geometry import pose
from kdepth.prediction import Prediction
from kdepth.training.runs import Run

STEP = pose.from_vector(np.array([0.1, 0, -1.0, 0, 0.02, 0]))


class Video:
    """Every frame moves by STEP; everything is 2.5 away."""

    paper, variant, resize, kind, output_name = "scdepth", "", "area", "relative", "inverse_depth"
    image_size, pose_frames, pose_target, depth_views, rig = (16, 24), 3, 1, 1, None

    def predict_pose(self, frames):
        assert frames.shape[1:] == (3, 16, 24, 3)
        return np.tile(STEP, (len(frames), 2, 1, 1))

    def predict_depth(self, image, camera=None):
        assert image.shape == (16, 24, 3)
        return Prediction(inverse_depth=np.full((1, 16, 24), 0.4, np.float32), kind="relative")


class Stereo(Video):
    """Depth in metres, and no idea of motion."""

    paper, kind, pose_frames = "garg", "metric", None

    def predict_depth(self, image, camera=None):
        return Prediction(depth=np.full((1, 16, 24), 20.0, np.float32), kind="metric")


@pytest.fixture
def model(tmp_run, monkeypatch):
    """Chooses what `--run=runs/any` loads."""

    Run(tmp_run / "runs/any").write_info({"paper": "scdepth"})

    def choose(network):
        monkeypatch.setattr(kdepth, "load_run", lambda path: network, raising=False)

    choose(Video())
    return choose


@pytest.fixture
def frames(tmp_run):
    for number in range(6):
        image = np.full((32, 48, 3), 40 * number, np.uint8)
        write_image(tmp_run / "frames" / f"{number}.jpg", image)
    return "--input=frames"


def run(*arguments):
    return cli.call("trajectory", ["--run=runs/any", "--out=out", *arguments])


def test_poses_of_a_folder(model, frames, tmp_run, capsys):
    expected = odometry.trajectory(np.tile(STEP, (5, 1, 1)))
    for form in pose_files.FORMS:
        assert run(frames, f"--form={form}", "--fps=4") == 0
        found = pose_files.read(tmp_run / "out/frames.txt")
        np.testing.assert_allclose(found.poses, expected, atol=1e-8)
        if form == "tum":
            np.testing.assert_allclose(found.times, np.arange(6) / 4)
    assert "6 poses (tum, relative units): out/frames.txt" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_run / "out").iterdir()) == ["frames.txt"]


def test_sequences_of_a_data_set_with_depth(model, tiny_video, tmp_run, capsys):
    arguments = ["--dataset=synthetic", f"--data_dir={tiny_video}", "--split=train", "--rgbd"]
    assert run(*arguments) == 0
    found = sequences.of_split("synthetic", tiny_video, "train", motions=False)
    assert len(found) == 2
    for sequence in found:
        folder = tmp_run / "out" / sequence.name
        assert len(pose_files.read(folder / "groundtruth.txt")) == len(sequence.images) == 5
        lines = (folder / "depth.txt").read_text().splitlines()
        assert lines[-1] == "0.400000 depth/0.400000.png"
        with Image.open(folder / "depth/0.400000.png") as picture:
            assert picture.size == (sequence.camera.width, sequence.camera.height)
            assert (np.asarray(picture).astype(int) == 12500).all()
        settings = (folder / "camera.yaml").read_text()
        assert f"Camera.fx: {float(sequence.camera.fx)!r}" in settings


def test_own_pictures_with_the_cameras_numbers(model, frames, tmp_run, capsys):
    own = ["--dataset=folder", "--data_dir=frames", "--split=all", "--rgbd"]
    assert run(*own) == 2
    assert "--reader_option=fx=<pixels>" in capsys.readouterr().err
    assert not (tmp_run / "out").exists()
    assert run(*own, "--reader_option=fx=30", "--reader_option=step=2") == 0
    assert len(pose_files.read(tmp_run / "out/frames.txt")) == 3
    assert "Camera.fx: 30.0" in (tmp_run / "out/frames/camera.yaml").read_text()
    assert run(frames, "--reader_option=fx=30") == 2
    assert "--reader_option is for --dataset" in capsys.readouterr().err


def test_data_and_options_are_the_runs_unless_flags_say_more(model, frames, tmp_run, capsys):
    trained = {"dataset": "folder", "data_dir": "frames", "reader_options": {"fx": 30.0, "step": 2}}
    Run(tmp_run / "runs/any").write_info({"paper": "scdepth", **trained})
    assert run("--split=all", "--rgbd") == 0
    assert len(pose_files.read(tmp_run / "out/frames.txt")) == 3
    assert "Camera.fx: 30.0" in (tmp_run / "out/frames/camera.yaml").read_text()
    assert run("--split=all", "--reader_option=step=1") == 0
    assert len(pose_files.read(tmp_run / "out/frames.txt")) == 6
    # Another data set than the run's has neither its folder nor its options.
    assert run("--dataset=video", "--split=all") == 2
    assert "video needs --data_dir" in capsys.readouterr().err
    # Options that are about learning alone stay with it.
    trained = {"dataset": "nyu_raw", "data_dir": "frames", "reader_options": {"balance": 1200}}
    Run(tmp_run / "runs/any").write_info({"paper": "scdepth", **trained})
    assert run() == 2
    assert "a trajectory needs `sources`, which nyu_raw does not have" in capsys.readouterr().err


def test_depth_alone_where_there_is_no_pose_network(model, frames, tmp_run, capsys):
    model(Stereo())
    assert run(frames) == 2
    assert "garg has no pose network" in capsys.readouterr().err
    arguments = (frames, "--rgbd", "--intrinsics=30,31,23.5,15.5")
    assert run(*arguments) == 0
    assert "100.0 % of the pixels lie beyond 13.11 metres" in capsys.readouterr().err
    assert run(*arguments, "--depth_factor=256") == 0
    assert "beyond" not in capsys.readouterr().err
    with Image.open(tmp_run / "out/frames/depth/0.000000.png") as picture:
        assert (np.asarray(picture).astype(int) == 20 * 256).all()
    assert not (tmp_run / "out/frames/groundtruth.txt").exists()
    assert "Camera.fy: 31.0" in (tmp_run / "out/frames/camera.yaml").read_text()


def test_times_from_a_file(model, frames, tmp_run):
    (tmp_run / "times.txt").write_text("0\n0.5\n0.75\n1\n1.5\n2e0\n")
    assert run(frames, "--form=tum", "--times=times.txt") == 0
    times = pose_files.read(tmp_run / "out/frames.txt").times
    assert list(times) == [0, 0.5, 0.75, 1, 1.5, 2]


def test_a_real_pose_network(tiny_video, tmp_run):
    pytest.importorskip("tensorflow")
    network = kdepth.create("sfmlearner", height=64, image_width=96, width=0.05, seed=1)
    saved = Run(tmp_run / "runs" / "tiny")
    network.save_parts(saved.weights)
    saved.write_info({"paper": "sfmlearner", "dataset": "synthetic", "data_dir": str(tiny_video)})
    common = ["--run=runs/tiny", "--dataset=synthetic", f"--data_dir={tiny_video}"]
    assert cli.call("trajectory", [*common, "--out=out", "--rgbd"]) == 0
    (written,) = (tmp_run / "out").glob("*.txt")
    poses = pose_files.read(written).poses
    assert len(poses) == 5 and np.abs(poses[1:, :3, 3]).max() > 0
    # `evaluate` predicts the same trajectory.
    assert cli.call("evaluate", ["--task=odometry", *common, "--pictures=0"]) == 0
    again = tmp_run / "runs/tiny/evaluation/odometry" / written.name
    assert again.read_text() == written.read_text()


def test_mistakes_are_one_line(model, frames, tiny_video, tmp_run, capsys):
    (tmp_run / "few.txt").write_text("0\n1\n")
    (tmp_run / "words.txt").write_text("one two\n")
    (tmp_run / "empty").mkdir()
    (tmp_run / "file").write_text("")
    data = ["--dataset=synthetic", f"--data_dir={tiny_video}", "--split=train"]
    for arguments, words in (
        ([], "give one of --input"),
        ([frames, *data], "give one of --input"),
        ([frames, data[1]], "give one of --input"),
        (["--input=none"], "--input=none: no such folder"),
        (["--input=empty"], "no pictures"),
        ([frames, "--out=file"], "--out=file is a file"),
        ([frames, "--out="], "--out is required"),
        ([frames, "--run="], "--run is required"),
        ([frames, "--fps=0"], "--fps=0.0 must be a positive number"),
        ([frames, "--depth_factor=nan"], "--depth_factor=nan must be a positive number"),
        ([frames, "--times=none.txt"], "none.txt: no such file"),
        ([frames, "--times=few.txt"], "must hold 6 increasing times for frames"),
        ([frames, "--times=words.txt"], "one number a row"),
        ([*data, "--times=few.txt"], "--times is for one sequence"),
        ([frames, "--rgbd"], "needs --intrinsics"),
        ([frames, "--rgbd", "--intrinsics=1,2,3"], "must be fx,fy,cx,cy"),
        ([frames, "--rgbd", "--intrinsics=1,-2,3,4"], "must be fx,fy,cx,cy"),
        ([*data, "--intrinsics=1,2,3,4"], "--intrinsics is for --input"),
        ([*data[:2], "--split=tset"], "no split 'tset'"),
        (["--dataset=kitti_stereo2015", "--data_dir=frames"], "a trajectory needs `sources`"),
    ):
        capsys.readouterr()
        assert run(*arguments) == 2, arguments
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("kdepth trajectory: ") and words in error, (arguments, error)
    assert not (tmp_run / "out").exists()


def test_frames_of_another_size_leave_nothing_half_written(model, frames, tmp_run, capsys):
    model(Stereo())
    write_image(tmp_run / "frames/4.jpg", np.zeros((16, 16, 3), np.uint8))
    assert run(frames, "--rgbd", "--intrinsics=30,31,23.5,15.5") == 2
    assert "4.jpg is 16x16, but the camera is for 48x32" in capsys.readouterr().err
    assert not list((tmp_run / "out").glob("*"))
