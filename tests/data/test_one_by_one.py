from __future__ import annotations

import numpy as np
import pytest

from kdepth import data
from kdepth.data.image import read_image, resize_image
from kdepth.errors import UserError


def samples(root, **options):
    options = {"split": "all", "height": 16, "width": 24, **options}
    return list(data.evaluation_samples("kitti_raw", data_dir=root, **options))


def test_images_at_network_size_the_rest_native(kitti_raw, layout):
    found = samples(kitti_raw)
    assert [sample["index"] for sample in found] == list(range(layout.frames))
    sample = found[3]
    pixels = read_image(kitti_raw / layout.date / layout.drive / "image_02/data/0000000003.png")
    np.testing.assert_array_equal(sample["image_native"], pixels)
    np.testing.assert_array_equal(sample["image"], resize_image(pixels, 16, 24))
    assert sample["depth"].shape == (layout.height, layout.width)
    assert sample["depth"].max() > 4
    assert sample["name"] == f"{layout.drive} 02 0000000003"
    assert sample["camera"].fx == layout.focal and sample["camera"].width == layout.width
    assert sample["baseline"] == pytest.approx(layout.baseline)
    assert "stereo" not in sample


def test_further_keys(kitti_raw):
    keys = frozenset({"image", "stereo", "sources", "T_sources_image", "intrinsics"})
    (sample,) = samples(kitti_raw, keys=keys, limit=1, resize="bilinear")
    assert sample["sources"].shape == (2, 16, 24, 3)
    assert sample["stereo"].dtype == np.float32
    assert sample["T_sources_image"].shape == (2, 4, 4)
    assert sample["intrinsics"][0, 0] == 15
    assert "depth" not in sample


def test_limit(kitti_raw):
    assert len(samples(kitti_raw, limit=3)) == 3
    assert len(samples(kitti_raw, limit=99)) == 8


def test_bad_files(kitti_raw, layout):
    scan = kitti_raw / layout.date / layout.drive / "velodyne_points/data/0000000002.bin"
    scan.write_bytes(scan.read_bytes()[:-5])
    with pytest.raises(UserError, match="0000000002.bin: truncated"):
        samples(kitti_raw)
    bad: dict[str, str] = {}
    found = samples(kitti_raw, on_bad_sample="skip", bad_samples=bad)
    assert [sample["index"] for sample in found] == [0, 1, 3, 4, 5, 6, 7]
    assert list(bad) == [f"{layout.drive} 02 0000000002"]
    with pytest.raises(UserError, match="--on_bad_sample"):
        samples(kitti_raw, on_bad_sample="ignore")


def test_errors_come_before_the_first_sample(kitti_raw):
    # Not a generator function: what is wrong with the request shows at the call.
    with pytest.raises(UserError, match="no split"):
        data.evaluation_samples("kitti_raw", data_dir=kitti_raw, split="none", height=8, width=8)


def test_a_caller_may_stop_early(kitti_raw):
    iterator = data.evaluation_samples(
        "kitti_raw", data_dir=kitti_raw, split="all", height=8, width=8
    )
    assert next(iterator)["index"] == 0
    iterator.close()
