"""Exported models without TensorFlow: depth of an image from a `.tflite` or `.onnx` file.

```python
model = kdepth.runtime.DepthModel("exports/garg/garg.tflite")  # pip install kdepth[runtime]
prediction = model(image, camera)  # uint8 [H, W, 3] in, a Prediction of the image's size out
```

Every exported file has a description beside it (`garg.json` for `garg.tflite`, `garg_int8.tflite`,
`garg.onnx` and `garg_savedmodel/`) and carries it inside: without it nobody could say how to prepare
the image or what the numbers mean, so a file without any is refused, and so is a file whose sha256
is not the described one. Files take floats, raw bytes or quantised numbers; here images always go in
as floats in [0, 1] and floats come out. The interpreters are imported when a file is opened; importing this
module needs NumPy and Pillow only.
"""

from kdepth.runtime.facts import PARTS, ModelFacts
from kdepth.runtime.files import (
    ALL_SUFFIXES,
    DESCRIPTION_FORMAT,
    SAVEDMODEL_SUFFIX,
    SUFFIXES,
    description_path,
    read_description,
    sha256,
    size_of,
)
from kdepth.runtime.images import predict_image, prepare_image
from kdepth.runtime.interpreters import INPUT_NAME, SIGNATURE, Network, open_network
from kdepth.runtime.metadata import METADATA_FILE, METADATA_NAME, read_metadata
from kdepth.runtime.models import DepthModel, Described, PoseModel, described

__all__ = [
    "ALL_SUFFIXES",
    "DESCRIPTION_FORMAT",
    "INPUT_NAME",
    "METADATA_FILE",
    "METADATA_NAME",
    "PARTS",
    "SAVEDMODEL_SUFFIX",
    "SIGNATURE",
    "SUFFIXES",
    "DepthModel",
    "Described",
    "ModelFacts",
    "Network",
    "PoseModel",
    "described",
    "description_path",
    "open_network",
    "predict_image",
    "prepare_image",
    "read_description",
    "read_metadata",
    "sha256",
    "size_of",
]
