"""The command line: parses flags, maps errors to messages and exit statuses.

A command is a module `kdepth.<command>` with `define_flags(flags)`, `main(flags) -> int`, and a
docstring: its first paragraph is the help text, and the lines under `Example:` are shown below
the flags. `POSITIONAL` may name the flag that an argument without a name stands for. Add the
command's name to `COMMANDS`. Exit status: 0 success and `--help`, 1 a failure that the
command reports or a bug, 2 a user's mistake, 130 Ctrl-C, 141 a reader of the output that went
away.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import inspect
import logging
import os
import re
import sys
import textwrap
import traceback
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from absl import flags as absl_flags
from absl import logging as absl_logging

import kdepth
from kdepth import flagfile, quiet
from kdepth.data.readers import READERS
from kdepth.errors import UserError

COMMANDS = (
    "synthesize",
    "doctor",
    "prepare",
    "convert",
    "train",
    "evaluate",
    "predict",
    "serve",
    "trajectory",
    "export",
    "benchmark",
    "results",
)

_LONGEST_CHOICE = 80  # characters of a flag's values that still fit on its line of the help
OK, FAILURE, USER_ERROR, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 130, 141

# Packages that come with an extra; missing ones are a matter of installation, not a bug.
_OPTIONAL_PACKAGES = frozenset(
    "tensorflow keras tensorflow_addons pandas tabulate matplotlib tqdm tensorboard "
    "tf2onnx onnx onnxruntime ai_edge_litert jax torch".split()
)


def entry_point() -> NoReturn:
    """The console script `kdepth` and `python -m kdepth`: the first argument names the command."""
    name, arguments = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ("", [])
    if name in COMMANDS:
        run(name, arguments)
    if name in ("", "help", "-h", "-help", "--help"):
        print(_overview())
        sys.exit(OK)
    if name in ("-version", "--version"):
        print(f"kdepth {kdepth.__version__}")
        sys.exit(OK)
    hint = _did_you_mean(name, COMMANDS) or f"there are {', '.join(COMMANDS)}"
    print(f"kdepth: unknown command {name!r}; {hint}", file=sys.stderr)
    sys.exit(USER_ERROR)


def run(command: str, argv: Sequence[str] | None = None) -> NoReturn:
    """Runs a command and ends the process with its status.

    Args:
        command: the command's name, for example `train`.
        argv: its arguments; those of the process by default.
    """
    sys.exit(call(command, argv))


def call(command: str, argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit status; whatever it raises has become a message.

    Args:
        command: the command's name, for example `train`.
        argv: its arguments; those of the process by default.
    """

    def complain(message: str) -> None:
        print(f"kdepth {command}: {' '.join(message.split(chr(10)))}", file=sys.stderr)

    try:
        status = _call(command, list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes once more at its end; let that go nowhere.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except SystemExit as error:
        if isinstance(error.code, str):
            complain(error.code)
        return FAILURE if isinstance(error.code, str) else error.code or OK
    except Exception as error:
        message = _explain(error)
        if message is not None:
            complain(message)
            return USER_ERROR
        traceback.print_exc()
        complain("failed on a bug in kdepth; please report the lines above")
        return FAILURE


def parse(command: str, argv: Sequence[str]) -> absl_flags.FlagValues:
    """Parses the arguments of a command into flags of its own.

    Args:
        command: the command's name.
        argv: its arguments; `--flagfile=` is expanded where it stands, and what comes later wins.

    Returns:
        The parsed flags; beside the command's own there is `flagfile`, the list of flagfiles in
        `argv`.

    Raises:
        UserError: if a flag is unknown or has a wrong value, naming the flagfile and line it
        stands in.
    """
    module = _module(command)
    flags = define(module)
    arguments = flagfile.expand(argv)
    try:
        rest = flags([command, *(argument.text for argument in arguments)])[1:]
    except absl_flags.UnrecognizedFlagError as error:
        hint = _did_you_mean(error.flagname, _spellings(flags), "--")
        hint = hint or f"python -m kdepth.{command} --help lists them"
        place = flagfile.place_of(f"--{error.flagname}", arguments)
        raise UserError(f"{place}unknown flag --{error.flagname}; {hint}") from error
    except (absl_flags.Error, ValueError) as error:
        message = _flag_message(str(error), flags)
        named = re.search(r"--\w+(=.*?(?=: ))?", message)
        place = flagfile.place_of(named.group(), arguments) if named else ""
        raise UserError(place + message) from error
    positional = getattr(module, "POSITIONAL", None)
    if rest and positional and not flags[positional].present:
        flags[positional].value = rest.pop(0)
    if rest:
        raise UserError(f"unexpected argument {rest[0]!r}; flags are written --name=value")
    flags["flagfile"].value = flagfile.named_in(argv)
    return flags


def define(module: ModuleType) -> absl_flags.FlagValues:
    """The flags of a command module, not yet parsed."""
    flags = absl_flags.FlagValues()
    flags.set_gnu_getopt(True)
    module.define_flags(flags)
    with group(flags, "configuration"):
        absl_flags.DEFINE_multi_string(
            "flagfile",
            [],
            "A file with one --name=value a line, # for comments. Flags that follow win over it.",
            flag_values=flags,
        )
    return flags


def to_flagfile(flags: absl_flags.FlagValues) -> str:
    """Every flag's value as the text of a flagfile which gives the same flags again."""
    own = (flags[name] for name in _names(flags) if name != "flagfile")
    return "".join(f"{flag.serialize()}\n" for flag in own if flag.value not in (None, []))


@contextlib.contextmanager
def group(flags: absl_flags.FlagValues, title: str) -> Iterator[None]:
    """The flags that are defined in the block stand together under `title` in the help."""
    before = set(flags)
    yield
    _groups(flags).setdefault(title, []).extend(
        name for name in _names(flags) if name not in before
    )


def define_data_flags(
    flags: absl_flags.FlagValues,
    *,
    dataset: str | None = "synthetic",
    split: str | None = None,
) -> None:
    """Defines --dataset, --data_dir, --split, --reader_option and --on_bad_sample."""
    with group(flags, "data"):
        absl_flags.DEFINE_enum(
            "dataset",
            dataset,
            list(READERS),
            "The data set; synthetic is the embedded world, rendered when it is first used.",
            flag_values=flags,
        )
        absl_flags.DEFINE_string(
            "data_dir",
            None,
            "The folder that holds the data set; needed for all but synthetic.",
            flag_values=flags,
        )
        absl_flags.DEFINE_string(
            "split",
            split,
            "The name of a split, or a file with a list of frames, or all.",
            flag_values=flags,
        )
        define_reader_option_flag(flags)
        absl_flags.DEFINE_enum(
            "on_bad_sample",
            "stop",
            ["stop", "skip"],
            "A file that cannot be read: stop and name it, or skip, count and report it.",
            flag_values=flags,
        )


def define_reader_option_flag(flags: absl_flags.FlagValues) -> None:
    """Defines --reader_option; the help lists all readers' options."""
    absl_flags.DEFINE_multi_string(
        "reader_option",
        [],
        "An option of the data set's reader as name=value; give it several times. They are listed below.",
        flag_values=flags,
    )


def define_run_flag(flags: absl_flags.FlagValues, help: str) -> None:
    """Defines --run, the folder of a training run."""
    absl_flags.DEFINE_string("run", None, help, flag_values=flags)


def define_workers_flag(flags: absl_flags.FlagValues) -> None:
    """Defines --workers, the number of processes that share the work."""
    absl_flags.DEFINE_integer(
        "workers", None, "Processes; by default one per core.", flag_values=flags
    )


def help_text(command: str) -> str:
    """What `--help` prints: the purpose, the flags by group with their defaults, an example."""
    module = _module(command)
    flags = define(module)
    purpose, _, rest = inspect.getdoc(module).partition("\n\n")
    positional = f" [{module.POSITIONAL}]" if hasattr(module, "POSITIONAL") else ""
    parts = [
        f"usage: python -m kdepth.{command}{positional} [--flag=value ...]",
        textwrap.fill(_join(purpose), 96),
    ]
    grouped = _groups(flags)
    titled = {name for names in grouped.values() for name in names}
    ungrouped = [name for name in _names(flags) if name not in titled]
    for title, names in [("flags", ungrouped), *grouped.items()]:
        if names:
            parts.append("\n".join([f"{title}:", *(_flag_help(flags[name]) for name in names)]))
    if "reader_option" in flags:
        from kdepth.data.options import options_help  # imports every reader

        parts.append(f"reader options (--reader_option=name=value):\n{options_help()}")
    _, found, examples = rest.partition("Example:\n")
    if found:
        parts.append(f"example:\n{examples.split(chr(10) * 2)[0].rstrip()}")
    return "\n\n".join(parts)


def _call(command: str, argv: list[str]) -> int:
    quiet.silence()
    _log_to_stderr()
    if {"-h", "-help", "--help", "--helpshort", "--helpfull"} & set(argv):
        print(help_text(command))
        return OK
    flags = parse(command, argv)
    return _module(command).main(flags) or OK


def _explain(error: Exception) -> str | None:
    """The one line for a mistake or a condition that the user can mend; None for a bug."""
    if isinstance(error, (UserError, absl_flags.Error)):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        package = (error.name or "").partition(".")[0]
        if package in _OPTIONAL_PACKAGES:
            extra = "addons" if sys.version_info < (3, 12) else "keras3"
            return (
                f"the package {package} is not installed; pip install 'kdepth[{extra}]' brings all"
            )
    # HDF5 and TensorFlow have errors of their own kind for a full disk, which carry no errno.
    if "No space left on device" in str(error) or "Disk quota exceeded" in str(error):
        place = getattr(error, "filename", None)
        return f"disk full while writing {place}" if place else f"disk full: {_join(str(error))}"
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return "out of memory; a smaller --batch_size or image size needs less"
    # What Python code within a tf.data graph raises arrives as text.
    within_graph = re.search(r"\bUserError: (.+)", str(error))
    if within_graph and type(error).__module__.startswith("tensorflow"):
        return within_graph.group(1)
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return None


class _StderrHandler(logging.Handler):
    """Prints kdepth's events, and from others' use of absl's logger only the errors."""

    package = str(Path(__file__).parent)

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            if quiet.wanted() and record.levelno < logging.ERROR and not self._is_ours(record):
                return
            print(f"{record.levelname.lower()}: {record.getMessage()}", file=sys.stderr)
        elif self._is_ours(record):
            print(record.getMessage(), file=sys.stderr, flush=True)

    def _is_ours(self, record: logging.LogRecord) -> bool:
        return os.path.abspath(record.pathname).startswith(self.package)


def _log_to_stderr() -> None:
    logger = absl_logging.get_absl_logger()
    if not any(isinstance(handler, _StderrHandler) for handler in logger.handlers):
        logger.addHandler(_StderrHandler())
        logger.propagate = False
        absl_logging.set_verbosity(absl_logging.INFO)


def _module(command: str) -> ModuleType:
    return importlib.import_module(f"kdepth.{command}")


def _overview() -> str:
    lines = [
        "usage: python -m kdepth <command> [--flag=value ...]",
        "",
        _join(kdepth.__doc__.split("\n")[0]),
    ]
    lines += ["", "commands:"]
    for command in COMMANDS:
        lines.append(f"  {command:<12}{inspect.getdoc(_module(command)).split(chr(10))[0]}")
    return "\n".join([*lines, "", "python -m kdepth <command> --help tells about its flags."])


def _names(flags: absl_flags.FlagValues) -> list[str]:
    return list(dict.fromkeys(flags[name].name for name in flags))


def _groups(flags: absl_flags.FlagValues) -> dict[str, list[str]]:
    # FlagValues turns attributes into flags, so its own state (and this) lives in its __dict__.
    return flags.__dict__.setdefault("__kdepth_groups", {})


def _spellings(flags: absl_flags.FlagValues) -> list[str]:
    return [*flags, *(f"no{name}" for name in flags if flags[name].boolean)]


def _did_you_mean(word: str, known: Iterable[str], prefix: str = "") -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean {prefix}{close[0]}?" if close else ""


def _flag_message(message: str, flags: absl_flags.FlagValues) -> str:
    """The message of absl in plainer words."""
    required = re.search(r"Flag --(\w+) must have a value other than None", message)
    if required:
        return f"--{required.group(1)} is required"
    wrong = re.match(
        r"flag (--(\w+)=.*?): (invalid literal|could not convert|.*Non-boolean)", message, re.S
    )
    if wrong:
        kind = "true or false" if flags[wrong[2]].boolean else flags[wrong[2]].parser.syntactic_help
        return f"{wrong[1]}: must be {kind}"
    return re.sub(r"^flag (?=--)", "", message)


def _flag_help(flag: absl_flags.Flag) -> str:
    values = getattr(flag.parser, "enum_values", None)
    # absl adds a remark to the help of flags that may be repeated, and the values before an enum's.
    text = re.sub(r"^<[^>]*>: ", "", flag.help.partition(";\n")[0])
    if flag.boolean:
        head = f"--[no]{flag.name}"
    elif values and len("|".join(values)) > _LONGEST_CHOICE:
        head, text = f"--{flag.name}=...", f"{text} One of {', '.join(values)}."
    else:
        head = f"--{flag.name}=" + (f"<{'|'.join(values)}>" if values else "...")
    # A default of None or an empty list means "not given", which the help text explains where it
    # matters.
    default = (
        f" (default: {flag.default_as_str.strip(chr(39))})"
        if flag.default not in (None, [], "")
        else ""
    )
    body = textwrap.wrap(_join(text) + default, 90)
    return "\n".join([f"  {head}", *(f"      {line}" for line in body)])


def _join(text: str) -> str:
    return " ".join(text.split())
