from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import numpy as np

from kdepth.data import order

SEEDS = st.integers(-(2**31), 2**63)


@hypothesis.given(st.integers(1, 300), SEEDS, st.integers(0, 1000))
def test_an_order_is_a_pure_permutation(count, seed, epoch):
    first = order.permutation(count, seed, epoch)
    np.testing.assert_array_equal(np.sort(first), np.arange(count))
    np.testing.assert_array_equal(first, order.permutation(count, seed, epoch))


@hypothesis.given(st.integers(20, 100), SEEDS, st.integers(0, 1000))
def test_epochs_and_seeds_differ(count, seed, epoch):
    first = order.permutation(count, seed, epoch)
    assert (first != order.permutation(count, seed, epoch + 1)).any()
    assert (first != order.permutation(count, seed + 1, epoch)).any()


@hypothesis.given(st.integers(1, 100), SEEDS, st.integers(0, 1000))
def test_a_samples_seed_does_not_depend_on_the_count(count, seed, epoch):
    seeds = order.sample_seeds(count, seed, epoch)
    assert seeds.shape == (count, 2) and seeds.dtype == np.int64 and (seeds >= 0).all()
    np.testing.assert_array_equal(order.sample_seeds(count + 7, seed, epoch)[:count], seeds)
    assert len(np.unique(seeds)) == 2 * count


def test_numbers_stay_for_ever():
    # A run may be resumed by a later version, so these must never change.
    assert order.permutation(8, seed=1, epoch=2).tolist() == [4, 2, 0, 6, 1, 5, 7, 3]
    expected = [[5306209929731150995, 3887202137276089673]]
    assert order.sample_seeds(1, seed=1, epoch=2).tolist() == expected


def test_every_place_is_equally_likely():
    first = [order.permutation(10, seed, 0)[0] for seed in range(2000)]
    counts = np.bincount(first, minlength=10)
    assert np.abs(counts - 200).max() < 70
