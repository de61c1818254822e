"""Writes checkpoints as the releases' own programs did."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np


def write_tf1(prefix: Path, arrays: Mapping[str, np.ndarray], old: bool = False) -> Path:
    """A checkpoint of TensorFlow 1's `Saver`; `old`: in its first format, one file without suffix."""
    import tensorflow as tf

    v1 = tf.compat.v1
    prefix.parent.mkdir(parents=True, exist_ok=True)
    with tf.Graph().as_default(), v1.Session() as session:
        values, initializers = {}, []
        for name, value in arrays.items():
            value = np.asarray(value)
            # Fed, because a graph cannot hold a large network's weights.
            fed = v1.placeholder(value.dtype, value.shape)
            variable = v1.get_variable(name, initializer=fed, use_resource=False)
            initializers.append(variable.initializer)
            values[fed] = value
        session.run(initializers, values)
        version = v1.train.SaverDef.V1 if old else v1.train.SaverDef.V2
        v1.train.Saver(write_version=version).save(session, str(prefix), write_state=False)
    return prefix
