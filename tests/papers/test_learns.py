"""Every paper learns within about a minute: its error on streets that it never saw falls by a fifth.

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
from kdepth.networks.weights import part_weights  # noqa: E402

HEIGHT = 64
NEAR, FAR = 1e-3, 80.0
# Columns of the network's input, options, epochs of the stages, the highest rate, and whose error: of
# depth, or, for papers that learn from video, which take longer to see depth, of the rebuilt views (a
# term's name).
SETTINGS = {
    "eigen": (208, {"width": 0.1, "row_share": 1.0, "layer_rates": False}, (6, 12), 1e-3, "depth"),
    "garg": (208, {"width": 0.1}, (8, 1, 1, 1), 1e-3, "depth"),
    "monodepth": (
        128,
        {"width": 0.1, "encoder": "resnet50", "max_disparity": 0.2, "border": "edge"},
        (5,),
        1e-3,
        "depth",
    ),
    "sfmlearner": (
        208,
        {"width": 0.25, "explain_weight": 0.0, "smooth_weight": 0.05, "border": "edge", "flip": True},
        (30,),
        1e-3,
        "pixel",
    ),
    "scdepth": (
        96,
        {"width": 0.1, "joint_calls": True, "smooth_weight": 0.01},
        (10,),
        2e-3,
        "photometric",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    """24 streets to train on and 8 others to test on, five pairs each."""
    settings = WorldSettings(
        train_drives=24, test_drives=8, frames=5, height=64, width=208, supersample=1, seed=3
    )
    return synthetic.ensure(tmp_path_factory.mktemp("streets"), settings, workers=2)


def held_out_error(model, world, error):
    if error != "depth":
        return model.evaluate(batches(model, world, "test"), verbose=0, return_dict=True)[error]
    height, width = model.image_size
    errors = []
    for sample in evaluation_samples(
        "synthetic", data_dir=world, split="test", height=height, width=width, resize=model.resize
    ):
        errors.append(abs_rel(model.predict_depth(sample["image"]), sample["depth"]))
    assert len(errors) == 40
    return np.mean(errors)


def abs_rel(prediction, truth):
    """Scaled by the median, so that it is the shape of depth that has to be learned."""
    inverse = prediction.resize(*truth.shape).values[0]
    depth = inverse if prediction.quantity == "depth" else 1.0 / np.maximum(inverse, 1e-6)
    valid = (truth > NEAR) & (truth < FAR)
    depth, truth = depth[valid], truth[valid]
    depth = np.clip(depth * median_ratio(depth, truth), NEAR, FAR)
    return depth_metrics(depth, truth)["abs_rel"]


def batches(model, world, split):
    return kdepth.data.load(
        "synthetic", data_dir=world, split=split, model=model, batch_size=4, seed=1,
        training=split == "train",
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("paper", list(SETTINGS))
def test_the_error_on_unseen_streets_falls_by_a_fifth(paper, streets):
    """And what a stage does not train stays bit-equal."""
    width, options, epochs, highest_rate, error = SETTINGS[paper]
    model = kdepth.create(paper, height=HEIGHT, image_width=width, seed=1, **options)
    data = batches(model, streets, "train")
    model.compile(clip_norm=1.0)
    before = held_out_error(model, streets, error)
    for stage, count in zip(model.stages, epochs):
        steps = count * int(data.cardinality())
        rate = keras.optimizers.schedules.CosineDecay(highest_rate, steps)
        model.enter_stage(stage.name, keras.optimizers.Adam(rate))
        frozen = {
            name: part_weights(part)
            for name, part in model.parts().items()
            if name not in stage.trainable_parts
        }
        model.fit(data, epochs=count, verbose=0)
        for name, weights in frozen.items():
            for path, value in part_weights(model.parts()[name]).items():
                np.testing.assert_array_equal(value, weights[path], err_msg=f"{name}/{path}")
    after = held_out_error(model, streets, error)
    assert after < 0.8 * before, f"{error}: {before:.3f} -> {after:.3f}"
