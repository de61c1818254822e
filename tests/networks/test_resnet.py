"""ResNet encoders: sizes, counts, where the stride sits, any number of input channels."""

import numpy as np
import pytest

pytest.importorskip("tensorflow")
import keras  # noqa: E402

from kdepth.networks.resnet import resnet_features, scaled_channels  # noqa: E402


def encoder(layers, channels=3, **options):
    image = keras.Input((64, 96, channels))
    return keras.Model(image, resnet_features(image, layers, **options))


def count(model):
    """Parameters without the statistics of batch norm, as torch counts them."""
    return sum(int(np.prod(v.shape)) for v in model.weights if "moving" not in v.name)


@pytest.mark.parametrize(
    "layers, channels, parameters",
    [(18, (64, 64, 128, 256, 512), 11_176_512), (50, (64, 256, 512, 1024, 2048), 23_508_032)],
)
def test_sizes_and_counts(layers, channels, parameters):
    model = encoder(layers)
    shapes = [tuple(x.shape[1:]) for x in model.outputs]
    assert shapes == [(64 // 2**i, 96 // 2**i, c) for i, c in enumerate(channels, start=1)]
    assert count(model) == parameters
    assert len(model.trainable_weights) < len(model.weights)  # the statistics


def test_stride_sits_in_the_3x3_or_in_the_first_1x1():
    for in_first in (False, True):
        model = encoder(50, width=0.1, stride_in_first=in_first)
        layers = [model.get_layer(f"encoder_layer3_0_conv{i}") for i in (1, 2, 3)]
        sizes = [tuple(layer.output.shape[1:3]) for layer in layers]
        assert sizes == [(4, 6) if in_first else (8, 12), (4, 6), (4, 6)]
        assert tuple(model.outputs[3].shape[1:3]) == (4, 6)
    assert count(encoder(50, stride_in_first=True)) == 23_508_032


def test_takes_stacked_frames_and_a_width():
    model = encoder(18, channels=6, width=0.1)
    assert tuple(model.get_layer("encoder_conv1").get_weights()[0].shape) == (7, 7, 6, 6)
    assert [scaled_channels(c, 0.05) for c in (64, 128, 512)] == [4, 6, 26]
    names = [layer.name for layer in encoder(18, prefix="pose_").layers if layer.weights]
    assert all(name.startswith("pose_") for name in names)


def test_starts_as_torchvision_does():
    keras.utils.set_random_seed(0)
    model = encoder(18)
    kernel = model.get_layer("encoder_layer3_1_conv2").get_weights()[0]
    np.testing.assert_allclose(kernel.std(), np.sqrt(2 / (9 * 256)), rtol=0.01)
    batch_norm = model.get_layer("encoder_bn1")
    assert batch_norm.epsilon == 1e-5 and batch_norm.momentum == 0.9


def test_another_depth_is_refused():
    with pytest.raises(ValueError, match="must be 18 or 50; received 34"):
        encoder(34)
