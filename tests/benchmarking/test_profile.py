from __future__ import annotations

import itertools

import numpy as np
import pytest

from kdepth.benchmarking import profile


def operator(inputs, outputs):
    return {"inputs": inputs, "outputs": outputs}


def test_what_delegates_took_over():
    #  0 -> [a] -> 1 -> [b] -> 2 -> [c] -> 3 -> [d] -> 4, and [c] reads 1 as well
    chain = [operator([0, 9], [1]), operator([1], [2]), operator([2, 1], [3]), operator([3], [4])]
    assert profile.delegated(chain, []) == set()
    assert profile.delegated(chain, [operator([0, 9], [4])]) == {0, 1, 2, 3}
    assert profile.delegated(chain, [operator([1], [3])]) == {1, 2}
    assert profile.delegated(chain, [operator([0, 9], [1]), operator([3], [4])]) == {0, 3}


def test_multiplications_of_a_convolution():
    """Against a loop over every product, of a 3x2 kernel on 4x5 pixels without padding."""
    kernel, taken = (7, 3, 2, 6), 0
    for _ in itertools.product(range(4 - 2), range(5 - 1), *map(range, kernel)):
        taken += 1
    shapes = [(1, 4, 5, 6), kernel, (7,)]
    assert profile.multiplications("CONV_2D", shapes, [(1, 2, 4, 7)]) == taken


@pytest.mark.parametrize(
    ("kind", "inputs", "output", "expected"),
    [
        # A grouped convolution's weights hold the channels of a group.
        ("CONV_2D", [(1, 4, 4, 8), (6, 3, 3, 4), (6,)], (1, 4, 4, 6), 4 * 4 * 6 * 3 * 3 * 4),
        ("DEPTHWISE_CONV_2D", [(1, 4, 4, 8), (1, 3, 3, 8), (8,)], (1, 2, 2, 8), 2 * 2 * 8 * 9),
        # Every input value meets the whole kernel.
        ("TRANSPOSE_CONV", [(4,), (5, 3, 3, 2), (1, 4, 4, 2)], (1, 8, 8, 5), 4 * 4 * 2 * 9 * 5),
        ("FULLY_CONNECTED", [(1, 20), (10, 20), (10,)], (1, 10), 200),
        ("BATCH_MATMUL", [(2, 3, 4), (2, 4, 5)], (2, 3, 5), 2 * 3 * 4 * 5),
        ("RELU", [(1, 4, 4, 8)], (1, 4, 4, 8), 0),
    ],
)
def test_multiplications(kind, inputs, output, expected):
    assert profile.multiplications(kind, inputs, [output]) == expected


def test_multiplications_beyond_32_bits():
    shapes = [np.array(shape, np.int32) for shape in ((1, 999, 999, 99), (99, 9, 9, 99), (99,))]
    output = np.array((1, 999, 999, 99), np.int32)
    assert profile.multiplications("CONV_2D", shapes, [output]) == 999 * 999 * 99 * 9 * 9 * 99


def test_a_tflite_file(exported):
    found = profile.of_file(exported.folder / "tiny.tflite", "tflite", 1)
    rows = [dict(zip(found.headings, row)) for row in found.rows]
    assert rows[0]["operator"] == "CONV_2D" and float(rows[0]["%"]) > 50
    assert sum(float(row["%"]) for row in rows) == pytest.approx(100, abs=0.5)
    for row in rows:
        assert 0 <= int(row["by XNNPACK"]) <= int(row["count"])
    assert int(rows[0]["by XNNPACK"]) == int(rows[0]["count"])
    taken = sum(int(row["by XNNPACK"]) for row in rows)
    total = sum(int(row["count"]) for row in rows)
    assert f"XNNPACK runs {taken} of {total} operators" in found.title
    stored = sum(float(row["weights MiB"]) for row in rows)
    assert stored == pytest.approx(4 * exported.parameters / 2**20, rel=0.1, abs=0.02)


def test_an_onnx_file_is_timed(exported):
    found = profile.of_file(exported.folder / "tiny.onnx", "onnx", 1)
    rows = [dict(zip(found.headings, row)) for row in found.rows]
    kinds = {row["operator"]: row for row in rows}
    conv = next(kind for kind in kinds if "Conv" in kind)
    assert int(kinds[conv]["count"]) > 1 and float(kinds[conv]["ms"]) > 0
    assert [float(row["ms"]) for row in rows] == sorted(
        (float(r["ms"]) for r in rows), reverse=True
    )
    assert not list(exported.folder.glob("profile*"))


def test_a_savedmodel_has_no_profile(exported):
    assert profile.of_file(exported.folder / "tiny_savedmodel", "savedmodel", 1) is None
