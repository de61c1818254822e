"""The embedded world: exact in geometry, equal in bytes, safe to interrupt."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kdepth import cli
from kdepth.data import synthetic
from kdepth.data.kitti_raw import Synthetic
from kdepth.data.world import motion
from kdepth.data.world.settings import BASELINE, WorldSettings
from kdepth.errors import UserError

FULL = WorldSettings(train_drives=3, test_drives=2, frames=3)  # the default size
TINY = WorldSettings(train_drives=3, test_drives=1, frames=2, height=24, width=64)
KEYS = frozenset("image stereo sources intrinsics baseline depth T_sources_image".split())


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    return synthetic.ensure(tmp_path_factory.mktemp("data") / "world", FULL, workers=2)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return synthetic.ensure(tmp_path_factory.mktemp("data") / "tiny", TINY, workers=1)


def picture(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path), np.float64) / 255.0


def bilinear(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Samples an image at pixel coordinates inside it."""
    height, width = image.shape[:2]
    x0, y0 = (
        np.clip(np.floor(x), 0, width - 2).astype(int),
        np.clip(np.floor(y), 0, height - 2).astype(int),
    )
    fx, fy = (x - x0)[..., None], (y - y0)[..., None]
    top = image[y0, x0] * (1 - fx) + image[y0, x0 + 1] * fx
    bottom = image[y0 + 1, x0] * (1 - fx) + image[y0 + 1, x0 + 1] * fx
    return top * (1 - fy) + bottom * fy


def residuals(
    target: np.ndarray,
    source: np.ndarray,
    depth: np.ndarray,
    intrinsics: np.ndarray,
    transform: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Differences of target and source with and without the warp, where nothing hides."""
    height, width = depth.shape
    y, x = np.mgrid[:height, :width].astype(float)
    rays = np.linalg.inv(intrinsics) @ np.stack([x, y, np.ones_like(x)]).reshape(3, -1)
    points = transform[:3, :3] @ (rays * depth.reshape(-1)) + transform[:3, 3:]
    u, v, z = (intrinsics @ points).reshape(3, height, width)
    seen = (depth > 0) & (z > 0.1)
    z = np.where(seen, z, 1.0)
    u, v = np.where(seen, u / z, -1), np.where(seen, v / z, -1)
    seen &= (u >= 0) & (u <= width - 1) & (v >= 0) & (v <= height - 1)
    # A point is hidden if one that is clearly nearer lands on the same pixel.
    nearest = np.full((height, width), np.inf)
    column, row = np.round(u[seen]).astype(int), np.round(v[seen]).astype(int)
    np.minimum.at(nearest, (row, column), z[seen])
    shown = seen.copy()
    shown[seen] = z[seen] <= 1.05 * nearest[row, column]
    warped = np.abs(bilinear(source, u, v) - target).mean(-1)[shown]
    unwarped = np.abs(source - target).mean(-1)[shown]
    assert shown.mean() > 0.6
    return warped, unwarped


def records(world: Path, **options):
    reader = Synthetic(world, **options)
    return [r for split in ("train", "test") for r in reader.records(split, KEYS)]


def stereo_residuals(record, baseline: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    shift = np.eye(4)
    shift[0, 3] = -(baseline or record.baseline)
    left, right = picture(record.image), picture(record.stereo)
    return residuals(left, right, record.depth.load(), record.camera.matrix(), shift)


def check_pooled(measured: list[tuple[np.ndarray, np.ndarray]]) -> None:
    warped, unwarped = (np.median(np.concatenate(parts)) for parts in zip(*measured))
    assert warped < 0.02
    assert warped < unwarped / 5


def test_right_view_warps_onto_the_left_one(world):
    measured = [stereo_residuals(record) for record in records(world)]
    assert len(measured) == FULL.train_drives + FULL.test_drives  # the middle frames of three
    check_pooled(measured)
    for one in measured:
        check_pooled([one])


def test_next_and_previous_frame_warp_onto_the_target(world):
    measured = []
    for record in records(world):
        target, depth = picture(record.image), record.depth.load()
        for path, transform in zip(record.sources, record.T_sources_image):
            if np.linalg.norm(transform[:3, 3]) > 0.2:  # where the rig stands nothing is to warp
                camera = record.camera.matrix()
                measured.append(residuals(target, picture(path), depth, camera, transform))
    assert len(measured) >= 6
    check_pooled(measured)


def test_wrong_geometry_would_be_noticed(world):
    record = records(world)[0]
    exact, _ = stereo_residuals(record)
    wrong, _ = stereo_residuals(record, 1.05 * record.baseline)
    assert np.median(wrong) > 1.5 * np.median(exact)
    assert wrong.mean() > 1.5 * exact.mean()


def calibration(path: Path, *keys: str) -> list[np.ndarray]:
    lines = dict(line.split(": ", 1) for line in path.read_text().splitlines())
    return [np.array(lines[key].split(), float) for key in keys]


def test_lidar_agrees_with_dense_depth(world):
    for record in records(world):
        date, drive = record.image.parents[3], record.image.parents[2]
        turn, shift = calibration(date / "calib_velo_to_cam.txt", "R", "T")
        rectify, project = calibration(date / "calib_cam_to_cam.txt", "R_rect_00", "P_rect_02")
        scan = np.fromfile(drive / "velodyne_points/data" / f"{record.image.stem}.bin", np.float32)
        points = scan.reshape(-1, 4)[:, :3].T.astype(float)
        points = rectify.reshape(3, 3) @ (turn.reshape(3, 3) @ points + shift[:, None])
        u, v, lidar = project.reshape(3, 4) @ np.vstack([points, np.ones(points.shape[1])])
        u, v = np.round(u / lidar).astype(int), np.round(v / lidar).astype(int)
        depth = record.depth.load()
        height, width = depth.shape
        inside = (u >= 1) & (u < width - 1) & (v >= 1) & (v < height - 1)
        u, v, lidar = u[inside], v[inside], lidar[inside]
        assert len(lidar) > 3000
        around = np.array([depth[v + i, u + j] for i in (-1, 0, 1) for j in (-1, 0, 1)])
        low, high = around.min(0), around.max(0)
        # The lidar stands behind and above the camera and sees past some edges.
        fits = (lidar >= 0.99 * low) & (lidar <= 1.01 * high)
        assert fits.mean() > 0.95
        smooth = (low > 0) & (high < 1.02 * low)
        assert smooth.mean() > 0.2
        error = np.abs(lidar[smooth] / depth[v, u][smooth] - 1)
        assert np.median(error) < 0.003 and (error < 0.02).mean() > 0.9


def test_calibration_and_cameras(world):
    train = records(world)
    assert {r.name[:10] for r in train} >= {"2000_01_01", "2000_01_02", "2000_01_03"}
    for record in train:
        assert record.baseline == pytest.approx(BASELINE, abs=1e-9)
        assert record.camera.fx == pytest.approx(0.58 * FULL.width)
        assert (record.camera.cx, record.camera.cy) == (
            record.stereo_camera.cx,
            record.stereo_camera.cy,
        )
        assert (record.camera.width, record.camera.height) == (FULL.width, FULL.height)
    assert len({r.camera.cx for r in train}) > 1


def test_oxts_give_the_exact_poses(world, tmp_path):
    drive = sorted(world.glob("*/*_drive_*"))[0]
    exact = np.loadtxt(drive / "poses_cam2.txt").reshape(-1, 3, 4)
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", str(world), str(copy)], check=True)
    for poses in copy.glob("*/*/poses_cam2.txt"):
        poses.unlink()
    with_poses, from_oxts = records(world), records(copy)
    for a, b in zip(with_poses, from_oxts):
        np.testing.assert_allclose(a.T_sources_image, b.T_sources_image, atol=1e-5)
    assert exact.shape == (FULL.frames, 3, 4)
    np.testing.assert_allclose(exact[0], np.eye(4)[:3], atol=1e-9)


def test_oxts_speak_of_the_same_motion():
    """A circle of radius 20 m at 8 m/s: speed, yaw rate and the pull to the inside are known."""
    turn = 8.0 / 20.0 * 0.1 * np.arange(9)
    poses = np.tile(np.eye(4), (9, 1, 1))
    for pose, angle in zip(poses, turn):
        pose[:3, :3] = motion.rotation(2, angle)
        pose[:2, 3] = 20 * np.sin(angle), 20 * (1 - np.cos(angle))
    records = motion.oxts(poses)
    assert records.shape == (9, 30)
    middle = records[4]
    np.testing.assert_allclose(middle[8:11], [8.0, 0.0, 0.0], atol=0.02)  # forward, left, up
    np.testing.assert_allclose(np.hypot(middle[6], middle[7]), 8.0, atol=0.02)
    np.testing.assert_allclose(middle[14:17], [0.0, 8.0**2 / 20, 0.0], atol=0.02)
    np.testing.assert_allclose(middle[11:14], [0.0, 8.0**2 / 20, 9.81], atol=0.02)
    np.testing.assert_allclose(middle[17:20], [0.0, 0.0, 0.4], atol=1e-3)
    np.testing.assert_allclose(records[:, 5], turn, atol=1e-12)


def test_speeds_vary_and_some_drives_stop():
    moments = [motion.distances(np.random.default_rng(i), 8) for i in range(100)]
    steps = np.diff(moments, axis=1)
    assert (steps >= 0).all()
    assert 3 <= (steps == 0).any(axis=1).sum() <= 40
    assert np.ptp(steps.mean(axis=1)) > 0.8


def test_train_and_test_are_different_streets(world):
    reader = Synthetic(world)
    drives = {
        split: {r.name.split()[0] for r in reader.records(split, frozenset(["image"]))}
        for split in ("train", "test")
    }
    assert len(drives["train"]) == 3 and len(drives["test"]) == 2
    assert not drives["train"] & drives["test"]
    pictures = [picture(r.image) for r in reader.records("all", frozenset(["image"]))[::3]]
    for i, one in enumerate(pictures):
        for other in pictures[:i]:
            assert np.abs(one - other).mean() > 0.05


def test_moving_cars_leave_stereo_exact(tmp_path):
    still = WorldSettings(train_drives=2, test_drives=1, frames=3, height=48, width=156)
    moving = WorldSettings(**{**vars(still), "moving": True})
    pictures = {}
    for settings in (still, moving):
        found = records(synthetic.ensure(tmp_path / str(settings.moving), settings, workers=2))
        check_pooled([stereo_residuals(record) for record in found])
        pictures[settings.moving] = [picture(record.image) for record in found]
    differ = [(a != b).any() for a, b in zip(pictures[False], pictures[True])]
    assert any(differ)


def digest(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_equal_settings_give_equal_bytes_with_any_number_of_workers(tiny, tmp_path):
    again = synthetic.ensure(tmp_path / "again", TINY, workers=2)
    assert digest(again) == digest(tiny)
    assert len(digest(tiny)) == 4 * (5 * TINY.frames + 5) + 4 * 3 + 2 + 1


def test_the_seed_changes_the_world(tiny, tmp_path):
    other = WorldSettings(**{**vars(TINY), "seed": 2})
    changed = digest(synthetic.ensure(tmp_path / "other", other, workers=2))
    same = [name for name, value in digest(tiny).items() if changed[name] == value]
    assert not [name for name in same if name.endswith((".png", ".bin"))]


def test_killed_and_started_again_gives_the_same_bytes(tiny, tmp_path):
    root = tmp_path / "world"
    flags = [f"--{k}={v}" for k, v in vars(TINY).items()]
    command = [sys.executable, "-m", "kdepth.synthesize", f"--data_dir={root}", "--workers=1"]
    process = subprocess.Popen([*command, *flags], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not list(root.glob("*/*_sync")) and time.monotonic() < deadline:
            time.sleep(0.002)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (root / synthetic.MARKER).exists()
    left = root / "2000_01_02" / ".2000_01_02_drive_0001_sync.kdepth-tmp1"
    left.mkdir(parents=True)  # what a kill in the middle of a drive leaves
    with pytest.raises(UserError, match="world.json"):
        Synthetic(root)
    kept = {path: path.stat().st_ino for path in root.glob("*/2000*_sync")}
    assert kept
    synthetic.ensure(root, TINY, workers=1)
    assert digest(root) == digest(tiny)
    assert not left.exists()
    assert all(path.stat().st_ino == inode for path, inode in kept.items())  # not rendered again


def test_ensure_reuses_what_is_there(tiny, monkeypatch):
    def fail(*_):
        raise AssertionError("rendered again")

    monkeypatch.setattr(synthetic, "_render", fail)
    assert synthetic.ensure(tiny, TINY) == tiny
    assert synthetic.ensure(tiny) == tiny  # whatever world it is


def test_default_folder_follows_the_cache_home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert synthetic.default_data_dir() == tmp_path / "kdepth" / "synthetic"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert synthetic.default_data_dir() == Path.home() / ".cache" / "kdepth" / "synthetic"


def test_other_settings_in_the_folder(tiny):
    with pytest.raises(UserError, match=r"other settings \(seed\)"):
        synthetic.ensure(tiny, WorldSettings(**{**vars(TINY), "seed": 9}))


def test_interrupted_world_of_other_settings(tmp_path):
    (tmp_path / ".world.json").write_text(json.dumps(TINY.to_json()))
    with pytest.raises(UserError, match=r"other settings \(frames\)"):
        synthetic.ensure(tmp_path, WorldSettings(**{**vars(TINY), "frames": 4}))


def test_foreign_folder_stays_untouched(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(UserError, match="not an embedded world"):
        synthetic.ensure(tmp_path, TINY)
    assert os.listdir(tmp_path) == ["thesis.tex"]


@pytest.mark.parametrize("text", ["{", "[]", '"x"'])
def test_damaged_marker(tmp_path, text):
    (tmp_path / "world.json").write_text(text)
    with pytest.raises(UserError, match="remove the folder"):
        synthetic.ensure(tmp_path)


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match="file"):
            synthetic.ensure(place, TINY)


@pytest.mark.parametrize("workers", [1, 2])
def test_full_disk_is_one_line(tmp_path, workers):
    """A drive's folder that cannot be written is reported by name, also from a worker."""
    synthetic._write(tmp_path / ".world.json", json.dumps(TINY.to_json()))
    (tmp_path / "2000_01_02").mkdir()
    (tmp_path / "2000_01_02" / "2000_01_02_drive_0001_sync").write_text("in the way")
    with pytest.raises(UserError, match="2000_01_02_drive_0001_sync: cannot write"):
        synthetic.ensure(tmp_path, TINY, workers=workers)
    assert not (tmp_path / synthetic.MARKER).exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("train_drives", 0),
        ("frames", 101),
        ("height", 8),
        ("width", 9999),
        ("seed", -1),
        ("supersample", 0),
    ],
)
def test_settings_out_of_range(name, value):
    with pytest.raises(UserError, match=f"`{name}` must be between .* received {value}"):
        WorldSettings(**{name: value})


def test_command(tmp_path, capsys):
    flags = [f"--{k}={v}" for k, v in vars(TINY).items()]
    root = tmp_path / "world"
    assert cli.call("synthesize", [f"--data_dir={root}", "--workers=1", *flags]) == 0
    assert "train: 6 stereo pairs" in capsys.readouterr().out
    assert cli.call("synthesize", [f"--data_dir={root}", "--seed=7"]) == 2
    assert "other settings" in capsys.readouterr().err
    assert cli.call("synthesize", ["--workers=0"]) == 2
    assert cli.call("synthesize", ["--frames=0"]) == 2
