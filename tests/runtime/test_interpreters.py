from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdepth.runtime.interpreters import as_input, from_output

PIXELS = np.arange(256, dtype=np.float32).reshape(1, 16, 16, 1) / np.float32(255)


def test_floats_stay():
    given = as_input(PIXELS, {"dtype": np.float32})
    np.testing.assert_array_equal(given, PIXELS)


@pytest.mark.parametrize(
    "details", [{"dtype": np.uint8}, {"dtype": np.uint8, "quantization": (0.0, 0)}]
)
def test_raw_pixels_come_back_exactly(details):
    given = as_input(PIXELS, details)
    assert given.dtype == np.uint8
    np.testing.assert_array_equal(given.ravel(), np.arange(256))


def test_int8_steps_of_a_pixel_hold_every_pixel():
    given = as_input(PIXELS, {"dtype": np.int8, "quantization": (1 / 255, -128)})
    np.testing.assert_array_equal(given.ravel(), np.arange(256) - 128)


def test_what_lies_outside_the_range_is_clipped():
    given = as_input(np.float32([-1.0, 3.0]), {"dtype": np.int8, "quantization": (1 / 255, -128)})
    np.testing.assert_array_equal(given, [-128, 127])


@given(scale=st.floats(1e-3, 10.0), zero_point=st.integers(-128, 127))
def test_quantised_numbers_come_back_within_half_a_step(scale, zero_point):
    details = {"dtype": np.int8, "quantization": (scale, zero_point)}
    lowest, highest = (-128 - zero_point) * scale, (127 - zero_point) * scale
    values = np.linspace(lowest, highest, 1000, dtype=np.float32)
    back = from_output(as_input(values, details), details)
    assert back.dtype == np.float32
    assert np.abs(back - values).max() <= 0.5001 * scale + 1e-4 * abs(scale * zero_point)
