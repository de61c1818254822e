"""Where images and depths of an evaluation come from: a split, read under a protocol."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from kdepth.data import evaluation_samples, open_reader, require_keys
from kdepth.data.sample import Record
from kdepth.errors import UserError
from kdepth.evaluation.protocols import Protocol

# What is scored and what baselines are fitted on where the user names no split.
TEST_SPLITS = {"synthetic": "test", "kitti_raw": "eigen_test", "kitti_stereo2015": "training"}
TRAIN_SPLITS = {"synthetic": "train", "kitti_raw": "eigen_train"}


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

    def count(self, protocol: Protocol) -> int:
        """Number of samples with ground truth.

        Raises:
            UserError: if the data set, the split or its files are missing, or it has no depth of
                this kind.
        """
        # `samples` lists the split again and reports then what is missing in it.
        level = logging.get_verbosity()
        logging.set_verbosity(logging.ERROR)
        try:
            return len(self._records(protocol, "an evaluation"))
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
    ) -> Iterator[dict[str, Any]]:
        """The split's samples in its order.

        Args:
            protocol: whose ground truth is read.
            height: network input height.
            width: network input width.
            resize: method of `kdepth.data.image.resize_image`.
            limit: stop after so many.
            stereo: the right views too.

        Returns:
            See `kdepth.data.evaluation_samples`.
        """
        keys = {"image", "depth", "stereo"} if stereo else {"image", "depth"}
        return evaluation_samples(
            self.dataset,
            data_dir=self.data_dir,
            split=self.split,
            height=height,
            width=width,
            resize=resize,
            keys=frozenset(keys),
            limit=limit,
            on_bad_sample=self.on_bad_sample,
            **self._options(protocol),
        )

    def depths(self, protocol: Protocol, most: int) -> tuple[Iterator[np.ndarray], int]:
        """Depth maps alone, without their images.

        Args:
            protocol: whose kind of ground truth is read.
            most: at most so many, evenly spread over the split.

        Returns:
            An iterator over [H, W] float32 maps, metres, 0 = not measured, and how many there are
            at most.
        """
        records = self._records(protocol, "fitting baselines (--baseline_dataset)")
        count = min(len(records), most)
        chosen = [records[i * len(records) // count] for i in range(count)]
        return self._load(chosen), count

    def _options(self, protocol: Protocol) -> dict[str, Any]:
        return {**self.reader_options, **protocol.reader_options(self.dataset)}

    def _records(self, protocol: Protocol, purpose: str) -> list[Record]:
        require_keys(self.dataset, {"depth"}, purpose)
        options = self._options(protocol)
        if self.on_bad_sample == "skip":
            options["on_missing"] = "skip"
        reader = open_reader(self.dataset, self.data_dir, **options)
        return reader.records(self.split, frozenset({"image", "depth"}))

    def _load(self, records: list[Record]) -> Iterator[np.ndarray]:
        for record in records:
            try:
                depth = record.depth.load()
            except UserError as error:
                if self.on_bad_sample == "stop":
                    raise
                logging.warning("bad depth skipped: %s", error)
                continue
            yield depth
