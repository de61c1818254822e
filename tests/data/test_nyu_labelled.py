"""NYU Depth v2, labelled: the official file's layout in HDF5, with a few pairs."""

from __future__ import annotations

import builtins
import concurrent.futures
import shutil
from pathlib import Path

import numpy as np
import pytest

from kdepth import data
from kdepth.data.nyu_labelled import CAMERA, FILE, NyuLabelled
from kdepth.data.sample import load_sample, resize_sample
from kdepth.errors import UserError
from tests.data import matlab5
from tests.data.checks import fuzz, wall
from tests.data.layouts import write_nyu, write_nyu_splits

h5py = pytest.importorskip("h5py")

KEYS = frozenset({"image", "depth", "intrinsics"})
IMAGE = frozenset({"image"})
COUNT = 5


def views(count: int = COUNT) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A wall, ever farther away, in MATLAB's shapes; the Kinect misses a corner of it."""
    pairs = [wall(CAMERA, np.eye(4), 1.5 + 0.5 * i) for i in range(count)]
    images = np.stack([picture for picture, _ in pairs], axis=-1)
    depths = np.stack([depth for _, depth in pairs], axis=-1).astype(np.float32)
    # A gradient tells rows from columns.
    depths += np.linspace(0, 0.4, 480, dtype=np.float32)[:, None, None]
    raw = depths.copy()
    raw[:50, :70] = 0
    return images, depths, raw


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("nyu")
    write_nyu(root / FILE, *views(), labels=np.zeros((480, 640, COUNT), np.uint16))
    write_nyu_splits(root / "splits.mat", train=[2, 5], test=[1, 3, 4])
    return root


@pytest.fixture
def nyu(written, tmp_path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(written, tmp_path / "nyu"))


def test_the_official_splits_in_their_order(written):
    reader = NyuLabelled(written)
    assert reader.splits() == ["train", "test", "all"]
    names = {split: [r.name for r in reader.records(split, KEYS)] for split in reader.splits()}
    assert names["train"] == ["0002", "0005"] and names["test"] == ["0001", "0003", "0004"]
    assert names["all"] == [f"{i:04d}" for i in range(1, COUNT + 1)]


@pytest.mark.parametrize("kind", ["filled", "raw"])
def test_pictures_and_depths_stand_upright(written, kind):
    images, depths, raw = views()
    for i, record in enumerate(NyuLabelled(written, depth=kind).records("all", KEYS)):
        sample = load_sample(record, KEYS)
        np.testing.assert_array_equal(sample["image"], images[..., i])
        expected = {"filled": depths, "raw": raw}[kind][..., i]
        np.testing.assert_array_equal(sample["depth"][..., 0], expected)
        assert sample["image"].dtype == np.uint8 and sample["depth"].dtype == np.float32


def test_intrinsics_follow_the_size(written):
    (record, *_) = NyuLabelled(written).records("test", KEYS)
    np.testing.assert_allclose(
        load_sample(record, KEYS)["intrinsics"],
        [[518.857901, 0, 325.582449], [0, 519.469611, 253.736166], [0, 0, 1]],
        rtol=1e-6,
    )
    sample = resize_sample(load_sample(record, KEYS), record, 240, 320, "area")
    expected = [[259.428951, 0, 162.541225], [0, 259.734806, 126.618083], [0, 0, 1]]
    np.testing.assert_allclose(sample["intrinsics"], expected, rtol=1e-6)
    # The rendered wall again, from the small camera.
    small, _ = wall(record.camera.resize(320, 240), np.eye(4), 1.5)
    assert np.abs(sample["image"] - small / 255.0).max() < 0.02


def test_the_real_pair_in_the_official_file(realdata, tmp_path):
    """Its size is not the official one, so it is put into a corner of a picture of that size."""
    picture = np.load(realdata / "nyu/rgb.npy")
    depth = np.load(realdata / "nyu/depth.npy")
    images = np.zeros((480, 640, 3, 1), np.uint8)
    depths = np.zeros((480, 640, 1), np.float32)
    images[:224, :224, :, 0] = np.round(255 * picture)
    depths[:224, :224, 0] = depth
    write_nyu(tmp_path / FILE, images, depths, depths)
    (record,) = NyuLabelled(tmp_path, depth="raw").records("all", KEYS)
    sample = load_sample(record, KEYS)
    np.testing.assert_array_equal(sample["depth"][:224, :224, 0], depth)
    assert np.abs(sample["image"][:224, :224] / 255.0 - picture).max() < 0.003
    assert 0.7 < sample["depth"][sample["depth"] > 0].min() < sample["depth"].max() < 6


def test_threads_read_side_by_side(written):
    records = NyuLabelled(written).records("all", KEYS)
    one_by_one = [load_sample(record, KEYS) for record in records]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda record: load_sample(record, KEYS), records * 2))
    for one, other in zip(one_by_one * 2, together):
        np.testing.assert_array_equal(one["depth"], other["depth"])


def test_the_pipeline(written):
    pytest.importorskip("tensorflow")
    dataset = data.load_records(
        NyuLabelled(written).records("test", KEYS),
        sample_keys=KEYS,
        image_size=(48, 64),
        batch_size=3,
        seed=1,
        training=False,
    )
    (batch,) = list(dataset)
    assert batch["image"].shape == (3, 48, 64, 3) and batch["depth"].shape == (3, 48, 64, 1)
    middle = batch["depth"].numpy()[:, 24, 32, 0]
    np.testing.assert_allclose(middle, np.array([1.5, 2.5, 3.0]) + 0.2, atol=0.01)


def test_lists(written, tmp_path):
    (tmp_path / "list.txt").write_text("4\n0001.png\n")
    names = [r.name for r in NyuLabelled(written).records(str(tmp_path / "list.txt"), KEYS)]
    assert names == ["0004", "0001"]
    (tmp_path / "list.txt").write_text("6\n")
    with pytest.raises(UserError, match=f"{FILE}/image 6: listed in nyu_labelled"):
        NyuLabelled(written).records(str(tmp_path / "list.txt"), KEYS)
    for wrong in ("0", "kitchen", "-1"):
        (tmp_path / "list.txt").write_text(wrong)
        with pytest.raises(UserError, match="list.txt: expected a number from 1 to 1449"):
            NyuLabelled(written).records(str(tmp_path / "list.txt"), KEYS)


def test_without_the_official_split(nyu):
    (nyu / "splits.mat").unlink()
    with pytest.raises(UserError, match="splits.mat: no such file, and split 'test' is in it"):
        NyuLabelled(nyu).records("test", KEYS)
    assert len(NyuLabelled(nyu).records("all", KEYS)) == COUNT


@pytest.mark.parametrize("train", [[0, 1], [1.5], [2, 2], [1, 3]])
def test_a_split_that_is_none(nyu, train):
    columns = {"testNdxs": [3.0, 4.0], "trainNdxs": train}
    elements = (matlab5.matrix(k, np.array(v, np.float64)[:, None]) for k, v in columns.items())
    (nyu / "splits.mat").write_bytes(matlab5.file(*elements))
    with pytest.raises(UserError, match="splits.mat: not the official split"):
        NyuLabelled(nyu).records("train", KEYS)


def test_without_h5py(written, monkeypatch):
    original = builtins.__import__

    def without(name, *arguments, **options):
        if name == "h5py":
            raise ImportError(name)
        return original(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"needs h5py: pip install 'kdepth\[nyu\]'"):
        NyuLabelled(written).records("all", KEYS)


def test_other_variables_than_the_official_ones(tmp_path):
    images, depths, raw = views(2)
    cases = [
        ((images.astype(np.float64), depths, raw), "`images` is .* of float64, .* of uint8"),
        ((images[:, :320], depths, raw), r"`images` is \(2, 3, 320, 480\) of uint8, and not"),
        ((images, depths.astype(np.uint16), raw), "`depths` is .* of uint16, .* of float32"),
        ((images, depths[..., :1], raw), "images and depths have different lengths"),
    ]
    for arrays, message in cases:
        write_nyu(tmp_path / FILE, *arrays)
        with pytest.raises(UserError, match=f"{FILE}: .*{message}"):
            NyuLabelled(tmp_path).records("all", KEYS)
    with h5py.File(tmp_path / FILE, "w") as file:
        file.create_group("images")
    with pytest.raises(UserError, match="has no `images`"):
        NyuLabelled(tmp_path).records("all", IMAGE)


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf, 1e6])
def test_impossible_depths(tmp_path, value):
    images, depths, raw = views(2)
    depths[100, 200, 0] = value
    write_nyu(tmp_path / FILE, images, depths, raw)
    first, second = NyuLabelled(tmp_path).records("all", KEYS)
    with pytest.raises(UserError, match="`depths` has impossible depths in image 1"):
        load_sample(first, KEYS)
    load_sample(second, KEYS)


def test_zeros_are_what_hdf5_makes_of_a_lost_block(tmp_path):
    images, depths, raw = views(2)
    images[..., 1] = 0
    write_nyu(tmp_path / FILE, images, depths, raw)
    first, second = NyuLabelled(tmp_path).records("all", KEYS)
    load_sample(first, KEYS)
    with pytest.raises(UserError, match="`images` has only zeros at image 2"):
        load_sample(second, KEYS)


def test_a_matlab_5_file_under_the_name(nyu):
    shutil.copy(nyu / "splits.mat", nyu / FILE)
    with pytest.raises(UserError, match="truncated, corrupt or not a MATLAB 7.3 file"):
        NyuLabelled(nyu).records("all", KEYS)


@pytest.mark.parametrize("name", [FILE, "splits.mat"])
def test_damaged_files(nyu, name):
    fuzz("nyu_labelled", nyu, name, KEYS, has_check_sums=True, split="train")
