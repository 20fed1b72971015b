"""Models and data like the guide's: the same names, columns and shapes, made here."""

import pathlib
import shutil

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pyarrow as pa
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.linear_model import LinearRegression

FIXTURES = pathlib.Path(__file__).resolve().parents[3] / "packages" / "engine" / "fixtures"


def _save(path: str, nodes, inputs, outputs, initializers=()) -> str:
    values = [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in (*inputs, *outputs)]
    graph = helper.make_graph(nodes, "graph", values[: len(inputs)], values[len(inputs) :], [numpy_helper.from_array(a, n) for n, a in initializers])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    proto.ir_version = 8
    onnx.save(proto, path)
    return path


def ccfraud(path="ccfraud.onnx") -> str:
    """`dense_input` [29] -> `dense_1` [1]: how likely a payment is a fraud."""
    shutil.copy(FIXTURES / "ccfraud.onnx", path)
    return path


def layer(path: str, source: str, width: int, *outputs: str, seed=1, size=1) -> str:
    """`source` [width] -> each of `outputs` [size]: one sigmoid layer each."""
    rng = np.random.default_rng(seed)
    weights = [(f"w_{name}", rng.normal(0, 0.3, (width, size)).astype(np.float32)) for name in outputs]
    nodes = [node for name in outputs for node in (helper.make_node("MatMul", [source, f"w_{name}"], [f"p_{name}"]), helper.make_node("Sigmoid", [f"p_{name}"], [name]))]
    return _save(path, nodes, [(source, TensorProto.FLOAT, ["N", width])], [(name, TensorProto.FLOAT, ["N", size]) for name in outputs], weights)


HOUSES = 18


def houses(rows: int, seed=5) -> np.ndarray:
    """Bedrooms, bathrooms, square feet and fifteen more numbers for each house."""
    rng = np.random.default_rng(seed)
    drawn = [rng.integers(1, 6, rows), rng.integers(1, 4, rows), rng.integers(600, 4500, rows), *(rng.integers(0, 90, rows) for _ in range(HOUSES - 3))]
    return np.stack(drawn, 1).astype(np.float32)


def house_price(path: str, noise=0) -> str:
    """`tensor` [18] -> `variable` [1]: what a house costs; other noise is another model."""
    x = houses(400, 6)
    y = x[:, 2] * 300 + x[:, 0] * 10_000 + np.random.default_rng(noise).normal(0, 5_000, len(x))
    fitted = LinearRegression().fit(x, y)
    proto = convert_sklearn(fitted, initial_types=[("tensor", FloatTensorType([None, HOUSES]))], final_types=[("variable", FloatTensorType([None, 1]))], target_opset={"": 17, "ai.onnx.ml": 3})
    onnx.save(proto, path)
    return path


def sales(path="sales.onnx") -> str:
    """`week` [1], `site_id` [1], `sales_count` [7] -> `predicted_sales` [1]: a guess from the mean of the week before."""
    nodes = [
        helper.make_node("Cast", ["sales_count"], ["sold"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["sold"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["mean", "slope"], ["steep"]),
        helper.make_node("Sub", ["steep", "loss"], ["guess"]),
        helper.make_node("Cast", ["guess"], ["predicted_sales"], to=TensorProto.INT64),
    ]
    inputs = [("week", TensorProto.INT64, ["N", 1]), ("site_id", TensorProto.STRING, ["N", 1]), ("sales_count", TensorProto.INT64, ["N", 7])]
    numbers = [("slope", np.array([1.35], np.float32)), ("loss", np.array([300], np.float32))]
    return _save(path, nodes, inputs, [("predicted_sales", TensorProto.INT64, ["N", 1])], numbers)


def pixels(path="mobilenet.pt.onnx") -> str:
    """`data` [3, 480, 640] -> `brightness` [3]."""
    nodes = [helper.make_node("ReduceMean", ["data"], ["brightness"], axes=[2, 3], keepdims=0)]
    return _save(path, nodes, [("data", TensorProto.FLOAT, ["N", 3, 480, 640])], [("brightness", TensorProto.FLOAT, ["N", 3])])


def payments(rows: int, fraud=False, low=False, seed=1) -> list:
    """Payments as lists of 29 numbers; all likely frauds (over 0.9), or all unlikely ones (under 0.05), when asked for."""
    session = onnxruntime.InferenceSession(str(FIXTURES / "ccfraud.onnx"), providers=["CPUExecutionProvider"])
    drawn = np.random.default_rng(seed).normal(0, 1, (rows, 29)).round(4).astype(np.float32)
    if fraud or low:
        drawn = np.random.default_rng(seed).normal(0, 12, (rows * 400, 29)).round(4).astype(np.float32)
        chance = session.run(None, {session.get_inputs()[0].name: drawn})[0][:, 0]
        drawn = drawn[chance > 0.9 if fraud else chance < 0.05][:rows]
        assert len(drawn) == rows
    return [[float(f"{v:.4f}") for v in row] for row in drawn]


def frame_file(path: str, values, column="tensor") -> str:
    """A file of pandas records, `.df.json` in the guide."""
    pd.DataFrame({column: list(values)}).to_json(path, orient="records")
    return path


def arrow_table(values, column="tensor") -> pa.Table:
    return pa.table({column: pa.array([[float(v) for v in row] for row in values], pa.list_(pa.float32()))})


def arrow_file(path: str, table: pa.Table) -> str:
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return path


def labels(path="yolo.onnx") -> str:
    """`tensor` [62] -> `2519` [31]: 31 whole numbers, all 44."""
    nodes = [
        helper.make_node("MatMul", ["tensor", "nothing"], ["none"]),
        helper.make_node("Add", ["none", "label"], ["all"]),
        helper.make_node("Cast", ["all"], ["2519"], to=TensorProto.INT64),
    ]
    numbers = [("nothing", np.zeros((62, 31), np.float32)), ("label", np.array([44], np.float32))]
    return _save(path, nodes, [("tensor", TensorProto.FLOAT, ["N", 62])], [("2519", TensorProto.INT64, ["N", 31])], numbers)
