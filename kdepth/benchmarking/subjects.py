"""What is measured: exported files, alone or all of a folder, and the Keras model of a run."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import logging

from kdepth import runtime
from kdepth.benchmarking import calls
from kdepth.errors import UserError

KERAS = "keras"
# The order of a folder's files in the table.
FORMATS = ("tflite", "onnx", "savedmodel")


@dataclasses.dataclass(frozen=True)
class Subject:
    """One network as it is stored somewhere.

    Attributes:
        path: an exported file or folder, or a run's folder.
        format: "tflite", "onnx", "savedmodel", or "keras" for a run.
        precision: as the export describes it ("float32", "int8", ...).
        part: "depth" or "pose".
        paper: its name on the command line.
        bytes: of the file or folder; of a run, of its weights.
        sha256: its digest; of a run, that of its weights' folder.
    """

    path: Path
    format: str
    precision: str
    part: str
    paper: str
    bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Case:
    """A network and the way it is run.

    Attributes:
        subject: the network.
        threads: how many its library may use.
        xnnpack: whether TFLite hands its operators to XNNPACK; None for what is not TFLite.
    """

    subject: Subject
    threads: int
    xnnpack: bool | None = None

    def __str__(self) -> str:
        delegate = {None: "", True: ", XNNPACK", False: ", without XNNPACK"}[self.xnnpack]
        plural = "s" if self.threads > 1 else ""
        return f"{self.subject.path.name}, {self.threads} thread{plural}{delegate}"


def find(models: Sequence[str | Path], run: str | Path | None = None) -> list[Subject]:
    """What some names stand for.

    Args:
        models: exported files, or folders of them.
        run: a run's folder; its Keras model comes first.

    Returns:
        The subjects; files in the order they are named in, a folder's TFLite files first.

    Raises:
        UserError: if one does not exist, is no export of kdepth, is damaged, stands twice, or needs
            a library that is not installed. Such files of a folder are left out.
    """
    found = [] if run is None else [_runnable(of_run(Path(run)))]
    for name in models:
        path = Path(name)
        is_folder_of_files = path.is_dir() and not path.name.endswith(runtime.SAVEDMODEL_SUFFIX)
        found += _of_folder(path) if is_folder_of_files else [_runnable(of_file(path))]
    seen: set[Path] = set()
    for subject in found:
        if subject.path.resolve() in seen:
            raise UserError(f"{subject.path} is named twice")
        seen.add(subject.path.resolve())
    return found


def of_file(path: Path) -> Subject:
    """An exported file or `_savedmodel` folder, checked against its description.

    Raises:
        UserError: if it or its description is missing, damaged or of something else.
    """
    description, facts, digest = runtime.described(path)
    entry = description["files"][path.name]
    if entry.get("format") not in FORMATS or not entry.get("precision"):
        raise UserError(
            f"{runtime.description_path(path)} does not say what {path.name} is: export again"
        )
    return Subject(
        path=path,
        format=entry["format"],
        precision=str(entry["precision"]),
        part=facts.part,
        paper=facts.paper,
        bytes=runtime.size_of(path),
        sha256=digest,
    )


def of_run(folder: Path) -> Subject:
    """The Keras model of a run; Keras itself is imported in the measuring process only.

    Raises:
        UserError: if the folder is no run or has no weights.
    """
    from kdepth.training.runs import Run

    run = Run(folder)
    info = run.info
    if not run.weights.is_dir():
        raise UserError(
            f"{folder} has no weights yet (state: {info.get('state')}): let python -m kdepth.train"
            " finish it"
        )
    return Subject(
        path=folder,
        format=KERAS,
        precision="float32",
        part="depth",
        paper=str(info["paper"]),
        bytes=sum(file.stat().st_size for file in run.weights.glob("*.npz")),
        sha256=runtime.sha256(run.weights),
    )


def cases(
    subjects: Sequence[Subject], threads: Sequence[int], xnnpack: Sequence[bool]
) -> list[Case]:
    """Every way to run every subject, those with as many threads together.

    Args:
        subjects: what is measured.
        threads: numbers of threads.
        xnnpack: for TFLite, with or without.

    Returns:
        The cases, ordered by threads, subject and XNNPACK.
    """
    return [
        Case(subject, number, delegate)
        for number in threads
        for subject in subjects
        for delegate in (xnnpack if subject.format == "tflite" else (None,))
    ]


def _of_folder(folder: Path) -> list[Subject]:
    names: list[str] = []
    for beside in sorted(folder.glob("*.json")):
        names += _described(beside)
    there = [name for name in names if (folder / name).exists()]
    for name in sorted(set(names) - set(there)):
        logging.warning("%s is described but not there", folder / name)
    if not there:
        raise UserError(
            f"{folder} holds no exported model: name a .tflite or .onnx file, or a folder that"
            " `kdepth export` wrote"
        )
    found = [of_file(folder / name) for name in there]
    missing = {format: calls.missing_library(format) for format in FORMATS}
    for subject in found:
        if missing[subject.format]:
            logging.warning("%s is left out: %s", subject.path, missing[subject.format])
    found = [subject for subject in found if not missing[subject.format]]
    if not found:
        raise UserError(f"{folder}: no library for any of its files is installed")
    return sorted(found, key=lambda subject: (subject.part, FORMATS.index(subject.format)))


def _runnable(subject: Subject) -> Subject:
    """The subject, if its library is installed."""
    reason = calls.missing_library(subject.format)
    if reason:
        raise UserError(f"{subject.path}: {reason}")
    return subject


def _described(beside: Path) -> list[str]:
    """Names of the files that a JSON file describes; none if it is of something else."""
    try:
        description: dict[str, Any] = json.loads(beside.read_text(encoding="utf-8"))
        # Only plain names: a damaged description must not lead out of the folder.
        return [name for name in description["files"] if Path(name).name == name]
    except (OSError, ValueError, KeyError, TypeError):
        return []
