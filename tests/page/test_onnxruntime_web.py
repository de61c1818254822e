"""Fetching ONNX Runtime for browsers, from a registry on this machine."""

from __future__ import annotations

import base64
import functools
import hashlib
import http.server
import io
import json
import os
import sys
import tarfile
import threading

import pytest

from kdepth import cli
from kdepth.errors import UserError
from kdepth.page import onnxruntime_web
from kdepth.page.onnxruntime_web import FILES, NAME, VERSION, fetch, is_installed


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """A folder that a server hands out as a registry does, with the package in its place; no npm."""
    root = tmp_path / "registry"
    tarball = root / NAME / "-" / f"{NAME}-{VERSION}.tgz"
    tarball.parent.mkdir(parents=True)
    with tarfile.open(tarball, "w:gz") as archive:
        for name in (*FILES, "package/dist/other.wasm", "package/../../escaped"):
            data = json.dumps({"version": VERSION}).encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    digest = base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode()
    monkeypatch.setattr(onnxruntime_web, "INTEGRITY", f"sha512-{digest}")
    monkeypatch.setattr(onnxruntime_web, "FOLDER", tmp_path / "page" / "web_runtime")
    monkeypatch.setattr(onnxruntime_web.shutil, "which", lambda name: None)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Quiet, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{server.server_port}/")
        yield tarball
        server.shutdown()
        thread.join()


def test_the_pinned_release_is_unpacked_and_nothing_else(registry, tmp_path):
    assert not is_installed()
    assert f"{NAME} {VERSION} is now in" in fetch()
    assert is_installed()
    names = {name.rpartition("/")[2] for name in FILES}
    assert {file.name for file in onnxruntime_web.FOLDER.iterdir()} == names | {"LICENSE"}
    assert not list(tmp_path.rglob("escaped"))
    registry.unlink()
    assert "already" in fetch()


def test_another_package_is_not_unpacked(registry):
    registry.write_bytes(registry.read_bytes() + b"\0")
    with pytest.raises(UserError, match="sha512 differs"):
        fetch()
    assert not onnxruntime_web.FOLDER.exists()


def test_the_package_that_was_there_stays_if_fetching_fails(registry):
    fetch()
    (onnxruntime_web.FOLDER / "package.json").write_text('{"version": "0.1"}')
    assert not is_installed()
    registry.unlink()
    with pytest.raises(UserError, match="404.*npm_config_registry"):
        fetch()
    assert (onnxruntime_web.FOLDER / "ort.wasm.min.mjs").exists()


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/", "file:///etc", "nonsense"])
def test_a_registry_that_is_none(registry, monkeypatch, capsys, address):
    monkeypatch.setenv("npm_config_registry", address)
    assert cli.call("serve", ["--fetch"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("kdepth serve: ") and error.count("\n") == 1 and address[:9] in error


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for npm is a script")
def test_npm_fetches_where_it_is_installed(registry, tmp_path, monkeypatch):
    npm = tmp_path / "npm"
    npm.write_text(
        f"#!{sys.executable}\n"
        "import shutil, sys\n"
        f"assert sys.argv[1:3] == ['pack', '{NAME}@{VERSION}']\n"
        "folder = sys.argv[-1].partition('=')[2]\n"
        f"shutil.copy('{registry}', folder + '/{NAME}-{VERSION}.tgz')\n"
    )
    npm.chmod(0o755)
    monkeypatch.setattr(onnxruntime_web.shutil, "which", lambda name: str(npm))
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    fetch()
    assert is_installed()


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for npm is a script")
def test_npm_that_fails_is_one_line(registry, tmp_path, monkeypatch):
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'npm error code ENOTFOUND' >&2\necho more >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setattr(onnxruntime_web.shutil, "which", lambda name: str(npm))
    with pytest.raises(UserError) as error:
        fetch()
    assert "npm error code ENOTFOUND" in str(error.value) and "\n" not in str(error.value)
