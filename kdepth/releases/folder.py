"""From a release's file to a run's folder, all or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdepth import backend
from kdepth.errors import UserError
from kdepth.files import atomic_path
from kdepth.papers import create
from kdepth.releases.mapping import Release, Report, assign, check_names
from kdepth.training.runs import CONVERTED, Run, model_info, now
from kdepth.versions import versions


def write(
    release: Release, path: Path, out: Path, trained_on: str | None, options: Mapping[str, Any]
) -> Report:
    """Converts a release's file; the arguments are those of `kdepth.releases.convert`."""
    check_out(out)
    arrays = release.read(path)
    trained_on = trained_on or release.said_trained_on(arrays) or next(iter(release.trained_on))
    if trained_on not in release.trained_on:
        raise UserError(
            f"{release.source} was trained on {' or '.join(release.trained_on)}; received"
            f" '{trained_on}'"
        )
    chosen = {**release.options(arrays), **options}
    check_names(release, chosen, arrays, path)
    model = create(release.paper, **chosen)
    report = assign(model, release, arrays, path)
    model.rig = release.trained_on[trained_on]
    model.enter_stage(model.stages[-1].name)  # the whole network has been trained
    with atomic_path(out) as temporary:
        run = Run(temporary)
        model.save_parts(run.weights)
        run.write_info(
            {
                **model_info(model),
                "variant": model.variant,
                "release": release.source,
                "licence": release.licence,
                "checkpoint": path.name,
                "trained_on": trained_on,
                "untrained": list(report.fresh),
                "versions": {**versions(), "backend": backend.BACKEND},
                "finished": now(),
                "state": CONVERTED,
            }
        )
    return report


def check_out(out: Path) -> None:
    """Raises a `UserError` if `out` holds something already, or cannot be made anew."""
    if out.resolve() == Path.cwd():
        raise UserError(f"--out={out} is the folder you are in: name another one")
    if out.is_dir() and not any(out.iterdir()):
        return
    if out.exists():
        raise UserError(f"--out={out} exists: choose another folder, or remove it first")
