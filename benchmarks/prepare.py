"""Times preparing and feeding: how quickly KITTI frames become shards, and what training gains.

    KDEPTH_REALDATA=<folder of real samples> python benchmarks/prepare.py --height=128 --image_width=416

The 144 frames of drive 0013 are first written as PNG, which the official archive has. Then each is
prepared with its neighbours as `sources`, and one epoch of triplets is read from the PNGs and from
the shards: `kdepth.data.load` without the cache, no augmentation, files in the page cache in both
cases. The two take turns in every round; printed are median and 90th percentile, and the ratio of
the medians. `--encoding=jpeg` measures JPEG shards.
"""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402
from absl import app, flags  # noqa: E402

from kdepth import data  # noqa: E402
from kdepth.data.image import read_image, write_image  # noqa: E402
from kdepth.data.preparation import Settings, prepare  # noqa: E402
from kdepth.data.shards import ENCODINGS  # noqa: E402

flags.DEFINE_integer("height", 128, "Rows of the network's input.", lower_bound=1)
flags.DEFINE_integer("image_width", 416, "Columns of the network's input.", lower_bound=1)
flags.DEFINE_integer("batch_size", 8, "Samples in a batch.", lower_bound=1)
flags.DEFINE_integer("rounds", 3, "Timed epochs of each kind, after one to warm up.", lower_bound=1)
flags.DEFINE_integer("workers", os.cpu_count(), "Processes that prepare.", lower_bound=1)
flags.DEFINE_enum("encoding", "png", list(ENCODINGS), "Of the pictures in the shards.")

KEYS = ("image", "intrinsics", "sources")


def official(sample: Path, root: Path) -> int:
    """Writes the real drive as the official archive has it, in PNG; returns the frames."""
    pictures = sorted(sample.glob("*/*/image_02/data/*"))
    for path in pictures:
        target = root / path.relative_to(sample).with_suffix(".png")
        target.parent.mkdir(parents=True, exist_ok=True)
        write_image(target, read_image(path))
    for path in sample.glob("*/*.txt"):
        shutil.copy(path, root / path.relative_to(sample))
    return len(pictures)


def epoch(dataset: str, folder: Path) -> float:
    """Returns the seconds that feeding one epoch takes, from the open reader to the last batch."""
    options = flags.FLAGS
    start = time.perf_counter()
    batches = data.load(
        dataset,
        data_dir=folder,
        split="all",
        batch_size=options.batch_size,
        seed=1,
        cache="none",
        sample_keys=frozenset(KEYS),
        image_size=(options.height, options.image_width),
        source_offsets=(-1, 1),
    )
    for _ in batches:
        pass
    return time.perf_counter() - start


def main(_: list[str]) -> None:
    """Prints the rate of preparing and the gain of feeding."""
    options = flags.FLAGS
    sample = Path(os.environ.get("KDEPTH_REALDATA", "")) / "kitti_raw"
    if not os.environ.get("KDEPTH_REALDATA") or not sample.is_dir():
        raise app.UsageError("KDEPTH_REALDATA must name the folder of real samples")
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    with tempfile.TemporaryDirectory() as place:
        originals, shards = Path(place) / "kitti", Path(place) / "prepared"
        frames = official(sample, originals)
        settings = Settings(
            dataset="kitti_raw",
            data_dir=str(originals),
            split="all",
            keys=KEYS,
            height=options.height,
            image_width=options.image_width,
            encoding=options.encoding,
        )
        start = time.perf_counter()
        manifest = prepare(settings, shards, options.workers)
        took = time.perf_counter() - start
        size = sum(manifest["shards"]) / frames / 1e3
        print(
            f"prepared {frames} frames in {took:.2f} s: {frames / took:.1f} frames/s with "
            f"{options.workers} processes, {size:.1f} kB a frame"
        )
        sets = (("kitti_raw", originals), ("prepared", shards))
        times = np.array([[epoch(*which) for which in sets] for _ in range(options.rounds + 1)])[1:]
    for (name, _), seconds in zip(sets, times.T):
        median, p90 = np.median(seconds), np.percentile(seconds, 90)
        rate = len(manifest["samples"]) / median
        print(
            f"epoch from {name:10s} median {median:.2f} s, p90 {p90:.2f} s, {rate:.0f} triplets/s"
        )
    print(f"shards feed {np.median(times[:, 0]) / np.median(times[:, 1]):.1f} times faster")


if __name__ == "__main__":
    app.run(main)
