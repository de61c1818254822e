"""The command: what it takes, what it says, how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request

import pytest

from kdepth import cli, serve
from kdepth.page import server as page_server


@pytest.fixture(autouse=True)
def nothing_is_served(monkeypatch):
    """A test that should be refused and is not would wait for ever."""

    def serve_forever(server):
        pytest.fail("it serves")

    monkeypatch.setattr(page_server.PageServer, "serve_forever", serve_forever)


def failure(capsys, *arguments: object) -> str:
    assert cli.call("serve", [str(argument) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("kdepth serve: ") and error.count("\n") == 1
    return error


def test_no_model_and_two_models(capsys):
    assert "name an exported model" in failure(capsys)
    assert "unexpected argument 'b.onnx'" in failure(capsys, "a.onnx", "b.onnx")
    assert "unexpected argument 'b.onnx'" in failure(capsys, "--model=a.onnx", "b.onnx")
    assert "--port=70000" in failure(capsys, "a.onnx", "--port=70000")


def test_files_that_are_no_models(capsys, exported, tmp_path):
    assert "there is no exported model" in failure(capsys, tmp_path / "none.onnx")
    (tmp_path / "notes.txt").write_text("no model")
    assert "notes.txt" in failure(capsys, tmp_path / "notes.txt")
    (tmp_path / "alone.onnx").write_bytes(b"of another tool")
    assert "alone.json is missing" in failure(capsys, tmp_path / "alone.onnx")
    (tmp_path / "tiny.json").write_bytes(exported.with_suffix(".json").read_bytes())
    (tmp_path / "tiny.onnx").write_bytes(exported.read_bytes()[:-100])
    assert "sha256 differs" in failure(capsys, tmp_path / "tiny.onnx")


@pytest.mark.parametrize(
    ("flags", "display", "opened"),
    [((), "", False), ((), ":0", True), (("--open",), "", True), (("--noopen",), ":0", False)],
)
def test_a_browser_is_opened_where_there_is_a_display(
    exported, monkeypatch, capsys, flags, display, opened
):
    urls = []

    def end(server):
        raise KeyboardInterrupt

    monkeypatch.setattr(serve.sys, "platform", "linux")
    monkeypatch.setattr(serve.webbrowser, "open", urls.append)
    monkeypatch.setattr(page_server.PageServer, "serve_forever", end)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", display)
    assert cli.call("serve", [str(exported), *flags]) == 0
    out = capsys.readouterr().out
    assert "shows tiny.onnx" in out and out.endswith("ended\n")
    assert urls == ([out.split()[0]] if opened else [])


def test_it_serves_until_ctrl_c_and_needs_no_tensorflow(exported, tmp_path):
    # A folder that shadows TensorFlow: importing it would fail.
    for name in ("tensorflow", "keras"):
        (tmp_path / f"{name}.py").write_text("raise AssertionError('imported')")
    path = os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]])
    # Background shells start their children with SIGINT ignored; a terminal does not.
    program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    program += "from kdepth import cli; cli.run('serve')"
    with subprocess.Popen(
        [sys.executable, "-c", program, f"--model={exported}", "--noopen"],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            url = process.stdout.readline().split()[0]
            assert b"<title>kdepth" in urllib.request.urlopen(url, timeout=60).read()
            process.send_signal(signal.SIGINT)
            out, error = process.communicate(timeout=120)
        finally:
            process.kill()
    assert (process.returncode, error) == (0, "")
    assert out.endswith("ended\n")


def test_a_folder_of_another_kind_is_no_model(capsys, tmp_path):
    (tmp_path / "x_savedmodel").mkdir()
    assert "x.json is missing" in failure(capsys, tmp_path / "x_savedmodel")
