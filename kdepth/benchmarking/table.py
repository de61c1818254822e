"""Measurements as a table for people and as rows of a CSV file, to which every benchmark appends."""

from __future__ import annotations

import csv
import datetime
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kdepth.benchmarking.machine import Machine
from kdepth.benchmarking.measure import Measurement
from kdepth.errors import UserError
from kdepth.files import atomic_path, locked
from kdepth.versions import versions

COLUMNS = (
    *("date", "file", "sha256", "format", "precision", "part", "paper", "input"),
    *("threads", "xnnpack", "repeats", "median_ms", "p90_ms", "ratio", "reference"),
    *("open_ms", "peak_mib", "model_mib", "energy_mj", "bytes"),
    *("machine", "load", "busy", "versions"),
)
# A file without these is not a table of benchmarks.
_REQUIRED = ("file", "sha256", "threads", "xnnpack", "median_ms")
# How columns of the printed table are called; what no row has is left out.
_HEADINGS = {
    "file": "network",
    "precision": "precision",
    "threads": "threads",
    "xnnpack": "XNNPACK",
    "median_ms": "median ms",
    "p90_ms": "p90 ms",
    "ratio": "times as fast",
    "peak_mib": "peak MiB",
    "model_mib": "model MiB",
    "energy_mj": "mJ a run",
    "bytes": "stored MiB",
}
_FORMATS = {
    "median_ms": "{:.2f}",
    "p90_ms": "{:.2f}",
    "ratio": "{:.2f}",
    "peak_mib": "{:.0f}",
    "model_mib": "{:.0f}",
    "energy_mj": "{:.1f}",
}


def rows(
    measurements: Sequence[Measurement], machine: Machine, busy: str | None
) -> list[dict[str, Any]]:
    """A row for each measurement.

    Args:
        measurements: what was measured.
        machine: on what.
        busy: why the machine was not idle, or None.

    Returns:
        Values by column; None where something is not known or makes no sense.
    """
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    installed = ", ".join(f"{name} {version}" for name, version in versions().items())
    found = []
    for measured in measurements:
        case, subject = measured.case, measured.case.subject
        found.append(
            {
                "date": now,
                "file": str(subject.path),
                "sha256": subject.sha256,
                "format": subject.format,
                "precision": subject.precision,
                "part": subject.part,
                "paper": subject.paper,
                "input": measured.input,
                "threads": case.threads,
                "xnnpack": {None: None, True: "on", False: "off"}[case.xnnpack],
                "repeats": len(measured.milliseconds),
                "median_ms": measured.median_ms,
                "p90_ms": measured.p90_ms,
                "ratio": measured.ratio,
                "reference": measured.reference,
                "open_ms": measured.open_ms,
                "peak_mib": measured.peak_mib,
                "model_mib": measured.model_mib,
                "energy_mj": measured.energy_mj,
                "bytes": subject.bytes,
                "machine": str(machine),
                "load": measured.load,
                "busy": busy,
                "versions": installed,
            }
        )
    return found


def terminal(found: Sequence[dict[str, Any]]) -> str:
    """Rows as a table for a terminal."""
    from tabulate import tabulate

    shown = [column for column in _HEADINGS if any(row[column] not in (None, "") for row in found)]
    lines = [[_shown(column, row) for column in shown] for row in found]
    return tabulate(
        lines,
        [_HEADINGS[column] for column in shown],
        colalign=["left" if column in ("file", "precision") else "right" for column in shown],
        disable_numparse=True,
    )


def read(path: Path, flag: str = "--csv") -> list[dict[str, str]]:
    """The rows of a CSV file of benchmarks, every value a string.

    Args:
        path: the file.
        flag: that names the file, for messages.

    Returns:
        The rows, the newest last; none if there is no file.

    Raises:
        UserError: if the file is of something else, or damaged.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except UnicodeDecodeError:
        raise damaged(path, "it is not text", flag) from None
    except OSError as error:
        raise damaged(path, str(error.strerror), flag) from None
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise damaged(path, str(error), flag) from None
    header = lines[0] if lines else []
    missing = [column for column in _REQUIRED if column not in header]
    if missing:
        raise damaged(path, f"its header lacks {', '.join(missing)}", flag)
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(header):
            raise damaged(path, f"row {number} has {len(line)} of {len(header)} values", flag)
    return [dict(zip(header, line)) for line in lines[1:]]


def damaged(path: Path, why: str, flag: str) -> UserError:
    """What is raised for a file that holds something else than benchmarks."""
    return UserError(
        f"{path}: not a table of kdepth benchmarks, or damaged ({why}): mend or move it, or name"
        f" another file with {flag}"
    )


def append(path: Path, found: Sequence[dict[str, Any]]) -> None:
    """Adds rows to a CSV file of benchmarks; columns that this version does not know are kept.

    Args:
        path: the file, made with its folder if missing.
        found: from `rows`.

    Raises:
        UserError: if the file is of something else, or damaged; it is left as it is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path, "--csv"):
        old = read(path)
        extra = [name for name in (old[0] if old else ()) if name not in COLUMNS]
        with (
            atomic_path(path) as temporary,
            open(temporary, "w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, [*COLUMNS, *extra], restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows([*old, *({k: _text(v) for k, v in row.items()} for row in found)])


def _shown(column: str, row: dict[str, Any]) -> str:
    value = row[column]
    if value is None:
        return ""
    if column == "file":
        return Path(value).name + (" (Keras)" if row["format"] == "keras" else "")
    if column == "bytes":
        return f"{value / 2**20:.2f}"
    return _FORMATS.get(column, "{}").format(value)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
