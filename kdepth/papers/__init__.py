"""The papers, one module each. A new one is a module here and one line in `PAPERS`."""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING, Any

from kdepth.errors import UserError

if TYPE_CHECKING:
    from kdepth.papers.base import DepthModel

PAPERS = {
    "garg": "kdepth.papers.garg2016:Garg",
}


def list_papers() -> list[str]:
    """Names of the papers, as `create` and `--paper` take them."""
    return list(PAPERS)


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
