"""Garg's Caffe model through `convert`, against NumPy: batch norm's sums, skips, constants that are built in."""

import numpy as np
import pytest

pytest.importorskip("tensorflow")
import kdepth  # noqa: E402
from kdepth import releases  # noqa: E402
from kdepth.errors import UserError  # noqa: E402
from tests.releases import drawn, reference  # noqa: E402
from tests.releases.caffe_writer import net  # noqa: E402

SIZE = {"height": 64, "image_width": 96}
NARROW = {**SIZE, "width": 0.1}


def test_outputs_equal_numpy(tmp_path):
    layers = drawn.garg_layers(3)
    path = tmp_path / "train_iter_40000.caffemodel"
    path.write_bytes(net(layers))
    assert 24e6 < path.stat().st_size < 25e6  # as its README says
    report = releases.convert("garg_released", path, tmp_path / "run", **SIZE)
    assert report.fresh == ()
    statistics = 2 * 13440
    assert report.parameters == 6_003_269 + statistics
    assert set(report.ignored.values()) == {5, 10}
    model = kdepth.load_run(tmp_path / "run")
    assert model.variant == "released" and model.rig.baseline == 0.54

    weights = {
        f"{name}/{index}": np.asarray(blob.astype(np.float32), np.float64)
        for name, _, blobs in layers
        for index, blob in enumerate(blobs)
    }
    image = np.random.default_rng(0).random((1, 64, 96, 3)).astype(np.float32)
    bgr = image[..., ::-1] * 255.0 - np.array([104, 117, 123])
    wanted = reference.garg(weights, bgr)
    found = 96 * np.asarray(model.depth_outputs(image)["disparity"])  # a fraction of the width
    assert wanted.min() < -1 and wanted.max() > 1
    positive = wanted > 1e-2  # the model's disparities do not go below a small one
    assert np.abs(found - wanted)[positive].max() < 1e-4 * np.ptp(wanted)
    raw = np.asarray(model.parts()["depth"](bgr.astype("f4")))
    assert np.abs(raw - wanted).max() < 1e-4 * np.ptp(wanted)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda layers: [x for x in layers if x[0] != "bn_1"], "lacks tensor 'bn_1/0'"),
        (
            lambda layers: [*layers, ("conv_9", "Convolution", [np.zeros(3)])],
            "unknown tensor 'conv_9/0'",
        ),
        (
            lambda layers: [x for x in layers if x[0] != "upscore_all"],
            "lacks tensor 'upscore_all/0'",
        ),
        (
            lambda layers: [
                (name, kind, [1.01 * blobs[0]] if name == "upscore_pool4" else blobs)
                for name, kind, blobs in layers
            ],
            "'upscore_pool4/0' is not what the release has there",
        ),
        (
            lambda layers: [
                (name, kind, [np.array([1.0])] if name == "scale2x_all" else blobs)
                for name, kind, blobs in layers
            ],
            "'scale2x_all/0' is not what the release has there",
        ),
    ],
)
def test_another_network_is_refused(change, words, tmp_path):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(net(change(drawn.garg_layers(0, NARROW["width"]))))
    with pytest.raises(UserError, match=words) as error:
        releases.convert("garg_released", path, tmp_path / "run", **NARROW)
    assert "\n" not in str(error.value) and not (tmp_path / "run").exists()
