"""From nothing to the first depth map: how long a program takes that opens an exported file.

Each measurement starts a Python of its own: bare; one that opens the file with `kdepth.runtime` and
predicts a picture of KITTI's size; and the whole command `kdepth predict`, files included. They take
turns, after one round that only warms up the disk cache.

Example:
  python benchmarks/startup.py --model=exports/garg/garg.tflite,exports/garg/garg.onnx
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from kdepth.data.image import write_image

HEIGHT, WIDTH = 375, 1242
FIRST_DEPTH = f"""
import sys
import numpy as np
from kdepth.runtime import DepthModel
image = np.zeros(({HEIGHT}, {WIDTH}, 3), np.uint8)
assert DepthModel(sys.argv[1])(image).values.shape == (1, {HEIGHT}, {WIDTH})
assert not {{"tensorflow", "keras"}} & set(sys.modules)
"""


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="exported files, separated by commas")
    parser.add_argument("--repeats", type=int, default=15, help="starts of each program")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "picture.png"
        write_image(picture, np.full((HEIGHT, WIDTH, 3), 127, np.uint8))
        programs = {"bare Python": [sys.executable, "-c", "pass"]}
        for model in arguments.model.split(","):
            predict = [f"--model={model}", f"--input={picture}", f"--out={folder}/out"]
            programs[f"{Path(model).name}, DepthModel"] = [sys.executable, "-c", FIRST_DEPTH, model]
            programs[f"{Path(model).name}, kdepth predict"] = [
                *(sys.executable, "-m", "kdepth", "predict"),
                *predict,
            ]
        seconds: dict[str, list[float]] = {name: [] for name in programs}
        processor: dict[str, list[float]] = {name: [] for name in programs}
        for turn in range(arguments.repeats + 1):
            for name, command in programs.items():
                begun, spent = time.perf_counter(), _processor_seconds()
                subprocess.run(command, check=True, capture_output=True)
                if turn:
                    seconds[name].append(time.perf_counter() - begun)
                    processor[name].append(_processor_seconds() - spent)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"load {os.getloadavg()[0]:.1f}, {arguments.repeats} starts each, seconds")
    for name, times in seconds.items():
        p90, busy = float(np.percentile(times, 90)), statistics.median(processor[name])
        median = statistics.median(times)
        print(f"{name:<40} median {median:.2f}  p90 {p90:.2f}  of processor time {busy:.2f}")


def _processor_seconds() -> float:
    """Processor time of all programs that have ended: it does not count who waits for a busy machine."""
    times = os.times()
    return times.children_user + times.children_system


if __name__ == "__main__":
    main()
