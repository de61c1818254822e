"""Looks at a data set and says what will go wrong in training, in plain words; NumPy only.

Each check is a function from sampled views to `Finding`s. Thresholds are wide on purpose: a finding
should be worth a look, and good data has none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from absl import logging

from kdepth.data.block_matching import Matches, match_blocks
from kdepth.data.image import resize_image
from kdepth.data.readers import open_reader, reader_class
from kdepth.data.sample import Record, load_sample
from kdepth.errors import UserError

_LARGEST = 640  # columns that pictures are matched at
_GOOD = 0.8  # correlation of a match that counts
_MATCHES = 6  # fewer good ones say nothing about a pair
_AGREE, _APART = 0.4, 0.03  # share of matches that move like a neighbour; how alike, in widths
_SAME = 0.5 / 255  # mean difference of two frames that are one
_STILL, _FAST = 0.0015, 0.12  # median movement between frames, in widths
_OFF_CENTRE = 0.15  # of the principal point, in widths and heights
_NARROW, _WIDE = 15.0, 150.0  # degrees of view
_NEAR, _FAR = 0.2, 200.0  # metres; typical depth lies between
_BLACK, _BORDER = 8, 0.01  # grey levels; share of a side
_ASPECT = 1.1
# What papers on pairs, on video, and on measured depth ask for.
_PARTS = {
    "intrinsics": frozenset(["image", "intrinsics"]),
    "stereo": frozenset(["image", "stereo"]),
    "sources": frozenset(["image", "sources"]),
    "depth": frozenset(["image", "depth"]),
}


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something that is wrong.

    Attributes:
        name: of the check.
        fails: training would stop or learn something wrong; otherwise it would get worse.
        text: what was measured.
        remedy: what to do.
    """

    name: str
    fails: bool
    text: str
    remedy: str

    def __str__(self) -> str:
        kind = "problem" if self.fails else "warning"
        return f"{kind}: {self.name}: {self.text}; {self.remedy}"


@dataclasses.dataclass(frozen=True)
class Report:
    """What was looked at, and what was found.

    Attributes:
        looked_at: part (image, intrinsics, stereo, sources, depth) -> samples of which.
        findings: the most important first.
    """

    looked_at: dict[str, int]
    findings: list[Finding]

    @property
    def fails(self) -> bool:
        """Whether training would stop or learn something wrong."""
        return any(finding.fails for finding in self.findings)


@dataclasses.dataclass(frozen=True)
class Seen:
    """A sampled view: its record and its pictures at native size.

    Attributes:
        record: where it comes from.
        sample: as of `load_sample`.
    """

    record: Record
    sample: dict[str, np.ndarray]


def examine(
    dataset: str, data_dir: str, split: str, samples: int = 12, **reader_options: object
) -> Report:
    """Looks at a few samples of everything that a data set has.

    Args:
        dataset: name of the reader.
        data_dir: its folder.
        split: one of its splits, or a list file.
        samples: how many to load, evenly spaced.
        **reader_options: of the reader.

    Raises:
        UserError: if the folder, the split or an option is wrong.
    """
    reader = open_reader(dataset, data_dir, **reader_options)
    if split not in reader.splits() and not Path(split).is_file():
        raise UserError(
            f"{dataset} has no split {split!r} (--split); it has {', '.join(reader.splits())}, or "
            "give a list file"
        )
    try:
        images = reader.records(split, frozenset(["image"]))
    except UserError as error:
        return Report({}, [Finding("files", True, str(error), "every training stops at this")])
    findings: list[Finding] = []
    seen = {"image": _load("image", images, frozenset(["image"]), samples, findings)}
    for part, keys in _PARTS.items():
        if part not in reader_class(dataset).keys:
            continue
        try:
            records = reader.records(split, keys)
        except UserError as error:
            # A set without pairs or depth is a set for other papers; one without intrinsics is not.
            if part == "intrinsics":
                findings.append(
                    Finding("intrinsics", True, str(error), "no paper on pairs or video can train")
                )
            else:
                logging.info("%s is not looked at: %s", part, error)
            continue
        seen[part] = _load(part, records, keys, samples, findings)
    looked_at = {part: len(views) for part, views in seen.items() if views}
    findings += _sizes(seen["image"])
    findings += _borders(seen["image"])
    findings += _intrinsics(seen.get("intrinsics", []))
    findings += _stereo(seen.get("stereo", []))
    findings += _video(seen.get("sources", []))
    findings += _depth(seen.get("depth", []))
    unique = {(finding.name, finding.text): finding for finding in findings}
    return Report(looked_at, sorted(unique.values(), key=lambda finding: not finding.fails))


def _load(
    part: str,
    records: Sequence[Record],
    keys: frozenset[str],
    samples: int,
    findings: list[Finding],
) -> list[Seen]:
    """Loads evenly spaced samples; those that cannot be read are a finding."""
    places = np.unique(np.linspace(0, len(records) - 1, min(samples, len(records))).round())
    found, errors = [], []
    for place in places.astype(int):
        try:
            found.append(Seen(records[place], load_sample(records[place], keys)))
        except UserError as error:
            errors.append(str(error))
    if errors:
        count = f"{len(errors)} of {len(places)} sampled cannot be loaded, the first: {errors[0]}"
        findings.append(
            Finding("files", True, count, "--on_bad_sample=skip leaves such samples out")
        )
    return found


def _sizes(views: Sequence[Seen]) -> Iterable[Finding]:
    sizes = {view.sample["image"].shape[1::-1]: view.record for view in views}
    aspects = sorted(sizes, key=lambda size: size[0] / size[1])
    if len(sizes) > 1:
        narrow, wide = aspects[0], aspects[-1]
        if wide[0] / wide[1] > _ASPECT * narrow[0] / narrow[1]:
            yield Finding(
                "mixed sizes",
                False,
                f"pictures have {len(sizes)} sizes, from {narrow[0]}x{narrow[1]} "
                f"({sizes[narrow].image}) to {wide[0]}x{wide[1]} ({sizes[wide].image}), which all "
                "become one input size",
                "crop them to one shape, or train on each alone",
            )


def _borders(views: Sequence[Seen]) -> Iterable[Finding]:
    by_size: dict[tuple[int, int], np.ndarray] = {}
    for view in views:
        image = view.sample["image"].max(axis=-1)
        before = by_size.get(image.shape)
        by_size[image.shape] = image if before is None else np.maximum(image, before)
    for (height, width), brightest in by_size.items():
        rows, columns = brightest.max(axis=1) > _BLACK, brightest.max(axis=0) > _BLACK
        if not rows.any():
            yield Finding(
                "black pictures",
                True,
                f"all sampled {width}x{height} pictures are black",
                "replace them",
            )
            continue
        edges = (
            ("top", int(np.argmax(rows)), height),
            ("bottom", int(np.argmax(rows[::-1])), height),
            ("left", int(np.argmax(columns)), width),
            ("right", int(np.argmax(columns[::-1])), width),
        )
        wide = [
            f"{pixels} pixels {side}" for side, pixels, size in edges if pixels > _BORDER * size
        ]
        if wide:
            yield Finding(
                "black borders",
                False,
                f"all sampled {width}x{height} pictures are black at the border ({', '.join(wide)})",
                "crop them, and shift cx and cy by what goes at the left and top",
            )


def _intrinsics(views: Sequence[Seen]) -> Iterable[Finding]:
    for camera in dict.fromkeys(view.record.camera for view in views):
        size = f"{camera.width}x{camera.height}"
        middle = (camera.width - 1) / 2, (camera.height - 1) / 2
        off = abs(camera.cx - middle[0]) / camera.width, abs(camera.cy - middle[1]) / camera.height
        if not max(off) <= _OFF_CENTRE:
            yield Finding(
                "intrinsics",
                True,
                f"the principal point ({camera.cx:.1f}, {camera.cy:.1f}) is far from the middle of "
                f"{size} pictures, ({middle[0]:.1f}, {middle[1]:.1f})",
                "they are of another picture size (multiply fx, fy, cx, cy by new / old size) or crop",
            )
        view = 2 * np.degrees(np.arctan(camera.width / 2 / camera.fx))
        if not _NARROW <= view <= _WIDE:
            yield Finding(
                "intrinsics",
                True,
                f"fx = {camera.fx:.1f} pixels means a view of {view:.0f} degrees across {size}",
                "fx must be in pixels of these very pictures, not in millimetres or of another size",
            )
        if not 1 / 1.5 < camera.fx / camera.fy < 1.5:
            yield Finding(
                "intrinsics",
                False,
                f"fx = {camera.fx:.1f} and fy = {camera.fy:.1f} differ much for {size} pictures",
                "right only if the pictures were stretched; otherwise check fy",
            )


def _stereo(views: Sequence[Seen]) -> Iterable[Finding]:
    vertical, across, same = [], [], 0
    for view in views:
        left, right = view.sample["image"], view.sample["stereo"]
        if _difference(left, right) < _SAME:
            same += 1
            continue
        matches, scale = _matched(left, right, 0.25, 0.05)
        if len(matches.x) >= _MATCHES:
            vertical.append(matches.dy * scale)
            across.append(matches.dx * scale)
    if same:
        yield Finding(
            "stereo",
            True,
            f"in {same} of {len(views)} sampled pairs both views are the same picture",
            "give the right camera's pictures",
        )
    unknown = [v.record for v in views if v.record.baseline is None and v.record.camera.fx > 0]
    if unknown:
        yield Finding(
            "stereo",
            True,
            f"the distance of the cameras of {unknown[0].name} is not known",
            "pass --reader_option=baseline=<metres>, or write `baseline` into the JSON file of "
            "intrinsics",
        )
    if not across:
        return
    offset = float(np.median(np.abs(np.concatenate(vertical))))
    signed = float(np.median(np.concatenate(vertical)))
    dx = np.concatenate(across)
    # A match is good to a fraction of a pixel of the size that it was made at.
    if offset > max(1.0, 0.6 * views[0].record.camera.width / _LARGEST):
        yield Finding(
            "stereo is not rectified",
            True,
            f"rows of the views differ by {offset:.1f} pixels (median; {signed:+.1f} with sign)",
            "rectify the pairs (both views on common rows) and use the rectified intrinsics",
        )
    elif np.mean(dx > 0.5) > 0.75:
        yield Finding(
            "stereo is swapped",
            True,
            f"{100 * np.mean(dx > 0.5):.0f} % of what was matched lies further right in the right "
            f"view (median {np.median(dx):.1f} pixels), which no left view's partner shows",
            "exchange the left and the right folder",
        )


def _video(views: Sequence[Seen]) -> Iterable[Finding]:
    copies = still = fast = lost = counted = 0
    for view in views:
        image, following = view.sample["image"], view.sample["sources"][-1]
        counted += 1
        if _difference(image, following) < _SAME:
            copies += 1
            continue
        matches, scale = _matched(image, following, 0.2, 0.15)
        if len(matches.x) < _MATCHES or _agreement(matches, image.shape[1] / scale) < _AGREE:
            lost += 1
            continue
        moved = np.median(np.hypot(matches.dx, matches.dy)) * scale / image.shape[1]
        still += moved < _STILL
        fast += moved > _FAST
    for count, name, text, remedy in (
        (copies, "duplicated frames", "are the same as the next one", "remove the copies"),
        (still, "too little motion", "hardly differ from the next one (the camera stands)",
         "leave them out, or use every so many frames (--reader_option=step=)"),
        (fast, "too much motion", "move by more than an eighth of the width to the next one",
         "take more frames a second, or a smaller step"),
        (lost, "too much motion", "have almost nothing in common with the next one",
         "take more frames a second, and keep cuts and other videos in folders of their own"),
    ):  # fmt: skip
        if count:
            fails = count > 0.5 * counted
            yield Finding(name, fails, f"{count} of {counted} sampled frames {text}", remedy)


def _depth(views: Sequence[Seen]) -> Iterable[Finding]:
    typical = []
    for view in views:
        depth = view.sample["depth"]
        if (depth > 0).any():
            typical.append(float(np.median(depth[depth > 0])))
    if len(typical) < len(views):
        yield Finding(
            "depth",
            not typical,
            f"{len(views) - len(typical)} of {len(views)} sampled depth maps measure nothing",
            "0 means not measured: check what wrote them",
        )
    if typical and not _NEAR <= np.median(typical) <= _FAR:
        yield Finding(
            "depth in the wrong unit",
            True,
            f"typical depth is {np.median(typical):.3g} metres",
            "check the unit: --reader_option=depth_scale= is the number of values in a metre "
            "(1000 for millimetres), and floats must be metres",
        )


def _difference(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.mean(np.abs(first.astype(np.float32) - second.astype(np.float32)))) / 255


def _agreement(matches: Matches, width: float) -> float:
    """Share of matches that move as their nearest neighbour does; chance ones move anyhow."""
    across = np.subtract.outer(matches.x, matches.x) ** 2.0
    distance = across + np.subtract.outer(matches.y, matches.y) ** 2.0
    np.fill_diagonal(distance, np.inf)
    near = matches.where(distance.argmin(axis=1))
    apart = np.hypot(matches.dx - near.dx, matches.dy - near.dy)
    return float(np.mean(apart < _APART * width))


def _matched(
    first: np.ndarray, second: np.ndarray, reach_x: float, reach_y: float
) -> tuple[Matches, float]:
    """Good matches at a handy size, and the native pixels in one of their pixels.

    Args:
        first: [H, W, 3] uint8.
        second: [H, W, 3] uint8.
        reach_x: largest movement to a side, in widths.
        reach_y: largest movement up or down, in heights.
    """
    height, width = first.shape[:2]
    scale = max(1.0, width / _LARGEST)
    size = round(height / scale), round(width / scale)
    grey = [resize_image(image, *size, "area").mean(axis=-1) for image in (first, second)]
    matches = match_blocks(*grey, max(2, int(reach_x * size[1])), max(2, int(reach_y * size[0])))
    return matches.where(matches.score > _GOOD), scale
