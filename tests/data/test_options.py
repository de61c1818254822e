from __future__ import annotations

import inspect

import pytest

from kdepth import cli, data
from kdepth.data.options import Option, options_help, reader_options
from kdepth.data.readers import reader_class
from kdepth.errors import UserError


@pytest.mark.parametrize("dataset", data.READERS)
def test_options_are_what_the_constructor_takes(dataset):
    parameters: dict[str, inspect.Parameter] = {}
    for owner in reversed(reader_class(dataset).__mro__):  # `**options` go to the class above
        parameters.update(inspect.signature(owner.__init__).parameters)
    for option in reader_options(dataset):
        assert parameters[option.name].default == option.default
        assert option.help.endswith(".") and option.kind in (str, int, float)
        assert not option.choices or option.default in option.choices
    own = inspect.signature(reader_class(dataset).__init__).parameters
    named = {name for name, p in own.items() if p.kind is not inspect.Parameter.VAR_KEYWORD}
    declared = {option.name for option in reader_options(dataset)}
    assert named - {"self", "data_dir", "on_missing"} <= declared


def test_values_have_the_declared_type():
    assert data.parse_options("kitti_raw", ["depth=velodyne", "lidar_value=velodyne_x"]) == {
        "depth": "velodyne",
        "lidar_value": "velodyne_x",
    }
    assert data.parse_options("folder", ["fx=721.5", "cx=-3e1", "step=2", "fx=500"]) == {
        "fx": 500.0,  # of two the later one counts, as with flags
        "cx": -30.0,
        "step": 2,
    }
    assert data.parse_options("folder", ["intrinsics=a=b.txt"]) == {"intrinsics": "a=b.txt"}
    assert data.parse_options("kitti_stereo2015", []) == {}


def test_an_evaluation_takes_over_what_is_not_about_training():
    assert data.lasting_options("nyu_raw", {"balance": 1200}) == {}
    assert data.lasting_options("folder", {"fx": 5.0, "step": 2}) == {"fx": 5.0, "step": 2}


@pytest.mark.parametrize(
    ("dataset", "text", "message"),
    [
        ("kitti_raw", "depth", "must be name=value; received 'depth'"),
        (
            "kitti_raw",
            "camera=grey",
            "kitti_raw has no option 'camera'; it has: depth, lidar_value",
        ),
        ("tum_rgbd", "depth=x", "has no option 'depth'; it has: none"),
        ("kitti_raw", "depth=lidar", "--reader_option=depth=lidar: must be one of auto, ground"),
        ("folder", "fx=wide", "--reader_option=fx=wide: must be a number"),
        ("folder", "fx=nan", "--reader_option=fx=nan: must be finite"),
        ("folder", "fx=0", "--reader_option=fx=0: must be positive"),
        ("folder", "step=1.5", "--reader_option=step=1.5: must be a whole number"),
        ("folder", "intrinsics=", "--reader_option=intrinsics=: has no value"),
    ],
)
def test_mistakes(dataset, text, message):
    with pytest.raises(UserError, match=message):
        data.parse_options(dataset, [text])


def test_help_names_every_option_once(capsys):
    for command in ("train", "evaluate"):
        assert cli.call(command, ["--help"]) == 0
        shown = capsys.readouterr().out
        assert options_help() in shown and max(map(len, shown.splitlines())) <= 100
    listed = [
        line.strip().partition("=")[0] for line in shown.partition("reader options")[2].split("\n")
    ]
    shared: set[Option] = {o for name in data.READERS for o in reader_options(name)}
    assert sorted(o.name for o in shared) == sorted(
        name for name in listed if name in {o.name for o in shared}
    )
