"""Renders the embedded data set: a small driving world in KITTI's raw layout, with exact depth.

Nothing is downloaded. The same flags give the same bytes; an interrupted rendering is continued
when called again. The default world is what the configs train on, and training renders it by
itself on first use.

Example:
    python -m kdepth.synthesize
    python -m kdepth.synthesize --data_dir=worlds/large --height=256 --width=832 --train_drives=200
"""

from __future__ import annotations

from absl import flags as absl_flags

from kdepth import cli


def define_flags(flags: absl_flags.FlagValues) -> None:
    """Defines the command's flags.

    Args:
        flags: where to define them.
    """
    from kdepth.data.world.settings import WorldSettings

    default = WorldSettings()
    absl_flags.DEFINE_string(
        "data_dir",
        None,
        "Folder to write; by default the one that --dataset=synthetic reads.",
        flag_values=flags,
    )
    for name, text in (
        ("train_drives", "Streets in the train split."),
        ("test_drives", "Other streets, in the test split."),
        ("frames", "Consecutive stereo pairs of each street, 10 a second."),
        ("height", "Image rows."),
        ("width", "Image columns."),
        ("seed", "Seed of everything random."),
        ("supersample", "Rays per pixel side at edges (anti-aliasing); 1 is off."),
    ):
        absl_flags.DEFINE_integer(name, getattr(default, name), text, flag_values=flags)
    absl_flags.DEFINE_bool(
        "moving",
        default.moving,
        "Let other cars drive; geometry between frames then holds for what stands still only.",
        flag_values=flags,
    )
    cli.define_workers_flag(flags)


def main(flags: absl_flags.FlagValues) -> int:
    """Renders and says what was written.

    Args:
        flags: the parsed flags.

    Returns:
        0.

    Raises:
        UserError: if a flag is out of range or the folder holds something else.
    """
    from dataclasses import fields

    from kdepth.data import synthetic
    from kdepth.data.world.settings import WorldSettings

    names = [field.name for field in fields(WorldSettings)]
    settings = WorldSettings(**{name: getattr(flags, name) for name in names})
    print(synthetic.describe(synthetic.ensure(flags.data_dir, settings, flags.workers)))
    return 0


if __name__ == "__main__":
    cli.run("synthesize")
