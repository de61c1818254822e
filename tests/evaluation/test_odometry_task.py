"""`evaluate --task=odometry`, from the command line to the table."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import kdepth
from kdepth import cli
from kdepth.data import pose_files, sequences
from kdepth.data.kitti_odometry import RAW_DRIVES
from kdepth.data.pose_files import FORMS, Trajectory
from kdepth.evaluation import odometry, odometry_task
from kdepth.evaluation.table import read_rows
from kdepth.evaluation.trajectories import ALIGNMENTS

RESULTS = Path("runs/results.csv")
NAMES = {"t_err": "t_err_percent", "r_err": "r_err_deg_per_100m", "ate": "ate_m"}
NAMES.update({"rpe": "rpe_m", "rpe_deg": "rpe_deg"})


def poses_of(rows):
    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    poses[:, :3] = rows.reshape(-1, 3, 4)
    return poses


@pytest.fixture
def pair(tmp_run, golden):
    """mine/10.txt and true/10.txt, in the form that is asked for."""

    def write(form="kitti", kept=slice(None)):
        with np.load(golden / "odometry/10.npz") as file:
            for folder, name in (("mine", "predicted"), ("true", "truth")):
                poses = poses_of(file[name])
                chosen = np.arange(len(poses))[kept if folder == "mine" else slice(None)]
                trajectory = Trajectory(poses[chosen], chosen, chosen / 10)
                pose_files.write(tmp_run / folder / "10.txt", trajectory, form)
        return ["--predictions=mine/10.txt", "--true_poses=true/10.txt"]

    return write


def evaluate(*arguments):
    return cli.call("evaluate", ["--task=odometry", "--pictures=0", *map(str, arguments)])


def by_alignment(rows):
    prefix = "odometry_"
    return {
        row["protocol"][len(prefix) :]: row
        for row in rows
        if not row["system"].startswith("baseline: ")
    }


@pytest.mark.parametrize("form", FORMS)
def test_golden_numbers_from_files(pair, golden, form, capsys):
    assert evaluate(*pair(form), "--name=published") == 0
    expected = json.loads((golden / "odometry/expected.json").read_text())
    rows = read_rows(RESULTS)
    found = by_alignment(rows)
    assert set(found) == {*ALIGNMENTS, "5frame"} and len(rows) == 7
    for alignment in ALIGNMENTS:
        row = found[alignment]
        for name, theirs in NAMES.items():
            # Quaternions are exact rotations; the truth's matrices have seven digits, which the
            # small angles between frames feel.
            tolerance = {"rpe_deg": 0.02}.get(name, 1e-4) if form == "tum" else 1e-5
            assert float(row[name]) == pytest.approx(expected[alignment][theirs], rel=tolerance)
        assert row["protocol_description"] == odometry_task.describe(alignment)
        assert (row["system"], row["split"], row["images"]) == ("published", "10", "1201")
        assert row["abs_rel"] == row["ate_5"] == ""
    assert 0 < float(found["5frame"]["ate_5"]) < 0.02 and found["5frame"]["ate"] == ""
    straight = next(row for row in rows if row["system"] == "baseline: straight ahead")
    # Zhou 2017's mean odometry has 0.028 +- 0.023 on this sequence.
    assert float(straight["ate_5"]) == pytest.approx(0.03, abs=0.002)
    out = capsys.readouterr().out
    assert "10: 5-frame ATE 0.0120" in out and "t_err %" in out
    with open("runs/predictions/published/evaluation/odometry/10.csv", newline="") as file:
        lengths = [row for row in csv.DictReader(file) if row["alignment"] == "7dof"]
    counts = np.array([int(row["subsequences"]) for row in lengths])
    errors = np.array([float(row["t_err"]) for row in lengths])
    assert [row["length"] for row in lengths] == [str(n) for n in range(100, 801, 100)]
    assert (errors * counts).sum() / counts.sum() == pytest.approx(
        expected["7dof"]["t_err_percent"]
    )


def test_the_table_shows_one_protocol_at_a_time(pair, capsys):
    assert evaluate(*pair(), "--alignment=7dof", "--alignment=scale") == 0
    capsys.readouterr()
    assert cli.call("results", ["--latex=all.tex"]) == 0
    out = capsys.readouterr().out
    assert out.count("Protocol odometry_") == 3 and "vs strongest" not in out
    assert "baselines fitted" not in out and "nan" not in out
    assert "Data: pose files, split 10, 1201 images." in out
    assert "0.0120" in out and "baseline: straight ahead" in out


def test_a_plot(pair):
    assert cli.call("evaluate", ["--task=odometry", *pair()]) == 0
    from PIL import Image

    with Image.open("runs/predictions/10/evaluation/odometry/10.png") as picture:
        assert picture.width > 1000
        assert len(picture.convert("RGB").getcolors(100000)) > 20


def test_gaps_in_the_prediction(pair, capsys):
    assert evaluate(*pair("indexed", kept=np.delete(np.arange(1201), [5, 700]))) == 0
    found = by_alignment(read_rows(RESULTS))
    assert found["none"]["images"] == "1199" and "1199 of 1201" in capsys.readouterr().out
    assert 2 < float(found["none"]["t_err"]) < 2.6


def test_folders_of_sequences(pair, tmp_run):
    pair()
    for folder in ("mine", "true"):
        poses = pose_files.read(tmp_run / folder / "10.txt").poses
        pose_files.write(tmp_run / folder / "10b.txt", Trajectory(poses[:50]))
    assert evaluate("--predictions=mine", "--true_poses=true", "--alignment=6dof") == 0
    rows = [row for row in read_rows(RESULTS) if row["protocol"] == "odometry_6dof"]
    assert [(row["system"], row["split"], row["images"]) for row in rows] == [
        ("mine", "10", "1201"),
        ("mine", "10b", "50"),
    ]
    assert rows[1]["t_err"] == "" and rows[1]["ate"]


def test_pose_files_need_no_tensorflow(pair):
    arguments = ["--task=odometry", *pair(), "--pictures=0"]
    program = (
        "import sys\nfrom kdepth import cli\n"
        f"status = cli.call('evaluate', {arguments})\n"
        "sys.exit(status or bool({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


# -- networks on sequences -----------------------------------------------------------------------


class FakeModel:
    """A pose network that knows the truth up to a scale of 0.1; frames must come in order."""

    paper, variant, resize, kind = "scdepth", "release", "area", "relative"
    image_size = (16, 24)
    pose_frames, pose_target = 2, 0

    def __init__(self, motions):
        self.motions, self.next = motions.copy(), 0
        self.motions[:, :3, 3] *= 0.1

    def predict_pose(self, frames):
        assert frames.shape[1:] == (2, 16, 24, 3)
        found = self.motions[self.next : self.next + len(frames)]
        self.next += len(frames)
        return found[:, None]


@pytest.fixture
def run(tiny_video, tmp_run, monkeypatch):
    (sequence,) = sequences.of_split("synthetic", tiny_video, "test")
    folder = tmp_run / "runs" / "mine"
    folder.mkdir(parents=True)
    info = {"paper": "scdepth", "dataset": "synthetic", "data_dir": str(tiny_video)}
    (folder / "run.json").write_text(json.dumps({**info, "split": "train", "seed": 7}))
    monkeypatch.setattr(kdepth, "load_run", lambda path: FakeModel(sequence.motions), raising=False)
    return folder, sequence


def test_a_run_on_its_test_sequences(run, capsys):
    folder, sequence = run
    assert evaluate(f"--run={folder}") == 0
    found = by_alignment(read_rows(folder.parent / "results.csv"))
    assert float(found["scale"]["ate"]) < 1e-9 < 0.1 < float(found["none"]["ate"])
    assert float(found["5frame"]["ate_5"]) < 1e-9
    row = found["7dof"]
    assert (row["run"], row["paper"], row["seed"]) == ("mine", "scdepth", "7")
    assert (row["height"], row["image_width"], row["split"]) == ("16", "24", sequence.name)
    assert (row["dataset"], row["images"], row["t_err"]) == ("synthetic", "5", "")
    written = pose_files.read(folder / "evaluation/odometry" / f"{sequence.name}.txt").poses
    truth = odometry.trajectory(sequence.motions)
    np.testing.assert_allclose(written[:, :3, 3], 0.1 * truth[:, :3, 3], atol=1e-8)
    assert "need a way of more than 100 m" in capsys.readouterr().out


def test_pose_files_beside_a_data_set(run, tiny_video):
    folder, sequence = run
    poses = odometry.trajectory(sequence.motions)
    for name in ("any", sequence.name):
        pose_files.write(folder / "poses" / f"{name}.txt", Trajectory(poses))
    common = ["--dataset=synthetic", f"--data_dir={tiny_video}", "--alignment=none"]
    assert evaluate(f"--predictions={folder}/poses/any.txt", *common) == 0
    row = by_alignment(read_rows(RESULTS))["none"]
    assert row["split"] == sequence.name and float(row["ate"]) < 1e-7
    (folder / "poses/any.txt").unlink()
    assert evaluate(f"--predictions={folder}/poses", *common) == 0


def test_training_frames_are_said(run, capsys):
    folder, sequence = run
    assert evaluate(f"--run={folder}", "--split=test") == 0
    assert "this is no test" not in capsys.readouterr().err
    info = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**info, "split": "test"}))
    assert evaluate(f"--run={folder}") == 0
    assert "trained on synthetic/test, which holds its frames" in capsys.readouterr().err


def test_kitti_raw_holds_odometrys_test_sequences():
    """The Eigen split's training drives are odometry's 09 and 10: no pose network of it is tested there."""
    from kdepth.data import splits

    for split in ("eigen_train", "eigen_zhou_train"):
        drives = {entry.drive for entry in splits.read_package_split(split)}
        assert {RAW_DRIVES["09"], RAW_DRIVES["10"]} <= drives


@pytest.mark.parametrize(
    ("dataset", "split", "sequence", "seen"),
    [
        ("kitti_raw", "eigen_train", "09", True),
        (
            "kitti_raw",
            "eigen_train",
            "07",
            False,
        ),  # drive 0027 of 2011_09_30 is an Eigen test drive
        ("kitti_odometry", "train", "07", True),
        ("kitti_odometry", "train", "09", False),
        ("kitti_odometry", "all", "09", True),
    ],
)
def test_odometry_that_a_run_has_seen(run, monkeypatch, capsys, dataset, split, sequence, seen):
    folder, real = run
    info = {"paper": "scdepth", "dataset": dataset, "data_dir": "kitti", "split": split}
    (folder / "run.json").write_text(json.dumps(info))
    found = sequences.Sequence(sequence, real.images, None, real.motions)
    monkeypatch.setattr(sequences, "of_split", lambda *arguments: [found])
    data = ["--dataset=kitti_odometry", f"--split={sequence}", "--data_dir=kitti"]
    assert evaluate(f"--run={folder}", *data) == 0
    said = f"{sequence}: the run was trained on {dataset}/{split}" in capsys.readouterr().err
    assert said == seen


# -- mistakes ------------------------------------------------------------------------------------


def test_mistakes_are_one_line(pair, run, tiny_video, tmp_run, capsys):
    folder, _ = run
    good = pair()
    files = {
        "short": "\n".join((tmp_run / "mine/10.txt").read_text().splitlines()[:-1]),
        "columns": "1 2 3 4 5\n" * 1201,
        "nan": "1 0 0 nan 0 1 0 0 0 0 1 0\n" * 1201,
        "skewed": "1 1 0 0 0 1 0 0 0 0 1 0\n" * 1201,
        "empty": "",
    }
    for name, text in files.items():
        (tmp_run / f"{name}.txt").write_text(text)
    (tmp_run / "nothing").mkdir()
    (tmp_run / "foreign.csv").write_text("a,b\n1,2\n")
    truth = "--true_poses=true/10.txt"
    data = ["--dataset=synthetic", f"--data_dir={tiny_video}"]
    for arguments, words in (
        ([], "give one of --run"),
        (["--predictions=short.txt", truth], "short.txt has 1200 poses, but true/10.txt has 1201"),
        (["--predictions=columns.txt", truth], "columns.txt: not a poses file"),
        (["--predictions=nan.txt", truth], "nan.txt, row 1: holds a number that is not finite"),
        (["--predictions=skewed.txt", truth], "skewed.txt, row 1: not a rigid motion"),
        (["--predictions=empty.txt", truth], "empty.txt: the poses file is empty"),
        (["--predictions=none.txt", truth], "none.txt: poses file missing"),
        (["--predictions=nothing", truth], "nothing: no pose files"),
        (["--predictions=mine", truth], "--true_poses=true/10.txt: --predictions is a folder"),
        (["--predictions=mine", "--true_poses=nothing"], "nothing/10.txt: poses file missing"),
        (good[:1], "--true_poses=<pose file> or --dataset"),
        ([*good, *data], "--true_poses=<pose file> or --dataset"),
        ([*good, "--split=test"], "--split is for --dataset"),
        ([good[0], *data], "has 1201 poses, but sequence"),
        (["--predictions=mine", *data], "there is no sequence '10' in the split"),
        ([good[0], "--dataset=kitti_raw"], "--split is required"),
        ([good[0], "--dataset=kitti_odometry"], "--data_dir is required"),
        ([*good, "--alignment=5dof"], "--alignment=5dof"),
        ([*good, "--crop=garg"], "--crop is for --task=depth"),
        ([*good, "--results=foreign.csv"], "not a results table"),
        ([f"--run={folder}", truth], "--true_poses is for --predictions"),
        (["--run=runs/none"], "runs/none"),
        (["--model=none.tflite", *data], "none.tflite"),
    ):
        capsys.readouterr()
        assert evaluate(*arguments) == 2, arguments
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("kdepth evaluate: ") and words in error, (arguments, error)
    assert not (tmp_run / "runs/results.csv").exists()
    assert not (tmp_run / "runs/predictions").exists()


def test_the_depth_task_refuses_odometrys_flags(tmp_run, capsys):
    assert cli.call("evaluate", ["--predictions=a.npy", "--alignment=7dof"]) == 2
    assert "--alignment is for --task=odometry" in capsys.readouterr().err


# -- real sequences ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dataset", "split", "file"),
    [
        ("kitti_odometry", "06", "poses/06.txt"),
        ("kitti_raw", "all", "2011_09_26/2011_09_26_drive_0013_sync/poses_cam2_from_oxts.txt"),
    ],
)
def test_the_readers_give_the_files_own_trajectory(realdata, tmp_run, dataset, split, file):
    root = realdata / dataset
    data = [f"--dataset={dataset}", f"--data_dir={root}", f"--split={split}"]
    assert evaluate(f"--predictions={root / file}", *data, "--alignment=none") == 0
    row = by_alignment(read_rows(RESULTS))["none"]
    assert float(row["ate"]) < 1e-4 and float(row["rpe"]) < 1e-4
    if dataset == "kitti_raw":  # 173 m
        assert float(row["t_err"]) < 1e-3
