"""What the scripts of this folder share: steps that report, calls of the native API, a deployment for a pipeline.

Every script writes one line of JSON for each step: {"step", "ok", "error"}.
"""

import json
import os
import pathlib
import sys
import time
import traceback
import urllib.error
import urllib.parse
import urllib.request

import onnx
from onnx import helper
from tritonclient.utils import InferenceServerException

OPS = os.environ["POTOROO_URL"]
WORK = pathlib.Path(os.environ["POTOROO_TEST_DIR"])


def run(*steps):
    """Runs all steps, whatever becomes of one, and ends the script."""
    failed = False
    for each in steps:
        error = None
        try:
            each()
        except Exception:
            error = traceback.format_exc()
            failed = True
        print(json.dumps({"step": each.__name__, "ok": error is None, **({"error": error} if error else {})}), flush=True)
    sys.exit(1 if failed else 0)


def raw(method, path, body=None, headers=None):
    """Status, headers and bytes of an answer, whatever they are."""
    request = urllib.request.Request(OPS + path, body, headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.headers, answer.read()


def call(method, path, body=None, headers=None):
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    status, _, answer = raw(method, path, data, {**({} if body is None else {"content-type": "application/json"}), **(headers or {})})
    assert status < 400, (method, path, status, answer)
    return json.loads(answer or b"null")


form = urllib.parse.urlencode({"grant_type": "password", "client_id": "sdk-client", "username": os.environ["POTOROO_USER"], "password": os.environ["POTOROO_PASSWORD"]}).encode()
token = call("POST", "/auth/realms/master/protocol/openid-connect/token", form, {"content-type": "application/x-www-form-urlencoded"})["access_token"]
AUTH = {"Authorization": f"Bearer {token}"}  # tritonclient writes into the headers it is given: give it a copy
workspace = call("GET", "/api/v1/workspaces/default", headers=AUTH)["id"]


def graph_bytes(name, nodes, inputs, outputs, initializers=()):
    """An ONNX file; inputs and outputs are {name: (element type, shape)}."""
    values = [[helper.make_tensor_value_info(n, kind, shape) for n, (kind, shape) in part.items()] for part in (inputs, outputs)]
    model = helper.make_model(helper.make_graph(nodes, name, *values, list(initializers)), opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model.SerializeToString()


def upload(name, data):
    """A reference to the model, as steps have it."""
    made = call("PUT", f"/api/v1/workspaces/{workspace}/models/{name}/versions?framework=onnx", data, {**AUTH, "content-type": "application/octet-stream"})
    return {"name": made["name"], "version": made["version"]}


def deploy(name, steps):
    """The pipeline, made or given these steps, on an engine that runs; the path of its deployment."""
    pipeline = call("POST", f"/api/v1/workspaces/{workspace}/pipelines", {"name": name, "steps": steps}, AUTH)["id"]
    made = call("PUT", f"/api/v1/pipelines/{pipeline}/deployment", {}, AUTH)
    path = f"/api/v1/deployments/{made['id']}"
    for _ in range(600):
        status = call("GET", f"{path}/status", headers=AUTH)
        if status["state"] == "running" and status["observedGeneration"] >= made["generation"]:
            return path
        time.sleep(0.1)
    raise SystemExit(f"The deployment does not run: {status}")


def address(path):
    """As the clients want it."""
    return OPS.removeprefix("http://") + path


def refused(work, *pieces):
    try:
        work()
    except InferenceServerException as error:
        for piece in pieces:
            assert piece in str(error), str(error)
    else:
        raise AssertionError("it was not refused")
