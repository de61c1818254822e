"""The papers' published weights: one module a release, and the engine that maps them onto our networks.

A module here is a table from a release's tensors to our variables (`mapping.Release`); a release is
converted by `convert`, which the command `python -m kdepth.convert` calls. Readers of the files'
formats are `tf1_file`, `caffe_file` and `networks.torch_file`, which the papers need as well.
"""

from __future__ import annotations

import difflib
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdepth.errors import UserError

if TYPE_CHECKING:
    from kdepth.releases.mapping import Release, Report

# The module that describes a source, in its `RELEASES`.
SOURCES = {
    "monodepth_vgg": "monodepth",
    "monodepth_resnet50": "monodepth",
    "sfmlearner": "sfmlearner",
    "sc_sfmlearner": "sc_sfmlearner",
    "sc_sfmlearner_depth": "sc_sfmlearner",
    "sc_depth_pl": "sc_depth_pl",
    "monodepth2": "monodepth2",
    "garg_released": "garg",
}


def release_of(source: str) -> Release:
    """The description of a source.

    Raises:
        UserError: if there is no such source.
    """
    if source not in SOURCES:
        close = difflib.get_close_matches(source, SOURCES, 1)
        hint = f"did you mean '{close[0]}'?" if close else f"there are: {', '.join(SOURCES)}"
        raise UserError(f"no source is called '{source}'; {hint}")
    return importlib.import_module(f"kdepth.releases.{SOURCES[source]}").RELEASES[source]


def convert(
    source: str, path: str | Path, out: str | Path, trained_on: str | None = None, **options: Any
) -> Report:
    """Writes a release's weights as a run's folder, which every command takes as `--run`.

    Args:
        source: one of `SOURCES`.
        path: the release's file, or what its source takes in its place.
        out: the folder to write; it must not exist, or be empty.
        trained_on: what the network was trained on, one of the release's; the first by default.
        **options: of the paper, in the place of the released ones (`height`, `image_width`).

    Returns:
        What became of the release's tensors.

    Raises:
        UserError: if something does not fit; nothing is written then.
    """
    from kdepth.releases.folder import write

    return write(release_of(source), Path(path), Path(out), trained_on, options)
