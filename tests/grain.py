"""Frames with grain, for tests that compare two trainings on other devices or backends."""

import tensorflow as tf

_SEEDS = {"image": 0, "sources": 1}


def grainy(batch):
    """Adds grain to the frames of a batch.

    Where the warped and the unmoved image are both perfectly flat, as in the embedded world's sky,
    SC-Depth's auto-mask hangs on the last bit, and the loss with it: weights changed by 1e-7 change it by 3e-5.
    """
    return {
        name: value + tf.random.stateless_uniform(tf.shape(value), (_SEEDS[name], 0), -0.02, 0.02)
        if name in _SEEDS
        else value
        for name, value in batch.items()
    }
