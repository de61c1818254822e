"""Exports every paper at full size in everything there is, and measures what each file loses.

    python benchmarks/exports.py --papers=garg,monodepth --images=photos
    python benchmarks/exports.py --runs=runs/garg,runs/eigen --data_dir=world --evaluate

Without --runs the networks are the papers' own sizes with weights at random: layers that start at zero
get numbers, batch norm the statistics of the pictures. That shows whether a file computes what Keras
computes; how much accuracy 8 bits cost, only trained runs show (--evaluate scores every file by the
run's own protocol). Nothing is refused here: a file beyond its tolerance says so in the table. Rows of
other papers and stacks in the CSV are kept.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from kdepth import quiet

ROOT = Path(__file__).resolve().parents[1]
PAPERS = {
    "eigen": {},
    "garg": {},
    "garg_released": {"variant": "released"},
    "sfmlearner": {},
    "monodepth": {},
    "scdepth": {},
}
COLUMNS = (
    *("stack", "network", "weights", "size", "file", "precision", "mib", "parity", "tolerance"),
    *("agrees", "float_operators", "abs_rel", "loss_percent", "seconds"),
)
KEY = ("stack", "network", "weights", "file", "precision")


def main() -> int:
    """Measures all and writes the CSV; returns 1 if a file is beyond its tolerance."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--papers", default=",".join(PAPERS))
    parser.add_argument("--runs", default="", help="trained runs, in the place of --papers")
    parser.add_argument("--precisions", default="")
    parser.add_argument("--formats", default="")
    parser.add_argument("--images", help="folder of pictures; test patterns by default")
    parser.add_argument("--calibration_samples", type=int, default=16)
    parser.add_argument("--data_dir", help="where the runs' data lies now")
    parser.add_argument("--evaluate", action="store_true", help="score every file of the runs")
    parser.add_argument("--csv", default=str(ROOT / "docs" / "exports.csv"))
    parser.add_argument("--out", help="keep the files there")
    arguments = parser.parse_args()
    quiet.silence()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(arguments.out or temporary)
        for name in (arguments.runs or arguments.papers).split(","):
            rows += _network(name, out, arguments)
            _write(Path(arguments.csv), rows)
    return 0 if all(row["agrees"] == "yes" for row in rows) else 1


def _network(name: str, out: Path, arguments: argparse.Namespace) -> list[dict[str, str]]:
    """The rows of one network."""
    import kdepth
    from kdepth.exporters import FORMATS, PRECISIONS, describe, graph, plan, verify
    from kdepth.exporters import pictures as chosen
    from kdepth.training.runs import Run

    if arguments.runs:
        label, weights, model = Path(name).name, "trained", kdepth.load_run(name)
        info = dict(Run(Path(name)).info)
        info["data_dir"] = arguments.data_dir or info.get("data_dir")
        pictures, _ = chosen.pictures_of_run(info, model.depth_views)
        calibration = chosen.calibration_of_run(
            info, arguments.calibration_samples, 0, model.depth_views
        )
    else:
        label, weights = name, "random"
        pictures = verify.pattern_pictures(256, 832, count=arguments.calibration_samples)
        if arguments.images:
            pictures = chosen.read_pictures(Path(arguments.images), arguments.calibration_samples)
        pictures, calibration = pictures[:4], pictures
        model = _untrained(name, pictures)
    choices = plan.Choices(
        tuple(filter(None, arguments.formats.split(","))) or FORMATS,
        tuple(filter(None, arguments.precisions.split(","))) or PRECISIONS,
    )
    choices.check()
    network = graph.exported_network(model)
    reference = verify.Reference.of(network, pictures)
    described = describe.of_network(label, network.facts, model, {}, None)
    images = verify.prepare_pictures(network.facts, calibration)
    rows, floats = [], None
    folder = out / label
    folder.mkdir(parents=True, exist_ok=True)
    for file in plan.files(label, network, choices, images):
        started, path = time.monotonic(), folder / file.name
        file.write(path)
        seconds = time.monotonic() - started
        entry = describe.of_file(path, file, network.facts, "float")
        file.add_metadata(path, *describe.as_metadata(described, entry))
        tolerance = verify.TOLERANCES[file.precision]
        parity = verify.measure(path, network.facts, reference)
        row = {
            "stack": _stack(),
            "network": label,
            "weights": weights,
            "size": f"{network.facts.height}x{network.facts.image_width}",
            "file": file.format,
            "precision": "full int8" if describe.is_full_int8(entry) else file.precision,
            "mib": f"{_size(path) / 2**20:.2f}",
            "parity": f"{parity:.1e}",
            "tolerance": f"{tolerance:.0e}",
            "agrees": "yes" if parity <= tolerance else "no",
            "float_operators": " ".join(
                f"{operator}:{count}"
                for operator, count in (entry["float_operators"] or {}).items()
            ),
            "seconds": f"{seconds:.0f}",
        }
        if arguments.evaluate and arguments.runs:
            score = _abs_rel(path, info)
            floats = score if file.precision == "float32" and floats is None else floats
            row["abs_rel"] = f"{score:.4f}"
            row["loss_percent"] = "" if floats is None else f"{100 * (score / floats - 1):.2f}"
        rows.append(row)
        print("  ".join(f"{key}={row[key]}" for key in COLUMNS if row.get(key)), flush=True)
    return rows


def _untrained(name: str, pictures: list[np.ndarray]) -> Any:
    """A network of the paper's own size that predicts something."""
    import kdepth
    from kdepth import backend
    from kdepth.exporters import verify
    from kdepth.prediction import Rig
    from kdepth.runtime import ModelFacts

    model = kdepth.create(name.split("_")[0], seed=0, **PAPERS[name])
    model.enter_stage(model.stages[-1].name)
    generator = np.random.default_rng(0)
    for part in model.parts().values():
        for variable in part.weights:
            values = backend.to_numpy(variable)
            path = backend.variable_path(variable)
            if not values.any() and not path.endswith(("bias", "beta", "moving_mean")):
                fan_in = max(1, int(np.prod(values.shape[:-1])))
                variable.assign(generator.normal(0.0, fan_in**-0.5, values.shape))
    if model.output_name == "disparity":
        model.rig = Rig(0.54, 0.58)
    images = verify.prepare_pictures(ModelFacts.of_model(model), pictures)
    norms = [
        layer
        for part in model.parts().values()
        for layer in part.layers
        if type(layer).__name__ == "BatchNormalization"
    ]
    for layer in norms:
        layer.momentum = 0.0  # the statistics become those of the last batch
    if norms:
        batch = backend.ops.convert_to_tensor(images)
        batch = model.normalise(batch) if hasattr(model, "normalise") else batch
        model.parts()["depth"](batch, training=True)
    return model


def _abs_rel(path: Path, info: dict[str, Any]) -> float:
    """abs_rel of a file, by `kdepth.evaluate`."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.csv"
        flags = [
            f"--model={path}",
            f"--dataset={info['dataset']}",
            f"--results={results}",
            "--bootstrap=0",
            "--pictures=0",
            *([f"--data_dir={info['data_dir']}"] if info["data_dir"] else []),
        ]
        subprocess.run(
            [sys.executable, "-m", "kdepth.evaluate", *flags],
            cwd=ROOT,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        with open(results, newline="") as file:
            return float(next(csv.DictReader(file))["abs_rel"])


def _size(path: Path) -> int:
    from kdepth.runtime import size_of

    return size_of(path)


def _stack() -> str:
    from importlib.metadata import version

    return f"keras-{version('keras')}_tensorflow-{version('tensorflow')}"


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    table = {}
    if path.exists():
        with open(path, newline="") as file:
            table = {tuple(row[key] for key in KEY): row for row in csv.DictReader(file)}
    table.update((tuple(row[key] for key in KEY), row) for row in rows)
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(table[key] for key in sorted(table))


if __name__ == "__main__":
    sys.exit(main())
