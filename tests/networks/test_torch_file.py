"""PyTorch's files: both layouts, every type, strided storages; what is damaged or wants to run is refused."""

import functools
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdepth.errors import UserError
from kdepth.networks import torch_file
from tests import refusal
from tests.networks.torch_writer import (
    MAGIC,
    STORAGES,
    WRITERS,
    Call,
    Global,
    Namespace,
    Pickler,
    Storage,
    Tensor,
    tensor,
    write_legacy,
    write_members,
    write_zip,
)

TYPES = [kind for kind in STORAGES if kind != "bfloat16"]
refused = functools.partial(refusal.refused, torch_file.read)
layouts = pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)


# -- what files hold ---------------------------------------------------------------------------------------------------


@layouts
def test_a_training_checkpoint(write, tmp_path):
    rng = np.random.default_rng(0)
    kernel, bias = rng.normal(size=(4, 3, 5, 5)).astype("f4"), rng.normal(size=4).astype("f4")
    state = {"conv.weight": tensor(kernel), "conv.bias": tensor(bias), "bn.steps": tensor(7)}
    value = {
        "epoch": 12,
        "best": 0.25,
        "done": True,
        "name": "r18",
        "nothing": None,
        "state_dict": state,
        "lr_schedulers": [{"gamma": 0.5}, {"gamma": 2**40}],
    }
    found = torch_file.read(write(tmp_path / "model.pth.tar", value))
    assert list(found) == [
        *("epoch", "best", "done", "name"),
        *("state_dict.conv.weight", "state_dict.conv.bias", "state_dict.bn.steps"),
        *("lr_schedulers.0.gamma", "lr_schedulers.1.gamma"),
    ]
    np.testing.assert_array_equal(found["state_dict.conv.weight"], kernel)
    np.testing.assert_array_equal(found["state_dict.conv.bias"], bias)
    assert (
        found["epoch"] == 12 and found["best"] == 0.25 and found["done"] and found["name"] == "r18"
    )
    assert found["state_dict.bn.steps"].shape == () and found["state_dict.bn.steps"] == 7
    assert found["lr_schedulers.1.gamma"] == 2**40


@layouts
def test_settings_of_lightning_are_read_as_plain_values(write, tmp_path):
    settings = Namespace({"dataset_name": "kitti", "lr": 1e-4, "path": None})
    old = Call(Global("pytorch_lightning.utilities.parsing AttributeDict"), (), new=True)
    best = Global("pytorch_lightning.callbacks.model_checkpoint ModelCheckpoint")
    value = {
        "hyper_parameters": {"hparams": settings},
        "old": old,
        "callbacks": {best: {"best": 1}},
    }
    found = torch_file.read(write(tmp_path / "last.ckpt", value))
    assert {name: array.item() for name, array in found.items()} == {
        "hyper_parameters.hparams.dataset_name": "kitti",
        "hyper_parameters.hparams.lr": 1e-4,
        "callbacks.pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint.best": 1,
    }


@st.composite
def strided_tensors(draw):
    """Some storages, and tensors anywhere in them: transposed, with gaps, overlapping, empty."""
    storages = []
    for kind in draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=3)):
        count = draw(st.integers(1, 60))
        bits = np.random.default_rng(draw(st.integers(0, 9))).integers(0, 2, count * 8, "u1")
        numbers = bits[:count].astype("?") if kind == "b1" else np.arange(count).astype(kind) - 3
        storages.append(Storage(numbers))
    tensors = []
    for _ in range(draw(st.integers(1, 5))):
        storage = draw(st.sampled_from(storages))
        size = storage.numbers.size
        offset = draw(st.integers(0, size - 1))
        shape, strides, last, count = [], [], offset, 1
        for _ in range(draw(st.integers(0, 3))):
            stride = draw(st.integers(0, 7))
            most = (size - 1 - last) // stride + 1 if stride else size // count
            shape.append(draw(st.integers(0, min(most, size // count))))
            strides.append(stride)
            last += max(shape[-1] - 1, 0) * stride
            count *= max(shape[-1], 1)
        tensors.append(Tensor(storage, offset, tuple(shape), tuple(strides)))
    return tensors


@layouts
@given(tensors=strided_tensors())
def test_any_strided_view_comes_back(write, tensors, tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "views.pth"
    write(path, {str(index): each for index, each in enumerate(tensors)})
    found = torch_file.read(path)
    assert len(found) == len(tensors)
    for index, each in enumerate(tensors):
        numbers, array = each.storage.numbers, found[str(index)]
        wanted = np.empty(each.shape, numbers.dtype)
        for place in np.ndindex(each.shape):
            wanted[place] = numbers[each.offset + sum(i * s for i, s in zip(place, each.strides))]
        assert array.dtype == numbers.dtype
        np.testing.assert_array_equal(array, wanted)


@layouts
def test_bfloat16_becomes_float32(write, tmp_path):
    numbers = np.array([1.0, -2.5, 3.140625, 2.0**100, np.inf], np.float32)  # exact in 8 bits
    half = (numbers.view(np.uint32) >> 16).astype(np.uint16)
    value = {"weights": tensor(half, kind="bfloat16")}
    found = torch_file.read(write(tmp_path / "half.pth", value))["weights"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, numbers)


def test_big_endian_storages(tmp_path):
    numbers = np.arange(6, dtype="f4").reshape(2, 3)
    path = write_zip(tmp_path / "big.pth", {"weights": tensor(numbers)}, byteorder="big")
    np.testing.assert_array_equal(torch_file.read(path)["weights"], numbers)


def test_a_legacy_view_of_a_storage(tmp_path):
    storage = Storage(np.arange(10, dtype="f4"), view=("view", 4, 5))
    path = write_legacy(tmp_path / "view.pth", {"weights": Tensor(storage, 1, (3,), (1,))})
    np.testing.assert_array_equal(torch_file.read(path)["weights"], [5, 6, 7])


@layouts
def test_what_old_versions_of_pytorch_and_python_2_wrote(write, tmp_path):
    """Parameters as objects, tensors as objects with a state, and dictionaries made of pairs."""
    numbers = np.arange(6, dtype="f4")
    plain = Tensor(Storage(numbers), 0, (2, 3), (3, 1), "_rebuild_tensor")
    parameter = Global("torch.nn.parameter Parameter")
    rebuilt = Call(Global("torch._utils _rebuild_parameter"), (plain, True, {}))
    state = (Storage(numbers), 0, (2, 3), (3, 1))
    value = {
        "plain": plain,
        "object": Call(parameter, (plain,), (True, False, {}), new=True),
        "rebuilt": rebuilt,
        "oldest": Call(Global("torch FloatTensor"), (), state),
        "pairs": Call(Global("collections OrderedDict"), ([["a", 1], ["b", 2]],)),
        "versions": Call(
            Global("collections OrderedDict"), (), {"_metadata": {"": {"version": 1}}}
        ),
    }
    found = torch_file.read(write(tmp_path / "old.pth", value))
    for name in ("plain", "object", "rebuilt", "oldest"):
        np.testing.assert_array_equal(found.pop(name), numbers.reshape(2, 3))
    assert {name: int(array) for name, array in found.items()} == {"pairs.a": 1, "pairs.b": 2}


@layouts
def test_equals_pytorch(write, tmp_path):
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(6, 5, 4, generator=generator)
    state = {
        "plain": base,
        "transposed": base.permute(2, 0, 1),
        "part": base[1:4, ::2],
        "double": base.double(),
        "half": base.half(),
        "bfloat16": base.bfloat16(),
        "long": torch.arange(-3, 9).reshape(3, 4),
        "byte": torch.arange(9, dtype=torch.uint8),
        "bool": base > 0,
        "none": torch.zeros(0, 3),
        "scalar": torch.tensor(2.5),
        "parameter": torch.nn.Parameter(base[0]),
    }
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    path = tmp_path / "file.pth"
    value = {"epoch": 3, "state_dict": network.state_dict(), "tensors": state}
    torch.save(value, path, _use_new_zipfile_serialization=write is write_zip)
    found = torch_file.read(path)
    assert found.pop("epoch") == 3
    expected = {f"state_dict.{k}": v for k, v in network.state_dict().items()}
    expected |= {f"tensors.{k}": v for k, v in state.items()}
    assert found.keys() == expected.keys()
    for name, wanted in expected.items():
        wanted = wanted.detach()
        wanted = wanted.float() if wanted.dtype == torch.bfloat16 else wanted
        assert found[name].dtype == wanted.numpy().dtype
        np.testing.assert_array_equal(found[name], wanted.numpy(), err_msg=name)
    # And PyTorch reads what the tests write.
    write(path, {"weights": tensor(np.arange(6, dtype="f4").reshape(2, 3))})
    again = torch.load(path, map_location="cpu", weights_only=True)["weights"]
    np.testing.assert_array_equal(again.numpy(), np.arange(6).reshape(2, 3))


# -- files that want to run something ----------------------------------------------------------------------------------


class Runs:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def in_layout(layout, content, path):
    """A file of a layout around a ready pickle."""
    if layout == "zip":
        write_members(path, {"archive/data.pkl": content})
    else:
        heads = (MAGIC, 1001, {"little_endian": True})
        path.write_bytes(
            b"".join(Pickler().dumps(h) for h in heads) + content + Pickler().dumps([])
        )
    return path


@pytest.mark.parametrize("layout", ["zip", "legacy"])
@pytest.mark.parametrize(
    "make, name",
    [
        (lambda mark: Runs(os.system, f"touch {mark}"), f"{os.name}.system"),
        (lambda mark: Runs(eval, f"open({str(mark)!r}, 'w')"), "__builtin__.eval"),
        (lambda mark: Runs(exec, f"open({str(mark)!r}, 'w')"), "__builtin__.exec"),
        (lambda mark: Runs(getattr, Runs(__import__, "os"), "system"), "__builtin__.getattr"),
        (lambda mark: {"state_dict": {"w": Runs(os.mkdir, str(mark))}}, f"{os.name}.mkdir"),
        (lambda mark: [Runs(Runs, Runs(os.mkdir, str(mark)))], "Runs"),
        (lambda mark: np.zeros(3), "_reconstruct"),
    ],
)
def test_nothing_that_a_file_asks_for_is_run(layout, make, name, tmp_path):
    mark = tmp_path / "it-ran"
    path = in_layout(layout, pickle.dumps(make(mark), protocol=2), tmp_path / "evil.pth")
    refused(path, name, "Nothing of it was run")
    assert not mark.exists()


@pytest.mark.parametrize(
    "content, words",
    [
        (b"(S'touch it'\nios\nsystem\n.", "pickle instruction"),  # INST
        (b"\x80\x04\x8c\x05posix\x8c\x06system\x93.", "protocol 4"),
        (b"\x80\x02\x8c\x05posix\x8c\x06system\x93.", "pickle instruction SHORT_BINUNICODE"),
        (b"\x80\x02Pevil\n.", "pickle instruction PERSID"),
        (b"\x80\x02]K\x01\x85R.", "a call of no function"),
        (b"\x80\x02\x82\x01.", "pickle instruction EXT1"),
        (b"\x80\x02ctorch\nload\n.", "torch.load"),
        (b"\x80\x02ctorch.storage\n_load_from_bytes\n.", "_load_from_bytes"),
        (b"\x80\x02c\x1b[31m\nevil\n.", r"\x1b[31m.evil"),  # shown, not printed
        (b"\x80\x02ctorch\nFloatStorage\n)R.", "a call of torch.FloatStorage"),
        (
            b"\x80\x02(X\x06\x00\x00\x00modulectorch.nn.parameter\nParameter\nK\x01K\x02K\x03tQ.",
            "a class with its source",
        ),
    ],
)
def test_other_ways_into_python_are_refused_by_name(content, words, tmp_path):
    refused(in_layout("zip", content, tmp_path / "evil.pth"), words)


def deep(count, leaf=b"K\x01", wrap=b"\x85"):
    """A tuple in a tuple in a tuple ..."""
    return leaf + wrap * count


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02}" + deep(200_000) + b"K\x01s.",  # as a key: hashing it would overflow the stack
        b"\x80\x02}X\x01\x00\x00\x00a" + deep(200_000) + b"s.",
        b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s.",  # holds itself
        b"\x80\x02}X\x01\x00\x00\x00a"  # thirty lists, each twice in the next: 2^30 items
        + b"]q\x00"
        + b"".join(
            b"](h" + bytes([i]) + b"h" + bytes([i]) + b"eq" + bytes([i + 1]) for i in range(30)
        )
        + b"s.",
        b"\x80\x02}X\x01\x00\x00\x00a\x8b" + struct.pack("<i", 2**31 - 1) + b"1s.",  # a cut number
        b"\x80\x02}r\xff\xff\xff\xff.",  # Python's own machine takes 64 GB for this place in its memo
        b"\x80\x02}X\x01\x00\x00\x00a\x8a\x14" + b"\x7f" * 20 + b"s.",  # 160 bits
        b"\x80\x02}X\x01\x00\x00\x00ah\x07s.",  # what was never put there
        b"\x80\x02s.",
        b"\x80\x02\x86.",
        b"\x80\x02(K\x01.",
        b"\x80\x02K\x01K\x02b.",
        b"\x80\x02}X\x01\x00\x00\x00a(u.",
        b"",
        b"\x80\x02K\x05.",
        b"\x80\x02}\x8b" + struct.pack("<i", 2000) + b"\x7f" * 2000 + b"K\x01s.",  # a huge key
    ],
    ids=range(16),
)
def test_pickles_that_would_break_a_reader_are_one_clear_line(content, tmp_path):
    path = in_layout("zip", content, tmp_path / "odd.pth")
    if content.startswith(b"\x80\x02}r"):
        assert torch_file.read(path) == {}
    else:
        refused(path, "damaged")


def test_a_long_list_is_not_copied_again_and_again(tmp_path):
    """A dictionary is made of pairs, a hundred times of the same long list."""
    pairs = b"](" + b"".join(b"K\x01K\x02\x86" for _ in range(5000)) + b"eq\x00"
    call = b"ccollections\nOrderedDict\nh\x00\x85R"
    content = b"\x80\x02](" + pairs + call * 100 + b"e."
    refused(in_layout("zip", content, tmp_path / "odd.pth"), "no dictionary of weights")


# -- damage ------------------------------------------------------------------------------------------------------------


@layouts
def test_cut_anywhere_is_one_clear_line(write, tmp_path):
    value = {"epoch": 3, "state_dict": {"w": tensor(np.arange(20, dtype="f4").reshape(4, 5))}}
    content = write(tmp_path / "whole.pth", value).read_bytes()
    path = tmp_path / "cut.pth"
    for length in range(len(content)):
        path.write_bytes(content[:length])
        refused(path)


@layouts
@given(data=st.data())
def test_changed_bytes_never_break_out(write, data, tmp_path_factory):
    """Whatever is changed, the file is read or refused; a zip archive's sums find changed numbers."""
    path = tmp_path_factory.mktemp("files") / "changed.pth"
    value = {"a": tensor(np.arange(20, dtype="f4")), "b": [1, {"c": tensor(np.zeros((2, 3)))}]}
    content = bytearray(write(path, value).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        found = torch_file.read(path)
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert sum(array.nbytes for array in found.values()) < 20 * len(content)


NUMBERS = Storage(np.arange(12, dtype="f4"))


@layouts
@pytest.mark.parametrize(
    "bad, words",
    [
        (Tensor(NUMBERS, 0, (13,), (1,)), "reaches beyond its storage"),
        (Tensor(NUMBERS, 11, (2,), (1,)), "reaches beyond its storage"),
        (Tensor(NUMBERS, 12, (), ()), "reaches beyond its storage"),
        (Tensor(NUMBERS, 0, (2, 2), (2**61, 1)), "reaches beyond its storage"),
        (Tensor(NUMBERS, -1, (2,), (1,)), "no storage"),
        (Tensor(NUMBERS, 0, (2,), (-1,)), "no counts"),
        (Tensor(NUMBERS, 0, (2**62,), (0,)), "no counts"),
        (Tensor(NUMBERS, 0, (10**12,), (0,)), "more elements than its storage"),
        (Tensor(NUMBERS, 0, (0, 2**40), (1, 1)), "an empty tensor has an axis"),
        (Tensor(NUMBERS, 0, (0, 2**30, 2**30, 2**30), (1,) * 4), "damaged"),
        (Tensor(NUMBERS, 0, (1,) * 40, (1,) * 40), "40 axes"),
        (Tensor(NUMBERS, 0, (2,), (1, 1)), "no shape"),
        (Tensor(Storage(np.zeros(2), kind="ComplexFloatStorage"), 0, (2,), (1,)), "ComplexFloat"),
        (Tensor(Storage(np.zeros(2), claimed=3), 0, (3,), (1,)), "size"),
        (Tensor(Storage(np.zeros(2), claimed=2**40), 0, (3,), (1,)), "size"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(write, bad, words, tmp_path):
    refused(write(tmp_path / "bad.pth", {"w": bad}), words)


def rewritten(path, change):
    """A zip archive after a change of its members."""
    write_zip(path, {"w": tensor(np.arange(50, dtype="f4"))})
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist() if "version" not in name}
    write_members(path, *change(members))
    return path


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda m: [{k: v for k, v in m.items() if "data/" not in k}], "lacks data/0"),
        (lambda m: [{k: v for k, v in m.items() if ".pkl" not in k}], "without one data.pkl"),
        (lambda m: [{**m, "archive/data/0": m["archive/data/0"][:-4]}], "another size"),
        (lambda m: [{**m, "other/data.pkl": b""}], "without one data.pkl"),
        (lambda m: [m, zipfile.ZIP_DEFLATED], "compressed members"),
        (lambda m: [{**m, "archive/constants.pkl": b""}], "TorchScript"),
    ],
)
def test_archives_of_another_kind_are_refused(change, words, tmp_path):
    refused(rewritten(tmp_path / "other.pth", change), words)


def test_members_that_overlap_are_refused(tmp_path):
    """The directory of the archive may name one stretch of the file many times."""
    path = rewritten(tmp_path / "bomb.pth", lambda m: [{**m, "archive/data/1": bytes(100)}])
    content = path.read_bytes()
    end = content.rindex(b"PK\5\6")
    count, size, begin = struct.unpack_from("<HII", content, end + 10)
    entries = content[begin : begin + size]
    tail = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 50 * count, 50 * count, 50 * size, begin, 0)
    path.write_bytes(content[:begin] + entries * 50 + tail)
    refused(path, "members that overlap")


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "it is empty"),
        (b"<!DOCTYPE html><title>Too many downloads</title>", "begins as none"),
        (b"x" * 257 + b"ustar  \0" + bytes(300), "tar layout"),
        (b"PK\3\4", "damaged"),
        (Pickler().dumps(MAGIC) + Pickler().dumps(1002), "its version is another"),
    ],
)
def test_other_files_are_one_clear_line(content, words, tmp_path):
    path = tmp_path / "other.pth"
    path.write_bytes(content)
    refused(path, words)


def test_a_missing_file_and_a_folder(tmp_path):
    refused(tmp_path / "none.pth", "no such file")
    refused(tmp_path, "cannot be read")


@layouts
def test_a_file_without_a_dictionary(write, tmp_path):
    refused(write(tmp_path / "list.pth", [tensor(np.zeros(3))]), "no dictionary of weights")
    refused(
        write(
            tmp_path / "twice.pth", {"a": {"b": tensor(np.zeros(3))}, "a.b": tensor(np.zeros(3))}
        ),
        "two tensors are called a.b",
    )
