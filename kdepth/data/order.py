"""The order of samples and their seeds: pure functions of (seed, epoch).

So training may start anywhere. Everything is drawn from the raw stream of NumPy's Philox, which no
version of NumPy changes.
"""

from __future__ import annotations

import numpy as np

_ORDER, _AUGMENTATION = 0, 1  # streams that must not share numbers


def permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    """Returns the order of an epoch: a permutation of range(count), int64."""
    return np.argsort(_raw(count, seed, epoch, _ORDER), kind="stable")


def sample_seeds(count: int, seed: int, epoch: int) -> np.ndarray:
    """Returns the augmentation seeds of an epoch by sample index, [count, 2] int64, not negative.

    A sample's seed does not depend on `count`.
    """
    return (_raw(2 * count, seed, epoch, _AUGMENTATION) >> 1).astype(np.int64).reshape(count, 2)


def _raw(count: int, seed: int, epoch: int, stream: int) -> np.ndarray:
    key = np.array([seed % 2**64, epoch % 2**64], dtype=np.uint64)
    counter = np.array([0, 0, 0, stream], dtype=np.uint64)
    return np.random.Philox(key=key, counter=counter).random_raw(count)
