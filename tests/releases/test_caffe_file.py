"""Caffe's files of weights: both generations of the format, any shape; what is damaged is one clear line."""

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kdepth.errors import UserError
from kdepth.releases import caffe_file
from tests import refusal
from tests.releases.caffe_writer import blob, field, layer, net, varint

refused = functools.partial(refusal.refused, caffe_file.read)
RNG = np.random.default_rng(0)
LAYERS = [
    ("conv_0", "Convolution", [RNG.normal(size=(4, 3, 7, 7)), RNG.normal(size=4)]),
    ("relu_0", "ReLU", []),
    ("bn_0", "BatchNorm", [RNG.normal(size=4), RNG.uniform(size=4), np.full(1, 999.0)]),
    ("fc", "InnerProduct", [RNG.normal(size=(2, 300))]),
]


def write(path, content):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("form", ["", "double", "unpacked"])
def test_layers_with_weights_come_back(form, tmp_path):
    found = caffe_file.read(write(tmp_path / "net.caffemodel", net(LAYERS, form)))
    names = ["conv_0/0", "conv_0/1", "bn_0/0", "bn_0/1", "bn_0/2", "fc/0"]
    assert list(found) == names
    for name in names:
        layer_name, index = name.split("/")
        wanted = next(blobs for other, _, blobs in LAYERS if other == layer_name)[int(index)]
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], wanted.astype(np.float32))


def test_files_before_2015_have_four_sizes(tmp_path):
    found = caffe_file.read(write(tmp_path / "old.caffemodel", net(LAYERS, "old")))
    assert found["conv_0/0"].shape == (4, 3, 7, 7) and found["conv_0/1"].shape == (1, 1, 1, 4)
    np.testing.assert_array_equal(found["conv_0/1"].ravel(), LAYERS[0][2][1].astype(np.float32))


@given(
    arrays=st.lists(
        hnp.arrays(
            np.float32,
            hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=6),
            elements=st.floats(width=32, allow_nan=False),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_any_shape_comes_back(arrays, tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "net.caffemodel"
    found = caffe_file.read(write(path, net([("layer", "Any", arrays)])))
    assert list(found) == [f"layer/{i}" for i in range(len(arrays))]
    for array, wanted in zip(found.values(), arrays):
        assert array.shape == wanted.shape
        np.testing.assert_array_equal(array, wanted)


def test_cut_anywhere_gives_no_wrong_numbers(tmp_path):
    """The format has no end mark, so a cut between two layers reads as fewer of them: the tables find that."""
    whole = net([("a", "Any", [np.arange(30.0)]), ("b", "Any", [np.ones((2, 3))])])
    first = len(net([("a", "Any", [np.arange(30.0)])]))
    path = tmp_path / "cut.caffemodel"
    for length in range(len(whole)):
        write(path, whole[:length])
        if length == first:
            assert list(caffe_file.read(path)) == ["a/0"]
        else:
            refused(path)


@given(data=st.data())
def test_changed_bytes_never_break_out(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "changed.caffemodel"
    content = bytearray(net([("a", "Any", [np.arange(9.0)]), ("b", "Any", [np.ones((2, 3))])]))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = caffe_file.read(write(path, bytes(content)))
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert sum(array.nbytes for array in found.values()) <= 2 * len(content)


def blob_of(shape, numbers):
    return field(7, field(1, b"".join(map(varint, shape)))) + field(5, numbers)


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "no layer of it has weights"),
        (field(1, b"a net without layers"), "no layer of it has weights"),
        (net([("relu", "ReLU", [])]), "no layer of it has weights"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"<!DOCTYPE html>", "damaged"),
        (net([LAYERS[0], LAYERS[0]]), "two layers are called 'conv_0'"),
        (field(100, field(1, b"a") + field(7, blob_of([2, 3], bytes(20)))), "holds 5 numbers"),
        (field(100, field(1, b"a") + field(7, blob_of([5], bytes(19)))), "cut off"),
        (field(100, field(1, b"a") + field(7, blob_of([2**40, 2**40], b""))), "holds 0 numbers"),
        (field(100, field(1, b"a") + field(7, blob_of([1] * 40, bytes(4)))), "holds 1 numbers"),
        (field(100, field(1, b"\xff") + field(7, blob_of([1], bytes(4)))), "decode"),
        (varint(100 << 3 | 2) + varint(2**62), "beyond the end"),
        (varint(100 << 3 | 3), "a field has the type 3"),
        (b"\xff" * 12, "more than ten bytes"),
    ],
)
def test_other_files_are_one_clear_line(content, words, tmp_path):
    refused(write(tmp_path / "other.caffemodel", content), words)


def test_a_missing_file_and_a_folder(tmp_path):
    refused(tmp_path / "none.caffemodel", "no such file")
    refused(tmp_path, "cannot be read")


def test_what_is_beside_weights_is_passed_over(tmp_path):
    """Fields of other numbers and types, in every message."""
    other = field(15, 7) + field(31, b"text") + varint(9 << 3 | 5) + bytes(4) + varint(33 << 3 | 1)
    other += bytes(8)
    inner = field(1, b"a") + other + field(7, blob(np.arange(3.0)) + field(6, bytes(12)) + other)
    path = write(tmp_path / "net.caffemodel", other + field(100, inner) + layer("b", "ReLU", []))
    np.testing.assert_array_equal(caffe_file.read(path)["a/0"], np.arange(3))
