"""A tiny exported network, its page served in a thread, and one Chromium for all tests of the page."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from kdepth.data.image import write_image
from kdepth.page import onnxruntime_web
from kdepth.page.server import PageServer
from kdepth.prediction import Rig
from kdepth.runtime import DepthModel, ModelFacts
from tests.page.browser import Browser

RIG = Rig(0.54, 0.58)


@contextlib.contextmanager
def served(model: object) -> Iterator[PageServer]:
    """The page of a model, from a thread."""
    with PageServer(model) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="session")
def exported(tmp_path_factory) -> Path:
    """An .onnx file of Garg's network, 72x96 and a twentieth as wide."""
    pytest.importorskip("tensorflow")
    from kdepth.exporters import export_model
    from tests.small_models import small_garg

    folder = tmp_path_factory.mktemp("exports")
    export_model(small_garg(), folder, ["onnx"], name="tiny")
    return folder / "tiny.onnx"


@pytest.fixture
def described(exported, tmp_path) -> Callable[..., DepthModel]:
    """Opens the exported network with other words in its description."""

    def with_words(**words: object) -> DepthModel:
        description = json.loads(exported.with_suffix(".json").read_text())
        (tmp_path / "tiny.onnx").write_bytes(exported.read_bytes())
        (tmp_path / "tiny.json").write_text(json.dumps({**description, **words}))
        return DepthModel(tmp_path / "tiny.onnx")

    return with_words


@pytest.fixture
def analytic() -> SimpleNamespace:
    """In the place of an exported model one that gives the mean of the three colours."""
    facts = ModelFacts("garg", "paper", 4, 6, "area", "disparity", "metric", RIG)
    return SimpleNamespace(
        path=Path("exports/mean.tflite"),
        facts=facts,
        description={"files": {"mean.tflite": {}}},
        run=lambda images: images.mean(axis=-1, keepdims=True),
    )


@pytest.fixture(scope="session")
def picture(tmp_path_factory) -> Path:
    """A photograph: of KITTI where real samples are at hand, else smooth noise; 8-bit RGB."""
    folder = os.environ.get("KDEPTH_REALDATA")
    if folder:
        return next(Path(folder).rglob("image_02/data/0000000010.*"))
    path = tmp_path_factory.mktemp("picture") / "smooth.png"
    noise = np.random.default_rng(4).uniform(0, 255, (6, 20, 3))
    rows, columns = np.linspace(0, 5, 150), np.linspace(0, 19, 497)
    smooth = np.stack(
        [
            np.stack([np.interp(columns, np.arange(20), row) for row in channel])
            for channel in np.moveaxis(noise, -1, 0)
        ]
    )
    lower = np.floor(rows).astype(int).clip(0, 4)
    share = (rows - lower)[None, :, None]
    image = smooth[:, lower] * (1 - share) + smooth[:, lower + 1] * share
    write_image(path, np.moveaxis(image, 0, -1).astype(np.uint8))
    return path


@pytest.fixture(scope="session")
def browser(chromium, tmp_path_factory) -> Iterator[Browser]:
    """Chromium, whose webcam is a moving test picture."""
    fake = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    browser = Browser(chromium, tmp_path_factory.mktemp("chromium"), *fake)
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def runs_in_browsers() -> None:
    """Skips without ONNX Runtime for browsers; in CI that is a failure."""
    if not onnxruntime_web.is_installed():
        if os.environ.get("CI"):
            pytest.fail("in CI networks run in the browser: `make web` was not called or failed")
        pytest.skip("needs ONNX Runtime for browsers: make web")
