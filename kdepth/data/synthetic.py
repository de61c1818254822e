"""The embedded data set: rendered on first use, kept in a folder, read by the KITTI raw reader.

`ensure` is what the rest of the package calls; `kdepth.data.world` is how it is done.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from absl import logging

from kdepth.data.world.settings import DATES, VERSION, WorldSettings
from kdepth.errors import UserError
from kdepth.files import atomic_path, cache_dir, remove_leftovers

MARKER = "world.json"  # written last: a folder with it is complete
_STARTED = ".world.json"  # written first: what an interrupted rendering was to become


def default_data_dir() -> Path:
    """Where the embedded world is kept: `kdepth/synthetic` in `$XDG_CACHE_HOME` or `~/.cache`."""
    return cache_dir("synthetic")


def ensure(
    data_dir: Path | str | None = None,
    settings: WorldSettings | None = None,
    workers: int | None = None,
) -> Path:
    """Renders the embedded world unless the folder already holds it.

    An interrupted rendering is continued: drives appear one by one, each complete. Equal settings
    give equal bytes. Several processes may ask for one folder at once.

    Args:
        data_dir: the world's folder; None for `default_data_dir()`.
        settings: of the world. None: whatever complete world the folder holds, else the default.
        workers: processes; None for one per core.

    Returns:
        The folder.

    Raises:
        UserError: if the folder holds something else, or a world of other settings, or cannot be
            written.
    """
    root = default_data_dir() if data_dir is None else Path(data_dir)
    if workers is not None and workers < 1:
        raise UserError(f"`workers` must be at least 1, received {workers}")
    held = _read(root / MARKER)
    if settings is None and held is not None:
        if held.get("version") != VERSION:
            logging.warning(
                "%s was rendered by another version of kdepth; remove it to renew", root
            )
        return root
    settings = settings or WorldSettings()
    for found in (held, _read(root / _STARTED)):
        _check_equal(root, found, settings.to_json())
    if held is not None:
        return root
    started = (root / _STARTED).is_file()
    if not started and root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise UserError(
            f"{root}: exists and is not an embedded world; give a new or empty folder as --data_dir"
        )
    try:
        _render(root, settings, workers or len(_cores()))
    except OSError as error:
        if _read(root / MARKER) == settings.to_json():
            return root  # another process was quicker and has swept up
        where = error.filename or root
        reason = error.strerror or error
        raise UserError(f"{where}: cannot write the embedded world: {reason}") from error
    return root


def describe(root: Path) -> str:
    """Says what a rendered world holds.

    Args:
        root: its folder.

    Returns:
        Some lines for people.
    """
    values = _read(root / MARKER)
    settings = WorldSettings(**{k: v for k, v in values.items() if k != "version"})
    size = f"{settings.height}x{settings.width}"
    lines = [f"{root}: the embedded world, KITTI raw layout, {size}, seed {settings.seed}"]
    for split, members in settings.drives().items():
        pairs = len(members) * settings.frames
        lines.append(f"  {split}: {pairs} stereo pairs, {len(members)} streets x {settings.frames}")
    lines.append("  with dense depth, lidar scans, oxts, camera poses and calibration")
    return "\n".join(lines)


def _render(root: Path, settings: WorldSettings, workers: int) -> None:
    from tqdm import tqdm  # part of the training extras

    from kdepth.data.world.rig import calibration_files
    from kdepth.data.world.worker import render_drives

    text = json.dumps(settings.to_json(), indent=2) + "\n"
    _write(root / _STARTED, text)
    drives = settings.drives()
    names = [name for members in drives.values() for name in members]
    dates = [date for date in DATES if any(name.startswith(date) for name in names)]
    for date in dates:
        for file, content in calibration_files(settings, date).items():
            _write(root / date / file, content)
    for split, members in drives.items():
        lines = [f"{name} 02+03 0-{settings.frames - 1}\n" for name in members]
        _write(root / "splits" / f"{split}.txt", "".join(lines))
    missing = [name for name in names if not (root / name[:10] / name).is_dir()]
    done = (len(names) - len(missing)) * settings.frames
    total = len(names) * settings.frames
    with tqdm(total=total, initial=done, unit="pair", desc="rendering streets") as bar:
        for _ in render_drives(settings, missing, root, workers):
            bar.update(settings.frames)
    for folder in (root, root / "splits", *(root / date for date in dates)):
        remove_leftovers(folder)
    _write(root / MARKER, text)
    (root / _STARTED).unlink(missing_ok=True)


def _check_equal(root: Path, found: dict | None, wanted: dict) -> None:
    if found is None or found == wanted:
        return
    changed = ", ".join(k for k in wanted if found.get(k) != wanted[k])
    raise UserError(
        f"{root}: holds an embedded world of other settings ({changed}); "
        "give another --data_dir, or remove that folder"
    )


def _read(path: Path) -> dict | None:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); remove the folder it is in") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: does not describe an embedded world; remove the folder it is in")
    return values


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _cores() -> set[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))
