"""From a trained model to files that run elsewhere, each of them checked against the model.

The depth network or the pose network is exported, never the loss or the warp. `export_model` writes
everything into a temporary folder beside its place, runs every file there against Keras, and moves the files
into their place only if all agree. A new format is one module with a `write_...(network, path)`, a
line in `_plan` and a reader in `kdepth.runtime.open_network`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from kdepth.errors import UserError
from kdepth.exporters.publish import publish, size_of
from kdepth.runtime import DESCRIPTION_FORMAT, INPUT_NAME, SAVEDMODEL_SUFFIX, ModelFacts, sha256
from kdepth.versions import versions

FORMATS = ("tflite", "onnx", "savedmodel")
PICTURES = 4


@dataclasses.dataclass(frozen=True)
class Artefact:
    """One exported and verified file or folder.

    Attributes:
        path: where it is.
        format: one of `FORMATS`.
        precision: of its weights, "float32" or "float16".
        bytes: its size.
        sha256: its digest (of a folder: of its files).
        parity: max|a - b| / (max b - min b) against Keras, the worst picture.
        tolerance: what parity had to stay below.
    """

    path: Path
    format: str
    precision: str
    bytes: int
    sha256: str
    parity: float
    tolerance: float


def export_model(
    model: Any,
    folder: str | Path,
    formats: Iterable[str] = FORMATS,
    *,
    part: str = "depth",
    float16: bool = True,
    name: str | None = None,
    pictures: Sequence[np.ndarray] | None = None,
    pictures_source: str | None = None,
    facts: Mapping[str, Any] | None = None,
) -> list[Artefact]:
    """Writes a model's depth or pose network in several formats and verifies each against the model.

    Writes `<folder>/<name>.tflite`, `<name>_float16.tflite`, `<name>.onnx`, `<name>_savedmodel/`
    and `<name>.json`, which describes them. Other files of an earlier export under that name stay
    if they hold the same network and are removed if not.

    Args:
        model: a `kdepth.papers.base.DepthModel` on Keras's TensorFlow backend.
        folder: where the files go; made if missing.
        formats: some of `FORMATS`.
        part: "depth", or "pose" of a paper that has a pose network.
        float16: with "tflite", also a file with float16 weights.
        name: of the files; the folder's name by default, followed by "_pose" for that part.
        pictures: [H, W, 3] images of any size, uint8 or float in [0, 1], to verify on; test
            patterns if None.
        pictures_source: where they are from, for the description.
        facts: more about the model that the description shall hold under "run" (seed, data set,
            ...).

    Returns:
        What was written.

    Raises:
        UserError: for an unknown format or part, another Keras backend, or a missing package.
        kdepth.exporters.verify.ParityError: if a file differs from the model or gives NaN; then
            nothing is written.
    """
    from kdepth.exporters import graph, verify

    graph.require_tensorflow_backend()
    folder = Path(folder)
    network = graph.exported_network(model, part)
    name = folder.resolve().name + ("" if part == "depth" else f"_{part}") if name is None else name
    plan = _plan(name, formats, float16)
    model_facts = ModelFacts.of_model(model, part)
    if pictures is None or len(pictures) == 0:
        pictures = verify.pattern_pictures(*model.image_size, count=PICTURES)
        pictures_source = "test patterns"
        logging.warning(
            "no pictures were given, so the export of %s is verified on test patterns", name
        )
    images = verify.prepare_pictures(model_facts, pictures)
    reference = verify.keras_network(network)(images)

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=folder.parent) as staging:
        artefacts = []
        for file_name, (format_name, precision, write) in plan.items():
            staged = Path(staging) / file_name
            write(network, staged)
            result = verify.verify(staged, model_facts, images, reference, precision)
            artefacts.append(
                Artefact(
                    path=folder / file_name,
                    format=format_name,
                    precision=precision,
                    bytes=size_of(staged),
                    sha256=sha256(staged),
                    parity=result.value,
                    tolerance=result.tolerance,
                )
            )
            logging.info("%s agrees with Keras: %.1e of the range", file_name, result.value)
        description = {
            "format": DESCRIPTION_FORMAT,
            "name": name,
            **model_facts.to_dict(),
            "input": {
                "name": INPUT_NAME,
                "normalisation": "RGB [0, 1]",
                "layout": "NHWC",
                "dtype": "float32",
            },
            "output": {"name": model_facts.output_name, "unit": model_facts.unit},
            "weights_sha256": weights_digest(model),
            "run": dict(facts or {}),
            "versions": versions(),
            "verified_on": {
                "source": pictures_source or "pictures of the caller",
                "count": len(images),
            },
            "files": {artefact.path.name: _entry(artefact) for artefact in artefacts},
        }
        publish(Path(staging), folder, description)
    return artefacts


def weights_digest(model: Any) -> str:
    """sha256 of a model's weights."""
    digest = hashlib.sha256()
    for _, part in sorted(model.parts().items()):
        for value in part.get_weights():
            digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def _plan(
    name: str, formats: Iterable[str], float16: bool
) -> dict[str, tuple[str, str, Callable[[Any, Path], None]]]:
    """{file name: (format, precision, writer)} of an export.

    Raises:
        UserError: for an unknown format, or none.
    """
    from kdepth.exporters import onnx, savedmodel, tflite

    formats = list(formats)
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown or not formats:
        received = ", ".join(unknown) or "none"
        raise UserError(f"`formats` must be some of {', '.join(FORMATS)}; received {received}")
    plan: dict[str, tuple[str, str, Callable[[Any, Path], None]]] = {}
    if "savedmodel" in formats:
        plan[f"{name}{SAVEDMODEL_SUFFIX}"] = ("savedmodel", "float32", savedmodel.write_savedmodel)
    if "tflite" in formats:
        plan[f"{name}.tflite"] = ("tflite", "float32", tflite.write_tflite)
        if float16:
            plan[f"{name}_float16.tflite"] = (
                "tflite",
                "float16",
                lambda network, path: tflite.write_tflite(network, path, "float16"),
            )
    if "onnx" in formats:
        plan[f"{name}.onnx"] = ("onnx", "float32", onnx.write_onnx)
    return plan


def _entry(artefact: Artefact) -> dict[str, Any]:
    return {key: value for key, value in dataclasses.asdict(artefact).items() if key != "path"}
