"""Exported files are scored like their run, for every paper, and the table knows which file it was."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")
import kdepth  # noqa: E402
from kdepth import backend, cli, runtime  # noqa: E402
from kdepth.errors import UserError  # noqa: E402
from kdepth.evaluation import artefacts  # noqa: E402
from kdepth.evaluation.metrics import DEPTH_METRICS  # noqa: E402
from kdepth.evaluation.table import read_rows  # noqa: E402
from kdepth.exporters import export_model  # noqa: E402
from kdepth.papers import list_papers  # noqa: E402
from kdepth.prediction import Rig  # noqa: E402
from kdepth.training.runs import Run  # noqa: E402

SMALL = {"height": 128, "image_width": 128, "width": 0.05, "seed": 5}  # a size that all can take
# Frame by frame, SC-Depth takes long to trace; monodepth's other network sees both views.
OPTIONS = {
    **{paper: {"joint_calls": True} if paper == "scdepth" else {} for paper in list_papers()},
    "monodepth_stereo": {"stereo_input": True},
}
FORMATS = {"garg": ["tflite", "onnx", "savedmodel"]}
# A pixel that lies on the edge of 1.25 counts or not; the other metrics move with every digit.
TOLERANCES = {
    name: {"abs": 1e-3} if name.startswith("delta") else {"rel": 1e-4} for name in DEPTH_METRICS
}


def model_of(name: str) -> kdepth.papers.base.DepthModel:
    """A model whose predictions vary over the picture: a constant one would prove little."""
    model = kdepth.create(name.partition("_")[0], **SMALL, **OPTIONS[name])
    generator = np.random.default_rng(0)
    for part in model.parts().values():
        for variable in part.weights:
            values = backend.to_numpy(variable)
            if not values.any():  # some outputs start at zero
                variable.assign(generator.normal(0.05, 0.05, values.shape))
            elif model.paper == "eigen" and values.ndim > 1:  # starts small, layer by layer
                variable.assign(3.0 * values)
    if model.output_name == "disparity":
        model.rig = Rig(0.54, 0.58)
    return model


def evaluate(source: str, world: Path, *more: str) -> None:
    data = [f"--data_dir={world}", "--limit=2"]  # run and file say which data set it is
    quick = ["--pictures=0", "--bootstrap=0", "--results=results.csv"]
    assert cli.call("evaluate", [source, *data, *quick, *more]) == 0


@pytest.mark.parametrize("name", OPTIONS)
def test_a_float32_file_scores_like_its_run(name, tiny_video, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = model_of(name)
    run = Run(tmp_path / "runs" / name)
    facts = {"dataset": "synthetic", "split": "train", "seed": 5, "state": "finished"}
    run.write_info({"paper": model.paper, "data_dir": str(tiny_video), **facts})
    model.save_parts(run.weights)
    formats = FORMATS.get(name, ["tflite"])
    exported = export_model(
        model, tmp_path / "exports" / name, formats, precisions=["float32"], facts=facts
    )
    assert len(exported) == len(formats)

    evaluate(f"--run={run.folder}", tiny_video)
    for artefact in exported:
        evaluate(f"--model={artefact.path}", tiny_video)
    rows = [row for row in read_rows(Path("results.csv")) if row["paper"]]
    expected, *found = rows
    assert len(found) == len(exported)
    assert expected["sha256"] == runtime.sha256(run.weights) and not expected["artefact"]
    for row, artefact in zip(found, exported):
        for metric, tolerance in TOLERANCES.items():
            assert float(row[metric]) == pytest.approx(float(expected[metric]), **tolerance), metric
        # By the same protocol, against the same baselines.
        for column in ("protocol_description", "images", "baseline_data", "strongest_baseline"):
            assert row[column] == expected[column]
        assert (row["artefact"], row["system"]) == (artefact.path.name, artefact.path.name)
        assert row["sha256"] == runtime.sha256(artefact.path)
        assert row["precision"] == "float32" and float(row["bytes"]) == artefact.bytes
        assert row["weights_sha256"] == expected["weights_sha256"] != ""
        assert (row["trained_on"], row["seed"]) == ("synthetic/train", "5")
        assert (row["run"], row["image_width"]) == ("", expected["image_width"])


# -- latency from the benchmark's table ------------------------------------------------------------

COLUMNS = ("file", "sha256", "precision", "threads", "xnnpack", "median_ms", "p90_ms", "peak_mib")


def write_benchmark(path: Path, *rows: tuple) -> Path:
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, "bytes", "machine"])
        writer.writerows(rows)
    return path


def test_the_fastest_measurement_of_each_file(tmp_path):
    path = write_benchmark(
        tmp_path / "benchmark.csv",
        ("a.tflite", "aa", "float32", 1, "on", 20.0, 21.0, 80, 1000, "board"),
        ("a.tflite", "aa", "float32", 2, "on", 12.5, 14.0, 90, 1000, "board"),
        ("a.tflite", "aa", "float32", 2, "off", 50.0, 51.0, 70, 1000, "board"),
        ("b.onnx", "bb", "float32", 4, "", 7.0, 8.0, "", 1000, "board"),
    )
    timings = artefacts.read_timings(path)
    assert timings["aa"] == artefacts.Timing(12.5, 2, 90.0, "board")
    assert timings["bb"].median_ms == 7.0 and np.isnan(timings["bb"].peak_mib)


@pytest.mark.parametrize(
    "content", ["", "a,b\n1,2\n", "sha256,threads,median_ms\nx,2,fast\n", "\0"]
)
def test_what_is_no_table_of_benchmarks(tmp_path, content):
    path = tmp_path / "benchmark.csv"
    path.write_text(content)
    with pytest.raises(UserError, match=r"benchmark\.csv: not a table of kdepth benchmark"):
        artefacts.read_timings(path)
