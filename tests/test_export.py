from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import kdepth
from kdepth import cli, export
from kdepth.data.image import write_image
from kdepth.errors import UserError
from kdepth.evaluation.table import append
from kdepth.exporters import pictures as chosen
from kdepth.exporters import verify
from kdepth.runtime import DepthModel
from kdepth.training.runs import Run
from tests.small_models import small_garg


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    model = small_garg()
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


def test_8_bits_another_size_and_metres(run, pictures, tmp_path, capsys):
    out = tmp_path / "out"
    flags = [f"--run={run}", f"--out={out}", f"--images={pictures}", "--formats=tflite"]
    flags += [f"--calibration_images={pictures}", "--calibration_samples=2", "--output=depth"]
    assert call(*flags, "--precisions=int8_float_head", "--height=56", "--image_width=80") == 0
    name = "out_int8_float_head.tflite"
    entry = json.loads((out / "out.json").read_text())["files"][name]
    printed = capsys.readouterr().out
    for operator, count in entry["float_operators"].items():
        assert f"{operator} x{count}" in printed
    assert "DIV" in entry["float_operators"] and "full int8" not in printed
    model = DepthModel(out / name)
    assert (
        model.facts.input_shape == (56, 80, 3) and model.description["calibrated_on"]["count"] == 2
    )
    prediction = model(np.full((30, 40, 3), 128, np.uint8))
    assert (prediction.quantity, prediction.unit) == ("depth", "m")


def test_dense_layers_have_one_size(tmp_path, capsys):
    model = kdepth.create("eigen", width=0.05, height=64, image_width=64)
    run = Run(tmp_path / "eigen")
    run.write_info({"paper": "eigen", "state": "finished"})
    model.save_parts(run.weights)
    assert call(f"--run={run.folder}", "--height=80") == 2
    assert "eigen has dense layers (fc6, fc7)" in capsys.readouterr().err


def test_the_score_is_the_runs_last_row(run, tmp_path):
    folder = Path(shutil.copytree(run, tmp_path / "tiny"))
    assert export.score_of(folder) is None
    table = tmp_path / "results.csv"
    row = {"run": "tiny", "system": "tiny", "protocol": "synthetic", "protocol_description": "p"}
    append(table, [{**row, "date": "2026-01-01", "abs_rel": 0.3}])
    append(table, [{**row, "date": "2026-01-02", "abs_rel": 0.2, "images": 160}])
    append(table, [{**row, "date": "2026-01-03", "abs_rel": 0.1, "system": "tiny+postprocess"}])
    score = export.score_of(folder)
    assert (score["abs_rel"], score["images"], score["protocol"]) == (0.2, 160, "synthetic")
    Run(folder).update_info(finished="2026-01-04")
    assert export.score_of(folder) is None, "it was trained anew since"
    table.write_text("not a table")
    assert export.score_of(folder) is None


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
        (["--run={run}", "--calibration_samples=2"], "only 8-bit TFLite files are calibrated"),
        (["--run={run}", "--formats=tflite", "--opset=13"], "only ONNX files have it"),
        (["--run={run}", "--formats=coreml"], "--formats=coreml: choose some of tflite"),
        (["--run={run}", "--precisions=int4"], "--precisions=int4: choose some of float32"),
        (["--run={run}", "--formats=onnx", "--precisions=int8"], "--formats=onnx has dynamic"),
        (["--run={run}", "--formats=tflite", "--layout=nchw"], "only ONNX files have it"),
        (["--run={run}", "--opset=99"], "--opset=99: must lie in 13 .. 18"),
        (["--run={run}", "--precisions=int8"], "--calibration_images=<folder> gives others"),
        (["--run={run}", "--height=20"], "garg needs images of at least 39x39"),
        (["--run={run}", "--part=pose"], "garg has no pose network"),
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


def test_calibration_pictures_are_drawn_from_the_training_split(tiny_video):
    info = {"dataset": "synthetic", "data_dir": str(tiny_video), "split": "train"}
    first = chosen.calibration_of_run(info, 3, seed=0)
    again, other = (chosen.calibration_of_run(info, 3, seed=seed) for seed in (0, 1))
    assert len(first) == 3 and all(picture.shape == (64, 96, 3) for picture in first)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    (pair,) = chosen.calibration_of_run(info, 1, seed=0, views=2)
    assert pair.shape == (64, 96, 6) and not np.array_equal(pair[..., :3], pair[..., 3:])
    with pytest.raises(UserError, match="not at hand"):
        chosen.calibration_of_run({**info, "data_dir": "nowhere"}, 1, seed=0)
