from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from kdepth import sources
from kdepth.data import video_stream
from kdepth.data.image import write_image
from kdepth.errors import UserError
from kdepth.output.mp4 import video_writer
from kdepth.sources import Device, Pictures, VideoFile, open_source

av = pytest.importorskip("av")


def stop(what: str, error: UserError) -> None:
    raise error


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """Twelve frames of 48x32, each of its own grey, ten a second."""
    path = tmp_path_factory.mktemp("clips") / "drive.mp4"
    with video_writer(path, 10.0) as writer:
        for number in range(12):
            writer.write(np.full((32, 48, 3), 20 * number, np.uint8), number / 10)
    return path


def test_a_video_gives_its_frames_with_their_times(clip):
    source = open_source(str(clip))
    assert isinstance(source, VideoFile) and not source.live
    assert (source.name, source.count, source.rate) == ("drive", 12, pytest.approx(10.0))
    frames = list(source.frames(stop))
    assert [frame.name for frame in frames] == [f"drive_{n:06d}" for n in range(12)]
    assert [frame.time for frame in frames] == pytest.approx([n / 10 for n in range(12)], abs=1e-3)
    assert frames[3].place == f"{clip}, frame 3"
    for number, frame in enumerate(frames):
        assert frame.image.shape == (32, 48, 3) and frame.image.dtype == np.uint8
        assert abs(frame.image.astype(int).mean() - 20 * number) < 3


def test_every_fifth_frame(clip):
    source = open_source(str(clip), step=5)
    assert (source.count, source.rate) == (3, pytest.approx(2.0))
    assert [frame.number for frame in source.frames(stop)] == [0, 5, 10]


def test_a_video_that_breaks_off_is_used_up_to_there(clip, monkeypatch):
    source = open_source(str(clip))
    decode = video_stream.VideoStream.__iter__

    def broken(self):
        for number, item in enumerate(decode(self)):
            if number == 4:
                raise UserError("truncated")
            yield item

    monkeypatch.setattr(video_stream.VideoStream, "__iter__", broken)
    with pytest.raises(UserError, match="truncated"):
        list(source.frames(stop))
    bad: list[str] = []
    frames = list(source.frames(lambda what, error: bad.append(what)))
    assert len(frames) == 4 and len(bad) == 1 and str(clip) in bad[0]


def test_what_is_no_video(tmp_path):
    for content in (b"", b"text", b"\0" * 4096):
        (tmp_path / "x.mp4").write_bytes(content)
        with pytest.raises(UserError, match=r"x\.mp4: truncated, corrupt or not a video.*--input"):
            open_source(str(tmp_path / "x.mp4"))


def test_pictures_have_the_time_of_their_place(tmp_path):
    for name in ("b.png", "a.png"):
        write_image(tmp_path / "in" / name, np.zeros((4, 6, 3), np.uint8))
    source = open_source(str(tmp_path / "in"), rate=4.0)
    assert isinstance(source, Pictures) and (source.name, source.count) == ("in", 2)
    assert [(frame.name, frame.time) for frame in source.frames(stop)] == [("a", 0.0), ("b", 0.25)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"text": "camera:"}, "which camera"),
        ({"text": "camera:0", "options": ["framerate"]}, "--device_option=framerate"),
        ({"text": "street", "options": ["a=b"]}, "--device_option is for"),
        ({"text": "street", "step": 2}, "--step is for a video"),
        ({"text": "street", "rate": 0.0}, "--fps=0 must lie in"),
        ({"text": "street", "rate": float("inf")}, "--fps=inf must lie in"),
        ({"text": "~nobody-of-that-name/a.png"}, "no such picture or folder"),
        ({"text": "clip", "rate": 5.0}, "--fps is for pictures"),
        ({"text": "nowhere"}, "no such picture or folder"),
    ],
)
def test_what_makes_no_sense(tmp_path, clip, arguments, words):
    write_image(tmp_path / "street" / "a.png", np.zeros((4, 6, 3), np.uint8))
    places = {"street": str(tmp_path / "street"), "clip": str(clip)}
    text = places.get(arguments["text"], arguments["text"])
    with pytest.raises(UserError, match=words):
        open_source(**{**arguments, "text": text})


# -- cameras: there is none on a test machine, so FFmpeg's own test picture stands for one ---------


@pytest.fixture
def fake_camera(monkeypatch) -> None:
    """`camera:0` is FFmpeg's test picture, 64x48, 20 frames at ten a second."""
    av_formats = {name for name in av.formats_available if "lavfi" in name}
    if not av_formats:
        pytest.skip("this FFmpeg has no lavfi")
    pattern = "testsrc=size=64x48:rate=10:duration=2,setpts=PTS+{}/TB"
    monkeypatch.setitem(sources._DEVICES, "linux", ("lavfi", pattern, {}))
    monkeypatch.setattr(sources.sys, "platform", "linux")


def test_a_camera_gives_newer_and_newer_frames(fake_camera):
    source = open_source("camera:5")
    assert isinstance(source, Device) and source.live and source.count is None
    frames = list(source.frames(stop))
    assert 1 <= len(frames) <= 20
    numbers = [frame.number for frame in frames]
    assert numbers == sorted(set(numbers)) and numbers[-1] == 19  # the last one is never dropped
    for frame in frames:
        assert frame.image.shape == (48, 64, 3)
        assert frame.time == pytest.approx(frame.number / 10)  # the device's clock starts at 5 s
    assert threading.active_count() < 20


def test_a_camera_that_is_unplugged_ends(fake_camera, monkeypatch, caplog):
    decode = video_stream.VideoStream.__iter__

    def unplugged(self):
        yield next(decode(self))
        raise UserError("Input/output error")

    monkeypatch.setattr(video_stream.VideoStream, "__iter__", unplugged)
    assert len(list(open_source("camera:0").frames(stop))) == 1
    assert "the camera has gone after 1 frames" in caplog.text


def test_a_camera_that_is_not_there():
    with pytest.raises(UserError, match=r"/dev/video77: cannot be opened.*is a camera connected"):
        next(Device("/dev/video77", "v4l2", {}).frames(stop))


@pytest.mark.parametrize(
    ("platform", "text", "device", "driver"),
    [
        ("linux", "2", "/dev/video2", "v4l2"),
        ("linux", "/dev/video9", "/dev/video9", "v4l2"),
        ("darwin", "1", "1", "avfoundation"),
        ("win32", "Integrated Camera", "video=Integrated Camera", "dshow"),
    ],
)
def test_cameras_of_each_system(monkeypatch, platform, text, device, driver):
    monkeypatch.setattr(sources.sys, "platform", platform)
    source = open_source(f"camera:{text}", options=["video_size=640x480"])
    assert (source.device, source.driver) == (device, driver)
    assert source.options["video_size"] == "640x480"


def test_a_slow_user_gets_the_newest_frame():
    taken, ready = threading.Event(), threading.Event()

    def camera():
        yield "first"
        taken.wait(10)
        yield from ("second", "third", "fourth")
        ready.set()

    with sources._Newest(camera()) as newest:
        frames = iter(newest)
        assert next(frames) == "first"
        taken.set()
        assert ready.wait(10)
        assert list(frames) == ["fourth"]


def test_a_camera_that_fails_says_so_after_its_last_frame():
    def camera():
        yield 1
        raise UserError("unplugged")

    with sources._Newest(camera()) as newest:
        with pytest.raises(UserError, match="unplugged"):
            assert list(newest) == [1]


def test_leaving_early_ends_the_thread():
    def camera():
        while True:
            yield 1

    with sources._Newest(camera()) as newest:
        next(iter(newest))
    assert not newest._thread.is_alive()


def test_a_camera_that_has_no_frame_yet_is_asked_again(fake_camera, monkeypatch):
    stream = video_stream.VideoStream(
        "testsrc=size=16x16:rate=5:duration=1", hint="", device="lavfi"
    )
    container = stream._container

    class Hesitant:
        streams, close = container.streams, container.close
        calls = 0

        def decode(self, video):
            self.calls += 1
            if self.calls % 2:
                raise BlockingIOError(11, "Resource temporarily unavailable")
            return container.decode(video=video)

    stream._container = Hesitant()
    with stream:
        assert len(list(stream)) == 5


def test_without_the_package_the_message_has_the_pip_line(clip, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(UserError, match=r"pip install 'kdepth\[video\]'"):
        open_source(str(clip))
