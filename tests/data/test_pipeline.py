from __future__ import annotations

import gc
import importlib.util
import os
import subprocess
import sys
import types
import weakref

import numpy as np
import pytest
import tensorflow as tf

import kdepth
from kdepth import data
from kdepth.data import augment, order
from kdepth.data.image import read_image, resize_image
from kdepth.errors import UserError

SIZE = (16, 24)
STEREO = frozenset({"image", "stereo", "intrinsics", "baseline"})
VIDEO = frozenset({"image", "sources", "intrinsics", "T_sources_image", "depth"})


def flip_and_zoom(sample, seed):
    flip = augment.flip_stereo if "stereo" in sample else augment.flip_sources
    return augment.scale_crop(flip(sample, seed), seed, 1.0, 1.5)


def stub_model(step: int | None = None, keys: frozenset[str] = STEREO, **more):
    """What the pipeline needs of a model."""
    model = types.SimpleNamespace(
        paper="stub",
        sample_keys=keys,
        image_size=SIZE,
        resize="area",
        augment=flip_and_zoom,
        **more,
    )
    if step is not None:
        model.step = tf.Variable(step, dtype=tf.int64)
    return model


def load(root, model, **options):
    options = {"split": "all", "batch_size": 2, "seed": 5, **options}
    return data.load("kitti_raw", data_dir=root, model=model, **options)


def arrays(dataset) -> list[dict[str, np.ndarray]]:
    return [{key: value.numpy() for key, value in batch.items()} for batch in dataset]


def same(first, second) -> None:
    assert len(first) == len(second)
    for one, other in zip(first, second):
        assert set(one) == set(other)
        for key in one:
            np.testing.assert_array_equal(one[key], other[key], err_msg=key)


def test_shapes_types_and_only_the_keys_asked_for(kitti_raw):
    dataset = load(kitti_raw, stub_model())
    spec = {key: (tuple(s.shape), s.dtype.name) for key, s in dataset.element_spec.items()}
    assert spec == {
        "image": ((2, 16, 24, 3), "float32"),
        "stereo": ((2, 16, 24, 3), "float32"),
        "intrinsics": ((2, 3, 3), "float32"),
        "baseline": ((2,), "float32"),
        "index": ((2,), "int64"),
    }
    batches = arrays(dataset)
    assert {key: value.shape for key, value in batches[0].items()} == {
        key: shape for key, (shape, _) in spec.items()
    }
    images = np.stack([batch["image"] for batch in batches])
    assert 0 <= images.min() < 0.2 and 0.8 < images.max() <= 1
    video = load(kitti_raw, stub_model(keys=VIDEO, source_offsets=(-2, -1, 1)))
    assert video.element_spec["sources"].shape == (2, 3, 16, 24, 3)
    assert video.element_spec["T_sources_image"].shape == (2, 3, 4, 4)
    assert arrays(video)[0]["depth"].shape == (2, 16, 24, 1)


def test_validation_is_everything_once_in_order_as_on_disk(kitti_raw, layout):
    dataset = load(kitti_raw, stub_model(step=3), training=False, batch_size=3)
    assert data.steps_per_epoch(dataset) == 3
    for _ in range(2):
        batches = arrays(dataset)
        assert [batch["index"].tolist() for batch in batches] == [[0, 1, 2], [3, 4, 5], [6, 7]]
    folder = kitti_raw / layout.date / layout.drive
    expected = resize_image(read_image(folder / "image_03/data/0000000004.png"), *SIZE, "area")
    np.testing.assert_array_equal(batches[1]["stereo"][1], expected)
    scaled = layout.focal * SIZE[1] / layout.width
    np.testing.assert_allclose(batches[0]["intrinsics"][0][0], [scaled, 0, 11.25])


def test_epochs_follow_the_models_step(kitti_raw, layout):
    model = stub_model(step=0)
    dataset = load(kitti_raw, model, batch_size=3)
    steps = data.steps_per_epoch(dataset)
    assert steps == dataset.cardinality() == 2
    for epoch in range(3):
        model.step.assign(epoch * steps)
        seen = np.concatenate([batch["index"] for batch in arrays(dataset)])
        expected = order.permutation(layout.frames, 5, epoch)[: 3 * steps]
        np.testing.assert_array_equal(seen, expected)


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_a_resumed_run_gets_the_identical_remaining_batches(kitti_raw, cache):
    model = stub_model(step=0, keys=VIDEO)
    dataset = load(kitti_raw, model, batch_size=2, cache=cache)
    steps = data.steps_per_epoch(dataset)
    undisturbed = []
    for epoch in range(3):
        model.step.assign(epoch * steps)
        undisturbed.extend(arrays(dataset))
    resumed = stub_model(step=0, keys=VIDEO)
    again = load(kitti_raw, resumed, batch_size=2, cache=cache)
    for step in range(1, 2 * steps):
        # An iteration has the steps of an epoch wherever it starts, so it may reach into the next.
        resumed.step.assign(step)
        same(arrays(again), undisturbed[step : step + steps])


def test_without_a_step_every_iteration_is_the_next_epoch(kitti_raw, layout):
    dataset = load(kitti_raw, stub_model(), batch_size=8)
    for epoch in range(3):
        (batch,) = arrays(dataset)
        np.testing.assert_array_equal(batch["index"], order.permutation(layout.frames, 5, epoch))


def test_augmentation_depends_on_seed_epoch_and_index_only(kitti_raw):
    model = stub_model(step=0)

    def by_index(**options):
        batches = arrays(load(kitti_raw, model, **options))
        return {
            int(index): image
            for batch in batches
            for index, image in zip(batch["index"], batch["image"])
        }

    pairs, fours = by_index(batch_size=2), by_index(batch_size=4)
    for index, image in pairs.items():
        np.testing.assert_array_equal(image, fours[index])
    other = by_index(seed=6)
    assert any((image != other[index]).any() for index, image in pairs.items())
    model.step.assign(data.steps_per_epoch(load(kitti_raw, model)))
    later = by_index()
    assert any((image != later[index]).any() for index, image in pairs.items())


def test_memory_serves_later_epochs_and_changes_nothing(kitti_raw, layout):
    model = stub_model(step=0)
    cached, streamed = load(kitti_raw, model), load(kitti_raw, model, cache="none")
    assert data.info(cached).cached and not data.info(streamed).cached
    same(arrays(cached), arrays(streamed))
    for path in (kitti_raw / layout.date / layout.drive / "image_03/data").iterdir():
        path.unlink()
    model.step.assign(4)
    assert len(arrays(cached)) == 4
    with pytest.raises(UserError, match="image_03"), data.user_errors():
        arrays(streamed)


def test_what_does_not_fit_is_streamed(kitti_raw, monkeypatch):
    monkeypatch.setattr("kdepth.data.pipeline._CACHE_LIMIT", 1000)
    assert not data.info(load(kitti_raw, stub_model())).cached
    assert data.info(load(kitti_raw, stub_model(), cache="memory")).cached


def test_keyword_arguments_in_the_place_of_a_model(kitti_raw, layout):
    dataset = load(
        kitti_raw,
        None,
        sample_keys=frozenset({"image", "sources"}),
        image_size=(8, 12),
        resize="nearest",
        augment=lambda sample, seed: {**sample, "image": 0 * sample["image"]},
        source_offsets=(1,),
        batch_size=7,
    )
    (batch,) = arrays(dataset)
    assert not batch["image"].any()
    assert batch["sources"].shape == (7, 1, 8, 12, 3)
    path = kitti_raw / layout.date / layout.drive / "image_02/data/0000000001.png"
    first = batch["index"].tolist().index(0)
    expected = resize_image(read_image(path), 8, 12, "nearest")
    np.testing.assert_array_equal(batch["sources"][first, 0], expected)
    with pytest.raises(ValueError, match="image_size"):
        load(kitti_raw, None, sample_keys=frozenset({"image"}))


def test_a_flipped_pair_takes_the_other_cameras_principal_point(kitti_raw, layout):
    path = kitti_raw / layout.date / "calib_cam_to_cam.txt"
    intrinsics = np.array([[30.0, 0, 20.0], [0, 30.0, 15.5], [0, 0, 1]])
    right = np.concatenate([intrinsics, [[-30 * layout.baseline], [0], [0]]], axis=1)
    lines = [t for t in path.read_text().splitlines() if not t.startswith("P_rect_03")]
    path.write_text("\n".join([*lines, f"P_rect_03: {layout.numbers(right)}"]))

    def flip(sample, seed):
        return augment.flip_stereo(sample, seed, probability=1.0)

    dataset = load(kitti_raw, stub_model(), augment=flip)
    assert "stereo_intrinsics" not in dataset.element_spec
    expected = SIZE[1] - 1 - (20.5 / 2 - 0.5)
    assert (arrays(dataset)[0]["intrinsics"][:, 0, 2] == expected).all()


def test_records_of_two_data_sets_together(kitti_raw, kitti_odometry):
    keys = frozenset({"image", "stereo"})
    records = [
        *data.open_reader("kitti_raw", kitti_raw).records("all", keys),
        *data.open_reader("kitti_odometry", kitti_odometry).records("09", keys),
    ]
    dataset = data.load_records(records, model=stub_model(keys=keys), batch_size=12, seed=1)
    (batch,) = arrays(dataset)
    assert sorted(batch["index"]) == list(range(12))
    assert data.info(dataset).records[11].name.startswith("09")


def test_what_a_user_may_ask_wrongly(kitti_raw):
    with pytest.raises(UserError, match="8 samples, one batch needs 9"):
        load(kitti_raw, stub_model(), batch_size=9)
    with pytest.raises(UserError, match="batch_size"):
        load(kitti_raw, stub_model(), batch_size=0)
    with pytest.raises(UserError, match="--cache"):
        load(kitti_raw, stub_model(), cache="disk")
    with pytest.raises(UserError, match="--on_bad_sample"):
        load(kitti_raw, stub_model(), on_bad_sample="ignore")


def truncate(path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_a_bad_file_stops_with_its_name(kitti_raw, layout, cache):
    bad = kitti_raw / layout.date / layout.drive / "image_03/data/0000000005.png"
    truncate(bad)
    dataset = load(kitti_raw, stub_model(), cache=cache)
    with pytest.raises(UserError) as caught, data.user_errors():
        arrays(dataset)
    assert str(caught.value).startswith(f"{bad}: truncated") and "\n" not in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__
    assert data.pending_error() is None


def test_pending_error_without_the_context_manager(kitti_raw, layout):
    truncate(kitti_raw / layout.date / layout.drive / "image_02/data/0000000000.png")
    with pytest.raises(tf.errors.OpError):
        arrays(load(kitti_raw, stub_model(), batch_size=8))
    assert "0000000000.png" in str(data.pending_error())
    assert data.pending_error() is None


def test_other_errors_pass_unchanged():
    with pytest.raises(KeyError), data.user_errors():
        raise KeyError("mine")
    with pytest.raises(tf.errors.InvalidArgumentError), data.user_errors():
        tf.reshape(tf.zeros(3), [2])


def test_skipping_keeps_steps_and_order(kitti_raw, layout, caplog):
    model = stub_model(step=0)
    before = arrays(load(kitti_raw, model))
    folder = kitti_raw / layout.date / layout.drive
    truncate(folder / "image_02/data/0000000003.png")
    (folder / "image_03/data/0000000007.png").write_bytes(b"")
    for cache in ("memory", "none"):
        caplog.clear()
        dataset = load(kitti_raw, model, on_bad_sample="skip", cache=cache)
        first = arrays(dataset)
        same(first, arrays(dataset))
        seen = np.concatenate([batch["index"] for batch in first])
        expected = np.concatenate([batch["index"] for batch in before])
        expected[expected == 3], expected[expected == 7] = 4, 0  # the next readable one
        np.testing.assert_array_equal(seen, expected)
        bad = data.info(dataset).bad_samples
        assert sorted(name.split()[-1] for name in bad) == ["0000000003", "0000000007"]
        assert all("image_0" in message for message in bad.values())
        assert len([r for r in caplog.records if "bad sample" in r.getMessage()]) == 2


def test_nothing_readable_at_all(kitti_raw, layout):
    for path in (kitti_raw / layout.date / layout.drive / "image_02/data").iterdir():
        path.write_bytes(b"")
    dataset = load(kitti_raw, stub_model(), on_bad_sample="skip")
    with pytest.raises(UserError, match="none of the 8 samples can be read"), data.user_errors():
        arrays(dataset)


def test_a_model_that_was_trained_is_forgotten(tiny_video):
    """TensorFlow keeps the Python functions of every dataset; they must not keep the model."""
    model = kdepth.create("garg", height=64, image_width=96, width=0.05)
    data = kdepth.data.load(
        "synthetic", data_dir=tiny_video, split="train", model=model, batch_size=2, seed=0
    )
    next(iter(data))
    alive = weakref.ref(model)
    del model, data
    gc.collect()
    assert alive() is None


def test_two_replicas_share_the_batch_of_one(kitti_raw, two_replicas):
    model = stub_model(step=1)
    single = arrays(load(kitti_raw, model, batch_size=4))
    strategy = two_replicas
    with strategy.scope():
        model.step = tf.Variable(1, dtype=tf.int64)
    shared = []
    for batch in strategy.experimental_distribute_dataset(load(kitti_raw, model, batch_size=4)):
        local = {key: strategy.experimental_local_results(value) for key, value in batch.items()}
        assert [part.shape[0] for part in local["image"]] == [2, 2]
        shared.append({key: np.concatenate(parts) for key, parts in local.items()})
    same(shared, single)


def test_fit_walks_through_the_epochs_and_names_a_bad_file(kitti_raw, layout):
    import keras

    class Model(keras.Model):
        paper, sample_keys, image_size, resize = "stub", STEREO, SIZE, "area"

        def __init__(self):
            super().__init__()
            self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
            self.seen = tf.Variable(tf.zeros([16], tf.int64), trainable=False)

        def augment(self, sample, seed):
            return flip_and_zoom(sample, seed)

        def call(self, batch):
            return batch["image"]

        def train_step(self, batch):
            # An iteration asks for the step with its first batch, so the step moves on after it.
            with tf.control_dependencies([batch["index"]]):
                places = 4 * self.step + tf.range(4, dtype=tf.int64)
                self.seen.scatter_nd_update(places[:, None], batch["index"])
                self.step.assign_add(1)
            return {"loss": tf.reduce_mean(batch["image"])}

    model = Model()
    model.compile(jit_compile=False)
    with data.user_errors():
        model.fit(load(kitti_raw, model, batch_size=4), epochs=2, verbose=0, shuffle=False)
    expected = [order.permutation(layout.frames, 5, epoch) for epoch in range(2)]
    np.testing.assert_array_equal(model.seen.numpy(), np.concatenate(expected))
    truncate(kitti_raw / layout.date / layout.drive / "image_02/data/0000000002.png")
    with pytest.raises(UserError, match="0000000002.png: truncated"), data.user_errors():
        model.fit(load(kitti_raw, model, batch_size=4), verbose=0, shuffle=False)


UNDER_JAX = """
import sys, keras, numpy as np
from kdepth import data
from kdepth.data import order

class Model(keras.Model):
    paper, sample_keys, image_size = "stub", frozenset({"image", "stereo"}), (16, 24)

    def __init__(self):
        super().__init__()
        self.step = self.add_weight(shape=(), dtype="int32", initializer="zeros", trainable=False)
        self.layer = keras.layers.Dense(3)

    def augment(self, sample, seed):
        return sample

    def call(self, batch):
        return self.layer(batch["image"])

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        self.step.assign(self.step + 1)
        return keras.ops.mean(y_pred)

    def reset_metrics(self):
        super().reset_metrics()
        self.epoch_start_step = int(np.asarray(self.step))

epochs, permutation = [], order.permutation
order.permutation = lambda *args: epochs.append(args[2]) or permutation(*args)
model = Model()
model.compile("sgd")
dataset = data.load(
    "kitti_raw", data_dir=sys.argv[1], split="all", model=model, batch_size=4, seed=1
)
next(iter(dataset))
model.fit(dataset, epochs=2, verbose=0)
model.fit(dataset, epochs=1, verbose=0)
print(keras.backend.backend(), *[e for i, e in enumerate(epochs) if i == 0 or e != epochs[i - 1]])
"""


def test_epochs_go_on_under_jax(kitti_raw):
    if importlib.util.find_spec("jax") is None:
        pytest.skip("JAX is not installed")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", UNDER_JAX, str(kitti_raw)],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": "jax"},
    )
    assert done.stdout.split() == ["jax", "0", "1", "2"], done.stderr
