"""Godard 2017: networks and decoders, the released losses, equations, post-processing, stereo input.

The released networks' outputs are compared in `tests/releases/test_monodepth.py`.
"""

import functools

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from kdepth import cli  # noqa: E402
from kdepth.errors import UserError  # noqa: E402
from kdepth.evaluation import systems  # noqa: E402
from kdepth.exporters import export_model  # noqa: E402
from kdepth.geometry.camera import Camera  # noqa: E402
from kdepth.networks.weights import part_weights  # noqa: E402
from kdepth.papers import create, monodepth2017  # noqa: E402
from kdepth.runtime import DepthModel, ModelFacts, predict_image  # noqa: E402
from kdepth.training.schedules import Schedule  # noqa: E402

SMALL = {"height": 128, "image_width": 128, "width": 0.05}
SCALES = range(4)


@functools.cache  # tests share a model; none of them trains one
def small(**options):
    return create("monodepth", **{**SMALL, **options})


def images_of(batch=2, height=32, width=64, seed=0, channels=3):
    """Smooth random pictures."""
    coarse = np.random.default_rng(seed).random((batch, height // 4, width // 4, channels))
    large = tf.image.resize(coarse.astype(np.float32), (height, width), "bicubic")
    return np.clip(large.numpy(), 0.0, 1.0)


def disparities_of(value, batch=2, height=32, width=64):
    """The same left and right disparity everywhere, at every scale."""
    return {
        f"disparity{s}": tf.fill([batch, height >> s, width >> s, 2], np.float32(value))
        for s in SCALES
    }


def logged(model, batch, outputs):
    """The loss and its terms, as training logs them."""
    model.reset_metrics()
    model.compute_loss(x=batch, y_pred=outputs, training=False)
    return {mean.name: float(mean.result()) for mean in model.metrics}


def loss_and_gradients(model, batch, outputs):
    variables = {name: tf.Variable(values) for name, values in outputs.items()}
    with tf.GradientTape() as tape:
        loss = model.compute_loss(x=batch, y_pred=variables, training=False)
    gradients = tape.gradient(loss, variables)
    return float(loss), {name: gradients[name].numpy() for name in outputs}


# -- networks ----------------------------------------------------------------------------------------------------------

VGG_SIZES = {
    "conv1": (256, 512, 32), "conv1b": (128, 256, 32), "conv2b": (64, 128, 64),
    "conv3b": (32, 64, 128), "conv4b": (16, 32, 256), "conv5b": (8, 16, 512),
    "conv6b": (4, 8, 512), "conv7b": (2, 4, 512), "upconv7": (4, 8, 512), "iconv7": (4, 8, 512),
    "iconv6": (8, 16, 512), "iconv5": (16, 32, 256), "concat4": (32, 64, 256),
    "iconv4": (32, 64, 128), "concat3": (64, 128, 130), "iconv3": (64, 128, 64),
    "concat2": (128, 256, 66), "iconv2": (128, 256, 32), "concat1": (256, 512, 18),
    "iconv1": (256, 512, 16), "disp4": (32, 64, 2), "disp1": (256, 512, 2),
}  # fmt: skip
RESNET_SIZES = {
    "conv1": (128, 256, 64), "pool1": (64, 128, 64), "stage1_2_elu": (64, 128, 256),
    "stage1_3_elu": (32, 64, 256), "stage2_4_elu": (16, 32, 512), "stage3_6_elu": (8, 16, 1024),
    "stage4_3_elu": (4, 8, 2048), "upconv6": (8, 16, 512), "concat6": (8, 16, 1536),
    "iconv5": (16, 32, 256), "iconv4": (32, 64, 128), "concat2": (128, 256, 98),
    "iconv1": (256, 512, 16), "disp1": (256, 512, 2),
}  # fmt: skip


@pytest.mark.parametrize(
    ("encoder", "sizes", "count", "encoder_count"),
    [
        ("vgg", VGG_SIZES, 31_600_072, 14_294_560),
        ("resnet50", RESNET_SIZES, 58_452_008, 38_041_728),
    ],
)
def test_full_network_has_the_published_sizes_and_counts(encoder, sizes, count, encoder_count):
    network = create("monodepth", encoder=encoder).parts()["depth"]
    assert {name: tuple(network.get_layer(name).output.shape[1:]) for name in sizes} == sizes
    assert [tuple(map_.shape[1:]) for map_ in network.outputs] == [
        (256 >> s, 512 >> s, 2) for s in SCALES
    ]
    assert network.count_params() == count
    weights = part_weights(network)
    of_decoder = ("upconv", "iconv", "disp")
    encoders = [v.size for name, v in weights.items() if not name.startswith(of_decoder)]
    assert sum(encoders) == encoder_count
    projections = [name for name in weights if name.endswith("_project/kernel")]
    assert len(projections) == (0 if encoder == "vgg" else 3 + 4 + 6 + 3)


def test_starts_in_the_middle_of_the_range():
    outputs = small().forward({"image": tf.zeros([1, 128, 128, 3])}, training=False)
    np.testing.assert_allclose(outputs["disparity3"], 0.15, rtol=1e-6)
    for scale in (0, 1, 2):  # they see the coarser map
        np.testing.assert_allclose(outputs[f"disparity{scale}"], 0.15, atol=0.05)


def test_resnet_is_narrow_deep_and_takes_a_multiple_of_64():
    model = create("monodepth", encoder="resnet50", height=64, image_width=192, width=0.05)
    outputs = model.forward({"image": images_of(1, 64, 192)}, training=False)
    assert outputs["disparity3"].shape == (1, 8, 24, 2)
    assert float(np.ptp(outputs["disparity0"])) > 0.0


def test_deconv_equals_the_release_s_padding_and_crop():
    """Against TF's own transposed convolution, as the release calls it: pad 1, SAME, [3:-1]."""
    import keras

    inputs = keras.Input((4, 6, 3))
    network = keras.Model(inputs, monodepth2017.deconv(inputs, 5, "up"))
    x = np.random.default_rng(0).normal(size=(2, 4, 6, 3)).astype(np.float32)
    kernel, bias = network.get_layer("up").get_weights()  # [3, 3, out, in]
    padded = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
    wanted = tf.nn.conv2d_transpose(padded, kernel, [2, 12, 16, 5], 2, "SAME") + bias
    wanted = tf.nn.elu(wanted)[:, 3:-1, 3:-1]
    assert wanted.shape == (2, 8, 12, 5)
    np.testing.assert_allclose(network(x), wanted, atol=1e-6)


def test_decoders_have_equal_counts_and_sizes():
    up, de = (small(decoder=decoder).parts()["depth"] for decoder in ("upconv", "deconv"))
    assert up.count_params() == de.count_params()
    assert [tuple(o.shape) for o in up.outputs] == [tuple(o.shape) for o in de.outputs]
    assert small(decoder="deconv").variant == "vgg-deconv"


def test_a_size_that_cannot_be_halved_is_a_user_error():
    with pytest.raises(UserError, match="encoder=vgg needs .* multiples of 128; received 128x416"):
        create("monodepth", height=128, image_width=416)
    with pytest.raises(UserError, match="encoder=resnet50 needs .* multiples of 64"):
        create("monodepth", encoder="resnet50", height=64, image_width=208)


# -- losses ------------------------------------------------------------------------------------------------------------


def test_golden_losses_and_gradients(golden):
    """The released graph's losses, estimates and gradients, of all scales."""
    numbers = np.load(golden / "monodepth_losses.npz")
    model = small(smoothness="released")
    batch = {"image": numbers["left"], "stereo": numbers["right"]}
    outputs = {f"disparity{s}": numbers[f"disp{s}"] for s in SCALES}
    terms = logged(model, batch, outputs)
    for name, theirs in (
        ("appearance", "image_loss"),
        ("smooth", "smooth_loss_unweighted"),
        ("lr", "lr_loss"),
        ("loss", "total"),
    ):
        np.testing.assert_allclose(terms[name], numbers[theirs], rtol=1e-4, err_msg=name)
    loss, gradients = loss_and_gradients(model, batch, outputs)
    np.testing.assert_allclose(loss, numbers["total"], rtol=1e-4)
    for scale in SCALES:
        wanted = numbers[f"grad_total_disp{scale}"]
        error = np.abs(gradients[f"disparity{scale}"] - wanted).max() / np.ptp(wanted)
        assert error < 1e-4, scale


def test_golden_pyramids_estimates_and_dissimilarity(golden):
    from kdepth.losses.photometric import image_pyramid, ssim_distance

    numbers = np.load(golden / "monodepth_losses.npz")
    lefts, rights = (image_pyramid(numbers[name], 4) for name in ("left", "right"))
    for scale in SCALES:
        np.testing.assert_allclose(lefts[scale], numbers[f"left_pyramid{scale}"], atol=1e-6)

    def disparity(scale, side):
        return numbers[f"disp{scale}"][..., side : side + 1]

    for scale in (0, 3):
        left_estimate = monodepth2017.reconstruct(rights[scale], disparity(scale, 0), True)
        np.testing.assert_allclose(left_estimate, numbers[f"left_est{scale}"], atol=1e-5)
    right_estimate = monodepth2017.reconstruct(lefts[0], disparity(0, 1), False)
    np.testing.assert_allclose(right_estimate, numbers["right_est0"], atol=1e-5)
    seen = monodepth2017.reconstruct(disparity(0, 1), disparity(0, 0), True)
    np.testing.assert_allclose(seen, numbers["right_to_left_disp0"], atol=1e-5)
    dissimilar = ssim_distance(numbers["left_est0"], numbers["left"])
    np.testing.assert_allclose(dissimilar, numbers["ssim_left0"], atol=1e-4)


def smooth_by_hand(disparity, image, released):
    """Eq. 3 of one map in float64: mean over x, plus mean over y unless released."""
    total = 0.0
    for axis in (2,) if released else (2, 1):
        slope = np.abs(np.diff(disparity.astype(np.float64), axis=axis))
        edges = np.abs(np.diff(image.astype(np.float64), axis=axis)).mean(-1, keepdims=True)
        total += (slope * np.exp(-edges)).mean()
    return total


@pytest.mark.parametrize("smoothness", ["paper", "released"])
def test_smoothness_is_of_both_directions_or_as_released_of_x_alone(golden, smoothness):
    numbers = np.load(golden / "monodepth_losses.npz")
    batch = {"image": numbers["left"], "stereo": numbers["right"]}
    outputs = {f"disparity{s}": numbers[f"disp{s}"] for s in SCALES}
    wanted = 0.0
    for scale in SCALES:
        side = 2**scale
        for view, name in enumerate(("left", "right")):
            image = numbers[name].reshape(2, 32 // side, side, 64 // side, side, 3).mean((2, 4))
            map_ = numbers[f"disp{scale}"][..., view : view + 1]
            wanted += smooth_by_hand(map_, image, smoothness == "released") / side
    found = logged(small(smoothness=smoothness), batch, outputs)["smooth"]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_a_disparity_of_one_pixel_shifts_by_one_pixel_each_way():
    image = images_of(1)
    shift = np.full((1, 32, 64, 1), 1 / 64, np.float32)
    left = np.asarray(monodepth2017.reconstruct(image, shift, True))  # right(x - 1)
    np.testing.assert_allclose(left[:, :, 1:], image[:, :, :-1], atol=1e-5)
    assert not left[:, :, 0].any()  # nothing is there to be seen
    right = np.asarray(monodepth2017.reconstruct(image, shift, False))  # left(x + 1)
    np.testing.assert_allclose(right[:, :, :-1], image[:, :, 1:], atol=1e-5)
    edge = np.asarray(monodepth2017.reconstruct(image, shift, True, "edge"))
    np.testing.assert_allclose(edge[:, :, 0], image[:, :, 0], atol=1e-5)


def test_a_flat_world_seen_at_its_disparity_costs_nothing_and_no_other_does():
    """left(x) = right(x - 4): of all constant disparities 4 px explains the pair."""
    wide = images_of(2, 32, 96)
    batch = {"image": wide[:, :, 8:72], "stereo": wide[:, :, 12:76]}

    def appearance(pixels):
        return logged(small(border="edge"), batch, disparities_of(pixels / 64))["appearance"]

    right, others = appearance(4), [appearance(pixels) for pixels in (0, 2, 6)]
    assert right < 0.5 * min(others)
    terms = logged(small(), batch, disparities_of(4 / 64))
    assert terms["smooth"] == 0.0
    # Equal disparities agree wherever both views see: only the border fades.
    assert terms["lr"] < 0.2 * 8 * 4 / 64


def test_loss_is_the_same_for_the_mirrored_and_swapped_pair():
    left, right = images_of(seed=1), images_of(seed=2)
    maps = {f"disparity{s}": 0.1 * images_of(2, 32, 64, s, 2)[:, :: 2**s, :: 2**s] for s in SCALES}
    swapped = {name: values[:, :, ::-1, ::-1] for name, values in maps.items()}
    one = logged(small(), {"image": left, "stereo": right}, maps)
    other = logged(small(), {"image": right[:, :, ::-1], "stereo": left[:, :, ::-1]}, swapped)
    for name, value in one.items():
        np.testing.assert_allclose(other[name], value, rtol=1e-5, err_msg=name)


def test_ablations_drop_what_they_say():
    batch = {"image": images_of(seed=1), "stereo": images_of(seed=2)}
    maps = {f"disparity{s}": 0.1 * images_of(2, 32, 64, s, 2)[:, :: 2**s, :: 2**s] for s in SCALES}
    ablations = monodepth2017.Monodepth.ablations
    assert set(ablations) == {"no_lr", "no_ssim"}

    no_lr = small(**ablations["no_lr"])
    assert set(no_lr.term_weights) == {"appearance", "smooth"}
    _, gradients = loss_and_gradients(no_lr, batch, maps)
    _, whole = loss_and_gradients(small(), batch, maps)
    for name in maps:
        assert gradients[name][..., 0].any() and not gradients[name][..., 1].any()
        assert whole[name][..., 0].any() and whole[name][..., 1].any()

    no_ssim = logged(small(**ablations["no_ssim"]), batch, maps)
    wanted = 0.0
    for scale in SCALES:
        side = 2**scale
        views = [
            images.reshape(2, 32 // side, side, 64 // side, side, 3).mean((2, 4))
            for images in (batch["image"], batch["stereo"])
        ]
        for view in (0, 1):
            map_ = maps[f"disparity{scale}"][..., view : view + 1]
            rebuilt = monodepth2017.reconstruct(views[1 - view], map_, left=view == 0)
            wanted += np.abs(np.asarray(rebuilt) - views[view]).mean()
    np.testing.assert_allclose(no_ssim["appearance"], wanted, rtol=1e-5)


def test_consistency_teaches_through_the_sampled_map_and_through_where_it_is_sampled():
    """With weights of lr alone: a ramp in the right map moves the left one, and its own values are moved."""
    ramp = np.broadcast_to(np.linspace(0.02, 0.08, 64, dtype=np.float32)[:, None], (2, 32, 64, 1))
    flat = np.full((2, 32, 64, 1), 0.05, np.float32)
    maps = {k: np.asarray(v) for k, v in disparities_of(0.05).items()}
    maps["disparity0"] = np.concatenate([flat, ramp], -1)
    model = small(lr_weight=1.0, smooth_weight=0.0)
    batch = {"image": np.zeros((2, 32, 64, 3)), "stereo": np.zeros((2, 32, 64, 3))}
    _, gradients = loss_and_gradients(model, {k: np.float32(v) for k, v in batch.items()}, maps)
    inside = gradients["disparity0"][:, :, 12:52]
    assert inside[..., 0].any() and inside[..., 1].any()


@pytest.mark.parametrize("value", [0.0, 1e-6, 0.3, 0.999])
def test_gradients_are_finite_where_the_other_view_was_left_and_on_black(value):
    batch = {"image": images_of(), "stereo": np.zeros((2, 32, 64, 3), np.float32)}
    loss, gradients = loss_and_gradients(small(), batch, disparities_of(value))
    assert np.isfinite(loss)
    assert all(np.isfinite(gradient).all() for gradient in gradients.values())


def test_nan_coordinates_sample_nothing_and_get_no_gradient():
    disparity = tf.Variable(np.full((1, 32, 64, 1), np.nan, np.float32))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(monodepth2017.reconstruct(images_of(1), disparity, True))
    assert float(total) == 0.0
    assert not np.asarray(tape.gradient(total, disparity)).any()


# -- post-processing ---------------------------------------------------------------------------------------------------


def test_blending_takes_borders_from_one_and_the_mean_between():
    first, second = (np.full((1, 4, 201, 1), value, np.float32) for value in (1.0, 3.0))
    row = np.asarray(monodepth2017.blend_mirrored(first, second))[0, 2, :, 0]
    place = np.linspace(0, 1, 201)
    assert (row[place <= 0.05] == 3.0).all() and (row[place >= 0.95] == 1.0).all()
    np.testing.assert_allclose(row[(place >= 0.1) & (place <= 0.9)], 2.0, atol=1e-6)
    np.testing.assert_allclose(row[15], 2.5, atol=1e-6)  # half way down the ramp
    same = np.random.default_rng(0).random((2, 4, 64, 1)).astype(np.float32)
    np.testing.assert_allclose(monodepth2017.blend_mirrored(same, same), same, atol=1e-6)


def test_postprocess_blends_the_prediction_of_the_mirror_image():
    plain, blended = small(seed=3), small(seed=3, postprocess=True)
    images = images_of(3, 128, 128)
    ahead = plain.predict_depth(images).values[..., None]
    back = plain.predict_depth(images[:, :, ::-1]).values[:, :, ::-1, None]
    wanted = np.asarray(monodepth2017.blend_mirrored(ahead, back))[..., 0]
    np.testing.assert_allclose(blended.predict_depth(images).values, wanted, atol=1e-6)
    assert np.abs(ahead[..., 0] - wanted).max() > 1e-4
    assert blended.options["postprocess"] is True


# -- stereo input ------------------------------------------------------------------------------------------------------


def test_stereo_input_adds_three_channels_and_predicts_from_both_views():
    mono, stereo = small(), small(stereo_input=True)
    added = stereo.parts()["depth"].count_params() - mono.parts()["depth"].count_params()
    first = stereo.parts()["depth"].get_layer("conv1")
    assert first.kernel.shape[:3] == (7, 7, 6) and added == 49 * 3 * first.kernel.shape[3]
    left, right = images_of(2, 128, 128, 1), images_of(2, 128, 128, 2)
    values = stereo.predict_depth(left, stereo=right).values
    assert values.shape == (2, 128, 128)
    np.testing.assert_array_equal(
        stereo.predict_depth(np.concatenate([left, right], -1)).values, values
    )
    one = stereo.predict_depth(left[0], stereo=right[0]).values
    np.testing.assert_allclose(one[0], values[0], atol=1e-6)
    assert np.abs(stereo.predict_depth(left, stereo=left).values - values).max() > 1e-5
    batch = {"image": left, "stereo": right}
    np.testing.assert_allclose(
        stereo.forward(batch, False)["disparity0"][..., 0], values, atol=1e-6
    )
    assert stereo.variant == "vgg-stereo"


def test_stereo_input_without_both_views_is_a_user_error():
    model, images = small(stereo_input=True), images_of(1, 128, 128)
    with pytest.raises(UserError, match="give the right views too, as `stereo`"):
        model.predict_depth(images)
    with pytest.raises(UserError, match="must have one shape"):
        model.predict_depth(images, stereo=images[0])
    with pytest.raises(UserError, match="`images` must be"):
        model.predict_depth(images[:, :64], stereo=images[:, :64])
    with pytest.raises(UserError, match="stereo_input=True"):
        small().predict_depth(images, stereo=images)
    with pytest.raises(UserError, match="cannot predict from one picture"):
        predict_image(None, ModelFacts.of_model(model), images[0])


def test_stereo_input_is_scored_on_both_views():
    model = small(stereo_input=True)
    left, right = images_of(2, 128, 128, 1), images_of(2, 128, 128, 2)
    system = systems.from_network(
        "mine", ModelFacts.of_model(model), lambda images: model.predict_depth(images).values
    )
    samples = [{"image": a, "stereo": b} for a, b in zip(left, right)]
    found = [prediction.values[0] for prediction in system.predict(samples)]
    assert system.stereo
    np.testing.assert_array_equal(found, model.predict_depth(left, stereo=right).values)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"stereo_input": True}, {"postprocess": True}], ids=str)
def test_variants_are_exported_with_parity(options, tmp_path):
    model = small(**options)
    export_model(model, tmp_path / "it", ("tflite", "onnx"), precisions=["float32"])
    images = images_of(2, 128, 128, channels=3 * model.depth_views)
    wanted = model.predict_depth(images).values
    for name in ("it.tflite", "it.onnx"):
        values = DepthModel(tmp_path / "it" / name).run(images)[..., 0]
        assert np.abs(values - wanted).max() / np.ptp(wanted) < 1e-4


# -- the model ---------------------------------------------------------------------------------------------------------


def test_metres_are_focal_length_times_baseline_over_disparity():
    model = create("monodepth", **SMALL)
    camera = Camera(74.0, 74.0, 64.0, 64.0, 128, 128)
    model.rig = model.rig_of(camera, 0.5)
    images = images_of(1, 128, 128)
    disparity = model.predict_depth(images)
    depth = model.predict_depth(images, camera.resize(1280, 1280))
    assert (disparity.kind, depth.kind, depth.unit) == ("disparity", "metric", "m")
    np.testing.assert_allclose(depth.values, 74.0 * 0.5 / (128 * disparity.values), rtol=1e-5)


def test_augmentation_changes_both_views_alike_and_swaps_them_when_it_mirrors():
    model = small()
    pair = np.random.default_rng(0).uniform(0.2, 0.4, (2, 8, 12, 3)).astype(np.float32)
    sample = {"image": tf.constant(pair[0]), "stereo": tf.constant(pair[1])}
    seen = set()
    for seed in range(40):
        changed = model.augment(dict(sample), tf.constant([seed, 1]))
        image, stereo = changed["image"].numpy(), changed["stereo"].numpy()
        for mirrored, (first, second) in (
            (False, pair),
            (True, (pair[1][:, ::-1], pair[0][:, ::-1])),
        ):
            # gamma and factors of both views are the same: log(out) is affine in log(in), per channel
            both_in = np.log(np.stack([first, second]).reshape(-1, 3))
            both_out = np.log(np.stack([image, stereo]).reshape(-1, 3))
            fits = [np.polyfit(both_in[:, c], both_out[:, c], 1, full=True) for c in range(3)]
            if all(fit[1][0] < 1e-6 for fit in fits):
                jittered = bool(np.abs(fits[0][0] - [1, 0]).max() > 1e-4)
                seen.add((mirrored, jittered))
                gammas = [fit[0][0] for fit in fits]
                assert np.ptp(gammas) < 1e-3 and 0.79 < gammas[0] < 1.21
                break
        else:
            pytest.fail(f"seed {seed}: the views were changed differently")
    assert seen == {(m, j) for m in (False, True) for j in (False, True)}


def test_pictures_are_both_disparities_and_the_rebuilt_left_image():
    model = small()
    batch = {"image": images_of(2, 128, 128, 1), "stereo": images_of(2, 128, 128, 2)}
    pictures = model.picture_outputs(batch)
    assert {name: tuple(values.shape) for name, values in pictures.items()} == {
        "disparity_left": (2, 128, 128, 1),
        "disparity_right": (2, 128, 128, 1),
        "left_estimate": (2, 128, 128, 3),
    }
    np.testing.assert_allclose(
        pictures["disparity_left"][..., 0], model.predict_depth(batch["image"]).values, atol=1e-6
    )


def test_paper_s_schedule_halves_the_rate_at_three_and_at_four_fifths():
    schedule = Schedule(1e-4, "step", total_steps=1000)
    rates = [float(schedule(step)) for step in (0, 599, 600, 799, 800, 999)]
    np.testing.assert_allclose(rates, [1e-4, 1e-4, 5e-5, 5e-5, 2.5e-5, 2.5e-5], rtol=1e-6)
    (stage,) = monodepth2017.STAGES
    assert (stage.epochs, stage.learning_rate, stage.trainable_parts) == (50, 1e-4, ("depth",))


def test_options_that_cannot_be_used_are_named():
    for options, message in (
        ({"encoder": "resnet"}, "encoder must be one of vgg, resnet50; received 'resnet'"),
        ({"decoder": "up"}, "decoder must be one of upconv, deconv"),
        ({"smoothness": "x"}, "smoothness must be one of paper, released"),
        ({"border": "wrap"}, "border must be one of zeros_fade"),
        ({"sides": "right"}, "sides must be one of both, left"),
        ({"sides": "left"}, "set lr_weight=0"),
        ({"max_disparity": 0.0}, "max_disparity above 0"),
        ({"ssim_weight": 1.5}, "ssim_weight in 0 .. 1"),
        ({"width": 0}, "width must be > 0"),
        ({"stereo_input": True, "postprocess": True}, "postprocess is for one view"),
    ):
        with pytest.raises(UserError, match=message):
            small(**options)


@pytest.mark.slow
def test_commands_take_stereo_input_and_postprocessing_at_test_time(tiny_video, tmp_run, capsys):
    common = ["--paper=monodepth", "--width=0.05", "--height=128", "--image_width=128"]
    common += [f"--data_dir={tiny_video}", "--batch_size=2", "--epochs=1"]
    assert cli.call("train", [*common, "--run=runs/mono"]) == 0
    assert cli.call("train", [*common, "--option=stereo_input=true", "--run=runs/stereo"]) == 0
    assert (tmp_run / "runs" / "stereo" / "tensorboard").is_dir()
    assert cli.call("evaluate", ["--run=runs/mono", "--pictures=0", "--postprocess"]) == 0
    assert cli.call("evaluate", ["--run=runs/stereo", "--pictures=0"]) == 0
    table = (tmp_run / "runs" / "results.csv").read_text()
    for text in ("mono+postprocess", "vgg-stereo", '""postprocess"": true'):
        assert text in table
    capsys.readouterr()
    assert cli.call("evaluate", ["--run=runs/stereo", "--pictures=0", "--postprocess"]) == 2
    assert "postprocess is for one view" in capsys.readouterr().err
    (tmp_run / "photos").mkdir()
    tf.io.write_file("photos/a.png", tf.io.encode_png(np.zeros((20, 40, 3), np.uint8)))
    predict = ["--run=runs/stereo", "--input=photos", "--out=out"]
    assert cli.call("predict", predict) == 2
    assert "cannot predict from one picture" in capsys.readouterr().err
