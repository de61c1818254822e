"""Video files, encoded here: a wall seen by a moving camera."""

from __future__ import annotations

import builtins
import logging

import numpy as np
import pytest

from kdepth.data.sample import load_sample
from kdepth.data.video import Video, decoded_frames
from kdepth.errors import UserError
from kdepth.geometry.camera import Camera
from tests.data.checks import residuals, wall

KEYS = frozenset(["image", "sources", "intrinsics"])
IMAGE = frozenset(["image"])
CAMERA = Camera(90.0, 90.0, 70.0, 40.0, 128, 96)
FLAGS = {"fx": 90.0, "cx": 70.0, "cy": 40.0}
FRAMES = 15


def pose(frame: int) -> np.ndarray:
    result = np.eye(4)
    result[:3, 3] = 0.04 * frame, 0.0, 0.06 * frame
    return result


def encode(path, count: int = FRAMES) -> None:
    av = pytest.importorskip("av")
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = CAMERA.width, CAMERA.height, "yuv420p"
        stream.bit_rate = 4_000_000
        for frame in range(count):
            picture = wall(CAMERA, pose(frame), 4.0)[0]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


@pytest.fixture
def clip(tmp_run):
    """A clip in a working folder with a cache of its own."""
    encode(tmp_run / "clips/drive.mp4")
    return tmp_run / "clips/drive.mp4"


def test_frames_are_pictures_of_the_clip(clip):
    frames = list(decoded_frames(clip))
    assert len(frames) == FRAMES
    for number, frame in enumerate(frames):
        assert frame.dtype == np.uint8
        assert np.abs(frame.astype(int) - wall(CAMERA, pose(number), 4.0)[0]).mean() < 12


@pytest.mark.parametrize("step", [1, 3])
def test_sampled_frames_are_neighbours(clip, step):
    records = Video(clip, step=step, **FLAGS).records("all", KEYS)
    numbers = list(range(0, FRAMES, step))
    assert [record.name for record in records] == [f"drive/{n:06d}.jpg" for n in numbers[1:-1]]
    sample = load_sample(records[1], KEYS)
    depth = np.full((96, 128), 4.0 - pose(numbers[2])[2, 3])
    camera = Camera.from_matrix(sample["intrinsics"], 128, 96)
    for source, neighbour in zip(sample["sources"], (numbers[1], numbers[3])):
        motion = np.linalg.inv(pose(neighbour)) @ pose(numbers[2])
        warped, unwarped = residuals(
            sample["image"].astype(float), source.astype(float), camera, depth, motion
        )
        assert warped < 0.6 * unwarped


def test_a_clip_is_decoded_once(clip, monkeypatch, caplog):
    with caplog.at_level(logging.INFO):
        first = Video(clip, **FLAGS).records("all", KEYS)
    assert "decoding" in caplog.text
    monkeypatch.setattr("kdepth.data.video.decoded_frames", lambda path: pytest.fail("decoded"))
    assert Video(clip, **FLAGS).records("all", KEYS) == first
    assert first[0].image.parent.parent.parts[-3:] == ("cache", "kdepth", "video")


def test_another_step_or_another_clip_is_decoded_anew(clip, tmp_path):
    frames = tmp_path / "frames"
    assert len(Video(clip, frames_dir=frames).records("all", IMAGE)) == FRAMES
    assert len(Video(clip, frames_dir=frames, step=5).records("all", IMAGE)) == 3
    encode(clip, 4)
    assert len(Video(clip, frames_dir=frames).records("all", IMAGE)) == 4
    assert len(list(frames.iterdir())) == 3


def test_a_folder_of_clips(clip):
    encode(clip.with_name("clip10.avi"), 3)
    encode(clip.with_name("clip9.mkv"), 3)
    clip.with_name("readme.txt").write_text("no clip")
    clip.with_name("clip9.json").write_text('{"fx": 90, "fy": 90, "cx": 70, "cy": 40}')
    clip.with_name("cam.txt").write_text("80 80 64 48")
    reader = Video(clip.parent)
    assert reader.splits() == ["train", "val", "all", "clip9", "clip10", "drive"]
    records = reader.records("all", KEYS)
    assert [r.name for r in records[:2]] == ["clip9/000001.jpg", "clip10/000001.jpg"]
    assert [r.camera.fx for r in records[:2]] == [90, 80]
    with pytest.raises(UserError, match=r"its camera is not known.*fx=<pixels>"):
        clip.with_name("cam.txt").unlink()
        Video(clip.parent).records("drive", KEYS)


def test_clips_of_one_name(clip):
    encode(clip.with_name("drive.avi"), 3)
    records = Video(clip.parent).records("all", IMAGE)
    assert len({record.name for record in records}) == FRAMES + 3
    assert records[0].name == "drive.avi/000000.jpg"


# The display matrix of a track header: 16.16 fixed point (the last column 2.30).
TURNS = {
    0: (1, 0, 0, 1),
    90: (0, 1, -1, 0),  # shown a quarter turn to the right, as phones write it
    180: (-1, 0, 0, -1),
    270: (0, -1, 1, 0),
}


@pytest.mark.parametrize("degrees", TURNS)
def test_a_phone_held_on_its_side(clip, degrees):
    upright = next(decoded_frames(clip))
    content = bytearray(clip.read_bytes())
    a, b, c, d = TURNS[degrees]
    matrix = np.array([[a, b, 0], [c, d, 0], [0, 0, 1]], np.int64) * [1 << 16, 1 << 16, 1 << 30]
    # Version 0: 4 version and flags, 20 times and ids, 8 reserved, 8 layer, group and volume.
    start = content.index(b"tkhd") + 4 + 4 + 20 + 8 + 8
    content[start : start + 36] = matrix.astype(">i4").tobytes()
    clip.write_bytes(content)
    shown = next(decoded_frames(clip))
    np.testing.assert_array_equal(shown, np.rot90(upright, -degrees // 90))


def test_truncated_and_other_files(clip, caplog):
    content = clip.read_bytes()
    for damaged in (content[: len(content) // 2], b"", b"text", b"\0" * 4096):
        clip.write_bytes(damaged)
        with pytest.raises(UserError, match=r"drive.mp4: .*--data_dir") as caught:
            Video(clip)
        assert "\n" not in str(caught.value)
    cache = clip.parent.parent / "cache/kdepth/video"
    assert not any(cache.iterdir()) if cache.exists() else True


def test_a_clip_that_breaks_off(clip, monkeypatch, caplog):
    frames = list(decoded_frames(clip))

    def broken(path):
        yield from frames[:7]
        raise UserError(f"{path}: truncated")

    monkeypatch.setattr("kdepth.data.video.decoded_frames", broken)
    with pytest.raises(UserError, match="truncated"):
        Video(clip)
    for _ in range(2):  # decoded, and found in the cache
        assert len(Video(clip, on_missing="skip").records("all", IMAGE)) == 7
        assert "truncated; its frames up to there are used" in caplog.text
        caplog.clear()
    with pytest.raises(UserError, match="truncated"):
        Video(clip)


def test_sound_alone_is_no_video(clip):
    av = pytest.importorskip("av")
    path = clip.with_name("sound.mp4")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(UserError, match="sound.mp4: truncated, corrupt or not a video"):
        Video(path)


def test_without_the_package(clip, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "av":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"pip install 'kdepth\[video\]'"):
        Video(clip)
