"""Flagfiles: `--flagfile=configs/garg.cfg` stands for the flags in that file.

absl expands them too, but then forgets where a flag came from; here an error can name the file
and line.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from kdepth.errors import UserError


class Argument(NamedTuple):
    """One command-line argument and where it was written.

    Attributes:
        text: the argument.
        place: `file:line: ` if it stands in a flagfile, else an empty string.
    """

    text: str
    place: str


def expand(argv: Sequence[str]) -> list[Argument]:
    """Puts the contents of flagfiles in their place.

    A flagfile holds one `--name=value` a line. Blank lines are skipped, and so is what follows
    `#` or `//` at the start of a line or ` #` within one. It may name further flagfiles, relative
    to its own folder or else to the working folder.

    Args:
        argv: the arguments of a command.

    Returns:
        The arguments without any `--flagfile`.

    Raises:
        UserError: if a flagfile is missing, unreadable, malformed or names itself.
    """
    return _expand([Argument(text, "") for text in argv], None, ())


def named_in(argv: Sequence[str]) -> list[str]:
    """The flagfiles that `argv` names itself, in order; not those named within them."""
    names, pending = [], iter(argv)
    for text in pending:
        name = _value(text, pending)
        if name is not None:
            names.append(name)
    return names


def place_of(flag: str, arguments: Sequence[Argument]) -> str:
    """The place of the argument `--name=value` or else of the first that sets `--name`.

    Args:
        flag: `--name=value` or `--name`.
        arguments: what `expand` returned.

    Returns:
        `file:line: `, or an empty string if it stands on the command line.
    """
    name = flag.lstrip("-").partition("=")[0]
    exact = [argument for argument in arguments if argument.text.lstrip("-") == flag.lstrip("-")]
    named = [
        argument
        for argument in arguments
        if argument.text.startswith("-")
        and argument.text.lstrip("-").partition("=")[0] in (name, f"no{name}")
    ]
    return (exact or named)[0].place if exact or named else ""


def _expand(
    arguments: Sequence[Argument], folder: Path | None, parents: tuple[Path, ...]
) -> list[Argument]:
    result: list[Argument] = []
    pending = iter(arguments)
    for argument in pending:
        name = _value(argument.text, (following.text for following in pending))
        if name is None:
            result.append(argument)
            continue
        if not name:
            raise UserError(f"{argument.place}--flagfile needs a file: --flagfile=configs/garg.cfg")
        path = _find(name, folder)
        if path.resolve() in parents:
            raise UserError(f"{argument.place}flagfile {name} includes itself")
        lines = _read(path, argument.place)
        result += _expand(lines, path.parent, (*parents, path.resolve()))
    return result


def _value(text: str, following) -> str | None:
    """The file that a --flagfile argument names, "" if it names none; None for another argument."""
    for spelling in ("--flagfile", "-flagfile"):
        if text == spelling:
            return next(following, "")
        if text.startswith(f"{spelling}="):
            return text.partition("=")[2]
    return None


def _find(name: str, folder: Path | None) -> Path:
    path = Path(os.path.expanduser(name))
    if folder is not None and (folder / path).exists():
        return folder / path
    return path


def _read(path: Path, place: str) -> list[Argument]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        siblings = sorted(found.name for found in path.parent.glob(f"*{path.suffix or '.cfg'}"))
        close = difflib.get_close_matches(path.name, siblings, n=1)
        hint = f"; did you mean {path.parent / close[0]}?" if close else ""
        raise UserError(f"{place}there is no flagfile {path}{hint}") from None
    except UnicodeDecodeError:
        raise UserError(f"{place}flagfile {path} is not a text file") from None
    except OSError as error:
        raise UserError(f"{place}flagfile {path} cannot be read: {error.strerror}") from None
    arguments = []
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.partition(" #")[0].strip()
        if not line or line.startswith(("#", "//")):
            continue
        here = f"{path}:{number}: "
        if not line.startswith("-") or " " in line.partition("=")[0]:
            raise UserError(f"{here}expected one --name=value on a line, found {line!r}")
        arguments.append(Argument(line, here))
    return arguments
