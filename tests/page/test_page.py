"""The page in Chromium: its depth maps are those of the runtime in Python, computed there or here."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from kdepth import visualize
from kdepth.data.image import RESIZE_METHODS, read_image, resize_image, write_image
from kdepth.page import onnxruntime_web
from kdepth.page.server import page_facts
from kdepth.pictures import pinhole
from kdepth.prediction import Prediction
from kdepth.runtime import DepthModel, predict_image
from tests.page.browser import Page
from tests.page.conftest import RIG, served

DONE = r"/network \d+ ms$/.test(document.querySelector('#status').textContent)"


@pytest.fixture(params=["browser", "server"])
def place(request, monkeypatch):
    """Where the network runs."""
    if request.param == "browser":
        request.getfixturevalue("runs_in_browsers")
    else:
        monkeypatch.setattr(onnxruntime_web, "is_installed", lambda: False)
    return request.param


@pytest.fixture
def page(analytic, browser):
    """The page of a network that is a mean, at work on the server."""
    with served(analytic) as server:
        page = browser.open(server.url)
        yield page
        page.close()


def difference(found, expected):
    return np.abs(found - expected).max() / np.ptp(expected)


def show(page: Page, path) -> None:
    page.choose_file("#file", path)
    page.wait_for(DONE)


def random_picture(path, height, width, seed=0):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    write_image(path, image)
    return path


# -- the whole path --------------------------------------------------------------------------------------


def test_a_pictures_depth_is_the_runtimes(place, exported, browser, picture):
    model = DepthModel(exported)
    image = read_image(picture)
    height, width = image.shape[:2]
    expected = model(image).values[0]
    calls = []
    run = model.run
    model.run = lambda images: calls.append(1) or run(images)
    with served(model) as server:
        page = browser.open(server.url)
        page.wait_for("document.querySelector('#place').textContent")
        assert ("pictures stay" in page.text("#place")) == (place == "browser")
        assert ("make web" in page.text("#place")) == (place == "server")
        show(page, picture)
        assert len(calls) == (place == "server")

        disparity = np.load(page.download("#save-npy"))
        assert disparity.shape == expected.shape and disparity.dtype == np.float32
        assert difference(disparity, expected) < 1e-4
        assert "Disparity" in page.text("#quantity")

        page.evaluate("camera.value = 'training'; camera.dispatchEvent(new Event('change'))")
        file = page.download("#save-npy")
        camera = pinhole(RIG.focal * width, width, height)
        metres = model(image, camera).values[0]
        assert file.name == f"{picture.stem}_depth.npy"
        assert difference(np.load(file), metres) < 1e-4
        assert page.text("#quantity") == "Depth in metres"

        page.point("#map", 0.3, 0.6)
        column, row = int(0.3 * width), int(0.6 * height)
        told, _, rest = page.text("#reading").partition(" m at column ")
        x, y = (int(number) for number in rest.split(", row "))
        assert abs(x - column) <= 1 and abs(y - row) <= 1
        assert float(told) == pytest.approx(metres[y, x], rel=0.006)
        assert page.complaints() == []
        page.close()


@pytest.mark.parametrize("resize", ["bilinear", "bicubic"])
def test_other_resizes_and_a_jpeg(runs_in_browsers, described, browser, tmp_path, resize):
    model = described(resize=resize)
    path = tmp_path / "smooth.jpg"
    small = np.random.default_rng(2).integers(0, 256, (8, 10, 3), dtype=np.uint8)
    Image.fromarray(small).resize((400, 300), Image.Resampling.BICUBIC).save(path, quality=90)
    expected = model(read_image(path)).values[0]
    with served(model) as server:
        page = browser.open(server.url)
        show(page, path)
        assert "pictures stay" in page.text("#place")
        assert difference(np.load(page.download("#save-npy")), expected) < 1e-3
        page.close()


def test_a_file_that_the_browser_cannot_run_goes_to_the_server(
    runs_in_browsers, described, browser, tmp_path
):
    model = described()
    expected = model(read_image(random_picture(tmp_path / "a.png", 90, 120))).values[0]
    with served(model) as server:
        damaged = tmp_path / "damaged.onnx"
        damaged.write_bytes(model.path.read_bytes()[:5000])
        server.files["/model.onnx"] = damaged
        page = browser.open(server.url)
        page.wait_for("document.querySelector('#place').textContent")
        assert "this browser cannot run the file" in page.text("#place")
        show(page, tmp_path / "a.png")
        assert difference(np.load(page.download("#save-npy")), expected) < 1e-5
        page.close()


# -- its parts, number for number --------------------------------------------------------------------------


@pytest.mark.parametrize("method", RESIZE_METHODS)
def test_pictures_are_resized_as_in_python(page, analytic, method):
    generator = np.random.default_rng(5)
    sizes = [(7, 9, 7, 9), (40, 60, 17, 23), (40, 60, 20, 30), (9, 11, 30, 25), (64, 50, 33, 120)]
    sizes += [
        (60, 40, 60, 11),
        (31, 33, 50, 20),
        (90, 90, 30, 60),
        (90, 90, 30, 61),
        (80, 60, 16, 29),
    ]
    rows_first = json.dumps(page_facts(analytic)["rows_may_go_first"])
    for height, width, new_height, new_width in sizes:
        rgba = generator.integers(0, 256, (height, width, 4), dtype=np.uint8)
        found = page.evaluate(
            f"import('/resize.js').then(m => [...m.resizeImage(new Uint8Array({rgba.ravel().tolist()}),"
            f" {width}, {height}, {new_width}, {new_height}, '{method}', {rows_first})])"
        )
        expected = resize_image(rgba[..., :3], new_height, new_width, method)
        np.testing.assert_allclose(found, expected.ravel(), rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("output", "kind", "focal"),
    [
        ("disparity", "metric", None),
        ("disparity", "metric", 0.7),
        ("depth", "metric", None),
        ("depth", "relative", None),
        ("inverse_depth", "relative", None),
    ],
)
def test_outputs_become_predictions_and_colours_as_in_python(page, analytic, output, kind, focal):
    facts = dataclasses.replace(analytic.facts, output_name=output, kind=kind)
    values = np.random.default_rng(1).uniform(0.01, 0.9, (4, 6)).astype(np.float32)
    values[0, 0] = 0.0
    analytic.facts = facts
    words = json.dumps(page_facts(analytic))
    found = page.evaluate(
        "Promise.all([import('/prediction.js'), import('/colors.js')]).then(([p, c]) => {"
        f" const facts = {words};"
        f" const values = p.atPictureSize(new Float32Array({values.ravel().tolist()}), facts, 15, 10);"
        f" const prediction = p.toPrediction(values, facts, {json.dumps(focal)});"
        f" const rgba = c.colorize(prediction, c.colorRange(prediction), facts.colors);"
        " return [prediction.quantity, prediction.unit, [...prediction.values], [...rgba]]; })"
    )
    camera = None if focal is None else pinhole(focal * 15, 15, 10)
    image = np.zeros((10, 15, 3), np.uint8)
    expected = predict_image(lambda images: values[None, ..., None], facts, image, camera)
    if expected.quantity == "inverse_depth":
        expected = expected.to_depth()
    relative = "relative_" if expected.kind == "relative" else ""
    assert found[:2] == [relative + expected.quantity, expected.unit]
    np.testing.assert_allclose(found[2], expected.values.ravel(), rtol=1e-6)
    np.testing.assert_allclose(
        np.reshape(found[3], (10, 15, 4))[..., :3].astype(int), colors_of(expected), atol=4
    )


def colors_of(prediction: Prediction) -> np.ndarray:
    paint = visualize.colorize if prediction.quantity == "disparity" else visualize.colorize_depth
    return paint(prediction.values[0]).astype(int)


# -- as a person uses it -------------------------------------------------------------------------------------


def test_a_dropped_picture_its_colours_and_its_legend(page, analytic, tmp_path):
    path = random_picture(tmp_path / "noise.png", 30, 45)
    image = read_image(path)
    page.drop_file(path)
    page.wait_for(DONE)
    expected = predict_image(analytic.run, analytic.facts, image)
    colors = read_image(page.download("#save-png")).astype(int)
    assert np.abs(colors - colors_of(expected)).max() <= 4
    shown = page.evaluate("[...picture.getContext('2d').getImageData(0, 0, 45, 30).data]")
    np.testing.assert_array_equal(np.reshape(shown, (30, 45, 4))[..., :3], image)
    low, high = np.percentile(expected.values, visualize.PERCENTILES)
    ticks = [
        float(text.split()[0])
        for text in page.evaluate("[...ticks.children].map(tick => tick.textContent)")
    ]
    np.testing.assert_allclose(ticks, np.linspace(low, high, 5), rtol=0.006)


def test_the_picture_is_turned_as_its_exif_says(page, analytic, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    ramp = np.linspace(0, 255, 40).astype(np.uint8)[None, :, None]
    path = tmp_path / "turned.png"
    Image.fromarray(np.broadcast_to(ramp, (20, 40, 3)).copy()).save(path, exif=exif)
    image = read_image(path)
    assert image.shape == (40, 20, 3)
    show(page, path)
    expected = predict_image(analytic.run, analytic.facts, image).values[0]
    assert difference(np.load(page.download("#save-npy")), expected) < 1e-5


def test_a_pictures_gamma_is_left_aside_as_in_python(page, analytic, tmp_path):
    image = np.random.default_rng(8).integers(0, 256, (12, 18, 3), dtype=np.uint8)
    gamma = PngInfo()
    gamma.add(b"gAMA", (100_000).to_bytes(4, "big"))  # linear, which browsers otherwise brighten
    path = tmp_path / "linear.png"
    Image.fromarray(image).save(path, pnginfo=gamma)
    show(page, path)
    expected = predict_image(analytic.run, analytic.facts, image).values[0]
    assert difference(np.load(page.download("#save-npy")), expected) < 1e-5


def test_the_keyboard_reads_values_and_turns_the_cloud(page, tmp_path):
    show(page, random_picture(tmp_path / "noise.png", 30, 45))
    page.evaluate("map.focus()")
    page.press("ArrowRight")
    assert page.text("#reading").endswith("at column 23, row 15")
    page.press("ArrowUp")
    assert page.text("#reading").endswith("at column 23, row 14")
    page.wait_for("cloud.width > 300")
    before = drawn(page)
    page.evaluate("cloud.focus()")
    page.press("ArrowLeft")
    turned = changed(page, before)
    page.press("0")
    assert changed(page, turned) == before


def drawn(page):
    return page.evaluate("new Promise(requestAnimationFrame).then(() => cloud.toDataURL())")


def changed(page, before):
    page.wait_for(f"cloud.toDataURL() !== {json.dumps(before)}")
    return drawn(page)


def test_the_point_cloud_shows_the_picture_and_turns(page, tmp_path):
    green = np.zeros((60, 90, 3), np.uint8)
    green[..., 1] = np.linspace(100, 255, 90).astype(np.uint8)
    write_image(tmp_path / "green.png", green)
    show(page, tmp_path / "green.png")
    page.wait_for("cloud.width > 300")
    pixels = page.evaluate(
        "[...cloud.getContext('2d').getImageData(0, 0, cloud.width, cloud.height).data]"
    )
    seen = np.reshape(pixels, (-1, 4))
    points = seen[seen[:, 3] > 0]
    assert len(points) > 0.1 * len(seen)
    assert (points[:, 1] >= 100).all() and not points[:, [0, 2]].any()
    before = drawn(page)
    page.drag("#cloud", 0.2)
    after = changed(page, before)
    page.click("#closer")
    changed(page, after)


def test_the_webcam_runs_until_it_is_stopped(page, analytic):
    page.click("#webcam")
    page.wait_for(DONE)
    assert page.text("#webcam") == "Stop the webcam"
    assert page.evaluate("picture.width > 100 && map.width === picture.width")
    first = page.evaluate("picture.toDataURL()")
    page.wait_for(f"picture.toDataURL() !== {json.dumps(first)}")
    page.click("#webcam")
    page.wait_for("video.srcObject === null")
    assert page.text("#webcam") == "Use the webcam" and page.complaints() == []


def test_what_is_no_picture_is_said_in_one_line(page, tmp_path):
    path = tmp_path / "notes.png"
    path.write_text("no picture")
    page.choose_file("#file", path)
    page.wait_for("document.querySelector('#status').className === 'error'")
    assert page.text("#status") == "notes.png is no picture that this browser can read"
    show(page, random_picture(tmp_path / "good.png", 30, 45))


def test_a_model_that_predicts_nan_is_said(page, analytic, tmp_path):
    works, analytic.run = analytic.run, lambda images: np.full((1, 4, 6, 1), np.nan)
    page.choose_file("#file", random_picture(tmp_path / "a.png", 30, 45))
    page.wait_for("document.querySelector('#status').className === 'error'")
    assert "predicts NaN or inf" in page.text("#status")
    analytic.run = works
    show(page, tmp_path / "a.png")


@pytest.mark.parametrize("width", [360, 1280])
def test_it_fits_a_phone_and_a_desktop(page, tmp_path, width):
    page.resize(width, 800)
    show(page, random_picture(tmp_path / "wide.png", 30, 120))
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    lefts = page.evaluate(
        "[...document.querySelectorAll('.pair canvas')].map(c => c.getBoundingClientRect().x)"
    )
    assert (lefts[0] == lefts[1]) == (width == 360)
