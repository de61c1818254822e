"""Where images and depths of an evaluation come from: a split, read under a protocol."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from kdepth.data import evaluation_samples, open_reader, require_keys
from kdepth.data.one_by_one import ahead
from kdepth.data.sample import Record
from kdepth.errors import UserError
from kdepth.evaluation.crops import VIEWS
from kdepth.evaluation.protocol import Protocol

# What is scored and what baselines are fitted on where the user names no split. Other data sets are
# scored on their protocol's split; what is not here has no part for training.
TEST_SPLITS = {
    "synthetic": "test",
    "kitti_raw": "eigen_test",
    "kitti_depth": "eigen_benchmark_test",
    "scdepth": "val",
    "tfds": "validation",
    "folder": "val",
}
TRAIN_SPLITS = {
    "synthetic": "train",
    "kitti_raw": "eigen_train",
    "kitti_depth": "eigen_train",
    "cityscapes": "train",
    "make3d": "train",
    "nyu_labelled": "train",
    "scdepth": "train",
    "tfds": "train",
    "folder": "train",
}


@dataclass(frozen=True)
class Source:
    """A split of a data set.

    Attributes:
        dataset: the reader's name.
        data_dir: its folder.
        split: a name, or the path of a list file.
        on_bad_sample: "stop" or "skip".
        reader_options: of the data set's reader; what a protocol sets itself wins over them.
    """

    dataset: str
    data_dir: Path
    split: str
    on_bad_sample: str = "stop"
    reader_options: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Data set and split in one word; list files go by their own name."""
        return f"{self.dataset}/{self.split_name}"

    @property
    def split_name(self) -> str:
        """The split without folders, which mean nothing on another machine."""
        return Path(self.split).name

    def is_same_as(self, other: Source) -> bool:
        """Whether both name the same frames."""
        return (
            self.dataset == other.dataset
            and self.split == other.split
            and self.data_dir.resolve() == other.data_dir.resolve()
        )

    def splits(self) -> str:
        """The names that `split` may have, for messages."""
        return ", ".join(open_reader(self.dataset, self.data_dir, **self.reader_options).splits())

    def count(self, protocol: Protocol, stereo: bool = False) -> int:
        """Number of samples with ground truth.

        Args:
            protocol: whose ground truth is counted.
            stereo: only those that have a right view too.

        Raises:
            UserError: if the data set, the split or its files are missing, or it has no depth of
                this kind.
        """
        # `samples` lists the split again and reports then what is missing in it.
        level = logging.get_verbosity()
        logging.set_verbosity(logging.ERROR)
        try:
            return len(self._records(protocol, "an evaluation", _keys(stereo)))
        finally:
            logging.set_verbosity(level)

    def samples(
        self,
        protocol: Protocol,
        *,
        height: int,
        width: int,
        resize: str,
        limit: int | None = None,
        stereo: bool = False,
        images: Collection[int] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """The split's samples in its order.

        Args:
            protocol: whose ground truth is read, and whose view the samples are cut to.
            height: network input height.
            width: network input width.
            resize: method of `kdepth.data.image.resize_image`.
            limit: stop after so many.
            stereo: the right views too.
            images: indices of the samples whose images are read; None: all.

        Returns:
            See `kdepth.data.evaluation_samples`.
        """
        return evaluation_samples(
            self.dataset,
            data_dir=self.data_dir,
            split=self.split,
            height=height,
            width=width,
            resize=resize,
            keys=_keys(stereo),
            limit=limit,
            on_bad_sample=self.on_bad_sample,
            images=images,
            cut=None if protocol.view == "whole" else VIEWS[protocol.view].cut,
            **self._options(protocol),
        )

    def depths(self, protocol: Protocol, most: int) -> tuple[Iterator[np.ndarray], int]:
        """Depth maps alone, without their images.

        Args:
            protocol: whose kind of ground truth is read.
            most: at most so many, evenly spread over the split.

        Returns:
            An iterator over [H, W] float32 maps, metres, 0 = not measured, cut to the protocol's
            view, and how many there are at most.

        Raises:
            UserError: if the data set, the split or its files are missing, or it has no depth.
        """
        try:
            records = self._records(protocol, "fitting baselines", _keys(False))
        except UserError as error:
            raise UserError(
                f"baselines are fitted on {self.name}, by --baseline_dataset, --baseline_data_dir and "
                f"--baseline_split or what the run was trained on: {error}"
            ) from None
        count = min(len(records), most)
        chosen = [records[i * len(records) // count] for i in range(count)]
        return (VIEWS[protocol.view].cut_truth(depth) for depth in self._load(chosen)), count

    def _options(self, protocol: Protocol) -> dict[str, Any]:
        return {**self.reader_options, **protocol.reader_options(self.dataset)}

    def _records(self, protocol: Protocol, purpose: str, keys: frozenset[str]) -> list[Record]:
        require_keys(self.dataset, keys, purpose)
        options = self._options(protocol)
        if self.on_bad_sample == "skip":
            options["on_missing"] = "skip"
        reader = open_reader(self.dataset, self.data_dir, **options)
        return reader.records(self.split, keys)

    def _load(self, records: list[Record]) -> Iterator[np.ndarray]:
        def load(record: Record) -> np.ndarray | None:
            try:
                return record.depth.load()
            except UserError as error:
                if self.on_bad_sample == "stop":
                    raise
                logging.warning("bad depth skipped: %s", error)
                return None

        return (depth for depth in ahead(load, iter(records)) if depth is not None)


def _keys(stereo: bool) -> frozenset[str]:
    return frozenset({"image", "depth", "stereo"} if stereo else {"image", "depth"})
