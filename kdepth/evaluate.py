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
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from absl import flags as absl_flags
from absl import logging

from kdepth.data import lasting_options, parse_options
from kdepth.errors import UserError
from kdepth.evaluation import baselines as baselines_
from kdepth.evaluation import protocols, scoring, systems
from kdepth.evaluation.sources import TEST_SPLITS, TRAIN_SPLITS, Source
from kdepth.prediction import QUANTITIES


def define_flags(flags: absl_flags.FlagValues) -> None:
    """Defines the command's flags."""
    from kdepth import cli

    def text(name: str, help: str) -> None:
        absl_flags.DEFINE_string(name, None, help, flag_values=flags)

    with cli.group(flags, "what is scored (one of the first three)"):
        cli.define_run_flag(flags, "A run, for example runs/garg.")
        text("model", "An exported model (.tflite, .onnx or a SavedModel folder of kdepth export).")
        text(
            "predictions",
            "Predictions of any system, in the split's order: .npy or .npz [N, h, w], or a folder "
            "of 16-bit depth PNGs (256 * metres).",
        )
        absl_flags.DEFINE_enum(
            "quantity",
            "depth",
            list(QUANTITIES),
            "What --predictions hold; disparity is a fraction of the image width.",
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
        absl_flags.DEFINE_enum(
            "crop", None, list(protocols.CROPS), "Other than the protocol's.", flag_values=flags
        )
        absl_flags.DEFINE_float(
            "cap", None, "Largest depth in metres, other than the protocol's.", flag_values=flags
        )
        absl_flags.DEFINE_enum(
            "scaling",
            None,
            list(protocols.SCALINGS),
            "Other than the protocol's; a system without metric scale gets median scaling.",
            flag_values=flags,
        )
        absl_flags.DEFINE_enum(
            "interpolation",
            None,
            list(protocols.INTERPOLATIONS),
            "How predictions are resized, other than the protocol's: in inverse depth, in depth "
            "(same), nearest.",
            flag_values=flags,
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
        absl_flags.DEFINE_float(
            "gate",
            None,
            "Exit with status 1 unless abs_rel lies this much below the strongest baseline's "
            "(0.2: 20 %).",
            flag_values=flags,
        )


def main(flags: absl_flags.FlagValues) -> int:
    """Scores, prints, stores; status 1 only if `--gate` is not passed."""
    from kdepth.evaluation.table import read_rows

    given = [name for name in ("run", "model", "predictions") if flags[name].value]
    if len(given) != 1:
        raise UserError("give one of --run=runs/<name>, --model=<exported> or --predictions=<file>")
    if flags.postprocess is not None and not flags.run:
        raise UserError(
            "--postprocess is for --run; exported models and predictions are as they are"
        )
    info = _run_info(flags)
    test, protocol = _test_data(flags, info)
    train = _training_data(flags, info, test)
    results = _results_path(flags)
    read_rows(results)  # a damaged table shall be found before the work, not after
    count = test.count(protocol)
    system = _open_system(flags, info, count)
    protocol = _scaled_for(protocol, system.kind, flags.scaling)
    if info and test.is_same_as(_trained_on(info, test)):
        logging.warning("%s is what the run was trained on: this is no test", test.name)

    fitted = _fit_baselines(train, protocol)
    number = min(count, flags.limit or count)
    wanted = min(flags.pictures, number)
    samples = test.samples(
        protocol,
        height=system.size[0],
        width=system.size[1],
        resize=system.resize,
        limit=flags.limit,
        stereo=flags.photometric or system.stereo,
    )
    with _bar(number, "image", "scoring") as bar:
        scores = scoring.score(
            samples,
            system.predict,
            protocol,
            fitted,
            rig=system.rig,
            pictures=[(2 * i + 1) * number // (2 * wanted) for i in range(wanted)],
            progress=lambda done: bar.update(),
        )
    _store(flags, system, test, train, protocol, fitted, scores, results)
    return _gate(flags.gate, scores.gain())


# -- what was asked for --------------------------------------------------------------------------


def _run_info(flags: absl_flags.FlagValues) -> dict[str, Any]:
    """`run.json` of --run, else nothing."""
    if not flags.run:
        return {}
    from kdepth.training.runs import Run

    run = Run(Path(flags.run))
    info = dict(run.info)
    if info.get("state") not in (None, "finished"):
        logging.warning("the run's training is not finished (state: %s)", info["state"])
    return info


def _test_data(
    flags: absl_flags.FlagValues, info: dict[str, Any]
) -> tuple[Source, protocols.Protocol]:
    dataset = flags.dataset or info.get("dataset")
    if not dataset:
        raise UserError("--dataset is required: no run says which data to score")
    named = protocols.find(flags.protocol) if flags.protocol else None
    split = flags.split or (named.split if named else "") or TEST_SPLITS.get(dataset)
    if not split:
        raise UserError(f"--split is required: {dataset} has no test split of its own")
    protocol = (named or protocols.default_for(dataset, split)).replace(
        crop=flags.crop,
        cap=flags.cap,
        scaling=flags.scaling,
        interpolation=flags.interpolation,
    )
    protocol.check_dataset(dataset)
    known = info.get("data_dir") if dataset == info.get("dataset") else None
    data_dir = _data_dir(dataset, flags.data_dir or known, "data_dir")
    options = _reader_options(flags, info, dataset, protocol)
    return Source(dataset, data_dir, split, flags.on_bad_sample, options), protocol


def _reader_options(
    flags: absl_flags.FlagValues, info: dict[str, Any], dataset: str, protocol: protocols.Protocol
) -> dict[str, Any]:
    """The reader's options: the run's, where it was trained on the same data set, and the flags'.

    Those that the protocol sets are its own.
    """
    given = parse_options(dataset, flags.reader_option)
    fixed = protocol.reader_options(dataset)
    for name, value in fixed.items():
        if given.get(name, value) != value:
            raise UserError(
                f"--reader_option={name}={given[name]}: protocol {protocol.name} is about "
                f"{name}={value}; choose another --protocol, or leave the option out"
            )
    known = info.get("reader_options", {}) if dataset == info.get("dataset") else {}
    options = {**lasting_options(dataset, known), **given}
    return {name: value for name, value in options.items() if name not in fixed}


def _training_data(flags: absl_flags.FlagValues, info: dict[str, Any], test: Source) -> Source:
    """What baselines are fitted on: by the flags, else what the run was trained on."""
    trained = _trained_on(info, test)
    dataset = flags.baseline_dataset or trained.dataset
    same = dataset == trained.dataset
    split = flags.baseline_split or (trained.split if same else TRAIN_SPLITS.get(dataset))
    if not split:
        raise UserError(f"--baseline_split is required: which part of {dataset} is for training?")
    data_dir = flags.baseline_data_dir or (trained.data_dir if same else None)
    data_dir = _data_dir(dataset, data_dir, "baseline_data_dir")
    options = next((s.reader_options for s in (test, trained) if s.dataset == dataset), {})
    train = Source(dataset, data_dir, split, test.on_bad_sample, options)
    if train.is_same_as(test):
        logging.warning("the baselines are fitted on the scored frames, %s", test.name)
    return train


def _trained_on(info: dict[str, Any], test: Source) -> Source:
    """The run's training data; without a run, the train split of the data set that is scored."""
    dataset, known = info.get("dataset") or test.dataset, info.get("data_dir")
    if dataset == test.dataset and not (known and Path(known).is_dir()):
        data_dir = test.data_dir  # the data may have moved since, and --data_dir says where to
    else:
        data_dir = _data_dir(dataset, known, "baseline_data_dir")
    split = info.get("split") or TRAIN_SPLITS.get(dataset, "")
    return Source(dataset, data_dir, split, reader_options=info.get("reader_options", {}))


def _data_dir(dataset: str, data_dir: str | Path | None, flag: str) -> Path:
    if data_dir is not None:
        return Path(data_dir).expanduser()
    if dataset != "synthetic":
        raise UserError(f"--{flag} is required: where is {dataset}?")
    from kdepth.data import synthetic

    return synthetic.ensure()


def _results_path(flags: absl_flags.FlagValues) -> Path:
    if flags.results:
        return Path(flags.results)
    return (Path(flags.run).parent if flags.run else Path("runs")) / "results.csv"


def _scaled_for(protocol: protocols.Protocol, kind: str, asked: str | None) -> protocols.Protocol:
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
            flags.name or path.stem, path, flags.quantity, count, flags.rig_baseline
        )
    from kdepth import runtime

    if flags.model:
        model = runtime.DepthModel(flags.model)
        name = flags.name or Path(flags.model).name
        return systems.from_network(name, model.facts, model.run, flags.rig_baseline)
    import kdepth

    folder = Path(flags.run)
    asked = {} if flags.postprocess is None else {"postprocess": flags.postprocess}
    trained = kdepth.load_run(folder, **asked)
    mark = "" if not asked else "+postprocess" if flags.postprocess else "-postprocess"
    system = systems.from_network(
        flags.name or folder.resolve().name + mark,
        runtime.ModelFacts.of_model(trained),
        lambda images: trained.predict_depth(images).values,
        flags.rig_baseline,
    )
    system.row.update(_run_row(folder, info, asked))
    return system


def _run_row(folder: Path, info: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """What the table keeps of a run's description, and of the options that were asked for now."""
    from kdepth.training.runs import Run

    options = {**(info.get("options") or {}), **asked}
    flags_file = Run(folder).flags
    digest = (
        hashlib.sha256(flags_file.read_bytes()).hexdigest()[:12] if flags_file.is_file() else ""
    )
    return {
        "run": folder.resolve().name,
        "trained_on": f"{info.get('dataset')}/{Path(str(info.get('split'))).name}",
        "state": info.get("state"),
        **{name: info.get(name) for name in ("ablation", "control", "batch_size", "seed")},
        "epochs": ",".join(map(str, info.get("epochs") or ())),
        "width": options.get("width"),
        "flags": json.dumps(options, sort_keys=True),
        "flags_digest": digest,
    }


# -- the work ------------------------------------------------------------------------------------


def _fit_baselines(train: Source, protocol: protocols.Protocol) -> baselines_.Baselines:
    """Fits on the training depth, with a bar: reading hundreds of scans takes a while."""
    depths, count = train.depths(protocol, baselines_.MAX_IMAGES)
    with _bar(count, "map", "fitting baselines") as bar:

        def counted() -> Any:
            for depth in depths:
                yield depth
                bar.update()

        return baselines_.fit(counted(), protocol)


def _bar(total: int, unit: str, description: str) -> Any:
    from tqdm import tqdm

    return tqdm(
        total=total, desc=description, unit=unit, dynamic_ncols=True, mininterval=0.5, leave=False
    )


# -- what comes out ------------------------------------------------------------------------------


def _store(
    flags: absl_flags.FlagValues,
    system: systems.System,
    test: Source,
    train: Source,
    protocol: protocols.Protocol,
    fitted: baselines_.Baselines,
    scores: scoring.Scores,
    results: Path,
) -> None:
    """Prints the table; writes each image's figures, the picture and the rows."""
    from kdepth.evaluation import formats, record, table

    rows = record.rows(system, test, train, protocol, fitted, scores)
    frame = table.to_frame(rows)
    for report in formats.reports(frame):
        print(formats.terminal(report, bold=sys.stdout.isatty()))
    name, abs_rel = scores.strongest_baseline()
    gain = 100 * scores.gain()
    print(
        f"\n{system.name}: abs_rel {scores.mean()['abs_rel']:.4f}, {abs(gain):.1f} % "
        f"{'below' if gain >= 0 else 'ABOVE'} the strongest baseline ({name}, {abs_rel:.4f})"
    )
    out = Path(flags.run) if flags.run else results.parent / "predictions" / system.name
    per_image = out / "evaluation" / f"{protocol.name}.csv"
    scoring.write_per_image(per_image, scores)
    written = [per_image]
    if scores.pictures:
        from kdepth.evaluation.pictures import write_picture

        written.append(out / "images" / "evaluation.png")
        mean = scores.mean()["abs_rel"]
        title = f"{system.name} on {test.name}: abs_rel {mean:.3f} over {len(scores.names)} images"
        write_picture(written[-1], scores.pictures, title)
    table.append(results, rows)
    print(f"wrote {', '.join(str(path) for path in [*written, results])}")


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
