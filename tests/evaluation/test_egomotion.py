"""Pose networks on whole sequences: windows, and the trajectory out of them."""

from __future__ import annotations

import types

import numpy as np
import pytest

from kdepth.data.image import write_image
from kdepth.errors import UserError
from kdepth.evaluation import egomotion, odometry, odometry_cases
from kdepth.evaluation.egomotion import PoseNetwork, chain, predict_windows
from kdepth.geometry import pose


def motions(count, seed=0):
    return pose.from_vector(0.1 * np.random.default_rng(seed).normal(size=(count, 6)))


def network(truth, frames, target, seen=None):
    """Reads the first frame's number from its grey value, and knows the motions that follow."""

    def run(windows):
        assert windows.shape[1:] == (frames, 8, 12, 3) and windows.dtype == np.float32
        first = np.round(windows[:, 0, 0, 0, 0] * 255).astype(int)
        if seen is not None:
            seen.append(len(windows))
        return np.stack([truth[k : k + frames - 1] for k in first])

    return PoseNetwork("fake", "", frames, target, 8, 12, "area", run)


@pytest.fixture
def images(tmp_path):
    files = [tmp_path / f"{k:02d}.png" for k in range(20)]
    for k, file in enumerate(files):
        write_image(file, np.full((16, 24, 3), k, np.uint8))
    return files


@pytest.mark.parametrize(("frames", "target"), [(2, 0), (2, 1), (3, 1), (5, 2), (5, 0), (5, 4)])
def test_right_windows_chain_to_the_true_motions(images, frames, target):
    truth, done = motions(19), []
    windows = predict_windows(network(truth, frames, target), images, done.append)
    np.testing.assert_array_equal(windows, odometry.windows(truth, frames))
    np.testing.assert_array_equal(chain(windows, target), truth)
    assert sum(done) == len(images)


def test_of_each_window_the_motion_that_starts_at_its_target():
    windows = np.arange(3 * 4).reshape(3, 4)[..., None, None] * np.ones((4, 4))
    # Windows hold motions 0-3, 1-4, 2-5; the target is the third frame.
    assert list(chain(windows, 2)[:, 0, 0]) == [0, 1, 2, 6, 10, 11]
    assert list(chain(windows, 4)[:, 0, 0]) == [0, 1, 2, 3, 7, 11]


def test_windows_go_in_batches(images):
    seen = []
    predict_windows(network(motions(19), 3, 1, seen), images)
    assert seen == [8, 8, 2]


def test_five_frame_networks_are_scored_on_their_own_windows(images):
    truth = motions(19)
    sequence = types.SimpleNamespace(name="a", images=images, motions=truth)
    five = network(truth, 5, 2)
    wrong = PoseNetwork(**{**vars(five), "run": lambda x: np.stack([motions(4, 1)] * len(x))})
    (case,) = odometry_cases.from_network(wrong, [sequence])
    errors, straight = case.snippet_errors()
    expected = odometry.snippet_ate(
        odometry.trajectory(np.stack([motions(4, 1)] * 16)),
        odometry.trajectory(odometry.windows(truth)),
    )
    np.testing.assert_allclose(errors, expected)
    assert len(straight) == 16
    (case,) = odometry_cases.from_network(network(truth, 3, 1), [sequence])
    assert case.snippets is None
    np.testing.assert_allclose(case.snippet_errors()[0], 0, atol=1e-12)


def test_an_exported_network_takes_one_window_at_a_time(images, monkeypatch):
    from kdepth import runtime

    truth = motions(19)

    class Exported:
        facts = types.SimpleNamespace(
            paper="scdepth", variant="", frames=3, target=1, height=8, image_width=12, resize="area"
        )

        def __init__(self, path):
            assert path.name == "pose.tflite"

        def __call__(self, frames):
            assert len(frames) == 3 and frames[0].shape == (8, 12, 3)
            first = int(np.round(frames[0][0, 0, 0] * 255))
            return truth[first : first + 2]

    monkeypatch.setattr(runtime, "PoseModel", Exported)
    exported = egomotion.open_network(None, "pose.tflite")
    np.testing.assert_array_equal(chain(predict_windows(exported, images), 1), truth)


def test_what_cannot_be_predicted(images, tmp_path):
    truth = motions(19)
    with pytest.raises(UserError, match="looks at 5 frames together, and the sequence has less"):
        predict_windows(network(truth, 5, 2), images[:4])
    nan = PoseNetwork(
        **{**vars(network(truth, 2, 0)), "run": lambda x: np.full((1, 1, 4, 4), np.nan)}
    )
    with pytest.raises(UserError, match="NaN or inf"):
        predict_windows(nan, images)
    write_image(images[3], np.zeros((8, 24, 3), np.uint8))
    with pytest.raises(UserError, match=r"03.png is 24x8, but .*00.png is 24x16"):
        predict_windows(network(truth, 2, 0), images)
    still = types.SimpleNamespace(paper="garg", pose_frames=None)
    with pytest.raises(UserError, match="garg has no pose network"):
        PoseNetwork.of_model(still)
    with pytest.raises(UserError, match="none.tflite"):
        egomotion.open_network(None, str(tmp_path / "none.tflite"))
