"""The seeded random weights behind the `net_*.npz` files.

One array per variable, from its name, its shape and the file's seed.
"""

import zlib

import numpy as np


def tf1(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Weights of the TF1 graphs (kernels are HWIO); biases have one dimension."""
    random = np.random.RandomState((zlib.crc32(name.encode()) + seed) % 2**31)
    if len(shape) == 1:
        return (random.randn(*shape) * 0.05).astype("f4")
    return (random.randn(*shape) * np.sqrt(1.6 / np.prod(shape[:-1]))).astype("f4")


def torch(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Weights of the PyTorch networks (kernels are OIHW), batch-norm statistics included."""
    random = np.random.RandomState((zlib.crc32(name.encode()) + seed) % 2**31)
    if name.endswith("running_var"):
        return (0.5 + random.rand(*shape)).astype("f4")
    if name.endswith("running_mean"):
        return (random.randn(*shape) * 0.1).astype("f4")
    if "bn" in name and name.endswith("weight") or "downsample.1.weight" in name:
        return (0.6 + 0.3 * random.rand(*shape)).astype("f4")
    if len(shape) == 1:
        return (random.randn(*shape) * 0.05).astype("f4")
    return (random.randn(*shape) * np.sqrt(1.5 / np.prod(shape[1:]))).astype("f4")
