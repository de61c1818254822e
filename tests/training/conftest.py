"""A tiny embedded world."""

import pytest

from kdepth.data import synthetic
from kdepth.data.world.settings import WorldSettings


@pytest.fixture(scope="session")
def tiny_world(tmp_path_factory):
    """Six training pairs and three test pairs of 64x96."""
    settings = WorldSettings(
        train_drives=2, test_drives=1, frames=3, height=64, width=96, supersample=1, seed=3
    )
    return synthetic.ensure(tmp_path_factory.mktemp("world"), settings, workers=1)
