"""TFLite files as objects: joining two, adding metadata, asking which operators are float.

A TFLite file is a flatbuffer; `ai_edge_litert` brings the classes of its schema.
"""

from __future__ import annotations

import collections
from typing import Any

import numpy as np

from kdepth.runtime import METADATA_NAME

ALIGNMENT = 16  # of constants, as TFLite's schema asks
# Operators that change between float and 8 bits at the border of the two.
_BORDER = ("QUANTIZE", "DEQUANTIZE")


def parse(content: bytes) -> Any:
    """The `ModelT` of a TFLite file."""
    from ai_edge_litert import schema_py_generated as schema

    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))


def pack(model: Any) -> bytes:
    """The TFLite file of a `ModelT`."""
    import flatbuffers

    model.buffers = [_Buffer(buffer) for buffer in model.buffers]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


class _Buffer:
    """A constant that is written where the schema wants it: Python's own packer ignores alignment."""

    def __init__(self, buffer: Any) -> None:
        self.data = None if buffer.data is None else np.asarray(buffer.data, np.uint8)

    def Pack(self, builder: Any) -> int:
        from ai_edge_litert import schema_py_generated as schema

        start = None
        if self.data is not None:
            builder.StartVector(1, self.data.size, ALIGNMENT)
            builder.head -= self.data.size
            builder.Bytes[builder.head : builder.head + self.data.size] = self.data.tobytes()
            start = builder.EndVector()
        schema.BufferStart(builder)
        if start is not None:
            schema.BufferAddData(builder, start)
        return schema.BufferEnd(builder)


def with_metadata(content: bytes, text: str, description: str) -> bytes:
    """A TFLite file that carries a text under `METADATA_NAME`, and a one-line description.

    Interpreters ignore metadata that they do not know.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = parse(content)
    model.description = description
    model.buffers.append(schema.BufferT(data=np.frombuffer(text.encode(), np.uint8)))
    entry = schema.MetadataT(name=METADATA_NAME, buffer=len(model.buffers) - 1)
    model.metadata = [*(model.metadata or []), entry]
    return pack(model)


def join(first: bytes, second: bytes) -> bytes:
    """Two TFLite files as one: the outputs of the first are the inputs of the second, by name.

    Args:
        first: its one signature's outputs have the names of the inputs of the second's.
        second: likewise of one signature and one subgraph.

    Returns:
        A file with the first's signature, but the second's outputs.
    """
    model, tail = parse(first), parse(second)
    (graph,), (tail_graph,) = model.subgraphs, tail.subgraphs
    (signature,), (tail_signature,) = model.signatureDefs, tail.signatureDefs
    made = {_text(out.name): out.tensorIndex for out in signature.outputs}
    place = {given.tensorIndex: made[_text(given.name)] for given in tail_signature.inputs}

    buffers, operators = len(model.buffers), len(model.operatorCodes)
    model.buffers += tail.buffers
    model.operatorCodes += tail.operatorCodes
    for index, tensor in enumerate(tail_graph.tensors):
        if index in place:
            continue
        tensor.buffer += buffers if tensor.buffer else 0  # 0 means "no data"
        place[index] = len(graph.tensors)
        graph.tensors.append(tensor)
    place[-1] = -1  # an argument that is left out
    for operator in tail_graph.operators:
        operator.opcodeIndex += operators
        operator.inputs = [place[int(i)] for i in operator.inputs]
        operator.outputs = [place[int(i)] for i in operator.outputs]
        graph.operators.append(operator)
    graph.outputs = [place[int(i)] for i in tail_graph.outputs]
    for out in tail_signature.outputs:
        out.tensorIndex = place[out.tensorIndex]
    signature.outputs = tail_signature.outputs
    return pack(model)


def float_operators(content: bytes) -> dict[str, int]:
    """How many operators of each kind compute in float; of a full 8-bit file there are none.

    Operators that change float to 8 bits or back are not counted: what stands between two of them is.
    """
    from ai_edge_litert import schema_py_generated as schema

    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if name.isupper()}
    model = parse(content)
    found: collections.Counter[str] = collections.Counter()
    for graph in model.subgraphs:
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            name = names[max(code.builtinCode, code.deprecatedBuiltinCode)]
            touched = [
                graph.tensors[int(i)] for i in (*operator.inputs, *operator.outputs) if i >= 0
            ]
            is_float = any(tensor.type == schema.TensorType.FLOAT32 for tensor in touched)
            if is_float and name not in _BORDER:
                found[name] += 1
    return dict(sorted(found.items()))


def change_operator(content: bytes, old: str, new: str) -> bytes:
    """A TFLite file in which one operator without weights stands in the place of another.

    Args:
        content: the file.
        old: name of the operator that goes, ELU or LEAKY_RELU.
        new: name of the one that comes.
    """
    from ai_edge_litert import schema_py_generated as schema

    before, after = (getattr(schema.BuiltinOperator, name) for name in (old, new))
    model = parse(content)
    codes = [max(c.builtinCode, c.deprecatedBuiltinCode) for c in model.operatorCodes]
    changed = {index for index, code in enumerate(codes) if code == before}
    for index in changed:
        code = model.operatorCodes[index]
        code.builtinCode = code.deprecatedBuiltinCode = after
        code.version = 1
    for operator in (o for graph in model.subgraphs for o in graph.operators):
        if operator.opcodeIndex not in changed:
            continue
        operator.builtinOptionsType, operator.builtinOptions = 0, None
        if new == "LEAKY_RELU":
            operator.builtinOptionsType = schema.BuiltinOptions.LeakyReluOptions
            operator.builtinOptions = schema.LeakyReluOptionsT(alpha=0.1)
    return pack(model)


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name
