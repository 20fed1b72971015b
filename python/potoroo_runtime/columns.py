"""Arrow columns as numpy arrays, and what models return as Arrow columns of the declared types."""

from __future__ import annotations

from typing import Any, Iterable, Mapping, Optional

import numpy as np
import pyarrow as pa

from .errors import ModelError
from .schema import is_fixed, is_list, shape_of, type_of

_NO_NULLS = "null_not_allowed"


def _one(column: Any) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    return column


def to_numpy(column: Any) -> np.ndarray:
    """Rows first. Lists of one length become dimensions; others an object array of arrays. Strings and records: objects."""
    array = _one(column)
    sizes = [len(array)]
    while True:
        kind = array.type
        if is_fixed(kind):
            size = kind.list_size
            array = array.flatten()
        elif is_list(kind) and array.null_count == 0:
            offsets = array.offsets.to_numpy()
            lengths = np.diff(offsets)
            size = int(lengths[0]) if len(lengths) else 0
            if not (lengths == size).all():
                break
            array = array.flatten()
        else:
            break
        sizes.append(size)
    if is_list(array.type):
        flat = np.empty(len(array), dtype=object)
        for i in range(len(array)):
            item = array[i].values
            flat[i] = to_numpy(item) if item is not None else None
    elif pa.types.is_struct(array.type) or pa.types.is_nested(array.type):
        flat = np.empty(len(array), dtype=object)
        flat[:] = array.to_pylist()
    else:
        flat = array.to_numpy(zero_copy_only=False)
    return flat.reshape(sizes)


def direct(column: Any, kind: pa.DataType) -> Optional[np.ndarray]:
    """The column as `to_numpy` gives it, without a copy, where it is numbers of the declared type in rows of the declared
    lengths; lists of any and of fixed length count as the same. None for everything else."""
    array = _one(column)
    sizes = [len(array)]
    while is_fixed(kind):
        if array.null_count:
            return None
        size, own = kind.list_size, array.type
        if is_fixed(own):
            if own.list_size != size:
                return None
        elif pa.types.is_list(own):
            offsets = array.offsets.to_numpy()
            if len(array) > 0 and not (np.diff(offsets) == size).all():
                return None
        else:
            return None
        array, kind = array.flatten(), kind.value_type
        sizes.append(size)
    if array.type != kind or array.null_count or not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return None
    return array.to_numpy().reshape(sizes)


def plain(value: Any) -> Any:
    """Lists, dictionaries and scalars that Arrow reads, whatever arrays a model put inside."""
    if isinstance(value, np.ndarray):
        return plain(value.tolist()) if value.dtype == object else value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    if hasattr(value, "detach"):
        return value.detach().cpu().tolist()
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return value


def _array_of(value: Any) -> Any:
    """A numpy array where the value is one or easily becomes one; else the value itself."""
    if isinstance(value, (np.ndarray, list)):
        return value
    if hasattr(value, "to_numpy"):
        return value.to_numpy()
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    if hasattr(value, "numpy"):
        value = value.numpy()
    elif hasattr(value, "toarray"):
        value = value.toarray()
    return value


def _nested(flat: pa.Array, sizes: Iterable[int], kind: pa.DataType, rows: int) -> pa.Array:
    """`flat` values as rows of `kind`; `sizes` are the lengths of the dimensions after the rows."""
    sizes = list(sizes)
    kinds = []
    for _ in sizes:
        kinds.append(kind)
        kind = kind.value_type
    counts = [rows]
    for size in sizes:
        counts.append(counts[-1] * size)
    array = flat
    for size, level, count in zip(reversed(sizes), reversed(kinds), reversed(counts[:-1])):
        if is_fixed(level):
            array = pa.FixedSizeListArray.from_arrays(array, size) if size else pa.array([[]] * count, level)
        else:
            large = pa.types.is_large_list(level)
            offsets = pa.array(np.arange(count + 1, dtype=np.int64 if large else np.int32) * size)
            array = (pa.LargeListArray if large else pa.ListArray).from_arrays(offsets, array)
    return array


def _mismatch(which: str, name: str, text: str) -> ModelError:
    return ModelError("schema_mismatch", f"The {which} field {name!r} {text}.")


def _cast(flat: pa.Array, leaf: pa.DataType, name: str, which: str) -> pa.Array:
    """To the declared element type. Floats are rounded to a narrower float; everything else must keep its value."""
    if flat.type == leaf:
        return flat
    try:
        if pa.types.is_boolean(leaf) and pa.types.is_floating(flat.type):
            return flat.cast(pa.int8()).cast(leaf)
        return flat.cast(leaf, safe=not (pa.types.is_floating(flat.type) and pa.types.is_floating(leaf)))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        code = "value_out_of_range" if pa.types.is_primitive(flat.type) else "schema_mismatch"
        reason = str(error).split("\n")[0].rstrip(".")
        raise ModelError(code, f"The {which} field {name!r} is declared {leaf} and the values are {flat.type}: {reason}.") from None


def to_arrow(value: Any, kind: Optional[pa.DataType], name: str, which: str = "output") -> pa.Array:
    """One column of `kind`, or of the type that the values have. Raises `schema_mismatch` or `value_out_of_range` naming the field."""
    if isinstance(value, (pa.Array, pa.ChunkedArray)):
        array = _one(value)
        if kind is None or array.type == kind:
            return array
        value = to_numpy(array)
    value = _array_of(value)
    if isinstance(value, (list, tuple)) and value and isinstance(value[0], (np.ndarray, np.generic, bool, int, float)):
        try:
            value = np.asarray(value)
        except ValueError:
            pass  # rows of differing length
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biufM":
        return _from_plain(plain(value), kind, name, which)
    if value.ndim == 0:
        value = value.reshape(1)
    shape, leaf = shape_of(kind) if kind is not None else (value.shape[1:], None)
    rows, own = value.shape[0], value.shape[1:]
    if len(own) != len(shape) and _size(own) == _size(shape) and own.count(1) + shape.count(1) >= abs(len(own) - len(shape)):
        own = shape  # (n, 1) for a scalar, (n,) for a list of one: the same values
    if len(own) != len(shape) or any(want >= 0 and want != have for want, have in zip(shape, own)):
        raise _mismatch(which, name, f"is declared {kind} and the values have the shape {list(own)} a row; it must be {['any' if s < 0 else s for s in shape]}")
    flat = pa.array(np.ascontiguousarray(value).reshape(-1))
    flat = flat if leaf is None else _cast(flat, leaf, name, which)
    return _nested(flat, own, kind if kind is not None else type_of(flat.type, own), rows)


def _size(shape: tuple) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def _from_plain(value: Any, kind: Optional[pa.DataType], name: str, which: str) -> pa.Array:
    if not isinstance(value, list):
        value = [value]
    try:
        array = pa.array(value) if kind is None else pa.array(value, kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError, TypeError, ValueError) as error:
        reason = str(error).split("\n")[0].rstrip(".")
        raise _mismatch(which, name, f"is declared {kind} and the values do not fit: {reason}" if kind is not None else f"has values of no one type: {reason}") from None
    if array.null_count and which == "input":
        raise ModelError(_NO_NULLS, f"The {which} field {name!r} has null at row {array.is_null().index(True).as_py()}. Send a value for every row.")
    return array


def conform(columns: Mapping[str, Any], schema: Optional[pa.Schema], which: str, rows: Optional[int] = None) -> pa.RecordBatch:
    """A batch of the schema's columns in its order; columns it does not name are dropped. `rows`: how many there must be."""
    if schema is None:
        arrays = {name: to_arrow(value, None, name, which) for name, value in columns.items()}
    else:
        arrays = {}
        for field in schema:
            if field.name not in columns:
                raise ModelError("schema_mismatch", f"The {which} field {field.name!r} is missing; there {'is' if len(columns) == 1 else 'are'} {', '.join(map(repr, columns)) or 'none'}.")
            arrays[field.name] = to_arrow(columns[field.name], field.type, field.name, which)
    if not arrays:
        raise ModelError("schema_mismatch", f"The {which} has no columns.")
    lengths = {name: len(array) for name, array in arrays.items()}
    wanted = rows if rows is not None else next(iter(lengths.values()))
    for name, length in lengths.items():
        if length != wanted:
            reason = f"the request has {wanted}" if rows is not None else f"{next(iter(lengths))!r} has {wanted}"
            raise ModelError("inference_failed" if which == "output" else "schema_mismatch", f"The {which} field {name!r} has {length} rows and {reason}.")
    if schema is None:
        return pa.RecordBatch.from_arrays(list(arrays.values()), names=list(arrays))
    return pa.RecordBatch.from_arrays(list(arrays.values()), schema=schema)


def conform_table(table: pa.Table, schema: Optional[pa.Schema]) -> pa.Table:
    """The request's columns as the input schema declares them."""
    if schema is None:
        return table
    same = table.schema.names == schema.names and all(a.type == b.type for a, b in zip(table.schema, schema))
    return table if same else pa.Table.from_batches([conform({name: table.column(name) for name in table.column_names}, schema, "input", table.num_rows)])
