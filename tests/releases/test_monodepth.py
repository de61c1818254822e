"""monodepth's checkpoints: the released graph's outputs, and every form of the network in NumPy."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

import kdepth  # noqa: E402
from kdepth import cli, releases  # noqa: E402
from tests.golden import weights as golden_weights  # noqa: E402
from tests.releases import numpy_layers as layers  # noqa: E402
from tests.releases.checkpoints import write_tf1  # noqa: E402

WIDTH = 0.05
SIZES = {"vgg": (128, 128), "resnet50": (64, 64)}  # the smallest


def assert_close(found, wanted, tolerance=1e-4):
    found, wanted = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= tolerance * np.ptp(wanted)


def optimizer_states(arrays):
    """What the training program's saver writes beside the weights."""
    few = list(arrays)[:4]
    return {
        **{f"{name}/{slot}": arrays[name] + 1 for name in few for slot in ("Adam", "Adam_1")},
        "beta1_power": np.float32(0.9),
        "beta2_power": np.float32(0.999),
        "Variable": np.int32(181250),
    }


def test_golden_outputs_of_the_released_vgg(golden, tmp_path, capsys):
    """The released graph's own outputs for seeded weights, through the command."""
    shapes = json.loads((golden / "net_monodepth_vgg_variables.json").read_text())
    arrays = {n: golden_weights.tf1(n, tuple(shape), 121) for n, shape in shapes.items()}
    write_tf1(tmp_path / "models/model_eigen", arrays)
    out = tmp_path / "weights"
    arguments = ["--source=monodepth_vgg", f"--checkpoint={tmp_path}/models/model_eigen"]
    size = ["--height=128", "--image_width=256"]
    assert cli.call("convert", [*arguments, *size, f"--out={out}"]) == 0
    printed = capsys.readouterr().out
    assert "64 tensors: 64 used, 0 ignored" in printed and "31,600,072 numbers" in printed
    assert printed.index("non-commercial") < printed.index("64 tensors")
    assert "Godard 2017 (KITTI), eigen_garg_80" in printed and "abs_rel 0.148" in printed

    expected = np.load(golden / "net_monodepth_vgg.npz")
    model = kdepth.load_run(out)
    outputs = model.forward({"image": tf.constant(expected["image"])}, training=False)
    for scale in range(4):
        assert_close(outputs[f"disparity{scale}"], expected[f"disp{scale}"])
    assert_close(model.predict_depth(expected["image"]).values, expected["disp0"][..., 0])


class ReleasedGraph:
    """The released graph in NumPy, layers numbered in the order in which they are made, as slim does."""

    def __init__(self, encoder, decoder):
        self.encoder, self.up = encoder, self.deconv if decoder == "deconv" else self.upconv
        self.arrays, self.made, self.scope = {}, Counter(), ""

    def variables(self, kind, shape, channels):
        name = f"model/{self.scope}/{kind}"
        number = self.made[name]
        self.made[name] += 1
        name += f"_{number}" if number else ""
        for end, dimensions in (("weights", shape), ("biases", (channels,))):
            array = golden_weights.tf1(f"{name}/{end}", dimensions, 7)
            self.arrays[f"{name}/{end}"] = array
        return [self.arrays[f"{name}/{end}"].astype(np.float64) for end in ("weights", "biases")]

    def conv(self, x, channels, kernel, stride=1, activation=layers.elu):
        shape = (kernel, kernel, x.shape[-1], channels)
        weights, biases = self.variables("Conv", shape, channels)
        return activation(layers.conv_around(x, weights, stride) + biases)

    def upconv(self, x, channels):
        return self.conv(layers.nearest_up2(x), channels, 3)

    def deconv(self, x, channels):
        shape = (3, 3, channels, x.shape[-1])
        weights, biases = self.variables("Conv2d_transpose", shape, channels)
        x = layers.transposed_same(layers.pad(x, (1, 1), (1, 1)), weights)
        return layers.elu(x + biases)[:, 3:-1, 3:-1]

    def bottleneck(self, x, inner, stride):
        linear = {"activation": lambda x: x}
        y = self.conv(self.conv(x, inner, 1), inner, 3, stride)
        y = self.conv(y, 4 * inner, 1, **linear)
        return layers.elu(y + self.conv(x, 4 * inner, 1, stride, **linear))

    def __call__(self, x):
        self.scope = "encoder"
        maps = []
        if self.encoder == "vgg":
            for channels, kernel in [(32, 7), (64, 5), (128, 3), (256, 3)] + [(512, 3)] * 3:
                x = self.conv(x, scaled(channels), kernel)
                x = self.conv(x, scaled(channels), kernel, 2)
                maps.append(x)
        else:
            maps.append(self.conv(x, scaled(64), 7, 2))
            maps.append(layers.max_pool_around(maps[-1]))
            for inner, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
                x = maps[-1]
                for block in range(blocks):
                    x = self.bottleneck(x, scaled(inner), 2 if block == blocks - 1 else 1)
                maps.append(x)
        self.scope = "decoder"
        *skips, x = maps
        disparities = []
        for level in range(len(maps), 0, -1):
            channels = scaled({1: 16, 2: 32, 3: 64, 4: 128, 5: 256}.get(level, 512))
            together = [self.up(x, channels)]
            if level > 1:
                together.append(skips[level - 2])
            together += [layers.nearest_up2(d) for d in disparities[-1:]]
            x = self.conv(np.concatenate(together, -1), channels, 3)
            if level <= 4:
                head = self.conv(x, 2, 3, activation=layers.sigmoid)
                disparities.append(0.3 * head)
        return disparities[::-1]


def scaled(channels):
    return max(4, round(channels * WIDTH))


@pytest.mark.parametrize(
    ("encoder", "decoder", "views"),
    [("vgg", "upconv", 2), ("vgg", "deconv", 1), ("resnet50", "upconv", 1)],
)
def test_every_form_equals_the_release_in_numpy(encoder, decoder, views, tmp_path):
    height, width = SIZES[encoder]
    image = np.random.default_rng(0).random((1, height, width, 3 * views))
    graph = ReleasedGraph(encoder, decoder)
    wanted = graph(image)
    states = optimizer_states(graph.arrays)
    path = write_tf1(tmp_path / "model-1", {**graph.arrays, **states})
    source = f"monodepth_{encoder}"
    small = {"width": WIDTH, "height": height, "image_width": width}
    report = releases.convert(source, path, tmp_path / "out", **small)
    assert report.used == report.variables == len(graph.arrays)
    assert sum(report.ignored.values()) == len(states) and not report.fresh
    model = kdepth.load_run(tmp_path / "out")
    assert model.options["decoder"] == decoder and model.depth_views == views
    found = model.parts()["depth"](image.astype(np.float32))
    for scale in range(4):
        assert_close(found[scale], wanted[scale])


def test_the_full_tables_name_the_published_layers():
    """58,452,008 parameters in 1 + 16 x 4 convolutions and 6 levels."""
    from kdepth.releases import monodepth

    assert len(monodepth.VGG) == 14 and len(monodepth.RESNET50) == 65
    table = monodepth.rows({"encoder": "resnet50", "decoder": "upconv"})
    places = {row.source: row.variable for row in table}
    assert len(places) == 2 * (65 + 12 + 4)
    assert places["model/encoder/Conv/weights"] == "conv1/kernel"
    assert places["model/encoder/Conv_4/biases"] == "stage1_1_project/bias"
    assert places["model/encoder/Conv_64/weights"] == "stage4_3_project/kernel"
    assert places["model/decoder/Conv/weights"] == "upconv6/kernel"
    assert places["model/decoder/Conv_15/weights"] == "disp1_conv/kernel"
