"""Every config passes a dry run on tiny data in its data set's own layout.

But for those that start from published weights: `tests/releases/test_convert.py` tests that these fit.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

tf = pytest.importorskip("tensorflow")

from kdepth import cli  # noqa: E402
from kdepth.data.splits import read_package_split  # noqa: E402
from tests.data import layouts, test_nyu_raw, test_scdepth, test_sfmlearner  # noqa: E402
from tests.data.checks import wall  # noqa: E402

CONFIGS = [
    path
    for path in sorted((Path(__file__).parents[2] / "configs").glob("*.cfg"))
    if not path.stem.endswith("_finetune")
]
# The smallest that each paper's strides leave something of.
SIZES = {"eigen": (92, 124), "monodepth": (128, 128)}


def write_kitti_raw(root: Path, split: str, fixture: Path, layout) -> None:
    """The fixture, its drive under a name and frame numbers that the split lists."""
    shutil.copytree(fixture, root)
    entries = read_package_split(split)
    if layout.drive in {entry.drive for entry in entries}:
        return
    listed = next(entry for entry in entries if entry.drive.startswith(layout.date))
    drive = root / layout.date / listed.drive
    (root / layout.date / layout.drive).rename(drive)
    for path in sorted(drive.glob("*/data/*"), reverse=True):
        number = int(path.stem) + listed.frame
        path.rename(path.with_name(f"{number:010d}{path.suffix}"))


def write_cityscapes(root: Path, video: bool) -> None:
    for part in ("train", "train_extra"):
        layouts.write_cityscapes(root, part, "aachen_000000_000019")
    for frame in range(17, 23) if video else ():
        picture, _ = wall(layouts.SMALL, layouts.moved(), 6.0)
        name = f"aachen/aachen_000000_{frame:06d}_leftImg8bit.png"
        layouts.save(root / "leftImg8bit_sequence/train" / name, picture)


def write_nyu_raw(root: Path) -> None:
    test_nyu_raw.record_scene(root / "cafe_0001", (0.0, 0.1), (0.01, 0.11))
    (root / "splits").mkdir()
    (root / "splits/train.txt").write_text("cafe_0001\n")


def write_scdepth(root: Path) -> None:
    for scene in ("one", "two"):
        test_scdepth.write_scene(root / scene, 4)
    (root / "train.txt").write_text("one\n")
    (root / "val.txt").write_text("two\n")


@pytest.fixture
def data_dir(request, tmp_path, layout):
    """Writes a config's data set, so small that it is quick to read, under the split's own names."""

    def write(flags) -> Path:
        root = tmp_path / "data"
        if flags.dataset == "synthetic":
            return request.getfixturevalue("tiny_video")
        if flags.dataset == "kitti_raw":
            write_kitti_raw(root, flags.split, request.getfixturevalue("kitti_raw"), layout)
        elif flags.dataset == "kitti_odometry":
            shutil.copytree(request.getfixturevalue("kitti_odometry"), root)
            for frame in (4, 5):
                folder = root / "sequences/00/image_2"
                shutil.copy(folder / "000003.png", folder / f"{frame:06d}.png")
        elif flags.dataset == "cityscapes":
            write_cityscapes(root, video=flags.paper in ("sfmlearner", "scdepth"))
        elif flags.dataset == "sfmlearner":
            root.mkdir()
            test_sfmlearner.prepare(root, 3)
        else:
            {"nyu_raw": write_nyu_raw, "scdepth": write_scdepth}[flags.dataset](root)
        return root

    return write


@pytest.fixture
def untraced():
    """One step is soon done operator by operator; tracing it would take ten times as long."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_dry_run(config, data_dir, tmp_run, capsys):
    flagfile = f"--flagfile={config}"
    flags = cli.parse("train", [flagfile])
    height, width = SIZES.get(flags.paper, (64, 96))
    folder = data_dir(flags)
    small = ["--width=0.05", f"--height={height}", f"--image_width={width}", "--batch_size=1"]
    # The lists name frames that the tiny data lacks.
    small += [f"--data_dir={folder}", "--on_bad_sample=skip", "--dry_run"]
    if flags.paper == "scdepth":
        small.append("--option=fewest_pixels=10")
    status = cli.call("train", [flagfile, *small])
    out = capsys.readouterr().out
    assert status == 0
    assert f"model: {flags.paper}, images of " in out
    assert out.count("step of stage") == 1 and out.count(" epochs of ") == len(flags.epochs)
    assert (
        "loss" in out and "loss 0," not in out and "nan" not in out and "nothing was written" in out
    )
    assert not (tmp_run / "runs").exists()
