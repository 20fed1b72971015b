"""The rows of one request, in the form that a framework wants."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional

import numpy as np
import pyarrow as pa

from .columns import conform_table, direct, to_numpy
from .errors import ModelError
from .schema import is_fixed, is_list


class Inputs:
    """With a schema the rows are held to it when this is made: ModelError for what does not fit."""

    def __init__(self, table: pa.Table, schema: Optional[pa.Schema] = None) -> None:
        self._given = table
        self._first, self._rows = 0, table.num_rows
        self._schema = schema
        self._names = table.schema.names if schema is None else schema.names
        self._table: Optional[pa.Table] = table if schema is None else None
        self._arrays: Optional[Dict[str, np.ndarray]] = None if schema is None else _direct(table, schema)
        if self._arrays is None:
            self._table = conform_table(table, schema)

    def part(self, first: int, rows: int) -> "Inputs":
        """Some of the rows, of what was held to the schema already."""
        part = object.__new__(Inputs)
        part._schema, part._rows, part._names = self._schema, rows, self._names
        part._given, part._table = self._given, None if self._table is None else self._table.slice(first, rows)
        part._first = self._first + first
        part._arrays = None if self._arrays is None else {name: array[first : first + rows] for name, array in self._arrays.items()}
        return part

    @property
    def table(self) -> pa.Table:
        if self._table is None:
            self._table = conform_table(self._given.slice(self._first, self._rows), self._schema)
        return self._table

    @property
    def rows(self) -> int:
        return self._rows

    @property
    def names(self) -> list:
        return self._names

    def arrays(self) -> Dict[str, np.ndarray]:
        """One array per column, rows first."""
        if self._arrays is None:
            self._arrays = {name: to_numpy(column) for name, column in zip(self.table.column_names, self.table.columns)}
        return self._arrays

    def lists(self) -> Dict[str, list]:
        """One list per column, of plain Python values."""
        return {name: to_numpy(column).tolist() if _numeric(column.type) else column.to_pylist() for name, column in zip(self.table.column_names, self.table.columns)}

    def records(self) -> list:
        columns = self.lists()
        return [dict(zip(columns, row)) for row in zip(*columns.values())]

    def frame(self) -> Any:
        """A pandas DataFrame; cells of list columns are lists."""
        import pandas

        alike = self._alike()
        if alike is not None:
            return pandas.DataFrame(alike, columns=self._index(pandas), copy=False)
        arrays = {}
        for name, column in zip(self.table.column_names, self.table.columns):
            if pa.types.is_nested(column.type):
                cells = np.empty(len(column), dtype=object)
                cells[:] = self.arrays()[name].tolist() if _numeric(column.type) else column.to_pylist()
                arrays[name] = cells
            else:
                arrays[name] = self.arrays()[name] if _numeric(column.type) else column.to_pandas()
        return pandas.DataFrame(arrays, copy=False)

    def _alike(self) -> Optional[np.ndarray]:
        """Numbers of one type, one a row: all columns as one block of memory, which is how pandas wants them."""
        if self._schema is None or self._table is not None or not self._arrays:
            return None
        arrays = list(self._arrays.values())
        kind = arrays[0].dtype
        if any(array.ndim != 1 or array.dtype != kind for array in arrays):
            return None
        block = np.empty((len(arrays), len(arrays[0])), dtype=kind)
        for row, array in zip(block, arrays):
            row[:] = array
        return block.T

    def _index(self, pandas: Any) -> Any:
        """The names as pandas keeps them, made once for each schema: they never change."""
        known = _INDEXES.get(id(self._schema))
        if known is None or known[0] is not self._schema:
            if len(_INDEXES) > 8:
                _INDEXES.clear()
            known = _INDEXES[id(self._schema)] = (self._schema, pandas.Index(self.names))
        return known[1]

    def matrix(self) -> np.ndarray:
        """All columns side by side as one matrix, in the schema's order: what tabular models take."""
        parts = []
        for name, array in self.arrays().items():
            if array.dtype == object and not all(isinstance(value, str) for value in array.flat):
                raise ModelError("schema_mismatch", f"The input field {name!r} has rows of differing length; a matrix needs rows of one length.")
            parts.append(array.reshape(len(array), -1))
        return parts[0] if len(parts) == 1 else np.hstack(parts)


#: By the schema's id: the schema and its names as a pandas index.
_INDEXES: Dict[int, tuple] = {}


def _direct(table: pa.Table, schema: pa.Schema) -> Optional[Dict[str, np.ndarray]]:
    arrays = {}
    for field in schema:
        at = table.schema.get_field_index(field.name)
        array = direct(table.column(at), field.type) if at >= 0 else None
        if array is None:
            return None
        arrays[field.name] = array
    return arrays or None


def _numeric(kind: pa.DataType) -> bool:
    while is_fixed(kind) or is_list(kind):
        kind = kind.value_type
    return pa.types.is_primitive(kind) and not pa.types.is_temporal(kind)


def named(values: Any, schema: Optional[pa.Schema], default: str = "output") -> Mapping[str, Any]:
    """A model's outputs by name. Where the model has other names (or none) than the schema, in the schema's order."""
    if isinstance(values, Mapping):
        if schema is None or all(name in values for name in schema.names):
            return values
        values = list(values.values())
    if not isinstance(values, (list, tuple)):
        values = [values]
    names = schema.names if schema is not None else [default] if len(values) == 1 else [f"{default}_{i}" for i in range(len(values))]
    if len(values) < len(names):
        raise ModelError("schema_mismatch", f"The output field {names[len(values)]!r} is missing: the model has {len(values)} outputs and the schema {len(names)} fields.")
    return dict(zip(names, values))
