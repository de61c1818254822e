from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import kdepth
from kdepth import runtime
from kdepth.data.image import write_image
from kdepth.errors import UserError
from kdepth.exporters import export_model
from kdepth.geometry.camera import Camera
from kdepth.prediction import Rig
from kdepth.runtime import DepthModel, ModelFacts, predict_image, prepare_image
from tests.small_models import HEIGHT, WIDTH, small_garg

FACTS = ModelFacts("garg", "paper", 4, 8, "area", "disparity", "metric", Rig(0.5, 0.6))


@pytest.fixture(scope="module")
def model() -> kdepth.Garg:
    return small_garg()


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("exports") / "tiny"
    export_model(model, folder)
    return folder


@pytest.fixture
def own_copy(exported, tmp_path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "tiny"))


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (50, 120, 3), dtype=np.uint8)


def run_python(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_and_running_needs_neither_tensorflow_nor_keras(exported):
    code = """if True:
        import sys
        import kdepth
        kdepth.runtime
        heavy = {"tensorflow", "keras", "ai_edge_litert", "onnxruntime", "matplotlib"}
        assert not heavy & set(sys.modules), heavy & set(sys.modules)
        import numpy as np
        for path in sys.argv[1:]:
            image = np.zeros((50, 120, 3), np.uint8)
            prediction = kdepth.runtime.DepthModel(path)(image)
            assert prediction.values.shape == (1, 50, 120)
        print(sorted({"tensorflow", "keras", "tensorflow_addons"} & set(sys.modules)))
    """
    paths = [str(exported / name) for name in ("tiny.tflite", "tiny_float16.tflite", "tiny.onnx")]
    assert run_python(code, *paths).strip() == "[]"


@pytest.mark.parametrize("name", ["tiny.tflite", "tiny.onnx"])
def test_predict_with_a_file_needs_neither_tensorflow_nor_keras(name, exported, image, tmp_path):
    code = """if True:
        import sys
        from kdepth import cli
        status = cli.call("predict", sys.argv[1:])
        heavy = "tensorflow keras tensorflow_addons pandas matplotlib jax torch".split()
        print(status, sorted(set(heavy) & set(sys.modules)))
    """
    write_image(tmp_path / "x.png", image)
    arguments = [f"--model={exported / name}", f"--input={tmp_path}/x.png", "--fx=90"]
    arguments += [f"--out={tmp_path}/out", "--outputs=color,npy,png16,ply,mp4"]
    assert run_python(code, *arguments).splitlines()[-1] == "0 []"
    suffixes = [path.suffix for path in (tmp_path / "out").iterdir()]
    assert sorted(suffixes) == [".json", ".mp4", ".npy", ".ply", ".png", ".png"]


@pytest.mark.parametrize("name", ["tiny.tflite", "tiny.onnx", "tiny_savedmodel"])
def test_an_image_goes_in_and_its_size_comes_out(name, exported, model, image):
    prediction = DepthModel(exported / name)(image)
    small = prepare_image(ModelFacts.of_model(model), image)
    expected = model.predict_depth(small).resize(50, 120)
    assert (prediction.quantity, prediction.kind) == ("disparity", "disparity")
    assert prediction.unit == expected.unit == "fraction of the width"
    assert prediction.values.shape == (1, 50, 120)
    error = np.abs(prediction.values - expected.values).max()
    assert error < 1e-4 * np.ptp(expected.values)


def test_a_camera_gives_metres(exported, image):
    model = DepthModel(str(exported / "tiny.tflite"))
    disparity = model(image).values
    camera = Camera(90.0, 90.0, 60.0, 25.0, 120, 50)
    prediction = model(image, camera)
    assert (prediction.quantity, prediction.kind, prediction.unit) == ("depth", "metric", "m")
    np.testing.assert_allclose(prediction.values, 90.0 / 120 * 0.54 / disparity, rtol=1e-5)
    doubled = model(image, camera, Rig(1.08, 0.58))
    np.testing.assert_allclose(doubled.values, 2 * prediction.values, rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "rig", "factor"),
    [("metric", Rig(0.5, 0.6), 0.75 / 0.6), ("metric", None, 1.0), ("relative", None, 1.0)],
)
def test_a_graph_that_ends_in_depth_follows_the_camera_where_it_was_stereo(kind, rig, factor):
    facts = dataclasses.replace(FACTS, output_name="depth", kind=kind, rig=rig)
    image, network = np.zeros((4, 8, 3), np.uint8), lambda x: np.full((1, 4, 8, 1), 10.0)
    assert (predict_image(network, facts, image).values == 10.0).all()
    camera = Camera(90.0, 90.0, 60.0, 25.0, 120, 50)
    np.testing.assert_allclose(predict_image(network, facts, image, camera).values, 10.0 * factor)
    unknown = Camera(float("nan"), float("nan"), 60.0, 25.0, 120, 50)
    assert (predict_image(network, facts, image, unknown).values == 10.0).all()


def test_uint8_and_float_images_are_the_same(exported, image):
    model = DepthModel(exported / "tiny.onnx")
    floats = model(image.astype(np.float32) / 255)
    np.testing.assert_allclose(model(image).values, floats.values, rtol=1e-3)


def test_run_takes_batches_of_the_networks_size(exported):
    images = np.random.default_rng(3).uniform(0, 1, (3, HEIGHT, WIDTH, 3)).astype(np.float32)
    outputs = [DepthModel(exported / f"tiny.{suffix}").run(images) for suffix in ("tflite", "onnx")]
    assert outputs[0].shape == (3, HEIGHT, WIDTH, 1)
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-3)
    with pytest.raises(
        UserError, match=r"takes images \[B, 72, 96, 3\]; received \[3, 70, 96, 3\]"
    ):
        DepthModel(exported / "tiny.onnx").run(images[:, :70])


def test_threads_do_not_change_the_numbers(exported, image):
    one, two = (DepthModel(exported / "tiny.tflite", threads=n)(image).values for n in (1, 2))
    np.testing.assert_allclose(one, two, rtol=1e-5)


# -- analytic networks -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output_name", "kind", "expected_kind", "unit"),
    [
        ("disparity", "metric", "disparity", "fraction of the width"),
        ("depth", "metric", "metric", "m"),
        ("inverse_depth", "relative", "relative", "relative"),
        ("inverse_depth", "metric", "metric", "1/m"),
        ("depth", "relative", "relative", "relative"),
    ],
)
def test_what_a_prediction_is_called(output_name, kind, expected_kind, unit):
    facts = ModelFacts("x", "", 4, 8, "area", output_name, kind)
    image = np.zeros((9, 17, 3), np.uint8)
    prediction = predict_image(lambda images: np.full((1, 4, 8, 1), 0.25), facts, image)
    assert (prediction.quantity, prediction.kind, prediction.unit) == (
        output_name,
        expected_kind,
        unit,
    )
    np.testing.assert_allclose(prediction.values, np.full((1, 9, 17), 0.25))


def test_the_network_sees_the_resized_image():
    seen = []
    image = np.zeros((8, 16, 3), np.uint8)
    image[:, 8:] = 255
    predict_image(lambda images: seen.append(images) or np.ones((1, 4, 8, 1)), FACTS, image)
    expected = np.zeros((1, 4, 8, 3), np.float32)
    expected[:, :, 4:] = 1.0
    np.testing.assert_allclose(seen[0], expected)


def test_metres_need_a_known_baseline():
    facts = ModelFacts("garg", "paper", 4, 8, "area", "disparity", "metric", rig=None)
    with pytest.raises(UserError, match="does not know the baseline"):
        predict_image(
            lambda images: np.ones((1, 4, 8, 1)),
            facts,
            np.zeros((4, 8, 3), np.uint8),
            Camera(5, 5, 4, 2, 8, 4),
        )


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((5, 6), np.uint8), r"must be RGB \[H, W, 3\]; received shape \[5, 6\]"),
        (np.zeros((5, 6, 4), np.uint8), r"received shape \[5, 6, 4\]"),
        (np.zeros((1, 5, 6, 3), np.uint8), r"received shape \[1, 5, 6, 3\]"),
        (np.zeros((0, 6, 3), np.uint8), r"received shape \[0, 6, 3\]"),
        (np.zeros((5, 6, 3), np.int64), "received int64"),
    ],
)
def test_what_is_no_image(image, message):
    with pytest.raises(UserError, match=message):
        prepare_image(FACTS, image)


# -- bad files -------------------------------------------------------------------------------------


def one_line(error: pytest.ExceptionInfo) -> str:
    message = str(error.value)
    assert "\n" not in message and message
    return message


def change_description(folder: Path, **changes: object) -> None:
    description = json.loads((folder / "tiny.json").read_text())
    (folder / "tiny.json").write_text(json.dumps({**description, **changes}))


@pytest.mark.parametrize("name", ["tiny.tflite", "tiny.onnx"])
def test_a_truncated_file(own_copy, name):
    path = own_copy / name
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match="sha256 differs.*truncated") as error:
        DepthModel(path)
    assert str(path) in one_line(error)


def test_a_changed_savedmodel(own_copy):
    (own_copy / "tiny_savedmodel" / "extra").write_bytes(b"x")
    with pytest.raises(UserError, match="sha256 differs"):
        DepthModel(own_copy / "tiny_savedmodel")


@pytest.mark.parametrize("name", ["tiny.tflite", "tiny.onnx", "tiny_savedmodel"])
def test_what_is_no_model_though_its_description_says_so(own_copy, name):
    path = own_copy / name
    if path.is_dir():
        shutil.rmtree(path)
        path.mkdir()
        (path / "saved_model.pb").write_bytes(b"not a model")
    else:
        path.write_bytes(b"not a model")
    files = {name: {"sha256": runtime.sha256(path)}}
    change_description(own_copy, files=files)
    with pytest.raises(UserError, match="cannot be opened as a model") as error:
        DepthModel(path)
    assert str(path) in one_line(error)


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"files": 3}', '{"files": {}}', '{"format": 1, "files": ["tiny.onnx"]}', "\x00"],
)
def test_a_damaged_description(own_copy, text):
    (own_copy / "tiny.json").write_text(text)
    with pytest.raises(UserError, match="is not a description of a kdepth model") as error:
        DepthModel(own_copy / "tiny.onnx")
    one_line(error)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 99}, "has format 99; this kdepth reads format 1"),
        ({"files": {}}, "does not describe tiny.onnx"),
        ({"rig": {"baseline": "wide"}}, "is not a description"),
        ({"height": None}, "is not a description"),
        ({"resize": "magic"}, "unknown way to resize: 'magic'"),
        ({"output_name": "normals"}, "unknown meaning: 'normals'"),
        ({"height": 73}, r"takes \[72, 96, 3\].* but its description says \[73, 96, 3\]"),
        ({"output_name": "depth"}, r"gives \['disparity'\].* 'depth'"),
    ],
)
def test_a_wrong_description(own_copy, changes, message):
    change_description(own_copy, **changes)
    with pytest.raises(UserError, match=message) as error:
        DepthModel(own_copy / "tiny.onnx")
    one_line(error)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing.tflite", "there is no exported model"),
        ("picture.png", "is no exported kdepth model"),
        (".onnx", "is no exported kdepth model"),
    ],
)
def test_a_wrong_path(tmp_path, name, message):
    with pytest.raises(UserError, match=message):
        DepthModel(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [
        ("tiny.tflite", "ai_edge_litert.interpreter", r"kdepth\[runtime\]"),
        ("tiny.onnx", "onnxruntime", r"kdepth\[runtime-onnx\]"),
        ("tiny_savedmodel", "tensorflow", r"kdepth\[(addons|keras3)\]"),
    ],
)
def test_a_missing_interpreter_names_the_pip_line(exported, monkeypatch, name, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=f"pip install {extra}"):
        DepthModel(exported / name)


def test_sha256_of_a_folder_sees_names_and_contents(tmp_path):
    first = tmp_path / "a"
    (first / "inner").mkdir(parents=True)
    (first / "inner" / "x").write_bytes(b"1")
    (first / "y").write_bytes(b"2")
    second = Path(shutil.copytree(first, tmp_path / "b"))
    assert runtime.sha256(first) == runtime.sha256(second)
    os.rename(second / "y", second / "z")
    assert runtime.sha256(first) != runtime.sha256(second)
    os.rename(second / "z", second / "y")
    (second / "y").write_bytes(b"3")
    assert runtime.sha256(first) != runtime.sha256(second)
