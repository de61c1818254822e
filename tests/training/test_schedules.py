"""Learning rates by step."""

import numpy as np
import pytest

pytest.importorskip("tensorflow")
import keras  # noqa: E402

from kdepth.errors import UserError  # noqa: E402
from kdepth.training.schedules import Schedule  # noqa: E402


def rates(schedule, steps):
    return [float(np.asarray(schedule(step))) for step in steps]


def test_shapes():
    assert rates(Schedule(0.1), [0, 7]) == pytest.approx([0.1, 0.1])
    halved = Schedule(0.1, "step", total_steps=100)  # Godard: at 3/5 and 4/5
    assert rates(halved, [59, 60, 79, 80]) == pytest.approx([0.1, 0.05, 0.05, 0.025])
    cosine = Schedule(0.1, "cosine", total_steps=110, warmup_steps=10)
    assert rates(cosine, [0, 9, 10, 60, 110]) == pytest.approx(
        [0.01, 0.1, 0.1, 0.05, 0.0], abs=1e-7
    )
    with pytest.raises(UserError, match="constant, step, cosine"):
        Schedule(0.1, "linear")


def test_an_optimizer_with_a_schedule_can_be_copied():
    optimizer = keras.optimizers.Adam(Schedule(0.1, "step", 100, 5))
    copy = keras.optimizers.Adam.from_config(optimizer.get_config())
    assert copy.get_config()["learning_rate"] == optimizer.get_config()["learning_rate"]
