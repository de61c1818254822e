"""Scores predictions and baselines over a split: the one loop that all evaluations share.

A predictor is any function from samples to predictions, so a run, an exported model and a file of
another system's predictions go the same way.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from kdepth.errors import UserError
from kdepth.evaluation.baselines import Baselines
from kdepth.evaluation.metrics import (
    DISPARITY_METRIC,
    PHOTOMETRIC_METRICS,
    check_prediction,
    d1_all,
    depth_metrics,
    mean_over_images,
)
from kdepth.evaluation.photometric import photometric_error
from kdepth.evaluation.protocols import Protocol
from kdepth.files import atomic_path
from kdepth.prediction import Prediction, Rig

Sample = dict[str, Any]
# Samples in, for each of them one prediction of shape [1, h, w] out; h and w as the system likes.
Predictor = Callable[[Sequence[Sample]], Sequence[Prediction]]


@dataclass(frozen=True)
class Picture:
    """One scored image, kept to be looked at.

    Attributes:
        name: the sample's name.
        image: [H, W, 3] uint8.
        prediction: [H, W] metres, scaled and clipped as it was scored.
        truth: [H, W] metres, 0 where it was not scored.
        abs_rel: this image's figure.
    """

    name: str
    image: np.ndarray
    prediction: np.ndarray
    truth: np.ndarray
    abs_rel: float


@dataclass
class Scores:
    """Figures of every scored image.

    Attributes:
        names: the scored images.
        pixels: valid pixels of each.
        system: each image's metrics.
        baselines: baseline name -> each image's metrics.
        unscored: images without one valid pixel.
        pictures: images that were asked for.
    """

    names: list[str] = field(default_factory=list)
    pixels: list[int] = field(default_factory=list)
    system: list[dict[str, float]] = field(default_factory=list)
    baselines: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    unscored: list[str] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)

    def mean(self) -> dict[str, float]:
        """The system's metrics, unweighted mean over images."""
        return mean_over_images(self.system)

    def baseline_means(self) -> dict[str, dict[str, float]]:
        """Each baseline's metrics, the strongest (lowest abs_rel) first."""
        means = {name: mean_over_images(rows) for name, rows in self.baselines.items()}
        return dict(sorted(means.items(), key=lambda item: item[1]["abs_rel"]))

    def strongest_baseline(self) -> tuple[str, float]:
        """Name and abs_rel of the baseline that is hardest to beat."""
        name, means = next(iter(self.baseline_means().items()))
        return name, means["abs_rel"]

    def gain(self) -> float:
        """How far the system's abs_rel lies below the strongest baseline's: 0.2 is 20 % below."""
        return 1.0 - self.mean()["abs_rel"] / self.strongest_baseline()[1]


def score(
    samples: Iterable[Sample],
    predict: Predictor,
    protocol: Protocol,
    baselines: Baselines,
    *,
    rig: Rig | None = None,
    batch_size: int = 8,
    pictures: Collection[int] = (),
    progress: Callable[[int], None] | None = None,
) -> Scores:
    """Scores one system and all baselines on the same pixels.

    Args:
        samples: from `kdepth.data.evaluation_samples`: name, index, image [h, w, 3] for the
            predictor, image_native uint8, depth [H, W] metres, camera, baseline. With `stereo` the
            held-out photometric error is measured too.
        predict: the system.
        protocol: what is compared, and how.
        baselines: fitted on training depth.
        rig: the stereo rig that disparities stand for; where None, the sample's own camera and
            baseline.
        batch_size: samples that the predictor gets at once.
        pictures: positions of the images to keep, 0 for the first.
        progress: called with the number of images done.

    Returns:
        The scores, image by image.

    Raises:
        UserError: if a prediction has NaN or negative values (named by sample), or nothing could be
            scored.
    """
    scores = Scores(baselines={name: [] for name in baselines.maps})
    done = 0
    for batch in _batches(samples, batch_size):
        for sample, prediction in zip(batch, predict(batch)):
            _score_sample(scores, sample, prediction, protocol, baselines, rig, done in pictures)
            done += 1
            if progress is not None:
                progress(done)
    if not done:
        raise UserError("nothing to score: the split has no image; check --split and --limit")
    if not scores.names:
        raise UserError(
            f"nothing to score: none of {done} images has a depth that protocol "
            f"{protocol.name} counts; check --protocol and --data_dir"
        )
    if scores.unscored:
        logging.warning(
            "%d of %d images have no depth that the protocol counts and are left out, first %s",
            len(scores.unscored),
            done,
            scores.unscored[0],
        )
    return scores


def _score_sample(
    scores: Scores,
    sample: Sample,
    prediction: Prediction,
    protocol: Protocol,
    baselines: Baselines,
    rig: Rig | None,
    keep: bool,
) -> None:
    name = sample["name"]
    check_prediction(prediction.values, name)
    truth = np.asarray(sample["depth"], np.float32).reshape(np.shape(sample["depth"])[:2])
    valid = protocol.mask(truth)
    if not valid.any():
        scores.unscored.append(name)
        return
    depth = _to_depth(prediction, sample, rig)
    photometric = _photometric(prediction, depth, sample) if "stereo" in sample else {}
    depth = depth.resize(*truth.shape, space=protocol.interpolation).values[0]
    row = {**_score_map(depth, truth, valid, sample, protocol), **photometric}
    scores.names.append(name)
    scores.pixels.append(int(valid.sum()))
    scores.system.append(row)
    for baseline, values in baselines.predict(*truth.shape).items():
        scores.baselines[baseline].append(_score_map(values, truth, valid, sample, protocol))
    if keep:
        scale = protocol.scale(depth[valid], truth[valid])
        scores.pictures.append(
            Picture(
                name=name,
                image=sample["image_native"],
                prediction=np.clip(depth * scale, *protocol.clip),
                truth=np.where(valid, truth, 0),
                abs_rel=row["abs_rel"],
            )
        )


def _score_map(
    depth: np.ndarray, truth: np.ndarray, valid: np.ndarray, sample: Sample, protocol: Protocol
) -> dict[str, float]:
    """Metrics of one [H, W] depth map."""
    g = truth[valid].astype(np.float64)
    p = depth[valid].astype(np.float64)
    p = p * protocol.scale(p, g)
    row = depth_metrics(np.clip(p, *protocol.clip), g)
    if protocol.disparity_error:
        # Pixels at the native width; not clipped, as in the released evaluation.
        focal_times_baseline = float(sample["camera"].fx) * _baseline(sample, "D1-all needs it")
        row[DISPARITY_METRIC] = d1_all(
            focal_times_baseline / np.maximum(p, protocol.clip[0]), focal_times_baseline / g
        )
    return row


def _to_depth(prediction: Prediction, sample: Sample, rig: Rig | None) -> Prediction:
    if prediction.quantity != "disparity":
        return prediction.to_depth()
    camera = sample["camera"]
    if rig is None:
        rig = Rig(
            baseline=_baseline(
                sample, "a disparity becomes metres only with it; give --rig_baseline"
            ),
            focal=float(camera.fx) / camera.width,
        )
    return prediction.to_depth(camera, rig)


def _photometric(prediction: Prediction, depth: Prediction, sample: Sample) -> dict[str, float]:
    """How well the prediction explains the right view, at the network's size."""
    if prediction.quantity == "disparity":
        disparity = prediction
    elif depth.kind == "metric":
        camera, baseline = sample["camera"], _baseline(sample, "the photometric error needs it")
        inverse = 1.0 / np.maximum(depth.values, 1e-6)
        disparity = Prediction(disparity=float(camera.fx) / camera.width * baseline * inverse)
    else:
        raise UserError("the photometric error needs metric depth or disparity, not relative depth")
    left, right = sample["image"], sample["stereo"]
    disparity = disparity.resize(*left.shape[:2]).values[0]
    error = photometric_error(left, right, disparity)
    return dict(zip(PHOTOMETRIC_METRICS, (error.warped, error.unwarped)))


def _baseline(sample: Sample, why: str) -> float:
    baseline = sample.get("baseline")
    if baseline is None:
        raise UserError(f"{sample['name']}: the stereo rig's baseline is not known, and {why}")
    return float(baseline)


def _batches(samples: Iterable[Sample], size: int) -> Iterator[list[Sample]]:
    iterator = iter(samples)
    while batch := list(islice(iterator, size)):
        yield batch


def write_per_image(path: Path, scores: Scores) -> None:
    """Writes each image's figures as CSV, with its strongest baseline's abs_rel beside them.

    Args:
        path: the file; replaced as a whole.
        scores: from `score`.
    """
    name, _ = scores.strongest_baseline()
    metrics = list(scores.system[0])
    with atomic_path(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "pixels", *metrics, f"abs_rel of {name}"])
        for image, pixels, row, baseline in zip(
            scores.names, scores.pixels, scores.system, scores.baselines[name]
        ):
            writer.writerow(
                [
                    image,
                    pixels,
                    *(repr(row[metric]) for metric in metrics),
                    repr(baseline["abs_rel"]),
                ]
            )
