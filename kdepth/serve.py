"""Try an exported model in the browser: drop a picture or use the webcam, see its depth.

The page is served to this computer alone. It shows depth beside the picture, its value under the
pointer, and the scene as a point cloud to turn. A float32 .onnx file runs in the browser itself
(WebAssembly), so pictures do not leave the page; that needs ONNX Runtime for browsers, which
`--fetch` (or `make web`) downloads once. Without it, and for other files, this command computes.

Example:
  python -m kdepth.serve --fetch
  python -m kdepth.serve exports/garg/garg.onnx
  python -m kdepth.serve --model=exports/garg/garg.tflite --port=8000 --noopen
"""

from __future__ import annotations

import os
import sys
import webbrowser

from absl import flags as absl_flags

from kdepth.errors import UserError

POSITIONAL = "model"


def define_flags(flags: absl_flags.FlagValues) -> None:
    """Defines the command's flags."""
    absl_flags.DEFINE_string(
        "model",
        None,
        "The exported model; --model= may be left out. Its description should be beside it.",
        flag_values=flags,
    )
    absl_flags.DEFINE_integer(
        "port",
        0,
        "The port of 127.0.0.1; 0 takes a free one.",
        0,
        65535,
        flag_values=flags,
    )
    absl_flags.DEFINE_bool(
        "open",
        None,
        "Open the page in the browser; by default where there is a display.",
        flag_values=flags,
    )
    absl_flags.DEFINE_integer(
        "threads",
        None,
        "Threads of the interpreter, where this command computes.",
        lower_bound=1,
        flag_values=flags,
    )
    absl_flags.DEFINE_bool(
        "fetch",
        False,
        "Download ONNX Runtime for browsers from the npm registry (once) and end, or go on with"
        " the model if one is named.",
        flag_values=flags,
    )


def main(flags: absl_flags.FlagValues) -> int:
    """Serves the page until Ctrl-C."""
    if flags.fetch:
        from kdepth.page import onnxruntime_web

        print(onnxruntime_web.fetch())
        if not flags.model:
            return 0
    if not flags.model:
        raise UserError("name an exported model: kdepth serve exports/garg/garg.onnx")
    from kdepth.page.server import PageServer
    from kdepth.runtime import DepthModel

    with PageServer(DepthModel(flags.model, threads=flags.threads), flags.port) as server:
        reason = server.facts["server_reason"]
        place = "in the browser" if reason is None else f"here: {reason}"
        print(f"{server.url} shows {server.facts['name']}, which runs {place}")
        print("Ctrl-C ends it", flush=True)
        if _has_display() if flags.open is None else flags.open:
            webbrowser.open(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("ended")
    return 0


def _has_display() -> bool:
    """Whether a browser window could be shown."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


if __name__ == "__main__":
    from kdepth import cli

    cli.run("serve")
