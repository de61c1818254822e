r"""Prepares a data set once for many trainings: resized, in check-summed TFRecord shards, which every paper reads.

Pictures are resized as training does it, and decoding small ones is many times faster. Train from
the result with --dataset=prepared. The same command goes on after an interruption; on a complete
set it checks all shards and mends damaged ones.

Example:
    python -m kdepth.prepare --dataset=kitti_raw --data_dir=kitti --split=eigen_train \
        --out=prepared/eigen_train --keys=image,stereo,intrinsics,baseline --height=128 --image_width=416
    python -m kdepth.train --flagfile=configs/garg.cfg --dataset=prepared \
        --data_dir=prepared/eigen_train --split=all --run=runs/garg_prepared
"""

from __future__ import annotations

import os

from absl import flags as absl_flags

from kdepth import cli
from kdepth.errors import UserError


def define_flags(flags: absl_flags.FlagValues) -> None:
    """Defines the command's flags.

    Args:
        flags: where to define them.
    """
    from kdepth.data.image import RESIZE_METHODS
    from kdepth.data.preparation import Settings
    from kdepth.data.shards import ENCODINGS

    absl_flags.DEFINE_string("out", None, "Folder to write.", required=True, flag_values=flags)
    cli.define_data_flags(flags, split=None)
    with cli.group(flags, "contents"):
        absl_flags.DEFINE_list(
            "keys",
            None,
            "What trainings will ask for: image,stereo,intrinsics,baseline for papers on pairs; "
            "image,sources,intrinsics on video; image,depth on measured depth; or several of these.",
            required=True,
            flag_values=flags,
        )
        absl_flags.DEFINE_list("source_offsets", "-1,1", "Frames of `sources`.", flag_values=flags)
        for name, default, text in (
            ("height", None, "Rows: those of the network's input."),
            ("image_width", None, "Columns: those of the network's input."),
        ):
            absl_flags.DEFINE_integer(name, default, text, required=True, flag_values=flags)
        absl_flags.DEFINE_enum(
            "resize",
            Settings.resize,
            list(RESIZE_METHODS),
            "The paper's method (bilinear for sfmlearner, bicubic for garg's released variant).",
            flag_values=flags,
        )
        absl_flags.DEFINE_enum(
            "encoding",
            Settings.encoding,
            list(ENCODINGS),
            "Of pictures: png loses nothing, jpeg has two fifths of the size.",
            flag_values=flags,
        )
        absl_flags.DEFINE_integer("quality", Settings.quality, "Of jpeg.", flag_values=flags)
    with cli.group(flags, "machine"):
        absl_flags.DEFINE_integer(
            "shard_size", Settings.shard_size, "Pictures in a shard.", flag_values=flags
        )
        cli.define_workers_flag(flags)


def main(flags: absl_flags.FlagValues) -> int:
    """Prepares and says what was written.

    Args:
        flags: the parsed flags.

    Returns:
        0.

    Raises:
        UserError: if a flag, the data set or a file of it is bad.
    """
    from kdepth.data import parse_options, synthetic
    from kdepth.data.preparation import Settings, prepare

    if flags.dataset == "synthetic":
        data_dir = synthetic.ensure(flags.data_dir)
    elif flags.data_dir:
        data_dir = os.path.abspath(os.path.expanduser(flags.data_dir))
    else:
        raise UserError(f"--data_dir is required: where is {flags.dataset}?")
    split = flags.split or ("train" if flags.dataset == "synthetic" else None)
    if split is None:
        raise UserError(f"--split is required for --dataset={flags.dataset}")
    settings = Settings(
        dataset=flags.dataset,
        data_dir=str(data_dir),
        split=split,
        keys=tuple(sorted({key.strip() for key in flags.keys} - {"index"})),
        height=flags.height,
        image_width=flags.image_width,
        source_offsets=_offsets(flags.source_offsets),
        reader_options=parse_options(flags.dataset, flags.reader_option),
        resize=flags.resize,
        encoding=flags.encoding,
        quality=flags.quality,
        on_bad_sample=flags.on_bad_sample,
        shard_size=flags.shard_size,
    )
    workers = (os.cpu_count() or 1) if flags.workers is None else flags.workers
    manifest = prepare(settings, flags.out, workers)
    size = sum(manifest["shards"]) / 1e6
    print(
        f"{flags.out}: {len(manifest['samples'])} samples in {len(manifest['shards'])} shards, "
        f"{size:.1f} MB, {manifest['left_out']} left out"
    )
    return cli.OK


def _offsets(texts: list[str]) -> tuple[int, ...]:
    try:
        offsets = tuple(int(text) for text in texts)
    except ValueError:
        offsets = ()
    if not offsets or 0 in offsets or list(offsets) != sorted(set(offsets)):
        raise UserError(
            f"--source_offsets must be rising whole numbers without 0, received {','.join(texts)}"
        )
    return offsets


if __name__ == "__main__":
    cli.run("prepare")
