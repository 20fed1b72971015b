"""What goes wrong: what the client raises, and that its user reads the reason wherever the client lets a reason through.

One short function for each case of the list in `checklist.py`; long because the list is.
"""

import asyncio
import json
import os

import gql
import httpx
import numpy as np
import openai
import pandas as pd
import polars as pl
import pyarrow as pa
import wallaroo
from gql.transport.exceptions import TransportQueryError
from wallaroo.connection import Connection
from wallaroo.deployment import Deployment, WaitForError
from wallaroo.exceptions import InferenceError, ModelUploadError, WallarooAPIError
from wallaroo.framework import Framework
from wallaroo.model import Model
from wallaroo.model_version import ModelVersion
from wallaroo.object import EntityNotFoundError, ModelConversionError
from wallaroo.workspace import Workspace

from harness import error
from support import API, client, raises
from world import EMAIL, ONNX, frame, now, sign_in, table

NOWHERE = 987_654


@error("sign-in: neither address nor type is given")
def nothing_given(w):
    for options in ({}, {"api_endpoint": API}, {"auth_type": "sso"}):
        with raises("WALLAROO_URL", kind=ValueError):
            wallaroo.Client(**options)


@error("sign-in: types that the client does not have")
def unknown_types(w):
    with raises("", kind=NotImplementedError):
        client("none")
    with raises(""):
        client("magic")


@error("sign-in: wrong password")
def wrong_password(w):
    with raises("401"):
        sign_in(EMAIL, "not the password")


@error("sign-in: a token that is none")
def no_token(w):
    path = w.folder / "no-token.json"
    path.write_text(json.dumps({"token": "a.b.c", "user_email": "x@example.com", "user_id": "1"}))
    os.environ["WALLAROO_SDK_CREDENTIALS"] = str(path)
    stranger = client("token")
    del os.environ["WALLAROO_SDK_CREDENTIALS"]
    # By each of the client's transports.
    with raises("token"):
        stranger.list_workspaces()
    with raises("token"):
        stranger.list_deployments()
    with raises("Failed to list exiting users"):
        stranger.list_users()
    with raises("Failed to list pipelines"):
        stranger.list_pipelines()


@error("sign-in: the refresh token is no longer good")
def stale_refresh(w):
    wl = sign_in("member@example.com", "a-good-password")
    answer = httpx.post(f"{API}/auth/realms/master/protocol/openid-connect/token", data={"client_id": "sdk-client", "grant_type": "refresh_token", "refresh_token": "no longer"})
    assert answer.status_code in (400, 401) and answer.json()["error"] == "invalid_grant", answer.text
    # The client signs in with its password again, which it has from its environment.
    before = {k: os.environ[k] for k in ("WALLAROO_USER", "WALLAROO_PASSWORD")}
    os.environ.update(WALLAROO_USER="member@example.com", WALLAROO_PASSWORD="a-good-password")
    wl.auth._force_reload()
    os.environ.update(before)
    assert wl.list_workspaces()


@error("users: who is unknown is not found, by e-mail or id")
def unknown_users(w):
    assert w.wl.get_user_by_email("nobody@example.com") is None and w.wl._get_user_by_id("no-such-id") is None
    for call in (w.wl.activate_user, w.wl.deactivate_user):
        with raises("nobody@example.com", kind=EntityNotFoundError):
            call("nobody@example.com")
    with raises("no-such-id", kind=KeyError):
        w.wl.get_email_by_id("no-such-id")


@error("users: an invitation is refused")
def refused_invitations(w):
    for wl, email, password in ((w.wl, "no address", None), (w.wl, "short@example.com", "short"), (w.member, "friend@example.com", "a-good-password")):
        with raises("Failed to invite user"):
            wl.invite_user(email, password)
    answer = w.member.httpx_client.post("/v1/api/users/invite", json={"email": "friend@example.com"})
    assert answer.status_code == 400 and "administrator" in answer.json()["msg"], "a 403 would be told as a limit of users"


@error("users: oneself is not deactivated")
def not_oneself(w):
    with raises("may not deactive themselves"):
        w.wl.deactivate_user(EMAIL)
    with raises(EMAIL, kind=EntityNotFoundError):
        w.member.deactivate_user(EMAIL)
    with raises("stranger@example.com", kind=EntityNotFoundError):
        w.member.deactivate_user("stranger@example.com")
    assert w.wl.get_user_by_email("stranger@example.com").enabled() is True


@error("workspaces: a name that is not allowed")
def workspace_names(w):
    for name in ("", "under_score", "1st", "x" * 64, "end-"):
        with raises("invalid"):
            w.wl.create_workspace(name)
    # What the client lets through, the server still looks at; the client has one text for it.
    with raises("Failed to create workspace"):
        Workspace._create_workspace(w.wl, "")
    answer = w.wl.httpx_client.post("v1/api/workspaces/create", json={"workspace_name": ""})
    assert answer.status_code == 400 and set(answer.json()) >= {"msg", "code"} and "name" in answer.json()["msg"]


@error("workspaces: a workspace that is not there")
def no_workspace(w):
    with raises("nope", "does not exist"):
        w.wl.get_workspace("nope")
    with raises("", kind=TypeError):
        w.wl.set_current_workspace("conformance")
    for wl in (w.wl, w.stranger):
        id = NOWHERE if wl is w.wl else w.workspace.id()
        with raises("", kind=TypeError):
            Workspace(wl, {"id": id}).name()
        kept, wl._current_workspace = wl._current_workspace, Workspace(wl, {"id": id})
        with raises("workspace", str(id), "does not exist"):
            wl.build_pipeline("in-no-workspace")
        with raises("404", "workspace", str(id), kind=ModelUploadError):
            wl.upload_model("in-no-workspace", w.files["first"].path, framework=ONNX)
        assert wl.list_models() == [] == wl.list_pipelines(workspace_id=id, workspace_name="nope")
        wl._current_workspace = kept


@error("workspaces: who is unknown or there already is not added")
def not_added(w):
    for add in (w.workspace.add_user, w.workspace.add_owner):
        with raises("nobody@example.com", kind=EntityNotFoundError):
            add("nobody@example.com")
    with raises("member@example.com", "already exists"):
        w.workspace.add_user("member@example.com")
    with raises("Failed to invite"):
        Workspace(w.member, {"id": w.workspace.id()}).add_owner("stranger@example.com")
    assert w.workspace.id() not in [found.id() for found in w.stranger.list_workspaces()]


@error("workspaces: the last user, one's own default")
def last_user(w):
    own = sign_in("member@example.com", "a-good-password").get_current_workspace()
    with raises("default workspace"):
        own.remove_user("member@example.com")
    alone = w.wl.create_workspace("alone")
    with raises("Last user"):
        alone.remove_user(EMAIL)
    # The same, past the client.
    with raises("owner", kind=TransportQueryError):
        w.wl._gql_client.execute(
            gql.gql("mutation DeleteWorkspaceUser($user_id: String!, $workspace_id: bigint!) { delete_workspace_users(where: {user_id: {_eq: $user_id}, _and: {workspace_id: {_eq: $workspace_id}}}) { affected_rows } }"),
            variable_values={"user_id": w.wl.auth.user_id(), "workspace_id": alone.id()},
        )


@error("workspaces: a user who is gone")
def user_gone(w):
    workspace = Workspace(w.wl, {"id": w.workspace.id()})
    workspace._rehydrate()
    workspace._users.append({"user_id": "gone"})
    assert "Removed User" in workspace.users()


@error("models: a file that is no model")
def no_model(w):
    whole = w.files["first"].path.read_bytes()
    for name, content in (("text.onnx", b"this is not a model"), ("empty.onnx", b""), ("cut.onnx", whole[: len(whole) // 2])):
        (w.folder / name).write_bytes(content)
        with raises("Model failed to upload: [422]", kind=WallarooAPIError):
            w.wl.upload_model("conf-broken", w.folder / name, framework=ONNX)
    with raises("404", "model"):
        ModelVersion(w.wl, {"id": NOWHERE}).configure()
    with raises("", kind=FileNotFoundError):
        w.wl.upload_model("conf-broken", w.folder / "nowhere.onnx", framework=ONNX)


@error("models: a file that does not convert")
def no_conversion(w):
    path = w.folder / "no-archive.zip"
    path.write_bytes(b"this is no zip")
    schema = pa.schema([pa.field("x", pa.float32())])
    version = w.wl.upload_model("conf-unconverted", path, framework=Framework.CUSTOM, input_schema=schema, output_schema=schema)
    # The client waits, prints, and hands back the version with its error.
    assert version.status() == "error" and len(version.error_summary()) > 10 and isinstance(version._wait_error, ModelConversionError)
    assert version.error_summary() in str(version._wait_error) and "object at 0x" not in version.error_summary()
    assert len(version.get_upload_logs()) > 0
    with raises("conf-unconverted", "cannot be used"):
        w.wl.build_pipeline("conf-refused").add_model_step(version).create_version()


@error("models: a framework or schema that is missing")
def no_framework(w):
    with raises("framework must be a Framework Enum", kind=ValueError):
        w.wl.upload_model("conf-model", w.files["first"].path)
    with raises("input_schema", kind=Exception):
        w.wl.upload_model("conf-model", w.files["first"].path, framework=Framework.SKLEARN)
    form = {"metadata": (None, json.dumps({"name": "x", "workspace_id": w.workspace.id(), "conversion": {"framework": "abacus"}}), "application/json"), "file": ("x.onnx", b"x", "application/octet-stream")}
    answer = w.wl.httpx_client.post("/v1/api/models/upload", files=form)
    assert answer.status_code == 422 and "abacus" in answer.json()["msg"], answer.text


@error("models: not there, by every way to ask")
def models_not_there(w):
    with raises("nope", "does not exist"):
        w.wl.get_model("nope")
    with raises("not found in this workspace"):
        w.wl.get_model("conf-model", version="no such version")
    for by_name in (w.wl.model_by_name, w.wl.model_version_by_name):
        with raises("nope", kind=EntityNotFoundError):
            by_name("nope", "1")
        with raises("conf-model", kind=EntityNotFoundError):
            by_name("conf-model", w.pipeline.versions()[0].name())
    for wl in (w.wl, w.stranger):
        id = NOWHERE if wl is w.wl else w.first.id()
        with raises("", kind=TypeError):
            ModelVersion(wl, {"id": id}).name()
        with raises("Failed to find logs"):
            ModelVersion(wl, {"id": id}).get_upload_logs()
        with raises("automatically configure"):
            ModelVersion(wl, {"id": id}).rehydrate_config()
    with raises("An error occurred loading the model"):
        Model(w.stranger, {"id": w.wl.list_models()[0].id()}).name()


@error("models: an image that is not registered")
def no_image(w):
    with raises("invalid"):
        w.wl.register_model_image("under_score", "ghcr.io/example/model:1")
    with raises("Model failed to upload", kind=WallarooAPIError):
        w.wl.register_model_image("conf-image", "not an image reference")


@error("models: a config that does not fit")
def no_config(w):
    with raises("400", "tensorFields", "2", "dense_input", kind=WallarooAPIError):
        w.first.configure(tensor_fields=["a", "b"])
    with raises("400", "tensorFields", kind=WallarooAPIError):
        w.first.configure(tensor_fields=["a", "a"])
    with raises("single batch", kind=ValueError):
        w.first.configure(batch_config="single", dynamic_batching_config=wallaroo.dynamic_batching_config.DynamicBatchingConfig())
    with raises("400", "concurrency 5", "the engine runs this model", kind=WallarooAPIError):
        w.second.configure(continuous_batching_config=wallaroo.continuous_batching_config.ContinuousBatchingConfig(max_concurrent_batch_size=5))
    assert w.first.config().tensor_fields() == ["tensor"]


@error("pipelines: a name that is not allowed")
def pipeline_names(w):
    for name in ("", "under_score", "x" * 64):
        with raises("invalid"):
            w.wl.build_pipeline(name)
    with raises("Upper", "lower-case"):
        w.wl.build_pipeline("Upper")


@error("pipelines: not there, by every way to ask")
def pipelines_not_there(w):
    with raises("nope", "not found in this workspace"):
        w.wl.get_pipeline("nope")
    with raises("Pipeline version 1 not found"):
        w.wl.get_pipeline("conf-pipeline", version="1")
    with raises("nope", kind=EntityNotFoundError):
        w.wl.pipelines_by_name("nope")
    with raises("conf-pipeline", kind=EntityNotFoundError):
        w.stranger.pipelines_by_name("conf-pipeline")
    with raises("", kind=TypeError):
        wallaroo.pipeline.Pipeline(w.stranger, {"id": w.pipeline.id()}).name()
    with raises("Pipeline not found", kind=EntityNotFoundError):
        wallaroo.pipeline.Pipeline(w.wl, {"id": NOWHERE}).url()


@error("pipelines: a definition that cannot run")
def no_definition(w):
    line = w.wl.build_pipeline("conf-refused").clear()
    for build, *words in (
        (lambda: line.add_multi_model_step([w.first, w.second]), "add_shadow_deploy"),
        (lambda: line.add_model_step(w.first).add_select(0), "Nth"),
        (lambda: line.add_model_step(w.first).add_audit("1:"), "AuditResults"),
        (lambda: line.add_model_step(w.first).add_validations(v=pl.col("out.nothing") > 1), "out.nothing"),
        (lambda: line.add_model_step(w.first).add_validations(v=pl.col("out.dense_1").list.get(0) + 1), "true or false"),
        (lambda: line.add_random_split([(0, w.first), (0, w.second)]), "weight"),
    ):
        build()
        with raises(*words):
            line.create_version()
        line.clear()
    with raises("no step", "add_model_step"):
        w.wl.build_pipeline("conf-empty").deploy()
    # The client reads splits back as nothing.
    assert next(iter(w.wl.get_pipeline("conf-steps").versions()[0].definition()["steps"][0])) == "MetaValueSplit"
    with raises("conf-steps", "versions()[0].deploy"):
        w.wl.get_pipeline("conf-steps").deploy()
    line = w.wl.get_pipeline("conf-steps")
    line.versions()[0].deploy("conf-steps", [], w.config)
    values = w.rows(2)
    assert len(line.infer(frame(values, tier=["gold", "lead"]))) == 2
    line.undeploy()


@error("pipelines: a version that is not there")
def no_version(w):
    for wl, version in ((w.wl, "00000000-0000-0000-0000-000000000000"), (w.stranger, w.one_step.name())):
        line = wallaroo.pipeline.Pipeline(wl, {"id": w.pipeline.id()})
        with raises(version, "does not exist"):
            line.get_pipeline_configuration(version)


@error("pipelines: no external url before a deployment")
def no_url(w):
    line = w.wl.get_pipeline("where-is-it")
    with raises("Failed to get pipeline external url"):
        line.get_external_url()
    with raises("has not been deployed"):
        line.url()
    with raises("not deployed"):
        line.generate_api_spec(str(w.folder / "none.yaml"))


@error("deployments: not there")
def deployments_not_there(w):
    with raises("nope", kind=EntityNotFoundError):
        w.wl.deployment_by_name("nope")
    with raises("conf-pipeline", kind=EntityNotFoundError):
        w.stranger.deployment_by_name("conf-pipeline")
    for data in ({"id": NOWHERE, "deploy_id": "nope"}, {"id": w.deployment.id(), "deploy_id": "another-name"}):
        with raises("Deployment not found", kind=EntityNotFoundError):
            Deployment(w.wl, data).status()
        with raises("did not finish within 1s", kind=Exception):
            Deployment(w.wl, data).wait_for_running(timeout=1)
    with raises("Deployment not found", kind=EntityNotFoundError):
        Deployment(w.stranger, {"id": w.deployment.id(), "deploy_id": "conf-pipeline"}).status()
    assert WaitForError("x", None).status is None


@error("deployments: a config that is not allowed")
def no_deployment_config(w):
    line = w.wl.get_pipeline("conf-pipeline")
    builder = lambda: wallaroo.DeploymentConfigBuilder().replica_count(1).cpus(0.25).memory("512Mi")  # noqa: E731
    for config, *words in (
        (builder().memory("banana").build(), "memory", "banana"),
        (builder().memory("9Ei").build(), "memory", "9Ei"),
        (builder().cpus(-1).build(), "cpu", "-1"),
        (builder().cpus(5000).build(), "cpu", "5000"),
        (builder().replica_count(100_000).build(), "replicas", "100000"),
        (builder().sidekick_memory(w.first, "banana").build(), "memory", "banana"),
    ):
        with raises(*words, kind=TransportQueryError):
            line.deploy(deployment_config=config)
    assert w.wl.deployment_by_name("conf-pipeline").deployed() is False, "what was refused changes nothing"
    # Whoever is no Python client is told so at once.
    answer = httpx.post(f"{API}/v1/api/pipelines/deploy", headers=w.wl.auth.auth_header(), json={
        "deploy_id": "conf-pipeline", "pipeline_version_pk_id": w.one_step.id(), "engine_config": {"engine": {"resources": {"limits": {"memory": "banana"}}}},
    })
    assert answer.status_code == 400 and "banana" in answer.json()["msg"], answer.text


@error("deployments: an undeployment that is refused")
def no_undeployment(w):
    for wl in (w.wl, w.stranger):
        id = NOWHERE if wl is w.wl else w.deployment.id()
        with raises("Failed to undeploy", "deployment", str(id), "does not exist"):
            Deployment(wl, {"id": id}).undeploy()


@error("deployments: a model that is gone or not ready")
def no_running_model(w):
    with raises("", kind=TransportQueryError):
        w.deployment.replace_configured_model(wallaroo.model_config.ModelConfig(w.wl, {"id": NOWHERE}))
    answer = httpx.post(f"{API}/v1/api/pipelines/deploy", headers=w.stranger.auth.auth_header(), json={"deploy_id": "x", "pipeline_version_pk_id": w.one_step.id()})
    assert answer.status_code == 404 and "does not exist" in answer.json()["msg"], answer.text


@error("inference: before and after a deployment")
def not_deployed(w):
    values = w.rows(1)
    with raises("not deployed", kind=RuntimeError):
        w.wl.get_pipeline("where-is-it").infer(frame(values))
    for data in (frame(values), table(values)):
        with raises("Inference failed: [404]", "not deployed", kind=InferenceError):
            w.pipeline.infer(data)
    result = asyncio.run(w.pipeline.parallel_infer(frame(values)))
    assert list(result.columns) == ["error"] and "not deployed" in str(result["error"][0])
    # For what comes next.
    w.pipeline = w.wl.get_pipeline("conf-pipeline", version=w.one_step.name())
    w.pipeline.deploy(deployment_config=w.config)
    w.answered(w.pipeline.infer(frame(values)), "first", values)


@error("inference: data that does not fit, in each form")
def misfits(w):
    row = [0.1] * 29
    for data, *words in (
        (pd.DataFrame({"other": [row]}), "tensor"),
        (pd.DataFrame({"tensor": [row], "more": [1]}), "more"),
        (pd.DataFrame({"tensor": [row[:5]]}), "tensor", "29"),
        (pd.DataFrame({"tensor": [row, None]}), "tensor"),
        (pd.DataFrame({"tensor": []}), "row"),
        (pa.table({"other": pa.array([row])}), "tensor"),
        (pa.table({"tensor": pa.array([row[:5]])}), "tensor", "29"),
        (pa.table({"tensor": pa.array([["x"] * 29])}), "tensor"),
    ):
        with raises("Inference failed: [400]", "source:", *words, kind=InferenceError):
            w.pipeline.infer(data)
    for options in ({"dataset_separator": "x" * 9}, {"timeout": "soon"}):
        with raises(""):
            w.pipeline.infer(frame(w.rows(1)), **options)
    (w.folder / "uneven.json").write_text(json.dumps([{"tensor": row}, {"other": row}]))
    with raises("pandas records", kind=ValueError):
        w.pipeline.infer_from_file(w.folder / "uneven.json")
    with raises("accepted", kind=TypeError):
        w.pipeline.infer_from_file(w.folder / "rows.bin")
    with raises("required", kind=TypeError):
        w.pipeline.infer("text")


@error("inference: a dictionary that does not fit")
def misfit_dictionary(w):
    # The client stumbles over its own way to tell of it; the answer says what is wrong.
    with raises("", kind=AttributeError):
        w.pipeline.infer({"other": [[1.0]]})
    answer = httpx.post(w.pipeline.url(), headers={**w.wl.auth.auth_header(), "Content-Type": "application/json; format=wallaroo"}, json={"other": [[1.0]]})
    assert answer.status_code == 400 and set(answer.json()) >= {"code", "status", "error", "source"} and "tensor" in answer.json()["error"], answer.text


@error("inference: one bad item among many")
def one_bad_item(w):
    values = w.rows(3)
    rows = frame(values)
    rows.at[1, "tensor"] = [1.0, 2.0]
    result = asyncio.run(w.pipeline.parallel_infer(rows, num_parallel=3))
    assert [e == "" for e in result["error"]] == [True, False, True] and "29" in result["error"][1], list(result["error"])
    for i in (0, 2):
        np.testing.assert_allclose(result["out.dense_1"][i], w.expected("first", values[i : i + 1])[0], rtol=1e-5)


@error("inference: in time or not at all")
def in_time(w):
    values = w.rows(2)
    late = asyncio.run(w.pipeline.parallel_infer(frame(values), timeout=1e-9))
    assert all("did not return within" in str(e) for e in late["error"]), list(late["error"])
    w.answered(w.pipeline.infer(frame(values)), "first", values)


@error("inference: OpenAI calls to what is no language model")
def no_language_model(w):
    line = w.wl.get_pipeline("conf-pipeline")
    for options in ({}, {"stream": True}):
        with raises("409", "conf-pipeline", "language model", kind=openai.ConflictError):
            line.openai_completion(prompt="x", **options)
    line.url = lambda: f"{API}/v1/api/pipelines/infer/nope-1/nope"
    with raises("404", "nope-1", kind=openai.NotFoundError):
        line.openai_chat_completion(messages=[])


@error("logs: a topic that is not there")
def no_topic(w):
    topic = w.pipeline.get_topic_name()
    for wl, name in ((w.wl, "nonsense"), (w.wl, f"workspace-{NOWHERE}-pipeline-x-inference"), (w.stranger, topic), (w.stranger, topic + "-failures"), (w.wl, "model-nope-inference")):
        with raises("404", kind=WallarooAPIError):
            wl.get_logs(name)
        with raises("", kind=EntityNotFoundError):
            wl.get_raw_logs(name)
    with raises("topic_name", kind=KeyError):
        w.stranger.get_topic_name(w.pipeline.id())


@error("logs: one end of a time window")
def half_a_window(w):
    with raises("both start datetime and end datetime"):
        w.pipeline.logs(start_datetime=now())
    with raises("Invalid data size format", kind=ValueError):
        w.pipeline.export_logs(directory=str(w.folder / "never"), data_size_limit="much")
    with raises("page_size", "-1", kind=WallarooAPIError):
        w.pipeline.logs(limit=-1)


@error("tags: a tag twice, off what does not carry it")
def tags_twice(w):
    with raises("already", kind=TransportQueryError):
        w.wl.create_tag("conformance tag")
    with raises("tag", kind=TransportQueryError):
        w.wl.create_tag("")
    for refused in (lambda: w.later.remove_from_model(w.first.id()), lambda: w.later.remove_from_pipeline(w.pipeline.id())):
        with raises("does not carry", kind=TransportQueryError):
            refused()
    for refused in (lambda: w.later.add_to_model(NOWHERE), lambda: w.later.add_to_pipeline(NOWHERE)):
        with raises("does not exist", kind=TransportQueryError):
            refused()


@error("connections: a name twice, one that is not there")
def connections_twice(w):
    w.wl.create_connection("conf-twice", "X", {"a": 1})
    with raises("already exists"):
        w.wl.create_connection("conf-twice", "X", {})
    with raises("Failed to create connection"):
        w.wl.create_connection("", "X", {})
    with raises("Failed to get connection"):
        w.wl.get_connection("nope")
    with raises("Failed to get connection"):
        w.stranger.get_connection("conf-twice")
    with raises("Failed to fetch connection"):
        Connection(w.wl, {"id": "00000000-0000-0000-0000-000000000000"}).name()
    for add in (w.workspace.add_connection, w.workspace.remove_connection):
        with raises("Failed to get connection"):
            add("nope")
    with raises("Failed to add connection"):
        w.wl.get_connection("conf-twice").add_connection_to_workspace(NOWHERE)
    with raises("workspace", "does not exist"):
        Connection.list_connections(w.stranger, w.workspace.id())


@error("wire: no token, no such path, no such method")
def wire(w):
    for method, path, body in (("POST", "v1/api/workspaces/list", {}), ("POST", "v1/graphql", {"query": "{ tag { id } }"}), ("POST", w.pipeline.url(), [])):
        answer = httpx.request(method, path if path.startswith("http") else f"{API}/{path}", json=body)
        assert answer.status_code == 401 and "Authorization" in answer.text, (path, answer.text)
    assert w.wl.httpx_client.post("v1/api/no/such/call", json={}).status_code == 404
    assert w.wl.httpx_client.get("v1/api/workspaces/list").status_code in (404, 405)
    for body, status in ((b"{", 400), (b"[]", 400), (b'{"workspace_name": 7}', 400)):
        answer = w.wl.httpx_client.post("v1/api/workspaces/create", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == status and set(answer.json()) >= {"msg", "code"}, answer.text


@error("wire: GraphQL that does not fit the schema")
def graphql_misfits(w):
    for query, word in (("{ nothing }", "nothing"), ("{ tag { id ", "Syntax"), ("query($x: bigint!) { tag_by_pk(id: $x) { id } }", "x")):
        answer = w.wl.httpx_client.post("v1/graphql", json={"query": query})
        assert answer.status_code == 200 and word in answer.json()["errors"][0]["message"] and answer.json().get("data") is None, answer.text
    with raises("Cannot query field", kind=Exception):
        w.wl._gql_client.execute(gql.gql("{ nothing }"))
