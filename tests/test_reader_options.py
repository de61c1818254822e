"""--reader_option from the command line to the samples, and what a run remembers of it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("tensorflow")

from kdepth import cli  # noqa: E402
from kdepth.evaluation.table import read_rows  # noqa: E402


@pytest.fixture
def rig(tmp_run):
    """Pictures of the user's own stereo rig, with depth in millimetres, without a calibration."""
    rng = np.random.default_rng(0)
    for kind in ("left", "right", "depth"):
        (tmp_run / "rig" / kind).mkdir(parents=True)
    for frame in range(12):
        for side in ("left", "right"):
            picture = rng.integers(0, 256, (32, 64, 3), dtype=np.uint8)
            Image.fromarray(picture).save(tmp_run / f"rig/{side}/{frame:03d}.png")
        depth = rng.integers(2000, 9000, (32, 64)).astype(np.uint16)
        Image.fromarray(depth).save(tmp_run / f"rig/depth/{frame:03d}.png")
    return tmp_run / "rig"


def train(rig, *options, run="runs/own"):
    flags = [
        *("--paper=garg", "--width=0.05", "--height=64", "--image_width=96", "--epochs=1,0,0,0"),
        *("--batch_size=2", "--dataset=folder", f"--data_dir={rig}", "--split=train"),
        *("--notensorboard", f"--run={run}", "--collapse_patience=0"),
    ]
    return cli.call("train", [*flags, *(f"--reader_option={option}" for option in options)])


RIG = ("fx=40", "baseline=0.25")


def test_from_the_flags_to_the_run_and_its_evaluation(rig, capsys):
    assert train(rig, *RIG) == 0
    info = json.loads((rig.parent / "runs/own/run.json").read_text())
    assert info["reader_options"] == {"fx": 40.0, "baseline": 0.25}
    assert info["rig"] == {"baseline": 0.25, "focal": 40 / 64}

    # The same flags again: nothing to do. Another value of the first option: another run.
    capsys.readouterr()
    assert train(rig, *RIG) == 0
    assert "finished already" in capsys.readouterr().out
    assert (
        "--reader_option=fx=40\n--reader_option=baseline=0.25"
        in (rig.parent / "runs/own/flags.cfg").read_text()
    )
    assert train(rig, "fx=50", "baseline=0.25") == 2
    assert "other flags (reader_option was fx=40 baseline=0.25" in capsys.readouterr().err

    # Evaluation knows the run's camera; the scale of depth is said now.
    evaluate = ["--run=runs/own"]
    assert cli.call("evaluate", evaluate) == 2
    assert "depth_scale=1000" in capsys.readouterr().err
    assert cli.call("evaluate", [*evaluate, "--reader_option=depth_scale=1000"]) == 0
    row = read_rows(rig.parent / "runs/results.csv")[0]
    assert row["reader_options"] == "baseline=0.25 depth_scale=1000.0 fx=40.0"
    assert (row["split"], row["baseline_data"], row["images"]) == ("val", "folder/train", "1")


def test_what_a_protocol_sets_is_not_the_runs(tmp_run):
    from kdepth.evaluation import chosen_data, protocols

    flags = cli.parse("evaluate", ["--reader_option=lidar_value=velodyne_x"])
    info = {"dataset": "kitti_raw", "reader_options": {"depth": "groundtruth"}}
    protocol = protocols.find("eigen")  # a velodyne scan, x
    assert chosen_data._reader_options(flags, info, "kitti_raw", protocol) == {}
    assert chosen_data._reader_options(
        cli.parse("evaluate", []), info, "kitti_raw", protocols.Protocol("any")
    ) == {"depth": "groundtruth"}


def test_mistakes_are_one_line(rig, capsys):
    assert train(rig, "fx=wide") == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (rig.parent / "runs").exists()


def test_a_protocol_says_its_own_ground_truth(rig, tmp_run, capsys):
    np.save(tmp_run / "predictions.npy", np.ones((1, 4, 6), np.float32))
    (tmp_run / "kitti").mkdir()
    flags = ["--predictions=predictions.npy", "--dataset=kitti_raw", "--data_dir=kitti"]
    flags += ["--protocol=eigen", "--reader_option=depth=groundtruth"]
    assert cli.call("evaluate", flags) == 2
    error = capsys.readouterr().err
    assert "--reader_option=depth=groundtruth: protocol eigen is about depth=velodyne" in error
