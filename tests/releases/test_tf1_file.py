"""TensorFlow 1's checkpoints: both formats, every name that people give, and damaged ones."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from kdepth.errors import UserError  # noqa: E402
from kdepth.releases import tf1_file  # noqa: E402
from tests.releases.checkpoints import write_tf1  # noqa: E402

ARRAYS = {
    "model/Conv/weights": np.random.default_rng(0).normal(size=(3, 3, 2, 500)).astype(np.float32),
    "model/Conv/biases": np.arange(500, dtype=np.float32),
    "global_step": np.int64(12),
}


@pytest.fixture
def checkpoint(tmp_path):
    return write_tf1(tmp_path / "model-12.5k", ARRAYS)


def assert_all_there(path):
    found = tf1_file.read(path)
    assert set(found) == set(ARRAYS) and len(found) == 3
    for name, value in ARRAYS.items():
        np.testing.assert_array_equal(found[name], value)
    assert "model/Conv" not in found
    with pytest.raises(KeyError):
        found["model/Conv"]


def test_every_name_of_a_checkpoint_will_do(checkpoint):
    for suffix in ("", ".index", ".meta", ".data-00000-of-00001"):
        assert_all_there(checkpoint.with_name(checkpoint.name + suffix))
    assert_all_there(checkpoint.parent)


def test_the_first_format_is_one_file(tmp_path):
    assert_all_there(write_tf1(tmp_path / "model.ckpt", ARRAYS, old=True))


def test_what_is_missing_is_named(checkpoint, tmp_path):
    with pytest.raises(UserError, match=r"nothing is no TensorFlow checkpoint: .*nothing.index"):
        tf1_file.read(tmp_path / "nothing")
    write_tf1(tmp_path / "other", ARRAYS)
    with pytest.raises(UserError, match=r"must hold one .* it holds model-12.5k, other"):
        tf1_file.read(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"it holds no .index file"):
        tf1_file.read(tmp_path / "empty")
    (tmp_path / "other.index").unlink()
    with pytest.raises(UserError, match=r"half a checkpoint: other.index is missing"):
        tf1_file.read(tmp_path / "other")
    (tmp_path / "model-12.5k.data-00000-of-00001").unlink()
    with pytest.raises(UserError, match=r"half a checkpoint: model-12.5k.data-\* is missing"):
        tf1_file.read(checkpoint)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.95])
@pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"])
def test_a_truncated_file_is_an_error_of_one_line(checkpoint, suffix, share):
    file = checkpoint.with_name(checkpoint.name + suffix)
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match="model-12.5k") as caught:
        found = tf1_file.read(checkpoint)
        for name in found:
            found[name]
    assert "\n" not in str(caught.value)


def test_damaged_values_are_found_by_their_checksum(checkpoint):
    file = checkpoint.with_name(f"{checkpoint.name}.data-00000-of-00001")
    content = bytearray(file.read_bytes())
    content[-100] ^= 0xFF
    file.write_bytes(bytes(content))
    with pytest.raises(UserError, match="truncated or damaged"):
        found = tf1_file.read(checkpoint)
        for name in found:
            found[name]


def test_another_kind_of_file_is_refused(tmp_path):
    file = tmp_path / "weights.pth"
    file.write_bytes(b"PK\x03\x04 not a checkpoint " * 50)
    with pytest.raises(UserError, match="weights.pth cannot be read as a TensorFlow 1 checkpoint"):
        tf1_file.read(file)
