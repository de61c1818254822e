"""The published figures: sources, protocols, and the measured rows that they stand beside."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from kdepth import cli, list_papers
from kdepth.evaluation import formats, protocols, published
from kdepth.evaluation.table import append, read_table


@pytest.fixture(scope="module")
def figures():
    return published.read()


def measured(protocol, system="mine", **more):
    return {
        "system": system,
        "protocol": protocol,
        "protocol_description": published.describe(protocol),
        "dataset": "kitti_raw",
        "split": "eigen_test",
        "images": 697,
        "abs_rel": 0.15,
        "baseline_data": "kitti_raw/eigen_train",
        **more,
    }


def test_every_figure_has_a_source_and_a_protocol(figures):
    with open(published.FILE, newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(figures)
    for line in lines:
        assert line["source"] and line["verified"] in ("yes", "no")
        assert ("memory" in line["source"]) == (line["verified"] == "no")
        assert not line["paper"] or line["paper"] in list_papers()
        if not line["protocol"].startswith("odometry"):
            protocol = protocols.find(line["protocol"].partition("+")[0])
            assert (protocol.split, protocol.images) == (line["split"], int(line["images"]))
    assert set(figures["paper"]) == {*list_papers(), ""}
    keys = ["system", "protocol", "split"]
    assert not figures.duplicated(keys).any()


def test_figures_are_plausible(figures):
    """A slipped column would break one of these."""
    depth = figures[figures["abs_rel"].notna()]
    ordered = (depth["delta1"] < depth["delta2"]) & (depth["delta2"] < depth["delta3"])
    assert ordered.all() and (depth["delta3"] < 1).all()
    driving = depth[depth["dataset"] != "nyu_labelled"]  # indoors sq_rel may be the smaller one
    assert (driving["rmse_log"] < driving["rmse"]).all()
    assert (driving["abs_rel"] < driving["sq_rel"]).all()
    motion = figures[figures["abs_rel"].isna()]
    assert (motion["t_err"].notna() ^ motion["ate_5"].notna()).all()


def test_numbers_that_the_papers_modules_state(figures):
    folder = Path(published.FILE).parents[1] / "papers"
    for paper, value in (
        ("garg2016", "0.137796"),
        ("garg2016", "5.104"),
        ("monodepth2017", "5.927"),
        ("monodepth2017", "30.272"),
        ("sfmlearner2017", "6.856"),
        ("scdepth2021", "4.706"),
        ("eigen2014", "6.307"),
    ):
        assert value in (folder / f"{paper}.py").read_text()
        numbers = figures.select_dtypes("float").to_numpy().ravel()
        assert any(math.isclose(float(value), number) for number in numbers)


def test_rows_join_where_the_rules_are_the_same(figures, tmp_path):
    path = tmp_path / "results.csv"
    append(path, [measured("eigen"), measured("eigen", "few", images=5)])
    table = published.beside(read_table(path), figures)
    whole, few = formats.reports(table)
    assert "Godard 2017 (KITTI)" in whole.labels["system"]  # published as eigen_garg_80
    assert not any("Zhou" in name for name in whole.labels["system"])  # scaled by medians
    assert few.labels["system"] == ["few"]
    place = whole.labels["system"].index("Godard 2017 (KITTI)")
    assert whole.labels["source"][place] == "quoted by later papers"
    assert whole.labels["source"][whole.labels["system"].index("mine")] == ""
    text = formats.markdown(whole)
    assert (
        " 0.148 " in text
        and "0.1480" not in text
        and "from memory of the paper, unverified" in text
    )
    assert "**0.114**" in text
    rest = published.elsewhere(read_table(path), figures)
    joined = len(table) - 2
    assert joined > 5 and len(rest) == len(figures) - joined


def test_the_command(tmp_path, capsys):
    path = tmp_path / "results.csv"
    append(path, [measured("eigen", paper="monodepth")])
    call = lambda *more: cli.call("results", [f"--results={path}", *more])  # noqa: E731
    assert call() == 0
    assert "Godard 2017 (KITTI)" in capsys.readouterr().out
    assert call("--published=none") == 0
    assert "Godard" not in capsys.readouterr().out
    assert call("--paper=garg", "--published=all") == 0
    out = capsys.readouterr().out
    assert "Garg 2016, released ResNet" in out and "0.1378" in out and "Godard" not in out
    assert call("--dataset=kitti_odometry", "--published=all") == 0
    out = capsys.readouterr().out
    assert "Zhou 2017" in out and "SC-Depth" in out and "mine" not in out
    assert call("--sort=delta1") == 0
    out = capsys.readouterr().out
    assert out.index("ResNet-50, pp") < out.index("no LR")
    assert call("--sort=delta9") == 2
    assert "--sort=delta9: no such metric" in capsys.readouterr().err


def test_published_figures_need_no_results(tmp_path, capsys):
    missing = f"--results={tmp_path}/none.csv"
    assert cli.call("results", [missing]) == 2
    assert "no results yet" in capsys.readouterr().err
    assert cli.call("results", [missing, "--published=all"]) == 0
    assert capsys.readouterr().out.count("Protocol ") >= 12
