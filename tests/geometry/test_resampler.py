from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from kdepth.backend import KERAS3
from kdepth.errors import UserError
from kdepth.geometry import warp

# Under Keras 3 "auto" is the own kernel.
CHOICES = ["own"] if KERAS3 else ["addons", "own"]


def reference(image: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Bilinear sampling in float64 with a zero ring, one coordinate after the other."""
    image = np.float64(image)
    _, height, width, channels = image.shape
    result = np.zeros((*xy.shape[:-1], channels))
    for index in np.ndindex(xy.shape[:-1]):
        x, y = np.float64(xy[index])
        if not (np.isfinite(x) and np.isfinite(y)):
            continue
        for row in (int(np.floor(y)), int(np.floor(y)) + 1):
            for column in (int(np.floor(x)), int(np.floor(x)) + 1):
                if 0 <= row < height and 0 <= column < width:
                    weight = (1 - abs(x - column)) * (1 - abs(y - row))
                    result[index] += weight * image[index[0], row, column]
    return result


def value_and_gradients(sample, image, xy, upstream):
    image, xy = tf.constant(image), tf.constant(xy)
    with tf.GradientTape() as tape:
        tape.watch([image, xy])
        output = sample(image, xy)
        total = tf.reduce_sum(output * upstream)
    return (output, *tape.gradient(total, [image, xy]))


def test_golden_values_and_gradients(kernel, golden):
    data = np.load(golden / "resampler.npz", allow_pickle=False)
    found = value_and_gradients(kernel, data["data"], data["warp"], data["upstream"])
    for result, name in zip(found, ("output", "grad_data", "grad_warp")):
        np.testing.assert_allclose(result, data[name], atol=1e-5, rtol=0, err_msg=name)


def test_against_a_float64_reference(kernel):
    rng = np.random.default_rng(2)
    image = rng.normal(size=(2, 5, 7, 2)).astype(np.float32)
    xy = rng.uniform(-4, 10, (2, 200, 2)).astype(np.float32)
    xy[0, :8] = [[-1, 0], [0, -1], [6, 4], [7, 2], [3, 5], [-0.5, -0.5], [6.5, 4.5], [1e9, 1]]
    np.testing.assert_allclose(kernel(image, xy), reference(image, xy), atol=1e-5)


def test_a_row_fades_over_one_pixel(kernel):
    image = np.float32([10, 20, 30, 40]).reshape(1, 1, 4, 1)
    x = np.float32([-1.0, -0.5, 0, 2.5, 3, 3.5, 4.0])
    xy = np.stack([x, np.zeros_like(x)], -1)[None]
    np.testing.assert_allclose(kernel(image, xy)[0, :, 0], [0, 5, 10, 35, 40, 20, 0])


def test_coordinates_that_are_no_numbers(kernel):
    """They sample zero, get no gradient and leave their neighbours' alone."""
    rng = np.random.default_rng(3)
    image = rng.normal(size=(1, 6, 8, 3)).astype(np.float32)
    xy = rng.uniform(0.1, 4.9, (1, 20, 2)).astype(np.float32)
    bad = [np.nan, np.inf, -np.inf, 3e38, -3e38, 1e10, -1e10, 2.0**31, -(2.0**31)]
    for i, value in enumerate(bad):
        xy[0, i, i % 2] = value
    upstream = np.ones((1, 20, 3), np.float32)
    output, to_image, to_xy = value_and_gradients(kernel, image, xy, upstream)
    good = value_and_gradients(kernel, image, xy[:, len(bad) :], upstream[:, len(bad) :])
    np.testing.assert_array_equal(output[0, : len(bad)], np.zeros((len(bad), 3)))
    np.testing.assert_array_equal(to_xy[0, : len(bad)], np.zeros((len(bad), 2)))
    np.testing.assert_array_equal(output[:, len(bad) :], good[0])
    np.testing.assert_allclose(to_image, good[1], atol=1e-6)
    np.testing.assert_array_equal(to_xy[:, len(bad) :], good[2])


@pytest.mark.parametrize("name", CHOICES)
def test_gradients_are_finite_differences(name):
    """In float64, which the kernels keep."""
    rng = np.random.default_rng(4)
    image = rng.normal(size=(1, 4, 5, 2))
    xy = rng.integers(-1, 5, (1, 30, 2)) + rng.uniform(0.1, 0.9, (1, 30, 2))
    upstream = rng.normal(size=(1, 30, 2))
    with warp.use_resampler(name):
        output, to_image, to_xy = value_and_gradients(warp.resampler, image, xy, upstream)
    assert output.dtype == tf.float64
    step = 1e-6
    for axis in range(2):
        shift = step * np.eye(2)[axis]
        slope = (reference(image, xy + shift) - reference(image, xy - shift)) / (2 * step)
        np.testing.assert_allclose(to_xy[..., axis], (slope * upstream).sum(-1), atol=1e-7)
    direction = rng.normal(size=image.shape)
    slope = (reference(direction, xy) * upstream).sum()  # sampling is linear in the image
    assert np.sum(to_image * direction) == pytest.approx(slope)


@given(
    st.tuples(*[st.floats(-5, 5)] * 3),
    st.lists(st.tuples(st.floats(0, 10), st.floats(0, 8)), min_size=6, max_size=6),
)
def test_planes_are_sampled_exactly(plane, points):
    a, b, c = plane
    y, x = np.mgrid[:9, :11]
    image = np.float32(a + b * x + c * y)[None, :, :, None]
    xy = np.float32(points)[None]
    expected = a + b * xy[0, :, 0] + c * xy[0, :, 1]
    np.testing.assert_allclose(warp.resampler(image, xy)[0, :, 0], expected, atol=2e-4)


@pytest.mark.parametrize("name", CHOICES)
def test_a_constant_image_gets_no_gradient_and_coordinates_theirs(name):
    rng = np.random.default_rng(5)
    image = rng.normal(size=(2, 6, 8, 3)).astype(np.float32)
    xy = rng.uniform(-1, 8, (2, 6, 8, 2)).astype(np.float32)
    upstream = rng.normal(size=image.shape).astype(np.float32)
    _, _, expected = value_and_gradients(warp._own_resampler, image, xy, upstream)
    with warp.use_resampler(name):
        _, to_image, to_xy = value_and_gradients(
            lambda image, xy: warp.resampler(image, xy, image_gradient=False), image, xy, upstream
        )
    assert to_image is None or not np.any(to_image)
    np.testing.assert_allclose(to_xy, expected, atol=1e-5)


def test_half_precision_is_computed_in_float32():
    rng = np.random.default_rng(6)
    image = tf.constant(rng.uniform(size=(1, 4, 300, 1)), tf.float16)
    xy = tf.constant(rng.uniform(0, 3, (1, 50, 2)) + [256.0, 0.0], tf.float32)
    output = warp.resampler(image, xy)
    assert output.dtype == tf.float32
    np.testing.assert_allclose(output, reference(image.numpy(), xy.numpy()), atol=1e-4)


# -- where it runs


def test_an_unknown_batch_and_size(kernel):
    rng = np.random.default_rng(7)
    spec = [tf.TensorSpec([None, None, None, 3]), tf.TensorSpec([None, None, 2])]
    sample = tf.function(kernel, input_signature=spec, autograph=False)
    for batch, height, width in ((1, 5, 7), (3, 6, 4)):
        image = rng.normal(size=(batch, height, width, 3)).astype(np.float32)
        xy = rng.uniform(-1, 7, (batch, 40, 2)).astype(np.float32)
        np.testing.assert_allclose(sample(image, xy), reference(image, xy), atol=1e-5)


def test_many_shapes_are_traced_without_a_warning(caplog):
    for width in range(3, 10):
        image = np.ones((1, 4, width, 1), np.float32)
        warp.resampler(image, np.ones((1, 2, 2), np.float32))
    assert "retracing" not in caplog.text


@pytest.mark.parametrize("name", CHOICES)
def test_two_replicas_equal_one(name, two_replicas):
    rng = np.random.default_rng(8)
    image = rng.normal(size=(4, 6, 8, 3)).astype(np.float32)
    start = rng.uniform(-1, 1, (6, 8, 1)).astype(np.float32)
    strategy = two_replicas

    def step(variable, image):
        with tf.GradientTape() as tape:
            disparity = tf.tile(variable[None], (tf.shape(image)[0], 1, 1, 1))
            loss = tf.reduce_sum(tf.square(warp.warp_disparity(image, disparity)))
        return tape.gradient(loss, variable)

    with warp.use_resampler(name):
        one = step(tf.Variable(start), tf.constant(image))
        with strategy.scope():
            variable = tf.Variable(start)
        data = tf.data.Dataset.from_tensors(image).unbatch().batch(4)
        (batch,) = strategy.experimental_distribute_dataset(data)

        @tf.function(autograph=False)
        def run(batch):
            parts = strategy.run(step, (variable, batch))
            return strategy.reduce(tf.distribute.ReduceOp.SUM, parts, axis=None)

        np.testing.assert_allclose(run(batch), one, atol=1e-4)


class Shifter(keras.Model):
    """Learns the disparity between two pictures."""

    def __init__(self):
        super().__init__()
        self.convolution = keras.layers.Conv2D(1, 3, padding="same", name="convolution")
        self.kernels = []

    def call(self, images):
        self.kernels.append(warp.resampler_in_use())
        return warp.warp_disparity(images, self.convolution(images))


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("name", CHOICES)
def test_inside_fit(jit, name):
    images = np.random.default_rng(9).uniform(size=(4, 8, 12, 3)).astype(np.float32)
    with warp.use_resampler(name):
        model = Shifter()
        model.compile("sgd", "mse", jit_compile=jit)
        history = model.fit(images, images, epochs=2, verbose=0)
    assert np.all(np.isfinite(history.history["loss"]))
    assert model.kernels[-1] == ("own" if jit else name)


# -- which kernel


def test_the_choice_is_restored():
    default = warp.resampler_in_use()
    assert default == ("own" if KERAS3 else "addons")
    with warp.use_resampler("own"):
        assert warp.resampler_in_use() == "own"
        with warp.use_resampler("auto"):
            assert warp.resampler_in_use() == default
        assert warp.resampler_in_use() == "own"
    assert warp.resampler_in_use() == default


def test_the_choice_stays_without_a_with_statement():
    default = warp.resampler_in_use()
    choice = warp.use_resampler("own")
    assert warp.resampler_in_use() == "own"
    choice.__exit__()
    assert warp.resampler_in_use() == default


def test_an_unknown_kernel_is_a_users_mistake():
    with pytest.raises(UserError, match="`resampler` must be one of auto, addons, own"):
        warp.use_resampler("tfa")


@pytest.mark.skipif(not KERAS3, reason="TensorFlow Addons is there")
def test_addons_where_it_cannot_run_is_a_users_mistake():
    with pytest.raises(UserError, match="use 'auto'"):
        warp.use_resampler("addons")


def test_the_graph_holds_the_addons_op_only_where_it_should():
    def operations(name):
        with warp.use_resampler(name):
            function = tf.function(warp.resampler, autograph=False)
            concrete = function.get_concrete_function(
                tf.TensorSpec([1, 4, 5, 1]), tf.TensorSpec([1, 3, 2])
            )
        return {operation.type for operation in concrete.graph.get_operations()}

    assert ("Addons>Resampler" in operations("auto")) == (not KERAS3)
    assert "Addons>Resampler" not in operations("own")


@pytest.mark.skipif(KERAS3, reason="TensorFlow Addons needs Keras 2.15")
def test_addons_is_imported_late_and_its_end_of_life_not_announced(run_python):
    program = (
        "import sys; import numpy as np; from kdepth.geometry import warp;"
        "assert 'tensorflow_addons' not in sys.modules;"
        "warp.resampler(np.ones((1, 2, 2, 1)), np.ones((1, 2, 2)));"
        "assert 'tensorflow_addons' in sys.modules"
    )
    assert "TensorFlow Addons" not in run_python(program, "-W", "always")
