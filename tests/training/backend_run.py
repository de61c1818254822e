"""Trains tiny Gargs on the backend that KERAS_BACKEND names; `test_backends.py` compares the
results.

python tests/training/backend_run.py WORLD WEIGHTS OUT.npz VARIANT...
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import kdepth
from kdepth import backend
from kdepth.training.loop import fit_stages, with_epochs

SMALL = {"height": 64, "image_width": 96, "width": 0.05, "seed": 5}


def load(model, world):
    return kdepth.data.load(
        "synthetic", data_dir=world, split="train", model=model, batch_size=2, seed=7
    )


class Losses(keras.callbacks.Callback):
    """The running mean of the loss after every step."""

    def __init__(self):
        super().__init__()
        self.values = []

    def on_train_batch_end(self, batch, logs=None):
        self.values.append(float(logs["loss"]))


def train(variant, world, weights):
    """Two epochs from given weights, augmented, clipped, with weight decay, without dropout."""
    model = kdepth.create("garg", variant=variant, dropout=0.0, **SMALL)
    model.load_parts(f"{weights}/{variant}")
    model.compile(optimizer=keras.optimizers.Adam(1e-3), clip_norm=1.0)
    data, losses = load(model, world), Losses()
    history = model.fit(data, epochs=2, callbacks=[losses], verbose=0, shuffle=False).history
    images = np.asarray(next(iter(data))["image"])
    return {
        f"{variant}/losses": losses.values,
        f"{variant}/photometric": history["photometric"],
        f"{variant}/step": int(backend.to_numpy(model.step)),
        f"{variant}/disparity": model.predict_depth(images).disparity,
    }


def loss_of(world, weights, **options):
    """The loss of one batch, not trained."""
    model = kdepth.create("garg", **options, **SMALL)
    model.load_parts(f"{weights}/paper")
    batch = next(iter(load(model, world)))
    batch = {key: backend.ops.convert_to_tensor(np.asarray(value)) for key, value in batch.items()}
    outputs = model(batch)
    return float(backend.to_numpy(model.compute_loss(x=batch, y_pred=outputs, training=False)))


def all_stages(world):
    """All stages with dropout, one epoch each; frozen parts and the step are looked at."""
    model = kdepth.create("garg", **SMALL)
    model.compile(optimizer=keras.optimizers.Adam(1e-3))
    data, losses = load(model, world), Losses()
    fit_stages(
        model, data, stages=with_epochs(model.stages, [1] * 4), callbacks=[losses], verbose=0
    )
    return {"stages/losses": losses.values, "stages/step": int(backend.to_numpy(model.step))}


def main(world, weights, out, *variants):
    results = {"backend": backend.BACKEND}
    for variant in variants:
        results.update(train(variant, world, weights))
    if "paper" in variants:
        results["video"] = loss_of(world, weights, pair="video")
        results["exact"] = loss_of(world, weights, gradient="exact")
        results.update(all_stages(world))
    np.savez(out, **results)


if __name__ == "__main__":
    main(*sys.argv[1:])
