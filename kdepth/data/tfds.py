"""Builders of tensorflow-datasets that have an `image` and a `depth`, as they lie on disk once prepared.

Catalogue: https://www.tensorflow.org/datasets/catalog/nyu_depth_v2; a prepared builder is a folder

    <name>[/<config>]/<version>/dataset_info.json     splits, shards, how many examples each has
                                features.json         what an example holds
                                <name>-<split>.tfrecord-00000-of-00512

The files are read by kdepth itself: neither tensorflow-datasets nor TensorFlow is needed, and no
example but the asked one is decoded (`tfds_examples.py`).
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np

from kdepth.data import frames, splits
from kdepth.data.depth_files import scale_of
from kdepth.data.folder import natural
from kdepth.data.intrinsics import CAMERA_OPTIONS, given_intrinsics
from kdepth.data.kinect import COLOUR_CAMERA
from kdepth.data.options import Option
from kdepth.data.sample import Record
from kdepth.data.tfds_examples import DEPTH, ENCODINGS, IMAGE, Feature, Shard, TfdsDepth, TfdsImage
from kdepth.errors import UserError
from kdepth.geometry.camera import Camera

INFO_FILE, FEATURES_FILE = "dataset_info.json", "features.json"
# Builders whose features do not tell the camera, and what it is known to be.
CAMERAS: Mapping[str, Camera] = {"nyu_depth_v2": COLOUR_CAMERA}
# What values of another type or form than expected raise.
_MALFORMED = (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError)
_MOST_EXAMPLES = 10**8  # of a shard
_LEVELS = 4  # folders below --data_dir: itself, name, config, version
_FORM = "<split>/<number of the example, from 0>"


class Tfds:
    """Reader of a prepared builder of tensorflow-datasets.

    Args:
        data_dir: the folder of all builders (`~/tensorflow_datasets`), of one, or of one version.
        builder: which of them: `<name>`, `<name>/<config>` or with `/<version>`; not needed where
            there is only one. Of several versions the newest is taken.
        fx: horizontal focal length, pixels; of builders in `CAMERAS` the camera is known.
        fy: vertical focal length, pixels; None is `fx`.
        cx: column of the principal point, pixels; None is the middle.
        cy: row of the principal point, pixels; None is the middle.
        intrinsics: a file of intrinsics for all pictures.
        depth_scale: values in a metre, where depth is whole numbers.
        on_missing: "stop" or "skip": what a shard or a listed example that is not there does.

    Raises:
        UserError: if there is no such builder, or it is not of a kind that can be read.
    """

    name: ClassVar[str] = "tfds"
    keys: ClassVar[frozenset[str]] = frozenset(["image", "intrinsics", "depth", "index"])
    options: ClassVar[tuple[Option, ...]] = (
        Option("builder", "The builder, <name>[/<config>][/<version>], where there are several."),
        *CAMERA_OPTIONS[:-1],
        Option("intrinsics", "A file of intrinsics for all pictures."),
        Option(
            "depth_scale",
            "Values in a metre of depth that is whole numbers: 1000 for millimetres.",
            kind=float,
            positive=True,
        ),
    )

    def __init__(
        self,
        data_dir: str | os.PathLike[str],
        builder: str | None = None,
        fx: float | None = None,
        fy: float | None = None,
        cx: float | None = None,
        cy: float | None = None,
        intrinsics: str | os.PathLike[str] | None = None,
        depth_scale: float | None = None,
        on_missing: str = "stop",
    ) -> None:
        self._given = given_intrinsics(fx, fy, cx, cy, intrinsics)
        self._scale, self._on_missing = depth_scale, on_missing
        self.root = _find(frames.check_folder(data_dir, self.name), builder)
        info = self.root / INFO_FILE
        try:
            said = _read_json(info)
            self._builder = str(said["name"])
            if said.get("fileFormat", "tfrecord") != "tfrecord":
                raise UserError(
                    f"{self.root}: is prepared as {said['fileFormat']}, and only tfrecord is read; "
                    "`tfds convert_format` converts it"
                )
            self._shards = {str(split["name"]): self._shards_of(split) for split in said["splits"]}
        except _MALFORMED as error:
            raise _strange(info, error) from None

    def splits(self) -> list[str]:
        """Returns the builder's own splits (`train`, `validation`), `all`, and own lists."""
        own = frames.own_splits(self.root / "splits")
        return [*dict.fromkeys([*self._shards, "all", *own])]

    def records(
        self, split: str, keys: frozenset[str], offsets: tuple[int, ...] = (-1, 1)
    ) -> list[Record]:
        """Lists the samples of a split, in the order of its files; see `Reader.records`.

        A list file has `<split>/<number>` a line, numbers from 0. There are no neighbour frames,
        so `offsets` has no effect.
        """
        image = self._feature(IMAGE)
        depth = self._feature(DEPTH) if "depth" in keys else None
        if depth is not None and depth.shape[:2] != image.shape[:2]:
            raise UserError(f"{self.root}: `{IMAGE}` and `{DEPTH}` have different sizes")
        if depth is not None and np.dtype(depth.dtype).kind != "f":
            scale_of(self.root, self._scale)
        camera = self._camera(image, keys)
        missing = frames.Missing(f"{self.name}, split {split}", self._on_missing)
        places: dict[str, tuple[Shard, int]] = {}
        absent: set[Path] = set()
        for name, shards in self._shards.items():
            pairs = ((shard, place) for shard in shards for place in range(shard.count))
            places.update((f"{name}/{number:06d}", pair) for number, pair in enumerate(pairs))
            absent |= {shard.path for shard in shards if not shard.path.is_file()}
        records = []
        for name in self._names(split, places):
            if name not in places or places[name][0].path in absent:
                missing.image(places[name][0].path if name in places else self.root / name)
                continue
            shard, place = places[name]
            source = None if depth is None else TfdsDepth(shard, place, depth, self._scale)
            records.append(Record(name, TfdsImage(shard, place, image), camera, depth=source))
        missing.report(len(records))
        return records

    def _names(self, split: str, places: Mapping[str, Any]) -> list[str]:
        if split in self._shards:
            return [name for name in places if name.rpartition("/")[0] == split]
        if split == "all":
            return list(places)
        path = frames.list_file(split, self.root / "splits", self.splits())
        names = []
        for line in splits.read_paths(path):
            part, slash, number = line.rpartition("/")
            if not (slash and number.isdecimal()):
                raise UserError(f"{path}: expected {_FORM} in every line, found {line!r}")
            names.append(f"{part}/{int(number):06d}")
        return names

    def _shards_of(self, split: Mapping[str, Any]) -> list[Shard]:
        counts = [int(count) for count in split.get("shardLengths", [])]
        if any(not 0 <= count <= _MOST_EXAMPLES for count in counts):
            raise ValueError("a shard has an impossible number of examples")
        template = split.get("filepathTemplate") or "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
        found = []
        for number, count in enumerate(counts):
            index, total = f"{number:05d}", f"{len(counts):05d}"
            words = {
                "DATASET": self._builder,
                "SPLIT": str(split["name"]),
                "FILEFORMAT": "tfrecord",
                "SHARD_INDEX": index,
                "NUM_SHARDS": total,
                "SHARD_X_OF_Y": f"{index}-of-{total}",
            }
            # Not `str.format`, whose widths could ask for any amount of memory.
            file = re.sub(r"\{(\w*)\}", lambda word, words=words: words[word[1]], str(template))
            # A description from elsewhere does not choose which files are read.
            found.append(Shard(self.root / Path(file).name, count))
        return found

    def _feature(self, name: str) -> Feature:
        path = self.root / FEATURES_FILE
        try:
            features = dict(_read_json(path)["featuresDict"]["features"])
        except _MALFORMED as error:
            raise _strange(path, error) from None
        if name not in features:
            raise UserError(
                f"{path}: builder {self._builder} has no `{name}`; it has: {', '.join(features)}"
            )
        try:
            feature = Feature.from_json(features[name])
        except _MALFORMED as error:
            raise UserError(f"{path}: `{name}` of builder {self._builder}: {error}") from None
        good = feature.kind == "image" and feature.dtype == "uint8"
        if name == DEPTH:
            flat = len(feature.shape) == 2 or feature.shape[2] == 1
            numbers = np.dtype(feature.dtype).kind in "fui" and feature.encoding in ENCODINGS
            good = flat and (feature.dtype == "uint16" if feature.kind == "image" else numbers)
        if not good:
            raise UserError(
                f"{path}: `{name}` of builder {self._builder} is of a kind that is not read: "
                f"{feature.kind} {list(feature.shape)} of {feature.dtype}, {feature.encoding}"
            )
        return feature

    def _camera(self, image: Feature, keys: frozenset[str]) -> Camera:
        height, width = image.shape[:2]
        if self._given is not None:
            return self._given.camera(width, height)
        known = CAMERAS.get(self._builder)
        if known is not None and (known.width, known.height) == (width, height):
            return known
        if "intrinsics" in keys:
            raise UserError(
                f"{self.root}: the camera of builder {self._builder} is not known; pass "
                "--reader_option=fx=<pixels> (and fy, cx, cy), or intrinsics=<file>"
            )
        # Nothing that was asked for depends on it, and what did would come out as NaN.
        return Camera(math.nan, math.nan, math.nan, math.nan, width, height)


def _find(root: Path, builder: str | None) -> Path:
    """Returns the folder of a builder's version.

    Raises:
        UserError: if there is none, or several that are not versions of one.
    """
    found = [
        path.parent
        for level in range(_LEVELS)
        for path in root.glob("*/" * level + INFO_FILE)
        if not any(part.startswith("incomplete.") for part in path.relative_to(root).parts)
    ]
    if builder:
        asked = PurePosixPath(builder.replace(":", "/")).parts
        found = [folder for folder in found if _contains(folder.resolve().parts, asked)]
    if not found:
        what = f"of {builder} (--reader_option=builder) " if builder else ""
        raise UserError(
            f"{root}: no prepared builder {what}here or up to {_LEVELS - 1} folders below (no "
            f"{INFO_FILE}); see --data_dir"
        )
    if len({folder.parent for folder in found}) > 1:
        names = sorted({folder.parent.relative_to(root).as_posix() for folder in found})
        raise UserError(
            f"{root}: holds several builders; choose one by --reader_option=builder=: "
            f"{', '.join(names)}"
        )
    return max(found, key=lambda folder: natural(folder.name))


def _contains(parts: tuple[str, ...], asked: tuple[str, ...]) -> bool:
    return any(parts[i : i + len(asked)] == asked for i in range(len(parts)))


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file; builders prepared by tensorflow-datasets before version 4 lack "
            "it: prepare the builder again"
        ) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _strange(path: Path, error: Exception) -> UserError:
    if isinstance(error, UserError):
        return error
    return UserError(
        f"{path}: damaged, or not as tensorflow-datasets writes it ({error}); restore it"
    )
