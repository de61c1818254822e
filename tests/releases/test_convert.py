"""The command, and what a converted folder is good for: all that a run is good for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import kdepth  # noqa: E402
from kdepth import backend, cli, releases  # noqa: E402
from kdepth.data.image import write_image  # noqa: E402
from kdepth.errors import UserError  # noqa: E402
from kdepth.evaluation.published import read as read_published  # noqa: E402
from kdepth.networks.weights import part_weights  # noqa: E402
from kdepth.papers import paper_class  # noqa: E402
from kdepth.releases import mapping  # noqa: E402
from kdepth.train import paper_options  # noqa: E402
from kdepth.training.runs import Run, init_weights  # noqa: E402
from tests.golden.weights import tf1  # noqa: E402
from tests.releases.checkpoints import write_tf1  # noqa: E402

SMALL = {"width": 0.05, "height": 128, "image_width": 128}
ROOT = Path(__file__).parents[2]
FINETUNE = sorted((ROOT / "configs").glob("*_finetune.cfg"))


def arrays_of(source, **options):
    """Seeded tensors of a TensorFlow 1 release, of the shapes that a model of ours asks for."""
    release = releases.release_of(source)
    model = kdepth.create(release.paper, **{**release.options({}), **options})
    shapes = {
        (part, backend.variable_path(v)): tuple(v.shape)
        for part, network in model.parts().items()
        for v in network.weights
    }
    rows = release.rows(model.options)
    return {row.source: tf1(row.source, shapes[row.part, row.variable], 3) for row in rows}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("released")
    return write_tf1(folder / "model_eigen", arrays_of("monodepth_vgg", **SMALL))


@pytest.fixture(scope="module")
def converted(checkpoint, tmp_path_factory):
    out = tmp_path_factory.mktemp("weights") / "monodepth"
    releases.convert("monodepth_vgg", checkpoint, out, **SMALL)
    return out


def call(command, *arguments):
    return cli.call(command, [str(argument) for argument in arguments])


def files_of(folder):
    return sorted(path for path in folder.rglob("*"))


def test_the_folder_says_what_it_holds(converted):
    info = Run(converted).info
    assert info["state"] == "converted" and info["release"] == "monodepth_vgg"
    assert "non-commercial" in info["licence"] and info["trained_on"] == "kitti"
    assert (info["checkpoint"], info["untrained"]) == ("model_eigen", [])
    facts = json.loads((converted / "weights/model.json").read_text())
    assert facts["options"]["width"] == 0.05 and facts["rig"]["baseline"] == 0.5327


def test_the_rig_is_that_of_the_training_data(checkpoint, converted, tmp_path):
    out = tmp_path / "out"
    releases.convert("monodepth_vgg", checkpoint, out, trained_on="cityscapes", **SMALL)
    kitti, city = (Run(folder).info["rig"] for folder in (converted, out))
    assert kitti == {"baseline": 0.5327, "focal": pytest.approx(0.581, abs=1e-3)}
    assert city == {"baseline": 0.22, "focal": pytest.approx(1.1045, abs=1e-3)}
    with pytest.raises(UserError, match="trained on kitti or cityscapes; received 'nyu'"):
        releases.convert("monodepth_vgg", checkpoint, tmp_path / "n", trained_on="nyu", **SMALL)


def test_it_predicts_and_exports(converted, tmp_run, capsys):
    picture = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    write_image(tmp_run / "street.png", picture)
    assert call("predict", f"--run={converted}", "--input=street.png", "--out=predicted") == 0
    assert list((tmp_run / "predicted").iterdir())
    assert (
        call("export", f"--run={converted}", "--formats=tflite", "--precisions=float32", "--out=e")
        == 0
    )
    described = [json.loads(path.read_text()) for path in (tmp_run / "e").glob("*.json")]
    assert any("non-commercial" in json.dumps(one) for one in described)


def test_it_is_evaluated(converted, tiny_video, tmp_run, capsys):
    data = ["--dataset=synthetic", f"--data_dir={tiny_video}"]
    assert call("evaluate", f"--run={converted}", *data, "--results=results.csv") == 0
    caught = capsys.readouterr()
    assert "not finished" not in caught.err
    assert "kitti" in (tmp_run / "results.csv").read_text()


def test_training_starts_from_it(converted, tiny_video, tmp_run, capsys):
    flags = ["--paper=monodepth", *(f"--{name}={value}" for name, value in SMALL.items())]
    flags += ["--dataset=synthetic", f"--data_dir={tiny_video}", "--batch_size=10", "--epochs=1"]
    flags += [f"--init_weights={converted}", "--notensorboard", "--run=runs/tuned"]
    # A rate of zero leaves the weights as they were at the start.
    assert call("train", *flags, "--learning_rate=0", "--optimizer=sgd") == 0
    start = np.load(converted / "weights/depth.npz")
    end = np.load(tmp_run / "runs/tuned/weights/depth.npz")
    for name in start.files:
        np.testing.assert_array_equal(end[name], start[name])
    info = Run(tmp_run / "runs/tuned").info
    assert info["init_weights"] == str(converted)
    assert info["rig"]["baseline"] != 0.5327  # the rig of the new data
    assert "non-commercial" in info["licence"]

    capsys.readouterr()
    assert call("train", *flags[:-1], f"--run={converted}") == 2
    assert f"start from them with --init_weights={converted}" in capsys.readouterr().err
    assert call("train", *flags[:-1], "--width=0.1", "--run=runs/wide", "--dry_run") == 2
    assert "another width, size or variant" in capsys.readouterr().err
    assert call("train", *flags[:-3], "--init_weights=nowhere", "--dry_run") == 2
    assert "model.json is missing" in capsys.readouterr().err


def test_weights_of_a_run_or_of_save_parts_start_a_model(converted, tmp_path):
    source = kdepth.load_run(converted)
    source.save_parts(tmp_path / "parts")
    for folder in (converted, tmp_path / "parts"):
        model = kdepth.create("monodepth", seed=9, **SMALL)
        init_weights(model, folder)
        kernel = model.parts()["depth"].get_layer("conv1").get_weights()[0]
        np.testing.assert_array_equal(
            kernel, source.parts()["depth"].get_layer("conv1").get_weights()[0]
        )


@pytest.mark.parametrize("config", FINETUNE, ids=lambda path: path.stem)
def test_a_config_fits_the_weights_that_it_starts_from(config, tmp_path):
    flags = cli.parse("train", [f"--flagfile={config}"])
    source = Path(flags.init_weights).name
    release = releases.release_of(source)
    assert release.paper == flags.paper
    height, width = (128, 128) if flags.paper == "monodepth" else (64, 96)
    small = {"width": 0.05, "height": height, "image_width": width}
    start = kdepth.create(flags.paper, **{**release.options({}), **small})
    start.save_parts(tmp_path / "weights")
    options = paper_options(flags, paper_class(flags.paper))
    model = kdepth.create(flags.paper, **{**options, "seed": 9, **small})
    init_weights(model, tmp_path / "weights")
    for name, part in start.parts().items():
        found = part_weights(model.parts()[name])
        for path, value in part_weights(part).items():
            np.testing.assert_array_equal(found[path], value)


# -- what goes wrong ---------------------------------------------------------------------------------------------------


def test_a_wrong_source_writes_nothing(checkpoint, tmp_run, capsys):
    wrong = [("monodepth_resnet50", "lacks tensor"), ("sfmlearner", "lacks tensor")]
    for source, message in wrong:
        flags = [f"--source={source}", f"--checkpoint={checkpoint}"]
        assert call("convert", *flags, "--height=128", "--image_width=128") == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1 and f"(as {source})" in error
    assert not files_of(tmp_run)


def test_a_truncated_file_writes_nothing(checkpoint, tmp_run, tmp_path_factory, capsys):
    folder = tmp_path_factory.mktemp("cut")
    for file in checkpoint.parent.glob("model_eigen.*"):
        (folder / file.name).write_bytes(file.read_bytes())
    data = folder / "model_eigen.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-5000])
    with pytest.raises(UserError, match="truncated or damaged"):
        releases.convert("monodepth_vgg", folder / "model_eigen", tmp_run / "weights/a", **SMALL)
    assert not (tmp_run / "weights").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--source is required"),
        (["--source=monodepth_vgg"], "--checkpoint is required"),
        (["--source=monodepth_vg", "--checkpoint=a"], "did you mean 'monodepth_vgg'?"),
        (["--source=monodepth_vgg", "--checkpoint=a", "--out=."], "is the folder you are in"),
        (["--source=garg_released", "--checkpoint=a", "--height=-32"], "--height"),
        (["--source=nothing", "--checkpoint=a"], "there are: monodepth_vgg"),
        (["--source=monodepth_vgg", "--checkpoint=absent"], "absent is no TensorFlow checkpoint"),
    ],
)
def test_a_mistake_is_one_line(flags, message, tmp_run, capsys):
    assert call("convert", *flags) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not files_of(tmp_run)


def test_nothing_is_overwritten(checkpoint, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="--out=.*out exists"):
        releases.convert("monodepth_vgg", checkpoint, out, **SMALL)
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


def test_untrained_variables_are_said(converted, tmp_path, capsys):
    """A release without a pose network gives none."""
    arrays = arrays_of("sfmlearner", width=0.05, height=64, image_width=64)
    depth = {name: value for name, value in arrays.items() if name.startswith("depth_net")}
    whole = releases.release_of("sfmlearner")
    partial = mapping.dataclasses.replace(
        whole,
        read=lambda path: depth,
        rows=lambda options: [row for row in whole.rows(options) if row.part == "depth"],
        fresh=(mapping.Fresh("pose", "*", "there is none"),),
    )
    from kdepth.releases import folder

    size = {"width": 0.05, "height": 64, "image_width": 64}
    report = folder.write(partial, Path("a"), tmp_path / "out", None, size)
    assert report.fresh and all(name.startswith("pose: ") for name in report.fresh)
    model = kdepth.load_run(tmp_path / "out")
    assert model.pose_frames is None
    with pytest.raises(UserError, match="no pose network"):
        model.predict_pose(np.zeros((1, 3, 64, 64, 3), np.float32))


# -- the sources -------------------------------------------------------------------------------------------------------


def test_the_list_and_the_page_name_every_source(capsys):
    assert call("convert", "--list") == 0
    listed = capsys.readouterr().out
    page = (ROOT / "docs/releases.md").read_text()
    for source in releases.SOURCES:
        release = releases.release_of(source)
        assert release.source == source and source in listed and f"`{source}`" in page
        assert release.paper in kdepth.list_papers()
        for name in release.licence.split(":")[0].split(" (")[0].split(", "):
            assert name in page, f"{source}: the page does not name its licence, {name}"


def test_published_scores_are_in_the_table():
    table = read_published()
    known = set(zip(table["system"], table["protocol"]))
    for source in releases.SOURCES:
        for names in releases.release_of(source).published:
            assert names in known, source
