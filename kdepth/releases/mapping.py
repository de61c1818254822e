"""The strict engine: a release's tensors become our variables, each exactly once, or nothing does.

A source module describes a release by a `Release`: how its model is built, a table of `Row`s from
its tensors to our variables, the tensors that are knowingly left out (`Ignored`) and the variables
of ours that it has no weights for (`Fresh`). `assign` then checks names, shapes and values and sets
the model's weights. Nothing is guessed: what the table does not say is an error that names the
tensor.
"""

from __future__ import annotations

import dataclasses
import fnmatch
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kdepth.errors import UserError

if TYPE_CHECKING:
    from kdepth.papers.base import DepthModel
    from kdepth.prediction import Rig

Arrays = Mapping[str, np.ndarray]

# -- transforms: from a release's layout to Keras's --------------------------------------------------------------------


def _caffe_average(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Caffe's batch norm keeps sums and what to divide them by; 0 before the first step."""
    return total / count if count.any() else np.zeros_like(total)


# PyTorch and Caffe keep kernels as [out, in, H, W]; TensorFlow 1 as Keras does: [H, W, in, out] and,
# of transposed convolutions, [H, W, out, in].
TRANSFORMS: dict[str, Callable[..., np.ndarray]] = {
    "same": lambda array: array,
    "conv_oihw": lambda kernel: kernel.transpose(2, 3, 1, 0),
    "caffe_average": _caffe_average,
}

# -- tables ------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Row:
    """One variable of ours and where it comes from.

    Attributes:
        source: the release's tensor; several where the transform takes several.
        part: our network, `depth` or `pose`.
        variable: our variable in it, `conv1/kernel`.
        transform: a key of `TRANSFORMS`.
        again: whether another row uses the tensor too, which is an error otherwise.
    """

    source: str | tuple[str, ...]
    part: str
    variable: str
    transform: str = "same"
    again: bool = False

    @property
    def sources(self) -> tuple[str, ...]:
        """The tensors as a tuple."""
        return (self.source,) if isinstance(self.source, str) else self.source


# A kind of layer: (end of the tensor's name, end of our variable's name, transform) of its variables.
Ends = tuple[tuple[str, str, str], ...]

TF1_CONV: Ends = (("weights", "kernel", "same"), ("biases", "bias", "same"))
TF1_CONV_BATCH_NORM: Ends = (("weights", "kernel", "same"),)  # its norm has rows of its own
TF1_BATCH_NORM: Ends = tuple(
    (f"BatchNorm/{name}", name, "same") for name in ("beta", "moving_mean", "moving_variance")
)
TORCH_CONV: Ends = (("weight", "kernel", "conv_oihw"), ("bias", "bias", "same"))
TORCH_CONV_NO_BIAS: Ends = (("weight", "kernel", "conv_oihw"),)
TORCH_BATCH_NORM: Ends = (
    ("weight", "gamma", "same"),
    ("bias", "beta", "same"),
    ("running_mean", "moving_mean", "same"),
    ("running_var", "moving_variance", "same"),
)


def layer(scope: str, part: str, name: str, ends: Ends, separator: str = "/") -> tuple[Row, ...]:
    """The rows of a layer.

    Args:
        scope: the release's name of the layer.
        part: our network.
        name: our name of the layer.
        ends: its kind.
        separator: between the layer's and the tensor's name: "/" in TensorFlow, "." in PyTorch.
    """
    return tuple(
        Row(f"{scope}{separator}{theirs}", part, f"{name}/{ours}", transform)
        for theirs, ours, transform in ends
    )


@dataclasses.dataclass(frozen=True)
class Ignored:
    """Tensors that are left out knowingly.

    Attributes:
        pattern: their name, or a shell pattern (`*/Adam`).
        reason: why, for the report.
    """

    pattern: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Fresh:
    """Variables of ours that the release has no weights for; they keep their initial ones.

    Attributes:
        part: our network.
        pattern: the variable's name, or a shell pattern (`upconv*`).
        reason: why, for the report.
    """

    part: str
    pattern: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Release:
    """A release whose files can be converted.

    Attributes:
        source: its name on the command line.
        paper: ours.
        title: what it is, for people.
        files: what the files are called where they are published, for people.
        licence: of the weights, one sentence; says where they are not for commercial use.
        trained_on: what published weights were trained on, the most common first, each with its
            stereo rig (None where the paper knows none).
        published: the scores that they should reach on real data, as (system, protocol) of a row
            of `kdepth.evaluation.published`.
        read: from the path that the user gives (a file, a checkpoint's prefix, a folder) to
            {tensor's name: array}; raises a `UserError` for what it cannot read.
        options: from the tensors to the paper's options, the size of the released network included.
        rows: from those options to the table.
        ignored: what is left out.
        fresh: what stays as it is initialised.
        said_trained_on: what the file itself says of that, None where it does not.
    """

    source: str
    paper: str
    title: str
    files: str
    licence: str
    trained_on: Mapping[str, Rig | None]
    published: tuple[tuple[str, str], ...]
    read: Callable[[Path], Arrays]
    options: Callable[[Arrays], dict[str, Any]]
    rows: Callable[[Mapping[str, Any]], Sequence[Row]]
    ignored: tuple[Ignored, ...] = ()
    fresh: tuple[Fresh, ...] = ()
    said_trained_on: Callable[[Arrays], str | None] = lambda arrays: None


# -- the engine --------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Report:
    """What became of a release's tensors.

    Attributes:
        tensors: in the file.
        used: of them.
        ignored: how many for which reason.
        variables: of ours that were set.
        parameters: numbers in them.
        fresh: names of variables that keep their initial values, `part: name`.
    """

    tensors: int
    used: int
    ignored: Mapping[str, int]
    variables: int
    parameters: int
    fresh: tuple[str, ...]

    def lines(self) -> list[str]:
        """The report, for people."""
        ignored = sum(self.ignored.values())
        lines = [
            f"{self.tensors} tensors: {self.used} used, {ignored} ignored",
            *(f"  ignored: {count} ({reason})" for reason, count in self.ignored.items()),
            f"{self.variables} variables set, {self.parameters:,} numbers",
        ]
        if self.fresh:
            lines.append(f"{len(self.fresh)} variables are not in the release and stay untrained")
        return lines


def shape_of(arrays: Arrays, name: str) -> tuple[int, ...]:
    """A tensor's shape, () where there is none; `assign` names it then."""
    return tuple(arrays[name].shape) if name in arrays else ()


def assign(model: DepthModel, release: Release, arrays: Arrays, path: Path) -> Report:
    """Sets a model's weights from a release's tensors.

    Args:
        model: the paper with the options that `release.options` gave.
        release: the table.
        arrays: what `release.read` gave.
        path: the file, for messages.

    Returns:
        What was done.

    Raises:
        UserError: if a tensor is missing, unknown, of another shape or not finite. The model's
            weights are as before then.
    """
    from kdepth import backend

    rows = tuple(release.rows(model.options))
    where = f"{path} (as {release.source})"
    ignored = check_names(release, model.options, arrays, path)
    wanted = {
        (part, backend.variable_path(variable)): variable
        for part, network in model.parts().items()
        for variable in network.weights
    }
    fresh = _check_targets(rows, release, wanted)
    values = {}
    for row in rows:
        values[row.part, row.variable] = _transformed(row, arrays, wanted, where)
    for place, value in values.items():
        wanted[place].assign(value)
    return Report(
        tensors=len(arrays),
        used=len({name for row in rows for name in row.sources}),
        ignored=ignored,
        variables=len(values),
        parameters=sum(value.size for value in values.values()),
        fresh=tuple(f"{part}: {name}" for part, name in fresh),
    )


def check_names(
    release: Release, options: Mapping[str, Any], arrays: Arrays, path: Path
) -> dict[str, int]:
    """Compares a file's tensors with the table; cheap, so it comes before a model is built.

    Args:
        release: the table.
        options: of the paper.
        arrays: what `release.read` gave.
        path: the file, for messages.

    Returns:
        How many tensors are ignored, by reason; every other one is used.

    Raises:
        UserError: if one is missing or unknown.
    """
    where = f"{path} (as {release.source})"
    used = {name for row in release.rows(options) for name in row.sources}
    missing = sorted(used - set(arrays))
    if missing:
        raise UserError(
            f"{where} lacks tensor '{missing[0]}'{_more(missing)}: is it another release's file?"
            " python -m kdepth.convert --list names the sources"
        )
    ignored: Counter[str] = Counter()
    unknown = []
    for name in sorted(set(arrays) - used):
        reason = next(
            (i.reason for i in release.ignored if fnmatch.fnmatchcase(name, i.pattern)), ""
        )
        if reason:
            ignored[reason] += 1
        else:
            unknown.append(name)
    if unknown:
        raise UserError(
            f"{where} has an unknown tensor {ascii(unknown[0])[:160]}{_more(unknown)}: is it another release's"
            " file? python -m kdepth.convert --list names the sources"
        )
    return dict(ignored)


def _check_targets(
    rows: Sequence[Row], release: Release, wanted: Iterable[tuple[str, str]]
) -> list[tuple[str, str]]:
    """The variables that stay fresh. A table that does not fit the model is a bug, not the user's."""
    targets = Counter((row.part, row.variable) for row in rows)
    uses = Counter(name for row in rows if not row.again for name in row.sources)
    twice = [key for counts in (targets, uses) for key, count in counts.items() if count > 1]
    if twice:
        raise ValueError(f"{release.source}: {twice[0]} stands twice in the table")
    stray = sorted(set(targets) - set(wanted))
    if stray:
        raise ValueError(f"{release.source}: the model has no variable {stray[0]}")
    rest = sorted(set(wanted) - set(targets))
    for part, name in rest:
        if not any(f.part == part and fnmatch.fnmatchcase(name, f.pattern) for f in release.fresh):
            raise ValueError(f"{release.source}: no row sets the variable {(part, name)}")
    return rest


def _transformed(
    row: Row, arrays: Arrays, wanted: Mapping[tuple[str, str], Any], where: str
) -> np.ndarray:
    found = [np.asarray(arrays[name]) for name in row.sources]
    names, shapes = ", ".join(row.sources), ", ".join(str(list(a.shape)) for a in found)
    shape = tuple(wanted[row.part, row.variable].shape)
    try:
        value = TRANSFORMS[row.transform](*(array.astype(np.float32) for array in found))
    except (TypeError, ValueError, IndexError):  # another number of axes, or text
        value = None
    if value is None or value.shape != shape:
        raise UserError(
            f"{where}: tensor '{names}' has shape {shapes}, which does not fit"
            f" {row.part} {row.variable} {list(shape)}: another network or number of channels"
        )
    if not np.isfinite(value).all():
        raise UserError(
            f"{where}: tensor '{names}' holds values that are not finite: the file is damaged, or"
            " its training had failed"
        )
    return value


def _more(names: Sequence[str]) -> str:
    return f" and {len(names) - 1} others" if len(names) > 1 else ""
