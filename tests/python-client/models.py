"""The models of these tests, built on the spot: small, deterministic, one for each kind of data that ONNX knows."""

import pathlib
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from sklearn.linear_model import LogisticRegression
from skl2onnx import to_onnx

FEATURES = 29


@dataclass
class Model:
    """A model file and the same model in onnxruntime, which every answer is compared with."""

    path: pathlib.Path
    session: onnxruntime.InferenceSession

    def run(self, feeds: dict) -> dict:
        """Outputs by name for inputs by name, both as arrays whose first dimension is the rows."""
        names = [o.name for o in self.session.get_outputs()]
        return dict(zip(names, self.session.run(names, feeds)))


def _save(folder: pathlib.Path, name: str, proto: onnx.ModelProto) -> Model:
    path = folder / f"{name}.onnx"
    path.write_bytes(proto.SerializeToString())
    return Model(path, onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]))


def _graph(name: str, nodes, inputs, outputs, initializers=()) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, name, inputs, outputs, [numpy_helper.from_array(a, n) for n, a in initializers])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    proto.ir_version = 8
    return proto


def _value(name: str, kind: int, shape):
    return helper.make_tensor_value_info(name, kind, shape)


def dense(folder: pathlib.Path, name: str, seed: int) -> Model:
    """`dense_input` [N, 29] -> `dense_1` [N, 1], float32: sigmoid(x W + b)."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(0, 0.3, (FEATURES, 1)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["dense_input", "w"], ["product"]),
        helper.make_node("Add", ["product", "b"], ["sum"]),
        helper.make_node("Sigmoid", ["sum"], ["dense_1"]),
    ]
    return _save(folder, name, _graph(
        name, nodes,
        [_value("dense_input", TensorProto.FLOAT, ["N", FEATURES])],
        [_value("dense_1", TensorProto.FLOAT, ["N", 1])],
        [("w", weights), ("b", np.array([rng.normal()], dtype=np.float32))],
    ))


def classifier(folder: pathlib.Path, name: str) -> Model:
    """scikit-learn's logistic regression: `X` [N, 4] -> `label` [N] int64 and `probabilities` [N, 3]."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(300, 4)).astype(np.float32)
    y = (x @ np.array([1.0, -2.0, 0.5, 0.1]) > 0).astype(int) + (x[:, 3] > 0.5)
    fitted = LogisticRegression(max_iter=500).fit(x, y)
    return _save(folder, name, to_onnx(fitted, x[:1], options={"zipmap": False}, target_opset=17))


def kinds(folder: pathlib.Path, name: str) -> Model:
    """Several inputs and outputs, each of another element type."""
    nodes = [
        helper.make_node("Add", ["amount", "amount"], ["twice"]),
        helper.make_node("Add", ["count", "one"], ["next"]),
        helper.make_node("Not", ["flag"], ["not_flag"]),
        helper.make_node("Identity", ["text"], ["same_text"]),
        helper.make_node("Identity", ["small"], ["same_small"]),
    ]
    return _save(folder, name, _graph(
        name, nodes,
        [
            _value("amount", TensorProto.DOUBLE, ["N", 2]),
            _value("count", TensorProto.INT64, ["N"]),
            _value("flag", TensorProto.BOOL, ["N"]),
            _value("text", TensorProto.STRING, ["N"]),
            _value("small", TensorProto.UINT8, ["N", 3]),
        ],
        [
            _value("twice", TensorProto.DOUBLE, ["N", 2]),
            _value("next", TensorProto.INT64, ["N"]),
            _value("not_flag", TensorProto.BOOL, ["N"]),
            _value("same_text", TensorProto.STRING, ["N"]),
            _value("same_small", TensorProto.UINT8, ["N", 3]),
        ],
        [("one", np.array(1, dtype=np.int64))],
    ))


def image(folder: pathlib.Path, name: str) -> Model:
    """`image` [N, 3, 4, 5] -> `mean` [N, 3] and `mirrored` [N, 3, 5, 4]."""
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("Transpose", ["image"], ["mirrored"], perm=[0, 1, 3, 2]),
    ]
    return _save(folder, name, _graph(
        name, nodes,
        [_value("image", TensorProto.FLOAT, ["N", 3, 4, 5])],
        [_value("mean", TensorProto.FLOAT, ["N", 3]), _value("mirrored", TensorProto.FLOAT, ["N", 3, 5, 4])],
    ))
