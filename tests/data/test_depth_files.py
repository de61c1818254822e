from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdepth.data.depth_files import NumpyDepth, depth_source
from kdepth.data.image import write_depth_png
from kdepth.data.sample import DepthPng
from kdepth.errors import UserError


def saved(tmp_path, array, name="depth.npy"):
    np.save(tmp_path / name, array)
    return tmp_path / name


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4"])
@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 1), (1, 3, 4)])
def test_floats_are_metres(tmp_path, dtype, shape):
    depth = np.arange(12).reshape(shape).astype(dtype)
    loaded = NumpyDepth(saved(tmp_path, depth), scale=1000).load()
    assert loaded.dtype == np.float32
    np.testing.assert_array_equal(loaded, np.arange(12).reshape(3, 4))


def test_whole_numbers_need_a_scale(tmp_path):
    path = saved(tmp_path, np.array([[0, 1500], [250, 65535]], np.uint16))
    np.testing.assert_allclose(NumpyDepth(path, 1000).load(), [[0, 1.5], [0.25, 65.535]])
    with pytest.raises(UserError, match=r"depth.npy: holds whole numbers.*depth_scale=1000"):
        NumpyDepth(path).load()


def test_what_is_not_measured_is_zero(tmp_path):
    path = saved(tmp_path, np.array([[np.nan, np.inf, -1.0, 0.0, 2.0, -np.inf]]))
    np.testing.assert_array_equal(NumpyDepth(path).load(), [[0, 0, 0, 0, 2, 0]])


def test_impossible_depths(tmp_path):
    path = saved(tmp_path, np.array([[1.0, 1e300]]))
    with pytest.raises(UserError, match=r"depth.npy: holds a depth of 1e\+300 metres"):
        NumpyDepth(path).load()


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 3, 4)),
        np.zeros(5),
        np.zeros((0, 4)),
        np.zeros((2, 2), complex),
        np.zeros((2, 2), bool),
        np.array([["a", "b"]]),
        np.float64(3.0),
    ],
)
def test_arrays_that_are_no_depth_map(tmp_path, array):
    with pytest.raises(UserError, match=r"depth.npy: .*depth map"):
        NumpyDepth(saved(tmp_path, array)).load()


def test_a_header_that_promises_terabytes(tmp_path):
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000), }"
    header += b" " * (117 - len(header)) + b"\n"
    path = tmp_path / "depth.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + b"\0" * 64)
    with pytest.raises(UserError, match="depth.npy: truncated, corrupt"):
        NumpyDepth(path).load()


def test_png_and_its_scale(tmp_path):
    write_depth_png(tmp_path / "depth.png", np.full((2, 3), 4.0))
    assert depth_source(tmp_path / "depth.png", 256) == DepthPng(tmp_path / "depth.png", 256)
    np.testing.assert_array_equal(depth_source(tmp_path / "depth.png", 512).load(), 2.0)
    with pytest.raises(UserError, match="depth_scale"):
        depth_source(tmp_path / "depth.png", None)


def sparse(kind, **parts):
    content = io.BytesIO()
    np.savez(content, format=np.array(kind.encode()), **parts)
    return content.getvalue()


@pytest.mark.parametrize("kind", ["csr", "csc", "coo"])
@given(st.integers(0, 1000))
def test_sparse_matrices_in_every_form(tmp_path_factory, kind, seed):
    rng = np.random.default_rng(seed)
    dense = rng.uniform(1, 80, (5, 7)) * (rng.random((5, 7)) < 0.4)
    row, column = np.nonzero(dense)
    if kind == "csc":
        order = np.lexsort((row, column))
        row, column = row[order], column[order]
    outer, inner, size = (column, row, 7) if kind == "csc" else (row, column, 5)
    parts = {"row": row, "col": column}
    if kind != "coo":
        counts = np.bincount(outer, minlength=size)
        parts = {"indices": inner, "indptr": np.concatenate([[0], np.cumsum(counts)])}
    path = tmp_path_factory.mktemp("sparse") / "depth.npz"
    path.write_bytes(sparse(kind, shape=np.array([5, 7]), data=dense[row, column], **parts))
    np.testing.assert_allclose(NumpyDepth(path).load(), dense, rtol=1e-6)


def test_it_reads_what_scipy_writes(tmp_path):
    matrices = pytest.importorskip("scipy.sparse")
    dense = np.diag([1.0, 0.0, 3.0])
    for form in (matrices.csr_matrix, matrices.csc_matrix, matrices.coo_matrix):
        matrices.save_npz(tmp_path / "depth.npz", form(dense))
        np.testing.assert_array_equal(NumpyDepth(tmp_path / "depth.npz").load(), dense)


@pytest.mark.parametrize(
    "parts",
    [
        {"shape": np.array([5, 7]), "data": np.ones(2)},
        {"shape": np.array([10**6, 10**6]), "data": np.ones(0), "row": [], "col": []},
        {"shape": np.array([2, 2]), "data": np.ones(1), "row": [5], "col": [0]},
        {"shape": np.array([2, 2]), "data": np.ones(1), "row": [-1], "col": [0]},
        {"shape": np.array([2, 2]), "data": np.ones(3), "row": [1], "col": [0]},
    ],
)
def test_damaged_sparse_matrices(tmp_path, parts):
    places = {
        key: np.array(value, np.int64) for key, value in parts.items() if key in ("row", "col")
    }
    path = tmp_path / "depth.npz"
    path.write_bytes(sparse("coo", **{**parts, **places}))
    with pytest.raises(UserError, match="depth.npz: truncated, corrupt or no depth map"):
        NumpyDepth(path).load()


def test_missing_files(tmp_path):
    with pytest.raises(UserError, match="absent.npy: no such depth file"):
        NumpyDepth(tmp_path / "absent.npy").load()
