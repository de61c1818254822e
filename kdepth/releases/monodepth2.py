"""monodepth2 (Godard 2019): its depth network, which is SC-Depth's, from `encoder.pth` and `depth.pth`.

Its last layer differs by a factor alone: the inverse depth is 0.01 + 9.99 sigmoid there and
0.01 + 10 sigmoid here, so ours is 1.001 times theirs, to 1e-5 of it. Depth is relative in both.
Models that learned from stereo pairs are metres / 5.4 there; here they are relative too. The pose
network speaks another convention and is not converted.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdepth.releases.mapping import Arrays, Fresh, Ignored, Release, Row
from kdepth.releases.resnet_depth import (
    IGNORED,
    LAYERS,
    convolutions,
    encoder_of,
    encoder_rows,
    read_folder,
)
from kdepth.releases.sc_sfmlearner import DECODER

FILES = {"encoder": ("encoder.pth",), "depth": ("depth.pth",)}
SIZE = {"height": 192, "image_width": 640}


def rows(options: Mapping[str, Any]) -> tuple[Row, ...]:
    """The table; the decoder is SC-SfMLearner's, which took it from here."""
    return (
        *encoder_rows("encoder/encoder.", "depth", LAYERS[options["encoder"]]),
        *convolutions("depth/decoder.", "depth", DECODER),
    )


def _read(path: Path) -> Arrays:
    return read_folder(path, FILES)


def _options(arrays: Arrays) -> dict[str, Any]:
    size = dict(SIZE)
    for ours, theirs in (("height", "encoder/height"), ("image_width", "encoder/width")):
        if theirs in arrays and arrays[theirs].shape == () and arrays[theirs].dtype.kind in "iu":
            size[ours] = int(arrays[theirs])
    encoder = encoder_of(arrays, "encoder/encoder.")
    return {**size, "variant": "release", "encoder": encoder}


RELEASES = {
    "monodepth2": Release(
        source="monodepth2",
        paper="scdepth",
        title="Godard 2019, monodepth2, depth network",
        files="a folder (mono_640x192, stereo_640x192, ...) with encoder.pth and depth.pth",
        licence="Monodepth2 Licence (Niantic): for non-commercial use only",
        trained_on={"kitti": None},
        published=(),
        read=_read,
        options=_options,
        rows=rows,
        ignored=(
            *IGNORED,
            Ignored("encoder/height", "the size of its images, which the model takes"),
            Ignored("encoder/width", "the size of its images, which the model takes"),
            Ignored("encoder/use_stereo", "whether it learned from stereo pairs"),
        ),
        fresh=(Fresh("pose", "*", "the files hold the depth network alone"),),
    )
}
