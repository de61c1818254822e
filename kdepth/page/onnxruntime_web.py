"""ONNX Runtime for browsers: fetched from the npm registry when asked for, never shipped with kdepth.

One release is pinned by its digest, so what is unpacked is what was tested, whoever delivered it.
Only the files of the WebAssembly build are kept: the loader, the module and its licence.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import urllib.request
from http.client import HTTPException
from pathlib import Path

from kdepth.errors import UserError
from kdepth.files import atomic_path

NAME = "onnxruntime-web"
VERSION = "1.30.0"
INTEGRITY = "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
DEFAULT_REGISTRY = "https://registry.npmjs.org"
FOLDER = Path(__file__).with_name("web_runtime")
# What is kept of the package.
FILES = (
    "package/package.json",
    "package/dist/ort.wasm.min.mjs",
    "package/dist/ort-wasm-simd-threaded.mjs",
    "package/dist/ort-wasm-simd-threaded.wasm",
)
# The archive names its licence and its owner, in package.json and in its scripts, but lacks the text.
LICENSE = """\
MIT License

Copyright (c) Microsoft Corporation

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction,
including without limitation the rights to use, copy, modify, merge, publish, distribute,
sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or
substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM,
DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT
OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""
_SECONDS = 600
_REMEDY = "mend the connection, or name a registry by the environment variable npm_config_registry"


def is_installed() -> bool:
    """Whether the pinned release is in its place."""
    try:
        package = json.loads((FOLDER / "package.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return package.get("version") == VERSION and all(
        (FOLDER / Path(name).name).is_file() for name in FILES
    )


def fetch() -> str:
    """Downloads the pinned release into its place, unless it is there.

    Where npm is installed it downloads, by its own configuration (registry, proxy, account); else
    Python does, from the registry of the environment variable `npm_config_registry`.

    Returns:
        One line that says what was done.

    Raises:
        UserError: if the registry cannot be reached or delivers something else.
    """
    if is_installed():
        return f"{NAME} {VERSION} is in {FOLDER} already"
    with tempfile.TemporaryDirectory() as folder:
        npm = shutil.which("npm")
        tarball = _pack(npm, Path(folder)) if npm else _download(Path(folder))
        digest = hashlib.sha512(tarball.read_bytes()).digest()
        if f"sha512-{base64.b64encode(digest).decode()}" != INTEGRITY:
            raise UserError(
                f"what the registry delivers as {NAME} {VERSION} is not that package (sha512"
                " differs), so it was not unpacked; try another registry (npm_config_registry)"
            )
        with atomic_path(FOLDER) as staging, tarfile.open(tarball) as archive:
            staging.mkdir()
            for name in FILES:
                with archive.extractfile(name) as member:
                    (staging / Path(name).name).write_bytes(member.read())
            (staging / "LICENSE").write_text(LICENSE, encoding="utf-8")
    return f"{NAME} {VERSION} is now in {FOLDER}"


def _pack(npm: str, folder: Path) -> Path:
    """The package's archive, by npm."""
    command = [npm, "pack", f"{NAME}@{VERSION}", "--loglevel=error", f"--pack-destination={folder}"]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise UserError(
            f"npm did not deliver {NAME} {VERSION} in {_SECONDS} s: {_REMEDY}"
        ) from None
    found = list(folder.glob("*.tgz"))
    if done.returncode or not found:
        reason = next(iter(done.stderr.splitlines()), f"status {done.returncode}")
        raise UserError(f"npm pack {NAME}@{VERSION} failed ({reason}): {_REMEDY}")
    return found[0]


def _download(folder: Path) -> Path:
    """The package's archive, without npm."""
    registry = os.environ.get("npm_config_registry") or DEFAULT_REGISTRY
    url = f"{registry.rstrip('/')}/{NAME}/-/{NAME}-{VERSION}.tgz"
    if not url.startswith(("https://", "http://")):
        raise UserError(f"npm_config_registry={registry} is no http address")
    tarball = folder / f"{NAME}-{VERSION}.tgz"
    try:
        with urllib.request.urlopen(url, timeout=60) as response, tarball.open("wb") as out:
            shutil.copyfileobj(response, out)
    except (OSError, HTTPException) as error:  # OSError: of urllib too
        raise UserError(f"{url} cannot be had ({error}): {_REMEDY}") from None
    return tarball
