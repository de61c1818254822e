"""Published figures, `published.csv`: every one with its source and the protocol it belongs to.

A figure is here only if its source says under which protocol it was taken. `verified` is "no" where
it is from memory of a paper, and the table says so. To add a row, add a line to the file: `protocol`
is a name of `protocols.py`, with changed parts as `Protocol.replace` names them
(`eigen_sfmlearner+cap=50`), or one of odometry's.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from kdepth.evaluation import odometry_task, protocols
from kdepth.evaluation.metrics import ALL_METRICS
from kdepth.evaluation.table import ODOMETRY_METRICS, is_baseline, to_frame

CHOICES = ("beside", "all", "none")
FILE = Path(__file__).with_name("published.csv")
UNVERIFIED = "unverified"


def read() -> pd.DataFrame:
    """The published figures as rows of the results table.

    Returns:
        The table's columns, `protocol_description` filled in; `source` in words; `decimals`, the
        digits after the point that were published.
    """
    with open(FILE, newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    rows = []
    for line in lines:
        source = line["source"] + ("" if line["verified"] == "yes" else f", {UNVERIFIED}")
        trained_on = f" ({line['trained_on']})" if line["trained_on"] else ""
        figures = [line[name] for name in (*ALL_METRICS, *ODOMETRY_METRICS) if line.get(name)]
        rows.append(
            {
                **{name: value for name, value in line.items() if name != "verified"},
                "system": line["system"] + trained_on,
                "protocol_description": describe(line["protocol"]),
                "source": source,
                "decimals": max(len(text.partition(".")[2]) for text in figures),
            }
        )
    return to_frame(rows)


def describe(name: str) -> str:
    """A protocol's full sentence.

    Args:
        name: as in the file.

    Raises:
        UserError: if there is no such protocol.
    """
    task, _, kind = name.partition("_")
    if task == odometry_task.NAME:
        return odometry_task.SNIPPETS if kind == "5frame" else odometry_task.describe(kind)
    base, *changes = name.split("+")
    parts = dict(change.split("=") for change in changes)
    cap = float(parts.pop("cap")) if "cap" in parts else None
    return protocols.find(base).replace(cap, **parts).describe()


def beside(table: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """Puts published rows into the tables of measured ones.

    A published row joins where protocol (whatever its name), data set, split and number of images
    are the same.

    Args:
        table: measured rows.
        published: from `read`.

    Returns:
        All measured rows, and a copy of a published row for every table that it belongs to.
    """
    keys = ["protocol", "protocol_description", "dataset", "split", "images", "baseline_data"]
    found = [table]
    measured = table[~table["system"].map(is_baseline).astype(bool)]
    for values in measured[keys].drop_duplicates().itertuples(index=False):
        protocol, description, dataset, split, images, baseline_data = values
        same = (
            (published["protocol_description"].map(_rules) == _rules(description))
            & (published["dataset"] == dataset)
            & (published["split"] == split)
            & (published["images"] == images)
        )
        joined = published[same].assign(
            protocol=protocol, protocol_description=description, baseline_data=baseline_data
        )
        found.append(joined)
    return join(found)


def elsewhere(table: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """Published rows of protocols and data that no measured row has."""
    columns = ["dataset", "split", "images"]
    seen = {
        (_rules(row.protocol_description), *(getattr(row, name) for name in columns))
        for row in table.itertuples()
    }
    keys = zip(published["protocol_description"].map(_rules), *(published[n] for n in columns))
    return published[[key not in seen for key in keys]]


def join(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Tables one below the other; what one of them lacks is empty there."""
    columns = list(dict.fromkeys(name for table in tables for name in table.columns))
    filled = []
    for table in tables:
        lacking = {name: "" for name in columns if name not in table.columns}
        filled.append(table.assign(**lacking)[columns])
    return pd.concat([table for table in filled if len(table)] or filled[:1], ignore_index=True)


def _rules(description: str) -> str:
    """A protocol's sentence without its name: protocols of several names can be the same."""
    return description.partition(": ")[2]
