"""Which files an export consists of: formats times precisions, and how each is written."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kdepth.errors import UserError
from kdepth.exporters import int8, onnx, savedmodel, tflite
from kdepth.exporters.graph import INPUTS, LAYOUTS, ExportedNetwork
from kdepth.runtime import SUFFIXES

FORMATS = ("tflite", "onnx", "savedmodel")
PRECISIONS = (*tflite.PRECISIONS, *int8.PRECISIONS)
DEFAULT_PRECISIONS = ("float32", "float16")


@dataclasses.dataclass(frozen=True)
class Choices:
    """What was asked for.

    Attributes:
        formats: some of `FORMATS`.
        precisions: some of `PRECISIONS`; each format writes those that it has.
        input_type: "float" or "uint8".
        layout: of ONNX files, "nhwc" or "nchw".
        opset: of ONNX files.
    """

    formats: Sequence[str] = FORMATS
    precisions: Sequence[str] = DEFAULT_PRECISIONS
    input_type: str = "float"
    layout: str = "nhwc"
    opset: int = onnx.OPSET

    def check(self) -> None:
        """Refuses what does not exist.

        Raises:
            UserError: for an unknown value, or if nothing would be written.
        """
        for name, values, known in (
            ("formats", self.formats, FORMATS),
            ("precisions", self.precisions, PRECISIONS),
            ("input", [self.input_type], INPUTS),
            ("layout", [self.layout], LAYOUTS),
        ):
            unknown = sorted(set(values) - set(known))
            if unknown or not values:
                raise UserError(f"--{name}={','.join(values)}: choose some of {', '.join(known)}")
        if not any(set(SUFFIXES[name]) & set(self.precisions) for name in self.formats):
            raise UserError(
                f"--precisions={','.join(self.precisions)}: --formats={','.join(self.formats)} has"
                f" {', '.join(sorted({p for name in self.formats for p in SUFFIXES[name]}))}"
            )
        if self.layout != "nhwc" and "onnx" not in self.formats:
            raise UserError(f"--layout={self.layout}: only ONNX files have it (--formats=onnx)")
        if self.opset != onnx.OPSET and "onnx" not in self.formats:
            raise UserError(f"--opset={self.opset}: only ONNX files have it (--formats=onnx)")
        low, high = onnx.OPSETS
        if not low <= self.opset <= high:
            raise UserError(f"--opset={self.opset}: must lie in {low} .. {high}")

    @property
    def wants_int8(self) -> bool:
        """Whether a file needs calibration images."""
        return "tflite" in self.formats and bool(set(self.precisions) & set(int8.PRECISIONS))


@dataclasses.dataclass(frozen=True)
class File:
    """One file of an export.

    Attributes:
        name: of the file.
        format: one of `FORMATS`.
        precision: one of `PRECISIONS`.
        layout: of its images, "NHWC" or "NCHW".
        write: writes it at a path.
        add_metadata: gives it a description: (path, JSON, one line).
    """

    name: str
    format: str
    precision: str
    layout: str
    write: Callable[[Path], None]
    add_metadata: Callable[[Path, str, str], None]


def files(
    name: str, network: ExportedNetwork, choices: Choices, calibration: np.ndarray | None
) -> list[File]:
    """The files of an export, in the order in which they can be written.

    Args:
        name: of the model; file names begin with it.
        network: what is exported.
        choices: what was asked for, checked.
        calibration: images [N, h, w, C] for 8-bit files.
    """
    eight_bits = None
    if choices.wants_int8:
        eight_bits = int8.Int8Files(network, calibration, choices.input_type)

    def write_tflite(path: Path, precision: str) -> None:
        if precision in int8.PRECISIONS:
            eight_bits.write(path, precision)
        else:
            tflite.write_tflite(network, path, precision, choices.input_type)

    def write_onnx(path: Path, precision: str) -> None:
        if precision == "float32":
            options: dict[str, Any] = {"layout": choices.layout, "opset": choices.opset}
            onnx.write_onnx(network, path, input_type=choices.input_type, **options)
            return
        source = path.with_name(f"{name}{SUFFIXES['onnx']['float32']}")
        there = source.exists()
        if not there:
            write_onnx(source, "float32")
        onnx.write_dynamic(source, path)
        if not there:
            source.unlink()

    def write_savedmodel(path: Path, precision: str) -> None:
        savedmodel.write_savedmodel(network, path, choices.input_type)

    writers = {"tflite": write_tflite, "onnx": write_onnx, "savedmodel": write_savedmodel}
    adders = {
        "tflite": tflite.add_metadata,
        "onnx": onnx.add_metadata,
        "savedmodel": lambda path, text, line: savedmodel.add_metadata(path, text),
    }
    found = []
    for format_name, suffixes in SUFFIXES.items():
        for precision, suffix in suffixes.items():
            if format_name not in choices.formats or precision not in choices.precisions:
                continue
            layout = choices.layout.upper() if format_name == "onnx" else "NHWC"
            found.append(
                File(
                    f"{name}{suffix}",
                    format_name,
                    precision,
                    layout,
                    _bound(writers[format_name], precision),
                    adders[format_name],
                )
            )
    return found


def _bound(write: Callable[[Path, str], None], precision: str) -> Callable[[Path], None]:
    return lambda path: write(path, precision)
