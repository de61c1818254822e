"""A tiny trained-looking Garg: its run, and the files that are exported of it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest


class Exported(NamedTuple):
    run: Path
    folder: Path
    parameters: int


@pytest.fixture(scope="session")
def exported(tmp_path_factory) -> Exported:
    pytest.importorskip("tensorflow")
    import kdepth
    from kdepth import backend
    from kdepth.training.runs import Run

    root = tmp_path_factory.mktemp("benchmarking")
    model = kdepth.create("garg", width=0.05, height=72, image_width=96)
    generator = np.random.default_rng(0)
    for part in model.parts().values():
        for variable in part.weights:
            values = backend.to_numpy(variable)
            if not values.any():  # the score layers start at zero
                variable.assign(generator.normal(0.2, 0.1, values.shape))
    run = Run(root / "runs" / "tiny")
    run.write_info({"paper": "garg", "state": "finished"})
    model.save_parts(run.weights)
    kdepth.export_model(model, root / "exports" / "tiny")
    parameters = sum(part.count_params() for part in model.parts().values())
    return Exported(run.folder, root / "exports" / "tiny", parameters)
