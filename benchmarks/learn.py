"""Does it learn? Trains each config with three seeds and a control, and scores all on unseen streets.

The control gives every image another sample's partner, so there is nothing to learn and it must miss
the bar: 20 % below the strongest baseline in abs_rel, or 10 % for papers that learn from video (they
and their baselines are scaled by the median). Rows of other trials in the CSV are kept, those of
the same trial on the same stack are replaced.

Example:
  python benchmarks/learn.py --papers=garg --seeds=1,2,3
  python benchmarks/learn.py --papers=scdepth --seeds=1 --no_control --ablations
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BARS = {"eigen": 0.20, "garg": 0.20, "monodepth": 0.20, "sfmlearner": 0.10, "scdepth": 0.10}
KEY = ("stack", "paper", "seed", "control", "ablation")  # what tells trials apart


def main() -> int:
    """Runs everything; returns 1 if a seed misses the bar or the control reaches it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--papers", default=",".join(BARS))
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--no_control", action="store_true")
    parser.add_argument("--ablations", action="store_true", help="one run of each, the first seed")
    parser.add_argument("--runs", default=str(ROOT / "runs" / "learn"))
    parser.add_argument("--csv", default=str(ROOT / "docs" / "learning.csv"))
    parser.add_argument("--data_dir", help="of the embedded world")
    arguments = parser.parse_args()
    data = [f"--data_dir={arguments.data_dir}"] if arguments.data_dir else []
    stack = _stack()
    rows = []
    for paper in arguments.papers.split(","):
        seeds = [int(seed) for seed in arguments.seeds.split(",") if seed]
        trials = [(seed, "none", "") for seed in seeds]
        if not arguments.no_control:
            trials.append(((seeds or [1])[0], "shuffled", ""))
        if arguments.ablations:
            from kdepth.papers import paper_class

            trials += [((seeds or [1])[0], "none", name) for name in paper_class(paper).ablations]
        for seed, control, ablation in trials:
            run = Path(arguments.runs) / stack
            rows.append(_trial(paper, seed, control, ablation, stack, run, data))
            _write(Path(arguments.csv), rows)
    judged = [row for row in rows if not row["ablation"]]
    failed = [row for row in judged if (row["reaches_bar"] == "yes") != (row["control"] == "none")]
    shown = ("paper", "seed", "control", "ablation", "abs_rel", "gain", "reaches_bar")
    for row in rows:
        print("  ".join(f"{key}={row[key]}" for key in shown))
    return 1 if failed else 0


def _trial(
    paper: str, seed: int, control: str, ablation: str, stack: str, runs: Path, data: list[str]
) -> dict[str, str]:
    parts = [paper, f"seed{seed}", *([control] if control != "none" else []), ablation]
    run = runs / "_".join(part for part in parts if part)
    train = [
        f"--flagfile=configs/{paper}.cfg",
        f"--seed={seed}",
        f"--control={control}",
        f"--run={run}",
        *([f"--ablation={ablation}"] if ablation else []),
    ]
    _command("train", [*train, *data])
    info = json.loads((run / "run.json").read_text(encoding="utf-8"))
    begun, ended = (datetime.fromisoformat(info[key]) for key in ("started", "finished"))
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
        "ablation": ablation,
        "abs_rel": f"{abs_rel:.4f}",
        "strongest_baseline": row["strongest_baseline"],
        "strongest_abs_rel": f"{baseline:.4f}",
        "gain": f"{gain:.3f}",
        "bar": f"{BARS[paper]:.2f}",
        "reaches_bar": "yes" if gain >= BARS[paper] else "no",
        "rmse": f"{float(row['rmse']):.3f}",
        "delta1": f"{float(row['delta1']):.3f}",
        "images": row["images"],
        "train_seconds": f"{(ended - begun).total_seconds():.0f}",
    }


def _command(name: str, flags: list[str]) -> None:
    subprocess.run([sys.executable, "-m", f"kdepth.{name}", *flags], cwd=ROOT, check=True)


def _stack() -> str:
    from importlib.metadata import version

    return f"keras-{version('keras')}_tensorflow-{version('tensorflow')}"


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    table = {}
    if path.exists():
        with open(path, newline="") as file:
            table = {_key(row): row for row in csv.DictReader(file)}
    table.update((_key(row), row) for row in rows)
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(table[key] for key in sorted(table))


def _key(row: dict[str, str]) -> tuple[str, ...]:
    return tuple(row.get(name, "") for name in KEY)


if __name__ == "__main__":
    sys.exit(main())
