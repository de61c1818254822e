"""Keras's and torchvision's ResNet weights in our encoder: the same features, and clear errors. Weights are random."""

import numpy as np
import pytest

pytest.importorskip("tensorflow")
import keras  # noqa: E402

import kdepth  # noqa: E402
from kdepth.errors import UserError  # noqa: E402
from kdepth.networks.imagenet import (  # noqa: E402
    BGR_MEAN,
    load_resnet50,
    load_torchvision,
    read_torchvision,
)
from kdepth.networks.resnet import resnet_features  # noqa: E402
from tests.networks.torch_writer import tensor, write_legacy, write_zip  # noqa: E402
from tests.releases import drawn, reference  # noqa: E402

ENDS = (
    "conv1_relu",
    "conv2_block3_out",
    "conv3_block4_out",
    "conv4_block6_out",
    "conv5_block3_out",
)


@pytest.fixture(scope="module")
def original():
    """keras.applications' own network, every weight, bias and statistic of it drawn at random."""
    model = keras.applications.ResNet50(weights=None, include_top=False, input_shape=(64, 96, 3))
    rng = np.random.default_rng(0)
    for layer in model.layers:
        weights = layer.get_weights()
        if len(weights) == 4:  # batch norm; the variance after ReLUs keeps maps from growing
            drawn = [rng.uniform(0.4, 0.6, w.shape) for w in weights[:1]]
            drawn += [rng.normal(0, 0.3, w.shape) for w in weights[1:3]]
            layer.set_weights([*drawn, rng.uniform(0.5, 2.0, weights[3].shape)])
        elif weights:
            bias = rng.normal(0, 0.3, weights[1].shape)
            kernel = weights[0]
            if layer.name == "conv1_conv":  # its input is of 0 .. 255
                kernel = kernel / 50.0
            layer.set_weights([kernel, bias])
    return model


@pytest.fixture(scope="module")
def file(original, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "resnet50_notop.weights.h5"
    original.save_weights(path)
    return path


def our_features(weights, image, mean, std):
    height, width = image.shape[1:3]
    inputs = keras.Input((height, width, 3))
    model = keras.Model(inputs, resnet_features(inputs, 50, stride_in_first=True))
    load_resnet50(model, weights, mean, std)
    normalised = (image - np.float32(mean)) / np.float32(std)
    return [np.asarray(x) for x in model(normalised, training=False)]


def their_features(original, image):
    model = keras.Model(original.input, [original.get_layer(name).output for name in ENDS])
    pixels = np.float32(image * 255.0)
    prepared = keras.applications.resnet50.preprocess_input(pixels.copy())
    return [np.asarray(x) for x in model(prepared, training=False)]


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(1).random((1, 64, 96, 3)).astype(np.float32)


def difference(found, wanted):
    return np.abs(found - wanted).max() / np.ptp(wanted)


def test_features_are_kerass_own_where_the_mean_is_kerass(original, file, image):
    """Then padding agrees too, so every pixel of every level does."""
    mean = tuple(np.array(BGR_MEAN)[::-1] / 255.0)
    found = our_features(str(file), image, mean, (0.225, 0.3, 0.2))
    for level, (mine, wanted) in enumerate(zip(found, their_features(original, image))):
        assert wanted.std() > 0.05 and difference(mine, wanted) < 1e-3, level


def test_another_normalisation_differs_at_the_padded_border_alone(original, file, image):
    found = our_features(str(file), image, 0.45, 0.225)
    mine, wanted = found[0], their_features(original, image)[0]
    inside = (slice(None), slice(2, -2), slice(2, -2))
    assert difference(mine[inside], wanted[inside]) < 1e-3 < difference(mine, wanted)


def test_the_option_loads_the_depth_encoder_and_is_saved_without_the_file(original, file, tmp_path):
    options = {"encoder": "resnet50", "height": 64, "image_width": 64, "seed": 1}
    model = kdepth.create("scdepth", imagenet=str(file), **options)
    loaded = model.parts()["depth"].get_layer("encoder_layer2_1_conv2").get_weights()[0]
    kernel, _ = original.get_layer("conv3_block2_2_conv").get_weights()
    np.testing.assert_array_equal(loaded, kernel)
    assert model.options["imagenet"] == "keras_layout"
    again = kdepth.create("scdepth", **dict(model.options))
    strided = again.parts()["depth"].get_layer("encoder_layer2_0_conv1").output  # of 16x16
    assert tuple(strided.shape[1:3]) == (8, 8)
    fresh = again.parts()["depth"].get_layer("encoder_layer2_1_conv2").get_weights()[0]
    assert np.abs(fresh - kernel).max() > 0.01


def test_files_that_are_no_such_weights_are_one_clear_line(tmp_path):
    options = {"encoder": "resnet50", "height": 64, "image_width": 64}
    with pytest.raises(UserError, match="no file: imagenet is 'download' or the path of"):
        kdepth.create("scdepth", imagenet=str(tmp_path / "none.h5"), **options)
    toy = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    toy.save_weights(tmp_path / "toy.weights.h5")
    with pytest.raises(UserError, match="cannot be read as Keras's ResNet-50 without top") as error:
        kdepth.create("scdepth", imagenet=str(tmp_path / "toy.weights.h5"), **options)
    assert "\n" not in str(error.value)


def test_offline_names_the_file_to_fetch_and_the_option(monkeypatch):
    def offline(**_):
        raise Exception("URL fetch failure on https://storage: None\n-- [Errno -3]")

    monkeypatch.setattr(keras.applications, "ResNet50", offline)
    with pytest.raises(
        UserError, match="fetch https://.*notop.h5 elsewhere.*--option=imagenet=PATH"
    ):
        kdepth.create("scdepth", imagenet="download", encoder="resnet50", height=64, image_width=64)


# -- torchvision -------------------------------------------------------------------------------------------------------


def torchvision_file(layers, path, write=write_zip, width=0.1, **changes):
    state = {**drawn.draw(drawn.resnet_shapes(layers, width=width), seed=layers), **changes}
    write(path, {name: tensor(array) for name, array in state.items() if array is not None})
    return state


@pytest.mark.parametrize("layers, write", [(18, write_legacy), (50, write_zip)])
def test_torchvisions_features_equal_numpy(layers, write, image, tmp_path):
    path = str(tmp_path / "resnet.pth")
    state = torchvision_file(layers, path, write)
    inputs = keras.Input((64, 96, 3))
    model = keras.Model(inputs, resnet_features(inputs, layers, width=0.1))
    load_torchvision(model, read_torchvision(path, layers), path)
    weights = {name: np.asarray(array, np.float64) for name, array in state.items()}
    wanted = reference.resnet(weights, image, "", layers)
    for level, (mine, theirs) in enumerate(zip(model(image, training=False), wanted)):
        assert theirs.std() > 0.05 and difference(mine, theirs) < 1e-4, level


def test_the_option_starts_both_encoders_from_torchvisions_resnet18(tmp_path):
    path = tmp_path / "resnet18-f37072fd.pth"
    state = torchvision_file(18, path, width=1.0)
    model = kdepth.create("scdepth", imagenet=str(path), height=64, image_width=64)
    depth, motion = model.parts()["depth"], model.parts()["pose"]
    pairs = (("layer1_0_conv1", "layer1.0.conv1"), ("layer4_1_conv2", "layer4.1.conv2"))
    for ours, theirs in pairs:
        kernel = state[f"{theirs}.weight"].transpose(2, 3, 1, 0)
        for part in (depth, motion):
            found = part.get_layer(f"encoder_{ours}").get_weights()[0]
            np.testing.assert_array_equal(found, kernel)
    one = depth.get_layer("encoder_conv1").get_weights()[0]
    two = motion.get_layer("encoder_conv1").get_weights()[0]
    np.testing.assert_array_equal(two, np.concatenate([one, one], axis=2) / 2)
    mean = motion.get_layer("encoder_bn1").get_weights()[2]
    np.testing.assert_array_equal(mean, state["bn1.running_mean"])
    assert model.options["imagenet"] is None  # a saved model is built again without the file


@pytest.mark.parametrize(
    "layers, changes, words",
    [
        (18, {"layer3.0.downsample.1.bias": None}, "lacks tensor 'layer3.0.downsample.1.bias'"),
        (18, {"layer5.weight": np.zeros(3, "f4")}, "unknown tensor 'layer5.weight'"),
        (18, {"bn1.bias": np.full(6, np.nan, "f4")}, "'bn1' has another shape or no finite"),
        (18, {"conv1.weight": np.zeros((64, 3), "f4")}, "'conv1' has another shape"),
        (18, {}, "'conv1' has the shapes"),  # not of width 1
        (50, {}, "should be torchvision's ResNet-18, https://"),
    ],
)
def test_files_that_are_not_torchvisions_are_one_clear_line(layers, changes, words, tmp_path):
    path = tmp_path / "other.pth"
    torchvision_file(layers, path, **changes)
    with pytest.raises(UserError, match=words) as error:
        kdepth.create("scdepth", imagenet=str(path), height=64, image_width=64)
    assert "\n" not in str(error.value) and str(path) in str(error.value)


def test_a_name_that_is_no_file_says_what_there_is(tmp_path):
    with pytest.raises(UserError, match="torchvision's resnet18-f37072fd.pth .* or 'download'"):
        kdepth.create("scdepth", imagenet="downloads", height=64, image_width=64)
