"""Trains a paper on one replica and on two logical CPUs, and compares.

python tests/papers/two_replicas.py PAPER WORLD

`test_every_paper.py` uses the function, and runs the script for a paper that TensorFlow might crash on.
"""

import sys

import numpy as np

# A size that all papers can take.
SMALL = {"height": 128, "image_width": 128, "width": 0.05, "seed": 5}


def one_and_two_replicas_agree(paper, world, two_replicas, **options):
    """One epoch each: losses to 1e-5, weights to 1e-4."""
    import keras
    import tensorflow as tf

    import kdepth
    from kdepth.networks.weights import part_weights

    found = []
    for replicas in (tf.distribute.get_strategy(), two_replicas):
        with replicas.scope():
            model = kdepth.create(paper, **SMALL, **options)
            model.compile(keras.optimizers.Adam(1e-4), clip_norm=1.0)
        data = kdepth.data.load(
            "synthetic", data_dir=world, split="train", model=model, batch_size=2, seed=7
        )
        history = model.fit(data, epochs=1, verbose=0).history
        weights = {
            f"{name}/{path}": value
            for name, part in model.parts().items()
            for path, value in part_weights(part).items()
        }
        found.append((history, weights))
    (one_history, one), (two_history, two) = found
    # Rounding grows in a network that normalises by the statistics of two small images.
    tolerance = 2e-4 if paper == "scdepth" else 1e-5
    for name, values in one_history.items():
        np.testing.assert_allclose(
            two_history[name], values, rtol=tolerance, atol=1e-7, err_msg=name
        )
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, rtol=1e-4, atol=1e-4, err_msg=name)


if __name__ == "__main__":
    from kdepth.training.distribution import strategy

    two = strategy(2)  # before TensorFlow runs anything
    one_and_two_replicas_agree(sys.argv[1], sys.argv[2], two, joint_calls=True)
