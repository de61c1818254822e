"""Chromium without a window, driven through its debugging pipe: what a person does, and what the page shows then."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SECONDS = 60.0
# Chromium talks on the descriptors 3 and 4, which have to be put there in the new process.
_LAUNCH = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4);"
    " os.execv(sys.argv[3], sys.argv[3:])"
)


class Browser:
    """One Chromium with an own profile; downloads land in `downloads`."""

    def __init__(self, chromium: str, folder: Path, *flags: str) -> None:
        self.downloads = folder / "downloads"
        self.downloads.mkdir(parents=True)
        from_us, self._to = os.pipe()
        self._from, to_us = os.pipe()
        # High numbers, so that putting one in its place does not close the other.
        theirs = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (from_us, to_us)]
        os.close(from_us)
        os.close(to_us)
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        options += ["--no-first-run", "--disable-background-networking", "--remote-debugging-pipe"]
        options += [f"--user-data-dir={folder / 'profile'}", *flags, "about:blank"]
        launch = [sys.executable, "-c", _LAUNCH, *map(str, theirs), chromium, *options]
        with (folder / "chromium.log").open("wb") as log:
            self._process = subprocess.Popen(launch, pass_fds=theirs, stdout=log, stderr=log)
        for fd in theirs:
            os.close(fd)
        self._count = 0
        self._unread = b""
        self.events: list[dict[str, Any]] = []
        behavior = {"behavior": "allow", "downloadPath": str(self.downloads)}
        self.call("Browser.setDownloadBehavior", **behavior)

    def open(self, url: str) -> Page:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, target, session)
        for domain in ("Page", "Runtime", "Log", "DOM", "Network"):
            page.call(f"{domain}.enable")
        page.call("Page.navigate", url=url)
        page.wait_for(f"location.href === '{url}' && document.readyState === 'complete'")
        return page

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """One command of the DevTools protocol and its result."""
        self._count += 1
        number = self._count
        message = {"id": number, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._to, data) :]
        deadline = time.monotonic() + SECONDS
        while True:
            answer = self._receive(deadline)
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            if "method" in answer:
                self.events.append(answer)

    def close(self) -> None:
        os.close(self._to)
        os.close(self._from)
        self._process.terminate()
        self._process.wait(30)

    def _receive(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._unread:
            left = deadline - time.monotonic()
            assert left > 0, "Chromium does not answer"
            if select.select([self._from], [], [], left)[0]:
                data = os.read(self._from, 1 << 20)
                assert data, "Chromium ended"
                self._unread += data
        message, self._unread = self._unread.split(b"\0", 1)
        return json.loads(message)


class Page:
    """One tab."""

    def __init__(self, browser: Browser, target: str, session: str) -> None:
        self.browser = browser
        self._target, self._session = target, session

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        return self.browser.call(method, self._session, **params)

    def evaluate(self, expression: str) -> Any:
        """The value of an expression, awaited, as plain values."""
        result = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait_for(self, expression: str, seconds: float = SECONDS) -> Any:
        """Waits until the expression is true, and gives its value."""
        return wait(lambda: self.evaluate(expression), expression, seconds)

    def text(self, selector: str) -> str:
        return self.evaluate(f"document.querySelector({json.dumps(selector)}).textContent")

    def choose_file(self, selector: str, path: Path) -> None:
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def drop_file(self, path: Path, x: float = 300, y: float = 300) -> None:
        data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def point(self, selector: str, across: float, down: float) -> None:
        """Moves the mouse over an element, at shares of its width and height."""
        box = self._box(selector)
        x, y = box["x"] + across * box["width"], box["y"] + down * box["height"]
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def click(self, selector: str) -> None:
        box = self._box(selector)
        place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    def drag(self, selector: str, across: float) -> None:
        """Drags an element's middle by a share of its width."""
        box = self._box(selector)
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        steps = [
            ("mousePressed", 0.0),
            ("mouseMoved", 0.5),
            ("mouseMoved", 1.0),
            ("mouseReleased", 1.0),
        ]
        for kind, share in steps:
            self.call(
                "Input.dispatchMouseEvent",
                type=kind,
                button="left",
                buttons=int(kind != "mouseReleased"),
                clickCount=1,
                x=x + share * across * box["width"],
                y=y,
            )

    def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def download(self, selector: str) -> Path:
        """Clicks and waits for the file that comes of it."""
        for earlier in self.browser.downloads.iterdir():
            earlier.unlink()
        self.click(selector)

        def finished() -> Path | None:
            files = self.browser.downloads.iterdir()
            return next((file for file in files if file.suffix in (".npy", ".png")), None)

        return wait(finished, f"a download of {selector}")

    def screenshot(self, path: Path) -> None:
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def resize(self, width: int, height: int) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def complaints(self) -> list[str]:
        """What the page and its workers wrote to the console as errors, and exceptions."""
        self.evaluate("1")  # what happened before has been told by then
        found = []
        for event in self.browser.events:
            params = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                found.append(json.dumps(params))
            if event["method"] == "Log.entryAdded" and params["entry"]["level"] == "error":
                found.append(params["entry"]["text"])
            if event["method"] == "Runtime.consoleAPICalled" and params["type"] == "error":
                found.append(json.dumps(params["args"]))
        return found

    def close(self) -> None:
        self.browser.call("Target.closeTarget", targetId=self._target)
        self.browser.events.clear()

    def _box(self, selector: str) -> dict[str, float]:
        self.evaluate(
            f"document.querySelector({json.dumps(selector)}).scrollIntoView({{block: 'nearest'}})"
        )
        return self.evaluate(
            f"document.querySelector({json.dumps(selector)}).getBoundingClientRect().toJSON()"
        )


def wait(condition: Callable[[], Any], name: str, seconds: float = SECONDS) -> Any:
    """Calls until the result is true, and gives it."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain for {name}"
        time.sleep(0.05)
    return value
