"""Predict depth for a picture or a folder, with a run or an exported model.

Per picture and at its own size come a colour map (<name>_color.png, near is bright), a float32 .npy
and a 16-bit PNG. The latter two are called <name>_depth where the prediction is metric (metres; PNG
in KITTI's convention, 256 * metres), <name>_disparity from a stereo paper without a camera (npy:
fraction of the width; PNG: 256 * pixels) and <name>_relative_depth where the scale is unknown.
predictions.json says what every file is.

Example:
  python -m kdepth.predict --run=runs/garg --input=street.png --out=predictions
  python -m kdepth.predict --model=exports/garg/garg.tflite --fx=721.5
      --input=photos --out=predictions
"""

from __future__ import annotations

import collections
import dataclasses
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags as absl_flags
from absl import logging

from kdepth import visualize
from kdepth.data.image import DEPTH_SCALE, read_image, write_depth_png, write_image
from kdepth.errors import UserError
from kdepth.files import atomic_path
from kdepth.pictures import CameraOf, focal_camera, image_files, kitti_camera, pinhole
from kdepth.prediction import Prediction, Rig
from kdepth.runtime import DepthModel, ModelFacts, Network, predict_image

SUMMARY = "predictions.json"


@dataclasses.dataclass(frozen=True)
class ColorSettings:
    """How the colour maps are made.

    Attributes:
        vmin: lowest value of the range in the prediction's unit; None takes it from every picture.
        vmax: highest value.
        colormap: its name.
    """

    vmin: float | None
    vmax: float | None
    colormap: str


def define_flags(flags: absl_flags.FlagValues) -> None:
    """Defines the command's flags."""
    from kdepth import cli

    cli.define_run_flag(flags, "The run to predict with, for example runs/garg.")
    absl_flags.DEFINE_string(
        "model",
        None,
        "An exported model to predict with, in the place of --run.",
        flag_values=flags,
    )
    absl_flags.DEFINE_string(
        "input", None, "A picture, or a folder of pictures.", flag_values=flags
    )
    absl_flags.DEFINE_string(
        "out",
        None,
        "The folder for the results: per picture a colour map, a 16-bit PNG (KITTI's convention)"
        " and a float32 .npy, named _depth, _disparity or _relative_depth after what they hold; and"
        f" {SUMMARY}.",
        flag_values=flags,
    )
    absl_flags.DEFINE_integer(
        "threads", None, "Threads of the interpreter (--model).", lower_bound=1, flag_values=flags
    )
    absl_flags.DEFINE_enum(
        "on_bad_sample",
        "stop",
        ["stop", "skip"],
        "A picture that cannot be read: stop and name it, or skip, count and report it.",
        flag_values=flags,
    )
    with cli.group(flags, "camera (for metres from papers that learned from stereo pairs)"):
        absl_flags.DEFINE_float(
            "fx",
            None,
            "Horizontal focal length in pixels of the input pictures.",
            flag_values=flags,
        )
        absl_flags.DEFINE_string(
            "kitti_calib",
            None,
            "A KITTI calib_cam_to_cam.txt that tells the camera.",
            flag_values=flags,
        )
        absl_flags.DEFINE_integer(
            "kitti_camera", 2, "Which camera of --kitti_calib: 0 to 3.", 0, 3, flag_values=flags
        )
        absl_flags.DEFINE_bool(
            "assume_training_camera",
            False,
            "Assume that the pictures have the field of view of the training camera.",
            flag_values=flags,
        )
        absl_flags.DEFINE_float(
            "baseline",
            None,
            "Metres, in the place of the training rig's baseline.",
            flag_values=flags,
        )
    with cli.group(flags, "colour map"):
        absl_flags.DEFINE_float(
            "vmin",
            None,
            "Lowest value of the range, in the unit of the .npy; by default each picture's"
            " percentiles.",
            flag_values=flags,
        )
        absl_flags.DEFINE_float("vmax", None, "Highest value of the range.", flag_values=flags)
        absl_flags.DEFINE_string(
            "colormap",
            visualize.DEFAULT_COLORMAP,
            "magma, gray, or any of matplotlib's.",
            flag_values=flags,
        )


def main(flags: absl_flags.FlagValues) -> int:
    """Predicts every picture and writes the results."""
    files, out = _checked_paths(flags)
    colors = _checked_colors(flags)
    facts, network = _open(flags)
    rig = _rig(flags, facts)
    camera_of_picture = _camera_source(flags, facts, rig)

    entries: list[dict[str, Any]] = []
    skipped: list[str] = []
    started = time.perf_counter()
    for file in _with_progress(files):
        try:
            image = read_image(file)
        except UserError as error:
            if flags.on_bad_sample == "stop":
                raise UserError(f"{error} (--on_bad_sample=skip goes on without it)") from None
            logging.warning("skipped: %s", error)
            skipped.append(str(file))
            continue
        height, width = image.shape[:2]
        prediction = predict_image(
            network, facts, image, camera_of_picture(file, width, height), rig
        )
        if prediction.quantity == "inverse_depth":
            prediction = prediction.to_depth()
        if not np.isfinite(prediction.values).all():
            raise UserError(
                f"{file}: the model predicts NaN or inf for it, so nothing is written for it;"
                " train the model again"
            )
        entries.append(
            {
                "image": str(file),
                "width": width,
                "height": height,
                **_write(out, file, prediction, colors),
            }
        )
    seconds = time.perf_counter() - started
    if not entries:
        raise UserError(f"{flags.input}: none of its {len(files)} pictures could be read")
    summary = {
        "format": 1,
        "model": str(flags.model or flags.run),
        **facts.to_dict(),
        "camera": _camera_text(flags, rig),
        "predictions": entries,
        "skipped": skipped,
    }
    with atomic_path(out / SUMMARY) as path:
        path.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    first = entries[0]
    pictures = "picture" if len(entries) == 1 else "pictures"
    note = f", {len(skipped)} skipped" if skipped else ""
    print(
        f"{len(entries)} {pictures} in {seconds:.1f} s ({len(entries) / seconds:.1f}/s){note}:"
        f" {first['quantity']} ({first['unit']}) in {out}"
    )
    return 0


# -- what was asked for ----------------------------------------------------------------------------


def _checked_paths(flags: absl_flags.FlagValues) -> tuple[list[Path], Path]:
    """The pictures and the output folder."""
    if bool(flags.run) == bool(flags.model):
        raise UserError("give one of --run=runs/<name> and --model=<exported file>")
    for name in ("input", "out"):
        if not flags[name].value:
            raise UserError(f"--{name} is required")
    files, out = image_files(Path(flags.input)), Path(flags.out)
    if out.exists() and not out.is_dir():
        raise UserError(f"--out={out} is a file; name a folder")
    if out.resolve() == files[0].parent.resolve() and Path(flags.input).is_dir():
        raise UserError(
            f"--out={out} is the folder of --input: the next call would take the results as"
            " pictures"
        )
    for stem, count in collections.Counter(file.stem for file in files).items():
        if count > 1:
            raise UserError(
                f"{flags.input} holds {count} pictures called '{stem}': their results would collide"
            )
    return files, out


def _checked_colors(flags: absl_flags.FlagValues) -> ColorSettings:
    vmin, vmax = flags.vmin, flags.vmax
    if (vmin is not None and vmin < 0) or (vmax is not None and vmax <= 0):
        raise UserError("--vmin must be at least 0 and --vmax above 0")
    if vmin is not None and vmax is not None and vmin >= vmax:
        raise UserError(f"--vmin={vmin} must be below --vmax={vmax}")
    visualize.color_table(flags.colormap)  # finds an unknown name before the work, not after
    return ColorSettings(vmin, vmax, flags.colormap)


def _open(flags: absl_flags.FlagValues) -> tuple[ModelFacts, Network]:
    """The facts and the network of --model or --run."""
    if flags.model:
        model = DepthModel(flags.model, threads=flags.threads)
        return model.facts, model.run

    import kdepth
    from kdepth import backend

    trained = kdepth.load_run(flags.run)
    outputs = backend.compiled(trained.depth_outputs)

    def network(images: np.ndarray) -> np.ndarray:
        return backend.to_numpy(outputs(images)[trained.output_name])

    return ModelFacts.of_model(trained), network


def _rig(flags: absl_flags.FlagValues, facts: ModelFacts) -> Rig | None:
    """The training rig, its baseline overridden by --baseline."""
    if flags.baseline is None:
        return facts.rig
    if flags.baseline <= 0:
        raise UserError(f"--baseline={flags.baseline} must be a positive number of metres")
    return Rig(flags.baseline, facts.rig.focal if facts.rig else float("nan"))


def _camera_source(flags: absl_flags.FlagValues, facts: ModelFacts, rig: Rig | None) -> CameraOf:
    """How to find the camera of a picture, from the flags.

    Raises:
        UserError: if they contradict each other or make no sense.
    """
    asked = [flags.fx is not None, bool(flags.kitti_calib), flags.assume_training_camera]
    if sum(asked) > 1:
        raise UserError("give only one of --fx, --kitti_calib and --assume_training_camera")
    if facts.output_name != "disparity":
        if any(asked) or flags.baseline is not None:
            logging.warning(
                "%s predicts %s depth, which no camera changes", facts.paper, facts.kind
            )
        return lambda file, width, height: None
    if flags.fx is not None:
        return focal_camera(flags.fx)
    if flags.kitti_calib:
        return kitti_camera(Path(flags.kitti_calib), flags.kitti_camera)
    if flags.assume_training_camera:
        if facts.rig is None:
            raise UserError(
                "--assume_training_camera: this model does not know the camera it was trained"
                " with; use --fx"
            )
        logging.warning(
            "metres hold if the pictures have the training camera's field of view (fx = %.3f of"
            " the width)",
            facts.rig.focal,
        )
        return lambda file, width, height: pinhole(facts.rig.focal * width, width, height)
    if flags.baseline is not None:
        raise UserError(
            "--baseline gives metres only together with --fx, --kitti_calib or"
            " --assume_training_camera"
        )
    logging.warning(
        "no camera is given, so this is disparity, not depth; --fx=<pixels> or"
        " --kitti_calib=<file> gives metres,"
        " --assume_training_camera guesses them"
    )
    return lambda file, width, height: None


def _camera_text(flags: absl_flags.FlagValues, rig: Rig | None) -> str | None:
    """Where metres came from, for the summary."""
    baseline = f", baseline {rig.baseline:g} m" if rig else ""
    if flags.fx is not None:
        return f"--fx={flags.fx:g}{baseline}"
    if flags.kitti_calib:
        return f"{flags.kitti_calib}, camera {flags.kitti_camera}{baseline}"
    return f"assumed: the training camera{baseline}" if flags.assume_training_camera else None


# -- results ---------------------------------------------------------------------------------------


def _write(out: Path, file: Path, prediction: Prediction, colors: ColorSettings) -> dict[str, Any]:
    """Writes the three files of a picture and returns what the summary says about them."""
    values = prediction.values[0]
    if prediction.quantity == "disparity":
        name, png, png_unit = "disparity", values * values.shape[1], "pixels"
        color = visualize.colorize(values, colors.vmin, colors.vmax, colors.colormap)
    else:
        name, png, png_unit = "depth", values, prediction.unit
        if prediction.kind == "relative":
            name = "relative_depth"
        # --vmin=0 is "up to the camera", which has no inverse.
        color = visualize.colorize_depth(values, colors.vmin or None, colors.vmax, colors.colormap)
    scale = _png_scale(prediction.kind, png)
    stem = out / f"{file.stem}_{name}"
    npy_path, png_path = stem.with_name(f"{stem.name}.npy"), stem.with_name(f"{stem.name}.png")
    color_path = out / f"{file.stem}_color.png"
    with atomic_path(npy_path) as path:
        np.save(path, values.astype(np.float32), allow_pickle=False)
    write_depth_png(png_path, png * (scale / DEPTH_SCALE))
    write_image(color_path, color)
    return {
        "quantity": name,
        "kind": prediction.kind,
        "unit": prediction.unit,
        "npy": npy_path.name,
        "png16": png_path.name,
        "png16_scale": scale,
        "png16_unit": png_unit,
        "color": color_path.name,
    }


def _png_scale(kind: str, values: np.ndarray) -> float:
    """Steps of the 16-bit PNG per unit: KITTI's 256 for metres, and for pixels as long as they fit.

    Relative depth may have any range, so it takes the largest power of two that fits.
    """
    if kind == "metric":
        return DEPTH_SCALE
    largest = float(values.max())
    fits = 2.0 ** np.floor(np.log2(65535.0 / largest)) if largest > 0 else DEPTH_SCALE
    return float(min(fits, DEPTH_SCALE) if kind == "disparity" else fits)


def _with_progress(files: list[Path]) -> Iterable[Path]:
    """A progress bar where tqdm is installed; the runtime does not pull it."""
    try:
        from tqdm import tqdm
    except ImportError:
        return files
    return tqdm(files, unit="picture", dynamic_ncols=True, mininterval=0.5, leave=False)


if __name__ == "__main__":
    from kdepth import cli

    cli.run("predict")
