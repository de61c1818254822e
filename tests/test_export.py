from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import kdepth
from kdepth import backend, cli, export
from kdepth.data.image import write_image
from kdepth.errors import UserError
from kdepth.exporters import pictures as chosen
from kdepth.exporters import verify
from kdepth.prediction import Rig
from kdepth.runtime import DepthModel
from kdepth.training.runs import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    model = kdepth.create("garg", width=0.05, height=72, image_width=96)
    generator = np.random.default_rng(0)
    for part in model.parts().values():
        for variable in part.weights:
            values = backend.to_numpy(variable)
            if not values.any():  # the score layers start at zero
                variable.assign(generator.normal(0.2, 0.1, values.shape))
    model.rig = Rig(0.54, 0.58)
    run = Run(tmp_path_factory.mktemp("runs") / "tiny")
    run.write_info(
        {
            "paper": "garg",
            "state": "finished",
            "seed": 3,
            "dataset": "kitti_raw",
            "data_dir": "nowhere",
            "split": "eigen_train",
        }
    )
    model.save_parts(run.weights)
    return run.folder


@pytest.fixture
def pictures(tmp_path) -> Path:
    generator = np.random.default_rng(0)
    for index in range(6):
        picture = generator.integers(0, 256, (40, 60, 3), dtype=np.uint8)
        write_image(tmp_path / "pictures" / f"{index}.png", picture)
    return tmp_path / "pictures"


def call(*arguments: object) -> int:
    return cli.call("export", [str(argument) for argument in arguments])


def test_export_prints_and_stores_parity(run, pictures, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call(f"--run={run}", f"--images={pictures}", "--formats=tflite,onnx") == 0
    printed = capsys.readouterr().out
    folder = tmp_path / "exports" / "tiny"
    description = json.loads((folder / "tiny.json").read_text())
    assert set(description["files"]) == {"tiny.tflite", "tiny_float16.tflite", "tiny.onnx"}
    for name, entry in description["files"].items():
        assert name in printed and f"{entry['parity']:.1e}" in printed
        assert 0 <= entry["parity"] <= entry["tolerance"]
    assert description["verified_on"] == {"source": str(pictures), "count": 4}
    assert description["run"]["seed"] == 3 and description["run"]["state"] == "finished"
    image = np.zeros((40, 60, 3), np.uint8)
    assert DepthModel(folder / "tiny.onnx")(image).values.shape == (1, 40, 60)


def test_without_its_data_it_says_so_and_uses_patterns(run, tmp_path, capsys):
    out = tmp_path / "out"
    assert call(f"--run={run}", f"--out={out}", "--formats=onnx") == 0
    captured = capsys.readouterr()
    assert "test patterns" in captured.out and "nowhere" in captured.err
    assert json.loads((out / "out.json").read_text())["verified_on"]["source"] == "test patterns"


def test_a_mismatch_is_status_1_one_line_and_no_file(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(verify, "TOLERANCES", dict.fromkeys(verify.TOLERANCES, 0.0))
    assert call(f"--run={run}", f"--out={tmp_path / 'out'}", "--formats=onnx") == 1
    errors = capsys.readouterr().err
    assert "kdepth export: out.onnx differs from the Keras model" in errors
    assert "Traceback" not in errors
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--run is required"),
        (["--run=nowhere"], "nowhere is no training run"),
        (["--run={run}", "--formats=coreml"], "--formats=coreml: choose some of tflite"),
        (["--run={run}", "--formats="], "choose some of"),
        (["--run={run}", "--images=nowhere"], "nowhere: no such picture or folder"),
    ],
)
def test_bad_flags(run, tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert call(*(argument.format(run=run) for argument in arguments)) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("kdepth export: ") and message in line
    assert not list(tmp_path.iterdir())


def test_pictures_are_taken_evenly_over_a_folder(pictures):
    first, last = chosen.read_pictures(pictures, 2)
    everything = chosen.read_pictures(pictures, 10)
    assert len(everything) == 6
    np.testing.assert_array_equal(first, everything[0])
    np.testing.assert_array_equal(last, everything[5])


def test_a_corrupt_picture_is_named(pictures):
    (pictures / "0.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match="0.png"):
        chosen.read_pictures(pictures)


def test_pictures_of_the_runs_own_test_split(realdata):
    info = {
        "dataset": "kitti_stereo2015",
        "data_dir": str(realdata / "kitti_stereo2015"),
        "split": "all",
    }
    pictures, source = chosen.pictures_of_run(info)
    assert len(pictures) == 4 and source.startswith("kitti_stereo2015")
    assert all(picture.dtype == np.uint8 for picture in pictures)
