"""Runs cases, one after the other or taking turns, and sums up."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import time
from collections.abc import Sequence

import numpy as np
from absl import logging

from kdepth.benchmarking import machine
from kdepth.benchmarking.process import MeasuringProcess
from kdepth.benchmarking.subjects import Case

# Between turns: threads of a pool look for work for some milliseconds after a run, and would take
# a processor from the next one.
PAUSE_SECONDS = 0.02


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What a case took.

    Attributes:
        case: what was run and how.
        input: what it was fed, for example "1x188x620x3 float32".
        milliseconds: of every timed run.
        open_ms: to open it, its library already imported.
        peak_mib: the most memory that its process held; None where the system does not tell.
        model_mib: the same without what the process held before the network was opened.
        energy_mj: millijoules a run, of all processors; None where they are not counted.
        load: load average when it was measured; None where nobody counts.
        ratio: how many times as fast as `reference`, by medians of alternated runs; None elsewhere.
        reference: the name of what it was compared with, or "".
    """

    case: Case
    input: str
    milliseconds: tuple[float, ...]
    open_ms: float
    peak_mib: float | None
    model_mib: float | None
    energy_mj: float | None
    load: float | None
    ratio: float | None = None
    reference: str = ""

    @property
    def median_ms(self) -> float:
        """The median of the runs."""
        return float(np.median(self.milliseconds))

    @property
    def p90_ms(self) -> float:
        """What nine of ten runs stay below."""
        return float(np.percentile(self.milliseconds, 90))


def one_by_one(
    cases: Sequence[Case], repeats: int, warmup: int, meter: machine.EnergyMeter
) -> list[Measurement]:
    """Measures each case alone.

    Args:
        cases: what to measure.
        repeats: timed runs of each.
        warmup: runs before them that do not count.
        meter: of energy.

    Returns:
        A measurement for each case, in order.

    Raises:
        UserError: if a network cannot be opened.
    """
    found = []
    for number, case in enumerate(cases, start=1):
        load = machine.load_average()
        with MeasuringProcess(case) as process:
            process.run(warmup)
            before = None if meter.problem else meter.read()
            times = process.run(repeats)
            joules = None if before is None else meter.joules(before, meter.read())
            found.append(_measurement(process, times, joules, load))
        logging.info("%d of %d: %s: %.2f ms", number, len(cases), case, found[-1].median_ms)
    return found


def in_turns(
    cases: Sequence[Case], repeats: int, warmup: int, meter: machine.EnergyMeter
) -> list[Measurement]:
    """Measures cases that take turns run by run, so that whatever disturbs the machine disturbs all.

    All of those with as many threads are open at the same time. The first of them is the reference
    of the others.

    Args:
        cases: what to measure, those with as many threads together.
        repeats: timed runs of each.
        warmup: runs of each before them that do not count.
        meter: of energy.

    Returns:
        A measurement for each case, in order, with its ratio to the reference.

    Raises:
        UserError: if a network cannot be opened.
    """
    found = []
    for threads, group in itertools.groupby(cases, key=lambda case: case.threads):
        members = _turns(list(group), repeats, warmup, meter)
        found += [_compared(member, members[0]) for member in members]
        logging.info("%d took turns with %d threads, %d runs", len(members), threads, repeats)
    return found


def _turns(
    cases: Sequence[Case], repeats: int, warmup: int, meter: machine.EnergyMeter
) -> list[Measurement]:
    load = machine.load_average()
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(MeasuringProcess(case)) for case in cases]
        for process in processes:
            process.run(warmup)
        times: list[list[float]] = [[] for _ in cases]
        joules = [0.0 for _ in cases]
        for _ in range(repeats):
            for index, process in enumerate(processes):
                time.sleep(PAUSE_SECONDS)
                before = None if meter.problem else meter.read()
                times[index] += process.run(1)
                if before is not None:
                    joules[index] += meter.joules(before, meter.read())
        return [
            _measurement(process, taken, None if meter.problem else energy, load)
            for process, taken, energy in zip(processes, times, joules)
        ]


def _measurement(
    process: MeasuringProcess, times: Sequence[float], joules: float | None, load: float | None
) -> Measurement:
    opened, peak = process.opened, process.peak_mib
    known = peak is not None and opened["library_mib"] is not None
    return Measurement(
        case=process.case,
        input=opened["input"],
        milliseconds=tuple(times),
        open_ms=opened["open_ms"],
        peak_mib=peak,
        model_mib=max(peak - opened["library_mib"], 0.0) if known else None,
        energy_mj=None if joules is None else 1e3 * joules / len(times),
        load=load,
    )


def _compared(member: Measurement, reference: Measurement) -> Measurement:
    """A measurement with its ratio; a pose network is not compared with a depth network."""
    if member is reference or member.case.subject.part != reference.case.subject.part:
        return member
    return dataclasses.replace(
        member,
        ratio=reference.median_ms / member.median_ms,
        reference=reference.case.subject.path.name,
    )
