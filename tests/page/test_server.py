"""What the local server hands out, to whom, and what it refuses."""

from __future__ import annotations

import http.client
import re
import socket
from pathlib import Path

import numpy as np
import pytest

from kdepth.errors import UserError
from kdepth.page import onnxruntime_web
from kdepth.page import server as page_server
from kdepth.page.server import PageServer, page_facts
from tests.page.conftest import served

BYTES = "application/octet-stream"


@pytest.fixture
def server(analytic):
    with served(analytic) as server:
        yield server


def ask(server, method, path, body=None, headers=()):
    """(status, headers, body) of one request, sent as it stands."""
    connection = http.client.HTTPConnection(*server.server_address, timeout=10)
    headers = dict(headers)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    response = connection.getresponse()
    result = response.status, dict(response.getheaders()), response.read()
    connection.close()
    return result


def run(server, body, **headers):
    sent = {"Content-Type": BYTES, "Content-Length": str(len(body)), **headers}
    return ask(server, "POST", "/run", body, {k.replace("_", "-"): v for k, v in sent.items()})


def image_of(analytic):
    return np.random.default_rng(0).uniform(0, 1, analytic.facts.input_shape).astype("<f4")


def test_it_listens_on_this_machine_only(server):
    assert server.server_address[0] == "127.0.0.1"
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", server.url)


def test_everything_that_the_page_names_is_there_and_of_its_type(server):
    wanted = {"/": "text/html", "/page.css": "text/css", "/icon.svg": "image/svg+xml"}
    for path, content_type in wanted.items():
        status, headers, body = ask(server, "GET", path)
        assert status == 200 and headers["Content-Type"].startswith(content_type)
        assert len(body) == int(headers["Content-Length"]) > 0
    named = re.findall(r'(?:src|href)="([^"]+)"', ask(server, "GET", "/")[2].decode())
    for file in page_server.WEB.glob("*.js"):
        named += re.findall(r'(?:from |Worker\()"(?:\./)?([^"]+)"', file.read_text())
    assert {"page.js", "network.js", "resize.js", "page.css"} <= set(named)
    for name in named:
        assert ask(server, "GET", f"/{name}")[0] == 200, name


def test_a_file_for_the_browser_comes_with_what_runs_it(analytic, monkeypatch, tmp_path):
    monkeypatch.setattr(onnxruntime_web, "is_installed", lambda: True)
    monkeypatch.setattr(onnxruntime_web, "FOLDER", tmp_path)
    analytic.path, analytic.description = tmp_path / "mean.onnx", {"files": {"mean.onnx": {}}}
    for name in ("mean.onnx", "x.wasm", "x.mjs", "LICENSE"):
        (tmp_path / name).write_text(name)
    with served(analytic) as server:
        for path, content_type in {
            "/runtime/x.wasm": "application/wasm",
            "/runtime/x.mjs": "text/javascript",
            "/model.onnx": BYTES,
        }.items():
            status, headers, _ = ask(server, "GET", path)
            assert status == 200 and headers["Content-Type"].startswith(content_type)
        assert ask(server, "GET", "/runtime/LICENSE")[0] == 404
        analytic.path.unlink()
        assert ask(server, "GET", "/model.onnx")[0] == 404


def test_the_page_carries_no_script_of_its_own_and_loads_nothing_from_elsewhere():
    page = (page_server.WEB / "index.html").read_text()
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", page))
    assert not re.search(r"\son\w+=|style=|javascript:", page)
    for file in page_server.WEB.iterdir():
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", file.read_text()), file


def test_every_answer_carries_the_security_headers(server):
    for path in ("/", "/page.js", "/facts.json", "/nothing"):
        headers = ask(server, "GET", path)[1]
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe-inline" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize(
    "path",
    [
        "/../server.py",
        "/..%2fserver.py",
        "/%2e%2e/server.py",
        "//etc/passwd",
        "/web/../../server.py",
        "/runtime/../../server.py",
        "/./index.html",
        "/model.onnx",
        "/server.py",
        "/page.css/",
        "file:///etc/passwd",
        "/page.css%00.html",
    ],
)
def test_nothing_else_can_be_had(server, path):
    status, headers, body = ask(server, "GET", path)
    assert status == 404 and body == b"the page has no such file\n"
    assert headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD", "OPTIONS", "CONNECT"])
def test_other_methods_are_refused(server, method):
    assert ask(server, method, "/")[0] == 501


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1", "evil.example:{port}", "", "127.0.0.1.evil.example:{port}"],
)
def test_a_foreign_name_for_this_address_is_refused(server, host):
    host = host.format(port=server.server_port)
    for method, path in (("GET", "/"), ("GET", "/facts.json"), ("POST", "/run")):
        status, _, body = ask(server, method, path, headers={"Host": host})
        assert status == 403 and server.url.encode() in body


def test_two_host_headers_are_refused(server):
    with socket.create_connection(server.server_address, timeout=10) as connection:
        good = f"Host: 127.0.0.1:{server.server_port}\r\n"
        connection.sendall(f"GET / HTTP/1.1\r\n{good}Host: evil.example\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 403 ")


def test_localhost_is_this_machine_too(server):
    assert ask(server, "GET", "/", headers={"Host": f"LOCALHOST:{server.server_port}"})[0] == 200


def test_the_network_runs_here(server, analytic):
    image = image_of(analytic)
    status, headers, body = run(server, image.tobytes())
    assert status == 200 and headers["Content-Type"] == BYTES
    np.testing.assert_array_equal(np.frombuffer(body, "<f4"), image.mean(-1).ravel())


def test_another_sites_page_cannot_use_the_network(server, analytic):
    body = image_of(analytic).tobytes()
    for origin in ("http://evil.example", "null", f"https://127.0.0.1:{server.server_port}"):
        assert run(server, body, Origin=origin)[0] == 403
    assert run(server, body, Origin=server.url.rstrip("/"))[0] == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content_Length": "289"}, 413),
        ({"Content_Length": str(10**15)}, 413),
        ({"Content_Length": "287"}, 400),
        ({"Content_Length": "-1"}, 411),
        ({"Content_Length": "many"}, 411),
        ({"Content_Length": "²"}, 411),
        ({"Transfer_Encoding": "chunked"}, 411),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "multipart/form-data; boundary=x"}, 415),
    ],
)
def test_what_is_not_the_networks_picture_is_refused_unread(server, headers, status):
    headers = {"Content_Length": "288", **headers}
    answer = run(server, b"", **{k: v.encode("latin-1") for k, v in headers.items()})
    assert answer[0] == status and answer[1]["Connection"] == "close"
    assert answer[2].count(b"\n") == 1


def test_a_picture_of_nan_and_a_wrong_address_are_refused(server, analytic):
    image = image_of(analytic)
    assert ask(server, "POST", "/", b"", {"Content-Length": "0"})[0] == 404
    image[0, 0, 0] = np.nan
    assert run(server, image.tobytes())[0] == 400


def test_a_network_that_fails_is_one_line_and_not_the_end(server, analytic, capsys):
    works, analytic.run = analytic.run, lambda images: 1 / 0
    status, _, body = run(server, image_of(analytic).tobytes())
    assert status == 500 and body == b"the network failed: division by zero\n"
    analytic.run = works
    assert run(server, image_of(analytic).tobytes())[0] == 200


def test_a_sender_that_gives_up_and_noise_do_no_harm(server, analytic, capsys):
    host = f"Host: 127.0.0.1:{server.server_port}\r\n"
    half = f"POST /run HTTP/1.1\r\n{host}Content-Type: {BYTES}\r\nContent-Length: 288\r\n\r\nabc"
    for noise in (
        half.encode(),
        b"\x16\x03\x01\x02\x00",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
    ):
        with socket.create_connection(server.server_address, timeout=10) as connection:
            connection.sendall(noise)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1 << 16):
                pass
    assert run(server, image_of(analytic).tobytes())[0] == 200
    assert "Traceback" not in capsys.readouterr().err


# -- what the page is told -----------------------------------------------------------------------------


def test_the_facts_tell_nothing_of_paths_or_runs(analytic):
    analytic.path = Path("/home/somebody/exports/mean.tflite")
    analytic.description["run"] = "/home/somebody/runs/x"
    facts = page_facts(analytic)
    assert "somebody" not in str(facts)
    assert (facts["name"], facts["height"], facts["width"]) == ("mean.tflite", 4, 6)
    assert facts["rig"] == {"baseline": 0.54, "focal": 0.58} and len(facts["colors"]) == 256


@pytest.mark.parametrize(
    ("name", "entry", "installed", "reason"),
    [
        ("a.onnx", {}, True, None),
        ("a.onnx", {"precision": "float32"}, True, None),
        ("a.onnx", {}, False, "make web"),
        ("a.onnx", {"precision": "int8"}, True, "int8"),
        ("a.onnx", {"input": {"dtype": "uint8", "layout": "nhwc"}}, True, "uint8"),
        ("a.onnx", {"input": {"dtype": "float32", "layout": "nchw"}}, True, "nchw"),
        ("a.tflite", {}, True, ".onnx files only"),
        ("a_savedmodel", {}, True, ".onnx files only"),
    ],
)
def test_which_files_run_in_the_browser(analytic, monkeypatch, name, entry, installed, reason):
    monkeypatch.setattr(onnxruntime_web, "is_installed", lambda: installed)
    analytic.path, analytic.description = Path(name), {"files": {name: entry}}
    told = page_facts(analytic)["server_reason"]
    assert told is None if reason is None else reason in told


def test_a_model_of_two_views_has_no_page(analytic):
    import dataclasses

    analytic.facts = dataclasses.replace(analytic.facts, frames=2)
    with pytest.raises(UserError, match="both views of a stereo pair"):
        PageServer(analytic)


def test_a_port_in_use_is_one_line(server, analytic):
    with pytest.raises(UserError, match=rf"^--port={server.server_port}: is in use; --port=0"):
        PageServer(analytic, server.server_port)
