"""Unsupervised Monocular Depth Estimation with Left-Right Consistency.

Clement Godard, Oisin Mac Aodha, Gabriel J. Brostow. CVPR 2017, arXiv:1609.03677.

From the left image alone the network predicts both views' disparities; each view is rebuilt from the
other one, and the two disparity maps have to agree.

| paper | here |
|---|---|
| network, section 3.3 and the supplement's table | `build_network`: `vgg_encoder` or `resnet50_encoder`, `decode` |
| C_s = appearance + smoothness + consistency over views, eq. 1 | `Monodepth.loss_terms`, `term_weights` |
| C_ap, appearance, eq. 2 | term `appearance`, `losses.photometric.ssim_distance` and `l1` |
| C_ds, smoothness, eq. 3 | term `smooth`, `losses.smoothness.edge_aware` |
| C_lr, left-right consistency, eq. 4 | term `lr` |
| sampler of the reconstruction, section 3.2 | `reconstruct`, `geometry.warp.warp_disparity` |
| four scales C = sum of C_s, section 3.2 | `losses.photometric.image_pyramid`, sums over the scales |
| post-processing, section 4.2 and supplement | `blend_mirrored`, option `postprocess` |

What is exact, derived, or from memory:
- Network, sampler, losses, weights, augmentation and schedule are the released code's; the numbers
  of equations and sections are from memory of the paper.
- The released code puts its maps of x and of y smoothness into one list and then adds the first
  four entries, which are x's. The default here is the paper's eq. 3, both directions;
  `smoothness="released"` trains x alone.
- In the released ResNet-50 every block has a projection shortcut (its test for one is always true)
  and a stage's stride is in its last block; there is no batch norm and no pretraining. So
  keras.applications has nothing that fits, and this is it, with its 58,452,008 parameters.
- The released sampler always fades to black over one pixel outside the image: its flag for another
  border never reaches it. `border="edge"` is what the flag promises.
- "No LR" in the paper's table drops, beside the consistency, all that looks at the right view
  (said by the author in the release's issue 147): `sides="left"`.

Published (abs_rel, sq_rel, rmse, rmse_log, [d1_all,] delta 1, 2, 3; K: KITTI, CS: Cityscapes):
- KITTI Eigen split, 697 images, Garg crop, cap 80 m, K: 0.148, 1.344, 5.927, 0.247, 0.803, 0.922,
  0.964 (as quoted by later papers).
- From memory of the paper, not verified: the same split, cap 50 m, K: 0.140, 0.976, 4.471, 0.232,
  0.818, 0.931, 0.969; cap 80 m, CS + K, ResNet-50 with post-processing: 0.114, 0.898, 4.935, 0.206,
  0.861, 0.949, 0.976.
- From memory too: KITTI split (stereo 2015, 200 images), K: 0.124, 1.388, 6.125, 0.217, 30.272,
  0.841, 0.936, 0.975; without LR 0.123, 1.417, 6.315, 0.220, 30.318, 0.841, 0.937, 0.973; with
  stereo input 0.068, 0.835, 4.392, 0.146, 9.194, 0.942, 0.978, 0.989.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import keras
import numpy as np

from kdepth.backend import ops
from kdepth.errors import UserError
from kdepth.geometry.camera import Camera
from kdepth.geometry.warp import BORDERS, warp_disparity
from kdepth.losses.numerics import Term, as_floats, mean_term
from kdepth.losses.photometric import image_pyramid, l1, ssim_distance
from kdepth.losses.smoothness import edge_aware
from kdepth.networks.cut import cut
from kdepth.networks.layers import NearestUp2, every_second
from kdepth.papers.base import DepthModel, OptimizerSettings, Stage, Terms
from kdepth.prediction import Prediction

# -- hyper-parameters --------------------------------------------------------------------------------------------------

SIZE = (256, 512)
SCALES = 4
SSIM_WEIGHT = 0.85  # alpha
SMOOTH_WEIGHT = 0.1  # alpha_ds, divided by 2^s at scale s
LR_WEIGHT = 1.0  # alpha_lr
MAX_DISPARITY = 0.3  # of the image width
STAGES = (Stage("all", ("depth",), epochs=50, learning_rate=1e-4),)

# What the image's size is divided by before it grows again.
DIVISORS = {"vgg": 128, "resnet50": 64}
# Channels and kernel of each pair of convolutions.
VGG_BLOCKS = ((32, 7), (64, 5), (128, 3), (256, 3), (512, 3), (512, 3), (512, 3))
# Inner channels (4 times as many come out) and number of bottlenecks.
RESNET_STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))
DECODER_CHANNELS = {7: 512, 6: 512, 5: 256, 4: 128, 3: 64, 2: 32, 1: 16}

POSTPROCESS_MARGIN = 0.05  # of the width, taken from one prediction alone
POSTPROCESS_SLOPE = 20.0  # and over as much again the two become their mean


# -- network -----------------------------------------------------------------------------------------------------------


def conv(
    x: Any, channels: int, kernel: int, name: str, stride: int = 1, activation: str | None = "elu"
) -> Any:
    """Convolution after floor((kernel - 1) / 2) zeros on every side, also where it strides."""
    pad = (kernel - 1) // 2
    if stride > 1 and kernel == 1:
        x, stride = every_second(x, f"{name}_stride"), 1
    if stride > 1:  # "same" would pad on one side only
        x = keras.layers.ZeroPadding2D(pad, name=f"{name}_pad")(x)
    padding = "same" if stride == 1 else "valid"
    layer = keras.layers.Conv2D(channels, kernel, stride, padding, activation=activation, name=name)
    return layer(x)


def vgg_encoder(x: Any, width: float) -> list[Any]:
    """Seven pairs of convolutions, the second of each with stride 2: maps of 1/2, 1/4, ... 1/128."""
    maps = []
    for index, (channels, kernel) in enumerate(VGG_BLOCKS, start=1):
        channels = _scaled(channels, width)
        x = conv(x, channels, kernel, f"conv{index}")
        x = conv(x, channels, kernel, f"conv{index}b", stride=2)
        maps.append(x)
    return maps


def resnet50_encoder(x: Any, width: float) -> list[Any]:
    """The release's own ResNet-50: maps of 1/2, 1/4, ... 1/64."""
    x = conv(x, _scaled(64, width), 7, "conv1", stride=2)
    maps = [x]
    # Zeros around the map take part in the maximum: ELU goes below them.
    x = keras.layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = keras.layers.MaxPool2D(3, 2, name="pool1")(x)
    maps.append(x)
    for stage, (inner, blocks) in enumerate(RESNET_STAGES, start=1):
        for block in range(1, blocks + 1):
            stride = 2 if block == blocks else 1
            x = _bottleneck(x, _scaled(inner, width), stride, f"stage{stage}_{block}")
        maps.append(x)
    return maps


def _bottleneck(x: Any, inner: int, stride: int, name: str) -> Any:
    shortcut = conv(x, 4 * inner, 1, f"{name}_project", stride, activation=None)
    x = conv(x, inner, 1, f"{name}_reduce")
    x = conv(x, inner, 3, f"{name}_conv", stride)
    x = conv(x, 4 * inner, 1, f"{name}_expand", activation=None)
    x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
    return keras.layers.Activation("elu", name=f"{name}_elu")(x)


def upconv(x: Any, channels: int, name: str) -> Any:
    """Nearest up-sampling by 2, then a 3x3 convolution."""
    return conv(NearestUp2(name=f"{name}_up")(x), channels, 3, name)


def deconv(x: Any, channels: int, name: str) -> Any:
    """3x3 transposed convolution of stride 2 on the map with a ring of zeros, cropped to twice the size."""
    x = keras.layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    x = keras.layers.Conv2DTranspose(channels, 3, 2, "valid", activation="elu", name=name)(x)
    # The release pads "same" and takes [3:-1]; "valid" has one more row and column at the end.
    return keras.layers.Cropping2D(((3, 2), (3, 2)), name=f"{name}_crop")(x)


DECODERS = {"upconv": upconv, "deconv": deconv}


def decode(maps: list[Any], decoder: str, width: float, max_disparity: float) -> list[Any]:
    """Up again with skips, and two disparities at each of the last four levels.

    Args:
        maps: the encoder's, the finest first.
        decoder: one of `DECODERS`.
        width: channel multiplier.
        max_disparity: what the sigmoid is multiplied by.

    Returns:
        [B, H / 2^s, W / 2^s, 2] for s = 0 .. 3: left and right disparity, fractions of the width.
    """
    *skips, x = maps
    disparity, disparities = None, []
    for level in range(len(maps), 0, -1):
        channels = _scaled(DECODER_CHANNELS[level], width)
        together = [DECODERS[decoder](x, channels, f"upconv{level}")]
        if level > 1:
            together.append(skips[level - 2])
        if disparity is not None:  # a fraction of the width, so it stays what it is
            together.append(NearestUp2(name=f"disp{level + 1}_up")(disparity))
        x = keras.layers.Concatenate(name=f"concat{level}")(together)
        x = conv(x, channels, 3, f"iconv{level}")
        if level <= SCALES:
            disparity = _head(x, max_disparity, f"disp{level}")
            disparities.insert(0, disparity)
    return disparities


def _head(x: Any, max_disparity: float, name: str) -> Any:
    x = conv(x, 2, 3, f"{name}_conv", activation=None)
    x = keras.layers.Activation("sigmoid", dtype="float32", name=f"{name}_sigmoid")(x)
    return keras.layers.Rescaling(max_disparity, dtype="float32", name=name)(x)


def build_network(
    height: int,
    image_width: int,
    channels: int = 3,
    encoder: str = "vgg",
    decoder: str = "upconv",
    width: float = 1.0,
    max_disparity: float = MAX_DISPARITY,
) -> keras.Model:
    """The disparity network (section 3.3).

    Args:
        height: rows of the input.
        image_width: columns of the input.
        channels: of the input: 3, or 6 for both views.
        encoder: "vgg" or "resnet50".
        decoder: "upconv" or "deconv".
        width: channel multiplier; 1 gives 31,600,072 and 58,452,008 parameters.
        max_disparity: largest disparity, a fraction of the image width.

    Returns:
        Images in [0, 1] -> four maps, the finest first; see `decode`.

    Raises:
        UserError: if the encoder cannot halve that size.
    """
    divisor = DIVISORS[encoder]
    if height % divisor or image_width % divisor or min(height, image_width) < divisor:
        raise UserError(
            f"monodepth with encoder={encoder} needs --height and --image_width to be multiples of"
            f" {divisor}; received {height}x{image_width}"
        )
    image = keras.Input((height, image_width, channels), name="image")
    encode = vgg_encoder if encoder == "vgg" else resnet50_encoder
    return keras.Model(
        image, decode(encode(image, width), decoder, width, max_disparity), name="depth"
    )


def _scaled(channels: int, width: float) -> int:
    return max(4, round(channels * width))


# -- loss --------------------------------------------------------------------------------------------------------------


def reconstruct(other: Any, disparity: Any, left: bool, border: str = "zeros_fade") -> Any:
    """A view rebuilt from the other one: the left one is right(x - d W), the right one left(x + d W).

    Args:
        other: [B, H, W, C], images or maps of the other view.
        disparity: [B, H, W, 1] of the view that is rebuilt, fractions of the width.
        left: whether the view that is rebuilt is the left one.
        border: as in `kdepth.geometry.warp.warp`.

    Returns:
        [B, H, W, C]. Gradients flow through the disparity and through `other`.
    """
    other, disparity = as_floats(other, disparity)
    pixels = disparity * ops.cast(ops.shape(disparity)[2], disparity.dtype)
    return warp_disparity(other, pixels if left else -pixels, border)


def blend_mirrored(disparity: Any, mirrored: Any) -> Any:
    """Post-processing: two predictions of an image, each used where it saw what the other one could not.

    A disparity map is wrong along the left border and to the left of every object, where the right
    camera saw something else; in the prediction for the mirrored image that is so on the right. So
    the left 5 % come from that one, the right 5 % from the ordinary one, ramps follow up to 10 %,
    and between them is the mean.

    Args:
        disparity: [B, H, W, 1], of the image.
        mirrored: [B, H, W, 1], of the mirrored image, mirrored back.
    """
    place = np.linspace(0.0, 1.0, int(disparity.shape[2]))
    near_left = 1.0 - np.clip(POSTPROCESS_SLOPE * (place - POSTPROCESS_MARGIN), 0.0, 1.0)
    near_right = near_left[::-1]
    half = 0.5 * (1.0 - near_left - near_right)
    first, second = (
        ops.convert_to_tensor((share + half).astype("float32")[:, None])  # [W, 1]
        for share in (near_right, near_left)
    )
    return first * disparity + second * mirrored


def _weighted_mean(values: Any, weight: float) -> Term:
    term = mean_term(values)
    return Term(weight * term.numerator, term.denominator)


# -- model -------------------------------------------------------------------------------------------------------------


class Monodepth(DepthModel):
    """Godard 2017: disparities of both views from the left one, taught by rebuilding each from the other."""

    paper = "monodepth"
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "no_lr": {"sides": "left", "lr_weight": 0.0},
        "no_ssim": {"ssim_weight": 0.0},
    }
    sample_keys = frozenset({"image", "stereo"})
    output_name = "disparity"
    kind = "metric"
    stages = STAGES
    optimizer_settings = OptimizerSettings("adam", beta_1=0.9, beta_2=0.999, epsilon=1e-8)

    def __init__(
        self,
        encoder: str = "vgg",
        decoder: str = "upconv",
        height: int = SIZE[0],
        image_width: int = SIZE[1],
        width: float = 1.0,
        stereo_input: bool = False,
        postprocess: bool = False,
        smoothness: str = "paper",
        sides: str = "both",
        border: str = "zeros_fade",
        ssim_weight: float = SSIM_WEIGHT,
        smooth_weight: float = SMOOTH_WEIGHT,
        lr_weight: float = LR_WEIGHT,
        max_disparity: float = MAX_DISPARITY,
        seed: int = 0,
    ) -> None:
        """Builds the network.

        Args:
            encoder: "vgg" or "resnet50".
            decoder: "upconv" (nearest up-sampling, then a convolution) or "deconv" (transposed
                convolutions).
            height: rows of the input, a multiple of 128 (vgg) or 64 (resnet50).
            image_width: columns of the input, likewise.
            width: channel multiplier.
            stereo_input: the network sees both views (section 4.3, stereo), so it cannot predict
                from a single picture.
            postprocess: predictions and exports blend those of the image and of its mirror image
                (twice the work); training does not change.
            smoothness: "paper" (along x and y) or "released" (along x alone).
            sides: "both", or "left": nothing looks at the right view's disparities (the paper's "no
                LR"; needs lr_weight=0).
            border: what lies outside an image, see `kdepth.geometry.warp.warp`.
            ssim_weight: alpha, share of SSIM in the appearance term; the rest is L1.
            smooth_weight: alpha_ds.
            lr_weight: alpha_lr.
            max_disparity: largest disparity, a fraction of the width.
            seed: of weights.

        Raises:
            UserError: for a value that cannot be used.
        """
        for name, value, allowed in (
            ("encoder", encoder, tuple(DIVISORS)),
            ("decoder", decoder, tuple(DECODERS)),
            ("smoothness", smoothness, ("paper", "released")),
            ("sides", sides, ("both", "left")),
            ("border", border, BORDERS),
        ):
            if value not in allowed:
                raise UserError(
                    f"monodepth: {name} must be one of {', '.join(allowed)}; received '{value}'"
                )
        if width <= 0 or not 0.0 < max_disparity <= 1.0 or not 0.0 <= ssim_weight <= 1.0:
            raise UserError(
                "monodepth: width must be > 0, max_disparity above 0 and at most 1, ssim_weight in"
                f" 0 .. 1; received {width}, {max_disparity} and {ssim_weight}"
            )
        if sides == "left" and lr_weight:
            raise UserError(
                "monodepth: sides=left has no right view to be consistent with; set lr_weight=0"
            )
        if stereo_input and postprocess:
            raise UserError(
                "monodepth: postprocess is for one view; with stereo_input the mirror image is no"
                " second opinion (a mirrored pair has its views swapped)"
            )
        options = {
            "encoder": encoder,
            "decoder": decoder,
            "height": height,
            "image_width": image_width,
            "width": width,
            "stereo_input": stereo_input,
            "postprocess": postprocess,
            "smoothness": smoothness,
            "sides": sides,
            "border": border,
            "ssim_weight": ssim_weight,
            "smooth_weight": smooth_weight,
            "lr_weight": lr_weight,
            "max_disparity": max_disparity,
            "seed": seed,
        }
        marks = (("deconv", decoder == "deconv"), ("stereo", stereo_input))
        self.variant = "-".join([encoder, *(mark for mark, there in marks if there)])
        self.depth_views = 2 if stereo_input else 1
        self.postprocess = postprocess
        self.smooth_y, self.both_sides = smoothness == "paper", sides == "both"
        self.border, self.ssim_weight = border, ssim_weight
        self.output_bounds = (0.0, max_disparity)
        self.term_weights = {"appearance": 1.0, "smooth": smooth_weight}
        if self.both_sides:
            self.term_weights["lr"] = lr_weight
        super().__init__(height=height, image_width=image_width, seed=seed, options=options)

    def build_parts(self) -> dict[str, keras.Model]:  # noqa: D102
        names = ("encoder", "decoder", "width", "max_disparity")
        options = {name: self.options[name] for name in names}
        return {"depth": build_network(*self.image_size, 3 * self.depth_views, **options)}

    def augment(self, sample: dict[str, Any], seed: Any) -> dict[str, Any]:
        """Mirrors and swaps the pair; changes gamma, brightness and colours, alike in both views."""
        from kdepth.data import augment

        return augment.colour_jitter(augment.flip_stereo(sample, seed), seed)

    def depth_input(self, batch: Mapping[str, Any]) -> Any:  # noqa: D102
        if self.depth_views == 1:
            return batch["image"]
        return ops.concatenate([batch["image"], batch["stereo"]], axis=-1)

    def forward(self, batch: Mapping[str, Any], training: bool) -> dict[str, Any]:
        """{"disparity0" .. "disparity3": [B, H / 2^s, W / 2^s, 2]}, left and right, fractions of the width."""
        return self._disparities(self.depth_input(batch), training)

    def _disparities(self, images: Any, training: bool) -> dict[str, Any]:
        maps = self._parts["depth"](images, training=training)
        return {f"disparity{scale}": values for scale, values in enumerate(maps)}

    def loss_terms(self, batch: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, Terms]:
        """Sums over the scales and the views, eq. 1."""
        terms: dict[str, list[Term]] = {name: [] for name in self.term_weights}
        lefts, rights = (image_pyramid(batch[key], SCALES) for key in ("image", "stereo"))
        for scale in range(SCALES):
            disparities = outputs[f"disparity{scale}"]
            left = lefts[scale], disparities[..., 0:1]
            right = rights[scale], disparities[..., 1:2]
            self._add_view(terms, scale, left, right, is_left=True)
            if self.both_sides:
                self._add_view(terms, scale, right, left, is_left=False)
        return terms

    def _add_view(
        self,
        terms: dict[str, list[Term]],
        scale: int,
        view: tuple[Any, Any],
        other: tuple[Any, Any],
        is_left: bool,
    ) -> None:
        """Adds one view's terms at one scale; views are (image, disparity)."""
        image, disparity = view
        # One sampling serves the image and the disparity of the other view.
        stacked = ops.concatenate([ops.stop_gradient(other[0]), other[1]], axis=-1)
        rebuilt = reconstruct(stacked, disparity, is_left, self.border)
        estimate, seen = rebuilt[..., :3], rebuilt[..., 3:]
        terms["appearance"].append(_weighted_mean(l1(estimate, image), 1.0 - self.ssim_weight))
        if self.ssim_weight:
            dissimilar = ssim_distance(estimate, image)  # [B, H - 2, W - 2, 3]
            terms["appearance"].append(_weighted_mean(dissimilar, self.ssim_weight))
        along_x, along_y = edge_aware(disparity, image)
        for along in (along_x, along_y) if self.smooth_y else (along_x,):
            terms["smooth"].append(_weighted_mean(along, 0.5**scale))
        if "lr" in terms:
            terms["lr"].append(mean_term(l1(seen, disparity)))

    def depth_outputs(self, images: Any) -> dict[str, Any]:
        """Left disparity as a fraction of the width, [B, H, W, 1].

        Args:
            images: [B, H, W, 3] in [0, 1]; with `stereo_input` [B, H, W, 6], left and right.
        """
        maps = self._disparities(self._with_mirrored(images), False)["disparity0"]
        return self._left_disparity(maps)

    def depth_body_and_head(self) -> tuple[Callable, Callable]:  # noqa: D102
        body, head = cut(self._parts["depth"], ["disp1_conv"])
        return (
            lambda images: body(self._with_mirrored(images)),
            lambda maps: self._left_disparity(head(maps)),
        )

    def _with_mirrored(self, images: Any) -> Any:
        """What the network sees: the images, and with `postprocess` their mirror images after them."""
        if not self.postprocess:
            return images
        return ops.concatenate([images, ops.flip(images, axis=2)], axis=0)  # [2 B, H, W, 3]

    def _left_disparity(self, maps: Any) -> dict[str, Any]:
        """What `depth_outputs` returns, of the network's finest maps [B or 2 B, H, W, 2]."""
        left = maps[..., 0:1]
        if not self.postprocess:
            return {"disparity": left}
        both = ops.reshape(left, (2, -1, *self.image_size, 1))
        return {"disparity": blend_mirrored(both[0], ops.flip(both[1], axis=2))}

    def predict_depth(
        self, images: Any, camera: Camera | None = None, stereo: Any = None
    ) -> Prediction:
        """Depth of images; as `DepthModel.predict_depth`.

        Args:
            images: [B, H, W, 3] or [H, W, 3] RGB in [0, 1], at the network's size; with
                `stereo_input` the left views, or both views stacked on channels.
            camera: the camera that took them; gives metres.
            stereo: with `stereo_input`, the right views, shaped as `images`.

        Raises:
            UserError: if the images have another size, a network for both views is not given both,
                or one for single pictures is.
        """
        if stereo is not None:
            if self.depth_views == 1:
                raise UserError("`stereo` is for monodepth with stereo_input=True")
            if np.shape(images) != np.shape(stereo):
                raise UserError(
                    "`images` and `stereo` must have one shape; received"
                    f" {list(np.shape(images))} and {list(np.shape(stereo))}"
                )
            images = np.concatenate([images, stereo], axis=-1)
        elif self.depth_views == 2 and np.shape(images)[-1:] == (3,):
            raise UserError(
                "this monodepth has stereo_input: give the right views too, as `stereo`"
            )
        return super().predict_depth(images, camera)

    def picture_outputs(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Both disparities, and the left image rebuilt from the right one."""
        disparities = self.forward(batch, training=False)["disparity0"]
        left = disparities[..., 0:1]
        right_image = ops.convert_to_tensor(batch["stereo"])
        return {
            "disparity_left": left,
            "disparity_right": disparities[..., 1:2],
            "left_estimate": reconstruct(right_image, left, True, self.border),
        }
