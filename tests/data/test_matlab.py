from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdepth.data.matlab import read_array
from kdepth.errors import UserError
from tests.data import matlab5

GRID = np.random.default_rng(0).uniform(0, 80, (5, 7, 4))
NUMBERS = np.arange(1, 12, dtype=np.float64)[:, None]
TEXT = matlab5.element(
    14,  # a char array, which is no numeric one
    matlab5.element(6, struct.pack("<II", 4, 0))
    + matlab5.element(5, struct.pack("<ii", 1, 2))
    + matlab5.element(1, b"note")
    + matlab5.element(4, "ok".encode("utf-16-le")),
)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_arrays_among_other_things(tmp_path, compress, order):
    path = tmp_path / "a.mat"
    elements = [TEXT] if order == "<" else []
    elements += [
        matlab5.matrix("Position3DGrid", GRID, order=order),
        # MATLAB stores whole numbers of a double array in the smallest type that holds them.
        matlab5.matrix("trainNdxs", NUMBERS, stored="u1", order=order),
        matlab5.matrix("x", np.array([[7]], np.int16), order=order),
    ]
    path.write_bytes(matlab5.file(*elements, compress=compress, order=order))
    np.testing.assert_array_equal(read_array(path, "Position3DGrid"), GRID)
    numbers = read_array(path, "trainNdxs")
    assert numbers.dtype == np.float64
    np.testing.assert_array_equal(numbers, NUMBERS)
    np.testing.assert_array_equal(read_array(path, "x"), [[7]])
    with pytest.raises(
        UserError, match="a.mat: has no numeric array `note`.*'Position3DGrid', 'tr"
    ):
        read_array(path, "note")


@pytest.mark.parametrize("compress", [False, True])
def test_what_scipy_writes_and_reads(tmp_path, compress):
    io = pytest.importorskip("scipy.io")
    path = tmp_path / "a.mat"
    arrays = {"Position3DGrid": GRID, "trainNdxs": NUMBERS, "b": np.array([[1, 2]], np.uint8)}
    io.savemat(path, {**arrays, "cell": np.array(["a", 1], object)}, do_compression=compress)
    for name, array in arrays.items():
        np.testing.assert_array_equal(read_array(path, name), array)
    content = matlab5.file(TEXT, matlab5.matrix("Position3DGrid", GRID), compress=compress)
    path.write_bytes(content)
    np.testing.assert_array_equal(io.loadmat(path)["Position3DGrid"], GRID)


def test_bytes_are_as_the_format_says():
    """The smallest file, worked out by hand from the format's description."""
    content = matlab5.file(matlab5.matrix("x", np.array([[7]], np.int16)))
    assert content[124:128] == b"\x00\x01IM" and len(content) == 128 + 8 + 48
    assert content[128:136] == struct.pack("<II", 14, 48)
    assert content[136:152] == struct.pack("<IIII", 6, 8, 10, 0)
    assert content[152:168] == struct.pack("<IIii", 5, 8, 1, 1)
    assert content[168:176] == b"\x01\x00\x01\x00x\0\0\0"
    assert content[176:184] == b"\x03\x00\x02\x00\x07\0\0\0"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "header"),
        (b"\x89HDF\r\n\x1a\n".ljust(124) + b"\x00\x02IM", "version is another; 7.3"),
        (matlab5.file(), "has no numeric array `x`.*none"),
        (matlab5.file(struct.pack("<II", 14, 2**31)), "ends early"),
        (matlab5.file(struct.pack("<II", (5 << 16) | 14, 0)), "too long for its form"),
        (matlab5.file(matlab5.matrix("x", GRID))[:-8], "ends early"),
        (matlab5.file(matlab5.matrix("x", GRID).replace(b"\x07\0\0\0", b"\x08\0\0\0", 1)), "size"),
        (matlab5.file(matlab5.matrix("x", GRID), compress=True)[:-1], "ends early"),
        (matlab5.file(b"", compress=True), "unpack"),
    ],
)
def test_damage_is_named(tmp_path, content, message):
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(UserError, match=f"{tmp_path}/a.mat: .*{message}"):
        read_array(tmp_path / "a.mat", "x")


def test_missing_and_unreadable(tmp_path):
    with pytest.raises(UserError, match="a.mat: no such .mat file"):
        read_array(tmp_path / "a.mat", "x")
    with pytest.raises(UserError, match="cannot be read"):
        read_array(tmp_path, "x")


def test_a_bomb_does_not_fill_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("kdepth.data.matlab._LIMIT", 1 << 20)
    huge = matlab5.matrix("x", np.zeros((1 << 10, 1 << 7)))  # as much, and its names
    (tmp_path / "a.mat").write_bytes(matlab5.file(huge, compress=True))
    with pytest.raises(UserError, match="too long"):
        read_array(tmp_path / "a.mat", "x")


@given(data=st.data(), compress=st.booleans())
def test_changed_bytes_never_give_a_traceback(tmp_path_factory, data, compress):
    elements = TEXT, matlab5.matrix("x", GRID), matlab5.matrix("y", NUMBERS, stored="u1")
    content = bytearray(matlab5.file(*elements, compress=compress))
    for _ in range(data.draw(st.integers(1, 3))):
        # Most of a file is numbers; the places that say what they are matter more.
        last = data.draw(st.sampled_from([300, len(content)])) - 1
        position = data.draw(st.integers(100, min(last, len(content) - 1)))
        content[position] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "changed.mat"
    path.write_bytes(content[: data.draw(st.integers(100, len(content)))])
    try:
        array = read_array(path, "x")
    except UserError as error:
        assert "\n" not in str(error) and str(path) in str(error)
    else:
        assert array.size == GRID.size
        if compress:  # its check sum held
            np.testing.assert_array_equal(array, GRID)
