"""What can be scored: a network with its facts, or predictions from a file."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kdepth.errors import UserError
from kdepth.evaluation import artefacts
from kdepth.evaluation.predictions import FilePredictions
from kdepth.evaluation.scoring import Predictor, Sample
from kdepth.prediction import Prediction, Rig
from kdepth.runtime import DepthModel, ModelFacts, sha256

# Size at which predictions from files see images: they do not look at them.
_ANY_SIZE = (8, 8)


@dataclass(frozen=True)
class System:
    """What is scored.

    Attributes:
        name: the table's first column.
        predict: from samples to predictions.
        kind: "metric", "relative" or "disparity".
        size: rows and columns of its input.
        resize: method that brings images there.
        rig: the stereo rig that its disparities stand for, where it knows one.
        stereo: whether it looks at the right view too.
        looks: whether it looks at the images at all.
        row: facts for the results table.
    """

    name: str
    predict: Predictor
    kind: str
    size: tuple[int, int] = _ANY_SIZE
    resize: str = "area"
    rig: Rig | None = None
    stereo: bool = False
    looks: bool = True
    row: dict[str, Any] = field(default_factory=dict)


def from_network(
    name: str,
    facts: ModelFacts,
    network: Callable[[np.ndarray], np.ndarray],
    rig_baseline: float | None = None,
) -> System:
    """A depth network.

    Args:
        name: for the table.
        facts: about the network.
        network: images float32 [B, h, w, 3] in [0, 1] -> its raw output [B, h, w] or [B, h, w, 1];
            where the facts say two frames, [B, h, w, 6]: left and right views.
        rig_baseline: metres, in the place of the training rig's.

    Returns:
        The system; a disparity stays one until a sample's camera turns it into metres.

    Raises:
        UserError: if the baseline is not positive.
    """
    kind = "disparity" if facts.output_name == "disparity" else facts.kind
    views = ("image", "stereo")[: facts.frames]

    def predict(samples: Sequence[Sample]) -> list[Prediction]:
        images = [np.concatenate([sample[view] for view in views], -1) for sample in samples]
        values = np.asarray(network(np.stack(images)), np.float32)
        values = values.reshape(len(samples), 1, *values.shape[1:3])
        return [Prediction(**{facts.output_name: v}, kind=kind, unit=facts.unit) for v in values]

    return System(
        name=name,
        predict=predict,
        kind=facts.kind,
        size=(facts.height, facts.image_width),
        resize=facts.resize,
        rig=_rig(rig_baseline, facts.rig),
        stereo="stereo" in views,
        row={
            "paper": facts.paper,
            "variant": facts.variant,
            "height": facts.height,
            "image_width": facts.image_width,
        },
    )


def from_run(
    folder: Path,
    info: dict[str, Any],
    asked: dict[str, Any],
    name: str | None = None,
    rig_baseline: float | None = None,
) -> System:
    """A trained run.

    Args:
        folder: of the run.
        info: its `run.json`.
        asked: model options other than the run's own (`postprocess`).
        name: for the table; by default the folder's, with a mark of what was asked for.
        rig_baseline: metres, in the place of the training rig's.

    Raises:
        UserError: if there is no such run, or the baseline is not positive.
    """
    import kdepth
    from kdepth.exporters.describe import weights_digest

    trained = kdepth.load_run(folder, **asked)
    marks = [f"{'+' if value else '-'}{option}" for option, value in asked.items()]
    system = from_network(
        name or "".join([folder.resolve().name, *marks]),
        ModelFacts.of_model(trained),
        lambda images: trained.predict_depth(images).values,
        rig_baseline,
    )
    system.row.update(run_row(folder, info, asked))
    system.row["weights_sha256"] = weights_digest(trained)
    return system


def from_artefact(path: Path, name: str | None = None, rig_baseline: float | None = None) -> System:
    """An exported model.

    Args:
        path: of the file or SavedModel folder.
        name: for the table; by default the file's.
        rig_baseline: metres, in the place of the training rig's.

    Raises:
        UserError: if it is no exported depth network, its interpreter is missing, or the baseline
            is not positive.
    """
    model = DepthModel(path)
    system = from_network(name or path.name, model.facts, model.run, rig_baseline)
    system.row.update(training_row(artefacts.run_of(model.description), {}))
    system.row.update(artefacts.columns(model))
    return system


def run_row(folder: Path, info: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """What the table keeps of a run's description, and of the options that were asked for now.

    Args:
        folder: of the run.
        info: its `run.json`.
        asked: model options other than the run's own.
    """
    from kdepth.training.runs import Run

    run = Run(folder)
    flags = run.flags
    digest = hashlib.sha256(flags.read_bytes()).hexdigest()[:12] if flags.is_file() else ""
    return {
        "run": run.name,
        **training_row(info, asked),
        "flags_digest": digest,
        # As `kdepth benchmark` names the Keras model.
        "sha256": sha256(run.weights) if run.weights.is_dir() else None,
    }


def training_row(info: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """What the table keeps of how a network was trained, as far as it is known.

    Args:
        info: a run's `run.json`, or what an exported model says of its run.
        asked: model options other than the run's own.
    """
    options = {**(info.get("options") or {}), **asked}
    known = "dataset" in info and "split" in info
    return {
        "trained_on": info.get("trained_on")
        or (f"{info['dataset']}/{Path(str(info['split'])).name}" if known else None),
        "state": info.get("state"),
        **{name: info.get(name) for name in ("ablation", "control", "batch_size", "seed")},
        "epochs": ",".join(map(str, info.get("epochs") or ())),
        "width": options.get("width"),
        "flags": json.dumps(options, sort_keys=True),
    }


def from_file(
    name: str,
    path: Path,
    quantity: str,
    count: int,
    rig_baseline: float | None = None,
    factor: float = 1.0,
) -> System:
    """Stored predictions of any system.

    Args:
        name: for the table.
        path: see `kdepth.evaluation.predictions`.
        quantity: one of `kdepth.evaluation.predictions.FILE_QUANTITIES`.
        count: images in the split.
        rig_baseline: metres that disparities stand for; None: the data set's own.
        factor: on depth.

    Raises:
        UserError: if the file does not fit, or the baseline or the factor is not positive.
    """
    told = {"quantity": quantity, "depth_factor": factor, "rig_baseline": rig_baseline}
    return System(
        name=name,
        predict=FilePredictions(path, quantity, count, factor),
        kind="disparity" if quantity.startswith("disparity") else "metric",
        rig=_rig(rig_baseline, None),
        looks=False,
        row={"flags": json.dumps(told, sort_keys=True)},
    )


def _rig(baseline: float | None, known: Rig | None) -> Rig | None:
    if baseline is None:
        return known
    if not baseline > 0:
        raise UserError(f"--rig_baseline={baseline:g}: must be a positive number of metres")
    return Rig(baseline, known.focal if known else math.nan)
