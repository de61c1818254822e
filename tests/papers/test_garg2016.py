"""Garg 2016: sizes and counts of both networks, both losses against NumPy, the linearised warp, the video pair."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

tf = pytest.importorskip("tensorflow")

from kdepth.errors import UserError  # noqa: E402
from kdepth.geometry.camera import Camera  # noqa: E402
from kdepth.geometry.warp import resampler_in_use, warp  # noqa: E402
from kdepth.networks.weights import part_weights  # noqa: E402
from kdepth.papers import create, garg2016  # noqa: E402

SMALL = {"height": 96, "image_width": 128, "width": 0.05}


def batch_of(size=2, height=96, width=128, seed=0):
    rng = np.random.default_rng(seed)
    smooth = rng.random((size, height // 8, width // 8 + 2, 3)).astype(np.float32)
    wide = tf.image.resize(smooth, (height, width + 16), "bicubic").numpy().clip(0, 1)
    return {
        "image": wide[:, :, 4 : width + 4],
        "stereo": wide[:, :, 8 : width + 8],
        "index": np.arange(size),
    }


def test_paper_network_has_the_resolutions_of_the_paper():
    sizes = garg2016.paper_sizes(188, 620)
    assert sizes == {
        "L7": (5, 19),
        "L8": (11, 38),
        "L9": (22, 76),
        "L10": (44, 152),
        "L11": (88, 304),
        "L12": (176, 608),
    }
    model = create("garg")
    counts = {name: part.count_params() for name, part in model.parts().items()}
    assert counts == {"coarse": 16_859_043, "L10": 16, "L11": 16, "L12": 16}
    convolutions = {
        "conv1": 34_944,
        "conv2": 614_656,
        "conv3": 885_120,
        "conv4": 1_327_488,
        "conv5": 884_992,
        "conv6": 13_109_248,
    }
    coarse = model.parts()["coarse"]
    assert {n: coarse.get_layer(n).count_params() for n in convolutions} == convolutions
    for name, size in (
        ("conv1", (45, 153)),
        ("pool1", (22, 76)),
        ("pool2", (11, 38)),
        ("pool5", (5, 19)),
    ):
        assert tuple(coarse.get_layer(name).output.shape[1:3]) == size
    assert tuple(coarse.output.shape[1:]) == (22, 76, 1)


@given(height=st.integers(39, 400), width=st.integers(39, 700))
def test_every_level_fits_into_the_image(height, width):
    sizes = garg2016.paper_sizes(height, width)
    for axis, size in enumerate((height, width)):
        assert sizes["L8"][axis] in (2 * sizes["L7"][axis], 2 * sizes["L7"][axis] + 1)
        assert sizes["L9"][axis] in (2 * sizes["L8"][axis], 2 * sizes["L8"][axis] + 1)
        assert garg2016.PAPER_MARGIN + sizes["L12"][axis] <= size


def test_too_small_an_image_is_a_user_error():
    with pytest.raises(UserError, match="at least 39x39"):
        create("garg", height=38, image_width=200)
    with pytest.raises(UserError, match="multiples of 32"):
        create("garg", variant="released", height=100, image_width=128)


def test_released_network_has_the_published_count_and_starts_at_zero():
    model = create("garg", variant="released")
    network = model.parts()["depth"]
    count = sum(int(np.prod(v.shape)) for v in network.trainable_variables)
    assert count == 6_003_269
    image = np.random.default_rng(0).random((1, 160, 608, 3)).astype(np.float32)
    assert not np.any(np.asarray(network(garg2016.normalise(image), training=False)))


# -- released loss against NumPy ---------------------------------------------------------------------------------------


def numpy_released(target, other, disparity):
    """The release's loss and its gradient by h = -d, float64, straight from its layers' definitions."""
    n, height, width, channels = target.shape
    recon = np.zeros_like(target)
    for b in range(n):
        for y in range(height):
            for x in range(width):
                u = x - disparity[b, y, x, 0]
                left = int(np.floor(u))
                # Zero unless all four neighbours are inside; row y + 1 is one of them.
                if left < 0 or left + 1 > width - 1 or y + 1 > height - 1:
                    continue
                w = u - left
                recon[b, y, x] = (1 - w) * other[b, y, left] + w * other[b, y, left + 1]
    difference = recon - target
    photometric = np.abs(difference).sum()
    upstream = np.where(difference > 0, 1.0, -1.0)
    gradient = np.zeros((n, height, width))
    slope = 0.5 * (recon[:, :, 2:] - recon[:, :, :-2])
    gradient[:, :, 1:-1] = -(upstream[:, :, 1:-1] * slope).sum(-1)

    def central(x, axis):
        ahead = np.take(x, range(2, x.shape[axis]), axis)
        return 0.5 * (ahead - np.take(x, range(x.shape[axis] - 2), axis))

    weight_y = np.exp(-0.33 * np.abs(central(target, 1)).sum(-1))[:, :, 1:-1]
    weight_x = np.exp(-0.33 * np.abs(central(target, 2).sum(-1)))[:, 1:-1]
    d = disparity[..., 0]
    term_y = weight_y * central(d, 1)[:, :, 1:-1]
    term_x = weight_x * central(d, 2)[:, 1:-1]
    smooth = np.abs(term_y).sum() + np.abs(term_x).sum()
    sign_y = np.where(term_y > 0, 1.0, -1.0) * weight_y * 0.5
    sign_x = np.where(term_x > 0, 1.0, -1.0) * weight_x * 0.5
    smooth_gradient = np.zeros_like(d)
    smooth_gradient[:, 2:, 1:-1] += sign_y
    smooth_gradient[:, :-2, 1:-1] -= sign_y
    smooth_gradient[:, 1:-1, 2:] += sign_x
    smooth_gradient[:, 1:-1, :-2] -= sign_x
    # Sums over pixels and channels, divided by the batch alone.
    return photometric / n, smooth / n, (gradient + 0.05 * smooth_gradient)[..., None] / n


@pytest.mark.parametrize("start", ["random", "zero"])
def test_released_loss_and_gradient_equal_numpy(start):
    model = create("garg", variant="released", height=32, image_width=64, width=0.1)
    batch = batch_of(2, 32, 64)
    rng = np.random.default_rng(1)
    disparity = (
        rng.uniform(-4, 9, (2, 32, 64, 1)) if start == "random" else np.zeros((2, 32, 64, 1))
    )
    disparity = disparity.astype(np.float32)
    variable = tf.Variable(disparity)
    with tf.GradientTape() as tape:
        terms = model.loss_terms(batch, {"disparity": variable})
        total = model._reduce(terms["photometric"]) + 0.05 * model._reduce(terms["smooth"])
    gradient = tape.gradient(total, variable).numpy()
    target, other = (
        (batch[k][..., ::-1].astype(np.float64) * 255 - [104, 117, 123]) * 0.004
        for k in ("image", "stereo")
    )
    photometric, smooth, wanted = numpy_released(target, other, disparity.astype(np.float64))
    np.testing.assert_allclose(model._reduce(terms["photometric"]), photometric, rtol=1e-5)
    np.testing.assert_allclose(model._reduce(terms["smooth"]), smooth, rtol=1e-5, atol=1e-6)
    # A difference of exactly 0 has a sign of its own in float32 and float64; such pixels are
    # compared by their bound.
    close = np.isclose(gradient, wanted, rtol=1e-4, atol=1e-5)
    assert close.mean() > 0.999
    assert model.term_weights["smooth"] == 0.05


# -- the linearised warp -----------------------------------------------------------------------------------------------


def grid_xy(height, width, disparity):
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return np.stack([x - disparity, y], -1)[None]


def test_linearised_warp_has_the_value_of_the_exact_one():
    image = batch_of(1)["image"]
    xy = grid_xy(96, 128, 3.3)
    np.testing.assert_array_equal(garg2016.linearised_warp(image, xy), warp(image, xy, "edge"))


def test_linearisation_error_is_second_order_in_the_disparity_step():
    """|I(x - D - s) - [I(x - D) - s I_h(x - D)]| falls by 4 when the step s is halved."""
    x = np.arange(256, dtype=np.float64)
    image = np.broadcast_to(np.sin(2 * np.pi * x / 200)[None, None, :, None], (1, 4, 256, 1))
    image = image.astype(np.float32)
    errors = []
    for step in (16.0, 8.0, 4.0):
        disparity = tf.Variable(np.full((1, 4, 256, 1), 20.0, np.float32))
        with tf.GradientTape() as tape:
            grid = tf.constant(grid_xy(4, 256, 0.0))
            xy = tf.concat([grid[..., :1] - disparity, grid[..., 1:]], -1)
            here = garg2016.linearised_warp(image, xy)
            total = tf.reduce_sum(here)
        slope = tape.gradient(total, disparity)
        exact = warp(image, grid_xy(4, 256, 20.0 + step), "edge")
        inside = slice(60, 256)
        errors.append(float(np.abs(exact - (here + step * slope))[:, :, inside].max()))
    ratios = [errors[0] / errors[1], errors[1] / errors[2]]
    np.testing.assert_allclose(ratios, 4.0, rtol=0.1)


@pytest.mark.parametrize("gradient", ["linearised", "exact"])
def test_derivative_is_the_warped_gradient_image_or_the_bilinear_slope(gradient):
    rng = np.random.default_rng(2)
    image = rng.random((1, 6, 40, 3)).astype(np.float32)
    disparity = tf.Variable(np.full((1, 6, 40, 1), 5.25, np.float32))
    upstream = rng.random((1, 6, 40, 3)).astype(np.float32)
    with tf.GradientTape() as tape:
        grid = tf.constant(grid_xy(6, 40, 0.0))
        xy = tf.concat([grid[..., :1] - disparity, grid[..., 1:]], -1)
        rebuilt = (
            garg2016.linearised_warp(image, xy)
            if gradient == "linearised"
            else warp(image, xy, "edge")
        )
        total = tf.reduce_sum(rebuilt * upstream)
    found = tape.gradient(total, disparity).numpy()[0, 3, :, 0]
    row, wanted = image[0, 3], np.zeros(40)
    central = np.zeros((40, 3))
    central[1:-1] = 0.5 * (row[2:] - row[:-2])
    for x in range(6, 40):
        left = x - 6  # x - 5.25 = left + 0.75
        if gradient == "linearised":
            slope = 0.25 * central[left] + 0.75 * central[left + 1]
        else:
            slope = row[left + 1] - row[left]
        wanted[x] = -(slope * upstream[0, 3, x]).sum()
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert not found[:5].any()  # they look past the border


def test_gradients_are_finite_at_and_beyond_the_border_and_for_nan():
    model = create("garg", **SMALL)
    rows, columns = model.sizes["L9"]
    disparity = np.random.default_rng(0).uniform(-60, 60, (2, rows, columns, 1)).astype(np.float32)
    variable = tf.Variable(disparity)
    with tf.GradientTape() as tape:
        terms = model.loss_terms(batch_of(), {"L9": variable})
        total = sum(tf.reduce_sum(t.numerator) for t in terms.values())
    assert np.isfinite(tape.gradient(total, variable).numpy()).all()
    broken = np.full((1, 4, 8, 2), np.nan, np.float32)
    variable = tf.Variable(broken)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(garg2016.linearised_warp(batch_of(1, 8, 16)["image"], variable))
    assert np.isfinite(tape.gradient(total, variable).numpy()).all()


# -- the model ---------------------------------------------------------------------------------------------------------


def test_learns_one_batch_through_all_stages_and_freezes_what_it_should():
    model = create("garg", **SMALL, dropout=0.0)
    data = tf.data.Dataset.from_tensors(batch_of()).repeat(150)
    import keras

    model.compile(keras.optimizers.Adam(3e-3))
    frozen = {name: part_weights(model.parts()[name]) for name in ("L10", "L11", "L12")}
    first = model.evaluate(data.take(1), verbose=0, return_dict=True)["photometric"]
    model.fit(data, verbose=0)
    assert model.evaluate(data.take(1), verbose=0, return_dict=True)["photometric"] < 0.3 * first
    for name, weights in frozen.items():
        for key, value in part_weights(model.parts()[name]).items():
            np.testing.assert_array_equal(value, weights[key])
    before = part_weights(model.parts()["L10"])
    model.enter_stage("L10")
    assert len(model.trainable_variables) == len(model.parts()["coarse"].weights) + 1
    model.fit(data.take(3), verbose=0)
    assert any((part_weights(model.parts()["L10"])[k] != v).any() for k, v in before.items())
    for name in ("L11", "L12"):
        np.testing.assert_array_equal(
            part_weights(model.parts()[name])[f"{name}_up/kernel"],
            frozen[name][f"{name}_up/kernel"],
        )


def test_training_step_contains_the_addons_op_exactly_where_addons_is_used():
    model = create("garg", **SMALL)
    model.compile()
    batch = {k: tf.constant(v) for k, v in batch_of().items()}
    graph = tf.function(model.train_step).get_concrete_function(batch).graph
    names = {op.type for op in graph.get_operations()}
    for function in graph.as_graph_def().library.function:
        names |= {node.op for node in function.node_def}
    assert ("Addons>Resampler" in names) == (resampler_in_use() == "addons")
    import importlib.util

    assert (importlib.util.find_spec("tensorflow_addons") is not None) == (
        resampler_in_use() == "addons"
    )


def test_prediction_is_the_shift_of_a_flat_world():
    """A network that says 4 px everywhere: 4 / W of the width, f B / d metres, at the image's size."""
    model = create("garg", **SMALL)
    coarse = model.parts()["coarse"]
    for layer in ("L7", "L8_skip"):
        kernel, bias = coarse.get_layer(layer).get_weights()
        coarse.get_layer(layer).set_weights([np.zeros_like(kernel), np.zeros_like(bias)])
    kernel, bias = coarse.get_layer("L9_skip").get_weights()
    coarse.get_layer("L9_skip").set_weights([np.zeros_like(kernel), np.full_like(bias, 0.5)])
    images = batch_of()["image"]
    prediction = model.predict_depth(images)
    assert prediction.kind == "disparity" and prediction.values.shape == (2, 96, 128)
    np.testing.assert_allclose(prediction.values, 4.0 / 128, rtol=1e-5)
    camera = Camera(74.0, 74.0, 64.0, 48.0, 128, 96)
    model.rig = model.rig_of(camera, 0.5)
    depth = model.predict_depth(images, camera.resize(1280, 960))
    assert (depth.kind, depth.unit) == ("metric", "m")
    np.testing.assert_allclose(depth.values, 74.0 * 0.5 / 4.0, rtol=1e-5)


def test_video_pair_explains_a_plane_under_known_motion():
    """A wall at 10 m seen from a camera that moved sideways by 1 m: the error vanishes at the wall's disparity."""
    model = create("garg", pair="video", baseline=0.5, **SMALL)
    wide = batch_of(1, 96, 128)
    intrinsics = np.array([[[80.0, 0, 63.5], [0, 80.0, 47.5], [0, 0, 1]]], np.float32)
    motion = np.eye(4, dtype=np.float32)[None, None].copy()
    motion[..., 0, 3] = -0.5  # the camera moves right: points move left by 80 * 0.5 / 10 = 4 px
    batch = {
        "image": wide["image"],
        "sources": wide["stereo"][:, None],  # stereo(x) = image(x + 4), so image(x) = stereo(x - 4)
        "intrinsics": intrinsics,
        "T_sources_image": motion,
    }
    model.stage = model.stage_named("L12")
    rows, columns = model.sizes["L12"]

    def photometric(depth):
        disparity = np.full((1, rows, columns, 1), 80.0 * 0.5 / depth, np.float32)
        term = model.loss_terms(batch, {"L12": tf.constant(disparity)})["photometric"]
        return float(term.numerator[0] / term.denominator[0])

    assert photometric(10.0) < 0.1 * min(photometric(5.0), photometric(30.0))
    assert model.sample_keys == {"image", "sources", "intrinsics", "T_sources_image"}


def test_options_that_cannot_be_used_are_named():
    with pytest.raises(UserError, match="variant must be one of paper, released"):
        create("garg", variant="relased")
    with pytest.raises(UserError, match="did you mean 'smooth_weight'"):
        create("garg", smoth_weight=1.0)
    with pytest.raises(UserError, match="did you mean 'garg'"):
        create("gargg")
