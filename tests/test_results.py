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


# -- exported files --------------------------------------------------------------------------------


def exported(name, precision, abs_rel, size, weights="w1", **more):
    more = {"paper": "garg", "height": "64", "image_width": "208", **more}
    return row(
        name,
        abs_rel,
        artefact=name,
        precision=precision,
        bytes=size,
        sha256=f"digest of {name}",
        weights_sha256=weights,
        **more,
    )


@pytest.fixture
def quantised(tmp_path):
    path = tmp_path / "results.csv"
    size = {"height": "64", "image_width": "208"}
    append(
        path,
        [
            exported("a_int8.tflite", "int8", 0.206, 2**20),
            row("other", 0.205, paper="garg"),
            exported("a.tflite", "float32", 0.2, 4 * 2**20, date="2026-01-02"),
            exported("a.tflite", "float32", 0.1, 4 * 2**20, date="2026-01-01"),
            row("a", 0.19, paper="garg", run="a", sha256="run", weights_sha256="w1", **size),
            exported("b_float16.tflite", "float16", 0.42, 2**19, weights="w2"),
            row("b", 0.4, paper="garg", run="b", weights_sha256="w2", **size),
            exported("c_int8.tflite", "int8", 0.5, 2**19, weights="w3"),
            row("baseline: row mean", 0.25),
        ],
    )
    return path


def cells(out):
    """System -> the table's cells by column."""
    lines = out.splitlines()
    bars = next(line for line in lines if line.startswith("---"))
    ends = [0, *(i for i, c in enumerate(bars) if c == " "), len(bars)]
    cut = [
        [line.ljust(len(bars))[a:b].strip() for a, b in zip(ends, ends[1:])]
        for line in lines
        if line.strip()
    ]
    header = next(line for line in cut if line[0] == "system")
    return [dict(zip(header, line)) for line in cut[cut.index(header) + 2 :]]


def test_quantised_files_stand_beside_float32_with_what_they_lost(quantised, tmp_path, capsys):
    (tmp_path / "benchmark.csv").write_text(
        "file,sha256,precision,threads,xnnpack,median_ms,p90_ms,peak_mib,bytes,machine\n"
        "x,digest of a_int8.tflite,int8,2,on,5.25,6,40,9,a board\n"
        "x,digest of a.tflite,float32,2,on,12.34,13,80,9,a board\n"
        "x,run,float32,2,,30,31,500,9,a board\n"
        "x,of something else,float32,2,on,1,2,3,4,another board\n"
    )
    assert call(quantised) == 0
    out = capsys.readouterr().out
    rows = cells(out)
    assert [found["system"] for found in rows[:9]] == [
        *("a.tflite", "a", "a.tflite", "a_int8.tflite"),  # one network, before the next
        *("other", "baseline: row mean", "b", "b_float16.tflite", "c_int8.tflite"),
    ]
    by_name = {found["system"]: found for found in rows}
    int8 = by_name["a_int8.tflite"]
    # Against the newer float32 row, not the run or the older one.
    assert (int8["precision"], int8["lost"], int8["MiB"]) == ("int8", "+3.0 %", "1.00")
    assert (int8["ms"], int8["peak MiB"]) == ("5.2 (2)", "40")
    assert by_name["a.tflite"]["lost"] == "+0.0 %" and by_name["a.tflite"]["ms"] == "12.3 (2)"
    assert by_name["b_float16.tflite"]["lost"] == "+5.0 %"  # against the run
    assert by_name["b_float16.tflite"]["ms"] == "" == by_name["c_int8.tflite"]["lost"]
    assert by_name["a"]["ms"] == "30.0 (2)"  # the Keras model
    assert by_name["a"]["lost"] == by_name["other"]["MiB"] == ""
    assert "abs_rel lies above that of the float32 file" in out
    assert "kdepth benchmark" in out and "on a board." in out and "another board" not in out


def test_other_formats_have_the_columns_too(quantised, tmp_path, capsys):
    names = [f"--{kind}={tmp_path}/out.{kind}" for kind in ("csv", "markdown", "latex", "html")]
    assert call(quantised, *names) == 0
    assert "+3.0 %" in (tmp_path / "out.markdown").read_text()
    assert r"+3.0 \%" in (tmp_path / "out.latex").read_text()
    assert "+3.0 %" in (tmp_path / "out.html").read_text()
    with open(tmp_path / "out.csv", newline="") as file:
        assert next(csv.DictReader(file))["sha256"] == "digest of a_int8.tflite"


def test_a_benchmark_that_is_asked_for_must_be_there(quantised, tmp_path, capsys):
    assert call(quantised, f"--benchmark={tmp_path}/none.csv") == 2
    assert "none.csv: no such file (--benchmark)" in capsys.readouterr().err


def test_tables_without_exported_files_look_as_before(results, capsys):
    assert call(results) == 0
    out = capsys.readouterr().out
    assert not {"precision", "lost", "MiB", "ms"} & set(out.split())
