"""Gives a converted ONNX model the inputs and outputs that its schemas declare: their names, types and shapes."""

from __future__ import annotations

from typing import Any, List, Optional, Sequence

import numpy as np
import pyarrow as pa

from .errors import ModelError
from .schema import shape_of

#: What the engine's ONNX Runtime is sure to read.
IR_VERSION = 8


def _why_not(text: str) -> ModelError:
    return ModelError("model_unsupported", text)


def input_width(inputs: Optional[pa.Schema]) -> int:
    """Columns of the matrix that the input fields make, side by side."""
    if inputs is None:
        raise _why_not("The model has no input schema, and a conversion needs to know the inputs' shapes.")
    return sum(int(np.prod(_sizes(field), dtype=np.int64)) for field in inputs)


def wants_double(inputs: Optional[pa.Schema]) -> bool:
    return inputs is not None and all(pa.types.is_float64(shape_of(field.type)[1]) for field in inputs)


def _sizes(field: pa.Field) -> Sequence[int]:
    shape = shape_of(field.type)[0]
    if any(size < 0 for size in shape):
        raise _why_not(f"The field {field.name!r} has a length that its schema leaves open, and an ONNX tensor needs one length for all rows. Declare the list_size.")
    return shape


def onnx_type(leaf: pa.DataType, name: str) -> int:
    from onnx import TensorProto

    kinds = {
        pa.float16(): TensorProto.FLOAT16, pa.float32(): TensorProto.FLOAT, pa.float64(): TensorProto.DOUBLE, pa.int8(): TensorProto.INT8, pa.int16(): TensorProto.INT16,
        pa.int32(): TensorProto.INT32, pa.int64(): TensorProto.INT64, pa.uint8(): TensorProto.UINT8, pa.uint16(): TensorProto.UINT16, pa.uint32(): TensorProto.UINT32,
        pa.uint64(): TensorProto.UINT64, pa.bool_(): TensorProto.BOOL, pa.string(): TensorProto.STRING,
    }
    if leaf not in kinds:
        raise _why_not(f"The field {name!r} has elements of type {leaf}, which ONNX does not have.")
    return kinds[leaf]


def _rename(graph: Any, old: str, new: str) -> None:
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]
    for value in [*graph.input, *graph.output]:
        if value.name == old:
            value.name = new


def fit(model: Any, inputs: pa.Schema, outputs: pa.Schema, chosen: Sequence[str], matrix: bool) -> Any:
    """`chosen`: the graph's output for each field of `outputs`. `matrix`: the graph has one input, [rows, all fields' values
    side by side]; otherwise one input a field, in the schema's order, or by its name."""
    from onnx import TensorProto, checker, helper, numpy_helper

    graph = model.graph
    constants: List[Any] = []
    before: List[Any] = []
    after: List[Any] = []

    def shape_constant(name: str, values: Sequence[int]) -> str:
        constants.append(numpy_helper.from_array(np.asarray(values, dtype=np.int64), name))
        return name

    named = {value.name: value for value in graph.input if value.name not in {c.name for c in graph.initializer}}
    own = list(named.values())
    if not matrix and set(named) == set(inputs.names):
        own = [named[name] for name in inputs.names]
    if len(own) != (1 if matrix else len(inputs)):
        raise _why_not(f"The converted model has {len(own)} inputs and the input schema {len(inputs)} fields.")
    for i, value in enumerate(own):
        _rename(graph, value.name, f"potoroo_in_{i}")
    parts: List[str] = []
    fresh = []
    for i, field in enumerate(inputs):
        shape, leaf = _sizes(field), shape_of(field.type)[1]
        fresh.append(helper.make_tensor_value_info(field.name, onnx_type(leaf, field.name), ["rows", *shape]))
        wanted = own[0 if matrix else i].type.tensor_type
        target = f"potoroo_in_{i}" if not matrix or len(inputs) == 1 else f"potoroo_part_{i}"
        dims = [dim.dim_value for dim in wanted.shape.dim][1:]
        last = field.name
        if wanted.elem_type != onnx_type(leaf, field.name):
            before.append(helper.make_node("Cast", [last], [f"{target}_cast"], to=wanted.elem_type))
            last = f"{target}_cast"
        sizes = [int(np.prod(shape, dtype=np.int64))] if matrix else dims if dims and all(d > 0 for d in dims) else list(shape)
        before.append(helper.make_node("Reshape", [last, shape_constant(f"{target}_shape", [-1, *sizes])], [target]))
        parts.append(target)
    if matrix and len(inputs) > 1:
        before.append(helper.make_node("Concat", parts, ["potoroo_in_0"], axis=1))

    made = []
    for i, (field, source) in enumerate(zip(outputs, chosen)):
        leaf = onnx_type(shape_of(field.type)[1], field.name)
        last = f"potoroo_out_{i}"
        after.append(helper.make_node("Identity", [source], [last]))
        if leaf != TensorProto.STRING:  # always: what converters declare is not always what comes out
            after.append(helper.make_node("Cast", [last], [f"{last}_cast"], to=leaf))
            last = f"{last}_cast"
        after.append(helper.make_node("Reshape", [last, shape_constant(f"{last}_shape", [-1, *_sizes(field)])], [field.name]))
        made.append(helper.make_tensor_value_info(field.name, leaf, ["rows", *_sizes(field)]))
    taken = {name for node in graph.node for name in [*node.input, *node.output]} | {constant.name for constant in graph.initializer}
    for field in [*inputs, *outputs]:
        if field.name in taken:  # the graph's own name for something else
            _rename(graph, field.name, f"potoroo_own_{field.name}")
            for node in after:
                node.input[:] = [f"potoroo_own_{field.name}" if name == field.name else name for name in node.input]
            for constant in graph.initializer:
                if constant.name == field.name:
                    constant.name = f"potoroo_own_{field.name}"
    clash = set(inputs.names) & set(outputs.names)
    if clash:
        raise _why_not(f"The field {sorted(clash)[0]!r} is both an input and an output, which an ONNX graph cannot have.")
    fitted = helper.make_graph([*before, *graph.node, *after], "model", fresh, made, [*graph.initializer, *constants], value_info=[])
    imports = list(model.opset_import)
    if not any(entry.domain in ("", "ai.onnx") for entry in imports):
        imports.append(helper.make_opsetid("", 15))
    done = helper.make_model(fitted, opset_imports=imports, functions=model.functions, producer_name="potoroo")
    done.ir_version = min(model.ir_version, IR_VERSION) or IR_VERSION
    checker.check_model(done)
    return done
