"""Export a trained run as TFLite, ONNX and SavedModel files, verified against the Keras model.

Every file is run and compared with the model on pictures. If one differs or gives NaN, the command
ends with status 1 and writes nothing.

Example:
  python -m kdepth.export --run=runs/garg
  python -m kdepth.export --run=runs/garg --out=exports/garg --formats=tflite --nofloat16
  python -m kdepth.export --run=runs/scdepth --part=pose
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags as absl_flags
from absl import logging

from kdepth.errors import UserError
from kdepth.exporters import FORMATS, PICTURES
from kdepth.pictures import image_files
from kdepth.runtime import PARTS

# Facts of a run that its exported files carry along, where the run has them.
RUN_FACTS = (
    *("dataset", "split", "seed", "options", "protocol", "state", "versions"),
    *("release", "licence", "trained_on"),  # of converted weights
)


def define_flags(flags: absl_flags.FlagValues) -> None:
    """Defines the command's flags."""
    from kdepth import cli

    cli.define_run_flag(flags, "The run to export, for example runs/garg.")
    absl_flags.DEFINE_string(
        "out",
        None,
        "Folder of the exported files; exports/<name of the run> if not given.",
        flag_values=flags,
    )
    absl_flags.DEFINE_enum(
        "part", "depth", list(PARTS), "Which network; pose where there is one.", flag_values=flags
    )
    absl_flags.DEFINE_list(
        "formats", list(FORMATS), "What to write, separated by commas.", flag_values=flags
    )
    absl_flags.DEFINE_bool(
        "float16",
        True,
        "With tflite, also a file with float16 weights, half the size.",
        flag_values=flags,
    )
    absl_flags.DEFINE_string(
        "images",
        None,
        "A picture or a folder of pictures to verify on; by default pictures of the run's own test"
        " split, or test patterns where its data is gone.",
        flag_values=flags,
    )


def main(flags: absl_flags.FlagValues) -> int:
    """Exports, verifies, prints the parity of every file."""
    if not flags.run:
        raise UserError(
            "--run is required: the folder of a training run, for example --run=runs/garg"
        )
    unknown = sorted(set(flags.formats) - set(FORMATS))
    if unknown or not flags.formats:
        raise UserError(f"--formats={','.join(flags.formats)}: choose some of {', '.join(FORMATS)}")
    given = None if flags.images is None else read_pictures(Path(flags.images))

    from tabulate import tabulate

    import kdepth
    from kdepth.exporters.verify import ParityError
    from kdepth.training.runs import Run

    run = Run(Path(flags.run))
    model = kdepth.load_run(flags.run)
    if given is None:
        pictures, source = pictures_of_run(run.info)
    else:
        pictures, source = given, str(flags.images)
    out = Path(flags.out) if flags.out else Path("exports") / Path(flags.run).resolve().name
    facts = {"run": str(flags.run), **{key: run.info[key] for key in RUN_FACTS if key in run.info}}
    try:
        artefacts = kdepth.export_model(
            model,
            out,
            flags.formats,
            part=flags.part,
            float16=flags.float16,
            pictures=pictures,
            pictures_source=source,
            facts=facts,
        )
    except ParityError as error:
        print(f"kdepth export: {error}", file=sys.stderr)
        return 1
    rows = [
        (
            str(a.path),
            a.precision,
            f"{a.bytes / 2**20:.2f}",
            f"{a.parity:.1e}",
            f"{a.tolerance:.0e}",
        )
        for a in artefacts
    ]
    print(tabulate(rows, ["file", "weights", "MiB", "parity", "tolerance"], disable_numparse=True))
    print(
        f"parity = max|file - Keras| / range, the worst of {len(pictures) or PICTURES} pictures"
        f" ({source})"
    )
    return 0


def read_pictures(path: Path, limit: int = PICTURES) -> list[np.ndarray]:
    """Pictures of a file or evenly over a folder, uint8 [H, W, 3].

    Raises:
        UserError: if there is none, or one cannot be read.
    """
    from kdepth.data.image import read_image

    return [read_image(file) for file in _spread(image_files(path), limit)]


def pictures_of_run(info: Mapping[str, Any]) -> tuple[list[np.ndarray], str]:
    """Pictures of a run's test split and where they are from; none where its data is not at hand.

    Args:
        info: the run's facts, with `dataset`, `data_dir` and `split`.
    """
    from kdepth.data import open_reader
    from kdepth.data.sample import load_image
    from kdepth.data.synthetic import default_data_dir

    if "dataset" not in info:  # converted weights
        logging.warning("the run names no data of its own: --images= gives pictures to verify on")
        return [], "test patterns"
    try:
        data_dir = info.get("data_dir") or default_data_dir()
        reader = open_reader(info["dataset"], data_dir, **info.get("reader_options", {}))
        candidates = [name for name in reader.splits() if "test" in name] + [info["split"]]
    except (UserError, KeyError) as error:
        logging.warning("no pictures of the run's own data (%s): --images= gives others", error)
        return [], "test patterns"
    for split in candidates:
        try:
            records = _spread(reader.records(split, frozenset({"image"})), PICTURES)
            pictures = [load_image(record.image) for record in records]
        except UserError as error:  # a package split of drives that are not all here
            logging.info("no pictures of split %s: %s", split, error)
            continue
        return pictures, f"{info['dataset']} {split}"
    return [], "test patterns"


def _spread(items: Sequence[Any], count: int) -> list[Any]:
    """At most `count` items, evenly over all."""
    if len(items) <= count:
        return list(items)
    return [items[i] for i in np.linspace(0, len(items) - 1, count).round().astype(int)]


if __name__ == "__main__":
    from kdepth import cli

    cli.run("export")
