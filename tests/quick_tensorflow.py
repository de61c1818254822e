"""Prepares TensorFlow for tests, as a part of its first import. Import this before TensorFlow.

- Two logical CPUs for MirroredStrategy; they have to be there before TensorFlow runs anything.
- No graph optimiser: a test's step runs a few times, and optimising it takes as long as tracing it. The
  examples and benchmarks run with it, as users do.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import sys


class _Preparation(importlib.abc.MetaPathFinder):
    def find_spec(self, fullname, path, target=None):
        if fullname != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None:
            execute = spec.loader.exec_module

            def exec_module(tf):
                execute(tf)
                cpu = tf.config.list_physical_devices("CPU")[0]
                two = [tf.config.LogicalDeviceConfiguration() for _ in range(2)]
                tf.config.set_logical_device_configuration(cpu, two)
                tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})

            spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, _Preparation())
