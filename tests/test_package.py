"""The package as a whole: public names, what imports what, commands, configs, packaging."""

from __future__ import annotations

import ast
import functools
import importlib.util
import json
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import kdepth
from kdepth import cli
from kdepth.papers import PAPERS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "kdepth"

# Who may import whom: only what stands on a lower line, or beside it in the same component or line.
LAYERS = (
    ("errors", "files", "flagfile", "protobuf", "quiet", "versions"),
    ("backend",),
    ("geometry", "losses", "networks", "prediction", "data", "runtime", "pictures", "visualize"),
    ("camera_flags", "output", "sources"),
    ("papers",),
    ("training", "evaluation", "exporters", "page", "benchmarking", "releases"),
    ("cli", *cli.COMMANDS, "__main__"),
)
LEVELS = {component: level for level, line in enumerate(LAYERS) for component in line}

# The name a package is imported by, where it is not the name it is installed by.
DISTRIBUTIONS = {"PIL": "pillow", "absl": "absl-py"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@functools.cache
def imports(module: str, also_deferred: bool) -> frozenset[str]:
    """Modules that a module imports; with `also_deferred` those within functions too."""
    found = set()
    for node, deferred in _import_nodes(ast.parse(MODULES[module].read_text())):
        if deferred and not also_deferred:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        else:
            assert node.level == 0, f"{module} has a relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in MODULES else node.module)
    return frozenset(found)


def _import_nodes(tree: ast.AST, deferred: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node, deferred
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from _import_nodes(node, True)
        else:
            within = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            yield from _import_nodes(node, deferred or within)


def runtime_imports(module: str) -> frozenset[str]:
    """The packages from outside that importing a module of kdepth loads."""
    seen, pending, outside = set(), {module}, set()
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        if name not in MODULES:
            outside.add(name.partition(".")[0])
            continue
        pending |= imports(name, also_deferred=False)
        pending |= {name.rpartition(".")[0]} - {""}
    return frozenset(outside)


def from_elsewhere(names: Iterable[str]) -> set[str]:
    """Those of some top-level names that are neither kdepth nor in the standard library."""
    library = Path(sysconfig.get_paths()["stdlib"])
    found = set()
    for name in set(names) - {"kdepth", *sys.builtin_module_names}:
        spec = importlib.util.find_spec(name)
        origin = Path(spec.origin) if spec and spec.origin and spec.origin != "frozen" else None
        at_home = origin is not None and library in origin.parents
        if spec and (spec.origin == "frozen" or (at_home and "site-packages" not in str(origin))):
            continue
        found.add(name)
    return found


def component(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def inside(name: str) -> list[str]:
    return [module for module in MODULES if component(module) == name]


def python(program: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


# --- what imports what ---


def test_every_module_has_its_place_in_the_layers():
    components = {component(module) for module in MODULES} - {""}
    assert components == set(LEVELS)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_go_down_the_layers(module):
    own = component(module)
    if not own:
        return
    for imported in imports(module, also_deferred=True):
        other = component(imported) if imported in MODULES else ""
        if other and other != own:
            assert LEVELS[other] <= LEVELS[own], f"{module} imports {imported}"


def test_no_paper_imports_another():
    shared = {"kdepth.papers", "kdepth.papers.base"}
    for module in set(inside("papers")) - shared:
        papers = {name for name in imports(module, True) if component(name) == "papers"}
        assert papers <= shared, module


def test_nothing_imports_a_command():
    commands = {f"kdepth.{command}" for command in cli.COMMANDS}
    for module in MODULES:
        assert not imports(module, True) & commands, module


@pytest.mark.parametrize(
    ("name", "forbidden"),
    [
        ("data", {"keras"}),
        ("evaluation", {"keras", "tensorflow"}),
        ("runtime", {"keras", "tensorflow"}),
        *((name, {"keras", "tensorflow"}) for name in ("camera_flags", "output", "sources")),
    ],
)
def test_what_stays_free_of_keras_and_tensorflow(name, forbidden):
    for module in inside(name):
        direct = {imported.partition(".")[0] for imported in imports(module, also_deferred=True)}
        assert not direct & forbidden, module
        assert not runtime_imports(module) & forbidden, module


@pytest.mark.parametrize("name", ["geometry.camera", "geometry.pose", "prediction", "data.image"])
def test_modules_that_need_numpy_only(name):
    outside = from_elsewhere(runtime_imports(f"kdepth.{name}"))
    assert outside <= {"numpy", "PIL", "absl"}


def test_addons_are_imported_by_the_resampler_only():
    users = {name for name in MODULES if "tensorflow_addons" in imports(name, True)}
    assert users == {"kdepth.geometry.warp"}
    assert "tensorflow_addons" not in imports("kdepth.geometry.warp", False)


# --- public names ---


def test_public_names():
    papers = {target.partition(":")[2] for target in PAPERS.values()}
    assert "Garg" in papers
    assert set(kdepth.__all__) - papers == {
        *("create", "list_papers", "load_run", "export_model"),
        *("Camera", "Prediction", "data", "runtime", "__version__"),
    }
    assert set(kdepth.__all__) <= set(dir(kdepth))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = kdepth.nonsense


def test_importing_kdepth_imports_nothing_else():
    loaded = json.loads(python("import kdepth, json, sys; print(json.dumps(list(sys.modules)))"))
    outside = {name.partition(".")[0] for name in loaded} - {"kdepth"}
    assert not outside & {"tensorflow", "keras", "pandas", "numpy", "PIL", "absl", "jax", "torch"}


def test_no_public_name_is_a_module_of_another_meaning():
    submodules = {component(module) for module in MODULES}
    assert set(kdepth.__all__) & submodules == {"data", "runtime"}


def test_commands_hide_no_public_name():
    program = "\n".join(
        [
            "import kdepth, json",
            *(f"import kdepth.{command}" for command in cli.COMMANDS),
            "import kdepth.papers, kdepth.training.runs, kdepth.exporters, kdepth.geometry.camera",
            "kinds = {name: type(getattr(kdepth, name)).__name__ for name in kdepth.__all__}",
            "print(json.dumps([kinds, kdepth.list_papers()]))",
        ]
    )
    kinds, papers = json.loads(python(program))
    modules = {name for name, kind in kinds.items() if kind == "module"}
    assert modules == {"data", "runtime"}
    for name in ("create", "list_papers", "load_run", "export_model"):
        assert kinds[name] == "function"
    assert papers == kdepth.list_papers()


def test_public_names_work(tmp_path):
    camera = kdepth.Camera(fx=100.0, fy=100.0, cx=31.5, cy=15.5, width=64, height=32)
    assert camera.resize(32, 16).fx == 50.0
    prediction = kdepth.Prediction(depth=np.ones((1, 2, 3), np.float32), kind="metric", unit="m")
    assert prediction.values.shape == (1, 2, 3)
    model = kdepth.create("garg", width=0.1, height=96, image_width=160)
    assert isinstance(model, kdepth.Garg)
    for call in (lambda: kdepth.load_run(tmp_path), lambda: kdepth.create("gorg")):
        with pytest.raises(kdepth.errors.UserError):
            call()
    assert callable(kdepth.export_model) and isinstance(kdepth.runtime, ModuleType)
    assert "synthetic" in kdepth.data.READERS


# --- commands and configs ---


def test_importing_the_commands_is_light():
    program = "\n".join(
        [
            "import json, sys",
            *(f"import kdepth.{command}" for command in cli.COMMANDS),
            "print(json.dumps(list(sys.modules)))",
        ]
    )
    loaded = {name.partition(".")[0] for name in json.loads(python(program))}
    assert not loaded & {"tensorflow", "keras", "pandas", "matplotlib", "onnx", "jax", "torch"}


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_has_help_with_an_example(command, capsys):
    assert cli.call(command, ["--help"]) == 0
    help = capsys.readouterr().out
    assert f"usage: python -m kdepth.{command}" in help
    assert f"python -m kdepth.{command} --" in help.partition("example:")[2]
    assert "None" not in help
    flags = cli.define(importlib.import_module(f"kdepth.{command}"))
    assert all(flags[name].help for name in flags)


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_reports_an_unknown_flag(command, capsys):
    assert cli.call(command, ["--no_such_flag=1"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"kdepth {command}: unknown flag --no_such_flag")
    assert error.count("\n") == 1


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_runs_as_a_module(command):
    tree = ast.parse((PACKAGE / f"{command}.py").read_text())
    assert f"cli.run('{command}')" in ast.unparse(tree.body[-1])


def test_the_command_line_knows_the_data_sets():
    flags = cli.define(importlib.import_module("kdepth.train"))
    assert flags["dataset"].parser.enum_values == list(kdepth.data.READERS)


CONFIGS = sorted((ROOT / "configs").glob("*.cfg"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configs_parse(path):
    flags = cli.parse("train", [f"--flagfile={path}"])
    assert flags.paper in kdepth.list_papers()
    assert path.stem.split("_")[0] == flags.paper
    lines = path.read_text().splitlines()
    assert len(lines) <= 25
    assert lines[0].startswith("#")
    assert f"--flagfile=configs/{path.name}" in path.read_text()


def test_every_paper_has_its_config_and_its_test():
    for paper in kdepth.list_papers():
        assert ROOT / "configs" / f"{paper}.cfg" in CONFIGS
        assert list((ROOT / "tests" / "papers").glob(f"test_{paper}*.py"))


# --- packaging ---


def requirements() -> set[str]:
    """The names of all packages in setup.py."""
    strings = (
        node.value
        for node in ast.walk(ast.parse((ROOT / "setup.py").read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    matches = (re.match(r"([a-z][a-z0-9-]*)(\[[a-z-]+\])?[<>=]=?\d", text) for text in strings)
    return {match.group(1) for match in matches if match}


def test_what_is_imported_is_required():
    used = set()
    for module in MODULES:
        used |= {name.partition(".")[0] for name in imports(module, also_deferred=True)}
    used = from_elsewhere(used)
    distributions = {DISTRIBUTIONS.get(name, name.replace("_", "-")) for name in used}
    assert distributions <= requirements()

    # Some are imported by their name as a string. Tools and TensorBoard are used beside kdepth.
    text = "".join(path.read_text() for path in MODULES.values())
    unused = {name for name in requirements() - distributions if name.replace("-", "_") not in text}
    # tensorflow-datasets imports importlib-resources and does not ask for it.
    tools = {"tensorboard", "codespell", "hypothesis", "importlib-resources", "pytest", "ruff"}
    assert unused <= tools


def test_requirements_choose_by_python():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        '.[addons] ; python_version < "3.12"',
        '.[keras3] ; python_version >= "3.12"',
    ]


def test_data_files_are_packaged():
    text = (ROOT / "setup.py").read_text()
    patterns = re.search(r"package_data=\{\"kdepth\": (\[.*?\])\}", text)
    packaged = {path for glob in json.loads(patterns.group(1)) for path in PACKAGE.glob(glob)}
    files = {
        path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in str(path)
    }
    assert packaged == {path for path in files if path.suffix != ".py"}


def test_every_folder_of_code_is_a_package():
    for module in MODULES.values():
        assert (module.parent / "__init__.py").exists(), module
