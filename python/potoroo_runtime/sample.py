"""Data to try a model with: made from its input schema, the same every time."""

from __future__ import annotations

from typing import Any, Mapping, Optional

import numpy as np
import pyarrow as pa

from .columns import to_arrow
from .schema import shape_of, type_of

#: Length of a list whose schema leaves the length open.
OPEN_LENGTH = 4


def _leaves(leaf: pa.DataType, count: int, random: Optional[np.random.Generator]) -> Any:
    if pa.types.is_boolean(leaf):
        return np.zeros(count, dtype=bool) if random is None else random.random(count) < 0.5
    if pa.types.is_integer(leaf):
        return np.ones(count, dtype=np.int64) if random is None else random.integers(0, 10, count)
    if pa.types.is_floating(leaf):
        return np.full(count, 0.5) if random is None else random.normal(0.0, 2.0, count)
    if pa.types.is_timestamp(leaf):
        return np.zeros(count, dtype="datetime64[ms]")
    if pa.types.is_struct(leaf):
        return [{leaf.field(i).name: _column(leaf.field(i).type, 1, random).to_pylist()[0] for i in range(leaf.num_fields)} for _ in range(count)]
    return ["warm-up"] * count


def _column(kind: pa.DataType, rows: int, random: Optional[np.random.Generator]) -> pa.Array:
    shape, leaf = shape_of(kind)
    sizes = [OPEN_LENGTH if size < 0 else size for size in shape]
    count = rows
    for size in sizes:
        count *= size
    values = np.asarray(_leaves(leaf, count, random), dtype=object if pa.types.is_struct(leaf) or pa.types.is_string(leaf) else None)
    values = values.reshape([rows, *sizes])
    # The shape, not the declared type: an open length takes the length used here.
    return to_arrow(values, kind if values.dtype == object else type_of(leaf, shape), "sample", "input")


def sample(schema: pa.Schema, rows: int = 1, seed: Optional[int] = None, values: Optional[Mapping[str, Any]] = None) -> pa.Table:
    """`rows` rows. Without a seed constants (0.5, 1, "warm-up"), with one random values. `values` sets a column, one value for all rows."""
    random = None if seed is None else np.random.default_rng(seed)
    arrays = []
    for field in schema:
        if values is not None and field.name in values:
            arrays.append(to_arrow(pa.array([values[field.name]] * rows), field.type, field.name, "input"))
        else:
            arrays.append(_column(field.type, rows, random))
    return pa.Table.from_arrays(arrays, names=schema.names)
