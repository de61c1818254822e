"""Times the resampler's kernels: forward, and forward with gradients.

    python benchmarks/resampler.py --batch=4 --height=128 --image_width=416

The variants take turns in every round, so the ratios hold even where other work disturbs the
machine. TensorFlow only.
"""

from __future__ import annotations

import os
import platform
import time
from typing import Any, Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from absl import app, flags  # noqa: E402

from kdepth.geometry import warp  # noqa: E402

flags.DEFINE_integer("batch", 4, "Images per call.", lower_bound=1)
flags.DEFINE_integer("height", 128, "Image height, pixels.", lower_bound=2)
flags.DEFINE_integer("image_width", 416, "Image width, pixels.", lower_bound=2)
flags.DEFINE_integer("channels", 3, "Channels of the image.", lower_bound=1)
flags.DEFINE_integer(
    "rounds", 30, "Timed calls of each variant, after 3 calls to warm up.", lower_bound=1
)

Sampler = Callable[[Any, Any], Any]


def samplers() -> dict[str, tuple[Sampler, bool]]:
    """The kernels of this stack: name -> (function, whether to compile its caller by XLA)."""

    def own(image_gradient: bool) -> Sampler:
        def sample(image: Any, xy: Any) -> Any:
            with warp.use_resampler("own"):
                return warp.resampler(image, xy, image_gradient)

        return sample

    def addons(image: Any, xy: Any) -> Any:
        with warp.use_resampler("addons"):
            return warp.resampler(image, xy)

    found: dict[str, tuple[Sampler, bool]] = {
        "own": (own(True), False),
        "own, image_gradient=False": (own(False), False),
        "own, plain graph": (warp._own_resampler, False),
        "own, caller under XLA": (own(True), True),
        "own, caller under XLA, image_gradient=False": (own(False), True),
    }
    if warp._addons_is_there():
        found = {"addons": (addons, False), **found}
    return found


def gradients_of(sample: Sampler) -> Callable[[Any, Any], Any]:
    """Forward and backward: the gradients to coordinates and image that the kernel gives."""

    def step(image: Any, xy: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch([image, xy])
            total = tf.reduce_sum(tf.square(sample(image, xy)))
        return [g for g in tape.gradient(total, [image, xy]) if g is not None]

    return step


def measure(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, np.ndarray]:
    """Milliseconds of every call, the calls taking turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(3 + rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            for tensor in tf.nest.flatten(call()):
                tensor.numpy()
            if turn >= 3:
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: np.array(values) for name, values in times.items()}


def main(argv: list[str]) -> None:
    """Prints one table for the forward pass and one for forward and backward."""
    del argv
    f = flags.FLAGS
    rng = np.random.default_rng(0)
    size = (f.batch, f.height, f.image_width)
    image = tf.constant(rng.random((*size, f.channels)), tf.float32)
    # Smooth displacements of some pixels, as disparities are.
    shift = tf.image.resize(rng.uniform(0.0, 30.0, (f.batch, 4, 8, 1)), size[1:])
    xy = warp.pixel_grid(f.height, f.image_width) - tf.concat([shift, tf.zeros_like(shift)], -1)

    gpus = tf.config.list_physical_devices("GPU")
    device = (
        tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
        if gpus
        else f"CPU {platform.machine()}, {os.cpu_count()} cores"
    )
    print(f"{device}; TensorFlow {tf.__version__}, Keras {keras.__version__}")
    print(f"image {tuple(image.shape)}, {f.rounds} rounds; milliseconds")
    for title, wrap in (("forward", lambda sample: sample), ("forward + backward", gradients_of)):
        calls = {}
        for name, (sample, jit) in samplers().items():
            function = tf.function(wrap(sample), jit_compile=jit, autograph=False)
            traced = function.get_concrete_function(image, xy)
            calls[name] = lambda traced=traced: traced(image, xy)
        times = measure(calls, f.rounds)
        slowest = max(float(np.median(values)) for values in times.values())
        print(f"\n{title:44s} {'median':>8s} {'p90':>8s} {'faster x':>9s}")
        for name, values in times.items():
            median, p90 = np.median(values), np.percentile(values, 90)
            print(f"{name:44s} {median:8.2f} {p90:8.2f} {slowest / median:9.1f}")


if __name__ == "__main__":
    app.run(main)
