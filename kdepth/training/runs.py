"""The folder of a training run: what was asked for, what came out, and how to read it back."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import logging

from kdepth.errors import UserError
from kdepth.files import atomic_path

if TYPE_CHECKING:
    from kdepth.papers.base import DepthModel

CONVERTED = "converted"  # from a paper's published weights, not trained here
STATES = ("training", "stopped", "finished", CONVERTED)
COMPLETE = ("finished", CONVERTED)  # states whose weights are what they are meant to be


@dataclasses.dataclass(frozen=True)
class Run:
    """A run's folder and its files.

    Attributes:
        folder: `runs/<name>`.
    """

    folder: Path

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.folder.resolve().name

    @property
    def weights(self) -> Path:
        """Portable weights, `<part>.npz` and `model.json`."""
        return self.folder / "weights"

    @property
    def checkpoints(self) -> Path:
        """Checkpoints for exact resume on one stack."""
        return self.folder / "checkpoints"

    @property
    def log(self) -> Path:
        """One row an epoch."""
        return self.folder / "log.csv"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's event files."""
        return self.folder / "tensorboard"

    @property
    def images(self) -> Path:
        """Pictures."""
        return self.folder / "images"

    @property
    def flags(self) -> Path:
        """The resolved flags of `train`."""
        return self.folder / "flags.cfg"

    @property
    def description(self) -> Path:
        """`run.json`."""
        return self.folder / "run.json"

    @property
    def info(self) -> dict[str, Any]:
        """What `run.json` holds.

        Raises:
            UserError: if the folder is no run, or the file is damaged.
        """
        try:
            info = json.loads(self.description.read_text())
            if not isinstance(info, dict) or "paper" not in info:
                raise ValueError("no `paper`")
            return info
        except FileNotFoundError:
            raise UserError(
                f"{self.folder} is no training run (it has no run.json): name one with --run=runs/<name>,"
                " or train it first with python -m kdepth.train"
            ) from None
        except NotADirectoryError:
            raise UserError(f"{self.folder} is a file, not a run's folder") from None
        except ValueError as error:
            raise UserError(f"{self.description} is damaged ({error})") from None

    def write_info(self, info: Mapping[str, Any]) -> None:
        """Replaces `run.json` atomically."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(self.description) as path:
            path.write_text(json.dumps(dict(info), indent=1) + "\n")

    def update_info(self, **facts: Any) -> None:
        """Changes some of `run.json`."""
        self.write_info({**self.info, **facts})


def model_info(model: DepthModel) -> dict[str, Any]:
    """What `run.json` says of a model, whoever wrote the folder: from it the model is built again."""
    return {
        "paper": model.paper,
        "kind": model.kind,
        "output_name": model.output_name,
        "rig": None if model.rig is None else model.rig._asdict(),
        "height": model.image_size[0],
        "image_width": model.image_size[1],
        "resize": model.resize,
        "options": dict(model.options),
    }


def load_run(run: str | Path, **options: Any) -> DepthModel:
    """The trained model of a run.

    Args:
        run: its folder, `runs/<name>`.
        **options: of the paper, in the place of the run's own (`postprocess=True`); its weights must
            still fit.

    Returns:
        The paper's model with the run's weights, ready for `predict_depth`, `export_model` and
        further training.

    Raises:
        UserError: if the folder is no run, has no weights yet, or they do not fit.
    """
    from kdepth.networks.weights import read_model_facts
    from kdepth.papers import create

    run = Run(Path(run))
    info = run.info
    if not run.weights.is_dir():
        raise UserError(
            f"{run.folder} has no weights yet (state: {info.get('state')}): let python -m kdepth.train finish it"
        )
    facts = read_model_facts(run.weights)
    model = create(facts["paper"], **{**facts["options"], **options})
    model.load_parts(run.weights)
    untrained = info.get("untrained")
    if untrained:
        logging.warning(
            "%d variables of %s are untrained, %s among them: it is a start for training",
            *(len(untrained), run.folder, untrained[0]),
        )
        if any(name.startswith("pose: ") for name in untrained):
            model.pose_frames = None  # its motions would mean nothing
    return model


def init_weights(model: DepthModel, folder: str | Path) -> None:
    """Gives a fresh model the weights of a run, to start training from.

    Args:
        model: of the same paper and topology; its size and its losses may be others where the
            weights fit.
        folder: a run's, `runs/<name>`, or what `save_parts` wrote.

    Raises:
        UserError: if there are no weights, or they do not fit.
    """
    stage = model.stage.name
    weights = Run(Path(folder)).weights
    model.load_parts(weights if weights.is_dir() else folder)
    model.enter_stage(stage)


def licence_of(folder: str | Path) -> str | None:
    """The licence that a run's weights came with, None where nothing is known of one."""
    for run in (Run(Path(folder)), Run(Path(folder).resolve().parent)):  # its `weights` will do too
        if run.description.is_file():
            return run.info.get("licence")
    return None


def now() -> str:
    """The time, to the second, in UTC."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
