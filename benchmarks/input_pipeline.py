"""Times the input pipeline alone: decode, resize, augment, batch; no network.

    python benchmarks/input_pipeline.py --dataset=kitti_raw --data_dir=... --split=eigen_train

The first pass decodes every picture; with --cache=memory (what `auto` means for small data sets)
the later ones do not. TensorFlow only.
"""

from __future__ import annotations

import os
import platform
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from absl import app, flags  # noqa: E402

from kdepth import data  # noqa: E402
from kdepth.data import augment  # noqa: E402

flags.DEFINE_enum("dataset", "synthetic", list(data.READERS), "The data set.")
flags.DEFINE_string("data_dir", None, "Its folder; by default that of the embedded world.")
flags.DEFINE_string("split", "train", "One of its splits, or a list file.")
flags.DEFINE_list("keys", ["image", "stereo"], "What is loaded, as a paper would ask for it.")
flags.DEFINE_integer("batch_size", 8, "Samples in a batch.", lower_bound=1)
flags.DEFINE_integer("height", 128, "Network input height, pixels.", lower_bound=1)
flags.DEFINE_integer("image_width", 416, "Network input width, pixels.", lower_bound=1)
flags.DEFINE_enum("resize", "area", ["area", "bilinear", "bicubic", "nearest"], "Resize method.")
flags.DEFINE_enum("cache", "auto", ["auto", "memory", "none"], "As in training.")
flags.DEFINE_bool("augment", True, "Flip, multiply colours, zoom and crop (Garg's settings).")
flags.DEFINE_integer("passes", 4, "How often the split is read.", lower_bound=1)


def garg_augmentation(sample: augment.Sample, seed: tf.Tensor) -> augment.Sample:
    """Garg's augmentation, the most expensive of the papers'."""
    flip = augment.flip_stereo if "stereo" in sample else augment.flip_sources
    sample = augment.colour_multiply(flip(sample, seed), seed, 0.9, 1.1)
    return augment.scale_crop(sample, seed, 1.0, 1.6)


def time_pass(dataset: tf.data.Dataset) -> list[float]:
    """Returns the seconds that every batch of one pass kept its reader waiting."""
    seconds, last = [], time.perf_counter()
    for _ in dataset:
        now = time.perf_counter()
        seconds.append(now - last)
        last = now
    return seconds


def main(_: list[str]) -> None:
    """Prints samples per second of every pass."""
    args = flags.FLAGS
    with data.user_errors():
        dataset = data.load(
            args.dataset,
            data_dir=args.data_dir,
            split=args.split,
            batch_size=args.batch_size,
            seed=1,
            sample_keys=frozenset(args.keys),
            image_size=(args.height, args.image_width),
            resize=args.resize,
            cache=args.cache,
            augment=garg_augmentation if args.augment else (lambda sample, seed: sample),
        )
        info = data.info(dataset)
        print(
            f"{args.dataset} {args.split}: {len(info.records)} samples of {','.join(args.keys)}, "
            f"{args.height}x{args.image_width}, batch {args.batch_size}, cached: {info.cached}; "
            f"{os.cpu_count()} CPUs, {platform.machine()}, TensorFlow {tf.__version__}"
        )
        for number in range(args.passes):
            seconds = time_pass(dataset)
            rate = args.batch_size * len(seconds) / sum(seconds)
            waits = 1000 * np.percentile(seconds[1:] or seconds, [50, 90])
            print(
                f"pass {number + 1}: {rate:.0f} samples/s; a batch after "
                f"{waits[0]:.1f} ms (median), {waits[1]:.1f} ms (p90)"
            )


if __name__ == "__main__":
    app.run(main)
