"""The data sets by name, and what each of them can give."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Mapping
from typing import Any

from kdepth.data.sample import SAMPLE_KEYS, Reader
from kdepth.errors import UserError

# A new data set is one line here: its name and where its reader is (imported when it is asked for).
READERS: Mapping[str, str] = {
    "synthetic": "kdepth.data.kitti_raw:Synthetic",
    "kitti_raw": "kdepth.data.kitti_raw:KittiRaw",
    "kitti_odometry": "kdepth.data.kitti_odometry:KittiOdometry",
    "kitti_stereo2015": "kdepth.data.kitti_stereo2015:KittiStereo2015",
    "kitti_depth": "kdepth.data.kitti_depth:KittiDepth",
    "cityscapes": "kdepth.data.cityscapes:Cityscapes",
    "make3d": "kdepth.data.make3d:Make3D",
    "nyu_labelled": "kdepth.data.nyu_labelled:NyuLabelled",
    "tum_rgbd": "kdepth.data.tum_rgbd:TumRgbd",
    "sfmlearner": "kdepth.data.sfmlearner:SfMLearner",
    "scdepth": "kdepth.data.scdepth:ScDepth",
    "nyu_raw": "kdepth.data.nyu_raw:NyuRaw",
    "tfds": "kdepth.data.tfds:Tfds",
    "folder": "kdepth.data.folder:Folder",
    "video": "kdepth.data.video:Video",
    "prepared": "kdepth.data.prepared:Prepared",
}


def reader_class(dataset: str) -> type[Reader]:
    """Returns the reader of a data set.

    Raises:
        UserError: if there is no such data set.
    """
    if dataset not in READERS:
        raise UserError(f"no data set {dataset!r} (--dataset): choose one of {', '.join(READERS)}")
    module, name = READERS[dataset].split(":")
    return getattr(importlib.import_module(module), name)


def open_reader(
    dataset: str, data_dir: str | os.PathLike[str] | None = None, **options: Any
) -> Reader:
    """Opens a data set.

    Args:
        dataset: one of `READERS`.
        data_dir: its folder; only the embedded world has a default one.
        **options: of the reader: those that it declares (`options.py`), and `on_missing`.

    Raises:
        UserError: if there is no such data set, or the folder is missing, empty or has another
            layout.
    """
    reader = reader_class(dataset)
    if not data_dir:
        if dataset != "synthetic":
            raise UserError(f"{dataset} needs --data_dir: the folder that holds it")
        from kdepth.data.synthetic import default_data_dir  # the renderer is not needed otherwise

        data_dir = default_data_dir()
    return reader(data_dir, **options)


def require_keys(dataset: str, keys: Iterable[str], paper: str) -> None:
    """Checks that a data set has what a paper asks for, before any file is read.

    Args:
        dataset: one of `READERS`.
        keys: the sample keys that the paper needs.
        paper: for the message.

    Raises:
        UserError: if the data set lacks a key; it names the paper, the key and the data sets that
            have it.
    """
    unknown = sorted(set(keys) - SAMPLE_KEYS)
    if unknown:
        raise ValueError(f"unknown sample keys {unknown}; there are {sorted(SAMPLE_KEYS)}")
    for key in sorted(set(keys) - reader_class(dataset).keys):
        others = [name for name in READERS if key in reader_class(name).keys]
        raise UserError(
            f"{paper} needs `{key}`, which {dataset} does not have; "
            f"data sets that have it: {', '.join(others)}"
        )
