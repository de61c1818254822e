"""Trains Garg 2016 from a script of one's own: compile, fit, predict, save, export.

    python examples/train_garg.py
    KERAS_BACKEND=jax python examples/train_garg.py

The streets are few and the network is small, so that it takes a minute: it shows how, not how well.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import kdepth
from kdepth import backend
from kdepth.data import synthetic
from kdepth.data.world.settings import WorldSettings
from kdepth.training.loop import fit_stages, with_epochs


def main() -> None:
    """Trains all stages, then shows what the model is good for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=40, help="of the first stage")
    parser.add_argument("--height", type=int, default=64, help="rows of images and network")
    parser.add_argument("--image_width", type=int, default=208, help="columns of both")
    parser.add_argument("--width", type=float, default=0.125, help="channels; 1 is the paper's")
    parser.add_argument("--out", default="exports/example", help="folder for weights and exports")
    args = parser.parse_args()

    # A small world of its own; `kdepth.data.load("kitti_raw", data_dir=...)` reads KITTI the same way.
    size = {"height": args.height, "width": args.image_width}
    folder = synthetic.default_data_dir().with_name("example_{height}x{width}".format(**size))
    synthetic.ensure(folder, WorldSettings(train_drives=16, test_drives=2, frames=4, **size))

    model = kdepth.create(
        "garg", height=args.height, image_width=args.image_width, width=args.width, seed=1
    )
    model.compile(optimizer=keras.optimizers.Adam(1e-3), clip_norm=1.0)
    data = kdepth.data.load(
        "synthetic", data_dir=folder, split="train", model=model, batch_size=8, seed=1
    )
    history = model.fit(data, epochs=args.epochs, verbose=2).history
    # `fit` trains the stage that the model is in, the coarsest. This goes on through the finer ones:
    # each starts a fresh optimizer and adds a part of the network.
    epochs = [args.epochs] + [1] * (len(model.stages) - 1)
    fit_stages(model, data, stages=with_epochs(model.stages, epochs), verbose=2)

    samples = kdepth.data.evaluation_samples(
        "synthetic", data_dir=folder, split="test", height=args.height, width=args.image_width
    )
    sample = next(samples)
    prediction = model.predict_depth(sample["image"], sample["camera"])
    measured = sample["depth"] > 0
    print(f"{sample['name']}: {prediction.quantity}, {prediction.kind}, in {prediction.unit}")
    print(f"median where measured: {np.median(prediction.values[0][measured]):.1f} (predicted)")
    print(f"                       {np.median(sample['depth'][measured]):.1f} (true)")

    model.save_parts(f"{args.out}/weights")
    if backend.BACKEND == "tensorflow":
        for artefact in kdepth.export_model(model, args.out, pictures=[sample["image_native"]]):
            print(f"{artefact.path}: {artefact.bytes} bytes, parity {artefact.parity:.1e}")
    else:
        print(f"exported from TensorFlow only: run it again there, {args.out}/weights will load")

    first, last = history["photometric"][0], history["photometric"][-1]
    print(f"photometric error: {first:.4f} -> {last:.4f} on {backend.BACKEND}")
    if not last < 0.9 * first:
        raise SystemExit("the photometric error did not fall")


if __name__ == "__main__":
    main()
