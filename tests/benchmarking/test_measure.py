from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from kdepth.benchmarking import calls, measure, subjects, worker
from kdepth.benchmarking.process import MeasuringProcess
from kdepth.errors import UserError
from kdepth.runtime import DepthModel


class NoMeter:
    problem = "none"


class SteadyMeter:
    """Every reading is a joule later than the one before."""

    problem = None
    now = 0

    def read(self):
        self.now += 1
        return [self.now]

    def joules(self, before, after):
        return float(after[0] - before[0])


def case(format="onnx", threads=1, name="x", part="depth", xnnpack=None):
    subject = subjects.Subject(Path(name), format, "float32", part, "garg", 1, "digest")
    return subjects.Case(subject, threads, xnnpack)


@pytest.fixture
def fake(monkeypatch):
    """Processes that take as many milliseconds as the last letters of the name say; the order of calls."""
    log = []

    class Process:
        peak_mib = 30.0

        def __init__(self, case):
            self.case = case
            self.opened = {"input": "1x2x3 float32", "open_ms": 1.0}
            self.opened["library_mib"] = 10.0

        def run(self, count):
            log.append((self.case.subject.path.name, count))
            return [float(self.case.subject.path.name.lstrip("abc")) + i for i in range(count)]

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

    monkeypatch.setattr(measure, "MeasuringProcess", Process)
    monkeypatch.setattr(measure, "PAUSE_SECONDS", 0.0)
    return log


def test_alone_each_runs_all_its_repeats(fake):
    cases = [case(name="a10"), case(name="b5")]
    found = measure.one_by_one(cases, 3, 2, SteadyMeter())
    assert fake == [("a10", 2), ("a10", 3), ("b5", 2), ("b5", 3)]
    assert [one.median_ms for one in found] == [11.0, 6.0]
    assert found[0].p90_ms == pytest.approx(11.8)
    assert (found[0].peak_mib, found[0].model_mib) == (30.0, 20.0)
    assert found[0].energy_mj == pytest.approx(1000 / 3)
    assert found[0].ratio is None


def test_taking_turns_compares_with_the_first(fake):
    cases = [case(name="a10"), case(name="b5"), case(name="c4", part="pose")]
    found = measure.in_turns(cases, 3, 2, SteadyMeter())
    assert fake[3:] == [("a10", 1), ("b5", 1), ("c4", 1)] * 3
    assert [one.ratio for one in found] == [None, 2.0, None]
    assert [one.reference for one in found] == ["", "a10", ""]
    assert found[1].milliseconds == (5.0, 5.0, 5.0)
    assert found[1].energy_mj == pytest.approx(1000)


def test_only_as_many_threads_are_compared(fake):
    cases = [case(name=name, threads=n) for n in (1, 2) for name in ("a10", "b5")]
    cases[3] = case(name="b2", threads=2)
    found = measure.in_turns(cases, 2, 0, NoMeter())
    assert [one.ratio for one in found] == [None, 2.0, None, 5.0]
    assert found[0].energy_mj is None


# -- real processes --------------------------------------------------------------------------------


def test_a_process_for_each_network(exported):
    found = subjects.find(
        [exported.folder / "tiny.tflite", exported.folder / "tiny.onnx"], exported.run
    )
    cases = subjects.cases(found, [1], [True, False])
    measured = measure.in_turns(cases, 3, 1, NoMeter())
    assert [one.case.subject.format for one in measured] == ["keras", "tflite", "tflite", "onnx"]
    for one in measured:
        assert len(one.milliseconds) == 3 and min(one.milliseconds) > 0
        assert one.input == "1x72x96x3 float32" and one.open_ms > 0
    keras, tflite = measured[:2]
    assert tflite.ratio == pytest.approx(keras.median_ms / tflite.median_ms)
    assert tflite.reference == "tiny"
    if tflite.peak_mib is not None:  # TensorFlow's process is larger than an interpreter's
        assert keras.peak_mib > 1.5 * tflite.peak_mib
        assert 0 < tflite.model_mib < tflite.peak_mib


@pytest.mark.parametrize("format", ["tflite", "onnx"])
def test_what_is_no_model(format, tmp_path):
    path = tmp_path / f"x.{format}"
    path.write_bytes(b"not a model")
    with pytest.raises(UserError, match=f"x.{format} cannot be opened as a model"):
        MeasuringProcess(case(format, name=str(path), xnnpack=True))


def test_a_process_that_is_killed(exported):
    one = case("onnx", name=str(exported.folder / "tiny.onnx"))
    with MeasuringProcess(one) as process:
        assert process.run(0) == []
        os.kill(process._process.pid, signal.SIGKILL)
        with pytest.raises(UserError, match=r"tiny\.onnx, 1 thread: .* ended by signal 9"):
            process.run(1)


def test_a_bug_in_the_process_shows_its_traceback(tmp_path):
    with pytest.raises(RuntimeError, match="Traceback(.|\n)*KeyError"):
        MeasuringProcess(case("no such format", name=str(tmp_path / "x")))


# -- calls -----------------------------------------------------------------------------------------


def test_timed_calls(monkeypatch):
    clock = iter([0.0, 0.5, 1.0, 1.25])
    monkeypatch.setattr(worker.time, "perf_counter", lambda: next(clock))
    seen = []
    assert worker.timed(lambda: seen.append(1), 2) == [500.0, 250.0]
    assert len(seen) == 2


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int8"])
def test_inputs_fill_their_range(dtype):
    image = calls.example(("batch", 40, 60, 3), np.dtype(dtype))
    assert image.shape == (1, 40, 60, 3) and image.dtype == dtype
    low, high = {"float32": (0, 1), "uint8": (0, 255), "int8": (-128, 127)}[dtype]
    assert low <= image.min() < low + 0.02 * (high - low)
    assert high - 0.02 * (high - low) < image.max() <= high
    np.testing.assert_array_equal(image, calls.example((-1, 40, 60, 3), np.dtype(dtype)))


@pytest.mark.parametrize(
    ("name", "xnnpack"),
    [("tiny.tflite", True), ("tiny.tflite", False), ("tiny.onnx", None), ("tiny_savedmodel", None)],
)
def test_a_call_computes_what_the_runtime_computes(exported, monkeypatch, name, xnnpack):
    path = exported.folder / name
    monkeypatch.setattr(calls, "_set_threads", lambda tf, threads: None)  # too late in this process
    (subject,) = subjects.find([path])
    library = calls.import_library(subject.format, path)
    opened = calls.open_call(library, subject.format, path, 1, xnnpack)
    assert opened.input == "1x72x96x3 float32"
    image = calls.example((1, 72, 96, 3), np.float32)
    expected = DepthModel(exported.folder / "tiny.tflite").run(image)
    np.testing.assert_allclose(opened.run(), expected, rtol=1e-3)
    np.testing.assert_array_equal(opened.run(), opened.run())
