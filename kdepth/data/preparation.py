"""Preparing a data set: every picture and depth map once, resized, into shards; by processes.

A shard is complete when its index, a small JSON file, is beside it; both appear at once and whole.
So whatever stops a preparation, the next call goes on after the last whole shard.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import math
import multiprocessing
import os
import signal
import threading
import zlib
from collections.abc import Hashable, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from kdepth.data import prepared
from kdepth.data.image import RESIZE_METHODS
from kdepth.data.readers import open_reader, require_keys
from kdepth.data.sample import SAMPLE_KEYS, Record, load_sample, resize_sample
from kdepth.data.shards import ENCODINGS, encode_depth, encode_image
from kdepth.data.tfrecord import frame
from kdepth.errors import UserError
from kdepth.files import atomic_path, remove_leftovers
from kdepth.geometry.camera import Camera
from kdepth.versions import versions

SETTINGS = "settings.json"


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is prepared, and how; two sets of equal settings from equal data are equal.

    Attributes:
        dataset: name of the data set.
        data_dir: its folder.
        split: one of its splits, or a list file.
        keys: sample keys that a training from it may ask for.
        height: rows of what is written.
        image_width: columns.
        source_offsets: frames of `sources`.
        reader_options: of the data set's reader.
        resize: method of `resize_image`.
        encoding: of pictures: "png" or "jpeg".
        quality: of JPEG.
        on_bad_sample: "stop", or "skip": samples with a bad file are left out.
        shard_size: pictures and depth maps in a shard.
    """

    dataset: str
    data_dir: str
    split: str
    keys: tuple[str, ...]
    height: int
    image_width: int
    source_offsets: tuple[int, ...] = (-1, 1)
    reader_options: dict[str, Any] = dataclasses.field(default_factory=dict)
    resize: str = "area"
    encoding: str = "png"
    quality: int = 95
    on_bad_sample: str = "stop"
    shard_size: int = 100

    def __post_init__(self) -> None:
        """Checks what a user can get wrong."""
        for name in ("height", "image_width", "shard_size"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name} must be at least 1, received {getattr(self, name)}")
        if not 1 <= self.quality <= 100:
            raise UserError(f"--quality is 1 to 100, received {self.quality}")
        for name, known in (("resize", RESIZE_METHODS), ("encoding", ENCODINGS)):
            if getattr(self, name) not in known:
                raise UserError(f"--{name} is one of {', '.join(known)}")

    def to_json(self) -> dict[str, Any]:
        """Returns the values as JSON has them."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }


class Item(NamedTuple):
    """One thing to write: the `image` or the `depth` of a record."""

    kind: str
    record: Record

    @property
    def name(self) -> str:
        """Tells items apart when a preparation goes on."""
        return f"{self.kind} {self.record.name} {self.record.image}"


class Preparation:
    """What has to be written, in shards; lists the data set.

    Args:
        settings: what and how.
        out: the folder to write.

    Raises:
        UserError: as of the reader; or if the split has no samples.
    """

    def __init__(self, settings: Settings, out: Path) -> None:
        self.settings, self.out = settings, out
        options = dict(settings.reader_options)
        if settings.on_bad_sample == "skip":
            options["on_missing"] = "skip"
        reader = open_reader(settings.dataset, settings.data_dir, **options)
        keys = frozenset(settings.keys)
        self.records = reader.records(settings.split, keys, settings.source_offsets)
        if not self.records:
            raise UserError(f"{settings.dataset}, split {settings.split}: no samples; see --split")
        self.items: list[Item] = []
        self._seen: dict[Hashable, int] = {}
        self._cameras: dict[Camera, int] = {}
        self.samples = [self._sample(record) for record in self.records]
        count = -(-len(self.items) // settings.shard_size)
        self.shards = [part.tolist() for part in np.array_split(range(len(self.items)), count)]

    def index_of(self, number: int) -> list[Any] | None:
        """Returns the index of a shard if it is there, whole and of these items, else None."""
        try:
            index = prepared.read_json(self._index_path(number))
            data = prepared.shard_path(self.out, number).read_bytes()
        except (UserError, OSError):
            return None
        if index is None or index.get("items") != self._names_sum(number):
            return None
        entries = index.get("entries")
        return entries if _fits(entries, data, len(self.shards[number])) else None

    def write_shard(self, number: int) -> list[Any]:
        """Writes a shard and its index.

        Returns:
            For every item [offset, length, CRC-32], or the message of why it could not be read.

        Raises:
            UserError: if a file is bad and bad samples are not skipped.
            OSError: if writing fails.
        """
        entries: list[Any] = []
        offset = 0
        self._index_path(number).unlink(missing_ok=True)
        with atomic_path(prepared.shard_path(self.out, number)) as path, open(path, "wb") as file:
            for item in self.shards[number]:
                try:
                    record = frame(self._encoded(self.items[item]))
                except UserError as error:
                    if self.settings.on_bad_sample != "skip":
                        raise
                    entries.append(str(error))
                    continue
                file.write(record)
                entries.append([offset, len(record), zlib.crc32(record)])
                offset += len(record)
        index = {"items": self._names_sum(number), "entries": entries}
        prepared.write_json(self._index_path(number), index)
        return entries

    def finish(self, indices: list[list[Any]]) -> dict[str, Any]:
        """Writes the manifest from the indices of all shards; returns it."""
        places: list[Any] = [None] * len(self.items)
        bad: dict[str, str] = {}
        for number, entries in enumerate(indices):
            for item, entry in zip(self.shards[number], entries):
                if isinstance(entry, str):
                    bad[self.items[item].name] = entry
                else:
                    places[item] = [number, *entry]
        for message in bad.values():
            logging.warning("left out: %s", message)
        samples = [s for s in self.samples if None not in map(places.__getitem__, _items_of(s))]
        if not samples:
            raise UserError(f"none of the {len(self.samples)} samples can be read; see above")
        manifest = {
            "settings": self.settings.to_json(),
            "camera": "native [fx, fy, cx, cy, width, height]; resized with the pictures when read;"
            " pixel centres on integers",
            "versions": versions(),
            "left_out": len(self.samples) - len(samples),
            "shards": [
                prepared.shard_path(self.out, n).stat().st_size for n in range(len(indices))
            ],
            "cameras": [_numbers(camera) for camera in self._cameras],
            "items": places,  # [shard, offset, length, CRC-32] of what the samples number
            "samples": samples,
        }
        prepared.write_manifest(self.out, manifest)
        return manifest

    def _sample(self, record: Record) -> dict[str, Any]:
        keys, poses = self.settings.keys, record.T_sources_image
        return {
            "name": record.name,
            "image": self._image(record, record.image),
            "camera": self._camera(record.camera),
            "stereo": self._image(record, record.stereo) if "stereo" in keys else None,
            "stereo_camera": record.stereo_camera and self._camera(record.stereo_camera),
            "baseline": None if record.baseline is None else float(record.baseline),
            "sources": [self._image(record, view) for view in record.sources],
            "depth": self._add(Item("depth", record)) if "depth" in keys else None,
            "T_sources_image": None if poses is None else np.asarray(poses).tolist(),
        }

    def _image(self, record: Record, view: Any) -> int:
        """Returns the item of a view; one that several samples share is written once."""
        item = Item("image", dataclasses.replace(record, image=view))
        try:
            known = self._seen.get(view)
        except TypeError:  # a view that cannot be a key
            return self._add(item)
        if known is None:
            known = self._seen[view] = self._add(item)
        return known

    def _add(self, item: Item) -> int:
        self.items.append(item)
        return len(self.items) - 1

    def _camera(self, camera: Camera) -> int:
        return self._cameras.setdefault(camera, len(self._cameras))

    def _encoded(self, item: Item) -> bytes:
        """Loads and resizes an item as the pipeline does."""
        s = self.settings
        native = load_sample(item.record, frozenset([item.kind]), item.kind == "image")
        resized = resize_sample(native, item.record, s.height, s.image_width, s.resize)[item.kind]
        if item.kind == "depth":
            return encode_depth(resized[..., 0])
        return encode_image(np.round(resized * 255).astype(np.uint8), s.encoding, s.quality)

    def _names_sum(self, number: int) -> int:
        names = "\n".join(self.items[item].name for item in self.shards[number])
        return zlib.crc32(names.encode("utf-8", "surrogateescape"))

    def _index_path(self, number: int) -> Path:
        return prepared.shard_path(self.out, number).with_suffix(".json")


def prepare(settings: Settings, out: str | os.PathLike[str], workers: int = 1) -> dict[str, Any]:
    """Prepares a split, or goes on with it, or checks and mends what is complete.

    With several workers, a script that calls this needs the `if __name__ == "__main__"` guard of
    `multiprocessing`.

    Args:
        settings: what and how.
        out: the folder to write; new, empty, or of an earlier call with the same settings.
        workers: processes; 1: this process does it.

    Returns:
        The manifest.

    Raises:
        UserError: if `out` holds something else, or the data set or a file of it is bad.
    """
    from tqdm import tqdm  # part of the training extras

    if workers < 1:
        raise UserError(f"--workers must be at least 1, received {workers}")
    unknown = sorted(set(settings.keys) - SAMPLE_KEYS)
    if unknown or not settings.keys:
        raise UserError(
            f"--keys are some of {', '.join(sorted(SAMPLE_KEYS - {'index'}))}; "
            f"received {unknown[0] if unknown else 'none'}"
        )
    require_keys(settings.dataset, settings.keys, "--keys")
    out = Path(out).expanduser()
    _check_out(out, settings)
    work = Preparation(settings, out)
    prepared.write_json(out / SETTINGS, settings.to_json())
    remove_leftovers(out)
    indices = {number: work.index_of(number) for number in range(len(work.shards))}
    todo = [number for number, entries in indices.items() if entries is None]
    done = len(work.items) - sum(len(work.shards[number]) for number in todo)
    if todo:  # what it says of them would not be true from here on
        (out / prepared.MANIFEST).unlink(missing_ok=True)
    with tqdm(total=len(work.items), initial=done, unit="image", desc="preparing") as bar:
        for number, entries in _written(work, todo, workers):
            indices[number] = entries
            bar.update(len(work.shards[number]))
    return work.finish([indices[number] for number in range(len(work.shards))])


def _written(work: Preparation, todo: list[int], workers: int) -> Iterator[tuple[int, list[Any]]]:
    if min(workers, len(todo)) <= 1:
        yield from ((number, work.write_shard(number)) for number in todo)
        return
    # Processes of their own make: they list the data set themselves, so nothing of a reader has to
    # travel, and they hold none of the caller's threads.
    context = multiprocessing.get_context("spawn")
    arguments = (work.settings, work.out)
    pool = concurrent.futures.ProcessPoolExecutor(
        min(workers, len(todo)), context, _start_worker, arguments
    )
    try:
        futures = {pool.submit(_write_shard, number): number for number in todo}
        for future in concurrent.futures.as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool:
        raise UserError(
            f"{work.out}: a worker process ended before its time (out of memory?); call the same "
            "command again, it goes on; --workers=1 needs least"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)  # what is being written becomes whole


_work: Preparation | None = None


def _start_worker(settings: Settings, out: Path) -> None:
    global _work
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent to tell
    threading.Thread(target=_end_with_parent, daemon=True).start()
    logging.set_verbosity(logging.ERROR)  # the parent has reported what the reader found
    _work = Preparation(settings, out)


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


def _write_shard(number: int) -> list[Any]:
    return _work.write_shard(number)


def _check_out(out: Path, settings: Settings) -> None:
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is no folder; give a new or empty one as --out")
    held = prepared.read_json(out / SETTINGS)
    if held is None and out.is_dir() and any(out.iterdir()):
        raise UserError(f"{out}: holds something else; give a new or empty folder as --out")
    wanted = settings.to_json()
    changed = [name for name in wanted if held is not None and held.get(name) != wanted[name]]
    if changed:
        name = changed[0]
        raise UserError(
            f"{out}: was prepared with --{name}={held.get(name)}, now {wanted[name]}; give another "
            "--out, or remove that folder"
        )


def _fits(entries: Any, data: bytes, count: int) -> bool:
    """Whether an index describes a shard: its records follow each other and have these sums."""
    if not isinstance(entries, list) or len(entries) != count:
        return False
    offset = 0
    for entry in entries:
        if isinstance(entry, str):
            continue
        if not isinstance(entry, list) or len(entry) != 3 or entry[0] != offset:
            return False
        if not isinstance(entry[1], int) or entry[1] < 1:
            return False
        if zlib.crc32(data[offset : offset + entry[1]]) != entry[2]:
            return False
        offset += entry[1]
    return offset == len(data)


def _items_of(sample: dict[str, Any]) -> list[int]:
    single = [sample[key] for key in ("image", "stereo", "depth") if sample[key] is not None]
    return [*single, *sample["sources"]]


def _numbers(camera: Camera) -> list[float | None]:
    values = (float(v) for v in (camera.fx, camera.fy, camera.cx, camera.cy))
    return [*(None if math.isnan(v) else v for v in values), camera.width, camera.height]
