"""Moving verified files into their place, next to or over what an earlier export left there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from absl import logging

from kdepth.files import atomic_path

# Two exports are of one network if these agree; then files of the earlier one may stay. The rest is
# in the description only: the rig too, unless the graph ends in metres.
_IDENTITY = (
    "paper",
    "variant",
    "options",
    "weights_sha256",
    "height",
    "image_width",
    "output_name",
)


def publish(staging: Path, folder: Path, description: Mapping[str, Any]) -> None:
    """Moves everything in `staging` into `folder` and writes the description beside it.

    Files that an earlier export under this name left are kept and stay described if they hold the
    same network, and are removed if not: a file without a description, or with a wrong one, would
    be of no use.

    Args:
        staging: holds the verified files; on the same file system as `folder`.
        folder: made if missing.
        description: the JSON's content; `name` says what it is called, `files` what is described.
    """
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f"{description['name']}.json"
    files = dict(description["files"])
    for name, entry in _earlier_files(beside, description).items():
        if name in files:
            continue
        if entry is not None:
            files[name] = entry
        elif (folder / name).exists():
            logging.warning("%s held another network and is removed", folder / name)
            _remove(folder / name)
    for staged in sorted(staging.iterdir()):
        with atomic_path(folder / staged.name) as temporary:
            staged.rename(temporary)
    with atomic_path(beside) as temporary:
        content = json.dumps({**description, "files": files}, indent=1)
        temporary.write_text(content + "\n", encoding="utf-8")


def _earlier_files(
    beside: Path, description: Mapping[str, Any]
) -> dict[str, dict[str, Any] | None]:
    """{file name: its entry, or None if of another network} of the export that was there."""
    try:
        earlier = json.loads(beside.read_text(encoding="utf-8"))
        same = _identity(earlier) == _identity(description)
        # Only plain names: a damaged description must not lead out of the folder.
        names = [name for name in earlier["files"] if Path(name).name == name not in ("", "..")]
        # What the JSON says at its top is about the new files.
        told = {key: earlier.get(key) for key in ("verified_on", "calibrated_on")}
        return {
            name: {**told, **earlier["files"][name]}
            if same and (beside.parent / name).exists()
            else None
            for name in names
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _identity(description: Mapping[str, Any]) -> str:
    keys = (*_IDENTITY, "rig") if description["output_name"] == "depth" else _IDENTITY
    return json.dumps([description.get(key) for key in keys], sort_keys=True)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
