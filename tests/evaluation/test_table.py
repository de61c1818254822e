from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from kdepth.errors import UserError
from kdepth.evaluation.table import COLUMNS, append, read_rows, read_table


def row(system="garg", abs_rel=0.2, **more):
    return {
        "system": system,
        "protocol": "synthetic",
        "protocol_description": "synthetic: dense, all of it",
        "dataset": "synthetic",
        "split": "test",
        "images": 100,
        "abs_rel": abs_rel,
        **more,
    }


def test_rows_are_appended_in_order(tmp_path):
    path = tmp_path / "runs" / "results.csv"
    append(path, [row("a", 0.25)])
    append(path, [row("b", 0.125, flags='a "quoted", comma\nnewline')])
    table = read_table(path)
    assert list(table.columns) == list(COLUMNS)
    assert list(table["system"]) == ["a", "b"]
    assert list(table["abs_rel"]) == [0.25, 0.125]
    assert np.isnan(table["d1_all"]).all()
    assert table["flags"][1] == 'a "quoted", comma newline'


def test_figures_keep_every_digit(tmp_path):
    value = 0.1 + 0.2
    append(tmp_path / "r.csv", [row(abs_rel=value)])
    append(tmp_path / "r.csv", [row(abs_rel=1.0)])
    assert read_table(tmp_path / "r.csv")["abs_rel"][0] == value


def test_baselines_are_replaced_and_runs_repeated(tmp_path):
    path = tmp_path / "r.csv"
    for value in (0.5, 0.4):
        append(path, [row("garg", value), row("baseline: row mean", value)])
    append(path, [row("baseline: row mean", 0.9, split="train")])
    append(path, [row("baseline: row mean", 0.8, protocol_description="another")])
    found = [(r["system"], r["abs_rel"]) for r in read_rows(path)]
    assert found == [
        ("garg", "0.5"),
        ("garg", "0.4"),
        ("baseline: row mean", "0.4"),
        ("baseline: row mean", "0.9"),
        ("baseline: row mean", "0.8"),
    ]


def test_columns_of_other_versions_survive(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("system,protocol,protocol_description,abs_rel,mood\nold,p,p: all,0.5,good\n")
    append(path, [row("new")])
    rows = read_rows(path)
    assert (rows[0]["mood"], rows[0]["abs_rel"], rows[1]["mood"]) == ("good", "0.5", "")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"name,price\napple,3\n", "lacks"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\xff\xfe", "not text"),
        (b"system,protocol,protocol_description,abs_rel\na,p,p: all\n", "row 2 has 3 of 4"),
        (b"system,protocol,protocol_description,abs_rel\na,p,p: all,0.2x\n", "not a number"),
        (b'system,protocol,protocol_description,abs_rel\na,p,"p: all,0.2\n', "damaged"),
        (b"system,system,protocol,protocol_description,abs_rel\n", "distinct"),
    ],
)
def test_foreign_or_damaged_files_are_left_alone(tmp_path, content, words):
    path = tmp_path / "r.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=words):
        append(path, [row()])
    assert path.read_bytes() == content
    assert {p.name for p in tmp_path.iterdir()} <= {"r.csv", ".r.csv.lock"}


def test_no_results_yet(tmp_path):
    with pytest.raises(UserError, match="no results yet"):
        read_table(tmp_path / "r.csv")


def test_unknown_columns_are_a_bug(tmp_path):
    with pytest.raises(ValueError, match="abs_erl"):
        append(tmp_path / "r.csv", [row(abs_erl=1)])


def test_two_processes_lose_nothing(tmp_path):
    code = (
        "import sys; from pathlib import Path; from kdepth.evaluation.table import append\n"
        "for i in range(25):\n"
        "    append(Path(sys.argv[1]), [{'system': f'{sys.argv[2]} {i}', 'abs_rel': i}])\n"
    )
    path = str(tmp_path / "r.csv")
    writers = [
        subprocess.Popen([sys.executable, "-c", code, path, name]) for name in ("a", "b", "c")
    ]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    systems = [r["system"] for r in read_rows(tmp_path / "r.csv")]
    assert len(systems) == 75
    for name in ("a", "b", "c"):
        assert [s for s in systems if s.startswith(name)] == [f"{name} {i}" for i in range(25)]
