"""The command line: flags, flagfiles, messages, exit statuses, tried on a small command."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
import types
from pathlib import Path

import pytest
from absl import flags as absl_flags
from absl import logging

from kdepth import cli
from kdepth.errors import UserError
from kdepth.files import atomic_path

ROOT = Path(__file__).parents[1]


@pytest.fixture
def command(monkeypatch):
    """A command `paint`; its body is the attribute `body`, which gets the flags."""
    module = types.ModuleType("kdepth.paint")
    module.__doc__ = textwrap.dedent(
        """\
        Paints a picture
        of a fence.

        Example:
            python -m kdepth.paint --coats=2
        """
    )

    def define_flags(flags):
        absl_flags.DEFINE_float("learning_rate", 1e-4, "The step.", flag_values=flags)
        with cli.group(flags, "paint"):
            absl_flags.DEFINE_integer("coats", 1, "How many.", lower_bound=1, flag_values=flags)
            absl_flags.DEFINE_bool("dry", True, "Wait until dry.", flag_values=flags)
            absl_flags.DEFINE_enum("colour", "red", ["red", "green"], "Which.", flag_values=flags)
            absl_flags.DEFINE_list("boards", ["a", "b"], "Where.", flag_values=flags)
            absl_flags.DEFINE_string("note", None, "Anything.", flag_values=flags)
        cli.define_run_flag(flags, "The run.")
        cli.define_data_flags(flags)

    module.define_flags = define_flags
    module.main = lambda flags: module.body(flags)
    module.body = lambda flags: 0
    monkeypatch.setitem(sys.modules, "kdepth.paint", module)
    return module


def one_line(capsys) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1, captured.err
    assert captured.err.startswith("kdepth paint: ")
    return captured.err.strip()


def test_values_reach_the_command(command):
    seen = []
    command.body = lambda flags: seen.append((flags.coats, flags.dry, flags.colour, flags.dataset))
    assert cli.call("paint", ["--coats=3", "--nodry", "--colour", "green"]) == 0
    assert seen == [(3, False, "green", "synthetic")]


def test_calls_do_not_share_flags(command):
    seen = []
    command.body = lambda flags: seen.append(flags.coats)
    cli.call("paint", ["--coats=3"])
    cli.call("paint", [])
    assert seen == [3, 1]
    assert "coats" not in absl_flags.FLAGS


@pytest.mark.parametrize("status", [0, 1, 2])
def test_the_status_of_main_is_the_status(command, status):
    command.body = lambda flags: status
    assert cli.call("paint", []) == status


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--learning_rat=1"], "unknown flag --learning_rat; did you mean --learning_rate?"),
        (["--nodri"], "unknown flag --nodri; did you mean --nodry?"),
        (["--zzz"], "unknown flag --zzz; python -m kdepth.paint --help lists them"),
        (["--coats=many"], "--coats=many: must be a positive integer"),
        (["--coats=0"], "--coats=0: 0 is not"),
        (["--learning_rate=fast"], "--learning_rate=fast: must be a number"),
        (["--dry=perhaps"], "--dry=perhaps: must be true or false"),
        (["--colour=blue"], "--colour=blue: value should be one of <red|green>"),
        (["--dataset=kity"], "kitti_raw"),
        (["--coats"], "--coats"),
        (["fence.png"], "unexpected argument 'fence.png'; flags are written --name=value"),
        (["--flagfile=missing.cfg"], "there is no flagfile missing.cfg"),
        (["--flagfile"], "--flagfile needs a file"),
    ],
)
def test_wrong_flags_are_one_line_and_status_2(command, capsys, arguments, message):
    command.body = pytest.fail
    assert cli.call("paint", arguments) == 2
    assert message in one_line(capsys)


def test_one_argument_may_stand_for_a_flag(command, capsys):
    command.POSITIONAL = "note"
    seen = []
    command.body = lambda flags: seen.append((flags.note, flags.coats))
    assert cli.call("paint", ["fence", "--coats=2"]) == 0
    assert cli.call("paint", ["--note=gate"]) == 0
    assert seen == [("fence", 2), ("gate", 1)]
    assert "usage: python -m kdepth.paint [note] [--flag" in cli.help_text("paint")
    for arguments in (["fence", "gate"], ["--note=gate", "fence"]):
        assert cli.call("paint", arguments) == 2
        assert "unexpected argument" in one_line(capsys)


def test_a_required_flag_is_named(command, capsys):
    define = command.define_flags

    def define_flags(flags):
        define(flags)
        absl_flags.mark_flag_as_required("run", flag_values=flags)

    command.define_flags = define_flags
    assert cli.call("paint", []) == 2
    assert one_line(capsys).endswith("--run is required")


def test_flagfile_with_comments_and_overrides(command, tmp_path):
    (tmp_path / "paint.cfg").write_text(
        "# a comment\n// another\n\n  --coats=2  # two\n--nodry\n--note=a b\n--boards=x,y\n"
    )
    seen = []

    def body(flags):
        seen.append((flags.coats, flags.dry, flags.note, flags.boards, flags.flagfile))

    command.body = body
    name = str(tmp_path / "paint.cfg")
    assert cli.call("paint", [f"--flagfile={name}", "--coats=5"]) == 0
    assert cli.call("paint", ["--coats=5", "--flagfile", name]) == 0
    assert seen == [
        (5, False, "a b", ["x", "y"], [name]),
        (2, False, "a b", ["x", "y"], [name]),
    ]


def test_flagfiles_nest_relative_to_the_file_that_names_them(command, tmp_path, monkeypatch):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "base.cfg").write_text("--coats=2\n--colour=green\n")
    (tmp_path / "configs" / "more.cfg").write_text("--flagfile=base.cfg\n--coats=4\n")
    monkeypatch.chdir(tmp_path)
    seen = []
    command.body = lambda flags: seen.append((flags.coats, flags.colour, flags.flagfile))
    assert cli.call("paint", ["--flagfile=configs/more.cfg"]) == 0
    assert seen == [(4, "green", ["configs/more.cfg"])]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("--coats=2\n\n--colur=red\n", "p.cfg:3: unknown flag --colur; did you mean --colour?"),
        ("--coats=2\n--colour=blue\n", "p.cfg:2: --colour=blue: value should be one of"),
        ("--coats=x\n", "p.cfg:1: --coats=x: must be a positive integer"),
        ("coats=2\n", "p.cfg:1: expected one --name=value on a line, found 'coats=2'"),
        ("--coats 2\n", "p.cfg:1: expected one --name=value on a line, found '--coats 2'"),
        ("--flagfile=p.cfg\n", "p.cfg:1: flagfile p.cfg includes itself"),
        ("--flagfile=gone.cfg\n", "p.cfg:1: there is no flagfile gone.cfg"),
    ],
)
def test_a_mistake_in_a_flagfile_names_file_and_line(
    command, capsys, tmp_path, monkeypatch, text, message
):
    monkeypatch.chdir(tmp_path)
    Path("p.cfg").write_text(text)
    assert cli.call("paint", ["--flagfile=p.cfg", "--coats=3"]) == 2
    assert message in one_line(capsys)


def test_a_missing_or_binary_flagfile(command, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("garg.cfg").write_bytes(b"\x89PNG\xff\xfe\x00")
    assert cli.call("paint", ["--flagfile=grag.cfg"]) == 2
    assert "did you mean garg.cfg?" in one_line(capsys)
    assert cli.call("paint", ["--flagfile=garg.cfg"]) == 2
    assert "garg.cfg is not a text file" in one_line(capsys)
    assert cli.call("paint", [f"--flagfile={tmp_path}"]) == 2
    assert "cannot be read: Is a directory" in one_line(capsys)


def test_to_flagfile_gives_the_same_flags_again(command, tmp_path):
    flags = cli.parse("paint", ["--coats=7", "--nodry", "--boards=q", "--note=x y", "--run=r"])
    (tmp_path / "flags.cfg").write_text(cli.to_flagfile(flags))
    again = cli.parse("paint", [f"--flagfile={tmp_path / 'flags.cfg'}"])
    assert cli.to_flagfile(again) == cli.to_flagfile(flags)
    assert (again.coats, again.dry, again.boards, again.note, again.run) == (
        7,
        False,
        ["q"],
        "x y",
        "r",
    )
    assert "flagfile" not in cli.to_flagfile(again)


def test_help_is_worth_reading(command, capsys):
    command.body = pytest.fail
    assert cli.call("paint", ["--coats=2", "--help"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    help = captured.out
    assert "usage: python -m kdepth.paint" in help
    assert "Paints a picture of a fence." in help
    assert "python -m kdepth.paint --coats=2" in help
    assert "How many. (default: 1)" in help and "--[no]dry" in help and "<red|green>" in help
    assert "(default: None)" not in help
    assert help.index("--learning_rate") < help.index("paint:\n  --coats") < help.index("data:")
    assert "undefok" not in help
    assert max(map(len, help.splitlines())) <= 100


def test_a_users_mistake_is_one_line(command, capsys):
    def body(flags):
        raise UserError("the folder is empty:\n/data; give another --data_dir")

    command.body = body
    assert cli.call("paint", []) == 2
    expected = "kdepth paint: the folder is empty: /data; give another --data_dir"
    assert one_line(capsys) == expected


def test_a_bug_keeps_its_traceback(command, capsys):
    def body(flags):
        raise ValueError("an index went wrong")

    command.body = body
    assert cli.call("paint", []) == 1
    error = capsys.readouterr().err
    assert "Traceback" in error and "in body" in error and "an index went wrong" in error


def test_a_full_disk_names_the_file(command, capsys, tmp_path):
    target = tmp_path / "weights.npz"
    target.write_text("the old one")

    def body(flags):
        with atomic_path(target) as path:
            path.write_text("half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    command.body = body
    assert cli.call("paint", []) == 2
    assert one_line(capsys).endswith(f"disk full while writing {target}")
    assert target.read_text() == "the old one"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk_without_a_name(command, capsys):
    def body(flags):
        with open("/dev/full", "w") as file:
            file.write("x")

    command.body = body
    assert cli.call("paint", []) == 2
    assert "disk full" in one_line(capsys)


def test_a_file_that_cannot_be_written(command, capsys, tmp_path):
    (tmp_path / "file").write_text("")

    def body(flags):
        with atomic_path(tmp_path / "file" / "picture.png") as path:
            path.write_text("x")

    command.body = body
    assert cli.call("paint", []) == 2
    assert str(tmp_path / "file") in one_line(capsys)


def test_a_missing_package_is_a_matter_of_installation(command, capsys):
    def body(flags):
        raise ModuleNotFoundError("No module named 'tf2onnx'", name="tf2onnx.convert")

    command.body = body
    assert cli.call("paint", []) == 2
    assert "the package tf2onnx is not installed; pip install 'kdepth[" in one_line(capsys)


def test_interrupted(command, capsys):
    def body(flags):
        raise KeyboardInterrupt

    command.body = body
    assert cli.call("paint", []) == 130
    assert one_line(capsys) == "kdepth paint: interrupted"


def test_events_go_to_stderr_and_results_to_stdout(command, capsys):
    def body(flags):
        logging.get_absl_logger().handle(
            logging.get_absl_logger().makeRecord(
                "absl", 20, str(ROOT / "kdepth" / "x.py"), 1, "epoch %d", (3,), None
            )
        )
        print("abs_rel 0.1")
        return 0

    command.body = body
    assert cli.call("paint", []) == 0
    assert cli.call("paint", []) == 0  # a second call does not log twice
    captured = capsys.readouterr()
    assert captured.out == "abs_rel 0.1\n" * 2
    assert captured.err == "epoch 3\n" * 2


def python(*arguments: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=120, **options
    )


def test_python_m_kdepth_lists_the_commands():
    result = python("-m", "kdepth")
    assert (result.returncode, result.stderr) == (0, "")
    for command in cli.COMMANDS:
        assert f"\n  {command} " in result.stdout


def test_python_m_kdepth_knows_versions_and_mistakes():
    assert python("-m", "kdepth", "--version").stdout.startswith("kdepth 0.")
    result = python("-m", "kdepth", "trian")
    assert result.returncode == 2
    assert result.stderr == "kdepth: unknown command 'trian'; did you mean train?\n"


PROGRAM = """
import sys, types, time
from kdepth import cli
module = types.ModuleType("kdepth.paint", "Paints.")
module.define_flags = lambda flags: None
def main(flags):
    {body}
module.main = main
sys.modules["kdepth.paint"] = module
cli.run("paint", [])
"""


def test_ctrl_c_in_a_process(tmp_path):
    program = PROGRAM.format(body="print('ready', flush=True); time.sleep(60)")
    # Background shells start their children with SIGINT ignored; a terminal does not.
    program = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n{program}"
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert (process.returncode, error) == (130, "kdepth paint: interrupted\n")


def test_a_reader_that_goes_away(tmp_path):
    program = PROGRAM.format(body="[print('line', i) for i in range(100000)]")
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=30) == 141
    assert process.stderr.read() == b""
    process.stderr.close()


def test_tensorflow_starts_quietly_unless_it_is_asked_to_speak():
    pytest.importorskip("tensorflow")
    program = PROGRAM.format(body="import tensorflow as tf; print(float(tf.ones(3)[0] + 1))")
    environment = {name: value for name, value in os.environ.items() if "TF_CPP" not in name}
    result = python("-c", program, env=environment)
    assert (result.returncode, result.stdout, result.stderr) == (0, "2.0\n", "")
    loud = python("-c", program, env={**environment, "TF_CPP_MIN_LOG_LEVEL": "0"})
    assert loud.returncode == 0
    assert loud.stderr != ""


def test_a_tensorflow_that_fails_to_load_is_not_hushed(tmp_path):
    (tmp_path / "tensorflow.py").write_text(
        "import os\nos.write(2, b'bad processor\\n')\nraise ImportError('no luck')\n"
    )
    program = PROGRAM.format(body="import tensorflow")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    result = python("-c", program, env={**os.environ, "PYTHONPATH": path})
    assert result.returncode == 1
    assert "bad processor" in result.stderr and "no luck" in result.stderr
