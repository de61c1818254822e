from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from kdepth.data.image import write_depth_png
from kdepth.errors import UserError
from kdepth.evaluation.predictions import FilePredictions
from kdepth.geometry.camera import Camera

CAMERA = Camera(fx=40.0, fy=40.0, cx=15.5, cy=7.5, width=32, height=16)
SAMPLE = {"name": "frame 1", "index": 1, "camera": CAMERA}
MAPS = np.random.default_rng(0).uniform(1, 9, (3, 4, 8)).astype(np.float32)


@pytest.mark.parametrize(
    "array",
    [MAPS, MAPS[..., None], MAPS[:, None], MAPS.astype(np.float64), np.asfortranarray(MAPS)],
    ids=["[N,h,w]", "[N,h,w,1]", "[N,1,h,w]", "float64", "fortran"],
)
def test_stacks_of_every_form(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    np.savez_compressed(tmp_path / "a.npz", whatever=array)
    for name in ("a.npy", "a.npz"):
        (found,) = FilePredictions(tmp_path / name, "depth", 3)([SAMPLE])
        np.testing.assert_array_equal(found.depth, MAPS[1:2])
        assert found.kind == "metric" and found.depth.dtype == np.float32


def test_integers_and_half_precision(tmp_path):
    for dtype in (np.uint8, np.int32, np.float16):
        np.save(tmp_path / "a.npy", MAPS.astype(dtype))
        (found,) = FilePredictions(tmp_path / "a.npy", "depth", 3)([SAMPLE])
        np.testing.assert_array_equal(found.depth[0], MAPS[1].astype(dtype))


def test_units(tmp_path):
    """Fractions of the width, pixels of the stored width, and a factor on depth."""
    np.save(tmp_path / "a.npy", MAPS)

    def read(quantity, factor=1.0):
        return FilePredictions(tmp_path / "a.npy", quantity, 3, factor)([SAMPLE])[0]

    np.testing.assert_allclose(read("disparity_pixels").disparity, MAPS[1:2] / 8)
    np.testing.assert_allclose(read("disparity_pixels", 5.4).disparity, MAPS[1:2] / 8 / 5.4)
    np.testing.assert_allclose(read("inverse_depth", 5.4).to_depth().depth, 5.4 / MAPS[1:2])
    np.testing.assert_allclose(read("depth", 5.4).depth, 5.4 * MAPS[1:2])
    assert read("disparity_pixels").kind == "disparity"
    for factor in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(UserError, match="--depth_factor"):
            read("depth", factor)
    with pytest.raises(UserError, match="must be one of depth, .*disparity_pixels"):
        read("disp")


def test_folders_of_png(tmp_path):
    for number, values in enumerate(MAPS):
        write_depth_png(tmp_path / "maps" / f"{number:03d}.png", values)
    (tmp_path / "maps/.hidden.png").touch()
    stored = np.round(256 * MAPS[1:2]) / 256
    (found,) = FilePredictions(tmp_path / "maps", "depth", 3)([SAMPLE])
    np.testing.assert_allclose(found.depth, stored)
    (found,) = FilePredictions(tmp_path / "maps", "disparity_pixels", 3)([SAMPLE])
    np.testing.assert_allclose(found.disparity, stored / 8, rtol=1e-6)
    with pytest.raises(UserError, match="disparity in pixels"):
        FilePredictions(tmp_path / "maps", "disparity", 3)
    write_depth_png(tmp_path / "maps/001.png", np.where(MAPS[1] > 5, MAPS[1], 0))
    with pytest.raises(UserError, match="001.png: has pixels without a prediction"):
        FilePredictions(tmp_path / "maps", "depth", 3)([SAMPLE])


def test_pickles_are_never_opened(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "opened"), "w"))

    np.save(tmp_path / "a.npy", np.array([Bomb()], object), allow_pickle=True)
    np.savez(tmp_path / "b.npz", np.array([Bomb()], object))
    for name in ("a.npy", "b.npz"):
        with pytest.raises(UserError, match="pickled Python objects"):
            FilePredictions(tmp_path / name, "depth", 1)
    assert not (tmp_path / "opened").exists()


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (MAPS[:2], "2 predictions for 3 images"),
        (np.concatenate([MAPS, MAPS]), "6 predictions for 3 images"),
        (MAPS[0], r"must be numbers \[N, height, width\]; received float32 \[4, 8\]"),
        (np.stack([MAPS] * 3, -1), "must be numbers"),
        (MAPS.astype(complex), "complex"),
        (MAPS > 5, "bool"),
        (MAPS.astype("S4"), "received .S4"),
        (MAPS[:, :0], "must be numbers"),
    ],
)
def test_other_arrays_are_refused(tmp_path, array, words):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(UserError, match=words):
        FilePredictions(tmp_path / "a.npy", "depth", 3)


def test_several_arrays_and_turned_maps(tmp_path):
    np.savez(tmp_path / "a.npz", left=MAPS, right=MAPS)
    with pytest.raises(UserError, match="must hold one array, but has left, right"):
        FilePredictions(tmp_path / "a.npz", "depth", 3)
    np.savez(tmp_path / "a.npz")
    with pytest.raises(UserError, match="but has none"):
        FilePredictions(tmp_path / "a.npz", "depth", 3)
    np.save(tmp_path / "a.npy", MAPS.transpose(0, 2, 1))
    with pytest.raises(UserError, match="8x4, but frame 1 is 16x32"):
        FilePredictions(tmp_path / "a.npy", "depth", 3)([SAMPLE])
    # What counts is the image, not a truth of another grid (Make3D's laser).
    upright = {**SAMPLE, "camera": Camera(40.0, 40.0, 7.5, 15.5, 16, 32)}
    assert FilePredictions(tmp_path / "a.npy", "depth", 3)([upright])[0].depth.shape == (1, 8, 4)


@hypothesis.settings(deadline=None, max_examples=150)
@hypothesis.given(st.data())
def test_damaged_files_are_one_line(tmp_path_factory, data):
    """Any byte changed, any length: the same numbers, other numbers, or one clear error."""
    folder = tmp_path_factory.mktemp("damaged")
    suffix = data.draw(st.sampled_from([".npy", ".npz"]))
    path = folder / f"a{suffix}"
    np.save(path, MAPS) if suffix == ".npy" else np.savez_compressed(path, MAPS)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    for _ in range(data.draw(st.integers(0, 3))):
        if content:
            # The headers are where the harm is.
            at = data.draw(st.integers(0, min(200, len(content)) - 1))
            content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        found = FilePredictions(path, "depth", 3)
        for index in range(3):
            (prediction,) = found([{**SAMPLE, "index": index}])
            assert prediction.depth.ndim == 3
    except UserError as error:
        assert str(path) in str(error) and "\n" not in str(error)
