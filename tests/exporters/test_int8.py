"""Files in 8 bits: what goes in and out, and what stays float."""

from __future__ import annotations

import numpy as np
import pytest

from kdepth.errors import UserError
from kdepth.exporters import describe, flatbuffer, graph, int8, tflite, verify
from kdepth.runtime import DepthModel, ModelFacts, open_network

EIGHT_BITS = ("tiny_int8.tflite", "tiny_int8_float_io.tflite", "tiny_int8_float_head.tflite")


def details(path):
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(str(path)).get_signature_runner("serving_default")
    return run.get_input_details()["image"], run.get_output_details()["disparity"]


def test_integers_go_in_and_come_out(exported):
    given, found = details(exported.folder / "tiny_int8.tflite")
    assert given["dtype"] == found["dtype"] == np.int8
    scale, zero_point = given["quantization"]
    assert scale == pytest.approx(1 / 255) and zero_point == -128
    entry = exported.artefacts["tiny_int8.tflite"]
    assert entry.input["dtype"] == entry.output["dtype"] == "int8"
    assert (entry.input["scale"], entry.input["zero_point"]) == (scale, zero_point)
    assert (entry.output["scale"], entry.output["zero_point"]) == found["quantization"]


@pytest.mark.parametrize("name", EIGHT_BITS[1:])
def test_floats_go_in_and_come_out(exported, name):
    given, found = details(exported.folder / name)
    assert given["dtype"] == found["dtype"] == np.float32


def test_raw_pixels_are_the_8_bit_numbers_themselves(raw_depth):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(raw_depth.folder / "raw_int8_float_head.tflite"))
    given = interpreter.get_signature_runner("serving_default").get_input_details()["image"]
    assert given["dtype"] == np.uint8
    assert given["quantization"] == (pytest.approx(1 / 255), 0)


@pytest.mark.parametrize("name", EIGHT_BITS)
def test_8_bits_are_near_the_float_file(exported, name):
    images = np.stack(verify.pattern_pictures(72, 96, count=2, seed=11))
    whole = DepthModel(exported.folder / "tiny.tflite").run(images)
    values = DepthModel(exported.folder / name).run(images)
    assert values.dtype == np.float32 and values.shape == whole.shape
    assert np.abs(values - whole).mean() < 0.05 * whole.mean()


def test_a_float_head_gives_more_than_256_values(exported):
    image = np.stack(verify.pattern_pictures(72, 96, count=1, seed=11))
    levels = {
        name: np.unique(DepthModel(exported.folder / name).run(image)).size for name in EIGHT_BITS
    }
    assert levels["tiny_int8.tflite"] <= 256 < levels["tiny_int8_float_head.tflite"]


def test_files_are_small(exported):
    sizes = {name: artefact.bytes for name, artefact in exported.artefacts.items()}
    for name in (*EIGHT_BITS, "tiny_dynamic.tflite"):
        assert sizes[name] < sizes["tiny_float16.tflite"], name


def test_float_operators_are_found_and_full_int8_is_claimed_without_them_only(exported):
    artefacts = exported.artefacts
    assert artefacts["tiny.tflite"].float_operators is None
    head = artefacts["tiny_int8_float_head.tflite"].float_operators
    assert head["CONV_2D"] == 3, "the score layers"
    for name in EIGHT_BITS:
        content = (exported.folder / name).read_bytes()
        assert dict(artefacts[name].float_operators) == flatbuffer.float_operators(content)
        assert "CONV_2D" in artefacts[name].float_operators or name != EIGHT_BITS[2]
    assert artefacts["tiny_int8.tflite"].float_operators == {}, "also normalisation across channels"
    assert artefacts["tiny_int8.tflite"].full_int8
    assert describe.is_full_int8(exported.description["files"]["tiny_int8.tflite"])
    assert not describe.is_full_int8({"precision": "int8", "float_operators": {"EXP": 1}})
    assert not artefacts["tiny_int8_float_io.tflite"].full_int8


@pytest.mark.parametrize("own", ["elu", "leaky_relu"])
def test_elu_does_not_keep_what_follows_in_float(own, tmp_path):
    tf = pytest.importorskip("tensorflow")
    generator = np.random.default_rng(0)
    kernels = [tf.constant(generator.normal(0, 0.3, (3, 3, n, 8)), tf.float32) for n in (3, 8, 8)]
    activate = getattr(tf.nn, own)

    def outputs(image):
        x = activate(tf.nn.conv2d(image - 0.5, kernels[0], 1, "SAME"))
        left, right = (tf.nn.conv2d(x, kernel, 1, "SAME") for kernel in kernels[1:])
        return {"disparity": tf.reduce_sum(tf.nn.elu(left) * right, axis=-1, keepdims=True)}

    facts = ModelFacts("x", "", 8, 12, "area", "disparity", "metric")
    network = graph.ExportedNetwork(facts, (8, 12, 1), outputs, None)
    images = generator.uniform(0, 1, (4, 8, 12, 3)).astype(np.float32)
    files = int8.Int8Files(network, images, "float")
    files.write(tmp_path / "x.tflite", "int8_float_io")
    left = flatbuffer.float_operators((tmp_path / "x.tflite").read_bytes())
    assert ("ELU" in left) == (own == "leaky_relu"), "it takes the place of one that is not there"
    assert own == "leaky_relu" or left == {}
    values = open_network(tmp_path / "x.tflite", facts)(images[1:])
    expected = outputs(tf.constant(images[1:]))["disparity"].numpy()
    assert np.abs(values - expected).max() < 0.05 * np.ptp(expected)
    with pytest.raises(UserError, match="does not say which of its layers are the head"):
        files.write(tmp_path / "y.tflite", "int8_float_head")


def test_the_range_of_a_map_is_its_own():
    """Not that of the product which is written over it: TensorFlow's calibrator sees 0..255 here."""
    tf = pytest.importorskip("tensorflow")

    def function(image):
        swapped = tf.concat([image[..., 2:], image[..., 1:2], image[..., :1]], axis=-1)
        return {"out": tf.nn.relu(swapped * 255.0 - 100.0)}

    spec = tf.TensorSpec([1, 4, 6, 3], tf.float32, name="image")
    content = tflite.convert(graph.trace(function, {"image": spec}), lambda converter: None)
    images = np.random.default_rng(0).uniform(0, 1, (3, 4, 6, 3)).astype(np.float32)
    images[0, 0, 0], images[0, 0, 1] = 0.0, 1.0
    model = flatbuffer.parse(int8.with_ranges(content, images))
    (subgraph,) = model.subgraphs
    ranges = []
    for operator in subgraph.operators:
        steps = subgraph.tensors[operator.outputs[0]].quantization
        ranges.append((float(steps.min[0]), float(steps.max[0])))
    assert ranges[-3] == (0.0, 1.0), "the channels swapped"
    assert ranges[-2] == (0.0, 255.0), "times 255"
    assert ranges[-1] == (0.0, 155.0), "minus 100, not below 0"
