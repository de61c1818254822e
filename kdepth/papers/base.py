"""What every paper shares: one Keras model class, its training step, its stages and how terms become a loss.

A paper subclasses `DepthModel` and gives three things: its networks (`build_parts`), what they
compute for a batch (`forward`) and its loss (`loss_terms`). Here is the rest, once: reduction of
terms over examples and replicas, the training step, gradient clipping, weight decay, per-variable
learning rates, stages, prediction, saving.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import numbers
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Union

import keras
import numpy as np

from kdepth import backend
from kdepth.backend import ops
from kdepth.errors import UserError
from kdepth.files import atomic_path
from kdepth.geometry import pose
from kdepth.geometry.camera import Camera
from kdepth.losses.numerics import Term
from kdepth.networks.weights import part_weights, read_arrays, read_model_facts, set_part_weights
from kdepth.prediction import Prediction, Rig

# A term of a loss, or several (of scales, sides, views) that are reduced one by one and added.
Terms = Union[Term, Sequence[Term]]

NO_SAMPLE = -1  # what `bad_samples` holds where there is nothing to report
BAD_SAMPLES_KEPT = 4


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage of a paper's training.

    Attributes:
        name: what `enter_stage` takes.
        trainable_parts: names of `parts()` that learn; the others are frozen, bit for bit.
        epochs: the paper's own number.
        learning_rate: the paper's own rate.
        output: what the loss of this stage looks at (the paper decides what it means).
    """

    name: str
    trainable_parts: tuple[str, ...]
    epochs: int
    learning_rate: float
    output: str = ""


@dataclasses.dataclass(frozen=True)
class OptimizerSettings:
    """How a paper is optimised.

    Attributes:
        name: "adam" or "sgd".
        momentum: of sgd.
        beta_1: of adam.
        beta_2: of adam.
        epsilon: of adam.
        weight_decay: coupled L2, added to the loss as 0.5 * weight_decay * sum(kernel^2), as Caffe
            and TF1 did.
    """

    name: str = "adam"
    momentum: float = 0.9
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0


class DepthModel(keras.Model):
    """A paper as a Keras model: `compile`, `fit`, `predict_depth`, `save_parts`.

    Attributes of a subclass:
        paper: its name on the command line.
        variant: which of the paper's forms this is; "" where there is one.
        sample_keys: what it needs of a sample (`image`, `stereo`, `sources`, `intrinsics`,
            ...).
        source_offsets: frames that `sources` holds, relative to the target.
        output_name: "disparity", "inverse_depth" or "depth": what `depth_outputs` returns.
        kind: "metric", "relative" or "disparity": what its predictions are once the camera is
            known.
        resize: how images are brought to the network's size (a method of
            `kdepth.data.image.resize_image`).
        reduction: "mean_of_ratios" (each example's numerator / denominator, then the mean) or
            "ratio_of_sums" (all numerators over all denominators, of all replicas together).
        smallest_denominator: with "ratio_of_sums", a term counts as 0, without gradient, unless its
            whole denominator is above this.
        depth_views: images that the depth network looks at, stacked on channels: 1, or 2 (left and
            right).
        pose_frames: frames that the pose network looks at together; None without one.
        pose_target: place among them, in time order, of the one that its vectors start from.
        term_weights: factor of each loss term in the total.
        optimizer_settings: the paper's optimiser.
        ablations: the paper's own comparisons, by name: options that are changed.
        output_bounds: (lowest, highest) value of the output where it is bounded, else None.
    """

    paper: ClassVar[str] = ""
    variant: str = ""
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    sample_keys: frozenset[str] = frozenset({"image"})
    source_offsets: tuple[int, ...] = (-1, 1)
    output_name: str = "depth"
    kind: str = "metric"
    resize: str = "area"
    reduction: str = "mean_of_ratios"
    smallest_denominator: float = 0.0
    depth_views: int = 1
    pose_frames: int | None = None
    pose_target: int = 0
    term_weights: Mapping[str, float] = {}
    optimizer_settings: OptimizerSettings = OptimizerSettings()
    output_bounds: tuple[float, float] | None = None
    stages: tuple[Stage, ...] = ()

    def __init__(
        self, *, height: int, image_width: int, seed: int, options: Mapping[str, Any]
    ) -> None:
        """Builds the parts and the bookkeeping of a paper.

        Args:
            height: rows of the network's input.
            image_width: columns of the network's input.
            seed: of weights and dropout.
            options: the paper's constructor arguments, as they go into `weights/model.json`.
        """
        # Batches hold poses and intrinsics too: under mixed precision they must not be cast to
        # half, so only the networks cast.
        super().__init__(name=self.paper, autocast=False)
        self.image_size = (int(height), int(image_width))
        self.seed = int(seed)
        self.options = dict(options)
        self.rig: Rig | None = None
        counter = backend.counter_options()
        self.step = self.add_weight(name="step", shape=(), initializer="zeros", **counter)
        nothing = keras.initializers.Constant(NO_SAMPLE)
        self.bad_samples = self.add_weight(
            name="bad_samples", shape=(BAD_SAMPLES_KEPT,), initializer=nothing, **counter
        )
        keras.utils.set_random_seed(self.seed)
        self._parts = self.build_parts()
        for name, part in self._parts.items():
            setattr(
                self, f"part_{name}", part
            )  # so that Keras tracks it, whatever container `_parts` is
        names = ["loss", *self.term_weights]
        self._means = {name: keras.metrics.Mean(name=name) for name in names}
        self._compile_options: dict[str, Any] = {}
        self.clip_norm: float | None = None
        self._set_stage(self.stages[0])
        self.built = True  # nothing waits for a first batch, so `BackupAndRestore` may come at once

    # -- what a paper gives -------------------------------------------------------------------------------------------

    def build_parts(self) -> dict[str, keras.Model]:
        """The paper's networks by name, built. Called once, seeded."""
        raise NotImplementedError(f"{type(self).__name__} must define `build_parts`")

    def forward(self, batch: Mapping[str, Any], training: bool) -> dict[str, Any]:
        """Everything of a batch that `loss_terms` needs."""
        raise NotImplementedError(f"{type(self).__name__} must define `forward`")

    def loss_terms(self, batch: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, Terms]:
        """The paper's loss terms, per example, unweighted; names as in `term_weights`.

        Where a name stands for several terms (of scales, sides, views), each is reduced by itself and
        their sum is the named one.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `loss_terms`")

    def depth_outputs(self, images: Any) -> dict[str, Any]:
        """{output_name: [B, H, W, 1]} of images [B, H, W, 3] in [0, 1], in inference mode: what is exported."""
        raise NotImplementedError(f"{type(self).__name__} must define `depth_outputs`")

    def depth_body_and_head(self) -> tuple[Callable, Callable] | None:
        """`depth_outputs` in two, for 8-bit exports whose last layers stay float.

        The body ends before the layers that make one channel of many: from there on the numbers are
        few and each needs more than 256 steps.

        Returns:
            (images -> list of maps, list of maps -> what `depth_outputs` returns); None of a paper
            that does not say where to cut.
        """
        return None

    def pose_outputs(self, frames: Any) -> dict[str, Any]:
        """{"pose": [B, pose_frames - 1, 6]} of frames in time order, stacked on channels; what is exported.

        Args:
            frames: [B, H, W, 3 * pose_frames] in [0, 1].

        Returns:
            The network's pose vectors (tx, ty, tz, rx, ry, rz), relative units and radians: from the
            frame at `pose_target` to each of the others in time order.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `pose_outputs`")

    def augment(self, sample: dict[str, Any], seed: Any) -> dict[str, Any]:
        """The paper's augmentation of one sample, in TensorFlow (it runs in the input pipeline)."""
        return sample

    def learning_rate_multiplier(self, path: str) -> float:
        """Factor of the learning rate for the variable at `path` (`conv1/bias`)."""
        return 1.0

    def weight_decay_multiplier(self, path: str) -> float:
        """Factor of the weight decay for the variable at `path`: kernels decay, biases and batch norm do not."""
        return 1.0 if path.endswith("/kernel") else 0.0

    def rig_of(self, camera: Camera, baseline: float | None) -> Rig | None:
        """The rig to keep with the weights, from a training sample's camera and baseline (None without a baseline)."""
        return (
            None
            if baseline is None
            else Rig(float(baseline), float(camera.fx) / float(camera.width))
        )

    def depth_input(self, batch: Mapping[str, Any]) -> Any:
        """What `depth_outputs` takes of a batch: its images, [B, H, W, 3 * depth_views]."""
        return batch["image"]

    def picture_outputs(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Maps worth looking at during training, [B, H, W, 1 or 3] each; TensorBoard shows them."""
        return self.depth_outputs(batch["image"])

    # -- Keras --------------------------------------------------------------------------------------------------------

    def parts(self) -> dict[str, keras.Model]:
        """The networks by name; `save_parts` writes one file for each."""
        return dict(self._parts)

    def call(self, batch: Mapping[str, Any], training: bool = False) -> dict[str, Any]:  # noqa: D102
        return self.forward(batch, training)

    def build(self, input_shape: Any = None) -> None:  # noqa: D102 (the parts are built in the constructor)
        self.built = True

    def compile(self, optimizer: Any = None, clip_norm: float | None = None, **kwargs: Any) -> None:
        """As `keras.Model.compile`, without `loss`: the paper is the loss.

        Args:
            optimizer: a Keras optimizer; the paper's own by default.
            clip_norm: largest global norm of the gradient, right under several replicas and with
                loss scaling.
            **kwargs: `jit_compile`, `run_eagerly`, `steps_per_execution`.
        """
        if optimizer is None:
            optimizer = self.default_optimizer()
        elif isinstance(optimizer, str):
            optimizer = keras.optimizers.get(optimizer)
        optimizer = backend.wrap_for_precision(optimizer)
        backend.set_learning_rate_multipliers(optimizer, self.learning_rate_multiplier)
        self.clip_norm = clip_norm
        # XLA slows a network down on the CPU and the warp compiles itself, so Keras's "auto" is not
        # wanted there.
        kwargs.setdefault("jit_compile", False)
        self._compile_options = {"clip_norm": clip_norm, **kwargs}
        if backend.BACKEND == "tensorflow":
            super().compile(optimizer=optimizer, **kwargs)
        else:  # Keras's own step runs there, so the optimizer must clip
            if clip_norm is not None:
                # With loss scaling the inner one, which sees the true gradient.
                getattr(optimizer, "inner_optimizer", optimizer).global_clipnorm = clip_norm
            super().compile(optimizer=optimizer, **{**kwargs, "jit_compile": "auto"})

    def default_optimizer(self, learning_rate: Any = None) -> Any:
        """The paper's optimiser.

        Args:
            learning_rate: a float or a schedule; by default the rate of the entered stage.
        """
        settings = self.optimizer_settings
        learning_rate = self.stage.learning_rate if learning_rate is None else learning_rate
        if settings.name == "sgd":
            return keras.optimizers.SGD(learning_rate, momentum=settings.momentum)
        return keras.optimizers.Adam(
            learning_rate, beta_1=settings.beta_1, beta_2=settings.beta_2, epsilon=settings.epsilon
        )

    def build_optimizer(self) -> None:
        """Creates the optimizer's variables, as the first step would, so that they can be saved and restored."""
        if not getattr(self.optimizer, "built", False):
            self.optimizer.build(self.trainable_variables)

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.fit`."""
        if hasattr(x, "element_spec") and not args:
            # A `tf.data.Dataset` shuffles by itself; Keras 3 warns unless it is told so.
            kwargs.setdefault("shuffle", False)
        if backend.BACKEND == "tensorflow" and getattr(self, "optimizer", None) is not None:
            # A step that creates variables is traced twice, and tracing is most of what a start costs.
            with self.distribute_strategy.scope():
                self.build_optimizer()
        return super().fit(x, *args, **kwargs)

    @property
    def metrics(self) -> list[Any]:
        """The running means of the loss and of every term."""
        return list(self._means.values())

    def reset_metrics(self) -> None:
        """Starts the running means anew, as Keras asks at the start of every epoch."""
        super().reset_metrics()
        # While JAX trains, the step counter lives outside of the model; the pipeline reads this
        # copy then.
        self.epoch_start_step = int(backend.to_numpy(self.step))

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """The running means; `compute_loss` has updated them."""
        return {mean.name: mean.result() for mean in self.metrics}

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The weighted sum of the paper's terms: this replica's share of it.

        Args:
            x: the batch, a dict.
            y: not used.
            y_pred: what `call` returned.
            sample_weight: not used.
            training: whether a training step asks (then the step counter moves on).

        Returns:
            A scalar. Shares of all replicas add up to the loss of the global batch, so gradients
            that are summed over the replicas are the gradients which one replica would have
            computed.
        """
        batch = {key: ops.convert_to_tensor(value) for key, value in x.items()}
        terms = self.loss_terms(batch, y_pred)
        total = 0.0
        for name, weight in self.term_weights.items():
            share = self._reduce(terms[name])
            total = total + weight * share
            self._means[name].update_state(backend.sum_over_replicas(share))
        if training:
            total = total + self._weight_decay()
            self._remember_bad_samples(batch, terms)
            backend.advance(self.step, after=total)
        self._means["loss"].update_state(backend.sum_over_replicas(total))
        return total

    def _reduce(self, term: Terms) -> Any:
        """One replica's share of a term: the one place where examples and replicas are reduced."""
        if not isinstance(term, Term):
            return sum(self._reduce(one) for one in term)
        numerator = ops.cast(term.numerator, "float32")
        denominator = ops.stop_gradient(ops.cast(term.denominator, "float32"))
        if self.reduction == "ratio_of_sums":
            whole = backend.sum_over_replicas(ops.sum(denominator))
            share = ops.sum(numerator) / ops.maximum(whole, 1e-12)
            if not self.smallest_denominator:
                return share
            return ops.where(whole > self.smallest_denominator, share, ops.zeros_like(share))
        batch = ops.cast(ops.shape(numerator)[0], "float32")
        ratios = numerator / ops.maximum(denominator, 1e-12)
        return ops.sum(ratios) / backend.sum_over_replicas(batch)

    def _weight_decay(self) -> Any:
        decay = self.optimizer_settings.weight_decay
        if not decay:
            return 0.0
        squares = []
        for part in self._parts.values():
            for variable in part.trainable_variables:
                share = self.weight_decay_multiplier(backend.variable_path(variable))
                if share:
                    squares.append(share * ops.sum(ops.square(ops.cast(variable, "float32"))))
        return 0.5 * decay * sum(squares) / backend.replica_count()

    def _remember_bad_samples(self, batch: Mapping[str, Any], terms: Mapping[str, Terms]) -> None:
        """Keeps the indices of samples whose terms are not finite, so that training can name them."""
        if "index" not in batch:
            return
        finite = True
        for term in terms.values():
            for one in [term] if isinstance(term, Term) else term:
                finite = ops.logical_and(finite, ops.isfinite(ops.cast(one.numerator, "float32")))
        index = ops.cast(batch["index"], self.bad_samples.dtype)
        bad = backend.gather_over_replicas(
            ops.where(finite, ops.full_like(index, NO_SAMPLE), index)
        )
        rank = (
            ops.cumsum(ops.cast(bad > NO_SAMPLE, "int32")) - 1
        )  # place of each bad sample among the bad ones
        places = ops.expand_dims(ops.arange(BAD_SAMPLES_KEPT, dtype="int32"), 1)
        here = ops.logical_and(
            ops.expand_dims(rank, 0) == places, ops.expand_dims(bad > NO_SAMPLE, 0)
        )
        self.bad_samples.assign(
            ops.max(ops.where(here, bad, ops.full_like(bad, NO_SAMPLE)), axis=1)
        )

    def _clipped(self, gradients: list[Any]) -> list[Any]:
        """Gradients clipped by the norm of their sum over the replicas (Keras 3 clips each one's)."""
        if self.clip_norm is None:
            return gradients
        summed = backend.sum_over_replicas([g for g in gradients if g is not None])
        squares = [ops.sum(ops.square(ops.cast(g, "float32"))) for g in summed]
        norm = ops.sqrt(sum(squares))
        limit = self.clip_norm * backend.loss_scale(self.optimizer)
        # The optimizer adds the replicas' gradients up once more. An overflowed (infinite) norm
        # makes the gradient 0 * inf = NaN, which loss scaling recognises and skips.
        factor = limit / ops.maximum(norm, limit) / backend.replica_count()
        clipped = iter([g * ops.cast(factor, g.dtype) for g in summed])
        return [None if g is None else next(clipped) for g in gradients]

    # -- stages -------------------------------------------------------------------------------------------------------

    def stage_named(self, name: str) -> Stage:
        """The stage of that name.

        Raises:
            UserError: if the paper has no such stage.
        """
        for stage in self.stages:
            if stage.name == name:
                return stage
        names = ", ".join(stage.name for stage in self.stages)
        raise UserError(f"{self.paper} has no stage '{name}'; its stages are: {names}")

    def enter_stage(self, name: str, optimizer: Any = None) -> Stage:
        """Changes the stage: sets what is trainable, recompiles and starts a fresh optimizer.

        Keras caches the train function, so changing `trainable` after `compile` would have no
        effect: this is the only way.

        Args:
            name: of one of `stages`.
            optimizer: a fresh optimizer; by default a copy of the compiled one, its rate multiplied
                by the ratio of this stage's paper rate to the last one's.

        Returns:
            The stage that was entered.
        """
        stage = self.stage_named(name)
        if optimizer is None and getattr(self, "optimizer", None) is not None:
            optimizer = _fresh(self.optimizer, stage.learning_rate / self.stage.learning_rate)
        self._set_stage(stage)
        self.compile(optimizer=optimizer, **self._compile_options)
        return stage

    def _set_stage(self, stage: Stage) -> None:
        self.stage = stage
        # Traced in another stage, they would go on predicting as in that one.
        self._predict_function: Callable | None = None
        self._pose_function: Callable | None = None
        self._set_trainable(stage)

    def _set_trainable(self, stage: Stage) -> None:
        for name, part in self._parts.items():
            part.trainable = name in stage.trainable_parts

    # -- prediction ---------------------------------------------------------------------------------------------------

    def predict_depth(self, images: Any, camera: Camera | None = None) -> Prediction:
        """Depth of images.

        Args:
            images: [B, H, W, 3] or [H, W, 3] RGB in [0, 1], at the network's size.
            camera: the camera that took them, of any size with the same field of view; needed for
                metres by papers that learn from stereo.

        Returns:
            A `Prediction` at the network's size: metres where the paper is metric and the camera is
            known.

        Raises:
            UserError: if the images have another size.
        """
        images = np.asarray(images, np.float32)
        images = images[None] if images.ndim == 3 else images
        size = (*self.image_size, 3 * self.depth_views)
        if images.shape[1:] != size:
            raise UserError(
                f"`images` must be [B, {size[0]}, {size[1]}, {size[2]}] for this {self.paper};"
                f" received {list(images.shape)}: resize them with kdepth.data.image.resize_image"
            )
        if self._predict_function is None:
            self._predict_function = backend.compiled(self.depth_outputs)
        values = backend.to_numpy(
            self._predict_function(ops.convert_to_tensor(images))[self.output_name]
        )[..., 0]
        if self.output_name == "disparity":
            prediction = Prediction(
                disparity=values, kind="disparity", unit="fraction of the width"
            )
            if camera is None or self.rig is None:
                return prediction
            return prediction.to_depth(camera, self.rig)
        unit = "m" if self.kind == "metric" else "relative"
        return Prediction(**{self.output_name: values}, kind=self.kind, unit=unit)

    def predict_pose(self, frames: Any) -> np.ndarray:
        """Camera motion between consecutive frames of a video.

        Args:
            frames: [B, N, H, W, 3] RGB in [0, 1] in time order, at the network's size. A network that
                looks at more than two frames at once needs N = `pose_frames`.

        Returns:
            [B, N - 1, 4, 4] float64: T_{k+1 <- k}, which takes points of frame k's camera to frame
            k + 1's. Translations are in the units of the paper's depth, relative ones.

        Raises:
            UserError: if the paper has no pose network, or the frames have another size or number.
        """
        if self.pose_frames is None:
            raise UserError(f"{self.paper} has no pose network")
        frames = np.asarray(frames, np.float32)
        at_once, size = self.pose_frames, (*self.image_size, 3)
        if frames.ndim != 5 or frames.shape[2:] != size or frames.shape[1] < 2:
            raise UserError(
                f"`frames` must be [B, N, {size[0]}, {size[1]}, 3] with N >= 2 for this {self.paper};"
                f" received {list(frames.shape)}"
            )
        if at_once > 2 and frames.shape[1] != at_once:
            raise UserError(
                f"this {self.paper} looks at {at_once} frames at once; received {frames.shape[1]}"
            )
        if self._pose_function is None:
            self._pose_function = backend.compiled(self.pose_outputs)
        motions = []
        for first in range(frames.shape[1] - at_once + 1):
            stacked = np.concatenate([frames[:, first + k] for k in range(at_once)], axis=-1)
            vectors = backend.to_numpy(self._pose_function(ops.convert_to_tensor(stacked))["pose"])
            motions.append(pose.consecutive(np.asarray(vectors, np.float64), self.pose_target))
        return np.concatenate(motions, axis=1)

    # -- saving -------------------------------------------------------------------------------------------------------

    def save_parts(self, folder: str | Path) -> None:
        """Writes `<part>.npz` for every part and `model.json`; portable over stacks and backends.

        Args:
            folder: made if missing. Each file is replaced atomically.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, part in self._parts.items():
            with atomic_path(folder / f"{name}.npz") as path, open(path, "wb") as file:
                np.savez(file, **part_weights(part))
        facts = {
            "paper": self.paper,
            "options": dict(self.options),  # Keras 2.15 wraps dicts that a model holds
            "stage": self.stage.name,
            "rig": None if self.rig is None else self.rig._asdict(),
        }
        with atomic_path(folder / "model.json") as path:
            path.write_text(json.dumps(facts, indent=1) + "\n")

    def load_parts(self, folder: str | Path) -> None:
        """Reads what `save_parts` wrote.

        Raises:
            UserError: if a file is missing or holds weights of another paper, variant, width or
                size.
        """
        folder = Path(folder)
        facts = read_model_facts(folder)
        if facts["paper"] != self.paper:
            raise UserError(f"{folder} holds weights of '{facts['paper']}', not of '{self.paper}'")
        for name, part in self._parts.items():
            set_part_weights(part, read_arrays(folder / f"{name}.npz"), folder / f"{name}.npz")
        self.rig = Rig(**facts["rig"]) if facts.get("rig") else None
        self._set_stage(self.stage_named(facts["stage"]))


def _train_step(self: DepthModel, data: Any) -> dict[str, Any]:
    """One step: outputs = forward(batch); terms = losses(batch, outputs); gradient of the weighted sum."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        outputs = self(data, training=True)
        loss = self.compute_loss(x=data, y_pred=outputs, training=True)
        scaled = backend.scale_loss(self.optimizer, loss)
    variables = self.trainable_variables
    gradients = self._clipped(tape.gradient(scaled, variables))
    backend.apply_gradients(self.optimizer, gradients, variables)
    return self.compute_metrics(data, None, outputs)


def _test_step(self: DepthModel, data: Any) -> dict[str, Any]:
    outputs = self(data, training=False)
    self.compute_loss(x=data, y_pred=outputs, training=False)
    return self.compute_metrics(data, None, outputs)


# One tape that is right under several replicas, with clipping and loss scaling. JAX and PyTorch
# trainers have steps of their own (no tape there), which call the same `compute_loss`.
if backend.BACKEND == "tensorflow":
    DepthModel.train_step = _train_step
    DepthModel.test_step = _test_step


def _fresh(optimizer: Any, rate_ratio: float) -> Any:
    """A new optimizer of the same settings, its constant learning rate multiplied."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    config = optimizer.get_config()
    if isinstance(config.get("learning_rate"), numbers.Real):
        config["learning_rate"] = float(config["learning_rate"]) * rate_ratio
    return type(optimizer).from_config(config)


def option_names(paper: type[DepthModel]) -> list[str]:
    """Names of the options that a paper's constructor takes."""
    return [name for name in inspect.signature(paper.__init__).parameters if name != "self"]
