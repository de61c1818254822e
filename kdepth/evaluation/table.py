"""The results table: one CSV file that every evaluation appends to.

A row says what was scored, by which protocol, against which baseline and with which versions. Rows
of baselines stand in the same file, `system` begins with "baseline: " there; each exists once for a
protocol and data, so evaluating again replaces it. To add a column, add it to `COLUMNS`: older
files gain it empty, and columns that this version does not know are kept.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from kdepth.errors import UserError
from kdepth.evaluation.metrics import ALL_METRICS
from kdepth.evaluation.trajectories import METRICS as TRAJECTORY_METRICS
from kdepth.files import atomic_path, locked

BASELINE_PREFIX = "baseline: "
_WHAT = ("date", "system", "run", "paper", "variant", "ablation", "control")
_DATA = ("dataset", "data_dir", "reader_options", "split", "images")
_HOW = ("protocol", "protocol_description", *_DATA)
ODOMETRY_METRICS = (*TRAJECTORY_METRICS, "ate_5", "ate_5_std")
# The 95 % bootstrap interval of abs_rel.
_INTERVAL = ("abs_rel_low", "abs_rel_high")
_AGAINST = (
    "strongest_baseline",
    "baseline_abs_rel",
    "gain_percent",
    "baseline_data",
    "baseline_images",
)
_WITH = (
    "trained_on",
    "state",
    "epochs",
    "batch_size",
    "seed",
    "width",
    "height",
    "image_width",
    "flags",
    "flags_digest",
)
# Of an exported file. A run has digests too: of its folder of weights, and of the weights
# themselves, which tell what a file was exported from.
_ARTEFACT = ("artefact", "precision", "bytes", "sha256", "weights_sha256")
_VERSIONS = ("kdepth", "python", "numpy", "tensorflow", "keras", "backend", "stack")
_FIGURES = (*ALL_METRICS, *_INTERVAL, *ODOMETRY_METRICS)
COLUMNS = (*_WHAT, *_HOW, *_FIGURES, *_AGAINST, *_WITH, *_ARTEFACT, *_VERSIONS)
# A file without these is not a results table.
_REQUIRED = ("system", "protocol", "protocol_description", "abs_rel")
_NUMBERS = ("images", *_FIGURES, "baseline_abs_rel", "gain_percent", "bytes")
# Baseline rows that agree in these are the same measurement.
_BASELINE_KEY = (
    "system",
    "protocol_description",
    *_DATA,
    "baseline_data",
)


def read_rows(path: Path) -> list[dict[str, str]]:
    """The file's rows as they stand, every value a string.

    Args:
        path: the results file.

    Returns:
        The rows, in order; none if there is no file.

    Raises:
        UserError: if the file is not a results table or is damaged. It is left as it is.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except UnicodeDecodeError:
        raise _damaged(path, "it is not text") from None
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise _damaged(path, str(error)) from None
    if not lines:
        raise _damaged(path, "it is empty")
    header = lines[0]
    missing = [column for column in _REQUIRED if column not in header]
    if missing or len(set(header)) != len(header):
        raise _damaged(path, f"its header lacks {', '.join(missing) or 'distinct columns'}")
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(header):
            raise _damaged(path, f"row {number} has {len(line)} of {len(header)} values")
    rows = [dict(zip(header, line)) for line in lines[1:]]
    for number, row in enumerate(rows, start=2):
        for column in _NUMBERS:
            if row.get(column) and not _is_number(row[column]):
                raise _damaged(path, f"row {number} has {column}={row[column]!r}, not a number")
    return rows


def read_table(path: Path) -> pd.DataFrame:
    """The results as a data frame; see `to_frame`.

    Args:
        path: the results file.

    Raises:
        UserError: if the file is missing, empty or damaged.
    """
    rows = read_rows(path)
    if not rows:
        raise UserError(
            f"{path}: no results yet; python -m kdepth.evaluate --run=runs/<name> adds them"
        )
    return to_frame(rows)


def to_frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as a data frame.

    Args:
        rows: values by column, as `append` takes and `read_rows` gives them.

    Returns:
        All of `COLUMNS` and columns beyond them; figures as floats (NaN where empty), everything
        else as strings.
    """
    texts = [_as_text(row) for row in rows]
    columns = [*COLUMNS, *(name for name in texts[0] if name not in COLUMNS)]
    frame = pd.DataFrame(
        [[row.get(column, "") for column in columns] for row in texts],
        columns=columns,
        dtype=object,
    )
    for column in _NUMBERS:
        # Python's float reads back every digit; pandas' own parser does not.
        frame[column] = [float(text) if text else math.nan for text in frame[column]]
    return frame


def append(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Adds rows to a results file.

    Two processes at once lose nothing, and a failure leaves the old file as it was.

    Args:
        path: the results file, made with its folder if missing.
        rows: values by column; what a row lacks stays empty. A baseline's row replaces the one of
            the same protocol and data.

    Raises:
        UserError: if the file is not a results table, is damaged, or stays locked.
        ValueError: if a row has a column that is not in `COLUMNS`.
    """
    unknown = {name for row in rows for name in row} - set(COLUMNS)
    if unknown:
        raise ValueError(f"`rows` must use the columns of the table. Received: {sorted(unknown)}.")
    new = [_as_text(row) for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path, "--results"):
        old = read_rows(path)
        replaced = {_baseline_key(row) for row in new} - {None}
        kept = [row for row in old if _baseline_key(row) not in replaced]
        extra = [name for name in (old[0] if old else ()) if name not in COLUMNS]
        with (
            atomic_path(path) as temporary,
            open(temporary, "w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, [*COLUMNS, *extra], restval="")
            writer.writeheader()
            writer.writerows([*kept, *new])


def is_baseline(system: str) -> bool:
    """Whether a row's `system` is a baseline."""
    return system.startswith(BASELINE_PREFIX)


def _as_text(row: Mapping[str, Any]) -> dict[str, str]:
    # One line per row keeps the file readable for tools that go by lines.
    return {
        name: "" if value is None else " ".join(str(value).split()) for name, value in row.items()
    }


def _baseline_key(row: Mapping[str, str]) -> tuple[str, ...] | None:
    if not is_baseline(row["system"]):
        return None
    return tuple(row.get(name, "") for name in _BASELINE_KEY)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _damaged(path: Path, why: str) -> UserError:
    return UserError(
        f"{path}: not a results table of kdepth, or damaged ({why}); nothing was written: "
        "mend or move it, or name another file with --results"
    )
