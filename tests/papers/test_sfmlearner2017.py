"""SfMLearner 2017: sizes and counts of both networks, golden losses and gradients, options.

The released networks' outputs are compared in `tests/releases/test_sfmlearner.py`.
"""

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

import keras  # noqa: E402

from kdepth import backend  # noqa: E402
from kdepth.data.augment import scale_crop  # noqa: E402
from kdepth.errors import UserError  # noqa: E402
from kdepth.geometry import pose  # noqa: E402
from kdepth.geometry.warp import inverse_warp  # noqa: E402
from kdepth.papers import create, sfmlearner2017  # noqa: E402

SMALL = {"height": 32, "image_width": 64, "width": 0.1}


def batch_of(size=2, sources=2, height=32, width=64, seed=0):
    """Smooth random pictures that shift by two pixels from frame to frame."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((size, height // 8, width // 8 + 2, 3)).astype(np.float32)
    wide = tf.image.resize(coarse, (height, width + 16), "bicubic").numpy().clip(0, 1)
    frames = [wide[:, :, 2 * k : 2 * k + width] for k in range(sources + 1)]
    target = frames.pop(sources // 2)
    intrinsics = [[0.58 * width, 0, 0.49 * width], [0, 0.58 * width, 0.48 * height], [0, 0, 1]]
    return {
        "image": target,
        "sources": np.stack(frames, 1),
        "intrinsics": np.tile(np.float32(intrinsics), (size, 1, 1)),
        "index": np.arange(size),
    }


def as_tensors(batch):
    return {key: tf.convert_to_tensor(value) for key, value in batch.items()}


def assert_close(found, wanted, tolerance=1e-4):
    """Parity: the largest difference as a share of the wanted array's range."""
    found, wanted = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= tolerance * (np.ptp(wanted) or 1.0)


# -- networks ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def full():
    return create("sfmlearner")


def test_depth_network_has_the_sizes_and_the_count_of_the_release(full):
    network = full.parts()["depth"]
    assert network.count_params() == 31_596_900
    sizes = {
        "cnv1b": (64, 208, 32),
        "cnv2b": (32, 104, 64),
        "cnv3b": (16, 52, 128),
        "cnv4b": (8, 26, 256),
        "cnv5b": (4, 13, 512),
        "cnv6b": (2, 7, 512),
        "cnv7b": (1, 4, 512),
        "icnv7": (2, 7, 512),
        "icnv6": (4, 13, 512),
        "icnv5": (8, 26, 256),
        "icnv4": (16, 52, 128),
        "icnv3": (32, 104, 64),
        "icnv2": (64, 208, 32),
        "icnv1": (128, 416, 16),
    }
    assert {name: tuple(network.get_layer(name).output.shape[1:]) for name in sizes} == sizes
    outputs = [tuple(output.shape[1:]) for output in network.outputs]
    assert outputs == [(128, 416, 1), (64, 208, 1), (32, 104, 1), (16, 52, 1)]


@pytest.mark.parametrize(
    ("sources", "masks", "count"),
    [(2, False, 1_590_668), (2, True, 2_639_180), (4, False, 1_598_456), (4, True, 2_660_232)],
)
def test_pose_network_has_the_counts_of_the_release(sources, masks, count):
    network = sfmlearner2017.build_pose_network(128, 416, sources, 1.0, masks, batch_norm=False)
    assert network.count_params() == count
    assert tuple(network.get_layer("cnv5").output.shape[1:]) == (4, 13, 256)
    assert tuple(network.get_layer("pose_cnv7").output.shape[1:]) == (1, 4, 256)
    outputs = network(np.zeros((1, 128, 416, 3 * sources + 3), np.float32))
    assert tuple(outputs["poses"].shape) == (1, sources, 6)
    for s in range(4) if masks else ():
        shape = (1, 128 >> s, 416 >> s, 2 * sources)
        assert tuple(outputs[f"explain_logits{s}"].shape) == shape
    assert len(outputs) == (5 if masks else 1)


def test_legacy_bilinear_samples_at_half_of_the_index():
    x = np.random.default_rng(0).random((2, 3, 5, 2)).astype(np.float32)

    def along(x, axis):
        at = np.arange(2 * x.shape[axis]) * 0.5
        low = at.astype(int)
        high = np.minimum(low + 1, x.shape[axis] - 1)
        shape = [-1 if i == axis else 1 for i in range(4)]
        weight = (at - low).reshape(shape)
        return np.take(x, low, axis) * (1 - weight) + np.take(x, high, axis) * weight

    found = sfmlearner2017.LegacyBilinearUp2()(x)
    np.testing.assert_allclose(found, along(along(x.astype(np.float64), 1), 2), atol=1e-6)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 13, 104])
def test_legacy_nearest_from_2n_to_2n_minus_1_drops_the_last(n):
    """What `_upconv` says of TensorFlow 1: floor(i in / out), in float32."""
    scale = np.float32(2 * n) / np.float32(2 * n - 1)
    taken = np.floor(np.arange(2 * n - 1, dtype=np.float32) * scale).astype(int)
    np.testing.assert_array_equal(taken, np.arange(2 * n - 1))


@pytest.mark.parametrize(("height", "image_width"), [(32, 40), (64, 208), (40, 104)])
def test_sizes_that_no_power_of_two_divides(height, image_width):
    model = create("sfmlearner", height=height, image_width=image_width, width=0.1)
    outputs = model.forward(batch_of(1, 2, height, image_width), training=False)
    for s in range(4):
        assert tuple(outputs[f"disp{s}"].shape) == (1, height >> s, image_width >> s, 1)
        assert tuple(outputs[f"explain_logits{s}"].shape) == (1, height >> s, image_width >> s, 4)


def test_half_precision_ends_in_float32():
    backend.set_precision("mixed_bfloat16")
    try:
        model = create("sfmlearner", **SMALL)
        outputs = model.forward(batch_of(), training=True)
    finally:
        backend.set_precision("float32")
    assert {output.dtype for output in outputs.values()} == {tf.float32}
    assert model.parts()["depth"].get_layer("disp2_up").compute_dtype == "bfloat16"


# -- loss --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def golden_loss(golden):
    """(data, batch, outputs) of the released loss functions; outputs are variables."""
    data = dict(np.load(golden / "sfmlearner_losses.npz", allow_pickle=False))
    batch = {
        "image": 0.5 * data["target"] + 0.5,
        "sources": 0.5 * np.stack([data["sources"][..., :3], data["sources"][..., 3:]], 1) + 0.5,
        "intrinsics": data["intrinsics"][:, 0],
    }
    names = [f"{kind}{s}" for s in range(4) for kind in ("disp", "explain_logits")]
    outputs = {name: tf.Variable(data[name]) for name in (*names, "poses")}
    return data, batch, outputs


@pytest.fixture(scope="module")
def released():
    return create("sfmlearner", border="zeros_hard", released_intrinsics=True, **SMALL)


def test_golden_losses_and_gradients(golden_loss, released):
    data, batch, outputs = golden_loss
    assert released.term_weights == {
        "pixel": 1.0,
        "smooth": float(data["smooth_weight"]),
        "explain": float(data["explain_reg_weight"]),
    }
    with tf.GradientTape() as tape:
        terms = released.loss_terms(batch, outputs)
        parts = {k: w * released._reduce(terms[k]) for k, w in released.term_weights.items()}
        total = sum(parts.values())
    for name, value in parts.items():
        assert float(value) == pytest.approx(float(data[f"{name}_loss"]), rel=1e-4)
    assert float(total) == pytest.approx(float(data["total"]), rel=1e-4)
    gradients = tape.gradient(total, outputs)
    for name, gradient in gradients.items():
        assert_close(gradient, data["grad_total_" + name.replace("explain_", "")])


def test_golden_warp_of_every_scale_uses_the_released_cameras(golden_loss, released):
    data, batch, outputs = golden_loss
    matrix = pose.from_vector(data["poses"][:, 0], clip=True)
    np.testing.assert_allclose(matrix, data["pose_matrix_source0"], atol=1e-6)
    source = data["sources"][..., :3]
    warped = released._warped(source, 0, 0, batch["intrinsics"], outputs)
    np.testing.assert_allclose(warped, data["warped_scale0_source0"], atol=1e-4)
    for s in range(4):
        source = np.float32(np.random.default_rng(s).uniform(-1, 1, (2, 32 >> s, 64 >> s, 3)))
        explicit = inverse_warp(
            source,
            1.0 / data[f"disp{s}"],
            pose.from_vector(data["poses"][:, 1], clip=True),
            data["intrinsics"][:, s],
            border="zeros_hard",
            z_policy="eps_1e-10",
        )
        found = released._warped(source, s, 1, batch["intrinsics"], outputs)
        np.testing.assert_allclose(found, explicit.image, atol=1e-4)


def forward_drive(height=64, width=128, depth=8.0, step=1.0):
    """A textured wall that a camera drives up to; its target batch and the true outputs."""
    fx, fy, cx, cy = 70.0, 70.0, 0.45 * width, 0.55 * height
    y, x = np.mgrid[:height, :width]

    def wall(distance):
        X, Y = (x - cx) / fx * distance, (y - cy) / fy * distance
        waves = [np.sin(0.5 * X + 0.2 * Y), np.sin(0.4 * Y - 0.3 * X), np.sin(0.3 * (X + Y))]
        return (0.5 + 0.4 * np.stack(waves, -1)).astype(np.float32)

    batch = {
        "image": wall(depth)[None],
        "sources": np.stack([wall(depth + step), wall(depth - step)])[None],
        "intrinsics": np.float32([[[fx, 0, cx], [0, fy, cy], [0, 0, 1]]]),
    }
    poses = np.zeros((1, 2, 6), np.float32)
    poses[0, :, 2] = step, -step  # a point is farther from the camera before, nearer after
    outputs = {
        f"disp{s}": np.full((1, height >> s, width >> s, 1), 1 / depth, "f4") for s in range(4)
    }
    return batch, {**outputs, "poses": poses}


def pixel_errors(model, batch, outputs):
    """The pixel terms, [source, scale]."""
    terms = model.loss_terms(batch, {k: tf.convert_to_tensor(v) for k, v in outputs.items()})
    return np.reshape([float(model._reduce(term)) for term in terms["pixel"]], (4, 2)).T


def test_a_wall_under_known_motion_is_rebuilt_by_the_exact_cameras_at_every_scale():
    size = {"height": 64, "image_width": 128, "width": 0.1, "explain_weight": 0.0}
    batch, outputs = forward_drive()
    exact = pixel_errors(create("sfmlearner", border="edge", **size), batch, outputs)
    rounded = pixel_errors(
        create("sfmlearner", border="edge", released_intrinsics=True, **size), batch, outputs
    )
    still = {**outputs, "poses": np.zeros_like(outputs["poses"])}
    unmoved = pixel_errors(create("sfmlearner", border="edge", **size), batch, still)
    # The frame before sees all of the wall that the target sees; the next one does not.
    assert (exact[0] < 0.15 * unmoved[0]).all()
    assert (exact[0, 1:] < 0.8 * rounded[0, 1:]).all()
    assert (exact[1] < 0.6 * unmoved[1]).all()
    np.testing.assert_allclose(exact[:, 0], rounded[:, 0], rtol=1e-5)


def test_mean_of_a_batch_is_the_mean_of_its_examples():
    model = create("sfmlearner", **SMALL)
    batch = batch_of(3)
    outputs = model.forward(as_tensors(batch), training=False)
    whole = {k: float(model._reduce(v)) for k, v in model.loss_terms(batch, outputs).items()}
    single = []
    for b in range(3):
        part = {k: v[b : b + 1] for k, v in batch.items()}
        part_outputs = {k: v[b : b + 1] for k, v in outputs.items()}
        terms = model.loss_terms(part, part_outputs)
        single.append({k: float(model._reduce(v)) for k, v in terms.items()})
    for name, value in whole.items():
        assert value == pytest.approx(np.mean([one[name] for one in single]), rel=1e-5)


def test_ssim_is_a_share_of_the_pixel_term():
    rng = np.random.default_rng(3)
    warped, target = rng.uniform(-1, 1, (2, 1, 6, 7, 3))
    difference = sfmlearner2017.photometric(warped, target, 0.0)
    np.testing.assert_allclose(difference, np.abs(warped - target), atol=1e-6)
    a, b = (
        np.pad(x / 2 + 0.5, ((0, 0), (1, 1), (1, 1), (0, 0)), "reflect") for x in (warped, target)
    )
    a, b = (np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2)) for x in (a, b))
    mean_a, mean_b = a.mean((-2, -1)), b.mean((-2, -1))
    covariance = (a * b).mean((-2, -1)) - mean_a * mean_b
    similarity = (2 * mean_a * mean_b + 1e-4) * (2 * covariance + 9e-4)
    similarity /= (mean_a**2 + mean_b**2 + 1e-4) * (a.var((-2, -1)) + b.var((-2, -1)) + 9e-4)
    dssim = np.clip((1 - similarity) / 2, 0, 1)
    mixed = sfmlearner2017.photometric(warped, target, 0.85)
    np.testing.assert_allclose(mixed, 0.15 * np.abs(warped - target) + 1.7 * dssim, atol=1e-5)


@pytest.mark.parametrize("border", ["zeros_fade", "zeros_hard", "edge"])
def test_gradients_are_finite_behind_the_camera_at_its_plane_and_at_the_border(border):
    model = create("sfmlearner", border=border, **SMALL)
    batch = batch_of()
    poses = np.zeros((2, 2, 6), np.float32)
    poses[0, 0, 2] = -1.0  # depth 1 comes to lie in the camera's plane: coordinates x / 0
    poses[0, 1, 2] = -3.0  # behind it
    poses[1, 0] = 0.5, 0.3, 0.0, 0.1, 4.0, -9.0  # far outside, angles that are clipped
    outputs = {f"disp{s}": np.ones((2, 32 >> s, 64 >> s, 1), np.float32) for s in range(4)}
    outputs |= {f"explain_logits{s}": np.zeros((2, 32 >> s, 64 >> s, 4), "f4") for s in range(4)}
    variables = {k: tf.Variable(v) for k, v in {**outputs, "poses": poses}.items()}
    with tf.GradientTape() as tape:
        terms = model.loss_terms(batch, variables)
        total = sum(model._reduce(term) for term in terms.values())
    assert np.isfinite(float(total))
    for name, gradient in tape.gradient(total, variables).items():
        assert np.isfinite(gradient.numpy()).all(), name


@pytest.mark.parametrize("z_policy", ["eps_1e-10", "eps_1e-7"])
def test_a_point_whose_divisor_vanishes_has_finite_gradients(z_policy):
    eps = np.float32(z_policy[4:])
    intrinsics = np.float32([[[9, 0, 4], [0, 9, 3], [0, 0, 1]]])
    depth = tf.Variable(np.full((1, 8, 9, 1), eps))
    vector = tf.Variable([[0.0, 0.0, -2.0 * eps, 0.0, 0.0, 0.0]])  # z = -eps
    with tf.GradientTape() as tape:
        seen = inverse_warp(
            np.ones((1, 8, 9, 3), "f4"),
            depth,
            pose.from_vector(vector),
            intrinsics,
            z_policy=z_policy,
        )
        total = tf.reduce_sum(seen.image)
    for gradient in tape.gradient(total, [depth, vector]):
        assert np.isfinite(gradient.numpy()).all()


# -- explainability ----------------------------------------------------------------------------------------------------


def test_mask_is_the_softmax_of_the_second_logit_and_explain_its_cross_entropy():
    logits = np.random.default_rng(0).normal(0, 3, (1, 2, 3, 4)).astype(np.float32)
    logits[0, 0, 0] = 90, -90, -90, 90
    for i, margin in enumerate(sfmlearner2017.explained(logits)):
        pair = tf.constant(logits[..., 2 * i : 2 * i + 2])
        softmax = tf.nn.softmax(pair)[..., 1:]
        entropy = tf.nn.softmax_cross_entropy_with_logits(tf.constant([0.0, 1.0]), pair)
        np.testing.assert_allclose(tf.sigmoid(margin), softmax, atol=1e-6)
        found = tf.math.softplus(-margin)[..., 0]
        np.testing.assert_allclose(found, entropy, rtol=1e-5, atol=1e-6)


def mask_of(logits, source):
    return tf.sigmoid(sfmlearner2017.explained(logits)[source])


def test_without_its_regulariser_the_mask_falls_to_zero():
    """Frames that nothing explains: L_reg alone keeps E up; error E - lambda log E is least at lambda / error."""
    model = create("sfmlearner", **SMALL)
    batch = as_tensors(batch_of())
    noise = np.random.default_rng(5).random(batch["sources"].shape)
    batch["sources"] = tf.constant(noise, tf.float32)
    outputs = model.forward(batch, training=False)
    logits = {k: tf.Variable(tf.zeros_like(v)) for k, v in outputs.items() if "explain" in k}
    step_size = {k: 5.0 * v.shape[1] * v.shape[2] for k, v in logits.items()}  # of a pixel's share

    @tf.function
    def descend(explain_weight):
        with tf.GradientTape() as tape:
            terms = model.loss_terms(batch, {**outputs, **logits})
            loss = model._reduce(terms["pixel"]) + explain_weight * model._reduce(terms["explain"])
        for name, gradient in tape.gradient(loss, logits).items():
            logits[name].assign_sub(step_size[name] * gradient)

    def mask_after(explain_weight):
        for variable in logits.values():
            variable.assign(tf.zeros_like(variable))
        for _ in range(60):
            descend(tf.constant(explain_weight))
        return np.asarray(mask_of(logits["explain_logits0"], 0))

    source = sfmlearner2017.normalise(batch["sources"][:, 0])
    warped = model._warped(source, 0, 0, batch["intrinsics"], outputs)
    error = np.abs(warped - sfmlearner2017.normalise(batch["image"])).mean(-1, keepdims=True)
    free, held = mask_after(0.0), mask_after(0.2)
    assert free.mean() < 0.05 and free[error > 0.2].max() < 0.05
    assert held.min() > 0.1
    large = error > 0.3
    np.testing.assert_allclose(held[large], 0.2 / error[large], atol=0.01)


def test_no_weight_builds_no_mask():
    model = create("sfmlearner", explain_weight=0.0, **SMALL)
    assert not any("exp_" in layer.name for layer in model.parts()["pose"].layers)
    outputs = model.forward(batch_of(), training=False)
    assert set(outputs) == {"poses", "disp0", "disp1", "disp2", "disp3"}
    assert set(model.loss_terms(batch_of(), outputs)) == {"pixel", "smooth"}


def test_pictures_show_masks_and_rebuilt_targets():
    model = create("sfmlearner", sequence=5, **SMALL)
    batch = batch_of(2, sources=4)
    pictures = model.picture_outputs(batch)
    wanted = {"inverse_depth": 1}
    for offset in ("-2", "-1", "+1", "+2"):
        wanted |= {f"mask_{offset}": 1, f"warped_{offset}": 3}
    assert {name: tuple(p.shape) for name, p in pictures.items()} == {
        name: (2, 32, 64, channels) for name, channels in wanted.items()
    }
    for name, picture in pictures.items():
        if name != "inverse_depth":
            assert 0.0 <= np.min(picture) and np.max(picture) <= 1.0
    plain = create("sfmlearner", explain_weight=0.0, **SMALL).picture_outputs(batch_of())
    assert set(plain) == {"inverse_depth", "warped_-1", "warped_+1"}


# -- poses -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sequence", [3, 5])
def test_motion_between_consecutive_frames(sequence):
    """A network that always says the same vectors; the chain through the target, by plain matrices."""
    model = create("sfmlearner", sequence=sequence, **SMALL)
    vectors = np.random.default_rng(sequence).normal(0, 0.3, (sequence - 1, 6)).astype(np.float32)
    layer = model.parts()["pose"].get_layer("pose_pred")
    kernel, _ = layer.get_weights()
    layer.set_weights([np.zeros_like(kernel), vectors.reshape(-1) / sfmlearner2017.POSE_SCALING])
    frames = np.random.default_rng(0).random((2, sequence, 32, 64, 3)).astype(np.float32)
    motions = model.predict_pose(frames)
    assert motions.shape == (2, sequence - 1, 4, 4)
    T_from_target = [pose.from_vector(v) for v in vectors.astype(np.float64)]
    T_from_target.insert(sequence // 2, np.eye(4))
    for k in range(sequence - 1):
        wanted = T_from_target[k + 1] @ np.linalg.inv(T_from_target[k])
        np.testing.assert_allclose(motions[0, k], wanted, atol=1e-5)
    with pytest.raises(UserError, match=f"looks at {sequence} frames at once"):
        model.predict_pose(frames[:, :2])


def test_five_frames_are_asked_for_in_time_order():
    model = create("sfmlearner", sequence=5, **SMALL)
    assert model.source_offsets == (-2, -1, 1, 2)
    assert model.sample_keys == {"image", "sources", "intrinsics"}
    outputs = model.forward(batch_of(2, sources=4), training=False)
    assert tuple(outputs["poses"].shape) == (2, 4, 6)
    terms = model.loss_terms(batch_of(2, sources=4), outputs)
    assert {name: len(list_) for name, list_ in terms.items()} == {
        "pixel": 16,
        "smooth": 16,
        "explain": 16,
    }
    assert create("sfmlearner", **SMALL).source_offsets == (-1, 1)


# -- options -----------------------------------------------------------------------------------------------------------


def test_defaults_are_the_papers():
    model = create("sfmlearner", **SMALL)
    assert model.term_weights == {"pixel": 1.0, "smooth": 0.5, "explain": 0.2}
    assert (model.border, model.batch_norm, model.ssim_weight) == ("zeros_fade", False, 0.0)
    assert not model.flip and model.max_zoom == 1.15
    assert [(s.name, s.learning_rate) for s in model.stages] == [("all", 2e-4)]
    model.compile()
    assert float(model.optimizer.learning_rate) == pytest.approx(2e-4)
    assert (model.output_name, model.kind, model.output_bounds) == (
        "inverse_depth",
        "relative",
        (0.01, 10.01),
    )


def test_ablations():
    changes = create("sfmlearner", **SMALL).ablations
    assert changes == {"no_mask": {"explain_weight": 0.0}, "no_smooth": {"smooth_weight": 0.0}}
    assert create("sfmlearner", **changes["no_smooth"], **SMALL).term_weights["smooth"] == 0.0
    assert "explain" not in create("sfmlearner", **changes["no_mask"], **SMALL).term_weights


def test_batch_norm_is_slims_in_every_layer_but_the_predictions():
    plain = create("sfmlearner", **SMALL)
    model = create("sfmlearner", batch_norm=True, **SMALL)
    for name, part in model.parts().items():
        trainable = sum(int(np.prod(v.shape)) for v in part.trainable_variables)
        assert trainable == plain.parts()[name].count_params()  # beta in the place of the bias
        norms = [x for x in part.layers if isinstance(x, keras.layers.BatchNormalization)]
        assert all(
            (n.momentum, n.epsilon, n.scale, n.center) == (0.999, 1e-3, False, True) for n in norms
        )
        predictions = [x.name for x in part.layers if getattr(x, "use_bias", False)]
        assert (
            sorted(predictions)
            == {
                "depth": ["disp1", "disp2", "disp3", "disp4"],
                "pose": ["mask1", "mask2", "mask3", "mask4", "pose_pred"],
            }[name]
        )
    batch = batch_of()
    moving = model.parts()["depth"].get_layer("cnv1_bn").moving_mean
    before = backend.to_numpy(moving).copy()
    model.forward(batch, training=False)
    np.testing.assert_array_equal(backend.to_numpy(moving).copy(), before)
    model.forward(batch, training=True)
    assert (backend.to_numpy(moving).copy() != before).any()
    # In inference an image's depth does not depend on the others in its batch.
    alone = model.depth_outputs(batch["image"][:1])["inverse_depth"]
    together = model.depth_outputs(batch["image"])["inverse_depth"]
    np.testing.assert_allclose(alone, together[:1], rtol=1e-5)


def augmented(model, seed, batch):
    sample = {k: tf.constant(v[0]) for k, v in batch.items() if k != "index"}
    return {k: v.numpy() for k, v in model.augment(sample, tf.constant([seed, 3])).items()}


def test_augmentation_zooms_all_frames_and_the_camera_alike():
    model = create("sfmlearner", **SMALL)
    batch = batch_of()
    batch["sources"][:] = batch["image"][:, None]
    focal = []
    for seed in range(30):
        sample = augmented(model, seed, batch)
        for source in sample["sources"]:
            np.testing.assert_array_equal(source, sample["image"])
        same = scale_crop(
            {k: tf.constant(v[0]) for k, v in batch.items()}, tf.constant([seed, 3]), 1.0, 1.15
        )
        np.testing.assert_allclose(sample["intrinsics"], same["intrinsics"])
        focal.append(np.diag(sample["intrinsics"] / batch["intrinsics"][0].clip(1e-6))[:2])
    focal = np.array(focal)
    assert focal.min() >= 0.98 and focal.max() <= 1.17 and np.ptp(focal[:, 0] - focal[:, 1]) > 0.1
    unchanged = augmented(create("sfmlearner", max_zoom=1.0, **SMALL), 0, batch)
    np.testing.assert_array_equal(unchanged["image"], batch["image"][0])


def test_flips_are_an_option_and_mirror_everything():
    batch = batch_of()
    model = create("sfmlearner", flip=True, max_zoom=1.0, **SMALL)
    flipped = 0
    for seed in range(20):
        sample = augmented(model, seed, batch)
        if not np.array_equal(sample["image"], batch["image"][0]):
            flipped += 1
            np.testing.assert_array_equal(sample["image"], batch["image"][0, :, ::-1])
            np.testing.assert_array_equal(sample["sources"], batch["sources"][0, :, :, ::-1])
            assert sample["intrinsics"][0, 2] == pytest.approx(63 - batch["intrinsics"][0, 0, 2])
    assert 4 <= flipped <= 16


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"border": "reflect"}, "border must be one of zeros_fade, zeros_hard, edge"),
        ({"sequence": 4}, "sequence must be 3 or 5"),
        ({"height": 36}, "multiples of 8"),
        ({"height": 24}, "from 32 on"),
        ({"width": 0.0}, "width must be > 0"),
        ({"max_zoom": 0.9}, "max_zoom >= 1"),
        ({"explain_weight": -0.1}, "explain_weight and smooth_weight must be >= 0"),
        ({"ssim_weight": 1.5}, "ssim_weight between 0 and 1"),
        ({"explain_wieght": 0.1}, "did you mean 'explain_weight'"),
    ],
)
def test_options_that_cannot_be_used_are_named(options, message):
    with pytest.raises(UserError, match=message):
        create("sfmlearner", **{**SMALL, **options})
