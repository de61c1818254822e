from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdepth.exporters.verify import (
    ParityError,
    Reference,
    parity,
    pattern_pictures,
    prepare_pictures,
    verify,
)
from kdepth.runtime import ModelFacts

FACTS = ModelFacts("garg", "paper", 4, 6, "area", "disparity", "metric")


def test_parity_by_hand():
    reference = np.array([1.0, 2.0, 5.0])
    assert parity(np.array([1.0, 2.0, 5.0]), reference) == 0.0
    assert parity(np.array([1.0, 2.4, 5.0]), reference) == pytest.approx(0.1)
    assert parity(np.array([1.0, np.nan, 5.0]), reference) == np.inf
    assert parity(reference, np.array([1.0, np.inf, 5.0])) == np.inf


def test_parity_of_a_constant_is_relative():
    assert parity(np.full(3, 2.0), np.full(3, 2.0)) == 0.0
    assert parity(np.full(3, 2.02), np.full(3, 2.0)) == pytest.approx(0.01)
    assert parity(np.ones(3), np.zeros(3)) == np.inf


@given(
    st.lists(st.floats(-1e3, 1e3, width=32), min_size=2, max_size=20),
    st.floats(0.01, 100.0),
    st.floats(-5.0, 5.0),
)
def test_parity_does_not_depend_on_the_unit(values, factor, shift):
    """Disparity in pixels or in fractions, depth in metres or feet: the same figure."""
    reference = np.array(values)
    if np.ptp(reference) < 1e-3:
        return
    other = reference + np.linspace(0, 0.1, len(values)) * np.ptp(reference)
    scaled = parity(factor * other + shift, factor * reference + shift)
    assert scaled == pytest.approx(parity(other, reference), rel=1e-6, abs=1e-9)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="must have shape"):
        parity(np.zeros((2, 3)), np.zeros((3, 2)))


def run_verify(monkeypatch, tmp_path, values, reference, precision="float32"):
    """Compares maps of the network's own size, so that nothing is resized."""
    ordered = iter(values)
    monkeypatch.setattr(
        "kdepth.exporters.verify.open_network", lambda *a: lambda images: next(ordered)[None]
    )
    pictures = [np.zeros((4, 6, 3), np.float32)] * len(reference)
    expected = Reference(pictures, [r[None, ..., 0] for r in reference])
    return verify(tmp_path / "a.onnx", FACTS, expected, precision)


def test_the_worst_picture_counts(monkeypatch, tmp_path):
    reference = np.random.default_rng(0).uniform(0, 1, (3, 4, 6, 1)).astype(np.float32)
    reference[1] *= 1e-3  # a picture of little range must not hide behind the others
    values = reference.copy()
    values[1, 0, 0] += 5e-7
    expected = 5e-7 / np.ptp(reference[1])
    assert run_verify(monkeypatch, tmp_path, values, reference, "float16").value == pytest.approx(
        expected, rel=0.1
    )
    with pytest.raises(ParityError, match="a.onnx differs"):
        run_verify(monkeypatch, tmp_path, values, reference)


def test_a_collapsed_network_is_named_as_the_likely_cause(monkeypatch, tmp_path):
    reference = np.full((1, 4, 6, 1), 0.3, np.float32)
    reference[0, 0, 0] += 1e-6
    with pytest.raises(ParityError, match="almost constant"):
        run_verify(monkeypatch, tmp_path, reference + np.float32(1e-7), reference)


@pytest.mark.parametrize("precision", ["int8", "int8_float_io"])
def test_a_broken_8_bit_file_is_refused_with_a_hint(monkeypatch, tmp_path, precision):
    reference = np.random.default_rng(0).uniform(0, 1, (1, 4, 6, 1)).astype(np.float32)
    with pytest.raises(ParityError, match="int8_float_head keeps the last layers"):
        run_verify(monkeypatch, tmp_path, reference[:, ::-1], reference, precision)


def test_another_shape_is_refused(tmp_path, monkeypatch):
    facts = ModelFacts("x", "", 4, 6, "area", "pose", "relative", part="pose", frames=2)
    monkeypatch.setattr(
        "kdepth.exporters.verify.open_network", lambda *a: lambda images: np.zeros((1, 2, 6))
    )
    pictures = [np.zeros((4, 6, 3), np.float32)]
    with pytest.raises(ParityError, match="returns shape"):
        verify(tmp_path / "a.onnx", facts, Reference(pictures, [np.zeros((1, 1, 6))]), "float32")


def test_patterns_are_pictures_and_the_same_every_time():
    first, again = pattern_pictures(20, 30, count=3), pattern_pictures(20, 30, count=3)
    for picture, same in zip(first, again):
        np.testing.assert_array_equal(picture, same)
        assert picture.shape == (20, 30, 3) and picture.dtype == np.float32
        assert picture.min() >= 0.0 and picture.max() <= 1.0 and picture.std() > 0.05
    assert np.abs(first[0] - first[1]).max() > 0.1


def test_pictures_of_any_size_become_one_batch():
    pictures = [np.full((8, 12, 3), 255, np.uint8), np.zeros((4, 6, 3), np.float32)]
    images = prepare_pictures(FACTS, pictures)
    assert images.shape == (2, 4, 6, 3) and images.dtype == np.float32
    assert images[0].min() == 1.0 and images[1].max() == 0.0


def test_both_views_of_a_pair_are_brought_to_size_alike():
    facts = ModelFacts("monodepth", "vgg-stereo", 4, 6, "area", "disparity", "metric", frames=2)
    left, right = np.random.default_rng(0).uniform(0, 1, (2, 8, 12, 3)).astype(np.float32)
    images = prepare_pictures(facts, [np.concatenate([left, right], axis=-1)])
    single = prepare_pictures(FACTS, [left, right])
    assert images.shape == (1, 4, 6, 6)
    np.testing.assert_array_equal(images[0], np.concatenate([*single], axis=-1))
