"""The rows of one request, in the form that a framework wants."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional

import numpy as np
import pyarrow as pa

from .columns import to_numpy
from .errors import ModelError
from .schema import is_fixed, is_list


class Inputs:
    def __init__(self, table: pa.Table) -> None:
        self.table = table

    @property
    def rows(self) -> int:
        return self.table.num_rows

    def arrays(self) -> Dict[str, np.ndarray]:
        """One array per column, rows first."""
        return {name: to_numpy(column) for name, column in zip(self.table.column_names, self.table.columns)}

    def lists(self) -> Dict[str, list]:
        """One list per column, of plain Python values."""
        return {name: to_numpy(column).tolist() if _numeric(column.type) else column.to_pylist() for name, column in zip(self.table.column_names, self.table.columns)}

    def records(self) -> list:
        columns = self.lists()
        return [dict(zip(columns, row)) for row in zip(*columns.values())]

    def frame(self) -> Any:
        """A pandas DataFrame; cells of list columns are lists."""
        import pandas

        arrays = {}
        for name, column in zip(self.table.column_names, self.table.columns):
            if pa.types.is_nested(column.type):
                cells = np.empty(len(column), dtype=object)
                cells[:] = to_numpy(column).tolist() if _numeric(column.type) else column.to_pylist()
                arrays[name] = cells
            else:
                arrays[name] = to_numpy(column) if _numeric(column.type) else column.to_pandas()
        return pandas.DataFrame(arrays, copy=False)

    def matrix(self) -> np.ndarray:
        """All columns side by side as one matrix, in the schema's order: what tabular models take."""
        parts = []
        for name, array in self.arrays().items():
            if array.dtype == object and not all(isinstance(value, str) for value in array.flat):
                raise ModelError("schema_mismatch", f"The input field {name!r} has rows of differing length; a matrix needs rows of one length.")
            parts.append(array.reshape(len(array), -1))
        return parts[0] if len(parts) == 1 else np.hstack(parts)


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
