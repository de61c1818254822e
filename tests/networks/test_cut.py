"""Every paper in two halves: together they are the whole network."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import kdepth  # noqa: E402
from kdepth import backend  # noqa: E402
from kdepth.networks.cut import cut  # noqa: E402
from tests.small_models import fill  # noqa: E402

PAPERS = {
    "eigen": {"height": 64, "image_width": 64},
    "eigen coarse": {"height": 64, "image_width": 64, "coarse_only": True},
    "garg": {"height": 40, "image_width": 48},
    "garg released": {"height": 32, "image_width": 64, "variant": "released"},
    "monodepth": {"height": 128, "image_width": 128, "postprocess": True},
    "monodepth stereo": {
        "height": 64,
        "image_width": 64,
        "encoder": "resnet50",
        "stereo_input": True,
    },
    "sfmlearner": {"height": 32, "image_width": 40},
    "scdepth": {"height": 64, "image_width": 64},
}


@pytest.mark.parametrize("name", PAPERS)
def test_body_and_head_are_the_network(name):
    model = fill(kdepth.create(name.split()[0], width=0.05, **PAPERS[name]))
    if name == "eigen":
        model.enter_stage("fine")
    body, head = model.depth_body_and_head()
    shape = (2, *model.image_size, 3 * model.depth_views)
    images = backend.ops.convert_to_tensor(
        np.random.default_rng(0).uniform(0, 1, shape).astype(np.float32)
    )
    maps = body(images)
    assert isinstance(maps, list)
    assert min(int(x.shape[-1]) for x in maps) >= 4, "the head begins before the one-channel maps"
    (values,) = head(maps).values()
    (expected,) = model.depth_outputs(images).values()
    values, expected = backend.to_numpy(values), backend.to_numpy(expected)
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-7)


def test_weights_are_shared():
    model = fill(kdepth.create("sfmlearner", width=0.05, height=32, image_width=32))
    network = model.parts()["depth"]
    _, head = cut(network, ["disp1"])
    maps = [backend.ops.ones((1, 32, 32, int(network.get_layer("disp1").input.shape[-1])))]
    before = backend.to_numpy(head(maps))
    layer = network.get_layer("disp1")
    layer.set_weights([w + 1.0 for w in layer.get_weights()])
    assert (backend.to_numpy(head(maps)) > before).all()
