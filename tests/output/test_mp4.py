from __future__ import annotations

import numpy as np
import pytest

from kdepth.errors import UserError
from kdepth.output import mp4
from kdepth.output.mp4 import side_by_side, video_writer

av = pytest.importorskip("av")


def pictures(count: int, height: int, width: int) -> list[np.ndarray]:
    """Smooth pictures that differ: what every codec keeps."""
    ramp = np.linspace(0, 120, width)[None, :, None] + np.linspace(0, 60, height)[:, None, None]
    return [np.uint8(ramp + [5 * index, 0, 40]) for index in range(count)]


def read(path) -> tuple[list[np.ndarray], list[float]]:
    with av.open(str(path)) as container:
        frames = [
            (frame.to_ndarray(format="rgb24"), frame.time) for frame in container.decode(video=0)
        ]
    return [frame for frame, _ in frames], [time for _, time in frames]


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
@pytest.mark.parametrize("rate", [10.0, 25.0, 30000 / 1001])
def test_pictures_and_times_come_back(tmp_path, monkeypatch, codec, rate):
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no {codec}")
    monkeypatch.setattr(mp4, "_CODECS", (codec,))
    written = pictures(8, 48, 64)
    with video_writer(tmp_path / "x.mp4", rate) as writer:
        for index, picture in enumerate(written):
            writer.write(picture, index / rate)
    assert writer.count == 8
    frames, times = read(tmp_path / "x.mp4")
    assert len(frames) == 8 and frames[0].shape == (48, 64, 3)
    np.testing.assert_allclose(times, np.arange(8) / rate, atol=1e-3)
    for frame, picture in zip(frames, written):
        assert np.abs(frame.astype(int) - picture).mean() < 4


def test_times_of_a_camera_are_kept_and_grow(tmp_path):
    times = [0.0, 0.05, 0.05, 0.31]  # two frames at one time, then a pause
    with video_writer(tmp_path / "x.mp4", 30.0) as writer:
        for picture, time in zip(pictures(4, 16, 16), times):
            writer.write(picture, time)
    np.testing.assert_allclose(read(tmp_path / "x.mp4")[1], times, atol=2e-3)


def test_odd_sizes_get_one_more_row_and_column(tmp_path):
    with video_writer(tmp_path / "x.mp4", 10.0) as writer:
        writer.write(pictures(1, 15, 33)[0], 0.0)
    ((frame,), _) = read(tmp_path / "x.mp4")
    assert frame.shape == (16, 34, 3)


def test_another_size_is_one_line_and_leaves_nothing(tmp_path):
    with pytest.raises(UserError, match="after 20x16 comes 24x16"):
        with video_writer(tmp_path / "x.mp4", 10.0) as writer:
            writer.write(pictures(1, 16, 20)[0], 0.0)
            writer.write(pictures(1, 16, 24)[0], 0.1)
    assert not list(tmp_path.iterdir())


def test_a_failure_keeps_the_earlier_video(tmp_path):
    path = tmp_path / "x.mp4"
    path.write_bytes(b"earlier")
    with pytest.raises(KeyboardInterrupt):
        with video_writer(path, 10.0) as writer:
            writer.write(pictures(1, 16, 16)[0], 0.0)
            raise KeyboardInterrupt
    assert path.read_bytes() == b"earlier" and list(tmp_path.iterdir()) == [path]


def test_side_by_side():
    left, right = pictures(2, 4, 6)
    both = side_by_side(left, right)
    np.testing.assert_array_equal(both[:, :6], left)
    np.testing.assert_array_equal(both[:, 6:], right)
