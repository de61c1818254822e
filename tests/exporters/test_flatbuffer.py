from __future__ import annotations

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from kdepth.exporters import flatbuffer, tflite  # noqa: E402
from kdepth.exporters.graph import trace  # noqa: E402


def spec(name: str):
    return tf.TensorSpec([1, 4, 6, 3], tf.float32, name=name)


def convert(function, names) -> bytes:
    return tflite.convert(trace(function, {n: spec(n) for n in names}), lambda converter: None)


def run(content: bytes, **inputs):
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(model_content=content).get_signature_runner("serving_default")(**inputs)


@pytest.fixture(scope="module")
def halves() -> tuple[bytes, bytes]:
    kernel = tf.constant(np.random.default_rng(0).normal(size=(3, 3, 3, 3)), tf.float32)

    def first(image):
        return {"b": tf.nn.conv2d(image, kernel, 1, "SAME"), "a": image * 2.0 + 1.0}

    def second(a, b):
        return {"out": tf.nn.conv2d(a - 3.0 * b, kernel, 1, "SAME")}

    return convert(first, ["image"]), convert(second, ["b", "a"])


def test_two_files_become_one(halves):
    image = np.random.default_rng(1).normal(size=(1, 4, 6, 3)).astype(np.float32)
    expected = run(halves[1], **run(halves[0], image=image))["out"]
    joined = run(flatbuffer.join(*halves), image=image)
    assert set(joined) == {"out"}
    np.testing.assert_allclose(joined["out"], expected, rtol=1e-6)


def test_constants_are_aligned(halves):
    """TFLite's schema asks for 16 bytes; Python's own packer gives 4."""
    from ai_edge_litert import schema_py_generated as schema

    content = flatbuffer.join(*halves)
    model = schema.Model.GetRootAs(content, 0)
    places = [
        model.Buffers(i)._tab.Vector(model.Buffers(i)._tab.Offset(4))
        for i in range(model.BuffersLength())
        if not model.Buffers(i).DataIsNone()
    ]
    assert len(places) > 2 and all(place % 16 == 0 for place in places)


def test_a_packed_file_is_the_same_network(halves):
    image = np.random.default_rng(2).normal(size=(1, 4, 6, 3)).astype(np.float32)
    packed = flatbuffer.with_metadata(halves[0], '{"x": 1}', "a test")
    assert packed[4:8] == b"TFL3"
    for name, values in run(halves[0], image=image).items():
        np.testing.assert_array_equal(run(packed, image=image)[name], values)
    model = flatbuffer.parse(packed)
    assert model.description == b"a test"
    assert b"kdepth" in {entry.name for entry in model.metadata}


def test_every_operator_of_a_float_file_is_float(halves):
    operators = flatbuffer.float_operators(halves[0])
    assert operators["CONV_2D"] == 1 and set(operators) <= {"CONV_2D", "MUL", "ADD"}
