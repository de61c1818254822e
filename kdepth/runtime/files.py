"""Exported files, the descriptions beside them and their digests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdepth.errors import UserError
from kdepth.runtime.metadata import read_metadata

DESCRIPTION_FORMAT = 1
SAVEDMODEL_SUFFIX = "_savedmodel"
# Format -> precision -> what follows the model's name in a file's name; the description is
# `<name>.json`.
SUFFIXES: dict[str, dict[str, str]] = {
    "savedmodel": {"float32": SAVEDMODEL_SUFFIX},
    "tflite": {
        "float32": ".tflite",
        "float16": "_float16.tflite",
        "dynamic": "_dynamic.tflite",
        "int8": "_int8.tflite",
        "int8_float_io": "_int8_float_io.tflite",
        "int8_float_head": "_int8_float_head.tflite",
    },
    "onnx": {"float32": ".onnx", "dynamic": "_dynamic.onnx"},
}
# All of them, longer ones first: the first that fits is a file's.
ALL_SUFFIXES = tuple(
    sorted(
        (s for of_format in SUFFIXES.values() for s in of_format.values()), key=len, reverse=True
    )
)


def description_path(path: Path) -> Path:
    """Where the description of an exported file is: `garg.json` for `garg_float16.tflite`.

    Raises:
        UserError: if the name is none that an export has.
    """
    for suffix in ALL_SUFFIXES:
        if path.name.endswith(suffix) and path.name != suffix:
            return path.with_name(f"{path.name[: -len(suffix)]}.json")
    raise UserError(
        f"{path} is no exported kdepth model: expected a .tflite or .onnx file or a folder"
        f" *{SAVEDMODEL_SUFFIX}"
    )


def read_description(path: Path) -> dict[str, Any]:
    """The description beside an exported file; where that is gone, the one inside the file.

    The one inside knows neither parity nor digest, so its entry of `files` holds no `sha256`.

    Raises:
        UserError: if the file is missing, or what describes it is missing, damaged or of something
            else.
    """
    beside = description_path(path)
    if not path.exists():
        raise UserError(f"there is no exported model {path}: write one with `kdepth export`")
    if not beside.exists():
        return _description_inside(path, beside)
    try:
        description = json.loads(beside.read_text(encoding="utf-8"))
        entry, version = description["files"].get(path.name), description["format"]
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise UserError(f"{beside} is not a description of a kdepth model ({error!r})") from None
    _check_format(beside, version)
    if not isinstance(entry, dict):
        raise UserError(f"{beside} does not describe {path.name}: export again")
    return description


def _description_inside(path: Path, beside: Path) -> dict[str, Any]:
    description = read_metadata(path)
    if description is None:
        raise UserError(
            f"{beside} is missing, and {path.name} does not say itself what it is: it is damaged or"
            " no kdepth model (models of other tools are not read)"
        )
    _check_format(path, description.get("format"))
    return {**description, "files": {path.name: description["file"]}}


def _check_format(path: Path, version: Any) -> None:
    if version != DESCRIPTION_FORMAT:
        raise UserError(
            f"{path} has format {version}; this kdepth reads format {DESCRIPTION_FORMAT}"
        )


def sha256(path: Path) -> str:
    """Digest of a file, or of a folder's files with their names."""
    digest = hashlib.sha256()
    if path.is_dir():
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            digest.update(f"{file.relative_to(path).as_posix()}\0{sha256(file)}\n".encode())
        return digest.hexdigest()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def checked_sha256(path: Path, description: Mapping[str, Any]) -> str:
    """Digest of an exported file; the one that the JSON beside it names, where there is one.

    Args:
        path: the file or folder.
        description: from `read_description`.

    Raises:
        UserError: if the JSON names another one.
    """
    beside, digest = description_path(path), sha256(path)
    if beside.exists() and digest != description["files"][path.name].get("sha256"):
        raise UserError(
            f"{path} is not the file that {beside.name} describes"
            " (sha256 differs): it is truncated or was changed; copy both again or export again"
        )
    return digest


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files of a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
