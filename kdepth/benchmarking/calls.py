"""A stored network as a call without arguments that runs it once, on the input that it takes itself.

`kdepth.runtime` feeds every file float images in [0, 1]; here an integer file gets integers and a
file with channels first gets them first, because that is what a device does, and what LiteRT's own
`benchmark_model` times. A call copies the input in and the output out.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kdepth.errors import UserError, first_line
from kdepth.runtime import interpreters


class Opened(NamedTuple):
    """A network that is ready to run.

    Attributes:
        run: runs it once; returns its output.
        input: what it takes, for example "1x188x620x3 float32".
    """

    run: Callable[[], Any]
    input: str


def missing_library(format: str) -> str | None:
    """What has to be installed to run a format, or None if it is; nothing is imported."""
    module, extra = interpreters.LIBRARIES[_library(format)]
    package = module.partition(".")[0]
    if importlib.util.find_spec(package) is not None:
        return None
    return f"{package} is not installed: pip install kdepth[{extra}]"


def import_library(format: str, path: Path) -> Any:
    """The module that runs files of a format.

    Raises:
        UserError: if it is not installed.
    """
    library = interpreters.import_library(_library(format), path)
    if format == "keras":
        importlib.import_module("kdepth.papers.base")  # Keras is a part of the library here
    return library


def open_call(
    library: Any, format: str, path: Path, threads: int, xnnpack: bool | None = None
) -> Opened:
    """Opens a stored network.

    Args:
        library: from `import_library`.
        format: of the network.
        path: of the network.
        threads: how many the library may use.
        xnnpack: for TFLite, whether operators may be handed to XNNPACK.

    Returns:
        The network, ready to run.

    Raises:
        UserError: if it cannot be opened.
    """
    if format == "keras":
        return _keras(library, path, threads)
    opener = {"tflite": _tflite, "onnx": _onnx, "savedmodel": _savedmodel}[format]
    try:
        return opener(library, path, threads, xnnpack)
    except Exception as error:  # each interpreter has its own kinds of error for a damaged file
        raise UserError(f"{path} cannot be opened as a model: {first_line(error)}") from None


def example(shape: Sequence[Any], dtype: Any) -> np.ndarray:
    """An input of the given shape, the same in every process.

    Noise: no network here is faster on some pictures than on others.

    Args:
        shape: what is no number (a batch of any size) becomes 1.
        dtype: floats lie in [0, 1), integers over their whole range.
    """
    sizes = [size if isinstance(size, (int, np.integer)) and size > 0 else 1 for size in shape]
    generator = np.random.default_rng(0)
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        return generator.integers(limits.min, limits.max, sizes, dtype=dtype, endpoint=True)
    return generator.random(sizes, np.float32).astype(dtype)


def _tflite(litert: Any, path: Path, threads: int, xnnpack: bool | None) -> Opened:
    interpreter = interpreters.litert_interpreter(litert, path, threads, xnnpack is not False)
    (given,) = interpreter.get_input_details()
    (result,) = interpreter.get_output_details()
    image = example(given["shape"], given["dtype"])

    def run() -> np.ndarray:
        # The arena may reuse the input's memory, so it is written every time.
        interpreter.set_tensor(given["index"], image)
        interpreter.invoke()
        return interpreter.get_tensor(result["index"])

    return Opened(run, _describe(image))


def onnx_example(session: Any) -> dict[str, np.ndarray]:
    """What a session's only input takes."""
    (given,) = session.get_inputs()
    dtype = {"tensor(float)": np.float32}.get(given.type) or np.dtype(given.type[7:-1])
    return {given.name: example(given.shape, dtype)}


def _onnx(onnxruntime: Any, path: Path, threads: int, xnnpack: None) -> Opened:
    session = interpreters.onnx_session(onnxruntime, path, threads)
    feed = onnx_example(session)
    (image,) = feed.values()
    return Opened(lambda: session.run(None, feed)[0], _describe(image))


def _savedmodel(tf: Any, path: Path, threads: int, xnnpack: None) -> Opened:
    _set_threads(tf, threads)
    loaded = tf.saved_model.load(str(path))
    signature = loaded.signatures[interpreters.SIGNATURE]
    spec = signature.structured_input_signature[1][interpreters.INPUT_NAME]
    image = example(spec.shape.as_list(), spec.dtype.as_numpy_dtype)
    (name,) = signature.structured_outputs

    def run(keep: Any = loaded) -> np.ndarray:  # the variables live as long as `keep`
        return signature(**{interpreters.INPUT_NAME: tf.constant(image)})[name].numpy()

    return Opened(run, _describe(image))


def _keras(tf: Any, path: Path, threads: int) -> Opened:
    """The compiled call of a run's depth network: what `predict_depth` runs, its one map only."""
    import kdepth
    from kdepth import backend

    _set_threads(tf, threads)
    model = kdepth.load_run(path)
    network = backend.compiled(lambda images: model.depth_outputs(images)[model.output_name])
    image = example((1, *model.image_size, 3 * model.depth_views), np.float32)
    return Opened(lambda: network(tf.constant(image)).numpy(), _describe(image))


def _library(format: str) -> str:
    """The key in `LIBRARIES`: Keras models come with TensorFlow, as SavedModels do."""
    return "savedmodel" if format == "keras" else format


def _set_threads(tf: Any, threads: int) -> None:
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def _describe(image: np.ndarray) -> str:
    return f"{'x'.join(str(size) for size in image.shape)} {image.dtype}"
