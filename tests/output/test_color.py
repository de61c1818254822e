from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdepth.errors import UserError
from kdepth.output.color import Colorizer, ColorSettings, StableRange
from kdepth.output.result import Result
from kdepth.prediction import Prediction

DT = 1 / 30
ALPHA = 1 - np.exp(-DT)
BOUND = ALPHA / (1 - 2 * ALPHA)  # of the colour map's length, from frame to frame
FRAMES = st.lists(
    st.tuples(st.floats(1e-3, 1e3), st.floats(0.0, 1e3)), min_size=2, max_size=40
)  # (low, span) of each frame


def frame(low: float, high: float) -> np.ndarray:
    """Values whose 2nd and 98th percentiles are `low` and `high`."""
    values = np.linspace(low, high, 97)
    return np.concatenate([[low] * 2, values, [high] * 2])


def result(values: np.ndarray, time: float = 0.0, **prediction: object) -> Result:
    values = np.asarray(values, np.float32)
    prediction = prediction or {"disparity": values[None], "kind": "disparity"}
    return Result("x", np.zeros((*values.shape, 3), np.uint8), Prediction(**prediction), None, time)


@given(FRAMES)
def test_colours_of_what_stays_move_slowly_whatever_comes(frames):
    stable = StableRange(memory=1.0)
    ends = [
        stable.update(frame(low, low + span), index * DT)
        for index, (low, span) in enumerate(frames)
    ]
    for (low, high), (next_low, next_high) in zip(ends, ends[1:]):
        assert next_high > next_low
        for level in (0.0, 0.3, 1.0):
            value = low + level * (high - low)
            moved = abs((value - next_low) / (next_high - next_low) - level)
            assert moved <= 1.01 * BOUND + 1e-9  # 1 %: the least span


@given(st.floats(0.01, 5.0), st.floats(0.1, 10.0), st.integers(0, 1000))
def test_a_noisy_range_is_smoothed_as_the_average_says(low, span, seed):
    """Percentiles that tremble by a tenth of the span: colours tremble by alpha of that."""
    noise = np.random.default_rng(seed).uniform(-0.05, 0.05, (40, 2)) * span
    stable = StableRange(memory=1.0)
    ends = np.array(
        [
            stable.update(frame(low + down, low + span + up), index * DT)
            for index, (down, up) in enumerate(noise)
        ]
    )
    assert np.abs(np.diff(ends, axis=0)).max() < 1.2 * ALPHA * 0.1 * span


@pytest.mark.parametrize(("factor", "seconds"), [(1.5, 2), (2.0, 3), (0.5, 3), (5.0, 7), (0.2, 5)])
def test_a_new_scene_is_followed_within_seconds(factor, seconds):
    stable = StableRange(memory=1.0)
    stable.update(frame(0.01, 0.02), 0.0)
    for index in range(1, 30 * seconds):
        ends = stable.update(frame(0.01 * factor, 0.02 * factor), index * DT)
    assert ends == pytest.approx((0.01 * factor, 0.02 * factor), rel=0.1)


def test_time_counts_and_not_frames():
    slow, fast = StableRange(1.0), StableRange(1.0)
    for stable in (slow, fast):
        stable.update(frame(0.0, 1.0), 0.0)
    for index in range(1, 5):
        ends = slow.update(frame(0.2, 1.2), index * 0.1)
    for index in range(1, 41):
        more_frames = fast.update(frame(0.2, 1.2), index * 0.01)
    assert ends == pytest.approx(more_frames, rel=1e-6)


def test_without_memory_every_frame_has_its_own_range():
    stable = StableRange(memory=0.0)
    stable.update(frame(0.0, 1.0), 0.0)
    assert stable.update(frame(5.0, 7.0), 1.0) == pytest.approx((5.0, 7.0))


def test_a_frame_without_values_changes_nothing():
    stable = StableRange()
    before = stable.update(frame(1.0, 2.0), 0.0)
    assert stable.update(np.full(9, np.nan), 1.0) == before


def test_frames_of_a_video_share_their_colours_and_pictures_do_not():
    settings = {"colormap": "gray"}
    near, far = frame(0.02, 0.06)[None], frame(0.02, 0.03)[None]
    for memory, same in ((1.0, True), (None, False)):
        colorize = Colorizer(ColorSettings(**settings, memory=memory))
        first = colorize(result(near, 0.0)).astype(int)
        second = colorize(result(far, DT)).astype(int)
        # The value 0.03 in both: a quarter up the first range, the end of the second.
        levels = [first[0, np.abs(near[0] - 0.03).argmin(), 0], second[0, -1, 0]]
        assert (abs(levels[1] - levels[0]) <= 255 * BOUND + 3) == same


def test_depth_is_coloured_by_its_inverse_and_a_fixed_range_stays():
    depth = np.array([[2.0, 4.0, 8.0, 0.0]], np.float32)
    prediction = {"depth": depth[None], "kind": "metric", "unit": "m"}
    for memory in (None, 1.0):
        colorize = Colorizer(ColorSettings(vmin=2.0, vmax=8.0, colormap="gray", memory=memory))
        np.testing.assert_array_equal(
            colorize(result(depth, 0.0, **prediction))[0, :, 0], [255, 85, 0, 0]
        )
    # One end fixed, the other from the video.
    colorize = Colorizer(ColorSettings(vmax=8.0, colormap="gray", memory=1.0))
    levels = colorize(result(depth, 0.0, **prediction))[0, :, 0].astype(int)
    assert levels[0] > levels[1] > levels[2] == 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"vmin": 5.0, "vmax": 2.0}, "--vmin=5.0 must be below"),
        ({"vmax": 0.0}, "--vmax above 0"),
        ({"colormap": "rainbowest"}, "no colour map"),
    ],
)
def test_settings_that_make_no_sense(settings, words):
    with pytest.raises(UserError, match=words):
        ColorSettings(**settings)
