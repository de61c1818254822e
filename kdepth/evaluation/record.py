"""The rows that one evaluation leaves in the results table: the system's and each baseline's."""

from __future__ import annotations

import datetime
import platform
import sys
from typing import Any

import numpy as np

import kdepth
from kdepth.evaluation.baselines import Baselines
from kdepth.evaluation.output import Interval
from kdepth.evaluation.protocol import Protocol
from kdepth.evaluation.scoring import Scores, gain
from kdepth.evaluation.sources import Source
from kdepth.evaluation.systems import System
from kdepth.evaluation.table import BASELINE_PREFIX


def rows(
    system: System,
    test: Source,
    train: Source,
    protocol: Protocol,
    fitted: Baselines,
    scores: Scores,
    interval: Interval | None,
) -> list[dict[str, Any]]:
    """The system's row, then one for each baseline, the strongest first.

    Args:
        system: what was scored.
        test: on what.
        train: what the baselines were fitted on.
        protocol: how.
        fitted: the baselines.
        scores: the outcome.
        interval: how far the system's means can be trusted.

    Returns:
        Rows for `kdepth.evaluation.table.append`.
    """
    strongest, baseline_abs_rel = scores.strongest_baseline()
    common = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "protocol": protocol.name,
        "protocol_description": protocol.describe(),
        "dataset": test.dataset,
        "data_dir": test.data_dir.resolve().name,
        "reader_options": " ".join(f"{k}={v}" for k, v in sorted(test.reader_options.items())),
        "split": test.split_name,
        "images": len(scores.names),
        "strongest_baseline": strongest,
        "baseline_abs_rel": baseline_abs_rel,
        "baseline_data": train.name,
        "baseline_images": fitted.images,
        **versions(),
    }
    systems = {system.name: scores.mean()}
    systems.update({BASELINE_PREFIX + k: v for k, v in scores.baseline_means().items()})
    found = [
        {
            **common,
            "system": name,
            **means,
            "gain_percent": 100 * gain(means["abs_rel"], baseline_abs_rel),
        }
        for name, means in systems.items()
    ]
    found[0].update(system.row, **(interval.columns() if interval else {}))
    return found


def versions() -> dict[str, str]:
    """Versions of what the figures depend on; TensorFlow and Keras only where they took part."""
    found = {
        "kdepth": kdepth.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
    for package in ("tensorflow", "keras"):
        if package in sys.modules:
            found[package] = str(sys.modules[package].__version__)
    if "keras" in found:
        found["stack"] = "keras3" if int(found["keras"].split(".")[0]) >= 3 else "addons"
        found["backend"] = getattr(sys.modules.get("kdepth.backend"), "BACKEND", "")
    return found
