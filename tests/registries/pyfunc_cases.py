"""MLflow models of every shape of signature and answer, loaded by the Python runtime as an engine does."""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.types.schema import Array, Object, Property
from potoroo_runtime.errors import ModelError
from potoroo_runtime.model import Model

work = Path(tempfile.mkdtemp())
done = []


class Answers(mlflow.pyfunc.PythonModel):
    def __init__(self, answer):
        self.answer = answer

    def predict(self, context, model_input, params=None):
        return self.answer(model_input)


def packed(name, answer, inputs=None, outputs=None):
    folder = work / name
    signature = ModelSignature(inputs=inputs and Schema(inputs), outputs=outputs and Schema(outputs)) if inputs or outputs else None
    mlflow.pyfunc.save_model(str(folder), python_model=Answers(answer), signature=signature, pip_requirements=["mlflow"])
    return Path(shutil.make_archive(str(folder), "zip", folder))


def case(name, rows, expected, answer, inputs=None, outputs=None, declared=None, gives=None):
    """`expected`: the answer's columns, or the code and a word of the error."""
    from base64 import b64encode

    schema = lambda s: s and b64encode(s.serialize().to_pybytes()).decode()
    try:
        model = Model(packed(name, answer, inputs, outputs), "mlflow", {"fileName": "m.zip", "inputSchema": schema(declared), "outputSchema": schema(gives)}, work / f"{name}-work", lambda _: None)
        got = model.run(rows).to_pydict()
    except ModelError as error:
        got = [error.code, error.message]
    if isinstance(expected, list):
        ok = isinstance(got, list) and got[0] == expected[0] and expected[1] in got[1]
    else:
        ok = got == expected
    done.append({"name": name, "ok": ok, **({} if ok else {"got": repr(got)[:500], "expected": repr(expected)})})


ab = pa.table({"a": [1.5, 2.5], "b": pa.array([1, 2], pa.int64())})
columns = [ColSpec(DataType.double, "a"), ColSpec(DataType.long, "b")]
wide = pa.table({"inputs": pa.array([[1.5, 1.0], [2.5, 2.0]], pa.list_(pa.float64(), 2))})
total = lambda frame: (frame["a"] + frame["b"]).to_numpy()

case("columns-by-name", ab.select(["b", "a"]), {"predictions": [2.5, 4.5]}, total, columns)
case("one-wide-column", wide, {"predictions": [2.5, 4.5]}, total, columns, declared=wide.schema)
case("narrower-numbers", pa.table({"a": pa.array([1.5, 2.5], pa.float32()), "b": pa.array([1, 2], pa.int32())}), {"predictions": [2.5, 4.5]}, total, columns)
case("whole-numbers-have-to-be-whole", pa.table({"a": [1.5], "b": [1.5]}), ["value_out_of_range", "'b'"], total, columns, declared=pa.schema([("a", pa.float64()), ("b", pa.float64())]))
case("a-column-is-missing", pa.table({"a": [1.5]}), ["warm_up_failed", "'b'"], total, columns, declared=pa.schema([("a", pa.float64())]))
case("a-column-may-be-missing", pa.table({"a": [1.5]}), {"predictions": [1.5]}, lambda frame: frame["a"].to_numpy(), [ColSpec(DataType.double, "a"), ColSpec(DataType.double, "c", required=False)], declared=pa.schema([("a", pa.float64())]))
case("texts-and-booleans", pa.table({"s": ["x", "y"], "t": [True, False]}), {"predictions": ["xTrue", "yFalse"]}, lambda frame: [f"{s}{t}" for s, t in zip(frame["s"], frame["t"])], [ColSpec(DataType.string, "s"), ColSpec(DataType.boolean, "t")], gives=pa.schema([("predictions", pa.string())]))
case("lists-and-records", pa.table({"l": [[1.0, 2.0], [3.0]], "r": [{"x": "p"}, {"x": "q"}]}), {"n": [2, 1], "x": ["p", "q"]}, lambda frame: pd.DataFrame({"n": [len(v) for v in frame["l"]], "x": [r["x"] for r in frame["r"]]}),
     [ColSpec(Array(DataType.double), "l"), ColSpec(Object([Property("x", DataType.string)]), "r")], [ColSpec(DataType.long, "n"), ColSpec(DataType.string, "x")])

tensor = [TensorSpec(np.dtype("float32"), (-1, 2))]
case("tensor", wide, {"predictions": [[3.0, 2.0], [5.0, 4.0]]}, lambda array: array * 2, tensor, [TensorSpec(np.dtype("float32"), (-1, 2))], declared=wide.schema)
case("tensor-from-columns", pa.table({"x": [1.5, 2.5], "y": [1.0, 2.0]}), {"predictions": [2.5, 4.5]}, lambda array: array.sum(axis=1), tensor, declared=pa.schema([("x", pa.float64()), ("y", pa.float64())]), gives=pa.schema([("predictions", pa.float64())]))
case("tensor-of-another-shape", pa.table({"inputs": pa.array([[1.0, 2.0, 3.0]], pa.list_(pa.float64(), 3))}), ["warm_up_failed", "[2]"], lambda array: array, tensor, declared=pa.schema([("inputs", pa.list_(pa.float64(), 3))]))
case("image-tensor", pa.table({"inputs": pa.array([[1, 2, 3, 4]], pa.list_(pa.uint8(), 4))}), {"predictions": [10]}, lambda array: array.reshape(len(array), -1).sum(axis=1).astype("int64"), [TensorSpec(np.dtype("uint8"), (-1, 2, 2))], declared=pa.schema([("inputs", pa.list_(pa.uint8(), 4))]), gives=pa.schema([("predictions", pa.int64())]))
case("named-tensors", pa.table({"p": pa.array([[1.0, 2.0]], pa.list_(pa.float64(), 2)), "q": pa.array([[3.0]], pa.list_(pa.float64(), 1))}), {"predictions": [6.0]}, lambda arrays: np.array([arrays["p"].sum() + arrays["q"].sum()]),
     [TensorSpec(np.dtype("float64"), (-1, 2), "p"), TensorSpec(np.dtype("float64"), (-1, 1), "q")], gives=pa.schema([("predictions", pa.float64())]))

scalars = pa.table({"a": [1.0, 2.0]})
case("no-signature", scalars, {"predictions": [2.0, 4.0]}, lambda frame: frame["a"] * 2, declared=scalars.schema, gives=pa.schema([("predictions", pa.float64())]))
case("no-signature-and-a-matrix", wide, {"predictions": [2.5, 4.5]}, lambda array: array.sum(axis=1), declared=wide.schema)
case("no-schema-at-all", scalars, {"predictions": [1.0, 2.0]}, lambda frame: frame["a"])
case("a-dictionary", scalars, {"x": [1.0, 2.0], "y": ["k", "k"]}, lambda frame: {"x": frame["a"].to_numpy(), "y": ["k"] * len(frame)}, declared=scalars.schema)
case("dictionaries", scalars, {"x": [1.0, 2.0]}, lambda frame: [{"x": v} for v in frame["a"]], declared=scalars.schema)
case("a-matrix-as-two-fields", scalars, {"p": [1.0, 2.0], "q": [-1.0, -2.0]}, lambda frame: np.stack([frame["a"], -frame["a"]], axis=1), declared=scalars.schema, gives=pa.schema([("p", pa.float64()), ("q", pa.float64())]))
case("other-names-than-the-schema", scalars, {"score": [1.0, 2.0]}, lambda frame: pd.DataFrame({"0": frame["a"]}), declared=scalars.schema, gives=pa.schema([("score", pa.float64())]))
case("an-answer-that-is-none", scalars, ["inference_failed", "returned nothing"], lambda frame: None, declared=scalars.schema, gives=pa.schema([("predictions", pa.float64())]))
case("a-model-that-fails", scalars, ["inference_failed", "not today"], lambda frame: (_ for _ in ()).throw(ValueError("not today")), declared=scalars.schema)

plain = work / "plain.zip"
shutil.make_archive(str(work / "plain"), "zip", work / "tensor", "conda.yaml")
try:
    Model(plain, "mlflow", {"fileName": "m.zip"}, work / "plain-work", lambda _: None)
except ModelError as error:
    done.append({"name": "no-MLmodel", "ok": error.code == "model_invalid" and "MLmodel" in error.message, "got": error.message})
shutil.rmtree(work)
print(json.dumps(done))
