"""The strict engine: layouts, and everything that does not fit is named and changes nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras  # noqa: E402

from kdepth import backend  # noqa: E402
from kdepth.errors import UserError  # noqa: E402
from kdepth.releases import mapping  # noqa: E402
from kdepth.releases.mapping import Fresh, Ignored, Release, Row, layer  # noqa: E402

PATH = Path("release.ckpt")
TABLE = (
    *layer("first", "depth", "conv", mapping.TORCH_CONV, "."),
    *layer("norm", "depth", "bn", mapping.TORCH_BATCH_NORM, "."),
)


class Model:
    """As much of a paper as the engine looks at."""

    def __init__(self):
        image = keras.Input((8, 8, 3))
        x = keras.layers.Conv2D(4, 3, name="conv")(image)
        x = keras.layers.BatchNormalization(name="bn")(x)
        x = keras.layers.Conv2D(1, 1, name="head")(x)
        self.network, self.options = keras.Model(image, x, name="depth"), {}

    def parts(self):
        return {"depth": self.network}

    def weights(self):
        return {backend.variable_path(v): backend.to_numpy(v).copy() for v in self.network.weights}


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    shapes = {"first.weight": (4, 3, 3, 3), "first.bias": (4,)}
    shapes.update({f"norm.{end}": (4,) for end, _, _ in mapping.TORCH_BATCH_NORM})
    found = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return {**found, "norm.num_batches_tracked": np.int64(3), "step": np.int64(7)}


def release(**changes):
    facts = {
        "source": "tiny",
        "paper": "garg",
        "title": "",
        "files": "",
        "licence": "",
        "trained_on": {"kitti": None},
        "published": (),
        "read": lambda path: {},
        "options": lambda arrays: {},
        "rows": lambda options: TABLE,
        "ignored": (Ignored("*.num_batches_tracked", "counters"), Ignored("step", "counters")),
        "fresh": (Fresh("depth", "head/*", "no head in it"),),
    }
    return Release(**{**facts, **changes})


def test_every_tensor_lands_in_its_place_and_is_counted(model, arrays):
    before = model.weights()
    report = mapping.assign(model, release(), arrays, PATH)
    after = model.weights()
    np.testing.assert_array_equal(
        after["conv/kernel"], np.einsum("oihw->hwio", arrays["first.weight"])
    )
    for end, ours, _ in mapping.TORCH_BATCH_NORM:
        np.testing.assert_array_equal(after[f"bn/{ours}"], arrays[f"norm.{end}"])
    for name in ("head/kernel", "head/bias"):
        np.testing.assert_array_equal(after[name], before[name])
    assert (report.tensors, report.used, report.variables) == (8, 6, 6)
    assert report.ignored == {"counters": 2} and report.parameters == 4 * 27 + 5 * 4
    assert report.fresh == ("depth: head/bias", "depth: head/kernel")
    text = "\n".join(report.lines())
    assert "8 tensors: 6 used, 2 ignored" in text and "2 variables are not in the release" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"first.bias": None}, r"lacks tensor 'first.bias': .*--list"),
        ({"first.bias": None, "norm.weight": None}, r"lacks tensor 'first.bias' and 1 others"),
        ({"second.bias": np.zeros(4)}, r"has an unknown tensor 'second.bias': .*--list"),
        (
            {"first.weight": np.zeros((4, 3, 5, 5))},
            r"'first.weight' has shape \[4, 3, 5, 5\], .* depth conv/kernel \[3, 3, 3, 4\]",
        ),
        ({"first.weight": np.zeros((3, 4))}, r"'first.weight' has shape \[3, 4\]"),
        ({"first.bias": np.array(["a"] * 4)}, r"'first.bias' has shape \[4\]"),
        ({"norm.bias": np.array([0, 1, np.nan, 2])}, r"'norm.bias' holds values .* not finite"),
        ({"norm.bias": np.array([0, 1, np.inf, 2])}, r"'norm.bias' holds values .* not finite"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_changes(change, message, model, arrays):
    arrays.update(change)
    arrays = {name: value for name, value in arrays.items() if value is not None}
    before = model.weights()
    with pytest.raises(UserError, match=f"release.ckpt \\(as tiny\\).*{message}") as caught:
        mapping.assign(model, release(), arrays, PATH)
    assert "\n" not in str(caught.value)
    for name, value in model.weights().items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ((*TABLE, TABLE[0]), "stands twice"),
        ((*TABLE, Row("first.weight", "depth", "head/kernel")), "first.weight stands twice"),
        (TABLE[1:], "no row sets the variable .*conv/kernel"),
        ((*TABLE, Row("step", "depth", "tail/kernel")), "no variable .*tail/kernel"),
    ],
)
def test_a_table_that_does_not_fit_our_network_is_a_bug(rows, message, model, arrays):
    ignored = (Ignored("*.num_batches_tracked", ""), Ignored("step", "x"), Ignored("first.*", "x"))
    with pytest.raises(ValueError, match=message) as caught:
        mapping.assign(
            model,
            release(rows=lambda options: rows, ignored=(Ignored("*", "all"), *ignored)),
            arrays,
            PATH,
        )
    assert not isinstance(caught.value, UserError)


def test_a_tensor_may_serve_twice_where_the_table_says_so(model, arrays):
    shared = {"conv/bias", "bn/beta"}
    rows = [
        dataclasses.replace(row, source="first.bias", again=True) if row.variable in shared else row
        for row in TABLE
    ]
    ignored = (*release().ignored, Ignored("norm.bias", "another takes its place"))
    changed = release(rows=lambda options: rows, ignored=ignored)
    report = mapping.assign(model, changed, arrays, PATH)
    assert (report.used, report.variables) == (5, 6)
    for name in shared:
        np.testing.assert_array_equal(model.weights()[name], arrays["first.bias"])


def test_layouts_are_those_of_the_definitions():
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(2, 3, 5, 7))  # [O, I, H, W]
    turned = mapping.TRANSFORMS["conv_oihw"](kernel)
    assert turned.shape == (5, 7, 3, 2) and turned[4, 6, 2, 1] == kernel[1, 2, 4, 6]
