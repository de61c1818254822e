from __future__ import annotations

import json
from pathlib import Path

import pytest

from kdepth.exporters.publish import publish
from kdepth.runtime import size_of

NETWORK = {
    "name": "garg",
    "paper": "garg",
    "variant": "paper",
    "weights_sha256": "a",
    "height": 4,
    "image_width": 8,
    "output_name": "disparity",
    "options": {"postprocess": False},
    "rig": {"baseline": 0.54, "focal": 0.58},
}


def publish_files(tmp_path: Path, names: list, **facts: object) -> dict:
    """Publishes files (folders where the name says so) and returns the description that results."""
    staging = tmp_path / "staging"
    staging.mkdir()
    for name in names:
        if name.endswith("_savedmodel"):
            (staging / name).mkdir()
            (staging / name / "saved_model.pb").write_text("new")
        else:
            (staging / name).write_text("new")
    description = {**NETWORK, **facts, "files": {name: {"bytes": 3} for name in names}}
    publish(staging, tmp_path / "exports", description)
    staging.rmdir()
    return json.loads((tmp_path / "exports" / "garg.json").read_text())


def names_in(tmp_path: Path) -> set:
    return {path.name for path in (tmp_path / "exports").iterdir()}


def test_formats_of_one_network_add_up(tmp_path):
    publish_files(tmp_path, ["garg.onnx"], verified_on={"count": 1})
    description = publish_files(
        tmp_path, ["garg.tflite"], resize="bicubic", verified_on={"count": 2}
    )
    assert description["files"]["garg.onnx"]["verified_on"] == {"count": 1}
    assert set(description["files"]) == {"garg.tflite", "garg.onnx"}
    assert description["resize"] == "bicubic"
    assert names_in(tmp_path) == {"garg.tflite", "garg.onnx", "garg.json"}


@pytest.mark.parametrize(
    "difference",
    [
        {"weights_sha256": "b"},
        {"height": 8},
        {"variant": "released"},
        {"options": {"postprocess": True}},
        {"output_name": "depth"},
    ],
)
def test_files_of_another_network_go(tmp_path, difference):
    publish_files(tmp_path, ["garg.onnx", "garg_savedmodel"])
    (tmp_path / "exports" / "notes.txt").write_text("of the user")
    description = publish_files(tmp_path, ["garg.tflite"], **difference)
    assert set(description["files"]) == {"garg.tflite"}
    assert names_in(tmp_path) == {"garg.tflite", "garg.json", "notes.txt"}


@pytest.mark.parametrize(("output_name", "stay"), [("disparity", True), ("depth", False)])
def test_another_rig_is_another_graph_only_where_it_ends_in_metres(tmp_path, output_name, stay):
    publish_files(tmp_path, ["garg.onnx"], output_name=output_name)
    rig = {"baseline": 0.22, "focal": 1.1}
    publish_files(tmp_path, ["garg.tflite"], output_name=output_name, rig=rig)
    assert ("garg.onnx" in names_in(tmp_path)) == stay


def test_files_and_folders_are_replaced(tmp_path):
    names = ["garg.onnx", "garg_savedmodel"]
    publish_files(tmp_path, names)
    exports = tmp_path / "exports"
    (exports / "garg.onnx").write_text("old")
    (exports / "garg_savedmodel" / "old").write_text("old")
    publish_files(tmp_path, names, weights_sha256="b")
    assert (exports / "garg.onnx").read_text() == "new"
    assert [path.name for path in (exports / "garg_savedmodel").iterdir()] == ["saved_model.pb"]


def test_two_names_share_a_folder(tmp_path):
    publish_files(tmp_path, ["garg.onnx"])
    (tmp_path / "exports" / "garg.json").rename(tmp_path / "exports" / "other.json")
    publish_files(tmp_path, ["garg.tflite"], weights_sha256="b")
    assert "garg.onnx" in names_in(tmp_path)


@pytest.mark.parametrize("text", ["", "[1]", '{"files": {}}'])
def test_a_damaged_description_is_replaced(tmp_path, text):
    (tmp_path / "exports").mkdir()
    (tmp_path / "exports" / "garg.json").write_text(text)
    assert set(publish_files(tmp_path, ["garg.onnx"])["files"]) == {"garg.onnx"}


def test_a_description_cannot_lead_out_of_the_folder(tmp_path):
    precious = tmp_path / "precious.txt"
    precious.write_text("of the user")
    (tmp_path / "exports").mkdir()
    (tmp_path / "exports" / "notes.txt").write_text("of the user")
    files = {"../precious.txt": {}, "..": {}, "": {}, ".": {}, str(precious): {}}
    (tmp_path / "exports" / "garg.json").write_text(json.dumps({**NETWORK, "files": files}))
    publish_files(tmp_path, ["garg.onnx"], weights_sha256="b")
    assert precious.exists() and "notes.txt" in names_in(tmp_path)


def test_size_of_a_folder(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "x").write_bytes(b"123")
    (tmp_path / "y").write_bytes(b"45")
    assert size_of(tmp_path) == 5 and size_of(tmp_path / "y") == 2
