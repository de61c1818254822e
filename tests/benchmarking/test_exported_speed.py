"""What benchmarks/exported_speed.py makes of measurements; the measuring itself is tested beside."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")


@pytest.fixture(scope="module")
def script():
    path = Path(__file__).parents[2] / "benchmarks" / "exported_speed.py"
    spec = importlib.util.spec_from_file_location("exported_speed", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def row(script, format, precision, median):
    known = {"paper": "garg", "format": format, "precision": precision, "median_ms": median}
    return {**dict.fromkeys((*script.MEASURED, *script.CONDITIONS), 1), **known}


def test_each_file_is_judged_by_its_own_bar(script):
    found = script.judged(
        [
            row(script, "keras", "float32", 10.0),
            row(script, "tflite", "float32", 8.0),
            row(script, "tflite", "int8", 5.0),
            row(script, "tflite", "int8_float_head", 4.0),
        ]
    )
    shown = [(r["precision"], r["against"], r["ratio"], r["needed"], r["passed"]) for r in found]
    assert shown == [
        ("keras", None, None, None, None),
        ("float32", "keras", 1.25, 1.0, "yes"),
        ("int8", "float32", 1.6, 1.8, "no"),
        ("int8_float_head", "float32", 2.0, None, None),
    ]


def test_rows_take_the_place_of_earlier_ones(script, tmp_path):
    path = tmp_path / "docs" / "speed.csv"
    keras = row(script, "keras", "float32", 10.0)
    script.write(path, script.judged([keras, row(script, "tflite", "float32", 8.0)]))
    text = path.read_text()
    other = "keras3" if "addons," in text else "addons"
    path.write_text(
        text + text.splitlines()[-1].replace(text.splitlines()[-1].split(",")[0], other)
    )
    script.write(path, script.judged([keras, row(script, "tflite", "float32", 20.0)]))
    rows = list(csv.DictReader(path.open()))
    assert [(r["stack"] == other, r["precision"], r["passed"]) for r in rows] == [
        (False, "keras", ""),
        (False, "float32", "no"),
        (True, "float32", "yes"),
    ]
