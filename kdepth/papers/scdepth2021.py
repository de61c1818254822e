"""Unsupervised Scale-consistent Depth Learning from Video.

Jia-Wang Bian, Huangying Zhan, Naiyan Wang, Zhichao Li, Le Zhang, Chunhua Shen, Ming-Ming Cheng, Ian
Reid. IJCV 2021, arXiv:2105.11610. Before it: Unsupervised Scale-consistent Depth and Ego-motion
Learning from Monocular Video, NeurIPS 2019, arXiv:1908.10553.

Depth and camera motion from video alone. The depth maps of neighbouring frames have to agree in 3D,
which makes one scale of a whole video; where they do not agree, something moves or is hidden.

| paper | here |
|---|---|
| L = alpha L_P + beta L_S + gamma L_GC | `SCDepth.loss_terms`, terms `photometric`, `smooth`, `geometry` |
| L_P, L1 and SSIM of the warped image over valid points | `compare_views`, `photometric_map` |
| L_S, edge-aware smoothness | `losses.smoothness.edge_aware` |
| D_diff, depth inconsistency, and L_GC, its mean | `compare_views`, `depth_difference` |
| M_s = 1 - D_diff, self-discovered mask, weighs L_P | `compare_views`, `self_mask` |
| M_a, auto-mask of what looks static | `compare_views`, `auto_mask` |
| projection and warp | `geometry.warp.inverse_warp` |
| DepthNet, PoseNet | `build_depth_network`, `build_pose_network` |

Equations carry no numbers here, because the papers' texts were not at hand: everything is the
released code's, of which there are three states. `VARIANTS` holds all that they do differently:
- `release` (default): SC-SfMLearner-Release as it stands, the code of the IJCV numbers.
- `neurips`: the same repository's first commit, August 2019.
- `lightning`: sc_depth_pl, "v1".

Deviations:
- The release's sampler mixes two conventions and shifts images by -0.5 pixel at the left edge to
  +0.5 at the right (its issue 70). Here a pixel is sampled where it was projected to, as in 2019.
- `neurips` uses the ResNets too: its own DispResNet without batch norm and PoseNet are not built.
- A pixel behind the other camera is never valid (release: z is clamped, so one could land inside).
- "Fewer than 10,000 valid pixels count as 0" is applied to the smoothness as well, so a batch that
  small trains nothing; `fewest_pixels` changes the number.
- Zoomed images are interpolated bilinearly (release: Pillow's default); a mirrored camera has cx' =
  W - 1 - cx (release: W - cx). Batch norm keeps the biased variance (torch: the unbiased one).
- ImageNet weights have to be asked for, see `networks.imagenet`. From torchvision's ResNet-18 both
  encoders start, as in the releases; from a ResNet-50 the depth encoder alone, so that the pose
  network starts at random. Keras has no ResNet-18.

Published (abs_rel, sq_rel, rmse, rmse_log, delta 1, 2, 3), KITTI Eigen split, 697 images, Garg
crop, cap 80 m, each image scaled by the medians, 256x832, ImageNet weights:
- release, ResNet-18: 0.119, 0.857, 4.950, 0.197, 0.863, 0.957, 0.981; ResNet-50: 0.114, 0.813,
  4.706, 0.191, 0.873, 0.960, 0.982 (its README). Odometry, sequences 09 / 10: t_err 7.31 / 7.79 %,
  r_err 3.05 / 4.90 degrees per 100 m.
- lightning, ResNet-18: 0.119, 0.878, 4.987, 0.196, 0.859, 0.956, 0.981.
- neurips, its DispResNet: 0.137, 1.089, 5.439, 0.217, 0.830, 0.942, 0.975.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import keras

from kdepth.backend import ops
from kdepth.errors import UserError
from kdepth.geometry import pose
from kdepth.geometry.warp import inverse_warp
from kdepth.losses.numerics import Term, as_floats, masked_sums, mean_term, safe_divide
from kdepth.losses.photometric import l1, ssim_distance
from kdepth.losses.smoothness import edge_aware
from kdepth.networks.cut import cut
from kdepth.networks.imagenet import (
    KERAS_LAYOUT,
    is_keras,
    load_resnet50,
    load_torchvision,
    read_torchvision,
)
from kdepth.networks.layers import BilinearUp2, EdgePad, NearestUp2, ReflectPad
from kdepth.networks.resnet import resnet_features, scaled_channels
from kdepth.papers.base import DepthModel, Stage, Terms

# -- hyper-parameters --------------------------------------------------------------------------------------------------

SIZE = (256, 832)
ENCODERS = {"resnet18": 18, "resnet50": 50}
DECODER_CHANNELS = (16, 32, 64, 128, 256)  # by level: 1 / 1 .. 1 / 16 of the image
SCALES = 4  # inverse depths that the network predicts; the loss looks at the first alone
LARGEST_INVERSE_DEPTH, SMALLEST_INVERSE_DEPTH = 10.0, 0.01  # 10 sigmoid + 0.01
POSE_CHANNELS = 256
POSE_SCALE = 0.01

COLOUR_SHARE, SSIM_SHARE = 0.15, 0.85
PHOTOMETRIC_WEIGHT = 1.0  # alpha
SMOOTH_WEIGHT = 0.1  # beta
STILL_COLOUR = 1e-3  # lightning: a mean |colour| up to this is "no image here"
ZOOM = 1.15
LEARNING_RATE = 1e-4


@dataclasses.dataclass(frozen=True)
class Choices:
    """What the three released codes do differently.

    Attributes:
        image_mean: subtracted from RGB in [0, 1]; losses compare these normalised images.
        image_std: divided by afterwards.
        up: the decoder's up-sampling, "nearest" or "bilinear".
        z_policy: of `geometry.warp.inverse_warp`.
        valid: where a pixel counts: "inside" the other image, or "not_grey" in both images (outside
            of an image is 0, the mean grey).
        smallest_sampled_depth: the other view's sampled depth is not below this.
        clip_difference: whether D_diff is clipped to [0, 1].
        largest_colour_difference: clip of |I_a - I_a'| in the photometric map.
        ssim: further arguments of `ssim_distance`.
        detach_self_mask: whether no gradient passes through M_s.
        auto_mask: whether M_a is applied.
        clip_auto_mask: whether M_a compares the clipped differences of the warped image.
        best_view: keep, at each pixel, only the directed pair whose colours differ least.
        fewest_pixels: a mean over so few pixels, channels counted, is taken for 0.
        normalise_smoothness: divide depth by its mean.
        smooth_sources: smoothness of the sources' depth too.
        geometry_weight: gamma.
        epochs: of 1000 steps each.
    """

    image_mean: float
    image_std: float
    up: str
    z_policy: str
    valid: str
    smallest_sampled_depth: float
    clip_difference: bool
    largest_colour_difference: float
    ssim: Mapping[str, Any]
    detach_self_mask: bool
    auto_mask: bool
    clip_auto_mask: bool
    best_view: bool
    fewest_pixels: int
    normalise_smoothness: bool
    smooth_sources: bool
    geometry_weight: float
    epochs: int


_RELEASE = Choices(
    image_mean=0.45,
    image_std=0.225,
    up="nearest",
    z_policy="clamp_1e-3",
    valid="inside",
    smallest_sampled_depth=0.0,
    clip_difference=True,
    largest_colour_difference=1.0,
    ssim={"padding": "reflect"},
    detach_self_mask=False,
    auto_mask=True,
    clip_auto_mask=True,
    best_view=False,
    fewest_pixels=10_000,
    normalise_smoothness=True,
    smooth_sources=True,
    geometry_weight=0.5,
    epochs=200,
)
_NEURIPS = dataclasses.replace(
    _RELEASE,
    image_mean=0.5,
    image_std=0.5,
    smallest_sampled_depth=1e-3,
    largest_colour_difference=float("inf"),
    ssim={"padding": "zeros", "size": 11, "sigma": 1.5},
    auto_mask=False,
    clip_auto_mask=False,
    fewest_pixels=0,
    normalise_smoothness=False,
)
_LIGHTNING = dataclasses.replace(
    _RELEASE,
    up="bilinear",
    z_policy="eps_1e-7",
    valid="not_grey",
    clip_difference=False,
    ssim={"padding": "reflect", "size": 7},
    detach_self_mask=True,
    clip_auto_mask=False,
    best_view=True,
    fewest_pixels=100,
    smooth_sources=False,
    geometry_weight=0.1,
    epochs=100,
)
VARIANTS = {"release": _RELEASE, "neurips": _NEURIPS, "lightning": _LIGHTNING}


# -- network -----------------------------------------------------------------------------------------------------------


def conv(x: Any, channels: int, kernel: int, name: str, **options: Any) -> Any:
    """A convolution that starts as torch's do: weights and biases in U(+-1 / sqrt(fan in))."""
    bound = (kernel * kernel * int(x.shape[-1])) ** -0.5
    return keras.layers.Conv2D(
        channels,
        kernel,
        kernel_initializer=keras.initializers.RandomUniform(-bound, bound),
        bias_initializer=keras.initializers.RandomUniform(-bound, bound),
        name=name,
        **options,
    )(x)


def reflect_conv(x: Any, channels: int, name: str, **options: Any) -> Any:
    """A 3x3 convolution on the map mirrored at its border."""
    return conv(ReflectPad(name=f"{name}_pad")(x), channels, 3, name, **options)


def up2(x: Any, how: str, name: str) -> Any:
    """Doubles rows and columns: "nearest", or "bilinear" with the border continued."""
    if how == "nearest":
        return NearestUp2(name=name)(x)
    x = BilinearUp2(name=name)(EdgePad(name=f"{name}_edge")(x))
    return keras.layers.Cropping2D(2, name=f"{name}_crop")(x)


def build_depth_network(
    height: int,
    image_width: int,
    layers: int = 18,
    width: float = 1.0,
    up: str = "nearest",
    stride_in_first: bool = False,
) -> keras.Model:
    """ResNet encoder, decoder with skips; 14,329,236 (18) or 32,522,132 (50) parameters.

    Args:
        height: rows of the input, a multiple of 32.
        image_width: columns of the input, a multiple of 32.
        layers: of the encoder, 18 or 50.
        width: channel multiplier.
        up: "nearest" or "bilinear".
        stride_in_first: as in `resnet_features`.

    Returns:
        normalised image -> inverse depths in 0.01 .. 10.01 at 1, 1/2, 1/4 and 1/8 of its size.
    """
    # Sizes for 256x832 and ResNet-18.
    image = keras.Input((height, image_width, 3), name="image")
    features = resnet_features(image, layers, width, stride_in_first)
    x, outputs = features[-1], {}  # [B, 8, 26, 512]
    for level in reversed(range(len(DECODER_CHANNELS))):
        channels = scaled_channels(DECODER_CHANNELS[level], width)
        x = reflect_conv(x, channels, f"upconv{level}_0", activation="elu")
        x = up2(x, up, f"up{level}")  # [B, 16, 52, 256], ..., [B, 256, 832, 16]
        if level:
            x = keras.layers.Concatenate(name=f"skip{level}")([x, features[level - 1]])
        x = reflect_conv(x, channels, f"upconv{level}_1", activation="elu")
        if level < SCALES:
            raw = reflect_conv(x, 1, f"dispconv{level}")
            share = keras.layers.Activation("sigmoid", dtype="float32", name=f"sigmoid{level}")(raw)
            outputs[level] = keras.layers.Rescaling(
                LARGEST_INVERSE_DEPTH,
                SMALLEST_INVERSE_DEPTH,
                dtype="float32",
                name=f"inverse_depth{level}",
            )(share)
    return keras.Model(image, [outputs[level] for level in range(SCALES)], name="depth")


def build_pose_network(height: int, image_width: int, width: float = 1.0) -> keras.Model:
    """ResNet-18 on two frames, four convolutions, mean over the image; 12,498,950 parameters.

    Args:
        height: rows of the input, a multiple of 32.
        image_width: columns of the input, a multiple of 32.
        width: channel multiplier.

    Returns:
        Two normalised images on six channels -> [B, 6] pose vectors from the first to the second.
    """
    frames = keras.Input((height, image_width, 6), name="frames")
    channels = scaled_channels(POSE_CHANNELS, width)
    x = resnet_features(frames, 18, width)[-1]
    x = conv(x, channels, 1, "squeeze", activation="relu")
    x = conv(x, channels, 3, "pose0", padding="same", activation="relu")
    x = conv(x, channels, 3, "pose1", padding="same", activation="relu")
    x = conv(x, 6, 1, "pose2", dtype="float32")
    x = keras.layers.GlobalAveragePooling2D(dtype="float32", name="mean")(x)
    x = keras.layers.Rescaling(POSE_SCALE, dtype="float32", name="pose")(x)
    return keras.Model(frames, x, name="pose")


# -- loss --------------------------------------------------------------------------------------------------------------


class Views(NamedTuple):
    """A target beside another view that was warped to it: maps [B, H, W, C].

    Attributes:
        warped: I_a', the other image as the target camera would have seen it.
        sampled_depth: D_b', the other view's depth at the same places.
        computed_depth: D_ab, z of the target's points in the other camera's frame.
        valid: V, 1 where the two can be compared.
        photometric: how the images differ, [B, H, W, 3].
        colour_difference: mean over channels of |I_a - I_a'|.
        depth_difference: D_diff.
        self_mask: M_s, low where something moves or is hidden.
        auto_mask: M_a, 1 where the warped image is closer to the target than the unmoved one is.
    """

    warped: Any
    sampled_depth: Any
    computed_depth: Any
    valid: Any
    photometric: Any
    colour_difference: Any
    depth_difference: Any
    self_mask: Any
    auto_mask: Any


def photometric_map(target: Any, warped: Any, choices: Choices, ssim: bool = True) -> Any:
    """0.15 L1 + 0.85 SSIM distance, or L1 alone, of normalised images: [B, H, W, 3]."""
    colours = ops.minimum(l1(target, warped), choices.largest_colour_difference)
    if not ssim:
        return colours
    return COLOUR_SHARE * colours + SSIM_SHARE * ssim_distance(warped, target, **choices.ssim)


def compare_views(
    target: Any,
    other: Any,
    target_depth: Any,
    other_depth: Any,
    T_other_target: Any,
    intrinsics: Any,
    choices: Choices,
    ssim: bool = True,
) -> Views:
    """Warps another view to a target, and compares images and depths.

    Args:
        target: [B, H, W, 3] normalised image I_a.
        other: [B, H, W, 3] normalised image I_b.
        target_depth: [B, H, W, 1].
        other_depth: [B, H, W, 1].
        T_other_target: [B, 4, 4], from the target camera's frame to the other's.
        intrinsics: [B, 3, 3] of both.
        choices: of a variant.
        ssim: whether the photometric map has its SSIM part.
    """
    target, other, other_depth = as_floats(target, other, other_depth)
    both = ops.concatenate([other, other_depth], axis=-1)
    moved = inverse_warp(both, target_depth, T_other_target, intrinsics, z_policy=choices.z_policy)
    sampled, computed_depth = moved.image, moved.computed_depth
    if choices.valid == "inside":  # and no blend of image and border
        sampled = sampled * moved.valid
    *channels, sampled_depth = ops.split(sampled, 4, axis=-1)  # slices are slow to derive
    warped = ops.concatenate(channels, axis=-1)
    sampled_depth = ops.maximum(sampled_depth, choices.smallest_sampled_depth)
    if choices.valid == "inside":
        valid = moved.valid
    else:
        seen = ops.minimum(_channel_mean(ops.abs(warped)), _channel_mean(ops.abs(target)))
        valid = ops.stop_gradient(ops.cast(seen > STILL_COLOUR, seen.dtype))

    difference = safe_divide(
        ops.abs(computed_depth - sampled_depth), computed_depth + sampled_depth
    )
    if choices.clip_difference:
        difference = ops.clip(difference, 0.0, 1.0)
    colours, unmoved = l1(target, warped), _channel_mean(l1(target, other))
    limited = ops.minimum(colours, choices.largest_colour_difference)
    compared = _channel_mean(limited if choices.clip_auto_mask else colours)
    return Views(
        warped=warped,
        sampled_depth=sampled_depth,
        computed_depth=computed_depth,
        valid=valid,
        photometric=photometric_map(target, warped, choices, ssim),
        colour_difference=_channel_mean(colours),
        depth_difference=difference,
        self_mask=1.0 - difference,
        auto_mask=ops.stop_gradient(ops.cast(compared < unmoved, unmoved.dtype)),
    )


def best_view(score: Any, maps: Sequence[Any], count: int) -> list[Any]:
    """Each map at the pair with the lowest score, chosen at every pixel.

    Args:
        score: [count * B, H, W, 1], pair after pair.
        maps: likewise.
        count: of pairs.

    Returns:
        The maps, [B, H, W, 1].
    """
    scores = ops.split(score, count, axis=0)
    maps = [ops.split(x, count, axis=0) for x in maps]
    lowest, chosen = scores[0], [x[0] for x in maps]
    for pair in range(1, count):
        better = scores[pair] < lowest
        lowest = ops.where(better, scores[pair], lowest)
        chosen = [ops.where(better, x[pair], kept) for x, kept in zip(maps, chosen)]
    return chosen


def _channel_mean(x: Any) -> Any:
    return ops.mean(x, axis=-1, keepdims=True)


def _one_by_one(term: Term, count: int) -> list[Term]:
    """A term over `count` * B examples, as one term of B examples for each pair or frame."""
    numerators, denominators = (ops.reshape(x, (count, -1)) for x in term)
    return [Term(numerators[i], denominators[i]) for i in range(count)]


# -- model -------------------------------------------------------------------------------------------------------------


class SCDepth(DepthModel):
    """SC-Depth: inverse depth and camera motion from video, of one scale over the whole video."""

    paper = "scdepth"
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "no_geometry": {"geometry_weight": 0.0},
        "no_ms": {"self_mask": False},
        "no_ma": {"auto_mask": False},
    }
    sample_keys = frozenset({"image", "sources", "intrinsics"})
    source_offsets = (-1, 1)
    output_name = "inverse_depth"
    kind = "relative"
    output_bounds = (SMALLEST_INVERSE_DEPTH, LARGEST_INVERSE_DEPTH + SMALLEST_INVERSE_DEPTH)
    reduction = "ratio_of_sums"
    pose_frames = 2
    pose_target = 0

    def __init__(
        self,
        variant: str = "release",
        encoder: str = "resnet18",
        height: int = SIZE[0],
        image_width: int = SIZE[1],
        width: float = 1.0,
        photometric_weight: float = PHOTOMETRIC_WEIGHT,
        smooth_weight: float = SMOOTH_WEIGHT,
        geometry_weight: float | None = None,
        ssim: bool = True,
        self_mask: bool = True,
        auto_mask: bool | None = None,
        fewest_pixels: int | None = None,
        rotation: str = "euler_xyz",
        imagenet: str | None = None,
        joint_calls: bool = False,
        seed: int = 0,
    ) -> None:
        """Builds the networks.

        Args:
            variant: "release", "neurips" or "lightning".
            encoder: of the depth network: "resnet18" or "resnet50"; the pose network's is ResNet-18.
            height: rows of the input, a multiple of 32, at least 64.
            image_width: columns of the input, likewise.
            width: channel multiplier.
            photometric_weight: alpha.
            smooth_weight: beta.
            geometry_weight: gamma; 0.5, with lightning 0.1.
            ssim: compare images by SSIM too, not by L1 alone.
            self_mask: weigh the photometric loss by M_s.
            auto_mask: leave out what looks static, M_a; on, with neurips off.
            fewest_pixels: a loss over no more pixels of a batch (channels counted) is 0; 10000, with
                lightning 100, with neurips 0.
            rotation: what the pose network's angles mean: "euler_xyz" or "axis_angle".
            imagenet: weights to start from, at width 1 only: the path of torchvision's .pth file of
                the encoder; or, for resnet50, those of `keras.applications`: "download", or the path
                of the "notop" .h5 file. "keras_layout" builds Keras's network without reading
                weights; it is what a saved model remembers.
            joint_calls: run each network once on all frames of a step instead of frame by frame, as
                the releases do. Faster; batch norm then sees all frames together, and moves its
                averages once a step instead of three (depth) and four (pose) times.
            seed: of weights.

        Raises:
            UserError: for a value that cannot be used.
        """
        for name, value, allowed in (
            ("variant", variant, VARIANTS),
            ("encoder", encoder, ENCODERS),
            ("rotation", rotation, pose.ROTATIONS),
        ):
            if value not in allowed:
                raise UserError(
                    f"scdepth: {name} must be one of {', '.join(allowed)}; received '{value}'"
                )
        if width <= 0:
            raise UserError(f"scdepth: width must be > 0; received {width}")
        if height % 32 or image_width % 32 or min(height, image_width) < 64:
            raise UserError(
                "scdepth needs --height and --image_width to be multiples of 32, at least 64; received"
                f" {height}x{image_width}"
            )
        if imagenet and encoder != "resnet50" and is_keras(imagenet):
            raise UserError(
                f"scdepth: Keras has no ImageNet weights of {encoder}; give the path of torchvision's"
                " .pth file, use encoder=resnet50, or leave imagenet out and train from random"
                " weights"
            )
        if imagenet and width != 1:
            raise UserError(f"scdepth: imagenet needs width 1, the weights' own; received {width}")
        self.variant, self.choices = variant, VARIANTS[variant]
        geometry_weight = (
            self.choices.geometry_weight if geometry_weight is None else geometry_weight
        )
        auto_mask = self.choices.auto_mask if auto_mask is None else auto_mask
        fewest_pixels = self.choices.fewest_pixels if fewest_pixels is None else fewest_pixels
        self.term_weights = {
            "photometric": photometric_weight,
            "smooth": smooth_weight,
            "geometry": geometry_weight,
        }
        for name, value in {**self.term_weights, "fewest_pixels": fewest_pixels}.items():
            if value < 0:
                raise UserError(f"scdepth: {name} must not be negative; received {value}")
        options = {
            "variant": variant,
            "encoder": encoder,
            "height": height,
            "image_width": image_width,
            "width": width,
            "photometric_weight": photometric_weight,
            "smooth_weight": smooth_weight,
            "geometry_weight": geometry_weight,
            "ssim": ssim,
            "self_mask": self_mask,
            "auto_mask": auto_mask,
            "fewest_pixels": fewest_pixels,
            "rotation": rotation,
            # A saved model is built again without the file.
            "imagenet": KERAS_LAYOUT if imagenet and is_keras(imagenet) else None,
            "joint_calls": joint_calls,
            "seed": seed,
        }
        self.encoder, self.width_multiplier, self.imagenet = encoder, width, imagenet
        self.ssim, self.self_mask, self.auto_mask = ssim, self_mask, auto_mask
        self.smallest_denominator = float(fewest_pixels)
        self.rotation, self.joint_calls = rotation, joint_calls
        self.stages = (Stage("all", ("depth", "pose"), self.choices.epochs, LEARNING_RATE),)
        super().__init__(height=height, image_width=image_width, seed=seed, options=options)

    def build_parts(self) -> dict[str, keras.Model]:  # noqa: D102
        layers, torchvision = ENCODERS[self.encoder], {}
        if self.imagenet and not is_keras(self.imagenet):
            torchvision = read_torchvision(self.imagenet, layers)
        depth = build_depth_network(
            *self.image_size,
            layers,
            self.width_multiplier,
            self.choices.up,
            stride_in_first=bool(self.imagenet) and is_keras(self.imagenet),
        )
        motion = build_pose_network(*self.image_size, self.width_multiplier)
        if torchvision:
            load_torchvision(depth, torchvision, self.imagenet)
            if layers == 18:  # the pose network's encoder, whatever the depth network's is
                load_torchvision(motion, torchvision, self.imagenet)
        elif self.imagenet and self.imagenet != KERAS_LAYOUT:
            choices = self.choices
            load_resnet50(depth, self.imagenet, choices.image_mean, choices.image_std)
        return {"depth": depth, "pose": motion}

    def _set_trainable(self, stage: Stage) -> None:
        super()._set_trainable(stage)
        for level in range(1, SCALES):  # no loss looks at them
            self._parts["depth"].get_layer(f"dispconv{level}").trainable = False

    def augment(self, sample: dict[str, Any], seed: Any) -> dict[str, Any]:
        """Flips all frames; zooms by U[1, 1.15] in x and in y, with a random crop."""
        from kdepth.data import augment

        return augment.scale_crop(augment.flip_sources(sample, seed), seed, 1.0, ZOOM)

    # -- forward

    def normalise(self, images: Any) -> Any:
        """RGB in [0, 1], any number of frames on channels, as networks and losses see it."""
        return (images - self.choices.image_mean) / self.choices.image_std

    def forward(self, batch: Mapping[str, Any], training: bool) -> dict[str, Any]:
        """Depth of all frames, target first; pose vectors of all directed pairs.

        Returns:
            `depth` [B, 1 + S, H, W, 1] and `pose` [B, 2 S, 6]: from the target to each source, then
            from each source to the target, by a second call of the network.
        """
        frames = self._frames(batch)
        return {
            "depth": ops.stack(self._depths(frames, training), axis=1),
            "pose": ops.stack(self._poses(frames, _pairs(len(frames)), training), axis=1),
        }

    def _frames(self, batch: Mapping[str, Any]) -> list[Any]:
        """The target and its sources, normalised: 1 + S of [B, H, W, 3]."""
        sources = batch["sources"]
        frames = [batch["image"], *(sources[:, i] for i in range(int(sources.shape[1])))]
        return [self.normalise(frame) for frame in frames]

    def _depths(self, frames: Sequence[Any], training: bool) -> list[Any]:
        return [1.0 / x for x in self._calls("depth", frames, training, lambda outputs: outputs[0])]

    def _poses(self, frames: Sequence[Any], pairs: Sequence[Any], training: bool) -> list[Any]:
        stacked = [ops.concatenate([frames[a], frames[b]], axis=-1) for a, b in pairs]
        return self._calls("pose", stacked, training, lambda outputs: outputs)

    def _calls(self, part: str, inputs: Sequence[Any], training: bool, pick: Any) -> list[Any]:
        """A network's output for each of several inputs, in one call or one after the other."""
        network = self._parts[part]
        if self.joint_calls:
            together = pick(network(ops.concatenate(inputs, axis=0), training=training))
            return ops.split(together, len(inputs), axis=0)
        return [pick(network(x, training=training)) for x in inputs]

    # -- loss

    def loss_terms(self, batch: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, Terms]:  # noqa: D102
        choices, frames = self.choices, self._frames(batch)
        depths = [outputs["depth"][:, i] for i in range(len(frames))]
        pairs = _pairs(len(frames))
        count = len(pairs)
        # All directed pairs at once, pair after pair along the batch.
        views = compare_views(
            ops.concatenate([frames[a] for a, _ in pairs], axis=0),
            ops.concatenate([frames[b] for _, b in pairs], axis=0),
            ops.concatenate([depths[a] for a, _ in pairs], axis=0),
            ops.concatenate([depths[b] for _, b in pairs], axis=0),
            pose.from_vector(
                ops.concatenate([outputs["pose"][:, i] for i in range(count)], axis=0),
                self.rotation,
            ),
            ops.concatenate([batch["intrinsics"]] * count, axis=0),
            choices,
            self.ssim,
        )
        photometric, geometry, counted = views.photometric, views.depth_difference, views.valid
        if self.auto_mask:
            counted = counted * views.auto_mask
        if choices.best_view:
            photometric = _channel_mean(photometric)
        if self.self_mask:
            weight = views.self_mask
            photometric *= ops.stop_gradient(weight) if choices.detach_self_mask else weight
        if choices.best_view:
            maps = (photometric, geometry, counted)
            photometric, geometry, counted = best_view(views.colour_difference, maps, count)
            count = 1
        smoothed = len(frames) if choices.smooth_sources else 1
        roughness = edge_aware(
            ops.concatenate(depths[:smoothed], axis=0),
            ops.concatenate(frames[:smoothed], axis=0),
            choices.normalise_smoothness,
        )
        return {
            "photometric": _one_by_one(masked_sums(photometric, counted), count),
            "smooth": [t for x in roughness for t in _one_by_one(mean_term(x), smoothed)],
            "geometry": _one_by_one(masked_sums(geometry, counted), count),
        }

    def masks(self, batch: Mapping[str, Any], source: int = 0) -> dict[str, Any]:
        """What the loss makes of the pair target -> source, in inference mode.

        Args:
            batch: with `image`, `sources` and `intrinsics`.
            source: which of the sources.

        Returns:
            Maps [B, H, W, 1] `valid` (V), `self` (M_s, 0 to 1; low where something moves or is
            hidden) and `auto` (M_a; 0 where the source unmoved fits better), whether the model
            applies them or not; `warped` [B, H, W, 3], the source as the target would have seen it,
            in [0, 1].
        """
        batch = {key: ops.convert_to_tensor(batch[key]) for key in self.sample_keys}
        frames = self._frames(batch)
        frames = [frames[0], frames[1 + source]]
        (vector,) = self._poses(frames, [(0, 1)], training=False)
        views = compare_views(
            *frames,
            *self._depths(frames, training=False),
            pose.from_vector(vector, self.rotation),
            batch["intrinsics"],
            self.choices,
        )
        return {
            "valid": views.valid,
            "self": views.self_mask,
            "auto": views.auto_mask,
            "warped": views.warped * self.choices.image_std + self.choices.image_mean,
        }

    def picture_outputs(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Inverse depth, and `masks` of the target and its first source."""
        masks = self.masks(batch)
        pictures = {f"mask_{name}": masks[name] for name in ("valid", "self", "auto")}
        return {**self.depth_outputs(batch["image"]), **pictures, "warped": masks["warped"]}

    # -- prediction

    def depth_outputs(self, images: Any) -> dict[str, Any]:
        """Inverse depth of relative scale, [B, H, W, 1], at the input's size."""
        return {"inverse_depth": self._parts["depth"](self.normalise(images), training=False)[0]}

    def depth_body_and_head(self) -> tuple[Callable, Callable]:  # noqa: D102
        body, head = cut(self._parts["depth"], ["dispconv0_pad"])
        return (
            lambda images: body(self.normalise(images)),
            lambda maps: {"inverse_depth": head(maps)},
        )

    def pose_outputs(self, frames: Any) -> dict[str, Any]:
        """[B, 1, 6] motion from the first frame to the second; angles as Euler's whatever `rotation`."""
        vector = self._parts["pose"](self.normalise(frames), training=False)
        if self.rotation != "euler_xyz":
            vector = pose.to_vector(pose.from_vector(vector, self.rotation))
        return {"pose": ops.expand_dims(vector, 1)}


def _pairs(frames: int) -> list[tuple[int, int]]:
    """Directed pairs (a, b) of frames, 0 being the target: forward, then backward."""
    sources = range(1, frames)
    return [*((0, i) for i in sources), *((i, 0) for i in sources)]
