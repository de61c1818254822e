"""The parent's side of a measuring process."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

import kdepth
from kdepth.benchmarking.subjects import Case
from kdepth.errors import UserError


class MeasuringProcess:
    """A process that holds one open network; leaving the `with` block ends it.

    Attributes:
        case: what it holds.
        opened: what it said when the network was open: `open_ms`, `library_mib` (memory held before
            it, or None), `input`.
        peak_mib: the most memory that it has held so far, or None.
    """

    def __init__(self, case: Case) -> None:
        """Starts the process and opens the network.

        Args:
            case: what to open and how.

        Raises:
            UserError: if it cannot be opened, or the process is killed.
        """
        self.case = case
        self.peak_mib: float | None = None
        self._errors = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "kdepth.benchmarking.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
            env=_environment(),
        )
        try:
            self.opened = self._ask(
                {
                    "path": str(case.subject.path),
                    "format": case.subject.format,
                    "threads": case.threads,
                    "xnnpack": case.xnnpack,
                }
            )
        except BaseException:
            self.close()
            raise

    def run(self, count: int) -> list[float]:
        """Milliseconds of `count` runs, one after the other.

        Raises:
            UserError: if the process is killed.
        """
        answer = self._ask(count)
        self.peak_mib = answer["peak_mib"]
        return answer["ms"]

    def close(self) -> None:
        """Ends the process."""
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def __enter__(self) -> MeasuringProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(self, message: Any) -> dict[str, Any]:
        with contextlib.suppress(BrokenPipeError):  # it has ended; the missing answer says so
            print(json.dumps(message), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise self._ended()
        answer = json.loads(line)
        if "error" in answer:
            raise UserError(answer["error"])
        return answer

    def _ended(self) -> Exception:
        status = self._process.wait()
        if status < 0:
            return UserError(
                f"{self.case}: its process was ended by signal {-status}; if memory ran out (signal 9),"
                " measure fewer networks at once or on a larger machine"
            )
        self._errors.seek(0)
        said = self._errors.read().decode("utf-8", errors="replace")
        return RuntimeError(f"{self.case}: the measuring process failed:\n{said}")


def _environment() -> dict[str, str]:
    """This process's, such that kdepth is found, Keras runs on TensorFlow and threads are as asked for."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
    }
    package = str(Path(kdepth.__file__).parents[1])
    paths = [package, *filter(None, [environment.get("PYTHONPATH")])]
    return {**environment, "PYTHONPATH": os.pathsep.join(paths), "KERAS_BACKEND": "tensorflow"}
