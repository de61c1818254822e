"""`python -m kdepth.evaluate --task=odometry`: scores camera motion.

What is scored is a run or an exported pose network of a video paper, on a data set's sequences, or
pose files of any system beside pose files of the truth. Each sequence gets one row for every
alignment and one for the 5-frame ATE, because figures of two alignments do not compare.
"""

from __future__ import annotations

import csv
import datetime
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags as absl_flags
from absl import logging

from kdepth.data import (
    kitti_odometry,
    lasting_options,
    parse_options,
    pose_files,
    sequences,
    splits,
)
from kdepth.data.pose_files import Trajectory
from kdepth.errors import UserError
from kdepth.evaluation import (
    egomotion,
    odometry,
    odometry_cases,
    pose_matching,
    trajectories,
)
from kdepth.evaluation.odometry_cases import Case
from kdepth.files import atomic_path

NAME = "odometry"
OWN_FLAGS = frozenset({"true_poses", "alignment", "max_time_difference"})
_SHARED_FLAGS = frozenset(
    ["task", "run", "model", "predictions", "name", "dataset", "data_dir", "split", "results"]
    + ["reader_option", "pictures", "flagfile"]
)
_TEST_SPLITS = {"synthetic": "test", "kitti_odometry": "test"}
_HEADERS = ("t_err %", "r_err deg/100m", "ATE m", "RPE m", "RPE deg")


def define_flags(flags: absl_flags.FlagValues) -> None:
    """Defines the flags that only this task has."""
    absl_flags.DEFINE_string(
        "true_poses",
        None,
        "True poses for the pose file in --predictions, or a folder of them for a folder: KITTI "
        "(12 numbers a row), indexed (frame and 12 numbers) or TUM (time tx ty tz qx qy qz qw). "
        "Without it the poses of --dataset.",
        flag_values=flags,
    )
    absl_flags.DEFINE_multi_enum(
        "alignment",
        list(trajectories.ALIGNMENTS),
        list(trajectories.ALIGNMENTS),
        "How the predicted trajectory is brought onto the true one; may be repeated.",
        flag_values=flags,
    )
    absl_flags.DEFINE_float(
        "max_time_difference",
        pose_matching.MAX_TIME_DIFFERENCE,
        "Seconds between poses of two TUM files that are taken together.",
        lower_bound=0.0,
        flag_values=flags,
    )


def check_flags(flags: absl_flags.FlagValues) -> None:
    """Refuses flags of the other task: they would be ignored.

    Raises:
        UserError: if one was given.
    """
    given = {flags[name].name for name in flags if flags[name].present}
    if flags.task == NAME:
        foreign, task = given - OWN_FLAGS - _SHARED_FLAGS, "depth"
    else:
        foreign, task = given & OWN_FLAGS, NAME
    if foreign:
        raise UserError(f"--{min(foreign)} is for --task={task}; this is --task={flags.task}")


def main(
    flags: absl_flags.FlagValues, info: Mapping[str, Any], facts: Mapping[str, Any], results: Path
) -> int:
    """Scores, prints, stores.

    Args:
        flags: of `evaluate`.
        info: `run.json` of --run, else empty.
        facts: what the results table keeps of a run.
        results: the results table.

    Raises:
        UserError: if flags or files do not fit.
    """
    from kdepth.evaluation import table

    table.read_rows(results)  # a damaged table shall be found before the work, not after
    if flags.predictions:
        path = Path(flags.predictions)
        name = flags.name or path.resolve().stem
        cases, facts = odometry_cases.from_files(path, *_truth_for(flags)), {}
    else:
        name = flags.name or Path(flags.run or flags.model).resolve().name
        cases, facts = _predict(flags, info, facts)
    out = Path(flags.run) if flags.run else results.parent / "predictions" / name
    out = out / "evaluation" / NAME
    rows, lines = [], []
    common = _common(flags, info)
    for case in cases:
        found = [trajectories.evaluate(case.predicted, case.truth, alignment, case.frames)
                 for alignment in dict.fromkeys(flags.alignment)]  # fmt: skip
        mine, case_lines = _rows(case, found, name, common)
        rows += [{**row, **(facts if row["system"] == name else {})} for row in mine]
        lines += case_lines
        _write(out, case, found, flags, name)
    print(_terminal(lines))
    _print_snippets(rows, name)
    table.append(results, rows)
    print(f"wrote {out}/ and {results}")
    return 0


# -- what was asked for --------------------------------------------------------------------------


def _truth_for(flags: absl_flags.FlagValues) -> tuple[Any, float]:
    """Where the truth of pose files is, and how far apart times may be."""
    if bool(flags.true_poses) == bool(flags.dataset):
        raise UserError(
            "--task=odometry with --predictions needs --true_poses=<pose file> or --dataset, one of"
            " them: where are the true poses?"
        )
    if flags.true_poses:
        unused = [name for name in ("data_dir", "split", "reader_option") if flags[name].value]
        if unused:
            raise UserError(f"--{unused[0]} is for --dataset, but the truth is --true_poses")
        return Path(flags.true_poses), flags.max_time_difference
    return _sequences(flags, {}), flags.max_time_difference


def _sequences(flags: absl_flags.FlagValues, info: Mapping[str, Any]) -> list[sequences.Sequence]:
    """The sequences of the data set, with true motions."""
    dataset, data_dir, split = _data(flags, info)
    known = info.get("reader_options", {}) if dataset == info.get("dataset") else {}
    options = {**lasting_options(dataset, known), **parse_options(dataset, flags.reader_option)}
    return sequences.of_split(dataset, data_dir, split, **options)


def _data(flags: absl_flags.FlagValues, info: Mapping[str, Any]) -> tuple[str, Path, str]:
    """Data set, folder and split: by the flags, else the run's own data set's test split."""
    dataset = flags.dataset or info.get("dataset")
    if not dataset:
        raise UserError("--dataset is required: no run says which data to score")
    split = flags.split or _TEST_SPLITS.get(dataset)
    if not split:
        raise UserError(f"--split is required: {dataset} has no sequences for tests of its own")
    known = info.get("data_dir") if dataset == info.get("dataset") else None
    data_dir = flags.data_dir or known
    if data_dir is None and dataset == "synthetic":
        from kdepth.data import synthetic

        data_dir = synthetic.ensure()
    if data_dir is None:
        raise UserError(f"--data_dir is required: where is {dataset}?")
    return dataset, Path(data_dir).expanduser(), split


def _predict(
    flags: absl_flags.FlagValues, info: Mapping[str, Any], facts: Mapping[str, Any]
) -> tuple[list[Case], dict[str, Any]]:
    """The cases of a run or an exported network, and its facts for the table."""
    if flags.true_poses:
        raise UserError("--true_poses is for --predictions; a network is scored on --dataset")
    found = _sequences(flags, info)
    network = egomotion.open_network(flags.run, flags.model)
    for sequence in found:
        _warn_if_seen(sequence, info, flags)
    from tqdm import tqdm

    total = sum(len(sequence.images) for sequence in found)
    with tqdm(total=total, desc="predicting motion", unit="frame", leave=False) as bar:
        cases = odometry_cases.from_network(network, found, bar.update)
    return cases, {
        **facts,
        "paper": network.paper,
        "variant": network.variant,
        "height": network.height,
        "image_width": network.image_width,
    }


def _warn_if_seen(
    sequence: sequences.Sequence, info: Mapping[str, Any], flags: absl_flags.FlagValues
) -> None:
    """Says so if a run was trained on the sequence; odometry's are drives of KITTI raw."""
    trained, split = info.get("dataset"), info.get("split")
    dataset, _, tested = _data(flags, info)
    seen = trained == dataset and split in (tested, sequence.name, "all")
    if trained == dataset == "kitti_odometry":
        seen = seen or sequence.name in kitti_odometry.SPLITS.get(split, ())
    elif (trained, dataset) == ("kitti_raw", "kitti_odometry") and split in splits.package_splits():
        drive = kitti_odometry.RAW_DRIVES.get(sequence.name)
        seen = any(entry.drive == drive for entry in splits.read_package_split(split))
    if seen:
        logging.warning(
            "%s: the run was trained on %s/%s, which holds its frames: this is no test",
            sequence.name,
            trained,
            split,
        )


# -- what comes out ------------------------------------------------------------------------------


def describe(alignment: str) -> str:
    """The protocol of whole trajectories, in full."""
    return (
        f"{NAME}_{alignment}: whole trajectory from a common start; alignment "
        f"{trajectories.ALIGNMENTS[alignment]}; t_err (%) and r_err (deg / 100 m) over subsequences "
        f"of 100, 200, ..., 800 m from every {trajectories.STEP}th frame, mean; ATE (m) root mean "
        "square of positions; RPE (m, deg) from frame to frame, mean"
    )


SNIPPETS = (
    f"{NAME}_5frame: ATE (m) of every {odometry.SNIPPET}-frame snippet, one scale each by least "
    f"squares, root of the sum of squares over {odometry.SNIPPET}; mean and standard deviation over "
    "snippets (Zhou 2017)"
)


def _common(flags: absl_flags.FlagValues, info: Mapping[str, Any]) -> dict[str, Any]:
    """What all rows share."""
    from kdepth.evaluation import record

    if flags.true_poses:
        data = {"dataset": "pose files", "data_dir": Path(flags.true_poses).resolve().name}
    else:
        dataset, data_dir, _ = _data(flags, info)
        data = {"dataset": dataset, "data_dir": data_dir.resolve().name}
    now = datetime.datetime.now(datetime.timezone.utc)
    return {"date": now.isoformat(timespec="seconds"), **data, **record.versions()}


def _rows(
    case: Case,
    found: list[trajectories.TrajectoryErrors],
    name: str,
    common: Mapping[str, Any],
) -> tuple[list[dict[str, Any]], list[list[Any]]]:
    """The rows of one sequence for the table, and for the terminal."""
    from kdepth.evaluation.table import BASELINE_PREFIX

    common = {**common, "split": case.sequence, "images": len(case.frames)}
    rows, lines = [], []
    frames = f"{len(case.frames)}"
    if len(case.truth) > len(case.frames):
        frames += f" of {len(case.truth)}"
    for errors in found:
        rows.append(
            {
                **common,
                "system": name,
                "protocol": f"{NAME}_{errors.alignment}",
                "protocol_description": describe(errors.alignment),
                **{metric: _number(value) for metric, value in errors.metrics.items()},
            }
        )
        figures = [errors.metrics[metric] for metric in trajectories.METRICS]
        lines.append([case.sequence, frames, errors.alignment, *figures])
    for system, errors in zip((name, f"{BASELINE_PREFIX}straight ahead"), case.snippet_errors()):
        if len(errors):
            rows.append(
                {
                    **common,
                    "system": system,
                    "protocol": f"{NAME}_5frame",
                    "protocol_description": SNIPPETS,
                    "ate_5": float(errors.mean()),
                    "ate_5_std": float(errors.std()),
                }
            )
    return rows, lines


def _write(
    out: Path,
    case: Case,
    found: list[trajectories.TrajectoryErrors],
    flags: absl_flags.FlagValues,
    name: str,
) -> None:
    """The sequence's errors by length, its plot and, of a network, its trajectory."""
    by_length = out / f"{case.sequence}.csv"
    with atomic_path(by_length) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["alignment", "length", "t_err", "r_err", "subsequences"])
        for errors in found:
            for length, row in errors.segments.by_length().items():
                writer.writerow([errors.alignment, length, *row])
    if not flags.predictions:
        pose_files.write(out / f"{case.sequence}.txt", Trajectory(case.predicted))
    if flags.pictures:
        from kdepth.evaluation.trajectory_plot import write_plot

        title = f"{name} on {case.sequence}, {len(case.frames)} frames"
        write_plot(out / f"{case.sequence}.png", found, title)


def _terminal(lines: list[list[Any]]) -> str:
    import tabulate

    rows = [
        [*line[:3], *("" if math.isnan(value) else f"{value:.4g}" for value in line[3:])]
        for line in lines
    ]
    header = ["sequence", "frames", "alignment", *_HEADERS]
    columns = ("left", "right", "left", *["right"] * len(_HEADERS))
    text = tabulate.tabulate(rows, header, "simple", disable_numparse=True, colalign=columns)
    if any(np.isnan(line[3]) for line in lines):
        text += "\nt_err and r_err need a way of more than 100 m."
    return text


def _print_snippets(rows: list[dict[str, Any]], name: str) -> None:
    snippets = [row for row in rows if "ate_5" in row]
    for row in snippets:
        if row["system"] == name:
            straight = next(
                other
                for other in snippets
                if other["split"] == row["split"] and other["system"] != name
            )
            print(
                f"{row['split']}: 5-frame ATE {row['ate_5']:.4f} +- {row['ate_5_std']:.4f} m "
                f"(straight ahead: {straight['ate_5']:.4f})"
            )


def _number(value: float) -> float | None:
    """What was not measured stays empty in the table."""
    return None if math.isnan(value) else value
