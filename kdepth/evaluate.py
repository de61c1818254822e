"""Scores a run, an exported model or any system's predictions on a split, beside all baselines.

Every evaluation prints its table, appends a row to runs/results.csv (python -m kdepth.results shows
it), and writes each image's figures and a picture. Data and protocol are by default those of the
run. Baselines (constant, per-row and per-pixel statistics of the training set's depth) are scored
exactly as the system is.

Example:
  python -m kdepth.evaluate --run=runs/garg
  python -m kdepth.evaluate --run=runs/garg
      --dataset=kitti_raw --data_dir=kitti --protocol=eigen_garg_50
  python -m kdepth.evaluate --predictions=other.npy --quantity=depth
      --dataset=kitti_raw --data_dir=kitti --protocol=eigen
  python -m kdepth.evaluate --task=odometry --predictions=mine/10.txt --true_poses=poses/10.txt
  python -m kdepth.evaluate
      --compare=runs/garg/evaluation/eigen.csv,runs/monodepth/evaluation/eigen.csv
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from absl import flags as absl_flags
from absl import logging

from kdepth.data import READERS
from kdepth.errors import UserError
from kdepth.evaluation import (
    artefacts,
    bootstrap,
    chosen_data,
    compare,
    odometry_task,
    output,
    per_image,
    protocols,
    systems,
    with_progress,
)
from kdepth.evaluation.by_distance import ErrorByDistance, default_edges, parse_edges
from kdepth.evaluation.crops import CROPS, VIEWS
from kdepth.evaluation.predictions import FILE_QUANTITIES
from kdepth.evaluation.protocol import GROUND_TRUTHS, INTERPOLATIONS, Protocol
from kdepth.evaluation.scaling import SCALINGS
from kdepth.evaluation.sources import Source
from kdepth.runtime import read_description


def define_flags(flags: absl_flags.FlagValues) -> None:
    """Defines the command's flags."""
    from kdepth import cli

    def text(name: str, help: str) -> None:
        absl_flags.DEFINE_string(name, None, help, flag_values=flags)

    absl_flags.DEFINE_enum(
        "task", "depth", ["depth", odometry_task.NAME], "What is measured.", flag_values=flags
    )
    with cli.group(flags, "what is scored (one of the first three)"):
        cli.define_run_flag(flags, "A run, for example runs/garg.")
        text("model", "An exported model (.tflite, .onnx or a SavedModel folder of kdepth export).")
        text(
            "predictions",
            "Predictions of any system, in the split's order: .npy or .npz [N, h, w], or a folder "
            "of 16-bit PNGs (256 * metres, or 256 * pixels of disparity). With --task=odometry a pose "
            "file, or a folder of them.",
        )
        absl_flags.DEFINE_enum(
            "quantity",
            "depth",
            list(FILE_QUANTITIES),
            "What --predictions hold; disparity is a fraction of the image width, disparity_pixels "
            "is in pixels of the stored maps.",
            flag_values=flags,
        )
        absl_flags.DEFINE_float(
            "depth_factor",
            1.0,
            "What the depth of --predictions is multiplied by first (5.4: stereo monodepth2).",
            flag_values=flags,
        )
        text("name", "The name in the table; by default the run's or the file's.")
        absl_flags.DEFINE_float(
            "rig_baseline",
            None,
            "Metres between the cameras that disparities stand for; by default the training rig's, "
            "else the data's.",
            flag_values=flags,
        )
        absl_flags.DEFINE_bool(
            "postprocess",
            None,
            "Blend the predictions of the image and of its mirror image, other than the run does "
            "(papers that have it: monodepth).",
            flag_values=flags,
        )
    cli.define_data_flags(flags, dataset=None)
    absl_flags.DEFINE_integer(
        "limit", None, "Score only the first so many images.", lower_bound=1, flag_values=flags
    )
    with cli.group(flags, "protocol"):
        text("protocol", f"One of {', '.join(protocols.PROTOCOLS)}; by default the data set's own.")
        for name, values, help in (
            ("ground_truth", GROUND_TRUTHS, "What is taken for the truth,"),
            ("view", VIEWS, "The part of each image that the system sees,"),
            ("crop", CROPS, "The part that counts,"),
            (
                "scaling",
                SCALINGS,
                "How predictions are brought to metres (a system without metric scale gets median "
                "scaling),",
            ),
            ("interpolation", INTERPOLATIONS, "How predictions are resized,"),
        ):
            help += " other than the protocol's."
            absl_flags.DEFINE_enum(name, None, list(values), help, flag_values=flags)
        absl_flags.DEFINE_float(
            "cap", None, "Largest depth in metres, other than the protocol's.", flag_values=flags
        )
        absl_flags.DEFINE_bool(
            "photometric",
            False,
            "Also measure how well the disparity explains the right view (needs stereo pairs).",
            flag_values=flags,
        )
    with cli.group(
        flags, "baselines (fitted on measured depth; by default the run's training data)"
    ):
        text("baseline_dataset", "The data set they are fitted on.")
        text("baseline_data_dir", "Its folder.")
        text("baseline_split", "Its split; needed where no run says what it was trained on.")
    with cli.group(flags, "camera motion (--task=odometry)"):
        odometry_task.define_flags(flags)
    with cli.group(flags, "how far figures can be trusted"):
        absl_flags.DEFINE_integer(
            "bootstrap",
            bootstrap.SAMPLES,
            "Draws of the bootstrap over images that gives the intervals; 0: no intervals.",
            lower_bound=0,
            flag_values=flags,
        )
        absl_flags.DEFINE_integer("bootstrap_seed", 0, "Its seed.", 0, flag_values=flags)
        absl_flags.DEFINE_list(
            "compare",
            [],
            "Tables of figures by image (evaluation/<protocol>.csv) of other systems: a paired "
            "comparison. Without --run, --model and --predictions the last is compared with the "
            "others.",
            flag_values=flags,
        )
        text("comparison", "A CSV file that gets the comparison too.")
    with cli.group(flags, "output"):
        text(
            "results",
            "The table that gets the row; by default results.csv beside the run's folder.",
        )
        absl_flags.DEFINE_integer(
            "pictures",
            4,
            "Images shown in images/evaluation.png; 0 writes none.",
            lower_bound=0,
            flag_values=flags,
        )
        absl_flags.DEFINE_bool(
            "error_maps", False, "Write a picture of each image's error.", flag_values=flags
        )
        absl_flags.DEFINE_list(
            "distance_bins",
            [],
            "Edges of the bins of error by distance, metres; by default up to the protocol's cap.",
            flag_values=flags,
        )
        absl_flags.DEFINE_float(
            "gate",
            None,
            "Exit with status 1 unless abs_rel lies this much below the strongest baseline's "
            "(0.2: 20 %).",
            flag_values=flags,
        )


def main(flags: absl_flags.FlagValues) -> int:
    """Scores, prints, stores; status 1 only if `--gate` is not passed."""
    odometry_task.check_flags(flags)
    given = _check_flags(flags)
    others = [per_image.read(Path(name)) for name in flags.compare]
    if not given:
        return _compare_alone(flags, others)
    if flags.task == odometry_task.NAME:
        info = _info(flags) if flags.run else {}
        facts = systems.run_row(Path(flags.run), info, {}) if flags.run else {}
        return odometry_task.main(flags, info, facts, _results_path(flags))
    return _score(flags, others)


def _score(flags: absl_flags.FlagValues, others: list[per_image.PerImage]) -> int:
    """Scores one system, and compares it with others that were scored before."""
    from kdepth.evaluation import record, table

    edges = parse_edges(flags.distance_bins) if flags.distance_bins else None
    info = _info(flags)
    test, protocol = chosen_data.scored_data(flags, info)
    train = chosen_data.baseline_data(flags, info, test)
    results = _results_path(flags)
    table.read_rows(results)  # a damaged table shall be found before the work, not after
    count = test.count(protocol, flags.photometric)
    system = _open_system(flags, info, count)
    protocol = _scaled_for(protocol, system.kind, flags.scaling)
    for other in others:
        compare.check_protocol(other, protocol.describe())
    _warn_of_data(info, test, protocol, count)

    fitted = with_progress.fit_baselines(train, protocol)
    root = Path(flags.run) if flags.run else results.parent / "predictions" / system.name
    folder = output.Folder(root, protocol)
    by_distance = ErrorByDistance(edges or default_edges(protocol.max_depth))
    with output.error_maps(folder.file("_errors"), flags.error_maps) as each:
        scores = with_progress.score(
            system,
            test,
            protocol,
            fitted,
            number=min(count, flags.limit or count),
            pictures=flags.pictures,
            photometric=flags.photometric,
            by_distance=by_distance,
            each=each,
        )

    figures = per_image.of_scores(system.name, protocol, scores)
    draws, seed = flags.bootstrap, flags.bootstrap_seed
    compared = output.compare_last([*others, figures], draws, seed)
    trusted = output.interval(figures, draws, seed) if draws else None
    rows = record.rows(system, test, train, protocol, fitted, scores, trusted)
    output.print_reports(rows, bold=sys.stdout.isatty())
    print("", *output.summary(system.name, protocol, scores, trusted), sep="\n")
    written = output.write_files(folder, system.name, test.name, scores, by_distance, trusted)
    table.append(results, rows)
    print(f"wrote {', '.join(str(path) for path in [*written, results])}")
    output.print_comparisons(compared, flags.comparison)
    return _gate(flags.gate, scores.gain())


def _compare_alone(flags: absl_flags.FlagValues, tables: list[per_image.PerImage]) -> int:
    """Compares systems that were scored before, from their tables alone."""
    if len(tables) < 2:
        raise UserError("--compare: name two tables, or score something to compare with it")
    compared = output.compare_last(tables, flags.bootstrap, flags.bootstrap_seed)
    output.print_comparisons(compared, flags.comparison)
    return 0


# -- what was asked for --------------------------------------------------------------------------


def _check_flags(flags: absl_flags.FlagValues) -> str | None:
    """Refuses flags that do not go together; returns the one that names what is scored."""
    if flags.compare and not flags.bootstrap:
        raise UserError("--compare needs draws: leave out --bootstrap=0")
    if flags.comparison and not flags.compare:
        raise UserError("--comparison: nothing is compared; --compare names the other system")
    given = [name for name in ("run", "model", "predictions") if flags[name].value]
    if not given and flags.compare:
        return None
    if len(given) != 1:
        raise UserError("give one of --run=runs/<name>, --model=<exported> or --predictions=<file>")
    if flags.task != odometry_task.NAME and flags.postprocess is not None and not flags.run:
        raise UserError(
            "--postprocess is for --run; exported models and predictions are as they are"
        )
    return given[0]


def _info(flags: absl_flags.FlagValues) -> dict[str, Any]:
    """What is known of the training of --run or --model; nothing of others' predictions."""
    if flags.model:
        return _info_of_artefact(Path(flags.model), flags.dataset)
    if not flags.run:
        return {}
    from kdepth.training.runs import COMPLETE, Run

    info = dict(Run(Path(flags.run)).info)
    if info.get("state") not in (None, *COMPLETE):
        logging.warning("the run's training is not finished (state: %s)", info["state"])
    return info


def _info_of_artefact(path: Path, dataset: str | None) -> dict[str, Any]:
    """What an exported model says of its training, where it is about the data that is scored.

    The file may have come from another machine: other data, and a list file that is not here, are
    no reason to ask for them.
    """
    info = artefacts.run_of(read_description(path))
    if info.get("dataset") not in READERS or dataset not in (None, info["dataset"]):
        return {}
    split = Path(str(info.get("split", "")))
    if split.name != str(split) and not split.exists():
        del info["split"]
    return info


def _warn_of_data(info: dict[str, Any], test: Source, protocol: Protocol, count: int) -> None:
    """Says where the figures would mislead."""
    if info and test.is_same_as(chosen_data.trained_on(info, test)):
        logging.warning("%s is what the run was trained on: this is no test", test.name)
    if protocol.images not in (0, count) and test.split == protocol.split:
        logging.warning(
            "%s has %d images with ground truth and protocol %s is about %d: its figures do not "
            "compare with published ones",
            *(test.name, count, protocol.name, protocol.images),
        )


def _results_path(flags: absl_flags.FlagValues) -> Path:
    if flags.results:
        return Path(flags.results)
    return (Path(flags.run).parent if flags.run else Path("runs")) / "results.csv"


def _scaled_for(protocol: Protocol, kind: str, asked: str | None) -> Protocol:
    """Relative depth has no metres: it is scored under median scaling, and the protocol says so."""
    if kind != "relative" or protocol.scaling != "none":
        return protocol
    if asked == "none":
        raise UserError("--scaling=none: relative depth has no metres; use --scaling=median")
    return protocol.replace(scaling="median")


# -- systems -------------------------------------------------------------------------------------


def _open_system(flags: absl_flags.FlagValues, info: dict[str, Any], count: int) -> systems.System:
    if flags.predictions:
        path = Path(flags.predictions)
        return systems.from_file(
            flags.name or path.stem,
            path,
            flags.quantity,
            count,
            flags.rig_baseline,
            flags.depth_factor,
        )
    if flags.model:
        return systems.from_artefact(Path(flags.model), flags.name, flags.rig_baseline)
    asked = {} if flags.postprocess is None else {"postprocess": flags.postprocess}
    return systems.from_run(Path(flags.run), info, asked, flags.name, flags.rig_baseline)


def _gate(least: float | None, gain: float) -> int:
    if least is None:
        return 0
    passed = gain >= least
    print(
        f"gate: {'passed' if passed else 'FAILED'} (abs_rel must lie at least {100 * least:g} % "
        "below the strongest baseline's)"
    )
    return 0 if passed else 1


if __name__ == "__main__":
    from kdepth import cli

    cli.run("evaluate")
