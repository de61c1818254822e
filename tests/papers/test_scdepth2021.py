"""SC-Depth: losses against the release's numbers, the other two codes against NumPy, masks, options.

The networks are compared with the release's in `tests/releases/test_torch_releases.py`.
"""

import dataclasses

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

tf = pytest.importorskip("tensorflow")

from kdepth.errors import UserError  # noqa: E402
from kdepth.geometry import pose  # noqa: E402
from kdepth.papers import create, scdepth2021  # noqa: E402
from kdepth.papers.scdepth2021 import VARIANTS, compare_views  # noqa: E402

SMALL = {"height": 96, "image_width": 128, "width": 0.05}
RELEASE = VARIANTS["release"]


def count(part):
    """Parameters without the statistics of batch norm, as torch counts them."""
    return sum(int(np.prod(v.shape)) for v in part.weights if "moving" not in v.name)


def texture(size, height, width, seed=0):
    """Smooth random images in [0, 1]."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((size, height // 8, width // 8, 3)).astype(np.float32)
    return tf.image.resize(coarse, (height, width), "bicubic").numpy().clip(0.05, 0.95)


def scene(size=2, height=96, width=128, seed=0):
    """A batch, and depths and poses for it as the networks might give them."""
    rng = np.random.default_rng(seed)
    images = texture(3 * size, height, width, seed).reshape(size, 3, height, width, 3)
    intrinsics = np.array([[80.0, 0, 63.0], [0, 85.0, 47.0], [0, 0, 1]], np.float32)
    batch = {
        "image": images[:, 0],
        "sources": images[:, 1:],
        "intrinsics": np.stack([intrinsics] * size),
        "index": np.arange(size),
    }
    depth = 1.0 + 4.0 * texture(3 * size, height, width, seed + 1)[..., :1]
    outputs = {
        "depth": depth.reshape(size, 3, height, width, 1),
        "pose": rng.normal(0, 0.05, (size, 4, 6)).astype(np.float32),
    }
    return batch, outputs


@pytest.fixture(scope="module")
def plain():
    """A small model with default options, which no test changes."""
    return create("scdepth", **SMALL)


def losses(model, batch, outputs):
    return {k: float(model._reduce(t)) for k, t in model.loss_terms(batch, outputs).items()}


# -- networks ----------------------------------------------------------------------------------------------------------


def test_networks_have_the_sizes_and_counts_of_the_release():
    model = create("scdepth")
    depth, motion = model.parts()["depth"], model.parts()["pose"]
    assert count(depth) == 14_329_236 and count(motion) == 12_498_950
    assert [tuple(x.shape[1:]) for x in depth.outputs] == [
        (256, 832, 1),
        (128, 416, 1),
        (64, 208, 1),
        (32, 104, 1),
    ]
    assert tuple(motion.outputs[0].shape[1:]) == (6,)
    encoder = [v for v in depth.weights if "encoder_" in (getattr(v, "path", "") or v.name)]
    assert sum(int(np.prod(v.shape)) for v in encoder if "moving" not in v.name) == 11_176_512
    # An inverse depth of 5.01 where the last layer says 0.
    assert model.output_bounds == (0.01, 10.01)


def test_resnet50_has_the_counts_of_the_release():
    depth = scdepth2021.build_depth_network(64, 96, 50)
    assert count(depth) == 32_522_132
    head = ("upconv", "dispconv")
    assert sum(count(layer) for layer in depth.layers if layer.name.startswith(head)) == 9_014_100


def test_only_the_heads_that_no_loss_sees_are_frozen(plain):
    frozen = set()
    for part in plain.parts().values():
        for layer in part.layers:
            if layer.weights and not layer.trainable_weights:
                frozen.add(layer.name)
    assert frozen == {"dispconv1", "dispconv2", "dispconv3"}


def test_bilinear_up_sampling_continues_the_border():
    import keras

    image = keras.Input((3, 4, 2))
    x = np.random.default_rng(0).random((1, 3, 4, 2)).astype(np.float32)
    found = keras.Model(image, scdepth2021.up2(image, "bilinear", "up"))(x)
    np.testing.assert_allclose(found, tf.image.resize(x, (6, 8), "bilinear"), atol=1e-6)


# -- the release's losses ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def released(golden):
    """The golden scene as a batch, what networks would have said, and the golden numbers."""
    data = np.load(golden / "scdepth_losses.npz", allow_pickle=False)
    images = [data[k] * 0.225 + 0.45 for k in ("target", "ref0", "ref1")]
    batch = {
        "image": images[0],
        "sources": np.stack(images[1:], 1),
        "intrinsics": data["intrinsics"],
    }
    outputs = {
        "depth": np.stack([data[k] for k in ("target_depth", "ref_depth0", "ref_depth1")], 1),
        "pose": np.stack([data[k] for k in ("pose0", "pose1", "pose_inv0", "pose_inv1")], 1),
    }
    return data, batch, outputs


def test_warp_equals_the_release(released):
    data, batch, outputs = released
    views = compare_views(
        data["target"],
        data["ref0"],
        data["target_depth"],
        data["ref_depth0"],
        pose.from_vector(tf.constant(data["pose0"])),
        data["intrinsics"],
        RELEASE,
    )
    for found, name in (
        (views.warped, "warped_ref0"),
        (views.valid, "valid_ref0"),
        (views.sampled_depth, "projected_depth_ref0"),
        (views.computed_depth, "computed_depth_ref0"),
    ):
        assert np.abs(found - data[name]).max() < 1e-4 * np.ptp(data[name]), name


@pytest.mark.parametrize("auto_mask", [False, True])
@pytest.mark.parametrize("self_mask", [False, True])
@pytest.mark.parametrize("ssim", [False, True])
def test_losses_equal_the_release(released, ssim, self_mask, auto_mask):
    data, batch, outputs = released
    model = create("scdepth", ssim=ssim, self_mask=self_mask, auto_mask=auto_mask, **SMALL)
    found = losses(model, batch, outputs)
    name = f"ssim{ssim:d}_mask{self_mask:d}_auto{auto_mask:d}"
    np.testing.assert_allclose(found["photometric"], data[f"photo_{name}"], rtol=1e-4)
    np.testing.assert_allclose(found["geometry"], data[f"geometry_{name}"], rtol=1e-4)
    np.testing.assert_allclose(found["smooth"], data["smooth"], rtol=1e-4)


def test_total_and_gradients_equal_the_release(released, plain):
    data, batch, outputs = released
    model = plain
    assert model.term_weights == {"photometric": 1.0, "smooth": 0.1, "geometry": 0.5}
    gradients = {}
    # The release's float32 is off by up to 0.95e-4 of the range where a coordinate is near an
    # integer; so that our own rounding does not come on top, it is compared in float64.
    for kind in (np.float32, np.float64):
        wide = {name: tf.constant(value.astype(kind)) for name, value in batch.items()}
        depth, motion = (tf.Variable(outputs[name].astype(kind)) for name in ("depth", "pose"))
        with tf.GradientTape() as tape:
            terms = model.loss_terms(wide, {"depth": depth, "pose": motion})
            total = sum(
                weight * model._reduce(terms[k]) for k, weight in model.term_weights.items()
            )
        gradients[kind] = tape.gradient(total, (depth, motion))
        np.testing.assert_allclose(total, data["total_w1_s0p1_c0p5"], rtol=1e-4)
    for index, name in enumerate(("grad_target_depth", "grad_pose0")):
        narrow, wide = (gradients[kind][index][:, 0].numpy() for kind in gradients)
        assert np.abs(wide - data[name]).max() < 1e-4 * np.ptp(data[name]), name
        assert np.abs(narrow - wide).max() < 1e-4 * np.ptp(data[name]), name


def test_terms_are_ratios_of_sums_over_the_batch():
    """One example looks past the other image's border for the most part, so the two means differ."""
    batch, outputs = scene()
    outputs["pose"][:] = 0.0
    outputs["pose"][0, :, 0] = 2.4
    model = create("scdepth", auto_mask=False, **SMALL)
    terms = model.loss_terms(batch, outputs)
    for name in ("photometric", "geometry"):
        assert len(terms[name]) == 4
        sums, means = 0.0, 0.0
        for term in terms[name]:
            numerator, denominator = (np.asarray(x, np.float64) for x in term)
            assert denominator[1] >= 2 * denominator[0] > 0
            sums += numerator.sum() / denominator.sum()
            means += np.mean(numerator / denominator)
        np.testing.assert_allclose(model._reduce(terms[name]), sums, rtol=1e-5)
        assert abs(sums - means) > 3e-3 * abs(sums), name


def test_few_valid_pixels_count_as_nothing_and_teach_nothing():
    batch, outputs = scene()
    outputs["pose"][..., 0] = 6.0  # almost everything lies past the border
    for fewest, nothing in ((None, True), (0, False)):
        model = create("scdepth", auto_mask=False, fewest_pixels=fewest, **SMALL)
        depth = tf.Variable(outputs["depth"])
        with tf.GradientTape() as tape:
            terms = model.loss_terms(batch, {**outputs, "depth": depth})
            total = model._reduce(terms["photometric"]) + model._reduce(terms["geometry"])
        gradient = tape.gradient(total, depth)
        assert 0 < max(float(np.sum(t.denominator)) for t in terms["photometric"]) < 10_000
        assert (float(total) == 0.0) == nothing
        assert (not np.any(gradient)) == nothing
    assert [v.fewest_pixels for v in VARIANTS.values()] == [10_000, 0, 100]


# -- the other two codes, against NumPy --------------------------------------------------------------------------------


def numpy_sample(image, x, y):
    """Bilinear, taps outside count as 0."""
    height, width, _ = image.shape
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    result = np.zeros((*x.shape, image.shape[-1]))
    for dy in (0, 1):
        for dx in (0, 1):
            column, row = left + dx, top + dy
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            weight = np.abs(1 - dx - (x - left)) * np.abs(1 - dy - (y - top)) * inside
            result += weight[..., None] * image[row.clip(0, height - 1), column.clip(0, width - 1)]
    return result


def numpy_ssim_distance(a, b, weights, mode):
    half = len(weights) // 2
    border = ((half, half), (half, half), (0, 0))

    def mean(x):
        windows = sliding_window_view(x, weights.shape, axis=(0, 1))
        return (windows * weights).sum((-2, -1))

    a, b = np.pad(a, border, mode), np.pad(b, border, mode)
    mean_a, mean_b = mean(a), mean(b)
    variances = mean(a * a) - mean_a**2 + mean(b * b) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    similarity = (2 * mean_a * mean_b + 1e-4) * (2 * covariance + 9e-4)
    similarity /= (mean_a**2 + mean_b**2 + 1e-4) * (variances + 9e-4)
    return np.clip((1 - similarity) / 2, 0, 1)


def numpy_pair(variant, target, other, depth, other_depth, vector, intrinsics):
    """Photometric map, colour difference, D_diff and mask of one directed pair, float64, as that code has them."""
    height, width, _ = target.shape
    motion = pose.from_vector(vector.astype(np.float64))
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([columns, rows, np.ones_like(rows)], -1).astype(np.float64)
    points = depth * (pixels @ np.linalg.inv(intrinsics).T)
    points = (points @ motion[:3, :3].T + motion[:3, 3]) @ intrinsics.T
    z = points[..., 2:]
    divisor = z + 1e-7 if variant == "lightning" else np.maximum(z, 1e-3)
    x, y = (points[..., i] / divisor[..., 0] for i in (0, 1))
    inside = ((x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1))[..., None]
    warped, sampled = numpy_sample(other, x, y), numpy_sample(other_depth, x, y)
    colours = np.abs(target - warped)
    if variant == "lightning":
        valid = np.abs(warped).mean(-1, keepdims=True) > 1e-3
        valid &= np.abs(target).mean(-1, keepdims=True) > 1e-3
        valid &= colours.mean(-1, keepdims=True) < np.abs(target - other).mean(-1, keepdims=True)
        difference = np.abs(z - sampled) / (z + sampled)
        ssim = numpy_ssim_distance(target, warped, np.full((7, 7), 1 / 49), "reflect")
        photometric = (0.15 * colours.clip(0, 1) + 0.85 * ssim).mean(-1, keepdims=True)
    else:
        warped, sampled = warped * inside, np.maximum(sampled * inside, 1e-3)
        colours, valid = np.abs(target - warped), inside
        difference = (np.abs(divisor - sampled) / (divisor + sampled)).clip(0, 1)
        taps = np.exp(-((np.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
        weights = np.outer(taps, taps) / taps.sum() ** 2
        photometric = 0.15 * colours + 0.85 * numpy_ssim_distance(
            target, warped, weights, "constant"
        )
    photometric = photometric * (1 - difference)
    return photometric, colours.mean(-1, keepdims=True), difference, valid


def numpy_smooth(depth, image, normalise):
    depth = depth / (depth.mean() + 1e-7) if normalise else depth
    total = 0.0
    for axis in (0, 1):
        edges = np.abs(np.diff(image, axis=axis)).mean(-1, keepdims=True)
        total += (np.abs(np.diff(depth, axis=axis)) * np.exp(-edges)).mean()
    return total


@pytest.mark.parametrize("variant", ["neurips", "lightning"])
def test_losses_of_the_other_codes_equal_numpy(variant):
    model = create("scdepth", variant=variant, **SMALL)
    batch, outputs = scene(seed=4)
    mean, std = (0.5, 0.5) if variant == "neurips" else (0.45, 0.225)
    frames = np.concatenate([batch["image"][:, None], batch["sources"]], 1)
    frames = (frames.astype(np.float64) - mean) / std
    depths = outputs["depth"].astype(np.float64)
    pairs = [(0, 1), (0, 2), (1, 0), (2, 0)]
    maps = [  # [pair][example][map]
        [
            numpy_pair(
                variant,
                frames[n, a],
                frames[n, b],
                depths[n, a],
                depths[n, b],
                outputs["pose"][n, i],
                batch["intrinsics"][n].astype(np.float64),
            )
            for n in range(2)
        ]
        for i, (a, b) in enumerate(pairs)
    ]
    photometric, colours, difference, valid = (
        np.array([[example[k] for example in pair] for pair in maps], np.float64) for k in range(4)
    )
    if variant == "lightning":
        best = colours.argmin(0)[None]
        photometric, difference, valid = (
            np.take_along_axis(x, best, 0) for x in (photometric, difference, valid)
        )
        assert len(np.unique(best)) == 4  # every pair wins somewhere

    def mean_on_mask(x):
        mask = np.broadcast_to(valid, x.shape)
        return sum((a * m).sum() / m.sum() for a, m in zip(x, mask))

    smoothed = range(1 if variant == "lightning" else 3)
    smooth = np.mean(
        [
            sum(numpy_smooth(depths[n, i], frames[n, i], variant == "lightning") for i in smoothed)
            for n in range(2)
        ]
    )
    found = losses(model, batch, outputs)
    np.testing.assert_allclose(found["photometric"], mean_on_mask(photometric), rtol=1e-4)
    np.testing.assert_allclose(found["geometry"], mean_on_mask(difference), rtol=1e-4)
    np.testing.assert_allclose(found["smooth"], smooth, rtol=1e-4)
    weights = {"photometric": 1.0, "smooth": 0.1, "geometry": 0.5}
    assert model.term_weights == {
        **weights,
        **({"geometry": 0.1} if variant == "lightning" else {}),
    }
    assert model.stages[0].epochs == (100 if variant == "lightning" else 200)


@pytest.mark.parametrize("detached", [False, True])
def test_a_detached_self_mask_lets_no_gradient_into_the_other_depth(detached):
    """The warped image does not depend on the other view's depth, so M_s is the only way there."""
    assert [v.detach_self_mask for v in VARIANTS.values()] == [False, False, True]
    batch, outputs = scene()
    model = create("scdepth", **SMALL)
    model.choices = dataclasses.replace(model.choices, detach_self_mask=detached)
    depth = tf.Variable(outputs["depth"])
    with tf.GradientTape() as tape:
        term = model.loss_terms(batch, {**outputs, "depth": depth})["photometric"][0]
        total = model._reduce(term)
    gradient = tape.gradient(total, depth)
    assert np.any(gradient[:, 0]) and np.any(gradient[:, 1]) == (not detached)


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_gradients_are_finite_everywhere(variant):
    """Behind the camera, on its plane, far outside the image, and at depths of both bounds."""
    batch, outputs = scene()
    rng = np.random.default_rng(0)
    depth = rng.choice([1 / 10.01, 0.5, 1.0, 1 / 0.01], outputs["depth"].shape).astype(np.float32)
    motion = outputs["pose"].copy()
    motion[0, 0] = (0, 0, -1.0, 0, 0, 0)  # points at depth 1 have z = 0 exactly
    motion[0, 1] = (1e6, 0, 0, 0, 0, 0)
    motion[1, 2] = (0, 0, -3.0, 0, 3.0, 0)
    model = create("scdepth", variant=variant, fewest_pixels=0, auto_mask=False, **SMALL)
    depth, motion = tf.Variable(depth), tf.Variable(motion)
    with tf.GradientTape() as tape:
        terms = model.loss_terms(batch, {"depth": depth, "pose": motion})
        total = sum(model._reduce(term) for term in terms.values())
    assert np.isfinite(float(total))
    for gradient in tape.gradient(total, (depth, motion)):
        assert np.isfinite(gradient).all()


# -- masks and motion of a model whose networks say what a test wants --------------------------------------------------


def says(model, depth, vector):
    """Makes the networks answer one depth everywhere and one pose vector."""
    share = (1.0 / depth - 0.01) / 10.0
    for part, name, bias in (
        ("depth", "dispconv0", np.log(share / (1 - share)) * np.ones(1)),
        ("pose", "pose2", np.asarray(vector) / 0.01),
    ):
        layer = model.parts()[part].get_layer(name)
        layer.set_weights([np.zeros_like(layer.get_weights()[0]), bias.astype(np.float32)])
    return model


def wall(moves):
    """A wall at depth 8, a camera (fx = 80) that moves right by 0.4 for the second source: 4 pixels."""
    wide = texture(1, 96, 160)
    image, moved = wide[:, :, 16:144], wide[:, :, 20:148]
    batch, _ = scene(1)
    return {**batch, "image": image, "sources": np.stack([image, moved if moves else image], 1)}


def test_masks_of_a_wall_that_a_moving_camera_sees():
    model = says(create("scdepth", **SMALL), 8.0, (-0.4, 0, 0, 0, 0, 0))
    found = {k: np.asarray(v) for k, v in model.masks(wall(True), source=1).items()}
    shapes = {k: v.shape for k, v in found.items()}
    assert shapes.pop("warped") == (1, 96, 128, 3)
    assert set(shapes.values()) == {(1, 96, 128, 1)}
    assert shapes.keys() == {"valid", "self", "auto"}
    # The left 4 columns lie past the border of the moved image; the rest is where it was.
    assert not found["valid"][:, :, :4].any()
    inside = (slice(None), slice(1, -1), slice(5, None))
    assert found["valid"][inside].all()
    np.testing.assert_allclose(found["warped"][inside], wall(True)["image"][inside], atol=1e-3)
    np.testing.assert_allclose(found["self"][inside], 1.0, atol=1e-4)
    assert found["auto"][inside].mean() > 0.99


def test_auto_mask_rejects_what_looks_static():
    model = says(create("scdepth", **SMALL), 8.0, (-0.4, 0, 0, 0, 0, 0))
    found = model.masks(wall(False), source=1)
    assert not np.any(found["auto"])
    assert float(model._reduce(model.loss_terms(wall(False), model(wall(False)))["geometry"])) == 0


def test_self_mask_falls_where_the_depths_disagree(plain):
    batch, outputs = scene(1)
    flat = np.full((1, 96, 128, 1), 4.0, np.float32)
    other = flat.copy()
    other[:, 40:60, 30:90] = 2.0
    image = plain.normalise(batch["image"])
    still = np.eye(4, dtype=np.float32)[None]
    views = compare_views(image, image, flat, other, still, batch["intrinsics"], RELEASE)
    wanted = np.ones_like(flat)
    wanted[:, 40:60, 30:90] = 1 - abs(4 - 2) / (4 + 2)
    inside = (slice(None), slice(1, -1), slice(1, -1))  # rounding decides about the border
    np.testing.assert_allclose(views.self_mask[inside], wanted[inside], atol=1e-5)
    np.testing.assert_allclose(views.depth_difference[inside], 1 - wanted[inside], atol=1e-5)


def test_tensorboard_gets_the_masks(plain):
    batch, _ = scene()
    pictures = plain.picture_outputs(batch)
    assert pictures.keys() == {"inverse_depth", "mask_valid", "mask_self", "mask_auto", "warped"}
    assert all(len(np.shape(x)) == 4 for x in pictures.values())


@pytest.mark.parametrize("rotation", pose.ROTATIONS)
def test_predicted_motion_is_the_networks_from_frame_to_frame(rotation):
    vector = np.array([0.03, -0.01, -0.4, 0.2, -0.3, 0.1])
    model = says(create("scdepth", rotation=rotation, **SMALL), 8.0, vector)
    frames = np.repeat(texture(2, 96, 128)[:, None], 4, axis=1)
    found = model.predict_pose(frames)
    wanted = pose.from_vector(vector, rotation)
    assert found.shape == (2, 3, 4, 4)
    np.testing.assert_allclose(found, np.broadcast_to(wanted, found.shape), atol=1e-5)


def test_the_second_pose_starts_at_the_source(plain):
    """forward() asks pose(target, source) and pose(source, target), which is no inverse of the first."""
    model = plain
    batch, _ = scene()
    found = np.asarray(model.forward(batch, training=False)["pose"])
    for index, (a, b) in enumerate([(0, 1), (0, 2), (1, 0), (2, 0)]):
        frames = np.concatenate([batch["image"][:, None], batch["sources"]], 1)
        stacked = np.concatenate([frames[:, a], frames[:, b]], -1)
        np.testing.assert_allclose(
            found[:, index], model.pose_outputs(stacked)["pose"][:, 0], atol=1e-6
        )


def test_joint_calls_change_batch_norm_in_training_only():
    batch, _ = scene()
    outputs = {}
    for joint in (False, True):
        model = create("scdepth", joint_calls=joint, seed=3, **SMALL)
        outputs[joint] = [model.forward(batch, training) for training in (False, True)]
    for name in ("depth", "pose"):
        apart, together = (np.asarray(outputs[joint][0][name]) for joint in (False, True))
        np.testing.assert_allclose(apart, together, rtol=1e-4, atol=1e-6)
        apart, together = (np.asarray(outputs[joint][1][name]) for joint in (False, True))
        assert np.abs(apart - together).max() > 1e-4 * np.abs(apart).max()


# -- augmentation, options ---------------------------------------------------------------------------------------------


def test_augmentation_changes_all_frames_and_the_camera_alike(plain):
    image = np.full((96, 128, 3), 0.1, np.float32)
    image[46:49, 29:32] = 1.0  # around the principal point
    intrinsics = np.array([[80.0, 0, 30.0], [0, 85.0, 47.0], [0, 0, 1]], np.float32)
    sample = {"image": image, "sources": np.stack([image, image]), "intrinsics": intrinsics}
    sample = {k: tf.constant(v) for k, v in sample.items()}
    zooms, flips = [], 0
    for seed in range(12):
        found = {k: v.numpy() for k, v in plain.augment(sample, tf.constant([seed, 1])).items()}
        for source in found["sources"]:
            np.testing.assert_array_equal(source, found["image"])
        matrix = found["intrinsics"]
        zooms.append((matrix[0, 0] / 80, matrix[1, 1] / 85))
        flips += matrix[0, 2] > 64
        bright = np.argwhere(found["image"][..., 0] > 0.7)
        if len(bright):
            np.testing.assert_allclose(bright.mean(0)[::-1], matrix[:2, 2], atol=1.0)
    zooms = np.array(zooms)
    assert 0.99 < zooms.min() and 1.1 < zooms.max() < 1.16 and (zooms[:, 0] != zooms[:, 1]).any()
    assert 2 <= flips <= 10


def test_a_mirrored_sample_costs_the_same(plain):
    """Images, depths, cameras and motions mirrored: x -> -x flips tx, ry and rz."""
    batch, outputs = scene()
    mirrored = {k: v[..., ::-1, :] for k, v in batch.items() if k in ("image", "sources")}
    intrinsics = batch["intrinsics"].copy()
    intrinsics[:, 0, 2] = 127 - intrinsics[:, 0, 2]
    signs = np.array([-1, 1, 1, 1, -1, -1], np.float32)
    other = {"depth": outputs["depth"][..., ::-1, :], "pose": outputs["pose"] * signs}
    found = losses(plain, {**mirrored, "intrinsics": intrinsics}, other)
    wanted = losses(plain, batch, outputs)
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4)


def test_ablations_are_the_papers_own(plain):
    ablations = scdepth2021.SCDepth.ablations
    assert ablations.keys() == {"no_geometry", "no_ms", "no_ma"}
    batch, outputs = scene()
    full = losses(plain, batch, outputs)
    models = {name: create("scdepth", **options, **SMALL) for name, options in ablations.items()}
    assert models["no_geometry"].term_weights == {**plain.term_weights, "geometry": 0.0}
    without_ms = losses(models["no_ms"], batch, outputs)
    assert without_ms["photometric"] > full["photometric"]
    assert without_ms["geometry"] == full["geometry"]
    without_ma = models["no_ma"].loss_terms(batch, outputs)
    for name in ("photometric", "geometry"):
        for fewer, more in zip(plain.loss_terms(batch, outputs)[name], without_ma[name]):
            assert np.all(np.asarray(fewer.denominator) < np.asarray(more.denominator))


def test_weights_are_options():
    model = create(
        "scdepth", photometric_weight=2.0, smooth_weight=0.0, geometry_weight=0.3, **SMALL
    )
    assert model.term_weights == {"photometric": 2.0, "smooth": 0.0, "geometry": 0.3}


@pytest.mark.parametrize(
    "options, message",
    [
        ({"variant": "v2"}, "variant must be one of release, neurips, lightning"),
        ({"encoder": "vgg"}, "encoder must be one of resnet18, resnet50"),
        ({"rotation": "quaternion"}, "rotation must be one of"),
        ({"width": 0.0}, "width must be > 0"),
        ({"height": 100}, "multiples of 32, at least 64; received 100x128"),
        ({"height": 32}, "multiples of 32, at least 64; received 32x128"),
        ({"smooth_weight": -1.0}, "smooth must not be negative"),
        ({"imagenet": "download"}, "no ImageNet weights of resnet18; give the path"),
        ({"imagenet": "download", "encoder": "resnet50"}, "imagenet needs width 1"),
        ({"smooth_wieght": 1.0}, "did you mean 'smooth_weight'"),
    ],
)
def test_options_that_cannot_be_used_are_named(options, message):
    with pytest.raises(UserError, match=message):
        create("scdepth", **{**SMALL, **options})
