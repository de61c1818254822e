"""Real pictures rewritten as people's own data: what the readers say must hold in the pictures."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from kdepth.data.folder import Folder
from kdepth.data.image import read_image, resize_image
from kdepth.data.kitti_raw import KittiRaw
from kdepth.data.sample import load_sample
from kdepth.data.sfmlearner import SfMLearner
from kdepth.data.video import Video
from kdepth.geometry.camera import Camera
from tests.data.checks import residuals

DRIVE = "2011_09_26_drive_0013_sync"


def check(pairs: list[tuple[float, float]], share: float) -> None:
    """Warping explains each neighbour better than nothing, and most of the change in all of them."""
    assert all(warped < 0.9 * unwarped for warped, unwarped in pairs)
    warped, unwarped = np.sum(pairs, axis=0)
    assert warped < share * unwarped


def test_a_real_room_with_depth(realdata, tmp_path):
    source = realdata / "tum_rgbd"
    facts = json.loads((source / "ground_truth.json").read_text())
    (tmp_path / "desk").mkdir()
    for name in ("rgb", "depth"):
        (tmp_path / "desk" / name).symlink_to(source / name)
    (tmp_path / "intrinsics.txt").write_text("517.3 516.5 318.6 255.3\n")
    keys = frozenset(["image", "sources", "depth", "intrinsics"])
    records = Folder(tmp_path, depth_scale=5000).records("desk", keys)
    assert [record.image.stem for record in records] == [str(i) for i in range(2, 10)]
    pairs = []
    poses = {name: np.array(fact["transformation"]) for name, fact in facts.items()}
    for record in records[::3]:
        sample = load_sample(record, keys)
        depth = sample["depth"][..., 0]
        assert 0.3 < np.median(depth[depth > 0]) < 3
        camera = Camera.from_matrix(sample["intrinsics"], 640, 480)
        for path, picture in zip(record.sources, sample["sources"]):
            motion = np.linalg.inv(poses[path.stem]) @ poses[record.image.stem]
            warped, unwarped = residuals(sample["image"], picture, camera, depth, motion)
            pairs.append((warped, unwarped))
    check(pairs, 0.6)


def test_a_real_rig_given_by_flags(realdata, tmp_path):
    source = realdata / "kitti_stereo2015/training"
    for name in ("image_2", "image_3"):
        (tmp_path / name).symlink_to(source / name)
    keys = frozenset(["image", "stereo", "intrinsics", "baseline"])
    reader = Folder(tmp_path, fx=721.5377, cx=609.5593, cy=172.8540, baseline=0.5327)
    record = reader.records("all", keys)[3]
    sample = load_sample(record, keys)
    disparity = np.asarray(Image.open(source / "disp_noc_0" / f"{record.image.stem}.png")) / 256
    measured = disparity > 0
    depth = np.where(
        measured, record.camera.fx * record.baseline / np.where(measured, disparity, 1), 0
    )
    shift = np.eye(4)
    shift[0, 3] = -sample["baseline"]
    warped, unwarped = residuals(sample["image"], sample["stereo"], record.camera, depth, shift)
    assert warped < 0.5 * unwarped


@pytest.fixture(scope="module")
def drive(realdata):
    """Frames of a real drive with lidar depth and motion."""
    keys = frozenset(["image", "sources", "depth", "T_sources_image"])
    return KittiRaw(realdata / "kitti_raw").records("all", keys)[40:44]


def test_real_frames_in_sfmlearners_layout(drive, tmp_path):
    height, width = 128, 416
    for record in drive:
        order = (record.sources[0], record.image, record.sources[1])
        views = [resize_image(read_image(path), height, width, "bilinear") for path in order]
        whole = np.round(255 * np.concatenate(views, axis=1)).astype(np.uint8)
        path = tmp_path / DRIVE / f"{record.image.stem}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(whole).save(path)
        scaled = record.camera.resize(width, height)
        text = f"{scaled.fx:f},0.,{scaled.cx:f},0.,{scaled.fy:f},{scaled.cy:f},0.,0.,1."
        path.with_name(f"{record.image.stem}_cam.txt").write_text(text)
    keys = frozenset(["image", "sources", "intrinsics"])
    pairs = []
    for record, original in zip(SfMLearner(tmp_path).records("all", keys), drive):
        assert (record.camera.width, record.camera.height) == (width, height)
        sample = load_sample(record, keys)
        camera = Camera.from_matrix(sample["intrinsics"], width, height)
        depth = resize_image(original.depth.load(), height, width, "nearest")
        for picture, motion in zip(sample["sources"], original.T_sources_image):
            warped, unwarped = residuals(sample["image"], picture, camera, depth, motion)
            pairs.append((warped, unwarped))
    check(pairs, 0.75)


def test_a_real_drive_as_a_video(drive, tmp_path):
    av = pytest.importorskip("av")
    pictures = [read_image(record.image)[:374] for record in drive]  # codecs want even sides
    with av.open(str(tmp_path / "drive.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 30_000_000
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    left = drive[0].camera
    options = {"fx": left.fx, "fy": left.fy, "cx": left.cx, "cy": left.cy}
    keys = frozenset(["image", "sources", "intrinsics"])
    reader = Video(tmp_path / "drive.mp4", frames_dir=tmp_path / "frames", **options)
    records = reader.records("all", keys)
    assert len(records) == 2
    pairs = []
    for record, original in zip(records, drive[1:]):
        sample = load_sample(record, keys)
        depth = original.depth.load()[:374]
        for picture, motion in zip(sample["sources"], original.T_sources_image):
            warped, unwarped = residuals(sample["image"], picture, record.camera, depth, motion)
            pairs.append((warped, unwarped))
    check(pairs, 0.75)
