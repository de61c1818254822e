"""Nearest times."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kdepth.data.times import nearest


@given(
    st.lists(st.floats(0, 100), min_size=1, max_size=30),
    st.lists(st.floats(0, 100), min_size=1, max_size=30),
)
def test_nearest(times, among):
    among = sorted(among)
    chosen = nearest(times, among)
    for time, index in zip(times, chosen):
        assert abs(among[index] - time) == min(abs(other - time) for other in among)
