"""What goes wrong, as the published client shows it: each time one sentence that names what is wrong, and everything else serves on."""

import json
import os
import pathlib
import tempfile

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import wallaroo
from wallaroo.framework import Framework
from wallaroo.object import EntityNotFoundError

import models
from support import API, client, raises, Steps

step = Steps()
folder = pathlib.Path(tempfile.mkdtemp(dir=os.environ["POTOROO_TEST_DIR"]))
good = models.dense(folder, "good", 1)
row = [0.1] * models.FEATURES


def sign_in(user, password, auth_type="user_password"):
    """Another user's client, with a token cache of its own: the client keeps one for all servers and users."""
    before = {k: os.environ.get(k) for k in ("WALLAROO_USER", "WALLAROO_PASSWORD", "XDG_CACHE_HOME")}
    os.environ.update(WALLAROO_USER=user, WALLAROO_PASSWORD=password, XDG_CACHE_HOME=tempfile.mkdtemp(dir=folder))
    try:
        return client(auth_type)
    finally:
        os.environ.update({k: v for k, v in before.items() if v is not None})


with step("wrong password, unknown user"):
    with raises("401"):
        sign_in(os.environ["WALLAROO_USER"], "not the password")
    with raises("401"):
        sign_in("nobody@example.com", "whatever it was")

with step("a token that this server did not give out"):
    (folder / "token.json").write_text(json.dumps({"token": "a.b.c", "user_email": "x@example.com", "user_id": "1"}))
    os.environ["WALLAROO_SDK_CREDENTIALS"] = str(folder / "token.json")
    stranger = client("token")
    del os.environ["WALLAROO_SDK_CREDENTIALS"]
    with raises("token"):
        stranger.list_workspaces()
    with raises("token"):
        stranger.list_deployments()

wl = client()
workspace = wl.create_workspace("errors")
wl.set_current_workspace(workspace)

with step("names that are not there"):
    with raises("nope", "not found"):
        wl.get_pipeline("nope")
    with raises("nope", "does not exist"):
        wl.get_workspace("nope")
    with raises("nope", "does not exist"):
        wl.get_model("nope")
    with raises("nope", kind=EntityNotFoundError):
        wl.model_by_name("nope", "1")
    with raises("nope", kind=EntityNotFoundError):
        wl.deployment_by_name("nope")
    with raises("nobody@example.com", kind=EntityNotFoundError):
        workspace.add_user("nobody@example.com")

with step("names that are not allowed"):
    with raises("bad_name"):
        wl.build_pipeline("bad_name")  # the client's own check
    with raises("Upper", "lower-case"):
        wl.build_pipeline("Upper")
    with raises("bad name"):
        wl.upload_model("bad name", good.path, framework=Framework.ONNX)
    with raises("invalid"):
        wl.create_workspace("")  # the client's own check

with step("files that are not models"):
    for name, content, word in (
        ("text.onnx", b"this is not a model", ""),
        ("empty.onnx", b"", "empty"),
        ("cut.onnx", good.path.read_bytes()[: good.path.stat().st_size // 2], ""),
    ):
        (folder / name).write_bytes(content)
        with raises("Model failed to upload", "422", word):
            wl.upload_model("broken", folder / name, framework=Framework.ONNX)

with step("a container image as a model"):
    with raises("Model failed to upload", "422", "registry.invalid"):
        wl.register_model_image("image", "registry.invalid/example/model:1")

model = wl.upload_model("good", good.path, framework=Framework.ONNX)

with step("a config that does not fit the model"):
    with raises("tensorFields", "2", "dense_input"):
        model.configure(tensor_fields=["a", "b"])

with step("a step that cannot be run here"):
    with raises("step of 2 models", "add_shadow_deploy"):
        wl.build_pipeline("refused").add_multi_model_step([model, model]).create_version()
    with raises("Nth", "ModelInference"):
        wl.build_pipeline("refused").add_model_step(model).add_select(0).create_version()

with step("deploy without a step"):
    with raises("no step", "add_model_step"):
        wl.build_pipeline("nothing").deploy()

pipeline = wl.build_pipeline("serving").add_model_step(model)

with step("infer before the first deploy"):
    with raises("not deployed"):
        pipeline.infer(pd.DataFrame({"dense_input": [row]}))

pipeline.deploy()
truth = good.run({"dense_input": np.array([row], dtype=np.float32)})["dense_1"][0, 0]


def still_serving():
    assert abs(pipeline.infer(pd.DataFrame({"dense_input": [row]}))["out.dense_1"][0][0] - truth) < 1e-5


with step("data that does not fit: DataFrame"):
    for data, *words in (
        (pd.DataFrame({"other": [row]}), "dense_input"),
        (pd.DataFrame({"dense_input": [row], "more": [1]}), "more"),
        (pd.DataFrame({"dense_input": [row[:5]]}), "dense_input", "29"),
        (pd.DataFrame({"dense_input": [row, row[:5]]}), "dense_input"),
        (pd.DataFrame({"dense_input": [["x"] * 29]}), "dense_input"),
        (pd.DataFrame({"dense_input": [row, None]}), "dense_input"),
        (pd.DataFrame({"dense_input": []}), "row"),
    ):
        with raises("Inference failed", "400", *words):
            pipeline.infer(data)
    still_serving()

with step("data that does not fit: Arrow"):
    for data, *words in (
        (pa.table({"other": pa.array([row])}), "dense_input"),
        (pa.table({"dense_input": pa.array([row[:5]])}), "dense_input", "29"),
        (pa.table({"dense_input": pa.array([["x"] * 29])}), "dense_input"),
        (pa.table({"dense_input": pa.array([], pa.list_(pa.float32()))}), "row"),
    ):
        with raises("Inference failed", "400", *words):
            pipeline.infer(data)
    still_serving()

with step("nothing where a whole number has to be"):
    typed = wl.build_pipeline("typed").add_model_step(wl.upload_model("typed", models.kinds(folder, "typed").path, framework=Framework.ONNX))
    typed.deploy()
    record = {"amount": [0.5, 1.5], "count": 3, "flag": True, "text": "x", "small": [1, 2, 3]}
    assert len(typed.infer(pd.DataFrame([record]))) == 1
    for wrong, *words in (
        ({"count": None}, "count"),
        ({"count": 1.5}, "count"),
        ({"count": "3"}, "count"),
        ({"flag": 2}, "flag"),
        ({"flag": None}, "flag"),
        ({"text": 5}, "text"),
        ({"small": [1, 2, 256]}, "small"),
        ({"small": [1, 2, -1]}, "small"),
        ({"small": [1, 2]}, "small"),
        ({"amount": "much"}, "amount"),
    ):
        answer = httpx.post(typed.url(), headers={**wl.auth.auth_header(), "Content-Type": "application/json; format=pandas-records"}, json=[{**record, **wrong}])
        assert answer.status_code == 400 and all(w in answer.json()["error"] for w in words), (wrong, answer.text)
    assert len(typed.infer(pd.DataFrame([record]))) == 1
    typed.undeploy()

with step("bodies that cannot be read"):
    headers = wl.auth.auth_header()
    for content, kind, status in (
        (b"[{", "application/json; format=pandas-records", 400),
        (b"", "application/json; format=pandas-records", 400),
        (b"ARROW1\0\0 but no more", "application/vnd.apache.arrow.file", 400),
        (b"a,b\n1,2", "text/csv", 415),
    ):
        answer = httpx.post(pipeline.url(), headers={**headers, "Content-Type": kind}, content=content)
        assert answer.status_code == status, (kind, answer.status_code, answer.text)
        assert set(answer.json()) >= {"code", "status", "error", "source"} and answer.json()["code"] == status, answer.text
    assert httpx.post(pipeline.url() + "-other", headers=headers, json=[]).status_code == 404
    still_serving()

with step("one row only"):
    single = wl.build_pipeline("single").add_model_step(wl.upload_model("single", good.path, framework=Framework.ONNX).configure(batch_config="single"))
    single.deploy()
    assert len(single.infer(pd.DataFrame({"dense_input": [row]}))) == 1
    with raises("400", "row"):
        single.infer(pd.DataFrame({"dense_input": [row, row]}))
    single.undeploy()

with step("an update that cannot run is told with its reason, and what was there serves on"):
    hasty = client(request_timeout=8)  # also how long it waits for a deployment
    hasty.set_current_workspace(wallaroo.workspace.Workspace(hasty, {"id": workspace.id()}))
    with raises("Deployment failed", "engine_out_of_memory", "raise the memory"):
        hasty.get_pipeline("serving").deploy(deployment_config=wallaroo.DeploymentConfigBuilder().replica_count(1).cpus(0.25).memory("8Mi").build())
    assert pipeline.status()["status"] == "Error" and "serves on" in pipeline.status()["details"][0]
    still_serving()
    pipeline.deploy(deployment_config=wallaroo.DeploymentConfigBuilder().replica_count(1).cpus(0.25).memory("512Mi").build())
    assert pipeline.status()["status"] == "Running" and pipeline.status()["details"] == []
    still_serving()

with step("what is another user's does not exist"):
    wl.invite_user("eve@example.com", "a-good-password")
    eve = sign_in("eve@example.com", "a-good-password")
    assert [w.name() for w in eve.list_workspaces()] == ["eve@example.com - Default Workspace"]
    assert eve.search_models() == [] and eve.search_pipelines() == [] and eve.list_deployments() == [] and eve.list_models() == []
    assert eve.list_pipelines(workspace_id=workspace.id(), workspace_name="errors") == []
    with raises("good", kind=EntityNotFoundError):
        eve.model_by_name("good", model.version())
    with raises("404"):
        eve.get_logs(pipeline.get_topic_name())
    answer = httpx.post(pipeline.url(), headers=eve.auth.auth_header(), json=[{"dense_input": row}])
    assert answer.status_code == 404, answer.text
    eve.set_current_workspace(wallaroo.workspace.Workspace(eve, {"id": workspace.id()}))
    with raises("workspace"):
        eve.build_pipeline("intruder")
    with raises("404"):
        eve.upload_model("intruder", good.path, framework=Framework.ONNX)
    with raises("not found"):
        eve.get_pipeline("serving")

with step("who is no administrator manages no users"):
    with raises("Failed to invite"):
        eve.invite_user("mallory@example.com", "a-good-password")
    with raises(os.environ["WALLAROO_USER"]):
        eve.deactivate_user(os.environ["WALLAROO_USER"])
    assert wl.get_user_by_email(os.environ["WALLAROO_USER"]).enabled()

with step("a user who is no longer enabled"):
    wl.deactivate_user("eve@example.com")
    with raises("401"):
        sign_in("eve@example.com", "a-good-password")
    with raises(""):
        eve.list_workspaces()

with step("a path that is not there says so"):
    assert httpx.post(f"{API}/v1/api/no/such/call", headers=headers, json={}).status_code == 404

still_serving()
pipeline.undeploy()
step.finish()
