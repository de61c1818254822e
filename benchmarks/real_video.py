"""Trains papers on a hundred real frames and scores them further down the same drive: docs/real_data.md.

    python benchmarks/real_video.py --realdata=samples --papers=sfmlearner,scdepth,eigen,monodepth

`--realdata` (or KDEPTH_REALDATA) is a folder with `kitti_raw`, `kitti_stereo2015` and `kitti_odometry`
in their official layouts. Video papers and Eigen learn from frames 0 - 99 of drive 0013, all are
scored on frames 110 - 143 against one lidar scan each, beside every baseline; Monodepth learns from
the stereo pairs of KITTI odometry 06. For video papers the held-out photometric error is measured too:
the target against its neighbours, warped by predicted depth and motion and unwarped. A second call
reuses finished runs.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

import kdepth
from kdepth import cli
from kdepth.data import evaluation_samples
from kdepth.files import atomic_path
from kdepth.geometry.warp import inverse_warp

DRIVE = "2011_09_26_drive_0013_sync 02"
VIDEO = ("kitti_raw", f"{DRIVE} 0-99")
STEREO = ("kitti_odometry", "06 02+03 0-50")
TEST = f"{DRIVE} 110-143"
# The size and epochs that fit a hundred images; everything else as in the paper's small config.
FLAGS = {
    "eigen": (VIDEO, ["--epochs=40,20", "--height=128", "--image_width=416"]),
    "sfmlearner": (VIDEO, ["--epochs=120", "--height=128", "--image_width=416"]),
    "scdepth": (VIDEO, ["--epochs=120", "--height=128", "--image_width=416"]),
    "monodepth": (STEREO, ["--epochs=150"]),
}


def main() -> int:
    """Trains, scores, writes the table; returns 1 if a held-out photometric error is no better than unwarped."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--realdata", default=os.environ.get("KDEPTH_REALDATA"))
    parser.add_argument("--papers", default=",".join(FLAGS))
    parser.add_argument("--out", default="runs/real_video")
    parser.add_argument("--csv", default="docs/real_video.csv")
    parser.add_argument("--flags", default="", help="more flags of train, separated by blanks")
    arguments = parser.parse_args()
    if not arguments.realdata:
        parser.error("--realdata is required: the folder with the real data sets")
    root, out = Path(arguments.realdata), Path(arguments.out)
    test = _list_file(out / "splits" / "drive_0013_110-143.txt", TEST)
    baseline = _list_file(out / "splits" / "drive_0013_0-99.txt", VIDEO[1])
    rows, failed = [], False
    for paper in arguments.papers.split(","):
        (dataset, line), flags = FLAGS[paper]
        split = _list_file(out / "splits" / f"{dataset}.txt", line)
        run, table = out / paper, out / f"{paper}.csv"
        train = [
            f"--flagfile=configs/{paper}.cfg", f"--dataset={dataset}", f"--data_dir={root / dataset}",
            f"--split={split}", f"--run={run}", *flags,
            *arguments.flags.split(),
        ]  # fmt: skip
        _command("train", train)
        table.unlink(missing_ok=True)
        _command(
            "evaluate",
            [
                f"--run={run}", "--dataset=kitti_raw", f"--data_dir={root / 'kitti_raw'}",
                f"--split={test}", "--protocol=lidar", "--baseline_dataset=kitti_raw",
                f"--baseline_data_dir={root / 'kitti_raw'}", f"--baseline_split={baseline}",
                f"--results={table}",
            ],
        )  # fmt: skip
        with open(table, newline="") as file:
            found = list(csv.DictReader(file))
        model = kdepth.load_run(run)
        errors: tuple[float, float] | None = None
        if model.pose_frames is not None:
            errors = video_error(model, root / "kitti_raw", test)
            failed = failed or not errors[0] < errors[1]
        for row in found:
            mine = row["system"] == run.name
            rows.append(
                {
                    "paper": paper,
                    "system": row["system"],
                    "trained_on": f"{dataset}: {line}" if mine else "drive 0013, lidar of 0 - 99",
                    **{k: f"{float(row[k]):.4f}" for k in ("abs_rel", "rmse", "delta1")},
                    "photometric": f"{errors[0]:.4f}" if mine and errors else "",
                    "photometric_unwarped": f"{errors[1]:.4f}" if mine and errors else "",
                    "protocol": row["protocol"],
                }
            )
    with atomic_path(Path(arguments.csv)) as path, open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    for row in rows:
        print("  ".join(f"{key}={value}" for key, value in row.items() if value))
    return int(failed)


def video_error(model: Any, data_dir: Path, split: Path) -> tuple[float, float]:
    """Mean |target - source| of neighbouring frames, the source warped and unwarped, over one set of pixels.

    Args:
        model: a paper with a pose network.
        data_dir: KITTI raw.
        split: a list file.

    Returns:
        Warped and unwarped, images in [0, 1]; pixels whose match lies outside of the source are left
        out of both.
    """
    height, width = model.image_size
    samples = evaluation_samples(
        "kitti_raw",
        data_dir=data_dir,
        split=str(split),
        height=height,
        width=width,
        resize=model.resize,
        keys=frozenset({"image", "sources", "intrinsics"}),
        source_offsets=(-1, 1),
    )
    warped, unwarped = [], []
    for sample in samples:
        before, after = sample["sources"]
        frames = np.stack([before, sample["image"], after])
        if model.pose_frames == 2:
            to_before = model.predict_pose(frames[None, [1, 0]])[0, 0]
            to_after = model.predict_pose(frames[None, [1, 2]])[0, 0]
        else:
            motions = model.predict_pose(frames[None])[0]
            to_before, to_after = np.linalg.inv(motions[0]), motions[1]
        depth = model.predict_depth(sample["image"]).to_depth().values[..., None]
        for source, motion in ((before, to_before), (after, to_after)):
            found = inverse_warp(
                source[None], depth, motion[None].astype(np.float32), sample["intrinsics"][None]
            )
            seen = np.asarray(found.valid)[0, ..., 0] > 0
            warped.append(np.abs(np.asarray(found.image)[0] - sample["image"])[seen].mean())
            unwarped.append(np.abs(source - sample["image"])[seen].mean())
    return float(np.mean(warped)), float(np.mean(unwarped))


def _list_file(path: Path, line: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_text(f"{line}\n")
    return path


def _command(name: str, flags: list[str]) -> None:
    status = cli.call(name, flags)
    if status:
        sys.exit(status)


if __name__ == "__main__":
    sys.exit(main())
