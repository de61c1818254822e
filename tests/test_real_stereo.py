"""The experiment on real pairs, made small: benchmarks/real_stereo.py from end to end."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "real_stereo.py"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "KDEPTH_REALDATA"}
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
    )


def test_real_data_must_be_named(tmp_path):
    result = run(f"--out={tmp_path}")
    assert result.returncode == 1
    assert result.stderr.startswith("real_stereo: --realdata is required")
    assert result.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_few_steps_explain_held_out_real_pairs(realdata, tmp_path):
    out, table = tmp_path / "runs", tmp_path / "real_data.csv"
    small = ("--height=64", "--image_width=208", "--width=0.25", "--epochs=6,0,0,0", "--seeds=1")
    result = run(f"--realdata={realdata}", f"--out={out}", f"--csv={table}", *small)
    assert result.returncode == 0, result.stderr
    rows = list(csv.DictReader(table.open()))
    assert len([row for row in rows if row["system"].startswith("baseline: ")]) == 12
    pairs, lidar = (row for row in rows if not row["system"].startswith("baseline: "))
    assert (pairs["split"], pairs["images"]) == ("drive_0013_pairs.txt", "4")
    assert (lidar["split"], lidar["images"]) == ("drive_0013_110-143.txt", "34")
    assert pairs["training"] == "62 real pairs" and pairs["steps"] == "42"
    assert float(pairs["photometric"]) < 0.95 * float(pairs["photometric_unwarped"])
    assert 0 < float(lidar["abs_rel"]) < 1
    for picture in ("held_out_pairs", "evaluation"):
        assert (out / "scratch_seed1" / "images" / f"{picture}.png").stat().st_size > 10_000
