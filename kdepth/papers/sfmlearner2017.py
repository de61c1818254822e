"""Unsupervised Learning of Depth and Ego-Motion from Video.

Tinghui Zhou, Matthew Brown, Noah Snavely, David G. Lowe. CVPR 2017, arXiv:1704.07813.

The first to learn depth from monocular video alone: one network sees the depth of the target frame,
another the motion to the frames beside it; the target is rebuilt from those frames, and the
photometric error teaches both. A mask, the explainability, says where that cannot work.

| paper | here |
|---|---|
| view synthesis L_vs, eq. 1 | `SfMLearner.loss_terms`, term `pixel`, with every mask at 1 |
| p_s ~ K T D(p_t) K^-1 p_t, eq. 2 | `geometry.warp.inverse_warp` |
| bilinear sampling, figure 3 | `geometry.warp.warp` with `border` |
| explainability-weighted L_vs, eq. 3 | term `pixel`; E_s is the sigmoid of `explained` |
| L_reg(E), section 3.3 | term `explain` |
| L_smooth, the final objective, eq. 4 | term `smooth`, `losses.smoothness.second_order` |
| DispNet, figure 4 (a) | `build_depth_network` |
| pose and explainability network, figure 4 (b) | `build_pose_network`, cnv1 - cnv5 shared |

total = pixel + lambda_s smooth + lambda_e explain, with
- pixel: over scales s and sources i, the sum of mean(|I_i->t - I_t| E_i), images in [-1, 1];
- smooth: over scales, 2^-s times the sum of mean|second difference| of xx, xy, yx and yy of the
  disparity, each by its own mean; lambda_s = 0.5;
- explain: over scales and sources, the sum of the mean cross entropy of E_i to 1; lambda_e = 0.2.

What is exact, derived, or from memory:
- Layers, losses, projection and optimiser are those of the release's files and of its history; the
  numbers of parameters are counted from them.
- lambda_e = 0.2, and the numbers of the paper's equations and figures, are from memory.

The release changed after the paper, and each later choice is an option:
- `border="zeros_fade"` (default) is the sampler of the CVPR version, `"zeros_hard"` the later one,
  which is zero wherever a neighbour pixel is missing; `"edge"` is neither's.
- `explain_weight` is 0 in the later code, which then builds no masks.
- `batch_norm=True` is the CVPR version's code: batch norm without scale, decay 0.999, in every layer
  but the predictions. It always normalised by the statistics of the batch, at test time as well, so
  that a depth map depended on the other images in its batch. Here training does that (over the
  batch of all replicas) and inference uses the moving averages, which are good after some thousand
  steps; or, with `image_statistics=True`, each image's own, which is what that code does for a batch
  of one. Its checkpoints need that: it never updated their moving averages.
- `released_intrinsics=True` divides all of K by 2^s at scale s; by default the principal point
  moves as pixel centres do.

Deviations: augmentation is drawn for each sample (the release draws once for a batch) and not
rounded to 8 bits; sampling coordinates are those of the images' pixels from the first version on
(the release's grid was one pixel too wide until 2017-08-10); images are resized by Pillow's bilinear
filter in training and at test (the release: bilinear, then Lanczos). The release declares an L2
regulariser and never adds it to its loss, so there is none.

`ssim_weight` (0 by default: the paper has no SSIM) mixes structural dissimilarity into the pixel
term, as later papers do.

Published, KITTI Eigen split, 697 images, Garg crop, median scaling, trained on KITTI (abs_rel,
sq_rel, rmse, rmse_log, delta):
- paper, cap 80 m: 0.208, 1.768, 6.856, 0.283, 0.678 / 0.885 / 0.957; without explainability 0.221,
  2.226, 7.527, 0.294, 0.676 / 0.885 / 0.954 (as quoted by later papers).
- paper, cap 50 m: 0.201, 1.391, 5.181, 0.264, 0.696 / 0.900 / 0.966.
- released model of 2017-08, cap 80 m: 0.183, 1.595, 6.709, 0.270, 0.734 / 0.902 / 0.959 (its README).
5-frame ATE on KITTI odometry: paper 0.021 +- 0.017 m (sequence 09), 0.020 +- 0.015 m (10); updated
model 0.016 +- 0.009 and 0.013 +- 0.009 m (its README).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import keras

from kdepth import backend
from kdepth.backend import ops
from kdepth.errors import UserError
from kdepth.geometry import pose
from kdepth.geometry.camera import resize_matrix
from kdepth.geometry.warp import BORDERS, inverse_warp
from kdepth.losses.numerics import Term, as_floats, mean_term
from kdepth.losses.photometric import image_pyramid, l1, ssim_distance
from kdepth.losses.smoothness import second_order
from kdepth.networks.cut import cut
from kdepth.papers.base import DepthModel, OptimizerSettings, Stage

# -- hyper-parameters --------------------------------------------------------------------------------------------------

SIZE = (128, 416)
SCALES = 4  # of the loss; scale s has 1 / 2^s of the rows and columns
SMOOTH_WEIGHT = 0.5  # lambda_s; divided by 2^s
EXPLAIN_WEIGHT = 0.2  # lambda_e
MAX_ZOOM = 1.15  # augmentation magnifies x and y by U[1, 1.15] each
STAGES = (Stage("all", ("depth", "pose"), epochs=20, learning_rate=2e-4),)  # 200,000 steps of 4

DISPARITY_SCALING, SMALLEST_DISPARITY = 10.0, 0.01  # inverse depth = 10 sigmoid + 0.01
POSE_SCALING = 0.01
# Channels and kernels of cnv1, cnv2, ...; each with stride 2 (and again with stride 1 in DispNet).
DEPTH_ENCODER = ((32, 7), (64, 5), (128, 3), (256, 3), (512, 3), (512, 3), (512, 3))
DEPTH_DECODER = (16, 32, 64, 128, 256, 512, 512)  # upcnv1 / icnv1, upcnv2 / icnv2, ...
POSE_ENCODER = ((16, 7), (32, 5), (64, 3), (128, 3), (256, 3))
POSE_CHANNELS = 256  # of pose/cnv6 and pose/cnv7
MASK_DECODER = ((16, 7), (32, 5), (64, 3), (128, 3), (256, 3))  # exp/upcnv1, exp/upcnv2, ...
BATCH_NORM = {"momentum": 0.999, "epsilon": 1e-3, "scale": False}  # slim's


# -- network -----------------------------------------------------------------------------------------------------------


def normalise(images: Any) -> Any:
    """[0, 1] -> [-1, 1]: what both networks and the loss see."""
    return images * 2.0 - 1.0


class ImageNormalization(keras.layers.BatchNormalization):
    """Batch norm that in inference normalises every image by its own mean and variance."""

    def call(self, x: Any, training: bool = False, **kwargs: Any) -> Any:  # noqa: D102
        if training:
            return super().call(x, training=training, **kwargs)
        wide = ops.cast(x, "float32")
        centred = wide - ops.mean(wide, axis=(1, 2), keepdims=True)
        variance = ops.mean(ops.square(centred), axis=(1, 2), keepdims=True)
        normalised = centred / ops.sqrt(variance + self.epsilon)
        return ops.cast(normalised + ops.cast(self.beta, "float32"), x.dtype)


class LegacyBilinearUp2(keras.layers.Layer):
    """Doubles rows and columns as TensorFlow 1's `resize_bilinear` does: out(i) = in(i / 2).

    Even outputs are the inputs, odd ones the means of two neighbours; the last is repeated. Half a
    pixel away from what TensorFlow 2 calls bilinear.
    """

    def call(self, x: Any) -> Any:  # noqa: D102
        _, height, width, channels = x.shape
        below = ops.concatenate([x[:, 1:], x[:, -1:]], axis=1)
        x = ops.concatenate([x, 0.5 * (x + below)], axis=2)  # each row, then the one between
        x = ops.reshape(x, (-1, 2 * height, width, channels))
        beside = ops.concatenate([x[:, :, 1:], x[:, :, -1:]], axis=2)
        x = ops.concatenate([x, 0.5 * (x + beside)], axis=3)
        return ops.reshape(x, (-1, 2 * height, 2 * width, channels))


def _norm(batch_norm: bool, image_statistics: bool) -> type | None:
    """The class of the layers that normalise, None without."""
    if not batch_norm:
        return None
    return ImageNormalization if image_statistics else keras.layers.BatchNormalization


def _conv(x: Any, channels: int, kernel: int, stride: int, name: str, norm: type | None) -> Any:
    """Convolution (TensorFlow's SAME padding, Glorot's uniform weights) and ReLU."""
    layer = keras.layers.Conv2D(
        channels, kernel, stride, padding="same", use_bias=norm is None, name=name
    )
    return _relu(layer(x), name, norm)


def _upconv(
    x: Any, channels: int, kernel: int, size: tuple[int, int], name: str, norm: type | None
) -> Any:
    """Transposed convolution of stride 2 and ReLU, brought to a size of 2n or 2n - 1.

    From 2n to 2n - 1 the release resizes by TensorFlow 1's nearest neighbour, floor(i 2n / (2n - 1)) =
    i: the last row or column is dropped.
    """
    layer = keras.layers.Conv2DTranspose(
        channels, kernel, 2, padding="same", use_bias=norm is None, name=name
    )
    x = _relu(layer(x), name, norm)
    beyond = [int(n) - wanted for n, wanted in zip(x.shape[1:3], size)]
    if any(beyond):
        x = keras.layers.Cropping2D(((0, beyond[0]), (0, beyond[1])), name=f"{name}_crop")(x)
    return x


def _relu(x: Any, name: str, norm: type | None) -> Any:
    if norm is not None:
        x = norm(name=f"{name}_bn", **BATCH_NORM, **backend.synchronized())(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def _channels(n: int, width: float) -> int:
    return max(4, round(n * width))


def build_depth_network(
    height: int,
    image_width: int,
    width: float,
    batch_norm: bool,
    image_statistics: bool = False,
) -> keras.Model:
    """DispNet with four scales of disparity (paper, figure 4 a).

    Args:
        height: rows of the input, a multiple of 8.
        image_width: columns of the input, a multiple of 8.
        width: channel multiplier; 1 gives 31,596,900 parameters.
        batch_norm: in the place of biases, but for the predictions.
        image_statistics: batch norm that in inference takes each image's own statistics.

    Returns:
        image in [-1, 1] -> disparities (inverse depths in [0.01, 10.01]) of scales 0 to 3.
    """
    norm = _norm(batch_norm, image_statistics)
    # Sizes for 128x416.
    image = x = keras.Input((height, image_width, 3), name="image")
    skips = []
    for level, (n, kernel) in enumerate(DEPTH_ENCODER, start=1):
        x = _conv(x, _channels(n, width), kernel, 2, f"cnv{level}", norm)
        x = _conv(x, _channels(n, width), kernel, 1, f"cnv{level}b", norm)
        skips.append(x)  # [B, 64, 208, 32], [B, 32, 104, 64], ... [B, 2, 7, 512], [B, 1, 4, 512]
    skips.pop()
    disparities = []
    for level in range(len(DEPTH_DECODER), 0, -1):
        n = _channels(DEPTH_DECODER[level - 1], width)
        size = skips[-1].shape[1:3] if skips else (height, image_width)
        joined = [_upconv(x, n, 3, size, f"upcnv{level}", norm), *skips[-1:]]
        if disparities:
            joined.append(LegacyBilinearUp2(name=f"disp{level + 1}_up")(disparities[-1]))
        if len(joined) > 1:
            x = keras.layers.Concatenate(name=f"concat{level}")(joined)
        x = _conv(x, n, 3, 1, f"icnv{level}", norm)
        if level <= SCALES:  # [B, 16, 52, 1], [B, 32, 104, 1], [B, 64, 208, 1], [B, 128, 416, 1]
            disparities.append(_disparity(x, f"disp{level}"))
        skips = skips[:-1]
    return keras.Model(image, disparities[::-1], name="depth")


def _disparity(x: Any, name: str) -> Any:
    x = keras.layers.Conv2D(1, 3, padding="same", name=name)(x)
    x = keras.layers.Activation("sigmoid", dtype="float32", name=f"{name}_sigmoid")(x)
    return keras.layers.Rescaling(
        DISPARITY_SCALING, SMALLEST_DISPARITY, dtype="float32", name=f"{name}_scaling"
    )(x)


def build_pose_network(
    height: int,
    image_width: int,
    sources: int,
    width: float,
    masks: bool,
    batch_norm: bool,
    image_statistics: bool = False,
) -> keras.Model:
    """Motions from the target to every source, and their explainability masks (paper, figure 4 b).

    Args:
        height: rows of the input, a multiple of 8.
        image_width: columns of the input, a multiple of 8.
        sources: their number S.
        width: channel multiplier; 1 gives 1,590,668 parameters for S = 2 without masks, 2,639,180
            with; 1,598,456 and 2,660,232 for S = 4.
        masks: build the masks' decoder.
        batch_norm: in the place of biases, but for the predictions.
        image_statistics: batch norm that in inference takes each image's own statistics.

    Returns:
        frames [B, H, W, 3 (S + 1)] in [-1, 1], the target first, then the sources in time order ->
        `poses` [B, S, 6] (tx, ty, tz, rx, ry, rz) and, with masks, `explain_logits0` ..
        `explain_logits3` [B, H / 2^s, W / 2^s, 2 S]: for source i channel 2i says "not explained",
        2i + 1 "explained".
    """
    norm = _norm(batch_norm, image_statistics)
    # Sizes for 128x416.
    frames = x = keras.Input((height, image_width, 3 * (sources + 1)), name="frames")
    sizes = [(height, image_width)]
    for level, (n, kernel) in enumerate(POSE_ENCODER, start=1):
        x = _conv(x, _channels(n, width), kernel, 2, f"cnv{level}", norm)
        sizes.append(x.shape[1:3])
    shared = x  # [B, 4, 13, 256]
    for level in (6, 7):
        x = _conv(x, _channels(POSE_CHANNELS, width), 3, 2, f"pose_cnv{level}", norm)
    x = keras.layers.Conv2D(6 * sources, 1, name="pose_pred")(x)  # [B, 1, 4, 6 S]
    x = keras.layers.GlobalAveragePooling2D(dtype="float32", name="pose_mean")(x)
    x = keras.layers.Reshape((sources, 6), dtype="float32", name="pose_vectors")(x)
    outputs = {"poses": keras.layers.Rescaling(POSE_SCALING, dtype="float32", name="poses")(x)}
    x = shared
    for level in range(len(MASK_DECODER) if masks else 0, 0, -1):
        n, kernel = MASK_DECODER[level - 1]
        size = sizes[level - 1]
        x = _upconv(x, _channels(n, width), kernel, size, f"exp_upcnv{level}", norm)
        if level <= SCALES:
            logits = keras.layers.Conv2D(2 * sources, kernel, padding="same", name=f"mask{level}")
            outputs[f"explain_logits{level - 1}"] = keras.layers.Activation(
                "linear", dtype="float32", name=f"explain_logits{level - 1}"
            )(logits(x))
    return keras.Model(frames, outputs, name="pose")


# -- loss --------------------------------------------------------------------------------------------------------------


def explained(logits: Any) -> list[Any]:
    """By how much "explained" exceeds "not explained", a map [B, H, W, 1] for every source.

    The mask, a softmax of the two, is the sigmoid of this, and its cross entropy to 1, -log E, the
    softplus of minus this.

    Args:
        logits: [B, H, W, 2 S].
    """
    (logits,) = as_floats(logits)
    maps = ops.split(logits, logits.shape[-1], axis=-1)  # slices one by one are slow to derive
    return [yes - no for no, yes in zip(maps[::2], maps[1::2])]


def photometric(warped: Any, target: Any, ssim_weight: float) -> Any:
    """|warped - target| of images in [-1, 1], [B, H, W, 3], mixed with SSIM if asked for.

    SSIM is taken of the images in [0, 1] and doubled, as the absolute difference is in [-1, 1]: with
    a weight of 0.85 this is twice Godard's appearance term.
    """
    difference = l1(warped, target)
    if not ssim_weight:
        return difference
    structure = ssim_distance(0.5 * warped + 0.5, 0.5 * target + 0.5, padding="reflect")
    return (1.0 - ssim_weight) * difference + ssim_weight * 2.0 * structure


# -- model -------------------------------------------------------------------------------------------------------------


class SfMLearner(DepthModel):
    """Zhou 2017: inverse depth of one frame and the motion to its neighbours, taught by video alone."""

    paper = "sfmlearner"
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "no_mask": {"explain_weight": 0.0},
        "no_smooth": {"smooth_weight": 0.0},
    }
    sample_keys = frozenset({"image", "sources", "intrinsics"})
    output_name = "inverse_depth"
    kind = "relative"
    resize = "bilinear"
    reduction = "mean_of_ratios"
    optimizer_settings = OptimizerSettings("adam")
    output_bounds = (SMALLEST_DISPARITY, SMALLEST_DISPARITY + DISPARITY_SCALING)
    stages = STAGES

    def __init__(
        self,
        height: int = SIZE[0],
        image_width: int = SIZE[1],
        width: float = 1.0,
        sequence: int = 3,
        border: str = "zeros_fade",
        explain_weight: float = EXPLAIN_WEIGHT,
        smooth_weight: float = SMOOTH_WEIGHT,
        ssim_weight: float = 0.0,
        batch_norm: bool = False,
        image_statistics: bool = False,
        released_intrinsics: bool = False,
        max_zoom: float = MAX_ZOOM,
        flip: bool = False,
        seed: int = 0,
    ) -> None:
        """Builds the networks.

        Args:
            height: rows of the input, a multiple of 8.
            image_width: columns of the input, a multiple of 8.
            width: channel multiplier.
            sequence: frames that are seen together, the target in the middle: 3 (depth) or 5 (the
                paper's pose experiments).
            border: where a pixel looks past a source's border: "zeros_fade" (CVPR), "zeros_hard"
                (later release) or "edge".
            explain_weight: lambda_e; 0 builds no masks.
            smooth_weight: lambda_s; scale s has lambda_s / 2^s.
            ssim_weight: share of SSIM in the pixel term, 0 to 1.
            batch_norm: as in the CVPR version's code.
            image_statistics: with batch_norm, predictions normalise each image by itself, as that
                code did for a batch of one, instead of by the moving averages.
            released_intrinsics: K / 2^s at scale s, without the half-pixel term.
            max_zoom: augmentation magnifies each axis by U[1, max_zoom]; 1 for none.
            flip: augmentation mirrors half of the samples (the release does not).
            seed: of weights.

        Raises:
            UserError: for a value that cannot be used.
        """
        if border not in BORDERS:
            raise UserError(
                f"sfmlearner: border must be one of {', '.join(BORDERS)}; received '{border}'"
            )
        if sequence not in (3, 5):
            raise UserError(f"sfmlearner: sequence must be 3 or 5 frames; received {sequence}")
        if height % 8 or image_width % 8 or min(height, image_width) < 32:
            raise UserError(
                "sfmlearner needs --height and --image_width to be multiples of 8, from 32 on (four"
                f" scales); received {height}x{image_width}"
            )
        if image_statistics and not batch_norm:
            raise UserError("sfmlearner: image_statistics is for batch_norm=True")
        if width <= 0 or max_zoom < 1:
            raise UserError(
                f"sfmlearner: width must be > 0 and max_zoom >= 1; received {width} and {max_zoom}"
            )
        if min(explain_weight, smooth_weight) < 0 or not 0 <= ssim_weight <= 1:
            raise UserError(
                "sfmlearner: explain_weight and smooth_weight must be >= 0 and ssim_weight between 0"
                f" and 1; received {explain_weight}, {smooth_weight} and {ssim_weight}"
            )
        options = {
            "height": height,
            "image_width": image_width,
            "width": width,
            "sequence": sequence,
            "border": border,
            "explain_weight": explain_weight,
            "smooth_weight": smooth_weight,
            "ssim_weight": ssim_weight,
            "batch_norm": batch_norm,
            "image_statistics": image_statistics,
            "released_intrinsics": released_intrinsics,
            "max_zoom": max_zoom,
            "flip": flip,
            "seed": seed,
        }
        self.width_multiplier, self.border, self.batch_norm = width, border, batch_norm
        self.image_statistics = image_statistics
        self.ssim_weight, self.released_intrinsics = ssim_weight, released_intrinsics
        self.max_zoom, self.flip = max_zoom, flip
        beside = sequence // 2
        self.source_offsets = (*range(-beside, 0), *range(1, beside + 1))
        self.pose_frames, self.pose_target = sequence, beside
        self.has_masks = explain_weight > 0
        explain = {"explain": explain_weight} if self.has_masks else {}
        self.term_weights = {"pixel": 1.0, "smooth": smooth_weight, **explain}
        super().__init__(height=height, image_width=image_width, seed=seed, options=options)

    def build_parts(self) -> dict[str, keras.Model]:  # noqa: D102
        height, image_width = self.image_size
        return {
            "depth": build_depth_network(
                height,
                image_width,
                self.width_multiplier,
                self.batch_norm,
                self.image_statistics,
            ),
            "pose": build_pose_network(
                height,
                image_width,
                len(self.source_offsets),
                self.width_multiplier,
                self.has_masks,
                self.batch_norm,
                self.image_statistics,
            ),
        }

    def augment(self, sample: dict[str, Any], seed: Any) -> dict[str, Any]:
        """Zooms each axis by U[1, max_zoom] and crops at random, all frames alike; flips if asked for."""
        from kdepth.data import augment

        if self.flip:
            sample = augment.flip_sources(sample, seed)
        if self.max_zoom > 1:
            sample = augment.scale_crop(sample, seed, 1.0, self.max_zoom, method="area")
        return sample

    def forward(self, batch: Mapping[str, Any], training: bool) -> dict[str, Any]:
        """`disp0` .. `disp3`, `poses` and, with masks, `explain_logits0` .. `explain_logits3`."""
        target, sources = normalise(batch["image"]), normalise(batch["sources"])
        frames = [target, *(sources[:, i] for i in range(len(self.source_offsets)))]
        outputs = dict(self._parts["pose"](ops.concatenate(frames, axis=-1), training=training))
        disparities = self._parts["depth"](target, training=training)
        return {**outputs, **{f"disp{s}": disparity for s, disparity in enumerate(disparities)}}

    def loss_terms(  # noqa: D102
        self, batch: Mapping[str, Any], outputs: Mapping[str, Any]
    ) -> dict[str, list[Term]]:
        targets = image_pyramid(normalise(batch["image"]), SCALES)
        sources = [
            image_pyramid(normalise(batch["sources"][:, i]), SCALES)
            for i in range(len(self.source_offsets))
        ]
        terms: dict[str, list[Term]] = {name: [] for name in self.term_weights}
        for s, target in enumerate(targets):
            for second in map(mean_term, second_order(outputs[f"disp{s}"])):
                terms["smooth"].append(Term(second.numerator * 0.5**s, second.denominator))
            if self.has_masks:
                margins = explained(outputs[f"explain_logits{s}"])
                terms["explain"] += [mean_term(ops.softplus(-margin)) for margin in margins]
            for i, pyramid in enumerate(sources):
                warped = self._warped(pyramid[s], s, i, batch["intrinsics"], outputs)
                error = photometric(warped, target, self.ssim_weight)
                mask = ops.sigmoid(margins[i]) if self.has_masks else 1.0
                terms["pixel"].append(mean_term(error * mask))
        return terms

    def _warped(
        self, source: Any, scale: int, i: int, intrinsics: Any, outputs: Mapping[str, Any]
    ) -> Any:
        """Source i at a scale, seen from the target's camera: [B, H / 2^scale, W / 2^scale, 3]."""
        shrink = 0.5**scale
        return inverse_warp(
            source,
            1.0 / outputs[f"disp{scale}"],
            pose.from_vector(outputs["poses"][:, i], clip=True),
            resize_matrix(intrinsics, shrink, shrink, released=self.released_intrinsics),
            border=self.border,
            z_policy="eps_1e-10",
            image_gradient=False,
        ).image

    def depth_outputs(self, images: Any) -> dict[str, Any]:
        """Inverse depth [B, H, W, 1] up to one unknown factor, in [0.01, 10.01]."""
        return {"inverse_depth": self._parts["depth"](normalise(images), training=False)[0]}

    def depth_body_and_head(self) -> tuple[Callable, Callable]:  # noqa: D102
        body, head = cut(self._parts["depth"], ["disp1"])
        return (
            lambda images: body(normalise(images)),
            lambda maps: {"inverse_depth": head(maps)},
        )

    def pose_outputs(self, frames: Any) -> dict[str, Any]:
        """Motions from the middle frame to each of the others, [B, S, 6]; frames in time order."""
        in_time = [frames[..., 3 * k : 3 * k + 3] for k in range(self.pose_frames)]
        target_first = [in_time.pop(self.pose_target), *in_time]
        stacked = normalise(ops.concatenate(target_first, axis=-1))
        return {"pose": self._parts["pose"](stacked, training=False)["poses"]}

    def picture_outputs(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Inverse depth and, for each source, its full-size mask and what it makes of the target."""
        batch = {key: ops.convert_to_tensor(value) for key, value in batch.items()}
        outputs = self.forward(batch, training=False)
        pictures = {"inverse_depth": outputs["disp0"]}
        for i, offset in enumerate(self.source_offsets):
            source = batch["sources"][:, i]
            warped = self._warped(normalise(source), 0, i, batch["intrinsics"], outputs)
            pictures[f"warped_{offset:+d}"] = 0.5 * warped + 0.5
            if self.has_masks:
                pictures[f"mask_{offset:+d}"] = ops.sigmoid(
                    explained(outputs["explain_logits0"])[i]
                )
        return pictures
