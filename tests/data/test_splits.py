from __future__ import annotations

import collections
from pathlib import Path

import hypothesis
import pytest

from kdepth.data import splits
from kdepth.data.balance import evenly
from kdepth.data.splits import Entry
from kdepth.errors import UserError

STATIC = Path(splits.__file__).parent / "splits" / "static_frames.txt"
# Published sizes: monodepth's, monodepth2's and SfMLearner's lists.
SIZES = {
    "eigen_train": 22600,
    "eigen_val": 888,
    "eigen_test": 697,
    "eigen_benchmark_test": 652,
    "eigen_zhou_train": 39810,
    "eigen_zhou_val": 4424,
    "kitti_train": 29000,
    "kitti_val": 1159,
}


def test_digits_that_are_no_numbers(tmp_path):
    (tmp_path / "list.txt").write_text("2011_09_26_drive_0001_sync ²\n", encoding="utf-8")
    with pytest.raises(UserError, match="line 1: expected"):
        splits.read_list(tmp_path / "list.txt")


def test_names():
    assert splits.package_splits() == sorted([*SIZES, "eigen_balanced_train"])


@pytest.mark.parametrize("name", SIZES)
def test_published_sizes_without_doubles(name):
    entries = splits.read_package_split(name)
    assert len(entries) == SIZES[name]
    assert len(set(entries)) == SIZES[name]


def test_train_and_test_share_no_drive_in_the_eigen_split():
    drives = {name: {e.drive for e in splits.read_package_split(name)} for name in SIZES}
    assert len(drives["eigen_test"]) == 28
    for name in ("eigen_train", "eigen_val", "eigen_zhou_train", "eigen_zhou_val"):
        assert not drives[name] & drives["eigen_test"]
    train = set(splits.read_package_split("eigen_train"))
    assert not train & set(splits.read_package_split("eigen_val"))


def test_published_order_of_the_test_frames():
    test = splits.read_package_split("eigen_test")
    assert test[0] == Entry("2011_09_26_drive_0002_sync", 69)
    benchmark = splits.read_package_split("eigen_benchmark_test")
    assert benchmark == [entry for entry in test if entry in set(benchmark)]


def test_the_balanced_list_is_made_like_eigens():
    entries = splits.read_package_split("eigen_balanced_train")
    assert entries == splits.read_package_split("eigen_balanced_train")
    train = {(e.drive, e.frame) for e in splits.read_package_split("eigen_train")}
    static = {(e.drive, e.frame) for e in splits.read_list(STATIC)}
    assert len(static) == 8044
    unique = {(e.drive, e.frame) for e in entries}
    assert unique <= train and not unique & static
    # The paper: 28 drives, at most 800 images each, 20,000 of them, evened to a list of 40,000.
    listed = collections.Counter(entry.drive for entry in entries)
    assert len(listed) == 28 and set(listed.values()) == {40000 // 28}
    images = collections.Counter(entry.drive for entry in set(entries))
    assert max(images.values()) == 800 and 15000 < sum(images.values()) < 25000
    assert 0.49 < sum(entry.right for entry in entries) / len(entries) < 0.51
    repeats = collections.Counter(entries)
    for drive in images:
        counts = {count for entry, count in repeats.items() if entry.drive == drive}
        assert max(counts) - min(counts) <= 1


@hypothesis.given(hypothesis.strategies.integers(1, 40), hypothesis.strategies.integers(1, 99))
def test_an_even_choice(size, count):
    chosen = evenly(range(size), count)
    assert len(chosen) == count and chosen == sorted(chosen)
    times = [chosen.count(item) for item in range(size)]
    assert max(times) - min(times) <= 1
    gaps = {b - a for a, b in zip(chosen, chosen[1:])}
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_both_cameras_are_targets_in_the_zhou_split():
    entries = splits.read_package_split("eigen_zhou_train")
    right = sum(entry.right for entry in entries)
    assert 0.4 < right / len(entries) < 0.6


def test_forms_of_a_line(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text(
        "# a comment\n"
        "2011_09_26_drive_0001_sync 02+03 1-2,5  # ranges\n"
        "\n"
        "2011_09_26_drive_0002_sync 0000000069\n"
        "2011_09_26/2011_09_26_drive_0003_sync 7 r\n"
        "2011_09_26/2011_09_26_drive_0004_sync/image_02/data/0000000008.jpg x/image_03/data/8.jpg\n"
        "training/image_2/000009_10.png training/image_3/000009_10.png\n"
        "06 03 10\n"
    )
    assert splits.read_list(path) == [
        Entry("2011_09_26_drive_0001_sync", 1),
        Entry("2011_09_26_drive_0001_sync", 2),
        Entry("2011_09_26_drive_0001_sync", 5),
        Entry("2011_09_26_drive_0002_sync", 69),
        Entry("2011_09_26_drive_0003_sync", 7, right=True),
        Entry("2011_09_26_drive_0004_sync", 8),
        Entry("training", 9),
        Entry("06", 10, right=True),
    ]


@pytest.mark.parametrize(
    "line",
    ["drive", "drive 02 5-3", "drive 04 1", "drive 02 a", "drive 02 1,,2", "drive x", "a b c d"],
)
def test_a_line_that_is_not_understood(tmp_path, line):
    path = tmp_path / "mine.txt"
    path.write_text(f"# comment\n{line}\n")
    with pytest.raises(UserError, match=r"mine.txt, line 2: expected") as caught:
        splits.read_list(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"\xff\xfe\x00binary"])
def test_an_empty_or_binary_list(tmp_path, content):
    path = tmp_path / "mine.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match="mine.txt"):
        splits.read_list(path)
