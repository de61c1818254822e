from __future__ import annotations

import subprocess
import sys

import pytest

from kdepth import cli
from kdepth.benchmarking import machine, table


def call(*arguments: object) -> int:
    return cli.call("benchmark", [str(argument) for argument in arguments])


def test_prints_and_stores(exported, tmp_run, capsys, monkeypatch):
    monkeypatch.setattr(machine, "busy", lambda: "other work takes 80 % of the processors' time")
    model = f"{exported.folder}/tiny.tflite,{exported.folder}/tiny_float16.tflite"
    flags = ("--threads=1", "--repeats=3", "--warmup=1", "--xnnpack=on", "--alternate")
    assert call(f"--model={model}", *flags, "--profile") == 0
    captured = capsys.readouterr()
    assert "tiny_float16.tflite" in captured.out and "times as fast" in captured.out
    assert str(machine.this_machine()) in captured.out and "load" in captured.out
    assert "ai-edge-litert" in captured.out
    assert "CONV_2D" in captured.out and "XNNPACK runs" in captured.out
    assert "the machine is not idle (other work takes 80 %" in captured.err
    first, second = table.read(tmp_run / "runs" / "benchmark.csv")
    assert (first["precision"], second["precision"]) == ("float32", "float16")
    assert float(second["ratio"]) == pytest.approx(
        float(first["median_ms"]) / float(second["median_ms"]), rel=1e-4
    )
    assert first["busy"] and first["repeats"] == "3"


def test_every_way_to_run_is_a_row(exported, tmp_run, capsys):
    arguments = ("--threads=1,2,1", "--repeats=1", "--warmup=0", "--csv=mine.csv")
    assert call(f"--model={exported.folder}/tiny.tflite", *arguments) == 0
    rows = [(row["threads"], row["xnnpack"]) for row in table.read(tmp_run / "mine.csv")]
    assert rows == [("1", "on"), ("1", "off"), ("2", "on"), ("2", "off")]
    assert "wrote mine.csv" in capsys.readouterr().out


def test_nothing_is_stored_where_no_file_is_wanted(exported, tmp_run):
    model = f"--model={exported.folder}/tiny.onnx"
    assert call(model, "--threads=1", "--repeats=1", "--warmup=0", "--csv=") == 0
    assert not list(tmp_run.iterdir())


def test_exported_files_need_no_tensorflow(exported, tmp_path):
    """As with `pip install kdepth[runtime,runtime-onnx]`: the other packages raise ImportError."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    for name in ("tensorflow", "keras", "pandas", "tf2onnx", "onnx"):
        (hidden / f"{name}.py").write_text("raise ImportError('hidden')\n")
    model = f"--model={exported.folder}/tiny.tflite,{exported.folder}/tiny.onnx"
    code = (
        f"import sys; sys.path.insert(0, {str(hidden)!r}); from kdepth import cli;"
        "import os; os.environ['PYTHONPATH'] += os.pathsep + sys.path[0];"
        f"sys.exit(cli.call('benchmark', [{model!r}, '--threads=1', '--repeats=1', '--csv=']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "tiny.onnx" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--model=<exported file or folder> or --run=runs/<name> is required"),
        (["--model=nowhere.tflite"], "there is no exported model nowhere.tflite"),
        (["--model={folder}", "--threads=0"], "--threads=0: must be numbers from 1 on"),
        (["--model={folder}", "--threads=two"], "--threads=two: must be numbers from 1 on"),
        (["--model={folder}", "--threads="], "must be numbers from 1 on"),
        (["--run=nowhere"], "nowhere is no training run"),
        (["--model={folder}", "--csv=table.csv"], "not a table of kdepth benchmarks"),
    ],
)
def test_bad_flags(exported, tmp_run, capsys, arguments, message):
    (tmp_run / "table.csv").write_text("a,b\n")
    assert call(*(argument.format(folder=exported.folder) for argument in arguments)) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1 and errors[0].startswith("kdepth benchmark: ")
    assert message in errors[0]
