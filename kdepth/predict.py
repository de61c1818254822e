"""Predict depth for pictures, a folder, a video or a camera, with a run or an exported model.

Pictures get, each at its own size, a colour map (<name>_color.png, near is bright), a float32 .npy
and a 16-bit PNG; a video or a camera gets an MP4 of the frames beside their depth, coloured without
flicker. --outputs chooses others, among them coloured point clouds (PLY). Files are called _depth
where the prediction is metric (metres), _disparity from a stereo paper without a camera, and
_relative_depth where the scale is unknown. predictions.json says what every file is.

Example:
  python -m kdepth.predict --run=runs/garg --input=street.png --out=predictions
  python -m kdepth.predict --model=exports/garg/garg.tflite --fx=721.5
      --input=photos --out=predictions --outputs=color,ply
  python -m kdepth.predict --model=exports/garg/garg.tflite --input=drive.mp4 --out=predictions
  python -m kdepth.predict --model=exports/garg/garg.tflite --input=camera:0 --out=predictions
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags as absl_flags
from absl import logging

from kdepth import camera_flags, visualize
from kdepth.errors import UserError
from kdepth.files import atomic_path
from kdepth.output import color, outputs
from kdepth.output.result import Result
from kdepth.pictures import CameraOf
from kdepth.prediction import Rig
from kdepth.runtime import DepthModel, ModelFacts, Network, predict_image
from kdepth.sources import PICTURE_RATE, Frame, Pictures, Source, open_source

SUMMARY = "predictions.json"
# What is written by default of pictures, and of videos and cameras.
PICTURE_OUTPUTS = ("color", "npy", "png16")
VIDEO_OUTPUTS = ("mp4",)
# Metres; the field's usual cap. Beyond it a cloud is sky.
MAX_DEPTH = 80.0
_LOG_EVERY = 5.0  # seconds between lines of progress where tqdm is missing


def define_flags(flags: absl_flags.FlagValues) -> None:
    """Defines the command's flags."""
    from kdepth import cli

    def text(name: str, help: str) -> None:
        absl_flags.DEFINE_string(name, None, help, flag_values=flags)

    def number(name: str, help: str, default: float | None = None) -> None:
        absl_flags.DEFINE_float(name, default, help, flag_values=flags)

    def count(name: str, help: str, default: int | None = None) -> None:
        absl_flags.DEFINE_integer(name, default, help, lower_bound=1, flag_values=flags)

    cli.define_run_flag(flags, "The run to predict with, for example runs/garg.")
    text("model", "An exported model to predict with, in the place of --run.")
    count("threads", "Threads of the interpreter (--model).")
    with cli.group(flags, "input"):
        text(
            "input",
            "A picture, a folder of pictures, a video file, or camera:0, the first camera of this"
            " machine (camera:<device> another one; Ctrl-C ends it).",
        )
        count("step", "Use every so many-th frame of a video.", 1)
        count("frames", "Stop after so many pictures or frames.")
        absl_flags.DEFINE_multi_string(
            "device_option",
            [],
            "An option of the camera's driver as name=value, for example video_size=1280x720; give"
            " it several times.",
            flag_values=flags,
        )
        absl_flags.DEFINE_enum(
            "on_bad_sample",
            "stop",
            ["stop", "skip"],
            "A picture that cannot be read: stop and name it, or skip, count and report it. A video"
            " that breaks off is used up to there.",
            flag_values=flags,
        )
    with cli.group(flags, "output"):
        text("out", f"The folder for the results and {SUMMARY}.")
        absl_flags.DEFINE_list(
            "outputs",
            None,
            "What is written: color (colour map, PNG), npy (float32), png16 (16-bit PNG, KITTI's"
            " convention), ply (coloured point cloud), mp4 (a video). By default"
            f" {','.join(PICTURE_OUTPUTS)} of pictures, {','.join(VIDEO_OUTPUTS)} of videos and"
            " cameras.",
            flag_values=flags,
        )
        absl_flags.DEFINE_enum(
            "video_layout",
            outputs.LAYOUTS[0],
            list(outputs.LAYOUTS),
            "What the MP4 shows: frame and depth, or depth alone.",
            flag_values=flags,
        )
        number("fps", f"Pictures per second of an MP4 of pictures; by default {PICTURE_RATE:g}.")
        number(
            "max_depth",
            "Farther points are left out of point clouds, in the unit of the depth; by default"
            f" {MAX_DEPTH:g} where that is metres, and none otherwise.",
        )
    with cli.group(flags, "camera (for metres from papers that learned stereo, and for clouds)"):
        camera_flags.define_flags(flags)
    with cli.group(flags, "colours"):
        number(
            "vmin",
            "Lowest value of the range, in the unit of the .npy; by default from percentiles, of each"
            " picture or over the frames of a video.",
        )
        number("vmax", "Highest value of the range.")
        absl_flags.DEFINE_float(
            "color_memory",
            color.MEMORY,
            "Seconds in which the range of a video follows its frames; 0: at once, which flickers.",
            lower_bound=0.0,
            flag_values=flags,
        )
        absl_flags.DEFINE_string(
            "colormap",
            visualize.DEFAULT_COLORMAP,
            "magma, gray, or any of matplotlib's.",
            flag_values=flags,
        )


def main(flags: absl_flags.FlagValues) -> int:
    """Predicts every picture or frame and writes the results."""
    source, out = _checked_paths(flags)
    settings = _output_settings(flags, source)
    facts, network = _open(flags)
    rig = camera_flags.rig_of(flags, facts)
    camera_of = camera_flags.camera_of(flags, facts, wants_points="ply" in settings.kinds)
    if flags.max_depth is None and facts.kind != "relative":
        settings = dataclasses.replace(settings, max_depth=MAX_DEPTH)
    skipped: list[str] = []

    def on_bad(what: str, error: UserError) -> None:
        if flags.on_bad_sample == "stop":
            raise UserError(f"{error} (--on_bad_sample=skip goes on without it)")
        logging.warning("skipped: %s", error)
        skipped.append(what)

    entries: list[dict[str, Any]] = []
    result, done, started = None, 0, time.perf_counter()
    frames = itertools.islice(source.frames(on_bad), flags.frames)
    with outputs.Outputs(out, settings, source.name, source.rate) as written:
        try:
            for frame in _with_progress(frames, flags, source):
                result = _predicted(frame, network, facts, camera_of, rig)
                if files := written.write(result):
                    entries.append({**_about(frame), **files})
                done += 1
        except KeyboardInterrupt:
            if not source.live:
                raise
        if not done:
            raise UserError(f"{flags.input}: none of its {_counted(source.count, source)} was read")
    seconds = time.perf_counter() - started
    summary = {
        "format": 1,
        "model": str(flags.model or flags.run),
        **facts.to_dict(),
        "input": flags.input,
        "camera": camera_flags.describe(flags, rig, camera_of),
        "predictions": entries,
        "video": written.video(),
        "skipped": skipped,
    }
    with atomic_path(out / SUMMARY) as path:
        path.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    note = f", {len(skipped)} skipped" if skipped else ""
    print(
        f"{_counted(done, source)} in {seconds:.1f} s ({done / seconds:.1f}/s){note}:"
        f" {result.quantity} ({result.prediction.unit}) in {out}"
    )
    return 0


def _counted(count: int | None, source: Source) -> str:
    """`1 picture`, `12 frames`."""
    units = source.unit if count == 1 else f"{source.unit}s"
    return units if count is None else f"{count} {units}"


def _predicted(
    frame: Frame, network: Network, facts: ModelFacts, camera_of: CameraOf, rig: Rig | None
) -> Result:
    """What the network says about a frame, as depth, or disparity where no camera is known."""
    height, width = frame.image.shape[:2]
    camera = camera_of(frame.file, width, height)
    prediction = predict_image(network, facts, frame.image, camera, rig)
    if prediction.quantity == "inverse_depth":
        prediction = prediction.to_depth()
    if not np.isfinite(prediction.values).all():
        raise UserError(
            f"{frame.place}: the model predicts NaN or inf for it, so nothing is written for it;"
            " train the model again"
        )
    return Result(frame.name, frame.image, prediction, camera, frame.time)


def _about(frame: Frame) -> dict[str, Any]:
    """What the summary says about a frame itself."""
    height, width = frame.image.shape[:2]
    in_video = {} if frame.number is None else {"frame": frame.number, "time": frame.time}
    return {"image": str(frame.file), **in_video, "width": width, "height": height}


# -- what was asked for ----------------------------------------------------------------------------


def _checked_paths(flags: absl_flags.FlagValues) -> tuple[Source, Path]:
    """What is predicted, and the output folder."""
    if bool(flags.run) == bool(flags.model):
        raise UserError("give one of --run=runs/<name> and --model=<exported file>")
    for name in ("input", "out"):
        if not flags[name].value:
            raise UserError(f"--{name} is required")
    if flags.run and flags.threads:
        raise UserError("--threads is for the interpreter of an exported file (--model)")
    source = open_source(flags.input, step=flags.step, rate=flags.fps, options=flags.device_option)
    out = Path(os.path.expanduser(flags.out))
    if out.exists() and not out.is_dir():
        raise UserError(f"--out={out} is a file; name a folder")
    is_folder = isinstance(source, Pictures) and os.path.isdir(os.path.expanduser(flags.input))
    if is_folder and out.resolve() == source.files[0].parent.resolve():
        raise UserError(
            f"--out={out} is the folder of --input: the next call would take the results as"
            " pictures"
        )
    return source, out


def _output_settings(flags: absl_flags.FlagValues, source: Source) -> outputs.OutputSettings:
    """What is written, and in which colours."""
    is_pictures = isinstance(source, Pictures)
    default = PICTURE_OUTPUTS if is_pictures else VIDEO_OUTPUTS
    kinds = tuple(default if flags.outputs is None else flags.outputs)
    belong_together = not is_pictures or "mp4" in kinds
    memory = flags.color_memory if belong_together else None
    if flags.max_depth is not None and not flags.max_depth > 0:
        raise UserError(f"--max_depth={flags.max_depth:g} must be positive")
    for name, kind in (("fps", "mp4"), ("video_layout", "mp4"), ("max_depth", "ply")):
        if flags[name].present and kind not in kinds:
            raise UserError(f"--{name} is for {kind} files: ask for them with --outputs={kind}")
    return outputs.OutputSettings(
        kinds,
        color.ColorSettings(flags.vmin, flags.vmax, flags.colormap, memory),
        flags.video_layout,
        flags.max_depth,
    )


def _open(flags: absl_flags.FlagValues) -> tuple[ModelFacts, Network]:
    """The facts and the network of --model or --run."""
    if flags.model:
        model = DepthModel(flags.model, threads=flags.threads)
        return model.facts, model.run

    import kdepth
    from kdepth import backend

    trained = kdepth.load_run(flags.run)
    outputs_of = backend.compiled(trained.depth_outputs)

    def network(images: np.ndarray) -> np.ndarray:
        return backend.to_numpy(outputs_of(images)[trained.output_name])

    return ModelFacts.of_model(trained), network


# -- progress --------------------------------------------------------------------------------------


def _with_progress(
    frames: Iterable[Frame], flags: absl_flags.FlagValues, source: Source
) -> Iterable[Frame]:
    """A progress bar with the rate; lines where tqdm is missing, as beside ONNX Runtime alone."""
    total = min(filter(None, [source.count, flags.frames]), default=None)
    try:
        from tqdm import tqdm
    except ImportError:
        return _with_lines(frames, total, source.unit)
    return tqdm(
        frames, total=total, unit=source.unit, dynamic_ncols=True, mininterval=0.5, leave=False
    )


def _with_lines(frames: Iterable[Frame], total: int | None, unit: str) -> Iterator[Frame]:
    started = last = time.perf_counter()
    for done, frame in enumerate(frames, start=1):
        yield frame
        now = time.perf_counter()
        if now - last >= _LOG_EVERY:
            all_of = f" of {total}" if total else ""
            logging.info("%d%s %ss, %.1f/s", done, all_of, unit, done / (now - started))
            last = now


if __name__ == "__main__":
    from kdepth import cli

    cli.run("predict")
