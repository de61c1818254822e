"""Options of the readers: what a data set's reader takes beside its folder, and how it is written.

A reader declares them as `options`, one `Option` for each keyword argument of its constructor that
a user may set. `--reader_option=name=value` sets one, and the help of every command with
`--dataset` lists them all; nothing else has to know them.
"""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from kdepth.data.readers import READERS, reader_class
from kdepth.errors import UserError

_NEEDED = {int: "a whole number", float: "a number"}


@dataclasses.dataclass(frozen=True)
class Option:
    """What a user may set of a reader.

    Attributes:
        name: of the constructor's keyword argument.
        help: one sentence, with the unit.
        default: the constructor's; None is "not given".
        kind: str, int or float.
        choices: the values that it takes; any, if there are none.
        positive: a number must be above 0.
        of_training: it is about what is learned from, so a run's evaluation does not take it over.
    """

    name: str
    help: str
    default: str | int | float | None = None
    kind: type = str
    choices: tuple[str, ...] = ()
    positive: bool = False
    of_training: bool = False


def reader_options(dataset: str) -> tuple[Option, ...]:
    """Returns the options of a data set's reader.

    Raises:
        UserError: if there is no such data set.
    """
    return getattr(reader_class(dataset), "options", ())


def parse_options(dataset: str, texts: Iterable[str]) -> dict[str, Any]:
    """Reads `name=value` texts as keyword arguments of a reader's constructor.

    Args:
        dataset: one of `READERS`.
        texts: values of `--reader_option`; of two with one name the later one counts.

    Returns:
        Values by name, in the type that the option declares.

    Raises:
        UserError: if a text has another form, the reader has no such option, or the value is not
            one that the option takes.
    """
    known = {option.name: option for option in reader_options(dataset)}
    values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--reader_option must be name=value; received {text!r}")
        if name not in known:
            raise UserError(
                f"--reader_option={text}: {dataset} has no option {name!r}; "
                f"it has: {', '.join(known) or 'none'}"
            )
        values[name] = _typed(known[name], value)
    return values


def lasting_options(dataset: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns those of a run's options that hold for its evaluation too."""
    left_out = {option.name for option in reader_options(dataset) if option.of_training}
    return {name: value for name, value in values.items() if name not in left_out}


def options_help() -> str:
    """Returns the options of all readers as the help shows them; shared ones once."""
    takers: dict[Option, list[str]] = {}
    for dataset in READERS:
        for option in reader_options(dataset):
            takers.setdefault(option, []).append(dataset)
    lines = []
    for datasets in dict.fromkeys(map(tuple, takers.values())):
        lines.append(f"  of {', '.join(datasets)}:")
        for option in (option for option in takers if tuple(takers[option]) == datasets):
            value = f"<{'|'.join(option.choices)}>" if option.choices else "..."
            default = "" if option.default is None else f" (default: {option.default})"
            body = textwrap.wrap(option.help + default, 86)
            lines += [f"      {option.name}={value}", *(f"          {line}" for line in body)]
    return "\n".join(lines)


def _typed(option: Option, text: str) -> Any:
    flag = f"--reader_option={option.name}={text}"
    if option.choices and text not in option.choices:
        raise UserError(f"{flag}: must be one of {', '.join(option.choices)}")
    try:
        value = option.kind(text)
    except ValueError:
        raise UserError(f"{flag}: must be {_NEEDED[option.kind]}") from None
    if option.kind is not str and not math.isfinite(value):
        raise UserError(f"{flag}: must be finite")
    if option.positive and not value > 0:
        raise UserError(f"{flag}: must be positive")
    if not text:
        raise UserError(f"{flag}: has no value")
    return value
