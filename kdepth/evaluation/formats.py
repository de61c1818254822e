"""Results as text: terminal, Markdown, LaTeX, HTML.

There is one table per protocol, because figures of two protocols do not compare. A format is a
function from a `Report` to text; the protocol stands in full under the table.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape as escape_html

import pandas as pd
import tabulate

from kdepth.evaluation import artefacts
from kdepth.evaluation.artefacts import Timing
from kdepth.evaluation.metrics import ALL_METRICS, HIGHER_IS_BETTER
from kdepth.evaluation.table import ODOMETRY_METRICS

tabulate.MIN_PADDING = 0  # ten columns of figures shall fit a terminal
_PAPER = ["paper", "variant", "ablation", "control"]
_DECIMALS = {
    **{"abs_rel": 4, "d1_all": 2, "photometric": 4, "photometric_unwarped": 4},
    **{"rpe": 4, "rpe_deg": 4, "ate_5": 4, "ate_5_std": 4},
}
_HEADERS = {"photometric_unwarped": "unwarped"}


@dataclass(frozen=True)
class Report:
    """One table of figures under one protocol.

    Attributes:
        title: protocol, data set and split.
        labels: first columns of each row, as text, by column name.
        figures: metric name -> each row's value, NaN where not measured.
        gains: per cent below (positive) or above the strongest baseline, NaN where it does not
            apply.
        notes: sentences under the table, the protocol first.
        decimals: digits after the point that each row has at most; None: as many as are usual.
        details: last columns of each row, as text, by column name.
    """

    title: str
    labels: dict[str, list[str]]
    figures: dict[str, list[float]]
    gains: list[float]
    notes: tuple[str, ...]
    decimals: list[int | None]
    details: dict[str, list[str]] = field(default_factory=dict)

    def best(self, metric: str) -> set[int]:
        """Rows with the best value of a metric."""
        values = [value for value in self.figures[metric] if not math.isnan(value)]
        if len(values) < 2:
            return set()
        best = max(values) if metric in HIGHER_IS_BETTER else min(values)
        return {i for i, value in enumerate(self.figures[metric]) if value == best}


def reports(
    table: pd.DataFrame, sort: str | None = None, timings: Mapping[str, Timing] | None = None
) -> list[Report]:
    """Splits results into one report per protocol and data, each sorted by one metric.

    Rows of the same weights stand together: a run and the files that were exported from it.

    Args:
        table: from `kdepth.evaluation.table.read_table`, with or without the rows of
            `kdepth.evaluation.published`.
        sort: the metric, best first; by default, and where it was not measured, the first one.
        timings: of exported files, see `kdepth.evaluation.artefacts`.

    Returns:
        Reports in the order of their first row.
    """
    keys = ["protocol_description", "dataset", "split", "images", "baseline_data"]
    found = []
    for (description, dataset, split, images, data), rows in table.groupby(
        keys, sort=False, dropna=False
    ):
        metrics = [name for name in (*ALL_METRICS, *ODOMETRY_METRICS) if rows[name].notna().any()]
        key = sort if sort in metrics else next(iter(metrics), None)
        if key:
            rows = rows.sort_values(key, kind="stable", ascending=key not in HIGHER_IS_BETTER)
        rows = artefacts.side_by_side(rows)
        fitted = f"; baselines fitted on {data}" if data else ""
        notes = [f"Protocol {description}."]
        notes.append(f"Data: {dataset}, split {split}, {images:g} images{fitted}.")
        found.append(
            Report(
                title=f"{rows['protocol'].iloc[0]}: {dataset}, {split}",
                labels={
                    "system": list(rows["system"]),
                    "paper": [_paper(*values) for values in rows[_PAPER].values],
                    "size": [
                        f"{height}x{width}" if height else ""
                        for height, width in zip(rows["height"], rows["image_width"])
                    ],
                    "precision": list(rows["precision"]),
                    "source": list(rows["source"]) if "source" in rows else [],
                },
                figures={metric: [float(value) for value in rows[metric]] for metric in metrics},
                gains=[float(value) for value in rows["gain_percent"]],
                notes=(*notes, *artefacts.notes(rows, timings or {})),
                details=artefacts.details(rows, timings or {}),
                decimals=[
                    int(text) if text else None
                    for text in (rows["decimals"] if "decimals" in rows else [""] * len(rows))
                ],
            )
        )
    return found


def terminal(report: Report, bold: bool = False) -> str:
    """A table for the terminal.

    Args:
        report: what to show.
        bold: marks the best figures with terminal codes.
    """
    mark = (lambda text: f"\033[1m{text}\033[0m") if bold else (lambda text: text)
    header, rows = _cells(report, mark)
    text = tabulate.tabulate(
        rows, header, "simple", disable_numparse=True, colalign=_alignment(report, header)
    )
    return "\n".join([text, "", *report.notes])


def markdown(report: Report) -> str:
    """A Markdown table, best figures in bold."""
    header, rows = _cells(report, lambda text: f"**{text}**" if text else text)
    rows = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    text = tabulate.tabulate(
        rows, header, "pipe", disable_numparse=True, colalign=_alignment(report, header)
    )
    return "\n\n".join([text, *report.notes]) + "\n"


def latex(report: Report) -> str:
    """A LaTeX table (package booktabs), best figures in bold."""
    header, rows = _cells(report, lambda text: f"\0{text}\0", escape=_escape_latex)
    columns = "".join("l" if side == "left" else "r" for side in _alignment(report, header))
    lines = [
        "\\begin{table}",
        "\\centering",
        f"\\begin{{tabular}}{{{columns}}}",
        "\\toprule",
        " & ".join(_escape_latex(name) for name in header) + " \\\\",
        "\\midrule",
        *(re.sub("\0(.*?)\0", r"\\textbf{\1}", " & ".join(row)) + " \\\\" for row in rows),
        "\\bottomrule",
        "\\end{tabular}",
        f"\\caption{{{_escape_latex(' '.join(report.notes))}}}",
        "\\end{table}",
    ]
    return "\n".join(lines) + "\n"


def html(report: Report, level: int = 2) -> str:
    """An HTML heading and table, best figures in bold; all text is escaped.

    Args:
        report: what to show.
        level: of the heading.
    """
    header, rows = _cells(report, lambda text: f"<b>{text}</b>", escape=escape_html)
    sides = _alignment(report, header)
    lines = [f"<h{level}>{escape_html(report.title)}</h{level}>", "<table>", "<thead><tr>"]
    lines += [f'<th class="{side}">{escape_html(n)}</th>' for side, n in zip(sides, header)]
    lines.append("</tr></thead><tbody>")
    for row in rows:
        cells = (f'<td class="{side}">{cell}</td>' for side, cell in zip(sides, row))
        lines.append(f"<tr>{''.join(cells)}</tr>")
    lines.append("</tbody></table>")
    return "\n".join([*lines, *(f"<p>{escape_html(note)}</p>" for note in report.notes)])


def _cells(
    report: Report,
    mark: Callable[[str], str],
    escape: Callable[[str], str] = lambda text: text,
) -> tuple[list[str], list[list[str]]]:
    labels = {name: values for name, values in report.labels.items() if any(values)}
    header = [*labels, *(_HEADERS.get(name, name) for name in report.figures)]
    gains = not all(map(math.isnan, report.gains))
    if gains:
        header.append("vs strongest")
    header += report.details
    best = {metric: report.best(metric) for metric in report.figures}
    rows = []
    for i, gain in enumerate(report.gains):
        row = [escape(values[i]) for values in labels.values()]
        for metric, values in report.figures.items():
            text = _number(values[i], metric, report.decimals[i])
            row.append(mark(text) if i in best[metric] else text)
        if gains:
            row.append("" if math.isnan(gain) else escape(f"{_change(gain)} %"))
        row += [escape(values[i]) for values in report.details.values()]
        rows.append(row)
    return header, rows


def _paper(paper: str, *details: str) -> str:
    """`garg (paper, shuffled)`; what a run is without goes unsaid."""
    told = [detail for detail in details if detail not in ("", "none")]
    return f"{paper} ({', '.join(told)})" if told else paper


def _change(gain: float) -> str:
    """Signed change against the strongest baseline, which itself gets a plain 0."""
    return f"{-gain:+.1f}" if gain else "0.0"


def _number(value: float, metric: str, decimals: int | None) -> str:
    if math.isnan(value):
        return ""
    usual = _DECIMALS.get(metric, 3)
    return f"{value:.{usual if decimals is None else min(usual, decimals)}f}"


def _alignment(report: Report, header: Sequence[str]) -> tuple[str, ...]:
    return tuple("left" if name in report.labels else "right" for name in header)


def _escape_latex(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special.update({c: f"\\{c}" for c in "&%$#_{}"})
    special.update({"<": r"\textless{}", ">": r"\textgreater{}"})
    return "".join(special.get(c, c) for c in text)
