"""A tiny trained-looking Garg: its run, and the files that are exported of it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest


class Exported(NamedTuple):
    run: Path
    folder: Path
    parameters: int


@pytest.fixture(scope="session")
def exported(tmp_path_factory) -> Exported:
    pytest.importorskip("tensorflow")
    import kdepth
    from kdepth.training.runs import Run
    from tests.small_models import small_garg

    root = tmp_path_factory.mktemp("benchmarking")
    model = small_garg()
    run = Run(root / "runs" / "tiny")
    run.write_info({"paper": "garg", "state": "finished"})
    model.save_parts(run.weights)
    kdepth.export_model(model, root / "exports" / "tiny")
    parameters = sum(part.count_params() for part in model.parts().values())
    return Exported(run.folder, root / "exports" / "tiny", parameters)
