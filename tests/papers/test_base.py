"""What every paper shares: reduction over examples and replicas, clipping, weight decay, rates, bad samples, saving."""

import json

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
import keras  # noqa: E402

from kdepth import backend  # noqa: E402
from kdepth.errors import UserError  # noqa: E402
from kdepth.losses.numerics import Term, masked_sums, mean_term  # noqa: E402
from kdepth.networks.layers import StepDropout  # noqa: E402
from kdepth.networks.weights import part_weights  # noqa: E402
from kdepth.papers import create  # noqa: E402
from kdepth.papers.base import DepthModel, OptimizerSettings, Stage  # noqa: E402

SIZE = (8, 12)


class Toy(DepthModel):
    """One convolution with batch norm and dropout, and a masked term."""

    paper = "toy"
    term_weights = {"masked": 1.0, "plain": 0.1}
    stages = (Stage("all", ("depth",), 1, 0.05),)

    def __init__(self, reduction="ratio_of_sums", dropout=0.3, seed=0):
        self.reduction, self.dropout = reduction, dropout
        super().__init__(height=SIZE[0], image_width=SIZE[1], seed=seed, options={})

    def build_parts(self):
        image = keras.Input((*SIZE, 3), name="image")
        x = keras.layers.Conv2D(8, 3, padding="same", use_bias=False, name="conv")(image)
        x = keras.layers.BatchNormalization(name="bn", **backend.synchronized())(x)
        x = StepDropout(self.dropout, self.seed, lambda: self.step, name="drop")(x)
        x = keras.layers.Conv2D(1, 3, padding="same", name="head", dtype="float32")(x)
        return {"depth": keras.Model(image, x, name="depth")}

    def forward(self, batch, training):
        return {"depth": self._parts["depth"](batch["image"], training=training)}

    def loss_terms(self, batch, outputs):
        # Masked before it is squared: the gradient of what is not measured must not be 0 * NaN.
        depth = tf.where(batch["mask"] > 0, batch["depth"], 0.0)
        error = (outputs["depth"] - depth) ** 2
        return {"masked": masked_sums(error, batch["mask"]), "plain": mean_term(error)}

    def depth_outputs(self, images):
        return {"depth": self._parts["depth"](images, training=False)}


def batches(count=4, size=8):
    rng = np.random.default_rng(0)
    out = []
    for _ in range(count):
        depth = rng.random((size, *SIZE, 1)).astype(np.float32)
        # The second half of each batch has half as many valid pixels as the first, and fewer.
        share = np.where(np.arange(size) < size // 2, 0.9, 0.3)[:, None, None, None]
        out.append(
            {
                "image": rng.random((size, *SIZE, 3)).astype(np.float32),
                "depth": depth,
                "mask": (rng.random(depth.shape) < share).astype(np.float32),
                "index": np.arange(size),
            }
        )
    return out


def dataset(items):
    stacked = {k: np.concatenate([b[k] for b in items]) for k in items[0]}
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    data = tf.data.Dataset.from_tensor_slices(stacked).batch(
        len(items[0]["index"]), drop_remainder=True
    )
    return data.with_options(options)


def trained(replicas, reduction, clip_norm):
    with replicas.scope():
        model = Toy(reduction)
        model.compile(keras.optimizers.Adam(0.01), clip_norm=clip_norm)
    history = model.fit(dataset(batches()), epochs=3, verbose=0).history
    return history, part_weights(model.parts()["depth"])


@pytest.mark.parametrize("reduction", ["ratio_of_sums", "mean_of_ratios"])
@pytest.mark.parametrize("clip_norm", [None, 0.05])
def test_two_replicas_train_as_one_where_masks_differ(reduction, clip_norm, two_replicas):
    """Also with batch norm and dropout on."""
    one_history, one = trained(tf.distribute.get_strategy(), reduction, clip_norm)
    two_history, two = trained(two_replicas, reduction, clip_norm)
    for name, values in one_history.items():
        np.testing.assert_allclose(two_history[name], values, rtol=1e-5, err_msg=name)
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, rtol=1e-5, atol=1e-5, err_msg=name)


def test_the_two_reductions_are_what_they_say():
    batch = {k: tf.constant(v) for k, v in batches(1)[0].items()}
    outputs = {"depth": tf.zeros_like(batch["depth"])}
    error = batch["depth"].numpy() ** 2 * batch["mask"].numpy()
    numerator, denominator = error.sum((1, 2, 3)), batch["mask"].numpy().sum((1, 2, 3))
    for reduction, wanted in (
        ("ratio_of_sums", numerator.sum() / denominator.sum()),
        ("mean_of_ratios", (numerator / denominator).mean()),
    ):
        model = Toy(reduction)
        term = model.loss_terms(batch, outputs)["masked"]
        np.testing.assert_allclose(model._reduce(term), wanted, rtol=1e-6)
    assert abs(numerator.sum() / denominator.sum() - (numerator / denominator).mean()) > 1e-3


@pytest.mark.parametrize("reduction", ["ratio_of_sums", "mean_of_ratios"])
def test_several_terms_of_one_name_are_reduced_one_by_one(reduction):
    model = Toy(reduction)
    terms = [Term(tf.constant([2.0, 3.0]), tf.constant([1.0, 4.0])) for _ in range(2)]
    terms[1] = Term(tf.constant([1.0, 1.0]), tf.constant([10.0, 2.0]))
    alone = [float(model._reduce(term)) for term in terms]
    assert float(model._reduce(terms)) == pytest.approx(sum(alone))


def test_a_term_of_too_few_pixels_is_zero_without_gradient():
    model = Toy("ratio_of_sums")
    model.smallest_denominator = 10.0
    for pixels, expected in ((10.0, 0.0), (11.0, 3.0 / 11.0)):
        numerator = tf.Variable([1.0, 2.0])
        with tf.GradientTape() as tape:
            share = model._reduce(Term(numerator + 0.0, tf.constant([4.0, pixels - 4.0])))
        assert float(share) == pytest.approx(expected)
        slope = tape.gradient(share, numerator).numpy()
        np.testing.assert_allclose(slope, 0.0 if expected == 0.0 else 1.0 / pixels)


def test_poses_need_a_pose_network_and_the_right_frames():
    model = Toy()
    with pytest.raises(UserError, match="toy has no pose network"):
        model.predict_pose(np.zeros((1, 2, *SIZE, 3)))
    model.pose_frames, model.pose_target = 3, 1
    model.pose_outputs = lambda frames: {"pose": tf.reshape(frames[:, 0, 0, :6] * 0.1, (-1, 1, 6))}
    with pytest.raises(UserError, match="looks at 3 frames at once; received 2"):
        model.predict_pose(np.zeros((1, 2, *SIZE, 3)))
    with pytest.raises(UserError, match="must be \\[B, N, 8, 12, 3\\]"):
        model.predict_pose(np.zeros((1, 3, 4, 4, 3)))


def test_an_example_without_a_valid_pixel_costs_nothing_and_has_finite_gradients():
    batch = batches(1)[0]
    batch["mask"][:] = 0
    batch["depth"][:] = np.nan
    for reduction in ("ratio_of_sums", "mean_of_ratios"):
        model = Toy(reduction)
        variable = tf.Variable(np.zeros_like(batch["image"][..., :1]))
        with tf.GradientTape() as tape:
            share = model._reduce(model.loss_terms(batch, {"depth": variable})["masked"])
        assert float(share) == 0.0
        assert np.isfinite(tape.gradient(share, variable).numpy()).all()


def test_clipping_bounds_the_global_norm():
    model = Toy()
    model.compile(keras.optimizers.SGD(1.0), clip_norm=0.01)
    before = part_weights(model.parts()["depth"])
    model.fit(dataset(batches(1)), verbose=0)
    after = part_weights(model.parts()["depth"])
    moved = [after[k] - before[k] for k in before if "moving" not in k]
    np.testing.assert_allclose(np.sqrt(sum((m**2).sum() for m in moved)), 0.01, rtol=1e-3)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_trains_close_to_float32_with_clipping(policy):
    histories = {}
    for name in ("float32", policy):
        backend.set_precision(name)
        try:
            model = Toy(dropout=0.0)
            model.compile(keras.optimizers.Adam(0.01), clip_norm=0.5)
            histories[name] = model.fit(dataset(batches()), epochs=2, verbose=0).history["loss"]
            if policy == "mixed_float16" and name == policy:
                assert hasattr(model.optimizer, "inner_optimizer")
        finally:
            backend.set_precision("float32")
    np.testing.assert_allclose(histories[policy], histories["float32"], rtol=0.05)


def test_weight_decay_is_coupled_l2_on_kernels():
    model = Toy(dropout=0.0)
    model.optimizer_settings = OptimizerSettings("sgd", momentum=0.0, weight_decay=0.5)
    kernels = [v for k, v in part_weights(model.parts()["depth"]).items() if k.endswith("kernel")]
    np.testing.assert_allclose(
        model._weight_decay(), 0.25 * sum((k**2).sum() for k in kernels), rtol=1e-6
    )


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_learning_rate_multipliers_scale_the_step(name):
    steps = {}
    for multiplier in (1.0, 0.1):
        model = Toy(dropout=0.0)
        model.learning_rate_multiplier = lambda path, m=multiplier: (
            m if path == "head/kernel" else 1.0
        )
        model.optimizer_settings = OptimizerSettings(name)
        model.compile(model.default_optimizer(0.01))
        before = part_weights(model.parts()["depth"])
        model.fit(dataset(batches(1)), verbose=0)
        after = part_weights(model.parts()["depth"])
        steps[multiplier] = {k: after[k] - before[k] for k in before}
    np.testing.assert_allclose(
        steps[0.1]["head/kernel"], 0.1 * steps[1.0]["head/kernel"], rtol=1e-3, atol=1e-8
    )
    np.testing.assert_allclose(steps[0.1]["head/bias"], steps[1.0]["head/bias"], rtol=1e-5)


def test_samples_that_are_not_finite_are_remembered():
    model = Toy(dropout=0.0)
    model.compile()
    batch = batches(1)[0]
    batch["index"] = np.arange(100, 108)
    batch["depth"][[2, 5], 0, 0] = np.nan
    batch["mask"][[2, 5]] = 1.0
    model.fit(dataset([batch]), verbose=0)
    assert sorted(model.bad_samples.numpy()) == [-1, -1, 102, 105]


def test_dropout_is_a_function_of_seed_and_step():
    counter = tf.Variable(7, dtype=tf.int64)
    layer = StepDropout(0.5, seed=3, step=lambda: counter, name="drop")
    x = tf.ones((4, 5, 5, 8))
    first = layer(x, training=True).numpy()
    np.testing.assert_array_equal(layer(x, training=True), first)
    assert 0.4 < (first == 0).mean() < 0.6 and set(np.unique(first)) == {0.0, 2.0}
    counter.assign(8)
    assert (layer(x, training=True).numpy() != first).any()
    np.testing.assert_array_equal(layer(x), x)


def test_a_prediction_before_a_stage_does_not_fix_those_after_it(tmp_path):
    """`predict_depth` is traced once for a stage, not once for ever: Eigen's stages predict with other networks."""
    model = create("eigen", height=128, image_width=128, width=0.05, seed=3)
    images = np.random.default_rng(0).random((1, *model.image_size, 3), np.float32)
    coarse = model.predict_depth(images).values
    model.enter_stage("fine")
    fine = model.predict_depth(images).values
    assert np.abs(fine - coarse).max() > 0.1
    model.save_parts(tmp_path)
    model.enter_stage("coarse")
    np.testing.assert_array_equal(model.predict_depth(images).values, coarse)
    model.load_parts(tmp_path)
    np.testing.assert_array_equal(model.predict_depth(images).values, fine)


def test_parts_are_saved_and_read_back_and_misfits_are_named(tmp_path):
    model = create("garg", height=96, image_width=128, width=0.05, seed=3)
    model.enter_stage("L10")
    model.save_parts(tmp_path)
    facts = json.loads((tmp_path / "model.json").read_text())
    assert facts["stage"] == "L10" and facts["options"]["width"] == 0.05
    other = create("garg", height=96, image_width=128, width=0.05, seed=4)
    other.load_parts(tmp_path)
    for name, part in model.parts().items():
        for key, value in part_weights(part).items():
            np.testing.assert_array_equal(part_weights(other.parts()[name])[key], value)
    assert other.stage.name == "L10"
    wide = create("garg", height=96, image_width=128, width=0.1)
    with pytest.raises(UserError, match="conv1/.*has shape .*another width"):
        wide.load_parts(tmp_path)
    released = create("garg", variant="released", height=96, image_width=128, width=0.05)
    with pytest.raises(UserError, match="depth.npz is missing"):
        released.load_parts(tmp_path)
    coarse = tmp_path / "coarse.npz"
    coarse.write_bytes(coarse.read_bytes()[:-100])
    with pytest.raises(UserError, match="truncated or corrupt"):
        other.load_parts(tmp_path)


def test_a_stage_that_does_not_exist_is_named():
    with pytest.raises(UserError, match="no stage 'L13'; its stages are: L9, L10, L11, L12"):
        create("garg", height=96, image_width=128, width=0.05).enter_stage("L13")


def test_a_stage_starts_a_fresh_optimizer_at_its_rate():
    model = create("garg", height=96, image_width=128, width=0.05)
    model.compile(keras.optimizers.SGD(0.5))
    model.enter_stage("L10")  # the paper's rates: 0.01, then 0.001
    np.testing.assert_allclose(float(np.asarray(model.optimizer.learning_rate)), 0.05, rtol=1e-6)
    assert int(np.asarray(model.optimizer.iterations)) == 0


def test_two_replicas_learn_at_the_same_rates_of_their_own(two_replicas):
    """Each replica's copy of a variable finds its multiplier: Keras names the copies differently."""
    moved = []
    for replicas in (tf.distribute.get_strategy(), two_replicas):
        with replicas.scope():
            model = Toy(dropout=0.0)
            model.learning_rate_multiplier = lambda path: {
                "head/kernel": 0.1,
                "conv/kernel": 3.0,
            }.get(path, 1.0)
            model.compile(keras.optimizers.Adam(0.01))
        before = part_weights(model.parts()["depth"])
        model.fit(dataset(batches(1)), verbose=0)
        moved.append({k: v - before[k] for k, v in part_weights(model.parts()["depth"]).items()})
        copies = getattr(model.trainable_variables[0], "value", model.trainable_variables[0])
        for copy in getattr(copies, "values", ()):
            np.testing.assert_array_equal(copy.numpy(), copies.values[0].numpy())
    one, two = moved
    assert np.abs(one["head/kernel"]).max() == pytest.approx(0.001, rel=0.05)
    assert np.abs(one["conv/kernel"]).max() == pytest.approx(0.03, rel=0.05)
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, rtol=1e-3, atol=1e-6, err_msg=name)
