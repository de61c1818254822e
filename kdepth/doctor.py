"""Looks at your data and says in plain words what will go wrong in training, a line each with what to do.

It loads a few evenly spaced samples through the data set's reader and looks at sizes, intrinsics,
black borders, the rows and the direction of stereo pairs, the motion between frames and the unit of
depth. Status 1: training would fail or learn something wrong; 0: it would not, warnings or not.

Example:
    python -m kdepth.doctor --dataset=folder --data_dir=my_pictures --reader_option=fx=720
    python -m kdepth.doctor --dataset=kitti_raw --data_dir=kitti --split=eigen_train --samples=40
"""

from __future__ import annotations

from absl import flags as absl_flags

from kdepth import cli
from kdepth.errors import UserError


def define_flags(flags: absl_flags.FlagValues) -> None:
    """Defines the command's flags.

    Args:
        flags: where to define them.
    """
    cli.define_data_flags(flags, dataset="folder", split="all")
    absl_flags.DEFINE_integer(
        "samples", 12, "How many samples to look at, evenly spaced.", flag_values=flags
    )


def main(flags: absl_flags.FlagValues) -> int:
    """Prints the findings.

    Args:
        flags: the parsed flags.

    Returns:
        1 if training would fail, else 0.

    Raises:
        UserError: if a flag is wrong.
    """
    from kdepth.data import parse_options
    from kdepth.data.checkup import examine

    if flags.samples < 1:
        raise UserError(f"--samples must be at least 1, received {flags.samples}")
    options = parse_options(flags.dataset, flags.reader_option)
    if flags.on_bad_sample == "skip":
        options["on_missing"] = "skip"
    report = examine(flags.dataset, flags.data_dir, flags.split, flags.samples, **options)
    for finding in report.findings:
        print(finding)
    looked_at = ", ".join(f"{part} of {count}" for part, count in report.looked_at.items())
    found = f"{len(report.findings)} findings" if report.findings else "nothing wrong was found"
    print(f"{found}; looked at: {looked_at or 'nothing'} samples")
    return cli.FAILURE if report.fails else cli.OK


if __name__ == "__main__":
    cli.run("doctor")
