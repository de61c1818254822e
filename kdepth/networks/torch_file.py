"""PyTorch's files of weights (`.pth`, `.pth.tar`, `.ckpt`) as arrays, without PyTorch and without running them.

`torch.save` has two layouts. Since PyTorch 1.6 a file is a zip archive: a pickle `data.pkl` and one
stored member for each storage. Before, it is a sequence of pickles (a magic number, a version, the
writer's system, the object, the storages' keys) and then the storages. A tensor is a shape and
strides into a storage, which several may share.

A file cannot make us allocate much more than its own size: members may not be compressed or
overlap, a tensor may not have more elements than its storage, and names, texts and their number
are limited.

Source: PyTorch's documentation of `torch.save`, "Serialization semantics", and files it wrote.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kdepth.errors import UserError
from kdepth.files import read_bytes
from kdepth.networks.torch_pickle import DamagedError, RefusedError, Storage, Tensor, loads

_ZIP = b"PK\x03\x04"
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the pickled magic number
_LEGACY_VERSION = 1001
_TAR = b"ustar"
_MOST_AXES = 32  # NumPy's own limit before 2.0
_DEEPEST = 50  # containers in containers
_MOST_ITEMS = 100_000  # a container that stands in many places counts in each
_LONGEST_NAME = 1000
_LONGEST_TEXT = 200  # longer ones are left out

# The elements of a whole storage.
Fetch = Callable[[Storage], np.ndarray]


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Reads all tensors of a file, and its plain numbers and texts.

    Args:
        path: a file that `torch.save` wrote, of a state dict or of dictionaries that hold one.

    Returns:
        {name: array}; names of nested dictionaries are joined with ".", and items of lists are
        named by their index: `state_dict.encoder.conv1.weight`. Tensors have their own type, but
        bfloat16 becomes float32; they are read-only and may share memory. Numbers and texts such as
        `epoch` are arrays without axes.

    Raises:
        UserError: if the file is missing, cut off, damaged or no such file, or asks for anything
            beside tensors and plain containers, which is named and not run.
    """
    path = Path(path)
    data = read_bytes(path, "PyTorch weights")
    try:
        value, fetch = _open(data)
        return _flatten(value, fetch)
    except RefusedError as error:
        raise UserError(
            f"{path}: refused because of {_one_line(error)}: weights need tensors and plain containers"
            " alone. Nothing of it was run; if you trust it, load it with PyTorch and save its"
            " state_dict() by itself"
        ) from None
    except (ValueError, OverflowError) as error:  # DamagedError, and NumPy's for impossible sizes
        raise UserError(
            f"{path}: cut off, damaged or no file of PyTorch weights ({_one_line(error)}); fetch it"
            " again"
        ) from None


def _one_line(error: Exception) -> str:
    """The message; a foreign file's names may hold anything, so only plain characters are shown."""
    return ascii(str(error))[1:-1][:160]


def _open(data: bytes) -> tuple[Any, Fetch]:
    """What the file's pickle holds, and how to get a storage's elements."""
    if data.startswith(_ZIP):
        return _open_zip(data)
    if data.startswith(_LEGACY):
        return _open_legacy(data)
    if data[257:262] == _TAR:
        raise RefusedError("its tar layout, of PyTorch's first versions")
    raise DamagedError(
        "it is empty" if not data else "it begins as none of torch.save's files does"
    )


def _open_zip(data: bytes) -> tuple[Any, Fetch]:
    damage = (zipfile.BadZipFile, struct.error, EOFError, OSError, RuntimeError, ValueError)
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (*damage, IndexError, OverflowError) as error:
        raise DamagedError(str(error)) from None
    members = {member.filename: member for member in archive.infolist()}
    roots = [name[: -len("data.pkl")] for name in members if name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise DamagedError("a zip archive without one data.pkl; if files are in it, unpack them")
    (root,) = roots
    if f"{root}constants.pkl" in members:
        raise RefusedError("a TorchScript program (torch.jit.save)")
    for member in archive.infolist():
        if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
            raise RefusedError("compressed members, which torch.save never writes")
    if sum(member.file_size for member in archive.infolist()) > len(data):
        raise RefusedError("members that overlap")

    def content(name: str) -> bytes:
        if root + name not in members:
            raise DamagedError(f"it lacks {name}")
        try:
            return archive.read(root + name)
        except (*damage, OverflowError) as error:
            raise DamagedError(str(error)) from None

    is_big = f"{root}byteorder" in members and content("byteorder") == b"big"

    def fetch(storage: Storage) -> np.ndarray:
        return _numbers(content(f"data/{storage.key}"), storage, ">" if is_big else "<")

    return loads(content("data.pkl")).value, fetch


def _open_legacy(data: bytes) -> tuple[Any, Fetch]:
    version = loads(data, len(_LEGACY))
    if version.value != _LEGACY_VERSION:
        raise DamagedError("its version is another")
    system = loads(data, version.end)
    main = loads(data, system.end)
    keys = loads(data, main.end)
    position, contents = keys.end, {}
    for key in keys.value if isinstance(keys.value, list) else ():
        if not isinstance(key, str) or key not in main.storages:
            raise DamagedError("it holds a storage that nothing refers to")
        storage = main.storages[key]
        begin = position + 8
        position = begin + storage.size * _type_of(storage).itemsize
        # Always in little endian, whatever the writer's system.
        if len(data) < position or data[begin - 8 : begin] != struct.pack("<q", storage.size):
            raise DamagedError("a storage is cut off or of another size")
        contents[key] = memoryview(data)[begin:position]

    def fetch(storage: Storage) -> np.ndarray:
        if storage.key not in contents:
            raise DamagedError(f"it lacks storage {storage.key}")
        return _numbers(contents[storage.key], storage, "<")

    return main.value, fetch


def _type_of(storage: Storage) -> np.dtype:
    """The type of the stored elements; NumPy has no bfloat16, whose bits are the upper half of a float32."""
    return np.dtype("u2" if storage.dtype == "bfloat16" else storage.dtype)


def _numbers(content: bytes | memoryview, storage: Storage, order: str) -> np.ndarray:
    dtype = _type_of(storage)
    if len(content) != storage.size * dtype.itemsize:
        raise DamagedError(f"storage {storage.key} has another size than it says")
    numbers = np.frombuffer(content, dtype.newbyteorder(order)).astype(dtype, copy=False)
    if storage.dtype == "bfloat16":
        numbers = (numbers.astype(np.uint32) << 16).view(np.float32)
    return numbers


def _array(tensor: Tensor, numbers: np.ndarray) -> np.ndarray:
    """A tensor's view of its whole storage."""
    storage = tensor.storage
    numbers = numbers[storage.begin : storage.begin + storage.length]
    if len(tensor.shape) > _MOST_AXES:
        raise DamagedError(f"a tensor has {len(tensor.shape)} axes")
    count = math.prod(tensor.shape)
    if count == 0:
        if max(tensor.shape) >= 2**31:
            raise DamagedError(f"an empty tensor has an axis of {max(tensor.shape)}")
        return np.zeros(tensor.shape, numbers.dtype)
    last = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.strides))
    if last >= numbers.size:
        raise DamagedError("a tensor reaches beyond its storage")
    if count > numbers.size:
        raise DamagedError("a tensor has more elements than its storage")
    # The step along an axis of one does not matter, and may be any number.
    strides = [
        step * numbers.itemsize if n > 1 else 0 for n, step in zip(tensor.shape, tensor.strides)
    ]
    return np.lib.stride_tricks.as_strided(
        numbers[tensor.offset :], tensor.shape, strides, writeable=False
    )


def _flatten(value: Any, fetch: Fetch) -> dict[str, np.ndarray]:
    """{name: array} of nested containers; what is neither number, text nor tensor has no place in it."""
    if not isinstance(value, dict):
        raise DamagedError("it holds no dictionary of weights")
    storages: dict[str, np.ndarray] = {}
    arrays: dict[str, np.ndarray] = {}
    for name, leaf in _leaves("", value, 0, iter(range(_MOST_ITEMS))):
        if isinstance(leaf, Tensor):
            if leaf.storage is None:  # of PyTorch before 0.2, empty
                continue
            key = leaf.storage.key
            if key not in storages:
                storages[key] = fetch(leaf.storage)
            array = _array(leaf, storages[key])
        elif isinstance(leaf, (bool, int, float)) or (
            isinstance(leaf, str) and len(leaf) <= _LONGEST_TEXT
        ):
            array = np.asarray(leaf)
            if array.dtype.kind == "O":
                raise DamagedError("a number has more than 64 bits")
        else:
            continue
        if name in arrays:
            raise DamagedError(f"two tensors are called {name}")
        arrays[name] = array
    return arrays


def _leaves(prefix: str, value: Any, depth: int, left: Iterator[int]) -> Iterator[tuple[str, Any]]:
    """Yields names and values of what is in containers; `left` counts down how many are allowed."""
    if next(left, None) is None or depth > _DEEPEST or len(prefix) > _LONGEST_NAME:
        raise DamagedError("it holds too many items, too deep or with too long names")
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    else:
        yield prefix, value
        return
    for key, item in items:
        yield from _leaves(f"{prefix}.{key}" if prefix else str(key), item, depth + 1, left)
