"""MLflow models: a zip of the folder that `save_model` writes. They run through `mlflow.pyfunc`, whatever flavor made them."""

from __future__ import annotations

from typing import Any, Callable, List, Mapping, Optional

from ..errors import ModelError
from ..framework import Framework

INPUT, OUTPUT = "inputs", "predictions"
_TYPES = {"boolean": "bool", "integer": "int32", "long": "int64", "float": "float32", "double": "float64"}


def _leaf(name: Any) -> Any:
    import pyarrow as pa

    if name in _TYPES:
        return pa.from_numpy_dtype(_TYPES[name]) if name != "boolean" else pa.bool_()
    return {"string": pa.string(), "datetime": pa.timestamp("ms")}.get(name)


def _arrow(kind: Any) -> Any:
    """Of a column's type, None for what no column here can be."""
    import pyarrow as pa

    leaf = _leaf(getattr(kind, "name", None))
    if leaf is not None:
        return leaf
    if hasattr(kind, "properties"):
        fields = [(inner.name, _arrow(inner.dtype)) for inner in kind.properties]
        return pa.struct(fields) if all(inner is not None for _, inner in fields) else None
    if hasattr(kind, "dtype"):
        inner = _arrow(kind.dtype)
        return None if inner is None else pa.list_(inner)
    return None


def _tensor(spec: Any) -> Any:
    import pyarrow as pa

    from ..schema import type_of

    if not spec.shape or spec.shape[0] != -1:
        return None
    leaf = pa.string() if spec.type.kind in "USO" else pa.from_numpy_dtype(spec.type)
    return type_of(leaf, spec.shape[1:])


def _names(specs: List[Any], default: str) -> List[str]:
    return [spec.name or (default if len(specs) == 1 else f"{default}_{i}") for i, spec in enumerate(specs)]


def _schema(signature: Any, default: str) -> Any:
    """The Arrow schema of a side of the signature; None where there is none, or it has what no column here can be."""
    import pyarrow as pa

    if signature is None or not signature.inputs:
        return None
    specs = list(signature.inputs)
    kinds = [_tensor(spec) if signature.is_tensor_spec() else _arrow(spec.type) for spec in specs]
    if any(kind is None for kind in kinds):
        return None
    return pa.schema(list(zip(_names(specs, default), kinds)))


def _cast(values: Any, kind: str, name: str) -> Any:
    """To what the signature wants, which the model would refuse otherwise. Whole numbers have to be whole."""
    import numpy as np

    if str(values.dtype) == kind:
        return values
    cast = values.astype(kind)
    if np.dtype(kind).kind in "iub" and values.dtype.kind in "fiu" and not (cast == values).all():
        raise ModelError("value_out_of_range", f"The input field {name!r} has values that do not fit the {kind} of the model's signature.")
    return cast


def _tensors(inputs: Any, specs: List[Any]) -> Any:
    arrays = inputs.arrays()
    if len(specs) == 1:
        spec = specs[0]
        array = arrays[spec.name] if spec.name in arrays else inputs.matrix()
        shape = [len(array), *spec.shape[1:]]
        if shape.count(-1) < 2:
            try:
                array = array.reshape(shape)
            except ValueError:
                raise ModelError("schema_mismatch", f"The rows have the shape {list(array.shape[1:])}; the model's signature wants {list(spec.shape[1:])}.") from None
        array = _cast(array, spec.type.name, spec.name or INPUT) if spec.type.kind in "biuf" else array
        return array if spec.name is None else {spec.name: array}
    by_name = all(spec.name in arrays for spec in specs)
    if not by_name and len(arrays) != len(specs):
        raise ModelError("schema_mismatch", f"There are {len(arrays)} columns and the model's signature has {len(specs)} inputs: {', '.join(_names(specs, INPUT))}.")
    given = [arrays[spec.name] for spec in specs] if by_name else list(arrays.values())
    return {name: _cast(array, spec.type.name, name) if spec.type.kind in "biuf" else array for name, spec, array in zip(_names(specs, INPUT), specs, given)}


def _frame(inputs: Any, specs: List[Any]) -> Any:
    """The columns of the signature by their names, or one wide column cut into as many."""
    import pandas

    there = inputs.table.column_names
    names = [spec.name for spec in specs]
    wanted = [spec for spec in specs if spec.name in there or getattr(spec, "required", True)]
    if all(spec.name in there for spec in wanted):
        frame = inputs.frame()[[spec.name for spec in wanted]]
    else:
        missing = [name for name in names if name not in there]
        matrix = inputs.matrix() if len(there) == 1 or all(name is None for name in names) else None
        if matrix is None or matrix.shape[1] != len(names):
            raise ModelError("schema_mismatch", f"The input field {missing[0]!r} of the model's signature is missing; there {'is' if len(there) == 1 else 'are'} {', '.join(map(repr, there))}.")
        frame = pandas.DataFrame(matrix, columns=None if names[0] is None else names)
        wanted = specs
    for column, spec in zip(list(frame.columns), wanted):
        kind = _TYPES.get(getattr(spec.type, "name", ""))
        if kind is not None:
            frame[column] = _cast(frame[column].to_numpy(), kind, str(column))
    return frame


def _given(signature: Any) -> Callable:
    if signature is None or not signature.inputs:
        def plain(inputs: Any) -> Any:
            arrays = inputs.arrays()
            first = next(iter(arrays.values()))
            return first if len(arrays) == 1 and first.ndim > 1 else inputs.frame()
        return plain
    specs = list(signature.inputs)
    return (lambda inputs: _tensors(inputs, specs)) if signature.is_tensor_spec() else (lambda inputs: _frame(inputs, specs))


def _columns(answer: Any, outputs: Optional[Any]) -> Mapping[str, Any]:
    """What a model may return, by name: where its names are not those of the schema, in the schema's order."""
    import numpy as np

    from ..inputs import named

    if answer is None:
        raise ModelError("inference_failed", "The model returned nothing; it must return one value for each row.")
    if hasattr(answer, "columns") and hasattr(answer, "iloc"):
        return named({str(name): answer[name] for name in answer.columns}, outputs, OUTPUT)
    if isinstance(answer, Mapping):
        return named({str(name): value for name, value in answer.items()}, outputs, OUTPUT)
    if isinstance(answer, list) and answer and all(isinstance(row, Mapping) for row in answer):
        return named({str(name): [row.get(name) for row in answer] for name in answer[0]}, outputs, OUTPUT)
    if hasattr(answer, "toarray"):
        answer = answer.toarray()
    if isinstance(answer, np.ndarray) and answer.ndim == 2 and outputs is not None and len(outputs.names) == answer.shape[1] > 1:
        return {name: answer[:, i] for i, name in enumerate(outputs.names)}
    return named([answer], outputs, OUTPUT)


def warm_up(context: Any) -> Mapping[str, Any]:
    """Ones for floats: what a signature wants as whole numbers has to be whole."""
    import numpy as np
    import pyarrow as pa

    from ..schema import shape_of

    shapes = {field.name: shape_of(field.type) for field in context.inputs}
    return {name: np.ones(shape).tolist() for name, (shape, leaf) in shapes.items() if pa.types.is_floating(leaf) and -1 not in shape}


def load(context: Any) -> Callable:
    if not (context.path / "MLmodel").is_file():
        raise ModelError("model_invalid", "The archive has no file MLmodel at its top. Zip the folder that MLflow's save_model wrote, with nothing around it.")
    try:
        import mlflow.pyfunc
    except ModuleNotFoundError as error:
        raise ModelError("model_invalid", f"MLflow cannot be loaded without the package {error.name!r}. Name it in the model's requirements.") from error

    model = mlflow.pyfunc.load_model(str(context.path))
    taken, given = model.metadata.get_input_schema(), model.metadata.get_output_schema()
    context.inputs = context.inputs if context.inputs is not None else _schema(taken, INPUT)
    context.outputs = context.outputs if context.outputs is not None else _schema(given, OUTPUT)
    feed = _given(taken)
    return lambda inputs: _columns(model.predict(feed(inputs)), context.outputs)


FRAMEWORK = Framework(
    names=("mlflow",),
    load=load,
    archive="always",
    # A model may do anything with its rows, and refuse made-up ones.
    aligned=False,
    lenient=True,
    warm_up=warm_up,
    # The folder's own requirements come beside and before these; what the runtime itself needs is as new as they let it be.
    requirements=(
        "mlflow-skinny==3.17.2; python_version >= '3.10'",
        "mlflow-skinny==3.1.4; python_version < '3.10'",
        "numpy",
        "pandas",
        "pyarrow>=14",
    ),
)
