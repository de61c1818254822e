from __future__ import annotations

import numpy as np
import pytest

from kdepth.errors import UserError
from kdepth.evaluation.baselines import fit
from kdepth.evaluation.by_distance import ErrorByDistance
from kdepth.evaluation.protocols import Protocol
from kdepth.evaluation.scaling import Alignment
from kdepth.evaluation.scoring import SYSTEM, score, sequence_alignments
from kdepth.geometry.camera import Camera
from kdepth.prediction import Prediction, Rig

CAMERA = Camera(fx=40.0, fy=40.0, cx=15.5, cy=7.5, width=32, height=16)
PROTOCOL = Protocol("p")


def make_samples(count=3, seed=0, **more):
    rng = np.random.default_rng(seed)
    return [
        {
            "name": f"frame {i}",
            "index": i,
            "image": np.zeros((8, 16, 3), np.float32),
            "image_native": np.zeros((16, 32, 3), np.uint8),
            "depth": rng.uniform(2, 60, (16, 32)).astype(np.float32),
            "camera": CAMERA,
            **more,
        }
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def baselines():
    return fit([sample["depth"] for sample in make_samples(5, seed=1)], PROTOCOL, grid=(16, 32))


def oracle(quantity="depth", change=lambda depth: depth):
    """Predicts the (changed) truth; disparities are those of a baseline of 0.5 m."""

    def predict(samples):
        found = []
        for sample in samples:
            depth = change(sample["depth"])
            values = {
                "depth": depth,
                "inverse_depth": 1 / np.maximum(depth, 1e-3),
                "disparity": CAMERA.fx / CAMERA.width * 0.5 / np.maximum(depth, 1e-3),
            }[quantity]
            found.append(Prediction(**{quantity: values[None].astype(np.float32)}))
        return found

    return predict


@pytest.mark.parametrize("quantity", ["depth", "inverse_depth", "disparity"])
def test_the_truth_scores_zero(baselines, quantity):
    scores = score(
        make_samples(), oracle(quantity), PROTOCOL, baselines, rig=Rig(0.5, 1.25), batch_size=2
    )
    assert scores.names == ["frame 0", "frame 1", "frame 2"]
    means = scores.mean()
    assert means["abs_rel"] == pytest.approx(0, abs=1e-6) and means["delta1"] == 1
    assert scores.gain() == pytest.approx(1, abs=1e-6)
    assert set(scores.baseline_means()) == set(baselines.maps)


def test_disparity_takes_the_sample_s_baseline_where_no_rig_is_known(baselines):
    truth = make_samples(baseline=0.5)
    scores = score(truth, oracle("disparity"), PROTOCOL, baselines)
    assert scores.mean()["abs_rel"] == pytest.approx(0, abs=1e-6)
    with pytest.raises(UserError, match="frame 0.*--rig_baseline"):
        score(make_samples(), oracle("disparity"), PROTOCOL, baselines)


def test_baselines_are_scaled_as_the_system_is(baselines):
    scaled = Protocol("p", scaling="median")
    scores = score(make_samples(), oracle(change=lambda d: 3 * d), scaled, baselines)
    assert scores.mean()["abs_rel"] == pytest.approx(0, abs=1e-6)
    # Scaled constants are one and the same prediction: the image's own median.
    means = scores.baseline_means()
    assert means["constant mean"]["abs_rel"] == pytest.approx(means["constant median"]["abs_rel"])
    samples = make_samples()
    expected = np.mean(
        [np.mean(np.abs(np.median(s["depth"]) - s["depth"]) / s["depth"]) for s in samples]
    )
    assert means["constant mean"]["abs_rel"] == pytest.approx(expected, rel=1e-6)


def test_the_strongest_baseline_has_the_lowest_abs_rel(baselines):
    scores = score(make_samples(), oracle(), PROTOCOL, baselines)
    name, value = scores.strongest_baseline()
    assert value == min(means["abs_rel"] for means in scores.baseline_means().values())
    assert scores.baseline_means()[name]["abs_rel"] == value


def test_interpolation_space_of_a_smaller_prediction(baselines):
    """Depths 2 and 10 at twice the width: linear in depth, in inverse depth, or repeated."""
    sample = make_samples(1)[0]
    sample["depth"] = np.full((1, 4), 5.0, np.float32)

    def predict(samples):
        return [Prediction(depth=np.float32([[[2.0, 10.0]]]))]

    expected = {
        "same": [2, 4, 8, 10],
        "inverse": [2, 1 / 0.4, 1 / 0.2, 10],
        "nearest": [2, 2, 10, 10],
    }
    for space, values in expected.items():
        protocol = Protocol("p", interpolation=space)
        scores = score([sample], predict, protocol, baselines, pictures=[0])
        np.testing.assert_allclose(
            scores.pictures[0].prediction, [values], rtol=1e-5, err_msg=space
        )


def test_clip_after_scaling(baselines):
    protocol = Protocol("p", clip=(1e-3, 80.0))
    scores = score(
        make_samples(1), oracle(change=lambda d: d * 1e6), protocol, baselines, pictures=[0]
    )
    assert np.all(scores.pictures[0].prediction == 80)


def test_d1_is_measured_in_native_pixels_before_the_clip(baselines):
    protocol = Protocol("p", disparity_error=True)
    samples = make_samples(1, baseline=4.0)
    samples[0]["depth"][:] = 8.0  # 20 px
    # 16.9 px: off by more than 3 px and 5 %; then 20.5 px.
    wrong = score(samples, oracle(change=lambda d: d * 20 / 16.9), protocol, baselines).mean()
    right = score(samples, oracle(change=lambda d: d * 20 / 20.5), protocol, baselines).mean()
    assert (wrong["d1_all"], right["d1_all"]) == (100.0, 0.0)
    with pytest.raises(UserError, match="baseline"):
        score(make_samples(1), oracle(), protocol, baselines)


def test_bad_predictions_name_the_sample(baselines):
    def predict(samples):
        predictions = oracle()(samples)
        predictions[1].depth[0, 3, 4] = np.nan
        return predictions

    with pytest.raises(UserError, match="frame 1: predictions with NaN"):
        score(make_samples(), predict, PROTOCOL, baselines)


def test_images_without_truth_are_left_out(baselines):
    samples = make_samples()
    samples[1]["depth"][:] = 0
    scores = score(samples, oracle(), PROTOCOL, baselines)
    assert scores.names == ["frame 0", "frame 2"] and scores.unscored == ["frame 1"]
    with pytest.raises(UserError, match="none of 1 images"):
        score([samples[1]], oracle(), PROTOCOL, baselines)
    with pytest.raises(UserError, match="no image"):
        score([], oracle(), PROTOCOL, baselines)


def test_depth_with_a_channel_axis_is_the_same(baselines):
    flat, channel = make_samples(), make_samples()
    for sample in channel:
        sample["depth"] = sample["depth"][..., None]

    def predict(samples):
        return [Prediction(depth=np.full((1, 16, 32), 9, np.float32)) for _ in samples]

    first, second = (score(s, predict, PROTOCOL, baselines) for s in (flat, channel))
    assert first.mean() == second.mean()


def test_one_factor_for_all_images_of_a_sequence(baselines):
    """Sequence a is seen 2, 2 and 5 times too small, sequence b 10 times."""
    samples = make_samples(4)
    names = ("a 0", "b 0", "a 1", "a 2")  # not side by side
    for sample, name, factor in zip(samples, names, (2, 10, 2, 5)):
        sample.update(name=name, factor=factor)

    def predict(samples):
        return [
            Prediction(depth=(s["depth"] / s["factor"])[None].astype(np.float32)) for s in samples
        ]

    protocol = Protocol("p", scaling="median_sequence")
    found = sequence_alignments(samples, predict, protocol, baselines, batch_size=3)
    assert found["a", SYSTEM] == Alignment(pytest.approx(2.0, rel=1e-6))
    assert found["b", SYSTEM] == Alignment(pytest.approx(10.0, rel=1e-6))
    assert set(found) == {(s, name) for s in "ab" for name in (SYSTEM, *baselines.maps)}
    scores = score(samples, predict, protocol, baselines, alignments=found)
    errors = [row["abs_rel"] for row in scores.system]
    assert errors == pytest.approx([0, 0, 0, 0.6], abs=1e-5)
    assert scores.ratios == pytest.approx([2, 10, 2, 5], rel=1e-5)
    with pytest.raises(ValueError, match="alignments"):
        score(samples, predict, protocol, baselines)


def test_least_squares_undoes_any_line_of_inverse_depth(baselines):
    protocol = Protocol("p", scaling="scale_shift_inverse")

    def predict(samples):
        return [
            Prediction(inverse_depth=(3 / s["depth"] + 0.7)[None].astype(np.float32))
            for s in samples
        ]

    assert score(make_samples(), predict, protocol, baselines).mean()["abs_rel"] < 1e-4


def test_every_image_and_every_distance_can_be_looked_at(baselines):
    samples = make_samples()
    samples[1]["depth"][:] = 0
    seen, bins = [], ErrorByDistance((0, 30, 80))
    for sample in samples:
        del sample["image_native"]
    scores = score(
        samples,
        oracle(change=lambda d: 1.1 * d),
        PROTOCOL,
        baselines,
        each=seen.append,
        by_distance=bins,
    )
    assert [picture.name for picture in seen] == scores.names == ["frame 0", "frame 2"]
    assert seen[0].image is None
    np.testing.assert_array_equal(seen[0].truth, samples[0]["depth"])
    np.testing.assert_allclose(seen[0].prediction, 1.1 * samples[0]["depth"], rtol=1e-6)
    rows = bins.rows()
    assert sum(row["pixels"] for row in rows) == sum(scores.pixels)
    assert [row["bias"] for row in rows] == pytest.approx([0.1, 0.1], rel=1e-5)


def test_baselines_at_some_pixels_are_the_whole_maps_values(baselines):
    pixels = np.array([0, 5, 700, 37 * 45 - 1])
    whole = baselines.predict(37, 45)
    for name, values in baselines.at(pixels, 37, 45).items():
        np.testing.assert_array_equal(values, whole[name].ravel()[pixels])
