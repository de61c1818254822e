"""The local server of the page: hands out its files and, where the browser cannot, runs the network.

It listens on 127.0.0.1 alone and answers only requests that were meant for that address, so other
machines cannot reach it and other web pages cannot use it (by a name that they point at
127.0.0.1, or by a form that they send here). There is no way from a request to the file system:
what can be had is a table of addresses made at the start.
"""

from __future__ import annotations

import errno
import functools
import json
import os
import shutil
import socket
import socketserver
import sys
import threading
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from PIL import Image

from kdepth import visualize
from kdepth.errors import UserError
from kdepth.page import onnxruntime_web
from kdepth.runtime import DepthModel

ADDRESS = "127.0.0.1"
WEB = Path(__file__).with_name("web")
# Written out because a system may map suffixes differently, and browsers refuse scripts and
# WebAssembly of another type.
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".onnx": "application/octet-stream",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    ),
    # These two isolate the page, which is what lets WebAssembly use threads.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_SECONDS_WITHOUT_DATA = 60


class PageServer(ThreadingHTTPServer):
    """The page for one model.

    Attributes:
        model: the network; runs for one request at a time.
        facts: what the page has to know about it.
        files: {address: file} of all that can be had as it is.
        url: where the page is.
    """

    daemon_threads = True

    def __init__(self, model: DepthModel, port: int = 0) -> None:
        """Listens at once; `serve_forever` answers.

        Args:
            model: an opened model that takes one picture.
            port: of 127.0.0.1; 0 takes a free one.

        Raises:
            UserError: if the port cannot be had, or the model looks at two views.
        """
        self.model = model
        self.facts = page_facts(model)
        self.files = _files(model.path if self.facts["server_reason"] is None else None)
        self.running = threading.Lock()
        try:
            super().__init__((ADDRESS, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = (
                "is in use" if getattr(error, "errno", None) == errno.EADDRINUSE else str(error)
            )
            raise UserError(f"--port={port}: {reason}; --port=0 takes a free one") from None

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{ADDRESS}:{self.server_port}/"

    @functools.cached_property
    def hosts(self) -> frozenset[str]:
        """What a browser calls this server when the user typed its address."""
        names = [f"{name}:{self.server_port}" for name in (ADDRESS, "localhost")]
        return frozenset(names if self.server_port != 80 else [*names, ADDRESS, "localhost"])

    def server_bind(self) -> None:
        """Binds without asking the network for a name of this machine, as HTTPServer would."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing about a browser that went away; other errors are bugs and are shown."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, socket.timeout)):
            super().handle_error(request, client_address)


def page_facts(model: DepthModel) -> dict[str, Any]:
    """What the page is told of a model; nothing of paths or of the training run.

    Args:
        model: an opened model.

    Returns:
        Values for JSON. `server_reason` says why the network cannot run in the browser, or is None.

    Raises:
        UserError: if the model looks at both views of a stereo pair.
    """
    facts = model.facts
    if facts.frames != 1:
        raise UserError(
            f"{model.path}: this {facts.paper} model looks at both views of a stereo pair; the page"
            " shows it one picture: choose a model of one view"
        )
    return {
        "name": model.path.name,
        "paper": facts.paper,
        "height": facts.height,
        "width": facts.image_width,
        "resize": facts.resize,
        "rows_may_go_first": _rows_may_go_first(),
        "output": facts.output_name,
        "kind": facts.kind,
        "unit": facts.unit,
        "rig": None if facts.rig is None else facts.rig._asdict(),
        "colors": visualize.color_table().tolist(),
        "server_reason": _server_reason(model),
    }


def _rows_may_go_first() -> bool:
    """Whether this Pillow resizes rows before columns where far more rows are lost.

    Pillow 13 does and Pillow 11 does not, and as 8-bit pictures are rounded in between, the page
    has to take the same way to see the same picture.
    """
    picture = Image.fromarray((np.arange(16 * 8) ** 2 % 251).astype(np.uint8).reshape(16, 8))
    bilinear = Image.Resampling.BILINEAR
    rows_first = picture.resize((8, 5), bilinear).resize((20, 5), bilinear)
    return rows_first.tobytes() == picture.resize((20, 5), bilinear).tobytes()


def _server_reason(model: DepthModel) -> str | None:
    """Why the network has to run here and not in the browser, if it has to."""
    if model.path.suffix != ".onnx":
        return "browsers run .onnx files only"
    entry = model.description["files"][model.path.name]
    precision = entry.get("precision", "float32")
    if precision != "float32":
        return f"browsers run float32 files only, and this is {precision}"
    given = {"dtype": "float32", "layout": "nhwc", **(entry.get("input") or {})}
    if (given["dtype"], given["layout"].lower()) != ("float32", "nhwc"):
        return (
            f"the page feeds float32 NHWC, and this file takes {given['dtype']} {given['layout']}"
        )
    if not onnxruntime_web.is_installed():
        return "its runtime for browsers is not installed (make web, or kdepth serve --fetch)"
    return None


def _files(onnx: Path | None) -> Mapping[str, Path]:
    """{address: file} of the page, and with a model for the browser also of what runs it."""
    files = {f"/{file.name}": file for file in WEB.iterdir() if file.suffix in TYPES}
    files["/"] = files.pop("/index.html")
    if onnx is not None:
        runtime = onnxruntime_web.FOLDER.iterdir()
        files.update({f"/runtime/{file.name}": file for file in runtime if file.suffix in TYPES})
        files["/model.onnx"] = onnx
    return files


class _Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    server: PageServer
    protocol_version = "HTTP/1.1"
    server_version = "kdepth"
    sys_version = ""
    timeout = _SECONDS_WITHOUT_DATA

    def do_GET(self) -> None:
        """The page's files, the model and what is known about it."""
        address = self.path.partition("?")[0]
        if not self._is_for_us():
            return
        if address == "/facts.json":
            self._reply(json.dumps(self.server.facts).encode(), TYPES[".json"])
        elif address in self.server.files:
            self._reply_file(self.server.files[address])
        else:
            self.send_error(HTTPStatus.NOT_FOUND, "the page has no such file")

    def do_POST(self) -> None:
        """The network: float32 [h, w, 3] in [0, 1] in, its output float32 [h, w] out."""
        if not self._is_for_us():
            return
        if self.path != "/run":
            self.send_error(HTTPStatus.NOT_FOUND, "only /run takes data")
            return
        shape = self.server.model.facts.input_shape
        body = self._body(4 * int(np.prod(shape)))
        if body is None:
            return
        image = np.frombuffer(body, "<f4").reshape(1, *shape)
        if not np.isfinite(image).all():
            self.send_error(HTTPStatus.BAD_REQUEST, "the picture holds NaN or inf")
            return
        try:
            with self.server.running:
                output = self.server.model.run(image)
        except Exception as error:  # each interpreter has its own kinds of error
            reason = " ".join(str(error).split()) or type(error).__name__
            logging.error("the network failed: %s", reason)
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR, f"the network failed: {reason}")
            return
        self._reply(np.asarray(output, "<f4").tobytes(), "application/octet-stream")

    def _is_for_us(self) -> bool:
        """Whether the user's own page asks; if not, that is answered.

        A foreign page can point a name of its own at 127.0.0.1 (then Host is that name), or send
        a form here (then Origin is its own).
        """
        hosts = self.headers.get_all("Host", [])
        origin = self.headers.get("Origin")
        meant = len(hosts) == 1 and hosts[0].lower() in self.server.hosts
        own = origin is None or origin.removeprefix("http://") in self.server.hosts
        if not meant or not own:
            self.send_error(
                HTTPStatus.FORBIDDEN, f"this page is for this computer only: {self.server.url}"
            )
        return meant and own

    def _body(self, size: int) -> bytes | None:
        """The `size` bytes that were sent; None if it was something else, which is answered."""
        length = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdecimal()):
            self.send_error(HTTPStatus.LENGTH_REQUIRED, "Content-Length is missing or no number")
        elif self.headers.get("Content-Type") != "application/octet-stream":
            self.send_error(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected application/octet-stream")
        elif int(length) > size:
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"expected {size} bytes")
        elif int(length) < size:
            self.send_error(HTTPStatus.BAD_REQUEST, f"expected {size} bytes")
        else:
            body = self.rfile.read(size)
            if len(body) == size:
                return body
            self.close_connection = True  # the sender gave up
        return None

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """One line of plain text; what was sent is not read, so the connection ends."""
        self.close_connection = True
        text = message or HTTPStatus(code).phrase
        self._reply(f"{text}\n".encode(), "text/plain; charset=utf-8", code)

    def _reply(self, data: bytes, content_type: str, code: int = HTTPStatus.OK) -> None:
        self._begin(code, content_type, len(data))
        self.wfile.write(data)

    def _reply_file(self, path: Path) -> None:
        try:
            stream = path.open("rb")
        except OSError as error:
            self.send_error(HTTPStatus.NOT_FOUND, f"{path.name}: {error.strerror}")
            return
        with stream:
            self._begin(HTTPStatus.OK, TYPES[path.suffix], os.fstat(stream.fileno()).st_size)
            shutil.copyfileobj(stream, self.wfile, 1 << 20)

    def _begin(self, code: int, content_type: str, length: int) -> None:
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(length))
        for name, value in HEADERS.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are worth a line only to who looks for one."""
        logging.debug(format, *args)
