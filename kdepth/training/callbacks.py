"""What watches a training run: progress, logs, checkpoints, and the guards that stop it with a named cause.

All are ordinary Keras callbacks for a `DepthModel`; `kdepth.train` uses them, and so may a script's
own `fit`.
"""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kdepth import backend
from kdepth.errors import UserError
from kdepth.files import atomic_path
from kdepth.papers.base import NO_SAMPLE, DepthModel
from kdepth.training import checkpoints


class TrainingStopped(UserError):
    """Training cannot go on; the message names the cause and a remedy."""


class Progress(keras.callbacks.Callback):
    """One bar over all stages: step, rate, time left, loss."""

    def __init__(self, total_steps: int, description: Callable[[], str]) -> None:
        """Makes the callback.

        Args:
            total_steps: of all stages together.
            description: gives the text before the bar.
        """
        super().__init__()
        self.total_steps, self.description = total_steps, description
        self._bar: Any = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: D102
        if self._bar is None:
            from tqdm import tqdm

            done = int(backend.to_numpy(self.model.step))
            self._bar = tqdm(
                total=self.total_steps,
                initial=done,
                unit="step",
                dynamic_ncols=True,
                mininterval=1.0,
            )
        self._bar.set_description(self.description())

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: D102
        if self._bar.n - self._bar.initial > 0 and self._bar.n % 10 == 0:
            self._bar.set_postfix(
                loss=f"{float((logs or {}).get('loss', math.nan)):.4g}", refresh=False
            )
        self._bar.update()

    def close(self) -> None:
        """Ends the bar."""
        if self._bar is not None:
            self._bar.close()


class CsvLog(keras.callbacks.Callback):
    """One row an epoch: stage, epoch, step, seconds, samples a second, learning rate, the loss and its terms.

    Rows past the step at which training resumes are dropped, so that the file tells one undisturbed
    story.
    """

    def __init__(self, path: Path, batch_size: int) -> None:
        """Makes the callback.

        Args:
            path: of the CSV file.
            batch_size: of the global batch.
        """
        super().__init__()
        self.path, self.batch_size = Path(path), batch_size
        self._rows: list[dict[str, str]] = []
        self._epoch: int | None = None

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: D102
        step = int(backend.to_numpy(self.model.step))
        rows = []
        if self.path.exists():
            with open(self.path, newline="") as file:
                rows = list(csv.DictReader(file))
        self._rows = [row for row in rows if int(row["step"]) <= step]

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: D102
        self._start, self._first = time.monotonic(), int(backend.to_numpy(self.model.step))
        self._epoch = epoch

    def finish_epoch(self) -> None:
        """Writes the row of an epoch that was interrupted after its last step."""
        if self._epoch is not None:
            self.on_epoch_end(
                self._epoch, {mean.name: mean.result() for mean in self.model.metrics}
            )

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: D102
        step = int(backend.to_numpy(self.model.step))
        seconds = time.monotonic() - self._start
        values = {
            k: v for k, v in (logs or {}).items() if k == "loss" or k in self.model.term_weights
        }
        row = {
            "stage": self.model.stage.name,
            "epoch": str(epoch + 1),
            "step": str(step),
            "seconds": f"{seconds:.2f}",
            "samples_per_second": f"{(step - self._first) * self.batch_size / max(seconds, 1e-9):.2f}",
            "learning_rate": f"{learning_rate(self.model):.6g}",
            **{name: f"{float(value):.8g}" for name, value in values.items()},
        }
        self._rows.append(row)
        self._epoch = None
        text = io.StringIO()
        writer = csv.DictWriter(text, list(row), lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(self._rows)
        with atomic_path(self.path) as temporary:
            temporary.write_text(text.getvalue())


class Checkpoints(keras.callbacks.Callback):
    """Saves a checkpoint every so many steps, at every epoch's end and when training ends or is interrupted.

    Given a checkpoint that training resumes from, it also puts the running means back after Keras
    has reset them.
    """

    def __init__(
        self, folder: Path, every_steps: int = 0, resumed: checkpoints.Checkpoint | None = None
    ) -> None:
        """Makes the callback.

        Args:
            folder: where checkpoints go.
            every_steps: 0: at the end of epochs only.
            resumed: the checkpoint that was restored.
        """
        super().__init__()
        self.folder, self.every_steps, self._resumed = Path(folder), every_steps, resumed
        self._last = resumed.step if resumed else -1

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: D102
        if self._resumed is not None:
            step = int(backend.to_numpy(self.model.step))
            if step == self._resumed.step and self._resumed.arrays["facts"].get("mid_epoch"):
                checkpoints.restore_metrics(self.model, self._resumed)
            self._resumed = None

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: D102
        step = int(backend.to_numpy(self.model.step))
        if self.every_steps and step % self.every_steps == 0:
            self.save(mid_epoch=True)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: D102
        self._last = -1  # the same step again, now at the epoch's end
        self.save(mid_epoch=False)

    def save(self, mid_epoch: bool) -> None:
        """Writes a checkpoint of this moment, unless it was just written."""
        step = int(backend.to_numpy(self.model.step))
        if step != self._last:
            checkpoints.save(self.model, self.folder, mid_epoch=mid_epoch)
            self._last = step


class StopOnNaN(keras.callbacks.Callback):
    """Stops when the loss is not finite and says which term and which samples did it."""

    def __init__(self, sample_name: Callable[[int], str]) -> None:
        """Makes the callback; `sample_name` gives the name of the sample with an index."""
        super().__init__()
        self.sample_name = sample_name

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: D102
        logs = logs or {}
        if math.isfinite(float(logs["loss"])):
            return
        terms = [t for t in self.model.term_weights if not math.isfinite(float(logs[t]))]
        indices = [int(i) for i in backend.to_numpy(self.model.bad_samples) if i != NO_SAMPLE]
        names = ", ".join(self.sample_name(i) for i in indices)
        cause = f"term {', '.join(terms)}" if terms else "weight decay (the weights themselves)"
        where = f" of sample {names}" if names else ""
        step = int(backend.to_numpy(self.model.step))
        raise TrainingStopped(
            f"the loss is not finite at step {step}: {cause}{where}; look at these files, or lower --learning_rate,"
            " or set --clip_norm=1; the last checkpoint is good"
        )


class StopOnCollapse(keras.callbacks.Callback):
    """Stops when the network has collapsed: a constant prediction, or one that sits at its bound.

    Looked at after every epoch, on a few fixed images; it must hold for `patience` epochs in a row.
    """

    def __init__(self, images: np.ndarray, patience: int = 5) -> None:
        """Makes the callback.

        Args:
            images: [B, H, W, 3] in [0, 1].
            patience: epochs.
        """
        super().__init__()
        self.images, self.patience = images, patience
        self._seen: list[str] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: D102
        symptom = collapse_symptom(self.model, self.images)
        self._seen = [*self._seen, symptom] if symptom else []
        if len(self._seen) >= self.patience:
            raise TrainingStopped(
                f"the network has collapsed: {symptom} in {self.patience} epochs in a row"
                f" (stage {self.model.stage.name});"
                " usual causes: left and right swapped, wrong intrinsics, too strong smoothness, too high a learning"
                " rate, static frames; --collapse_patience=0 turns this guard off"
            )


def collapse_symptom(model: DepthModel, images: np.ndarray) -> str:
    """Says what is wrong with a model's predictions, or nothing.

    Args:
        model: the paper's model.
        images: [B, H, W, 3] in [0, 1].

    Returns:
        "" where the predictions vary over the image and are not stuck at a bound.
    """
    values = model.predict_depth(images).values.astype(np.float64)
    spread = float(
        np.mean(np.std(values, axis=(1, 2)) / (np.mean(np.abs(values), axis=(1, 2)) + 1e-12))
    )
    if spread < 1e-3:
        return f"the prediction is constant (its deviation is {spread:.1e} of its mean)"
    if model.output_bounds is not None:
        low, high = model.output_bounds
        margin = 0.01 * (high - low)
        stuck = float(np.mean((values < low + margin) | (values > high - margin)))
        if stuck > 0.95:
            return f"{100 * stuck:.0f} % of the prediction is saturated at its bounds {low:g} and {high:g}"
    return ""


class TensorBoardLog(keras.callbacks.Callback):
    """Scalars of every epoch, and pictures of a few fixed samples: the image and the paper's own maps."""

    def __init__(self, folder: Path, batch: dict[str, np.ndarray], every_epochs: int = 1) -> None:
        """Makes the callback.

        Args:
            folder: of the event files.
            batch: the samples to show.
            every_epochs: how often pictures are written.
        """
        super().__init__()
        import tensorflow as tf

        self._tf = tf
        self._writer = tf.summary.create_file_writer(str(folder))
        self.batch, self.every_epochs = batch, every_epochs

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: D102
        step = int(backend.to_numpy(self.model.step))
        with self._writer.as_default(step=step):
            for name, value in (logs or {}).items():
                self._tf.summary.scalar(f"epoch/{name}", float(value))
            self._tf.summary.scalar("epoch/learning_rate", learning_rate(self.model))
            if (epoch + 1) % self.every_epochs == 0:
                self._write_pictures()
        self._writer.flush()

    def _write_pictures(self) -> None:
        from kdepth.visualize import colorize

        self._tf.summary.image("image", self.batch["image"], max_outputs=4)
        # A network of two inputs refuses a mixture of arrays and tensors.
        batch = {key: backend.ops.convert_to_tensor(value) for key, value in self.batch.items()}
        for name, values in self.model.picture_outputs(batch).items():
            values = np.asarray(backend.to_numpy(values), np.float32)
            if values.shape[-1] == 1:
                values = (
                    np.stack([colorize(value[..., 0]) for value in values]).astype(np.float32) / 255
                )
            self._tf.summary.image(name, np.clip(values, 0.0, 1.0), max_outputs=4)


class StopAfter(keras.callbacks.Callback):
    """Interrupts training at a global step, as Ctrl-C would."""

    def __init__(self, step: int) -> None:
        """Makes the callback."""
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: D102
        if int(backend.to_numpy(self.model.step)) >= self.step:
            raise KeyboardInterrupt


def learning_rate(model: DepthModel) -> float:
    """The current learning rate, of a constant or of a schedule."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    return float(backend.to_numpy(optimizer.learning_rate))
