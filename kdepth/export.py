"""Export a trained run as TFLite, ONNX and SavedModel files, verified against the Keras model.

Every file is run and compared with the model on pictures. If one differs or gives NaN, the command
ends with status 1 and writes nothing. float32 and float16 files are the default: they need no
calibration and lose next to nothing; --precisions asks for 8 bits.

Example:
  python -m kdepth.export --run=runs/garg
  python -m kdepth.export --run=runs/garg --formats=tflite --precisions=float32,int8,int8_float_head
  python -m kdepth.export --run=runs/garg --formats=onnx --layout=nchw --input=uint8 --output=depth
  python -m kdepth.export --run=runs/scdepth --part=pose
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags as absl_flags
from absl import logging

from kdepth.errors import UserError
from kdepth.exporters import DEFAULT_PRECISIONS, FORMATS, PICTURES, PRECISIONS, Artefact
from kdepth.exporters.graph import INPUTS, LAYOUTS, OUTPUTS
from kdepth.exporters.plan import Choices
from kdepth.runtime import PARTS

# Facts of a run that its exported files carry along, where the run has them.
RUN_FACTS = (
    *("dataset", "split", "seed", "options", "ablation", "control", "batch_size", "epochs"),
    *("protocol", "state", "finished", "versions"),
    *("release", "licence", "trained_on"),  # of converted weights
)
_CALIBRATION = ("calibration_samples", "calibration_seed", "calibration_images")
# What they carry of the run's row in the results table.
SCORE_FACTS = (
    *("date", "protocol", "protocol_description", "dataset", "split", "images"),
    *("abs_rel", "sq_rel", "rmse", "rmse_log", "delta1", "delta2", "delta3"),
    *("strongest_baseline", "baseline_abs_rel", "gain_percent"),
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
    absl_flags.DEFINE_list(
        "precisions",
        list(DEFAULT_PRECISIONS),
        f"Some of {', '.join(PRECISIONS)}; each format writes those that it has. dynamic: 8-bit"
        " weights; int8: 8 bits, also in and out; int8_float_io: float in and out; int8_float_head:"
        " the last layers stay float too.",
        flag_values=flags,
    )
    with cli.group(flags, "what the files take and give"):
        absl_flags.DEFINE_enum(
            "input",
            "float",
            list(INPUTS),
            "RGB in [0, 1], or raw 8-bit RGB.",
            flag_values=flags,
        )
        absl_flags.DEFINE_enum(
            "output",
            "native",
            list(OUTPUTS),
            "What the paper predicts, or depth: metres of a stereo paper for pictures with the"
            " training camera's field of view, depth up to a factor of papers that learn from video.",
            flag_values=flags,
        )
        absl_flags.DEFINE_enum(
            "layout",
            "nhwc",
            list(LAYOUTS),
            "Of images and maps of ONNX files.",
            flag_values=flags,
        )
        absl_flags.DEFINE_integer("opset", Choices.opset, "Of ONNX files.", flag_values=flags)
        absl_flags.DEFINE_integer(
            "height",
            None,
            "Rows of the input, in the place of the run's; for networks without dense layers.",
            lower_bound=1,
            flag_values=flags,
        )
        absl_flags.DEFINE_integer(
            "image_width", None, "Columns of the input, likewise.", lower_bound=1, flag_values=flags
        )
    with cli.group(flags, "pictures"):
        absl_flags.DEFINE_string(
            "images",
            None,
            "A picture or a folder of pictures to verify on; by default pictures of the run's own"
            " test split, or test patterns where its data is gone.",
            flag_values=flags,
        )
        absl_flags.DEFINE_integer(
            "calibration_samples",
            100,
            "Pictures of the training split that the ranges of 8-bit files are measured on.",
            lower_bound=1,
            flag_values=flags,
        )
        absl_flags.DEFINE_integer(
            "calibration_seed", 0, "Draws them.", lower_bound=0, flag_values=flags
        )
        absl_flags.DEFINE_string(
            "calibration_images",
            None,
            "A picture or a folder of pictures in their place.",
            flag_values=flags,
        )


def main(flags: absl_flags.FlagValues) -> int:
    """Exports, verifies, prints the parity of every file."""
    if not flags.run:
        raise UserError(
            "--run is required: the folder of a training run, for example --run=runs/garg"
        )

    choices = Choices(
        tuple(flags.formats), tuple(flags.precisions), flags.input, flags.layout, flags.opset
    )
    choices.check()
    given_in_vain = [name for name in _CALIBRATION if flags[name].present]
    if given_in_vain and not choices.wants_int8:
        raise UserError(
            f"--{given_in_vain[0]}: only 8-bit TFLite files are calibrated (--formats=tflite"
            " --precisions=int8, int8_float_io or int8_float_head)"
        )

    from kdepth.exporters import pictures as chosen

    given = None if flags.images is None else chosen.read_pictures(Path(flags.images))

    import kdepth
    from kdepth.exporters.verify import ParityError
    from kdepth.training.runs import Run

    run = Run(Path(flags.run))
    info = run.info
    model = _model(flags)
    if given is None:
        pictures, source = chosen.pictures_of_run(info, model.depth_views)
    else:
        pictures, source = given, str(flags.images)
    calibration = calibration_source = None
    if flags.calibration_images and model.depth_views == 2:
        raise UserError(
            "--calibration_images: this network looks at both views of a stereo pair, and pictures"
            " of a folder are no pairs; it is calibrated on its own training data"
        )
    if choices.wants_int8 and flags.calibration_images:
        folder = Path(flags.calibration_images)
        calibration = chosen.read_pictures(folder, flags.calibration_samples)
        calibration_source = str(folder)
    elif choices.wants_int8:
        calibration = chosen.calibration_of_run(
            info, flags.calibration_samples, flags.calibration_seed, model.depth_views
        )
        calibration_source = f"{info['dataset']} {info['split']}, seed {flags.calibration_seed}"
    out = Path(flags.out) if flags.out else Path("exports") / run.name
    facts = {"run": run.name, **{key: info[key] for key in RUN_FACTS if key in info}}
    # What the run reached, it reached at its own size.
    own_size = flags.height is None and flags.image_width is None
    try:
        artefacts = kdepth.export_model(
            model,
            out,
            choices.formats,
            precisions=choices.precisions,
            part=flags.part,
            output=flags.output,
            input_type=choices.input_type,
            layout=choices.layout,
            opset=choices.opset,
            calibration=calibration,
            pictures=pictures,
            pictures_source=source,
            calibration_source=calibration_source,
            facts=facts,
            score=score_of(Path(flags.run)) if flags.part == "depth" and own_size else None,
        )
    except ParityError as error:
        print(f"kdepth export: {error}", file=sys.stderr)
        return 1
    _print(artefacts)
    print(
        "parity = max|file - Keras| / range over the whole path, the worst of"
        f" {len(pictures) or PICTURES} pictures ({source})"
    )
    return 0


def _model(flags: absl_flags.FlagValues) -> Any:
    """The run's model, at another size where one is asked for.

    Raises:
        UserError: if the network cannot be of that size.
    """
    import keras

    import kdepth

    sizes = {"height": flags.height, "image_width": flags.image_width}
    asked = {name: value for name, value in sizes.items() if value is not None}
    if not asked:
        return kdepth.load_run(flags.run)
    own = kdepth.load_run(flags.run)
    dense = [
        layer.name
        for part in own.parts().values()
        for layer in part.layers
        if isinstance(layer, keras.layers.Dense)
    ]
    if dense:
        raise UserError(
            f"--height and --image_width: {own.paper} has dense layers ({', '.join(dense)}), whose"
            " weights belong to the size it was trained at: export it at that size, or train it anew"
        )
    return kdepth.load_run(flags.run, **asked)


def score_of(run: Path) -> dict[str, Any] | None:
    """What a run reached when it was evaluated last: its row in the results table beside it.

    Args:
        run: the run's folder.

    Returns:
        Figures and their protocol; None if it was not evaluated, or was trained anew since.
    """
    from kdepth.evaluation.systems import run_row
    from kdepth.evaluation.table import read_rows
    from kdepth.training.runs import Run

    name, info = Run(run).name, Run(run).info
    digest = run_row(run, info, {})["flags_digest"]
    try:
        rows = read_rows(run.parent / "results.csv")
    except UserError as error:
        logging.warning("the files will not tell the run's score: %s", error)
        rows = []
    rows = [
        row
        for row in rows
        if row.get("run") == row["system"] == name
        and row.get("flags_digest") == digest
        and row.get("date", "") >= info.get("finished", "")
        and row["abs_rel"]
    ]
    if not rows:
        return None
    return {key: _number(rows[-1][key]) for key in SCORE_FACTS if rows[-1].get(key)}


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _print(artefacts: Sequence[Artefact]) -> None:
    from tabulate import tabulate

    rows = [
        (
            str(a.path),
            "full int8" if a.full_int8 else a.precision,
            f"{a.input['dtype']} {a.input['layout']}",
            a.output["dtype"],
            f"{a.bytes / 2**20:.2f}",
            f"{a.parity:.1e}",
            f"{a.tolerance:.0e}",
        )
        for a in artefacts
    ]
    header = ["file", "computes in", "input", "output", "MiB", "parity", "tolerance"]
    print(tabulate(rows, header, disable_numparse=True))
    for a in artefacts:
        if a.float_operators:
            left = ", ".join(f"{name} x{count}" for name, count in a.float_operators.items())
            print(f"{a.path.name} computes in float: {left}")


if __name__ == "__main__":
    from kdepth import cli

    cli.run("export")
