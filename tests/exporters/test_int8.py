"""Files in 8 bits: what goes in and out, and what stays float."""

from __future__ import annotations

import numpy as np
import pytest

from kdepth.exporters import describe, flatbuffer, verify
from kdepth.runtime import DepthModel

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
    entry = exported.description["files"]["tiny_int8.tflite"]
    assert describe.is_full_int8(entry) == (not entry["float_operators"])
    assert artefacts["tiny_int8.tflite"].full_int8 == (not entry["float_operators"])
    assert not artefacts["tiny_int8_float_io.tflite"].full_int8
