"""The curves of the HTML report, as SVG: what a training logged, and error by distance."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

_COLUMNS = 3  # of small plots beside each other
_BOOKKEEPING = frozenset(
    ["stage", "epoch", "step", "seconds", "samples_per_second", "learning_rate"]
)


def training_curves(logs: Mapping[str, Sequence[Mapping[str, str]]]) -> bytes:
    """Loss and its terms over the steps, a small plot for each run.

    Args:
        logs: run's name -> rows of its `log.csv`, in order.

    Returns:
        SVG. Dotted lines are where a stage begins.
    """
    rows = math.ceil(len(logs) / _COLUMNS)
    figure, grid = _figure(min(len(logs), _COLUMNS), rows)
    for place, (name, log) in enumerate(logs.items()):
        axes = figure.add_subplot(grid[place // _COLUMNS, place % _COLUMNS])
        steps = [float(row["step"]) for row in log]
        for term in (column for column in log[0] if column not in _BOOKKEEPING):
            values = [float(row[term] or "nan") for row in log]
            width = 2 if term == "loss" else 1
            axes.plot(steps, values, ".-", linewidth=width, markersize=3, label=_plain(term))
            if term == "loss" and min(values) > 0:
                axes.set_yscale("log")
        for before, row, step in zip(log, log[1:], steps):
            if row["stage"] != before["stage"]:
                axes.axvline(step, color="grey", linestyle=":", linewidth=1)
        axes.set(xlabel="step", title=_plain(name))
        axes.legend(fontsize=7)
    return _svg(figure)


def error_by_distance(systems: Mapping[str, Sequence[Mapping[str, str]]]) -> bytes:
    """abs_rel and bias over true depth, a line for each system.

    Args:
        systems: system's name -> rows of its `<protocol>_by_distance.csv`.

    Returns:
        SVG.
    """
    figure, grid = _figure(2, 1)
    for place, (metric, label) in enumerate((("abs_rel", "abs_rel"), ("bias", "(p - g) / g"))):
        axes = figure.add_subplot(grid[0, place])
        for name, rows in systems.items():
            ends = [(float(row["from_m"]), float(row["to_m"])) for row in rows]
            # An open last bin is drawn as wide as the one before.
            middles = [(near + far) / 2 if math.isfinite(far) else near for near, far in ends]
            values = [float(row[metric] or "nan") for row in rows]
            axes.plot(middles, values, "o-", markersize=3, label=_plain(name))
        axes.set(xlabel="true depth, m", ylabel=label)
        axes.grid(alpha=0.3)
        if metric == "bias":
            axes.axhline(0, color="grey", linewidth=1)
        else:
            axes.set_ylim(bottom=0)
            axes.legend(fontsize=7)
    return _svg(figure)


def _figure(columns: int, rows: int) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5 * columns, 3.4 * rows), layout="constrained")
    return figure, figure.add_gridspec(rows, columns)


def _plain(text: str) -> str:
    """Text that matplotlib takes as it is: no formula, and no name that hides from the legend."""
    return text.replace("$", r"\$") if not text.startswith("_") else f" {text}"


def _svg(figure: Any) -> bytes:
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    FigureCanvasSVG(figure)
    content = io.BytesIO()
    # Equal figures give equal files: no date, no random names.
    with rc_context({"svg.hashsalt": "kdepth"}):
        figure.savefig(content, format="svg", metadata={"Date": None})
    return content.getvalue()
