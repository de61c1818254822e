from __future__ import annotations

import os
import subprocess
import sys
from typing import Any, Callable

import pytest
import tensorflow as tf

from kdepth.backend import KERAS3
from kdepth.geometry import warp


@pytest.fixture
def run_python() -> Callable[..., str]:
    """Runs a program in a Python of its own and gives its output; fails with its errors."""

    def run(program: str, *options: str, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, *options, "-c", program],
            capture_output=True,
            text=True,
            env={**os.environ, **environment},
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


KERNELS = ["own", "own in a plain graph", "under XLA"] + ([] if KERAS3 else ["addons"])


@pytest.fixture(params=KERNELS)
def kernel(request: pytest.FixtureRequest) -> Any:
    """Every way in which `resampler` can be computed on this stack."""
    if request.param in warp.RESAMPLERS:
        with warp.use_resampler(request.param):
            yield warp.resampler
    elif request.param == "own in a plain graph":
        yield tf.function(warp._own_resampler, autograph=False)
    else:
        yield tf.function(warp.resampler, jit_compile=True, autograph=False)
