"""The measuring process: opens one network, then runs it as often as it is told and says how long that took.

It reads and writes a line of JSON at a time. The first line read is the case, the first written
says that it is open; after that each number read is answered by that many times. It ends when its
input does.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kdepth import quiet
from kdepth.benchmarking import calls, machine
from kdepth.errors import UserError


def main() -> None:
    """Serves one parent until it closes the pipe."""
    # What libraries print must not get among the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    quiet.silence()

    def answer(message: Mapping[str, Any]) -> None:
        print(json.dumps(message), file=answers, flush=True)

    try:
        opened = _open(json.loads(sys.stdin.readline()), answer)
    except UserError as error:
        answer({"error": str(error)})
        return
    for line in sys.stdin:
        milliseconds = timed(opened.run, int(line))
        answer({"ms": milliseconds, "peak_mib": machine.peak_mib()})


def timed(run: Callable[[], Any], count: int) -> list[float]:
    """Milliseconds of `count` calls, one after the other."""
    milliseconds = []
    for _ in range(count):
        start = time.perf_counter()
        run()
        milliseconds.append(1e3 * (time.perf_counter() - start))
    return milliseconds


def _open(case: Mapping[str, Any], answer: Callable[[Mapping[str, Any]], None]) -> calls.Opened:
    path = Path(case["path"])
    library = calls.import_library(case["format"], path)
    before = machine.resident_mib()
    start = time.perf_counter()
    opened = calls.open_call(library, case["format"], path, case["threads"], case["xnnpack"])
    answer(
        {
            "open_ms": 1e3 * (time.perf_counter() - start),
            "library_mib": before,
            "input": opened.input,
        }
    )
    return opened


if __name__ == "__main__":
    main()
