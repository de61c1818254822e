"""Which one waits: samples a second of the input pipeline alone, of the training step alone, and of both together.

    python benchmarks/training.py
    python benchmarks/training.py --width=1 --height=188 --image_width=620

The first pass over the data decodes every picture; with `--cache=memory` (what `auto` means for
small data sets) the later ones do not, and they are what a long training sees.
"""

from __future__ import annotations

import collections
import itertools
import os
import platform
import time
from collections.abc import Callable, Iterable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from absl import app, flags

import kdepth
from kdepth import data
from kdepth.geometry.warp import resampler_in_use

flags.DEFINE_enum("dataset", "synthetic", list(data.READERS), "The data set.")
flags.DEFINE_string("data_dir", None, "Its folder; by default that of the embedded world.")
flags.DEFINE_string("split", "train", "One of its splits, or a list file.")
flags.DEFINE_string("paper", "garg", "The paper.")
flags.DEFINE_float("width", 0.25, "Channel multiplier of its networks.")
flags.DEFINE_integer("height", 128, "Network input height, pixels.", lower_bound=1)
flags.DEFINE_integer("image_width", 416, "Network input width, pixels.", lower_bound=1)
flags.DEFINE_integer("batch_size", 8, "Samples in a batch.", lower_bound=1)
flags.DEFINE_enum("cache", "auto", ["auto", "memory", "none"], "As in training.")
flags.DEFINE_integer("steps", 60, "Steps that are timed.", lower_bound=2)
flags.DEFINE_integer("warm_up", 10, "Steps before that.", lower_bound=1)


def seconds_of(step: Callable[[], Any], warm_up: int, steps: int) -> np.ndarray:
    """Seconds of each step after the warm-up."""
    for _ in range(warm_up):
        step()
    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return np.asarray(seconds)


def forever(dataset: Iterable[Any]) -> Iterable[Any]:
    """The batches of a dataset, pass after pass."""
    return itertools.chain.from_iterable(itertools.repeat(dataset))


def main(_: list[str]) -> None:
    """Prints a table for every stage of the paper."""
    args = flags.FLAGS
    size = {"height": args.height, "image_width": args.image_width}
    model = kdepth.create(args.paper, width=args.width, seed=1, **size)
    source = {"data_dir": args.data_dir, "split": args.split, "batch_size": args.batch_size}
    with data.user_errors():
        dataset = data.load(args.dataset, model=model, seed=1, cache=args.cache, **source)
        facts = data.info(dataset)
        print(
            f"{args.paper}, width {args.width:g}, {args.height}x{args.image_width}, batch {args.batch_size},"
            f" {len(facts.records)} samples, cached: {facts.cached}; {os.cpu_count()} CPUs"
            f" {platform.machine()}, {len(tf.config.list_physical_devices('GPU'))} GPUs,"
            f" TensorFlow {tf.__version__}, resampler {resampler_in_use()}; warm-up {args.warm_up},"
            f" {args.steps} steps"
        )
        first_pass = time.perf_counter()
        batch = collections.deque(dataset, maxlen=1)[0]
        first_rate = facts.steps_per_epoch * args.batch_size / (time.perf_counter() - first_pass)
        print(f"pipeline alone, first pass (decoding): {first_rate:.0f} samples/s")
        print(f"{'':22}{'samples/s':>10}{'median ms':>11}{'p90 ms':>8}")
        batches = iter(forever(dataset))
        pipeline = report(
            "pipeline alone", seconds_of(lambda: next(batches), args.warm_up, args.steps)
        )
        for stage in model.stages:
            model.enter_stage(stage.name)
            train = tf.function(model.train_step, reduce_retracing=True)
            step = report(
                f"step alone, {stage.name}",
                seconds_of(lambda train=train: train(batch), args.warm_up, args.steps),
            )
            both = report(
                f"both, {stage.name}",
                seconds_of(lambda train=train: train(next(batches)), args.warm_up, args.steps),
            )
            waits = "the step waits for data" if pipeline < step else "the pipeline waits"
            print(
                f"    pipeline / step {pipeline / step:.1f}: {waits}; both / step {both / step:.2f}"
            )


def report(name: str, seconds: np.ndarray) -> float:
    """Prints a row and returns samples per second."""
    rate = flags.FLAGS.batch_size / seconds.mean()
    median, p90 = 1000 * np.percentile(seconds, [50, 90])
    print(f"{name:22}{rate:10.1f}{median:11.1f}{p90:8.1f}")
    return rate


if __name__ == "__main__":
    app.run(main)
