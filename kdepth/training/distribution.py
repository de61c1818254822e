"""Which devices train: one, or several under `tf.distribute.MirroredStrategy`."""

from __future__ import annotations

import contextlib
import functools
from typing import Any

from kdepth.errors import UserError


def strategy(devices: int) -> Any:
    """The strategy for a number of devices; use its `scope()` to build the model.

    Args:
        devices: 0: whatever is there (all GPUs, else the CPU); N: N GPUs, or N logical CPUs where
            there are no GPUs (which proves that the code is right under several replicas; it is not
            faster).

    Returns:
        A `tf.distribute` strategy, or on JAX and PyTorch an object whose scope does nothing.

    Raises:
        UserError: if there are not so many GPUs, or the backend or an initialised TensorFlow does
            not allow several.
    """
    from kdepth.backend import BACKEND

    if devices < 0:
        raise UserError(
            f"--devices must be 0 (all there are) or a number of devices; received {devices}"
        )
    if BACKEND != "tensorflow":
        if devices > 1:
            raise UserError(
                f"--devices={devices} needs the tensorflow backend (MirroredStrategy); KERAS_BACKEND is '{BACKEND}'"
            )
        return _NoStrategy()
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        with contextlib.suppress(RuntimeError):  # too late once TensorFlow has started
            tf.config.experimental.set_memory_growth(gpu, True)
    if gpus:
        if devices > len(gpus):
            raise UserError(f"--devices={devices}, but there are {len(gpus)} GPUs")
        count = devices or len(gpus)
        if count == 1:
            return (
                tf.distribute.OneDeviceStrategy("GPU:0")
                if devices
                else tf.distribute.get_strategy()
            )
        return _mirrored(tuple(f"GPU:{i}" for i in range(count)))
    if devices <= 1:
        return tf.distribute.get_strategy()
    return _mirrored(_logical_cpus(devices))


@functools.cache
def _mirrored(devices: tuple[str, ...]) -> Any:
    """One strategy per process and devices.

    A second one would number its collectives from the start again, and TensorFlow refuses a number
    that it has seen with another shape ("Shape mismatch in the collective instance").
    """
    import tensorflow as tf

    # With collectives SC-Depth's step, full of synchronised batch norms, hung on logical CPUs; with
    # plain sums on one device it does not. Their gradient is given by `all_reduce`; `stop_gradient`
    # keeps TensorFlow from walking the other replica's whole graph, again for every sum.
    reduction = None
    if all(device.startswith("CPU") for device in devices):
        reduction = tf.distribute.ReductionToOneDevice(
            accumulation_fn=lambda values: tf.stop_gradient(tf.add_n(values))
        )
    return tf.distribute.MirroredStrategy(list(devices), cross_device_ops=reduction)


def _logical_cpus(count: int) -> tuple[str, ...]:
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        if len(tf.config.get_logical_device_configuration(cpu) or []) < count:
            tf.config.set_logical_device_configuration(
                cpu, [tf.config.LogicalDeviceConfiguration()] * count
            )
    except RuntimeError:
        raise UserError(
            f"--devices={count}: TensorFlow has started already with fewer logical CPUs; set the devices first"
        ) from None
    return tuple(f"CPU:{i}" for i in range(count))


class _NoStrategy:
    num_replicas_in_sync = 1

    def scope(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()
