from __future__ import annotations

import csv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kdepth.benchmarking import table
from kdepth.benchmarking.machine import Machine
from kdepth.benchmarking.measure import Measurement
from kdepth.benchmarking.subjects import Case, Subject
from kdepth.errors import UserError

MACHINE = Machine("Processor X", 2, 8.0, "Linux 6 x86_64", "")


def measurement(xnnpack=True, **changes):
    subject = Subject(Path("e/x.tflite"), "tflite", "int8", "depth", "garg", 2 * 2**20, "digest")
    values = {
        "input": "1x4x5x3 int8",
        "milliseconds": (1.0, 2.0, 3.0),
        "open_ms": 4.0,
        "peak_mib": 50.5,
        "model_mib": None,
        "energy_mj": None,
        "load": 0.25,
    }
    return Measurement(Case(subject, 2, xnnpack), **{**values, **changes})


def test_rows_are_appended(tmp_path):
    path = tmp_path / "runs" / "benchmark.csv"
    assert table.read(path) == []
    for delegate in (True, False):
        table.append(path, table.rows([measurement(delegate)], MACHINE, None))
    first, second = table.read(path)
    assert list(first) == list(table.COLUMNS)
    assert (first["file"], first["sha256"], first["precision"]) == ("e/x.tflite", "digest", "int8")
    assert (first["threads"], first["xnnpack"], second["xnnpack"]) == ("2", "on", "off")
    assert (first["median_ms"], first["p90_ms"], first["peak_mib"]) == ("2", "2.8", "50.5")
    assert (first["bytes"], first["energy_mj"], first["busy"]) == (str(2 * 2**20), "", "")
    assert first["machine"] == "Processor X, 2 cores, 8.0 GiB, Linux 6 x86_64"
    assert "numpy" in first["versions"] and first["date"]


def test_writers_in_the_same_moment_wait_for_each_other(tmp_path):
    path = tmp_path / "benchmark.csv"
    found = table.rows([measurement()], MACHINE, None)
    with ThreadPoolExecutor(8) as writers:
        list(writers.map(lambda _: table.append(path, found), range(24)))
    assert len(table.read(path)) == 24


def test_columns_of_another_version_are_kept(tmp_path):
    path = tmp_path / "benchmark.csv"
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "sha256", "threads", "xnnpack", "median_ms", "later"])
        writer.writerow(["a.onnx", "d", "1", "", "5", "kept"])
    table.append(path, table.rows([measurement()], MACHINE, None))
    old, new = table.read(path)
    assert (old["later"], old["median_ms"], old["precision"]) == ("kept", "5", "")
    assert new["later"] == ""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "lacks file"),
        ("a,b\n1,2\n", "lacks file, sha256"),
        ("file,sha256,threads,xnnpack,median_ms\n1,2\n", "row 2 has 2 of 5 values"),
        ('file,"', "unexpected end of data"),
    ],
)
def test_what_is_no_such_table_is_left_alone(tmp_path, text, why):
    path = tmp_path / "benchmark.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=f"benchmark.csv: not a table of kdepth benchmarks.*{why}"):
        table.append(path, table.rows([measurement()], MACHINE, None))
    assert path.read_text() == text


def test_the_printed_table_has_no_empty_columns():
    alone = table.terminal(table.rows([measurement()], MACHINE, None))
    assert "2.00" in alone and "2.80" in alone and "x.tflite" in alone
    assert "times as fast" not in alone and "mJ" not in alone and "model MiB" not in alone
    compared = measurement(ratio=1.75, reference="a", energy_mj=12.0)
    both = table.terminal(table.rows([measurement(), compared], MACHINE, None))
    assert "times as fast" in both and "1.75" in both and "12.0" in both
