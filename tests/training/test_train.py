"""The train command: what a run leaves behind, exact resume, and what stops it."""

import csv
import errno
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import kdepth  # noqa: E402
from kdepth import cli  # noqa: E402
from kdepth.training import checkpoints  # noqa: E402

STEPS = 15  # 3 an epoch, 5 epochs over four stages


def replaced(flags, **changes):
    kept = [f for f in flags if f.lstrip("-").split("=")[0] not in changes]
    return kept + [f"--{name}={value}" for name, value in changes.items() if value is not None]


def weights(run):
    arrays = {}
    for path in sorted(Path(run, "weights").glob("*.npz")):
        with np.load(path) as file:
            arrays.update({f"{path.stem}/{name}": file[name] for name in file.files})
    return arrays


def assert_bit_equal(run, other):
    mine, theirs = weights(run), weights(other)
    assert mine.keys() == theirs.keys() and mine
    for name, value in mine.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)


@pytest.fixture(scope="module")
def undisturbed(tiny_world, tmp_path_factory):
    """A run from the beginning to the end in one go."""
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    flags = tiny_run_flags(tiny_world, run)
    assert cli.call("train", flags) == 0
    return run


def tiny_run_flags(world, run):
    return [
        "--paper=garg", "--width=0.05", "--height=64", "--image_width=96", f"--data_dir={world}",
        "--batch_size=2", "--epochs=2,1,1,1", "--optimizer=adam", "--learning_rate=0.001", "--seed=5",
        "--notensorboard", f"--run={run}",
    ]  # fmt: skip


def test_a_run_leaves_what_was_promised(undisturbed):
    info = json.loads((undisturbed / "run.json").read_text())
    assert (
        info["state"] == "finished" and info["protocol"] == "synthetic" and info["paper"] == "garg"
    )
    assert info["rig"]["baseline"] == pytest.approx(0.54, abs=0.02)
    assert "--paper=garg" in (undisturbed / "flags.cfg").read_text()
    rows = list(csv.DictReader(open(undisturbed / "log.csv")))
    assert [row["stage"] for row in rows] == ["L9", "L9", "L10", "L11", "L12"]
    assert [int(row["step"]) for row in rows] == [3, 6, 9, 12, 15]
    assert set(rows[0]) >= {"loss", "photometric", "smooth", "learning_rate", "samples_per_second"}
    model = kdepth.load_run(undisturbed)
    assert model.stage.name == "L12" and model.rig.baseline == info["rig"]["baseline"]


def test_the_same_command_again_does_nothing_and_another_is_refused(
    undisturbed, tiny_world, capsys
):
    flags = tiny_run_flags(tiny_world, undisturbed)
    before = (undisturbed / "run.json").stat().st_mtime_ns
    assert cli.call("train", flags) == 0
    assert "finished already" in capsys.readouterr().out
    for other, message in (("--seed=6", "seed was 5, is 6"), ("--jit", "jit was false, is true")):
        assert cli.call("train", [*flags, other]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert cli.call("train", [*flags, "--tensorboard"]) == 0  # changes nothing that is learned
    assert (undisturbed / "run.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("stops", [(1, 6, 10), (3, 8, 14)])
def test_stopping_inside_and_between_stages_changes_nothing(
    undisturbed, tiny_world, tmp_path, stops
):
    """Stopped in the middle of an epoch, at an epoch's end, between stages and inside later stages."""
    flags = tiny_run_flags(tiny_world, tmp_path / "run")
    for stop in stops:
        assert cli.call("train", [*flags, f"--stop_after={stop}"]) == 130
        assert json.loads((tmp_path / "run/run.json").read_text())["state"] == "stopped"
    assert cli.call("train", flags) == 0
    assert_bit_equal(tmp_path / "run", undisturbed)
    mine, theirs = (
        list(csv.DictReader(open(r / "log.csv"))) for r in (tmp_path / "run", undisturbed)
    )
    timing = {"seconds", "samples_per_second"}
    assert [{k: v for k, v in row.items() if k not in timing} for row in mine] == [
        {k: v for k, v in row.items() if k not in timing} for row in theirs
    ]


# Runs `train` and kills its own process: at a step, or while a checkpoint of that step is being
# written.
_KILLER = """
import os, signal, sys
import numpy as np
from kdepth import cli
from kdepth.training import callbacks, checkpoints
where, step = sys.argv[1], int(sys.argv[2])
def die():
    os.kill(os.getpid(), signal.SIGKILL)
if where == "step":
    update = callbacks.Progress.on_train_batch_end
    def killing(self, batch, logs=None):
        update(self, batch, logs)
        if int(self.model.step) == step:
            die()
    callbacks.Progress.on_train_batch_end = killing
else:
    class Savez:
        def __getattr__(self, name):
            return getattr(np, name)
        def savez(self, file, **arrays):
            if f"step-{step:09d}" in file.name:
                file.write(b"half a checkpoint")
                file.flush()
                die()
            np.savez(file, **arrays)
    checkpoints.np = Savez()
sys.exit(cli.call("train", sys.argv[3:]))
"""


@pytest.mark.slow
def test_killed_at_three_random_steps_the_weights_are_bit_equal(undisturbed, tiny_world, tmp_path):
    """SIGKILL, once while a checkpoint is written; augmentation and dropout are on."""
    run = tmp_path / "run"
    flags = [*tiny_run_flags(tiny_world, run), "--checkpoint_steps=1"]
    steps = sorted(random.Random().sample(range(2, STEPS), 3))
    kinds = ["step", "checkpoint", "step"]
    for kind, step in zip(kinds, steps):
        command = [sys.executable, "-c", _KILLER, kind, str(step), *flags]
        killed = subprocess.run(command, capture_output=True, text=True)
        assert killed.returncode == -9, killed.stderr
        assert checkpoints.latest(run / "checkpoints").step == step - 1 + (kind == "step")
    assert cli.call("train", flags) == 0
    assert_bit_equal(run, undisturbed)
    assert not list((run / "checkpoints").glob(".*"))


def test_a_full_disk_keeps_the_old_checkpoint(tiny_world, tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    flags = [*tiny_run_flags(tiny_world, run), "--checkpoint_steps=1"]
    savez = np.savez

    def full_disk(file, **arrays):
        if "step-000000003" in getattr(file, "name", ""):
            file.write(b"some bytes")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        savez(file, **arrays)

    monkeypatch.setattr(np, "savez", full_disk)
    assert cli.call("train", flags) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "disk full" in error and "step-000000003.npz" in error
    files = sorted(path.name for path in (run / "checkpoints").iterdir())
    assert files == ["step-000000001.npz", "step-000000002.npz"]
    assert checkpoints.latest(run / "checkpoints").step == 2


def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    undisturbed, tiny_world, tmp_path, capsys
):
    flags = [*tiny_run_flags(tiny_world, tmp_path / "run"), "--checkpoint_steps=1"]
    assert cli.call("train", [*flags, "--stop_after=5"]) == 130
    newest = tmp_path / "run/checkpoints/step-000000005.npz"
    newest.write_bytes(newest.read_bytes()[:1000])
    assert cli.call("train", flags) == 0
    assert "trying the one before it" in capsys.readouterr().err
    assert_bit_equal(tmp_path / "run", undisturbed)


def test_a_checkpoint_of_another_width_is_named(tiny_world, tmp_path, capsys):
    flags = tiny_run_flags(tiny_world, tmp_path / "run")
    assert cli.call("train", [*flags, "--stop_after=2"]) == 130
    other = replaced(tiny_run_flags(tiny_world, tmp_path / "other"), width=0.1)
    assert cli.call("train", [*other, "--stop_after=1"]) == 130
    for path in (tmp_path / "other/checkpoints").iterdir():
        path.unlink()
    source = tmp_path / "run/checkpoints/step-000000002.npz"
    (tmp_path / "other/checkpoints" / source.name).write_bytes(source.read_bytes())
    capsys.readouterr()
    assert cli.call("train", other) == 2
    assert "another width" in capsys.readouterr().err


def test_a_loss_that_is_not_finite_names_the_term_and_the_sample(
    tiny_world, tmp_path, capsys, monkeypatch
):
    from kdepth.data import decode

    load = decode.load_sample

    def poisoned(record, keys):
        sample = load(record, keys)
        if record.name.endswith("0000000001") and "drive_0001" in record.name:
            sample["stereo"] = sample["stereo"].astype(np.float32) * np.nan
        return sample

    monkeypatch.setattr(decode, "load_sample", poisoned)
    assert (
        cli.call("train", [*tiny_run_flags(tiny_world, tmp_path / "run"), "--collapse_patience=0"])
        == 2
    )
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "not finite" in error and "term photometric" in error
    assert "drive_0001" in error and "0000000001" in error and "0000000002" not in error


def test_a_collapsed_network_is_stopped(tiny_world, tmp_path, capsys):
    flags = replaced(
        tiny_run_flags(tiny_world, tmp_path / "run"), learning_rate="1e-12", epochs="4,0,0,0"
    )
    assert cli.call("train", [*flags, "--collapse_patience=3"]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "collapsed" in error and "constant" in error and "3 epochs" in error


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"data_dir": "/nowhere/at/all", "dataset": "kitti_raw", "split": "eigen_train"},
            "/nowhere/at/all",
        ),
        ({"split": "trian"}, "trian"),
        ({"epochs": "1,2"}, "4 numbers"),
        ({"epochs": "one"}, "must be numbers"),
        ({"height": 20}, "at least 39x39"),
        ({"paper": "grag"}, "did you mean 'garg'"),
        ({"option": "gama=1"}, "no option 'gama'"),
        ({"option": "smooth_weight=high"}, "must be float"),
        ({"ablation": "no_such"}, "no_smooth"),
        ({"batch_size": 100}, "batch"),
        ({"resampler": "own", "variant": "relased"}, "variant must be"),
        ({"dataset": "kitti_stereo2015", "pair": "video", "split": "all"}, "sources"),
        ({"learning_rat": "1"}, "did you mean --learning_rate"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(tiny_world, tmp_path, capsys, changes, message):
    flags = replaced(tiny_run_flags(tiny_world, tmp_path / "run"), **changes)
    assert cli.call("train", flags) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and "\n" not in error, error
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_no_run_is_left_alone(tiny_world, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/thesis.tex").write_text("do not lose me")
    assert cli.call("train", tiny_run_flags(tiny_world, tmp_path / "run")) == 2
    assert "no training run" in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["thesis.tex"]


def test_two_logical_devices_train_as_one(undisturbed, tiny_world, tmp_path):
    flags = [*tiny_run_flags(tiny_world, tmp_path / "run"), "--devices=2"]
    assert cli.call("train", flags) == 0
    mine, theirs = weights(tmp_path / "run"), weights(undisturbed)
    for name, value in mine.items():
        np.testing.assert_allclose(value, theirs[name], atol=1e-5, err_msg=name)


def test_the_shuffled_control_pairs_images_with_strangers(tiny_world, tmp_path):
    from kdepth.data import open_reader
    from kdepth.train import _shuffled

    records = open_reader("synthetic", tiny_world).records("train", frozenset({"image", "stereo"}))
    strangers = _shuffled(records, 1)
    assert sorted(map(str, (r.stereo for r in strangers))) == sorted(
        map(str, (r.stereo for r in records))
    )
    assert sum(a.stereo != b.stereo for a, b in zip(strangers, records)) >= len(records) // 2


@pytest.mark.parametrize(
    "flags",
    [
        ["--pair=video"],
        ["--variant=released", "--epochs=2", "--learning_rate=0.001"],
        ["--precision=mixed_bfloat16", "--schedule=cosine", "--warmup_steps=2", "--clip_norm=1"],
        ["--ablation=exact_gradient", "--optimizer=sgd", "--weight_decay=0.001"],
        ["--resampler=own", "--on_bad_sample=skip", "--cache=none"],
    ],
)
def test_other_forms_train(tiny_world, tmp_path, flags):
    base = replaced(tiny_run_flags(tiny_world, tmp_path / "run"), epochs="1,1,1,1")
    assert cli.call("train", [*base, *flags]) == 0
    model = kdepth.load_run(tmp_path / "run")
    images = np.random.default_rng(0).random((1, 64, 96, 3)).astype(np.float32)
    assert np.isfinite(model.predict_depth(images).values).all()
    rows = list(csv.DictReader(open(tmp_path / "run/log.csv")))
    assert all(np.isfinite(float(row["loss"])) for row in rows)


def test_tensorboard_has_curves_and_pictures(tiny_world, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    flags = replaced(tiny_run_flags(tiny_world, tmp_path / "run"), epochs="2,0,0,0")
    assert cli.call("train", [f for f in flags if f != "--notensorboard"]) == 0
    events = EventAccumulator(str(tmp_path / "run/tensorboard")).Reload()
    tags = set(events.Tags()["tensors"])
    assert {"image", "disparity", "epoch/loss", "epoch/photometric"} <= tags


@pytest.mark.slow
def test_ctrl_c_stops_cleanly_and_resumes(undisturbed, tiny_world, tmp_path):
    """A real SIGINT, sent while steps run."""
    interrupt = """
import os, signal, sys
from kdepth import cli
from kdepth.training import callbacks
signal.signal(signal.SIGINT, signal.default_int_handler)  # background shells ignore it
update = callbacks.Progress.on_train_batch_end
def interrupting(self, batch, logs=None):
    update(self, batch, logs)
    if int(self.model.step) == 4:
        os.kill(os.getpid(), signal.SIGINT)
callbacks.Progress.on_train_batch_end = interrupting
sys.exit(cli.call("train", sys.argv[1:]))
"""
    flags = tiny_run_flags(tiny_world, tmp_path / "run")
    command = [sys.executable, "-c", interrupt, *flags]
    stopped = subprocess.run(command, capture_output=True, text=True)
    assert stopped.returncode == 130 and "Traceback" not in stopped.stderr, stopped.stderr
    assert json.loads((tmp_path / "run/run.json").read_text())["state"] == "stopped"
    assert cli.call("train", flags) == 0
    assert_bit_equal(tmp_path / "run", undisturbed)
