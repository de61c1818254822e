from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import tensorflow as tf

from kdepth.data import augment
from kdepth.geometry.camera import Camera

HEIGHT, WIDTH = 24, 40
LEFT = Camera(30.0, 31.0, 18.0, 11.0, WIDTH, HEIGHT)
RIGHT = Camera(30.0, 31.0, 21.5, 11.0, WIDTH, HEIGHT)
SEEDS = st.tuples(st.integers(0, 2**62), st.integers(0, 2**62))


def images(seed: int, *shape: int) -> tf.Tensor:
    values = np.random.default_rng(seed).random((*shape, HEIGHT, WIDTH, 3))
    return tf.constant(values, tf.float32)


def stereo_sample() -> dict[str, tf.Tensor]:
    return {
        "image": images(1),
        "stereo": images(2),
        "intrinsics": tf.constant(LEFT.matrix(), tf.float32),
        "stereo_intrinsics": tf.constant(RIGHT.matrix(), tf.float32),
        "baseline": tf.constant(0.5),
        "depth": 5 + 10 * images(3)[..., :1],
    }


def video_sample() -> dict[str, tf.Tensor]:
    angle = 0.1
    pose = np.eye(4)
    pose[:3, :3] = [
        [np.cos(angle), 0, np.sin(angle)],
        [0, 1, 0],
        [-np.sin(angle), 0, np.cos(angle)],
    ]
    pose[:3, 3] = 0.3, 0.05, -1.0
    return {
        "image": images(1),
        "sources": images(2, 2),
        "intrinsics": tf.constant(LEFT.matrix(), tf.float32),
        "depth": 5 + 10 * images(3)[..., :1],
        "T_sources_image": tf.constant(np.stack([pose, np.linalg.inv(pose)]), tf.float32),
    }


def seed(*numbers: int) -> tf.Tensor:
    return tf.constant(numbers or (3, 4), tf.int64)


def same(first: dict, second: dict, **tolerance: float) -> None:
    assert set(first) == set(second)
    for key in first:
        np.testing.assert_allclose(first[key], second[key], err_msg=key, **tolerance)


def test_a_stereo_flip_swaps_the_views():
    sample = stereo_sample()
    flipped = augment.flip_stereo(sample, seed(), probability=1.0)
    np.testing.assert_array_equal(flipped["image"], sample["stereo"][:, ::-1])
    np.testing.assert_array_equal(flipped["stereo"], sample["image"][:, ::-1])
    assert flipped["intrinsics"][0, 2] == WIDTH - 1 - RIGHT.cx
    assert flipped["stereo_intrinsics"][0, 2] == WIDTH - 1 - LEFT.cx
    assert flipped["baseline"] == 0.5
    assert not flipped["depth"].numpy().any()


def test_a_stereo_flip_keeps_disparity_positive():
    # A point shows at x in the left view and at x - d in the right one, before and after.
    left = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    right = left.copy()
    left[:, 20], right[:, 15] = 1, 1
    sample = {"image": tf.constant(left), "stereo": tf.constant(right)}
    flipped = augment.flip_stereo(sample, seed(), probability=1.0)
    at = [int(np.argmax(flipped[key][0, :, 0])) for key in ("image", "stereo")]
    assert at[0] - at[1] == 5


@hypothesis.given(SEEDS)
def test_flipping_twice_is_the_identity(numbers):
    sample = stereo_sample()
    del sample["depth"]
    once = augment.flip_stereo(sample, seed(*numbers), probability=1.0)
    same(augment.flip_stereo(once, seed(*numbers), probability=1.0), sample, atol=1e-5)
    sample = video_sample()
    once = augment.flip_sources(sample, seed(*numbers), probability=1.0)
    same(augment.flip_sources(once, seed(*numbers), probability=1.0), sample, atol=1e-5)


@pytest.mark.parametrize("flip", [augment.flip_stereo, augment.flip_sources])
def test_probability(flip):
    sample = stereo_sample() if flip is augment.flip_stereo else video_sample()
    same(flip(sample, seed(), probability=0.0), sample)
    changed = [
        not np.array_equal(flip(sample, seed(5, number))["image"], sample["image"])
        for number in range(200)
    ]
    assert 70 < sum(changed) < 130


def test_the_wrong_flip_is_refused():
    with pytest.raises(ValueError, match="flip_stereo"):
        augment.flip_sources(stereo_sample(), seed())
    with pytest.raises(ValueError, match="needs `stereo`"):
        augment.flip_stereo(video_sample(), seed())


def project(sample: dict, x: float, y: float) -> tuple[np.ndarray, np.ndarray]:
    """Where the sample's first source sees what the target sees at (x, y): point and pixel."""
    matrix = sample["intrinsics"].numpy().astype(np.float64)
    z = float(sample["depth"][int(y), int(x), 0])
    point = np.linalg.inv(matrix) @ [x, y, 1] * z
    moved = (sample["T_sources_image"][0].numpy() @ [*point, 1])[:3]
    pixel = matrix @ moved
    return point, pixel[:2] / pixel[2]


def test_a_flipped_video_is_the_mirrored_scene():
    sample = video_sample()
    flipped = augment.flip_sources(sample, seed(), probability=1.0)
    point, pixel = project(sample, 9, 13)
    other_point, other_pixel = project(flipped, WIDTH - 1 - 9, 13)
    np.testing.assert_allclose(other_point, point * [-1, 1, 1], rtol=1e-5)
    np.testing.assert_allclose(other_pixel, [WIDTH - 1 - pixel[0], pixel[1]], rtol=1e-5)


def test_colours_change_alike_in_all_images():
    sample = video_sample()
    changed = augment.colour_multiply(sample, seed(), 0.8, 1.2)
    factor = changed["image"].numpy().min((0, 1)) / sample["image"].numpy().min((0, 1))
    assert len(np.unique(factor)) == 3 and (factor >= 0.8).all() and (factor <= 1.2).all()
    expected = np.clip(sample["sources"].numpy() * factor, 0, 1)
    np.testing.assert_allclose(changed["sources"], expected, rtol=1e-5)
    np.testing.assert_array_equal(changed["depth"], sample["depth"])


def test_colour_jitter_of_monodepth():
    sample = stereo_sample()
    same(augment.colour_jitter(sample, seed(), probability=0.0), sample)
    changed = augment.colour_jitter(sample, seed(), probability=1.0)
    assert 0 <= changed["image"].numpy().min() and changed["image"].numpy().max() <= 1
    # log(out) = gamma log(in) + log(factor) wherever nothing was clipped, equal in both views.
    for channel in range(3):
        fits = []
        for key in ("image", "stereo"):
            before = sample[key].numpy()[..., channel].ravel()
            after = changed[key].numpy()[..., channel].ravel()
            kept = (after < 1) & (before > 0.01)
            fits.append(np.polyfit(np.log(before[kept]), np.log(after[kept]), 1))
        np.testing.assert_allclose(fits[0], fits[1], rtol=1e-3)
        assert 0.8 <= fits[0][0] <= 1.2


def ramp(camera: Camera) -> tf.Tensor:
    """An image that shows, at every pixel, the direction of its ray: (X/Z, Y/Z, 1)."""
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    rays = np.stack([(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy, np.ones_like(x)], -1)
    return tf.constant(rays, tf.float32)


@hypothesis.given(SEEDS, st.booleans())
def test_intrinsics_follow_zoom_and_crop(numbers, common):
    sample = {
        "image": ramp(LEFT),
        "stereo": ramp(RIGHT),
        "sources": tf.stack([ramp(LEFT)] * 2),
        "intrinsics": tf.constant(LEFT.matrix(), tf.float32),
        "stereo_intrinsics": tf.constant(RIGHT.matrix(), tf.float32),
    }
    zoomed = augment.scale_crop(sample, seed(*numbers), 1.0, 1.6, common=common)
    for key, matrix in (("image", "intrinsics"), ("stereo", "stereo_intrinsics")):
        camera = Camera.from_matrix(zoomed[matrix].numpy(), WIDTH, HEIGHT)
        # Away from the border, where bilinear interpolation extrapolates nothing.
        got, expected = zoomed[key].numpy()[2:-2, 2:-2], ramp(camera).numpy()[2:-2, 2:-2]
        np.testing.assert_allclose(got, expected, atol=1e-3)
    np.testing.assert_array_equal(zoomed["sources"][1], zoomed["image"])


@pytest.mark.parametrize("low", [1.0, 1.3])
def test_zoom_range_and_shape(low):
    sample = video_sample()
    for number in range(30):
        zoomed = augment.scale_crop(sample, seed(1, number), low, 1.6)
        scale = zoomed["intrinsics"].numpy()[[0, 1], [0, 1]] / [LEFT.fx, LEFT.fy]
        assert (scale >= low - 0.5 / HEIGHT).all() and (scale <= 1.6 + 0.5 / HEIGHT).all()
        assert {key: value.shape for key, value in zoomed.items()} == {
            key: value.shape for key, value in sample.items()
        }
        # Depth is taken from the nearest pixel, never made up.
        known = set(np.unique(sample["depth"]))
        assert set(np.unique(zoomed["depth"])) <= known
    same(augment.scale_crop(sample, seed(), 1.0, 1.0), sample, atol=1e-6)


def test_depth_divided_by_the_zoom():
    sample = video_sample()
    plain = augment.scale_crop(sample, seed(), 1.2, 1.5, common=True)
    divided = augment.scale_crop(sample, seed(), 1.2, 1.5, common=True, divide_depth=True)
    zooms = (plain["depth"] / divided["depth"]).numpy()
    zoom = float(zooms[0, 0, 0])
    np.testing.assert_allclose(zooms, zoom, rtol=1e-5)
    assert 1.2 <= zoom <= 1.5
    # Closer by the zoom, or a longer lens: the same picture, so the same pixel for a point.
    np.testing.assert_allclose(plain["intrinsics"][0, 0] / zoom, LEFT.fx, rtol=0.03)
    assert divided["intrinsics"][0, 0] == LEFT.fx
    np.testing.assert_array_equal(divided["intrinsics"][:, 2], plain["intrinsics"][:, 2])
    np.testing.assert_array_equal(divided["image"], plain["image"])


def test_arguments_of_the_zoom():
    for low, high in ((0.9, 1.2), (1.4, 1.2)):
        with pytest.raises(ValueError, match="zoom"):
            augment.scale_crop(video_sample(), seed(), low, high)
    with pytest.raises(ValueError, match="common"):
        augment.scale_crop(video_sample(), seed(), 1.0, 1.2, divide_depth=True)


def everything(sample: dict, numbers: tf.Tensor) -> dict:
    sample = augment.flip_sources(sample, numbers)
    sample = augment.colour_multiply(sample, numbers, 0.9, 1.1)
    sample = augment.colour_jitter(sample, numbers)
    return augment.scale_crop(sample, numbers, 1.0, 1.5)


def test_equal_seeds_give_equal_samples_in_a_graph_and_without():
    sample = video_sample()
    first = everything(sample, seed(7, 8))
    same(everything(sample, seed(7, 8)), first)
    same(tf.function(everything)(sample, seed(7, 8)), first, atol=1e-6)
    assert not np.array_equal(everything(sample, seed(7, 9))["image"], first["image"])


def test_one_seed_serves_all_functions_independently():
    flips, factors = [], []
    for number in range(200):
        sample = {"image": tf.concat([tf.zeros([4, 4, 3]), 0.5 * tf.ones([4, 4, 3])], 1)}
        flips.append(float(augment.flip_sources(sample, seed(1, number))["image"][0, 0, 0]) > 0)
        coloured = augment.colour_multiply(sample, seed(1, number), 0.8, 1.2)
        factors.append(coloured["image"][0, -1].numpy())
    correlation = np.corrcoef(np.column_stack([flips, factors]).T)[0, 1:]
    assert np.abs(correlation).max() < 0.25


def depth_sample() -> dict[str, tf.Tensor]:
    return {"image": images(1), "depth": 5 + 10 * images(3)[..., :1], "index": tf.constant(7)}


@pytest.mark.parametrize("number", range(5))
def test_a_turned_picture_and_its_depth(number):
    sample = depth_sample()
    # The angle, found from where a ramp's values come from.
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    ramps = tf.constant(np.stack([x, y, np.ones_like(x)], -1), tf.float32)
    come_from = augment.rotate({"image": ramps}, seed(number, 2), 20.0)["image"].numpy()
    middle = np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2])
    here = np.stack([x, y], -1) - middle
    inner = (abs(here[..., 0]) < 9) & (abs(here[..., 1]) < 9)
    there = come_from[..., :2][inner] - middle
    fit = np.linalg.lstsq(here[inner], there, rcond=None)[0]
    angle = np.arctan2(fit[1, 0], fit[0, 0])
    turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    np.testing.assert_allclose(fit, turned, atol=1e-4)
    assert 1e-3 < abs(angle) <= np.radians(20)

    result = augment.rotate(sample, seed(number, 2), 20.0)
    exact = here @ turned + middle
    at = np.floor(exact + 0.5).astype(int)
    inside = ((at >= 0) & (at < [WIDTH, HEIGHT])).all(-1)
    certain = (abs(exact + 0.5 - np.round(exact + 0.5)) > 1e-3).all(-1)
    column, row = np.clip(at, 0, [WIDTH - 1, HEIGHT - 1]).transpose(2, 0, 1)
    expected = np.where(inside, sample["depth"].numpy()[row, column, 0], 0)
    np.testing.assert_array_equal(result["depth"].numpy()[..., 0][certain], expected[certain])
    assert certain.mean() > 0.98 and inside.mean() > 0.7
    assert abs(angle) < 0.05 or not inside.all()
    assert result["image"].shape == sample["image"].shape
    assert result["image"].numpy().min() >= 0 and result["image"].numpy().max() <= 1
    assert result["index"] == 7


def test_turning_by_nothing_is_the_identity():
    same(augment.rotate(depth_sample(), seed(), 0.0), depth_sample(), atol=1e-6)


def test_what_depends_on_how_the_camera_is_held_is_not_turned():
    for sample in (video_sample(), stereo_sample()):
        with pytest.raises(ValueError, match="rotate"):
            augment.rotate(sample, seed(), 5.0)


@hypothesis.given(SEEDS)
def test_a_translated_picture_has_a_random_window_in_its_middle(numbers):
    rows, columns = 19, 36  # 5 and 4 less than the picture
    sample = {**video_sample(), "image": ramp(LEFT)}
    moved = augment.translate(sample, seed(*numbers), rows, columns)
    assert {k: v.shape for k, v in moved.items()} == {k: v.shape for k, v in sample.items()}
    window = slice(2, 2 + rows), slice(2, 2 + columns)
    camera = Camera.from_matrix(moved["intrinsics"].numpy(), WIDTH, HEIGHT)
    np.testing.assert_allclose(moved["image"][window], ramp(camera).numpy()[window], atol=1e-5)
    y, x = int(round(LEFT.cy - camera.cy)), int(round(LEFT.cx - camera.cx))
    assert -2 <= y <= 3 and -2 <= x <= 2
    whole = slice(2 + y, 2 + y + rows), slice(2 + x, 2 + x + columns)
    np.testing.assert_array_equal(moved["depth"][window], sample["depth"].numpy()[whole])
    np.testing.assert_array_equal(
        moved["sources"].numpy()[(slice(None), *window)],
        sample["sources"].numpy()[(slice(None), *whole)],
    )
    # Depth that comes in from outside is not measured.
    assert (moved["depth"].numpy() == 0).sum() == HEIGHT * WIDTH - (HEIGHT - abs(y)) * (
        WIDTH - abs(x)
    )


def test_a_window_larger_than_the_picture():
    with pytest.raises(ValueError, match="must fit"):
        augment.translate(video_sample(), seed(), HEIGHT + 1, WIDTH)
