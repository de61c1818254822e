"""Prepared builders of tensorflow-datasets: files as it writes them, read without it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any
from unittest import mock

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image

from kdepth import cli, data
from kdepth.data import tf_example, tfrecord
from kdepth.data.kinect import COLOUR_CAMERA
from kdepth.data.sample import load_sample
from kdepth.data.tfds import Tfds
from kdepth.errors import UserError
from kdepth.evaluation.table import read_rows
from tests.data.checks import fuzz

tf = pytest.importorskip("tensorflow")

KEYS = frozenset({"image", "depth"})
SIZE = (30, 40)
FORMS = ("float32", "float16", "uint16", "bytes", "zlib", "png")


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), np.uint8)


def true_depth(seed: int) -> np.ndarray:
    """Metres in steps of 1/64, which every form holds exactly; 0 is not measured."""
    return np.random.default_rng(seed).integers(0, 640, SIZE).astype(np.float32) / 64


def png(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "png")
    return stream.getvalue()


def tensor(dtype: str, encoding: str = "none") -> dict[str, Any]:
    shape = {"dimensions": [str(size) for size in SIZE]}
    return {
        "pythonClassName": "tensorflow_datasets.core.features.tensor_feature.Tensor",
        "tensor": {"shape": shape, "dtype": dtype, "encoding": encoding},
    }


def image(channels: int, dtype: str = "uint8") -> dict[str, Any]:
    shape = {"dimensions": [*(str(size) for size in SIZE), str(channels)]}
    return {
        "pythonClassName": "tensorflow_datasets.core.features.image_feature.Image",
        "image": {"shape": shape, "dtype": dtype},
    }


def depth_feature(form: str) -> dict[str, Any]:
    if form == "png":
        return image(1, "uint16")
    return tensor("float32", form) if form in ("bytes", "zlib") else tensor(form)


def depth_value(form: str, depth: np.ndarray) -> tf.train.Feature:
    if form == "uint16":
        numbers = (depth * 64).astype(int).ravel()
        return tf.train.Feature(int64_list=tf.train.Int64List(value=numbers))
    if form.startswith("float"):
        return tf.train.Feature(float_list=tf.train.FloatList(value=depth.ravel()))
    content = png((depth * 64).astype(np.uint16)) if form == "png" else depth.tobytes()
    content = zlib.compress(content) if form == "zlib" else content
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[content]))


def write_builder(
    folder: Path,
    form: str = "float16",
    name: str = "mine",
    counts: dict[str, tuple[int, ...]] | None = None,
) -> Path:
    """A prepared builder, its records and examples written by TensorFlow."""
    counts = {"train": (2, 1), "validation": (1,)} if counts is None else counts
    folder.mkdir(parents=True)
    seed = 0
    for split, shards in counts.items():
        for number, count in enumerate(shards):
            file = f"{name}-{split}.tfrecord-{number:05d}-of-{len(shards):05d}"
            with tf.io.TFRecordWriter(str(folder / file)) as writer:
                for _ in range(count):
                    content = tf.train.BytesList(value=[png(picture(seed))])
                    values = {
                        "image": tf.train.Feature(bytes_list=content),
                        "depth": depth_value(form, true_depth(seed)),
                        "scene": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"hall"])),
                    }
                    example = tf.train.Example(features=tf.train.Features(feature=values))
                    writer.write(example.SerializeToString())
                    seed += 1
    template = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
    splits = [
        {"name": split, "shardLengths": list(map(str, shards)), "filepathTemplate": template}
        for split, shards in counts.items()
    ]
    features = {"image": image(3), "depth": depth_feature(form)}
    info = {"name": name, "version": folder.name, "splits": splits, "fileFormat": "tfrecord"}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    (folder / "features.json").write_text(
        json.dumps({"pythonClassName": "FeaturesDict", "featuresDict": {"features": features}})
    )
    return folder


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_depth(tmp_path, form):
    root = write_builder(tmp_path / "mine/1.0.0", form)
    whole = form in ("uint16", "png")
    reader = Tfds(root, depth_scale=64 if whole else None)
    assert reader.splits() == ["train", "validation", "all"]
    records = reader.records("all", KEYS)
    names = [record.name for record in records]
    assert names == ["train/000000", "train/000001", "train/000002", "validation/000000"]
    for seed, record in list(enumerate(records))[::-1]:
        sample = load_sample(record, KEYS)
        np.testing.assert_array_equal(sample["image"], picture(seed))
        np.testing.assert_array_equal(sample["depth"][..., 0], true_depth(seed))
        assert sample["depth"].dtype == np.float32
    if whole:
        with pytest.raises(UserError, match="nothing says how many make a metre"):
            Tfds(root).records("all", KEYS)


def test_the_catalogues_builder_by_tensorflow_datasets_itself(tmp_path):
    tfds = pytest.importorskip("tensorflow_datasets")
    if not hasattr(tfds, "builder"):  # it logs an import error and goes on without its contents
        pytest.skip("tensorflow-datasets does not work with this protobuf")
    h5py = pytest.importorskip("h5py")
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        path = tmp_path / "archive/nyudepthv2" / split / "scene_0001/00001.h5"
        path.parent.mkdir(parents=True)
        with h5py.File(path, "w") as file:
            file["rgb"] = rng.integers(0, 256, (3, 480, 640), np.uint8)
            file["depth"] = rng.uniform(0.7, 10, (480, 640)).astype(np.float32)
    builder = tfds.builder("nyu_depth_v2", data_dir=tmp_path / "tfds")
    unpacked = mock.patch.object(
        tfds.download.DownloadManager,
        "download_and_extract",
        lambda self, url: str(tmp_path / "archive"),
    )
    with unpacked:
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(register_checksums=False)
        )
    reader = data.open_reader("tfds", tmp_path / "tfds")
    for split in ("train", "validation"):
        (record,) = reader.records(split, KEYS | {"intrinsics"})
        assert record.camera == COLOUR_CAMERA
        (expected,) = builder.as_dataset(split=split).as_numpy_iterator()
        assert expected["depth"].dtype == np.float16
        np.testing.assert_array_equal(record.image.load(), expected["image"])
        np.testing.assert_array_equal(record.depth.load(), expected["depth"].astype(np.float32))


def test_features_as_tensorflow_datasets_describes_and_writes_them(tmp_path):
    tfds = pytest.importorskip("tensorflow_datasets")
    if not hasattr(tfds, "features"):
        pytest.skip("tensorflow-datasets does not work with this protobuf")
    depth = true_depth(0)
    for number, (feature, value) in enumerate(
        [
            (tfds.features.Tensor(shape=SIZE, dtype=np.float32, encoding="zlib"), depth),
            (tfds.features.Tensor(shape=(*SIZE, 1), dtype=np.float16), depth[..., None]),
            (tfds.features.Tensor(shape=SIZE, dtype=np.uint16), depth * 64),
            (tfds.features.Image(shape=(*SIZE, 1), dtype=np.uint16), depth[..., None] * 64),
        ]
    ):
        dtype = np.dtype(feature.np_dtype if hasattr(feature, "np_dtype") else feature.dtype)
        features = tfds.features.FeaturesDict(
            {"image": tfds.features.Image(shape=(*SIZE, 3)), "depth": feature}
        )
        root = write_builder(tmp_path / str(number), counts={"train": (1,)})
        features.save_config(str(root))
        example = {"image": picture(0), "depth": value.astype(dtype)}
        payload = features.serialize_example(example)
        (root / "mine-train.tfrecord-00000-of-00001").write_bytes(tfrecord.frame(payload))
        scale = 64 if dtype.kind == "u" else None
        (record,) = Tfds(root, depth_scale=scale).records("train", KEYS)
        np.testing.assert_array_equal(record.image.load(), picture(0))
        np.testing.assert_array_equal(record.depth.load(), depth)


@hypothesis.given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=40))
def test_whole_numbers_are_those_of_protocol_buffers(numbers):
    feature = tf.train.Feature(int64_list=tf.train.Int64List(value=numbers))
    example = tf.train.Example(features=tf.train.Features(feature={"n": feature}))
    found = tf_example.values(example.SerializeToString(), "n") if numbers else []
    assert list(found) == numbers


@hypothesis.given(st.binary(max_size=60))
def test_any_bytes_are_no_example(content):
    with pytest.raises(ValueError):
        tf_example.values(content, "image")


def test_which_builder(tmp_path):
    root = tmp_path / "tensorflow_datasets"
    write_builder(root / "mine/9.0.0")
    newest = write_builder(root / "mine/10.0.0")
    assert Tfds(root).root == Tfds(root / "mine").root == newest
    assert Tfds(newest).root == newest
    other = write_builder(root / "other/small/1.0.0", name="other")
    write_builder(root / "other/incomplete.X_1.0.0", name="other")
    with pytest.raises(UserError, match="several builders.*builder=: mine, other/small"):
        Tfds(root)
    for asked in ("other", "other/small", "other/small/1.0.0", "small:1.0.0"):
        assert Tfds(root, builder=asked).root == other
    assert Tfds(root, builder="mine/9.0.0").root.name == "9.0.0"
    with pytest.raises(UserError, match="no prepared builder of absent"):
        Tfds(root, builder="absent")


def test_the_camera(tmp_path):
    root = write_builder(tmp_path / "mine/1.0.0")
    asked = KEYS | {"intrinsics"}
    with pytest.raises(UserError, match="camera of builder mine is not known.*fx="):
        Tfds(root).records("train", asked)
    camera = Tfds(root, fx=50).records("train", asked)[0].camera
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (50, 50, 19.5, 14.5)
    with pytest.raises(UserError, match="needs fx="):
        Tfds(root, cx=3)


def test_own_lists_and_what_is_missing(tmp_path):
    root = write_builder(tmp_path / "mine/1.0.0")
    (root / "splits").mkdir()
    (root / "splits/few.txt").write_text("validation/0\ntrain/000002\n")
    names = [record.name for record in Tfds(root).records("few", KEYS)]
    assert names == ["validation/000000", "train/000002"]
    (root / "splits/bad.txt").write_text("train\n")
    with pytest.raises(UserError, match=r"bad.txt: expected <split>/<number"):
        Tfds(root).records("bad", KEYS)
    with pytest.raises(UserError, match="choose one of train, validation, all, bad, few"):
        Tfds(root).records("test", KEYS)
    (root / "mine-train.tfrecord-00001-of-00002").unlink()
    with pytest.raises(UserError, match="mine-train.tfrecord-00001-of-00002: listed in tfds"):
        Tfds(root).records("few", KEYS)
    records = Tfds(root, on_missing="skip").records("train", KEYS)
    assert [record.name for record in records] == ["train/000000", "train/000001"]


@pytest.mark.parametrize(
    ("file", "values", "words"),
    [
        ("dataset_info.json", {"fileFormat": "array_record"}, "tfds convert_format"),
        ("dataset_info.json", {"splits": [{"shardLengths": ["1"]}]}, "not as tensorflow-datasets"),
        ("dataset_info.json", {"splits": [{"name": "x", "shardLengths": ["y"]}]}, "not as"),
        ("features.json", {"featuresDict": {"features": {"image": image(3)}}}, "has no `depth`"),
        ("dataset_info.json", {"splits": ["x"]}, "not as tensorflow-datasets"),
        (
            "dataset_info.json",
            {"splits": [{"name": "x", "shardLengths": ["1"], "filepathTemplate": "{}-{0}"}]},
            "not as tensorflow-datasets",
        ),
        ("features.json", {"featuresDict": []}, "not as tensorflow-datasets"),
        ("features.json", {"featuresDict": {"features": [1]}}, "not as tensorflow-datasets"),
    ],
)
def test_descriptions_that_do_not_do(tmp_path, file, values, words):
    root = write_builder(tmp_path / "mine/1.0.0")
    change(root / file, **values)
    with pytest.raises(UserError, match=words) as caught:
        Tfds(root).records("train", KEYS)
    assert str(root) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "feature", "words"),
    [
        ("image", tensor("uint8"), "not read: tensor"),
        ("image", {"pythonClassName": "a.b.Video", "video": {}}, "Video is not read"),
        ("depth", tensor("float32", "other"), "not read"),
        ("depth", image(3), "not read: image"),
        ("depth", {**image(1), "image": {"shape": {"dimensions": ["-1", "4"]}}}, "of one size"),
        ("depth", tensor("float99"), "depth"),
        ("depth", {"pythonClassName": 3}, "depth"),
    ],
)
def test_features_that_are_not_read(tmp_path, name, feature, words):
    root = write_builder(tmp_path / "mine/1.0.0")
    features = {"image": image(3), "depth": tensor("float32"), name: feature}
    change(root / "features.json", featuresDict={"features": features})
    with pytest.raises(UserError, match=words) as caught:
        Tfds(root).records("train", KEYS)
    assert "features.json" in str(caught.value)


def test_a_shard_with_another_number_of_examples(tmp_path):
    root = write_builder(tmp_path / "mine/1.0.0")
    splits = [{"name": "train", "shardLengths": ["3"]}]
    change(root / "dataset_info.json", splits=splits)
    (root / "mine-train.tfrecord-00000-of-00002").rename(
        root / "mine-train.tfrecord-00000-of-00001"
    )
    record = Tfds(root).records("train", KEYS)[0]
    with pytest.raises(UserError, match="has 2 examples instead of 3"):
        record.image.load()


def test_damaged_files(tmp_path):
    root = write_builder(tmp_path / "mine/1.0.0", counts={"train": (2,)})
    shard = "mine-train.tfrecord-00000-of-00001"
    fuzz("tfds", root, shard, KEYS, has_check_sums=True, split="train")
    for name in ("dataset_info.json", "features.json"):
        fuzz("tfds", root, name, KEYS, split="train")


def test_neither_tensorflow_nor_its_datasets_is_needed(tmp_path):
    root = write_builder(tmp_path / "mine/1.0.0")
    code = (
        "import sys; from kdepth import data; from kdepth.data.sample import load_sample\n"
        f"record = data.open_reader('tfds', {str(root)!r}).records('all', frozenset())[0]\n"
        "load_sample(record, frozenset())\n"
        "print([name for name in sys.modules if name.startswith('tensorflow')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_evaluation_and_preparation(tmp_run):
    root = write_builder(tmp_run / "mine/1.0.0")
    np.save(tmp_run / "predictions.npy", np.maximum(true_depth(3), 1 / 64)[None])
    common = ["--dataset=tfds", f"--data_dir={root}"]
    assert cli.call("evaluate", ["--predictions=predictions.npy", *common, "--pictures=0"]) == 0
    rows = {row["system"]: row for row in read_rows(tmp_run / "runs/results.csv")}
    assert (rows["predictions"]["split"], rows["predictions"]["dataset"]) == ("validation", "tfds")
    assert float(rows["predictions"]["abs_rel"]) < 0.01 < float(rows["predictions"]["gain_percent"])
    size = [f"--height={SIZE[0]}", f"--image_width={SIZE[1]}"]
    arguments = [*common, "--split=train", "--keys=image,depth", "--out=prepared", *size]
    assert cli.call("prepare", arguments) == 0
    records = data.open_reader("prepared", tmp_run / "prepared").records("all", KEYS)
    np.testing.assert_array_equal(records[2].depth.load(), true_depth(2))
