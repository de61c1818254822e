"""What holds for every paper.

It trains alike on one replica and two, resumes exactly and goes through all commands.
"""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
import keras  # noqa: E402
from PIL import Image  # noqa: E402

import kdepth  # noqa: E402
from kdepth import cli  # noqa: E402
from kdepth.networks.weights import part_weights  # noqa: E402
from kdepth.papers import list_papers, paper_class  # noqa: E402
from kdepth.papers.base import option_names  # noqa: E402
from kdepth.train import paper_options  # noqa: E402
from tests.grain import grainy  # noqa: E402

SMALL = {"height": 128, "image_width": 128, "width": 0.05, "seed": 5}  # a size that all can take
# Frame by frame, SC-Depth's seven calls of a ResNet take a minute to trace.
FASTER = {"scdepth": {"joint_calls": True}}
every_paper = pytest.mark.parametrize("paper", list_papers())


def small(paper, **options):
    return kdepth.create(paper, **SMALL, **FASTER.get(paper, {}), **options)


def data_of(model, world, **options):
    options = {"batch_size": 2, "seed": 7, **options}
    return kdepth.data.load("synthetic", data_dir=world, split="train", model=model, **options)


def all_weights(model):
    return {
        f"{name}/{path}": value
        for name, part in model.parts().items()
        for path, value in part_weights(part).items()
    }


@every_paper
@pytest.mark.slow
def test_two_replicas_train_as_one(paper, tiny_video, two_replicas):
    """With augmentation, dropout, batch norm, masks and clipping as they are by default."""
    found = []
    for replicas in (tf.distribute.get_strategy(), two_replicas):
        with replicas.scope():
            model = small(paper)
            model.compile(keras.optimizers.Adam(1e-4), clip_norm=1.0)
        data = data_of(model, tiny_video).map(grainy)
        history = model.fit(data, epochs=1, verbose=0).history
        found.append((history, all_weights(model)))
    (one_history, one), (two_history, two) = found
    for name, values in one_history.items():
        np.testing.assert_allclose(two_history[name], values, rtol=1e-5, atol=1e-7, err_msg=name)
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize(
    ("paper", "options"),
    [
        *((paper, {}) for paper in list_papers()),
        ("garg", {"variant": "released"}),
        ("monodepth", {"encoder": "resnet50"}),
        ("scdepth", {"encoder": "resnet50"}),
    ],
)
def test_no_1x1_convolution_has_a_stride(paper, options):
    """oneDNN's kernel of its gradient writes beyond its memory: see `layers.every_second`."""
    for part in small(paper, **options).parts().values():
        for layer in part.layers:
            if isinstance(layer, keras.layers.Conv2D) and layer.kernel_size == (1, 1):
                assert layer.strides == (1, 1), layer.name


# -- the commands ------------------------------------------------------------------------------------------------------


def train_flags(paper, world, run):
    stages = len(small(paper).stages)
    sizes = [f"--{name}={SMALL[name]}" for name in ("width", "height", "image_width", "seed")]
    return [
        f"--paper={paper}", *sizes, f"--data_dir={world}", "--batch_size=2", "--optimizer=adam",
        "--learning_rate=0.001", f"--epochs={','.join(['1'] * stages)}", "--clip_norm=1", f"--run={run}",
        *(f"--option={name}={value}".lower() for name, value in FASTER.get(paper, {}).items()),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def run_of(tiny_video, tmp_path_factory):
    """A small finished run of a paper, made once."""
    runs = {}

    def run(paper):
        if paper not in runs:
            folder = tmp_path_factory.mktemp("runs") / paper
            assert cli.call("train", train_flags(paper, tiny_video, folder)) == 0
            runs[paper] = folder
        return runs[paper]

    return run


@every_paper
@pytest.mark.slow
def test_a_run_that_is_stopped_inside_and_between_stages_ends_bit_equal(
    paper, run_of, tiny_video, tmp_path
):
    """Once in the middle of the first epoch, and between stages where there are several."""
    undisturbed = run_of(paper)
    steps = [int(row["step"]) for row in csv.DictReader(open(undisturbed / "log.csv"))]
    flags = train_flags(paper, tiny_video, tmp_path / "run")
    for stop in sorted({steps[0] - 1, *steps[: len(steps) - 1][:1]}):
        assert cli.call("train", [*flags, f"--stop_after={stop}"]) == 130
    assert cli.call("train", flags) == 0
    mine, theirs = (all_weights(kdepth.load_run(run)) for run in (tmp_path / "run", undisturbed))
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)


@every_paper
def test_evaluate_predict_and_a_script_read_the_run(paper, run_of, tmp_path, capsys):
    run = run_of(paper)
    table = tmp_path / "results.csv"
    assert cli.call("evaluate", [f"--run={run}", "--pictures=1", f"--results={table}"]) == 0
    row = next(csv.DictReader(open(table)))
    model = kdepth.load_run(run)
    assert row["paper"] == paper and np.isfinite(float(row["abs_rel"]))
    relative = model.kind == "relative"
    assert ("median scaling" in row["protocol_description"]) == relative
    pixels = np.random.default_rng(0).integers(0, 255, (50, 70, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    flags = [f"--run={run}", f"--input={tmp_path / 'photo.png'}", f"--out={tmp_path / 'out'}"]
    assert cli.call("predict", flags) == 0
    assert any((tmp_path / "out").iterdir())


@every_paper
@pytest.mark.slow
def test_every_network_is_exported_with_parity(paper, run_of, tmp_path):
    run = run_of(paper)
    model = kdepth.load_run(run)
    parts = ["depth"] if model.pose_frames is None else ["depth", "pose"]
    for part in parts:
        out = tmp_path / "exports" / paper
        assert cli.call("export", [f"--run={run}", f"--out={out}", f"--part={part}"]) == 0
    files = {path.name for path in out.iterdir() if path.suffix != ".json"}
    endings = (".tflite", "_float16.tflite", ".onnx", "_savedmodel")
    names = [paper if part == "depth" else f"{paper}_{part}" for part in parts]
    assert files == {name + ending for name in names for ending in endings}
    for name in names:
        entries = json.loads((out / f"{name}.json").read_text())["files"]
        assert all(entry["parity"] <= entry["tolerance"] for entry in entries.values())
    if len(parts) == 2:
        size = (model.pose_frames, *model.image_size, 3)
        frames = np.random.default_rng(0).random(size).astype(np.float32)
        motions = kdepth.runtime.PoseModel(out / f"{paper}_pose.tflite")(list(frames))
        np.testing.assert_allclose(motions, model.predict_pose(frames[None])[0], atol=1e-5)


@every_paper
def test_ablations_are_options_and_configs_are_taken(paper):
    model = paper_class(paper)
    for changes in model.ablations.values():
        assert set(changes) <= set(option_names(model))
    configs = sorted((Path(__file__).parents[2] / "configs").glob(f"{paper}*.cfg"))
    assert any(path.stem.endswith("_kitti") for path in configs)
    for path in configs:
        assert paper_options(cli.parse("train", [f"--flagfile={path}"]), model)["seed"] >= 0
