"""The papers, one module each. A new one is a module here and one line in `PAPERS`."""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING, Any

from kdepth.errors import UserError

if TYPE_CHECKING:
    from kdepth.papers.base import DepthModel

PAPERS = {
    "eigen": "kdepth.papers.eigen2014:Eigen",
    "garg": "kdepth.papers.garg2016:Garg",
    "sfmlearner": "kdepth.papers.sfmlearner2017:SfMLearner",
    "monodepth": "kdepth.papers.monodepth2017:Monodepth",
    "scdepth": "kdepth.papers.scdepth2021:SCDepth",
}


def list_papers() -> list[str]:
    """Names of the papers, as `create` and `--paper` take them."""
    return list(PAPERS)


def register(paper: str, target: str) -> None:
    """Makes a paper of one's own known, so that `create`, `load_run` and every command find it.

    ```python
    kdepth.papers.register("mine", "my_package.my_paper:Mine")
    sys.exit(kdepth.cli.call("train", ["--paper=mine", ...]))
    ```

    Args:
        paper: its name on the command line, the class attribute `paper` too.
        target: "module:Class" of a `kdepth.papers.base.DepthModel`; imported when it is first used.

    Raises:
        UserError: if the name stands for another paper, or the target is not of that form.
    """
    if PAPERS.get(paper, target) != target:
        raise UserError(f"there is a paper '{paper}' already: {PAPERS[paper]}; choose another name")
    if target.count(":") != 1 or not all(target.split(":")):
        raise UserError(f"a paper's target must be 'module:Class'; received '{target}'")
    PAPERS[paper] = target


def paper_class(paper: str) -> type[DepthModel]:
    """The model class of a paper.

    Raises:
        UserError: if there is no such paper.
    """
    if paper not in PAPERS:
        close = difflib.get_close_matches(paper, PAPERS, 1)
        hint = f"did you mean '{close[0]}'?" if close else f"there are: {', '.join(PAPERS)}"
        raise UserError(f"no paper is called '{paper}'; {hint}")
    importlib.import_module("kdepth.backend")  # first: it says what is wrong with KERAS_BACKEND
    module, name = PAPERS[paper].split(":")
    return getattr(importlib.import_module(module), name)


def create(paper: str, **options: Any) -> DepthModel:
    """Builds a paper's model with fresh weights.

    Args:
        paper: one of `list_papers()`.
        **options: of the paper's class: `height`, `image_width`, `width` (channel multiplier),
            `variant`, `seed`, ...

    Raises:
        UserError: if the paper or an option does not exist, or a value cannot be used.
    """
    from kdepth.papers.base import option_names

    model = paper_class(paper)
    known = option_names(model)
    for name in options:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean '{close[0]}'?" if close else f"it takes: {', '.join(known)}"
            raise UserError(f"{paper} has no option '{name}'; {hint}")
    return model(**options)
