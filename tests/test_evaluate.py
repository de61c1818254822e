from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from kdepth import cli
from kdepth.data.image import read_image, write_depth_png, write_image
from kdepth.evaluation.table import read_rows
from kdepth.prediction import Prediction, Rig

HEIGHT, WIDTH, FOCAL, BASELINE = 32, 104, 60.0, 0.54
CALIBRATION = f"""S_rect_02: {WIDTH} {HEIGHT}
R_rect_00: 1 0 0 0 1 0 0 0 1
P_rect_02: {FOCAL} 0 51.5 0 0 {FOCAL} 15.5 0 0 0 1 0
P_rect_03: {FOCAL} 0 51.5 {-FOCAL * BASELINE} 0 {FOCAL} 15.5 0 0 0 1 0
"""
TEST_FRAMES = 5


def scene(drive, frame):
    """Depth of a ground plane under a far wall, nearer in drive 2; the PNG holds it exactly."""
    rows = np.arange(HEIGHT)[:, None]
    depth = np.minimum(60.0, 400.0 / np.maximum(rows - 8, 1)) / drive + frame
    depth = np.round(256 * np.broadcast_to(depth, (HEIGHT, WIDTH))) / 256
    return depth.astype(np.float32)


def truth(drive, frame):
    """What is measured: all but the top row."""
    return np.where(np.arange(HEIGHT)[:, None] == 0, 0, scene(drive, frame))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A tiny data set in the embedded world's layout: drive 1 trains, drive 2 tests."""
    root = tmp_path_factory.mktemp("world")
    date = root / "2000_01_01"
    rng = np.random.default_rng(0)
    for drive, frames in ((1, 4), (2, TEST_FRAMES)):
        folder = date / f"2000_01_01_drive_{drive:04d}_sync"
        for frame in range(frames):
            name = f"{frame:010d}.png"
            image = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
            for camera in ("02", "03"):
                write_image(folder / f"image_{camera}/data" / name, image)
            write_depth_png(folder / "proj_depth/groundtruth/image_02" / name, truth(drive, frame))
    (date / "calib_cam_to_cam.txt").write_text(CALIBRATION)
    (root / "splits").mkdir()
    for split, drive, last in (("train", 1, 3), ("test", 2, TEST_FRAMES - 1)):
        line = f"2000_01_01_drive_{drive:04d}_sync 02+03 0-{last}\n"
        (root / "splits" / f"{split}.txt").write_text(line)
    (root / "world.json").write_text("{}")
    return root


@pytest.fixture
def predictions(tmp_run):
    """Right up to 10 %, in a file."""
    values = np.stack([1.1 * scene(2, frame) for frame in range(TEST_FRAMES)])
    np.save(tmp_run / "mine.npy", values)
    return tmp_run / "mine.npy"


def evaluate(world, *arguments):
    common = ["--dataset=synthetic", f"--data_dir={world}", "--pictures=2"]
    return cli.call("evaluate", [*common, *map(str, arguments)])


class FakeModel:
    """What evaluation needs of a paper's model: here disparity, right up to 10 %, at half size."""

    paper, variant, resize, output_name, kind = "garg", "paper", "area", "disparity", "metric"
    image_size = (HEIGHT // 2, WIDTH // 2)
    depth_views = 1
    rig = Rig(BASELINE, FOCAL / WIDTH)
    frame = 0

    def parts(self):
        return {}  # no weights

    def predict_depth(self, images):
        assert images.shape[1:] == (*self.image_size, 3) and images.dtype == np.float32
        frames = range(self.frame, self.frame + len(images))
        self.frame += len(images)
        depth = np.stack([1.1 * scene(2, frame)[::2, ::2] for frame in frames])
        if self.output_name == "disparity":
            return Prediction(disparity=FOCAL / WIDTH * BASELINE / depth, kind="disparity")
        return Prediction(inverse_depth=0.01 / depth, kind="relative")


@pytest.fixture
def run(world, tmp_run, monkeypatch):
    """A run folder with a fake model behind it."""
    import kdepth

    folder = tmp_run / "runs" / "mine"
    folder.mkdir(parents=True)
    info = {
        "paper": "garg",
        "dataset": "synthetic",
        "data_dir": str(world),
        "split": "train",
        "state": "finished",
        "seed": 7,
        "epochs": [1, 2],
        "control": "none",
        "options": {"width": 0.25},
    }
    (folder / "run.json").write_text(json.dumps(info))
    (folder / "flags.cfg").write_text("--paper=garg\n")
    monkeypatch.setattr(kdepth, "load_run", lambda path: FakeModel(), raising=False)
    return folder


def test_predictions_of_any_system(world, predictions, capsys):
    assert evaluate(world, f"--predictions={predictions}") == 0
    out = capsys.readouterr().out
    assert "mine: abs_rel 0.1000" in out and "below the strongest baseline" in out
    assert "Protocol synthetic: dense exact depth" in out and "fitted on synthetic/train" in out
    rows = read_rows(predictions.parent / "runs/results.csv")
    assert [row["system"] for row in rows][0] == "mine" and len(rows) == 7
    assert sum(row["system"].startswith("baseline: ") for row in rows) == 6
    assert float(rows[0]["abs_rel"]) == pytest.approx(0.1, rel=1e-5)
    assert float(rows[0]["silog"]) == pytest.approx(0, abs=1e-6)
    assert rows[0]["images"] == str(TEST_FRAMES) and rows[0]["strongest_baseline"]
    gain = 100 * (1 - float(rows[0]["abs_rel"]) / float(rows[0]["baseline_abs_rel"]))
    assert float(rows[0]["gain_percent"]) == pytest.approx(gain)
    assert min(float(row["abs_rel"]) for row in rows[1:]) == float(rows[0]["baseline_abs_rel"])
    with open("runs/predictions/mine/evaluation/synthetic.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == TEST_FRAMES


def test_a_run_knows_its_data(run, capsys):
    assert cli.call("evaluate", [f"--run={run}", "--pictures=2"]) == 0
    out = capsys.readouterr().out
    assert "mine: abs_rel 0." in out
    rows = read_rows(run.parent / "results.csv")
    row = rows[0]
    # Every second row at half the size, so not exactly 0.1.
    assert 0.09 < float(row["abs_rel"]) < 0.14
    assert (row["run"], row["paper"], row["seed"], row["width"]) == ("mine", "garg", "7", "0.25")
    assert (row["height"], row["image_width"]) == ("16", "52")
    assert (row["epochs"], row["control"]) == ("1,2", "none")
    assert row["trained_on"] == "synthetic/train" and len(row["flags_digest"]) == 12
    assert row["protocol_description"].startswith("synthetic: dense")
    assert row["kdepth"] and row["python"]
    from PIL import Image

    with Image.open(run / "images" / "evaluation.png") as picture:
        assert picture.width > 1000
    assert (run / "evaluation" / "synthetic.csv").is_file()


def test_a_real_network(world, tmp_run):
    import keras

    import kdepth
    from kdepth.training.runs import Run

    model = kdepth.create("garg", height=68, image_width=132, width=0.03, seed=1)
    model.rig = Rig(BASELINE, FOCAL / WIDTH)
    run = Run(tmp_run / "runs" / "tiny")
    model.save_parts(run.weights)
    run.write_info({"paper": "garg", "dataset": "synthetic", "data_dir": str(world)})
    assert cli.call("evaluate", [f"--run={run.folder}", "--limit=2", "--pictures=0"]) == 0
    row = read_rows(tmp_run / "runs" / "results.csv")[0]
    # An untrained Garg says "infinitely far" everywhere, which the clip turns into 80 m.
    far = [np.abs(80 - g) / g for g in (truth(2, f)[1:].astype(np.float64) for f in range(2))]
    assert float(row["abs_rel"]) == pytest.approx(np.mean(far), rel=1e-6)
    assert (row["paper"], row["variant"], row["height"]) == ("garg", "paper", "68")
    assert row["keras"] == keras.__version__ and row["stack"] in ("addons", "keras3")
    assert row["backend"]


def test_evaluating_again_appends_one_row(run):
    for _ in range(2):
        assert cli.call("evaluate", [f"--run={run}", "--pictures=0"]) == 0
    assert cli.call("evaluate", [f"--run={run}", "--pictures=0", "--cap=30"]) == 0
    systems = [(r["system"], r["protocol"]) for r in read_rows(run.parent / "results.csv")]
    assert systems.count(("mine", "synthetic")) == 2
    assert systems.count(("baseline: row mean", "synthetic")) == 1
    assert systems.count(("mine", "synthetic+cap=30")) == 1
    assert len(systems) == 3 + 2 * 6
    assert not (run / "images").exists()


def test_relative_depth_is_median_scaled(run, monkeypatch, capsys):
    monkeypatch.setattr(FakeModel, "kind", "relative")
    monkeypatch.setattr(FakeModel, "output_name", "inverse_depth")
    assert cli.call("evaluate", [f"--run={run}", "--pictures=0"]) == 0
    row = read_rows(run.parent / "results.csv")[0]
    assert row["protocol"] == "synthetic+scaling=median" and float(row["abs_rel"]) < 0.03
    assert "per-image median scaling" in row["protocol_description"]
    assert cli.call("evaluate", [f"--run={run}", "--scaling=none"]) == 2
    assert "--scaling=median" in capsys.readouterr().err


def csv_rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_how_far_figures_can_be_trusted(world, predictions, capsys):
    assert evaluate(world, f"--predictions={predictions}", "--bootstrap=200") == 0
    out = capsys.readouterr().out
    assert f"bootstrap over {TEST_FRAMES} images, 200 draws, seed 0" in out
    row, *baselines = read_rows(predictions.parent / "runs/results.csv")
    assert float(row["abs_rel_low"]) <= float(row["abs_rel"]) <= float(row["abs_rel_high"])
    assert not any(row["abs_rel_low"] for row in baselines)
    assert json.loads(row["flags"])["quantity"] == "depth"
    folder = predictions.parent / "runs/predictions/mine/evaluation"
    rmse = next(r for r in csv_rows(folder / "synthetic_intervals.csv") if r["metric"] == "rmse")
    assert float(rmse["low"]) < float(rmse["mean"]) < float(rmse["high"])
    assert float(rmse["mean"]) == pytest.approx(float(row["rmse"]))
    assert evaluate(world, f"--predictions={predictions}", "--bootstrap=0", "--name=no") == 0
    assert not (folder.parents[1] / "no/evaluation/synthetic_intervals.csv").exists()
    assert not read_rows(predictions.parent / "runs/results.csv")[1]["abs_rel_low"]


def test_error_by_distance_and_error_maps(world, predictions):
    mine = f"--predictions={predictions}"
    assert evaluate(world, mine, "--error_maps", "--distance_bins=0,5,20,80") == 0
    folder = predictions.parent / "runs/predictions/mine/evaluation"
    bins = csv_rows(folder / "synthetic_by_distance.csv")
    assert [row["to_m"] for row in bins] == ["5.0", "20.0", "80.0"]
    assert all(float(row["bias"]) == pytest.approx(0.1, abs=1e-3) for row in bins if row["bias"])
    pictures = sorted((folder / "synthetic_errors").iterdir())
    assert len(pictures) == TEST_FRAMES and pictures[0].suffix == ".png"
    image = read_image(pictures[0])
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert (image[0] == 0x30).all()  # nothing is measured in the top row
    red, blue = image[1:, :, 0].mean(), image[1:, :, 2].mean()
    assert red > blue + 10  # everything is 10 % too far
    # A failure leaves the maps of before.
    values = np.load(predictions)
    values[-1] = np.nan
    np.save(predictions, values)
    before = [picture.stat().st_mtime_ns for picture in pictures]
    assert evaluate(world, mine, "--error_maps") == 2
    assert [picture.stat().st_mtime_ns for picture in pictures] == before
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_two_systems_are_compared(world, predictions, capsys):
    np.save("worse.npy", 1.3 * np.load(predictions) / 1.1)
    table = "runs/predictions/{}/evaluation/synthetic.csv"
    assert evaluate(world, f"--predictions={predictions}") == 0
    capsys.readouterr()
    compare = [f"--compare={table.format('mine')}", "--comparison=found.csv"]
    assert evaluate(world, "--predictions=worse.npy", *compare) == 0
    out = capsys.readouterr().out
    assert f"difference: worse - mine, on {TEST_FRAMES} images" in out
    rows = csv_rows("found.csv")
    assert rows[0]["verdict"] == "mine is better"
    assert float(rows[0]["difference"]) == pytest.approx(0.2, rel=1e-4)
    # The same from the tables alone: no data is read.
    both = f"--compare={table.format('mine')},{table.format('worse')}"
    assert cli.call("evaluate", [both, "--comparison=again.csv"]) == 0
    assert csv_rows("again.csv") == rows
    for arguments, words in (
        ([f"--compare={table.format('mine')}"], "name two tables"),
        ([f"{both},none.csv"], "none.csv: no such table"),
        ([both, "--bootstrap=0"], "--bootstrap"),
        (["--comparison=lost.csv"], "--compare names"),
    ):
        assert cli.call("evaluate", arguments) == 2
        assert words in capsys.readouterr().err
    assert evaluate(world, "--predictions=worse.npy", "--cap=30", "--name=capped") == 0
    one, two = table.format("mine"), "runs/predictions/capped/evaluation/synthetic+cap=30.csv"
    stored = len(read_rows(predictions.parent / "runs/results.csv"))
    for arguments in (
        [f"--compare={one},{two}"],
        [
            "--dataset=synthetic",
            f"--data_dir={world}",
            "--predictions=worse.npy",
            f"--compare={two}",
        ],
    ):
        assert cli.call("evaluate", arguments) == 2
        assert "scored by another protocol" in capsys.readouterr().err
    assert evaluate(world, "--predictions=worse.npy", "--limit=3", f"--compare={one}") == 2
    assert "scored on different images (5 and 3" in capsys.readouterr().err
    assert len(read_rows(predictions.parent / "runs/results.csv")) == stored


@pytest.mark.parametrize(
    ("scaling", "change", "limit"),
    [
        ("median", lambda d: d / 7, 1e-5),
        ("median_sequence", lambda d: d / 7, 1e-5),
        ("scale_shift", lambda d: d / 7 + 3, 1e-5),
        ("scale_shift_inverse", lambda d: 1 / (2 / d + 0.3), 1e-3),
    ],
)
def test_every_scaling(world, predictions, capsys, scaling, change, limit):
    values = np.stack([scene(2, frame) for frame in range(TEST_FRAMES)])
    np.save(predictions, change(values.astype(np.float64)))
    assert evaluate(world, f"--predictions={predictions}", f"--scaling={scaling}") == 0
    row = read_rows(predictions.parent / "runs/results.csv")[0]
    assert float(row["abs_rel"]) < limit and row["protocol"] == f"synthetic+scaling={scaling}"
    assert "median(truth) / median(prediction)" in capsys.readouterr().out


def test_predictions_in_another_unit_are_noticed(world, predictions, capsys):
    np.save(predictions, np.load(predictions) / 30)
    assert evaluate(world, f"--predictions={predictions}") == 0
    err = capsys.readouterr().err
    assert "true depth is 27.3 times the predicted one" in err and "--depth_factor" in err
    capsys.readouterr()
    assert evaluate(world, f"--predictions={predictions}", "--depth_factor=30", "--name=right") == 0
    assert "true depth is" not in capsys.readouterr().err
    row = read_rows(predictions.parent / "runs/results.csv")[1]
    assert row["system"] == "right" and float(row["abs_rel"]) == pytest.approx(0.1, rel=1e-5)
    assert json.loads(row["flags"])["depth_factor"] == 30


def test_gate(world, predictions, capsys):
    assert evaluate(world, f"--predictions={predictions}", "--gate=0.05", "--pictures=0") == 0
    assert evaluate(world, f"--predictions={predictions}", "--gate=0.99", "--pictures=0") == 1
    assert "gate: FAILED" in capsys.readouterr().out
    assert len(read_rows(predictions.parent / "runs/results.csv")) == 8  # stored all the same


def test_photometric_error_of_held_out_pairs(world, predictions):
    assert evaluate(world, f"--predictions={predictions}", "--photometric", "--pictures=0") == 0
    row = read_rows(predictions.parent / "runs/results.csv")[0]
    # Left and right are the same picture here, so every warp but the identity is worse.
    assert float(row["photometric_unwarped"]) == 0 < float(row["photometric"])


def test_limit_and_other_formats(world, predictions):
    values = np.load(predictions)
    np.savez("mine.npz", inverse=(1 / values)[..., None])
    for frame, value in enumerate(values):
        write_depth_png(f"mine/{frame:03d}.png", value)
    disparity = FOCAL / WIDTH * 0.3 / values
    np.save("disparity.npy", disparity)
    found = []
    for arguments in (
        [f"--predictions={predictions}"],
        ["--predictions=mine.npz", "--quantity=inverse_depth"],
        ["--predictions=mine"],
        ["--predictions=disparity.npy", "--quantity=disparity", "--rig_baseline=0.3"],
    ):
        results = f"--results=results{len(found)}.csv"
        assert evaluate(world, *arguments, results, "--limit=3", "--pictures=0") == 0
        row = read_rows(predictions.parent / results.split("=")[1])[0]
        assert row["images"] == "3"
        found.append(float(row["abs_rel"]))
    assert found == pytest.approx([0.1] * 4, abs=2e-3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: v[:3], "3 predictions for 5 images"),
        (lambda v: v.transpose(0, 2, 1), "arrays are [N, height, width]"),
        (lambda v: v[0], "must be numbers [N, height, width]"),
        (lambda v: np.where(v == v[2].min(), np.nan, v), "predictions with NaN"),
        (lambda v: -v, "negative predictions"),
        (lambda v: v.astype(str), "must be numbers"),
        (lambda v: np.array([{"a": 1}], object), "cannot be read"),
    ],
)
def test_bad_predictions(world, predictions, capsys, change, words):
    np.save(predictions, change(np.load(predictions)), allow_pickle=True)
    assert evaluate(world, f"--predictions={predictions}") == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("kdepth evaluate: ") and words in error
    assert not (predictions.parent / "runs").exists()


def test_mistakes_are_one_line(world, predictions, run, tmp_path, capsys):
    (tmp_path / "foreign.csv").write_text("a,b\n1,2\n")
    (tmp_path / "broken.npy").write_bytes(predictions.read_bytes()[:200])
    (tmp_path / "empty").mkdir()
    mine = f"--predictions={predictions}"
    for arguments, words in (
        ([], "give one of --run"),
        ([mine, f"--run={run}"], "give one of --run"),
        (["--run=runs/none"], "runs/none"),
        ([mine, "--protocol=eigne"], "no such protocol"),
        ([mine, "--protocol=kitti_stereo2015"], "synthetic has no such ground truth"),
        ([mine, "--split=tset"], "no split 'tset'"),
        ([mine, f"--results={tmp_path}/foreign.csv"], "not a results table"),
        ([mine, "--cap=-3"], "0 < min < cap"),
        ([mine, "--baseline_split=tset"], "no split 'tset'"),
        ([mine, "--baseline_dataset=kitti_odometry"], "--baseline_data_dir is required"),
        ([f"--predictions={tmp_path}/none.npy"], "no such file or folder"),
        ([f"--predictions={tmp_path}/broken.npy"], "cannot be read"),
        ([f"--predictions={tmp_path}/empty"], "no .png"),
        ([mine, "--depth_factor=0"], "--depth_factor=0"),
        ([mine, "--distance_bins=9,2"], "--distance_bins=9,2"),
        ([mine, "--crop=nyu"], "480x640"),
        ([mine, "--compare=none.csv"], "none.csv"),
        ([mine, "--rig_baseline=-1"], "--rig_baseline=-1"),
        (["--model=none.tflite"], "none.tflite"),
    ):
        capsys.readouterr()
        assert evaluate(world, *arguments) == 2, arguments
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("kdepth evaluate: ") and words in error, (arguments, error)
    assert not (predictions.parent / "runs/results.csv").exists()
    assert (tmp_path / "foreign.csv").read_text() == "a,b\n1,2\n"


def test_scoring_the_training_split_is_said(run, caplog, capsys):
    assert cli.call("evaluate", [f"--run={run}", "--split=train", "--pictures=0"]) == 0
    err = capsys.readouterr().err
    assert "what the run was trained on" in err and "fitted on the scored frames" in err


def test_lidar_of_a_real_drive(realdata, tmp_run, capsys):
    (tmp_run / "test.txt").write_text("2011_09_26_drive_0013_sync 02 110-112\n")
    (tmp_run / "train.txt").write_text("2011_09_26_drive_0013_sync 02 0-9\n")
    np.save("flat.npy", np.full((3, 37, 124), 12.0))
    arguments = ["--dataset=kitti_raw", f"--data_dir={realdata}/kitti_raw", "--split=test.txt"]
    arguments += ["--predictions=flat.npy", "--baseline_split=train.txt", "--pictures=1"]
    assert cli.call("evaluate", arguments) == 0
    assert "Protocol lidar: one lidar scan as depth PNG" in capsys.readouterr().out
    rows = read_rows(tmp_run / "runs/results.csv")
    assert 0.2 < float(rows[0]["abs_rel"]) < 2 and rows[0]["split"] == "test.txt"


def test_disparity_errors_on_real_stereo_pairs(realdata, tmp_run):
    (tmp_run / "test.txt").write_text("training 02 18-21\n")
    (tmp_run / "train.txt").write_text("training 02 7-9\n")
    np.save("flat.npy", np.full((4, 37, 124), 12.0))
    arguments = ["--dataset=kitti_stereo2015", f"--data_dir={realdata}/kitti_stereo2015"]
    arguments += ["--predictions=flat.npy", "--split=test.txt", "--baseline_split=train.txt"]
    assert cli.call("evaluate", [*arguments, "--photometric", "--pictures=0"]) == 0
    rows = read_rows(tmp_run / "runs/results.csv")
    assert rows[0]["protocol"] == "kitti_stereo2015"
    assert all(50 < float(row["d1_all"]) <= 100 for row in rows)
    assert 0 < float(rows[0]["photometric_unwarped"]) < 0.5
