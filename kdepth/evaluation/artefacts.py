"""Exported files in the results table: what a row keeps of one, what it lost, how fast it is.

What a quantised file lost is measured against the float32 file of the same weights, or where that
was not scored, against the run. Latency and memory come from the table of `kdepth benchmark`; a row
of that table belongs to the file with its sha256.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdepth.benchmarking import table as benchmarks
from kdepth.errors import UserError
from kdepth.runtime import DepthModel, size_of

if TYPE_CHECKING:
    import pandas as pd

BENCHMARK = "benchmark.csv"  # beside the results table
FLOAT32 = "float32"
_LOST = (
    "lost: how far abs_rel lies above that of the float32 file of the same weights, or the run's."
)
_TIMED = (
    "ms (threads), peak MiB: the lowest median latency that `kdepth benchmark` measured of this very"
    " file, on {}."
)


@dataclass(frozen=True)
class Timing:
    """How fast a file is.

    Attributes:
        median_ms: median latency of one picture.
        threads: of the interpreter.
        peak_mib: peak memory; NaN where it was not measured.
        machine: that it was measured on, "" where the table does not say.
    """

    median_ms: float
    threads: int
    peak_mib: float
    machine: str = ""


def run_of(description: Mapping[str, Any]) -> dict[str, Any]:
    """What an exported model says about the run it comes from; nothing where it says nothing."""
    run = description.get("run")
    run = dict(run) if isinstance(run, Mapping) else {}
    if not isinstance(run.get("options"), Mapping):
        run["options"] = {}
    return run


def columns(model: DepthModel) -> dict[str, Any]:
    """What the results table keeps of an exported file: see `kdepth.evaluation.table`."""
    entry = model.description["files"][model.path.name]
    return {
        "artefact": model.path.name,
        "precision": entry.get("precision"),
        "bytes": size_of(model.path),
        "sha256": model.sha256,
        "weights_sha256": model.description.get("weights_sha256"),
    }


def read_timings(path: Path) -> dict[str, Timing]:
    """The fastest measurement of each file.

    Args:
        path: a table of `kdepth benchmark`.

    Returns:
        sha256 of the file -> its lowest median latency.

    Raises:
        UserError: if the file is missing or no such table.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file (--benchmark)")
    found: dict[str, Timing] = {}
    for number, row in enumerate(benchmarks.read(path, "--benchmark"), start=2):
        try:
            timing = Timing(
                median_ms=float(row["median_ms"]),
                threads=int(row["threads"]),
                peak_mib=float(row.get("peak_mib") or math.nan),
                machine=row.get("machine") or "",
            )
        except ValueError as error:
            raise benchmarks.damaged(path, f"row {number}: {error}", "--benchmark") from None
        best = found.get(row["sha256"])
        if best is None or timing.median_ms < best.median_ms:
            found[row["sha256"]] = timing
    return found


def side_by_side(rows: pd.DataFrame) -> pd.DataFrame:
    """Sorted rows with those of the same weights together, each group at its best row's place."""
    first: dict[str, int] = {}
    places = []
    for place, weights in enumerate(rows["weights_sha256"]):
        places.append(first.setdefault(weights, place) if weights else place)
    return rows.iloc[sorted(range(len(rows)), key=lambda i: places[i])]


def details(rows: pd.DataFrame, timings: Mapping[str, Timing]) -> dict[str, list[str]]:
    """The columns that a table of results has for exported files.

    Args:
        rows: of one protocol and data, from `kdepth.evaluation.table.to_frame`.
        timings: by sha256, from `read_timings`.

    Returns:
        Column -> a text for each row; none where no row is of an exported file.
    """
    if not rows["artefact"].any():
        return {}
    found: dict[str, list[str]] = {"lost": [], "MiB": [], "ms": [], "peak MiB": []}
    for row in rows.to_dict("records"):
        timing = timings.get(row["sha256"]) if row["sha256"] else None
        reference = _reference(rows, row)
        lost = row["abs_rel"] / reference - 1.0 if reference else math.nan
        found["lost"].append("" if math.isnan(lost) else f"{100 * lost:+.1f} %")
        found["MiB"].append(_number(row["bytes"] / 2**20, 2))
        found["ms"].append(f"{timing.median_ms:.1f} ({timing.threads})" if timing else "")
        found["peak MiB"].append(_number(timing.peak_mib, 0) if timing else "")
    return {name: texts for name, texts in found.items() if any(texts)}


def notes(rows: pd.DataFrame, timings: Mapping[str, Timing]) -> list[str]:
    """What the columns of `details` mean; arguments as there."""
    found = details(rows, timings)
    used = [timings[digest] for digest in rows["sha256"] if digest in timings]
    machines = sorted({timing.machine or "an unknown machine" for timing in used})
    return [_LOST] * ("lost" in found) + [_TIMED.format("; ".join(machines))] * bool(used)


def _reference(rows: pd.DataFrame, row: Mapping[str, Any]) -> float | None:
    """abs_rel of the float32 file of a file's weights and size, or of the run; the newest row's."""
    if not (row["artefact"] and row["weights_sha256"]):
        return None
    same = rows[
        (rows["weights_sha256"] == row["weights_sha256"])
        & (rows["height"] == row["height"])
        & (rows["image_width"] == row["image_width"])
    ].sort_values("date", kind="stable")
    files = same[(same["precision"] == FLOAT32) & (same["artefact"] != "")]
    # Rows with other options (`garg+postprocess`) have the same weights.
    runs = same[(same["artefact"] == "") & (same["system"] == same["run"])]
    candidates = files if len(files) else runs
    return float(candidates["abs_rel"].iloc[-1]) if len(candidates) else None


def _number(value: float, decimals: int) -> str:
    return "" if math.isnan(value) else f"{value:.{decimals}f}"
