r"""Trains a paper from a config, and goes on where it stopped when it is called again with the same flags.

The run's folder then holds the resolved flags, the weights, checkpoints for an exact resume, a log
with a row an epoch and TensorBoard's files. Ctrl-C stops cleanly; the same command goes on.

Example:
  python -m kdepth.train --flagfile=configs/garg.cfg
  python -m kdepth.train --flagfile=configs/garg_kitti.cfg --data_dir=/data/kitti --dry_run
  python -m kdepth.train --flagfile=configs/garg_kitti.cfg --data_dir=/data/kitti \
      --run=runs/garg_kitti
  python -m kdepth.train --flagfile=configs/garg.cfg --option=gradient=exact --run=runs/garg_exact
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags as absl_flags
from absl import logging

from kdepth import cli
from kdepth.errors import UserError
from kdepth.files import atomic_path, remove_leftovers
from kdepth.papers import PAPERS
from kdepth.training.runs import CONVERTED, Run, init_weights, licence_of, model_info, now
from kdepth.versions import versions

if TYPE_CHECKING:
    from kdepth.data.sample import Record
    from kdepth.papers.base import DepthModel, Stage

# Flags that may differ when a run is resumed: they do not change what is learned.
_FREE_FLAGS = frozenset(
    [
        "run",
        "flagfile",
        "checkpoint_steps",
        "collapse_patience",
        "tensorboard",
        "cache",
        "stop_after",
        "dry_run",
    ]
)
_PICTURES = 4


def define_flags(flags: absl_flags.FlagValues) -> None:
    """Defines the flags of this command."""

    def define(kind: str, name: str, default: Any, text: str, **kwargs: Any) -> None:
        getattr(absl_flags, f"DEFINE_{kind}")(name, default, help=text, flag_values=flags, **kwargs)

    cli.define_run_flag(flags, "The run's folder; runs/<paper> by default.")
    with cli.group(flags, "paper"):
        define("string", "paper", None, f"The paper to train: {', '.join(PAPERS)}.", required=True)
        define("string", "variant", None, "The paper's variant; its own default otherwise.")
        define("string", "ablation", None, "One of the paper's own comparisons.")
        define("float", "width", None, "Channel multiplier of the networks (1: the paper's).")
        define("integer", "height", None, "Rows of the network's input; the paper's by default.")
        define(
            "integer",
            "image_width",
            None,
            "Columns of the network's input; the paper's by default.",
        )
        define(
            "string", "pair", None, "Papers with a choice: learn from stereo pairs or from video."
        )
        define(
            "multi_string",
            "option",
            [],
            "Another option of the paper as name=value; give it several times. --option=help lists them.",
        )
        define(
            "string",
            "init_weights",
            None,
            "Start from these weights: another run's folder, or what kdepth.convert wrote.",
        )
        define("integer", "seed", 0, "Of weights, order, augmentation and dropout.")
    cli.define_data_flags(flags, split=None)
    with cli.group(flags, "data"):
        define(
            "enum",
            "cache",
            "auto",
            "Keep decoded samples in memory.",
            enum_values=["auto", "memory", "none"],
        )
        define(
            "enum",
            "control",
            "none",
            "A control that must not learn: shuffled gives every image another sample's partner.",
            enum_values=["none", "shuffled"],
        )
    with cli.group(flags, "optimisation"):
        define("integer", "batch_size", 8, "Samples in a step, over all devices.")
        define(
            "list",
            "epochs",
            None,
            "Epochs of each stage, e.g. 10 or 10,2,2,2; the paper's by default.",
        )
        define(
            "list", "learning_rate", None, "Of each stage, or of the first (others keep the ratio)."
        )
        define("enum", "optimizer", None, "Instead of the paper's.", enum_values=["adam", "sgd"])
        define("float", "weight_decay", None, "Coupled L2; the paper's by default.")
        define(
            "enum",
            "schedule",
            "constant",
            "Of the learning rate.",
            enum_values=["constant", "step", "cosine"],
        )
        define("integer", "warmup_steps", 0, "The learning rate rises during them, in every stage.")
        define("float", "clip_norm", None, "Largest global norm of the gradient.")
    with cli.group(flags, "machine"):
        define("integer", "devices", 0, "0: all GPUs, else the CPU; N: N GPUs, or N logical CPUs.")
        define(
            "enum",
            "precision",
            "float32",
            "Of the networks; losses and warps stay in float32.",
            enum_values=["float32", "mixed_float16", "mixed_bfloat16"],
        )
        define(
            "boolean", "jit", False, "Compile the whole step with XLA (for GPUs; slower on CPUs)."
        )
        define("enum", "resampler", "auto", "Warp kernel.", enum_values=["auto", "addons", "own"])
    with cli.group(flags, "run"):
        define(
            "integer",
            "checkpoint_steps",
            100,
            "Steps between checkpoints; 0: at the end of epochs.",
        )
        define(
            "integer",
            "collapse_patience",
            5,
            "Epochs of a collapsed network before it stops; 0: never.",
        )
        define("boolean", "tensorboard", True, "Write TensorBoard's files.")
        define("integer", "stop_after", None, "Stop cleanly after this global step (resumable).")
        define(
            "boolean",
            "dry_run",
            False,
            "Try flags and data with one batch and one step of the last stage; write nothing.",
        )


def main(flags: absl_flags.FlagValues) -> int:
    """Trains; returns the exit status."""
    from kdepth.papers import paper_class

    paper = paper_class(flags.paper)
    if flags.option == ["help"]:
        print(_options_help(paper))
        return cli.OK
    options = paper_options(flags, paper)
    run = Run(Path(flags.run or f"runs/{flags.paper}"))
    if not flags.dry_run and _is_finished(run, flags):
        print(f"{run.folder} is finished already; nothing to do")
        return cli.OK
    data_dir = _data_dir(flags)

    from kdepth import backend
    from kdepth.geometry.warp import use_resampler
    from kdepth.papers import create
    from kdepth.training import checkpoints
    from kdepth.training.distribution import strategy

    backend.set_precision(flags.precision)
    use_resampler(flags.resampler)
    scope = strategy(flags.devices)
    replicas = scope.num_replicas_in_sync
    if flags.batch_size % replicas:
        raise UserError(
            f"--batch_size={flags.batch_size} must be a multiple of the {replicas} devices"
        )
    with scope.scope():
        model = create(flags.paper, **options)
        if flags.init_weights and not checkpoints.exist(run.checkpoints):
            init_weights(model, flags.init_weights)
        _apply_settings(model, flags)
    data = _load(model, flags, data_dir)
    stages = _stages(model, flags)
    if flags.dry_run:
        return _rehearse(model, data, stages, flags, scope)
    return _train(model, data, stages, flags, run, data_dir, scope)


def _train(
    model: DepthModel,
    data: Any,
    stages: Sequence[Stage],
    flags: absl_flags.FlagValues,
    run: Run,
    data_dir: Path,
    scope: Any,
) -> int:
    from kdepth import backend
    from kdepth.data import info, user_errors
    from kdepth.training import callbacks as watch
    from kdepth.training import checkpoints
    from kdepth.training.loop import fit_stages

    for folder in (run.folder, run.checkpoints, run.weights):
        remove_leftovers(folder)  # of a run that was killed while it wrote
    facts = info(data)
    checkpoint = checkpoints.latest(run.checkpoints)
    with scope.scope():
        if checkpoint is not None:
            checkpoints.restore_weights(model, checkpoint)
            logging.info("resuming %s at step %d", run.folder, checkpoint.step)
    _describe(model, flags, run, data_dir, facts)

    steps = facts.steps_per_epoch
    total = sum(stage.epochs for stage in stages) * steps
    saver = watch.Checkpoints(run.checkpoints, flags.checkpoint_steps, checkpoint)
    log = watch.CsvLog(run.log, flags.batch_size)
    progress = watch.Progress(total, lambda: f"{model.paper} {model.stage.name}")
    with user_errors():
        pictures = _pictures(data)
    callbacks = [
        watch.StopOnNaN(lambda index: facts.records[index].name),
        *(
            [watch.StopOnCollapse(model.depth_input(pictures), flags.collapse_patience)]
            if flags.collapse_patience
            else []
        ),
        saver,
        log,
        *([watch.TensorBoardLog(run.tensorboard, pictures)] if flags.tensorboard else []),
        progress,
        *([watch.StopAfter(flags.stop_after)] if flags.stop_after else []),
    ]
    try:
        with user_errors(), scope.scope():
            fit_stages(
                model,
                data,
                stages=stages,
                optimizer_for=lambda stage, n: _optimizer(model, flags, stages, stage, n),
                callbacks=callbacks,
                resumed=checkpoint,
                verbose=0,
            )
    except KeyboardInterrupt:
        step = int(backend.to_numpy(model.step))
        if step % steps == 0:
            log.finish_epoch()
        saver.save(mid_epoch=step % steps != 0)
        run.update_info(state="stopped")
        logging.info("stopped at step %d; the same command goes on from there", step)
        raise
    except watch.TrainingStopped:
        run.update_info(state="stopped")
        raise
    finally:
        progress.close()
    model.save_parts(run.weights)
    if facts.bad_samples:
        logging.warning("%d samples could not be read and were skipped", len(facts.bad_samples))
    run.update_info(state="finished", finished=now(), skipped_samples=len(facts.bad_samples))
    print(f"trained {flags.paper} for {total} steps: {run.folder}")
    return cli.OK


def _rehearse(
    model: DepthModel, data: Any, stages: Sequence[Stage], flags: absl_flags.FlagValues, scope: Any
) -> int:
    from kdepth.data import user_errors
    from kdepth.training.dry_run import rehearse

    with user_errors(), scope.scope():
        lines = rehearse(
            model, data, stages, lambda stage, n: _optimizer(model, flags, stages, stage, n)
        )
    print("\n".join([*lines, "dry run: nothing was written"]))
    return cli.OK


def paper_options(flags: absl_flags.FlagValues, paper: type[DepthModel]) -> dict[str, Any]:
    """The constructor arguments of a paper that the flags ask for.

    Raises:
        UserError: if the paper has no such ablation or option, or a value has the wrong type.
    """
    import inspect

    names = ("variant", "width", "height", "image_width", "pair")
    options = {name: flags[name].value for name in names if flags[name].value is not None}
    options["seed"] = flags.seed
    if flags.ablation:
        if flags.ablation not in paper.ablations:
            known = ", ".join(paper.ablations) or "none"
            raise UserError(f"{flags.paper} has no ablation '{flags.ablation}'; it has: {known}")
        options.update(paper.ablations[flags.ablation])
    parameters = inspect.signature(paper.__init__).parameters
    for text in flags.option:
        name, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--option must be name=value; received '{text}'")
        if name not in parameters:
            raise UserError(f"{flags.paper} has no option '{name}'; --option=help lists them")
        options[name] = _typed(name, value, str(parameters[name].annotation))
    for name in options:
        if name not in parameters:
            raise UserError(f"{flags.paper} takes no --{name}")
    return options


def _typed(name: str, text: str, annotation: str) -> Any:
    """Text as the type that a constructor argument is annotated with."""
    for kind, convert in (("bool", _boolean), ("int", int), ("float", float)):
        if annotation.split(" ")[0] == kind:
            try:
                return convert(text)
            except ValueError:
                raise UserError(f"--option={name}={text}: must be {kind}") from None
    return text


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def _options_help(paper: type[DepthModel]) -> str:
    import inspect

    parameters = list(inspect.signature(paper.__init__).parameters.values())[1:]
    head = f"options of {paper.paper} (--option=name=value):"
    lines = [f"  {p.name} = {p.default!r}  ({p.annotation})" for p in parameters]
    return "\n".join([head, *lines, "", inspect.getdoc(paper.__init__) or ""])


def _apply_settings(model: DepthModel, flags: absl_flags.FlagValues) -> None:
    changes = {"name": flags.optimizer, "weight_decay": flags.weight_decay}
    changes = {name: value for name, value in changes.items() if value is not None}
    model.optimizer_settings = dataclasses.replace(model.optimizer_settings, **changes)
    model.compile(clip_norm=flags.clip_norm, jit_compile=flags.jit)


def _data_dir(flags: absl_flags.FlagValues) -> Path:
    if flags.dataset == "synthetic":
        from kdepth.data import synthetic

        return synthetic.ensure(flags.data_dir)
    if not flags.data_dir:
        raise UserError(
            f"--data_dir is required for --dataset={flags.dataset}: the folder that holds the data set"
        )
    return Path(flags.data_dir)


def _load(model: DepthModel, flags: absl_flags.FlagValues, data_dir: Path) -> Any:
    from kdepth.data import load_records, open_reader, require_keys

    require_keys(flags.dataset, model.sample_keys, model.paper)
    options = _reader_options(flags)
    if flags.on_bad_sample == "skip":
        options["on_missing"] = "skip"
    reader = open_reader(flags.dataset, data_dir, **options)
    records = reader.records(_split(flags), model.sample_keys, model.source_offsets)
    if flags.control == "shuffled":
        records = _shuffled(records, flags.seed)
    return load_records(
        records,
        model=model,
        batch_size=flags.batch_size,
        seed=flags.seed,
        on_bad_sample=flags.on_bad_sample,
        cache=flags.cache,
    )


def _reader_options(flags: absl_flags.FlagValues) -> dict[str, Any]:
    from kdepth.data import parse_options

    return parse_options(flags.dataset, flags.reader_option)


def _split(flags: absl_flags.FlagValues) -> str:
    if flags.split:
        return flags.split
    if flags.dataset == "synthetic":
        return "train"
    raise UserError(
        f"--split is required for --dataset={flags.dataset}: a split's name, or a file with a list"
    )


def _shuffled(records: Sequence[Record], seed: int) -> list[Record]:
    """The control: every image with what belongs to another one (its partner views and its depth)."""
    others = list(records)
    random.Random(seed).shuffle(others)
    return [
        dataclasses.replace(record, stereo=other.stereo, sources=other.sources, depth=other.depth)
        for record, other in zip(records, others)
    ]


def _stages(model: DepthModel, flags: absl_flags.FlagValues) -> tuple[Stage, ...]:
    from kdepth.training.loop import with_epochs

    names = ", ".join(stage.name for stage in model.stages)
    epochs = _numbers("epochs", flags.epochs, int)
    rates = _numbers("learning_rate", flags.learning_rate, float)
    if flags.ablation:  # it may leave out later stages, for which the paper's config has numbers
        epochs, rates = (n and n[: len(model.stages)] for n in (epochs, rates))
    if epochs is not None and (len(epochs) != len(model.stages) or min(epochs) < 0):
        raise UserError(
            f"--epochs must have {len(model.stages)} numbers, one for each stage of {model.paper} ({names});"
            f" received {','.join(flags.epochs)}"
        )
    stages = with_epochs(model.stages, epochs)
    if rates is None:
        return stages
    if len(rates) == 1:
        rates = [rates[0] * stage.learning_rate / stages[0].learning_rate for stage in stages]
    if len(rates) != len(stages):
        raise UserError(
            f"--learning_rate must be one number, or {len(stages)}: one for each stage ({names});"
            f" received {','.join(flags.learning_rate)}"
        )
    return tuple(dataclasses.replace(s, learning_rate=rate) for s, rate in zip(stages, rates))


def _numbers(name: str, texts: Sequence[str] | None, kind: type) -> list[Any] | None:
    if texts is None:
        return None
    try:
        return [kind(text) for text in texts]
    except ValueError:
        raise UserError(f"--{name} must be numbers; received {','.join(texts)}") from None


def _optimizer(
    model: DepthModel,
    flags: absl_flags.FlagValues,
    stages: Sequence[Stage],
    stage: Stage,
    steps: int,
) -> Any:
    from kdepth.training.schedules import Schedule

    rate = next(s.learning_rate for s in stages if s.name == stage.name)
    if flags.schedule != "constant" or flags.warmup_steps:
        rate = Schedule(rate, flags.schedule, steps, flags.warmup_steps)
    return model.default_optimizer(rate)


def _pictures(data: Any) -> dict[str, Any]:
    import numpy as np

    batch = next(iter(data.take(1)))
    return {key: np.asarray(value)[:_PICTURES] for key, value in batch.items()}


# -- the run's folder --------------------------------------------------------------------------------------------------


def _is_finished(run: Run, flags: absl_flags.FlagValues) -> bool:
    """Whether the folder holds this very run, finished.

    Raises:
        UserError: if it holds something else.
    """
    if not run.folder.exists():
        return False
    if not run.description.exists():
        if run.folder.is_dir() and not any(run.folder.iterdir()):
            return False
        raise UserError(f"{run.folder} exists and is no training run: choose another --run")
    info = run.info
    if info.get("state") == CONVERTED:
        raise UserError(
            f"{run.folder} holds converted weights, which stay as they are: choose another --run and"
            f" start from them with --init_weights={run.folder}"
        )
    before = _values(run.flags.read_text(), flags)
    after = _values(_compared(flags), flags)
    changed = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    if changed:
        name = changed[0]
        raise UserError(
            f"{run.folder} holds a run with other flags ({name} was {before.get(name, 'not given')}, is"
            f" {after.get(name, 'not given')}): repeat its flags ({run.flags}) or choose another --run"
        )
    return info["state"] == "finished"


def _values(flagfile: str, flags: absl_flags.FlagValues) -> dict[str, str]:
    """Flag -> value; a flag that is given several times has all its values.

    Args:
        flagfile: the text of a flagfile in which every flag has a line.
        flags: tell `--nojit`, which is jit=false, from a flag of that name.
    """
    values: dict[str, str] = {}
    for line in filter(None, flagfile.splitlines()):
        name, equals, value = line.lstrip("-").partition("=")
        if not equals:  # a boolean one
            negated = name not in flags and name.startswith("no")
            name, value = (name[2:], "false") if negated else (name, "true")
        values[name] = f"{values[name]} {value}" if name in values else value
    return values


def _compared(flags: absl_flags.FlagValues) -> str:
    """The flags that make a run what it is, as a flagfile."""
    lines = sorted(cli.to_flagfile(flags).splitlines(), key=lambda line: line.split("=")[0])
    kept = (line for line in lines if not _FREE_FLAGS & set(_values(line, flags)))
    return "".join(f"{line}\n" for line in kept)  # repeated flags in order


def _describe(
    model: DepthModel, flags: absl_flags.FlagValues, run: Run, data_dir: Path, facts: Any
) -> None:
    """Writes what this run is before it starts; a run that goes on keeps its start."""
    from kdepth import backend
    from kdepth.evaluation.protocols import default_for

    run.folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(run.flags) as path:
        path.write_text(_compared(flags))
    before = run.info if run.description.exists() else {}
    started = before["started"] if before else now()
    # What is tuned from published weights is under their licence too, also when they are gone.
    found = before.get("licence")
    if not found and flags.init_weights:
        found = licence_of(flags.init_weights)
    licence = {"licence": found} if found else {}
    run.write_info(
        {
            **model_info(model),
            "variant": flags.variant or dict(model.options).get("variant"),
            "ablation": flags.ablation,
            "control": flags.control,
            "dataset": flags.dataset,
            "data_dir": str(data_dir),
            "reader_options": _reader_options(flags),
            "split": _split(flags),
            "samples": len(facts.records),
            "batch_size": flags.batch_size,
            "epochs": [s.epochs for s in _stages(model, flags)],
            "seed": flags.seed,
            "init_weights": flags.init_weights,
            **licence,
            "protocol": default_for(flags.dataset, _split(flags)).name,
            "versions": {**versions(), "backend": backend.BACKEND},
            "started": started,
            "state": "training",
        }
    )


if __name__ == "__main__":
    cli.run("train")
