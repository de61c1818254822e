"""Writing files so that nobody ever sees half of one."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from kdepth.errors import UserError

# Between a temporary file's stem and its suffix; `remove_leftovers` knows them by it.
MARK = ".kdepth-tmp"
_LOCK_SECONDS = 30.0


def cache_dir(name: str) -> Path:
    """Returns where kdepth keeps what it can make again: `kdepth/<name>` in the user's cache.

    The cache is `$XDG_CACHE_HOME`, else `~/.cache`.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "kdepth" / name


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a temporary path beside `path`, which takes its place when the block succeeds.

    The block writes a file or a folder there. If it raises, the temporary one is removed and what
    was at `path` before is untouched. Missing parent folders are made.

    Args:
        path: where the file or folder shall be in the end.

    Yields:
        A path that does not exist yet, in the same folder and with the same suffix as `path`
        (NumPy and Pillow go by the suffix).

    Raises:
        OSError: if writing fails; its `filename` is `path`, also where the system gave none (a
        full disk).
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}{MARK}{os.getpid()}{path.suffix}")
    try:
        _remove(temporary)
        yield temporary
        _replace(temporary, path)
    except OSError as error:
        if error.filename is None or os.fspath(error.filename) == str(temporary):
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        _remove(temporary)


def read_bytes(path: Path, what: str) -> bytes:
    """The whole of a user's file.

    Args:
        path: the file.
        what: it should hold, for messages ("PyTorch weights").

    Raises:
        UserError: if it is missing or cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file of {what}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None


def remove_leftovers(folder: str | os.PathLike[str], name: str | None = None) -> None:
    """Removes what killed writers left in `folder`.

    Args:
        folder: where nobody else writes meanwhile.
        name: only what was to be called so; then others may write other names.
    """
    stem = "*" if name is None else glob.escape(name)
    for leftover in Path(folder).glob(f".{stem}{MARK}*"):
        _remove(leftover)


@contextlib.contextmanager
def locked(path: Path, flag: str) -> Iterator[None]:
    """Holds a lock beside a file; the kernel frees it when the process ends, however it ends.

    Args:
        path: the file that is read and replaced meanwhile.
        flag: that names another file, for messages.

    Raises:
        UserError: if another process has held it for half a minute.
    """
    try:
        import fcntl
    except ImportError:  # Windows: writing stays atomic, two writers in the same moment do not wait
        yield
        return
    # Not the file itself: that is replaced while the lock is held.
    with open(path.with_name(f".{path.name}.lock"), "w") as lock:
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise UserError(
                        f"{path}: another process has been writing it for {_LOCK_SECONDS:g} s; "
                        f"try again, or name another file with {flag}"
                    ) from None
                time.sleep(0.02)
        yield


def _replace(source: Path, target: Path) -> None:
    if not (source.is_dir() and target.is_dir()):
        os.replace(source, target)
        return
    # A folder cannot be renamed onto one that holds files, so the old one steps aside first.
    aside = source.with_name(f"{source.name}-old")
    os.rename(target, aside)
    try:
        os.rename(source, target)
    except OSError:
        os.rename(aside, target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
