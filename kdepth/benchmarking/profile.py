"""Which operators a file consists of, and which of them cost most.

ONNX Runtime times its operators. LiteRT's Python interpreter does not; there the work is counted
(multiplications, weights, written values), and it is said which operators XNNPACK took over. Their
times come from LiteRT's `benchmark_model --enable_op_profiling=true` (docs/benchmark.md).
"""

from __future__ import annotations

import collections
import dataclasses
import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kdepth import quiet
from kdepth.benchmarking import calls
from kdepth.runtime.interpreters import litert_interpreter, onnx_session

RUNS = 10


class Profile(NamedTuple):
    """A table about a file's operators.

    Attributes:
        title: what it shows.
        headings: of its columns.
        rows: the kind of operator that costs most first.
    """

    title: str
    headings: tuple[str, ...]
    rows: list[tuple[str, ...]]


def of_file(path: Path, format: str, threads: int) -> Profile | None:
    """The profile of an exported file; None for a format that has none.

    Args:
        path: the file.
        format: of it.
        threads: of ONNX Runtime.

    Raises:
        UserError: if the interpreter is not installed.
    """
    if format == "onnx":
        return of_onnx(calls.import_library(format, path), path, threads)
    if format == "tflite":
        return of_tflite(calls.import_library(format, path), path)
    return None


# -- ONNX: measured --------------------------------------------------------------------------------


def of_onnx(onnxruntime: Any, path: Path, threads: int) -> Profile:
    """Time by kind of operator, as ONNX Runtime measures it."""
    with tempfile.TemporaryDirectory() as folder:
        session = onnx_session(onnxruntime, path, threads, f"{folder}/profile")
        feed = calls.onnx_example(session)
        for _ in range(RUNS):
            session.run(None, feed)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    runs: dict[tuple[str, str], list[float]] = collections.defaultdict(list)
    for event in events:
        kind = event.get("args", {}).get("op_name")
        if event.get("cat") == "Node" and kind and event["name"].endswith("_kernel_time"):
            runs[kind, event["name"]].append(event["dur"] / 1e3)
    taken: dict[str, list[float]] = collections.defaultdict(list)
    for (kind, _), milliseconds in runs.items():
        taken[kind].append(float(np.median(milliseconds)))
    total = sum(map(sum, taken.values())) or 1.0
    rows = [
        (kind, str(len(each)), f"{sum(each):.2f}", f"{100 * sum(each) / total:.1f}")
        for kind, each in sorted(taken.items(), key=lambda item: -sum(item[1]))
    ]
    title = f"{path.name}: time by kind of operator, medians of {RUNS} runs, threads: {threads}"
    return Profile(title, ("operator", "count", "ms", "%"), rows)


# -- TFLite: counted -------------------------------------------------------------------------------


@dataclasses.dataclass
class _Work:
    """Of all operators of a kind."""

    count: int = 0
    delegated: int = 0
    multiplications: int = 0
    weight_bytes: int = 0
    written: int = 0


def of_tflite(litert: Any, path: Path) -> Profile:
    """Work by kind of operator: counted from shapes, not measured."""
    with quiet.native_stderr():  # XNNPACK's greeting
        plain = litert_interpreter(litert, path, threads=1, xnnpack=False)
        delegating = litert_interpreter(litert, path, threads=1, xnnpack=True)
    operators = plain._get_ops_details()
    tensors = {int(tensor["index"]): tensor for tensor in plain.get_tensor_details()}
    # With XNNPACK the same operators are listed, and behind them the nodes that stand for it.
    taken_over = delegated(operators, delegating._get_ops_details()[len(operators) :])

    computed = {int(t) for operator in operators for t in operator["outputs"]}
    computed |= {int(given["index"]) for given in plain.get_input_details()}
    kinds: dict[str, _Work] = collections.defaultdict(_Work)
    for index, operator in enumerate(operators):
        inputs = [tensors[int(t)] for t in operator["inputs"] if int(t) in tensors]
        outputs = [tensors[int(t)] for t in operator["outputs"] if int(t) in tensors]
        work = kinds[operator["op_name"]]
        work.count += 1
        work.delegated += index in taken_over
        work.multiplications += multiplications(
            operator["op_name"],
            [tensor["shape"] for tensor in inputs],
            [tensor["shape"] for tensor in outputs],
        )
        work.weight_bytes += sum(
            _product(tensor["shape"]) * np.dtype(tensor["dtype"]).itemsize
            for tensor in inputs
            if int(tensor["index"]) not in computed
        )
        work.written += sum(_product(tensor["shape"]) for tensor in outputs)
    total = sum(work.multiplications for work in kinds.values()) or 1
    rows = [
        (
            kind,
            str(work.count),
            str(work.delegated),
            f"{work.multiplications / 1e6:.1f}",
            f"{100 * work.multiplications / total:.1f}",
            f"{work.weight_bytes / 2**20:.2f}",
            f"{work.written / 1e6:.2f}",
        )
        for kind, work in sorted(
            kinds.items(), key=lambda item: (-item[1].multiplications, -item[1].written)
        )
    ]
    title = (
        f"{path.name}: work by kind of operator, counted and not timed; XNNPACK runs"
        f" {len(taken_over)} of {len(operators)} operators"
    )
    headings = (
        *("operator", "count", "by XNNPACK", "million multiplications", "%"),
        *("weights MiB", "million values written"),
    )
    return Profile(title, headings, rows)


def delegated(
    operators: Sequence[Mapping[str, Any]], delegates: Sequence[Mapping[str, Any]]
) -> set[int]:
    """Which operators delegates took over: those that lead from a delegate's inputs to its outputs.

    Args:
        operators: with the tensors that are their `inputs` and `outputs`.
        delegates: the nodes in their place, likewise.

    Returns:
        Places in `operators`.
    """
    producer = {int(t): place for place, op in enumerate(operators) for t in op["outputs"]}
    found: set[int] = set()
    for delegate in delegates:
        given = {int(tensor) for tensor in delegate["inputs"]}
        pending = [int(tensor) for tensor in delegate["outputs"]]
        while pending:
            tensor = pending.pop()
            place = producer.get(tensor)
            if tensor in given or place is None or place in found:
                continue
            found.add(place)
            pending += [int(t) for t in operators[place]["inputs"]]
    return found


def multiplications(
    kind: str, inputs: Sequence[Sequence[int]], outputs: Sequence[Sequence[int]]
) -> int:
    """Multiplications of a convolution or a matrix product; 0 of every other operator.

    Args:
        kind: TFLite's name of the operator.
        inputs: the shapes of its inputs, in TFLite's order.
        outputs: the shapes of its outputs.
    """
    if kind == "CONV_2D":  # image, weights [out, kh, kw, in], bias
        return _product(outputs[0]) * _product(inputs[1][1:])
    if kind == "DEPTHWISE_CONV_2D":  # image, weights [1, kh, kw, out], bias
        return _product(outputs[0]) * _product(inputs[1][1:3])
    if kind == "TRANSPOSE_CONV":  # output's shape, weights [out, kh, kw, in], image
        return _product(inputs[2]) * _product(inputs[1][:3])
    if kind == "FULLY_CONNECTED":  # rows, weights [out, in], bias
        return _product(outputs[0]) * int(inputs[1][-1])
    if kind == "BATCH_MATMUL":
        return _product(outputs[0]) * int(inputs[0][-1])
    return 0


def _product(shape: Sequence[int]) -> int:
    return math.prod(int(size) for size in shape)  # NumPy's own integers would run over
