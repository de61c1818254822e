"""Times the scoring of stored predictions: a KITTI-sized split from lidar scan to figures.

    python benchmarks/scoring.py                                      # 697 predictions of 375x1242
    python benchmarks/scoring.py --height=128 --image_width=416       # as SfMLearner publishes them

The split has the official names, order and layout; each of its scans is one of `--scans` rendered
ones (a street with walls, 64 rings, 1900 points each), so every frame is read and projected as in
an evaluation of KITTI. Prints seconds of the parts and of the whole command; the files lie in the
page cache, as on a second evaluation. With --profile the slowest functions too.
"""

from __future__ import annotations

import contextlib
import cProfile
import io
import os
import platform
import pstats
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from absl import app, flags

import kdepth
from kdepth import cli
from kdepth.data import splits
from kdepth.data.image import write_image
from kdepth.evaluation import baselines, protocols, systems, with_progress
from kdepth.evaluation.sources import Source

flags.DEFINE_integer("images", 697, "Frames of the split, at most 697.", 1, 697)
flags.DEFINE_integer("height", 375, "Rows of a prediction.", lower_bound=2)
flags.DEFINE_integer("image_width", 1242, "Columns of a prediction.", lower_bound=2)
flags.DEFINE_string("protocol", "eigen", "The protocol.")
flags.DEFINE_integer("scans", 8, "Different lidar scans.", lower_bound=1)
flags.DEFINE_string("folder", None, "Where the files go (6 GB free); by default a temporary one.")
flags.DEFINE_bool("profile", False, "Also print where the time goes, on one thread's view.")

HEIGHT, WIDTH = 375, 1242
CAMERA = """S_rect_02: 1242 375
R_rect_00: 1 0 0 0 1 0 0 0 1
P_rect_02: 721.5377 0 609.5593 44.85728 0 721.5377 172.854 0.2163791 0 0 1 0.002745884
P_rect_03: 721.5377 0 609.5593 -339.5242 0 721.5377 172.854 2.199936 0 0 1 0.002729905
"""
VELODYNE = """R: 0 -1 0 0 0 -1 1 0 0
T: -0.004 -0.076 -0.27
"""


def scan(rng: np.random.Generator) -> np.ndarray:
    """One turn of the scanner in a street: ground, walls on both sides, things in the way."""
    elevation = np.radians(np.linspace(-24.9, 2.0, 64))[:, None]
    azimuth = np.linspace(-np.pi, np.pi, 1900, endpoint=False)[None]
    ground = np.where(elevation < 0, 1.73 / np.maximum(-np.sin(elevation), 1e-3), np.inf)
    street = rng.uniform(4, 9) / np.maximum(np.abs(np.sin(azimuth)), 1e-3)
    things = np.repeat(rng.uniform(5, 120, 190), 10)[None]
    distance = np.minimum(np.minimum(ground, street / np.cos(elevation)), things)
    distance = np.minimum(distance + rng.normal(0, 0.02, distance.shape), 119.0)
    points = np.stack(
        [
            distance * np.cos(elevation) * np.cos(azimuth),
            distance * np.cos(elevation) * np.sin(azimuth),
            distance * np.sin(elevation) + 0 * azimuth,
            0 * distance,
        ],
        axis=-1,
    )
    return points.reshape(-1, 4).astype("<f4")


def write_split(root: Path, images: int, scans: int) -> Path:
    """Writes the first frames of the Eigen test split; returns the list file."""
    rng = np.random.default_rng(0)
    source = root / "source"
    source.mkdir(parents=True)
    for number in range(scans):
        scan(rng).tofile(source / f"{number}.bin")
    write_image(source / "image.png", rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8))
    entries = splits.read_package_split("eigen_test")[:images]
    for number, entry in enumerate(entries):
        date = root / "kitti" / entry.drive[:10]
        for folder, suffix, original in (
            ("image_02", ".png", "image.png"),
            ("velodyne_points", ".bin", f"{number % scans}.bin"),
        ):
            path = date / entry.drive / folder / "data" / f"{entry.frame:010d}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(source / original, path)
        (date / "calib_cam_to_cam.txt").write_text(CAMERA)
        (date / "calib_velo_to_cam.txt").write_text(VELODYNE)
    lines = [f"{entry.drive} 02 {entry.frame}\n" for entry in entries]
    (root / "list.txt").write_text("".join(lines))
    return root / "list.txt"


def write_predictions(path: Path, shape: tuple[int, int, int]) -> None:
    """A stack of smooth depth maps, float32, written map by map."""
    rng = np.random.default_rng(1)
    stack = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    ground = 1.0 / np.linspace(0.02, 0.2, shape[1])[:, None]
    for i in range(shape[0]):
        stack[i] = ground * np.exp(0.3 * np.sin(np.linspace(0, rng.uniform(5, 20), shape[2])))
    stack.flush()


@contextlib.contextmanager
def timed(what: str, images: int) -> Iterator[None]:
    """Prints how long the block took, in all and for each image."""
    start, cpu = time.perf_counter(), time.process_time()
    yield
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(
        f"{what:34s} {wall:7.2f} s {1e3 * wall / images:8.2f} ms an image {cpu:7.2f} s of CPU",
        flush=True,
    )


def main(argv: list[str]) -> None:
    """Writes the files, times the parts, then the command."""
    del argv
    f = flags.FLAGS
    root = Path(tempfile.mkdtemp(prefix="kdepth-scoring-", dir=f.folder))
    try:
        measure(f, root)
    finally:
        shutil.rmtree(root)


def measure(f: flags.FlagValues, root: Path) -> None:
    """Prints the seconds of each part."""
    split = write_split(root, f.images, f.scans)
    write_predictions(root / "stack.npy", (f.images, f.height, f.image_width))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(
        f"kdepth {kdepth.__version__}, NumPy {np.__version__}, Python {platform.python_version()}, "
        f"{cores} cores, load {os.getloadavg()[0]:.1f}"
    )
    print(f"{f.images} predictions of {f.height}x{f.image_width}, protocol {f.protocol}")
    protocol = protocols.find(f.protocol)
    source = Source("kitti_raw", root / "kitti", str(split))
    with timed("ground truth alone", f.images):
        depths, _ = source.depths(protocol, f.images)
        for _ in depths:
            pass
    with timed("fitting the baselines", f.images):
        fitted = baselines.fit(source.depths(protocol, baselines.MAX_IMAGES)[0], protocol)
    profiler = cProfile.Profile()
    with timed("scoring", f.images):
        system = systems.from_file("stack", root / "stack.npy", "depth", f.images)
        if f.profile:
            profiler.enable()
        with_progress.score(system, source, protocol, fitted, number=f.images)
        profiler.disable()
    if f.profile:
        text = io.StringIO()
        pstats.Stats(profiler, stream=text).sort_stats("tottime").print_stats(20)
        print(text.getvalue())
    with timed("kdepth.evaluate, all of it", f.images), contextlib.redirect_stdout(io.StringIO()):
        status = cli.call(
            "evaluate",
            [
                f"--predictions={root}/stack.npy",
                "--dataset=kitti_raw",
                f"--data_dir={root}/kitti",
                f"--split={split}",
                f"--baseline_split={split}",
                f"--protocol={f.protocol}",
                f"--results={root}/results.csv",
            ],
        )
    assert status == 0


if __name__ == "__main__":
    app.run(main)
