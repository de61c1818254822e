from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kdepth.errors import UserError
from kdepth.visualize import color_table, colorize, colorize_depth


def test_builtin_magma_is_matplotlibs():
    matplotlib = pytest.importorskip("matplotlib")
    expected = matplotlib.colormaps["magma"](np.linspace(0, 1, 256))[:, :3] * 255
    assert np.abs(color_table("magma").astype(float) - expected).max() <= 3.5


@pytest.mark.parametrize("name", ["magma", "gray", "viridis", "turbo"])
def test_tables(name):
    table = color_table(name)
    assert table.shape == (256, 3) and table.dtype == np.uint8
    assert len(np.unique(table, axis=0)) > 200


def test_unknown_or_missing_colour_map(monkeypatch):
    with pytest.raises(UserError, match="no colour map 'rainbowest'"):
        color_table("rainbowest")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert color_table("magma").shape == (256, 3)
    with pytest.raises(UserError, match="pip install matplotlib"):
        color_table("viridis")


def test_a_fixed_range_gives_fixed_colours():
    table = color_table("gray")
    values = np.array([[-1.0, 0.0, 5.0, 10.0, 20.0]])
    picture = colorize(values, 0.0, 10.0, "gray")
    np.testing.assert_array_equal(picture[0], table[[0, 0, 128, 255, 255]])


def test_near_is_bright_and_unmeasured_is_black():
    depth = np.array([[1.0, 2.0, 50.0, 0.0, np.nan, np.inf, -3.0]])
    picture = colorize_depth(depth, nearest=1.0, farthest=100.0, colormap="gray")[0, :, 0]
    assert picture[0] == 255 and picture[0] > picture[1] > picture[2] > 0
    assert not picture[3:].any()


def test_inverse_depth_is_what_is_linear():
    depth = 1.0 / np.linspace(0.1, 1.0, 10)[None]
    picture = colorize_depth(depth, nearest=1.0, farthest=10.0, colormap="gray")[0, :, 0]
    np.testing.assert_allclose(picture, np.linspace(0, 255, 10), atol=0.51)


@given(hnp.arrays(np.float32, (3, 4), elements=st.floats(allow_nan=True, width=32)))
def test_any_map_becomes_a_picture(values):
    for picture in (colorize(values), colorize_depth(values)):
        assert picture.shape == (3, 4, 3) and picture.dtype == np.uint8
    assert not colorize(values)[~np.isfinite(values)].any()
