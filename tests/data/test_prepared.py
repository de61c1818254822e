"""Prepared data: the same samples as from the originals, and every damage is one clear error."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zlib

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from kdepth import cli, data
from kdepth.data import preparation, prepared, tfrecord
from kdepth.data.decode import Decoder
from kdepth.data.preparation import Settings, prepare
from kdepth.errors import UserError

KEYS = frozenset(
    ["image", "stereo", "sources", "intrinsics", "stereo_intrinsics", "baseline", "depth"]
    + ["T_sources_image"]
)
SIZE = (20, 30)


def settings(root, **changes) -> Settings:
    values = {
        "dataset": "kitti_raw",
        "data_dir": str(root),
        "split": "all",
        "keys": tuple(sorted(KEYS)),
        "height": SIZE[0],
        "image_width": SIZE[1],
        "resize": "bilinear",
        "shard_size": 7,
    }
    return Settings(**{**values, **changes})


def decoded(dataset, root, method, size=SIZE, keys=KEYS, offsets=(-1, 1), **options):
    records = data.open_reader(dataset, root, **options).records("all", keys, offsets)
    decoder = Decoder(records, keys, *size, method)
    return records, [decoder(i) for i in range(len(records))]


@pytest.fixture
def out(kitti_raw, tmp_path):
    folder = tmp_path / "prepared"
    prepare(settings(kitti_raw), folder)
    return folder


def files(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("method", ["bilinear", "bicubic", "nearest", "area"])
def test_samples_are_those_of_the_originals(kitti_raw, tmp_path, method):
    prepare(settings(kitti_raw, resize=method), tmp_path / "out")
    originals, expected = decoded("kitti_raw", kitti_raw, method)
    records, found = decoded("prepared", tmp_path / "out", method)
    assert [r.name for r in records] == [r.name for r in originals] and len(records) == 6
    # Pillow's filters give 8 bits, which PNG keeps; the exact means are rounded to 8 bits.
    tolerance = 0.5 / 255 + 1e-6 if method == "area" else 0
    for one, other in zip(expected, found):
        assert set(one) == set(other) == KEYS | {"index"}
        for key in one:
            assert one[key].dtype == other[key].dtype
            is_picture = key in ("image", "stereo", "sources")
            np.testing.assert_allclose(
                other[key], one[key], rtol=0, atol=tolerance if is_picture else 0, err_msg=key
            )
    assert found[0]["depth"].max() > 1 and found[0]["baseline"] > 0


def test_pictures_of_the_networks_size_come_out_bit_by_bit(kitti_raw, tmp_path, layout):
    size = (layout.height, layout.width)
    prepare(settings(kitti_raw, height=size[0], image_width=size[1], resize="area"), tmp_path / "o")
    _, expected = decoded("kitti_raw", kitti_raw, "area", size)
    _, found = decoded("prepared", tmp_path / "o", "area", size)
    for one, other in zip(expected, found):
        for key in one:
            np.testing.assert_array_equal(other[key], one[key], err_msg=key)


def test_training_gets_the_same_batches(kitti_raw, out):
    pytest.importorskip("tensorflow")
    keys = frozenset({"image", "sources", "intrinsics"})
    options = {
        "split": "all",
        "batch_size": 2,
        "seed": 5,
        "sample_keys": keys,
        "image_size": SIZE,
        "resize": "bilinear",
    }
    batches = [
        list(data.load(name, data_dir=root, **options).as_numpy_iterator())
        for name, root in (("kitti_raw", kitti_raw), ("prepared", out))
    ]
    assert len(batches[0]) == len(batches[1]) == 3
    for one, other in zip(*batches):
        for key in one:
            np.testing.assert_array_equal(one[key], other[key], err_msg=key)


def test_shared_pictures_are_written_once(out, layout):
    manifest = prepared.read_manifest(out)
    pictures = {i for s in manifest["samples"] for i in [s["image"], *s["sources"]]}
    assert len(pictures) == layout.frames
    assert len(manifest["items"]) == layout.frames + 2 * 6  # right views and depth of six samples
    assert manifest["settings"]["dataset"] == "kitti_raw"
    assert {"numpy", "kdepth"} <= set(manifest["versions"])


def test_tensorflow_reads_the_shards(out):
    tf = pytest.importorskip("tensorflow")
    manifest = prepared.read_manifest(out)
    names = [str(prepared.shard_path(out, n)) for n in range(len(manifest["shards"]))]
    payloads = [bytes(p) for p in tf.data.TFRecordDataset(names).as_numpy_iterator()]
    assert len(payloads) == len(manifest["items"])
    sample = manifest["samples"][2]
    picture = tf.io.decode_png(payloads[sample["image"]]).numpy()
    record = data.open_reader("prepared", out).records("all", frozenset({"image", "depth"}))[2]
    np.testing.assert_array_equal(picture, record.image.load())
    depth = np.frombuffer(zlib.decompress(payloads[sample["depth"]]), "<f4").reshape(SIZE)
    np.testing.assert_array_equal(depth, record.depth.load())


@hypothesis.given(st.binary(max_size=700))
def test_check_sums_are_those_of_the_definition(content):
    register = 0xFFFFFFFF
    for byte in content:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    assert tfrecord.crc32c(content) == register ^ 0xFFFFFFFF


def test_the_published_check_value():
    assert tfrecord.crc32c(b"123456789") == 0xE3069283


def test_jpeg_is_smaller_and_close(kitti_raw, tmp_path):
    # Noise is what JPEG is worst at, so a smooth picture.
    for path in kitti_raw.glob("*/*/image_0?/data/*.png"):
        ramp = np.linspace(0, 255, 48 * 32).reshape(32, 48).astype(np.uint8)
        from kdepth.data.image import write_image

        write_image(path, np.stack([ramp] * 3, axis=-1))
    prepare(settings(kitti_raw, encoding="jpeg", quality=95), tmp_path / "jpeg")
    _, expected = decoded("kitti_raw", kitti_raw, "bilinear")
    _, found = decoded("prepared", tmp_path / "jpeg", "bilinear")
    assert np.abs(found[0]["image"] - expected[0]["image"]).max() < 0.1
    np.testing.assert_array_equal(found[0]["depth"], expected[0]["depth"])


def test_only_what_is_asked_for_and_held(out, kitti_raw, tmp_path):
    reader = data.open_reader("prepared", out)
    (record, *_) = reader.records("all", frozenset({"image", "sources"}), (1,))
    assert len(record.sources) == 1 and record.stereo is None and record.depth is None
    with pytest.raises(UserError, match=r"source frames \[-1, 1\].*--source_offsets=1,2"):
        reader.records("all", frozenset({"sources"}), (1, 2))
    with pytest.raises(UserError, match="no split 'train'"):
        reader.records("train", KEYS)
    prepare(settings(kitti_raw, keys=("image",)), tmp_path / "images")
    images = data.open_reader("prepared", tmp_path / "images")
    assert len(images.records("all", frozenset({"image", "intrinsics"}))) == 8
    with pytest.raises(UserError, match="without `stereo`.*--keys=image,stereo"):
        images.records("all", frozenset({"image", "stereo"}))


def test_a_list_file_names_samples(out, tmp_path):
    reader = data.open_reader("prepared", out)
    names = [record.name for record in reader.records("all", frozenset({"image"}))]
    (tmp_path / "list.txt").write_text(f"{names[3]}\n\n{names[1]}\n")
    chosen = reader.records(str(tmp_path / "list.txt"), frozenset({"image"}))
    assert [record.name for record in chosen] == [names[3], names[1]]
    (tmp_path / "list.txt").write_text("no such sample\n")
    with pytest.raises(UserError, match="no such sample"):
        reader.records(str(tmp_path / "list.txt"), frozenset({"image"}))


# --- damage ---


def read_all(folder):
    reader = data.open_reader("prepared", folder)
    for record in reader.records("all", KEYS):
        record.depth.load()
        for view in (record.image, record.stereo, *record.sources):
            view.load()


@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_every_flipped_byte_of_a_shard_is_found(out, place, flip):
    shard = prepared.shard_path(out, 1)
    whole = shard.read_bytes()
    changed = bytearray(whole)
    changed[int(place * len(whole))] ^= flip
    try:
        shard.write_bytes(changed)
        with pytest.raises(UserError, match="00001.tfrecord: the shard has changed.*prepare"):
            read_all(out)
    finally:
        shard.write_bytes(whole)


def test_truncated_and_missing_shards(out):
    shard = prepared.shard_path(out, 2)
    shard.write_bytes(shard.read_bytes()[:-5])
    with pytest.raises(UserError, match="00002.tfrecord: the shard has .* bytes instead of"):
        data.open_reader("prepared", out)
    shard.unlink()
    with pytest.raises(UserError, match="00002.tfrecord: the shard is missing"):
        data.open_reader("prepared", out)


def test_a_shard_that_is_lost_while_it_is_read(out):
    record = data.open_reader("prepared", out).records("all", frozenset({"image"}))[0]
    prepared.shard_path(out, 0).write_bytes(b"x")
    with pytest.raises(UserError, match="00000.tfrecord: the shard ends early"):
        record.image.load()
    prepared.shard_path(out, 0).unlink()
    with pytest.raises(UserError, match="00000.tfrecord: the shard is missing"):
        record.image.load()


def test_manifests_that_cannot_be_used(out, tmp_path):
    path = out / prepared.MANIFEST
    text = path.read_text()
    values = json.loads(text)
    for content, message in (
        (json.dumps({**values, "version": 99}), "version 99, this kdepth reads version 1"),
        (json.dumps({**values, "format": "x"}), "no manifest of kdepth.prepare"),
        (text.replace('"baseline": 0.5', '"baseline": 0.6'), "is damaged"),
        (text[:-20], "is damaged"),
        ("[1]", "is damaged"),
        ("\udcff".encode("utf-8", "surrogateescape").decode("latin-1"), "is damaged"),
    ):
        assert content != text
        path.write_text(content)
        with pytest.raises(UserError, match=message) as caught:
            data.open_reader("prepared", out)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    path.unlink()
    with pytest.raises(UserError, match="manifest.json is missing.*interrupted goes on"):
        data.open_reader("prepared", out)


def test_the_same_call_mends_what_is_damaged(kitti_raw, out):
    before = files(out)
    prepared.shard_path(out, 0).write_bytes(b"x")
    prepared.shard_path(out, 1).unlink()
    (out / "00002.json").write_text("{")
    prepare(settings(kitti_raw), out)
    assert files(out) == before
    index = json.loads((out / "00001.json").read_text())
    for entries in ([], index["entries"][1:] + [[0, 1, 2]], [7] * len(index["entries"]), None):
        (out / "00001.json").write_text(json.dumps({**index, "entries": entries}))
        prepare(settings(kitti_raw), out)
        assert files(out) == before


def test_pictures_that_came_later_are_prepared_too(kitti_raw, tmp_path, layout):
    pairs = settings(kitti_raw, keys=("image", "stereo"))
    assert len(prepare(pairs, tmp_path / "o")["samples"]) == 8
    for camera in (2, 3):
        path = f"{layout.date}/{layout.drive}/image_0{camera}/data/0000000008.png"
        layout.save(kitti_raw / path, layout.picture(camera))
    assert len(prepare(pairs, tmp_path / "o")["samples"]) == 9
    prepare(pairs, tmp_path / "at_once")
    assert files(tmp_path / "o") == files(tmp_path / "at_once")


# --- interruption ---


def test_an_interrupted_preparation_goes_on(kitti_raw, out, tmp_path, monkeypatch):
    written = []
    write_shard = preparation.Preparation.write_shard

    def interrupted(self, number):
        if len(written) == 1:
            raise KeyboardInterrupt
        written.append(number)
        return write_shard(self, number)

    monkeypatch.setattr(preparation.Preparation, "write_shard", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare(settings(kitti_raw), tmp_path / "again")
    assert set(files(tmp_path / "again")) == {"settings.json", "00000.json", "00000.tfrecord"}
    with pytest.raises(UserError, match="interrupted"):
        data.open_reader("prepared", tmp_path / "again")
    written.append(None)  # from here on it is not stopped
    prepare(settings(kitti_raw), tmp_path / "again")
    assert written == [0, None, 1, 2]
    assert files(tmp_path / "again") == files(out)


def test_a_full_disk_leaves_nothing_half(kitti_raw, tmp_path, monkeypatch, capsys):
    def full(payload):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(preparation, "frame", full)
    assert call(kitti_raw, tmp_path / "full", "--workers=1") == 2
    assert "disk full while writing" in capsys.readouterr().err
    assert set(files(tmp_path / "full")) == {"settings.json"}


def test_a_killed_command_leaves_no_process_and_goes_on(kitti_raw, out, tmp_path):
    folder = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-m", "kdepth.prepare", *arguments(kitti_raw, folder, "--workers=2")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not list(folder.glob("*.tfrecord")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    while time.monotonic() < deadline:
        try:
            os.killpg(process.pid, 0)  # its workers are in its group
        except ProcessLookupError:
            break
        time.sleep(0.05)
    else:
        pytest.fail("workers outlive the command")
    assert call(kitti_raw, folder, "--workers=2") == 0
    assert files(folder) == files(out)


# --- the command ---


def arguments(root, out, *more):
    return [
        "--dataset=kitti_raw",
        f"--data_dir={root}",
        "--split=all",
        f"--out={out}",
        f"--keys={','.join(KEYS)}",
        "--height=20",
        "--image_width=30",
        "--resize=bilinear",
        "--shard_size=7",
        *more,
    ]


def call(root, out, *more) -> int:
    return cli.call("prepare", arguments(root, out, *more))


def test_the_command_with_processes(kitti_raw, out, tmp_path, capsys):
    assert call(kitti_raw, tmp_path / "o", "--workers=2") == 0
    assert "6 samples in 3 shards" in capsys.readouterr().out
    assert files(tmp_path / "o") == files(out)


@pytest.mark.parametrize("workers", [1, 2])
def test_bad_files_stop_or_are_left_out(kitti_raw, tmp_path, capsys, layout, workers):
    bad = kitti_raw / layout.date / layout.drive / "image_02/data/0000000003.png"
    bad.write_bytes(bad.read_bytes()[:-30])
    assert call(kitti_raw, tmp_path / "o", f"--workers={workers}") == 2
    error = capsys.readouterr().err
    assert "0000000003.png: truncated" in error and "Traceback" not in error
    skipping = [f"--workers={workers}", "--on_bad_sample=skip"]
    assert call(kitti_raw, tmp_path / "skip", *skipping) == 0
    captured = capsys.readouterr()
    assert "3 samples" in captured.out and "3 left out" in captured.out  # it is a source of two
    assert captured.err.count("0000000003.png: truncated") == 1
    assert call(kitti_raw, tmp_path / "skip", *skipping) == 0


def test_a_folder_is_for_one_set(kitti_raw, out, tmp_path, capsys):
    assert call(kitti_raw, out, "--height=24") == 2
    assert "was prepared with --height=20, now 24" in capsys.readouterr().err
    assert call(kitti_raw, kitti_raw) == 2
    assert "holds something else" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--keys=image,flow", "received flow"),
        ("--keys=", "received none"),
        ("--height=0", "--height must be at least 1"),
        ("--quality=101", "--quality is 1 to 100"),
        ("--workers=0", "--workers must be at least 1"),
        ("--source_offsets=1,-1", "--source_offsets must be rising"),
        ("--source_offsets=a", "--source_offsets must be rising"),
        ("--split=absent", "absent"),
        ("--data_dir=absent", "absent"),
    ],
)
def test_bad_flags(kitti_raw, tmp_path, capsys, flag, message):
    assert call(kitti_raw, tmp_path / "o", flag) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "o").exists()
