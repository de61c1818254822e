"""Prepared data: what `kdepth.prepare` wrote, as a data set; `manifest.json` and shards beside it.

The manifest says what the set is and where in the shards every picture lies. Both are check-summed:
a changed byte is an error, never another picture.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from kdepth.data import frames
from kdepth.data.sample import SAMPLE_KEYS, Record
from kdepth.data.shards import Place, ShardDepth, ShardImage, damaged
from kdepth.errors import UserError
from kdepth.files import atomic_path
from kdepth.geometry.camera import Camera

MANIFEST = "manifest.json"
FORMAT, VERSION = "kdepth prepared data", 1


class Prepared:
    """Reader of prepared data; its pictures have one size, and its cameras are those of that size.

    Args:
        data_dir: the folder that `kdepth.prepare` wrote.
        on_missing: "stop" or "skip": as of other readers; a listed sample that is not there.

    Raises:
        UserError: if the folder is missing, empty, of another version, not complete or damaged.
    """

    name: ClassVar[str] = "prepared"
    keys: ClassVar[frozenset[str]] = SAMPLE_KEYS

    def __init__(self, data_dir: str | os.PathLike[str], on_missing: str = "stop") -> None:
        self.root = frames.check_folder(data_dir, self.name)
        self._on_missing = on_missing
        self.manifest = read_manifest(self.root)
        self._settings = self.manifest["settings"]
        for number, size in enumerate(self.manifest["shards"]):
            shard = shard_path(self.root, number)
            if not shard.is_file():
                raise damaged(shard, "is missing")
            if shard.stat().st_size != size:
                raise damaged(shard, f"has {shard.stat().st_size} bytes instead of {size}")

    def splits(self) -> list[str]:
        """Returns the split that was prepared, and `all`, which is the same."""
        return list(dict.fromkeys([self._settings["split"], "all"]))

    def records(
        self, split: str, keys: frozenset[str], offsets: tuple[int, ...] = (-1, 1)
    ) -> list[Record]:
        """Lists the samples; see `Reader.records`.

        A list file has the name of a sample a line, as the manifest has them.
        """
        lacking = sorted(set(keys) - {"index"} - self._held())
        if lacking:
            raise UserError(
                f"{self.root}: was prepared without `{lacking[0]}`; prepare it into another folder "
                f"with --keys={','.join(sorted(keys - {'index'}))}"
            )
        places = self._source_places(offsets) if keys & {"sources", "T_sources_image"} else []
        return [self._record(sample, keys, places) for sample in self._chosen(split)]

    def _held(self) -> set[str]:
        held = set(self._settings["keys"])
        # Calibration is kept wherever it is known, whether it was asked for or not.
        for key in ("intrinsics", "stereo_intrinsics", "baseline", "T_sources_image"):
            field = "camera" if key == "intrinsics" else key.replace("intrinsics", "camera")
            if all(sample.get(field) is not None for sample in self.manifest["samples"]):
                held.add(key)
        if any(None in camera for camera in self.manifest["cameras"]):
            held -= {"intrinsics", "stereo_intrinsics"}
        return held

    def _chosen(self, split: str) -> list[dict[str, Any]]:
        samples = self.manifest["samples"]
        if split in self.splits():
            return samples
        if not Path(split).is_file():
            raise UserError(
                f"{self.root}: no split {split!r} (--split); it has {', '.join(self.splits())}, or "
                "give a file with the name of a sample a line"
            )
        missing = frames.Missing(f"{self.name}, split {split}", self._on_missing)
        named = {sample["name"]: sample for sample in samples}
        found = []
        for line in Path(split).read_text(encoding="utf-8", errors="replace").splitlines():
            if line.strip() in named:
                found.append(named[line.strip()])
            elif line.strip():
                missing.image(self.root / line.strip())
        missing.report(len(found))
        return found

    def _source_places(self, offsets: tuple[int, ...]) -> list[int]:
        held = self._settings["source_offsets"]
        if not set(offsets) <= set(held):
            raise UserError(
                f"{self.root}: was prepared with source frames {held}, {list(offsets)} are needed; "
                f"prepare it into another folder with --source_offsets={','.join(map(str, offsets))}"
            )
        return [held.index(offset) for offset in offsets]

    def _record(self, sample: dict[str, Any], keys: frozenset[str], places: list[int]) -> Record:
        height, width = self._settings["height"], self._settings["image_width"]
        poses = sample.get("T_sources_image") if "T_sources_image" in keys else None
        stereo = sample.get("stereo") if "stereo" in keys else None
        sources = sample["sources"] if "sources" in keys else []
        return Record(
            name=sample["name"],
            image=self._image(sample["image"]),
            camera=self._camera(sample["camera"]),
            stereo=None if stereo is None else self._image(stereo),
            stereo_camera=(
                None if sample["stereo_camera"] is None else self._camera(sample["stereo_camera"])
            ),
            baseline=sample["baseline"],
            sources=tuple(self._image(sources[i]) for i in places) if sources else (),
            depth=(
                ShardDepth(self._place(sample["depth"]), height, width) if "depth" in keys else None
            ),
            T_sources_image=None if poses is None else np.array(poses)[places],
        )

    def _image(self, number: int) -> ShardImage:
        return ShardImage(self._place(number))

    def _place(self, number: int) -> Place:
        shard, *place = self.manifest["items"][number]
        return Place(shard_path(self.root, shard), *place)

    def _camera(self, number: int) -> Camera:
        *values, width, height = self.manifest["cameras"][number]
        native = Camera(*(math.nan if v is None else v for v in values), width, height)
        return native.resize(self._settings["image_width"], self._settings["height"])


def shard_path(root: Path, number: int) -> Path:
    """Returns a shard's file."""
    return root / f"{number:05d}.tfrecord"


def read_manifest(root: Path) -> dict[str, Any]:
    """Reads and checks the manifest of a prepared set.

    Raises:
        UserError: if it is missing, damaged or of another version.
    """
    path = root / MANIFEST
    values = read_json(path)
    if values is None:
        raise UserError(
            f"{root}: no prepared data ({MANIFEST} is missing); see --data_dir. A preparation that "
            "was interrupted goes on when its kdepth.prepare command is called again"
        )
    if values.get("format") != FORMAT:
        raise UserError(f"{path}: is no manifest of kdepth.prepare; see --data_dir")
    if values.get("version") != VERSION:
        raise UserError(
            f"{path}: is of version {values.get('version')}, this kdepth reads version {VERSION}; "
            "prepare the data again, into another folder"
        )
    if values.pop("checksum", None) != _checksum(values):
        raise UserError(f"{path}: is damaged; call the kdepth.prepare command that made it again")
    return values


def write_manifest(root: Path, values: dict[str, Any]) -> None:
    """Writes a manifest atomically, with its check sum."""
    values = {"format": FORMAT, "version": VERSION, **values}
    write_json(root / MANIFEST, {**values, "checksum": _checksum(values)})


def read_json(path: Path) -> dict[str, Any] | None:
    """Reads a JSON object; None if there is no such file.

    Raises:
        UserError: if it is something else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: is damaged or cannot be read ({error}); remove it") from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: is damaged (no JSON object); remove it")
    return values


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Writes a JSON object atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(values, allow_nan=False) + "\n", encoding="utf-8")


def _checksum(values: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(values, sort_keys=True).encode())
