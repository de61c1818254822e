"""Renders drives in processes of their own, which read names and answer each with a line.

Plain child processes instead of `multiprocessing`: they never import the caller's main module, so
scripts without a `__main__` guard and programs that hold TensorFlow's threads can render too.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Union

from kdepth.data.world.drive import write_drive
from kdepth.data.world.settings import WorldSettings

_Answers = queue.SimpleQueue[Union[str, Exception]]


def render_drives(
    settings: WorldSettings, names: Sequence[str], root: Path, workers: int
) -> Iterator[str]:
    """Renders drives, several at once.

    Args:
        settings: of the world.
        names: of the drives.
        root: the world's folder.
        workers: how many processes; with 1, this process does it.

    Yields:
        The name of each drive when it is complete, in any order.

    Raises:
        OSError: if a drive could not be written.
        RuntimeError: if a worker ended; its own message is on standard error.
    """
    workers = min(workers, len(names))
    if workers <= 1:
        for name in names:
            write_drive(settings, name, root)
            yield name
        return
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    for name in names:
        waiting.put(name)
    answers: _Answers = queue.SimpleQueue()
    processes = [_start(settings, root) for _ in range(workers)]
    feeders = [threading.Thread(target=_feed, args=(p, waiting, answers)) for p in processes]
    try:
        for feeder in feeders:
            feeder.start()
        for _ in names:
            answer = answers.get()
            if isinstance(answer, Exception):
                raise answer
            yield answer
    finally:
        for process in processes:
            process.kill()  # unfinished drives have names of their own; nothing is half written
        for feeder, process in zip(feeders, processes):
            if feeder.ident is not None:
                feeder.join()
            with process:
                pass  # closes the pipes and waits


def _start(settings: WorldSettings, root: Path) -> subprocess.Popen[str]:
    package = str(Path(__file__).resolve().parents[3])
    paths = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    # One thread each: the processes are the parallelism.
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", __name__, json.dumps(asdict(settings)), str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **threads, "PYTHONPATH": paths},
    )


def _feed(
    process: subprocess.Popen[str], waiting: queue.SimpleQueue[str], answers: _Answers
) -> None:
    """Keeps one worker busy until nothing waits."""
    while True:
        try:
            name = waiting.get_nowait()
        except queue.Empty:
            return
        try:
            process.stdin.write(name + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            answers.put(RuntimeError(f"the process that rendered {name} ended"))
            return
        problem = json.loads(line)
        answers.put(OSError(*problem) if problem else name)


def main() -> None:
    """The worker's side of the conversation."""
    # Ctrl-C reaches the whole group; the parent ends its workers, without a traceback from each.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings, root = WorldSettings(**json.loads(sys.argv[1])), Path(sys.argv[2])
    for line in sys.stdin:
        problem = []
        try:
            write_drive(settings, line.strip(), root)
        except OSError as error:
            problem = [error.errno, error.strerror, error.filename]
        print(json.dumps(problem), flush=True)


if __name__ == "__main__":
    main()
