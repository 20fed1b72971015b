"""tritonclient and `mlserver infer`, as published, against a deployment of ops; every number is compared with onnxruntime."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import onnxruntime
import tritonclient.http as triton
from onnx import TensorProto, helper, numpy_helper

from support import AUTH, WORK, address, deploy, graph_bytes, refused, run, token, upload

NAME = "kinds"
HUGE = 2**53 + 1
TEXTS = ["plain", "žluťoučký kůň", "狐 🦊", ""]


def model_bytes():
    """amount [N, 2] float32, count [N] int64, flag [N] bool, text [N] string; each comes back changed, the text as it is."""
    nodes = [
        helper.make_node("Exp", ["amount"], ["grown"]), helper.make_node("Add", ["count", "one"], ["next"]),
        helper.make_node("Not", ["flag"], ["not_flag"]), helper.make_node("Identity", ["text"], ["same_text"]),
    ]
    kinds = {"amount": TensorProto.FLOAT, "count": TensorProto.INT64, "flag": TensorProto.BOOL, "text": TensorProto.STRING}
    outputs = {"grown": "amount", "next": "count", "not_flag": "flag", "same_text": "text"}
    of = lambda name: (kinds[name], ["N", 2] if name == "amount" else ["N"])
    return graph_bytes(NAME, nodes, {n: of(n) for n in kinds}, {n: of(like) for n, like in outputs.items()}, [numpy_helper.from_array(np.array(1, np.int64), "one")])


MODEL = model_bytes()
DEPLOYMENT = deploy(NAME, [{"type": "model", "model": upload(f"{NAME}-model", MODEL)}])

BASE = address(DEPLOYMENT)
client = triton.InferenceServerClient(BASE, network_timeout=30, connection_timeout=30)
session = onnxruntime.InferenceSession(MODEL, providers=["CPUExecutionProvider"])
FEEDS = {
    "amount": np.random.default_rng(7).normal(size=(4, 2)).astype(np.float32),
    "count": np.array([HUGE, -HUGE, 0, 2**62], np.int64),
    "flag": np.array([True, False, False, True]),
    "text": np.array(TEXTS, object),
}
DATATYPES = {"amount": "FP32", "count": "INT64", "flag": "BOOL", "text": "BYTES"}
EXPECTED = dict(zip([o.name for o in session.get_outputs()], session.run(None, FEEDS)))


def text_of(array):
    return [x.decode() if isinstance(x, bytes) else x for x in array.tolist()]


def check(result, names=tuple(EXPECTED)):
    for name in names:
        given, wanted = result.as_numpy(name), EXPECTED[name]
        assert given.shape == wanted.shape, (name, given.shape)
        if name == "same_text":
            assert text_of(given) == TEXTS, given
        else:
            assert given.dtype == wanted.dtype, (name, given.dtype)
            np.testing.assert_allclose(given, wanted, rtol=1e-6) if name == "grown" else np.testing.assert_array_equal(given, wanted)


def inputs(binary):
    """`binary` says for each input how it goes."""
    given = []
    for name, array in FEEDS.items():
        tensor = triton.InferInput(name, list(array.shape), DATATYPES[name])
        tensor.set_data_from_numpy(array, binary_data=binary(name))
        given.append(tensor)
    return given


def outputs(binary):
    return [triton.InferRequestedOutput(name, binary_data=binary(name)) for name in EXPECTED]


def infer(given, wanted=None, **more):
    return client.infer(NAME, given, outputs=wanted, headers=dict(AUTH), **more)


ALL, NONE, MIXED = (lambda _: True), (lambda _: False), (lambda name: name in ("amount", "text", "next"))


def health_and_metadata():
    assert client.is_server_live(headers=dict(AUTH)) and client.is_server_ready(headers=dict(AUTH)) and client.is_model_ready(NAME, headers=dict(AUTH))
    assert not client.is_model_ready("nobody", headers=dict(AUTH))
    server = client.get_server_metadata(headers=dict(AUTH))
    assert server["name"] == "potoroo" and "binary_tensor_data" in server["extensions"], server
    assert [m["name"] for m in client.get_model_repository_index(headers=dict(AUTH))] == [NAME]
    model = client.get_model_metadata(NAME, headers=dict(AUTH))
    assert model["inputs"] == [{"name": n, "datatype": DATATYPES[n], "shape": [-1, *FEEDS[n].shape[1:]]} for n in DATATYPES], model
    version = model["versions"][0]
    assert client.is_model_ready(NAME, version, headers=dict(AUTH))
    check(infer(inputs(ALL), outputs(ALL), model_version=version))


def json_both_ways():
    check(infer(inputs(NONE), outputs(NONE)))


def binary_both_ways():
    check(infer(inputs(ALL), outputs(ALL)))
    check(infer(inputs(ALL)))


def json_and_binary_mixed():
    check(infer(inputs(MIXED), outputs(NONE)))
    check(infer(inputs(NONE), outputs(MIXED)))
    check(infer(inputs(MIXED), outputs(MIXED)))


def some_outputs_and_an_id():
    result = infer(inputs(ALL), [triton.InferRequestedOutput("next", binary_data=True)], request_id="mine-1")
    assert [o["name"] for o in result.get_response()["outputs"]] == ["next"] and result.get_response()["id"] == "mine-1"
    check(result, ["next"])


def compression():
    for algorithm in ("gzip", "deflate"):
        for binary in (ALL, NONE):
            check(infer(inputs(binary), outputs(binary), request_compression_algorithm=algorithm))
            check(infer(inputs(binary), outputs(binary), request_compression_algorithm=algorithm, response_compression_algorithm=algorithm))


def many_requests_at_once():
    many = triton.InferenceServerClient(BASE, concurrency=8)
    for pending in [many.async_infer(NAME, inputs(ALL), outputs=outputs(ALL), headers=dict(AUTH)) for _ in range(64)]:
        check(pending.get_result())
    many.close()


def errors():
    refused(lambda: client.infer("nobody", inputs(ALL), headers=dict(AUTH)), "nobody")
    refused(lambda: client.infer(NAME, inputs(ALL), model_version="77", headers=dict(AUTH)), "77")
    refused(lambda: infer(inputs(ALL)[:3]), "text")
    refused(lambda: infer(inputs(ALL), [triton.InferRequestedOutput("none")]), "none")
    wrong = triton.InferInput("amount", [4, 3], "FP32")
    wrong.set_data_from_numpy(np.zeros((4, 3), np.float32))
    refused(lambda: infer([wrong, *inputs(ALL)[1:]]), "amount")
    refused(lambda: client.infer(NAME, inputs(ALL)), "token")
    refused(lambda: client.get_model_metadata(NAME, headers={"Authorization": "Bearer wrong"}), "token")
    foreign = triton.InferenceServerClient(address("/api/v1/deployments/987654"))
    refused(lambda: foreign.infer(NAME, inputs(ALL), headers=dict(AUTH)), "987654")
    check(infer(inputs(ALL)))


def mlserver(binary):
    """The four rows one request a row, merged by the client in pairs."""
    source, target = WORK / f"in-{binary}.jsonl", WORK / f"out-{binary}.jsonl"
    requests = [{"id": f"row-{i}", "inputs": [
        {"name": n, "shape": [1, *FEEDS[n].shape[1:]], "datatype": DATATYPES[n], "data": np.ravel(FEEDS[n][i]).tolist()} for n in DATATYPES
    ]} for i in range(4)]
    source.write_text("".join(json.dumps(r) + "\n" for r in requests))
    command = [str(pathlib.Path(sys.executable).parent / "mlserver"), "infer", "-u", BASE, "-m", NAME, "-i", str(source), "-o", str(target), "-s", "2", "-w", "2", "--retries", "1", "-H", f"Authorization: Bearer {token}"]
    done = subprocess.run(command + (["-b"] if binary else []), capture_output=True, text=True, timeout=120)
    lines = [json.loads(line) for line in target.read_text().splitlines()]
    assert done.returncode == 0 and len(lines) == 4, done.stdout + done.stderr
    for line in lines:
        assert "error" not in line, line
        row = line["parameters"]["batch_index"]
        assert line["id"] == f"row-{row}", line
        given = {o["name"]: o["data"] for o in line["outputs"]}
        np.testing.assert_allclose(given["grown"], EXPECTED["grown"][row], rtol=1e-6)
        assert given["next"] == [int(EXPECTED["next"][row])], given
        assert [bool(x) for x in given["not_flag"]] == [bool(EXPECTED["not_flag"][row])], given
        assert given["same_text"] == [TEXTS[row]], given


def mlserver_infer_json():
    mlserver(False)


def mlserver_infer_binary():
    mlserver(True)


run(health_and_metadata, json_both_ways, binary_both_ways, json_and_binary_mixed, some_outputs_and_an_id, compression, many_requests_at_once, errors, mlserver_infer_json, mlserver_infer_binary)
