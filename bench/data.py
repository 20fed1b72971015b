"""Models and bodies of the benchmark, seeds fixed: data.py DIR.

mlp: 29-64-64-1 on float32 rows (credit-card fraud sized), cnn: about 10 ms an image on one core, slow: takes what mlp takes, about 20 ms.
Bodies are named <case>.<form>; <case>.expected holds the model's own answer as float32.
"""
import json
import struct
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pyarrow as pa
from onnx import TensorProto, helper, numpy_helper

out = Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
rng = np.random.default_rng(7)


def weights(name, *shape):
    fan = int(np.prod(shape[1:])) or 1
    return numpy_helper.from_array((rng.standard_normal(shape) / np.sqrt(fan)).astype(np.float32), name)


def save(name, nodes, inputs, outputs, initializers):
    graph = helper.make_graph(nodes, name, inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, out / f"{name}.onnx")


def value(name, *shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


def mlp():
    nodes, initializers, last = [], [], "dense_input"
    for i, (a, b) in enumerate([(29, 64), (64, 64), (64, 1)]):
        initializers += [weights(f"w{i}", b, a), weights(f"b{i}", b)]
        nodes += [helper.make_node("Gemm", [last, f"w{i}", f"b{i}"], [f"h{i}"], transB=1),
                  helper.make_node("Sigmoid" if i == 2 else "Relu", [f"h{i}"], ["dense_1" if i == 2 else f"a{i}"])]
        last = f"a{i}"
    save("mlp", nodes, [value("dense_input", "rows", 29)], [value("dense_1", "rows", 1)], initializers)


def cnn():
    nodes, initializers, last, channels = [], [], "tensor", 3
    for i, (width, stride) in enumerate([(48, 2), (112, 2), (112, 1), (224, 2), (224, 1), (224, 2)]):
        initializers += [weights(f"w{i}", width, channels, 3, 3), weights(f"b{i}", width)]
        nodes += [helper.make_node("Conv", [last, f"w{i}", f"b{i}"], [f"c{i}"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[stride, stride]),
                  helper.make_node("Relu", [f"c{i}"], [f"r{i}"])]
        last, channels = f"r{i}", width
    initializers += [weights("w", 10, channels), weights("b", 10)]
    nodes += [helper.make_node("GlobalAveragePool", [last], ["pool"]), helper.make_node("Flatten", ["pool"], ["flat"]),
              helper.make_node("Gemm", ["flat", "w", "b"], ["output"], transB=1)]
    save("cnn", nodes, [value("tensor", "rows", 3, 224, 224)], [value("output", "rows", 10)], initializers)


def slow():
    names = [f"h{i}" for i in range(151)]
    nodes = [helper.make_node("MatMul", ["dense_input", "first"], ["h0"])]
    for before, after in zip(names, names[1:]):
        nodes += [helper.make_node("MatMul", [before, "again"], [f"{after}m"]), helper.make_node("Tanh", [f"{after}m"], [after])]
    nodes += [helper.make_node("MatMul", [names[-1], "last"], ["dense_1"])]
    save("slow", nodes, [value("dense_input", "rows", 29)], [value("dense_1", "rows", 1)], [weights("first", 29, 1024), weights("again", 1024, 1024), weights("last", 1024, 1)])


def arrow(name, array):
    item = pa.array(array.reshape(-1))
    offsets = pa.array(np.arange(0, array.size + 1, array.shape[1], dtype=np.int32))
    table = pa.table({name: pa.ListArray.from_arrays(offsets, item)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def v2(name, array):
    raw = array.tobytes()
    head = json.dumps({"inputs": [{"name": name, "shape": list(array.shape), "datatype": "FP32", "parameters": {"binary_data_size": len(raw)}}],
                       "parameters": {"binary_data_output": True}}).encode()
    return head + raw, len(head)


def case(name, model, input_name, array):
    y = onnxruntime.InferenceSession(out / f"{model}.onnx", providers=["CPUExecutionProvider"]).run(None, {input_name: array})[0]
    (out / f"{name}.expected").write_bytes(y.astype(np.float32).tobytes())
    body, length = v2(input_name, array)
    (out / f"{name}.v2bin").write_bytes(body)
    lengths[name] = length
    nested = array.tolist()
    (out / f"{name}.records").write_text(json.dumps([{input_name: [round(v, 10) for v in row]} for row in nested]) if array.ndim == 2 else json.dumps([{input_name: row} for row in nested]))
    (out / f"{name}.v2").write_text(json.dumps({"inputs": [{"name": input_name, "shape": list(array.shape), "datatype": "FP32", "data": [round(v, 10) for v in array.reshape(-1).tolist()]}]}))
    if array.ndim == 2:
        (out / f"{name}.arrow").write_bytes(arrow(input_name, array))
    return y


lengths = {}
mlp()
cnn()
case("row", "mlp", "dense_input", rng.standard_normal((1, 29)).astype(np.float32))
answer = case("rows", "mlp", "dense_input", rng.standard_normal((1000, 29)).astype(np.float32))
case("image", "cnn", "tensor", rng.standard_normal((1, 3, 224, 224)).astype(np.float32))
template = arrow("out.dense_1", answer)
(out / "arrow.answer").write_bytes(struct.pack("<Q", template.index(answer.tobytes())) + template)
slow()
(out / "lengths.json").write_text(json.dumps(lengths))
