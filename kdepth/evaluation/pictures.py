"""A picture of an evaluation: image, prediction, ground truth and error side by side.

Depth is coloured by its inverse (near is bright), with one colour range for all rows and for
prediction and truth; the error is relative, prediction over truth, on a diverging scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kdepth.data.image import write_image
from kdepth.evaluation.scoring import Picture

_ERROR_RANGE = 0.5  # relative error at the ends of the colour scale
_ERROR_MAP = "RdBu_r"
_UNSCORED = 0x30  # grey


def write_picture(path: Path, pictures: Sequence[Picture], title: str) -> None:
    """Writes one PNG with a row per picture.

    Args:
        path: the file.
        pictures: at least one.
        title: one line above all.
    """
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    grey = (_UNSCORED / 255,) * 3
    depth_map = colormaps["magma"].with_extremes(bad=grey)
    error_map = colormaps[_ERROR_MAP].with_extremes(bad=grey)
    near, far = _depth_range(pictures)
    height, width = pictures[0].truth.shape
    row_inches = 4 * height / width + 0.3
    size = (16, len(pictures) * row_inches + 1.2)
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    # The colour bars get a row of their own: taken from the maps' axes they would shift them.
    grid = figure.add_gridspec(
        len(pictures) + 1, 4, height_ratios=[row_inches] * len(pictures) + [0.12]
    )
    axes = np.array(
        [[figure.add_subplot(grid[i, j]) for j in range(4)] for i in range(len(pictures))]
    )
    for row, picture in zip(axes, pictures):
        truth = _visible(picture.truth)
        error = np.ma.masked_invalid(
            np.where(truth > 0, picture.prediction / np.where(truth > 0, truth, 1) - 1, np.nan)
        )
        row[0].imshow(picture.image)
        shown = row[1].imshow(1 / picture.prediction, depth_map, vmin=1 / far, vmax=1 / near)
        row[2].imshow(
            np.ma.masked_where(truth == 0, 1 / np.where(truth > 0, truth, 1)),
            depth_map,
            vmin=1 / far,
            vmax=1 / near,
        )
        wrong = row[3].imshow(error, error_map, vmin=-_ERROR_RANGE, vmax=_ERROR_RANGE)
        row[0].set_title(picture.name, fontsize=8, loc="left")
        row[3].set_title(f"abs_rel {picture.abs_rel:.3f}", fontsize=8, loc="left")
    for axis, name in zip(axes[-1], ("image", "prediction", "ground truth", "error")):
        axis.set_xlabel(name)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    bar = figure.colorbar(shown, figure.add_subplot(grid[-1, 1:3]), orientation="horizontal")
    ticks = np.array([z for z in (2, 3, 4, 5, 7, 10, 15, 20, 30, 50, 80) if near <= z <= far])
    bar.set_ticks(1 / ticks, labels=[f"{z}" for z in ticks])
    bar.set_label("depth, m (colour is linear in 1 / depth)", fontsize=8)
    bar = figure.colorbar(wrong, figure.add_subplot(grid[-1, 3]), orientation="horizontal")
    bar.set_label("prediction / truth - 1", fontsize=8)
    bar.ax.xaxis.set_major_formatter(lambda value, _: f"{100 * value:+.0f} %" if value else "0 %")
    figure.suptitle(title, fontsize=10)
    canvas.draw()  # `savefig` would draw, and resample every image, twice
    write_image(path, np.asarray(canvas.buffer_rgba())[..., :3])


def write_error_map(path: Path, picture: Picture) -> None:
    """Writes one image's relative error, prediction / truth - 1, as a plain PNG.

    Args:
        path: the file.
        picture: its image is not looked at.

    The colours are those of `write_picture`: blue too near, red too far, from -50 % to 50 %; dark
    grey is not scored.
    """
    from matplotlib import colormaps

    truth = _visible(picture.truth)
    scored = truth > 0
    error = picture.prediction[scored] / truth[scored] - 1
    shown = np.full((*truth.shape, 3), _UNSCORED, np.uint8)
    shown[scored] = colormaps[_ERROR_MAP](0.5 + 0.5 * error / _ERROR_RANGE, bytes=True)[:, :3]
    write_image(path, shown)


def _depth_range(pictures: Sequence[Picture]) -> tuple[float, float]:
    measured = np.concatenate([picture.truth[picture.truth > 0] for picture in pictures])
    near, far = np.percentile(measured, [2, 98])
    return float(near), float(max(far, 1.01 * near))


def _visible(truth: np.ndarray) -> np.ndarray:
    """Sparse measurements, spread to their neighbours so that they can be seen."""
    if np.mean(truth > 0) > 0.5:
        return truth
    padded = np.pad(np.where(truth > 0, truth, np.inf), 1, constant_values=np.inf)
    rows, columns = truth.shape
    shifted = [padded[y : y + rows, x : x + columns] for y in range(3) for x in range(3)]
    nearest = np.min(shifted, axis=0)
    return np.where(truth > 0, truth, np.where(np.isfinite(nearest), nearest, 0))
