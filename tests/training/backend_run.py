"""Trains tiny models on the backend that KERAS_BACKEND names; `test_backends.py` compares the
results.

python tests/training/backend_run.py WORLD WEIGHTS OUT.npz WHAT...

WHAT is a variant of Garg, paper or released, or `epoch:` and the name of any paper.
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import kdepth
from kdepth import backend
from kdepth.networks.weights import part_weights
from kdepth.papers import paper_class
from kdepth.papers.base import option_names
from kdepth.training.loop import fit_stages, with_epochs
from tests.grain import grainy

ANY_PAPER = {"height": 128, "image_width": 128, "width": 0.05, "seed": 5}
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
    """Trains from given weights, augmented, clipped, with weight decay, without dropout.

    P for two epochs. R for one, slowly: in an untrained ResNet that normalises with the statistics
    of two small images, rounding errors grow tenfold with every step, on one backend as well.
    """
    rate, epochs = {"paper": (1e-3, 2), "released": (1e-4, 1)}[variant]
    model = kdepth.create("garg", variant=variant, dropout=0.0, **SMALL)
    model.load_parts(f"{weights}/{variant}")
    before = {name: part_weights(part) for name, part in model.parts().items()}
    model.compile(optimizer=keras.optimizers.Adam(rate), clip_norm=1.0)
    data, losses = load(model, world), Losses()
    images = np.asarray(next(iter(data))["image"])
    disparity = model.predict_depth(images).values
    history = model.fit(data, epochs=epochs, callbacks=[losses], verbose=0).history
    moved = {
        f"{variant}/moved/{name}/{path}": value - before[name][path]
        for name, part in model.parts().items()
        for path, value in part_weights(part).items()
    }
    return {
        f"{variant}/losses": losses.values,
        f"{variant}/photometric": history["photometric"],
        f"{variant}/step": int(backend.to_numpy(model.step)),
        f"{variant}/before": disparity,
        f"{variant}/after": model.predict_depth(images).values,
        **moved,
    }


def one_epoch(paper, world, weights):
    """The losses of a paper's first epoch from given weights, augmented and clipped."""
    options = {"dropout": 0.0} if "dropout" in option_names(paper_class(paper)) else {}
    model = kdepth.create(paper, **ANY_PAPER, **options)
    model.load_parts(f"{weights}/{paper}")
    model.compile(optimizer=keras.optimizers.Adam(1e-4), clip_norm=1.0)
    data, losses = load(model, world).map(grainy), Losses()
    images = np.asarray(next(iter(data))["image"])
    before = model.predict_depth(images).values
    model.fit(data, callbacks=[losses], verbose=0)
    return {"losses": losses.values, "before": before, "step": int(backend.to_numpy(model.step))}


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


def clipped_half_step(world):
    """How far one step of SGD at rate 1 moves the weights: as far as the clipped gradient is long."""
    backend.set_precision("mixed_float16")
    model = kdepth.create("garg", **SMALL)
    model.compile(optimizer=keras.optimizers.SGD(1.0), clip_norm=0.01)
    before = part_weights(model.parts()["coarse"])
    model.fit(load(model, world).take(1), verbose=0)
    after = part_weights(model.parts()["coarse"])
    backend.set_precision("float32")
    return np.sqrt(sum(np.sum((after[path] - before[path]) ** 2) for path in before))


def main(world, weights, out, *variants):
    results = {"backend": backend.BACKEND}
    epochs = [variant[len("epoch:") :] for variant in variants if variant.startswith("epoch:")]
    for paper in epochs:
        results.update({f"{paper}/{k}": v for k, v in one_epoch(paper, world, weights).items()})
    for variant in variants if not epochs else ():
        results.update(train(variant, world, weights))
    if "paper" in variants:
        results["video"] = loss_of(world, weights, pair="video")
        results["exact"] = loss_of(world, weights, gradient="exact")
        results["clipped"] = clipped_half_step(world)
        results.update(all_stages(world))
    np.savez(out, **results)


if __name__ == "__main__":
    main(*sys.argv[1:])
