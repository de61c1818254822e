from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from kdepth.benchmarking import machine


def zone(root, number, name="package-0", energy=0, largest=1000):
    folder = root / f"intel-rapl:{number}"
    folder.mkdir(parents=True)
    for file, value in (("name", name), ("energy_uj", energy), ("max_energy_range_uj", largest)):
        (folder / file).write_text(f"{value}\n")
    return folder / "energy_uj"


def test_the_machine_says_what_it_is():
    here = machine.this_machine()
    assert here.name and here.cores >= 1
    assert f"{here.name}, {here.cores} core" in str(here)


def test_packages_are_counted_and_neither_their_parts_nor_the_board(tmp_path):
    counters = [
        zone(tmp_path, "0", "package-0", 5_000_000),
        zone(tmp_path, "1", "package-1", 1_000_000),
        zone(tmp_path, "0:0", "core", 9_000_000),
        zone(tmp_path, "2", "psys", 9_000_000),
    ]
    meter = machine.EnergyMeter(tmp_path)
    assert meter.problem is None
    before = meter.read()
    for counter, energy in zip(counters, (5_500_000, 1_250_000, 99_000_000, 99_000_000)):
        counter.write_text(str(energy))
    assert meter.joules(before, meter.read()) == pytest.approx(0.75)


def test_a_counter_may_run_over(tmp_path):
    counter = zone(tmp_path, "0", energy=9_900_000, largest=10_000_000)
    meter = machine.EnergyMeter(tmp_path)
    before = meter.read()
    counter.write_text("200000")
    assert meter.joules(before, meter.read()) == pytest.approx(0.3)


def test_why_energy_is_not_measured(tmp_path):
    assert machine.EnergyMeter(tmp_path).problem == f"no RAPL counters under {tmp_path}"
    counter = zone(tmp_path, "0")
    counter.unlink()  # a file that may not be read raises OSError just so
    assert machine.EnergyMeter(tmp_path).problem == f"{counter}: No such file or directory"


def test_busy_by_the_processors_own_count(monkeypatch):
    times = iter([(1000, 500), (1100, 534), (2000, 800), (2100, 805)])
    monkeypatch.setattr(machine, "_processor_times", lambda: next(times))
    assert machine.busy(0) == "other work takes 34 % of the processors' time"
    assert machine.busy(0) is None


def test_busy_by_the_load_where_nothing_else_is_known(monkeypatch):
    monkeypatch.setattr(machine, "_processor_times", lambda: None)
    monkeypatch.setattr(machine, "usable_cores", lambda: 4)
    monkeypatch.setattr(machine, "load_average", lambda: 3.0)
    assert machine.busy(0) == "the load average is 3.0 on 4 cores"
    monkeypatch.setattr(machine, "load_average", lambda: 1.0)
    assert machine.busy(0) is None


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_peak_memory_is_the_process_own():
    """Of a child that takes 64 MiB and gives them back, not of this larger process."""
    code = (
        "from kdepth.benchmarking import machine; before = machine.peak_mib();"
        "x = bytearray(64 << 20); x[:] = b'1' * len(x); del x;"
        "print(before, machine.peak_mib(), machine.resident_mib())"
    )
    ballast = np.ones((256, 1 << 20), np.uint8)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, peak, now = map(float, done.stdout.split())
    assert machine.peak_mib() > ballast.nbytes / 2**20
    assert before < 200
    assert peak >= before + 60 and now < peak - 60
