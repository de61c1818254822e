"""Eigen 2014: sizes and counts, loss, masks and LRN against NumPy, where cells lie, stages, rates, augmentation."""

import gc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

tf = pytest.importorskip("tensorflow")
import keras  # noqa: E402

from kdepth.errors import UserError  # noqa: E402
from kdepth.losses import scale_invariant as losses  # noqa: E402
from kdepth.networks.layers import LocalResponseNormalization  # noqa: E402
from kdepth.networks.weights import part_weights  # noqa: E402
from kdepth.papers import create, eigen2014  # noqa: E402

SMALL = {"height": 64, "image_width": 96, "width": 0.05}


def small(**options):
    return create("eigen", **{**SMALL, **options})


def batch_of(model, size=2, seed=0):
    """Random pictures at the model's size; half of the depth is not measured."""
    rng = np.random.default_rng(seed)
    shape = (size, *model.image_size)
    depth = rng.uniform(2, 60, (*shape, 1)) * (rng.random((*shape, 1)) < 0.5)
    return {
        "image": rng.random((*shape, 3)).astype(np.float32),
        "depth": depth.astype(np.float32),
        "index": np.arange(size),
    }


def loss_of(model, batch, log_depth):
    return float(
        model._reduce(model.loss_terms(batch, {"log_depth": log_depth})["scale_invariant"])
    )


# -- sizes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["nyu", "kitti"])
def test_sizes_and_counts_of_the_paper(variant):
    model = create("eigen", variant=variant)
    coarse, fine = model.parts()["coarse"], model.parts()["fine"]
    convolutions = {
        "conv1": 34_944,
        "conv2": 614_656,
        "conv3": 885_120,
        "conv4": 1_327_488,
        "conv5": 884_992,
    }
    assert {n: coarse.get_layer(n).count_params() for n in convolutions} == convolutions
    assert sum(convolutions.values()) == 3_747_200
    assert coarse.count_params() == {"nyu": 70_757_734, "kitti": 90_762_362}[variant]
    counts = {"fine1": 15_372, "fine3": 102_464, "fine4": 1_601}
    assert {n: fine.get_layer(n).count_params() for n in counts} == counts
    assert fine.count_params() == 119_437

    def size(part, name):
        return tuple(part.get_layer(name).output.shape[1:3])

    names = ("conv1", "pool1", "conv2", "pool2", "conv5", "pool5")
    wanted = {
        "nyu": [(56, 75), (27, 37), (27, 37), (13, 18), (13, 18), (6, 8)],
        "kitti": [(42, 143), (20, 71), (20, 71), (9, 35), (9, 35), (4, 17)],
    }[variant]
    assert [size(coarse, name) for name in names] == wanted
    output = {"nyu": (55, 74), "kitti": (27, 142)}[variant]
    assert size(coarse, "log_depth") == size(fine, "log_depth") == output
    assert size(fine, "fine1") == {"nyu": (111, 149), "kitti": (55, 285)}[variant]
    assert model.image_size == {"nyu": (240, 320), "kitti": (184, 612)}[variant]
    # What the fine stack sees: all of NYU's input, the bottom of KITTI's.
    assert model.grid.fine_size == {"nyu": (228, 304), "kitti": (116, 576)}[variant]
    assert model.grid.top == {"nyu": 0, "kitti": 172 - 116}[variant]
    del model, coarse, fine
    gc.collect()  # 300 MB


def test_released_fine_stack_replaces_the_first_map():
    maps = {n: eigen2014.build_fine(eigen2014.Grid(9, 12, 0, 0), 1.0, n == 64) for n in (63, 64)}
    assert maps[64].get_layer("fine1").count_params() == 15_616
    assert maps[64].get_layer("fine3").count_params() == 102_464
    released = part_weights(maps[64])
    picture = np.random.default_rng(0).normal(size=(1, 44, 56, 3)).astype(np.float32)
    coarse = np.ones((1, 9, 12, 1), np.float32)
    # Without its first map, which nothing reads, the released stack is the paper's.
    for layer in ("fine1", "fine3", "fine4"):
        kernel, bias = released[f"{layer}/kernel"], released[f"{layer}/bias"]
        if layer == "fine1":
            kernel, bias = kernel[..., 1:], bias[1:]
        maps[63].get_layer(layer).set_weights([kernel, bias])
    both = [np.asarray(maps[n]([picture, coarse])) for n in (63, 64)]
    np.testing.assert_allclose(both[0], both[1], rtol=1e-5, atol=1e-8)


@given(
    height=st.integers(63, 300),
    width=st.integers(63, 700),
    share=st.sampled_from([1.0, 27 / 41, 0.3]),
)
def test_cells_fit_into_the_input(height, width, share):
    grid = eigen2014.Grid.of(height, width, share)
    rows, columns = grid.fine_size
    assert grid.rows >= 1 and grid.top >= 0 and grid.left >= 0
    assert grid.top + rows == height  # at the bottom
    assert 0 <= width - columns - 2 * grid.left <= 1  # in the middle
    assert columns + 4 > width


def test_too_small_an_input_is_a_user_error():
    with pytest.raises(UserError, match="at least 63x63"):
        create("eigen", height=62, image_width=200)
    small(height=63, image_width=63)


# -- where the cells lie -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"variant": "nyu"}, {"height": 71, "image_width": 101}])
def test_targets_and_predictions_are_of_the_same_place(options):
    """What is predicted at a cell's target pixel is that pixel's depth, for a network that is right."""
    model = small(**options)
    depth = np.random.default_rng(0).uniform(3, 70, (1, *model.image_size, 1)).astype(np.float32)
    cells = np.asarray(model._decimated(depth))
    model._log_depth = lambda images, training: tf.math.log(cells)
    predicted = np.asarray(model.depth_outputs(np.zeros((1, *model.image_size, 3)))["depth"])
    assert predicted.shape == depth.shape
    top, left = model._cells_start()
    rows, columns = model.grid.rows, model.grid.columns
    for i in range(rows):
        for j in range(columns):
            y, x = top + 4 * i, left + 4 * j
            block = predicted[0, y : y + 4, x : x + 4, 0]
            np.testing.assert_allclose(block, depth[0, y + 1, x + 1, 0], rtol=1e-5)
    # Outside, the outermost cells go on.
    row = np.clip(np.arange(depth.shape[1]), top, top + 4 * rows - 1)
    column = np.clip(np.arange(depth.shape[2]), left, left + 4 * columns - 1)
    np.testing.assert_array_equal(predicted, predicted[:, row][:, :, column])
    model_loss = loss_of(model, {"depth": depth}, tf.math.log(cells))
    assert model.setting.drop_extremes or model_loss < 1e-10


def test_a_fine_cell_sees_45_pixels_around_its_target():
    """The paper's receptive field, in the middle of which lies the pixel that the cell learns."""
    grid = eigen2014.Grid(15, 15, 0, 0)
    fine = eigen2014.build_fine(grid, 0.05, False)
    for layer in ("fine1", "fine3", "fine4"):  # growing in every pixel
        kernel, bias = fine.get_layer(layer).get_weights()
        fine.get_layer(layer).set_weights([np.ones_like(kernel), bias])
    cell = 7
    target = 4 + 4 * cell + 1
    offsets = np.arange(-24, 25)
    for axis in (1, 2):
        pictures = np.ones((len(offsets) + 1, *grid.fine_size, 3), np.float32)
        for picture, offset in zip(pictures, offsets):
            np.moveaxis(picture, axis - 1, 0)[target + offset] += 1.0
        coarse = np.zeros((len(pictures), 15, 15, 1), np.float32)
        seen = np.asarray(fine([pictures, coarse]))[:, cell, cell, 0]
        np.testing.assert_array_equal(offsets[seen[:-1] > seen[-1]], np.arange(-22, 23))


# -- loss, against float64 NumPy ---------------------------------------------------------------------------------------


def numpy_loss(log_depth, depth, mask, balance=0.5):
    """Per image, straight from eq. 4."""
    found = []
    for prediction, target, valid in zip(log_depth, depth, mask):
        d = prediction[valid].astype(np.float64) - np.log(target[valid].astype(np.float64))
        n = max(len(d), 1)
        found.append((d**2).sum() / n - balance * d.sum() ** 2 / n**2)
    return np.array(found)


def maps(seed=0, size=3, shape=(9, 14)):
    """Predictions, depths with holes, masks whose sizes differ by more than a factor of two."""
    rng = np.random.default_rng(seed)
    depth = rng.uniform(1, 80, (size, *shape, 1)).astype(np.float32)
    share = np.linspace(0.2, 0.9, size)[:, None, None, None]
    depth[rng.random(depth.shape) > share] = 0
    log_depth = rng.normal(2, 1, depth.shape).astype(np.float32)
    return log_depth, depth, depth > 0


def ratios(term):
    return np.asarray(term.numerator) / np.asarray(term.denominator)


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_loss_equals_numpy(balance):
    log_depth, depth, mask = maps()
    difference = losses.log_difference(log_depth, depth, mask)
    term = losses.scale_invariant(difference, mask, balance)
    np.testing.assert_allclose(ratios(term), numpy_loss(log_depth, depth, mask, balance), rtol=1e-5)


def test_the_three_published_forms_agree():
    log_depth, depth, mask = maps()
    difference = losses.log_difference(log_depth, depth, mask)
    wanted = numpy_loss(log_depth, depth, mask, 1.0)
    np.testing.assert_allclose(ratios(losses.aligned_error(difference, mask)), wanted, rtol=1e-5)
    np.testing.assert_allclose(ratios(losses.pairwise_error(difference, mask)), wanted, rtol=1e-5)
    variance = [np.asarray(difference)[i][mask[i]].var() for i in range(len(mask))]
    np.testing.assert_allclose(
        ratios(losses.scale_invariant(difference, mask, 1.0)), variance, rtol=1e-4
    )


def test_a_common_factor_costs_nothing_at_balance_1_and_half_at_one_half():
    log_depth, depth, mask = maps()

    def cost(factor, balance):
        difference = losses.log_difference(log_depth + np.float32(np.log(factor)), depth, mask)
        return ratios(losses.scale_invariant(difference, mask, balance))

    np.testing.assert_allclose(cost(3.0, 1.0), cost(1.0, 1.0), rtol=1e-4)
    perfect = losses.log_difference(np.log(np.where(mask, depth, 1)), depth / np.float32(3), mask)
    halved = ratios(losses.scale_invariant(perfect, mask, 0.5))
    np.testing.assert_allclose(halved, 0.5 * np.log(3.0) ** 2, rtol=1e-4)


def test_masks_equal_numpy():
    _, depth, mask = maps()
    depth[0, 0, 0], depth[1, 0, 0], depth[2, 0, 0] = np.nan, np.inf, -4
    mask[:, 0, 0] = False
    np.testing.assert_array_equal(losses.measured(depth), mask)
    depth[0, 1, :4], depth[0, 2, :3] = 0.5, 90  # a sensor that saturates
    wanted = mask.copy()
    wanted[0, 1, :4] = wanted[0, 2, :3] = False
    for image, valid, kept in zip(depth[1:], mask[1:], wanted[1:]):
        kept[(image == image[valid].min()) | (image == image[valid].max())] = False
    np.testing.assert_array_equal(losses.measured(depth, drop_extremes=True), wanted)
    nothing = np.zeros((1, 2, 3, 1), np.float32)
    assert not np.asarray(losses.measured(nothing, True)).any()
    assert not np.asarray(losses.measured(nothing + 7, True)).any()


def test_only_nyu_drops_the_extremes():
    for variant, kept in (("nyu", 1), ("kitti", 3)):
        model = small(variant=variant)
        depth = np.zeros((1, *model.image_size, 1), np.float32)
        top, left = (n + 1 for n in model._cells_start())
        depth[0, top, left : left + 12 : 4, 0] = 3, 5, 9
        term = model.loss_terms(
            {"depth": depth}, {"log_depth": np.zeros((1, model.grid.rows, model.grid.columns, 1))}
        )
        np.testing.assert_allclose(np.sqrt(term["scale_invariant"].denominator), kept)


@pytest.mark.parametrize("broken", [0.0, np.nan, np.inf, -1.0])
def test_what_is_not_measured_changes_nothing_and_has_finite_gradients(broken):
    model = small()
    batch = batch_of(model)
    log_depth = np.random.default_rng(1).normal(2, 1, (2, model.grid.rows, model.grid.columns, 1))
    variable = tf.Variable(log_depth.astype(np.float32))
    holes = np.asarray(model._decimated(batch["depth"])) == 0
    first = loss_of(model, batch, variable)
    batch["depth"][batch["depth"] == 0] = broken
    with tf.GradientTape() as tape:
        term = model.loss_terms(batch, {"log_depth": variable})["scale_invariant"]
        total = model._reduce(term)
    gradient = tape.gradient(total, variable).numpy()
    assert float(total) == first
    assert np.isfinite(gradient).all() and not gradient[holes].any() and gradient[~holes].all()
    variable.assign(np.where(holes, np.nan, log_depth))
    assert loss_of(model, batch, variable) == first
    batch["depth"][0] = broken  # an image without any depth costs nothing
    with tf.GradientTape() as tape:
        total = model._reduce(model.loss_terms(batch, {"log_depth": variable})["scale_invariant"])
    gradient = tape.gradient(total, variable).numpy()
    assert np.isfinite(gradient).all() and not gradient[0].any() and np.isfinite(float(total))


def test_both_reductions_equal_numpy_where_masks_differ():
    found = {}
    for reduction in ("paper", "released"):
        model = small(reduction=reduction)
        batch = batch_of(model, 3)
        keep = np.array([0.3, 0.6, 1.0])[:, None, None, None]
        batch["depth"] *= np.random.default_rng(2).random(batch["depth"].shape) < keep
        depth = np.asarray(model._decimated(batch["depth"]))
        mask = depth > 0
        assert mask[2].sum() > 2 * mask[0].sum()
        log_depth = np.random.default_rng(1).normal(2, 1, depth.shape).astype(np.float32)
        d = np.where(mask, log_depth - np.log(np.where(mask, depth, 1)), 0).astype(np.float64)
        n, axes = mask.sum((1, 2, 3)), (1, 2, 3)
        wanted = {
            "paper": numpy_loss(log_depth, depth, mask).mean(),
            "released": ((n * (d**2).sum(axes)).sum() - 0.5 * (d.sum(axes) ** 2).sum())
            / (n**2).sum(),
        }
        found[reduction] = loss_of(model, batch, log_depth)
        np.testing.assert_allclose(found[reduction], wanted[reduction], rtol=1e-5)
    assert abs(found["paper"] - found["released"]) > 1e-3


# -- layers ------------------------------------------------------------------------------------------------------------


def test_local_response_normalisation_equals_numpy():
    x = np.random.default_rng(0).normal(0, 60, (2, 3, 4, 9)).astype(np.float32)
    wide = x.astype(np.float64)
    wanted = np.empty_like(wide)
    for c in range(9):
        window = wide[..., max(0, c - 2) : c + 3]
        wanted[..., c] = wide[..., c] * (2 + 1e-4 * (window**2).sum(-1)) ** -0.75
    coarse = small().parts()["coarse"]
    for name in ("norm1", "norm2"):
        layer = coarse.get_layer(name)
        assert (layer.radius, layer.bias, layer.alpha, layer.beta) == (2, 2.0, 1e-4, 0.75)
    found = LocalResponseNormalization(2, 2.0, 1e-4, 0.75)(x)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_coarse_stack_starts_at_the_mean_depth_and_has_the_released_initial_values():
    model = small(mean_log_depth=1.5, width=0.2)
    weights = {**part_weights(model.parts()["coarse"]), **part_weights(model.parts()["fine"])}
    assert (weights["fc7/bias"] == 1.5).all()
    assert not any(
        value.any() for name, value in weights.items() if "bias" in name and "fc7" not in name
    )
    assert np.abs(weights["fc7/kernel"]).max() <= 0.005
    deviations = {"fc6": 0.01, "fine1": 0.001, "fine3": 0.01}
    for layer, deviation in deviations.items():
        np.testing.assert_allclose(weights[f"{layer}/kernel"].std(), deviation, rtol=0.1)
    # The features are small, so the prediction is close to the bias.
    depth = model.predict_depth(batch_of(model)["image"]).values
    np.testing.assert_allclose(np.log(depth), 1.5, atol=0.3)


def test_dropout_is_the_released_one():
    """Training drops without scaling up, testing halves: fc7 sees kept6."""
    model = small(dropout=0.5)
    coarse = model.parts()["coarse"]
    names = ("fc6", "kept6")
    probe = keras.Model(coarse.input, [coarse.get_layer(name).output for name in names])
    picture = np.random.default_rng(0).normal(0, 70, (4, 64, 96, 3)).astype(np.float32)
    before, tested = (np.asarray(x) for x in probe(picture, training=False))
    np.testing.assert_allclose(tested, 0.5 * before, rtol=1e-6)
    _, trained = (np.asarray(x) for x in probe(picture, training=True))
    kept = trained != 0
    np.testing.assert_allclose(trained[kept], before[kept], rtol=1e-5)
    alive = before > 0
    assert 0.4 < kept[alive].mean() < 0.6


# -- stages, rates, options --------------------------------------------------------------------------------------------


def data_of(model, count):
    return tf.data.Dataset.from_tensors(batch_of(model)).repeat(count)


def test_coarse_learns_first_and_is_frozen_while_fine_learns():
    model = small(dropout=0.5)
    model.compile(keras.optimizers.Adam(1e-2))
    frozen = part_weights(model.parts()["fine"])
    model.fit(data_of(model, 3), verbose=0)
    for name, value in part_weights(model.parts()["fine"]).items():
        np.testing.assert_array_equal(value, frozen[name])
    coarse = part_weights(model.parts()["coarse"])
    model.enter_stage("fine")
    assert len(model.trainable_variables) == 6
    batch = batch_of(model)
    # Nothing random is left in the coarse map, and no gradient passes it.
    outputs = [np.asarray(model(batch, training=t)["log_depth"]) for t in (True, True, False)]
    np.testing.assert_array_equal(outputs[0], outputs[1])
    np.testing.assert_allclose(outputs[0], outputs[2], rtol=1e-6)
    bias = model.parts()["coarse"].get_layer("fc7").bias
    bias = getattr(bias, "_value", bias)  # Keras 3 wraps TensorFlow's variable
    with tf.GradientTape() as tape:
        tape.watch(bias)
        total = tf.reduce_sum(model(batch, training=True)["log_depth"])
    assert tape.gradient(total, bias) is None
    model.fit(data_of(model, 3), verbose=0)
    for name, value in part_weights(model.parts()["coarse"]).items():
        np.testing.assert_array_equal(value, coarse[name])
    assert any((v != frozen[k]).any() for k, v in part_weights(model.parts()["fine"]).items())


def test_prediction_is_of_the_stack_that_was_trained_last():
    model = small()
    image = batch_of(model)["image"]
    first = model.predict_depth(image).values
    model.enter_stage("fine")
    model._predict_function = None
    fine = model.predict_depth(image)
    assert (fine.kind, fine.unit) == ("metric", "m") and not np.allclose(fine.values, first)
    # An untrained fine stack says log depth 0 or so.
    np.testing.assert_allclose(fine.values, 1.0, atol=0.2)


def test_every_layer_learns_at_its_own_rate():
    """One step of plain SGD at the paper's rate moves each layer by its published rate times its gradient."""
    wanted = {
        "coarse": {**{f"conv{i}": 0.001 for i in range(1, 6)}, "fc6": 0.1, "fc7": 0.1},
        "fine": {"fine1": 0.001, "fine3": 0.01, "fine4": 0.001},
    }
    for layer_rates in (True, False):
        model = small(layer_rates=layer_rates, dropout=0.0)
        batch = batch_of(model)
        for stage in model.stages:
            model.enter_stage(stage.name, keras.optimizers.SGD(stage.learning_rate))
            part = model.parts()[stage.name]
            variables = part.trainable_variables
            with tf.GradientTape() as tape:
                loss = model.compute_loss(x=batch, y_pred=model(batch, training=True))
            gradients = tape.gradient(loss, [getattr(v, "_value", v) for v in variables])
            before = part_weights(part)
            model.fit(tf.data.Dataset.from_tensors(batch), verbose=0)
            after = part_weights(part)
            for path, gradient in zip(before, gradients):
                layer = path.split("/")[0]
                rate = wanted[stage.name][layer] if layer_rates else stage.learning_rate
                moved = before[path] - after[path]
                step = rate * np.asarray(gradient)
                np.testing.assert_allclose(
                    moved, step, rtol=0.02, atol=0.02 * np.abs(step).max() + 1e-7, err_msg=path
                )


def test_weight_decay_of_the_released_config():
    model = small()
    model.enter_stage("coarse", keras.optimizers.SGD(0.1))
    decay = float(model._weight_decay())
    weights = part_weights(model.parts()["coarse"])
    squares = {
        name: (value.astype(np.float64) ** 2).sum()
        for name, value in weights.items()
        if "kernel" in name
    }
    wanted = sum(
        (5e-4 if "conv" in name else 1e-4) * 0.5 * value for name, value in squares.items()
    )
    np.testing.assert_allclose(decay, wanted, rtol=1e-5)


def test_ablations():
    assert small(**eigen2014.Eigen.ablations["lambda0"]).balance == 0.0
    model = small(**eigen2014.Eigen.ablations["coarse_only"])
    assert list(model.parts()) == ["coarse"] and [s.name for s in model.stages] == ["coarse"]
    model.compile(keras.optimizers.Adam(1e-3))
    model.fit(data_of(model, 2), verbose=0)
    assert model.predict_depth(batch_of(model)["image"]).values.shape == (2, *model.image_size)


def test_lambda0_is_the_plain_squared_error_of_logarithms():
    model = small(balance=0.0)
    batch = batch_of(model, 1)
    depth = np.asarray(model._decimated(batch["depth"]))
    log_depth = np.full(depth.shape, 2.0, np.float32)
    wanted = ((2.0 - np.log(depth[depth > 0])) ** 2).mean()
    np.testing.assert_allclose(loss_of(model, batch, log_depth), wanted, rtol=1e-5)


def test_saved_weights_come_back_with_every_option(tmp_path):
    model = small(variant="nyu", row_share=0.5, max_rotation=2.0, balance=0.3)
    model.enter_stage("fine")
    model.save_parts(tmp_path)
    again = create("eigen", **model.options)
    again.load_parts(tmp_path)
    assert (again.setting, again.grid, again.stage) == (model.setting, model.grid, model.stage)
    image = batch_of(model)["image"]
    np.testing.assert_array_equal(
        again.predict_depth(image).values, model.predict_depth(image).values
    )


@pytest.mark.parametrize(
    "options, message",
    [
        ({"variant": "make3d"}, "variant must be one of kitti, nyu"),
        ({"reduction": "sum"}, "reduction must be one of paper, released"),
        ({"fine_maps": 62}, "fine_maps must be one of 63, 64"),
        ({"balance": 1.5}, "balance must lie in 0 .. 1"),
        ({"dropout": 1.0}, "dropout must lie in 0 .. 0.99"),
        ({"row_share": 0.0}, "row_share must lie in 0.01 .. 1"),
        ({"max_zoom": 0.8}, "max_zoom must lie in 1 .. 100"),
        ({"max_rotation": 90.0}, "max_rotation must lie in 0 .. 45"),
        ({"width": 0.0}, "width must lie in 0.01 .. 100"),
        ({"lambda": 0.5}, "has no option 'lambda'"),
    ],
)
def test_options_that_cannot_be_used_are_named(options, message):
    with pytest.raises(UserError, match=message):
        small(**options)


# -- augmentation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["kitti", "nyu"])
def test_augmentation_keeps_image_and_depth_together(variant):
    """An image that shows its own depth still does afterwards, but for colour and the zoom's division."""
    model = small(variant=variant, height=152, image_width=228)
    height, width = model.image_size
    y, x = np.mgrid[:height, :width] / np.array([height, width])[:, None, None]
    value = (0.2 + 0.3 * x + 0.3 * y).astype(np.float32)  # at most 0.8, so 1.2 times it is below 1
    sample = {
        "image": tf.constant(np.stack([value] * 3, -1)),
        "depth": tf.constant(50 * value[..., None]),
        "index": tf.constant(3),
    }
    augment = tf.function(model.augment)
    factors, starts = [], []
    for number in range(40):
        changed = augment(sample, tf.constant([number, 5], tf.int64))
        assert set(changed) == set(sample)
        image, depth = changed["image"].numpy(), changed["depth"].numpy()[..., 0]
        assert image.shape == (height, width, 3) and depth.shape == (height, width)
        crop = tuple(slice(n, n + size) for n, size in zip(model._crop_start(), model.input_size))
        image, depth = image[crop], depth[crop]
        known = depth > 0
        # Uncovered corners of a rotated picture are the only holes.
        assert known.mean() > 0.9 and (variant == "nyu" or known.all())
        ratios = image[known] / depth[known][:, None]  # colour * zoom / 50
        np.testing.assert_allclose(ratios / np.median(ratios, 0), 1.0, atol=0.04)
        factors.append(50 * np.median(ratios, 0))
        starts.append(depth[70, 100] > depth[70, 120])
    factors = np.array(factors)
    assert factors.min() >= 0.79 and 1.3 < factors.max() <= 1.21 * model.setting.max_zoom
    assert (factors.std(1) > 1e-3).all()  # every channel has its own colour factor
    assert 8 < sum(starts) < 32  # flipped or not


def test_training_shifts_the_crop_and_testing_does_not():
    model = small(max_zoom=1.0)
    height, width = model.image_size
    place = np.arange(height * width, dtype=np.float32).reshape(height, width, 1) + 1
    sample = {"image": tf.zeros((height, width, 3)), "depth": tf.constant(place)}
    rows, columns = model.input_size
    top, left = model._crop_start()
    seen = set()
    for number in range(60):
        changed = model.augment(sample, tf.constant([1, number], tf.int64))["depth"].numpy()
        crop = changed[top : top + rows, left : left + columns, 0]
        assert (crop > 0).all()  # the picture covers the crop
        first = np.argwhere(place[..., 0] == crop.min())[0]
        seen.add(tuple(int(n) for n in first))
    assert {y for y, _ in seen} == set(range(height - rows + 1))
    assert {x for _, x in seen} == set(range(width - columns + 1))


def test_learns_one_batch():
    """Through both stages, from half-measured depth."""
    model = small(dropout=0.0, layer_rates=False, row_share=1.0, width=0.1)
    rng = np.random.default_rng(0)
    batch = batch_of(model)
    flat = rng.uniform(5, 40, (2, 1, 1, 1))
    ramp = np.linspace(0.5, 2.0, model.image_size[0])[None, :, None, None]
    batch["depth"] = ((batch["depth"] > 0) * flat * ramp).astype(np.float32)
    data = tf.data.Dataset.from_tensors(batch)
    model.compile(keras.optimizers.Adam(2e-3))
    first = model.evaluate(data, verbose=0, return_dict=True)["scale_invariant"]
    for stage in ("coarse", "fine"):
        model.enter_stage(stage, keras.optimizers.Adam(2e-3))
        model.fit(data.repeat(200), verbose=0)
        assert model.evaluate(data, verbose=0, return_dict=True)["scale_invariant"] < 0.1 * first
