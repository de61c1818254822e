"""Whole sequences of one camera, in order: what a trajectory is predicted on.

A reader lists samples; samples whose next frame is another sample's image make a sequence. So every
data set that has video has sequences.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
from absl import logging

from kdepth.data.readers import open_reader, require_keys
from kdepth.data.sample import Record
from kdepth.errors import UserError
from kdepth.geometry.camera import Camera
from kdepth.pictures import image_files


@dataclasses.dataclass(frozen=True)
class Sequence:
    """Consecutive frames of one camera.

    Attributes:
        name: the recording's (`09`, `2011_09_26_drive_0013_sync`); of a recording with gaps each
            part's, with its first frame.
        images: N files in time order.
        camera: at the images' own size; None where it is not known.
        motions: [N - 1, 4, 4] true T_{k+1 <- k}; None where they are not known.
    """

    name: str
    images: tuple[Path, ...]
    camera: Camera | None = None
    motions: np.ndarray | None = None


def of_split(
    dataset: str,
    data_dir: str | os.PathLike[str] | None,
    split: str,
    motions: bool = True,
) -> list[Sequence]:
    """The sequences of a data set's split.

    Args:
        dataset: one of `kdepth.data.READERS`.
        data_dir: its folder.
        split: a name, or the path of a list file.
        motions: read the true motions too.

    Returns:
        Sequences in the order of their first sample. A frame that is missing ends one; that is
        reported.

    Raises:
        UserError: if the data set has no video or (where asked) no motions, or files are missing.
    """
    keys = {"image", "sources", *(["T_sources_image"] if motions else [])}
    require_keys(dataset, keys, "a trajectory")
    reader = open_reader(dataset, data_dir)
    # Every sequence's last frame has no next one, which is no event worth a line.
    level = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        records = reader.records(split, frozenset(keys), (1,))
    finally:
        logging.set_verbosity(level)
    if not all(isinstance(record.image, Path) for record in records):
        raise UserError(f"{dataset}: frames that are parts of files make no sequence yet")
    return _chained(records)


def of_folder(folder: Path) -> Sequence:
    """The frames of a folder of pictures: by number where all names are numbers, else by name.

    Raises:
        UserError: if there are less than two.
    """
    files = image_files(folder)
    if len(files) < 2:
        raise UserError(f"{folder}: a sequence needs two frames or more; give a folder of pictures")
    if all(file.stem.isdigit() for file in files):
        files = sorted(files, key=lambda file: int(file.stem))
    return Sequence(folder.resolve().name, tuple(files))


def _chained(records: list[Record]) -> list[Sequence]:
    by_image = {record.image: record for record in records}
    followers = {record.sources[0] for record in records}
    chains = []
    for start in by_image.values():
        if start.image in followers:
            continue
        chain = [start]
        while chain[-1].sources[0] in by_image:
            chain.append(by_image[chain[-1].sources[0]])
        chains.append(chain)
    recordings = [_recording(chain) for chain in chains]
    found = []
    for chain, recording in zip(chains, recordings):
        first = chain[0]
        parts = recordings.count(recording)
        name = recording if parts == 1 else f"{recording}_{first.image.stem}"
        if parts > 1:
            logging.warning(
                "%s: frames are missing before or after %s, or are of two cameras: %s is a sequence"
                " of its own, %d frames",
                recording,
                first.image,
                name,
                len(chain) + 1,
            )
        motions = None
        if first.T_sources_image is not None:
            motions = np.stack([record.T_sources_image[0] for record in chain])
        images = (*(record.image for record in chain), chain[-1].sources[0])
        found.append(Sequence(name, images, first.camera, motions))
    return found


def _recording(chain: list[Record]) -> str:
    """The drive's or sequence's name, with which records' names begin."""
    return chain[0].name.split()[0]
