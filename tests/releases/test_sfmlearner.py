"""SfMLearner's checkpoints: the released graphs' outputs, and the batch-norm version in NumPy."""

from __future__ import annotations

import json

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

import kdepth  # noqa: E402
from kdepth import backend, releases  # noqa: E402
from kdepth.papers import sfmlearner2017  # noqa: E402
from tests.golden.weights import tf1  # noqa: E402
from tests.releases import numpy_layers as layers  # noqa: E402
from tests.releases.checkpoints import write_tf1  # noqa: E402

WIDTH = 0.05


def assert_close(found, wanted, tolerance=1e-4):
    """Parity: the largest difference as a share of the wanted array's range."""
    found, wanted = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= tolerance * (np.ptp(wanted) or 1.0)


# -- the released graph ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def released(golden, tmp_path_factory):
    """The networks with the seeded weights of the golden outputs, through a checkpoint."""
    folder = tmp_path_factory.mktemp("sfmlearner")
    shapes = json.loads((golden / "net_sfmlearner_variables.json").read_text())
    arrays = {name: tf1(name, tuple(shape), seed=122) for name, shape in shapes.items()}
    path = write_tf1(folder / "model-190532", {**arrays, "global_step": np.int32(190532)})
    report = releases.convert("sfmlearner", path, folder / "out")
    assert (report.used, report.ignored) == (len(shapes), {"the step counter": 1})
    assert report.parameters == 31_596_900 + 2_639_180
    return kdepth.load_run(folder / "out")


def test_golden_outputs_of_the_depth_network(released, golden):
    data = np.load(golden / "net_sfmlearner.npz", allow_pickle=False)
    for s, disparity in enumerate(released.parts()["depth"](data["target"])):
        assert_close(disparity, data[f"disp{s}"])


def test_golden_outputs_of_the_pose_network(released, golden):
    data = np.load(golden / "net_sfmlearner.npz", allow_pickle=False)
    frames = np.concatenate([data["target"], data["sources"]], -1)
    outputs = released.parts()["pose"](frames)
    assert_close(outputs["poses"], data["poses"])
    for s in range(4):
        assert_close(outputs[f"explain_logits{s}"], data[f"explain_logits{s}"])


def test_frames_in_time_order_and_a_batch_reach_the_networks_as_the_release_has_them(
    released, golden
):
    data = np.load(golden / "net_sfmlearner.npz", allow_pickle=False)
    target, before, after = data["target"], data["sources"][..., :3], data["sources"][..., 3:]
    in_time = 0.5 * np.concatenate([before, target, after], -1) + 0.5
    assert_close(released.pose_outputs(in_time)["pose"], data["poses"])
    sources = 0.5 * np.stack([before, after], 1) + 0.5
    outputs = released.forward({"image": 0.5 * target + 0.5, "sources": sources}, training=False)
    assert_close(outputs["poses"], data["poses"])
    assert_close(outputs["disp0"], data["disp0"])
    assert_close(released.depth_outputs(0.5 * target + 0.5)["inverse_depth"], data["disp0"])


# -- every form of it, small, in NumPy ---------------------------------------------------------------------------------


class ReleasedGraph:
    """Both released graphs in NumPy; makes the checkpoint's tensors as it goes."""

    def __init__(self, batch_norm):
        self.batch_norm, self.arrays = batch_norm, {}

    def variable(self, name, shape):
        self.arrays[name] = tf1(name, shape, seed=5)
        return self.arrays[name].astype(np.float64)

    def finish(self, x, name, channels):
        """Batch norm or bias, then ReLU."""
        if not self.batch_norm:
            return np.maximum(x + self.variable(f"{name}/biases", (channels,)), 0)
        # The release never updated the moving averages.
        self.arrays[f"{name}/BatchNorm/moving_mean"] = np.zeros(channels, np.float32)
        self.arrays[f"{name}/BatchNorm/moving_variance"] = np.ones(channels, np.float32)
        beta = self.variable(f"{name}/BatchNorm/beta", (channels,))
        return np.maximum(layers.batch_norm(x, beta), 0)

    def conv(self, x, name, channels, kernel, stride):
        weights = self.variable(f"{name}/weights", (kernel, kernel, x.shape[-1], channels))
        return self.finish(layers.conv_same(x, weights, stride), name, channels)

    def upconv(self, x, name, channels, kernel):
        weights = self.variable(f"{name}/weights", (kernel, kernel, channels, x.shape[-1]))
        return self.finish(layers.transposed_same(x, weights), name, channels)

    def predict(self, x, name, channels, kernel):
        weights = self.variable(f"{name}/weights", (kernel, kernel, x.shape[-1], channels))
        return layers.conv_same(x, weights, 1) + self.variable(f"{name}/biases", (channels,))

    def disparities(self, x):
        height, width = x.shape[1:3]
        skips, found = [], []
        for level, (channels, kernel) in enumerate(
            [(32, 7), (64, 5), (128, 3), (256, 3)] + [(512, 3)] * 3, start=1
        ):
            x = self.conv(x, f"depth_net/cnv{level}", scaled(channels), kernel, 2)
            x = self.conv(x, f"depth_net/cnv{level}b", scaled(channels), kernel, 1)
            skips.append(x)
        for level, channels in zip(range(7, 0, -1), (512, 512, 256, 128, 64, 32, 16)):
            x = self.upconv(x, f"depth_net/upcnv{level}", scaled(channels), 3)
            skip = [skips[level - 2]] if level > 1 else []
            x = layers.resize_nearest(x, *(skip[0].shape[1:3] if skip else (height, width)))
            together = [x, *skip, *map(layers.bilinear_up2, found[-1:])]
            x = np.concatenate(together, -1)
            x = self.conv(x, f"depth_net/icnv{level}", scaled(channels), 3, 1)
            if level <= 4:
                logits = self.predict(x, f"depth_net/disp{level}", 1, 3)
                found.append(10 * layers.sigmoid(logits) + 0.01)
        return found[::-1]

    def motion(self, x, sources, masks):
        for level, (channels, kernel) in enumerate(
            [(16, 7), (32, 5), (64, 3), (128, 3), (256, 3)], start=1
        ):
            x = self.conv(x, f"pose_exp_net/cnv{level}", scaled(channels), kernel, 2)
        shared = x
        for level in (6, 7):
            x = self.conv(x, f"pose_exp_net/pose/cnv{level}", scaled(256), 3, 2)
        x = self.predict(x, "pose_exp_net/pose/pred", 6 * sources, 1).mean((1, 2))
        found = {"poses": 0.01 * x.reshape(-1, sources, 6)}
        x = shared
        for level, channels, kernel in (
            [(5, 256, 3), (4, 128, 3), (3, 64, 3), (2, 32, 5), (1, 16, 7)] if masks else ()
        ):
            x = self.upconv(x, f"pose_exp_net/exp/upcnv{level}", scaled(channels), kernel)
            if level <= 4:
                logits = self.predict(x, f"pose_exp_net/exp/mask{level}", 2 * sources, kernel)
                found[f"explain_logits{level - 1}"] = logits
        return found


def scaled(channels):
    return max(4, round(channels * WIDTH))


@pytest.mark.parametrize(("batch_norm", "masks", "sequence"), [(True, True, 3), (False, False, 5)])
def test_every_form_equals_the_release_in_numpy(batch_norm, masks, sequence, tmp_path):
    rng = np.random.default_rng(0)
    # The masks' decoder doubles without a crop; elsewhere sizes are odd on the way down.
    height, width = (32, 64) if masks else (40, 72)
    image = rng.uniform(-1, 1, (1, height, width, 3))
    frames = rng.uniform(-1, 1, (1, height, width, 3 * sequence))
    graph = ReleasedGraph(batch_norm)
    wanted = graph.disparities(image)
    motion = graph.motion(frames, sequence - 1, masks)
    path = write_tf1(tmp_path / "model", graph.arrays)
    size = {"height": height, "image_width": width}
    report = releases.convert("sfmlearner", path, tmp_path / "out", width=WIDTH, **size)
    assert report.used == len(graph.arrays) and not report.ignored and not report.fresh
    model = kdepth.load_run(tmp_path / "out")
    assert (model.batch_norm, model.has_masks, model.pose_frames) == (batch_norm, masks, sequence)
    for found, disparity in zip(model.parts()["depth"](image.astype(np.float32)), wanted):
        assert_close(found, disparity)
    found = model.parts()["pose"](frames.astype(np.float32))
    assert set(found) == set(motion)
    for name, values in motion.items():
        assert_close(found[name], values)


def test_image_statistics_are_those_of_a_batch_of_one():
    """In inference each image by itself; in training the batch, as plain batch norm."""
    build = sfmlearner2017.build_depth_network
    network, plain = build(40, 72, WIDTH, True, True), build(40, 72, WIDTH, True)
    images = np.random.default_rng(0).uniform(-1, 1, (2, 40, 72, 3)).astype(np.float32)
    before = [backend.to_numpy(v).copy() for v in network.weights]
    together = backend.to_numpy(network(images, training=False)[0])
    alone = backend.to_numpy(network(images[1:], training=False)[0])
    assert_close(together[1:], alone, 1e-5)
    for variable, value in zip(network.weights, before):
        np.testing.assert_array_equal(backend.to_numpy(variable), value)

    for ours, theirs in zip(plain.weights, network.weights):
        ours.assign(backend.to_numpy(theirs))
    one = backend.to_numpy(plain(images[1:], training=True)[0])  # statistics of a batch of one
    assert_close(alone, one, 1e-4)
    trained = backend.to_numpy(network(images, training=True)[0])
    for ours, theirs in zip(plain.weights, before):
        ours.assign(theirs)
    assert_close(trained, backend.to_numpy(plain(images, training=True)[0]), 1e-5)
    with pytest.raises(kdepth.errors.UserError, match="image_statistics is for batch_norm=True"):
        kdepth.create("sfmlearner", image_statistics=True)
