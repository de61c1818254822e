"""Layers by hand, and that XLA and gradients take them."""

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

import keras  # noqa: E402

from kdepth.networks.layers import NearestUp2, ReflectPad, every_second  # noqa: E402


@pytest.mark.parametrize("jit", [False, True])
def test_nearest_up_repeats_rows_and_columns_and_its_gradient_sums_them(jit):
    x = np.random.default_rng(0).random((2, 3, 4, 5)).astype(np.float32)
    layer = NearestUp2()
    upstream = np.random.default_rng(1).random((2, 6, 8, 5)).astype(np.float32)

    @tf.function(jit_compile=jit)
    def run(values):
        with tf.GradientTape() as tape:
            tape.watch(values)
            up = layer(values)
            total = tf.reduce_sum(up * upstream)
        return up, tape.gradient(total, values)

    up, gradient = run(tf.constant(x))
    np.testing.assert_array_equal(up, x.repeat(2, 1).repeat(2, 2))
    wanted = upstream.reshape(2, 3, 2, 4, 2, 5).sum((2, 4))
    np.testing.assert_allclose(gradient, wanted, rtol=1e-5)


def test_reflect_pad_mirrors_without_the_border():
    x = np.random.default_rng(0).random((1, 3, 4, 2)).astype(np.float32)
    wanted = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    np.testing.assert_array_equal(ReflectPad()(x), wanted)


@pytest.mark.parametrize("size", [(6, 8), (5, 7)])
def test_every_second_pixel_is_what_a_strided_1x1_convolution_sees(size):
    image = keras.Input((*size, 3))
    strided = keras.Model(image, keras.layers.Conv2D(4, 1, 2)(image))
    plain = keras.Model(image, keras.layers.Conv2D(4, 1)(every_second(image, "stride")))
    plain.set_weights(strided.get_weights())
    x = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    np.testing.assert_allclose(plain(x), strided(x), rtol=1e-6, atol=1e-6)
