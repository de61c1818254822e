"""The HTML report: complete, self-contained, safe, and rendered by a browser."""

from __future__ import annotations

import base64
import html
import html.parser
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("matplotlib")

from kdepth import cli  # noqa: E402
from kdepth.evaluation import html_report  # noqa: E402
from kdepth.evaluation.by_distance import COLUMNS  # noqa: E402
from kdepth.evaluation.published import describe  # noqa: E402
from kdepth.evaluation.table import append  # noqa: E402

EVIL = "<script>document.title='owned'</script>"


class Elements(html.parser.HTMLParser):
    """Counts elements, checks that they close, and keeps what they refer to."""

    VOID = frozenset(["meta", "link", "img"])

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.open: list[str] = []
        self.references: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.references += [value for name, value in attrs if name in ("src", "href")]
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def row(system, **more):
    return {
        "system": system,
        "protocol": "eigen",
        "protocol_description": describe("eigen"),
        "dataset": "kitti_raw",
        "split": "eigen_test",
        "images": 697,
        "abs_rel": 0.2,
        "rmse": 6.0,
        **more,
    }


def write_csv(path, header, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(",".join(map(str, line)) for line in [header, *rows]) + "\n")


@pytest.fixture
def runs(tmp_path):
    """A run with all that evaluations leave, an evil name, and predictions from elsewhere."""
    folder = tmp_path / "runs"
    rng = np.random.default_rng(0)
    rows = [
        row("garg", run="garg", paper="garg"),
        row(EVIL, run=EVIL, abs_rel=0.3),
        row("other $x_", abs_rel=0.25),
        row("baseline: row mean", abs_rel=0.35),
    ]
    odometry = {"protocol": "odometry_7dof", "protocol_description": describe("odometry_7dof")}
    rows.append(
        {**row("garg", run="garg"), **odometry, "dataset": "kitti_odometry", "split": "09",
         "images": 1591, "abs_rel": "", "rmse": "", "t_err": 12.5, "r_err": 3.5}
    )  # fmt: skip
    append(folder / "results.csv", rows)
    header = ["stage", "epoch", "step", "learning_rate", "loss", "photometric"]
    lines = [("L9" if i < 3 else "L10", i, 10 * i, 1e-3, 1 / (1 + i), 0.5) for i in range(6)]
    write_csv(folder / "garg/log.csv", header, lines)
    bins = [(10 * i, 10 * (i + 1), 9, 3, 0.1 + 0.02 * i, 0.01 * i, i, 0.9) for i in range(8)]
    bins[-1] = (70, "inf", 0, 0, "", "", "", "")
    for place in ("garg", "predictions/other $x_"):
        write_csv(folder / place / "evaluation/eigen_by_distance.csv", COLUMNS, bins)
    for name in ("images/evaluation.png", "evaluation/odometry/09.png"):
        path = folder / "garg" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (40, 60, 3), dtype=np.uint8)).save(path)
    return folder


def build(runs, *more):
    path = runs.parent / "report.html"
    flags = [f"--results={runs / 'results.csv'}", f"--html={path}", *more]
    assert cli.call("results", flags) == 0
    return path


def test_the_report_has_everything_and_needs_nothing(runs):
    text = build(runs).read_text()
    elements = Elements(text)
    for words in ("Training", "Error by distance, protocol eigen", "Pictures", "Trajectories"):
        assert f">{words}" in text
    assert "Godard 2017 (KITTI)" in text and "unverified" in text and "baseline: row mean" in text
    assert "<b>12.500</b>" not in text and "<b>5.08</b>" in text
    assert elements.seen.count("table") == 2 and elements.seen.count("img") == 4
    assert all(reference.startswith("data:") for reference in elements.references)
    outside = re.sub(r'"data:[^"]*"', "", text)
    assert "http" not in outside.replace("http-equiv", "")
    kinds = [reference[:22] for reference in elements.references[1:]]
    assert sorted({kind.partition(";")[0] for kind in kinds}) == [
        "data:image/png",
        "data:image/svg+xml",
    ]


def test_many_sequences_are_folded_and_their_protocol_is_stated_once(runs):
    protocol = describe("odometry_scale")
    many = {"protocol": "odometry_scale", "protocol_description": protocol, "images": 5}
    rows = [
        {**row("garg", run="garg"), **many, "split": f"<{i}>", "abs_rel": "", "rmse": "", "ate": i}
        for i in range(14)
    ]
    append(runs / "results.csv", rows)
    for i in range(12):
        shutil.copy(runs / "garg/images/evaluation.png", runs / f"garg/evaluation/odometry/{i}.png")
    text = build(runs, "--published=none").read_text()
    elements = Elements(text)
    assert elements.seen.count("details") == elements.seen.count("summary") == 2
    assert ">14 splits or sequences<" in text and ">13 pictures<" in text
    assert text.count(html.escape(protocol)) == 1
    assert all(text.count(f"kitti_raw, &lt;{i}&gt;</h3>") == 1 for i in range(14))


def test_the_same_evaluation_made_again_is_shown_once(runs):
    again = [row("garg", run="garg", paper="garg", date="2026-01-01", abs_rel_low=0.1)]
    append(runs / "results.csv", again)
    assert build(runs).read_text().count(">garg</td>") == 3  # system and paper; odometry
    append(runs / "results.csv", [row("garg", run="garg", paper="garg", abs_rel=0.21)])
    assert build(runs).read_text().count(">garg</td>") == 5


def test_who_left_no_error_by_distance_is_said(runs):
    assert "Nothing was left by &lt;script&gt;" in build(runs).read_text()


def test_foreign_text_stays_text(runs):
    text = build(runs).read_text()
    assert "script" not in Elements(text).seen
    assert EVIL not in text and "&lt;script&gt;" in text
    for encoded in re.findall(r"svg\+xml;base64,([^\"]*)", text):
        assert b"<script" not in base64.b64decode(encoded)


def test_a_name_from_the_table_leads_nowhere(tmp_path):
    folder = tmp_path / "runs"
    assert html_report._folder_of(folder, "../../etc", "x") == folder / "etc"
    assert html_report._folder_of(folder, "", "/etc") == folder / "predictions/etc"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("garg/log.csv", b"stage,step,loss\nL9,1,x\n"),
        ("garg/log.csv", b"stage,step,loss\nL9,,1\n"),
        ("garg/log.csv", b"a,b\n1,2\n"),
        ("garg/log.csv", b"stage,step,loss\nL9,1\n"),
        ("garg/log.csv", b"\xff\xfe\x00"),
        ("garg/images/evaluation.png", b"\x89PNG\r\n\x1a\n" + b"x" * 40),
        ("garg/images/evaluation.png", b"<svg onload='x'/>"),
        ("garg/evaluation/eigen_by_distance.csv", b"from_m,to_m\n1,2\n"),
    ],
)
def test_damaged_files_are_left_out(runs, name, content, capsys):
    whole = Elements(build(runs).read_text()).seen.count("img")
    (runs / name).write_bytes(content)
    if "by_distance" in name:
        shutil.rmtree(runs / "predictions")
    capsys.readouterr()
    assert Elements(build(runs).read_text()).seen.count("img") == whole - 1
    assert "is damaged" in capsys.readouterr().err


def test_runs_that_left_nothing(runs):
    for place in ("garg", "predictions"):
        shutil.rmtree(runs / place)
    text = build(runs, "--published=none").read_text()
    assert Elements(text).seen.count("img") == 0 and "Training" not in text
    assert text.count("<table>") == 2


def test_a_browser_renders_it_without_an_error(runs, chromium, tmp_path):
    report = build(runs)
    # The pictures' sizes are known only once they were decoded; the page gets a probe for them.
    probe = "<script>onload=()=>{document.title=[...document.images].map(i=>i.naturalWidth>0)+''}</script>"
    text = report.read_text().replace(
        "default-src 'none';", "default-src 'none'; script-src 'unsafe-inline';"
    )
    probed = tmp_path / "probed.html"
    probed.write_text(text.replace("</head>", f"{probe}</head>"))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    options += [f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr"]
    options += ["--no-first-run", "--disable-background-networking", "--virtual-time-budget=5000"]

    def run(*arguments):
        command = [chromium, *options, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)

    picture = tmp_path / "report.png"
    shown = run(f"--screenshot={picture}", "--window-size=1200,2000", report.as_uri())
    assert "CONSOLE" not in shown.stderr
    pixels = np.asarray(Image.open(picture).convert("L"))
    assert pixels.shape == (2000, 1200) and (pixels < 128).mean() > 0.005
    found = run("--dump-dom", probed.as_uri())
    assert "CONSOLE" not in found.stderr
    assert "<title>true,true,true,true</title>" in found.stdout
    # What the check of the console is worth: an error does appear there.
    broken = tmp_path / "broken.html"
    broken.write_text("<script>nothing()</script>")
    assert "CONSOLE" in run("--dump-dom", broken.as_uri()).stderr
