"""Turn a paper's published checkpoint into kdepth weights, which every command takes as --run.

Every tensor of the file is used exactly once or knowingly left out, and the report counts them; if
one is missing, unknown, of another shape or not finite, nothing is written. Nothing is downloaded:
docs/releases.md says what each release's files are called.

Example:
  python -m kdepth.convert --list
  python -m kdepth.convert --source=monodepth_vgg --checkpoint=models/model_eigen
  python -m kdepth.predict --run=weights/monodepth_vgg --input=street.png
  python -m kdepth.train --flagfile=configs/monodepth_finetune.cfg --data_dir=/data/kitti
"""

from __future__ import annotations

from pathlib import Path

from absl import flags as absl_flags

from kdepth.errors import UserError


def define_flags(flags: absl_flags.FlagValues) -> None:
    """Defines the command's flags."""
    absl_flags.DEFINE_string(
        "source", None, "What the checkpoint is; --list names all.", flag_values=flags
    )
    absl_flags.DEFINE_string(
        "checkpoint",
        None,
        "The release's file; of TensorFlow 1 the name without .index; a folder where a release has"
        " several files.",
        flag_values=flags,
    )
    absl_flags.DEFINE_string(
        "out", None, "The folder to write; weights/<source> by default.", flag_values=flags
    )
    absl_flags.DEFINE_string(
        "trained_on",
        None,
        "What the weights were trained on, where a release has several (kitti, cityscapes): stereo"
        " papers take the baseline from it.",
        flag_values=flags,
    )
    for name, side in (("height", "Rows"), ("image_width", "Columns")):
        absl_flags.DEFINE_integer(
            name,
            None,
            f"{side} of the network's input; the release's by default.",
            lower_bound=1,
            flag_values=flags,
        )
    absl_flags.DEFINE_bool("list", False, "List the sources and end.", flag_values=flags)


def main(flags: absl_flags.FlagValues) -> int:
    """Converts and reports; returns the exit status."""
    from kdepth import releases
    from kdepth.training.runs import Run

    if flags.list:
        print(_list())
        return 0
    for name in ("source", "checkpoint"):
        if not flags[name].value:
            raise UserError(f"--{name} is required; python -m kdepth.convert --list names sources")
    release = releases.release_of(flags.source)
    out = Path(flags.out or f"weights/{flags.source}")
    size = {name: flags[name].value for name in ("height", "image_width")}
    options = {name: value for name, value in size.items() if value is not None}
    print(f"{release.title}\nlicence of these weights: {release.licence}", flush=True)
    report = releases.convert(flags.source, flags.checkpoint, out, flags.trained_on, **options)
    print("\n".join(report.lines()))
    choices = ", ".join(release.trained_on)
    print(f"wrote {out}, as trained on {Run(out).info['trained_on']} (--trained_on: {choices})")
    for line in _published(release.published):
        print(line)
    return 0


def _list() -> str:
    from tabulate import tabulate

    from kdepth import releases

    found = [releases.release_of(source) for source in releases.SOURCES]
    rows = [(release.source, release.title, release.files, release.licence) for release in found]
    return tabulate(
        rows, ["source", "what", "published as", "licence"], maxcolwidths=[None, 30, 40, 30]
    )


def _published(names: tuple[tuple[str, str], ...]) -> list[str]:
    """The scores that the weights should reach, a line each."""
    from kdepth.evaluation.metrics import ALL_METRICS
    from kdepth.evaluation.published import read
    from kdepth.evaluation.table import ODOMETRY_METRICS

    if not names:
        return []
    table = read()
    lines = ["published:"]
    for system, protocol in names:
        rows = table[(table["system"] == system) & (table["protocol"] == protocol)]
        for row in rows.to_dict("records"):
            figures = [
                f"{name} {float(row[name]):.{row['decimals']}f}"
                for name in (*ALL_METRICS, *ODOMETRY_METRICS)
                if name in row and row[name] not in ("", None) and row[name] == row[name]
            ]
            scores = f"{', '.join(figures)} ({row['source']})"
            lines.append(f"  {system}, {protocol}, {row['split']}: {scores}")
    return lines


if __name__ == "__main__":
    from kdepth import cli

    cli.run("convert")
