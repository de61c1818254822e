"""Training from a user's own `fit`: exact resume at epochs, the rig, XLA and half precision."""

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras  # noqa: E402

import kdepth  # noqa: E402
from kdepth import backend  # noqa: E402
from kdepth.networks.weights import part_weights  # noqa: E402
from kdepth.papers.base import OptimizerSettings  # noqa: E402

STEPS = 3  # of an epoch


def model_of(**options):
    return kdepth.create("garg", height=64, image_width=96, width=0.05, seed=5, **options)


def data_of(model, world):
    return kdepth.data.load(
        "synthetic", data_dir=world, split="train", model=model, batch_size=2, seed=7
    )


def all_weights(model):
    return {
        f"{name}/{path}": value
        for name, part in model.parts().items()
        for path, value in part_weights(part).items()
    }


class Killed(Exception):
    pass


class KillIn(keras.callbacks.Callback):
    """Stops training in the middle of an epoch, as a crash would."""

    def __init__(self, epoch):
        super().__init__()
        self.doomed, self.epoch = epoch, None

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == self.doomed and batch == 1:
            raise Killed


@pytest.mark.parametrize("variant", ["paper", pytest.param("released", marks=pytest.mark.slow)])
def test_backup_and_restore_is_exact_at_epochs(tiny_world, tmp_path, variant):
    """Augmentation, dropout, batch norm and clipping are on; nothing is called before `fit`."""

    def trained(*callbacks):
        model = model_of(variant=variant)
        model.compile(keras.optimizers.Adam(1e-3), clip_norm=1.0)
        data = data_of(model, tiny_world)
        return model, model.fit(data, epochs=4, verbose=0, callbacks=list(callbacks))

    undisturbed, whole = trained()
    with pytest.raises(Killed):
        trained(keras.callbacks.BackupAndRestore(str(tmp_path / "backup")), KillIn(2))
    resumed, rest = trained(keras.callbacks.BackupAndRestore(str(tmp_path / "backup")))
    assert whole.epoch == [0, 1, 2, 3] and rest.epoch == [2, 3]
    for name, values in rest.history.items():
        np.testing.assert_array_equal(values, whole.history[name][2:], err_msg=name)
    assert int(backend.to_numpy(resumed.step)) == 4 * STEPS
    expected = all_weights(undisturbed)
    for name, value in all_weights(resumed).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_two_fits_are_one(tiny_world):
    """The pipeline goes on where the model stands, whoever calls `fit`."""
    one, two = model_of(), model_of()
    for model, calls in ((one, [(0, 2)]), (two, [(0, 1), (1, 2)])):
        model.compile(keras.optimizers.Adam(1e-3))
        for first, last in calls:
            model.fit(data_of(model, tiny_world), initial_epoch=first, epochs=last, verbose=0)
    expected = all_weights(one)
    for name, value in all_weights(two).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_a_plain_fit_gives_metres_and_warns_of_nothing(tiny_world, recwarn):
    model = model_of()
    images = np.zeros((1, 64, 96, 3), np.float32)
    camera = kdepth.Camera(56.0, 56.0, 47.5, 31.5, 96, 64)
    assert model.predict_depth(images, camera).kind == "disparity"
    model.compile(keras.optimizers.Adam(1e-3))
    model.fit(data_of(model, tiny_world), epochs=1, verbose=0)
    assert model.rig.baseline == pytest.approx(0.54, abs=0.02)
    prediction = model.predict_depth(images, camera)
    assert (prediction.kind, prediction.unit) == ("metric", "m")
    assert not [str(w.message) for w in recwarn if "shuffle" in str(w.message)]


def photometric(world, policy="float32", **compile_options):
    backend.set_precision(policy)
    try:
        model = model_of(dropout=0.0)
        model.optimizer_settings = OptimizerSettings(weight_decay=0.0)
        model.compile(keras.optimizers.Adam(1e-3), clip_norm=1.0, **compile_options)
        history = model.fit(data_of(model, world), epochs=2, verbose=0).history
        if policy != "float32":
            assert model.parts()["coarse"].get_layer("conv1").compute_dtype == policy[6:]
        if policy == "mixed_float16":
            assert hasattr(model.optimizer, "inner_optimizer")
    finally:
        backend.set_precision("float32")
    assert int(backend.to_numpy(model.step)) == 2 * STEPS
    assert all(np.isfinite(value).all() for value in all_weights(model).values())
    return history["photometric"]


@pytest.fixture(scope="module")
def plain(tiny_world):
    return photometric(tiny_world)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_trains_close_to_float32(tiny_world, plain, policy):
    np.testing.assert_allclose(photometric(tiny_world, policy), plain, rtol=0.05)


def test_xla_trains_as_the_plain_graph(tiny_world, plain):
    np.testing.assert_allclose(photometric(tiny_world, jit_compile=True), plain, rtol=1e-3)


def test_xla_and_half_precision_together(tiny_world, plain):
    values = photometric(tiny_world, "mixed_bfloat16", jit_compile=True)
    np.testing.assert_allclose(values, plain, rtol=0.05)


def test_an_optimizer_that_is_compiled_twice_keeps_its_rates(tiny_world):
    moved = {}
    for compiles in (1, 2):
        model = model_of()
        model.learning_rate_multiplier = lambda path: 3.0 if path == "L9_skip/bias" else 1.0
        optimizer = keras.optimizers.SGD(1e-3)
        for _ in range(compiles):
            model.compile(optimizer)
        model.fit(data_of(model, tiny_world).take(1), verbose=0)
        moved[compiles] = all_weights(model)
    assert moved[1]["coarse/L9_skip/bias"] != 0
    for name, value in moved[1].items():
        np.testing.assert_array_equal(moved[2][name], value, err_msg=name)
