"""Scores predictions and baselines over a split: the one loop that all evaluations share.

A predictor is any function from samples to predictions, so a run, an exported model and a file of
another system's predictions go the same way. Only the pixels that are scored are ever compared: of
a lidar scan they are a twentieth of the image.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from absl import logging

from kdepth.errors import UserError
from kdepth.evaluation import scaling
from kdepth.evaluation.baselines import Baselines
from kdepth.evaluation.by_distance import ErrorByDistance
from kdepth.evaluation.metrics import (
    DISPARITY_METRIC,
    PHOTOMETRIC_METRICS,
    check_prediction,
    d1_all,
    depth_metrics,
    mean_over_images,
)
from kdepth.evaluation.photometric import photometric_error
from kdepth.evaluation.protocol import Protocol
from kdepth.evaluation.scaling import Alignment
from kdepth.prediction import Prediction, Rig

Sample = dict[str, Any]
# Samples in, for each of them one prediction of shape [1, h, w] out; h and w as the system likes.
Predictor = Callable[[Sequence[Sample]], Sequence[Prediction]]
# (sequence, system) -> how all of its images are scaled. The scored system's name is `SYSTEM` here.
Alignments = Mapping[tuple[str, str], Alignment]
SYSTEM = ""


@dataclass(frozen=True)
class Picture:
    """One scored image, to be looked at.

    Attributes:
        name: the sample's name.
        image: [H, W, 3] uint8, or None where it was not read.
        prediction: [H, W] metres, scaled and clipped as it was scored.
        truth: [H, W] metres, 0 where it was not scored.
        abs_rel: this image's figure.
    """

    name: str
    image: np.ndarray | None
    prediction: np.ndarray
    truth: np.ndarray
    abs_rel: float


@dataclass
class Scores:
    """Figures of every scored image.

    Attributes:
        names: the scored images.
        pixels: valid pixels of each.
        ratios: median(truth) / median(prediction) of each, before any scaling.
        system: each image's metrics.
        baselines: baseline name -> each image's metrics.
        unscored: images without one valid pixel.
        pictures: images that were asked for.
    """

    names: list[str] = field(default_factory=list)
    pixels: list[int] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
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
        return gain(self.mean()["abs_rel"], self.strongest_baseline()[1])


def gain(error: float, baseline: float) -> float:
    """How far an error lies below a baseline's, as a fraction; -inf if the baseline has none."""
    if baseline > 0:
        return 1.0 - error / baseline
    return 0.0 if error == 0 else -math.inf


@dataclass(frozen=True)
class _Scored:
    """The pixels of one image that count: where they are, what is true there, what is predicted."""

    sample: Sample
    pixels: np.ndarray  # [N] row * width + column
    truth: np.ndarray  # [N] float64 metres
    predictions: dict[str, np.ndarray]  # the system's (`SYSTEM`) and each baseline's [N] float64
    depth: np.ndarray  # [H, W] the system's, unscaled
    photometric: dict[str, float]


def score(
    samples: Iterable[Sample],
    predict: Predictor,
    protocol: Protocol,
    baselines: Baselines,
    *,
    rig: Rig | None = None,
    alignments: Alignments | None = None,
    batch_size: int = 8,
    pictures: Collection[int] = (),
    by_distance: ErrorByDistance | None = None,
    each: Callable[[Picture], None] | None = None,
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
        alignments: from `sequence_alignments`, for a protocol that scales by sequence.
        batch_size: samples that the predictor gets at once.
        pictures: indices of the images to keep.
        by_distance: gets the system's scored pixels.
        each: called with every scored image.
        progress: called with the number of images done.

    Returns:
        The scores, image by image.

    Raises:
        UserError: if a prediction has NaN or negative values (named by sample), or nothing could be
            scored.
    """
    if alignments is None and protocol.scaling == "median_sequence":
        raise ValueError("`alignments` must be given: they are fitted on whole sequences.")
    scores = Scores(baselines={name: [] for name in baselines.maps})
    done = 0
    for sample, scored in _compare(samples, predict, protocol, baselines, rig, batch_size):
        done += 1
        if scored is None:
            scores.unscored.append(sample["name"])
        else:
            _score_image(scores, scored, protocol, alignments, pictures, by_distance, each)
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


def sequence_alignments(
    samples: Iterable[Sample],
    predict: Predictor,
    protocol: Protocol,
    baselines: Baselines,
    *,
    rig: Rig | None = None,
    batch_size: int = 8,
    progress: Callable[[int], None] | None = None,
) -> dict[tuple[str, str], Alignment]:
    """Fits one factor for each sequence, for the system and for each baseline.

    It takes a pass of its own over the samples, because a sequence may be larger than memory.

    Args:
        samples: the samples that `score` will get; the arguments are as there.
        predict: the system.
        protocol: what is compared.
        baselines: fitted on training depth.
        rig: of disparities.
        batch_size: samples at once.
        progress: called with the number of images done.

    Returns:
        `alignments` for `score`.

    Raises:
        UserError: if a prediction has NaN or negative values.
    """
    factors: dict[tuple[str, str], list[float]] = defaultdict(list)
    for done, (sample, scored) in enumerate(
        _compare(samples, predict, protocol, baselines, rig, batch_size), start=1
    ):
        if scored is not None:
            sequence = scaling.sequence_of(sample["name"])
            for name, p in scored.predictions.items():
                factors[sequence, name].append(scaling.median_ratio(p, scored.truth))
        if progress is not None:
            progress(done)
    return {key: scaling.of_sequence(values) for key, values in factors.items()}


def _compare(
    samples: Iterable[Sample],
    predict: Predictor,
    protocol: Protocol,
    baselines: Baselines,
    rig: Rig | None,
    batch_size: int,
) -> Iterator[tuple[Sample, _Scored | None]]:
    """Each sample with its scored pixels, None where it has none."""
    for batch in _batches(samples, batch_size):
        for sample, prediction in zip(batch, predict(batch)):
            check_prediction(prediction.values, sample["name"])
            truth = np.asarray(sample["depth"], np.float32)
            truth = truth.reshape(truth.shape[:2])
            pixels = np.flatnonzero(protocol.mask(truth))
            if not pixels.size:
                yield sample, None
                continue
            depth = _to_depth(prediction, sample, rig)
            photometric = _photometric(prediction, depth, sample) if "stereo" in sample else {}
            depth = depth.resize(*truth.shape, space=protocol.interpolation).values[0]
            maps = {SYSTEM: depth.ravel()[pixels], **baselines.at(pixels, *truth.shape)}
            yield (
                sample,
                _Scored(
                    sample=sample,
                    pixels=pixels,
                    truth=truth.ravel()[pixels].astype(np.float64),
                    predictions={name: p.astype(np.float64) for name, p in maps.items()},
                    depth=depth,
                    photometric=photometric,
                ),
            )


def _score_image(
    scores: Scores,
    scored: _Scored,
    protocol: Protocol,
    alignments: Alignments | None,
    pictures: Collection[int],
    by_distance: ErrorByDistance | None,
    each: Callable[[Picture], None] | None,
) -> None:
    sample, truth = scored.sample, scored.truth
    log_truth = np.log(truth)
    for name, p in scored.predictions.items():
        if alignments is None:
            alignment = scaling.fit(protocol.scaling, p, truth)
        else:
            alignment = alignments[scaling.sequence_of(sample["name"]), name]
        aligned = alignment.apply(p)
        clipped = np.clip(aligned, *protocol.clip)
        row = depth_metrics(clipped, truth, log_truth)
        if protocol.disparity_error:
            row[DISPARITY_METRIC] = _disparity_error(aligned, truth, sample, protocol)
        if name != SYSTEM:
            scores.baselines[name].append(row)
            continue
        scores.names.append(sample["name"])
        scores.pixels.append(len(truth))
        scores.ratios.append(scaling.median_ratio(p, truth))
        scores.system.append({**row, **scored.photometric})
        if by_distance is not None:
            by_distance.add(clipped, truth)
        keep = sample["index"] in pictures
        if keep or each is not None:
            picture = _picture(scored, alignment, protocol, row["abs_rel"])
            if keep:
                scores.pictures.append(picture)
            if each is not None:
                each(picture)


def _picture(scored: _Scored, alignment: Alignment, protocol: Protocol, abs_rel: float) -> Picture:
    truth = np.zeros(scored.depth.shape)
    truth.ravel()[scored.pixels] = scored.truth
    return Picture(
        name=scored.sample["name"],
        image=scored.sample.get("image_native"),
        prediction=np.clip(alignment.apply(scored.depth), *protocol.clip),
        truth=truth,
        abs_rel=abs_rel,
    )


def _disparity_error(
    depth: np.ndarray, truth: np.ndarray, sample: Sample, protocol: Protocol
) -> float:
    """D1-all in pixels at the native width; not clipped, as in the released evaluation."""
    focal_times_baseline = float(sample["camera"].fx) * _baseline(sample, "D1-all needs it")
    return d1_all(
        focal_times_baseline / np.maximum(depth, protocol.clip[0]), focal_times_baseline / truth
    )


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
