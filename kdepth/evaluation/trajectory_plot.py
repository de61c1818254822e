"""Pictures of trajectories: the way as seen from above, and its drift by length."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kdepth.evaluation.trajectories import TrajectoryErrors
from kdepth.files import atomic_path


def write_plot(path: Path, found: Sequence[TrajectoryErrors], title: str) -> None:
    """Draws the true trajectory and the prediction under each alignment, from above.

    Camera axes are x right and z forward, so above is the x-z plane of the first camera. Where the
    way is long enough, t_err and r_err by length stand beside it; alignments of rotation and
    translation do not change them, so equal curves are drawn once.

    Args:
        path: the picture to write, .png, .pdf or .svg.
        found: errors of one prediction under one alignment or more.
        title: one line above all.

    Raises:
        ModuleNotFoundError: without matplotlib.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    curves = _distinct_curves(found)
    figure = Figure(figsize=(13 if curves else 7, 6), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, 3 if curves else 2)
    above = figure.add_subplot(grid[:, :2])
    truth = found[0].truth[:, :3, 3]
    above.plot(truth[:, 0], truth[:, 2], color="black", linewidth=2, label="ground truth")
    for errors in found:
        places = errors.predicted[:, :3, 3]
        label = f"{errors.alignment}: ATE {errors.metrics['ate']:.3g} m"
        above.plot(places[:, 0], places[:, 2], linewidth=1.2, label=label)
    above.plot(truth[0, 0], truth[0, 2], "o", color="black", markersize=5)
    above.set(xlabel="x, m", ylabel="z, m", aspect="equal", adjustable="datalim")
    above.legend(fontsize=8)
    if curves:
        drift = [figure.add_subplot(grid[i, 2]) for i in range(2)]
        for label, by_length in curves.items():
            lengths = sorted(by_length)
            for i, axes in enumerate(drift):
                axes.plot(lengths, [by_length[n][i] for n in lengths], "o-", label=label)
        drift[0].set(xlabel="length, m", ylabel="t_err, %")
        drift[1].set(xlabel="length, m", ylabel="r_err, deg / 100 m")
        drift[0].legend(fontsize=8)
    figure.suptitle(title, fontsize=10)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110)


def _distinct_curves(
    found: Sequence[TrajectoryErrors],
) -> dict[str, dict[int, tuple[float, float, int]]]:
    """Label -> errors by length; alignments that leave them equal share a curve."""
    curves: dict[str, dict[int, tuple[float, float, int]]] = {}
    for errors in found:
        mine = errors.segments.by_length()
        for label, other in curves.items():
            if mine and np.allclose(list(mine.values()), list(other.values()), rtol=1e-9):
                curves[f"{label}, {errors.alignment}"] = curves.pop(label)
                break
        else:
            if mine:
                curves[errors.alignment] = mine
    return curves
