"""The results as one HTML file: tables, curves, pictures, trajectories.

The file needs no other one and runs no script: plots and pictures are embedded, and a content
security policy forbids everything else. Text from outside (names of runs, images, data sets) is
escaped. What an evaluation or a run did not leave is left out.
"""

from __future__ import annotations

import base64
import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import pandas as pd
from absl import logging

from kdepth.evaluation import formats, report_plots
from kdepth.evaluation.artefacts import Timing
from kdepth.evaluation.by_distance import COLUMNS as DISTANCE_COLUMNS
from kdepth.evaluation.odometry_task import NAME as ODOMETRY
from kdepth.evaluation.table import is_baseline

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; max-width: 1500px; margin: 2em auto;
  padding: 0 1em; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; display: block;
  overflow-x: auto; }
th, td { padding: .25em .7em; white-space: nowrap; }
thead tr { border-bottom: 2px solid #222; }
tbody tr:nth-child(even) { background: #f4f4f4; }
.left { text-align: left; }
.right { text-align: right; }
p { color: #555; max-width: 60em; }
img { max-width: 100%; }
summary { cursor: pointer; }
"""
_HEAD = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>kdepth: results</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>Results</h1>"""
# More of one kind are folded: an evaluation of camera motion leaves a table for each sequence and
# alignment.
_FEW, _FEW_PICTURES = 3, 12
_PICTURE_NOTE = (
    "Image, prediction, ground truth and relative error of a few frames, as the run's last "
    "evaluation left them."
)


def build(
    table: pd.DataFrame,
    folder: Path,
    sort: str | None = None,
    timings: Mapping[str, Timing] | None = None,
) -> str:
    """Writes the report.

    Args:
        table: the rows to show; see `kdepth.evaluation.formats.reports`.
        folder: holds the runs' folders, and `predictions` with those of other systems.
        sort: the metric that tables are sorted by.
        timings: of exported files, see `kdepth.evaluation.artefacts`.

    Returns:
        The HTML document.

    Raises:
        ModuleNotFoundError: without matplotlib.
    """
    measured = table[~table["system"].map(is_baseline).astype(bool)]
    if "source" in measured:
        measured = measured[measured["source"] == ""]
    systems = {
        system: _folder_of(folder, run, system)
        for system, run in zip(measured["system"], measured["run"])
    }
    parts = [_HEAD]
    parts += _tables(formats.reports(table, sort, timings))
    parts += _distances(measured, systems)
    parts += _curves({place.name: place / "log.csv" for place in systems.values()})
    pictures = {name: place / "images" / "evaluation.png" for name, place in systems.items()}
    parts += _pictures("Pictures", _PICTURE_NOTE, pictures)
    ways = {
        f"{name}, sequence {path.stem}": path
        for name, place in systems.items()
        for path in sorted((place / "evaluation" / ODOMETRY).glob("*.png"))
    }
    parts += _pictures("Trajectories", "Seen from above, and the drift by length.", ways)
    return "\n".join([*parts, "</body>", "</html>\n"])


def _tables(reports: Sequence[formats.Report]) -> list[str]:
    """All tables; those of many sequences under one protocol are folded, and it is stated once."""
    groups: dict[tuple[str, str], list[formats.Report]] = {}
    for report in reports:
        groups.setdefault((report.title.rpartition(", ")[0], report.notes[0]), []).append(report)
    parts = []
    for (title, protocol), group in groups.items():
        if len(group) <= _FEW:
            for report in group:
                parts += ["<section>", formats.html(report), "</section>"]
            continue
        tables = [
            formats.html(dataclasses.replace(report, notes=report.notes[1:]), level=3)
            for report in group
        ]
        parts += ["<section>", f"<h2>{escape(title)}</h2>", f"<p>{escape(protocol)}</p>"]
        parts += [*_folded(f"{len(group)} splits or sequences", tables), "</section>"]
    return parts


def _folded(summary: str, parts: Sequence[str]) -> list[str]:
    return ["<details>", f"<summary>{escape(summary)}</summary>", *parts, "</details>"]


def _folder_of(folder: Path, run: str, system: str) -> Path:
    """Where `evaluate` leaves its files; a name from the table never leads out of the folder."""
    return folder / Path(run).name if run else folder / "predictions" / Path(system).name


def _distances(measured: pd.DataFrame, systems: dict[str, Path]) -> list[str]:
    parts = []
    for protocol in dict.fromkeys(measured["protocol"]):
        names = dict.fromkeys(measured["system"][measured["protocol"] == protocol])
        name = f"{Path(protocol).name}_by_distance.csv"
        found = {system: systems[system] / "evaluation" / name for system in names}
        rows = {
            system: _rows(path, DISTANCE_COLUMNS, ("from_m", "to_m"))
            for system, path in found.items()
        }
        rows = {system: lines for system, lines in rows.items() if lines}
        if rows:
            svg = report_plots.error_by_distance(rows)
            title = f"Error by distance, protocol {protocol}"
            parts += ["<section>", f"<h2>{escape(title)}</h2>", _image(svg, "svg+xml", title)]
            parts.append("<p>Means over the pixels of all images in a bin.")
            left_out = [system for system in names if system not in rows]
            if left_out:
                parts.append(f"Nothing was left by {escape(', '.join(left_out))}.")
            parts.append("</p></section>")
    return parts


def _curves(logs: dict[str, Path]) -> list[str]:
    columns = ("stage", "step", "loss")
    rows = {name: _rows(path, columns, columns) for name, path in logs.items()}
    rows = {name: lines for name, lines in rows.items() if lines}
    if not rows:
        return []
    image = _image(report_plots.training_curves(rows), "svg+xml", "Training curves")
    note = "<p>Loss and its terms (without their weights), one point an epoch; dotted: the next stage.</p>"
    return ["<section>", "<h2>Training</h2>", image, note, "</section>"]


def _pictures(title: str, note: str, pictures: dict[str, Path]) -> list[str]:
    parts, count = [], 0
    # A run that stands in several tables has its pictures once.
    for path, name in {path: name for name, path in pictures.items()}.items():
        content = _png(path)
        if content:
            count += 1
            parts += [f"<h3>{escape(name)}</h3>", _image(content, "png", f"{title}: {name}")]
    if not parts:
        return []
    if count > _FEW_PICTURES:
        parts = _folded(f"{count} pictures", parts)
    return ["<section>", f"<h2>{title}</h2>", f"<p>{note}</p>", *parts, "</section>"]


def _image(content: bytes, kind: str, text: str) -> str:
    # As an image, not as elements: nothing in it can run, and names in two SVGs do not clash.
    data = base64.b64encode(content).decode("ascii")
    return f'<img alt="{escape(text)}" src="data:image/{kind};base64,{data}">'


def _rows(path: Path, columns: Sequence[str], filled: Sequence[str]) -> list[dict[str, str]]:
    """A CSV file of figures; none if it is missing, or damaged, which is reported.

    Args:
        path: the file.
        columns: that it must have.
        filled: those of them that must have a value in every row.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, strict=True)
            rows = list(reader)
        if not set(columns) <= set(reader.fieldnames or ()):
            raise ValueError(f"it lacks one of {', '.join(columns)}")
        for number, row in enumerate(rows, start=2):
            figures = {name: value for name, value in row.items() if name != "stage"}
            if None in row or not all(map(_is_figure, figures.values())):
                raise ValueError(f"row {number} has something else than figures")
            if not all(row[name] for name in filled):
                raise ValueError(f"row {number} lacks one of {', '.join(filled)}")
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, ValueError, csv.Error) as error:
        logging.warning("%s is damaged (%s): the report goes without it", path, error)
        return []
    return rows


def _is_figure(text: str | None) -> bool:
    """Whether a cell is empty or a number; None: the row ended before it."""
    if text is None:
        return False
    try:
        float(text or "nan")
    except ValueError:
        return False
    return True


def _png(path: Path) -> bytes | None:
    """A picture's bytes; None if it is missing, or damaged, which is reported."""
    from PIL import Image

    try:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            image.load()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, SyntaxError) as error:
        logging.warning("%s is damaged (%s): the report goes without it", path, error)
        return None
    return content
