"""Prints the results, one table per protocol, best figures in bold; writes CSV, Markdown, LaTeX.

Figures of different protocols or data never stand in one table, and the protocol is stated in full
under each.

Example:
  python -m kdepth.results --paper=garg --markdown=results.md
"""

from __future__ import annotations

import sys
from pathlib import Path

from absl import flags as absl_flags

from kdepth.errors import UserError


def define_flags(flags: absl_flags.FlagValues) -> None:
    """Defines the command's flags."""
    for name, default, help in (
        ("results", "runs/results.csv", "The table that `evaluate` appends to."),
        ("paper", None, "Only rows of this paper (and the baselines of their protocol)."),
        ("protocol", None, "Only rows of this protocol, for example synthetic."),
        ("csv", None, "Write the rows that are shown, with all columns, to this CSV file."),
        ("markdown", None, "Write the tables to this Markdown file."),
        ("latex", None, "Write the tables to this LaTeX file (needs the package booktabs)."),
    ):
        absl_flags.DEFINE_string(name, default, help, flag_values=flags)
    absl_flags.DEFINE_bool("baselines", True, "Show the baselines' rows.", flag_values=flags)


def main(flags: absl_flags.FlagValues) -> int:
    """Prints and writes the tables.

    Raises:
        UserError: if there are no results, or none that the filters let pass.
    """
    from kdepth.evaluation import formats
    from kdepth.evaluation.table import is_baseline, read_table
    from kdepth.files import atomic_path

    table = read_table(Path(flags.results))
    baseline = table["system"].map(is_baseline)
    shown = table["protocol"] == flags.protocol if flags.protocol else table["system"].notna()
    if flags.paper:
        chosen = shown & (table["paper"] == flags.paper)
        same_protocol = table["protocol_description"].isin(table["protocol_description"][chosen])
        shown = chosen | (shown & baseline & same_protocol)
    if not flags.baselines:
        shown = shown & ~baseline
    if not shown.any():
        raise UserError(
            f"{flags.results}: no row passes the filters; it has papers "
            f"{_values(table['paper'])} and protocols {_values(table['protocol'])}"
        )
    found = formats.reports(table[shown])
    bold = sys.stdout.isatty()
    print("\n\n\n".join(formats.terminal(report, bold) for report in found))
    texts = {
        flags.csv: table[shown].to_csv(index=False),
        flags.markdown: "\n\n".join(formats.markdown(report) for report in found),
        flags.latex: "\n".join(formats.latex(report) for report in found),
    }
    for path, text in texts.items():
        if path:
            with atomic_path(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
            print(f"wrote {path}")
    return 0


def _values(column) -> str:
    return ", ".join(sorted({value for value in column if value})) or "none"


if __name__ == "__main__":
    from kdepth import cli

    cli.run("results")
