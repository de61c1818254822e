from __future__ import annotations

import csv

import numpy as np
import pytest

from kdepth.errors import UserError
from kdepth.evaluation import compare, per_image
from kdepth.evaluation.per_image import PerImage
from kdepth.evaluation.protocol import Protocol
from kdepth.evaluation.scoring import Scores

PROTOCOL = Protocol("p")


def figures(system, abs_rel, images=None, protocol="p: all"):
    abs_rel = np.asarray(abs_rel, np.float64)
    images = images or [f"frame {i}" for i in range(len(abs_rel))]
    values = np.stack([abs_rel, 1 - abs_rel], axis=1)
    return PerImage(system, protocol, tuple(images), ("abs_rel", "delta1"), values)


def test_pairs_show_what_the_means_hide():
    """Images differ far more than the systems do, and one is a little better on each."""
    rng = np.random.default_rng(0)
    hard = rng.uniform(0.05, 0.6, 100)
    first, second = figures("a", hard), figures("b", hard - 0.01 - rng.uniform(0, 0.01, 100))
    (abs_rel, delta1) = compare.compare(first, second, samples=500).rows
    assert abs_rel["difference"] == pytest.approx(abs_rel["second"] - abs_rel["first"])
    assert -0.02 < abs_rel["low"] < abs_rel["difference"] < abs_rel["high"] < -0.01
    assert abs_rel["second_better_on_percent"] == 100
    assert abs_rel["verdict"] == delta1["verdict"] == "b is better"
    assert delta1["low"] > 0
    turned = compare.compare(second, first, samples=500).rows[0]
    assert turned["verdict"] == "b is better" and turned["difference"] == -abs_rel["difference"]


def test_equal_systems_do_not_differ():
    rng = np.random.default_rng(0)
    hard = rng.uniform(0.05, 0.6, 100)
    row = compare.compare(figures("a", hard), figures("b", hard + rng.normal(0, 0.01, 100))).rows[0]
    assert row["low"] < 0 < row["high"] and row["verdict"] == "no clear difference"


def test_images_are_paired_by_name():
    first = figures("a", [0.1, 0.2, 0.3], ["x", "y", "z"])
    second = figures("b", [0.3, 0.1, 0.2], ["z", "x", "y"])
    row = compare.compare(first, second).rows[0]
    assert (row["low"], row["difference"], row["high"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (figures("b", [0.1, 0.2], protocol="q: crop"), "a was scored by another protocol"),
        (figures("b", [0.1, 0.2], ["frame 0", "frame 7"]), "different images .2 and 2, 2 of them"),
        (figures("b", [0.1, 0.2, 0.3]), "different images .2 and 3, 1 of them.*'frame 2'"),
        (figures("b", [0.1] * 3, ["frame 0", "frame 1", "frame 1"]), "there twice"),
    ],
)
def test_what_does_not_compare(other, words):
    with pytest.raises(UserError, match=words):
        compare.compare(figures("a", [0.1, 0.2]), other)


def scores():
    found = Scores(names=["a 1", "a 2"], pixels=[3, 4], ratios=[1.5, 2.5])
    found.system = [{"abs_rel": 0.1, "rmse": 2.0}, {"abs_rel": 0.3, "rmse": 1 / 3}]
    found.baselines = {"row mean": [{"abs_rel": 0.5}, {"abs_rel": 0.7}]}
    return found


def test_figures_survive_the_file(tmp_path):
    path = tmp_path / "evaluation" / "p.csv"
    per_image.write(path, "mine, really", PROTOCOL, scores())
    read = per_image.read(path)
    written = per_image.of_scores("mine, really", PROTOCOL, scores())
    np.testing.assert_array_equal(read.values, written.values)
    assert (read.system, read.protocol) == ("mine, really", PROTOCOL.describe())
    assert (read.images, read.metrics) == (written.images, ("abs_rel", "rmse"))
    with open(path, newline="") as file:
        row = list(csv.DictReader(file))[1]
    assert (row["pixels"], row["median_ratio"], row["abs_rel of row mean"]) == ("4", "2.5", "0.7")


def test_damaged_tables_are_one_line(tmp_path):
    path = tmp_path / "p.csv"
    per_image.write(path, "mine", PROTOCOL, scores())
    whole = path.read_text()
    lines = whole.splitlines(keepends=True)
    for text, words in (
        ("", "it is empty"),
        (lines[0], "no rows"),
        (lines[0] + lines[1][:20], "cut off"),
        (whole.replace("abs_rel,", "absrel,", 1), "lacks abs_rel"),
        (whole.replace("0.1", "a lot", 1), "a lot"),
        (lines[0] + lines[1] + lines[2].replace(",mine,", ",other,"), "different systems"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=f"p.csv: not a table.*{words}"):
            per_image.read(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="it is not text"):
        per_image.read(path)
    for absent in (tmp_path / "none.csv", tmp_path, path / "below"):
        with pytest.raises(UserError, match="no such table"):
            per_image.read(absent)


def test_comparisons_as_csv(tmp_path):
    first, second = figures("a", [0.1, 0.2, 0.6]), figures("b", [0.1, 0.3, 0.5])
    found = compare.compare(first, second)
    compare.write(tmp_path / "c.csv", [found, found])
    with open(tmp_path / "c.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 and rows[0]["metric"] == "abs_rel"
    assert (rows[0]["first_system"], rows[0]["images"]) == ("a", "3")
    assert float(rows[0]["difference"]) == found.rows[0]["difference"]
    assert "1000 draws, seed 0" in rows[0]["interval"]
    assert "difference: b - a, on 3 images" in compare.as_text(found)
