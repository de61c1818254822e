"""From records to batches: decode, resize, cache, augment, batch, prefetch; for every data set.

Everything random is a pure function of (seed, epoch, index), and the position comes from the
model's saved step: an iterator that starts at step s goes on exactly where an undisturbed run would
be. `order.py` has the functions.
"""

from __future__ import annotations

import dataclasses
import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from kdepth.data import order
from kdepth.data.decode import Decoder
from kdepth.data.readers import open_reader, require_keys
from kdepth.data.sample import Record
from kdepth.errors import UserError

CACHES = ("auto", "memory", "none")
_CACHE_LIMIT = 1.5e9  # bytes; above this "auto" streams from disk

Augment = Callable[[dict[str, tf.Tensor], tf.Tensor], dict[str, tf.Tensor]]


@dataclasses.dataclass(frozen=True)
class Info:
    """What is known about a dataset that `load` returned.

    Attributes:
        records: its samples; `index` of a batch counts in here.
        steps_per_epoch: batches of one epoch, and of every iteration.
        batch_size: of the global batch.
        cached: whether decoded samples stay in memory.
        bad_samples: name -> message of the samples that were skipped so far.
    """

    records: Sequence[Record]
    steps_per_epoch: int
    batch_size: int
    cached: bool
    bad_samples: Mapping[str, str]


_infos: weakref.WeakKeyDictionary[tf.data.Dataset, Info] = weakref.WeakKeyDictionary()


def info(dataset: tf.data.Dataset) -> Info:
    """Returns the facts about a dataset from `load` or `load_records` (not one derived from it)."""
    return _infos[dataset]


def steps_per_epoch(dataset: tf.data.Dataset) -> int:
    """Returns the batches in a whole epoch of a dataset from `load` or `load_records`."""
    return info(dataset).steps_per_epoch


def load(
    dataset: str,
    *,
    data_dir: str | os.PathLike[str] | None,
    split: str,
    model: Any = None,
    batch_size: int,
    seed: int,
    training: bool = True,
    on_bad_sample: str = "stop",
    cache: str = "auto",
    sample_keys: frozenset[str] | None = None,
    image_size: tuple[int, int] | None = None,
    resize: str | None = None,
    augment: Augment | None = None,
    source_offsets: tuple[int, ...] | None = None,
    **reader_options: Any,
) -> tf.data.Dataset:
    """Makes the dataset that `model.fit` takes.

    Args:
        dataset: name of a data set (`kdepth.data.READERS`).
        data_dir: its folder; None is the default place of the embedded world.
        split: one of its splits, or the path of a list file.
        model: gives `sample_keys`, `image_size`, `resize`, `augment`, `source_offsets` and, for the
            position, `step`: the integer variable that counts finished steps. It must move on after
            its step has got its batch, because the first batch of an iteration asks for it. Keras
            takes it away during an epoch on JAX; there `epoch_start_step` (an int that the model
            notes in `reset_metrics`) stands in. When training, it is told the rig (`model.rig`).
        batch_size: of the global batch; a strategy splits it over its replicas.
        seed: of order and augmentation.
        training: shuffle, augment and drop the last incomplete batch. Otherwise the split's order,
            everything once.
        on_bad_sample: "stop", or "skip": the next readable sample takes the place of an unreadable
            one.
        cache: keep decoded and resized samples in memory: "memory", "none", or "auto" (if they take
            less than 1.5 GB).
        sample_keys: in the place of the model's.
        image_size: (height, width), in the place of the model's.
        resize: method of `resize_image`, in the place of the model's.
        augment: (sample, seed [2]) -> sample, in the place of the model's.
        source_offsets: in the place of the model's; (-1, 1) without a model.
        **reader_options: of the data set's reader.

    Returns:
        Dicts of float32 tensors: the keys that were asked for (images [B, H, W, 3] in [0,
        1], `sources` [B, S, H, W, 3], `intrinsics` [B, 3, 3] at network size, `baseline` [B],
        `depth` [B, H, W, 1], `T_sources_image` [B, S, 4, 4]) and `index` [B] int64.

    Raises:
        UserError: if the data set, the split, a needed key or files are missing. Bad files that are
            met later stop the iteration; `user_errors` makes a `UserError` of that again.
    """
    keys = _setting(sample_keys, model, "sample_keys")
    require_keys(dataset, keys, getattr(model, "paper", None) or "the model")
    if on_bad_sample == "skip":
        reader_options.setdefault("on_missing", "skip")
    reader = open_reader(dataset, data_dir, **reader_options)
    offsets = source_offsets or getattr(model, "source_offsets", (-1, 1))
    return load_records(
        reader.records(split, keys, offsets),
        model=model,
        batch_size=batch_size,
        seed=seed,
        training=training,
        on_bad_sample=on_bad_sample,
        cache=cache,
        sample_keys=keys,
        image_size=image_size,
        resize=resize,
        augment=augment,
    )


def load_records(
    records: Sequence[Record],
    *,
    model: Any = None,
    batch_size: int,
    seed: int,
    training: bool = True,
    on_bad_sample: str = "stop",
    cache: str = "auto",
    sample_keys: frozenset[str] | None = None,
    image_size: tuple[int, int] | None = None,
    resize: str | None = None,
    augment: Augment | None = None,
) -> tf.data.Dataset:
    """Makes a dataset of given records, for example of two data sets together; else as `load`.

    Raises:
        UserError: if there are fewer samples than one batch needs.
    """
    keys = frozenset(_setting(sample_keys, model, "sample_keys")) | {"index"}
    height, width = _setting(image_size, model, "image_size")
    method = resize or getattr(model, "resize", "area")
    augment = (augment or getattr(model, "augment", None)) if training else None
    if batch_size < 1:
        raise UserError(f"--batch_size must be at least 1, received {batch_size}")
    if len(records) < (batch_size if training else 1):
        raise UserError(
            f"the split has {len(records)} samples, one batch needs {batch_size}; see --batch_size "
            "and --split"
        )
    # The mirrored pair takes its principal point from the other camera.
    needs_other = augment is not None and keys >= {"stereo", "intrinsics"}
    loaded_keys = keys | {"stereo_intrinsics"} if needs_other else keys
    signature = _signature(loaded_keys, height, width, _source_count(records[0]))
    decoder = Decoder(
        records,
        loaded_keys,
        height,
        width,
        method,
        on_bad_sample=on_bad_sample,
        cached=_is_cached(cache, len(records), signature),
    )
    steps = len(records) // batch_size if training else -(-len(records) // batch_size)
    position = _Position(len(records), batch_size, steps, seed, model)
    plan = position.one_epoch if training else position.in_order
    result = _dataset(decoder, plan, signature, augment, keys, batch_size, drop_remainder=training)
    result = result.apply(tf.data.experimental.assert_cardinality(steps))
    _infos[result] = Info(records, steps, batch_size, decoder.is_cached, decoder.bad_samples)
    if training and hasattr(model, "rig_of"):
        # What turns the model's disparities into metres belongs to the data that it learns from.
        model.rig = model.rig_of(records[0].camera, records[0].baseline)
    return result


def _setting(value: Any, model: Any, name: str) -> Any:
    value = getattr(model, name, None) if value is None else value
    if value is None:
        raise ValueError(f"`{name}` is needed: pass a model that has it, or `{name}=`")
    return value


def _source_count(record: Record) -> int:
    return len(record.sources)


def _signature(
    keys: frozenset[str], height: int, width: int, sources: int
) -> dict[str, tf.TensorSpec]:
    """Shapes and types of one sample, by key in a fixed order."""
    shapes = {
        "image": (height, width, 3),
        "stereo": (height, width, 3),
        "sources": (sources, height, width, 3),
        "depth": (height, width, 1),
        "intrinsics": (3, 3),
        "stereo_intrinsics": (3, 3),
        "baseline": (),
        "T_sources_image": (sources, 4, 4),
        "index": (),
    }
    types = {"index": tf.int64}
    return {key: tf.TensorSpec(shapes[key], types.get(key, tf.float32)) for key in sorted(keys)}


def _is_cached(cache: str, count: int, signature: Mapping[str, tf.TensorSpec]) -> bool:
    if cache not in CACHES:
        raise UserError(f"--cache is one of {', '.join(CACHES)}, received {cache!r}")
    size = count * sum(spec.shape.num_elements() * spec.dtype.size for spec in signature.values())
    return cache == "memory" or (cache == "auto" and size <= _CACHE_LIMIT)


class _Position:
    """Where an iteration starts, asked anew by every iterator.

    Args:
        count: number of samples.
        batch_size: of the global batch.
        steps: batches in an epoch.
        seed: of the order and the augmentation.
        model: its `step` counts finished steps, over all epochs and stages. Without one every
            iterator is one epoch further than the last.
    """

    def __init__(self, count: int, batch_size: int, steps: int, seed: int, model: Any) -> None:
        self._count, self._batch_size, self._steps = count, batch_size, steps
        self._seed = seed
        self._model = _weakly(model)
        self._epoch = -1

    def one_epoch(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns indices [n] and seeds [n, 2] of an epoch's steps, from the current step on.

        From the middle of an epoch they reach into the next one: the number of steps is always the
        same, so that Keras knows it before it starts (it would run its train function once too
        often to find the end).
        """
        model = self._model()
        if getattr(model, "step", None) is None:
            self._epoch += 1
            epoch, first = self._epoch, 0
        else:
            epoch, first = divmod(_finished_steps(model), self._steps)
        rest = self._batches(epoch, first, self._steps)
        if not first:
            return rest
        return tuple(np.concatenate(p) for p in zip(rest, self._batches(epoch + 1, 0, first)))

    def _batches(self, epoch: int, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        indices = order.permutation(self._count, self._seed, epoch)
        indices = indices[first * self._batch_size : last * self._batch_size]
        return indices, order.sample_seeds(self._count, self._seed, epoch)[indices]

    def in_order(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns all indices in order, and seeds that nothing uses."""
        return np.arange(self._count), np.zeros((self._count, 2), np.int64)


def _weakly(model: Any) -> Callable[[], Any]:
    """TensorFlow never forgets a Python function that a dataset calls; it must not keep the model."""
    try:
        return weakref.ref(model)
    except TypeError:  # None, and what has no weak references
        return lambda: model


def _finished_steps(model: Any) -> int:
    try:
        return int(np.asarray(model.step))
    except (TypeError, AttributeError):  # on JAX, variables hold no value during an epoch
        return int(model.epoch_start_step)


def _dataset(
    decoder: Decoder,
    plan: Callable[[], tuple[np.ndarray, np.ndarray]],
    signature: Mapping[str, tf.TensorSpec],
    augment: Augment | None,
    keys: frozenset[str],
    batch_size: int,
    drop_remainder: bool,
) -> tf.data.Dataset:
    def plan_epoch(_: tf.Tensor) -> tf.data.Dataset:
        # The plan must be made when an iterator starts, not when the graph is built.
        indices, seeds = tf.numpy_function(plan, [], [tf.int64, tf.int64])
        indices.set_shape([None])
        seeds.set_shape([None, 2])
        return tf.data.Dataset.from_tensor_slices((indices, seeds))

    def decode(index: np.ndarray) -> list[np.ndarray]:
        sample = decoder(int(index))
        return [sample[key] for key in signature]

    def load_one(index: tf.Tensor, seed: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        tensors = tf.numpy_function(decode, [index], [spec.dtype for spec in signature.values()])
        sample = {}
        for (key, spec), tensor in zip(signature.items(), tensors):
            sample[key] = tf.ensure_shape(tensor, spec.shape)
        return sample, seed

    def finish(sample: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        if augment is not None:
            sample = augment(sample, seed)
        return {key: sample[key] for key in sorted(keys)}

    result = tf.data.Dataset.from_tensors(0).flat_map(plan_epoch)
    result = result.map(load_one, num_parallel_calls=tf.data.AUTOTUNE)
    result = result.map(finish, num_parallel_calls=tf.data.AUTOTUNE)
    result = result.batch(batch_size, drop_remainder=drop_remainder)
    options = tf.data.Options()
    options.deterministic = True
    # One process feeds all its replicas: the batch is split among them, not the files.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return result.prefetch(tf.data.AUTOTUNE).with_options(options)
