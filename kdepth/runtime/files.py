"""Exported files, the descriptions beside them and their digests."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from kdepth.errors import UserError

DESCRIPTION_FORMAT = 1
SAVEDMODEL_SUFFIX = "_savedmodel"
# What follows the model's name in a file's name, longer ones first; the description is
# `<name>.json`.
SUFFIXES = (
    "_int8_float_io.tflite",
    "_int8_float_head.tflite",
    "_int8.tflite",
    "_float16.tflite",
    "_dynamic.tflite",
    "_dynamic.onnx",
    ".tflite",
    ".onnx",
    SAVEDMODEL_SUFFIX,
)


def description_path(path: Path) -> Path:
    """Where the description of an exported file is: `garg.json` for `garg_float16.tflite`.

    Raises:
        UserError: if the name is none that an export has.
    """
    for suffix in SUFFIXES:
        if path.name.endswith(suffix) and path.name != suffix:
            return path.with_name(f"{path.name[: -len(suffix)]}.json")
    raise UserError(
        f"{path} is no exported kdepth model: expected a .tflite or .onnx file or a folder"
        f" *{SAVEDMODEL_SUFFIX}"
    )


def read_description(path: Path) -> dict[str, Any]:
    """The description beside an exported file.

    Raises:
        UserError: if the file or its description is missing, or the description is of something
            else.
    """
    beside = description_path(path)
    if not path.exists():
        raise UserError(f"there is no exported model {path}: write one with `kdepth export`")
    try:
        description = json.loads(beside.read_text(encoding="utf-8"))
        described, version = path.name in description["files"], description["format"]
    except FileNotFoundError:
        raise UserError(
            f"{beside} is missing, which says what {path.name} is: keep the two together"
            " (`kdepth export` writes both; models of other tools are not read)"
        ) from None
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise UserError(f"{beside} is not a description of a kdepth model ({error!r})") from None
    if version != DESCRIPTION_FORMAT:
        raise UserError(
            f"{beside} has format {version}; this kdepth reads format {DESCRIPTION_FORMAT}"
        )
    if not described:
        raise UserError(f"{beside} does not describe {path.name}: export again")
    return description


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
