"""Does it learn? Trains each config with three seeds and a control, and scores all on unseen streets.

The control gives every image another sample's partner, so there is nothing to learn and it must miss
the bar: at least 20 % below the strongest baseline in abs_rel. Rows of other stacks in the CSV are
kept, those of this stack are replaced.

Example:
  python benchmarks/learn.py --papers=garg --seeds=1,2,3
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BARS = {"garg": 0.20}


def main() -> int:
    """Runs everything; returns 1 if a seed misses the bar or the control reaches it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--papers", default="garg")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--no_control", action="store_true")
    parser.add_argument("--runs", default=str(ROOT / "runs" / "learn"))
    parser.add_argument("--csv", default=str(ROOT / "docs" / "learning.csv"))
    parser.add_argument("--data_dir", help="of the embedded world")
    arguments = parser.parse_args()
    data = [f"--data_dir={arguments.data_dir}"] if arguments.data_dir else []
    stack = _stack()
    rows = []
    for paper in arguments.papers.split(","):
        trials = [(int(seed), "none") for seed in arguments.seeds.split(",")]
        if not arguments.no_control:
            trials.append((trials[0][0], "shuffled"))
        for seed, control in trials:
            rows.append(_trial(paper, seed, control, stack, Path(arguments.runs), data))
            _write(Path(arguments.csv), rows, stack)
    failed = [row for row in rows if (row["reaches_bar"] == "yes") != (row["control"] == "none")]
    for row in rows:
        print(
            "  ".join(
                f"{key}={row[key]}"
                for key in ("paper", "seed", "control", "abs_rel", "gain", "reaches_bar")
            )
        )
    return 1 if failed else 0


def _trial(
    paper: str, seed: int, control: str, stack: str, runs: Path, data: list[str]
) -> dict[str, str]:
    run = runs / stack / (f"{paper}_seed{seed}" + ("" if control == "none" else f"_{control}"))
    start = time.monotonic()
    train = [
        f"--flagfile=configs/{paper}.cfg",
        f"--seed={seed}",
        f"--control={control}",
        f"--run={run}",
    ]
    _command("train", [*train, *data])
    seconds = time.monotonic() - start
    results = run.parent / "results.csv"
    _command("evaluate", [f"--run={run}", f"--results={results}", *data])
    with open(results, newline="") as file:
        row = [r for r in csv.DictReader(file) if r["run"] == run.name][-1]
    abs_rel, baseline = float(row["abs_rel"]), float(row["baseline_abs_rel"])
    gain = 1.0 - abs_rel / baseline
    return {
        "stack": stack,
        "paper": paper,
        "seed": str(seed),
        "control": control,
        "abs_rel": f"{abs_rel:.4f}",
        "strongest_baseline": row["strongest_baseline"],
        "strongest_abs_rel": f"{baseline:.4f}",
        "gain": f"{gain:.3f}",
        "bar": f"{BARS[paper]:.2f}",
        "reaches_bar": "yes" if gain >= BARS[paper] else "no",
        "rmse": f"{float(row['rmse']):.3f}",
        "delta1": f"{float(row['delta1']):.3f}",
        "images": row["images"],
        "train_seconds": f"{seconds:.0f}",
    }


def _command(name: str, flags: list[str]) -> None:
    subprocess.run([sys.executable, "-m", f"kdepth.{name}", *flags], cwd=ROOT, check=True)


def _stack() -> str:
    from importlib.metadata import version

    return f"keras-{version('keras')}_tensorflow-{version('tensorflow')}"


def _write(path: Path, rows: list[dict[str, str]], stack: str) -> None:
    kept = []
    if path.exists():
        with open(path, newline="") as file:
            kept = [row for row in csv.DictReader(file) if row["stack"] != stack]
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted([*kept, *rows], key=lambda row: row["stack"]))


if __name__ == "__main__":
    sys.exit(main())
