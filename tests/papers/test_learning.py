"""Every paper learns: small networks, small pictures, half a minute; unseen streets must look up."""

import csv

import pytest

pytest.importorskip("tensorflow")


import kdepth  # noqa: E402
from kdepth import cli  # noqa: E402
from kdepth.data import synthetic  # noqa: E402
from kdepth.data.world.settings import WorldSettings  # noqa: E402

# What differs from a plain small training; papers that are not named take the plain one.
PLAIN = ["--width=0.15", "--height=64", "--image_width=192", "--epochs=20", "--learning_rate=2e-3"]
FLAGS = {
    "eigen": ["--width=0.15", "--height=64", "--image_width=192", "--epochs=14,6"]
    + ["--learning_rate=2e-3", "--option=layer_rates=false", "--option=row_share=1"],
    "garg": ["--width=0.2", "--height=64", "--image_width=208", "--epochs=40,0,0,0"],
    "monodepth": ["--width=0.15", "--height=128", "--image_width=128", "--epochs=16"]
    + ["--learning_rate=2e-3", "--option=max_disparity=0.2"],
    "sfmlearner": ["--width=0.25", "--height=64", "--image_width=192", "--epochs=60"]
    + ["--learning_rate=1e-3", "--option=smooth_weight=0.05", "--option=border=edge"],
    "scdepth": ["--width=0.15", "--height=64", "--image_width=192", "--epochs=40"]
    + ["--learning_rate=1e-3", "--option=smooth_weight=0.01", "--option=joint_calls=true"],
}


@pytest.fixture(scope="session")
def small_world(tmp_path_factory):
    """32 streets of five frames to learn from and 8 others, 64x208."""
    settings = WorldSettings(
        train_drives=32, test_drives=8, frames=5, height=64, width=208, supersample=1, seed=9
    )
    return synthetic.ensure(tmp_path_factory.mktemp("small"), settings)


@pytest.mark.slow
@pytest.mark.parametrize("paper", kdepth.list_papers())
def test_held_out_error_falls_by_a_fifth(paper, small_world, tmp_path):
    """Against a network that says the same everywhere, at its best: the constant median."""
    run, table = tmp_path / paper, tmp_path / "results.csv"
    flags = [
        f"--paper={paper}", f"--data_dir={small_world}", f"--run={run}", "--batch_size=8",
        "--optimizer=adam", "--schedule=cosine", "--warmup_steps=30", "--clip_norm=1", "--seed=1",
        "--weight_decay=0", "--notensorboard", "--collapse_patience=0", *FLAGS.get(paper, PLAIN),
    ]  # fmt: skip
    assert cli.call("train", flags) == 0
    assert cli.call("evaluate", [f"--run={run}", "--pictures=0", f"--results={table}"]) == 0
    with open(table, newline="") as file:
        rows = {row["system"]: float(row["abs_rel"]) for row in csv.DictReader(file)}
    print(rows)
    assert rows[paper] < 0.8 * rows["baseline: constant median"]
