from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kdepth.losses import numerics

maps = arrays(np.float32, (2, 3, 4, 1), elements=st.floats(-100, 100, width=32))
masks = arrays(np.float32, (2, 3, 4, 1), elements=st.sampled_from([0.0, 1.0]))
ODD = [np.nan, np.inf, -np.inf, 0.0, -1.0]


def gradient(function, x):
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(function(x))
    return tape.gradient(total, x).numpy()


@given(maps, masks)
def test_masked_sums(x, mask):
    term = numerics.masked_sums(x, mask)
    np.testing.assert_allclose(term.numerator, (x * mask).sum((1, 2, 3)), rtol=1e-5, atol=1e-3)
    np.testing.assert_array_equal(term.denominator, mask.sum((1, 2, 3)))


def test_a_mask_counts_once_per_channel():
    x = np.ones((2, 3, 4, 5), np.float32)
    mask = np.zeros((2, 3, 4, 1), np.float32)
    mask[0, :2] = 1.0
    term = numerics.masked_sums(x, mask)
    np.testing.assert_array_equal(term.numerator, [40.0, 0.0])
    np.testing.assert_array_equal(term.denominator, [40.0, 0.0])


@pytest.mark.parametrize("odd", ODD)
def test_nothing_leaks_through_a_mask(odd):
    x = np.float32([[1.0, odd, 3.0]])
    mask = np.float32([[1.0, 0.0, 1.0]])
    term = numerics.masked_sums(x, mask)
    assert (float(term.numerator[0]), float(term.denominator[0])) == (4.0, 2.0)
    found = gradient(lambda x: numerics.masked_sums(x, mask).numerator, x)
    np.testing.assert_array_equal(found, mask)


def test_a_soft_mask_weights_and_is_learned():
    x, mask = np.float32([[1.0, 2.0, 4.0]]), np.float32([[0.5, 0.25, 0.0]])
    assert float(numerics.masked_sums(x, mask).numerator[0]) == 1.0
    found = gradient(lambda mask: numerics.masked_sums(x, mask).numerator, mask)
    np.testing.assert_array_equal(found, [[1.0, 2.0, 0.0]])


@given(maps)
def test_plain_terms(x):
    mean, total = numerics.mean_term(x), numerics.sum_term(x)
    np.testing.assert_array_equal(mean.denominator, [12.0, 12.0])
    np.testing.assert_array_equal(total.denominator, [1.0, 1.0])
    for term in (mean, total):
        np.testing.assert_allclose(term.numerator, x.sum((1, 2, 3)), rtol=1e-4, atol=1e-3)


def test_safe_log():
    x = np.float32([1.0, np.e, 0.0, -1.0])
    np.testing.assert_allclose(numerics.safe_log(x), [0, 1, 0, 0], atol=1e-7)
    np.testing.assert_allclose(gradient(numerics.safe_log, x), [1, 1 / np.e, 0, 0], rtol=1e-6)


@pytest.mark.parametrize("odd", ODD)
def test_safe_log_outside_its_mask(odd):
    x, mask = np.float32([2.0, odd]), np.array([True, False])
    for m in (mask, mask.astype(np.float32)):
        np.testing.assert_allclose(numerics.safe_log(x, m), [np.log(2.0), 0])
        found = gradient(lambda x, m=m: numerics.safe_log(x, m), x)
        np.testing.assert_array_equal(found, [0.5, 0.0])


@pytest.mark.parametrize("odd", ODD)
def test_safe_divide_outside_its_mask(odd):
    numerator, denominator = np.float32([3.0, odd, 1.0]), np.float32([2.0, 1.0, odd])
    mask = np.float32([1.0, 0.0, 0.0])
    np.testing.assert_array_equal(
        numerics.safe_divide(numerator, denominator, mask), [1.5, 0.0, 0.0]
    )
    to_numerator = gradient(lambda x: numerics.safe_divide(x, denominator, mask), numerator)
    to_denominator = gradient(lambda x: numerics.safe_divide(numerator, x, mask), denominator)
    np.testing.assert_array_equal(to_numerator, [0.5, 0.0, 0.0])
    np.testing.assert_array_equal(to_denominator, [-0.75, 0.0, 0.0])


def test_safe_divide_by_zero():
    numerator, denominator = np.float32([3.0, 0.0, 1.0]), np.float32([2.0, 0.0, 0.0])
    np.testing.assert_array_equal(numerics.safe_divide(numerator, denominator), [1.5, 0, 0])
    found = gradient(lambda x: numerics.safe_divide(numerator, x), denominator)
    np.testing.assert_array_equal(found, [-0.75, 0.0, 0.0])


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        (("float16", "float32"), "float32"),
        (("bfloat16", "uint8"), "float32"),
        (("float16", "float64"), "float64"),
    ],
)
def test_one_float_dtype(dtypes, expected):
    tensors = numerics.as_floats(*(tf.ones((2,), dtype) for dtype in dtypes))
    assert {tensor.dtype.name for tensor in tensors} == {expected}
