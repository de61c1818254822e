"""The TUM RGB-D layout, file by file."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from kdepth.data import pose_files
from kdepth.data.rgbd_writer import write_sequence
from kdepth.geometry import pose
from kdepth.geometry.camera import Camera

CAMERA = Camera(fx=30.0, fy=31.0, cx=23.5, cy=15.5, width=48, height=32)
TIMES = np.array([0.0, 0.1, 12.25])


@pytest.fixture
def images(tmp_path, layout):
    files = [tmp_path / "in/0.png", tmp_path / "in/1.jpg", tmp_path / "in/2.png"]
    for seed, file in enumerate(files):
        layout.save(file, layout.picture(seed))
    return files


def test_the_layout(tmp_path, images):
    depths = [np.full((32, 48), value) for value in (1.0, 2.5, 13.2)]
    depths[0][:4] = np.nan
    depths[1][0] = 13.0
    poses = pose.from_vector(np.random.default_rng(0).normal(size=(3, 6)))
    share = write_sequence(tmp_path / "out", images, depths, TIMES, CAMERA, poses=poses)
    assert share == pytest.approx(1 / 3)  # 13.2 m is more than 65535 steps
    out = tmp_path / "out"
    assert (out / "rgb.txt").read_text().splitlines() == [
        "# timestamp filename",
        "0.000000 rgb/0.000000.png",
        "0.100000 rgb/0.100000.jpg",
        "12.250000 rgb/12.250000.png",
    ]
    assert (out / "associations.txt").read_text().splitlines()[1] == (
        "0.100000 rgb/0.100000.jpg 0.100000 depth/0.100000.png"
    )
    stored = []
    for line in (out / "depth.txt").read_text().splitlines()[1:]:
        with Image.open(out / line.split()[1]) as picture:
            assert picture.mode.startswith("I;16")
            stored.append(np.asarray(picture).astype(int))
    assert (stored[0][:4] == 0).all() and (stored[0][4:] == 5000).all()
    assert (stored[1][0] == 65000).all() and (stored[1][1:] == 12500).all()
    assert (stored[2] == 0).all()
    assert (out / "rgb/0.100000.jpg").read_bytes() == images[1].read_bytes()
    trajectory = pose_files.read(out / "groundtruth.txt")
    np.testing.assert_allclose(trajectory.poses, poses, atol=1e-8)
    np.testing.assert_allclose(trajectory.times, TIMES)
    assert (out / "groundtruth.txt").read_text().startswith("# predicted, not measured\n")
    settings = (out / "camera.yaml").read_text()
    assert "Camera.fy: 31.0\n" in settings and "Camera.width: 48\n" in settings
    assert settings.endswith("DepthMapFactor: 5000.0\n")


def test_other_steps_and_no_trajectory(tmp_path, images):
    depths = [np.full((32, 48), 80.0)] * 3
    share = write_sequence(
        tmp_path / "out", images, depths, TIMES, CAMERA, depth_factor=256.0, poses=None
    )
    assert share == 0 and not (tmp_path / "out/groundtruth.txt").exists()
    with Image.open(tmp_path / "out/depth/0.000000.png") as picture:
        assert (np.asarray(picture) == 80 * 256).all()


def test_a_failure_leaves_nothing(tmp_path, images):
    def depths():
        yield np.ones((32, 48))
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError):
        write_sequence(tmp_path / "out", images, depths(), TIMES, CAMERA)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]
