"""From a trained model to files that run elsewhere, each of them checked against the model.

The depth network or the pose network is exported, never the loss or the warp. `export_model` writes
everything into a temporary folder in or beside its place, runs every file there against Keras, and
moves the files into their place only if all agree. A new format is one module with a
`write_...(network, path)`, its lines in `plan.py` and a reader in `kdepth.runtime.open_network`.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from kdepth.errors import UserError
from kdepth.exporters.plan import DEFAULT_PRECISIONS, FORMATS, PRECISIONS, Choices
from kdepth.exporters.publish import publish
from kdepth.files import MARK, remove_leftovers
from kdepth.runtime import ALL_SUFFIXES, description_path, sha256, size_of

__all__ = ["DEFAULT_PRECISIONS", "FORMATS", "PICTURES", "PRECISIONS", "Artefact", "export_model"]

PICTURES = 4


@dataclasses.dataclass(frozen=True)
class Artefact:
    """One exported and verified file or folder.

    Attributes:
        path: where it is.
        format: one of `FORMATS`.
        precision: one of `PRECISIONS`.
        bytes: its size.
        sha256: its digest (of a folder: of its files).
        parity: max|a - b| / (max b - min b) against Keras, the worst picture.
        tolerance: what parity had to stay below.
        input: name, dtype, layout and normalisation of its input, and of a quantised one scale and
            zero point.
        output: name and dtype of its output, and likewise.
        float_operators: of an 8-bit file, the operators that compute in float, {name: count}; None of
            other files.
    """

    path: Path
    format: str
    precision: str
    bytes: int
    sha256: str
    parity: float
    tolerance: float
    input: Mapping[str, Any]
    output: Mapping[str, Any]
    float_operators: Mapping[str, int] | None

    @property
    def full_int8(self) -> bool:
        """Whether it computes in 8 bits alone."""
        from kdepth.exporters.describe import is_full_int8

        return is_full_int8(dataclasses.asdict(self))


def export_model(
    model: Any,
    folder: str | Path,
    formats: Iterable[str] = FORMATS,
    *,
    precisions: Iterable[str] = DEFAULT_PRECISIONS,
    part: str = "depth",
    output: str = "native",
    input_type: str = "float",
    layout: str = "nhwc",
    opset: int = Choices.opset,
    calibration: Sequence[np.ndarray] | None = None,
    name: str | None = None,
    pictures: Sequence[np.ndarray] | None = None,
    pictures_source: str | None = None,
    calibration_source: str | None = None,
    facts: Mapping[str, Any] | None = None,
    score: Mapping[str, Any] | None = None,
) -> list[Artefact]:
    """Writes a model's depth or pose network in several formats and verifies each against the model.

    Writes `<folder>/<name>.tflite`, `<name>_float16.tflite`, `<name>_int8.tflite`, ...,
    `<name>.onnx`, `<name>_savedmodel/` and `<name>.json`, which describes them. Other files of an
    earlier export under that name stay if they hold the same network and are removed if not.

    Args:
        model: a `kdepth.papers.base.DepthModel` on Keras's TensorFlow backend.
        folder: where the files go; made if missing.
        formats: some of `FORMATS`.
        precisions: some of `PRECISIONS`; each format writes those that it has.
        part: "depth", or "pose" of a paper that has a pose network.
        output: "native" (what the paper's network predicts) or "depth".
        input_type: "float" (RGB in [0, 1]) or "uint8" (raw RGB).
        layout: of ONNX files, "nhwc" or "nchw".
        opset: of ONNX files.
        calibration: pictures [H, W, 3], uint8 or float in [0, 1], on which the ranges of 8-bit files
            are measured; of a network that looks at both views of a stereo pair [H, W, 6].
        name: of the files; the folder's name by default, followed by "_pose" for that part.
        pictures: likewise, to verify on; test patterns if None.
        pictures_source: where they are from, for the description.
        calibration_source: where those of `calibration` are from, likewise.
        facts: more about the model that the description shall hold under "run" (seed, data set,
            ...).
        score: what the model reached in an evaluation, with its protocol.

    Returns:
        What was written.

    Raises:
        UserError: for an unknown format, precision or part, another Keras backend, 8-bit files
            without calibration pictures, or a missing package.
        kdepth.exporters.verify.ParityError: if a file differs from the model or gives NaN; then
            nothing is written.
    """
    from kdepth.exporters import describe, graph, plan, verify

    graph.require_tensorflow_backend()
    choices = Choices(tuple(formats), tuple(precisions), input_type, layout, opset)
    choices.check()
    folder = Path(folder)
    network = graph.exported_network(model, part, output)
    name = folder.resolve().name + ("" if part == "depth" else f"_{part}") if name is None else name
    if any(description_path(folder / f"{name}{suffix}").stem != name for suffix in ALL_SUFFIXES):
        raise UserError(
            f"'{name}' ends as the files of a precision do, so its files would be taken for those of"
            " another model: choose another name (--out=exports/<name>)"
        )
    if pictures is None or len(pictures) == 0:
        pictures = verify.pattern_pictures(*model.image_size, count=PICTURES)
        pictures_source = "test patterns"
        logging.warning(
            "no pictures were given, so the export of %s is verified on test patterns", name
        )
    images = _calibration_images(network, calibration) if choices.wants_int8 else None
    reference = verify.Reference.of(network, pictures, input_type)
    described = describe.of_network(name, network.facts, model, facts or {}, score)

    folder.parent.mkdir(parents=True, exist_ok=True)
    # Within a folder that is there: it may lie on another disk than its parent.
    place = folder if folder.is_dir() else folder.parent
    remove_leftovers(place, name)
    with tempfile.TemporaryDirectory(prefix=f".{name}{MARK}", dir=place) as staging:
        artefacts = []
        for file in plan.files(name, network, choices, images):
            staged = Path(staging) / file.name
            file.write(staged)
            entry = describe.of_file(staged, file, network.facts, input_type)
            file.add_metadata(staged, *describe.as_metadata(described, entry))
            result = verify.verify(staged, network.facts, reference, file.precision)
            artefacts.append(
                Artefact(
                    path=folder / file.name,
                    bytes=size_of(staged),
                    sha256=sha256(staged),
                    parity=result.value,
                    tolerance=result.tolerance,
                    **entry,
                )
            )
            logging.info("%s agrees with Keras: %.1e of the range", file.name, result.value)
        description = {
            **described,
            "verified_on": {
                "source": pictures_source or "pictures of the caller",
                "count": len(pictures),
            },
            "calibrated_on": None
            if images is None
            else {
                "source": calibration_source or "pictures of the caller",
                "count": len(images),
            },
            "files": {artefact.path.name: _entry(artefact) for artefact in artefacts},
        }
        publish(Path(staging), folder, description)
    return artefacts


def _calibration_images(network: Any, pictures: Sequence[np.ndarray] | None) -> np.ndarray:
    from kdepth.exporters import verify

    if network.facts.part == "pose":
        raise UserError(
            "--precisions=int8: a pose network's motions are far smaller than a 256th of their range;"
            " export it as float32, float16 or dynamic"
        )
    if pictures is None or len(pictures) == 0:
        raise UserError(
            "8-bit files need pictures to measure the ranges of the network's maps on: give some of"
            " the training data (--calibration_images=<folder>; `calibration=` of export_model)"
        )
    return verify.prepare_pictures(network.facts, pictures)


def _entry(artefact: Artefact) -> dict[str, Any]:
    return {key: value for key, value in dataclasses.asdict(artefact).items() if key != "path"}
