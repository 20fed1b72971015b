"""tritonclient and `mlserver infer`, as published, against a deployment of ops; every number is compared with onnxruntime.

Writes one line of JSON for each step: {"step", "ok", "error"}.
"""

import json
import os
import pathlib
import subprocess
import sys
import time
import traceback
import urllib.parse
import urllib.request

import numpy as np
import onnx
import onnxruntime
import tritonclient.http as triton
from onnx import TensorProto, helper, numpy_helper
from tritonclient.utils import InferenceServerException

OPS = os.environ["POTOROO_URL"]
WORK = pathlib.Path(os.environ["POTOROO_TEST_DIR"])
NAME = "kinds"
HUGE = 2**53 + 1
TEXTS = ["plain", "žluťoučký kůň", "狐 🦊", ""]
failed = False


def step(run):
    """Runs a step now and reports it; the next ones run all the same."""
    global failed
    error = None
    try:
        run()
    except Exception:
        error = traceback.format_exc()
        failed = True
    print(json.dumps({"step": run.__name__, "ok": error is None, **({"error": error} if error else {})}), flush=True)


def call(method, path, body=None, headers=None):
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(OPS + path, data, {"content-type": "application/json", **(headers or {})}, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read() or b"null")


def model_bytes():
    """amount [N, 2] float32, count [N] int64, flag [N] bool, text [N] string; each comes back changed, the text as it is."""
    nodes = [
        helper.make_node("Exp", ["amount"], ["grown"]), helper.make_node("Add", ["count", "one"], ["next"]),
        helper.make_node("Not", ["flag"], ["not_flag"]), helper.make_node("Identity", ["text"], ["same_text"]),
    ]
    kinds = {"amount": TensorProto.FLOAT, "count": TensorProto.INT64, "flag": TensorProto.BOOL, "text": TensorProto.STRING}
    outputs = {"grown": "amount", "next": "count", "not_flag": "flag", "same_text": "text"}
    value = lambda name, like: helper.make_tensor_value_info(name, kinds[like], ["N", 2] if like == "amount" else ["N"])
    graph = helper.make_graph(nodes, NAME, [value(n, n) for n in kinds], [value(n, like) for n, like in outputs.items()], [numpy_helper.from_array(np.array(1, np.int64), "one")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model.SerializeToString()


form = urllib.parse.urlencode({"grant_type": "password", "client_id": "sdk-client", "username": os.environ["POTOROO_USER"], "password": os.environ["POTOROO_PASSWORD"]}).encode()
token = call("POST", "/auth/realms/master/protocol/openid-connect/token", form, {"content-type": "application/x-www-form-urlencoded"})["access_token"]
AUTH = {"Authorization": f"Bearer {token}"}  # tritonclient writes into the headers it is given: give it a copy
MODEL = model_bytes()
workspace = call("GET", "/api/v1/workspaces/default", headers=dict(AUTH))["id"]
uploaded = call("PUT", f"/api/v1/workspaces/{workspace}/models/{NAME}-model/versions?framework=onnx", MODEL, {**AUTH, "content-type": "application/octet-stream"})
steps = [{"type": "model", "model": {"name": uploaded["name"], "version": uploaded["version"]}}]
pipeline = call("POST", f"/api/v1/workspaces/{workspace}/pipelines", {"name": NAME, "steps": steps}, AUTH)["id"]
deployment = call("PUT", f"/api/v1/pipelines/{pipeline}/deployment", {}, AUTH)["id"]
for _ in range(600):
    status = call("GET", f"/api/v1/deployments/{deployment}/status", headers=dict(AUTH))
    if status["state"] == "running":
        break
    time.sleep(0.1)
else:
    raise SystemExit(f"The deployment does not run: {status}")

BASE = f"{OPS.removeprefix('http://')}/api/v1/deployments/{deployment}"
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


def refused(run, *pieces):
    try:
        run()
    except InferenceServerException as error:
        for piece in pieces:
            assert piece in str(error), str(error)
    else:
        raise AssertionError("it was not refused")


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
    foreign = triton.InferenceServerClient(f"{OPS.removeprefix('http://')}/api/v1/deployments/987654")
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


for each in (health_and_metadata, json_both_ways, binary_both_ways, json_and_binary_mixed, some_outputs_and_an_id, compression, many_requests_at_once, errors, mlserver_infer_json, mlserver_infer_binary):
    step(each)
sys.exit(1 if failed else 0)
