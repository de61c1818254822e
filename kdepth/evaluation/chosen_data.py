"""Which data an evaluation is about: by its flags, else by what the scored network was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from absl import flags as absl_flags
from absl import logging

from kdepth.data import lasting_options, parse_options
from kdepth.errors import UserError
from kdepth.evaluation import protocols
from kdepth.evaluation.protocol import Protocol
from kdepth.evaluation.sources import TEST_SPLITS, TRAIN_SPLITS, Source


def scored_data(flags: absl_flags.FlagValues, info: dict[str, Any]) -> tuple[Source, Protocol]:
    """What is scored, and by which protocol.

    Args:
        flags: of `evaluate`.
        info: what is known of the network's training: some of a run's `run.json`.

    Raises:
        UserError: if a flag is missing, or they do not fit together.
    """
    dataset = flags.dataset or info.get("dataset")
    if not dataset:
        raise UserError("--dataset is required: no run says which data to score")
    named = protocols.find(flags.protocol) if flags.protocol else None
    split = flags.split or (named.split if named else "")
    split = split or TEST_SPLITS.get(dataset) or protocols.default_for(dataset).split
    protocol = (named or protocols.default_for(dataset, split)).replace(
        crop=flags.crop,
        cap=flags.cap,
        scaling=flags.scaling,
        interpolation=flags.interpolation,
        view=flags.view,
        ground_truth=flags.ground_truth,
    )
    protocol.check_dataset(dataset)
    known = info.get("data_dir") if dataset == info.get("dataset") else None
    data_dir = _data_dir(dataset, flags.data_dir or known, "data_dir")
    options = _reader_options(flags, info, dataset, protocol)
    test = Source(dataset, data_dir, split, flags.on_bad_sample, options)
    if not split:
        raise UserError(
            f"--split is required: {dataset} has no test split of its own; it has {test.splits()}"
        )
    return test, protocol


def _reader_options(
    flags: absl_flags.FlagValues, info: dict[str, Any], dataset: str, protocol: Protocol
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


def baseline_data(flags: absl_flags.FlagValues, info: dict[str, Any], test: Source) -> Source:
    """What baselines are fitted on: by the flags, else what the network was trained on.

    Args:
        flags: of `evaluate`.
        info: as for `scored_data`.
        test: what is scored.

    Raises:
        UserError: if that is not known.
    """
    trained = trained_on(info, test)
    dataset = flags.baseline_dataset or trained.dataset
    same = dataset == trained.dataset
    split = flags.baseline_split or (trained.split if same else TRAIN_SPLITS.get(dataset))
    data_dir = flags.baseline_data_dir or (trained.data_dir if same else None)
    data_dir = _data_dir(dataset, data_dir, "baseline_data_dir")
    options = next((s.reader_options for s in (test, trained) if s.dataset == dataset), {})
    train = Source(dataset, data_dir, split or "", test.on_bad_sample, options)
    if not split:
        raise UserError(
            f"--baseline_split is required: which part of {dataset} is for training the baselines? "
            f"It has {train.splits()}; or --baseline_dataset names another data set"
        )
    if train.is_same_as(test):
        logging.warning("the baselines are fitted on the scored frames, %s", test.name)
    return train


def trained_on(info: dict[str, Any], test: Source) -> Source:
    """The network's training data; where nobody knows, the train split of what is scored.

    Args:
        info: as for `scored_data`.
        test: what is scored.
    """
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
