"""Samples one by one for evaluation: images at network size, the rest as on disk. NumPy only."""

from __future__ import annotations

import collections
import concurrent.futures
import itertools
import os
from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np
from absl import logging

from kdepth.data.decode import ON_BAD_SAMPLE
from kdepth.data.readers import open_reader, require_keys
from kdepth.data.sample import Record, load_sample, resize_sample
from kdepth.errors import UserError

_WORKERS = 2
_AHEAD = 4  # samples that are loaded while the caller works on one

Cut = Callable[[dict[str, np.ndarray], Record], tuple[dict[str, np.ndarray], Record]]
"""(native sample, its record) -> a part of both."""


def evaluation_samples(
    dataset: str,
    *,
    data_dir: str | os.PathLike[str] | None,
    split: str,
    height: int,
    width: int,
    resize: str = "area",
    keys: frozenset[str] = frozenset({"image", "depth"}),
    limit: int | None = None,
    on_bad_sample: str = "stop",
    bad_samples: dict[str, str] | None = None,
    source_offsets: tuple[int, ...] = (-1, 1),
    images: Collection[int] | None = None,
    cut: Cut | None = None,
    **reader_options: Any,
) -> Iterator[dict[str, Any]]:
    """Yields the samples of a split in its order.

    Args:
        dataset: name of a data set.
        data_dir: its folder; None is the default place of the embedded world.
        split: one of its splits, or the path of a list file.
        height: network input height.
        width: network input width.
        resize: method of `resize_image`.
        keys: what to load beside `image`.
        limit: stop after so many samples.
        on_bad_sample: "stop": a bad file raises; "skip": its sample is left out, counted and
            reported.
        bad_samples: filled with name -> message of what was left out.
        source_offsets: frames of `sources`.
        images: indices of the samples whose images are read, where not all are needed: decoding
            them takes longer than all else.
        cut: takes a part of each native sample, before the resize.
        **reader_options: of the data set's reader.

    Yields:
        `name`, `index`, (where read) `image` [height, width, 3] float32, `image_native` [H, W, 3] uint8,
        `camera` (native `Camera`), `baseline` (metres, or None if the data set's calibration does
        not say), and of `keys`: `depth` [H, W] float32 metres at native size (0 = not measured),
        `stereo` and `sources` [S, height, width, 3] float32 at network size, `intrinsics` [3, 3] at
        network size, `T_sources_image` [S, 4, 4].

    Raises:
        UserError: if the data set, the split, a key or a file is missing, or a file is bad.
    """
    if on_bad_sample not in ON_BAD_SAMPLE:
        raise UserError(
            f"--on_bad_sample is one of {', '.join(ON_BAD_SAMPLE)}, received {on_bad_sample!r}"
        )
    require_keys(dataset, keys, "this evaluation")
    if on_bad_sample == "skip":
        reader_options.setdefault("on_missing", "skip")
    records = open_reader(dataset, data_dir, **reader_options).records(split, keys, source_offsets)
    bad_samples = {} if bad_samples is None else bad_samples

    def load(item: tuple[int, Record]) -> dict[str, Any] | None:
        index, record = item
        try:
            native = load_sample(record, keys, images is None or index in images)
        except UserError as error:
            if on_bad_sample == "stop":
                raise
            bad_samples[record.name] = str(error)
            logging.warning("bad sample skipped: %s", error)
            return None
        if cut is not None:
            native, record = cut(native, record)
        return _sample(index, record, native, height, width, resize)

    loaded = ahead(load, itertools.islice(enumerate(records), limit))
    return (sample for sample in loaded if sample is not None)


def _sample(
    index: int, record: Record, native: dict[str, np.ndarray], height: int, width: int, resize: str
) -> dict[str, Any]:
    depth = native.pop("depth", None)
    sample: dict[str, Any] = resize_sample(native, record, height, width, resize)
    sample.update(
        name=record.name,
        index=index,
        camera=record.camera,
        baseline=record.baseline,
    )
    if "image" in native:
        sample["image_native"] = native["image"]
    if depth is not None:
        sample["depth"] = depth[..., 0]
    return sample


def ahead(function: Callable[[Any], Any], items: Iterator[Any]) -> Iterator[Any]:
    """Maps a function over items in order, a few of them ahead on other threads.

    Args:
        function: may raise; what it raises comes out where its result would have.
        items: what it is called with.
    """
    with concurrent.futures.ThreadPoolExecutor(_WORKERS) as pool:
        waiting = collections.deque(
            pool.submit(function, item) for item in itertools.islice(items, _AHEAD)
        )
        try:
            while waiting:
                result = waiting.popleft().result()
                for item in itertools.islice(items, 1):
                    waiting.append(pool.submit(function, item))
                yield result
        finally:
            for future in waiting:
                future.cancel()
