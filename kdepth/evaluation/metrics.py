"""Depth metrics of one image, and their mean over images.

Every metric is taken in float64 over the valid pixels of one image; a data set's figure is the
unweighted mean over its images. Change a formula only together with the golden numbers in
`tests/golden/kitti_depth_eval.json`.

| name | formula over valid pixels (p predicted, g true depth, metres) |
|---|---|
| abs_rel | mean of abs(p - g) / g |
| sq_rel | mean of (p - g)^2 / g, metres (the KITTI benchmark's divides by g^2) |
| rmse | root of the mean of (p - g)^2, metres |
| rmse_log | root of the mean of (ln p - ln g)^2 |
| log10 | mean of abs(log10 p - log10 g) |
| silog | root of the variance of ln p - ln g (the KITTI benchmark's is 100 times that) |
| delta1, delta2, delta3 | share of pixels where max(p / g, g / p) < 1.25, 1.25^2, 1.25^3 |
| d1_all | per cent of pixels whose disparity is off by at least 3 pixels and at least 5 % |

Sources: Eigen 2014, section 4.2 (the first set, here with silog as a root); Menze and Geiger 2015
(D1-all).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from kdepth.errors import UserError

DEPTH_METRICS = (
    "abs_rel",
    "sq_rel",
    "rmse",
    "rmse_log",
    "log10",
    "silog",
    "delta1",
    "delta2",
    "delta3",
)
DISPARITY_METRIC = "d1_all"
# Held-out photometric error, warped and unwarped; see `kdepth.evaluation.photometric`.
PHOTOMETRIC_METRICS = ("photometric", "photometric_unwarped")
ALL_METRICS = (*DEPTH_METRICS, DISPARITY_METRIC, *PHOTOMETRIC_METRICS)
HIGHER_IS_BETTER = frozenset({"delta1", "delta2", "delta3"})


def depth_metrics(
    prediction: np.ndarray, truth: np.ndarray, log_truth: np.ndarray | None = None
) -> dict[str, float]:
    """Compares the valid pixels of one image.

    Args:
        prediction: predicted depth, metres, positive, any shape.
        truth: true depth at the same pixels, metres, positive.
        log_truth: its natural logarithm, float64, for a caller that compares it with several
            predictions.

    Returns:
        One float per name in `DEPTH_METRICS`.

    Raises:
        ValueError: if the shapes differ or there is no pixel.
    """
    p = np.asarray(prediction, np.float64).ravel()
    g = np.asarray(truth, np.float64).ravel()
    if p.shape != g.shape or not p.size:
        raise ValueError(
            f"`prediction` and `truth` must hold the same pixels, at least one. "
            f"Received: {p.size} and {g.size}."
        )
    n = p.size
    error = p - g
    relative = error / g
    ratio = np.maximum(p / g, g / p)
    log_error = np.log(p) - (np.log(g) if log_truth is None else log_truth.ravel())
    # An evaluation spends its time here. No dot products: their threads wait for each other.
    return {
        "abs_rel": float(np.abs(relative).sum() / n),
        "sq_rel": float((relative * error).sum() / n),
        "rmse": float(np.sqrt((error * error).sum() / n)),
        "rmse_log": float(np.sqrt((log_error * log_error).sum() / n)),
        "log10": float(np.abs(log_error).sum() / (n * np.log(10.0))),
        "silog": float(np.std(log_error)),
        "delta1": np.count_nonzero(ratio < 1.25) / n,
        "delta2": np.count_nonzero(ratio < 1.25**2) / n,
        "delta3": np.count_nonzero(ratio < 1.25**3) / n,
    }


def d1_all(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Share of wrong disparities, in per cent.

    Args:
        prediction: predicted disparity, pixels at the native width.
        truth: true disparity at the same pixels, positive.

    Returns:
        Per cent of pixels with an error of at least 3 pixels and at least 5 % of the truth.

    Source: KITTI stereo 2015 (Menze and Geiger, CVPR 2015), with the thresholds inclusive as in
    monodepth's evaluation.
    """
    p = np.asarray(prediction, np.float64).ravel()
    g = np.asarray(truth, np.float64).ravel()
    error = np.abs(p - g)
    return float(100.0 * np.mean((error >= 3.0) & (error / g >= 0.05)))


def check_prediction(values: np.ndarray, name: str) -> None:
    """Refuses predictions that no metric can mean anything for.

    Args:
        values: a depth, disparity or inverse depth map.
        name: the sample's name, for the error.

    Raises:
        UserError: if a value is NaN or negative. Infinite depth (zero disparity) is allowed: the
            protocol clips it.
    """
    # NaN is the minimum wherever there is one.
    lowest = float(np.min(values))
    if lowest >= 0:
        return
    bad = int(np.count_nonzero(np.isnan(values)))
    if bad:
        raise UserError(
            f"{name}: predictions with NaN ({bad} of {values.size} pixels); "
            "a depth map must be finite: train again, or repair the predictions"
        )
    bad = int(np.count_nonzero(values < 0))
    raise UserError(
        f"{name}: negative predictions ({bad} of {values.size} pixels, lowest {lowest:.4g}); "
        "depth and disparity are positive: check the sign and --quantity"
    )


def mean_over_images(rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Unweighted mean over images: each image counts once, however many pixels it has.

    Args:
        rows: what `depth_metrics` gave for each image.

    Returns:
        The mean of each metric.

    Raises:
        ValueError: if there is no row.
    """
    rows = list(rows)
    if not rows:
        raise ValueError("`rows` must hold at least one image.")
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
