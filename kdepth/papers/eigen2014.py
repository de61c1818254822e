"""Depth Map Prediction from a Single Image using a Multi-Scale Deep Network.

David Eigen, Christian Puhrsch, Rob Fergus. NIPS 2014, arXiv:1406.2283.

The first deep network for depth, taught by measured depth: a coarse stack that sees the whole
picture at once says roughly how far everything is, a fine stack aligns that with edges. Both
predict the natural logarithm of metres, and the loss forgives half of a wrong common scale.

| paper | here |
|---|---|
| coarse network, figure 1, section 3.1.1 | `build_coarse`, the part `coarse` |
| fine network, figure 1, section 3.1.2 | `build_fine`, the part `fine` |
| sizes of the layers, figure 1 | `coarse_axis`, `Grid` |
| scale-invariant error, eq. 1 - 3 | `losses.scale_invariant` |
| training loss, eq. 4, lambda = 0.5 | `Eigen.loss_terms`, `losses.scale_invariant.scale_invariant` |
| data augmentation, section 3.4 | `Eigen.augment` |
| coarse first, then fine, sections 3.1 and 4 | `stages` |

`variant` is the paper's data set: "kitti" (input 172x576, output 27x142: where the lidar measures)
or "nyu" (228x304, 55x74: the whole input). Pictures arrive as the paper's halved frames, `image_size`:
184x612 or 240x320. The network sees the middle of that, `input_size`; in training a random crop of
that size is moved into the middle. A cell of the output stands for 4x4 pixels of the frame. Outside
the cells the prediction repeats the outermost ones, and means nothing.

What is exact, derived, or from memory:
- Layers, LRN's additive 2, features times 0.01, pixel offsets, rates, weight decay, initial values
  and the loss over a batch are those of the authors' released NYU code and config.
- Its 3x3 pools are used, not the 2x2 of figure 1: only they give every size of the paper for both
  data sets, and its receptive field of 45 pixels. Strided convolutions are padded as the release
  does for the paper's sizes (conv1 by 2, fine1 by 1 on each side).
- Derived: for KITTI the fine stack sees the bottom 4 * 27 + 8 = 116 rows; cell (i, j) covers the
  pixels 4 + 4i .. 7 + 4i of the fine input, and its target is the one at 5 + 4i (the release's
  [1::4]), which is also the middle of its receptive field.
- Numbers of sections, figures and equations are from memory of the paper.
- Chosen here: He's initialisation of conv1 - conv5, which the paper takes from ImageNet (Keras has
  no AlexNet weights); KITTI's mean log depth; while the fine stack learns, the coarse one runs
  without dropout; for other sizes the frame keeps the variant's proportion to the input.

Deviations: the release's output is log depth over its standard deviation (0.45723134), which
multiplies the loss by 4.8; here it is log depth, as in the paper. The release replaces one of 64
fine maps by the coarse one (`fine_maps=64`); the paper has 63. Images are weighed alike in a batch;
`reduction="released"` weighs them by the square of their measured pixels.

Published: NYU, 654 images, coarse / fine: abs_rel 0.228 / 0.215, sq_rel 0.223 / 0.212, rmse 0.871 /
0.907, rmse_log 0.283 / 0.285, delta1 0.618 / 0.611. KITTI, Eigen split, 697 images:
- paper's protocol: abs_rel 0.194 / 0.190, sq_rel 1.531 / 1.515, rmse 7.216 / 7.156, rmse_log 0.273 /
  0.270, delta1 0.679 / 0.692.
- Garg crop, cap 80 m, as quoted by later papers: abs_rel 0.214 / 0.203, sq_rel 1.605 / 1.548, rmse
  6.563 / 6.307, rmse_log 0.292 / 0.282, delta 0.673, 0.884, 0.957 / 0.702, 0.890, 0.958.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import keras
import numpy as np

from kdepth.backend import ops
from kdepth.errors import UserError
from kdepth.geometry.camera import Camera
from kdepth.losses.numerics import Term
from kdepth.losses.scale_invariant import log_difference, measured, scale_invariant
from kdepth.networks.cut import cut
from kdepth.networks.layers import LocalResponseNormalization, StepDropout
from kdepth.papers.base import DepthModel, OptimizerSettings, Stage

# -- hyper-parameters --------------------------------------------------------------------------------------------------

LAMBDA = 0.5
CHANNELS = (96, 256, 384, 384, 256)  # conv1 - conv5
HIDDEN = 4096  # fc6
FINE_CHANNELS = 64  # with the coarse map among them
FEATURE_SCALE = 0.01  # of pool5: "rescale down to nicer range"
CELL = 4  # input pixels per output pixel
MARGIN = 4  # input pixels of the fine stack before its first cell
TARGET = 1  # which of a cell's pixels is its target

COARSE_OFFSET = 128.0  # of pixels 0..255, as ImageNet's
FINE_OFFSET, FINE_SCALE = 109.31410628, 76.18328376  # mean and deviation of NYU's pixels

COARSE_RATE, FINE_RATE = 0.1, 0.01  # of the stages: their fastest layers'
LAYER_RATES = {
    **{f"conv{index}": 0.001 for index in range(1, 6)},
    **{"fc6": 0.1, "fc7": 0.1},
    **{"fine1": 0.001, "fine3": 0.01, "fine4": 0.001},
}
CONV_DECAY, DECAY = 5e-4, 1e-4  # conv1 - conv5, all others

COLOURS = (0.8, 1.2)


@dataclasses.dataclass(frozen=True)
class Setting:
    """What the paper does differently for its two data sets.

    Attributes:
        frame: halved pictures, rows and columns.
        size: the network's input.
        row_share: share of the input's rows that get depth, from the bottom.
        max_zoom: augmentation magnifies by U[1, max_zoom] and divides depth by it.
        max_rotation: augmentation turns by U[-max_rotation, max_rotation] degrees.
        drop_extremes: each image's nearest and farthest depth count as not measured.
        mean_log_depth: what fc7's bias starts with, log metres.
        epochs: of the stages. NYU: 2.0 and 1.5 million samples of a list of 220,000; KITTI: 1.5 and
            1.0 of 40,000.
    """

    frame: tuple[int, int]
    size: tuple[int, int]
    row_share: float
    max_zoom: float
    max_rotation: float
    drop_extremes: bool
    mean_log_depth: float
    epochs: tuple[int, int]


SETTINGS = {
    "kitti": Setting((184, 612), (172, 576), 27 / 41, 1.2, 0.0, False, 2.5, (38, 25)),
    "nyu": Setting((240, 320), (228, 304), 1.0, 1.5, 5.0, True, 0.82473954, (9, 7)),
}


# -- network -----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Grid:
    """Where the output's cells lie in the network's input.

    Attributes:
        rows: of cells.
        columns: of cells.
        top: first input row that the fine stack sees; the cells start `MARGIN` below.
        left: first input column that it sees.
    """

    rows: int
    columns: int
    top: int
    left: int

    @classmethod
    def of(cls, height: int, image_width: int, row_share: float) -> Grid:
        """The cells of an input size.

        Raises:
            UserError: if the image is too small for the coarse stack.
        """
        if min(coarse_axis(height)["pool5"], coarse_axis(image_width)["pool5"]) < 1:
            raise UserError(
                "eigen needs inputs of at least 63x63;"
                f" received {height}x{image_width} (--height, --image_width)"
            )
        rows, columns = ((n - 2 * MARGIN) // CELL for n in (height, image_width))
        rows = max(1, round(rows * row_share))
        top, left = (n - size for n, size in zip((height, image_width), _fine_size(rows, columns)))
        return cls(rows, columns, top, left // 2)

    @property
    def fine_size(self) -> tuple[int, int]:
        """Rows and columns of the fine stack's input."""
        return _fine_size(self.rows, self.columns)


def _fine_size(rows: int, columns: int) -> tuple[int, int]:
    return CELL * rows + 2 * MARGIN, CELL * columns + 2 * MARGIN


def coarse_axis(size: int) -> dict[str, int]:
    """Sizes of the coarse stack's maps along one axis of an input of that size; below 1 if it is too small."""

    def pool(n: int) -> int:
        return (n - 3) // 2 + 1

    conv1 = (size + 4 - 11) // 4 + 1
    return {
        "conv1": conv1,
        "pool1": pool(conv1),
        "pool2": pool(pool(conv1)),
        "pool5": pool(pool(pool(conv1))),
    }


def build_coarse(
    height: int,
    image_width: int,
    grid: Grid,
    width: float,
    dropout: float,
    mean_log_depth: float,
    seed: int,
    step: Any,
) -> keras.Model:
    """The coarse stack: AlexNet's convolutions and two fully connected layers (paper, figure 1).

    Args:
        height: rows of the input.
        image_width: columns of the input.
        grid: fc7 has a unit for each of its cells.
        width: channel multiplier, also of fc6.
        dropout: rate after fc6.
        mean_log_depth: fc7's first bias.
        seed: of dropout.
        step: gives the step counter.

    Returns:
        image (0..255 minus 128) -> log depth, [B, rows, columns, 1].
    """

    def conv(x: Any, index: int, kernel: int, stride: int = 1, relu: bool = False) -> Any:
        return keras.layers.Conv2D(
            _scaled(CHANNELS[index - 1], width),
            kernel,
            stride,
            "valid" if stride > 1 else "same",
            activation="relu" if relu else None,
            kernel_initializer="he_normal",
            name=f"conv{index}",
        )(x)

    def pool(x: Any, index: int) -> Any:
        x = keras.layers.MaxPool2D(3, 2, name=f"pool{index}")(x)
        return keras.layers.ReLU(name=f"relu{index}")(x)

    def norm(x: Any, index: int) -> Any:
        return LocalResponseNormalization(2, 2.0, 1e-4, 0.75, name=f"norm{index}")(x)

    # Sizes for 172x576.
    image = keras.Input((height, image_width, 3), name="image")
    x = keras.layers.ZeroPadding2D(2, name="conv1_pad")(image)
    x = norm(pool(conv(x, 1, 11, 4), 1), 1)  # [B, 20, 71, 96]
    x = norm(pool(conv(x, 2, 5), 2), 2)  # [B, 9, 35, 256]
    x = conv(conv(x, 3, 3, relu=True), 4, 3, relu=True)  # [B, 9, 35, 384]
    x = pool(conv(x, 5, 3), 5)  # [B, 4, 17, 256]
    x = keras.layers.Rescaling(FEATURE_SCALE, name="features")(x)
    x = keras.layers.Flatten(name="flat")(x)  # [B, 17408]
    x = keras.layers.Dense(
        _scaled(HIDDEN, width), activation="relu", kernel_initializer=_normal(0.01), name="fc6"
    )(x)
    x = StepDropout(dropout, seed, step, name="drop6")(x)
    # As released: nothing is scaled up in training, so the features are smaller in both modes.
    x = keras.layers.Rescaling(1.0 - dropout, name="kept6")(x)
    x = keras.layers.Dense(
        grid.rows * grid.columns,
        kernel_initializer=keras.initializers.RandomUniform(-0.005, 0.005),
        bias_initializer=keras.initializers.Constant(mean_log_depth),
        name="fc7",
    )(x)
    x = keras.layers.Reshape((grid.rows, grid.columns, 1), name="map")(x)  # [B, 27, 142, 1]
    return keras.Model(image, _as_float32(x), name="coarse")


def build_fine(grid: Grid, width: float, replace_map: bool) -> keras.Model:
    """The fine stack: edges of the picture refine the coarse map (paper, figure 1).

    Args:
        grid: gives the sizes.
        width: channel multiplier.
        replace_map: 64 maps of which the coarse map replaces the first, as released; otherwise it
            joins 63.

    Returns:
        [image (normalised), coarse log depth] -> log depth, [B, rows, columns, 1].
    """
    channels = _scaled(FINE_CHANNELS, width)

    def conv(x: Any, filters: int, name: str, activation: str | None) -> Any:
        return keras.layers.Conv2D(
            filters,
            5,
            padding="same",
            activation=activation,
            kernel_initializer=_normal(0.01),
            name=name,
        )(x)

    # Sizes for KITTI.
    image = keras.Input((*grid.fine_size, 3), name="image")  # [B, 116, 576, 3]
    coarse = keras.Input((grid.rows, grid.columns, 1), name="coarse")
    x = keras.layers.ZeroPadding2D(1, name="fine1_pad")(image)
    x = keras.layers.Conv2D(
        channels if replace_map else channels - 1,
        9,
        2,
        activation="relu",
        kernel_initializer=_normal(0.001),
        name="fine1",
    )(x)  # [B, 55, 285, 63]
    x = keras.layers.MaxPool2D(3, 2, name="fine1_pool")(x)  # [B, 27, 142, 63]
    x = x[..., 1:] if replace_map else x
    x = keras.layers.Concatenate(name="fine2")([coarse, x])  # [B, 27, 142, 64]
    x = conv(conv(x, channels, "fine3", "relu"), 1, "fine4", None)
    return keras.Model([image, coarse], _as_float32(x), name="fine")


def _scaled(channels: int, width: float) -> int:
    return max(4, round(channels * width))


def _normal(deviation: float) -> Any:
    return keras.initializers.RandomNormal(stddev=deviation)


def _as_float32(x: Any) -> Any:
    return keras.layers.Activation("linear", dtype="float32", name="log_depth")(x)


# -- model -------------------------------------------------------------------------------------------------------------


class Eigen(DepthModel):
    """Eigen 2014: metric depth of a single image, taught by measured depth."""

    paper = "eigen"
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "lambda0": {"balance": 0.0},
        "coarse_only": {"coarse_only": True},
    }
    sample_keys = frozenset({"image", "depth"})
    output_name = "depth"
    kind = "metric"
    term_weights: ClassVar[Mapping[str, float]] = {"scale_invariant": 1.0}
    optimizer_settings = OptimizerSettings("sgd", momentum=0.9, weight_decay=CONV_DECAY)

    def __init__(
        self,
        variant: str = "kitti",
        height: int | None = None,
        image_width: int | None = None,
        width: float = 1.0,
        balance: float = LAMBDA,
        coarse_only: bool = False,
        reduction: str = "paper",
        fine_maps: int = FINE_CHANNELS - 1,
        layer_rates: bool = True,
        dropout: float = 0.5,
        row_share: float | None = None,
        max_zoom: float | None = None,
        max_rotation: float | None = None,
        mean_log_depth: float | None = None,
        seed: int = 0,
    ) -> None:
        """Builds the network.

        Args:
            variant: "kitti" or "nyu": the paper's setting for that data set.
            height: rows of the network's input, which is the middle of the picture; the variant's
                own by default.
            image_width: columns of the network's input; the variant's own by default.
            width: channel multiplier.
            balance: the loss's lambda: 0 compares logarithms alone, 1 ignores the common scale.
            coarse_only: train the coarse network only, and predict with it.
            reduction: "paper" (the mean of the images' losses) or "released" (each weighed by the
                square of its measured pixels).
            fine_maps: 63 (the coarse map joins them) or 64 (released: it replaces the first).
            layer_rates: every layer learns at its own rate, as published for SGD; otherwise all at
                the stage's.
            dropout: rate after fc6.
            row_share: share of the input's rows that get depth, from the bottom; 1 for nyu, 27/41
                for kitti, whose lidar sees no sky.
            max_zoom: augmentation magnifies by U[1, max_zoom]; 1.2 for kitti, 1.5 for nyu.
            max_rotation: augmentation turns by up to so many degrees; 0 for kitti, 5 for nyu.
            mean_log_depth: where fc7's bias starts, log metres; 2.5 for kitti, 0.825 for nyu.
            seed: of weights and dropout.

        Raises:
            UserError: for a value that cannot be used.
        """
        for name, value, allowed in (
            ("variant", variant, tuple(SETTINGS)),
            ("reduction", reduction, ("paper", "released")),
            ("fine_maps", fine_maps, (FINE_CHANNELS - 1, FINE_CHANNELS)),
        ):
            if value not in allowed:
                raise UserError(
                    f"eigen: {name} must be one of {', '.join(map(str, allowed))};"
                    f" received '{value}'"
                )
        setting = SETTINGS[variant]
        own = {
            "row_share": row_share,
            "max_zoom": max_zoom,
            "max_rotation": max_rotation,
            "mean_log_depth": mean_log_depth,
        }
        setting = dataclasses.replace(setting, **{k: v for k, v in own.items() if v is not None})
        for name, value, low, high in (
            ("width", width, 0.01, 100.0),
            ("balance", balance, 0.0, 1.0),
            ("dropout", dropout, 0.0, 0.99),
            ("row_share", setting.row_share, 0.01, 1.0),
            ("max_zoom", setting.max_zoom, 1.0, 100.0),
            ("max_rotation", setting.max_rotation, 0.0, 45.0),
        ):
            if not low <= value <= high:
                raise UserError(f"eigen: {name} must lie in {low:g} .. {high:g}; received {value}")
        size = height or setting.size[0], image_width or setting.size[1]
        options = {
            "variant": variant,
            "height": size[0],
            "image_width": size[1],
            "width": width,
            "balance": balance,
            "coarse_only": coarse_only,
            "reduction": reduction,
            "fine_maps": fine_maps,
            "layer_rates": layer_rates,
            "dropout": dropout,
            **{name: getattr(setting, name) for name in own},
            "seed": seed,
        }
        self.setting, self.input_size = setting, size
        self.grid = Grid.of(*size, setting.row_share)
        self.width_multiplier, self.balance, self.coarse_only = width, balance, coarse_only
        self.replace_map, self.layer_rates = fine_maps == FINE_CHANNELS, layer_rates
        self.dropout = dropout
        self.reduction = "ratio_of_sums" if reduction == "released" else "mean_of_ratios"
        coarse = Stage("coarse", ("coarse",), setting.epochs[0], COARSE_RATE, "coarse")
        fine = Stage("fine", ("fine",), setting.epochs[1], FINE_RATE, "fine")
        self.stages = (coarse,) if coarse_only else (coarse, fine)
        # Pictures are as much larger than the input as the paper's halved frames are.
        rows, columns = (
            n * whole // inner for n, whole, inner in zip(size, setting.frame, setting.size)
        )
        super().__init__(height=rows, image_width=columns, seed=seed, options=options)

    def build_parts(self) -> dict[str, keras.Model]:  # noqa: D102
        coarse = build_coarse(
            *self.input_size,
            self.grid,
            self.width_multiplier,
            self.dropout,
            self.setting.mean_log_depth,
            self.seed,
            lambda: self.step,
        )
        if self.coarse_only:
            return {"coarse": coarse}
        return {
            "coarse": coarse,
            "fine": build_fine(self.grid, self.width_multiplier, self.replace_map),
        }

    def learning_rate_multiplier(self, path: str) -> float:  # noqa: D102
        if not self.layer_rates:
            return 1.0
        layer = path.split("/")[0]
        return LAYER_RATES[layer] / (FINE_RATE if layer.startswith("fine") else COARSE_RATE)

    def weight_decay_multiplier(self, path: str) -> float:  # noqa: D102
        share = 1.0 if path.startswith("conv") else DECAY / CONV_DECAY
        return share * super().weight_decay_multiplier(path)

    def rig_of(self, camera: Camera, baseline: float | None) -> None:
        """No rig: metres come from the measured depth itself."""

    def augment(self, sample: dict[str, Any], seed: Any) -> dict[str, Any]:
        """Flips, colours U[0.8, 1.2] per channel, zooms (and divides depth), turns (NYU), crops at random."""
        from kdepth.data import augment

        sample = augment.flip_sources(sample, seed)
        sample = augment.colour_multiply(sample, seed, *COLOURS)
        sample = augment.scale_crop(
            sample, seed, 1.0, self.setting.max_zoom, common=True, divide_depth=True
        )
        if self.setting.max_rotation:
            sample = augment.rotate(sample, seed, self.setting.max_rotation)
        return augment.translate(sample, seed, *self.input_size)

    def forward(self, batch: Mapping[str, Any], training: bool) -> dict[str, Any]:
        """{"log_depth": [B, rows, columns, 1]} of the stack that the stage trains."""
        return {"log_depth": self._log_depth(batch["image"], training)}

    def _log_depth(self, images: Any, training: bool) -> Any:
        pixels, only_coarse = self._pixels(images), self.stage.output == "coarse"
        coarse = self._parts["coarse"](pixels - COARSE_OFFSET, training=training and only_coarse)
        if only_coarse:
            return coarse
        return self._parts["fine"](self._fine_input(pixels, coarse), training=training)

    def _pixels(self, images: Any) -> Any:
        """The network's input, 0..255, of pictures."""
        (top, left), (height, image_width) = self._crop_start(), self.input_size
        return 255.0 * images[:, top : top + height, left : left + image_width]

    def _fine_input(self, pixels: Any, coarse: Any) -> list[Any]:
        grid, (rows, columns) = self.grid, self.grid.fine_size
        seen = pixels[:, grid.top : grid.top + rows, grid.left : grid.left + columns]
        return [(seen - FINE_OFFSET) / FINE_SCALE, ops.stop_gradient(coarse)]

    def loss_terms(self, batch: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, Term]:  # noqa: D102
        # Masked, decimated, and only then log: depth is never averaged, least of all with holes.
        mask = self._decimated(measured(batch["depth"], self.setting.drop_extremes))
        depth = self._decimated(batch["depth"])
        difference = log_difference(outputs["log_depth"], depth, mask)
        return {"scale_invariant": scale_invariant(difference, mask, self.balance)}

    def _decimated(self, maps: Any) -> Any:
        """One pixel of every cell, [B, rows, columns, 1], of maps at the picture's size."""
        top, left = (start + TARGET for start in self._cells_start())
        rows, columns = CELL * self.grid.rows, CELL * self.grid.columns
        return maps[:, top : top + rows : CELL, left : left + columns : CELL]

    def _crop_start(self) -> tuple[int, int]:
        """First row and column of the network's input in the picture."""
        top, left = ((n - inner) // 2 for n, inner in zip(self.image_size, self.input_size))
        return top, left

    def _cells_start(self) -> tuple[int, int]:
        """First row and column of the cells in the picture."""
        top, left = self._crop_start()
        return top + self.grid.top + MARGIN, left + self.grid.left + MARGIN

    def depth_outputs(self, images: Any) -> dict[str, Any]:
        """Metres, [B, H, W, 1] at the picture's size: each cell's depth, repeated outside of the cells."""
        return self._spread(self._log_depth(images, False))

    def depth_body_and_head(self) -> tuple[Callable, Callable]:  # noqa: D102
        if self.stage.output == "coarse":
            body, head = cut(self._parts["coarse"], ["fc7"])
            return (
                lambda images: body(self._pixels(images) - COARSE_OFFSET),
                lambda maps: self._spread(head(maps)),
            )
        body, head = cut(self._parts["fine"], ["fine4"])

        def up_to_fine4(images: Any) -> list[Any]:
            pixels = self._pixels(images)
            coarse = self._parts["coarse"](pixels - COARSE_OFFSET, training=False)
            return body(self._fine_input(pixels, coarse))

        return up_to_fine4, lambda maps: self._spread(head(maps))

    def _spread(self, log_depth: Any) -> dict[str, Any]:
        """What `depth_outputs` returns, of the cells' log depth."""
        depth = ops.exp(log_depth)
        (top, left), (height, image_width) = self._cells_start(), self.image_size
        row = np.clip((np.arange(height) - top) // CELL, 0, self.grid.rows - 1)
        column = np.clip((np.arange(image_width) - left) // CELL, 0, self.grid.columns - 1)
        return {"depth": ops.take(ops.take(depth, row, axis=1), column, axis=2)}
