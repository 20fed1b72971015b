"""Input and output schemas: the contract's fields and Arrow schemas, one as the other."""

from __future__ import annotations

import base64
from typing import Any, List, Optional

import pyarrow as pa

from .errors import ModelError

_LEAVES = {
    "bool": pa.bool_(), "int8": pa.int8(), "int16": pa.int16(), "int32": pa.int32(), "int64": pa.int64(), "uint8": pa.uint8(),
    "uint16": pa.uint16(), "uint32": pa.uint32(), "uint64": pa.uint64(), "float16": pa.float16(), "float32": pa.float32(),
    "float64": pa.float64(), "string": pa.string(), "timestamp": pa.timestamp("ms"),
}
_NAMES = {leaf: name for name, leaf in _LEAVES.items()}


def is_fixed(kind: pa.DataType) -> bool:
    return pa.types.is_fixed_size_list(kind)


def is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind)


def shape_of(kind: pa.DataType) -> tuple:
    """(shape of one row, leaf type): -1 stands for a length that the type leaves open."""
    shape = []
    while is_fixed(kind) or is_list(kind):
        shape.append(kind.list_size if is_fixed(kind) else -1)
        kind = kind.value_type
    return tuple(shape), kind


def type_of(leaf: pa.DataType, shape: Any) -> pa.DataType:
    for size in reversed(tuple(shape)):
        leaf = pa.list_(leaf) if size < 0 else pa.list_(leaf, size)
    return leaf


def read_schema(given: Any, which: str) -> Optional[pa.Schema]:
    """From a configuration: null, a list of the contract's fields, or base64 of an Arrow schema message."""
    if given is None:
        return None
    if isinstance(given, str):
        try:
            return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(given, validate=True))).remove_metadata()
        except (ValueError, pa.ArrowException, OSError) as error:
            raise ModelError("schema_mismatch", f"The {which} schema is not an Arrow schema message: {error}.") from None
    return pa.schema([pa.field(field["name"], _type_of_field(field, which)) for field in given])


def _type_of_field(field: dict, which: str) -> pa.DataType:
    if field.get("fields"):
        leaf = pa.struct([(inner["name"], _type_of_field(inner, which)) for inner in field["fields"]])
    else:
        leaf = _LEAVES.get(field["type"])
    if leaf is None:
        raise ModelError("schema_mismatch", f"The {which} schema's field {field['name']!r} has the type {field['type']!r}; use one of {', '.join(_LEAVES)}.")
    return type_of(leaf, field["shape"])


def to_fields(schema: Optional[pa.Schema]) -> Optional[List[dict]]:
    """The contract's fields. Columns that they cannot express (dates) are left out; the Arrow schema has them."""
    if schema is None:
        return None
    fields = []
    for field in schema:
        shape, leaf = shape_of(field.type)
        if pa.types.is_struct(leaf):
            inner = to_fields(pa.schema([leaf.field(i) for i in range(leaf.num_fields)]))
            fields.append({"name": field.name, "type": "string", "shape": list(shape), "fields": inner})
            continue
        if pa.types.is_timestamp(leaf):
            leaf = pa.timestamp("ms")
        name = "string" if pa.types.is_large_string(leaf) else _NAMES.get(leaf)
        if name is not None:
            fields.append({"name": field.name, "type": name, "shape": list(shape)})
    return fields
