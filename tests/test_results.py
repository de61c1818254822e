from __future__ import annotations

import csv

import pytest

from kdepth import cli
from kdepth.evaluation.table import append


def row(system, abs_rel, protocol="synthetic", **more):
    return {
        "system": system,
        "protocol": protocol,
        "protocol_description": f"{protocol}: dense depth; no crop < 80 m",
        "dataset": "synthetic",
        "split": "test",
        "images": 100,
        "abs_rel": abs_rel,
        "delta1": 1 - abs_rel,
        "baseline_data": "synthetic/train",
        **more,
    }


@pytest.fixture
def results(tmp_path):
    path = tmp_path / "results.csv"
    append(
        path,
        [
            row("run_a", 0.3, paper="garg", gain_percent=-20.0, height="64", image_width="208"),
            row(
                "run_b",
                0.125,
                paper="garg",
                variant="released",
                control="shuffled",
                gain_percent=50.0,
            ),
            row("baseline: row mean", 0.25),
            row("run_c", 0.5, protocol="eigen", paper="monodepth"),
        ],
    )
    return path


def call(results, *more):
    return cli.call("results", [f"--results={results}", *more])


def test_sorted_by_abs_rel_with_the_protocol_in_full(results, capsys):
    assert call(results) == 0
    out = capsys.readouterr().out
    places = [out.index(name) for name in ("run_b", "baseline: row mean", "run_a", "run_c")]
    assert places == sorted(places)
    assert "Protocol synthetic: dense depth; no crop < 80 m." in out
    assert "Protocol eigen: dense depth; no crop < 80 m." in out
    assert "-50.0 %" in out and "+20.0 %" in out
    assert "0.1250" in out and "0.875" in out and "d1_all" not in out


def test_filters(results, capsys):
    assert call(results, "--protocol=eigen") == 0
    out = capsys.readouterr().out
    assert "run_c" in out and "run_a" not in out
    assert call(results, "--paper=garg") == 0
    out = capsys.readouterr().out
    assert "run_a" in out and "baseline: row mean" in out and "run_c" not in out
    assert call(results, "--nobaselines") == 0
    assert "row mean" not in capsys.readouterr().out


def test_files(results, tmp_path, capsys):
    names = [f"--{kind}={tmp_path}/out.{kind}" for kind in ("csv", "markdown", "latex")]
    assert call(results, *names) == 0
    with open(tmp_path / "out.csv", newline="") as file:
        assert [r["system"] for r in csv.DictReader(file)] == [
            "run_a",
            "run_b",
            "baseline: row mean",
            "run_c",
        ]
    markdown = (tmp_path / "out.markdown").read_text()
    assert "| run_b" in markdown and "**0.1250**" in markdown and "**0.3000**" not in markdown
    assert "garg (released, shuffled)" in markdown
    latex = (tmp_path / "out.latex").read_text()
    assert r"run\_b" in latex and r"\textbf{0.1250}" in latex and r"-50.0 \%" in latex
    assert r"\textless{} 80 m" in latex and latex.count(r"\toprule") == 2
    assert latex.count("{") == latex.count("}")


def test_mistakes_are_one_line(results, tmp_path, capsys):
    for arguments, words in (
        ((tmp_path / "none.csv",), "no results yet"),
        ((results, "--paper=eigen"), "garg, monodepth"),
        ((results, "--protocol=x"), "eigen, synthetic"),
    ):
        assert call(*arguments) == 2
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1


def test_terminal_bold_marks_the_best(results):
    from kdepth.evaluation import formats
    from kdepth.evaluation.table import read_table

    report = formats.reports(read_table(results))[0]
    assert "\033[1m0.1250\033[0m" in formats.terminal(report, bold=True)
    assert report.best("delta1") == {0}
