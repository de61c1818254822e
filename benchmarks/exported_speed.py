"""Is an exported file as fast as it should be? Full-size papers: Keras against TFLite, float32 against int8.

    python benchmarks/exported_speed.py                          # all papers; an hour on two idle cores
    python benchmarks/exported_speed.py --papers=garg --width=0.1 --height=96 --image_width=160

Each paper's network gets random weights (they do not change its speed) and is exported. Then the
Keras model's compiled call, the float32 file and the 8-bit files take turns, batch 1, XNNPACK on.
Ratios are those of the medians. The float32 file must be at least as fast as Keras, the full int8
file 1.8 times as fast as the float32 one. A file that misses is shown with its profile, and the
status is 1. Rows go to docs/exported_speed.csv, where those of the other stack stay.
"""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from absl import app, flags
from tabulate import tabulate

import kdepth
from kdepth import backend
from kdepth.benchmarking import machine, measure, profile, subjects, table
from kdepth.exporters import verify
from kdepth.files import atomic_path
from kdepth.training.runs import Run

ROOT = Path(__file__).resolve().parents[1]

flags.DEFINE_list("papers", kdepth.list_papers(), "Which papers.")
flags.DEFINE_list("precisions", ["float32", "int8", "int8_float_head"], "Which TFLite files.")
flags.DEFINE_float("width", 1.0, "Channel multiplier of the networks.")
flags.DEFINE_integer("height", None, "Rows of the input; by default the paper's.")
flags.DEFINE_integer("image_width", None, "Columns of the input; by default the paper's.")
flags.DEFINE_integer("threads", 2, "Threads of every library.", lower_bound=1)
flags.DEFINE_integer("repeats", 50, "Timed runs of each.", lower_bound=1)
flags.DEFINE_integer("warmup", 5, "Runs of each before them.", lower_bound=0)
flags.DEFINE_string("csv", str(ROOT / "docs" / "exported_speed.csv"), "Where the rows go.")

# What a file is compared with, and how many times as fast it must be.
BARS = {"float32": ("keras", 1.0), "int8": ("float32", 1.8)}
# Columns of `kdepth.benchmark` that the rows keep, before and behind the judgement.
MEASURED = ("input", "threads", "repeats", "median_ms", "p90_ms", "peak_mib", "model_mib", "bytes")
CONDITIONS = ("machine", "load", "busy", "versions", "date")
SHOWN = ("paper", "precision", "median_ms", "p90_ms", "against", "ratio", "needed", "passed")


def main(argv: list[str]) -> int:
    """Measures the papers one after the other; 1 if a file misses its bar."""
    del argv
    f = flags.FLAGS
    here = machine.this_machine()
    rows: list[dict[str, Any]] = []
    for paper in f.papers:
        with tempfile.TemporaryDirectory(prefix="kdepth-speed-") as folder:
            busy = machine.busy()
            if busy:
                print(f"warning: {busy}: ratios are still fair, milliseconds are not", flush=True)
            measured = measure_paper(paper, Path(folder))
            new = judged(table.rows(measured, here, busy))
            rows += new
            write(Path(f.csv), new)
            lines = [[row[column] for column in SHOWN] for row in new]
            print(tabulate(lines, SHOWN, floatfmt=".2f"), flush=True)
            for row, one in zip(new, measured):
                if row["passed"] == "no":  # its file is gone with the folder
                    show_profile(one.case.subject)
    missed = [f"{row['paper']} {row['precision']}" for row in rows if row["passed"] == "no"]
    print(f"missed: {', '.join(missed)}" if missed else "all passed")
    return 1 if missed else 0


def measure_paper(paper: str, folder: Path) -> list[measure.Measurement]:
    """Exports a paper's network into a folder and measures it."""
    f = flags.FLAGS
    sizes = {name: f[name].value for name in ("height", "image_width") if f[name].value}
    model = kdepth.create(paper, width=f.width, **sizes)
    with_random_weights(model)
    run = Run(folder / "runs" / paper)
    run.write_info({"paper": paper, "state": "finished"})
    model.save_parts(run.weights)
    pictures = verify.pattern_pictures(*model.image_size, count=8)
    if model.depth_views == 2:
        pictures = [np.concatenate([picture, picture], axis=-1) for picture in pictures]
    # Ranges of random weights do not suit 8 bits, and how much is lost is not the question here; the
    # float32 file is verified as ever.
    verify.TOLERANCES.update({name: np.inf for name in f.precisions if name != "float32"})
    artefacts = kdepth.export_model(
        model,
        folder / "exports" / paper,
        ("tflite",),
        precisions=f.precisions,
        calibration=pictures,
        pictures=pictures,
    )
    found = subjects.find([artefact.path for artefact in artefacts], run.folder)
    cases = subjects.cases(found, [f.threads], [True])
    return measure.in_turns(cases, f.repeats, f.warmup, machine.EnergyMeter())


def with_random_weights(model: Any) -> None:
    """Weights that keep the scale of what passes (He et al. 2015), so that maps are not flat.

    Some papers start so near zero that their maps are constant up to rounding, and the export
    could not be verified.
    """
    generator = np.random.default_rng(0)
    for part in model.parts().values():
        for variable in part.weights:
            values = backend.to_numpy(variable)
            if values.ndim > 1:
                scale = np.sqrt(2.0 / np.prod(values.shape[:-1]))
                variable.assign(generator.normal(0.0, scale, values.shape))
            elif not values.any():
                variable.assign(generator.normal(0.0, 0.05, values.shape))


def judged(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The columns that the docs show, with the ratio that each precision is judged by."""
    names = ["keras" if row["format"] == "keras" else row["precision"] for row in rows]
    medians = {name: row["median_ms"] for name, row in zip(names, rows)}
    found = []
    for name, row in zip(names, rows):
        reference, needed = BARS.get(name, ("float32", None))
        compared = name != "keras" and reference in medians
        ratio = medians[reference] / row["median_ms"] if compared else None
        passed = None if needed is None or ratio is None else "yes" if ratio >= needed else "no"
        found.append(
            {
                "stack": "keras3" if backend.KERAS3 else "addons",
                "paper": row["paper"],
                "precision": name,
                **{column: row[column] for column in MEASURED},
                "against": reference if compared else None,
                "ratio": ratio,
                "needed": needed if compared else None,
                "passed": passed,
                **{column: row[column] for column in CONDITIONS},
            }
        )
    return found


def write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Puts rows in the place of earlier ones of the same network, file and stack."""
    known: dict[tuple[str, ...], dict[str, Any]] = {}
    if path.exists():
        with open(path, newline="", encoding="utf-8") as file:
            known = {key(row): row for row in csv.DictReader(file)}
    known.update((key(row), {k: as_text(v) for k, v in row.items()}) for row in rows)
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(known.values())


def key(row: dict[str, Any]) -> tuple[str, ...]:
    """What tells rows apart."""
    return tuple(str(row[name]) for name in ("stack", "paper", "precision", "input", "threads"))


def as_text(value: Any) -> str:
    """A value as the file holds it."""
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def show_profile(subject: subjects.Subject) -> None:
    """Prints which operators a file that misses its bar consists of."""
    shown = profile.of_file(subject.path, subject.format, flags.FLAGS.threads)
    if shown is not None:
        print(f"\n{shown.title}\n{tabulate(shown.rows, shown.headings, disable_numparse=True)}\n")


if __name__ == "__main__":
    app.run(main)
