from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import kdepth
from kdepth import backend, exporters
from kdepth.errors import UserError
from kdepth.exporters import export_model, graph, tflite, verify
from kdepth.prediction import Rig
from kdepth.runtime import ModelFacts, open_network, sha256

HEIGHT, WIDTH = 72, 96


def small_garg(variant: str = "paper", seed: int = 0, **size: int) -> kdepth.Garg:
    """A narrow network whose score layers, zero at the start, were given weights."""
    size = size or {"height": HEIGHT, "image_width": WIDTH}
    model = kdepth.create("garg", variant=variant, width=0.05, seed=seed, **size)
    generator = np.random.default_rng(seed)
    for part in model.parts().values():
        for variable in part.weights:
            values = backend.to_numpy(variable)
            if not values.any():
                variable.assign(generator.normal(0.2, 0.1, values.shape))
    model.rig = Rig(0.54, 0.58)
    return model


@pytest.fixture(scope="module")
def model() -> kdepth.Garg:
    return small_garg()


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return verify.pattern_pictures(100, 140, count=3, seed=5)


@pytest.fixture(scope="module")
def exported(model, pictures, tmp_path_factory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("exports") / "tiny"
    artefacts = export_model(
        model, folder, pictures=pictures, pictures_source="patterns", facts={"seed": 7}
    )
    description = json.loads((folder / "tiny.json").read_text())
    return SimpleNamespace(folder=folder, artefacts=artefacts, description=description)


def test_every_format_is_written_and_agrees_with_keras(exported):
    names = {"tiny.tflite", "tiny_float16.tflite", "tiny.onnx", "tiny_savedmodel"}
    assert {artefact.path.name for artefact in exported.artefacts} == names
    assert {path.name for path in exported.folder.iterdir()} == names | {"tiny.json"}
    for artefact in exported.artefacts:
        assert artefact.tolerance == (1e-2 if "float16" in artefact.path.name else 1e-4)
        assert artefact.parity <= artefact.tolerance
        assert artefact.path.exists() and artefact.bytes > 0


def test_the_files_compute_what_predict_depth_computes(exported, model):
    """Through public doors only: the file's own numbers against the model's."""
    images = np.random.default_rng(2).uniform(0, 1, (2, HEIGHT, WIDTH, 3)).astype(np.float32)
    expected = model.predict_depth(images).values
    assert expected.std() > 0.01 * expected.mean(), "a constant network would prove nothing"
    facts = ModelFacts.of_model(model)
    for name in ("tiny.tflite", "tiny.onnx", "tiny_savedmodel"):
        values = open_network(exported.folder / name, facts)(images)[..., 0]
        assert np.abs(values - expected).max() / np.ptp(expected) < 1e-4


def test_float16_halves_the_weights(exported):
    sizes = {artefact.path.name: artefact.bytes for artefact in exported.artefacts}
    assert sizes["tiny_float16.tflite"] < 0.7 * sizes["tiny.tflite"]


def test_description_holds_what_a_user_of_the_file_needs(exported, model):
    description = exported.description
    assert description["paper"] == "garg" and description["variant"] == "paper"
    assert (description["height"], description["image_width"]) == (HEIGHT, WIDTH)
    assert description["resize"] == model.resize
    assert description["output"] == {"name": "disparity", "unit": "fraction of the width"}
    assert description["input"]["normalisation"] == "RGB [0, 1]"
    assert description["rig"] == {"baseline": 0.54, "focal": 0.58}
    assert description["run"] == {"seed": 7}
    assert description["verified_on"] == {"source": "patterns", "count": 3}
    assert {"python", "kdepth", "tensorflow", "keras", "tf2onnx"} <= set(description["versions"])
    for artefact in exported.artefacts:
        entry = description["files"][artefact.path.name]
        assert entry["sha256"] == sha256(artefact.path)
        assert entry["parity"] == artefact.parity
    assert ModelFacts.from_dict(description, "x") == ModelFacts.of_model(model)


def test_tflite_signature_names_input_and_output(exported):
    from ai_edge_litert.interpreter import Interpreter

    for name in ("tiny.tflite", "tiny_float16.tflite"):
        interpreter = Interpreter(str(exported.folder / name))
        assert interpreter.get_signature_list() == {
            "serving_default": {"inputs": ["image"], "outputs": ["disparity"]}
        }
        run = interpreter.get_signature_runner("serving_default")
        image, output = run.get_input_details()["image"], run.get_output_details()["disparity"]
        assert list(image["shape"]) == [1, HEIGHT, WIDTH, 3] and image["dtype"] == np.float32
        assert list(output["shape"]) == [1, HEIGHT, WIDTH, 1] and output["dtype"] == np.float32


def test_onnx_opset_names_and_dynamic_batch(exported):
    import onnx

    loaded = onnx.load(str(exported.folder / "tiny.onnx"))
    assert {(o.domain, o.version) for o in loaded.opset_import if not o.domain} == {("", 17)}
    for value, name, channels in (
        (loaded.graph.input, "image", 3),
        (loaded.graph.output, "disparity", 1),
    ):
        (value,) = value
        dimensions = value.type.tensor_type.shape.dim
        assert value.name == name
        assert dimensions[0].dim_param == "batch"
        assert [d.dim_value for d in dimensions[1:]] == [HEIGHT, WIDTH, channels]


def test_savedmodel_has_variables_and_any_batch(exported):
    import tensorflow as tf

    loaded = tf.saved_model.load(str(exported.folder / "tiny_savedmodel"))
    run = loaded.signatures["serving_default"]
    assert run.structured_input_signature[1]["image"].shape.as_list() == [None, HEIGHT, WIDTH, 3]
    assert list(run.structured_outputs) == ["disparity"]
    assert len(loaded.weights) > 0


def test_no_warp_and_no_randomness_in_any_graph(exported, model):
    import onnx

    network = graph.exported_network(model)
    operators = graph.operator_names(graph.network_function(network, None))
    operators |= graph.operator_names(graph.frozen_function(network, 1))
    operators |= {node.op_type for node in onnx.load(str(exported.folder / "tiny.onnx")).graph.node}
    assert "Conv2D" in operators and "Conv" in operators
    assert not {name for name in operators if "Resampler" in name or "Random" in name}
    for path in exported.folder.rglob("*"):
        assert not path.is_file() or b"Resampler" not in path.read_bytes()


def test_released_variant(tmp_path):
    model = small_garg("released", height=32, image_width=64)
    (artefact,) = export_model(model, tmp_path / "released", ["tflite"], float16=False)
    assert artefact.parity <= 1e-4
    description = json.loads((tmp_path / "released" / "released.json").read_text())
    assert description["resize"] == "bicubic"
    assert description["verified_on"]["source"] == "test patterns"


def leaves_nothing(folder: Path) -> bool:
    return not folder.exists() and not list(folder.parent.iterdir())


@pytest.mark.parametrize("damage", ["other weights", "NaN", "not a model"])
def test_a_file_that_differs_is_refused_and_nothing_is_left(damage, model, tmp_path, monkeypatch):
    right = tflite.write_tflite

    def write_wrong(network, path, precision="float32"):
        if damage == "not a model":
            path.write_bytes(b"TFL3 but nothing behind it")
        else:
            factor = float("nan") if damage == "NaN" else 1.001
            outputs = network.outputs

            def wrong(images):
                return {"disparity": factor * outputs(images)["disparity"]}

            right(dataclasses.replace(network, outputs=wrong), path, precision)

    monkeypatch.setattr(tflite, "write_tflite", write_wrong)
    expected = {
        "other weights": (verify.ParityError, r"out\.tflite differs from the Keras model by \d"),
        "NaN": (verify.ParityError, r"out\.tflite returns NaN or inf on 4 of 4 pictures"),
        "not a model": (UserError, r"out\.tflite cannot be opened as a model"),
    }
    error, message = expected[damage]
    with pytest.raises(error, match=message):
        export_model(model, tmp_path / "out", ["onnx", "tflite"])
    assert leaves_nothing(tmp_path / "out")


def test_a_model_that_predicts_nan_is_refused(tmp_path):
    model = small_garg()
    part = model.parts()["coarse"]
    part.set_weights([np.full_like(weights, np.nan) for weights in part.get_weights()])
    with pytest.raises(verify.ParityError, match="the model itself predicts NaN"):
        export_model(model, tmp_path / "out", ["tflite"])
    assert leaves_nothing(tmp_path / "out")


def test_a_failed_export_keeps_the_earlier_one(model, tmp_path, monkeypatch):
    export_model(model, tmp_path / "out", ["onnx"])
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    monkeypatch.setattr(verify, "TOLERANCES", {"float32": 0.0, "float16": 0.0})
    with pytest.raises(verify.ParityError):
        export_model(model, tmp_path / "out", ["tflite", "onnx"])
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_a_second_export_of_the_same_network_adds_up(model, tmp_path):
    export_model(model, tmp_path / "out", ["onnx"])
    export_model(model, tmp_path / "out", ["tflite"], float16=False)
    files = json.loads((tmp_path / "out" / "out.json").read_text())["files"]
    assert set(files) == {"out.onnx", "out.tflite"}
    assert files["out.onnx"]["sha256"] == sha256(tmp_path / "out" / "out.onnx")


def test_the_digest_of_weights_tells_networks_apart(model):
    assert exporters.weights_digest(model) == exporters.weights_digest(small_garg())
    assert exporters.weights_digest(model) != exporters.weights_digest(small_garg(seed=1))


def test_an_untrained_constant_network_can_be_exported(tmp_path):
    """Score layers start at zero, so every pixel holds the smallest disparity."""
    model = kdepth.create("garg", width=0.05, height=HEIGHT, image_width=WIDTH)
    (artefact,) = export_model(model, tmp_path / "out", ["onnx"])
    assert artefact.parity <= 1e-4


@pytest.mark.parametrize("formats", [["onnx", "coreml"], []])
def test_unknown_format(model, tmp_path, formats):
    with pytest.raises(UserError, match="must be some of tflite, onnx, savedmodel"):
        export_model(model, tmp_path / "out", formats)


def test_another_keras_backend_is_one_clear_error(model, tmp_path, monkeypatch):
    monkeypatch.setattr(backend, "BACKEND", "jax")
    with pytest.raises(UserError, match="KERAS_BACKEND=tensorflow"):
        export_model(model, tmp_path / "out")
    assert leaves_nothing(tmp_path / "out")


def test_public_name():
    assert kdepth.export_model is exporters.export_model
