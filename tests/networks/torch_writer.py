"""Writes PyTorch's files without PyTorch, in both layouts, for the tests of their reader.

Pickles are of protocol 2 with the instructions that `torch.save` uses, memo included.
"""

from __future__ import annotations

import dataclasses
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C
STORAGES = {
    "f4": "FloatStorage",
    "f8": "DoubleStorage",
    "f2": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "i8": "LongStorage",
    "i4": "IntStorage",
    "i2": "ShortStorage",
    "i1": "CharStorage",
    "u1": "ByteStorage",
    "b1": "BoolStorage",
}


@dataclasses.dataclass(eq=False)
class Storage:
    """Numbers that tensors look at; of bfloat16 the 16 bits, as u2."""

    numbers: np.ndarray
    kind: str = ""
    view: tuple[str, int, int] | None = None  # legacy: (key, first element, elements)
    claimed: int | None = None  # a size that is not the true one

    def __post_init__(self):
        self.kind = self.kind or self.numbers.dtype.str[1:]


@dataclasses.dataclass(eq=False)
class Tensor:
    """A tensor over a storage; offset and strides in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    function: str = "_rebuild_tensor_v2"


def tensor(array: np.ndarray, **options: Any) -> Tensor:
    """A contiguous tensor with a storage of its own."""
    array = np.asarray(array)
    strides = [int(np.prod(array.shape[axis + 1 :], dtype=int)) for axis in range(array.ndim)]
    storage = Storage(np.ascontiguousarray(array).reshape(-1), **options)
    return Tensor(storage, 0, array.shape, tuple(strides))


class Global(str):
    """A name, `module name`."""


@dataclasses.dataclass
class Call:
    """function(*arguments), or, with `new`, class.__new__; `state` is set afterwards."""

    function: Global
    arguments: tuple
    state: Any = None
    new: bool = False


@dataclasses.dataclass
class Namespace:
    """An `argparse.Namespace`, or another object that is nothing but its attributes."""

    attributes: dict
    name: Global = Global("argparse Namespace")


class Pickler:
    """Makes one pickle; `storages` are those it refers to, in the order of their keys."""

    legacy = False  # whether references to storages tell of views

    def __init__(self) -> None:
        self.storages: list[Storage] = []
        self.out = bytearray(b"\x80\x02")
        self.memo: dict[Any, int] = {}

    def dumps(self, value: Any) -> bytes:
        self.save(value)
        return bytes(self.out + b".")

    def save(self, value: Any) -> None:
        if value is None or isinstance(value, bool):
            self.out += {None: b"N", True: b"\x88", False: b"\x89"}[value]
        elif isinstance(value, (Global, str)):
            self._memoised(value)
        elif isinstance(value, int):
            self._integer(value)
        elif isinstance(value, float):
            self.out += b"G" + struct.pack(">d", value)
        elif isinstance(
            value, dict
        ):  # torch's state dicts are ordered ones, with a state of versions
            self.out += b"}"
            self._put(id(value))
            self._items(value)
        elif isinstance(value, list):
            self.out += b"]("
            for item in value:
                self.save(item)
            self.out += b"e"
        elif isinstance(value, tuple):
            self._tuple(value)
        elif isinstance(value, Tensor):
            self._tensor(value)
        elif isinstance(value, Storage):
            self._storage(value)
        elif isinstance(value, Namespace):
            self.save(Call(value.name, (), value.attributes, new=True))
        else:
            self.save(value.function)
            self.save(value.arguments)
            self.out += b"\x81" if value.new else b"R"
            if value.state is not None:
                self.save(value.state)
                self.out += b"b"

    def _memoised(self, value: str) -> None:
        key = (type(value), value)
        if key in self.memo:
            number = self.memo[key]
            self.out += b"h" + bytes([number]) if number < 256 else b"j" + struct.pack("<I", number)
            return
        if isinstance(value, Global):
            module, name = value.split(" ")
            self.out += f"c{module}\n{name}\n".encode()
        else:
            text = value.encode()
            self.out += b"X" + struct.pack("<I", len(text)) + text
        self._put(key)

    def _put(self, key: Any) -> None:
        number = self.memo[key] = len(self.memo)
        self.out += b"q" + bytes([number]) if number < 256 else b"r" + struct.pack("<I", number)

    def _integer(self, value: int) -> None:
        if 0 <= value < 256:
            self.out += b"K" + bytes([value])
        elif 0 <= value < 65536:
            self.out += b"M" + struct.pack("<H", value)
        elif -(2**31) <= value < 2**31:
            self.out += b"J" + struct.pack("<i", value)
        else:
            content = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            self.out += b"\x8a" + bytes([len(content)]) + content

    def _items(self, value: dict) -> None:
        if value:
            self.out += b"("
            for key, item in value.items():
                self.save(key)
                self.save(item)
            self.out += b"u"

    def _tuple(self, value: tuple) -> None:
        if not value:
            self.out += b")"
            return
        self.out += b"(" if len(value) > 3 else b""
        for item in value:
            self.save(item)
        self.out += {1: b"\x85", 2: b"\x86", 3: b"\x87"}.get(len(value), b"t")

    def _tensor(self, value: Tensor) -> None:
        self.save(Global(f"torch._utils {value.function}"))
        self.out += b"("
        for item in (value.storage, value.offset, value.shape, value.strides):
            self.save(item)
        if value.function == "_rebuild_tensor_v2":
            self.save(False)
            self.save(Call(Global("collections OrderedDict"), ()))
        self.out += b"tR"

    def _storage(self, storage: Storage) -> None:
        if storage not in self.storages:
            self.storages.append(storage)
        kind = Global(f"torch {STORAGES.get(storage.kind, storage.kind)}")
        size = storage.numbers.size if storage.claimed is None else storage.claimed
        reference = ("storage", kind, str(self.storages.index(storage)), "cuda:0", size)
        self._tuple(reference + ((storage.view,) if self.legacy else ()))
        self.out += b"Q"


class LegacyPickler(Pickler):
    """Adds a storage's view to its references."""

    legacy = True


def write_zip(path: Path, value: Any, root: str = "archive", byteorder: str = "little") -> Path:
    """The layout since PyTorch 1.6."""
    pickler = Pickler()
    members = {"data.pkl": pickler.dumps(value), "byteorder": byteorder.encode()}
    for key, storage in enumerate(pickler.storages):
        order = "<" if byteorder == "little" else ">"
        numbers = storage.numbers.astype(storage.numbers.dtype.newbyteorder(order))
        members[f"data/{key}"] = numbers.tobytes()
    write_members(path, {f"{root}/{name}": content for name, content in members.items()})
    return path


def write_members(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED):
    """A zip archive; torch adds the member `version` at the end."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)
        archive.writestr(f"{next(iter(members)).split('/')[0]}/version", b"3\n")


def write_legacy(path: Path, value: Any) -> Path:
    """The layout before PyTorch 1.6."""
    pickler = LegacyPickler()
    main = pickler.dumps(value)
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4}}
    keys = [str(key) for key in range(len(pickler.storages))]
    with open(path, "wb") as file:
        for head in (MAGIC, 1001, system):
            file.write(Pickler().dumps(head))
        file.write(main + Pickler().dumps(keys))
        for storage in pickler.storages:
            file.write(struct.pack("<q", storage.numbers.size))
            file.write(storage.numbers.astype(storage.numbers.dtype.newbyteorder("<")).tobytes())
    return path


WRITERS = {"zip": write_zip, "legacy": write_legacy}
