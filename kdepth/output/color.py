"""Colours of depth maps, and a range of colours that does not flicker over a video.

Near is bright: depth is coloured by its inverse, disparity as it is. A single picture takes the
range from its own percentiles. Frame by frame that flickers, because a car that enters the picture
moves the percentiles and with them the colour of everything; a `StableRange` follows them slowly.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from kdepth import visualize
from kdepth.errors import UserError
from kdepth.output.result import Result

MEMORY = 1.0  # seconds
# The least span of a range, as a fraction of its low end: a map of one value has none.
_LEAST_SPAN = 0.01
# Percentiles are taken of about so many pixels, evenly spread.
_PIXELS = 20_000


@dataclasses.dataclass(frozen=True)
class ColorSettings:
    """How colours are chosen.

    Attributes:
        vmin: lowest value of the range in the prediction's unit; None takes it from the maps.
        vmax: highest value.
        colormap: its name.
        memory: seconds in which the range of a video follows its frames; 0: at once. None: the
            pictures do not belong together, each has its own range.
    """

    vmin: float | None = None
    vmax: float | None = None
    colormap: str = visualize.DEFAULT_COLORMAP
    memory: float | None = None

    def __post_init__(self) -> None:
        """Finds what makes no sense before the work, not after.

        Raises:
            UserError: if a value is out of range or there is no such colour map.
        """
        vmin, vmax = self.vmin, self.vmax
        if (vmin is not None and vmin < 0) or (vmax is not None and vmax <= 0):
            raise UserError("--vmin must be at least 0 and --vmax above 0")
        if vmin is not None and vmax is not None and vmin >= vmax:
            raise UserError(f"--vmin={vmin} must be below --vmax={vmax}")
        visualize.color_table(self.colormap)


class StableRange:
    """The range of colours of a video: an exponential moving average of its frames' percentiles.

    The ends follow the 2nd and 98th percentile with the time constant `memory`:
    end += alpha * (percentile - end), alpha = 1 - exp(-dt / memory), at most 1/4. In this step the
    difference is cut to the present span. So however the scene changes, the colour of a value that
    stays moves along the colour map by at most alpha / (1 - 2 alpha) of its length from one frame
    to the next: 3.5 % at 30 frames per second and one second. The span stays at least 1 % of the
    low end.
    """

    def __init__(self, memory: float = MEMORY) -> None:
        """Starts without a range; the first frame sets it.

        Args:
            memory: seconds; 0 takes every frame's own percentiles.
        """
        self._memory = memory
        self._ends: np.ndarray | None = None
        self._time = 0.0

    def update(self, values: np.ndarray, time: float) -> tuple[float, float]:
        """Takes a frame in.

        Args:
            values: of any shape; what is not finite does not count.
            time: of the frame, seconds.

        Returns:
            The low and the high end for this frame.
        """
        percentiles = self._percentiles(values)
        if self._ends is None or not self._memory:
            self._ends = percentiles
        else:
            step = max(time - self._time, 0.0)
            alpha = min(1.0 - math.exp(-step / self._memory), 0.25)
            span = self._ends[1] - self._ends[0]
            self._ends = self._ends + alpha * np.clip(percentiles - self._ends, -span, span)
            self._ends[1] = max(self._ends[1], _with_span(self._ends[0]))
        self._time = time
        return float(self._ends[0]), float(self._ends[1])

    def _percentiles(self, values: np.ndarray) -> np.ndarray:
        finite = values[np.isfinite(values)]
        if not finite.size:
            return np.array([0.0, 1.0]) if self._ends is None else self._ends
        low, high = np.percentile(finite.astype(np.float64), visualize.PERCENTILES)
        return np.array([low, max(high, _with_span(low))])


class Colorizer:
    """Colours one map after the other."""

    def __init__(self, settings: ColorSettings) -> None:
        """Chooses the range: fixed by the settings, of each picture, or stable over a video."""
        self._settings = settings
        self._range = None if settings.memory is None else StableRange(settings.memory)

    def __call__(self, result: Result) -> np.ndarray:
        """The colour map of a result, uint8 [H, W, 3]."""
        settings = self._settings
        vmin, vmax = settings.vmin, settings.vmax
        is_disparity = result.prediction.quantity == "disparity"
        if vmin == 0 and not is_disparity:
            vmin = None  # "up to the camera", which has no inverse
        if self._range is not None:
            values = _sampled(result.values)
            if not is_disparity:
                values = visualize.inverse_depth(values)
            low, high = self._range.update(values, result.time)
            if not is_disparity:
                low, high = 1.0 / high, 1.0 / low
            vmin = low if vmin is None else vmin
            vmax = high if vmax is None else vmax
        if is_disparity:
            return visualize.colorize(result.values, vmin, vmax, settings.colormap)
        return visualize.colorize_depth(result.values, vmin, vmax, settings.colormap)


def _sampled(values: np.ndarray) -> np.ndarray:
    """About `_PIXELS` of the values, evenly spread."""
    return values.ravel()[:: max(1, values.size // _PIXELS)]


def _with_span(low: float) -> float:
    """The high end that gives a range its least span."""
    return low + max(_LEAST_SPAN * abs(low), 1e-12)
