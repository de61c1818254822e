"""Runs exported files where TensorFlow is not installed; `.ci/run` calls it in a clean environment.

python -I .ci/check_runtime.py [--missing=FILE] FILE...     (-I: the installed kdepth, not the source folder)
"""

import argparse
import importlib.util
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import kdepth
from kdepth.data.image import read_image

PICTURE = "docs/garg.jpg"
FOCAL = 700.0


def predict(model: str, out: str) -> subprocess.CompletedProcess:
    """`kdepth predict`, as a user calls it."""
    command = [sys.executable, "-I", "-m", "kdepth", "predict", f"--model={model}", f"--fx={FOCAL}"]
    command += [f"--input={PICTURE}", f"--out={out}", "--outputs=color,npy,png16,ply"]
    return subprocess.run(command, capture_output=True, text=True)


def check(model: str) -> None:
    """The file predicts, from Python and from the command line, and both are the same."""
    image = read_image(PICTURE)
    height, width = image.shape[:2]
    camera = kdepth.Camera(FOCAL, FOCAL, (width - 1) / 2, (height - 1) / 2, width, height)
    begun = time.perf_counter()
    prediction = kdepth.runtime.DepthModel(model)(image, camera)
    seconds = time.perf_counter() - begun
    assert prediction.values.shape == (1, height, width) and prediction.kind == "metric"
    assert np.isfinite(prediction.values).all() and np.ptp(prediction.values) > 0
    with tempfile.TemporaryDirectory() as out:
        done = predict(model, out)
        assert done.returncode == 0, done.stderr
        stored = np.load(next(Path(out).glob("*_depth.npy")))
        assert {path.suffix for path in Path(out).iterdir()} == {".json", ".npy", ".png", ".ply"}
    np.testing.assert_allclose(stored, prediction.values[0], rtol=1e-4)
    loaded = {"tensorflow", "keras", "pandas"} & set(sys.modules)
    assert not loaded, loaded
    print(
        f"{model}: opened and predicted in {seconds:.2f} s; kdepth predict says {done.stdout.strip()}"
    )


def main() -> None:
    """Checks the environment, then every file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--missing", help="a file whose interpreter is not installed")
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    installed = [
        name for name in ("tensorflow", "keras", "pandas") if importlib.util.find_spec(name)
    ]
    assert not installed, f"{installed} should not be here"
    if arguments.missing:
        with tempfile.TemporaryDirectory() as out:
            done = predict(arguments.missing, out)
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
        assert "pip install kdepth[runtime-onnx]" in done.stderr, done.stderr
    for file in arguments.files:
        check(file)


if __name__ == "__main__":
    main()
