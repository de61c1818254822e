"""Measures exported files: latency, peak memory, size and energy, and beside them the Keras model.

Each network runs in a process of its own, batch 1, on the input that the file itself takes. Prints
a table and what machine it was measured on, and appends the rows to a CSV file. Only the
interpreter of the files is needed, not TensorFlow (a run and a SavedModel do need it).

Example:
  python -m kdepth.benchmark --model=exports/garg --run=runs/garg
  python -m kdepth.benchmark --model=exports/garg/garg.tflite --threads=1,2,4 --xnnpack=both
  python -m kdepth.benchmark --alternate --threads=2
      --model=exports/garg/garg.tflite,exports/garg/garg_int8.tflite
  python -m kdepth.benchmark --model=exports/garg/garg.onnx --profile
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags as absl_flags
from absl import logging

from kdepth.errors import UserError

if TYPE_CHECKING:
    from kdepth.benchmarking.subjects import Subject

# Beyond this ratio of the 90th percentile to the median something disturbed the runs.
_UNSTEADY = 1.3

_XNNPACK = {"on": (True,), "off": (False,), "both": (True, False)}


def define_flags(flags: absl_flags.FlagValues) -> None:
    """Defines the command's flags."""
    from kdepth import cli

    absl_flags.DEFINE_list(
        "model",
        [],
        "Exported files, or folders of them (exports/garg: all that it holds), separated by commas.",
        flag_values=flags,
    )
    cli.define_run_flag(flags, "A run whose Keras model is measured too, for example runs/garg.")
    absl_flags.DEFINE_list(
        "threads", ["1", "2"], "Numbers of threads, separated by commas.", flag_values=flags
    )
    absl_flags.DEFINE_enum(
        "xnnpack",
        "both",
        list(_XNNPACK),
        "TFLite files with XNNPACK's kernels, which are what users get, or TFLite's own.",
        flag_values=flags,
    )
    absl_flags.DEFINE_integer("repeats", 50, "Timed runs.", lower_bound=1, flag_values=flags)
    absl_flags.DEFINE_integer(
        "warmup", 5, "Runs before them that do not count.", lower_bound=0, flag_values=flags
    )
    absl_flags.DEFINE_bool(
        "alternate",
        False,
        "Networks take turns, and each is compared with the first one: --run's, else the first file."
        " For ratios that can be trusted; all networks are in memory at once.",
        flag_values=flags,
    )
    absl_flags.DEFINE_bool(
        "profile",
        False,
        "Also list the operators that cost most: timed for ONNX, counted for TFLite.",
        flag_values=flags,
    )
    absl_flags.DEFINE_string(
        "csv",
        "runs/benchmark.csv",
        "The table that the rows are appended to, beside that of `evaluate`; empty: none.",
        flag_values=flags,
    )


def main(flags: absl_flags.FlagValues) -> int:
    """Measures, prints, stores.

    Raises:
        UserError: if a flag is wrong, or a network cannot be opened.
    """
    from kdepth.benchmarking import machine, measure, subjects, table

    threads = _threads(flags.threads)
    if not flags.model and not flags.run:
        raise UserError("--model=<exported file or folder> or --run=runs/<name> is required")
    found = subjects.find(flags.model, flags.run)
    cases = subjects.cases(found, threads, _XNNPACK[flags.xnnpack])
    if flags.csv:
        table.read(Path(flags.csv))  # a damaged table shall be found before the work, not after

    here, busy, meter = machine.this_machine(), machine.busy(), machine.EnergyMeter()
    if busy:
        logging.warning(
            "the machine is not idle (%s): figures are slower than they should be", busy
        )
    if max(threads) > here.cores:
        logging.warning(
            "--threads=%d on %d cores: threads wait for each other", max(threads), here.cores
        )
    run = measure.in_turns if flags.alternate else measure.one_by_one
    measured = run(cases, flags.repeats, flags.warmup, meter)

    rows = table.rows(measured, here, busy)
    load = "unknown" if measured[0].load is None else f"{measured[0].load:.1f}"
    print(table.terminal(rows))
    print(f"\nbatch 1, {flags.repeats} runs after {flags.warmup} to warm up, on {here}")
    print(f"load average {load}; {rows[0]['versions']}")
    print(f"energy: {meter.problem or 'of all processors, whoever used them'}")
    for one in measured:
        if one.p90_ms > _UNSTEADY * one.median_ms:
            logging.warning(
                "%s: one run in ten took %.1f times the median or more: something disturbed it",
                *(one.case, one.p90_ms / one.median_ms),
            )
    if flags.profile:
        _print_profiles(found, threads[-1])
    if flags.csv:
        table.append(Path(flags.csv), rows)
        print(f"wrote {flags.csv}")
    return 0


def _print_profiles(found: Sequence[Subject], threads: int) -> None:
    from tabulate import tabulate

    from kdepth.benchmarking import profile

    for subject in found:
        shown = profile.of_file(subject.path, subject.format, threads)
        if shown is None:
            print(f"\n{subject.path.name}: no profile of {subject.format}")
        else:
            print(f"\n{shown.title}")
            print(tabulate(shown.rows, shown.headings, disable_numparse=True))


def _threads(values: Sequence[str]) -> list[int]:
    """The numbers of --threads, each once, in order."""
    try:
        numbers = list(dict.fromkeys(int(value) for value in values))
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise UserError(
            f"--threads={','.join(values)}: must be numbers from 1 on, separated by commas"
        )
    return numbers


if __name__ == "__main__":
    from kdepth import cli

    cli.run("benchmark")
