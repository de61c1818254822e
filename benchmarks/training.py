"""Which one waits: samples a second of the input pipeline alone, of the training step alone, and of both together.

    python benchmarks/training.py
    python benchmarks/training.py --width=1 --height=188 --image_width=620 --steps=10
    KERAS_BACKEND=jax python benchmarks/training.py --precision=mixed_bfloat16

Steps are timed inside `model.fit`, so Keras's own work counts. "Alone" gets one batch again and
again. The first pass over the data decodes every picture; with `--cache=memory` (what `auto` means
for small data sets) the later ones do not, and they are what a long training sees.
"""

from __future__ import annotations

import collections
import os
import platform
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

import kdepth
from kdepth import backend, data
from kdepth.geometry.warp import resampler_in_use

flags.DEFINE_enum("dataset", "synthetic", list(data.READERS), "The data set.")
flags.DEFINE_string("data_dir", None, "Its folder; by default that of the embedded world.")
flags.DEFINE_string("split", "train", "One of its splits, or a list file.")
flags.DEFINE_string("paper", "garg", "The paper.")
flags.DEFINE_string("variant", None, "The paper's variant.")
flags.DEFINE_list("stages", None, "The stages to time; by default all.")
flags.DEFINE_float("width", 0.25, "Channel multiplier of the networks.")
flags.DEFINE_integer("height", 128, "Network input height, pixels.", lower_bound=1)
flags.DEFINE_integer("image_width", 416, "Network input width, pixels.", lower_bound=1)
flags.DEFINE_integer("batch_size", 8, "Samples in a batch.", lower_bound=1)
flags.DEFINE_enum("cache", "auto", ["auto", "memory", "none"], "As in training.")
flags.DEFINE_enum(
    "precision", "float32", ["float32", "mixed_float16", "mixed_bfloat16"], "As in training."
)
flags.DEFINE_bool("jit", False, "Compile the step with XLA (JAX always does).")
flags.DEFINE_integer("steps", 40, "Steps that are timed.", lower_bound=2)
flags.DEFINE_integer("warm_up", 10, "Steps before that.", lower_bound=1)


class StepTimes(keras.callbacks.Callback):
    """Notes when every step was finished."""

    def __init__(self) -> None:
        super().__init__()
        self.finished: list[float] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Waits until the step is really done, then looks at the clock."""
        float(logs["loss"])
        self.finished.append(time.perf_counter())


def pipeline_seconds(dataset: tf.data.Dataset) -> np.ndarray:
    """Seconds between batches that nothing is done with."""
    args = flags.FLAGS
    finished = [time.perf_counter() for _ in dataset.repeat().take(args.warm_up + args.steps)]
    return np.diff(finished)[args.warm_up - 1 :]


def training_seconds(model: Any, dataset: tf.data.Dataset) -> np.ndarray:
    """Seconds between the ends of training steps."""
    args = flags.FLAGS
    times = StepTimes()
    count = args.warm_up + args.steps
    model.fit(dataset.repeat(), steps_per_epoch=count, epochs=1, callbacks=[times], verbose=0)
    return np.diff(times.finished)[args.warm_up - 1 :]


def report(name: str, seconds: np.ndarray) -> float:
    """Prints a row and returns samples per second."""
    rate = flags.FLAGS.batch_size / seconds.mean()
    median, p90 = 1000 * np.percentile(seconds, [50, 90])
    print(f"{name:24}{rate:10.1f}{median:11.1f}{p90:8.1f}", flush=True)
    return rate


def device() -> str:
    """What trains."""
    if backend.BACKEND == "jax":
        import jax

        return str(jax.devices()[0].device_kind)
    if backend.BACKEND == "torch":
        import torch

        return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", "?") for gpu in gpus]
    return ", ".join(names) or "cpu"


def main(_: list[str]) -> None:
    """Prints a table: the pipeline, then for every stage the step and both."""
    args = flags.FLAGS
    backend.set_precision(args.precision)
    options = {} if args.variant is None else {"variant": args.variant}
    size = {"height": args.height, "image_width": args.image_width}
    model = kdepth.create(args.paper, width=args.width, seed=1, **size, **options)
    model.compile(jit_compile=args.jit)
    source = {"data_dir": args.data_dir, "split": args.split, "batch_size": args.batch_size}
    with data.user_errors():
        dataset = data.load(args.dataset, model=model, seed=1, cache=args.cache, **source)
        facts = data.info(dataset)
        print(
            f"{args.paper} {args.variant or ''}, width {args.width:g}, batch {args.batch_size} of"
            f" {args.height}x{args.image_width}, {args.precision}{', XLA' * args.jit};"
            f" {len(facts.records)} samples, cached: {facts.cached}"
        )
        print(
            f"{device()}; {os.cpu_count()} CPUs {platform.machine()}; {backend.BACKEND}, Keras"
            f" {keras.__version__}, TensorFlow {tf.__version__}, resampler {resampler_in_use()};"
            f" {args.steps} steps after {args.warm_up} to warm up"
        )
        start = time.perf_counter()
        batch = collections.deque(dataset, maxlen=1)[0]  # one whole pass
        rate = facts.steps_per_epoch * args.batch_size / (time.perf_counter() - start)
        print(f"{'':24}{'samples/s':>10}{'median ms':>11}{'p90 ms':>8}")
        print(f"{'pipeline, first pass':24}{rate:10.1f}")
        pipeline = report("pipeline alone", pipeline_seconds(dataset))
        one_batch = tf.data.Dataset.from_tensors(batch)
        for stage in args.stages or [stage.name for stage in model.stages]:
            model.enter_stage(stage)
            step = report(f"step alone, {stage}", training_seconds(model, one_batch))
            both = report(f"both, {stage}", training_seconds(model, dataset))
            waits = "the pipeline" if pipeline > step else "the step"
            print(f"    {waits} waits: pipeline / step = {pipeline / step:.1f}", end="")
            print(f", both / step = {both / step:.2f}")


if __name__ == "__main__":
    app.run(main)
