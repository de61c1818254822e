"""Pickles of PyTorch, taken apart without Python's unpickler, so that nothing in them can run.

A pickle is a program for a small stack machine, and Python's own machine imports and calls whatever
the program names. This one knows the few instructions and names that files of weights need; a name
stays a name, and what is built from it is built here. Every other instruction or name is refused.

Source: Python's `pickletools`, protocol 2, which is what `torch.save` writes.
"""

from __future__ import annotations

import dataclasses
import io
import pickletools
from collections.abc import Callable
from typing import Any, NamedTuple

from kdepth.errors import first_line

PROTOCOL = 2
# torch.<name> -> NumPy's type of an element; of bfloat16 the bits.
STORAGES = {
    "FloatStorage": "f4",
    "DoubleStorage": "f8",
    "HalfStorage": "f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}


class RefusedError(ValueError):
    """The pickle asks for something that is not a tensor or a plain container; says what."""


class DamagedError(ValueError):
    """The bytes are not what `torch.save` writes."""


class Name(NamedTuple):
    """A class or function that a pickle names. It is never imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclasses.dataclass(frozen=True)
class Storage:
    """A run of numbers outside of the pickle.

    Attributes:
        key: where the file holds it.
        dtype: of an element, one of the values of `STORAGES`.
        size: elements of what the file holds under the key.
        begin: of a view of it: its first element.
        length: of a view of it: its elements; `size` otherwise.
    """

    key: str
    dtype: str
    size: int
    begin: int
    length: int


@dataclasses.dataclass
class Tensor:
    """A tensor's place in a storage; in elements. Without a storage it is empty."""

    storage: Storage | None = None
    offset: int = 0
    shape: tuple[int, ...] = (0,)
    strides: tuple[int, ...] = (1,)


class Pickle(NamedTuple):
    """What a pickle holds.

    Attributes:
        value: made of `Tensor`, `Attributes`, `Name`, dict, list, tuple, text, numbers and None.
        end: where the pickle ends.
        storages: that it refers to, by key; of views the whole.
    """

    value: Any
    end: int
    storages: dict[str, Storage]


class Attributes(dict):
    """Stands for an object of a listed class: what it holds by name, and nothing that it could do."""


# -- what names stand for ----------------------------------------------------------------------------------------------


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**62


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    if not isinstance(storage, Storage) or not _is_count(offset):
        raise DamagedError("a tensor has no storage")
    if not (isinstance(shape, tuple) and isinstance(strides, tuple) and len(shape) == len(strides)):
        raise DamagedError("a tensor has no shape")
    if not all(_is_count(n) for n in (*shape, *strides)):
        raise DamagedError("a tensor's shape or strides are no counts")
    return Tensor(storage, offset, shape, strides)


def _parameter(data: Any, *_: Any) -> Tensor:
    if not isinstance(data, Tensor):
        raise DamagedError("a parameter is no tensor")
    return data


def _ordered(pairs: Any = None) -> dict:
    """Python 3 writes an empty one and sets its items, Python 2 gives them as a list of pairs."""
    made: dict = {}
    if pairs is not None:
        if not isinstance(pairs, list):
            raise DamagedError("a dictionary's items are no list")
        for pair in pairs:
            if not (isinstance(pair, (list, tuple)) and len(pair) == 2):
                raise DamagedError("a dictionary's items are no pairs")
            _set(made, *pair)
        pairs.clear()  # or a small file could have a long list copied without end
    return made


def _shape(values: Any = ()) -> tuple:
    if not isinstance(values, tuple):
        raise DamagedError("a shape is no tuple")
    return values


def _old_tensor() -> Tensor:
    return Tensor()


def _attributes() -> Attributes:
    return Attributes()


# The whole list of what a file may ask for beside its storages. The last ones hold the settings of
# a run in PyTorch Lightning's checkpoints; their values are kept, their classes are not.
BUILDERS: dict[Name, Callable[..., Any]] = {
    Name("collections", "OrderedDict"): _ordered,
    Name("torch._utils", "_rebuild_tensor_v2"): _tensor,
    Name("torch._utils", "_rebuild_tensor"): _tensor,
    Name("torch._utils", "_rebuild_parameter"): _parameter,
    Name("torch.nn.parameter", "Parameter"): _parameter,
    Name("torch", "Size"): _shape,
    # Before PyTorch 0.2 a tensor was pickled as an object with a state.
    Name("torch", "FloatTensor"): _old_tensor,
    Name("torch", "DoubleTensor"): _old_tensor,
    Name("torch", "LongTensor"): _old_tensor,
    Name("argparse", "Namespace"): _attributes,
    Name("pytorch_lightning.utilities.parsing", "AttributeDict"): _attributes,
    Name("lightning_fabric.utilities.data", "AttributeDict"): _attributes,
    Name("lightning.fabric.utilities.data", "AttributeDict"): _attributes,
}
# Classes that Lightning uses as keys; they are not built.
KEYS = {Name("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint")}


def _storage(reference: Any) -> Storage:
    """A storage from a pickle's reference: ("storage", type, key, device, size) and, legacy, a view."""
    if not isinstance(reference, tuple) or len(reference) not in (5, 6):
        raise DamagedError("a reference is to no storage")
    kind, storage_type, key, _, size = reference[:5]
    if kind != "storage":  # "module", a class with its source text
        raise RefusedError("a class with its source text")
    if not (isinstance(storage_type, Name) and isinstance(key, str) and _is_count(size)):
        raise DamagedError("a storage has no type, key or size")
    begin, length = 0, size
    if reference[5:] not in ((), (None,)):
        view = reference[5]
        if not (isinstance(view, tuple) and len(view) == 3 and all(map(_is_count, view[1:]))):
            raise DamagedError("a view of a storage has no place")
        begin, length = view[1:]
        if begin + length > size:
            raise DamagedError("a view of a storage reaches beyond it")
    return Storage(key, STORAGES[storage_type.name], size, begin, length)


def _global(text: str) -> Name:
    name = Name(*text.split(" ", 1))
    is_storage = name.module == "torch" and name.name in STORAGES
    if not (is_storage or name in BUILDERS or name in KEYS):
        raise RefusedError(str(name))
    return name


# -- the machine -------------------------------------------------------------------------------------------------------

_PLAIN = {"BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINUNICODE"}
_PLAIN |= {"SHORT_BINSTRING", "BINSTRING"}  # Python 2's text
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Callable[[], Any]] = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def loads(data: bytes, position: int = 0) -> Pickle:
    """Reads one pickle.

    Args:
        data: holds it.
        position: where it begins.

    Raises:
        RefusedError: if it asks for anything else.
        DamagedError: if it is cut off or no pickle.
    """
    stream = io.BytesIO(data)
    stream.seek(position)
    stack: list[Any] = []
    outer: list[list[Any]] = []  # stacks below the marks
    memo: dict[int, Any] = {}
    storages: dict[str, Storage] = {}
    try:
        for instruction, argument, _ in pickletools.genops(stream):
            code = instruction.name
            if code in _PLAIN:
                stack.append(argument)
            elif code in _CONSTANTS:
                stack.append(_CONSTANTS[code])
            elif code in _EMPTY:
                stack.append(_EMPTY[code]())
            elif code in ("BINPUT", "LONG_BINPUT"):
                memo[argument] = stack[-1]
            elif code in ("BINGET", "LONG_BINGET"):
                stack.append(memo[argument])
            elif code == "MARK":
                outer.append(stack)
                stack = []
            elif code in _TUPLES:
                count = _TUPLES[code]
                if len(stack) < count:
                    raise DamagedError("a tuple lacks items")
                stack[-count:] = [tuple(stack[-count:])]
            elif code == "GLOBAL":
                stack.append(_global(argument))
            elif code == "BINPERSID":
                stack.append(_storage(stack.pop()))
                _register(stack[-1], storages)
            elif code in ("REDUCE", "NEWOBJ"):
                arguments, name = stack.pop(), stack.pop()
                stack.append(_build(name, arguments))
            elif code == "BUILD":
                state = stack.pop()
                _set_state(stack[-1], state)
            elif code == "SETITEM":
                value, key = stack.pop(), stack.pop()
                _set(stack[-1], key, value)
            elif code == "APPEND":
                item = stack.pop()
                _extend(stack[-1], [item])
            elif code in ("TUPLE", "SETITEMS", "APPENDS"):
                items, stack = stack, outer.pop()
                if code == "TUPLE":
                    stack.append(tuple(items))
                elif code == "APPENDS":
                    _extend(stack[-1], items)
                else:
                    if len(items) % 2:
                        raise DamagedError("a dictionary lacks a value")
                    for key, value in zip(items[::2], items[1::2]):
                        _set(stack[-1], key, value)
            elif code == "PROTO":
                if argument != PROTOCOL:
                    raise DamagedError(
                        f"pickle protocol {argument}, where PyTorch writes {PROTOCOL}"
                    )
            elif code == "STOP":
                return Pickle(stack.pop(), stream.tell(), storages)
            else:
                raise RefusedError(f"the pickle instruction {code}")
    except (RefusedError, DamagedError):
        raise
    except (IndexError, KeyError, ValueError, TypeError, OverflowError) as error:
        raise DamagedError(f"its pickle is cut off or damaged: {first_line(error, 100)}") from None
    raise DamagedError("its pickle is cut off")


def _register(storage: Storage, storages: dict[str, Storage]) -> None:
    whole = dataclasses.replace(storage, begin=0, length=storage.size)
    if storages.setdefault(storage.key, whole) != whole:
        raise DamagedError(f"storage {storage.key} has two types or sizes")


def _build(name: Any, arguments: Any) -> Any:
    if not isinstance(name, Name) or name not in BUILDERS:
        raise RefusedError(
            f"a call of {name}" if isinstance(name, Name) else "a call of no function"
        )
    if not isinstance(arguments, tuple):
        raise DamagedError(f"{name} is called without arguments")
    return BUILDERS[name](*arguments)


def _set_state(target: Any, state: Any) -> None:
    """BUILD: an object's attributes. Those of a dictionary or parameter say nothing about weights."""
    if isinstance(target, Attributes) and isinstance(state, dict):
        for key, value in state.items():
            _set(target, key, value)
        state.clear()  # it belongs to one object, so that copying it again and again costs nothing
    elif isinstance(target, Tensor) and target.storage is None and isinstance(state, tuple):
        made = _tensor(*state[:4])
        target.storage, target.offset = made.storage, made.offset
        target.shape, target.strides = made.shape, made.strides
    elif not isinstance(target, (dict, Tensor)):
        raise DamagedError("a state belongs to no object")


def _set(target: Any, key: Any, value: Any) -> None:
    # Other keys could be nested so deep that hashing them overflows the stack.
    is_small = type(key) is int and key.bit_length() < 64
    if not isinstance(target, dict) or not (is_small or type(key) is str or isinstance(key, Name)):
        raise DamagedError("a dictionary's key is no text and no number")
    target[key] = value


def _extend(target: Any, items: list[Any]) -> None:
    if not isinstance(target, list):
        raise DamagedError("items belong to no list")
    target.extend(items)
