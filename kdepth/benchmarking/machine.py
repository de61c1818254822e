"""What machine this is, whether it is idle, how much memory a process took, and how much energy."""

from __future__ import annotations

import dataclasses
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

# Above this share of all processors' time, or this load per core, others disturb what is measured.
BUSY_SHARE = 0.1
BUSY_LOAD = 0.5

RAPL = Path("/sys/class/powercap")


@dataclasses.dataclass(frozen=True)
class Machine:
    """What a measurement was made on.

    Attributes:
        name: the processor or board, as it calls itself.
        cores: how many this process may use.
        memory_gib: of the machine; None where it does not say.
        system: operating system, its release and the architecture.
        governor: how Linux chooses the clock frequency ("performance", "powersave", ...), or "".
    """

    name: str
    cores: int
    memory_gib: float | None
    system: str
    governor: str

    def __str__(self) -> str:
        parts = [self.name, f"{self.cores} core{'s' if self.cores > 1 else ''}"]
        if self.memory_gib is not None:
            parts.append(f"{self.memory_gib:.1f} GiB")
        if self.governor:
            parts.append(f"governor {self.governor}")
        return ", ".join([*parts, self.system])


def this_machine() -> Machine:
    """The machine that this process runs on."""
    governor = _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip()
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    return Machine(_name(), usable_cores(), _memory_gib(), system, governor)


def usable_cores() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load_average() -> float | None:
    """How many processes wanted a processor in the last minute; None where nobody counts (Windows)."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def busy(seconds: float = 0.5) -> str | None:
    """Why this is no good moment to measure, or None if nothing else runs.

    Args:
        seconds: how long to watch the processors.

    Returns:
        For example "other work takes 34 % of the processors' time".
    """
    before = _processor_times()
    if before is not None:
        time.sleep(seconds)
        after = _processor_times()
        total = after[0] - before[0]
        share = (after[1] - before[1]) / total if total > 0 else 0.0
        return (
            f"other work takes {100 * share:.0f} % of the processors' time"
            if share > BUSY_SHARE
            else None
        )
    load = load_average()
    if load is not None and load > BUSY_LOAD * usable_cores():
        return f"the load average is {load:.1f} on {usable_cores()} cores"
    return None


# -- memory ----------------------------------------------------------------------------------------


def resident_mib() -> float | None:
    """Memory that this process holds now; None where the system does not tell (only Linux does)."""
    return _status_mib("VmRSS")


def peak_mib() -> float | None:
    """The most memory that this process has held at once; None where the system does not tell.

    Linux's own counter for this program is preferred to `getrusage`, whose counter begins with the
    peak of the process that started this one.
    """
    peak = _status_mib("VmHWM")
    if peak is not None:
        return peak
    try:
        import resource
    except ImportError:  # Windows
        return None
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest / 2 ** (20 if sys.platform == "darwin" else 10)


# -- energy ----------------------------------------------------------------------------------------


class EnergyMeter:
    """Energy by Linux's RAPL counters: of whole processor packages, whoever uses them.

    Attributes:
        problem: why there are no counters to read, or None.
    """

    def __init__(self, root: Path = RAPL) -> None:
        """Looks for counters.

        Args:
            root: where Linux lists them.
        """
        # "intel-rapl:0" is a package (of AMD's processors too), "intel-rapl:0:1" a part of it, and
        # "psys" the whole board, which holds the packages.
        zones = [
            zone
            for zone in sorted(root.glob("intel-rapl:*"))
            if zone.name.count(":") == 1 and _read(zone / "name").startswith("package")
        ]
        self._counters = [zone / "energy_uj" for zone in zones]
        self._ranges = [int(_read(zone / "max_energy_range_uj") or 0) for zone in zones]
        self.problem: str | None = None
        if not zones:
            self.problem = f"no RAPL counters under {root}"
            return
        try:
            self.read()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            self.problem = f"{self._counters[0]}: {reason}"

    def read(self) -> list[int]:
        """The counters now, microjoules, for `joules`."""
        return [int(counter.read_text()) for counter in self._counters]

    def joules(self, before: list[int], after: list[int]) -> float:
        """Energy between two readings; counters that ran over once are understood."""
        total = 0
        for first, last, largest in zip(before, after, self._ranges):
            total += last - first if last >= first else last - first + largest
        return total / 1e6


# -- sources ---------------------------------------------------------------------------------------


def _name() -> str:
    board = _read("/proc/device-tree/model").strip("\0 \n")  # a Raspberry Pi says which it is
    if board:
        return board
    for line in _read("/proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return " ".join(value.split())
    if sys.platform == "darwin":
        asked = subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True
        )
        if asked.stdout.strip():
            return asked.stdout.strip()
    return platform.processor() or platform.machine() or "unknown processor"


def _memory_gib() -> float | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    except (AttributeError, ValueError, OSError):
        return None


def _processor_times() -> tuple[int, int] | None:
    """All processors' time and the working part of it since the start, in ticks; Linux only."""
    fields = _read("/proc/stat").split("\n", 1)[0].split()
    if len(fields) < 6 or fields[0] != "cpu":
        return None
    # user, nice, system, idle, iowait, irq, softirq, steal; guests are counted within user.
    ticks = [int(field) for field in fields[1:9]]
    return sum(ticks), sum(ticks) - ticks[3] - ticks[4]


def _status_mib(key: str) -> float | None:
    for line in _read("/proc/self/status").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) / 1024
    return None


def _read(path: str | Path) -> str:
    """A system file's text; empty where there is none."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
