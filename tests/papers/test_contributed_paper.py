"""A sixth paper in forty lines, outside of the package: registered, trained, evaluated, exported."""

import subprocess
import sys

import pytest

pytest.importorskip("tensorflow")

TOY = '''"""Depth from the image row: one convolution over the image and its rows, on measured depth."""

import keras

from kdepth.backend import ops
from kdepth.losses.numerics import masked_sums, safe_log
from kdepth.papers.base import DepthModel, Stage


class Toy(DepthModel):
    paper = "toy"
    sample_keys = frozenset({"image", "depth"})
    output_name = "depth"
    kind = "metric"
    reduction = "ratio_of_sums"
    term_weights = {"log": 1.0}
    stages = (Stage("all", ("depth",), epochs=2, learning_rate=0.01),)

    def __init__(self, height: int = 64, image_width: int = 96, width: float = 1.0, seed: int = 0):
        options = {"height": height, "image_width": image_width, "width": width, "seed": seed}
        super().__init__(height=height, image_width=image_width, seed=seed, options=options)

    def build_parts(self):
        image = keras.Input((*self.image_size, 3), name="image")
        x = keras.layers.Conv2D(8, 7, padding="same", activation="relu", name="conv")(image)
        x = keras.layers.Conv2D(1, 7, padding="same", name="log_depth", dtype="float32")(x)
        return {"depth": keras.Model(image, x, name="depth")}

    def forward(self, batch, training):
        return {"log_depth": self.parts()["depth"](batch["image"], training=training)}

    def loss_terms(self, batch, outputs):
        measured = batch["depth"] > 0.0
        error = outputs["log_depth"] - safe_log(batch["depth"], measured)
        return {"log": masked_sums(ops.square(error), measured)}

    def depth_outputs(self, images):
        return {"depth": ops.exp(self.parts()["depth"](images, training=False))}
'''

SCRIPT = """import sys
import kdepth.papers
from kdepth import cli
kdepth.papers.register("toy", "toy_paper:Toy")
sys.exit(cli.call(sys.argv[1], sys.argv[2:]))
"""


def test_a_paper_of_ones_own_goes_through_all_commands(tiny_video, tmp_run):
    (tmp_run / "toy_paper.py").write_text(TOY)
    (tmp_run / "mine.py").write_text(SCRIPT)
    assert len([line for line in TOY.splitlines() if line]) <= 40

    def command(name, *flags):
        done = subprocess.run(
            [sys.executable, "mine.py", name, "--run=runs/toy", *flags],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    command("train", "--paper=toy", f"--data_dir={tiny_video}", "--batch_size=2", "--notensorboard")
    assert "toy" in command("evaluate", "--pictures=0")
    command("export", "--formats=tflite")
    assert (tmp_run / "exports" / "toy" / "toy.tflite").exists()


def test_a_name_that_is_taken_or_a_target_that_is_none_is_refused():
    from kdepth.errors import UserError
    from kdepth.papers import register

    with pytest.raises(UserError, match="there is a paper 'garg' already"):
        register("garg", "other:Garg")
    with pytest.raises(UserError, match="must be 'module:Class'"):
        register("new", "kdepth.papers")
