"""Files that say themselves what they are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from kdepth import cli
from kdepth.errors import UserError
from kdepth.runtime import DepthModel, ModelFacts, read_metadata

NAMES = ("tiny.tflite", "tiny_int8.tflite", "tiny_int8_float_head.tflite")
NAMES = (*NAMES, "tiny.onnx", "tiny_dynamic.onnx", "tiny_savedmodel")


def copy_alone(exported, name: str, folder: Path) -> Path:
    source = exported.folder / name
    copy = shutil.copytree if source.is_dir() else shutil.copy
    return Path(copy(source, folder / name))


@pytest.mark.parametrize("name", NAMES)
def test_the_description_inside_is_the_one_beside(exported, model, name):
    inside = read_metadata(exported.folder / name)
    beside = exported.description
    for key in set(inside) - {"file"}:
        assert inside[key] == beside[key], key
    assert set(beside) - set(inside) == {"files", "verified_on", "calibrated_on"}
    entry = beside["files"][name]
    assert inside["file"] == {key: entry[key] for key in inside["file"]}
    assert set(entry) - set(inside["file"]) == {"bytes", "sha256", "parity", "tolerance"}
    assert ModelFacts.from_dict(inside, name) == ModelFacts.of_model(model)
    assert inside["run"] == {"seed": 7} and inside["score"]["abs_rel"] == 0.25


@pytest.mark.parametrize("name", NAMES)
def test_a_file_opens_without_the_json(exported, tmp_path, name):
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    alone = DepthModel(copy_alone(exported, name, tmp_path))
    prediction, expected = alone(image), DepthModel(exported.folder / name)(image)
    assert (prediction.quantity, prediction.kind) == (expected.quantity, expected.kind)
    np.testing.assert_array_equal(prediction.values, expected.values)
    assert alone.description["files"][name]["format"] == exported.artefacts[name].format


def strange_file(kind: str, exported, folder: Path) -> Path:
    """A file that is not what its name says."""
    suffix = {"an .onnx of another tool": ".onnx"}.get(kind, ".tflite")
    path = folder / f"strange{suffix}"
    if kind == "no model":
        path.write_bytes(b"hello " * 100)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "truncated":
        content = (exported.folder / "tiny.tflite").read_bytes()
        path.write_bytes(content[: len(content) // 2])
    elif kind == "a .tflite of another tool":
        tf = pytest.importorskip("tensorflow")
        function = tf.function(lambda x: x * 2.0).get_concrete_function(tf.TensorSpec([1, 4]))
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
        path.write_bytes(converter.convert())
    else:
        onnx = pytest.importorskip("onnx")
        tensor = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
        other = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
        node = onnx.helper.make_node("Relu", ["x"], ["y"])
        graph = onnx.helper.make_graph([node], "g", [tensor], [other])
        opset = onnx.helper.make_opsetid("", 17)
        onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8), str(path))
    return path


KINDS = ("no model", "empty", "truncated", "a .tflite of another tool", "an .onnx of another tool")


@pytest.mark.parametrize("kind", KINDS)
def test_a_strange_file_is_one_clear_line_and_status_2(kind, exported, tmp_path, capfd):
    path = strange_file(kind, exported, tmp_path)
    picture = tmp_path / "picture.png"
    from kdepth.data.image import write_image

    write_image(picture, np.zeros((20, 30, 3), np.uint8))
    flags = [f"--model={path}", f"--input={picture}", f"--out={tmp_path / 'out'}"]
    assert cli.call("predict", flags) == 2
    line = capfd.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("kdepth predict: ") and "strange" in line
    assert "does not say itself what it is" in line
    assert not (tmp_path / "out").exists()


def test_a_truncated_file_with_its_json_does_not_match_its_digest(exported, tmp_path):
    for name in ("tiny_int8.tflite", "tiny_dynamic.onnx"):
        shutil.copy(exported.folder / "tiny.json", tmp_path)
        content = (exported.folder / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(UserError, match="sha256 differs"):
            DepthModel(tmp_path / name)


def test_a_description_of_another_format_inside(exported, tmp_path):
    path = copy_alone(exported, "tiny_savedmodel", tmp_path)
    inside = path / "assets.extra" / "kdepth.json"
    inside.write_text(json.dumps({**json.loads(inside.read_text()), "format": 99}))
    with pytest.raises(UserError, match="has format 99; this kdepth reads format 1"):
        DepthModel(path)


def test_another_input_size(exported):
    for name in ("tiny_int8.tflite", "tiny.onnx"):
        with pytest.raises(UserError, match=r"takes images \[B, 72, 96, 3\]"):
            DepthModel(exported.folder / name).run(np.zeros((1, 72, 95, 3), np.float32))
