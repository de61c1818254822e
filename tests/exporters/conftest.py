"""One small network, exported once in everything there is, that all tests of exports share."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest


@pytest.fixture(scope="session")
def model():
    pytest.importorskip("tensorflow")
    from tests.small_models import small_garg

    return small_garg()


@pytest.fixture(scope="session")
def pictures() -> list[np.ndarray]:
    from kdepth.exporters import verify

    return verify.pattern_pictures(100, 140, count=3, seed=5)


@pytest.fixture(scope="session")
def exported(model, pictures, tmp_path_factory) -> SimpleNamespace:
    from kdepth.exporters import PRECISIONS, export_model

    folder = tmp_path_factory.mktemp("exports") / "tiny"
    artefacts = export_model(
        model,
        folder,
        precisions=PRECISIONS,
        pictures=pictures,
        calibration=pictures,
        pictures_source="patterns",
        facts={"seed": 7},
        score={"protocol": "synthetic", "abs_rel": 0.25},
    )
    description = json.loads((folder / "tiny.json").read_text())
    return SimpleNamespace(
        folder=folder,
        artefacts={artefact.path.name: artefact for artefact in artefacts},
        description=description,
    )


@pytest.fixture(scope="session")
def raw_depth(model, pictures, tmp_path_factory) -> SimpleNamespace:
    """The same network: raw pixels in, metres out, channels first in ONNX."""
    from kdepth.exporters import export_model

    folder = tmp_path_factory.mktemp("raw") / "raw"
    artefacts = export_model(
        model,
        folder,
        precisions=("float32", "int8_float_head"),
        output="depth",
        input_type="uint8",
        layout="nchw",
        opset=15,
        pictures=pictures,
        calibration=pictures,
    )
    return SimpleNamespace(folder=folder, artefacts={a.path.name: a for a in artefacts})
