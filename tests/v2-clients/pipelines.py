"""The same clients against every kind of pipeline, every datatype, and what goes wrong."""

import gzip
import json
import pathlib
import struct
import subprocess
import sys
import time
import zlib

import numpy as np
import tritonclient.http as triton
from onnx import TensorProto, helper, numpy_helper

from support import AUTH, WORK, address, call, deploy, graph_bytes, raw, refused, run, token, upload

HALF = np.array([0.5, -65504, 6e-8], np.float16)
SAMPLES = {
    "BOOL": np.array([True, False, True]), "INT8": np.array([-128, 127, 0], np.int8), "INT16": np.array([-(2**15), 2**15 - 1, 0], np.int16), "INT32": np.array([-(2**31), 2**31 - 1, 0], np.int32),
    "INT64": np.array([-(2**63), 2**63 - 1, 2**53 + 1], np.int64), "UINT8": np.array([0, 255, 1], np.uint8), "UINT16": np.array([0, 2**16 - 1, 1], np.uint16), "UINT32": np.array([0, 2**32 - 1, 1], np.uint32),
    "UINT64": np.array([0, 2**64 - 1, 2**53 + 1], np.uint64), "FP16": HALF, "FP32": np.array([0.1, -3.4e38, 1e-45], np.float32), "FP64": np.array([0.1, -1.7e308, 5e-324], np.float64),
    "BYTES": np.array(["plain", "žluťoučký 🦊\n\"\\", ""], object),
}
ONNX_TYPES = dict(zip(SAMPLES, (getattr(TensorProto, n) for n in "BOOL INT8 INT16 INT32 INT64 UINT8 UINT16 UINT32 UINT64 FLOAT16 FLOAT DOUBLE STRING".split())))


def times(name, factor):
    """x [N, 3] float32 gives y, so many times x."""
    data = graph_bytes(name, [helper.make_node("Mul", ["x", "factor"], ["y"])], {"x": (TensorProto.FLOAT, ["N", 3])}, {"y": (TensorProto.FLOAT, ["N", 3])}, [numpy_helper.from_array(np.array(factor, np.float32), "factor")])
    return upload(name, data)


TWO, FIVE = times("two", 2), times("five", 5)
ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)


def client_of(path):
    return triton.InferenceServerClient(address(path), network_timeout=30, connection_timeout=30)


def tensor(name, array, datatype=None, binary=True):
    made = triton.InferInput(name, list(array.shape), datatype or triton.np_to_triton_dtype(array.dtype))
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def infer(path, name, inputs, outputs=None, **more):
    return client_of(path).infer(name, inputs, outputs=outputs, headers=dict(AUTH), **more)


def post(path, body, headers=None, **more):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return raw("POST", path, data, {**AUTH, "content-type": "application/json", **(headers or {})}, **more)


def text_of(array):
    return [x.decode() if isinstance(x, bytes) else x for x in array.reshape(-1).tolist()]


def every_datatype():
    columns = {f"c_{kind.lower()}": kind for kind in SAMPLES}
    nodes = [helper.make_node("Identity", [name], [f"{name}_out"]) for name in columns]
    model = graph_bytes("datatypes", nodes, {n: (ONNX_TYPES[k], ["N"]) for n, k in columns.items()}, {f"{n}_out": (ONNX_TYPES[k], ["N"]) for n, k in columns.items()})
    path = deploy("datatypes", [{"type": "model", "model": upload("datatypes-model", model)}])
    metadata = client_of(path).get_model_metadata("datatypes", headers=dict(AUTH))
    assert [(i["name"], i["datatype"], i["shape"]) for i in metadata["inputs"]] == [(n, k, [-1]) for n, k in columns.items()], metadata
    assert [(o["name"], o["datatype"], o["shape"]) for o in metadata["outputs"]] == [(f"{n}_out", k, [-1]) for n, k in columns.items()], metadata
    for binary_in in (True, False):
        for binary_out in (True, False):
            for more in ({}, {"request_compression_algorithm": "gzip", "response_compression_algorithm": "gzip"}):
                result = infer(path, "datatypes", [tensor(n, SAMPLES[k], k, binary_in) for n, k in columns.items()], [triton.InferRequestedOutput(f"{n}_out", binary_data=binary_out) for n in columns], **more)
                for name, kind in columns.items():
                    given = result.as_numpy(f"{name}_out")
                    if kind == "BYTES":
                        assert text_of(given) == SAMPLES[kind].tolist(), given
                    else:
                        assert given.dtype == SAMPLES[kind].dtype and given.tobytes() == SAMPLES[kind].tobytes(), (name, given, binary_in, binary_out)


def what_is_no_datatype():
    path = deploy("two", [{"type": "model", "model": TWO}])
    column = {"name": "x", "shape": [1, 3], "data": [1, 2, 3]}
    for datatype, piece in (("BF16", "BF16"), ("FP8", "FP8"), (None, "no datatype"), ("fp32", "fp32")):
        status, headers, answer = post(f"{path}/v2/models/two/infer", {"inputs": [{**column, **({"datatype": datatype} if datatype else {})}]})
        assert status == 400 and headers["content-type"] == "application/json", (status, answer)
        assert piece in json.loads(answer)["error"], answer


def two_steps():
    path = deploy("chain", [{"type": "model", "model": TWO}, {"type": "model", "model": upload("second", graph_bytes("second", [helper.make_node("Neg", ["y"], ["z"])], {"y": (TensorProto.FLOAT, ["N", 3])}, {"z": (TensorProto.FLOAT, ["N", 3])}))}])
    metadata = client_of(path).get_model_metadata("chain", headers=dict(AUTH))
    assert ([i["name"] for i in metadata["inputs"]], [o["name"] for o in metadata["outputs"]]) == (["x"], ["z"]), metadata
    np.testing.assert_array_equal(infer(path, "chain", [tensor("x", ROWS)]).as_numpy("z"), -2 * ROWS)


def random_split_with_a_key():
    path = deploy("split", [{"type": "random-split", "weights": [{"model": TWO, "weight": 1}, {"model": FIVE, "weight": 1}], "hashKey": "who"}])
    metadata = client_of(path).get_model_metadata("split", headers=dict(AUTH))
    assert [(i["name"], i["datatype"], i["shape"]) for i in metadata["inputs"]] == [("x", "FP32", [-1, 3]), ("who", "BYTES", [-1])], metadata
    factors = np.array([2, 5, 2, 5], np.float32)[:, None]
    keys = (np.array(["0.1", "0.9", "0.2", "0.8"], object), np.array([0.1, 0.9, 0.2, 0.8]), np.array([[0.1], [0.9], [0.2], [0.8]], np.float32))
    for who in keys:
        for binary in (True, False):
            given = infer(path, "split", [tensor("x", ROWS, binary=binary), tensor("who", who, "BYTES" if who.dtype == object else None, binary)])
            np.testing.assert_array_equal(given.as_numpy("y"), ROWS * factors)
    refused(lambda: infer(path, "split", [tensor("x", ROWS)]), "who")
    # The client merges the requests of two rows into one; each has its own key all the same.
    source, target = WORK / "split-in.jsonl", WORK / "split-out.jsonl"
    lines = [{"id": f"row-{i}", "inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": ROWS[i].tolist()}, {"name": "who", "shape": [1], "datatype": "BYTES", "data": [who]}]} for i, who in enumerate(keys[0])]
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = subprocess.run([str(pathlib.Path(sys.executable).parent / "mlserver"), "infer", "-u", address(path), "-m", "split", "-i", str(source), "-o", str(target), "-s", "2", "-w", "2", "--retries", "1", "-H", f"Authorization: Bearer {token}"], capture_output=True, text=True, timeout=120)
    answers = [json.loads(line) for line in target.read_text().splitlines()]
    assert done.returncode == 0 and len(answers) == 4, done.stdout + done.stderr
    for answer in answers:
        row = answer["parameters"]["batch_index"]
        assert answer["outputs"][0]["data"] == (ROWS[row] * factors[row]).tolist(), answer


def key_split():
    path = deploy("keys", [{"type": "key-split", "splitKey": "region", "control": TWO, "routes": {"eu": FIVE}}])
    np.testing.assert_array_equal(infer(path, "keys", [tensor("x", ROWS), tensor("region", np.array(["eu", "us", "eu", ""], object), "BYTES")]).as_numpy("y"), ROWS * np.array([5, 2, 5, 2], np.float32)[:, None])
    np.testing.assert_array_equal(infer(path, "keys", [tensor("x", ROWS)]).as_numpy("y"), 2 * ROWS)


def shadow_deploy_and_validations():
    check = {"name": "large", "expression": {"BinaryExpr": {"left": {"Function": {"input": [{"Column": "out.y"}, {"Literal": {"Int64": 0}}], "function": {"ListExpr": "Get"}, "options": {}}}, "op": "Gt", "right": {"Literal": {"Int64": 6}}}}}
    path = deploy("shadow", [{"type": "shadow", "champion": TWO, "challengers": [{"model": FIVE}]}, {"type": "validations", "validations": [check]}])
    result = infer(path, "shadow", [tensor("x", ROWS)])
    assert [o["name"] for o in result.get_response()["outputs"]] == ["y"], result.get_response()
    np.testing.assert_array_equal(result.as_numpy("y"), 2 * ROWS)
    # Clients that know nothing of the log fill it all the same.
    pipeline = call("GET", "/api/v1/pipelines?name=shadow", headers=AUTH)["items"][0]["id"]
    until = time.monotonic() + 30
    while True:
        records = call("GET", f"/api/v1/pipelines/{pipeline}/logs", headers=AUTH)["items"]
        if len(records) == 4 and all(r.get("out_five.y") for r in records) or time.monotonic() > until:
            break
        time.sleep(0.05)
    assert sorted(r["out_five.y"][0] for r in records) == [0, 15, 30, 45] and sum(r["anomaly.large"] for r in records) == 2, records


def versions():
    first = deploy("moving", [{"type": "model", "model": TWO}])
    old = client_of(first).get_model_metadata("moving", headers=dict(AUTH))["versions"]
    path = deploy("moving", [{"type": "model", "model": FIVE}])
    assert path == first
    client = client_of(path)
    new = client.get_model_metadata("moving", headers=dict(AUTH))["versions"]
    assert len(old) == len(new) == 1 and old != new, (old, new)
    assert client.is_model_ready("moving", new[0], headers=dict(AUTH)) and not client.is_model_ready("moving", old[0], headers=dict(AUTH))
    assert client.get_model_metadata("moving", new[0], headers=dict(AUTH))["versions"] == new
    refused(lambda: client.get_model_metadata("moving", old[0], headers=dict(AUTH)), old[0])
    # By the name of its only model and that one's version as well.
    assert client.is_model_ready("five", FIVE["version"], headers=dict(AUTH)) and not client.is_model_ready("two", headers=dict(AUTH))
    for name, version in (("moving", new[0]), ("moving", ""), ("five", FIVE["version"])):
        result = client.infer(name, [tensor("x", ROWS)], model_version=version, headers=dict(AUTH))
        np.testing.assert_array_equal(result.as_numpy("y"), 5 * ROWS)
        assert result.get_response()["model_name"] == name and result.get_response()["model_version"] == (version or new[0])
    refused(lambda: client.infer("moving", [tensor("x", ROWS)], model_version=old[0], headers=dict(AUTH)), old[0])


def parameters_of_others():
    path = deploy("two", [{"type": "model", "model": TWO}])
    output = triton.InferRequestedOutput("y", binary_data=True, class_count=0)
    result = infer(path, "two", [tensor("x", ROWS)], [output], sequence_id=7, sequence_start=True, sequence_end=True, priority=3, timeout=50_000_000, parameters={"mine": "x", "deep": 1.5, "yes": True}, request_id="id-1")
    np.testing.assert_array_equal(result.as_numpy("y"), 2 * ROWS)
    assert result.get_response()["id"] == "id-1"
    body = {"model_name": "two", "unheard": {"of": [1]}, "parameters": {"binary_data_output": True, "other": None}, "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "parameters": {"content_type": "np"}, "data": [[1, 2, 3]], "more": 1}]}
    status, headers, answer = post(f"{path}/v2/models/two/infer", body, {"x-request-id": "from-the-header"})
    length = int(headers["inference-header-content-length"])
    assert status == 200 and np.frombuffer(answer[length:], "<f4").tolist() == [2, 4, 6] and headers["x-request-id"] == "from-the-header", (status, answer)
    assert json.loads(answer[:length])["id"] == "from-the-header", answer
    # An output's own word goes before that of the request.
    status, headers, answer = post(f"{path}/v2/models/two/infer", {**body, "outputs": [{"name": "y", "parameters": {"binary_data": False, "classification": 2}}]})
    assert status == 200 and headers["inference-header-content-length"] is None and json.loads(answer)["outputs"][0]["data"] == [2, 4, 6], answer


def answers_are_packed_for_who_asks():
    path = deploy("two", [{"type": "model", "model": TWO}])
    rows = np.tile(np.arange(6, dtype=np.float32).reshape(2, 3), (1000, 1))
    for binary in (True, False):
        body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2000, 3], "data": rows.reshape(-1).tolist()}], "outputs": [{"name": "y", "parameters": {"binary_data": binary}}], "id": "same"}
        _, plain_headers, plain = post(f"{path}/v2/models/two/infer", body)
        assert plain_headers["content-encoding"] is None
        for coding, unpack in (("gzip", gzip.decompress), ("deflate", zlib.decompress)):
            status, headers, answer = post(f"{path}/v2/models/two/infer", body, {"accept-encoding": coding})
            assert status == 200 and headers["content-encoding"] == coding and len(answer) < len(plain) / 2 and unpack(answer) == plain, (coding, headers.items())
            assert headers["inference-header-content-length"] == plain_headers["inference-header-content-length"]
            for request in (None, "gzip", "deflate"):
                result = infer(path, "two", [tensor("x", rows)], [triton.InferRequestedOutput("y", binary_data=binary)], request_compression_algorithm=request, response_compression_algorithm=coding)
                np.testing.assert_array_equal(result.as_numpy("y"), 2 * rows)


def errors_have_the_form_of_the_protocol():
    path = deploy("two", [{"type": "model", "model": TWO}])
    good = {"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}
    infers, octets = f"{path}/v2/models/two/infer", lambda size, rest: json.dumps({"inputs": [{**{k: v for k, v in good.items() if k != "data"}, "parameters": {"binary_data_size": size}}]}).encode() + rest
    head = len(octets(12, b""))
    bomb = gzip.compress(bytes(300_000_000))
    for status, code, to, body, headers in (
        (400, "malformed_body", infers, b"{", {}), (400, "malformed_body", infers, b"", {}), (400, "malformed_body", infers, [], {}), (400, "malformed_body", infers, {}, {}), (400, "empty_batch", infers, {"inputs": []}, {}),
        (400, "schema_mismatch", infers, {"inputs": [{**good, "name": "other"}]}, {}), (400, "schema_mismatch", infers, {"inputs": [good, {**good, "name": "more"}]}, {}), (400, "schema_mismatch", infers, {"inputs": [{**good, "shape": [3]}]}, {}),
        (400, "schema_mismatch", infers, {"inputs": [{**good, "datatype": "BYTES", "data": ["a", "b", "c"]}]}, {}), (400, "schema_mismatch", infers, {"inputs": [good, good]}, {}), (400, "schema_mismatch", infers, {"inputs": [{**good, "shape": [-1, 3]}]}, {}),
        (400, "schema_mismatch", infers, {"inputs": [good], "outputs": [{"name": "none"}]}, {}), (400, "malformed_body", infers, {"inputs": [{**good, "parameters": 5}]}, {}),
        (400, "malformed_body", infers, octets(12, struct.pack("<2f", 1, 2)), {"inference-header-content-length": str(head)}), (400, "malformed_body", infers, octets(12, struct.pack("<4f", 1, 2, 3, 4)), {"inference-header-content-length": str(head)}),
        (400, "schema_mismatch", infers, octets(8, struct.pack("<2f", 1, 2)), {"inference-header-content-length": str(head - 1)}),
        (400, "malformed_body", infers, gzip.compress(b"{}")[:15], {"content-encoding": "gzip"}), (415, "unsupported_content_type", infers, b"{}", {"content-encoding": "br"}), (413, "body_too_large", infers, bomb, {"content-encoding": "gzip"}),
        (404, "model_not_found", f"{path}/v2/models/nobody/infer", {"inputs": [good]}, {}), (404, "model_not_found", f"{path}/v2/models/two/versions/9/infer", {"inputs": [good]}, {}),
        (404, "deployment_not_found", "/api/v1/deployments/987654/v2/models/two/infer", {"inputs": [good]}, {}), (401, "unauthenticated", infers, {"inputs": [good]}, {"Authorization": "Bearer wrong"}),
        (400, "invalid_request", infers, {"inputs": [good]}, {"request-timeout": "soon"}),
    ):
        got, head_of, answer = post(to, body, headers)
        said = json.loads(answer)
        assert (got, said.get("code"), head_of["content-type"]) == (status, code, "application/json"), (to, body if len(body) < 500 else "...", got, dict(head_of), answer)
        assert set(said) == {"error", "code"} and isinstance(said["error"], str) and len(said["error"]) > 10, said
    status, _, answer = post(infers, {"inputs": [good]})
    assert status == 200 and json.loads(answer)["outputs"][0]["data"] == [2, 4, 6], answer


def what_is_not_running():
    path = deploy("stopped", [{"type": "model", "model": TWO}])
    pipeline = call("GET", "/api/v1/pipelines?name=stopped", headers=AUTH)["items"][0]["id"]
    client = client_of(path)
    assert client.is_server_ready(headers=dict(AUTH)) and client.is_model_ready("stopped", headers=dict(AUTH))
    call("DELETE", f"/api/v1/pipelines/{pipeline}/deployment", headers=AUTH)
    assert not client.is_server_ready(headers=dict(AUTH)) and not client.is_model_ready("stopped", headers=dict(AUTH))
    refused(lambda: client.infer("stopped", [tensor("x", ROWS)], headers=dict(AUTH)), "stopped")


run(every_datatype, what_is_no_datatype, two_steps, random_split_with_a_key, key_split, shadow_deploy_and_validations, versions, parameters_of_others, answers_are_packed_for_who_asks, errors_have_the_form_of_the_protocol, what_is_not_running)
