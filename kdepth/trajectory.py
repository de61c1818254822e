"""Predicts a camera's trajectory through whole sequences with a run; writes pose files, and depth for SLAM systems.

The trajectory is chained from the motions that a video paper's pose network predicts in windows of
consecutive frames. Its unit is that of the run's depth, a relative one. With --rgbd each sequence
is written in the layout of the TUM RGB-D benchmark too: frames, depth, trajectory and camera, as
RGB-D SLAM systems read them; papers without a pose network then give the depth alone. Data set,
its folder and its reader's options are by default those that the run was trained with.

Example:
  python -m kdepth.trajectory --run=runs/scdepth --split=test --out=trajectories
  python -m kdepth.trajectory --run=runs/scdepth
      --dataset=kitti_odometry --data_dir=kitti --split=09 --out=trajectories
  python -m kdepth.trajectory --run=runs/scdepth --input=frames --out=trajectories
      --rgbd --intrinsics=525,525,319.5,239.5
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags as absl_flags
from absl import logging

from kdepth.data import pose_files, sequences
from kdepth.data.image import image_size, read_image, resize_image
from kdepth.data.options import lasting_options, parse_options
from kdepth.data.pose_files import Trajectory
from kdepth.data.readers import READERS
from kdepth.data.rgbd_writer import DEPTH_FACTOR, write_sequence
from kdepth.errors import UserError
from kdepth.geometry.camera import Camera


def define_flags(flags: absl_flags.FlagValues) -> None:
    """Defines the command's flags."""
    from kdepth import cli

    cli.define_run_flag(flags, "The run to predict with, for example runs/scdepth.")
    absl_flags.DEFINE_string(
        "input",
        None,
        "A folder of consecutive frames, in the place of --dataset.",
        flag_values=flags,
    )
    absl_flags.DEFINE_string(
        "out",
        None,
        "The folder for the results: <sequence>.txt, and with --rgbd a folder <sequence>.",
        flag_values=flags,
    )
    absl_flags.DEFINE_enum(
        "form",
        "kitti",
        list(pose_files.FORMS),
        "The form of the pose files: kitti (12 numbers a row), indexed (frame and 12 numbers), tum "
        "(time tx ty tz qx qy qz qw).",
        flag_values=flags,
    )
    with cli.group(flags, "data"):
        absl_flags.DEFINE_enum(
            "dataset",
            None,
            list(READERS),
            "The data set whose sequences are predicted; by default the run's.",
            flag_values=flags,
        )
        absl_flags.DEFINE_string(
            "data_dir", None, "Its folder; by default the run's.", flag_values=flags
        )
        absl_flags.DEFINE_string(
            "split", "test", "The name of a split or sequence, or a list file.", flag_values=flags
        )
        cli.define_reader_option_flag(flags)
    with cli.group(flags, "time (for the form tum and --rgbd)"):
        absl_flags.DEFINE_float(
            "fps", 10.0, "Frames per second; the first is at 0 s.", flag_values=flags
        )
        absl_flags.DEFINE_string(
            "times", None, "A file with each frame's time in seconds, one a row.", flag_values=flags
        )
    with cli.group(flags, "RGB-D (TUM layout)"):
        absl_flags.DEFINE_bool(
            "rgbd", False, "Write frames, depth and camera for RGB-D SLAM.", flag_values=flags
        )
        absl_flags.DEFINE_list(
            "intrinsics",
            None,
            "fx,fy,cx,cy of the frames of --input, pixels (centres on integers).",
            flag_values=flags,
        )
        absl_flags.DEFINE_float(
            "depth_factor",
            DEPTH_FACTOR,
            "Steps of the 16-bit depth PNGs per unit of depth; pixels beyond 65535 steps (13.1 at 5000)"
            " get no depth.",
            flag_values=flags,
        )


def main(flags: absl_flags.FlagValues) -> int:
    """Predicts every sequence and writes the results."""
    _check(flags)
    import kdepth

    model = kdepth.load_run(Path(flags.run))
    has_pose = model.pose_frames is not None
    if not has_pose and not flags.rgbd:
        raise UserError(
            f"{model.paper} has no pose network, so it knows no trajectory; --rgbd writes its depth"
        )
    if flags.rgbd:
        _check_depth(model)
    found = _sequences(flags)
    times = [_times(flags, sequence) for sequence in found]
    cameras = [_camera(flags, sequence) for sequence in found]
    if flags.rgbd and not all(camera and math.isfinite(camera.fx) for camera in cameras):
        raise UserError(
            "--rgbd needs the camera, which these pictures do not tell: --reader_option=fx=<pixels>"
        )
    out = Path(flags.out)
    total = sum(len(sequence.images) for sequence in found) * (has_pose + flags.rgbd)
    with _bar(total) as bar:
        for sequence, stamps, camera in zip(found, times, cameras):
            poses = _predict_poses(model, sequence, bar.update) if has_pose else None
            if poses is not None:
                path = out / f"{sequence.name}.txt"
                pose_files.write(path, Trajectory(poses, times=stamps), flags.form)
                print(f"{len(poses)} poses ({flags.form}, {_unit(model)}): {path}")
            if flags.rgbd:
                _write_rgbd(flags, model, sequence, poses, stamps, camera, bar.update)
    return 0


def _check(flags: absl_flags.FlagValues) -> None:
    for name in ("run", "out"):
        if not flags[name].value:
            raise UserError(f"--{name} is required")
    if flags.input and (flags.dataset or flags.data_dir):
        raise UserError("give one of --input=<folder of frames> and --dataset with --data_dir")
    if flags.input and not Path(flags.input).is_dir():
        raise UserError(f"--input={flags.input}: no such folder")
    if Path(flags.out).exists() and not Path(flags.out).is_dir():
        raise UserError(f"--out={flags.out} is a file; name a folder")
    for name in ("fps", "depth_factor"):
        if not (np.isfinite(flags[name].value) and flags[name].value > 0):
            raise UserError(f"--{name}={flags[name].value} must be a positive number")
    if flags.input and flags.rgbd and not flags.intrinsics:
        raise UserError(
            "--rgbd with --input needs --intrinsics=fx,fy,cx,cy: a SLAM system asks for the camera"
        )
    if flags.intrinsics and not flags.input:
        raise UserError("--intrinsics is for --input; a data set knows its camera")
    if flags.reader_option and flags.input:
        raise UserError("--reader_option is for --dataset")


def _check_depth(model: Any) -> None:
    if model.depth_views != 1:
        raise UserError(
            f"this {model.paper} looks at both views of a stereo pair; --rgbd needs depth from one"
        )
    if model.output_name == "disparity" and model.rig is None:
        raise UserError(
            f"this {model.paper} does not know the rig it was trained with, so --rgbd has no metres"
        )


def _sequences(flags: absl_flags.FlagValues) -> list[sequences.Sequence]:
    if flags.input:
        return [sequences.of_folder(Path(flags.input))]
    dataset, data_dir, options = _data(flags)
    found = sequences.of_split(dataset, data_dir, flags.split, motions=False, **options)
    if flags.times and len(found) > 1:
        raise UserError(
            f"--times is for one sequence, and --split={flags.split} has {len(found)}:"
            f" {', '.join(sequence.name for sequence in found)}"
        )
    return found


def _data(flags: absl_flags.FlagValues) -> tuple[str, str | Path | None, dict[str, Any]]:
    """Data set, folder and reader options: the flags', and what they leave open the run's."""
    from kdepth.training.runs import Run

    info = Run(Path(flags.run)).info
    dataset = flags.dataset or info.get("dataset")
    if not dataset:
        raise UserError(
            "give one of --input=<folder of frames> and --dataset: the run does not say its data"
        )
    known = info if dataset == info.get("dataset") else {}
    data_dir = flags.data_dir or known.get("data_dir")
    if data_dir is None and dataset == "synthetic":
        from kdepth.data import synthetic

        data_dir = synthetic.ensure()
    options = lasting_options(dataset, known.get("reader_options", {}))
    return dataset, data_dir, {**options, **parse_options(dataset, flags.reader_option)}


def _times(flags: absl_flags.FlagValues, sequence: sequences.Sequence) -> np.ndarray:
    count = len(sequence.images)
    if not flags.times:
        return np.arange(count) / flags.fps
    path = Path(flags.times)
    try:
        times = np.array([float(line) for line in path.read_text(encoding="utf-8").split()])
    except FileNotFoundError:
        raise UserError(f"{path}: no such file (--times)") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: --times must hold one number a row ({error})") from None
    if len(times) != count or not np.isfinite(times).all() or (np.diff(times) < 1e-6).any():
        raise UserError(
            f"{path}: --times must hold {count} increasing times for {sequence.name}, one for each"
            f" frame; it has {len(times)}"
        )
    return times


def _camera(flags: absl_flags.FlagValues, sequence: sequences.Sequence) -> Camera | None:
    if not flags.intrinsics:
        return sequence.camera
    try:
        fx, fy, cx, cy = (float(value) for value in flags.intrinsics)
        if not (np.isfinite([cx, cy]).all() and 0 < fx < np.inf and 0 < fy < np.inf):
            raise ValueError
    except ValueError:
        raise UserError(
            f"--intrinsics={','.join(flags.intrinsics)}: must be fx,fy,cx,cy in pixels"
        ) from None
    return Camera(fx, fy, cx, cy, *image_size(sequence.images[0]))


def _predict_poses(
    model: Any, sequence: sequences.Sequence, progress: Callable[[int], Any]
) -> np.ndarray:
    from kdepth.evaluation import egomotion, odometry

    network = egomotion.PoseNetwork.of_model(model)
    windows = egomotion.predict_windows(network, sequence.images, progress)
    return odometry.trajectory(egomotion.chain(windows, network.target))


def _write_rgbd(
    flags: absl_flags.FlagValues,
    model: Any,
    sequence: sequences.Sequence,
    poses: np.ndarray | None,
    times: np.ndarray,
    camera: Camera,
    progress: Callable[[int], Any],
) -> None:
    folder = Path(flags.out) / sequence.name
    beyond = write_sequence(
        folder,
        sequence.images,
        _depths(model, sequence, camera, progress),
        times,
        camera,
        poses=poses,
        depth_factor=flags.depth_factor,
    )
    if beyond:
        logging.warning(
            "%s: %.1f %% of the pixels lie beyond %.4g %s and have no depth in the PNGs; a smaller"
            " --depth_factor reaches farther",
            sequence.name,
            100 * beyond,
            65535 / flags.depth_factor,
            _unit(model),
        )
    steps = f"{_unit(model)}, {flags.depth_factor:g} steps each"
    print(f"{len(times)} RGB-D frames ({steps}): {folder}")


def _depths(
    model: Any, sequence: sequences.Sequence, camera: Camera, progress: Callable[[int], Any]
) -> Iterator[np.ndarray]:
    for path in sequence.images:
        image = read_image(path)
        height, width = image.shape[:2]
        if (width, height) != (camera.width, camera.height):
            raise UserError(
                f"{path} is {width}x{height}, but the camera is for {camera.width}x{camera.height}"
            )
        frame = resize_image(image, *model.image_size, model.resize)
        prediction = model.predict_depth(frame, camera).resize(height, width).to_depth()
        if not np.isfinite(prediction.values).all():
            raise UserError(f"{path}: the model predicts NaN or inf for it; train it again")
        yield prediction.values[0]
        progress(1)


def _unit(model: Any) -> str:
    return "relative units" if model.kind == "relative" else "metres"


def _bar(total: int) -> Any:
    from tqdm import tqdm

    return tqdm(total=total, desc="predicting", unit="frame", dynamic_ncols=True, leave=False)


if __name__ == "__main__":
    from kdepth import cli

    cli.run("trajectory")
