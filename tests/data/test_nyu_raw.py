"""NYU's raw recordings, written byte for byte: PPM, and PGM with the low byte first."""

from __future__ import annotations

import functools
import logging

import numpy as np
import pytest

from kdepth.data import kinect
from kdepth.data.nyu_raw import NyuRaw
from kdepth.data.sample import load_sample, resize_sample
from kdepth.errors import UserError
from kdepth.geometry.camera import Camera
from tests.data.checks import wall

KEYS = frozenset(["image", "depth", "intrinsics"])
START = 1294886362.0
UNMEASURED = 2047


def raw_of(metres: np.ndarray) -> np.ndarray:
    """The toolbox's formula turned round: metres = 351.3 / (1092.5 - raw)."""
    return np.round(1092.5 - 351.3 / metres).astype(np.uint16)


def pgm(raw: np.ndarray, order: str = "<u2") -> bytes:
    height, width = raw.shape
    return f"P5 {width} {height} 65535\n".encode() + raw.astype(order).tobytes()


def ppm(picture: np.ndarray) -> bytes:
    height, width = picture.shape[:2]
    return f"P6 {width} {height} 255\n".encode() + picture.tobytes()


@functools.cache
def flat_scene() -> tuple[bytes, bytes]:
    return ppm(np.full((480, 640, 3), 90, np.uint8)), pgm(raw_of(np.full((480, 640), 2.0)))


def record_scene(scene, images, depths) -> None:
    """Writes frames at seconds after the start; numbers differ from file to file, as in the set."""
    picture, depth = flat_scene()
    scene.mkdir(parents=True)
    for i, time in enumerate(images):
        (scene / f"r-{START + time:.6f}-{3118787619 + 7 * i}.ppm").write_bytes(picture)
    for i, time in enumerate(depths):
        (scene / f"d-{START + time:.6f}-{3143255701 + 5 * i}.pgm").write_bytes(depth)
    (scene / f"a-{START:.6f}-3164794231.dump").write_bytes(b"\0" * 16)
    (scene / "INDEX.txt").write_text("a\n")


@pytest.fixture
def recordings(tmp_path):
    root = tmp_path / "nyu"
    record_scene(root / "bathroom_0001", (0.00, 0.10, 0.20, 0.30), (0.04, 0.11, 0.12, 0.29))
    record_scene(root / "bedrooms_part1" / "bedroom_0002a", (0.0, 1.0), (0.1, 0.9))
    record_scene(root / "bedrooms_part1" / "bedroom_0003", (0.0,), ())
    return root


def seconds(path) -> float:
    return round(float(path.name.split("-")[1]) - START, 2)


# --- pairs, scenes, balance ---


def test_pairs_are_nearest_in_time_and_shared_images_dropped(recordings, caplog):
    with caplog.at_level(logging.WARNING):
        records = NyuRaw(recordings).records("bathroom_0001", KEYS)
    times = [(seconds(r.image.path), seconds(r.depth.path)) for r in records]
    # 0.10 is the nearest of 0.11 and of 0.12, so neither pair is used.
    assert times == [(0.0, 0.04), (0.3, 0.29)]
    assert "1 samples without a depth map of their own" in caplog.text
    assert f"r-{START + 0.1:.6f}" in caplog.text
    assert len({record.name for record in records}) == 2


def test_scenes_and_lists_of_scenes(recordings):
    reader = NyuRaw(recordings)
    assert reader.splits() == [
        *("all", "bathroom_0001", "bedrooms_part1/bedroom_0002a", "bedrooms_part1/bedroom_0003")
    ]
    assert len(reader.records("all", KEYS)) == 4
    (recordings / "splits").mkdir()
    (recordings / "splits/train.txt").write_text("# official names\nbedroom_0002a\n")
    assert "train" in reader.splits()
    names = [record.name for record in reader.records("train", KEYS)]
    assert [name.split()[0] for name in names] == ["bedroom_0002a"] * 2
    (recordings / "splits/train.txt").write_text("bedroom_0002a\nkitchen_0001\n")
    with pytest.raises(UserError, match=r"kitchen_0001/r-\*: listed in nyu_raw, split train"):
        reader.records("train", KEYS)
    assert len(NyuRaw(recordings, on_missing="skip").records("train", KEYS)) == 2


@pytest.mark.parametrize(("balance", "times"), [(1, [1]), (2, [1, 1]), (5, [2, 3])])
def test_every_scene_gets_as_many_samples(recordings, balance, times):
    records = NyuRaw(recordings, balance=balance).records("all", KEYS)
    by_scene: dict[str, list[str]] = {}
    for record in records:
        by_scene.setdefault(record.name.split()[0], []).append(record.name)
    assert set(by_scene) == {"bathroom_0001", "bedroom_0002a"}
    for names in by_scene.values():
        assert len(names) == balance
        assert sorted(names.count(name) for name in set(names)) == times


def test_a_negative_balance(recordings):
    with pytest.raises(UserError, match="balance=-1"):
        NyuRaw(recordings, balance=-1)


# --- raw depth ---


def test_bytes_of_a_depth_file(tmp_path):
    raw = np.full((480, 640), UNMEASURED, np.uint16)
    raw[5, 9] = 0x0321
    path = tmp_path / "d-1.5-2.pgm"
    path.write_bytes(pgm(raw))
    content = path.read_bytes()
    assert content[: len(b"P5 640 480 65535\n")] == b"P5 640 480 65535\n"
    place = len(b"P5 640 480 65535\n") + 2 * (5 * 640 + 9)
    assert content[place : place + 2] == b"\x21\x03"  # the low byte first
    np.testing.assert_array_equal(kinect.read_raw_depth(path), raw)
    path.write_bytes(pgm(raw, ">u2"))  # written anew by a program that follows the format
    np.testing.assert_array_equal(kinect.read_raw_depth(path), raw)


def test_the_toolbox_formula():
    raw = np.array([0, 599, 600, 800, 1000, 1057, 1058, 1092, 1093, UNMEASURED])
    metres = kinect.raw_to_metres(raw)
    expected = [0, 0, 351.3 / 492.5, 351.3 / 292.5, 351.3 / 92.5, 351.3 / 35.5, 0, 0, 0, 0]
    np.testing.assert_allclose(metres, expected, rtol=1e-12)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"P5 640 480 65535\n",
        b"P5 640 480 255\n" + bytes(640 * 480),
        b"P6 640 480 65535\n" + bytes(2 * 640 * 480),
        b"P5 320 240 65535\n" + bytes(2 * 320 * 240),
        b"P5 640 480 65535\n" + bytes(2 * 640 * 480 - 1),
        b"P5 640 480 65535\n" + b"\xff" * (2 * 640 * 480),
    ],
)
def test_files_that_are_no_raw_depth(recordings, content):
    record = NyuRaw(recordings).records("bathroom_0001", KEYS)[0]
    record.depth.path.write_bytes(content)
    with pytest.raises(UserError, match=rf"{record.depth.path}: .*depth map"):
        load_sample(record, KEYS)


@pytest.mark.parametrize("content", [b"", b"P6 640 480 255\n123", ppm(np.zeros((4, 6, 3), "u1"))])
def test_damaged_images(recordings, content):
    record = NyuRaw(recordings).records("bathroom_0001", KEYS)[0]
    record.image.path.write_bytes(content)
    with pytest.raises(UserError, match=f"{record.image.path}: "):
        load_sample(record, KEYS)


# --- geometry ---


def brown(x, y, k1, k2, p1, p2, k3):
    """Brown's lens model, as OpenCV's manual states it."""
    r2 = x**2 + y**2
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    return (
        x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x**2),
        y * radial + p1 * (r2 + 2 * y**2) + 2 * p2 * x * y,
    )


def toolbox(metres: np.ndarray, column: np.ndarray, row: np.ndarray) -> tuple[np.ndarray, ...]:
    """Undistorted pixels of the depth camera in the colour camera, as the toolbox computes it."""
    numbers = [9.9997798940829263e-01, 5.0518419386157446e-03, 4.3011152014118693e-03]
    numbers += [-5.0359919480810989e-03, 9.9998051861143999e-01, -3.6879781309514218e-03]
    numbers += [-4.3196624923060242e-03, 3.6662365748484798e-03, 9.9998394948385538e-01]
    rotation = np.linalg.inv((-np.array(numbers)).reshape(3, 3, order="F").T)
    shift = np.array([2.5031875059141302e-02, -2.9342312935846411e-04, 6.6238747008330102e-04])
    x = (column - 3.1304475870804731e02) * metres / 5.8262448167737955e02
    y = (row - 2.3844389626620386e02) * metres / 5.8269103270988637e02
    x, y, z = rotation @ np.stack([x, y, metres]) + shift[:, None]
    return (
        x * 5.1885790117450188e02 / z + 3.2558244941119034e02,
        y * 5.1946961112127485e02 / z + 2.5373616633400465e02,
        np.abs(z),
    )


def test_single_points_land_where_the_toolbox_puts_them():
    rng = np.random.default_rng(0)
    column, row = rng.integers(150, 500, 30), rng.integers(100, 380, 30)
    for x, y, distance in zip(column, row, rng.uniform(0.8, 8, 30)):
        metres = np.zeros((480, 640))
        metres[y, x] = distance
        depth = kinect.register(metres)
        ((found_y,), (found_x,)) = np.nonzero(depth)
        # The pixel without its lens, found by search: the model that bends it back to (x, y).
        ray = np.array([(x - 313.04475870804731), (y - 238.44389626620386)]) / 582.65
        seen = ray.copy()
        for _ in range(30):
            bent = brown(
                *ray, -0.0998972366, 0.3906532460, 1.92905929e-3, -1.94220225e-3, -0.510317
            )
            ray = ray + (seen - np.array(bent))
        straight = ray * 582.65 + [313.04475870804731, 238.44389626620386]
        u, v, z = toolbox(np.array([distance]), straight[:1], straight[1:])
        assert abs(found_x - u[0]) <= 0.6 and abs(found_y - v[0]) <= 0.6
        assert depth[found_y, found_x] == pytest.approx(z[0], rel=1e-6)
        assert z[0] == pytest.approx(distance, abs=0.02 + 0.01 * distance)


def test_the_nearest_of_points_that_meet_stays():
    rng = np.random.default_rng(1)
    metres = np.where(rng.random((480, 640)) < 0.5, 1.0, 5.0)
    depth = kinect.register(metres)
    alone = kinect.register(np.where(metres == 1.0, metres, 0))
    np.testing.assert_array_equal(depth[alone > 0], alone[alone > 0])


def test_a_wall_agrees_in_both_cameras(tmp_path):
    """A scene in space, recorded by both cameras through their lenses, comes back aligned."""
    scene = tmp_path / "nyu/scene"
    record_scene(scene, (0.0,), (0.01,))
    colour_lens = (0.20796615, -0.58613825, 7.2231e-4, 1.04796e-3, 0.49856987)
    depth_lens = (-0.09989724, 0.39065325, 1.92906e-3, -1.94220e-3, -0.51031725)

    def rays(camera, lens):
        column, row = np.meshgrid(np.arange(640.0), np.arange(480.0))
        seen = np.stack(camera.backproject(column, row, 1.0)[:2])
        straight = seen.copy()
        for _ in range(50):
            straight = straight + (seen - np.stack(brown(*straight, *lens)))
        return np.concatenate([straight, np.ones((1, 480, 640))])

    # World = colour camera: a slanted plane n.X = 1 with a pattern on it.
    normal = np.array([0.08, -0.05, 0.45])

    def pattern(points):
        return 127.5 + 90 * np.sin(9 * points[0]) * np.cos(7 * points[1])

    towards = rays(kinect.COLOUR_CAMERA, colour_lens)
    points = towards / np.tensordot(normal, towards, 1)
    picture = np.repeat(np.round(pattern(points))[..., None], 3, -1).astype(np.uint8)
    rotation = np.linalg.inv(kinect._ROTATION)
    towards = rays(kinect.DEPTH_CAMERA, depth_lens)
    turned = np.tensordot(rotation, towards, 1)
    along = (1 + normal @ kinect._SHIFT) / np.tensordot(normal, turned, 1)
    next(scene.glob("r-*")).write_bytes(ppm(picture))
    next(scene.glob("d-*")).write_bytes(pgm(raw_of(along * towards[2])))

    (record,) = NyuRaw(tmp_path / "nyu").records("all", KEYS)
    sample = load_sample(record, KEYS)
    for height, width in ((480, 640), (228, 304)):
        resized = resize_sample(sample, record, height, width, "area")
        camera = Camera.from_matrix(resized["intrinsics"].astype(float), width, height)
        depth = resized["depth"][..., 0]
        row, column = np.nonzero(depth)
        assert len(row) > 0.7 * height * width
        points = np.stack(camera.backproject(column, row, depth[row, column]))
        # Points lie on the plane (raw values have steps) and carry the pattern's own brightness.
        assert np.abs(normal @ points - 1).max() < 0.02
        seen = resized["image"][row, column, 0] * 255
        inner = (row > 8) & (row < height - 8) & (column > 8) & (column < width - 8)
        assert np.abs(seen - pattern(points))[inner].mean() < 4


def test_undistortion_keeps_straight_lines_and_the_middle():
    picture, _ = wall(kinect.COLOUR_CAMERA, np.eye(4), 3.0)
    straight = kinect.undistort_colour(picture)
    assert straight.dtype == np.uint8 and straight.shape == (480, 640, 3)
    middle = np.s_[248:260, 320:332]
    assert np.abs(straight[middle].astype(int) - picture[middle]).max() <= 3
