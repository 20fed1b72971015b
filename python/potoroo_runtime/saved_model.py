"""TensorFlow SavedModels: found in an archive, their signature called by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Optional

import pyarrow as pa

from .errors import ModelError
from .schema import type_of


def folder_of(path: Path) -> Path:
    found = sorted(path.rglob("saved_model.pb"))
    if len(found) != 1:
        raise ModelError("model_invalid", f"The archive has {len(found)} files named saved_model.pb; it must have the folder of one SavedModel.")
    return found[0].parent


def signature_of(path: Path) -> Any:
    """The function `serving_default`, or the only one there is; it keeps its model alive."""
    import tensorflow as tf

    model = tf.saved_model.load(str(folder_of(path)))
    signatures = model.signatures
    name = "serving_default" if "serving_default" in signatures else next(iter(signatures), None)
    if name is None:
        raise ModelError("model_invalid", "The SavedModel has no signature. Save it with one: tf.saved_model.save(model, path, signatures=...).")
    function = signatures[name]
    function.potoroo_model = model
    return function


def specs(function: Any) -> dict:
    return dict(function.structured_input_signature[1])


def schema_of(tensors: dict) -> pa.Schema:
    """The schema of named tensors whose first dimension are the rows."""
    import numpy as np

    fields = []
    for name, spec in tensors.items():
        shape = [-1 if size is None else size for size in (spec.shape.as_list()[1:] if spec.shape.rank is not None else [])]
        leaf = pa.string() if spec.dtype.name == "string" else pa.from_numpy_dtype(np.dtype(spec.dtype.as_numpy_dtype))
        fields.append(pa.field(name, type_of(leaf, shape)))
    return pa.schema(fields)


def feeds(function: Any, inputs: Any) -> dict:
    """The columns as the signature's tensors: by name, or, where there is one of each, that one."""
    import tensorflow as tf

    wanted = specs(function)
    arrays = inputs.arrays()
    if len(wanted) == 1 and len(arrays) == 1:
        arrays = {next(iter(wanted)): next(iter(arrays.values()))}
    missing = [name for name in wanted if name not in arrays]
    if missing:
        raise ModelError("schema_mismatch", f"The SavedModel takes {', '.join(map(repr, wanted))}; the input field {missing[0]!r} is missing.")
    return {name: tf.constant(arrays[name].tolist() if arrays[name].dtype == object else arrays[name], dtype=spec.dtype) for name, spec in wanted.items()}


def values_of(answer: Any) -> Any:
    def one(tensor: Any) -> Any:
        array = tensor.numpy()
        if array.dtype != object:
            return array
        return [[item.decode() for item in row] if hasattr(row, "__len__") and not isinstance(row, bytes) else row.decode() for row in array]

    if isinstance(answer, dict):
        return {name: one(tensor) for name, tensor in answer.items()}
    return [one(tensor) for tensor in answer] if isinstance(answer, (list, tuple)) else one(answer)


def predictor(function: Any, outputs: Callable[[], Optional[pa.Schema]]) -> Callable:
    from .inputs import named

    return lambda inputs: named(values_of(function(**feeds(function, inputs))), outputs())
