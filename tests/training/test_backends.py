"""Keras backends: the same losses from the same weights on TensorFlow, JAX and PyTorch; one clear error elsewhere."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import kdepth  # noqa: E402
from kdepth import backend  # noqa: E402
from kdepth.networks.weights import part_weights, set_part_weights  # noqa: E402

SCRIPT = Path(__file__).with_name("backend_run.py")
ANY_PAPER = {"height": 128, "image_width": 128, "width": 0.05}
SMALL = {"height": 64, "image_width": 96, "width": 0.05}
OTHERS = ("jax", "torch")
# A step runs a few times only, so that most of the time would go into optimising it.
QUICK_TO_COMPILE = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights of both variants from which the losses are well conditioned.

    P: no score layer is zero, so every layer has a gradient from the first step on. R: disparities
    of 1.5 pixels; at its own start, exactly 0, the last bit says whether the border is seen.
    """
    folder = tmp_path_factory.mktemp("weights")
    rng = np.random.default_rng(0)
    for variant in ("paper", "released"):
        model = kdepth.create("garg", variant=variant, **SMALL)
        for part in model.parts().values():
            arrays = part_weights(part)
            for path, value in arrays.items():
                if variant == "paper" and path.endswith("/kernel") and not value.any():
                    noise = rng.normal(0, 0.1 / np.sqrt(value.shape[2]), value.shape)
                    arrays[path] = noise.astype("f4")
                if path == "score1/bias":
                    arrays[path] = value + np.float32(0.75)
            set_part_weights(part, arrays, folder)
        model.save_parts(folder / variant)
    for paper in kdepth.list_papers():
        kdepth.create(paper, **ANY_PAPER).save_parts(folder / paper)
    return folder


@pytest.fixture(scope="module")
def results_of(tiny_world, tiny_video, weights, tmp_path_factory):
    """Runs the script once on each backend and set of variants that is asked for."""
    found = {}

    def results(name, *variants):
        if name != "tensorflow" and importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
        if (name, variants) not in found:
            out = tmp_path_factory.mktemp(name) / "results.npz"
            world = tiny_video if variants[0].startswith("epoch:") else tiny_world
            command = [sys.executable, SCRIPT, world, weights, out, *variants]
            environment = {**os.environ, "KERAS_BACKEND": name}
            if name == "jax":
                environment["XLA_FLAGS"] = QUICK_TO_COMPILE
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr[-3000:]
            with np.load(out) as file:
                found[name, variants] = {key: file[key] for key in file.files}
        assert found[name, variants]["backend"] == name
        return found[name, variants]

    return results


on_keras_3 = pytest.mark.skipif(not backend.KERAS3, reason="Keras 2.15 has TensorFlow only")


@on_keras_3
@pytest.mark.slow
@pytest.mark.parametrize("variant", ["paper", "released"])
@pytest.mark.parametrize("name", OTHERS)
def test_losses_and_predictions_equal_those_of_tensorflow(results_of, name, variant):
    """Adam, clipping, weight decay, per-variable rates and batch norm are all on; dropout is off."""
    mine, theirs = results_of(name, variant), results_of("tensorflow", variant)
    losses = theirs[f"{variant}/losses"]
    steps = {"paper": 6, "released": 3}[variant]
    assert len(np.unique(losses)) == steps
    np.testing.assert_allclose(mine[f"{variant}/losses"], losses, rtol=1e-4)
    photometric = f"{variant}/photometric"
    np.testing.assert_allclose(mine[photometric], theirs[photometric], rtol=1e-4)
    assert mine[f"{variant}/step"] == theirs[f"{variant}/step"] == steps
    for when, tolerance in (("before", 1e-5), ("after", 1e-2)):
        disparity = theirs[f"{variant}/{when}"]
        difference = np.abs(mine[f"{variant}/{when}"] - disparity).max()
        assert difference < tolerance * np.ptp(disparity), when


@on_keras_3
@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_every_variable_has_its_own_rate(results_of, name):
    """The released network's biases learn at twice the rate; `score_fr` sees the largest gradients."""
    mine, theirs = results_of(name, "released"), results_of("tensorflow", "released")
    for path in ("score1/bias", "score_fr/bias", "score_fr/kernel"):
        key = f"released/moved/depth/{path}"
        distance = np.abs(theirs[key]).max()
        assert distance > 1e-5
        np.testing.assert_allclose(mine[key], theirs[key], atol=0.05 * distance, err_msg=path)


@on_keras_3
@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_other_losses_equal_those_of_tensorflow(results_of, name):
    mine, theirs = results_of(name, "paper"), results_of("tensorflow", "paper")
    for option in ("video", "exact"):
        np.testing.assert_allclose(mine[option], theirs[option], rtol=1e-5, err_msg=option)


@on_keras_3
@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_all_stages_train_with_dropout(results_of, name):
    results = results_of(name, "paper")
    assert results["stages/step"] == 12 and results["stages/losses"].shape == (12,)
    assert np.isfinite(results["stages/losses"]).all()


@on_keras_3
@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_clipping_sees_the_gradient_without_its_loss_scale(results_of, name):
    for backend_name in (name, "tensorflow"):
        np.testing.assert_allclose(results_of(backend_name, "paper")["clipped"], 0.01, rtol=1e-2)


EPOCHS = tuple(f"epoch:{paper}" for paper in kdepth.list_papers())


@on_keras_3
@pytest.mark.slow
@pytest.mark.parametrize("paper", kdepth.list_papers())
@pytest.mark.parametrize("name", OTHERS)
def test_an_epoch_of_every_paper_has_the_losses_of_tensorflow(results_of, name, paper):
    mine, theirs = results_of(name, *EPOCHS), results_of("tensorflow", *EPOCHS)
    assert mine[f"{paper}/step"] == theirs[f"{paper}/step"] > 2
    np.testing.assert_allclose(mine[f"{paper}/losses"], theirs[f"{paper}/losses"], rtol=1e-4)
    values = theirs[f"{paper}/before"]
    np.testing.assert_allclose(mine[f"{paper}/before"], values, atol=1e-5 * np.abs(values).max())


def command_status(name):
    environment = {**os.environ, "KERAS_BACKEND": name}
    command = [sys.executable, "-m", "kdepth.train", "--paper=garg", "--run=no_such_run"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    return done.returncode, done.stderr.strip()


@pytest.mark.skipif(backend.KERAS3, reason="Keras 3 has other backends")
def test_another_backend_on_keras_2_is_one_clear_error(tmp_run):
    status, error = command_status("jax")
    assert status == 2 and "\n" not in error
    assert error.startswith("kdepth train: KERAS_BACKEND must be 'tensorflow' with Keras 2.15")
    assert "kdepth[keras3]" in error


@pytest.mark.parametrize("name", ["jaxx", "torch"])
def test_a_backend_that_is_not_there_is_one_clear_error(tmp_run, name):
    if importlib.util.find_spec(name) is not None:
        pytest.skip(f"{name} is installed")
    status, error = command_status(name)
    assert status == 2 and "\n" not in error
    assert error.startswith("kdepth train: KERAS_BACKEND") and name in error
