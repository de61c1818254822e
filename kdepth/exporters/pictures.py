"""Pictures for an export: to compare on, and to measure the ranges of 8-bit files on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from kdepth.data import open_reader
from kdepth.data.image import read_image
from kdepth.data.sample import Reader, Record, load_image
from kdepth.data.synthetic import default_data_dir
from kdepth.errors import UserError
from kdepth.exporters import PICTURES
from kdepth.pictures import image_files


def read_pictures(path: Path, limit: int = PICTURES) -> list[np.ndarray]:
    """Pictures of a file or evenly over a folder, uint8 [H, W, 3].

    Raises:
        UserError: if there is none, or one cannot be read.
    """
    return [read_image(file) for file in _spread(image_files(path), limit)]


def pictures_of_run(info: Mapping[str, Any], views: int = 1) -> tuple[list[np.ndarray], str]:
    """Pictures of a run's test split and where they are from; none where its data is not at hand.

    Args:
        info: the run's facts, with `dataset`, `data_dir` and `split`.
        views: 1, or 2 for stereo pairs, left and right on channels.
    """
    try:
        reader = _reader(info)
        candidates = [name for name in reader.splits() if "test" in name] + [info["split"]]
    except (UserError, KeyError) as error:
        logging.warning("no pictures of the run's own data (%s): --images= gives others", error)
        return [], "test patterns"
    for split in candidates:
        try:
            pictures = [_load(r, views) for r in _spread(_records(reader, split, views), PICTURES)]
        except UserError as error:  # a package split of drives that are not all here
            logging.info("no pictures of split %s: %s", split, error)
            continue
        return pictures, f"{info['dataset']} {split}"
    return [], "test patterns"


def calibration_of_run(
    info: Mapping[str, Any], count: int, seed: int, views: int = 1
) -> list[np.ndarray]:
    """Pictures of a run's training split, drawn at random.

    Args:
        info: the run's facts, with `dataset`, `data_dir` and `split`.
        count: how many, or all if there are fewer.
        seed: of the draw.
        views: 1, or 2 for stereo pairs, left and right on channels.

    Raises:
        UserError: if the data is not at hand.
    """
    try:
        records = _records(_reader(info), info["split"], views)
        order = np.random.default_rng(seed).permutation(len(records))[:count]
        return [_load(records[i], views) for i in sorted(order)]
    except (UserError, KeyError) as error:
        raise UserError(
            "8-bit files need pictures of the training data to measure ranges on, and the run's are"
            f" not at hand ({error}): --calibration_images=<folder> gives others"
        ) from None


def _reader(info: Mapping[str, Any]) -> Reader:
    if "dataset" not in info:  # converted weights
        raise UserError("the run names no data of its own")
    data_dir = info.get("data_dir") or default_data_dir()
    return open_reader(info["dataset"], data_dir, **info.get("reader_options", {}))


def _records(reader: Reader, split: str, views: int) -> list[Record]:
    return reader.records(split, frozenset(("image", "stereo")[:views]))


def _load(record: Record, views: int) -> np.ndarray:
    seen = (record.image, record.stereo)[:views]
    return np.concatenate([load_image(view) for view in seen], axis=-1)


def _spread(items: Sequence[Any], count: int) -> list[Any]:
    """At most `count` items, evenly over all."""
    if len(items) <= count:
        return list(items)
    return [items[i] for i in np.linspace(0, len(items) - 1, count).round().astype(int)]
