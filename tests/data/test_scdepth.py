"""SC-Depth's prepared layouts, of both releases: a wall seen by a moving camera."""

from __future__ import annotations

import io
import logging

import numpy as np
import pytest
from PIL import Image

from kdepth.data.sample import load_sample, resize_sample
from kdepth.data.scdepth import ScDepth
from kdepth.errors import UserError
from kdepth.geometry.camera import Camera
from tests.data.checks import fuzz, residuals, wall

VIDEO = frozenset(["image", "sources", "intrinsics"])
DEPTH = frozenset(["image", "depth", "intrinsics"])
ALL = VIDEO | DEPTH
CAMERA = Camera(50.0, 52.0, 28.0, 18.0, 60, 36)


def pose(frame: int) -> np.ndarray:
    result = np.eye(4)
    result[:3, 3] = 0.1 * frame, 0.02 * frame, 0.12 * frame
    return result


def write_scene(scene, count: int, write_depth=None) -> None:
    scene.mkdir(parents=True)
    matrix = CAMERA.matrix()
    np.savetxt(scene / "cam.txt", matrix)
    for frame in range(count):
        picture, depth = wall(CAMERA, pose(frame), 4.0)
        Image.fromarray(picture).save(scene / f"{frame:06d}.jpg", quality=95, subsampling=0)
        if write_depth:
            write_depth(scene, frame, depth)


def npy_beside(scene, frame, depth) -> None:
    np.save(scene / f"{frame:06d}.npy", depth.astype(np.float32))


def png_in_folder(scene, frame, depth, folder="depth") -> None:
    (scene / folder).mkdir(exist_ok=True)
    values = np.round(depth * 5000).astype(np.uint16)
    Image.fromarray(values).save(scene / folder / f"{frame:06d}.png")


def sparse_in_folder(scene, frame, depth) -> None:
    """What `scipy.sparse.save_npz` writes for a CSR matrix, every other column unmeasured."""
    (scene / "depth").mkdir(exist_ok=True)
    rows, columns = depth.shape
    kept = np.arange(0, columns, 2, dtype=np.int32)
    np.savez_compressed(
        scene / "depth" / f"{frame:06d}.npz",
        indices=np.tile(kept, rows),
        indptr=np.arange(rows + 1, dtype=np.int32) * len(kept),
        format=np.array(b"csr"),
        shape=np.array([rows, columns]),
        data=depth[:, ::2].ravel(),
    )


@pytest.fixture
def prepared(tmp_path):
    """SC-SfMLearner-Release: scenes and lists in the folder itself, depth of the validation scene."""
    root = tmp_path / "release"
    write_scene(root / "drive_0001_sync_02", 6)
    write_scene(root / "drive_0001_sync_03", 2)  # too short for a triplet
    write_scene(root / "drive_0005_sync_02", 5, npy_beside)
    (root / "train.txt").write_text("drive_0001_sync_02\ndrive_0001_sync_03\n")
    (root / "val.txt").write_text("drive_0005_sync_02/\n")
    return root


def test_neighbours_in_the_order_of_the_names(prepared, caplog):
    reader = ScDepth(prepared)
    assert (
        reader.splits()[:3] == ["train", "val", "all"] and "drive_0001_sync_03" in reader.splits()
    )
    with caplog.at_level(logging.WARNING):
        records = reader.records("train", VIDEO)
    assert [record.name for record in records] == [
        f"drive_0001_sync_02 {frame:06d}" for frame in (1, 2, 3, 4)
    ]
    assert [path.stem for path in records[0].sources] == ["000000", "000002"]
    assert "4 samples without all neighbour frames" in caplog.text
    five = reader.records("drive_0001_sync_02", VIDEO, (-2, -1, 1, 2))
    assert [[path.stem[-1] for path in record.sources] for record in five] == [
        ["0", "1", "3", "4"],
        ["1", "2", "4", "5"],
    ]


def test_skipped_frames(prepared):
    records = ScDepth(prepared, skip_frames=2).records("drive_0001_sync_02", VIDEO)
    assert [[path.stem[-1] for path in record.sources] for record in records] == [
        ["0", "4"],
        ["1", "5"],
    ]


@pytest.mark.parametrize("size", [(36, 60), (24, 50)])
def test_depth_and_intrinsics_predict_the_neighbours(prepared, size):
    record = ScDepth(prepared).records("val", ALL)[1]
    sample = resize_sample(load_sample(record, ALL), record, *size, "area")
    camera = Camera.from_matrix(sample["intrinsics"], size[1], size[0])
    for source, offset in zip(sample["sources"], (-1, 1)):
        motion = np.linalg.inv(pose(2 + offset)) @ pose(2)
        warped, unwarped = residuals(
            sample["image"], source, camera, sample["depth"][..., 0], motion
        )
        assert warped < 0.25 * unwarped


@pytest.mark.parametrize("training", ["training", "Training"])
def test_the_lightning_codes_layout(tmp_path, training):
    scene = tmp_path / "nyu" / training / "bathroom"
    write_scene(scene, 3, png_in_folder)
    (scene.parent / "val.txt").write_text("bathroom\n")
    reader = ScDepth(tmp_path / "nyu", depth_scale=5000)
    record = reader.records("val", DEPTH)[2]
    depth = load_sample(record, DEPTH)["depth"][..., 0]
    np.testing.assert_allclose(depth, wall(CAMERA, pose(2), 4.0)[1], atol=1.1e-4)
    with pytest.raises(UserError, match=r"000000.png: .*depth_scale=1000 for millimetres"):
        ScDepth(tmp_path / "nyu").records("val", DEPTH)


def test_sparse_depth_as_scipy_saves_it(tmp_path):
    write_scene(tmp_path / "kitti" / "training" / "drive", 3, sparse_in_folder)
    record = ScDepth(tmp_path / "kitti").records("all", DEPTH)[1]
    depth = load_sample(record, DEPTH)["depth"][..., 0]
    expected = wall(CAMERA, pose(1), 4.0)[1]
    np.testing.assert_allclose(depth[:, ::2], expected[:, ::2], rtol=1e-6)
    assert not depth[:, 1::2].any()


def test_depth_files_with_names_of_their_own_go_by_order(tmp_path):
    scene = tmp_path / "set" / "scene"
    write_scene(scene, 3, lambda *what: png_in_folder(*what, folder="leftDepth"))
    for frame in range(3):
        path = scene / "leftDepth" / f"{frame:06d}.png"
        path.rename(path.with_name(f"depth-{frame}.png"))
    record = ScDepth(tmp_path / "set", depth_scale=5000).records("all", DEPTH)[2]
    assert load_sample(record, DEPTH)["depth"].mean() == pytest.approx(4 - 0.24, abs=1e-3)
    (scene / "leftDepth/depth-1.png").unlink()
    with pytest.raises(UserError, match="leftDepth: its 2 files have other names than the 3"):
        ScDepth(tmp_path / "set", depth_scale=5000).records("all", DEPTH)


def test_frames_without_depth_are_left_out(prepared, caplog):
    (prepared / "drive_0005_sync_02/000001.npy").unlink()
    with caplog.at_level(logging.WARNING):
        assert len(ScDepth(prepared).records("val", DEPTH)) == 4
    assert "1 samples without measured depth" in caplog.text
    with pytest.raises(UserError, match="no sample is complete"):
        ScDepth(prepared).records("train", DEPTH)


def test_depth_of_another_size(prepared):
    np.save(prepared / "drive_0005_sync_02/000000.npy", np.ones((4, 5), np.float32))
    record = ScDepth(prepared).records("val", DEPTH)[0]
    with pytest.raises(UserError, match=r"000000.npy: is 5x4.* 60x36"):
        load_sample(record, DEPTH)


def test_an_unreadable_first_picture_is_its_own_problem(prepared):
    (prepared / "drive_0005_sync_02/000000.jpg").write_bytes(b"rubbish")
    records = ScDepth(prepared).records("val", DEPTH)
    assert records[0].camera.width == 60
    with pytest.raises(UserError, match="000000.jpg"):
        load_sample(records[0], DEPTH)
    for picture in (prepared / "drive_0005_sync_02").glob("*.jpg"):
        picture.write_bytes(b"rubbish")
    with pytest.raises(UserError, match="jpg: truncated, corrupt or not an image"):
        ScDepth(prepared).records("val", DEPTH)


def test_a_scene_that_is_not_there(prepared):
    (prepared / "train.txt").write_text("drive_0001_sync_02\nnowhere\n")
    with pytest.raises(UserError, match=r"nowhere/\*: listed in scdepth, split train"):
        ScDepth(prepared).records("train", VIDEO)
    assert len(ScDepth(prepared, on_missing="skip").records("train", VIDEO)) == 4


def test_camera_of_another_size(prepared):
    np.savetxt(prepared / "drive_0001_sync_02/cam.txt", CAMERA.resize(600, 360).matrix())
    with pytest.raises(UserError, match=r"cam.txt: the principal point .* of another size"):
        ScDepth(prepared).records("train", VIDEO)


@pytest.mark.parametrize("name", ["000001.jpg", "000001.npy", "cam.txt"])
def test_damaged_files(prepared, name):
    for other in ("drive_0001_sync_02", "drive_0001_sync_03"):
        (prepared / other / "cam.txt").unlink()
    fuzz("scdepth", prepared, f"drive_0005_sync_02/{name}", ALL)


def test_damaged_sparse_depth(tmp_path):
    write_scene(tmp_path / "kitti" / "scene", 3, sparse_in_folder)
    fuzz("scdepth", tmp_path / "kitti", "scene/depth/000001.npz", DEPTH)


def test_nothing_is_unpickled(tmp_path, prepared):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    content = io.BytesIO()
    np.save(content, np.array([Trap()], object), allow_pickle=True)
    (prepared / "drive_0005_sync_02/000000.npy").write_bytes(content.getvalue())
    record = ScDepth(prepared).records("val", DEPTH)[0]
    with pytest.raises(UserError, match="000000.npy: truncated, corrupt or no depth map"):
        load_sample(record, DEPTH)
