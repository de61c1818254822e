"""Trains Garg 2016 on 62 real stereo pairs and scores it in another street: docs/real_data.md.

    python benchmarks/real_stereo.py --realdata=samples
    python benchmarks/real_stereo.py --realdata=samples --init=runs/garg

`--realdata` (or KDEPTH_REALDATA) is a folder with `kitti_stereo2015`, `kitti_odometry` and
`kitti_raw` in their official layouts. Every seed takes about five minutes on two cores, twice that
with --init. The runs keep the pictures; the figures go to --csv. A second call reuses finished
runs. The status is 1 unless every run explains the held-out pairs better than no warp at all does.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import app, flags

from kdepth import cli, quiet
from kdepth.data import open_reader
from kdepth.errors import UserError
from kdepth.evaluation import baselines, formats, protocols, table
from kdepth.evaluation.metrics import ALL_METRICS, PHOTOMETRIC_METRICS
from kdepth.evaluation.photometric import photometric_error
from kdepth.evaluation.sources import Source
from kdepth.files import atomic_path
from kdepth.training.runs import Run, now
from kdepth.versions import versions

flags.DEFINE_string(
    "realdata", os.environ.get("KDEPTH_REALDATA"), "The folder with the three data sets."
)
flags.DEFINE_string("init", None, "A run on the embedded world: train from its weights too.")
flags.DEFINE_string("out", "runs/real_stereo", "Holds a run for each start, and the table.")
flags.DEFINE_string("csv", "docs/real_data.csv", "Gets the figures.")
flags.DEFINE_float("width", 0.25, "Channel multiplier.")
flags.DEFINE_integer("height", 128, "Network input height, pixels.")
flags.DEFINE_integer("image_width", 416, "Network input width, pixels.")
flags.DEFINE_list("epochs", ["150", "30", "30", "30"], "Of stages L9, L10, L11 and L12.")
flags.DEFINE_integer("batch_size", 8, "Samples in a step.")
flags.DEFINE_list("seeds", ["1", "2", "3"], "Of weights, order and augmentation; a run for each.")

# Frames 000018 - 000021 of stereo 2015 belong to drive 0013; nothing of that drive is trained on.
# The stereo pairs come first: the first record's camera becomes the rig.
TRAIN = {"kitti_stereo2015": "training 02+03 7-17", "kitti_odometry": "06 02+03 0-50"}
HELD_OUT_PAIRS = {"kitti_stereo2015": "training 02+03 18-21"}
HELD_OUT_LIDAR = {"kitti_raw": "2011_09_26_drive_0013_sync 02 110-143"}
LEARNING_RATES = (1e-3, 3e-4, 3e-4, 3e-4)  # Adam's, in stages L9 to L12
CLIP_NORM = 1.0
COLUMNS = (
    *("system", "training", "steps", "minutes", "protocol", "dataset", "split", "images"),
    *ALL_METRICS,
    *("gain_percent", "seed", "height", "image_width", "width", "stack"),
)


def main(_: list[str]) -> None:
    """Trains, scores, prints the table and writes it."""
    quiet.silence()
    try:
        sys.exit(experiment(flags.FLAGS))
    except UserError as error:
        sys.exit(f"real_stereo: {error}")


def experiment(args: flags.FlagValues) -> int:
    """The whole experiment; returns the exit status."""
    if not args.realdata:
        raise UserError("--realdata is required: the folder with the real data sets")
    root, out = Path(args.realdata), Path(args.out)
    train = sources(root, out / "splits", "train", TRAIN)
    pairs = sources(root, out / "splits", "drive_0013_pairs", HELD_OUT_PAIRS)[0]
    lidar = sources(root, out / "splits", "drive_0013_110-143", HELD_OUT_LIDAR)[0]
    starts = {"scratch": None}
    if args.init:
        starts["pretrained"] = Run(Path(args.init))
    notes: dict[str, dict[str, Any]] = {}
    results = out / "results.csv"
    results.unlink(missing_ok=True)
    for start, seed in itertools.product(starts, args.seeds):
        name = f"garg, {start}, seed {seed}"
        run = Run(out / f"{start}_seed{seed}")
        notes[name] = fit(run, train, starts[start], int(seed), args)
        evaluate(run, name, pairs, "kitti_stereo2015", train[0], results)
        (run.images / "evaluation.png").replace(run.images / "held_out_pairs.png")
        evaluate(run, name, lidar, "lidar", train[0], results)
    if args.init:
        name = "garg, embedded world alone"
        notes[name] = {"training": "no real pairs"}
        for test, protocol in ((pairs, "kitti_stereo2015"), (lidar, "lidar")):
            evaluate(Run(Path(args.init)), name, test, protocol, train[0], results, pictures=0)

    rows = table.read_rows(results)
    errors = baseline_photometric(train[0], pairs, "kitti_stereo2015", args)
    for row in rows:
        row.update(notes.get(row["system"], {}))
        if row["dataset"] == pairs.dataset:
            row.update(errors.get(row["system"], {}))
    known = [{key: row[key] for key in row if key in table.COLUMNS} for row in rows]
    for report in formats.reports(table.to_frame(known)):
        print(formats.terminal(report), end="\n\n")
    write_csv(Path(args.csv), rows)
    return gate([row for row in rows if "steps" in row and row["photometric"]])


def sources(root: Path, folder: Path, name: str, entries: Mapping[str, str]) -> list[Source]:
    """Writes a list file for each data set and returns what it lists."""
    found = []
    for dataset, line in entries.items():
        path = folder / dataset / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            temporary.write_text(f"{line}\n")
        found.append(Source(dataset, root / dataset, str(path)))
    return found


def fit(
    run: Run, train: Sequence[Source], start: Run | None, seed: int, args: flags.FlagValues
) -> dict[str, Any]:
    """Trains into the run's folder, unless it holds this very training already.

    Args:
        run: where it goes.
        train: the data sets; the first one's camera becomes the rig.
        start: a run whose weights are the first ones; None: random weights.
        seed: of weights, order and augmentation.
        args: the settings.

    Returns:
        What the table says about the training.

    Raises:
        UserError: if the folder holds another training, or data or weights do not fit.
    """
    import kdepth
    from kdepth.data import info, load_records, user_errors
    from kdepth.papers.base import OptimizerSettings
    from kdepth.training import callbacks
    from kdepth.training.loop import fit_stages, with_epochs

    epochs = [int(number) for number in args.epochs]
    model = kdepth.create(
        "garg",
        width=args.width,
        height=args.height,
        image_width=args.image_width,
        seed=seed,
    )
    settings = {
        "options": dict(model.options),
        "epochs": epochs,
        "batch_size": args.batch_size,
        "init": None if start is None else start.info["started"],
    }
    if run.description.exists():
        if any(run.info.get(key) != value for key, value in settings.items()):
            raise UserError(f"{run.folder} holds a run with other settings: choose another --out")
        if run.info["state"] == "finished":
            return run.info["summary"]
    model.optimizer_settings = OptimizerSettings("adam")
    model.compile(clip_norm=CLIP_NORM)
    if start is not None:
        model.load_parts(start.weights)
    records = [
        record
        for source in train
        for record in open_reader(source.dataset, source.data_dir).records(
            source.split, model.sample_keys
        )
    ]
    data = load_records(records, model=model, batch_size=args.batch_size, seed=seed)
    stages = with_epochs(model.stages, epochs)
    rates = {stage.name: rate for stage, rate in zip(stages, LEARNING_RATES)}
    steps = sum(epochs) * info(data).steps_per_epoch
    facts = {
        **{"paper": model.paper, "variant": model.variant, "kind": model.kind},
        **{"output_name": model.output_name, "rig": model.rig._asdict(), "resize": model.resize},
        **{"height": args.height, "image_width": args.image_width, **settings},
        **{"dataset": train[0].dataset, "data_dir": str(train[0].data_dir)},
        **{"split": train[0].split, "mixture": [source.name for source in train]},
        **{"samples": len(records), "seed": seed},
        **{"versions": versions(), "started": now(), "state": "training"},
    }
    run.write_info(facts)
    progress = callbacks.Progress(steps, lambda: f"{run.name} {model.stage.name}")
    begin = time.monotonic()
    try:
        with user_errors():
            fit_stages(
                model,
                data,
                stages=stages,
                optimizer_for=lambda stage, _: model.default_optimizer(rates[stage.name]),
                callbacks=[
                    callbacks.StopOnNaN(lambda index: records[index].name),
                    callbacks.CsvLog(run.log, args.batch_size),
                    progress,
                ],
                verbose=0,
            )
    finally:
        progress.close()
    model.save_parts(run.weights)
    summary = {
        "training": f"{len(records)} real pairs"
        + ("" if start is None else " after the embedded world"),
        "steps": str(steps),
        "minutes": f"{(time.monotonic() - begin) / 60:.1f}",
    }
    run.update_info(state="finished", finished=now(), summary=summary)
    return summary


def evaluate(
    run: Run,
    name: str,
    test: Source,
    protocol: str,
    train: Source,
    results: Path,
    pictures: int = 4,
) -> None:
    """Calls the `evaluate` command; its table is printed later, with all the others."""
    arguments = [
        f"--run={run.folder}",
        f"--name={name}",
        *(f"--{key}={getattr(test, key)}" for key in ("dataset", "data_dir", "split")),
        f"--protocol={protocol}",
        *(f"--baseline_{key}={getattr(train, key)}" for key in ("dataset", "data_dir", "split")),
        f"--results={results}",
        f"--pictures={pictures}",
        *(["--photometric"] if protocol == "kitti_stereo2015" else []),
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        status = cli.call("evaluate", arguments)
    if status:
        sys.exit(status)


def baseline_photometric(
    train: Source, test: Source, protocol_name: str, args: flags.FlagValues
) -> dict[str, dict[str, str]]:
    """Held-out photometric error of the baselines: what a fixed map of depth would reach."""
    protocol = protocols.find(protocol_name)
    fitted = baselines.fit(train.depths(protocol, baselines.MAX_IMAGES)[0], protocol)
    errors: dict[str, list[tuple[float, float]]] = {}
    size = {"height": args.height, "width": args.image_width}
    for sample in test.samples(protocol, **size, resize="area", stereo=True):
        camera = sample["camera"]
        for name, depth in fitted.predict(**size).items():
            disparity = camera.fx / camera.width * sample["baseline"] / depth
            error = photometric_error(sample["image"], sample["stereo"], disparity)
            errors.setdefault(name, []).append((error.warped, error.unwarped))
    return {
        table.BASELINE_PREFIX + name: dict(
            zip(PHOTOMETRIC_METRICS, (repr(float(v)) for v in np.mean(values, axis=0)))
        )
        for name, values in errors.items()
    }


def write_csv(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """The figures, rounded; one row for each system and test."""

    def text(key: str, value: str) -> str:
        rounded = value and (key in ALL_METRICS or key == "gain_percent")
        return f"{float(value):.4f}" if rounded else value

    with atomic_path(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({key: text(key, row.get(key, "")) for key in COLUMNS})
    print(f"wrote {path}")


def gate(rows: Sequence[Mapping[str, str]]) -> int:
    """0 if all held-out photometric errors lie below the unwarped ones."""
    status = 0
    for row in rows:
        warped, unwarped = (float(row[key]) for key in PHOTOMETRIC_METRICS)
        passed = warped < unwarped
        status = status if passed else 1
        print(
            f"{row['system']}: held-out photometric error {warped:.4f}, unwarped {unwarped:.4f}: "
            + ("below" if passed else "NOT below")
        )
    return status


if __name__ == "__main__":
    app.run(main)
