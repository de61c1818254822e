from __future__ import annotations

import io

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from PIL import Image

from kdepth.data import image
from kdepth.errors import UserError


def random_picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def box_mean(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Area resize by definition: one float64 coverage matrix for each axis."""

    def coverage(size: int, new: int) -> np.ndarray:
        left, right = np.arange(new) * size / new, (np.arange(new) + 1) * size / new
        pixel = np.arange(size)
        covered = np.minimum(right[:, None], pixel + 1) - np.maximum(left[:, None], pixel)
        return np.clip(covered, 0, None) * new / size

    rows, columns = coverage(values.shape[0], height), coverage(values.shape[1], width)
    return np.einsum("yi,xj,ijc->yxc", rows, columns, values)


@hypothesis.given(st.tuples(*[st.integers(1, 40)] * 4))
def test_area_is_the_exact_mean_over_the_covered_box(sizes):
    height, width, new_height, new_width = sizes
    picture = random_picture(height, width)
    resized = image.resize_image(picture, new_height, new_width, "area")
    expected = box_mean(picture / 255.0, new_height, new_width)
    assert resized.dtype == np.float32
    np.testing.assert_allclose(resized, expected, atol=2e-6)


@pytest.mark.parametrize("method", image.RESIZE_METHODS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_every_method_keeps_a_constant_and_the_range_of_its_input(method, dtype):
    picture = np.full((30, 50, 3), 102, dtype)
    resized = image.resize_image(picture, 13, 64, method)
    assert resized.shape == (13, 64, 3) and resized.dtype == np.float32
    expected = 0.4 if dtype == np.uint8 else 102
    np.testing.assert_allclose(resized, expected, rtol=1e-5)


@pytest.mark.parametrize("method", ["area", "bilinear", "bicubic"])
def test_a_ramp_stays_in_its_place(method):
    # A pixel at x of the new image shows what was at (x + 0.5) / s - 0.5: centres on integers.
    ramp = np.broadcast_to(np.arange(60, dtype=np.float32), (8, 60))
    resized = image.resize_image(ramp, 8, 20, method)
    expected = (np.arange(20) + 0.5) * 3 - 0.5
    np.testing.assert_allclose(resized[3, 3:-3], expected[3:-3], atol=1e-3)


def test_nearest_invents_no_depth():
    depth = np.where(np.random.default_rng(0).random((75, 124)) < 0.1, 12.5, 0).astype(np.float32)
    assert set(np.unique(image.resize_image(depth, 20, 40, "nearest"))) <= {0.0, 12.5}


def test_unknown_method():
    with pytest.raises(ValueError, match="lanczos"):
        image.resize_image(random_picture(4, 4), 2, 2, "lanczos")


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1", "CMYK"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    suffix = ".tif" if mode == "CMYK" else ".png"
    path = tmp_path / f"picture{suffix}"
    Image.fromarray(random_picture(6, 9)).convert(mode).save(path)
    loaded = image.read_image(path)
    assert loaded.shape == (6, 9, 3) and loaded.dtype == np.uint8
    np.testing.assert_array_equal(loaded, np.asarray(Image.open(path).convert("RGB")))


def test_sixteen_bit_grey_is_scaled(tmp_path):
    path = tmp_path / "grey.png"
    Image.fromarray(np.array([[0, 257, 65535]], np.uint16)).save(path)
    np.testing.assert_array_equal(image.read_image(path)[0, :, 1], [0, 1, 255])


def test_exif_orientation_is_applied(tmp_path):
    path = tmp_path / "phone.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees
    Image.fromarray(random_picture(20, 30)).save(path, exif=exif)
    assert image.read_image(path).shape == (30, 20, 3)


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_exif_that_makes_no_sense_is_passed_over(tmp_path, suffix):
    path = tmp_path / f"phone.{suffix}"
    Image.fromarray(random_picture(20, 30)).save(path, exif=b"no TIFF header")
    with Image.open(path) as picture, pytest.raises(SyntaxError):
        picture.getexif()
    assert image.read_image(path).shape == (20, 30, 3)
    assert image.image_size(path) == (30, 20)


@pytest.mark.parametrize("progressive", [False, True])
def test_what_a_phone_appends_to_a_jpeg_does_not_matter(tmp_path, progressive):
    path = tmp_path / "motion.jpg"
    small, out = Image.fromarray(random_picture(8, 8)), io.BytesIO()
    small.save(out, format="JPEG")
    exif = b"Exif\0\0" + out.getvalue()  # a thumbnail ends before the picture does
    picture = Image.fromarray(random_picture(40, 60))
    picture.save(path, quality=92, progressive=progressive, exif=exif)
    whole, expected = path.read_bytes(), image.read_image(path)
    path.write_bytes(whole + b"film \xff\xd9 and \xff\xda more" * 3)
    np.testing.assert_array_equal(image.read_image(path), expected)
    path.write_bytes(whole[:-20])
    with pytest.raises(UserError, match="ends early"):
        image.read_image(path)


def test_depth_png_round_trip(tmp_path):
    path = tmp_path / "depth.png"
    depth = np.array([[0, 1.5, 80.25], [np.nan, -3, 1000]], np.float32)
    image.write_depth_png(path, depth)
    expected = np.array([[0, 1.5, 80.25], [0, 0, 65535 / 256]], np.float32)
    np.testing.assert_array_equal(image.read_depth_png(path), expected)
    assert [p.name for p in tmp_path.iterdir()] == ["depth.png"]


def test_depth_png_is_within_half_a_step(tmp_path):
    depth = np.random.default_rng(0).uniform(1 / 256, 255.9, (20, 30))
    image.write_depth_png(tmp_path / "depth.png", depth)
    assert np.abs(image.read_depth_png(tmp_path / "depth.png") - depth).max() <= 0.5 / 256 + 1e-5


def test_eight_bit_depth_is_refused(tmp_path):
    path = tmp_path / "depth.png"
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(path)
    with pytest.raises(UserError, match=r"depth.png.*16-bit"):
        image.read_depth_png(path)


def test_write_image(tmp_path):
    picture = random_picture(5, 7)
    image.write_image(tmp_path / "new" / "picture.png", picture)
    np.testing.assert_array_equal(image.read_image(tmp_path / "new" / "picture.png"), picture)
    with pytest.raises(UserError, match="picture.xyz"):
        image.write_image(tmp_path / "picture.xyz", picture)
    with pytest.raises(ValueError, match="uint8"):
        image.write_image(tmp_path / "picture.png", picture / 255.0)


def test_image_size_reads_the_header_only(tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(random_picture(11, 13)).save(path)
    path.write_bytes(path.read_bytes()[:60])
    assert image.image_size(path) == (13, 11)
    with pytest.raises(UserError, match="no such image"):
        image.image_size(tmp_path / "absent.png")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xd9"])
def test_what_is_no_picture(tmp_path, content):
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    for read in (image.read_image, image.read_depth_png, image.image_size):
        with pytest.raises(UserError, match="picture.png") as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(UserError, match="no such image"):
        image.read_image(tmp_path / "absent.png")
    with pytest.raises(UserError, match="cannot be read"):
        image.read_image(tmp_path)


def damaged(data: bytes, rng: np.random.Generator):
    """Yields a file truncated at many places, then with single bytes changed at many places."""
    for length in np.unique(np.linspace(0, len(data) - 1, 60).astype(int)):
        yield data[:length]
    for position in np.unique(rng.integers(0, len(data), 150)):
        changed = bytearray(data)
        changed[position] ^= int(rng.integers(1, 256))
        yield bytes(changed)


@pytest.mark.parametrize("kind", ["image", "depth"])
def test_a_damaged_png_never_gives_other_pixels(tmp_path, kind):
    path = tmp_path / "file.png"
    if kind == "image":
        Image.fromarray(random_picture(24, 32)).save(path)
        read = image.read_image
    else:
        image.write_depth_png(path, np.random.default_rng(1).uniform(1, 80, (24, 32)))
        read = image.read_depth_png
    whole, expected = path.read_bytes(), read(path)
    refused = 0
    for content in damaged(whole, np.random.default_rng(2)):
        path.write_bytes(content)
        try:
            np.testing.assert_array_equal(read(path), expected)
        except UserError as error:
            refused += 1
            assert "file.png" in str(error) and "\n" not in str(error)
    assert refused > 150


def test_a_truncated_jpeg_is_refused(tmp_path):
    path = tmp_path / "file.jpg"
    Image.fromarray(random_picture(40, 60)).save(path, quality=92)
    whole = path.read_bytes()
    for content in damaged(whole, np.random.default_rng(3)):
        path.write_bytes(content)
        if len(content) < len(whole):
            with pytest.raises(UserError, match="file.jpg"):
                image.read_image(path)
            continue
        # JPEG has no check sums: a changed byte may pass, but never as another exception.
        try:
            assert image.read_image(path).dtype == np.uint8
        except UserError as error:
            assert "\n" not in str(error)
