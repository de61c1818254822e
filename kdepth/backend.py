"""The one seam between Keras 2.15 (the `addons` stack) and Keras 3 (TensorFlow, JAX or PyTorch underneath).

Networks, losses and geometry say `from kdepth.backend import ops` and use `keras.ops` names. On
Keras 2.15, which has no `keras.ops`, `ops` is a look-alike over TensorFlow with the same names and
NumPy-like signatures. Everything else that the two generations of Keras spell differently is here
too, so no other module asks which Keras it runs on.

May be changed here: operators that a new paper needs (add them to the look-alike under their
`keras.ops` name).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

from kdepth.errors import UserError

BACKENDS = ("tensorflow", "jax", "torch")

_asked = os.environ.get("KERAS_BACKEND", "").strip() or "tensorflow"
if _asked not in BACKENDS:
    raise UserError(f"KERAS_BACKEND must be one of {', '.join(BACKENDS)}; received '{_asked}'")

try:
    import keras
except ModuleNotFoundError as error:
    if error.name not in ("jax", "torch"):
        raise
    raise UserError(
        f"KERAS_BACKEND is '{error.name}', which is not installed: unset it, or"
        f" pip install 'kdepth[keras3,{error.name}]'"
    ) from None

KERAS3: bool = int(keras.__version__.split(".")[0]) >= 3

if KERAS3:
    BACKEND: str = keras.backend.backend()
else:
    BACKEND = "tensorflow"
    if _asked != "tensorflow":
        raise UserError(
            f"KERAS_BACKEND must be 'tensorflow' with Keras {keras.__version__} (other backends came with Keras 3);"
            f" received '{_asked}': unset it, or install kdepth[keras3] on Python 3.10 or newer"
        )

if BACKEND == "tensorflow":
    import tensorflow as tf


if KERAS3:
    from keras import ops
else:

    class ops:  # noqa: N801 (it stands in for the module `keras.ops`)
        """`keras.ops` names over TensorFlow, for Keras 2.15: those which kdepth uses."""

        abs = staticmethod(tf.abs)
        add = staticmethod(tf.add)
        arange = staticmethod(tf.range)
        arctan2 = staticmethod(tf.atan2)
        cast = staticmethod(tf.cast)
        ceil = staticmethod(tf.math.ceil)
        convert_to_tensor = staticmethod(tf.convert_to_tensor)
        cos = staticmethod(tf.cos)
        divide_no_nan = staticmethod(tf.math.divide_no_nan)
        equal = staticmethod(tf.equal)
        exp = staticmethod(tf.exp)
        expand_dims = staticmethod(tf.expand_dims)
        eye = staticmethod(tf.eye)
        floor = staticmethod(tf.floor)
        full_like = staticmethod(lambda x, value: tf.fill(tf.shape(x), tf.cast(value, x.dtype)))
        greater = staticmethod(tf.greater)
        isfinite = staticmethod(tf.math.is_finite)
        log = staticmethod(tf.math.log)
        logical_and = staticmethod(tf.logical_and)
        logical_not = staticmethod(tf.logical_not)
        logical_or = staticmethod(tf.logical_or)
        matmul = staticmethod(tf.matmul)
        maximum = staticmethod(tf.maximum)
        minimum = staticmethod(tf.minimum)
        multiply = staticmethod(tf.multiply)
        ones = staticmethod(tf.ones)
        ones_like = staticmethod(tf.ones_like)
        relu = staticmethod(tf.nn.relu)
        reshape = staticmethod(tf.reshape)
        round = staticmethod(tf.round)
        sigmoid = staticmethod(tf.sigmoid)
        sign = staticmethod(tf.sign)
        sin = staticmethod(tf.sin)
        slice = staticmethod(tf.slice)
        softplus = staticmethod(tf.math.softplus)
        sqrt = staticmethod(tf.sqrt)
        square = staticmethod(tf.square)
        squeeze = staticmethod(tf.squeeze)
        stack = staticmethod(tf.stack)
        stop_gradient = staticmethod(tf.stop_gradient)
        subtract = staticmethod(tf.subtract)
        tanh = staticmethod(tf.tanh)
        tile = staticmethod(tf.tile)
        where = staticmethod(tf.where)
        zeros = staticmethod(tf.zeros)
        zeros_like = staticmethod(tf.zeros_like)

        @staticmethod
        def all(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
            return tf.reduce_all(x, axis, keepdims)

        @staticmethod
        def any(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
            return tf.reduce_any(x, axis, keepdims)

        @staticmethod
        def average_pool(
            x: Any, pool_size: Any, strides: Any = None, padding: str = "valid"
        ) -> Any:
            strides = pool_size if strides is None else strides
            return tf.nn.avg_pool2d(x, pool_size, strides, padding.upper())

        @staticmethod
        def clip(x: Any, x_min: Any, x_max: Any) -> Any:
            return tf.clip_by_value(x, x_min, x_max)

        @staticmethod
        def concatenate(xs: Any, axis: int = -1) -> Any:
            return tf.concat(xs, axis)

        @staticmethod
        def cumsum(x: Any, axis: int = 0) -> Any:
            return tf.cumsum(x, axis)

        @staticmethod
        def depthwise_conv(x: Any, kernel: Any, strides: int = 1, padding: str = "valid") -> Any:
            return tf.nn.depthwise_conv2d(x, kernel, [1, strides, strides, 1], padding.upper())

        @staticmethod
        def flip(x: Any, axis: Any) -> Any:
            return tf.reverse(x, [axis] if isinstance(axis, int) else axis)

        @staticmethod
        def max(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
            return tf.reduce_max(x, axis, keepdims)

        @staticmethod
        def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
            return tf.reduce_mean(x, axis, keepdims)

        @staticmethod
        def meshgrid(*xs: Any, indexing: str = "xy") -> Any:
            return tf.meshgrid(*xs, indexing=indexing)

        @staticmethod
        def min(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
            return tf.reduce_min(x, axis, keepdims)

        @staticmethod
        def pad(x: Any, pad_width: Any, mode: str = "constant") -> Any:
            if mode == "edge":
                raise ValueError("`mode` must be 'constant', 'reflect' or 'symmetric'.")
            return tf.pad(x, pad_width, mode.upper())

        @staticmethod
        def repeat(x: Any, repeats: Any, axis: Any = None) -> Any:
            return tf.repeat(x, repeats, axis)

        @staticmethod
        def shape(x: Any) -> tuple[Any, ...]:
            """Ints where they are known, scalar tensors elsewhere, as `keras.ops.shape`."""
            static, dynamic = x.shape.as_list(), tf.shape(x)
            return tuple(dynamic[i] if n is None else n for i, n in enumerate(static))

        @staticmethod
        def split(x: Any, indices_or_sections: int, axis: int = 0) -> Any:
            return tf.split(x, indices_or_sections, axis)

        @staticmethod
        def std(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
            return tf.math.reduce_std(x, axis, keepdims)

        @staticmethod
        def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
            return tf.reduce_sum(x, axis, keepdims)

        @staticmethod
        def take(x: Any, indices: Any, axis: Any = None) -> Any:
            return tf.gather(x, indices, axis=axis)

        @staticmethod
        def take_along_axis(x: Any, indices: Any, axis: int) -> Any:
            return tf.gather(x, indices, axis=axis, batch_dims=axis)

        @staticmethod
        def transpose(x: Any, axes: Any = None) -> Any:
            return tf.transpose(x, axes)

        @staticmethod
        def var(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
            return tf.math.reduce_variance(x, axis, keepdims)


def to_numpy(x: Any) -> Any:
    """A NumPy array of a tensor or variable of any backend."""
    if KERAS3:
        return keras.ops.convert_to_numpy(x)
    return x.numpy() if hasattr(x, "numpy") else x


# -- several replicas ---------------------------------------------------------------------------------------------


def replica_count() -> int:
    """Replicas that share one training step (1 on JAX and PyTorch, whose arrays are global)."""
    return tf.distribute.get_strategy().num_replicas_in_sync if BACKEND == "tensorflow" else 1


def _replica_context() -> Any:
    """The replica context if this code runs once per replica and there are several, else None."""
    if BACKEND != "tensorflow" or replica_count() == 1:
        return None
    return tf.distribute.get_replica_context()


def sum_over_replicas(x: Any) -> Any:
    """The sum of `x`, a tensor or a list of them, over all replicas (itself where there is one).

    Gradients do not pass. Give many tensors as one list: they are then reduced together, in one
    order on every replica.
    """
    context = _replica_context()
    several = isinstance(x, list)
    values = [ops.stop_gradient(v) for v in x] if several else [ops.stop_gradient(x)]
    if context is not None:
        values = context.all_reduce(tf.distribute.ReduceOp.SUM, values)
    return values if several else values[0]


def gather_over_replicas(x: Any) -> Any:
    """The replicas' `x`, concatenated along the batch axis. Gradients do not pass."""
    context = _replica_context()
    return (
        ops.stop_gradient(x) if context is None else context.all_gather(tf.stop_gradient(x), axis=0)
    )


def synchronized() -> dict[str, bool]:
    """Arguments that make batch normalisation see the global batch (only TensorFlow's replicas need to be told)."""
    return {"synchronized": True} if BACKEND == "tensorflow" else {}


# -- random numbers as a pure function of the step ----------------------------------------------------------------


def stateless_uniform(shape: tuple[Any, ...], seed: int, step: Any) -> Any:
    """Uniform numbers in [0, 1) that depend on (seed, step) and on the place in the global batch alone.

    Args:
        shape: of this replica's part; the first axis is the batch.
        seed: any integer.
        step: the saved step counter, so that a resumed run draws what the undisturbed one would
            have drawn.

    Returns:
        float32 tensor. With several replicas each gets its own slice of what one replica would have
        drawn.
    """
    if BACKEND == "tensorflow":
        context = _replica_context()
        count = replica_count() if context is not None else 1
        draw = tf.random.stateless_uniform(
            (shape[0] * count, *shape[1:]),
            tf.stack([tf.cast(seed, tf.int64), tf.cast(step, tf.int64)]),
        )
        if count == 1:
            return draw
        start = context.replica_id_in_sync_group * shape[0]
        return draw[start : start + shape[0]]
    if BACKEND == "jax":
        import jax

        key = jax.random.fold_in(jax.random.PRNGKey(seed), ops.cast(step, "uint32"))
        return jax.random.uniform(key, shape)
    import torch

    generator = torch.Generator("cpu").manual_seed((seed * 1_000_003 + int(step)) % 2**63)
    drawn = torch.rand(tuple(int(n) for n in shape), generator=generator, device="cpu")
    return ops.convert_to_tensor(drawn)


def counter_options() -> dict[str, Any]:
    """`add_weight` arguments of an integer that counts steps: every replica assigns it the same value."""
    if BACKEND != "tensorflow":  # JAX has no 64-bit integers by default
        return {"dtype": "int32", "trainable": False}
    once = "only_first_replica" if KERAS3 else tf.VariableAggregation.ONLY_FIRST_REPLICA
    return {"dtype": "int64", "trainable": False, "aggregation": once}


def advance(counter: Any, after: Any) -> None:
    """Adds one to a counter once `after` is computed.

    TensorFlow runs an assignment that depends on no data even in the step that finds its data at an
    end.
    """
    if BACKEND == "tensorflow":
        with tf.control_dependencies([after]):
            counter.assign_add(1)
    else:
        counter.assign(counter + 1)


# -- optimizer and precision --------------------------------------------------------------------------------------


def set_precision(policy: str) -> None:
    """Sets Keras's global dtype policy: float32, mixed_float16 or mixed_bfloat16."""
    if KERAS3:
        keras.config.set_dtype_policy(policy)
    else:
        keras.mixed_precision.set_global_policy(policy)


def wrap_for_precision(optimizer: Any) -> Any:
    """Adds loss scaling to an optimizer where the policy is mixed_float16 and Keras would not do it by itself."""
    if _policy() != "mixed_float16" or hasattr(optimizer, "inner_optimizer"):
        return optimizer
    if KERAS3:
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return keras.mixed_precision.LossScaleOptimizer(optimizer)


def _policy() -> str:
    return (keras.config.dtype_policy() if KERAS3 else keras.mixed_precision.global_policy()).name


def scale_loss(optimizer: Any, loss: Any) -> Any:
    """The loss times the optimizer's loss scale, where it has one."""
    if KERAS3:
        return optimizer.scale_loss(loss)
    return optimizer.get_scaled_loss(loss) if hasattr(optimizer, "get_scaled_loss") else loss


def loss_scale(optimizer: Any) -> Any:
    """The current loss scale: 1.0 where the optimizer has none."""
    if not hasattr(optimizer, "inner_optimizer"):
        return 1.0
    if not KERAS3:
        return optimizer.loss_scale
    return optimizer.dynamic_scale if optimizer.built else optimizer.initial_scale


def apply_gradients(optimizer: Any, gradients: Any, variables: Any) -> None:
    """Applies gradients of a scaled loss; both Keras generations add them up over the replicas."""
    if KERAS3:
        optimizer.apply(gradients, variables)
        return
    if hasattr(optimizer, "get_unscaled_gradients"):
        gradients = optimizer.get_unscaled_gradients(gradients)
    optimizer.apply_gradients(zip(gradients, variables))


def optimizer_variables(optimizer: Any) -> list[Any]:
    """All of an optimizer's variables (iterations and loss scale included), in creation order."""
    variables = optimizer.variables
    return list(variables() if callable(variables) else variables)


def set_learning_rate_multipliers(optimizer: Any, multiplier_of: Callable[[str], float]) -> None:
    """Gives each variable its own learning rate: the optimizer's, times `multiplier_of(variable's path)`.

    Scaling the gradients instead would do nothing under Adam, whose step does not depend on their
    size.

    Args:
        optimizer: a Keras optimizer; with loss scaling, the inner one is changed.
        multiplier_of: maps a variable's path (`conv1/bias`) to a factor.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    # The class's own, so that an optimizer that is compiled twice is not changed twice.
    plain_step = functools.partial(type(optimizer).update_step, optimizer)

    def path_of(variable: Any) -> str:
        if KERAS3 and not hasattr(variable, "path"):
            # Under a strategy Keras 3 hands in one replica's plain tf.Variable, named `kernel`
            # alone; the optimizer knows which of its variables that is a part of.
            variable = optimizer._trainable_variables[optimizer._get_variable_index(variable)]
        return variable_path(variable)

    def update_step(gradient: Any, variable: Any, *learning_rate: Any) -> None:
        multiplier = multiplier_of(path_of(variable))
        if multiplier == 1.0:
            plain_step(gradient, variable, *learning_rate)
        elif learning_rate:  # Keras 3 hands the rate in
            plain_step(gradient, variable, learning_rate[0] * multiplier)
        else:  # Keras 2.15 reads it from the optimizer: shorten the step afterwards
            before = tf.identity(variable)
            plain_step(gradient, variable)
            variable.assign(before + multiplier * (variable - before))

    def update_all(gradients: Any, variables: Any, learning_rate: Any) -> None:
        factors = [multiplier_of(variable_path(v)) for v in variables]
        before = [None if f == 1.0 else ops.copy(v) for f, v in zip(factors, variables)]
        type(optimizer)._backend_update_step(optimizer, gradients, variables, learning_rate)
        for variable, factor, old in zip(variables, factors, before):
            if old is not None:
                variable.assign(old + factor * (variable - old))

    if BACKEND == "torch":  # it steps all variables at once, past `update_step`
        optimizer._backend_update_step = update_all
    else:
        optimizer.update_step = update_step


def variable_path(variable: Any) -> str:
    """The variable's path from its network's layer on: `conv1/kernel`, the same on every stack."""
    path = variable.path if hasattr(variable, "path") else variable.name.split(":")[0]
    # Under a strategy the other replicas' copies are called `conv1/kernel/replica_1`.
    names = [name for name in path.split("/") if not name.startswith("replica_")]
    return "/".join(names[-2:])


def compiled(function: Callable) -> Callable:
    """The function as a graph on TensorFlow; as it is elsewhere."""
    return tf.function(function) if BACKEND == "tensorflow" else function
