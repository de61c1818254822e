"""Sequences in the layout of the TUM RGB-D benchmark, which RGB-D SLAM systems read.

| file | what it holds |
|---|---|
| `rgb/<time>.png` | the frames as they are; JPEG files stay JPEG |
| `depth/<time>.png` | depth of the same size, 16 bit, 5000 steps a metre by default, 0 = none |
| `rgb.txt`, `depth.txt` | `time file`, one frame a line |
| `associations.txt` | `time rgb-file time depth-file`, for systems that want the pairs |
| `groundtruth.txt` | the trajectory, time tx ty tz qx qy qz qw, if there is one; predicted, as it says |
| `camera.yaml` | the pinhole camera and the depth factor, under the names of ORB-SLAM2's settings |

Source: Sturm et al., "A benchmark for the evaluation of RGB-D SLAM systems", IROS 2012.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from kdepth.data import pose_files
from kdepth.data.image import DEPTH_SCALE, write_depth_png
from kdepth.data.pose_files import Trajectory
from kdepth.files import atomic_path
from kdepth.geometry.camera import Camera

DEPTH_FACTOR = 5000.0  # steps per metre in the benchmark's depth PNGs
_LARGEST = 65535


def write_sequence(
    folder: Path,
    images: Sequence[Path],
    depths: Iterable[np.ndarray],
    times: np.ndarray,
    camera: Camera,
    *,
    poses: np.ndarray | None = None,
    depth_factor: float = DEPTH_FACTOR,
) -> float:
    """Writes one sequence; the folder appears when all of it is there.

    Args:
        folder: replaced as a whole.
        images: N files, copied as they are.
        depths: N maps [H, W] of the images' size, in the unit of the poses.
        times: [N] seconds.
        camera: at the images' size.
        poses: [N, 4, 4] camera k -> world, predicted; None writes no trajectory.
        depth_factor: steps of the PNGs per unit of depth.

    Returns:
        The share of pixels that lie beyond 65535 steps; they are written as "none".
    """
    beyond = pixels = 0
    with atomic_path(folder) as root:
        (root / "rgb").mkdir(parents=True)
        listed: dict[str, list[str]] = {"rgb": [], "depth": []}
        for image, depth, time in zip(images, depths, times):
            stamp = f"{time:.6f}"
            names = {"rgb": f"rgb/{stamp}{image.suffix.lower()}", "depth": f"depth/{stamp}.png"}
            shutil.copyfile(image, root / names["rgb"])
            steps = np.asarray(depth, np.float64) * depth_factor
            far = steps > _LARGEST
            write_depth_png(root / names["depth"], np.where(far, 0.0, steps) / DEPTH_SCALE)
            beyond, pixels = beyond + int(far.sum()), pixels + far.size
            for kind, name in names.items():
                listed[kind].append(f"{stamp} {name}\n")
        for kind, lines in listed.items():
            _write(root / f"{kind}.txt", "# timestamp filename\n" + "".join(lines))
        pairs = [f"{rgb.rstrip()} {depth}" for rgb, depth in zip(listed["rgb"], listed["depth"])]
        _write(root / "associations.txt", "".join(pairs))
        if poses is not None:
            trajectory = Trajectory(poses, times=times)
            pose_files.write(root / "groundtruth.txt", trajectory, "tum", "predicted, not measured")
        _write(root / "camera.yaml", _camera_yaml(camera, depth_factor))
    return beyond / pixels


def _camera_yaml(camera: Camera, depth_factor: float) -> str:
    values = {
        "Camera.fx": camera.fx,
        "Camera.fy": camera.fy,
        "Camera.cx": camera.cx,
        "Camera.cy": camera.cy,
        **{f"Camera.{name}": 0.0 for name in ("k1", "k2", "p1", "p2")},
        "Camera.width": int(camera.width),
        "Camera.height": int(camera.height),
        "DepthMapFactor": float(depth_factor),
    }
    rows = (
        f"{name}: {value:d}" if isinstance(value, int) else f"{name}: {float(value)!r}"
        for name, value in values.items()
    )
    return "%YAML:1.0\n---\n" + "\n".join(rows) + "\n"


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
