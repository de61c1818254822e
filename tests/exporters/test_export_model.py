from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import kdepth
from kdepth import backend, exporters
from kdepth.errors import UserError
from kdepth.exporters import describe, export_model, graph, tflite, verify
from kdepth.runtime import DepthModel, ModelFacts, open_network, sha256
from tests.small_models import HEIGHT, WIDTH, small_garg


def test_every_format_is_written_and_agrees_with_keras(exported):
    eight_bits = ("dynamic", "int8", "int8_float_io", "int8_float_head")
    names = {"tiny.tflite", "tiny_float16.tflite", "tiny.onnx", "tiny_savedmodel"}
    names |= {f"tiny_{precision}.tflite" for precision in eight_bits} | {"tiny_dynamic.onnx"}
    assert set(exported.artefacts) == names
    assert {path.name for path in exported.folder.iterdir()} == names | {"tiny.json"}
    for artefact in exported.artefacts.values():
        assert artefact.tolerance == verify.TOLERANCES[artefact.precision]
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
    sizes = {name: artefact.bytes for name, artefact in exported.artefacts.items()}
    assert sizes["tiny_float16.tflite"] < 0.7 * sizes["tiny.tflite"]


def test_description_holds_what_a_user_of_the_file_needs(exported, model):
    description = exported.description
    assert description["paper"] == "garg" and description["variant"] == "paper"
    assert (description["height"], description["image_width"]) == (HEIGHT, WIDTH)
    assert description["resize"] == model.resize
    assert description["output"] == {"name": "disparity", "unit": "fraction of the width"}
    assert description["intrinsics"].startswith("none: depth = fx / width * baseline / disparity")
    assert description["score"] == {"protocol": "synthetic", "abs_rel": 0.25}
    assert description["rig"] == {"baseline": 0.54, "focal": 0.58}
    assert description["run"] == {"seed": 7}
    assert description["verified_on"] == {"source": "patterns", "count": 3}
    assert {"python", "kdepth", "tensorflow", "keras", "tf2onnx"} <= set(description["versions"])
    for artefact in exported.artefacts.values():
        entry = description["files"][artefact.path.name]
        assert {"format", "precision", "bytes", "tolerance", "float_operators"} <= set(entry)
        assert {"name", "dtype", "layout"} <= set(entry["input"])
        assert {"name", "dtype"} <= set(entry["output"])
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


def operator_names(function):
    """Names of the operators of a concrete function and of the functions that it calls."""
    graph = function.graph.as_graph_def()
    nodes = list(graph.node) + [node for inner in graph.library.function for node in inner.node_def]
    return {node.op for node in nodes}


def test_no_warp_and_no_randomness_in_any_graph(exported, model):
    import onnx

    network = graph.exported_network(model)
    function = graph.network_function(network, None)
    operators = operator_names(function.get_concrete_function())
    operators |= operator_names(graph.frozen(function))
    operators |= {node.op_type for node in onnx.load(str(exported.folder / "tiny.onnx")).graph.node}
    assert "Conv2D" in operators and "Conv" in operators
    assert not {name for name in operators if "Resampler" in name or "Random" in name}
    for path in exported.folder.rglob("*"):
        assert not path.is_file() or b"Resampler" not in path.read_bytes()


def leaves_nothing(folder: Path) -> bool:
    return not folder.exists() and not list(folder.parent.iterdir())


@pytest.mark.parametrize("damage", ["other weights", "NaN"])
def test_a_file_that_differs_is_refused_and_nothing_is_left(damage, model, tmp_path, monkeypatch):
    right = tflite.write_tflite
    factor = float("nan") if damage == "NaN" else 1.001

    def write_wrong(network, path, *arguments):
        outputs = network.outputs
        wrong = dataclasses.replace(
            network, outputs=lambda images: {"disparity": factor * outputs(images)["disparity"]}
        )
        right(wrong, path, *arguments)

    monkeypatch.setattr(tflite, "write_tflite", write_wrong)
    message = {
        "other weights": r"out\.tflite differs from the Keras model by \d",
        "NaN": r"out\.tflite returns NaN or inf on 4 of 4 pictures",
    }[damage]
    with pytest.raises(verify.ParityError, match=message):
        export_model(model, tmp_path / "out", ["onnx", "tflite"], precisions=["float32"])
    assert leaves_nothing(tmp_path / "out")


def test_a_model_that_predicts_nan_is_refused(tmp_path):
    model = small_garg()
    part = model.parts()["coarse"]
    part.set_weights([np.full_like(weights, np.nan) for weights in part.get_weights()])
    with pytest.raises(verify.ParityError, match="the model itself predicts NaN"):
        export_model(model, tmp_path / "out", ["tflite"])
    assert leaves_nothing(tmp_path / "out")


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_failed_export_keeps_the_earlier_one(model, tmp_path, monkeypatch):
    export_model(model, tmp_path / "out", ["savedmodel"])
    before = contents(tmp_path / "out")
    monkeypatch.setattr(verify, "TOLERANCES", dict.fromkeys(verify.TOLERANCES, 0.0))
    with pytest.raises(verify.ParityError):
        export_model(model, tmp_path / "out", ["tflite"])
    assert contents(tmp_path / "out") == before
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_a_second_export_of_the_same_network_adds_up(model, tmp_path):
    export_model(model, tmp_path / "out", ["savedmodel"])
    export_model(model, tmp_path / "out", ["tflite"], precisions=["float32"])
    files = json.loads((tmp_path / "out" / "out.json").read_text())["files"]
    assert set(files) == {"out_savedmodel", "out.tflite"}
    assert files["out_savedmodel"]["sha256"] == sha256(tmp_path / "out" / "out_savedmodel")


def test_the_digest_of_weights_tells_networks_apart(model):
    assert describe.weights_digest(model) == describe.weights_digest(small_garg())
    assert describe.weights_digest(model) != describe.weights_digest(small_garg(seed=1))


def test_an_untrained_constant_network_can_be_exported(tmp_path):
    """Score layers start at zero, so every pixel holds the smallest disparity."""
    model = kdepth.create("garg", width=0.05, height=HEIGHT, image_width=WIDTH)
    (artefact,) = export_model(model, tmp_path / "out", ["tflite"], precisions=["float32"])
    assert artefact.parity <= 1e-4


@pytest.mark.parametrize("formats", [["onnx", "coreml"], []])
def test_unknown_format(model, tmp_path, formats):
    with pytest.raises(UserError, match="choose some of tflite, onnx, savedmodel"):
        export_model(model, tmp_path / "out", formats)


def test_another_keras_backend_is_one_clear_error(model, tmp_path, monkeypatch):
    monkeypatch.setattr(backend, "BACKEND", "jax")
    with pytest.raises(UserError, match="KERAS_BACKEND=tensorflow"):
        export_model(model, tmp_path / "out")
    assert leaves_nothing(tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precisions": ["int4"]}, "--precisions=int4: choose some of float32, float16"),
        ({"precisions": []}, "--precisions=: choose some of"),
        ({"formats": ["onnx"], "precisions": ["int8"]}, "--formats=onnx has dynamic, float32"),
        ({"formats": ["tflite"], "layout": "nchw"}, "only ONNX files have it"),
        ({"opset": 7}, "--opset=7: must lie in 13"),
        ({"precisions": ["int8"]}, "8-bit files need pictures"),
        ({"part": "pose"}, "garg has no pose network"),
        ({"part": "pose", "output": "depth"}, "garg has no pose network"),
        ({"output": "metres"}, "--output=metres: choose one of native, depth"),
        ({"name": "street_dynamic"}, "ends as the files of a precision do"),
    ],
)
def test_what_cannot_be_exported(model, tmp_path, options, message):
    options = {"formats": ["tflite", "onnx"], **options}
    with pytest.raises(UserError, match=message):
        export_model(model, tmp_path / "out", **options)
    assert leaves_nothing(tmp_path / "out")


def test_metres_need_a_rig(tmp_path):
    model = small_garg()
    model.rig = None
    with pytest.raises(UserError, match="does not know the stereo rig"):
        export_model(model, tmp_path / "out", ["onnx"], output="depth")


def test_metres_from_raw_pixels(raw_depth, exported, model):
    """What the disparity file says, with the training camera, of the same pixels."""
    image = np.random.default_rng(4).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    disparity = DepthModel(exported.folder / "tiny.onnx")(image).values
    expected = 0.54 * 0.58 / disparity
    for name in ("raw.tflite", "raw.onnx", "raw_savedmodel"):
        opened = DepthModel(raw_depth.folder / name)
        prediction = opened(image)
        assert (prediction.quantity, prediction.kind, prediction.unit) == ("depth", "metric", "m")
        np.testing.assert_allclose(prediction.values, expected, rtol=1e-4)
        entry = opened.description["files"][name]["input"]
        assert (entry["dtype"], entry["normalisation"]) == ("uint8", "RGB 0..255")
        assert opened.description["intrinsics"].endswith("fx = 0.58 of the width")


def test_channels_first_raw_pixels_and_an_older_opset(raw_depth):
    import onnx

    loaded = onnx.load(str(raw_depth.folder / "raw.onnx"))
    assert {o.version for o in loaded.opset_import if not o.domain} == {15}
    (image,), (depth,) = loaded.graph.input, loaded.graph.output
    assert image.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    for value, channels in ((image, 3), (depth, 1)):
        sizes = [d.dim_value or d.dim_param for d in value.type.tensor_type.shape.dim]
        assert sizes == ["batch", channels, HEIGHT, WIDTH]
    assert depth.name == "depth"


def test_depth_up_to_a_factor_has_a_name_of_its_own():
    model = kdepth.create("sfmlearner", width=0.05, height=32, image_width=32)
    network = graph.exported_network(model, output="depth")
    images = np.random.default_rng(0).uniform(0, 1, (2, 32, 32, 3)).astype(np.float32)
    values = network.outputs(backend.ops.convert_to_tensor(images))["relative_depth"]
    expected = model.predict_depth(images).to_depth().values
    np.testing.assert_allclose(backend.to_numpy(values)[..., 0], expected, rtol=1e-5)
    assert (network.facts.output_name, network.facts.kind) == ("depth", "relative")
    assert network.facts.unit == "relative"


def test_public_name():
    assert kdepth.export_model is exporters.export_model
