from __future__ import annotations

import numpy as np
import pytest

from kdepth.data.block_matching import match_blocks
from kdepth.data.image import resize_image


@pytest.fixture
def texture() -> np.ndarray:
    noise = np.random.default_rng(0).random((40, 60))
    return resize_image(np.kron(noise, np.ones((4, 4))), 160, 240, "bilinear")


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (-7, 0), (5, -3), (0, 4)])
def test_a_shifted_picture(texture, dx, dy):
    first, second = texture[20:-20, 20:-20], np.roll(texture, (dy, dx), (0, 1))[20:-20, 20:-20]
    matches = match_blocks(first, second, 10, 6)
    assert len(matches.x) >= 24
    inner = matches.where(matches.score > 0.95)
    assert len(inner.x) > 0.6 * len(matches.x)
    np.testing.assert_allclose(np.median(inner.dx), dx, atol=0.1)
    np.testing.assert_allclose(np.median(inner.dy), dy, atol=0.1)


def test_a_shift_of_half_a_pixel(texture):
    second = (texture + np.roll(texture, 1, axis=0)) / 2
    matches = match_blocks(texture, second, 3, 3)
    np.testing.assert_allclose(np.median(matches.dy), 0.5, atol=0.15)


def test_brightness_and_contrast_do_not_matter(texture):
    matches = match_blocks(texture, 0.3 + 0.4 * texture, 4, 4)
    assert np.all(matches.score > 0.99) and np.all(np.abs(matches.dx) < 0.25)


def test_no_texture_no_matches():
    assert len(match_blocks(np.full((50, 60), 0.5), np.full((50, 60), 0.5), 4, 4).x) == 0
    assert len(match_blocks(np.zeros((6, 6)), np.zeros((6, 6)), 4, 4).x) == 0
