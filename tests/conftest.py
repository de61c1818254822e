"""What all tests share: data on disk, Hypothesis profiles, two logical CPUs for TensorFlow."""

from __future__ import annotations

import gc
import importlib.abc
import importlib.util
import os
import shutil
import sys
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).parents[1]

# Before TensorFlow is imported by any test module. Subprocesses inherit all of it.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "2")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "2")
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))

# A timed property test fails on a busy machine only, so no deadline. In CI the examples are the
# same in every run.
hypothesis.settings.register_profile("dev", deadline=None, max_examples=50)
hypothesis.settings.register_profile(
    "ci", deadline=None, max_examples=25, derandomize=True, database=None, print_blob=True
)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")


class _TwoLogicalCpus(importlib.abc.MetaPathFinder):
    """Gives TensorFlow two logical CPUs, for MirroredStrategy.

    That has to come before TensorFlow runs anything, and tests import it at different places, so
    it happens as a part of the first import.
    """

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

            spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, _TwoLogicalCpus())


@pytest.fixture(autouse=True, scope="module")
def forgotten_gradients():
    """Frees the training steps of a module's models.

    TensorFlow registers the gradient of every `all_reduce` that it traces under a name of its own
    and keeps it, and with it the whole graph, for ever: gigabytes over all tests. What stays is
    kept from Python's garbage collector until the next module: TensorFlow asks for collections, and
    going through everything that earlier modules left took a third of an export.
    """
    yield
    if "tensorflow" not in sys.modules:
        return
    gc.unfreeze()
    from tensorflow.python.framework import ops

    entries = ops.gradient_registry._registry
    for name in [name for name in entries if name.startswith("CustomGradient-")]:
        del entries[name]
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of numbers that come from the papers' reference implementations."""
    return ROOT / "tests" / "golden"


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of real samples that `KDEPTH_REALDATA` names; the test is skipped without it."""
    folder = os.environ.get("KDEPTH_REALDATA")
    if not folder:
        pytest.skip("KDEPTH_REALDATA does not name the folder of real samples")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"KDEPTH_REALDATA={folder} is not a folder")
    return path


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser that opens what kdepth shows in one; without it a test is skipped, in CI it fails."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("in CI pages are opened in Chromium: install Debian's package chromium")
        pytest.skip("needs Chromium (Debian's package chromium)")
    return path


@pytest.fixture(scope="session")
def two_replicas():
    """The one MirroredStrategy over two logical CPUs; a second one in a process would clash with it."""
    from kdepth.training.distribution import strategy

    return strategy(2)


@pytest.fixture(scope="session")
def tiny_video(tmp_path_factory):
    """An embedded world for every paper, 64x96: ten pairs (six triplets) to train on, five to test."""
    from kdepth.data import synthetic
    from kdepth.data.world.settings import WorldSettings

    settings = WorldSettings(
        train_drives=2, test_drives=1, frames=5, height=64, width=96, supersample=1, seed=3
    )
    return synthetic.ensure(tmp_path_factory.mktemp("video"), settings, workers=1)


@pytest.fixture
def tmp_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a cache of its own: `runs/` and rendered data land in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path
