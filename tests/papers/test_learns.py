"""Every paper learns within a minute: its error on streets that it never saw falls by a fifth.

Small networks, small pictures and few steps, so this shows that training works, not how well; what
the configs reach is in docs/learning.csv.
"""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras  # noqa: E402

import kdepth  # noqa: E402
from kdepth.data import synthetic  # noqa: E402
from kdepth.data.one_by_one import evaluation_samples  # noqa: E402
from kdepth.data.world.settings import WorldSettings  # noqa: E402
from kdepth.evaluation.metrics import depth_metrics  # noqa: E402
from kdepth.evaluation.scaling import median_ratio  # noqa: E402

HEIGHT, WIDTH = 64, 208
NEAR, FAR = 1e-3, 80.0
# Options, epochs of the stages, learning rate.
SETTINGS = {
    "eigen": ({"width": 0.1, "row_share": 1.0, "layer_rates": False}, (8, 1), 1e-3),
    "garg": ({"width": 0.1}, (8, 1, 0, 0), 1e-3),
    "monodepth": ({"width": 0.1, "max_disparity": 0.2, "border": "edge"}, (6,), 1e-3),
    "sfmlearner": ({"width": 0.25, "smooth_weight": 0.05, "border": "edge"}, (10,), 1e-3),
    "scdepth": ({"width": 0.1, "joint_calls": True, "smooth_weight": 0.01}, (6,), 1e-3),
}


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    """24 streets to train on and 8 others to test on, five pairs each."""
    settings = WorldSettings(
        train_drives=24, test_drives=8, frames=5, height=HEIGHT, width=WIDTH, supersample=1, seed=3
    )
    return synthetic.ensure(tmp_path_factory.mktemp("streets"), settings, workers=2)


def held_out_error(model, world):
    """abs_rel on the test streets, each picture scaled by its median."""
    height, width = model.image_size
    errors = []
    samples = evaluation_samples(
        "synthetic", data_dir=world, split="test", height=height, width=width, resize=model.resize
    )
    for sample in samples:
        truth = sample["depth"][..., 0] if sample["depth"].ndim == 3 else sample["depth"]
        prediction = model.predict_depth(sample["image"][None])
        inverse = prediction.resize(*truth.shape).values[0]
        depth = inverse if prediction.quantity == "depth" else 1.0 / np.maximum(inverse, 1e-6)
        valid = (truth > NEAR) & (truth < FAR)
        depth, truth = depth[valid], truth[valid]
        depth = np.clip(depth * median_ratio(depth, truth), NEAR, FAR)
        errors.append(depth_metrics(depth, truth)["abs_rel"])
    assert len(errors) == 40
    return float(np.mean(errors))


@pytest.mark.slow
@pytest.mark.parametrize("paper", list(SETTINGS))
def test_the_error_on_unseen_streets_falls_by_a_fifth(paper, streets):
    options, epochs, rate = SETTINGS[paper]
    model = kdepth.create(paper, height=HEIGHT, image_width=WIDTH, seed=1, **options)
    before = held_out_error(model, streets)
    data = kdepth.data.load(
        "synthetic", data_dir=streets, split="train", model=model, batch_size=4, seed=1
    )
    model.compile(keras.optimizers.Adam(rate), clip_norm=1.0)
    for stage, count in zip(model.stages, epochs):
        if count:
            steps = count * int(data.cardinality())
            schedule = keras.optimizers.schedules.CosineDecay(rate, steps)
            model.enter_stage(stage.name, keras.optimizers.Adam(schedule))
            model.fit(data, epochs=count, verbose=0)
    after = held_out_error(model, streets)
    assert after < 0.8 * before, f"abs_rel {before:.3f} -> {after:.3f}"
