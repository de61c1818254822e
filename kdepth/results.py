"""Prints the results, one table per protocol, best in bold, beside published ones; writes CSV, Markdown, LaTeX, HTML.

Figures of different protocols or data never stand in one table, and the protocol is stated in full
under each. Exported files stand beside their run, with what they lost against float32, their size,
and their latency and memory where `kdepth benchmark` measured them. The HTML report is one file with
tables, training curves, error by distance, pictures and trajectories.

Example:
  python -m kdepth.results --paper=garg --markdown=results.md
  python -m kdepth.results --html=report.html
  python -m kdepth.results --published=all --dataset=nyu_labelled --sort=delta1
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags as absl_flags

from kdepth.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from kdepth.evaluation.artefacts import Timing


def define_flags(flags: absl_flags.FlagValues) -> None:
    """Defines the command's flags."""
    for name, default, help in (
        ("results", "runs/results.csv", "The table that `evaluate` appends to."),
        ("paper", None, "Only rows of this paper (and the baselines of their protocol)."),
        ("protocol", None, "Only rows of this protocol, for example synthetic."),
        ("dataset", None, "Only rows of this data set, for example kitti_raw."),
        ("sort", None, "The metric to sort by, best first; by default each table's first one."),
        ("csv", None, "Write the rows that are shown, with all columns, to this CSV file."),
        ("markdown", None, "Write the tables to this Markdown file."),
        ("latex", None, "Write the tables to this LaTeX file (needs the package booktabs)."),
        (
            "benchmark",
            None,
            "The table of kdepth benchmark: latency and memory of exported files; by default"
            " benchmark.csv beside --results, where it is there.",
        ),
        ("html", None, "Write a report to this HTML file, which needs no other file."),
    ):
        absl_flags.DEFINE_string(name, default, help, flag_values=flags)
    absl_flags.DEFINE_bool("baselines", True, "Show the baselines' rows.", flag_values=flags)
    absl_flags.DEFINE_enum(
        "published",
        "beside",
        ["beside", "all", "none"],
        "Published figures: beside measured ones of the same protocol and data, or all, or none.",
        flag_values=flags,
    )


def main(flags: absl_flags.FlagValues) -> int:
    """Prints and writes the tables.

    Raises:
        UserError: if there are no results, or none that the filters let pass.
    """
    from kdepth.evaluation import formats, html_report
    from kdepth.files import atomic_path

    _check_sort(flags.sort)
    table, timings = _read(flags), _timings(flags)
    shown = _without_repetitions(table[_passes(table, flags)])
    if not len(shown):
        raise UserError(
            f"{flags.results}: no row passes the filters; it has papers "
            f"{_values(table['paper'])}, protocols {_values(table['protocol'])} and data sets "
            f"{_values(table['dataset'])}"
        )
    found = formats.reports(shown, flags.sort, timings)
    bold = sys.stdout.isatty()
    print("\n\n\n".join(formats.terminal(report, bold) for report in found))
    writers = {
        flags.csv: lambda: shown.to_csv(index=False),
        flags.markdown: lambda: "\n\n".join(formats.markdown(report) for report in found),
        flags.latex: lambda: "\n".join(formats.latex(report) for report in found),
        flags.html: lambda: html_report.build(
            shown, Path(flags.results).parent, flags.sort, timings
        ),
    }
    for path, text in writers.items():
        if path:
            with atomic_path(path) as temporary:
                temporary.write_text(text(), encoding="utf-8")
            print(f"wrote {path}")
    return 0


def _check_sort(metric: str | None) -> None:
    from kdepth.evaluation.metrics import ALL_METRICS
    from kdepth.evaluation.table import ODOMETRY_METRICS

    known = (*ALL_METRICS, *ODOMETRY_METRICS)
    if metric and metric not in known:
        raise UserError(f"--sort={metric}: no such metric; there are {', '.join(known)}")


def _read(flags: absl_flags.FlagValues) -> pd.DataFrame:
    """Measured rows, and the published ones that were asked for."""
    import pandas as pd

    from kdepth.evaluation import published
    from kdepth.evaluation.table import COLUMNS, read_table

    path = Path(flags.results)
    if flags.published == "all" and not path.exists():
        table = pd.DataFrame(columns=list(COLUMNS), dtype=object)
    else:
        table = read_table(path)
    if flags.published == "none":
        return table
    known = published.read()
    joined = published.beside(table, known)
    if flags.published == "all":
        joined = published.join([joined, published.elsewhere(table, known)])
    return joined


def _timings(flags: absl_flags.FlagValues) -> dict[str, Timing]:
    """Latency and memory of exported files, as far as they were measured."""
    from kdepth.evaluation import artefacts

    usual = Path(flags.results).with_name(artefacts.BENCHMARK)
    if flags.benchmark is None and not usual.exists():
        return {}
    return artefacts.read_timings(Path(flags.benchmark or usual))


def _passes(table: pd.DataFrame, flags: absl_flags.FlagValues) -> pd.Series:
    """Which rows the filters let pass."""
    from kdepth.evaluation.table import is_baseline

    baseline = table["system"].map(is_baseline).astype(bool)
    shown = table["system"].notna()
    for column in ("protocol", "dataset"):
        if flags[column].value:
            shown = shown & (table[column] == flags[column].value)
    if flags.paper:
        chosen = shown & (table["paper"] == flags.paper)
        same_protocol = table["protocol_description"].isin(table["protocol_description"][chosen])
        shown = chosen | (shown & baseline & same_protocol)
    return shown if flags.baselines else shown & ~baseline


def _without_repetitions(table: pd.DataFrame) -> pd.DataFrame:
    """One row of those that differ in date or intervals alone: the same evaluation, made again."""
    others = ("date", "abs_rel_low", "abs_rel_high")
    return table.drop_duplicates([c for c in table.columns if c not in others], keep="last")


def _values(column: pd.Series) -> str:
    return ", ".join(sorted({value for value in column if value})) or "none"


if __name__ == "__main__":
    from kdepth import cli

    cli.run("results")
