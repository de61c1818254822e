"""What papers that learn from video know of motion and scale, on sequences of the embedded world.

Renders three streets of 60 frames on which the rig bends and stops, and a moving car or two, all unseen
in training (a minute). For each run: 5-frame ATE beside constant mean motion, correlation with the
true speed and yaw rate, and the scale's drift: the standard deviation over a sequence of log(median
truth / median prediction). For SC-Depth's masks too: how well M_s tells moving pixels from
standing ones (AUC), and what M_a rejects of a stopped camera's pixels and of a car that drives ahead
at the rig's own speed.

Example:
  python benchmarks/video.py --runs=runs/sfmlearner,runs/scdepth --csv=docs/video.csv
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path
from typing import Any

import numpy as np

import kdepth
from kdepth.data import open_reader, synthetic
from kdepth.data.image import read_image, resize_image
from kdepth.data.world import drive, motion, roadside
from kdepth.data.world.noise import Noise
from kdepth.data.world.rig import rig
from kdepth.data.world.scene import Mover, Street, lay_out
from kdepth.data.world.settings import WorldSettings
from kdepth.data.world.shadows import Shadows
from kdepth.data.world.textures import Painter
from kdepth.evaluation import egomotion, odometry
from kdepth.evaluation.egomotion import PoseNetwork
from kdepth.training.runs import Run

# Seed 224: the rig stands for 33, 47 and 11 of the 60 frames and turns by up to 0.5 degrees a frame.
SEQUENCES = WorldSettings(train_drives=1, test_drives=3, frames=60, seed=224)
MOVING = WorldSettings(train_drives=1, test_drives=16, frames=3, seed=31, moving=True)
SENSOR_NOISE = (
    0.01  # deviation of a camera's noise; the renderer has none, and a stopped pair is equal
)
KEYS = frozenset({"image", "depth", "sources", "T_sources_image", "intrinsics"})


def main() -> int:
    """Measures every run; returns 0."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", default="runs/sfmlearner,runs/scdepth")
    parser.add_argument("--worlds", default=str(synthetic.default_data_dir().parent / "video"))
    parser.add_argument("--csv", default="docs/video.csv")
    arguments = parser.parse_args()
    world = synthetic.ensure(Path(arguments.worlds) / "sequences", SEQUENCES)
    rows = []
    for folder in arguments.runs.split(","):
        model, info = kdepth.load_run(folder), Run(Path(folder)).info
        constant = mean_motion(info)
        for name in SEQUENCES.drives()["test"]:
            rows.append({"run": Path(folder).name, **sequence_row(model, world, name, constant)})
        if hasattr(model, "masks"):
            rows.append({"run": Path(folder).name, "sequence": "moving", **mask_row(model)})
    names = list(dict.fromkeys(name for row in rows for name in row))
    with open(arguments.csv, "w", newline="") as file:
        writer = csv.DictWriter(file, names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    for row in rows:
        print("  ".join(f"{name}={value}" for name, value in row.items()))
    return 0


# -- motion and scale --------------------------------------------------------------------------------------------------


def mean_motion(info: dict[str, Any]) -> np.ndarray:
    """The mean motion from a frame to the next over a run's training data, [4, 4]; rotations are small."""
    reader = open_reader(info["dataset"], info["data_dir"])
    keys = frozenset({"image", "sources", "T_sources_image"})
    motions = [r.T_sources_image[0] for r in reader.records(info["split"], keys, (1,))]
    return np.mean(motions, axis=0)


def sequence_row(
    model: Any, world: Path, name: str, constant: np.ndarray
) -> dict[str, str | float | int]:
    """Motion and scale on one sequence."""
    records = open_reader("synthetic", world).records("test", KEYS, (1,))
    records = [r for r in records if r.name.startswith(name)]
    truth = np.stack([record.T_sources_image[0] for record in records])
    images = [*(record.image for record in records), records[-1].sources[0]]
    network = PoseNetwork.of_model(model)
    predicted = egomotion.chain(egomotion.predict_windows(network, images), network.target)
    mine, deviation = odometry.ate(predicted, truth)
    baseline, _ = odometry.ate(np.tile(constant, (len(truth), 1, 1)), truth)
    ratios = []
    for record in records:
        depth = record.depth.load()
        frame = resize_image(read_image(record.image), *model.image_size, model.resize)
        values = model.predict_depth(frame).resize(*depth.shape).to_depth().values[0]
        valid = (depth > 1e-3) & (depth < 80.0)
        ratios.append(np.log(np.median(depth[valid]) / np.median(values[valid])))
    return {
        "sequence": name,
        "frames": len(images),
        "ate": f"{mine:.4f}",
        "ate_std": f"{deviation:.4f}",
        "ate_constant_motion": f"{baseline:.4f}",
        "r_speed": f"{_correlation(odometry.forward_speed, predicted, truth):.3f}",
        "r_yaw": f"{_correlation(odometry.yaw_rate, predicted, truth):.3f}",
        "scale_drift": f"{np.std(ratios):.4f}",
    }


def _correlation(quantity: Any, predicted: np.ndarray, truth: np.ndarray) -> float:
    return float(np.corrcoef(quantity(predicted), quantity(truth))[0, 1])


# -- SC-Depth's masks --------------------------------------------------------------------------------------------------


def mask_row(model: Any) -> dict[str, str | float]:
    """AUC of M_s on moving cars, and what M_a rejects."""
    scores, labels = [], []
    rng = np.random.default_rng(0)
    for index in range(MOVING.test_drives):
        street, poses, calibration, painter_noise = _street(MOVING, index + 1)
        if not street.movers:
            continue
        batch, moving = _pair(model, MOVING, street, poses, calibration, painter_noise)
        masks = model.masks(batch)
        valid = np.asarray(masks["valid"])[0, ..., 0] > 0
        scores.append(1.0 - np.asarray(masks["self"])[0, ..., 0][valid])
        labels.append(moving[valid])
    rejected = []
    for index in range(4):
        street, poses, calibration, painter_noise = _street(MOVING, index + 1, moving=False)
        still = np.stack([poses[0]] * 2)
        batch, _ = _pair(model, MOVING, street, still, calibration, painter_noise)
        for key in ("image", "sources"):
            batch[key] = batch[key] + rng.normal(0, SENSOR_NOISE, batch[key].shape)
            batch[key] = batch[key].clip(0, 1).astype(np.float32)
        rejected.append(1.0 - np.asarray(model.masks(batch)["auto"]).mean())
    ahead = []
    for index in range(8):
        street, poses, calibration, painter_noise = _street(MOVING, index + 1, moving=False)
        street = _with_car_ahead(street, poses, np.random.default_rng(index))
        batch, moving = _pair(model, MOVING, street, poses, calibration, painter_noise)
        if moving.sum() > 100:
            ahead.append(1.0 - np.asarray(model.masks(batch)["auto"])[0, ..., 0][moving].mean())
    return {
        "auc_ms": f"{_auc(np.concatenate(scores), np.concatenate(labels)):.3f}",
        "ma_rejects_stopped": f"{np.mean(rejected):.3f}",
        "ma_rejects_car_ahead": f"{np.mean(ahead):.3f}",
    }


def _street(
    settings: WorldSettings, index: int, moving: bool | None = None
) -> tuple[Street, np.ndarray, Any, Noise]:
    """A street, the left camera's poses on it, the rig and the textures' noise, as `write_drive` draws them."""
    rng = settings.rng(2, index)
    travelled = motion.distances(rng, settings.frames)
    street = lay_out(rng, float(travelled[-1]), settings.moving if moving is None else moving)
    noise = Noise(rng)
    poses = motion.camera_poses(street, rng, travelled)
    return street, poses, rig(settings, settings.drive_name(index)[:10]), noise


def _with_car_ahead(street: Street, poses: np.ndarray, rng: np.random.Generator) -> Street:
    """The street with one car that keeps its distance to the rig, ten metres or so."""
    add = roadside.car(rng)
    step = float(np.linalg.norm(poses[1, :3, 3] - poses[0, :3, 3]))
    start = 9.0 + 4.0 * rng.random()

    def on_lane(solids: Any, x: float) -> None:
        add(solids, street.ground, x, street.lane, True)

    return Street(**{**vars(street), "movers": (Mover(start, step, on_lane),)})


def _pair(
    model: Any,
    settings: WorldSettings,
    street: Street,
    poses: np.ndarray,
    calibration: Any,
    noise: Noise,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """A batch of one for the model (target frame 1, sources 0 and the next), and where cars drive in it."""
    height, width = model.image_size
    order = [1, 0, min(2, len(poses) - 1)]
    images = []
    for frame in order:
        scene = drive.scene_at(street, frame)
        painter = Painter(street.light, noise, Shadows(scene, street.light.sun))
        image, depth = drive.view_image(settings, calibration, scene, painter, poses[frame], 0.0)
        images.append(resize_image(image, height, width, model.resize))
        if frame == order[0]:
            standing = Street(**{**vars(street), "movers": ()})
            scene = drive.scene_at(standing, frame)
            painter = Painter(street.light, noise, Shadows(scene, street.light.sun))
            _, without = drive.view_image(settings, calibration, scene, painter, poses[frame], 0.0)
            moving = np.abs(np.minimum(depth, 1e3) - np.minimum(without, 1e3)) > 1e-3
    camera = kdepth.Camera.from_matrix(
        np.asarray(calibration.intrinsics), settings.width, settings.height
    )
    batch = {
        "image": np.asarray(images[0], np.float32)[None],
        "sources": np.stack(images[1:]).astype(np.float32)[None],
        "intrinsics": camera.resize(width, height).matrix().astype(np.float32)[None],
        "index": np.zeros(1, np.int64),
    }
    mask = resize_image(moving[..., None].astype(np.float32), height, width, "nearest")
    return batch, mask[..., 0] > 0.5


def _auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Probability that a moving pixel scores higher than a standing one (ties count half)."""
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    ranks = np.empty(len(scores))
    first = np.searchsorted(ordered, ordered, "left")
    last = np.searchsorted(ordered, ordered, "right")
    ranks[order] = (first + last + 1) / 2
    positive = labels.sum()
    return float(
        (ranks[labels].sum() - positive * (positive + 1) / 2) / (positive * (~labels).sum())
    )


if __name__ == "__main__":
    sys.exit(main())
