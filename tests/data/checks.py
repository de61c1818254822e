"""What the tests of the readers share: damaged files, warps, a rendered wall."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from kdepth import data
from kdepth.data.sample import load_sample
from kdepth.errors import UserError
from kdepth.geometry.camera import Camera


def damaged(content: bytes, rng: np.random.Generator) -> Iterator[bytes]:
    """Yields the file truncated, with bytes changed, cut out or zeroed, and as rubbish."""
    for length in np.unique(np.linspace(0, len(content) - 1, 12).astype(int)):
        yield content[:length]
    for position in rng.integers(0, len(content), 20):
        changed = bytearray(content)
        changed[position] ^= int(rng.integers(1, 256))
        yield bytes(changed)
    for position in rng.integers(0, len(content), 6):
        yield content[:position] + content[position + 7 :]
        yield content[:position] + b"\0" * 9 + content[position + 9 :]
    yield rng.bytes(64)
    yield b"\n" * 10
    yield content + content


def load_some(
    dataset: str, root: Path, keys: frozenset[str], split: str
) -> list[dict[str, np.ndarray]]:
    records = data.open_reader(dataset, root).records(split, keys)
    samples = [load_sample(record, keys) for record in records[:2]]
    for sample in samples:
        for key, value in sample.items():
            assert np.isfinite(value).all(), key
    return samples


def fuzz(
    dataset: str,
    root: Path,
    name: str,
    keys: frozenset[str],
    has_check_sums: bool = False,
    split: str = "all",
) -> None:
    """Damages one file in many ways: a sound sample or one clear line.

    Args:
        dataset: name of the data set.
        root: the data set's folder.
        name: of the file, below it.
        keys: what is loaded.
        has_check_sums: what still loads must be the very numbers of the whole file.
        split: whose first two samples are loaded.
    """
    sound = load_some(dataset, root, keys, split)
    path = root / name
    content, refused = path.read_bytes(), 0
    for variant in damaged(content, np.random.default_rng(0)):
        path.write_bytes(variant)
        try:
            samples = load_some(dataset, root, keys, split)
        except UserError as error:
            refused += 1
            assert "\n" not in str(error) and str(root) in str(error)
        else:
            for one, other in zip(samples, sound if has_check_sums else []):
                for key in keys:
                    np.testing.assert_array_equal(one[key], other[key])
    path.write_bytes(content)
    assert refused >= 5


def bilinear(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    a, b = (x - left)[:, None], (y - top)[:, None]
    upper = (1 - a) * image[top, left] + a * image[top, left + 1]
    lower = (1 - a) * image[top + 1, left] + a * image[top + 1, left + 1]
    return (1 - b) * upper + b * lower


def residuals(target, source, camera, depth, T_source_target) -> tuple[float, float]:
    """Median absolute difference of target and source: warped by depth and motion, and unwarped."""
    y, x = np.nonzero(depth)
    points = np.stack([*camera.backproject(x, y, depth[y, x]), np.ones(len(x))])
    moved = (T_source_target @ points)[:3]
    front = moved[2] > 0.5
    u, v = camera.project(*np.where(front, moved, 1))
    height, width = depth.shape
    inside = front & (u >= 0) & (v >= 0) & (u < width - 1) & (v < height - 1)
    assert inside.mean() > 0.5
    x, y, u, v = x[inside], y[inside], u[inside], v[inside]
    target, source = target.mean(-1, keepdims=True), source.mean(-1, keepdims=True)
    warped = np.abs(bilinear(source, u, v) - target[y, x])
    return float(np.median(warped)), float(np.median(np.abs(source[y, x] - target[y, x])))


def wall(camera: Camera, pose: np.ndarray, distance: float) -> tuple[np.ndarray, np.ndarray]:
    """A textured wall across the world's z axis, as a camera sees it.

    Args:
        camera: at the size of the picture.
        pose: [4, 4] camera -> world, metres.
        distance: of the wall from the world's origin, metres.

    Returns:
        [H, W, 3] uint8 picture and [H, W] depth, metres.
    """
    x, y = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    rays = np.stack(camera.backproject(x, y, np.ones(x.shape)), axis=-1) @ pose[:3, :3].T
    depth = (distance - pose[2, 3]) / rays[..., 2]
    world = pose[:3, 3] + depth[..., None] * rays
    waves = [np.sin(a * world[..., 0] + b * world[..., 1]) for a, b in ((5, 2), (-3, 7), (11, 3))]
    picture = 127.5 + 40 * np.stack(waves, axis=-1) + 40 * waves[0][..., None]
    return np.round(np.clip(picture, 0, 255)).astype(np.uint8), depth
