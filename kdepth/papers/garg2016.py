"""Unsupervised CNN for Single View Depth Estimation: Geometry to the Rescue.

Ravi Garg, Vijay Kumar B.G., Gustavo Carneiro, Ian Reid. ECCV 2016, arXiv:1603.04992.

The first to learn depth from stereo pairs alone: predict the left image's disparity, rebuild the
left image from the right one, and let the photometric error teach.

| paper | here |
|---|---|
| D = f B / d, section 2 | `DepthModel.predict_depth` through `Prediction.to_depth` |
| E_recons, eq. 1 - 2 | `Garg.loss_terms`, term `photometric` |
| E_smooth, eq. 3 | term `smooth`, `losses.smoothness.l2_gradient` |
| linearised warp, eq. 4 - 5 | `linearised_warp` |
| network L1 - L12, figure 2 | `build_paper_network`: AlexNet's encoder and L7 - L9 are the part `coarse` |
| coarse to fine, section 3 | `stages`: L9, L10, L11, L12 |

Two things carry this name. `variant="paper"` (the default) is the ECCV network P;
`variant="released"` is R, the half-width ResNet-50 that the authors published as Caffe code,
trained end to end with L1 and an edge-aware smoothness.

What is exact, derived, or from memory:
- R's network, loss, warp, its backward rule and solver are those of the release's files.
- The numbers of equations, figures and sections, and P's resolutions (188x620 in; 22x76, 44x152,
  88x304, 176x608 out), gamma = 0.01, SGD's rate and
  weight decay and the augmentation are from memory of the paper. The layers' sizes are derived:
  they are the ones that reproduce these resolutions.
- P, chosen here because nothing is stated: He's initialisation from scratch (no ImageNet AlexNet),
  score layers start at 0; images enter as 0.004 (BGR - mean), R's scaling; up-sampling repeats the
  map's border instead of padding zeros; a pixel that looks past the other image's border is
  compared with the border's pixel and gets no gradient through its disparity; epochs and rate of
  stages L10 - L12.

Deviation: both variants predict d > 0 for a left input (the sample is taken at x - d), whatever the
sign in the release.

Published, KITTI Eigen split, 697 images, Garg crop:
- P "L12 Aug 8x", cap 50 m: abs_rel 0.169, sq_rel 1.080, rmse 5.104, rmse_log 0.273, delta 0.740 /
  0.904 / 0.962 (as quoted by later papers).
- R, cap 50 m: abs_rel 0.137796, sq_rel 0.824861, rmse 4.400866, rmse_log 0.233548, delta 0.809765 /
  0.935108 / 0.974739 (its README).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import keras
import numpy as np

from kdepth import backend
from kdepth.backend import ops
from kdepth.errors import UserError
from kdepth.geometry.camera import Camera, crop_matrix, resize_matrix
from kdepth.geometry.warp import pixel_grid, valid_mask, warp, warp_disparity
from kdepth.losses.numerics import Term, as_floats, mean_term, sum_term
from kdepth.losses.photometric import l2
from kdepth.losses.smoothness import central_difference_x, central_difference_y, l2_gradient
from kdepth.networks.cut import cut
from kdepth.networks.layers import (
    BilinearUp2,
    ChannelScale,
    LocalResponseNormalization,
    StepDropout,
    ceil_max_pool,
    learned_up2,
)
from kdepth.papers.base import DepthModel, OptimizerSettings, Stage
from kdepth.prediction import Rig

# -- hyper-parameters --------------------------------------------------------------------------------------------------

BGR_MEAN = (104.0, 117.0, 123.0)  # Caffe's ImageNet mean, of 0..255
IMAGE_SCALE = 0.004  # release: "Power" layer, 1 / 250

PAPER_SIZE = (188, 620)
PAPER_CHANNELS = (96, 256, 384, 384, 256, 2048)
PAPER_REDUCTION = {"L9": 8, "L10": 4, "L11": 2, "L12": 1}  # input pixels per output pixel
PAPER_MARGIN = 6  # input pixels before the first output pixel: a cell of L9 spans 5.5 .. 13.5, from its receptive field
PAPER_SCORES = ("L7", "L8_skip", "L9_skip")  # the layers that make one channel of many
PAPER_SMOOTH_WEIGHT = 0.01  # gamma
PAPER_STAGES = (
    Stage("L9", ("coarse",), epochs=100, learning_rate=0.01, output="L9"),
    Stage("L10", ("coarse", "L10"), epochs=20, learning_rate=0.001, output="L10"),
    Stage("L11", ("coarse", "L10", "L11"), epochs=20, learning_rate=0.001, output="L11"),
    Stage("L12", ("coarse", "L10", "L11", "L12"), epochs=20, learning_rate=0.001, output="L12"),
)

RELEASED_SIZE = (160, 608)
RELEASED_BLOCKS = (
    (3, 32),
    (4, 64),
    (6, 128),
    (3, 256),
)  # bottlenecks of a stage, their inner channels
RELEASED_SKIP_SCALES = (0.01, 1e-4, 1e-5, 1e-6)  # score4, score3, score2, score1
RELEASED_SCORES = ("score_fr", "skip4", "skip3", "skip2", "skip1")
RELEASED_SKIP_RATE = 0.01  # lr_mult of the skip scales
RELEASED_BIAS_RATE = 2.0  # lr_mult of biases
RELEASED_SMOOTH_WEIGHT = 0.05
RELEASED_EDGE_WEIGHT = 0.33
RELEASED_STAGES = (Stage("all", ("depth",), epochs=97, learning_rate=1e-3, output="disparity"),)

SMALLEST_DISPARITY = 1e-3  # pixels: the network may predict d <= 0, which means "infinitely far"


# -- network -----------------------------------------------------------------------------------------------------------


def normalise(images: Any) -> Any:
    """RGB in [0, 1] -> BGR of 0..255 minus the mean, as Caffe's networks see images."""
    bgr = ops.concatenate([images[..., 2:3], images[..., 1:2], images[..., 0:1]], axis=-1)
    return bgr * 255.0 - ops.convert_to_tensor(np.asarray(BGR_MEAN, "float32"))


def paper_sizes(height: int, image_width: int) -> dict[str, tuple[int, int]]:
    """Sizes of P's maps for an input size: {"L7": (h, w), ..., "L12": (h, w)}.

    Raises:
        UserError: if the image is too small for the encoder.
    """
    rows, columns = (_paper_axis(n) for n in (height, image_width))
    if min(rows["L7"], columns["L7"]) < 1:
        raise UserError(
            f"garg needs images of at least 39x39; received {height}x{image_width} (--height, --image_width)"
        )
    return {name: (rows[name], columns[name]) for name in rows}


def _paper_axis(size: int) -> dict[str, int]:
    def pool(n: int) -> int:
        return n // 2  # = ceil((n - 3) / 2) + 1

    level9 = pool((size - 11) // 4 + 1)
    level8 = pool(level9)
    return {
        "L7": pool(level8),
        "L8": level8,
        "L9": level9,
        "L10": 2 * level9,
        "L11": 4 * level9,
        "L12": 8 * level9,
    }


def build_paper_network(
    height: int, image_width: int, width: float, dropout: float, seed: int, step: Any
) -> dict[str, keras.Model]:
    """Network P: AlexNet's convolutions, one score map, bilinear up-sampling with skips (paper, figure 2).

    Args:
        height: rows of the input.
        image_width: columns of the input.
        width: channel multiplier.
        dropout: rate after conv6.
        seed: of dropout.
        step: gives the step counter.

    Returns:
        `coarse`: image -> disparity of L9 in its pixels; `L10`, `L11`, `L12`: the map before ->
        twice its size.
    """
    sizes = paper_sizes(height, image_width)
    channels = [max(4, round(c * width)) for c in PAPER_CHANNELS]

    def conv(x: Any, index: int, kernel: int, stride: int = 1, padding: str = "same") -> Any:
        return keras.layers.Conv2D(
            channels[index - 1],
            kernel,
            stride,
            padding,
            activation="relu",
            kernel_initializer="he_normal",
            name=f"conv{index}",
        )(x)

    def score(x: Any, name: str) -> Any:
        return keras.layers.Conv2D(1, 1, kernel_initializer="zeros", name=name)(x)

    def add(up: Any, skip: Any, name: str) -> Any:
        return keras.layers.Add(name=name)([up, skip])

    # Sizes for 188x620.
    image = keras.Input((height, image_width, 3), name="image")
    x = conv(image, 1, 11, 4, "valid")  # [B, 45, 153, 96]
    x = LocalResponseNormalization(name="norm1")(ceil_max_pool(x, "pool1"))  # [B, 22, 76, 96]
    conv2 = conv(x, 2, 5)  # [B, 22, 76, 256]
    x = LocalResponseNormalization(name="norm2")(ceil_max_pool(conv2, "pool2"))  # [B, 11, 38, 256]
    conv5 = conv(conv(conv(x, 3, 3), 4, 3), 5, 3)  # [B, 11, 38, 256]
    x = ceil_max_pool(conv5, "pool5")  # [B, 5, 19, 256]
    x = StepDropout(dropout, seed, step, name="drop6")(conv(x, 6, 5))  # [B, 5, 19, 2048]
    x = score(x, "L7")  # [B, 5, 19, 1]
    x = add(learned_up2(x, *sizes["L8"], "L8_up"), score(conv5, "L8_skip"), "L8")  # [B, 11, 38, 1]
    x = add(learned_up2(x, *sizes["L9"], "L9_up"), score(conv2, "L9_skip"), "L9")  # [B, 22, 76, 1]
    parts = {"coarse": keras.Model(image, _as_float32(x, "disparity"), name="coarse")}
    for finer, coarser in (("L10", "L9"), ("L11", "L10"), ("L12", "L11")):
        before = keras.Input((*sizes[coarser], 1), name="disparity_before")
        up = learned_up2(before, *sizes[finer], f"{finer}_up")
        parts[finer] = keras.Model(before, _as_float32(up, "disparity"), name=finer)
    return parts


def build_released_network(height: int, image_width: int, width: float) -> keras.Model:
    """Network R: half-width ResNet-50, max pools instead of strides, scaled skips into bilinear up-sampling.

    Args:
        height: rows of the input, a multiple of 32.
        image_width: columns of the input, a multiple of 32.
        width: channel multiplier; 1 gives the release's 6,003,269 parameters.

    Returns:
        image (BGR minus mean) -> disparity in pixels, [B, H, W, 1]; exactly 0 at the start.

    Raises:
        UserError: if the size is no multiple of 32.
    """
    if height % 32 or image_width % 32:
        raise UserError(
            "garg --variant=released needs --height and --image_width to be multiples of 32;"
            f" received {height}x{image_width}"
        )

    def channels(n: int) -> int:
        return max(4, round(n * width))

    def conv_bn(x: Any, n: int, kernel: int, name: str, relu: bool = True) -> Any:
        # Caffe's "xavier" looks at the inputs alone.
        xavier = keras.initializers.VarianceScaling(1.0, "fan_in", "uniform")
        x = keras.layers.Conv2D(
            channels(n), kernel, padding="same", kernel_initializer=xavier, name=name
        )(x)
        x = keras.layers.BatchNormalization(
            momentum=0.999, epsilon=1e-5, name=f"{name}_bn", **backend.synchronized()
        )(x)
        return keras.layers.ReLU(name=f"{name}_relu")(x) if relu else x

    def bottleneck(x: Any, inner: int, name: str, project: bool) -> Any:
        shortcut = conv_bn(x, 4 * inner, 1, f"{name}_project", relu=False) if project else x
        x = conv_bn(x, inner, 1, f"{name}_reduce")
        x = conv_bn(x, inner, 3, f"{name}_conv")
        x = conv_bn(x, 4 * inner, 1, f"{name}_expand", relu=False)
        x = keras.layers.Add(name=f"{name}_add")([shortcut, x])
        return keras.layers.ReLU(name=f"{name}_relu")(x)

    def pool(x: Any, index: int) -> Any:
        return keras.layers.MaxPool2D(2, 2, name=f"pool{index}")(x)

    def score(x: Any, name: str) -> Any:  # the release gives no filler, so Caffe starts at 0
        return keras.layers.Conv2D(1, 1, kernel_initializer="zeros", name=name)(x)

    # Sizes for 160x608.
    image = keras.Input((height, image_width, 3), name="image")
    x = pool(conv_bn(image, 64, 7, "conv_0"), 1)  # [B, 80, 304, 64]
    x = conv_bn(x, 128, 3, "conv_1")
    skips = [x]
    for index, (count, inner) in enumerate(RELEASED_BLOCKS):
        x = pool(x, index + 2)
        for block in range(count):
            x = bottleneck(x, inner, f"stage{index}_{block}", project=block == 0)
        skips.append(x)  # [B, 40, 152, 128], [B, 20, 76, 256], [B, 10, 38, 512], [B, 5, 19, 1024]
    x = score(skips.pop(), "score_fr")  # [B, 5, 19, 1]
    for level, scale in zip((4, 3, 2, 1), RELEASED_SKIP_SCALES):
        x = keras.layers.Rescaling(2.0, name=f"px{level + 1}")(
            BilinearUp2(name=f"up{level + 1}")(x)
        )
        skip = ChannelScale(scale, name=f"skip{level}")(skips.pop())
        x = keras.layers.Add(name=f"add{level}")([x, score(skip, f"score{level}")])
    x = keras.layers.Rescaling(2.0, name="px1")(BilinearUp2(name="up1")(x))  # [B, 160, 608, 1]
    return keras.Model(image, _as_float32(x, "disparity"), name="depth")


def _as_float32(x: Any, name: str) -> Any:
    return keras.layers.Activation("linear", dtype="float32", name=name)(x)


# -- loss --------------------------------------------------------------------------------------------------------------


def linearised_warp(image: Any, xy: Any, border: str = "edge", vertical: bool = True) -> Any:
    """I(x + D), whose derivative by the coordinates is the warped gradient image (paper, eq. 4 - 5).

    I(x + D_n) ~ I(x + D_{n-1}) + (D_n - D_{n-1}) I_h(x + D_{n-1}): taken around the current
    estimate, the value is that of the exact warp and the derivative is I_h there, the central
    difference of the image instead of the bilinear kernel's slope.

    Args:
        image: [B, H, W, C], a constant.
        xy: [B, H, W, 2] where to sample, pixels.
        border: as in `kdepth.geometry.warp.warp`. Outside the image the derivative is 0.
        vertical: False where the rows are constants (rectified pairs), which saves a third of the
            work.

    Returns:
        [B, H, W, C].
    """
    image, xy = as_floats(image, xy)
    here = ops.stop_gradient(xy)
    inside = valid_mask(here, *ops.shape(image)[1:3])
    channels = int(image.shape[-1])
    stacked = [image, ops.pad(central_difference_x(image), [[0, 0], [0, 0], [1, 1], [0, 0]])]
    if vertical:
        stacked.append(ops.pad(central_difference_y(image), [[0, 0], [1, 1], [0, 0], [0, 0]]))
    stacked = ops.concatenate(stacked, axis=-1)
    warped = ops.stop_gradient(warp(stacked, here, border, image_gradient=False))
    move = (xy - here) * inside  # zero by value: only its derivative counts
    result = warped[..., :channels] + move[..., 0:1] * warped[..., channels : 2 * channels]
    if vertical:
        result = result + move[..., 1:2] * warped[..., 2 * channels :]
    return result


def released_warp(image: Any, disparity: Any) -> Any:
    """R's warp: hard zeros past the border; backwards, the central difference of the **warped** image.

    d recon / d disparity := -0.5 (recon(x + 1) - recon(x - 1)), 0 in the first and last column (the
    release's layer moves by +h where we move by -d).

    Args:
        image: [B, H, W, C], a constant.
        disparity: [B, H, W, 1] pixels.
    """
    image, disparity = as_floats(image, disparity)
    here = ops.stop_gradient(disparity)
    value = ops.stop_gradient(warp_disparity(image, here, "zeros_hard", image_gradient=False))
    slope = ops.pad(central_difference_x(value), [[0, 0], [0, 0], [1, 1], [0, 0]])
    return value - (disparity - here) * slope


def caffe_absolute(difference: Any) -> Any:
    """|x| whose derivative at 0 is -1, as in the release's L1 layer."""
    return ops.where(difference > 0.0, difference, -difference)


def released_smoothness(disparity: Any, image: Any) -> Term:
    """R's edge-aware penalty: sums of |w d'| over central differences, [B].

    The weights differ by direction, an accident of the release that its numbers include: channels
    are taken absolute before they are summed in y, and after in x.
    """
    edges_x, edges_y = central_difference_x(image), central_difference_y(image)
    weight_x = ops.abs(ops.sum(edges_x, axis=-1, keepdims=True))[:, 1:-1]
    weight_y = ops.sum(ops.abs(edges_y), axis=-1, keepdims=True)[:, :, 1:-1]
    slope_x = central_difference_x(disparity)[:, 1:-1]
    slope_y = central_difference_y(disparity)[:, :, 1:-1]
    return sum_term(
        caffe_absolute(ops.exp(-RELEASED_EDGE_WEIGHT * weight_x) * slope_x)
        + caffe_absolute(ops.exp(-RELEASED_EDGE_WEIGHT * weight_y) * slope_y)
    )


# -- model -------------------------------------------------------------------------------------------------------------


class Garg(DepthModel):
    """Garg 2016: disparity of a left image, taught by its right neighbour or by a second frame."""

    paper = "garg"
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "no_smooth": {"smooth_weight": 0.0},
        "exact_gradient": {"gradient": "exact"},
    }
    output_name = "disparity"
    kind = "metric"
    source_offsets = (1,)

    def __init__(
        self,
        variant: str = "paper",
        height: int | None = None,
        image_width: int | None = None,
        width: float = 1.0,
        pair: str = "stereo",
        gradient: str = "linearised",
        smooth_weight: float | None = None,
        dropout: float = 0.5,
        max_zoom: float = 1.6,
        baseline: float = 0.54,
        seed: int = 0,
    ) -> None:
        """Builds the network.

        Args:
            variant: "paper" (P, AlexNet-like, coarse to fine) or "released" (R, half-width
                ResNet-50).
            height: rows of the input; the variant's own by default.
            image_width: columns of the input; the variant's own by default.
            width: channel multiplier.
            pair: "stereo", or "video": two frames with known camera motion (paper, section 2.1: any
                two views of known pose).
            gradient: "linearised" (paper, eq. 5) or "exact" (of the bilinear kernel).
            smooth_weight: gamma; 0.01 for P, 0.05 for R.
            dropout: rate after conv6 (P).
            max_zoom: augmentation magnifies by U[1, max_zoom] (P).
            baseline: with pair="video", metres of the virtual stereo rig whose disparity the
                network predicts.
            seed: of weights and dropout.

        Raises:
            UserError: for a value that cannot be used.
        """
        for name, value, allowed in (
            ("variant", variant, ("paper", "released")),
            ("pair", pair, ("stereo", "video")),
            ("gradient", gradient, ("linearised", "exact")),
        ):
            if value not in allowed:
                raise UserError(
                    f"garg: {name} must be one of {', '.join(allowed)}; received '{value}'"
                )
        if width <= 0 or max_zoom < 1:
            raise UserError(
                f"garg: width must be > 0 and max_zoom >= 1; received {width} and {max_zoom}"
            )
        if variant == "released" and pair == "video":
            raise UserError(
                "garg: the released variant learns from stereo pairs only; use variant=paper"
            )
        released = variant == "released"
        size = RELEASED_SIZE if released else PAPER_SIZE
        height, image_width = height or size[0], image_width or size[1]
        default_weight = RELEASED_SMOOTH_WEIGHT if released else PAPER_SMOOTH_WEIGHT
        smooth_weight = default_weight if smooth_weight is None else smooth_weight
        options = {
            "variant": variant,
            "height": height,
            "image_width": image_width,
            "width": width,
            "pair": pair,
            "gradient": gradient,
            "smooth_weight": smooth_weight,
            "dropout": dropout,
            "max_zoom": max_zoom,
            "baseline": baseline,
            "seed": seed,
        }
        self.variant, self.width_multiplier, self.pair, self.gradient = (
            variant,
            width,
            pair,
            gradient,
        )
        self.dropout, self.max_zoom, self.video_baseline = dropout, max_zoom, baseline
        self.term_weights = {"photometric": 1.0, "smooth": smooth_weight}
        if pair == "video":
            self.sample_keys = frozenset({"image", "sources", "intrinsics", "T_sources_image"})
        else:
            self.sample_keys = frozenset({"image", "stereo"})
        if released:
            self.stages, self.resize = RELEASED_STAGES, "bicubic"
            self.optimizer_settings = OptimizerSettings("adam", weight_decay=1e-4)
        else:
            self.stages = PAPER_STAGES
            self.optimizer_settings = OptimizerSettings("sgd", momentum=0.9, weight_decay=5e-4)
            self.sizes = paper_sizes(height, image_width)
        super().__init__(height=height, image_width=image_width, seed=seed, options=options)

    def build_parts(self) -> dict[str, keras.Model]:  # noqa: D102
        if self.variant == "released":
            return {"depth": build_released_network(*self.image_size, self.width_multiplier)}
        return build_paper_network(
            *self.image_size, self.width_multiplier, self.dropout, self.seed, lambda: self.step
        )

    def learning_rate_multiplier(self, path: str) -> float:  # noqa: D102
        if self.variant == "paper":
            return 1.0
        if path.endswith("/factor"):
            return RELEASED_SKIP_RATE
        return RELEASED_BIAS_RATE if path.endswith("/bias") else 1.0

    def rig_of(self, camera: Camera, baseline: float | None) -> Rig:  # noqa: D102
        return super().rig_of(camera, self.video_baseline if self.pair == "video" else baseline)

    def augment(self, sample: dict[str, Any], seed: Any) -> dict[str, Any]:
        """Flips; for P also colours U[0.9, 1.1] per channel and zoom U[1, max_zoom] with a random crop."""
        from kdepth.data import augment

        flip = augment.flip_stereo if self.pair == "stereo" else augment.flip_sources
        sample = flip(sample, seed)
        if self.variant == "released":
            return sample
        sample = augment.colour_multiply(sample, seed, 0.9, 1.1)
        return augment.scale_crop(sample, seed, 1.0, self.max_zoom)

    def forward(self, batch: Mapping[str, Any], training: bool) -> dict[str, Any]:
        """{level: disparity in pixels of that level}, up to the level of the stage."""
        return self._disparities(batch["image"], self.stage.output, training)

    def _disparities(self, images: Any, last: str, training: bool) -> dict[str, Any]:
        images = self._network_input(images)
        if self.variant == "released":
            return {"disparity": self._parts["depth"](images, training=training)}
        return self._finer(self._parts["coarse"](images, training=training), last, training)

    def _network_input(self, images: Any) -> Any:
        images = normalise(images)
        return images if self.variant == "released" else images * IMAGE_SCALE

    def _finer(self, coarse: Any, last: str, training: bool) -> dict[str, Any]:
        """P's maps from L9 up to the level `last`."""
        level = "L9"
        disparities = {level: coarse}
        for finer in ("L10", "L11", "L12"):
            if level == last:
                break
            disparities[finer] = self._parts[finer](disparities[level], training=training)
            level = finer
        return disparities

    def loss_terms(self, batch: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, Term]:  # noqa: D102
        target = normalise(batch["image"]) * IMAGE_SCALE
        other = batch["stereo"] if self.pair == "stereo" else batch["sources"][:, 0]
        other = normalise(other) * IMAGE_SCALE
        disparity = outputs[self.stage.output]
        if self.variant == "released":
            rebuilt = self._released_rebuilt(other, disparity)
            return {
                "photometric": sum_term(caffe_absolute(rebuilt - target)),
                "smooth": released_smoothness(disparity, target),
            }
        target, other = self._at_level(target), self._at_level(other)
        xy = (
            self._stereo_xy(disparity)
            if self.pair == "stereo"
            else self._video_xy(batch, disparity)
        )
        if self.gradient == "exact":
            rebuilt = warp(other, xy, "edge", image_gradient=False)
        else:
            rebuilt = linearised_warp(other, xy, vertical=self.pair == "video")
        along_x, along_y = l2_gradient(disparity)
        smooth_x, smooth_y = mean_term(along_x), mean_term(along_y)
        pixels = mean_term(disparity).denominator
        return {
            "photometric": Term(mean_term(l2(rebuilt, target)).numerator, pixels),
            "smooth": Term(smooth_x.numerator + smooth_y.numerator, pixels),
        }

    def _released_rebuilt(self, other: Any, disparity: Any) -> Any:
        if self.gradient == "exact":
            return warp_disparity(other, disparity, "zeros_hard", image_gradient=False)
        return released_warp(other, disparity)

    def _at_level(self, images: Any) -> Any:
        """The part of images that the stage's level sees, area-averaged to its size."""
        rows, columns = self.sizes["L12"]
        reduction = PAPER_REDUCTION[self.stage.output]
        start = PAPER_MARGIN
        images = images[:, start : start + rows, start : start + columns]
        if reduction == 1:
            return images
        return ops.average_pool(images, (reduction, reduction), (reduction, reduction))

    def _stereo_xy(self, disparity: Any) -> Any:
        grid = pixel_grid(*ops.shape(disparity)[1:3])
        x = grid[..., 0:1] - disparity
        return ops.concatenate([x, grid[..., 1:2] + ops.zeros_like(disparity)], axis=-1)

    def _video_xy(self, batch: Mapping[str, Any], disparity: Any) -> Any:
        """Where the target's pixels lie in the other frame, with inverse depth = disparity / (fx baseline).

        Written in inverse depth q: K (R ray + q t), which needs no depth and is smooth through q =
        0, where P starts.
        """
        reduction = PAPER_REDUCTION[self.stage.output]
        matrix = crop_matrix(batch["intrinsics"], PAPER_MARGIN, PAPER_MARGIN)
        matrix = resize_matrix(matrix, 1.0 / reduction, 1.0 / reduction)[:, None, None, None]
        motion = batch["T_sources_image"][:, 0][:, None, None, None]  # [B, 1, 1, 1, 4, 4]
        rows, columns = ops.shape(disparity)[1:3]
        camera = Camera.from_matrix(matrix, columns, rows)
        inverse_depth = disparity / (camera.fx * self.video_baseline)  # [B, H, W, 1]
        grid = pixel_grid(rows, columns)
        ray = camera.backproject(grid[..., 0:1], grid[..., 1:2], 1.0)
        x, y, z = (
            motion[..., row, 0] * ray[0]
            + motion[..., row, 1] * ray[1]
            + motion[..., row, 2] * ray[2]
            + motion[..., row, 3] * inverse_depth
            for row in range(3)
        )
        # A point behind the other camera has no image: it is sent far outside, where it gets no
        # gradient.
        seen = z > 1e-3
        x, y = camera.project(x, y, ops.where(seen, z, ops.ones_like(z)))
        xy = ops.concatenate([x, y], axis=-1)
        return ops.where(seen, xy, ops.full_like(xy, -1e4))

    def depth_outputs(self, images: Any) -> dict[str, Any]:
        """Disparity as a fraction of the width, [B, H, W, 1], at the input's size."""
        last = "disparity" if self.variant == "released" else "L12"
        return self._full_size(self._disparities(images, last, False)[last])

    def depth_body_and_head(self) -> tuple[Callable, Callable]:  # noqa: D102
        if self.variant == "released":
            body, head = cut(self._parts["depth"], RELEASED_SCORES)
            return (
                lambda images: body(self._network_input(images)),
                lambda maps: self._full_size(head(maps)),
            )
        body, head = cut(self._parts["coarse"], PAPER_SCORES)
        return (
            lambda images: body(self._network_input(images)),
            lambda maps: self._full_size(self._finer(head(maps), "L12", False)["L12"]),
        )

    def _full_size(self, pixels: Any) -> dict[str, Any]:
        """What `depth_outputs` returns, of the finest disparities in pixels."""
        height, image_width = self.image_size
        if self.variant == "paper":
            rows, columns = self.sizes["L12"]
            # P does not see the outermost pixels; the map is continued there by its border.
            row = np.clip(np.arange(height) - PAPER_MARGIN, 0, rows - 1)
            column = np.clip(np.arange(image_width) - PAPER_MARGIN, 0, columns - 1)
            pixels = ops.take(ops.take(pixels, row, axis=1), column, axis=2)
        return {"disparity": ops.maximum(pixels, SMALLEST_DISPARITY) / float(image_width)}
