from __future__ import annotations

import json
import shutil

import pytest

from kdepth import runtime
from kdepth.benchmarking import calls, subjects
from kdepth.errors import UserError


@pytest.fixture
def own_copy(exported, tmp_path):
    return shutil.copytree(exported.folder, tmp_path / "tiny")


def test_a_folder_stands_for_all_its_files_tflite_first(exported):
    found = subjects.find([exported.folder], exported.run)
    names = [subject.path.name for subject in found]
    assert names[:2] == ["tiny", "tiny.tflite"] and names[-1] == "tiny_savedmodel"
    described = json.loads((exported.folder / "tiny.json").read_text())["files"]
    assert set(names[1:]) == set(described)
    for subject in found[1:]:
        entry = described[subject.path.name]
        assert (subject.precision, subject.bytes) == (entry["precision"], entry["bytes"])
        assert subject.sha256 == entry["sha256"] == runtime.sha256(subject.path)


def test_a_run_is_its_weights(exported):
    (subject,) = subjects.find([], exported.run)
    assert (subject.format, subject.paper) == ("keras", "garg")
    assert subject.sha256 == runtime.sha256(exported.run / "weights")
    # Four bytes a parameter, and what the archive adds.
    assert 1 < subject.bytes / (4 * exported.parameters) < 3


def test_a_savedmodel_is_no_folder_of_files(exported):
    (subject,) = subjects.find([exported.folder / "tiny_savedmodel"])
    assert subject.format == "savedmodel"


def test_cases_are_all_ways_to_run(exported):
    found = subjects.find([exported.folder / "tiny.tflite", exported.folder / "tiny.onnx"])
    cases = subjects.cases(found, [1, 2], [True, False])
    assert [str(case) for case in cases] == [
        "tiny.tflite, 1 thread, XNNPACK",
        "tiny.tflite, 1 thread, without XNNPACK",
        "tiny.onnx, 1 thread",
        "tiny.tflite, 2 threads, XNNPACK",
        "tiny.tflite, 2 threads, without XNNPACK",
        "tiny.onnx, 2 threads",
    ]


def test_a_changed_file(own_copy):
    path = own_copy / "tiny.tflite"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(UserError, match=r"tiny\.tflite is not the file .*sha256 differs"):
        subjects.find([own_copy])


def test_a_file_that_is_gone_is_left_out(own_copy):
    (own_copy / "tiny.onnx").unlink()
    assert "tiny.onnx" not in [subject.path.name for subject in subjects.find([own_copy])]


def test_what_has_no_library_here_is_left_out_unless_it_is_named(exported, monkeypatch, caplog):
    there = calls.importlib.util.find_spec
    monkeypatch.setattr(
        calls.importlib.util,
        "find_spec",
        lambda name: None if name == "tensorflow" else there(name),
    )
    found = subjects.find([exported.folder])
    assert {subject.format for subject in found} == {"tflite", "onnx"}
    assert "tiny_savedmodel is left out: tensorflow is not installed: pip install" in caplog.text
    for arguments in (([exported.folder / "tiny_savedmodel"],), ([], exported.run)):
        with pytest.raises(UserError, match="tensorflow is not installed: pip install"):
            subjects.find(*arguments)
    monkeypatch.setattr(calls.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="no library for any of its files is installed"):
        subjects.find([exported.folder])


def test_an_entry_without_its_precision(own_copy):
    beside = own_copy / "tiny.json"
    description = json.loads(beside.read_text())
    del description["files"]["tiny.onnx"]["precision"]
    beside.write_text(json.dumps(description))
    with pytest.raises(UserError, match=r"tiny\.json does not say what tiny\.onnx is"):
        subjects.find([own_copy])


def test_what_is_no_export(exported, tmp_path):
    (tmp_path / "other.json").write_text("{}")
    for name, message in (
        (tmp_path, "holds no exported model"),
        (tmp_path / "nothing.tflite", "there is no exported model"),
        (tmp_path / "nothing", "is no exported kdepth model"),
    ):
        with pytest.raises(UserError, match=message):
            subjects.find([name])
    with pytest.raises(UserError, match="is named twice"):
        subjects.find([exported.folder, exported.folder / "tiny.onnx"])
    with pytest.raises(UserError, match="is no training run"):
        subjects.find([], tmp_path)
