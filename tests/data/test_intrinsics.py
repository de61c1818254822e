from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kdepth.data.image import image_size, read_image
from kdepth.data.intrinsics import Intrinsics, exif_intrinsics, read_intrinsics
from kdepth.errors import UserError
from kdepth.geometry.camera import Camera

MATRIX = [[50.0, 0, 28.5], [0, 52.0, 18.25], [0, 0, 1]]
EXPECTED = Camera(50.0, 52.0, 28.5, 18.25, 60, 36)


def written(tmp_path, content, name="cam.txt"):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    "text",
    [
        "50 0 28.5\n0 52 18.25\n0 0 1\n",
        "50.,0.,28.5,0.,52.,18.25,0.,0.,1.",
        "# of my camera\n5.0e1 52 28.5 18.25  # fx fy cx cy\n",
        "\ufeff50, 52, 28.5, 18.25",
    ],
)
def test_text(tmp_path, text):
    intrinsics = read_intrinsics(written(tmp_path, text))
    assert intrinsics.camera(60, 36) == EXPECTED
    assert intrinsics.baseline is None


@pytest.mark.parametrize("key", ["K", "intrinsics", None])
def test_json(tmp_path, key):
    camera = {"fx": 50, "fy": 52.0, "cx": 28.5, "cy": 18.25} if key is None else {key: MATRIX}
    content = {**camera, "baseline": 0.25, "note": "other keys do no harm"}
    intrinsics = read_intrinsics(written(tmp_path, content, "camera.json"))
    assert intrinsics.camera(60, 36) == EXPECTED
    assert intrinsics.baseline == 0.25


def test_a_known_size_follows_the_pictures(tmp_path):
    path = written(tmp_path, {"K": MATRIX, "width": 60, "height": 36}, "camera.json")
    assert read_intrinsics(path).camera(120, 72) == EXPECTED.resize(120, 72)
    with pytest.raises(UserError, match="camera.json: is for 60x36, .* 60x30, of another shape"):
        read_intrinsics(path).camera(60, 30)


@given(st.floats(20, 200), st.floats(0, 59.9), st.floats(0, 35.9), st.integers(10, 40))
def test_intrinsics_with_a_size_agree_with_camera_resize(fx, cx, cy, factor):
    intrinsics = Intrinsics("here", fx, fx, cx, cy, 60, 36)
    camera = intrinsics.camera(6 * factor, round(3.6 * factor))
    expected = Camera(fx, fx, cx, cy, 60, 36).resize(6 * factor, round(3.6 * factor))
    assert camera == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no intrinsics; expected a 3x3 matrix"),
        ("1 2 3", "no intrinsics; expected"),
        ("a b c d", "no intrinsics; expected"),
        ("50 nan 28 18", "focal lengths above 0"),
        ("50 -52 28 18", "focal lengths above 0"),
        ("inf 52 28 18", "focal lengths above 0"),
        ("50 0 28 0 52 18 0 0 2", "without skew"),
        ("50 3 28 0 52 18 0 0 1", "without skew"),
        ("0.58 1.92 0.5 0.5", "a focal length of 0.58 pixels is too short .* normalised"),
        ("721 721 609 172", "principal point .609, 172. lies outside .* 60x36"),
    ],
)
def test_what_is_no_camera_of_such_pictures(tmp_path, text, message):
    path = written(tmp_path, text)
    with pytest.raises(UserError, match=rf"{path}.*{message}"):
        read_intrinsics(path).camera(60, 36)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1, 2, 3, 4]",
        "{",
        '{"fx": 50, "fy": 52, "cx": 28}',
        '{"fx": true, "fy": 52, "cx": 28, "cy": 18}',
        '{"fx": "50", "fy": 52, "cx": 28, "cy": 18}',
        '{"K": [[1, 2], [3]]}',
        '{"K": "matrix"}',
        '{"K": [[50, 0, 28], [0, 52, 18], [0, 0, 1]], "width": 60}',
        '{"fx": 50, "fy": 52, "cx": 28, "cy": 18, "width": 60.5, "height": 36}',
        '{"fx": 50, "fy": 52, "cx": 28, "cy": 18, "baseline": -0.2}',
        '{"fx": 50, "fy": 52, "cx": 28, "cy": 18, "baseline": "0.2"}',
        '{"fx": 50, "fy": 52, "cx": 28, "cy": 18, "baseline": NaN}',
        '{"fx": 1e999, "fy": 52, "cx": 28, "cy": 18}',
        "[" * 100000,
    ],
)
def test_bad_json(tmp_path, text):
    path = written(tmp_path, text, "camera.json")
    with pytest.raises(UserError, match=f"^{path}: "):
        read_intrinsics(path).camera(60, 36)


def test_missing_and_binary_files(tmp_path):
    with pytest.raises(UserError, match="no such intrinsics file"):
        read_intrinsics(tmp_path / "absent.txt")
    (tmp_path / "cam.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="cannot be read"):
        read_intrinsics(tmp_path / "cam.txt")
    with pytest.raises(UserError, match="cannot be read"):
        read_intrinsics(tmp_path)


def photo(path, focal, orientation=1, size=(60, 40)):
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif.get_ifd(0x8769)[0xA405] = focal
    Image.new("RGB", size, (90, 30, 10)).save(path, exif=exif)
    return path


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_exif_is_by_the_diagonal(tmp_path, suffix):
    # 36 x 24 mm at 60 x 40 pixels: 5/3 pixels a millimetre, whatever the side.
    path = photo(tmp_path / f"photo.{suffix}", 28)
    camera = exif_intrinsics(path).camera(60, 40)
    assert camera.fx == camera.fy == pytest.approx(28 * 60 / 36)
    assert (camera.cx, camera.cy) == (29.5, 19.5)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_camera_held_on_its_side(tmp_path, orientation):
    path = photo(tmp_path / "photo.jpg", 28, orientation)
    height, width = read_image(path).shape[:2]
    assert image_size(path) == (width, height)
    camera = exif_intrinsics(path).camera(*image_size(path))
    assert camera.fx == pytest.approx(28 * 60 / 36)
    assert (camera.cx, camera.cy) == ((width - 1) / 2, (height - 1) / 2)


def test_photos_that_do_not_say(tmp_path):
    assert exif_intrinsics(photo(tmp_path / "zero.jpg", 0)) is None
    Image.new("RGB", (6, 4)).save(tmp_path / "bare.png")
    assert exif_intrinsics(tmp_path / "bare.png") is None
    assert exif_intrinsics(tmp_path / "absent.png") is None
    (tmp_path / "text.jpg").write_bytes(np.random.default_rng(0).bytes(200))
    assert exif_intrinsics(tmp_path / "text.jpg") is None
