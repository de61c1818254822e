"""Packaging. This file is the one place where versions of other packages are written.

Lower bounds are the oldest versions that the tests were seen to pass with, upper bounds keep out
the next major release. `requirements.txt` chooses the extra that suits the Python at hand.
"""

import ast
from pathlib import Path

from setuptools import find_packages, setup

CORE = [
    "absl-py>=2.1,<3",
    "numpy>=1.26,<3",
    "pillow>=11,<14",
]

# Runs exported models, each its own kind.
LITERT = "ai-edge-litert>=2.1,<3"
ONNXRUNTIME = "onnxruntime>=1.19,<2"

# Prints tables; with exported models alone, those of `kdepth benchmark`.
TABULATE = "tabulate>=0.9,<1"

# Decodes video files. Its newest release needs a new Python; 15 is the last for 3.9.
VIDEO = "av>=15,<20"

# Beside TensorFlow and Keras, for training, evaluation, tables, TensorBoard and exports.
TRAINING = [
    LITERT,
    ONNXRUNTIME,
    "flatbuffers>=23.5,<27",
    "matplotlib>=3.9,<4",
    "pandas>=2.2,<4",
    TABULATE,
    "tf2onnx>=1.16,<2",
    "tqdm>=4.66,<5",
]

EXTRAS = {
    # Python 3.9 - 3.11: TensorFlow Addons 0.23.0 is the last release and loads on 2.15 only.
    "addons": [
        *TRAINING,
        "keras==2.15.0",
        # onnx 1.19 wants an ml-dtypes that TensorFlow 2.15 cannot be installed with.
        "onnx>=1.17,<1.19",
        "tensorboard>=2.15,<2.16",
        "tensorflow==2.15.1",
        "tensorflow-addons==0.23.0",
    ],
    "keras3": [
        *TRAINING,
        "keras>=3.15,<4",
        "onnx>=1.17,<2",
        "tensorboard>=2.20,<3",
        "tensorflow>=2.21,<3",
    ],
    # Beside `addons` or `keras3`, which fix the version.
    "gpu": ["tensorflow[and-cuda]"],
    # Decoding of video files.
    "video": [VIDEO],
    # Other Keras backends, beside `keras3`.
    "jax": ["jax>=0.6,<1"],
    "torch": ["torch>=2.6,<3"],
    # The labelled part of NYU Depth v2, which is HDF5 (Keras brings h5py along).
    "nyu": ["h5py>=3.14,<4"],
    # Prepares builders of tensorflow-datasets, which kdepth then reads without it. Beside `keras3`
    # only: its dependencies do not work with the protobuf of TensorFlow 2.15. It imports
    # importlib-resources and does not say so.
    "tfds": ["importlib-resources>=6,<8", "tensorflow-datasets>=4.9.10,<5"],
    # Exported models without TensorFlow.
    "runtime": [LITERT, TABULATE],
    "runtime-onnx": [ONNXRUNTIME, TABULATE],
    "test": [
        VIDEO,
        "codespell>=2.3,<3",
        "hypothesis>=6.100,<7",
        "pytest>=8.4,<10",
        "ruff>=0.17,<0.18",
    ],
}


def version() -> str:
    """`kdepth.__version__`, read without importing the package."""
    tree = ast.parse(Path(__file__).with_name("kdepth").joinpath("__init__.py").read_text("utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "__version__":
            return ast.literal_eval(node.value)
    raise RuntimeError("kdepth/__init__.py has no __version__")


setup(
    name="kdepth",
    version=version(),
    description="The classic papers on learning depth from images, as Keras models",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The kdepth authors",
    license="Apache-2.0",
    packages=find_packages(include=["kdepth", "kdepth.*"]),
    package_data={"kdepth": ["py.typed", "data/splits/*.txt", "evaluation/*.csv", "page/web*/*"]},
    entry_points={"console_scripts": ["kdepth = kdepth.cli:entry_point"]},
    python_requires=">=3.9",
    install_requires=CORE,
    extras_require=EXTRAS,
    classifiers=[
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)
